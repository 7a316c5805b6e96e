//! `uninstall`: stops everything and removes what was installed, after saying what that is.

use std::fs::File;
use std::io::{self, BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use cockpit_model::{Code, Problem, Service};
use cockpit_platform::login::LoginItem;
use rustix::fs::{FlockOperation, flock};
use serde_json::json;

use super::serve::until_ready;
use crate::cli::args::Common;
use crate::cli::client::Client;
use crate::cli::failure::Done;
use crate::cli::folder::DataFolder;

/// How long an engine may take to come up, or to end.
const ENGINE_LIMIT: Duration = Duration::from_secs(30);
/// How often it is asked meanwhile.
const ASK_AGAIN: Duration = Duration::from_millis(50);

/// What becomes of the data folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Data {
    Keep,
    Delete,
}

/// What there is to undo.
struct Installed {
    folder: DataFolder,
    client: Client,
    /// The services of a running engine.
    running: Option<Vec<Service>>,
    /// Whether shims are left that no engine holds.
    left: bool,
    login: Option<PathBuf>,
}

pub(in crate::cli) async fn uninstall(common: &Common, yes: bool, data: Option<Data>) -> Done {
    let found = look(common).await?;
    let mut out = io::stdout().lock();
    let folder = found.folder.path().display();
    writeln!(out, "This will")?;
    for step in steps(&found) {
        writeln!(out, "  · {step}")?;
    }
    match data {
        Some(Data::Keep) => writeln!(out, "  · keep the data in {folder}")?,
        Some(Data::Delete) => writeln!(out, "  · delete the data in {folder}")?,
        None if yes => writeln!(
            out,
            "  · keep the data in {folder} (--delete-data deletes it)"
        )?,
        None => {}
    }
    writeln!(
        out,
        "The program itself stays; remove it as you installed it."
    )?;
    let data = match (yes, data) {
        (true, data) => data.unwrap_or(Data::Keep),
        (false, data) => {
            if !io::stdin().is_terminal() {
                return Err(Problem::new(
                    Code::BadRequest,
                    "nobody is there to agree, so nothing was done",
                )
                .remedy("add --yes, with --keep-data or --delete-data")
                .into());
            }
            let data = match data {
                Some(data) => data,
                None if !found.folder.path().exists() => Data::Keep,
                None if ask(&format!("Also delete the data in {folder}?"))? => Data::Delete,
                None => Data::Keep,
            };
            if !ask("Go on?")? {
                writeln!(out, "Nothing was done.")?;
                return Ok(());
            }
            data
        }
    };
    drop(out);
    undo(common, found, data).await
}

async fn look(common: &Common) -> Result<Installed, Problem> {
    let folder = common.folder()?;
    let client = common.client()?;
    let running = match client.get::<Vec<Service>>("/api/services").await {
        Ok(services) => Some(services),
        Err(problem) if problem.code == Code::NotRunning => None,
        Err(problem) => return Err(problem),
    };
    let left = running.is_none() && has_shims(&folder)?;
    let login = match LoginItem::new() {
        Ok(item) => {
            let status = item.status().await?;
            (status.on || status.path.exists()).then_some(status.path)
        }
        // Without a home folder there is no place where one could have been installed.
        Err(_) => None,
    };
    Ok(Installed {
        folder,
        client,
        running,
        left,
        login,
    })
}

/// Whether sockets of shims lie in the folder for them.
fn has_shims(folder: &DataFolder) -> Result<bool, Problem> {
    if !folder.path().is_dir() {
        return Ok(false);
    }
    let run = cockpit_platform::paths::run_dir(folder.path())?;
    let entries = std::fs::read_dir(&run).map_err(|error| {
        Problem::new(Code::Storage, "the folder for sockets cannot be read")
            .detail(format!("{}: {error}", run.display()))
    })?;
    Ok(entries.flatten().any(|entry| {
        let path = entry.path();
        path.extension()
            .is_some_and(|extension| extension == "sock")
            && path.file_name().is_some_and(|name| name != "engine.sock")
    }))
}

fn steps(found: &Installed) -> Vec<String> {
    let mut steps = Vec::new();
    if let Some(services) = &found.running {
        let names: Vec<&str> = services
            .iter()
            .map(|service| service.name.as_str())
            .collect();
        if !names.is_empty() {
            steps.push(format!("stop the services: {}", names.join(", ")));
        }
        steps.push("end the engine".to_owned());
    } else if found.left {
        steps.push("find the services that run without their engine, and stop them".to_owned());
    }
    if let Some(path) = &found.login {
        steps.push(format!("no longer start at login ({})", path.display()));
    }
    steps
}

