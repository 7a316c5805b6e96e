//! A screen and a message bus of the bench's own, and the part of a window manager that the bench
//! needs: hiding a window and asking it to close.
//!
//! On the bus there is nobody else: no portal, no accessibility service that would take part in the
//! figures.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use x11rb::connection::Connection as _;
use x11rb::protocol::xproto::{
    Atom, AtomEnum, ClientMessageEvent, ConnectionExt as _, EventMask, MapState, Window,
};
use x11rb::rust_connection::RustConnection;

const BUS: &str = r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
  "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:tmpdir=/tmp</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*"/>
    <allow receive_sender="*"/>
    <allow own="*"/>
  </policy>
</busconfig>
"#;

/// Ended with all that runs on it when dropped.
pub(crate) struct Screen {
    server: Child,
    bus: Child,
    display: String,
    address: String,
    x: RustConnection,
    root: Window,
}

impl Screen {
    /// Starts both.
    ///
    /// # Errors
    /// A sentence, where this machine has no means to.
    pub(crate) fn start(dir: &Path) -> Result<Self, String> {
        let (server, number) = announced(
            Command::new("Xvfb")
                .args(["-displayfd", "1", "-screen", "0", "1400x1000x24"])
                .args(["-nolisten", "tcp"]),
        )?;
        let config = dir.join("bus.conf");
        fs::write(&config, BUS).map_err(|error| error.to_string())?;
        let (bus, address) = announced(
            Command::new("dbus-daemon")
                .args(["--nofork", "--print-address=1", "--config-file"])
                .arg(config),
        )?;
        let display = format!(":{number}");
        let (x, screen) = x11rb::connect(Some(&display)).map_err(|error| error.to_string())?;
        let root = x.setup().roots[screen].root;
        Ok(Self {
            server,
            bus,
            display,
            address,
            x,
            root,
        })
    }

    /// A program that will run here. The screen has no graphics card.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env("DISPLAY", &self.display)
            .env("DBUS_SESSION_BUS_ADDRESS", &self.address)
            .env_remove("WAYLAND_DISPLAY")
            .env("WEBKIT_DISABLE_COMPOSITING_MODE", "1")
            .env("WEBKIT_DISABLE_DMABUF_RENDERER", "1")
            .env("LIBGL_ALWAYS_SOFTWARE", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    /// The window with this title, while it is shown.
    pub(crate) fn window(&self, title: &str) -> Option<Window> {
        let windows = self.x.query_tree(self.root).ok()?.reply().ok()?.children;
        windows.into_iter().find(|&window| {
            let shown = self
                .x
                .get_window_attributes(window)
                .ok()
                .and_then(|asked| asked.reply().ok())
                .is_some_and(|it| it.map_state == MapState::VIEWABLE);
            let name = self
                .x
                .get_property(false, window, AtomEnum::WM_NAME, AtomEnum::ANY, 0, 64)
                .ok()
                .and_then(|asked| asked.reply().ok());
            shown && name.is_some_and(|it| it.value == title.as_bytes())
        })
    }

    /// What a window manager does to a window that is minimised.
    pub(crate) fn hide(&self, window: Window) {
        self.x.unmap_window(window).unwrap().check().unwrap();
    }

    /// What it does when its cross is clicked.
    pub(crate) fn close(&self, window: Window) {
        let [protocols, delete] = [&b"WM_PROTOCOLS"[..], b"WM_DELETE_WINDOW"].map(|name| -> Atom {
            let asked = self.x.intern_atom(false, name).unwrap();
            asked.reply().unwrap().atom
        });
        let event = ClientMessageEvent::new(32, window, protocols, [delete, 0, 0, 0, 0]);
        self.x
            .send_event(false, window, EventMask::NO_EVENT, event)
            .unwrap()
            .check()
            .unwrap();
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        for child in [&mut self.bus, &mut self.server] {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Starts a server that prints where it is once it listens.
fn announced(command: &mut Command) -> Result<(Child, String), String> {
    let name = command.get_program().display().to_string();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("{name} cannot be started: {error}"))?;
    let mut line = String::new();
    if let Some(output) = child.stdout.take() {
        let _ = BufReader::new(output).read_line(&mut line);
    }
    if line.trim().is_empty() {
        let _ = child.kill();
        let _ = child.wait();
        return Err(format!("{name} ended before it listened"));
    }
    Ok((child, line.trim().to_owned()))
}

/// Asks again and again, for what nobody announces.
pub(crate) async fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = std::time::Instant::now() + crate::support::PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(std::time::Instant::now() < deadline, "never saw: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
