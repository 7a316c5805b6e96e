//! Where the data and the sockets are.
//!
//! A unix socket's path holds at most 104 bytes on macOS (108 on Linux), and a data folder may be
//! anywhere: so the sockets' folder is `<data>/run` where that is short enough, and otherwise a
//! private folder under `/tmp`, named by our user and a hash of the data folder, so that every
//! program that knows the data folder finds it.

use std::fs::{DirBuilder, Metadata};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use cockpit_model::{Code, Problem};
use sha2::{Digest as _, Sha256};

/// Names the data folder, before every default.
pub const DATA_DIR_VARIABLE: &str = "STUDIO_COCKPIT_DATA_DIR";

/// Bytes of the longest socket path on macOS, its closing zero left out.
const SOCKET_PATH: usize = 103;
/// Bytes left for a socket's own name in its folder.
const SOCKET_NAME: usize = 24;

/// The data folder: `STUDIO_COCKPIT_DATA_DIR`, else the system's place for it. Not created.
///
/// # Errors
/// [`Code::Storage`] when neither the variable nor a home folder is known.
pub fn data_dir() -> Result<PathBuf, Problem> {
    let variable = |name: &str| std::env::var_os(name).map(PathBuf::from);
    choose_data_dir(
        variable(DATA_DIR_VARIABLE),
        variable("XDG_DATA_HOME"),
        home(),
    )
    .ok_or_else(|| {
        Problem::new(Code::Storage, "the data folder is not known")
            .detail("HOME is not set")
            .remedy(format!("set {DATA_DIR_VARIABLE} or pass --data-dir"))
    })
}

/// The person's home folder: `HOME`.
pub fn home() -> Option<PathBuf> {
    std::env::var_os("HOME")
        .map(PathBuf::from)
        .filter(|home| home.is_absolute())
}

/// Where the system's web view keeps what belongs to the app of that identifier. They need not exist.
pub fn webview_dirs(identifier: &str) -> Vec<PathBuf> {
    let Some(home) = home() else {
        return Vec::new();
    };
    if cfg!(target_os = "macos") {
        return ["WebKit", "Caches"]
            .map(|folder| home.join("Library").join(folder).join(identifier))
            .to_vec();
    }
    let xdg = |variable: &str, usual: &str| {
        std::env::var_os(variable)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
            .unwrap_or_else(|| home.join(usual))
            .join(identifier)
    };
    vec![
        xdg("XDG_DATA_HOME", ".local/share"),
        xdg("XDG_CACHE_HOME", ".cache"),
    ]
}

fn choose_data_dir(
    own: Option<PathBuf>,
    xdg: Option<PathBuf>,
    home: Option<PathBuf>,
) -> Option<PathBuf> {
    if let Some(own) = own.filter(|path| !path.as_os_str().is_empty()) {
        return Some(std::path::absolute(&own).unwrap_or(own));
    }
    if cfg!(target_os = "macos") {
        return Some(home?.join("Library/Application Support/Studio Cockpit"));
    }
    // The XDG specification: a relative path is to be ignored.
    match xdg.filter(|path| path.is_absolute()) {
        Some(xdg) => Some(xdg.join("studio-cockpit")),
        None => Some(home?.join(".local/share/studio-cockpit")),
    }
}

/// The folder for the sockets of this data folder, created with mode 0700.
///
/// # Errors
/// [`Code::Storage`] when it cannot be made, or when the place under `/tmp` is taken by somebody
/// else: then nothing is put there.
pub fn run_dir(data_dir: &Path) -> Result<PathBuf, Problem> {
    let own = data_dir.join("run");
    if fits(&own) {
        make_private(&own)?;
        return Ok(own);
    }
    let shared = PathBuf::from(format!(
        "/tmp/studio-cockpit-{}",
        rustix::process::getuid().as_raw()
    ));
    make_private(&shared)?;
    let short = shared.join(short_name(data_dir));
    make_private(&short)?;
    Ok(short)
}

fn fits(folder: &Path) -> bool {
    folder.as_os_str().as_bytes().len() + 1 + SOCKET_NAME <= SOCKET_PATH
}

fn short_name(data_dir: &Path) -> String {
    // One data folder, one name, by whichever way it was reached.
    let whole = std::fs::canonicalize(data_dir).unwrap_or_else(|_| data_dir.to_path_buf());
    let digest = Sha256::digest(whole.as_os_str().as_bytes());
    digest.iter().take(8).map(|b| format!("{b:02x}")).collect()
}

