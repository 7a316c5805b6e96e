//! `uninstall`: stops everything and removes what was installed, after saying what that is.
//!
//! Theory of operation. The demo is a data folder of its own inside the data folder, with an engine
//! and services of its own: each folder is stopped by itself, the demo's first. A running engine
//! stops its services in order. Without one, an engine is started to take up what runs under shims;
//! and what belongs to no configuration that holds is ended by an engine with an empty one, to which
//! every shim is a stray.
//!
//! **Invariant:** nothing is deleted while a shim or an engine is left.

use std::fs::File;
use std::io::{self, BufRead, IsTerminal, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use cockpit_model::{Code, Problem, Service};
use cockpit_platform::login::LoginItem;
use rustix::fs::{FlockOperation, flock};
use serde_json::json;
use tokio::process::Command;

use super::check::home;
use super::serve::until_ready;
use crate::cli::args::Common;
use crate::cli::client::Client;
use crate::cli::failure::Done;
use crate::cli::folder::DataFolder;

/// How long an engine may take to come up, or to end.
const ENGINE_LIMIT: Duration = Duration::from_secs(30);
/// How long services that belong to no configuration may take to end: the longest usual grace and some.
const STRAYS_LIMIT: Duration = Duration::from_secs(120);
/// How often it is asked meanwhile.
const ASK_AGAIN: Duration = Duration::from_millis(50);

/// The app's name to the system, as in `tauri.conf.json`: the web view keeps its own files under it.
const IDENTIFIER: &str = "dev.studio-cockpit.app";

/// A configuration without services.
const NOTHING: &str = "[cockpit]\nlisten = \"127.0.0.1:0\"\n";

/// What becomes of the data folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Data {
    Keep,
    Delete,
}

/// What there is to undo.
struct Installed {
    folder: DataFolder,
    /// The demo, if there is one, and then the person's own.
    places: Vec<Place>,
    login: Option<PathBuf>,
}

/// A data folder with an engine of its own.
struct Place {
    folder: DataFolder,
    client: Client,
    demo: bool,
    /// The configuration its engine would use.
    config: PathBuf,
    /// The services of a running engine.
    running: Option<Vec<Service>>,
    /// Whether there are shims.
    shims: bool,
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
    undo(found, data).await
}

async fn look(common: &Common) -> Result<Installed, Problem> {
    let folder = common.folder()?;
    let mut places = Vec::new();
    let demo = folder.demo()?;
    if demo.path().is_dir() {
        let client = Client::new(demo.socket()?);
        places.push(Place::look(demo.clone(), client, true, demo.config()).await?);
    }
    let config = common.config_file()?;
    places.push(Place::look(folder.clone(), common.client()?, false, config).await?);
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
        places,
        login,
    })
}

/// Whether shims, or what dead ones left, are in the folder for their sockets.
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
        let ours = |extension| extension == "sock" || extension == "pid";
        // An instance's name: twelve digits, a dash, a number. The engine's own socket may lie here too.
        let name = path.file_name().map(OsStrExt::as_bytes);
        path.extension().is_some_and(ours) && name.is_some_and(|name| name.get(12) == Some(&b'-'))
    }))
}

fn steps(found: &Installed) -> Vec<String> {
    let mut steps = Vec::new();
    for place in &found.places {
        let of = if place.demo { "demo's " } else { "" };
        let services = place.running.as_deref().unwrap_or_default();
        if !services.is_empty() {
            let names: Vec<&str> = services.iter().map(|s| s.name.as_str()).collect();
            steps.push(format!("stop the {of}services: {}", names.join(", ")));
        } else if place.shims {
            steps.push(format!(
                "find the {of}services that run without their engine, and stop them"
            ));
        }
        if place.running.is_some() {
            steps.push(format!("end the {of}engine"));
        }
    }
    if let Some(path) = &found.login {
        steps.push(format!("no longer start at login ({})", path.display()));
    }
    steps
}

async fn undo(found: Installed, data: Data) -> Done {
    // First of all, or the login manager starts the engine anew.
    if found.login.is_some() {
        LoginItem::new()?.disable().await?;
        told("no longer starts at login")?;
    }
    for place in &found.places {
        place.stop().await?;
    }
    if data == Data::Delete && found.folder.path().exists() {
        delete(&found.folder)?;
        told(&format!("{} deleted", found.folder.path().display()))?;
    }
    Ok(())
}

impl Place {
    async fn look(
        folder: DataFolder,
        client: Client,
        demo: bool,
        config: PathBuf,
    ) -> Result<Self, Problem> {
        let running = match client.get::<Vec<Service>>("/api/services").await {
            Ok(services) => Some(services),
            Err(problem) if problem.code == Code::NotRunning => None,
            Err(problem) => return Err(problem),
        };
        Ok(Self {
            shims: has_shims(&folder)?,
            folder,
            client,
            demo,
            config,
            running,
        })
    }

