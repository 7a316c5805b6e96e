//! What a shim leaves on disk about itself, for an engine that finds it dead.
//!
//! Lines: the shim's pid, its start time, its marker, the last leader's pid and start time (0 before the first), and
//! the boot of the machine they are of, since a pid with its start time may come again in the next one. An older
//! shim's has no boot, and an older engine reads on without it. The leader's have a fixed width, so that a new one is put in by a single small write: it is on the way of every
//! respawn, and must not wait for a file system that is busy with a rename.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::{Identity, os};

/// A pidfile's content. What it says of a former boot of the machine is over: it names nobody then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PidFile {
    /// The shim.
    pub shim: Identity,
    /// The value of the marker in the environment of all it started.
    pub marker: String,
    /// The last child, if there was one; it may have ended.
    pub leader: Option<Identity>,
}

/// Reads a pidfile.
///
/// # Errors
///
/// What the system says, or [`io::ErrorKind::InvalidData`] for something else than a pidfile.
pub fn read(path: &Path) -> io::Result<PidFile> {
    let text = std::fs::read_to_string(path)?;
    parse(&text, os::boot().as_deref()).ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("{} is not a shim's pidfile", path.display()),
        )
    })
}

fn parse(text: &str, boot: Option<&str>) -> Option<PidFile> {
    let mut lines = text.lines();
    let shim = identity(&mut lines)?;
    let marker = lines.next()?.to_owned();
    let leader = identity(&mut lines).filter(|leader| leader.pid > 0);
    let written_in = lines.next();
    let over = written_in.is_some() && boot.is_some() && written_in != boot;
    Some(PidFile {
        shim: if over { Identity::NOBODY } else { shim },
        marker,
        leader: leader.filter(|_| !over),
    })
}

fn identity<'a>(lines: &mut impl Iterator<Item = &'a str>) -> Option<Identity> {
    Some(Identity {
        pid: lines.next()?.parse().ok()?,
        start_time: lines.next()?.parse().ok()?,
    })
}

/// A shim's own pidfile.
#[derive(Debug)]
pub(crate) struct Written {
    path: PathBuf,
    file: File,
    /// Where the leader's lines begin.
    offset: u64,
}

impl Written {
    /// Writes it, mode 0600, in place of what is there: a reader sees the old one or the new one, whole.
    pub(crate) fn new(path: &Path, shim: Identity, marker: &str) -> io::Result<Self> {
        let head = format!("{}\n{}\n{marker}\n", shim.pid, shim.start_time);
        let mut text = head.clone() + &lines_of(Identity::NOBODY);
        if let Some(boot) = os::boot() {
            text = text + &boot + "\n";
        }
        let mut new = path.as_os_str().to_owned();
        new.push(".new");
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&new)?;
        file.write_all(text.as_bytes())?;
        std::fs::rename(&new, path)?;
        Ok(Self {
            path: path.to_owned(),
            file,
            offset: u64::try_from(head.len()).unwrap_or(0),
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Puts a new leader in.
    pub(crate) fn set_leader(&self, leader: Identity) -> io::Result<()> {
        self.file
            .write_all_at(lines_of(leader).as_bytes(), self.offset)
    }
}

/// A leader's lines, always of the same width.
fn lines_of(leader: Identity) -> String {
    format!("{:010}\n{:020}\n", leader.pid, leader.start_time)
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
        let written = Written::new(&path, id(11), "m-1").unwrap();
        for leader in [None, Some(id(12)), Some(id(u32::MAX)), Some(id(3))] {
            if let Some(leader) = leader {
                written.set_leader(leader).unwrap();
            }
            let content = PidFile {
                shim: id(11),
                marker: "m-1".into(),
                leader,
            };
            assert_eq!(read(&path).unwrap(), content);
        }
        std::fs::write(&path, "hello").unwrap();
        assert_eq!(read(&path).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn what_a_former_boot_wrote_names_nobody() {
        let text = "11\n77\nm-1\n0000000012\n00000000000000000078\nthis-boot\n";
        let id = |pid, start_time| Identity { pid, start_time };
        let content = |boot| parse(text, boot).map(|file| (file.shim, file.leader));
        let said = Some((id(11, 77), Some(id(12, 78))));
        assert_eq!(content(Some("this-boot")), said);
        assert_eq!(content(Some("next")), Some((Identity::NOBODY, None)));
        // Where the boot cannot be told, now or then, it is believed.
        assert_eq!(content(None), said);
        let (older, _) = text.split_at(text.len() - "this-boot\n".len());
        assert_eq!(parse(older, Some("next")).unwrap().leader, Some(id(12, 78)));
        assert!(
            !Identity::NOBODY.is_alive() && !Identity::NOBODY.signal(rustix::process::Signal::CONT)
        );
    }
}
