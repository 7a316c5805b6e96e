//! The shim's process.
//!
//! Theory of operation. Two threads. The main one polls the socket, the engine's connection and a pipe that signals
//! write into; it owns the state machine (`machine`), reaps, signals, and speaks. The `pump` moves output
//! into the log, so that a slow disk never delays a death or a stop. At rest both sleep in the kernel.
//!
//! Life. The engine starts `studio-cockpit-shim SOCKET PIDFILE --instance MARKER`. It leaves the engine's session,
//! binds the socket (mode 0600), writes the pidfile, says `ready` on standard output and lets go of it.
//! From then on engines come and go; the newest that said `Hello` is the one that is listened to.
//!
//! Its end. `Quit` with an empty tree. SIGTERM, which is how a machine that shuts down says it: the tree is ended as
//! its `Spawn` (or the last `SetStop` or `Stop`) said, then the shim ends. And by itself when it serves no purpose: no tree,
//! no engine, no exit that somebody may still ask for, for a minute; or its socket is gone while it has no tree.

mod family;
mod link;
mod machine;
mod obey;
mod pump;
mod setup;
mod signals;
mod sink;
mod spawn;

use std::collections::VecDeque;
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Signal, WaitOptions, WaitStatus, wait};

use family::Family;
use link::Link;
use machine::{Effect, Input, Machine};
use pump::{Pump, unix_nanos};
use signals::Wakeups;

use crate::protocol::{Exit, ExitStatus, FromShim, LogSpec, StopSpec};
use crate::signal;
use crate::tree::{Identity, pidfile};

/// Exits that are kept for an engine to acknowledge. There is one per spawn, and only an engine spawns.
const EXITS: usize = 16;
/// How long a shim without purpose stays.
const PURPOSELESS: Duration = Duration::from_secs(60);

/// The whole program: everything from the command line to the exit code.
#[must_use]
pub fn main() -> ExitCode {
    cockpit_panics::install();
    let options = match setup::options(std::env::args_os().skip(1)) {
        Ok(options) => options,
        Err(usage) => {
            eprintln!("{usage}");
            return ExitCode::from(2);
        }
    };
    match setup::begin(options) {
        Ok(mut shim) => {
            shim.run();
            shim.cleanup();
            ExitCode::SUCCESS
        }
        Err(e) => {
            eprintln!("studio-cockpit-shim: {e}");
            ExitCode::FAILURE
        }
    }
}

/// What the main loop owns.
#[derive(Debug)]
struct Shim {
    socket: PathBuf,
    pidfile: pidfile::Written,
    marker: String,
    own: Identity,
    listener: UnixListener,
    wakeups: Wakeups,
    pump: Pump,
    family: Family,
    machine: Machine,
    /// The engine.
    engine: Option<Link>,
    /// A connection that has not said `Hello` yet; only then it takes the engine's place.
    caller: Option<Link>,
    label: Vec<u8>,
    log: Option<LogSpec>,
    stop: StopSpec,
    since_micros: i64,
    exits: VecDeque<Exit>,
    next_exit: u64,
    /// How the leader ended, between reaping it and telling.
    ended: Option<(Identity, WaitStatus)>,
    terminating: bool,
    quit: bool,
    alone_since: Option<Instant>,
}

impl Shim {
    fn run(&mut self) {
        while !self.is_over() {
            let ready = self.wait();
            let now = Instant::now();
            if ready.wakeup {
                self.wakeups.clear();
            }
            if Wakeups::terminate_asked() && !self.terminating {
                self.terminating = true;
                let stop = self.stop;
                self.step(Input::Stop(stop), now);
            }
            // Deaths first: an engine's word about a child must meet what is true.
            self.reap(now);
            if self.machine.next_tick().is_some_and(|at| at <= now) {
                self.step(Input::Tick, now);
            }
            if ready.listener {
                self.accept();
            }
            // What the engine said before it went is not lost to its successor.
            if ready.engine {
                self.hear_engine(now);
            }
            if ready.caller {
                self.hear_caller(now);
            }
            self.look();
            self.speak();
        }
        // A last remark.
        self.pump.drain(true);
        self.speak();
    }

    fn is_over(&mut self) -> bool {
        if !self.machine.is_empty() {
            self.alone_since = None;
            return false;
        }
        if self.quit || self.terminating {
            return true;
        }
        if self.engine.is_some() {
            self.alone_since = None;
            return false;
        }
        let since = *self.alone_since.get_or_insert_with(Instant::now);
        since.elapsed() >= PURPOSELESS && (self.exits.is_empty() || !self.socket.exists())
    }

    fn cleanup(&self) {
        let _ = std::fs::remove_file(&self.socket);
        let _ = std::fs::remove_file(self.pidfile.path());
    }

