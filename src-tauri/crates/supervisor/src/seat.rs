//! Where an instance's shim lives on disk: the run folder, its sockets and pidfiles, and the shim's own copy.
//!
//! Names come from hashes, never from the configuration: a socket's path has at most 104 bytes, and a service's name
//! can never become a path. The shim runs from a copy named by its content, because overwriting a program that
//! runs is refused (Linux) or kills it (macOS).

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::supervisor::Error;

/// The longest path of a socket, with its closing zero (macOS; Linux allows 108).
const SOCKET_PATH: usize = 104;

/// The files of one instance's shim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seat {
    /// Its socket.
    pub(crate) socket: PathBuf,
    /// Its pidfile.
    pub(crate) pidfile: PathBuf,
    /// Marks what it starts; unlike any other instance's, of any cockpit.
    pub(crate) marker: String,
}

impl Seat {
    /// The seat of an instance.
    pub(crate) fn of(run_dir: &Path, service: &str, index: u16) -> Self {
        let id = hex(&Sha256::digest(service.as_bytes()), 12);
        Self::named(run_dir, &format!("{id}-{index}"))
    }

    fn named(run_dir: &Path, stem: &str) -> Self {
        let folder = hex(&Sha256::digest(run_dir.as_os_str().as_encoded_bytes()), 12);
        Self {
            socket: run_dir.join(format!("{stem}.sock")),
            pidfile: run_dir.join(format!("{stem}.pid")),
            marker: format!("{folder}-{stem}"),
        }
    }

    /// Every seat that somebody took, now or in a former life.
    pub(crate) fn taken(run_dir: &Path) -> io::Result<Vec<Self>> {
        let mut stems = std::collections::BTreeSet::new();
        for entry in fs::read_dir(run_dir)? {
            let name = entry?.file_name();
            let Some(name) = name.to_str() else { continue };
            let stem = name
                .strip_suffix(".sock")
                .or_else(|| name.strip_suffix(".pid"));
            // Others may have files here too: the engine's own socket, say.
            stems.extend(stem.filter(|stem| is_stem(stem)).map(str::to_owned));
        }
        Ok(stems
            .iter()
            .map(|stem| Self::named(run_dir, stem))
            .collect())
    }

    /// Whether a shim may be there.
    pub(crate) fn is_taken(&self) -> bool {
        self.socket.exists() || self.pidfile.exists()
    }

    /// Removes what a dead shim left.
    pub(crate) fn clear(&self) {
        let _ = fs::remove_file(&self.socket);
        let _ = fs::remove_file(&self.pidfile);
    }
}

/// Whether a file of this name is an instance's: twelve hexadecimal digits, a dash, a number.
fn is_stem(stem: &str) -> bool {
    let is_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    stem.split_once('-').is_some_and(|(id, index)| {
        id.len() == 12
            && id.bytes().all(is_hex)
            && index
                .parse::<u16>()
                .is_ok_and(|number| number.to_string() == index)
    })
}

/// The first `n` hexadecimal digits.
pub(crate) fn hex(bytes: &[u8], n: usize) -> String {
    let mut text: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    text.truncate(n);
    text
}

/// Makes the run folder, for this user only, and checks that sockets fit into it.
pub(crate) fn prepare(run_dir: &Path) -> Result<(), Error> {
    let longest = Seat::of(run_dir, "", u16::MAX);
    let bytes = longest.socket.as_os_str().len() + 1;
    if bytes > SOCKET_PATH {
        return Err(Error::RunDirTooLong {
            path: run_dir.to_owned(),
            bytes,
        });
    }
    make_folder(run_dir)?;
    make_folder(&run_dir.join("bin"))
}

/// Makes a folder of mode 0700, or makes it that.
pub(crate) fn make_folder(path: &Path) -> Result<(), Error> {
    let failed = |source| Error::Io {
        what: "create",
        path: path.to_owned(),
        source,
    };
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(failed)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o700)).map_err(failed)
}

