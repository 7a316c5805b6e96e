//! What the shim says.

use super::engine::{Command, LogSpec};
use super::wire::{Reader, Writer};
use super::{Error, Message};
use crate::log::Stream;

/// From the shim to the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FromShim {
    /// The answer to `Hello`.
    Welcome(Box<Welcome>),
    /// The child runs.
    Started(Started),
    /// The child could not be started; the tree is empty as before.
    SpawnFailed(SpawnError),
    /// The leader was reaped. Told again in every `Welcome` until it is acknowledged.
    Exited(Exit),
    /// Nothing of the tree is left.
    TreeEmpty,
    /// A line as it was written to the log; only while followed.
    Line(LiveLine),
    /// So many lines were left out here because this connection did not read them quickly enough.
    Lost {
        /// Lines.
        lines: u64,
    },
    /// The answer to `Ping`.
    Pong {
        /// The ping's.
        nonce: u64,
    },
    /// A request was not carried out.
    Refused(Refusal),
    /// SIGKILL was sent a while ago and these processes are still there (stuck in the kernel, or another user's).
    Lingering {
        /// Their pids.
        pids: Vec<u32>,
    },
    /// The log cannot be written, or can be again.
    LogHealth {
        /// Why not; `None`: it is written again.
        problem: Option<String>,
        /// Lines that were dropped since the shim began.
        dropped_lines: u64,
    },
    /// A kind this version does not know.
    Unknown(u16),
}

/// What the shim is and has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Welcome {
    /// The shim's [`super::VERSION`].
    pub version: u32,
    /// The shim's own pid.
    pub shim_pid: u32,
    /// The shim's own start time, as [`Running::start_time`].
    pub shim_start_time: u64,
    /// What runs.
    pub state: State,
    /// The last label given, empty if none.
    pub label: Vec<u8>,
    /// Exits that nobody acknowledged, oldest first, at most 16.
    pub exits: Vec<Exit>,
    /// Where the output goes; `None` before the first spawn.
    pub log: Option<LogSpec>,
}

/// What is left of the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Nothing: it may be spawned.
    Empty,
    /// The leader runs.
    Running(Running),
    /// The leader is gone, or never was ours; what is left of its tree is being ended. `TreeEmpty` follows.
    Ending,
}

/// A leader that runs. Its identity is pid *and* start time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Running {
    /// Also its process group's id.
    pub pid: u32,
    /// When the kernel says it began: ticks since boot (Linux), microseconds since 1970 (macOS). To be compared only.
    pub start_time: u64,
    /// When it was started, in Unix microseconds.
    pub since_micros: i64,
    /// A stop is under way.
    pub stopping: bool,
}

/// The child runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Started {
    /// Its pid and process group.
    pub pid: u32,
    /// As [`Running::start_time`].
    pub start_time: u64,
    /// When, in Unix microseconds.
    pub at_micros: i64,
    /// From the Spawn frame's arrival to the child's exec, in microseconds.
    pub spawn_micros: u32,
}

/// Why a child could not be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpawnError {
    /// What kind of failure.
    pub kind: SpawnErrorKind,
    /// The system's number, 0 if it was not the system.
    pub errno: i32,
    /// For a person: what happened to what.
    pub text: String,
}

/// Kinds of failure to start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpawnErrorKind {
    /// The command, or its script's interpreter, does not exist.
    NotFound,
    /// The command is there but may not be executed.
    Permission,
    /// The working directory does not exist, is none, or may not be entered.
    Cwd,
    /// Anything else: no memory, too many processes, not an executable format.
    Other,
}

/// The end of a leader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exit {
    /// For `AckExit`; unique within this shim.
    pub id: u64,
    /// The leader's pid.
    pub pid: u32,
    /// As [`Running::start_time`].
    pub start_time: u64,
    /// How it ended.
    pub status: ExitStatus,
    /// When it was reaped, in Unix microseconds.
    pub at_micros: i64,
    /// It was asked to end by `Stop` or `Kill`, or by the machine's shutdown.
    pub requested: bool,
    /// The last lines of its output, oldest first, at most 20, each cut at 1 KiB.
    pub last_lines: Vec<String>,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitStatus {
    /// By `exit`, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

/// A live log line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveLine {
    /// When its chunk was read, in Unix nanoseconds.
    pub at_nanos: i64,
    /// Which stream.
    pub stream: Stream,
    /// The next line of this stream continues this one.
    pub partial: bool,
    /// Its text, at most 16 KiB, without the newline.
    pub text: String,
}

/// A request that was not carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Which request.
    pub command: Command,
    /// Why, for a person.
    pub reason: String,
}

const WELCOME: u16 = 0x101;
const STARTED: u16 = 0x102;
const SPAWN_FAILED: u16 = 0x103;
const EXITED: u16 = 0x104;
const TREE_EMPTY: u16 = 0x105;
const LINE: u16 = 0x106;
const LOST: u16 = 0x107;
const PONG: u16 = 0x108;
const REFUSED: u16 = 0x109;
const LINGERING: u16 = 0x10a;
const LOG_HEALTH: u16 = 0x10b;

impl Message for FromShim {
    fn kind(&self) -> u16 {
        match self {
            Self::Welcome(_) => WELCOME,
            Self::Started(_) => STARTED,
            Self::SpawnFailed(_) => SPAWN_FAILED,
            Self::Exited(_) => EXITED,
            Self::TreeEmpty => TREE_EMPTY,
            Self::Line(_) => LINE,
            Self::Lost { .. } => LOST,
            Self::Pong { .. } => PONG,
            Self::Refused(_) => REFUSED,
            Self::Lingering { .. } => LINGERING,
            Self::LogHealth { .. } => LOG_HEALTH,
            Self::Unknown(kind) => *kind,
        }
    }

