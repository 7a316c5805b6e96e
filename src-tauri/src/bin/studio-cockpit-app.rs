//! The window and the menubar: a client of the engine. The only program here that links a webview.

#[path = "../desktop/mod.rs"]
mod desktop;

fn main() -> std::process::ExitCode {
    cockpit_panics::install();
    desktop::run()
}
