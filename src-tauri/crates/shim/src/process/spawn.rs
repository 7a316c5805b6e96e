//! Starting the child, and saying precisely why it could not be started.
//!
//! The program is searched here, in the `PATH` of the child's own environment: so a missing command is told from
//! a missing interpreter, and `std` can take `posix_spawn` (it falls back to `fork` when it would have to search).

use std::ffi::{OsStr, OsString};
use std::io::{self, PipeReader};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::io::Errno;

use crate::protocol::{Spawn, SpawnError, SpawnErrorKind};
use crate::tree::MARKER;

/// A child that was started.
pub(super) struct Child {
    pub(super) pid: u32,
    pub(super) stdout: PipeReader,
    pub(super) stderr: PipeReader,
}

pub(super) fn spawn(spawn: &Spawn, marker: &str) -> Result<Child, SpawnError> {
    let Some((name, args)) = spawn.argv.split_first() else {
        return Err(other(0, "the command is empty".to_owned()));
    };
    let program = find(name, &spawn.env, &spawn.cwd)?;
    let pipes = || -> io::Result<_> {
        let ((stdout, out), (stderr, err)) = (io::pipe()?, io::pipe()?);
        rustix::io::ioctl_fionbio(&stdout, true)?;
        rustix::io::ioctl_fionbio(&stderr, true)?;
        Ok((stdout, out, stderr, err))
    };
    let (stdout, out, stderr, err) = pipes().map_err(|e| failed(&e, "could not make pipes"))?;
    let child = Command::new(&program)
        .arg0(name)
        .args(args)
        .env_clear()
        .envs(spawn.env.iter().map(|(k, v)| (k, v)))
        .env(MARKER, marker)
        .current_dir(&spawn.cwd)
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(err)
        .spawn();
    match child {
        // Dropping it neither kills nor reaps.
        Ok(child) => Ok(Child {
            pid: child.id(),
            stdout,
            stderr,
        }),
        Err(e) => Err(explain(&e, &program, &spawn.cwd)),
    }
}

fn find(name: &OsStr, env: &[(OsString, OsString)], cwd: &Path) -> Result<PathBuf, SpawnError> {
    if name.as_bytes().contains(&b'/') {
        return Ok(PathBuf::from(name));
    }
    let path = env
        .iter()
        .rev()
        .find(|(key, _)| key == "PATH")
        .map_or(OsStr::new("/usr/bin:/bin"), |(_, value)| value);
    let mut denied = None;
    if !name.is_empty() {
        for folder in std::env::split_paths(path) {
            // As execvp: an empty entry is the working directory, a relative one is under it.
            let candidate = cwd.join(folder).join(name);
            match std::fs::metadata(&candidate) {
                Ok(meta) if meta.is_file() && meta.permissions().mode() & 0o111 != 0 => {
                    return Ok(candidate);
                }
                Ok(meta) if meta.is_file() => denied = denied.or(Some(candidate)),
                _ => {}
            }
        }
    }
    Err(match denied {
        Some(file) => SpawnError {
            kind: SpawnErrorKind::Permission,
            errno: Errno::ACCESS.raw_os_error(),
            text: format!("{} is not executable", file.display()),
        },
        None => SpawnError {
            kind: SpawnErrorKind::NotFound,
            errno: Errno::NOENT.raw_os_error(),
            text: format!(
                "command {} not found in PATH={}",
                name.display(),
                path.display()
            ),
        },
    })
}

/// `exec` and `chdir` share their error numbers; what is on the disk tells which of them failed.
fn explain(error: &io::Error, program: &Path, cwd: &Path) -> SpawnError {
    let errno = error.raw_os_error().unwrap_or(0);
    let with = |kind, text| SpawnError { kind, errno, text };
    match std::fs::metadata(cwd) {
        Err(e) => {
            let text = format!("cannot enter the working directory {}: {e}", cwd.display());
            return with(SpawnErrorKind::Cwd, text);
        }
        Ok(meta) if !meta.is_dir() => {
            let text = format!("the working directory {} is not a folder", cwd.display());
            return with(SpawnErrorKind::Cwd, text);
        }
        Ok(_) => {}
    }
    let full = cwd.join(program);
    let program = program.display();
    match error.kind() {
        io::ErrorKind::NotFound => match interpreter(&full) {
            Some(interpreter) => with(
                SpawnErrorKind::NotFound,
                format!("the interpreter {interpreter} of {program} does not exist"),
            ),
            None if full.exists() => with(
                SpawnErrorKind::NotFound,
                format!("{program} needs a loader or interpreter that does not exist"),
            ),
            None => with(
                SpawnErrorKind::NotFound,
                format!("{program} does not exist"),
            ),
        },
        io::ErrorKind::PermissionDenied if std::fs::read_dir(cwd).is_err() && full.exists() => {
            with(
                SpawnErrorKind::Cwd,
                format!("may not enter the working directory {}", cwd.display()),
            )
        }
        io::ErrorKind::PermissionDenied => with(
            SpawnErrorKind::Permission,
            format!("may not execute {program}: {error}"),
        ),
        _ => failed(error, &format!("could not start {program}")),
    }
}

/// The interpreter that a script's first line names, if it does not exist.
fn interpreter(script: &Path) -> Option<String> {
    use std::io::Read;
    let mut head = [0; 256];
    let n = std::fs::File::open(script).ok()?.read(&mut head).ok()?;
    let line = head.get(..n)?.strip_prefix(b"#!")?;
    let line = line.split(|&b| b == b'\n').next()?;
    let name = std::str::from_utf8(line)
        .ok()?
        .split_ascii_whitespace()
        .next()?;
    (!Path::new(name).exists()).then(|| name.to_owned())
}

fn failed(error: &io::Error, what: &str) -> SpawnError {
    other(
        error.raw_os_error().unwrap_or(0),
        format!("{what}: {error}"),
    )
}

fn other(errno: i32, text: String) -> SpawnError {
    SpawnError {
        kind: SpawnErrorKind::Other,
        errno,
        text,
    }
}
