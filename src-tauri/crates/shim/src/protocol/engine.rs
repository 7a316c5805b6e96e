//! What the engine says.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::wire::{Reader, Writer};
use super::{Error, Message};

/// From the engine to the shim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToShim {
    /// First on every connection; answered by `Welcome`.
    Hello {
        /// The engine's [`super::VERSION`].
        version: u32,
    },
    /// Start the child. Answered by `Started`, `SpawnFailed`, or `Refused` while something of the tree is left.
    Spawn(Box<Spawn>),
    /// End the tree: the signal to the leader's group, and to the rest once the leader is gone; SIGKILL
    /// to everything after the grace.
    Stop(StopSpec),
    /// SIGKILL to the whole tree, at once.
    Kill,
    /// Write the log elsewhere or with other limits from now on.
    SetLog(LogSpec),
    /// Whether live log lines are wanted on this connection.
    Follow {
        /// On or off; off at the start of every connection.
        on: bool,
    },
    /// Write a line of the stream `cockpit` into the log.
    Remark {
        /// One line.
        text: String,
    },
    /// The shim may end. `Refused` while something of the tree is left; else the connection closes.
    Quit,
    /// Answered by `Pong` with the same nonce.
    Ping {
        /// Anything.
        nonce: u64,
    },
    /// The exit was recorded, and need not be told again.
    AckExit {
        /// [`super::Exit::id`].
        id: u64,
    },
    /// Replace the label without touching the child.
    SetLabel {
        /// As in [`Spawn::label`].
        label: Vec<u8>,
    },
    /// How to end the tree from now on when nobody is there to say, in place of [`Spawn::stop`]; what runs is not
    /// touched. A shim of version 1 does not know it and goes on with what its `Spawn` said.
    SetStop(StopSpec),
    /// A kind this version does not know.
    Unknown(u16),
}

/// The words for requests, as `Refused` names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// [`ToShim::Spawn`]
    Spawn,
    /// [`ToShim::Stop`]
    Stop,
    /// [`ToShim::Kill`]
    Kill,
    /// [`ToShim::Quit`]
    Quit,
    /// [`ToShim::SetStop`]
    SetStop,
    /// Any other, by its kind on the wire.
    Other(u16),
}

impl Command {
    pub(super) fn kind(self) -> u16 {
        match self {
            Self::Spawn => SPAWN,
            Self::Stop => STOP,
            Self::Kill => KILL,
            Self::Quit => QUIT,
            Self::SetStop => SET_STOP,
            Self::Other(kind) => kind,
        }
    }

    pub(super) fn from_kind(kind: u16) -> Self {
        match kind {
            SPAWN => Self::Spawn,
            STOP => Self::Stop,
            KILL => Self::Kill,
            QUIT => Self::Quit,
            SET_STOP => Self::SetStop,
            other => Self::Other(other),
        }
    }
}

/// What to start, complete: the shim adds nothing but its marker to the environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spawn {
    /// Program and arguments. A program without a slash is searched in the `PATH` of [`Spawn::env`].
    pub argv: Vec<OsString>,
    /// The working directory, absolute.
    pub cwd: PathBuf,
    /// The complete environment.
    pub env: Vec<(OsString, OsString)>,
    /// Opaque to the shim; an adopting engine gets it back in `Welcome`.
    pub label: Vec<u8>,
    /// Where its output goes.
    pub log: LogSpec,
    /// How to end it when nobody is there to say: the machine shuts down and the shim gets a SIGTERM.
    pub stop: StopSpec,
}

/// A log file and its bounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSpec {
    /// The live file, absolute; rotated ones are beside it with `.1`, `.2`… appended.
    pub path: PathBuf,
    /// The most bytes of one file.
    pub max_size: u64,
    /// How many rotated files are kept.
    pub keep: u32,
}

/// How to end a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StopSpec {
    /// The signal's number on this platform.
    pub signal: i32,
    /// How long the tree has before SIGKILL.
    pub grace_ms: u64,
}