    /// Sleeps until something is to be done.
    fn wait(&self) -> Ready {
        let mut due = self.machine.next_tick();
        let mut within = |at: Instant| due = Some(due.map_or(at, |due| due.min(at)));
        let now = Instant::now();
        if self.alone_since.is_some() {
            within(now + PURPOSELESS);
        }
        if let (Some(pause), false) = (
            Family::pause(self.machine.is_stopping()),
            self.machine.is_empty(),
        ) {
            within(now + pause);
        }
        let timeout = due.map(|at| {
            let left = at.saturating_duration_since(now);
            Timespec {
                tv_sec: i64::try_from(left.as_secs())
                    .unwrap_or(i64::from(i32::MAX))
                    .min(86_400),
                tv_nsec: i64::from(left.subsec_nanos()),
            }
        });
        let mut fds = vec![
            PollFd::new(&self.wakeups, PollFlags::IN),
            PollFd::new(&self.listener, PollFlags::IN),
        ];
        let caller = self.caller.as_ref().map(|link| {
            fds.push(PollFd::from_borrowed_fd(link.as_fd(), PollFlags::IN));
            fds.len() - 1
        });
        let engine = self.engine.as_ref().map(|link| {
            let mut flags = PollFlags::IN;
            if !link.is_flushed() {
                flags |= PollFlags::OUT;
            }
            fds.push(PollFd::from_borrowed_fd(link.as_fd(), flags));
            fds.len() - 1
        });
        if poll(&mut fds, timeout.as_ref()).is_err() {
            // Interrupted by a signal: its byte is in the pipe.
            return Ready {
                wakeup: true,
                ..Ready::default()
            };
        }
        let is_ready = |i: Option<usize>| {
            i.and_then(|i| fds.get(i))
                .is_some_and(|fd| !fd.revents().is_empty())
        };
        Ready {
            wakeup: is_ready(Some(0)),
            listener: is_ready(Some(1)),
            caller: is_ready(caller),
            engine: is_ready(engine),
        }
    }

    /// Reaps whoever ended, and tells the machine.
    fn reap(&mut self, now: Instant) {
        let leader = self.machine.leader();
        let (mut reaped, mut leader_gone) = (false, false);
        let children = loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) => {
                    reaped = true;
                    let pid = pid.as_raw_nonzero().get().unsigned_abs();
                    if let Some(id) = leader.filter(|id| id.pid == pid) {
                        leader_gone = true;
                        self.ended = Some((id, status));
                    }
                }
                Ok(None) => break true,
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => break false,
            }
        };
        // On macOS a tree ends also without a child that ends.
        let watched = Family::pause(true).is_some() && self.machine.is_stopping();
        if self.machine.is_empty() || !(reaped || watched) {
            return;
        }
        let ending = self.machine.is_stopping();
        let empty = (leader_gone || leader.is_none()) && self.family.is_empty(children, ending);
        let input = Input::Reaped {
            leader: leader_gone,
            empty,
        };
        self.step(input, now);
    }

    fn look(&mut self) {
        if Family::pause(false).is_some()
            && let Some(leader) = self.machine.leader()
        {
            self.family.look(leader);
        }
    }

    fn step(&mut self, input: Input, now: Instant) {
        let effects = self.machine.step(input, now);
        for (i, effect) in effects.iter().enumerate() {
            match *effect {
                Effect::SignalGroup(leader, signal) => {
                    self.family.signal_group(leader, named(signal));
                }
                Effect::SignalRest(signal) => self.family.signal_rest(named(signal)),
                Effect::KillAll => {
                    if let Some(leader) = self.machine.leader() {
                        self.family.signal_group(leader, Signal::KILL);
                    }
                    self.family.signal_rest(Signal::KILL);
                }
                Effect::Exited { requested } => {
                    let empty = effects.get(i + 1) == Some(&Effect::TreeEmpty);
                    self.exited(requested, empty);
                }
                Effect::TreeEmpty => {
                    if self.machine.is_empty() && i == 0 {
                        self.pump.drain(true);
                    }
                    self.tell(&FromShim::TreeEmpty);
                }
                Effect::Lingering => {
                    let pids = self.family.rest().into_iter().map(|id| id.pid).collect();
                    self.tell(&FromShim::Lingering { pids });
                }
            }
        }
    }

    fn exited(&mut self, requested: bool, empty: bool) {
        let Some((leader, status)) = self.ended.take() else {
            return;
        };
        let exit = Exit {
            id: self.next_exit,
            pid: leader.pid,
            start_time: leader.start_time,
            status: match status.terminating_signal() {
                Some(signal) => ExitStatus::Signal(signal),
                None => ExitStatus::Code(status.exit_status().unwrap_or(-1)),
            },
            at_micros: unix_nanos() / 1000,
            requested,
            last_lines: self.pump.drain(empty),
        };
        self.next_exit += 1;
        // Its last words come before its end.
        if let Some(room) = self.engine.as_mut().and_then(Link::room) {
            self.pump.outlet().take(room);
        }
        self.tell(&FromShim::Exited(exit.clone()));
        self.pump.remark(end_of(&exit));
        if self.exits.len() == EXITS {
            self.exits.pop_front();
        }
        self.exits.push_back(exit);
    }

    fn tell(&mut self, message: &FromShim) {
        if let Some(engine) = &mut self.engine {
            engine.send(message);
        }
    }

    /// Sends what there is to say.
    fn speak(&mut self) {
        let Some(engine) = &mut self.engine else {
            return;
        };
        if let Some(room) = engine.room() {
            self.pump.outlet().take(room);
        }
        if engine.flush().is_err() {
            self.lose_engine();
        }
    }
}

/// Why the output breaks off, for who reads the log.
fn end_of(exit: &Exit) -> String {
    let how = match exit.status {
        ExitStatus::Code(code) => format!("exited with code {code}"),
        ExitStatus::Signal(number) => format!("ended by {}", signal::name(number)),
    };
    let asked = if exit.requested { ", as asked" } else { "" };
    format!("{how}{asked}")
}

/// What of it was checked to be a signal when it arrived.
fn named(signal: i32) -> Signal {
    Signal::from_named_raw(signal).unwrap_or(Signal::TERM)
}

#[derive(Debug, Default)]
struct Ready {
    wakeup: bool,
    listener: bool,
    caller: bool,
    engine: bool,
}