async fn undo(common: &Common, found: Installed, data: Data) -> Done {
    // First of all, or the login manager starts the engine anew.
    if found.login.is_some() {
        LoginItem::new()?.disable().await?;
        told("no longer starts at login")?;
    }
    if found.left {
        start_engine(common, &found).await?;
    }
    if found.running.is_some() || found.left {
        let stopped: Vec<Service> = found.client.post("/api/stop-all", &json!({})).await?;
        told(&format!("{} services stopped", stopped.len()))?;
        end_engine(&found).await?;
        told("engine ended")?;
    }
    if data == Data::Delete && found.folder.path().exists() {
        delete(&found.folder)?;
        told(&format!("{} deleted", found.folder.path().display()))?;
    }
    Ok(())
}

/// Starts an engine that takes up what runs without one: only an engine can end it in order.
async fn start_engine(common: &Common, found: &Installed) -> Result<(), Problem> {
    let failed = |detail: String| {
        Problem::new(
            Code::ActionFailed,
            "the engine that would stop the services did not start",
        )
        .detail(detail)
        .remedy("see what `studio-cockpit serve` says, then try again; nothing was deleted")
    };
    let own = std::env::current_exe().map_err(|error| failed(error.to_string()))?;
    let mut command = Command::new(own);
    command
        .arg("serve")
        .arg("--data-dir")
        .arg(found.folder.path());
    if let Some(config) = &common.config {
        command.arg("--config").arg(config);
    }
    let mut engine = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    if tokio::time::timeout(ENGINE_LIMIT, until_ready(&found.client))
        .await
        .is_err()
    {
        // Ended by its own handle; what it had taken up goes on under the shims.
        let _ = engine.kill();
        return Err(failed("it was not ready in time".to_owned()));
    }
    Ok(())
}

async fn end_engine(found: &Installed) -> Result<(), Problem> {
    let body = json!({ "stop_services": true });
    let _: serde_json::Value = found.client.post("/api/engine/stop", &body).await?;
    let gone = async {
        // The doors close first; the data is at rest once the lock is let go.
        while is_locked(&found.folder.lock()) {
            tokio::time::sleep(ASK_AGAIN).await;
        }
    };
    tokio::time::timeout(ENGINE_LIMIT, gone).await.map_err(|_| {
        Problem::new(Code::ActionFailed, "the engine does not end")
            .remedy("see `studio-cockpit status`; nothing was deleted")
    })
}

/// Whether somebody holds the lock. What cannot be opened is held by nobody.
fn is_locked(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| flock(&file, FlockOperation::NonBlockingLockShared).is_err())
}

/// Deletes the data folder, if it is one.
fn delete(folder: &DataFolder) -> Result<(), Problem> {
    let path = folder.path();
    if !is_ours(path) {
        return Err(Problem::new(
            Code::Storage,
            "this does not look like a data folder, so it was not deleted",
        )
        .detail(path.display().to_string())
        .remedy("look at it, and delete it by hand"));
    }
    let sockets = cockpit_platform::paths::run_dir(path)?;
    for folder in [sockets.as_path(), path] {
        match std::fs::remove_dir_all(folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Problem::new(Code::Storage, "the data could not be deleted")
                    .detail(format!("{}: {error}", folder.display())));
            }
            _ => {}
        }
    }
    Ok(())
}

/// A folder the engine has worked in, and nobody's home.
fn is_ours(path: &Path) -> bool {
    let marks = ["token", "state.db"];
    path.parent().is_some()
        && cockpit_platform::paths::home().is_none_or(|home| home != path)
        && marks.iter().any(|mark| path.join(mark).is_file())
}

fn told(what: &str) -> io::Result<()> {
    writeln!(io::stdout(), "✓ {what}")
}

/// Asks on the terminal; no is the answer to anything but a clear yes.
fn ask(question: &str) -> io::Result<bool> {
    let mut out = io::stdout();
    write!(out, "{question} [y/N] ")?;
    out.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn only_a_data_folder_is_deleted() {
        let temp = tempfile::tempdir().unwrap();
        let precious = temp.path().join("precious");
        std::fs::create_dir(&precious).unwrap();
        std::fs::write(precious.join("thesis.txt"), "…").unwrap();
        let folder = DataFolder::new(Some(&precious)).unwrap();
        assert_eq!(delete(&folder).unwrap_err().code, Code::Storage);
        assert!(precious.join("thesis.txt").exists());
        std::fs::write(precious.join("token"), "t").unwrap();
        delete(&folder).unwrap();
        assert!(!precious.exists());
    }

    #[test]
    fn a_lock_tells_whether_an_engine_is_there() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("engine.lock");
        assert!(!is_locked(&path));
        let held = File::create(&path).unwrap();
        assert!(!is_locked(&path));
        flock(&held, FlockOperation::NonBlockingLockExclusive).unwrap();
        assert!(is_locked(&path));
        drop(held);
        assert!(!is_locked(&path));
    }
}
