//! The data folder as its engine holds it: the lock, the token, the sockets, the announcement.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use cockpit_model::verdict::EngineInfo;
use cockpit_model::{Code, Problem};
use rand::Rng as _;
use rustix::fs::{FlockOperation, flock};
use tokio::net::{TcpListener, UnixListener, UnixStream};

use super::engine_file;
use crate::cli::folder::DataFolder;

/// How long an engine may take to end once its doors are closed.
const ENDING: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Bytes of the token before they are written in hexadecimal.
const TOKEN_BYTES: usize = 32;

/// Holds the data folder while it lives; the system lets go of it however the process ends.
pub(super) struct Claim {
    _lock: File,
}

/// Makes the data folder if need be and takes it for this process alone. An engine that is just
/// ending (its socket refuses, its lock is still held) is waited for.
///
/// # Errors
/// [`Code::AlreadyRunning`] naming the engine that holds it, [`Code::Storage`] when the folder
/// cannot be made or written.
pub(super) async fn claim(data: &DataFolder) -> Result<Claim, Problem> {
    data.make()?;
    let path = data.path();
    let lock_path = path.join("engine.lock");
    let mut lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .mode(0o600)
        .open(&lock_path)
        .map_err(|error| storage("the engine's lock cannot be opened", &lock_path, &error))?;
    let socket = data.socket()?;
    let deadline = Instant::now() + ENDING;
    while flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
        let answers = UnixStream::connect(&socket).await.is_ok();
        if answers || Instant::now() > deadline {
            return Err(taken(data, &mut lock));
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    let written = lock
        .set_len(0)
        .and_then(|()| write!(lock, "{}", std::process::id()));
    written.map_err(|error| storage("the engine's lock cannot be written", &lock_path, &error))?;
    Ok(Claim { _lock: lock })
}

fn taken(data: &DataFolder, lock: &mut File) -> Problem {
    let mut pid = String::new();
    let _ = lock.read_to_string(&mut pid);
    let running = match data.read_engine_file() {
        Ok(file) => format!(
            "pid {}, version {}, at {}",
            file.pid, file.version, file.listen
        ),
        Err(_) => format!("pid {}", pid.trim()),
    };
    Problem::new(
        Code::AlreadyRunning,
        "a cockpit already runs on this data folder",
    )
    .detail(format!("{}: {running}", data.path().display()))
    .remedy("use that one, or give this one another folder with --data-dir")
}

/// The bearer token: the file's, or a new one.
///
/// # Errors
/// [`Code::Storage`] when it cannot be read or made. A good one is never
/// replaced: programs use it.
pub(super) fn token(data: &DataFolder) -> Result<String, Problem> {
    let path = data.token();
    match std::fs::read_to_string(&path) {
        Ok(text) if text.trim().len() >= TOKEN_BYTES => {
            let own = std::fs::set_permissions(&path, Permissions::from_mode(0o600));
            own.map_err(|error| storage("the token cannot be made private", &path, &error))?;
            return Ok(text.trim().to_owned());
        }
        // None worth the name: a file that was just touched, or half written.
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => {
            return Err(Problem::new(Code::Storage, "the token cannot be read")
                .detail(format!("{}: {error}", path.display()))
                .remedy("make the file yours again, or remove it: a new one is made, and programs that use the old one need it"));
        }
    }
    let token = secret();
    replace(&path, token.as_bytes())
        .map_err(|error| storage("the token cannot be written", &path, &error))?;
    Ok(token)
}

/// A new secret, in hexadecimal.
pub(super) fn secret() -> String {
    let mut bytes = [0_u8; TOKEN_BYTES];
    rand::rng().fill(&mut bytes);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Opens the TCP door.
///
/// # Errors
/// [`Code::PortConflict`] naming who holds the port.
pub(super) async fn bind_tcp(listen: SocketAddr) -> Result<TcpListener, Problem> {
    match TcpListener::bind(listen).await {
        Ok(listener) => Ok(listener),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            let holder = match cockpit_platform::ports::holder(listen.port()).await {
                Some(holder) => holder.described,
                None => "another process".to_owned(),
            };
            Err(
                Problem::new(Code::PortConflict, format!("{listen} is held by {holder}"))
                    .remedy("end it, or set another address with [cockpit] listen"),
            )
        }
        Err(error) => Err(
            Problem::new(Code::Internal, format!("cannot listen on {listen}"))
                .detail(error.to_string())
                .remedy("set another address with [cockpit] listen"),
        ),
    }
}

/// Opens the unix door, mode 0600. Only the holder of the lock may call it: what lies there is stale.
///
/// It is made in a folder nobody else can enter and moved to its place once it is private: a data
/// folder that was there before may be open to others.
///
/// # Errors
/// [`Code::Storage`] when the socket cannot be made.
pub(super) fn bind_unix(data: &DataFolder) -> Result<UnixListener, Problem> {
    let path = data.socket()?;
    let failed = |error: &io::Error| storage("the engine's socket cannot be made", &path, error);
    // Shorter than the socket's own path, which has a limit.
    let cradle = path.with_file_name(".e");
    match DirBuilder::new().mode(0o700).create(&cradle) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(failed(&error));
        }
        _ => {}
    }
    let newborn = cradle.join("s");
    let made = std::fs::set_permissions(&cradle, Permissions::from_mode(0o700))
        .and_then(|()| match std::fs::remove_file(&newborn) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        })
        .and_then(|()| UnixListener::bind(&newborn))
        .and_then(|listener| {
            std::fs::set_permissions(&newborn, Permissions::from_mode(0o600))?;
            std::fs::rename(&newborn, &path)?;
            Ok(listener)
        });
    let _ = std::fs::remove_dir(&cradle);
    made.map_err(|error| failed(&error))
}

/// The open doors as the data folder shows them, until dropped: nothing stale is left behind, however
/// the start or the run ends.
pub(super) struct Announcement {
    data: DataFolder,
}

impl Drop for Announcement {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(self.data.engine_file());
        if let Ok(socket) = self.data.socket() {
            let _ = std::fs::remove_file(socket);
        }
    }
}

/// Writes `engine.json`, by which clients find the TCP door.
///
/// # Errors
/// [`Code::Storage`] when it cannot be written.
pub(super) fn announce(
    data: &DataFolder,
    info: &EngineInfo,
    tcp: &TcpListener,
) -> Result<Announcement, Problem> {
    let announcement = Announcement { data: data.clone() };
    let path = data.engine_file();
    let text = tcp.local_addr().and_then(|listen| {
        serde_json::to_string(&engine_file(info, listen)).map_err(io::Error::other)
    });
    text.and_then(|text| replace(&path, text.as_bytes()))
        .map_err(|error| storage("the engine's address cannot be written", &path, &error))?;
    Ok(announcement)
}

/// Writes a private file in one move: a reader sees the old one or the new one.
pub(super) fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(&new)?;
    file.write_all(text)?;
    file.sync_all()?;
    std::fs::rename(&new, path)
}

fn storage(what: &str, path: &Path, error: &io::Error) -> Problem {
    Problem::new(Code::Storage, what)
        .detail(format!("{}: {error}", path.display()))
        .remedy("check that the folder is yours, and that the disk is not full")
}