const HELLO: u16 = 1;
const SPAWN: u16 = 2;
const STOP: u16 = 3;
const KILL: u16 = 4;
const SET_LOG: u16 = 5;
const FOLLOW: u16 = 6;
const REMARK: u16 = 7;
const QUIT: u16 = 8;
const PING: u16 = 9;
const ACK_EXIT: u16 = 10;
const SET_LABEL: u16 = 11;
const SET_STOP: u16 = 12;

impl Message for ToShim {
    fn kind(&self) -> u16 {
        match self {
            Self::Hello { .. } => HELLO,
            Self::Spawn(_) => SPAWN,
            Self::Stop(_) => STOP,
            Self::Kill => KILL,
            Self::SetLog(_) => SET_LOG,
            Self::Follow { .. } => FOLLOW,
            Self::Remark { .. } => REMARK,
            Self::Quit => QUIT,
            Self::Ping { .. } => PING,
            Self::AckExit { .. } => ACK_EXIT,
            Self::SetLabel { .. } => SET_LABEL,
            Self::SetStop(_) => SET_STOP,
            Self::Unknown(kind) => *kind,
        }
    }

    fn write_body(&self, out: &mut Vec<u8>) {
        let mut w = Writer::new(out);
        match self {
            Self::Hello { version } => w.u32(*version),
            Self::Spawn(spawn) => spawn.write(&mut w),
            Self::Stop(stop) | Self::SetStop(stop) => stop.write(&mut w),
            Self::SetLog(log) => log.write(&mut w),
            Self::Follow { on } => w.bool(*on),
            Self::Remark { text } => w.text(text),
            Self::Ping { nonce } => w.u64(*nonce),
            Self::AckExit { id } => w.u64(*id),
            Self::SetLabel { label } => w.bytes(label),
            Self::Kill | Self::Quit | Self::Unknown(_) => {}
        }
    }

    fn read_body(kind: u16, body: &[u8]) -> Result<Self, Error> {
        let mut r = Reader::new(body);
        Ok(match kind {
            HELLO => Self::Hello { version: r.u32()? },
            SPAWN => Self::Spawn(Box::new(Spawn::read(&mut r)?)),
            STOP => Self::Stop(StopSpec::read(&mut r)?),
            KILL => Self::Kill,
            SET_LOG => Self::SetLog(LogSpec::read(&mut r)?),
            FOLLOW => Self::Follow { on: r.bool()? },
            REMARK => Self::Remark { text: r.text()? },
            QUIT => Self::Quit,
            PING => Self::Ping { nonce: r.u64()? },
            ACK_EXIT => Self::AckExit { id: r.u64()? },
            SET_LABEL => Self::SetLabel {
                label: r.bytes()?.to_vec(),
            },
            SET_STOP => Self::SetStop(StopSpec::read(&mut r)?),
            other => Self::Unknown(other),
        })
    }
}

impl Spawn {
    fn write(&self, w: &mut Writer<'_>) {
        w.list(&self.argv, |w, arg| w.bytes(arg.as_bytes()));
        w.path(&self.cwd);
        w.list(&self.env, |w, (name, value)| {
            w.bytes(name.as_bytes());
            w.bytes(value.as_bytes());
        });
        w.bytes(&self.label);
        self.log.write(w);
        self.stop.write(w);
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, Error> {
        Ok(Self {
            argv: r.list(Reader::os)?,
            cwd: r.path()?,
            env: r.list(|r| Ok((r.os()?, r.os()?)))?,
            label: r.bytes()?.to_vec(),
            log: LogSpec::read(r)?,
            stop: StopSpec::read(r)?,
        })
    }
}

impl LogSpec {
    pub(super) fn write(&self, w: &mut Writer<'_>) {
        w.path(&self.path);
        w.u64(self.max_size);
        w.u32(self.keep);
    }

    pub(super) fn read(r: &mut Reader<'_>) -> Result<Self, Error> {
        Ok(Self {
            path: r.path()?,
            max_size: r.u64()?,
            keep: r.u32()?,
        })
    }
}

impl StopSpec {
    fn write(self, w: &mut Writer<'_>) {
        w.i32(self.signal);
        w.u64(self.grace_ms);
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, Error> {
        Ok(Self {
            signal: r.i32()?,
            grace_ms: r.u64()?,
        })
    }
}