/// Copies the shim into the run folder under the name of its content, and says where it is. Older copies stay as
/// long as shims may run from them: until nobody has a seat.
pub(crate) fn copy_shim(shim: &Path, run_dir: &Path) -> Result<PathBuf, Error> {
    let io_error = |what, path: &Path| {
        let path = path.to_owned();
        move |source| Error::Io { what, path, source }
    };
    let content = fs::read(shim).map_err(io_error("read", shim))?;
    let bin = run_dir.join("bin");
    let name = format!("shim-{}", hex(&Sha256::digest(&content), 16));
    let copy = bin.join(&name);
    let same = fs::metadata(&copy)
        .is_ok_and(|m| m.len() == content.len() as u64 && m.permissions().mode() & 0o700 == 0o700);
    if same {
        return Ok(copy);
    }
    if Seat::taken(run_dir).is_ok_and(|taken| taken.is_empty()) {
        for old in fs::read_dir(&bin).into_iter().flatten().flatten() {
            let _ = fs::remove_file(old.path());
        }
    }
    let new = bin.join(format!("{name}.{}.new", std::process::id()));
    let write = || -> io::Result<()> {
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o700)
            .open(&new)?;
        file.write_all(&content)?;
        file.sync_all()?;
        drop(file);
        fs::rename(&new, &copy)
    };
    let written = write().map_err(io_error("write", &copy));
    if written.is_err() {
        let _ = fs::remove_file(&new);
    }
    written.map(|()| copy)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_name_never_becomes_a_path() {
        let run = Path::new("/run/x");
        let seat = Seat::of(run, "../../etc/passwd", 3);
        assert_eq!(seat.socket.parent(), Some(run));
        assert_ne!(
            seat.marker,
            Seat::of(Path::new("/run/y"), "../../etc/passwd", 3).marker
        );
        assert_ne!(seat, Seat::of(run, "a", 3));
    }

    #[test]
    fn only_an_instances_files_are_a_seat() {
        let folder = tempfile::tempdir().unwrap();
        let seat = Seat::of(folder.path(), "api", 12);
        let others = [
            "engine.sock",
            "engine.pid",
            "0123456789ab-.sock",
            "0123456789ab-+1.sock",
            "0123456789AB-1.sock",
            "0123456789abc-1.sock",
            "0123456789ab-1-1.sock",
            "0123456789ab-65536.sock",
        ];
        for name in others {
            fs::write(folder.path().join(name), "").unwrap();
        }
        assert_eq!(Seat::taken(folder.path()).unwrap(), []);
        fs::write(&seat.socket, "").unwrap();
        fs::write(&seat.pidfile, "").unwrap();
        assert_eq!(Seat::taken(folder.path()).unwrap(), [seat]);
    }

    #[test]
    fn a_folder_too_deep_for_a_socket_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("d".repeat(100));
        assert!(matches!(prepare(&deep), Err(Error::RunDirTooLong { .. })));
        assert!(!deep.exists());
    }

    #[test]
    fn the_copy_is_named_by_its_content_and_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().join("r");
        prepare(&run).unwrap();
        let shim = folder.path().join("shim");
        fs::write(&shim, "one").unwrap();
        let first = copy_shim(&shim, &run).unwrap();
        assert_eq!(first, copy_shim(&shim, &run).unwrap());
        fs::write(&shim, "two").unwrap();
        fs::write(Seat::of(&run, "api", 0).pidfile, "").unwrap();
        let second = copy_shim(&shim, &run).unwrap();
        assert_ne!(first, second);
        assert_eq!(fs::read(&second).unwrap(), b"two");
        let mode = fs::metadata(&first).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        Seat::of(&run, "api", 0).clear();
        fs::write(&shim, "three").unwrap();
        copy_shim(&shim, &run).unwrap();
        assert!(
            !first.exists() && !second.exists(),
            "nobody runs from them any more"
        );
    }
}
