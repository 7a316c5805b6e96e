//! The least a Tauri program with a menubar icon and no window can cost: what the closed app is
//! measured against. The same icon, the same library, nothing behind it.

#![allow(clippy::expect_used, missing_docs, reason = "a bench")]

use tauri::image::Image;
use tauri::tray::TrayIconBuilder;

fn main() {
    tauri::Builder::default()
        .setup(|app| {
            let icon = Image::from_bytes(include_bytes!("../../icons/tray-well.png"))?;
            TrayIconBuilder::with_id("verdict").icon(icon).build(app)?;
            Ok(())
        })
        .build(tauri::generate_context!())
        .expect("a display, and the library that shows indicators")
        .run(|_, event| {
            if let tauri::RunEvent::ExitRequested { api, .. } = event {
                api.prevent_exit();
            }
        });
}
