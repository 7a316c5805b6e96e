//! The data folder as the engine and its clients agree on it.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use cockpit_model::{Code, Problem, Timestamp};
use serde::{Deserialize, Serialize};

/// Bytes of the longest path a unix socket may have on macOS, which has the shortest.
const MAX_SOCKET_PATH: usize = 103;

/// The names of what lies in the data folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataFolder(PathBuf);

/// What a running engine tells about itself: the file `engine.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineFile {
    /// Its process.
    pub pid: u32,
    /// Its version.
    pub version: String,
    /// The address of its TCP door, with the port it really got.
    pub listen: std::net::SocketAddr,
    /// When it started.
    pub started_at: Timestamp,
}

impl DataFolder {
    /// The given folder, or else the one of the person who asks.
    ///
    /// # Errors
    /// [`Code::Storage`] when there is none given and none known.
    pub fn new(given: Option<&Path>) -> Result<Self, Problem> {
        let path = match given {
            Some(path) => std::path::absolute(path).map_err(|error| {
                Problem::new(Code::Storage, "the data folder's path cannot be used")
                    .detail(format!("{}: {error}", path.display()))
            })?,
            None => cockpit_platform::paths::data_dir()?,
        };
        Ok(Self(path))
    }

    /// Makes it, for its owner alone, if it is not there yet.
    ///
    /// # Errors
    /// [`Code::Storage`] when it cannot be made.
    pub fn make(&self) -> Result<(), Problem> {
        let mut builder = std::fs::DirBuilder::new();
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.recursive(true).create(&self.0).map_err(|error| {
            Problem::new(Code::Storage, "the data folder cannot be made")
                .detail(format!("{}: {error}", self.0.display()))
                .remedy("check who owns the folder above it, and that the disk is not full")
        })
    }

    /// The demo's own, inside this one.
    ///
    /// # Errors
    /// [`Code::Storage`] when its path cannot be used.
    pub fn demo(&self) -> Result<Self, Problem> {
        Self::new(Some(&self.0.join("demo")))
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The bearer token of the TCP door, mode 0600.
    pub fn token(&self) -> PathBuf {
        self.0.join("token")
    }

    /// What the running engine tells about itself, see [`EngineFile`].
    pub fn engine_file(&self) -> PathBuf {
        self.0.join("engine.json")
    }

    /// The lock that a running engine holds, to its very end.
    pub fn lock(&self) -> PathBuf {
        self.0.join("engine.lock")
    }

    /// The output of an engine that nobody watches; `.1` and `.2` behind it are older.
    pub fn log(&self) -> PathBuf {
        self.0.join("engine.log")
    }

    /// The configuration, where no other is named.
    pub fn config(&self) -> PathBuf {
        self.0.join("cockpit.toml")
    }

    /// The engine's unix socket: `engine.sock` in the folder, or in its stand-in with a short path
    /// where that one is too long for a socket.
    ///
    /// # Errors
    /// [`Code::Storage`] when the stand-in cannot be made.
    pub fn socket(&self) -> Result<PathBuf, Problem> {
        let own = self.0.join("engine.sock");
        if own.as_os_str().as_bytes().len() <= MAX_SOCKET_PATH {
            return Ok(own);
        }
        Ok(cockpit_platform::paths::run_dir(&self.0)?.join("engine.sock"))
    }

    /// What the engine that runs, or ran last, wrote about itself.
    ///
    /// # Errors
    /// [`Code::Storage`] when it cannot be read or understood.
    pub fn read_engine_file(&self) -> Result<EngineFile, Problem> {
        let path = self.engine_file();
        let unreadable = |error: String| {
            Problem::new(Code::Storage, "the engine's address cannot be read")
                .detail(format!("{}: {error}", path.display()))
        };
        let text = std::fs::read_to_string(&path).map_err(|error| unreadable(error.to_string()))?;
        serde_json::from_str(&text).map_err(|error| unreadable(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_short_folder_holds_its_socket_and_a_long_one_has_a_stand_in() {
        let short = DataFolder::new(Some(Path::new("/tmp/x"))).unwrap();
        assert_eq!(short.socket().unwrap(), Path::new("/tmp/x/engine.sock"));
        let temp = tempfile::tempdir().unwrap();
        let deep = temp.path().join("d".repeat(120));
        let socket = DataFolder::new(Some(&deep)).unwrap().socket().unwrap();
        assert!(socket.as_os_str().len() <= MAX_SOCKET_PATH);
        assert!(!socket.starts_with(&deep));
        std::fs::remove_dir_all(socket.parent().unwrap()).unwrap();
    }

    #[test]
    fn a_relative_folder_is_taken_from_here() {
        let folder = DataFolder::new(Some(Path::new("data"))).unwrap();
        assert!(folder.path().is_absolute());
    }
}