    /// Ends its services and its engine. Nothing runs there afterwards.
    async fn stop(&self) -> Done {
        let whose = if self.demo { "the demo's " } else { "" };
        // By their own configuration where it holds: then they end in order.
        let engine = self.running.is_some()
            || self.shims
                && cockpit_config::load(&self.config, &home()).is_ok()
                && start_engine(self, &self.config).await.is_ok();
        if engine {
            match self
                .client
                .post::<Vec<Service>>("/api/stop-all", &json!({}))
                .await
            {
                Ok(stopped) => told(&match stopped.len() {
                    1 => format!("{whose}1 service stopped"),
                    n => format!("{whose}{n} services stopped"),
                })?,
                // It never held: this engine has no services, and what shims hold is looked for next.
                Err(problem) if problem.code == Code::ConfigInvalid => {}
                Err(problem) => return Err(problem.into()),
            }
            end_engine(self).await?;
            // One that only came up to end them was not theirs.
            if self.running.is_some() {
                told(&format!("{whose}engine ended"))?;
            }
        }
        if has_shims(&self.folder)? {
            self.end_strays().await?;
            told(&format!("{whose}services without a configuration ended"))?;
        }
        Ok(())
    }

    /// Ends every shim with all it holds.
    async fn end_strays(&self) -> Result<(), Problem> {
        let path = self.folder.path().join("uninstall.toml");
        std::fs::write(&path, NOTHING).map_err(|error| {
            Problem::new(Code::Storage, "the data folder cannot be written")
                .detail(format!("{}: {error}", path.display()))
        })?;
        let ended = self.end_strays_under(&path).await;
        let _ = std::fs::remove_file(&path);
        ended
    }

    async fn end_strays_under(&self, config: &Path) -> Result<(), Problem> {
        start_engine(self, config).await?;
        let gone = async {
            while has_shims(&self.folder)? {
                tokio::time::sleep(ASK_AGAIN).await;
            }
            Ok(())
        };
        let gone = tokio::time::timeout(STRAYS_LIMIT, gone).await;
        end_engine(self).await?;
        gone.unwrap_or_else(|_| {
            Err(Problem::new(Code::ActionFailed, "some services do not end")
                .detail(format!(
                    "their shims are in {}",
                    self.folder.path().display()
                ))
                .remedy("end them by hand, then try again; nothing was deleted"))
        })
    }
}

/// Starts an engine that takes up what runs without one: only an engine can end it in order.
async fn start_engine(place: &Place, config: &Path) -> Result<(), Problem> {
    let failed = |detail: String| {
        Problem::new(
            Code::ActionFailed,
            "the engine that would stop the services did not start",
        )
        .detail(detail)
        .remedy("see what `studio-cockpit serve` says, then try again; nothing was deleted")
    };
    let own = std::env::current_exe().map_err(|error| failed(error.to_string()))?;
    let mut engine = Command::new(own)
        .args(["serve", "--await-config", "--log-level", "warn"])
        .arg("--data-dir")
        .arg(place.folder.path())
        .arg("--config")
        .arg(config)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    tokio::select! {
        () = until_ready(&place.client) => Ok(()),
        ended = engine.wait() => Err(failed(match ended {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        })),
        () = tokio::time::sleep(ENGINE_LIMIT) => {
            // Ended by its own handle; what it had taken up goes on under the shims.
            let _ = engine.kill().await;
            Err(failed("it was not ready in time".to_owned()))
        }
    }
}

async fn end_engine(place: &Place) -> Result<(), Problem> {
    let body = json!({ "stop_services": true });
    let _: serde_json::Value = place.client.post("/api/engine/stop", &body).await?;
    let gone = async {
        // The doors close first; the data is at rest once the lock is let go.
        while is_locked(&place.folder.lock()) {
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
    let mut doomed = vec![cockpit_platform::paths::run_dir(path)?];
    let demo = folder.demo()?;
    if demo.path().is_dir() {
        doomed.push(cockpit_platform::paths::run_dir(demo.path())?);
    }
    doomed.push(path.to_owned());
    // The window's own is shared by all of a person's data folders: it goes with the usual one.
    if cockpit_platform::paths::data_dir().is_ok_and(|usual| usual == path) {
        doomed.extend(cockpit_platform::paths::webview_dirs(IDENTIFIER));
    }
    for folder in doomed {
        match std::fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Problem::new(Code::Storage, "the data could not be deleted")
                    .detail(format!("{}: {error}", folder.display())));
            }
            _ => {}
        }
    }
    Ok(())
}

/// A folder the engine, or the demo's, has worked in, and nobody's home.
fn is_ours(path: &Path) -> bool {
    let marks = ["token", "state.db", "demo/token", "demo/state.db"];
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
        for mark in ["token", "demo/token"] {
            std::fs::create_dir_all(precious.join("demo")).unwrap();
            std::fs::write(precious.join(mark), "t").unwrap();
            delete(&folder).unwrap();
            assert!(!precious.exists());
        }
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
