//! The UI's files are part of the executables: a checkout whose UI was not built yet gets a page that
//! says so. The window needs Tauri's own preparations besides.

use std::fs;
use std::path::Path;

const NOT_BUILT: &str = "<!doctype html><meta charset=utf-8><title>Studio Cockpit</title>\
    <p>The user interface was not built. Run <code>make run</code>.";

fn main() {
    let dist = Path::new("ui/dist");
    let index = dist.join("index.html");
    if !index.exists()
        && let Err(error) = fs::create_dir_all(dist).and_then(|()| fs::write(&index, NOT_BUILT))
    {
        println!("cargo::error=cannot make {}: {error}", index.display());
    }
    println!("cargo::rerun-if-changed=ui/dist");
    println!("cargo::rerun-if-changed=src-tauri/build.rs");
    #[cfg(feature = "desktop")]
    tauri_build::build();
}
