//! The web UI's files, inside the executable.

use cockpit_api::Ui;
use rust_embed::RustEmbed;

#[derive(RustEmbed)]
#[folder = "ui/dist"]
struct Files;

/// The files as the API serves them.
pub(super) fn embedded() -> Ui {
    Ui::new(|path| {
        let file = Files::get(path)?;
        Some((file.data, mime(path)))
    })
}

/// The few kinds of file a bundle holds.
fn mime(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("json") => "application/json",
        Some("woff2") => "font/woff2",
        _ => "application/octet-stream",
    }
}
