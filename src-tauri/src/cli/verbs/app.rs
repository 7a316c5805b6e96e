//! No verb at all: the window.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use cockpit_model::{Code, Problem};
use cockpit_platform::paths::DATA_DIR_VARIABLE;

use crate::cli::failure::Done;

/// The window's executable, which lies beside ours.
const APP: &str = "studio-cockpit-app";

/// Opens the app, on a data folder of its own or on the one it is told. It lives on by itself.
pub(in crate::cli) fn launch(data_dir: Option<&Path>) -> Done {
    let without = "run `studio-cockpit serve`; `studio-cockpit open` then shows it in a browser, and \
                   `studio-cockpit open --print-url` prints the address, signed in, for a browser elsewhere";
    if !has_display() {
        return Err(Problem::new(
            Code::NotSupported,
            "there is no display to open a window on",
        )
        .detail("neither DISPLAY nor WAYLAND_DISPLAY is set")
        .remedy(without)
        .into());
    }
    let app = beside(APP)?;
    if !app.is_file() {
        return Err(
            Problem::new(Code::CommandMissing, "this installation has no window")
                .detail(format!("{} is not there", app.display()))
                .remedy(without)
                .into(),
        );
    }
    let mut command = Command::new(&app);
    // Out of the terminal's process group: Ctrl-C here is not meant for the window.
    command
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if let Some(data_dir) = data_dir {
        command.env(DATA_DIR_VARIABLE, data_dir);
    }
    command.spawn().map_err(|error| {
        Problem::new(Code::ActionFailed, "the window could not be opened")
            .detail(format!("{}: {error}", app.display()))
            .remedy(without)
    })?;
    Ok(())
}

/// Whether a window can be opened here: the executable is installed, and there is a display.
pub(in crate::cli) fn can_launch() -> bool {
    has_display() && beside(APP).is_ok_and(|app| app.is_file())
}

fn has_display() -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    cfg!(target_os = "macos") || set("WAYLAND_DISPLAY") || set("DISPLAY")
}

fn beside(name: &str) -> Result<PathBuf, Problem> {
    let own = std::env::current_exe().map_err(|error| {
        Problem::new(Code::Internal, "cannot tell where this program is").detail(error.to_string())
    })?;
    Ok(own.with_file_name(name))
}