/// Makes a folder that only we can enter, or accepts one that already is.
fn make_private(folder: &Path) -> Result<(), Problem> {
    let failed = |what: &str, detail: String| {
        Problem::new(
            Code::Storage,
            format!("the folder for sockets {} {what}", folder.display()),
        )
        .detail(detail)
        .remedy("remove it, or choose a shorter data folder with --data-dir")
    };
    let mut builder = DirBuilder::new();
    builder.mode(0o700);
    if let Some(parent) = folder.parent().filter(|parent| !parent.exists()) {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(parent)
            .map_err(|e| failed("cannot be made", e.to_string()))?;
    }
    match builder.create(folder) {
        Ok(()) => return Ok(()),
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(e) => return Err(failed("cannot be made", e.to_string())),
    }
    // Not followed: a link that somebody else left there leads where they like.
    let found =
        std::fs::symlink_metadata(folder).map_err(|e| failed("cannot be read", e.to_string()))?;
    if let Some(wrong) = not_private(&found, rustix::process::getuid().as_raw()) {
        return Err(failed("is not ours alone", wrong));
    }
    if found.mode() & 0o077 != 0 {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700))
            .map_err(|e| failed("cannot be made private", e.to_string()))?;
    }
    Ok(())
}

fn not_private(found: &Metadata, us: u32) -> Option<String> {
    if found.file_type().is_symlink() {
        return Some("it is a symbolic link".to_owned());
    }
    if !found.is_dir() {
        return Some("it is not a folder".to_owned());
    }
    (found.uid() != us).then(|| format!("it belongs to user {}", found.uid()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn our_own_variable_wins_and_becomes_absolute() {
        let chosen = choose_data_dir(Some("/d".into()), Some("/x".into()), Some("/h".into()));
        assert_eq!(chosen.unwrap(), Path::new("/d"));
        let relative = choose_data_dir(Some("here".into()), None, None).unwrap();
        assert!(relative.is_absolute() && relative.ends_with("here"));
    }

    #[cfg(not(target_os = "macos"))]
    #[test]
    fn xdg_then_home_then_nothing() {
        let home = Some(PathBuf::from("/h"));
        let of = |xdg: Option<&str>, home| choose_data_dir(None, xdg.map(PathBuf::from), home);
        assert_eq!(
            of(Some("/x"), home.clone()).unwrap(),
            Path::new("/x/studio-cockpit")
        );
        assert_eq!(
            of(Some("relative"), home).unwrap(),
            Path::new("/h/.local/share/studio-cockpit")
        );
        assert_eq!(of(None, None), None);
    }

    #[test]
    fn a_short_data_folder_holds_its_sockets() {
        let data = tempfile::Builder::new().tempdir_in("/tmp").unwrap();
        let run = run_dir(data.path()).unwrap();
        assert_eq!(run, data.path().join("run"));
        let mode = std::fs::metadata(&run).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        assert_eq!(run_dir(data.path()).unwrap(), run, "the second time too");
    }

    #[test]
    fn a_long_data_folder_gets_a_short_private_one() {
        let data = tempfile::tempdir().unwrap();
        let long = data.path().join("a".repeat(120));
        std::fs::create_dir(&long).unwrap();
        let run = run_dir(&long).unwrap();
        assert!(fits(&run), "{}", run.display());
        assert!(run.starts_with("/tmp"));
        assert_eq!(run_dir(&long).unwrap(), run);
        let other = data.path().join("b".repeat(120));
        std::fs::create_dir(&other).unwrap();
        let others = run_dir(&other).unwrap();
        assert_ne!(others, run);
        std::fs::remove_dir(&run).unwrap();
        std::fs::remove_dir(&others).unwrap();
    }

    #[test]
    fn a_link_in_its_place_is_refused() {
        let data = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/", data.path().join("run")).unwrap();
        let problem = run_dir(data.path()).unwrap_err();
        assert_eq!(problem.code, Code::Storage);
        assert!(problem.detail.unwrap().contains("symbolic link"));
    }

    #[test]
    fn a_folder_open_to_others_is_closed() {
        let data = tempfile::tempdir().unwrap();
        let run = data.path().join("run");
        std::fs::create_dir(&run).unwrap();
        std::fs::set_permissions(&run, std::fs::Permissions::from_mode(0o755)).unwrap();
        run_dir(data.path()).unwrap();
        assert_eq!(std::fs::metadata(&run).unwrap().mode() & 0o777, 0o700);
    }
}
