//! The engine's own log: its standard error, bounded where that is a file of ours.
//!
//! Whoever starts an engine that nobody watches (the app, launchd) gives it `engine.log` in the data
//! folder for its output, and such an engine runs for months. So when standard error is that very
//! file, it is rotated like a service's log: `engine.log` is the live one, `engine.log.1` the one
//! before, up to `engine.log.KEEP`. The new file becomes standard output and error of the process, so
//! that what a panic prints is found there too.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use cockpit_config::LogLevel;
use rustix::fs::{FileType, fstat, lstat};
use rustix::stdio;

use super::args::Common;
use super::folder::DataFolder;
use super::verbs::check::home;

/// The live file is set aside before it grows beyond this.
const MAX_SIZE: u64 = 10 << 20;
/// How many files that were set aside are kept.
const KEEP: u32 = 2;

/// Writes the log to standard error: as much as the command line says, else the configuration.
pub(super) fn begin(common: &Common, data: &DataFolder) {
    let level = match common.log_level {
        Some(level) => level.into(),
        None => configured(&common.config.clone().unwrap_or_else(|| data.config())),
    };
    let level = match level {
        LogLevel::Error => tracing::Level::ERROR,
        LogLevel::Warn => tracing::Level::WARN,
        LogLevel::Info => tracing::Level::INFO,
        LogLevel::Debug => tracing::Level::DEBUG,
        LogLevel::Trace => tracing::Level::TRACE,
    };
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_target(false)
        .with_ansi(io::IsTerminal::is_terminal(&io::stderr()))
        .with_writer(Mutex::new(Output::new(&data.log())))
        .finish();
    // Fails only where a log is set up already, and then that one is the right one.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

/// What the configuration says; where it does not hold, the engine will say so itself.
fn configured(file: &Path) -> LogLevel {
    cockpit_config::load(file, &home()).map_or(LogLevel::Info, |config| config.cockpit.log_level)
}

/// Standard error.
struct Output {
    /// The file behind it, if that is ours to bound.
    own: Option<Own>,
}

struct Own {
    path: PathBuf,
    /// Whether standard output goes there too.
    stdout_too: bool,
}

impl Output {
    fn new(path: &Path) -> Self {
        let own = is_at(io::stderr(), path).then(|| Own {
            path: path.to_owned(),
            stdout_too: is_at(io::stdout(), path),
        });
        Self { own }
    }
}

impl Write for Output {
    /// Takes one whole record.
    fn write(&mut self, record: &[u8]) -> io::Result<usize> {
        if let Some(own) = &self.own {
            let more = u64::try_from(record.len()).unwrap_or(u64::MAX);
            // Asked each time: others write there too, a panic for one.
            let full = fstat(io::stderr()).is_ok_and(|file| {
                u64::try_from(file.st_size).is_ok_and(|size| size.saturating_add(more) > MAX_SIZE)
            });
            if full {
                // A folder that refuses leaves the old file in use; the next record tries again.
                let _ = own.rotate();
            }
        }
        io::stderr().write_all(record)?;
        Ok(record.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

impl Own {
    /// Goes on in a new file.
    fn rotate(&self) -> io::Result<()> {
        // Whoever moved our file away has rotated it, and what stands in its place is theirs to judge.
        if is_at(io::stderr(), &self.path) {
            shift(&self.path, KEEP)?;
        }
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&self.path)?;
        stdio::dup2_stderr(&file)?;
        if self.stdout_too {
            stdio::dup2_stdout(&file)?;
        }
        Ok(())
    }
}

/// Renames `NAME` to `NAME.1`, what was `NAME.1` to `NAME.2`, up to `keep`; the last one is gone.
fn shift(path: &Path, keep: u32) -> io::Result<()> {
    let numbered = |number: u32| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{number}"));
        PathBuf::from(name)
    };
    for number in (1..keep).rev() {
        match std::fs::rename(numbered(number), numbered(number + 1)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    std::fs::rename(path, numbered(1))
}

/// Whether what is open here is the regular file at `path`.
fn is_at(open: impl AsFd, path: &Path) -> bool {
    let (Ok(open), Ok(there)) = (fstat(open), lstat(path)) else {
        return false;
    };
    FileType::from_raw_mode(open.st_mode).is_file()
        && (open.st_dev, open.st_ino) == (there.st_dev, there.st_ino)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::fs::File;

    use super::*;

    #[test]
    fn the_oldest_falls_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("engine.log");
        for text in ["1", "2", "3", "4"] {
            std::fs::write(&path, text).unwrap();
            shift(&path, 2).unwrap();
        }
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name));
        assert_eq!(read("engine.log.1").unwrap(), "4");
        assert_eq!(read("engine.log.2").unwrap(), "3");
        assert!(read("engine.log.3").is_err() && read("engine.log").is_err());
    }

    #[test]
    fn only_the_very_file_is_ours() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("engine.log");
        std::fs::write(&path, "1234").unwrap();
        let open = File::open(&path).unwrap();
        assert!(is_at(&open, &path));
        std::fs::rename(&path, folder.path().join("moved")).unwrap();
        assert!(!is_at(&open, &path));
        std::fs::write(&path, "1234").unwrap();
        assert!(!is_at(&open, &path));
        assert!(!is_at(
            File::open("/dev/null").unwrap(),
            Path::new("/dev/null")
        ));
    }
}
