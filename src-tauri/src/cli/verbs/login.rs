//! `login`: the engine at login.

use std::io::{self, Write};

use cockpit_api::LoginItem;
use cockpit_model::{Code, Problem};
use cockpit_platform::login::{LoginItem as Installed, LoginStatus, Start};
use serde_json::json;

use crate::cli::args::{Common, Reading};
use crate::cli::failure::Done;

/// Turns it on or off, or with neither says which it is.
pub(in crate::cli) async fn login(reading: &Reading, on: Option<bool>) -> Done {
    let client = reading.common.client()?;
    let asked = match on {
        // The engine knows with which configuration it runs, so it is asked first.
        Some(on) => client.post("/api/login", &json!({ "on": on })).await,
        None => client.get("/api/login").await,
    };
    let item = match asked {
        Err(problem) if problem.code == Code::NotRunning => {
            let status = without_engine(&reading.common, on).await?;
            LoginItem {
                on: status.on,
                path: Some(status.path.display().to_string()),
                note: status.note,
            }
        }
        answered => answered?,
    };
    let mut out = io::stdout().lock();
    if reading.json {
        serde_json::to_writer(&mut out, &item).map_err(io::Error::from)?;
        writeln!(out)?;
    } else if item.on {
        let path = item.path.as_ref().map(|path| format!(" ({path})"));
        writeln!(
            out,
            "The engine starts at login{}",
            path.unwrap_or_default()
        )?;
    } else {
        writeln!(out, "The engine does not start at login")?;
    }
    if let Some(note) = &item.note {
        writeln!(io::stderr(), "note: {note}")?;
    }
    Ok(())
}

async fn without_engine(common: &Common, on: Option<bool>) -> Result<LoginStatus, Problem> {
    let item = Installed::new()?;
    match on {
        None => item.status().await,
        Some(false) => item.disable().await,
        Some(true) => {
            let exe = std::env::current_exe().map_err(|error| {
                Problem::new(Code::Internal, "cannot tell where this program is")
                    .detail(error.to_string())
            })?;
            let config = common
                .config
                .as_ref()
                .map(std::path::absolute)
                .transpose()
                .map_err(|error| {
                    Problem::new(Code::Storage, "the configuration's path cannot be used")
                        .detail(error.to_string())
                })?;
            let start = Start {
                exe,
                data_dir: common.folder()?.path().to_path_buf(),
                config,
            };
            item.enable(&start).await
        }
    }
}
