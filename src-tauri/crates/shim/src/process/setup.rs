//! From the command line to a shim that listens.

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Instant;

use rustix::fs::Mode;
use rustix::process::Signal;

use super::family::Family;
use super::machine::Machine;
use super::pump::Pump;
use super::signals::Wakeups;
use super::{Shim, StopSpec, VecDeque};
use crate::tree::Identity;
use crate::tree::pidfile::Written;

const USAGE: &str = "usage: studio-cockpit-shim SOCKET PIDFILE --instance MARKER [--name NAME]";

/// The command line.
#[derive(Debug)]
pub(super) struct Options {
    socket: PathBuf,
    pidfile: PathBuf,
    marker: String,
    /// The process's title on Linux; elsewhere the command line shows it.
    #[cfg_attr(
        not(target_os = "linux"),
        allow(dead_code, reason = "parsed so that the command line is the same")
    )]
    name: String,
}

pub(super) fn options(args: impl Iterator<Item = OsString>) -> Result<Options, String> {
    let (mut paths, mut marker, mut name) = (Vec::new(), None, String::new());
    let mut args = args.peekable();
    while let Some(arg) = args.next() {
        let mut value = || {
            let value = args.next().and_then(|v| v.into_string().ok());
            value.ok_or_else(|| format!("{} needs a value\n{USAGE}", arg.display()))
        };
        match arg.to_str() {
            Some("--instance") => marker = Some(value()?),
            Some("--name") => name = value()?,
            Some(flag) if flag.starts_with("--") => {
                return Err(format!("unknown option {flag}\n{USAGE}"));
            }
            _ => paths.push(PathBuf::from(arg)),
        }
    }
    let [socket, pidfile] = <[PathBuf; 2]>::try_from(paths).map_err(|_| USAGE.to_owned())?;
    let marker = marker.ok_or_else(|| USAGE.to_owned())?;
    if marker.is_empty() || marker.contains(['\0', '\n']) {
        return Err(format!("the marker must be one line, not empty\n{USAGE}"));
    }
    let absolute = |path: &Path| std::path::absolute(path).map_err(|e| format!("{e}\n{USAGE}"));
    Ok(Options {
        socket: absolute(&socket)?,
        pidfile: absolute(&pidfile)?,
        marker,
        name,
    })
}

pub(super) fn begin(options: Options) -> io::Result<Shim> {
    // Refused only if it leads a group already; then it has a session of its own, or is run by hand.
    let _ = rustix::process::setsid();
    let wakeups = Wakeups::install()?;
    #[cfg(target_os = "linux")]
    {
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
        let title: Vec<u8> = format!("shim:{}", options.name).into_bytes();
        let title = title.get(..15).unwrap_or(&title);
        if let Ok(title) = std::ffi::CString::new(title) {
            let _ = rustix::thread::set_name(&title);
        }
    }
    let own = Identity::own().ok_or_else(|| io::Error::other("this process has no start time"))?;
    let listener = bind(&options.socket)?;
    listener.set_nonblocking(true)?;
    let pump = Pump::start()?;
    let pidfile = Written::new(&options.pidfile, own, &options.marker).map_err(|e| {
        let _ = std::fs::remove_file(&options.socket);
        let text = format!("cannot write {}: {e}", options.pidfile.display());
        io::Error::new(e.kind(), text)
    })?;
    let shim = Shim {
        family: Family::new(&options.marker),
        socket: options.socket,
        pidfile,
        marker: options.marker,
        own,
        listener,
        wakeups,
        pump,
        machine: Machine::new(),
        engine: None,
        caller: None,
        label: Vec::new(),
        log: None,
        stop: StopSpec {
            signal: Signal::TERM.as_raw(),
            grace_ms: 10_000,
        },
        since_micros: 0,
        exits: VecDeque::new(),
        next_exit: 1,
        ended: None,
        terminating: false,
        quit: false,
        alone_since: Some(Instant::now()),
    };
    let _ = io::stdout().write_all(b"ready\n");
    let _ = io::stdout().flush();
    detach()?;
    Ok(shim)
}

/// Binds the socket, for this user only. One that a dead shim left is replaced; one that answers is not.
fn bind(path: &Path) -> io::Result<UnixListener> {
    let umask = rustix::process::umask(Mode::from_raw_mode(0o177));
    let bound = match UnixListener::bind(path) {
        Err(e) if e.kind() == io::ErrorKind::AddrInUse => match UnixStream::connect(path) {
            Ok(_) => Err(e),
            Err(_) => std::fs::remove_file(path).and_then(|()| UnixListener::bind(path)),
        },
        bound => bound,
    };
    // The child's files are its own business.
    rustix::process::umask(umask);
    bound.map_err(|e| {
        io::Error::new(
            e.kind(),
            format!("cannot listen on {}: {e}", path.display()),
        )
    })
}

/// Lets go of what the engine gave: its terminal, its pipes, its folder.
fn detach() -> io::Result<()> {
    let null = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    rustix::stdio::dup2_stderr(&null)?;
    std::env::set_current_dir("/")
}