    fn write_body(&self, out: &mut Vec<u8>) {
        let mut w = Writer::new(out);
        match self {
            Self::Welcome(welcome) => welcome.write(&mut w),
            Self::Started(s) => {
                w.u32(s.pid);
                w.u64(s.start_time);
                w.i64(s.at_micros);
                w.u32(s.spawn_micros);
            }
            Self::SpawnFailed(e) => {
                w.u8(match e.kind {
                    SpawnErrorKind::NotFound => 0,
                    SpawnErrorKind::Permission => 1,
                    SpawnErrorKind::Cwd => 2,
                    SpawnErrorKind::Other => 3,
                });
                w.i32(e.errno);
                w.text(&e.text);
            }
            Self::Exited(exit) => exit.write(&mut w),
            Self::Line(line) => {
                w.i64(line.at_nanos);
                w.u8(line.stream.code());
                w.bool(line.partial);
                w.text(&line.text);
            }
            Self::Lost { lines } => w.u64(*lines),
            Self::Pong { nonce } => w.u64(*nonce),
            Self::Refused(refusal) => {
                w.u16(refusal.command.kind());
                w.text(&refusal.reason);
            }
            Self::Lingering { pids } => w.list(pids, |w, pid| w.u32(*pid)),
            Self::LogHealth {
                problem,
                dropped_lines,
            } => {
                w.bool(problem.is_some());
                w.text(problem.as_deref().unwrap_or_default());
                w.u64(*dropped_lines);
            }
            Self::TreeEmpty | Self::Unknown(_) => {}
        }
    }

    fn read_body(kind: u16, body: &[u8]) -> Result<Self, Error> {
        let mut r = Reader::new(body);
        Ok(match kind {
            WELCOME => Self::Welcome(Box::new(Welcome::read(&mut r)?)),
            STARTED => Self::Started(Started {
                pid: r.u32()?,
                start_time: r.u64()?,
                at_micros: r.i64()?,
                spawn_micros: r.u32()?,
            }),
            SPAWN_FAILED => Self::SpawnFailed(SpawnError {
                kind: match r.u8()? {
                    0 => SpawnErrorKind::NotFound,
                    1 => SpawnErrorKind::Permission,
                    2 => SpawnErrorKind::Cwd,
                    _ => SpawnErrorKind::Other,
                },
                errno: r.i32()?,
                text: r.text()?,
            }),
            EXITED => Self::Exited(Exit::read(&mut r)?),
            TREE_EMPTY => Self::TreeEmpty,
            LINE => Self::Line(LiveLine {
                at_nanos: r.i64()?,
                stream: Stream::from_code(r.u8()?).ok_or(Error::Invalid("stream"))?,
                partial: r.bool()?,
                text: r.text()?,
            }),
            LOST => Self::Lost { lines: r.u64()? },
            PONG => Self::Pong { nonce: r.u64()? },
            REFUSED => Self::Refused(Refusal {
                command: Command::from_kind(r.u16()?),
                reason: r.text()?,
            }),
            LINGERING => Self::Lingering {
                pids: r.list(Reader::u32)?,
            },
            LOG_HEALTH => {
                let failing = r.bool()?;
                let text = r.text()?;
                Self::LogHealth {
                    problem: failing.then_some(text),
                    dropped_lines: r.u64()?,
                }
            }
            other => Self::Unknown(other),
        })
    }
}

impl Welcome {
    fn write(&self, w: &mut Writer<'_>) {
        w.u32(self.version);
        w.u32(self.shim_pid);
        w.u64(self.shim_start_time);
        match self.state {
            State::Empty => w.u8(0),
            State::Running(running) => {
                w.u8(1);
                w.u32(running.pid);
                w.u64(running.start_time);
                w.i64(running.since_micros);
                w.bool(running.stopping);
            }
            State::Ending => w.u8(2),
        }
        w.bytes(&self.label);
        w.list(&self.exits, |w, exit| exit.write(w));
        w.bool(self.log.is_some());
        if let Some(log) = &self.log {
            log.write(w);
        }
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, Error> {
        Ok(Self {
            version: r.u32()?,
            shim_pid: r.u32()?,
            shim_start_time: r.u64()?,
            state: match r.u8()? {
                0 => State::Empty,
                1 => State::Running(Running {
                    pid: r.u32()?,
                    start_time: r.u64()?,
                    since_micros: r.i64()?,
                    stopping: r.bool()?,
                }),
                2 => State::Ending,
                _ => return Err(Error::Invalid("state")),
            },
            label: r.bytes()?.to_vec(),
            exits: r.list(Exit::read)?,
            log: if r.bool()? {
                Some(LogSpec::read(r)?)
            } else {
                None
            },
        })
    }
}

impl Exit {
    fn write(&self, w: &mut Writer<'_>) {
        w.u64(self.id);
        w.u32(self.pid);
        w.u64(self.start_time);
        let (how, number) = match self.status {
            ExitStatus::Code(code) => (0, code),
            ExitStatus::Signal(signal) => (1, signal),
        };
        w.u8(how);
        w.i32(number);
        w.i64(self.at_micros);
        w.bool(self.requested);
        w.list(&self.last_lines, |w, line| w.text(line));
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, Error> {
        Ok(Self {
            id: r.u64()?,
            pid: r.u32()?,
            start_time: r.u64()?,
            status: match (r.u8()?, r.i32()?) {
                (0, code) => ExitStatus::Code(code),
                (1, signal) => ExitStatus::Signal(signal),
                _ => return Err(Error::Invalid("exit status")),
            },
            at_micros: r.i64()?,
            requested: r.bool()?,
            last_lines: r.list(Reader::text)?,
        })
    }
}
