//! Only the window needs anything at build time.

fn main() {
    #[cfg(feature = "desktop")]
    tauri_build::build();
}
