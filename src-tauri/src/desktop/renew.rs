//! On Linux the app starts itself anew once its window is closed.
//!
//! WebKitGTK keeps in a program what its first web view ever needed: a network process that ends with
//! the program only, and three times the memory of one that never had a window. Somebody whose window
//! is closed for weeks need not pay that. So the process replaces itself (`exec`): the same pid, the
//! same data folder, no window. The icon is away for the moment its library needs to start.
//!
//! A Mac gives a web view's memory back by itself, and a program there cannot be replaced under its
//! dock icon.
//!
//! **Invariant:** nothing the person asked for is cut off. What is under way holds a [`Task`], and the
//! exchange waits until there is none; both are decided on the main thread.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::sync::Arc;

use rustix::process::{Pid, WaitOptions, waitpid};
use tauri::{AppHandle, Manager};
use tokio::sync::watch;

use super::engine::Engine;

/// What this process was started with by the one it replaced.
pub(crate) const FLAG: &str = "after-window";

/// What is under way and must be let finish.
pub(crate) struct Tasks(watch::Sender<usize>);

/// Something under way; over when dropped.
pub(crate) struct Task(watch::Sender<usize>);

impl Default for Tasks {
    fn default() -> Self {
        Self(watch::Sender::new(0))
    }
}

impl Tasks {
    /// Something begins.
    pub(crate) fn begin(&self) -> Task {
        self.0.send_modify(|count| *count += 1);
        Task(self.0.clone())
    }

    fn are_none(&self) -> bool {
        *self.0.borrow() == 0
    }

    async fn wait_for_none(&self) {
        // Never an error: the sender is our own.
        let _ = self.0.subscribe().wait_for(|count| *count == 0).await;
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count = count.saturating_sub(1));
    }
}

/// Starts the app anew as soon as nothing is under way, unless a window is open by then.
pub(crate) fn when_idle(app: &AppHandle) {
    if cfg!(target_os = "macos") {
        return;
    }
    let app = app.clone();
    tauri::async_runtime::spawn(async move {
        app.state::<Tasks>().wait_for_none().await;
        let handle = app.clone();
        let asked = app.run_on_main_thread(move || {
            if !handle.webview_windows().is_empty() {
                return;
            }
            if handle.state::<Tasks>().are_none() {
                let error = replace(&handle);
                tracing::warn!("the app keeps the memory its window needed: {error}");
            } else {
                when_idle(&handle);
            }
        });
        if let Err(error) = asked {
            tracing::warn!("the app keeps the memory its window needed: {error}");
        }
    });
}

/// Returns only when it could not be done.
fn replace(app: &AppHandle) -> io::Error {
    let engine = app.state::<Arc<Engine>>();
    // After an upgrade the program's file is another one, or gone for a moment.
    let program = match std::env::current_exe() {
        Ok(program) if program.exists() => program,
        Ok(program) => {
            return io::Error::new(io::ErrorKind::NotFound, program.display().to_string());
        }
        Err(error) => return error,
    };
    // Else the successor would find this app running and leave the field to it.
    tauri_plugin_single_instance::destroy(app);
    Command::new(program).args(arguments(&engine)).exec()
}

/// The same data folder, whatever has come to stand in the usual one since.
fn arguments(engine: &Engine) -> Vec<OsString> {
    let mut arguments = vec![
        OsString::from(format!("--{FLAG}")),
        "--data-dir".into(),
        engine.folder().path().into(),
    ];
    if let Some(config) = engine.config() {
        arguments.extend(["--config".into(), config.into()]);
    }
    arguments
}

/// Takes leave of the children of the process that this one replaced, when they end: the engine if
/// that one started it, and the web view's network process.
pub(crate) fn adopt_children() {
    let Ok(children) = std::fs::read_to_string("/proc/thread-self/children") else {
        return;
    };
    for child in children.split_whitespace() {
        let Some(pid) = child.parse().ok().and_then(Pid::from_raw) else {
            continue;
        };
        let waiting = std::thread::Builder::new()
            .name("child".to_owned())
            .spawn(move || {
                let options = WaitOptions::empty();
                while waitpid(Some(pid), options).err() == Some(rustix::io::Errno::INTR) {}
            });
        if let Err(error) = waiting {
            tracing::warn!("the end of process {child} will not be noticed: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn none_are_under_way_once_the_last_is_over() {
        let tasks = Tasks::default();
        let (first, second) = (tasks.begin(), tasks.begin());
        assert!(!tasks.are_none());
        drop(first);
        assert!(!tasks.are_none());
        let over = tasks.wait_for_none();
        drop(second);
        over.await;
        assert!(tasks.are_none());
    }
}
