//! `check`: does the configuration hold, and what would it do.

use std::io::{self, Write};
use std::path::PathBuf;

use cockpit_config::Plan;
use cockpit_platform::environment;

use crate::cli::args::Reading;
use crate::cli::failure::{Done, Failure};
use crate::cli::lacks::{Here, lacks};

pub(in crate::cli) async fn check(reading: &Reading) -> Done {
    let file = reading.common.config_file()?;
    let config = cockpit_config::load(&file, &home()).map_err(Failure::Config)?;
    // As the engine sees it that is started from here.
    let env = if config.cockpit.login_shell_env {
        environment::login_environment().await
    } else {
        environment::own_environment()
    };
    let mut plan = Plan::of(&config);
    plan.warnings.extend(lacks(&config, &env, &Here));
    let mut out = io::stdout().lock();
    if reading.json {
        serde_json::to_writer(&mut out, &plan).map_err(io::Error::from)?;
        writeln!(out)?;
    } else {
        write!(out, "{plan}")?;
    }
    Ok(())
}

/// What `~` stands for. Without a home it stands for the root, where nothing of a person's lies, so
/// that a path with `~` is reported as missing.
pub(in crate::cli) fn home() -> PathBuf {
    cockpit_platform::paths::home().unwrap_or_else(|| PathBuf::from("/"))
}
