//! Engines: who is listened to, and what is done at their word.

use std::time::Instant;

use rustix::process::Signal;

use super::link::Link;
use super::machine::Input;
use super::pump::unix_nanos;
use super::{Shim, spawn};
use crate::protocol::{
    Command, FromShim, LogSpec, Refusal, Running, Spawn, Started, State, StopSpec, ToShim, VERSION,
    Welcome,
};
use crate::tree::Identity;

impl Shim {
    pub(super) fn accept(&mut self) {
        while let Ok((stream, _)) = self.listener.accept() {
            self.caller = Link::new(stream).ok();
        }
    }

    pub(super) fn hear_caller(&mut self, now: Instant) {
        let Some(mut link) = self.caller.take() else {
            return;
        };
        let (messages, end) = link.receive();
        if end.is_err() && messages.is_empty() {
            return;
        }
        if !matches!(messages.first(), Some(ToShim::Hello { .. })) {
            // Nothing yet; who says something else first is no engine.
            self.caller = messages.is_empty().then_some(link);
            return;
        }
        self.pump.outlet().follow(false);
        self.engine = Some(link);
        for message in messages {
            self.obey(message, now);
        }
        if end.is_err() {
            self.lose_engine();
        }
    }

    pub(super) fn hear_engine(&mut self, now: Instant) {
        let Some(link) = &mut self.engine else {
            return;
        };
        let (messages, end) = link.receive();
        for message in messages {
            self.obey(message, now);
        }
        if end.is_err() {
            self.lose_engine();
        }
    }

    pub(super) fn lose_engine(&mut self) {
        self.engine = None;
        self.pump.outlet().follow(false);
    }

    fn obey(&mut self, message: ToShim, now: Instant) {
        match message {
            ToShim::Hello { .. } => {
                self.greet();
                let trouble = self.pump.outlet().trouble();
                if let Some(trouble) = trouble {
                    self.tell(&trouble);
                }
            }
            ToShim::Spawn(spawn) => self.spawn(*spawn, now),
            ToShim::Stop(stop) if !is_signal(stop) => self.refuse(Command::Stop, no_signal(stop)),
            ToShim::SetStop(stop) if !is_signal(stop) => {
                self.refuse(Command::SetStop, no_signal(stop));
            }
            ToShim::SetStop(stop) => self.stop = stop,
            ToShim::Stop(stop) => {
                self.stop = stop;
                self.step(Input::Stop(stop), now);
            }
            ToShim::Kill => self.step(Input::Kill, now),
            ToShim::SetLog(log) => self.set_log(log),
            ToShim::Follow { on } => self.pump.outlet().follow(on),
            ToShim::Remark { text } => self.pump.remark(text),
            ToShim::Quit if self.machine.is_empty() => self.quit = true,
            ToShim::Quit => self.refuse(Command::Quit, "the tree is not empty".to_owned()),
            ToShim::Ping { nonce } => self.tell(&FromShim::Pong { nonce }),
            ToShim::AckExit { id } => self.exits.retain(|exit| exit.id != id),
            ToShim::SetLabel { label } => self.label = label,
            ToShim::Unknown(_) => {}
        }
    }

    fn spawn(&mut self, spawn: Spawn, received: Instant) {
        if !self.machine.is_empty() {
            return self.refuse(Command::Spawn, "something of the tree is left".to_owned());
        }
        if self.terminating {
            return self.refuse(Command::Spawn, "the shim was told to end".to_owned());
        }
        if !is_signal(spawn.stop) {
            return self.refuse(Command::Spawn, no_signal(spawn.stop));
        }
        // Before there is a child: what it writes at once must not look older than itself.
        let since_micros = unix_nanos() / 1000;
        let child = match spawn::spawn(&spawn, &self.marker) {
            Ok(child) => child,
            Err(error) => {
                self.set_log(spawn.log);
                self.pump.remark(format!("not started: {}", error.text));
                self.label = spawn.label;
                return self.tell(&FromShim::SpawnFailed(error));
            }
        };
        let spawn_micros = u32::try_from(received.elapsed().as_micros()).unwrap_or(u32::MAX);
        // It is our child and was not reaped, so it is there; only a system out of files cannot say since when.
        let leader = Identity::of(child.pid).unwrap_or(Identity {
            pid: child.pid,
            start_time: 0,
        });
        self.set_log(spawn.log);
        self.pump.attach(child.stdout, child.stderr);
        self.label = spawn.label;
        self.stop = spawn.stop;
        self.since_micros = since_micros;
        self.step(Input::Spawned(leader), received);
        self.tell(&FromShim::Started(Started {
            pid: leader.pid,
            start_time: leader.start_time,
            at_micros: self.since_micros,
            spawn_micros,
        }));
        self.speak();
        // Not before the engine knows. Without it a lost shim's tree is still found by its marker.
        let _ = self.pidfile.set_leader(leader);
    }

    fn set_log(&mut self, log: LogSpec) {
        self.log = Some(log.clone());
        self.pump.set_log(log);
    }

    fn greet(&mut self) {
        let mut welcome = self.welcome();
        let Some(engine) = &mut self.engine else {
            return;
        };
        if !engine.send(&FromShim::Welcome(Box::new(welcome.clone()))) {
            // A huge label and many last lines do not fit into one frame; the exits matter, their lines less.
            for exit in &mut welcome.exits {
                exit.last_lines.clear();
            }
            engine.send(&FromShim::Welcome(Box::new(welcome)));
        }
    }

    fn welcome(&self) -> Welcome {
        let state = match self.machine.leader() {
            Some(leader) => State::Running(Running {
                pid: leader.pid,
                start_time: leader.start_time,
                since_micros: self.since_micros,
                stopping: self.machine.is_stopping(),
            }),
            None if self.machine.is_empty() => State::Empty,
            None => State::Ending,
        };
        Welcome {
            version: VERSION,
            shim_pid: self.own.pid,
            shim_start_time: self.own.start_time,
            state,
            label: self.label.clone(),
            exits: self.exits.iter().cloned().collect(),
            log: self.log.clone(),
        }
    }

    fn refuse(&mut self, command: Command, reason: String) {
        self.tell(&FromShim::Refused(Refusal { command, reason }));
    }
}

fn is_signal(stop: StopSpec) -> bool {
    Signal::from_named_raw(stop.signal).is_some()
}

fn no_signal(stop: StopSpec) -> String {
    format!("{} is not a signal", stop.signal)
}
