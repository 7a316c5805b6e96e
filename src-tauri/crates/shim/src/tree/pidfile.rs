//! What a shim leaves on disk about itself, for an engine that finds it dead.
//!
//! Lines: the shim's pid, its start time, its marker, then (while a child runs) the leader's pid and start time.
//! It is replaced atomically: a reader sees a whole one.

use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::Identity;

/// A pidfile's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PidFile {
    /// The shim.
    pub shim: Identity,
    /// The value of the marker in the environment of all it started.
    pub marker: String,
    /// The child, if one was started last that is not known to have ended.
    pub leader: Option<Identity>,
}

/// Reads a pidfile.
///
/// # Errors
///
/// What the system says, or [`io::ErrorKind::InvalidData`] for something else than a pidfile.
pub fn read(path: &Path) -> io::Result<PidFile> {
    let text = std::fs::read_to_string(path)?;
    parse(&text).ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("{} is not a shim's pidfile", path.display()),
        )
    })
}

fn parse(text: &str) -> Option<PidFile> {
    let mut lines = text.lines();
    let shim = identity(&mut lines)?;
    let marker = lines.next()?.to_owned();
    Some(PidFile {
        shim,
        marker,
        leader: identity(&mut lines),
    })
}

fn identity<'a>(lines: &mut impl Iterator<Item = &'a str>) -> Option<Identity> {
    Some(Identity {
        pid: lines.next()?.parse().ok()?,
        start_time: lines.next()?.parse().ok()?,
    })
}

/// Writes a pidfile, mode 0600.
///
/// # Errors
///
/// What the system says; the file is then as before.
pub fn write(path: &Path, content: &PidFile) -> io::Result<()> {
    let mut text = format!(
        "{}\n{}\n{}\n",
        content.shim.pid, content.shim.start_time, content.marker
    );
    if let Some(leader) = content.leader {
        text.push_str(&format!("{}\n{}\n", leader.pid, leader.start_time));
    }
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&new)?
        .write_all(text.as_bytes())?;
    std::fs::rename(&new, path)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("api-0.pid");
        let id = |pid| Identity {
            pid,
            start_time: 77,
        };
        for leader in [None, Some(id(12))] {
            let content = PidFile {
                shim: id(11),
                marker: "m-1".into(),
                leader,
            };
            write(&path, &content).unwrap();
            assert_eq!(read(&path).unwrap(), content);
        }
        std::fs::write(&path, "hello").unwrap();
        assert_eq!(read(&path).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
