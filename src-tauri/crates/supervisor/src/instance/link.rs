//! Talking with the shim: spawns, stops, deaths, and the loss of the shim itself.

use std::net::IpAddr;
use std::time::Duration;

use cockpit_model::spec::Run;
use cockpit_model::{Code, Problem, Timestamp};
use tokio::time::Instant;

use super::jobs::Done;
use super::{Actor, PATIENCE};
use crate::launch::{Launch, log_spec, resolved, stop_spec};
use crate::machine::{Input, SpawnFailure};
use crate::ports::{self, Lease};
use crate::probe;
use crate::shim_link::{
    self, FromShim, Label, LogSpec, SILENCE, SpawnError, SpawnErrorKind, State, ToShim, Welcome,
    exit_of, micros,
};

impl Actor {
    pub(super) fn log_spec(&self) -> LogSpec {
        log_spec(&self.shared.parts.log_dir, &self.spec, self.index)
    }

    pub(super) fn ready_words(&self) -> String {
        probe::passing(self.spec.ready.as_ref().map(|p| &p.check), self.port)
    }

    /// The instance's port: of its own if the service's is somebody else's to bind, else that.
    pub(super) fn assign_port(&mut self) {
        if self.spec.has_own_ports() {
            if self.port.is_none() {
                self.lease = self.shared.ports.pick(&self.spec.name, self.index);
                self.port = self.lease.as_ref().map(Lease::port);
            }
        } else {
            self.lease = None;
            self.port = self.spec.listen_port();
        }
        self.launch = Launch::new(self.spec.clone(), self.port, self.shared.env());
        self.driver = (self.shared.parts.drivers)(&resolved(&self.spec, self.port));
        let words = self.ready_words();
        self.machine.reconfigure(self.spec.clone(), words);
    }

    fn bind_ip(&self) -> IpAddr {
        match (&self.spec.listen, self.spec.has_own_ports()) {
            (Some(listen), false) => ports::ip_of(listen),
            _ => ports::ip_of("127.0.0.1:0"),
        }
    }

    pub(super) fn port_is_taken(&self) -> bool {
        self.port
            .is_some_and(|port| ports::is_taken(self.bind_ip(), port))
    }

    /// Carries out [`crate::machine::Effect::Spawn`].
    pub(super) fn spawn(&mut self) {
        match &self.spec.run {
            Run::Watch => self.inputs.push_back(Input::Spawned {
                pid: None,
                started_at: Timestamp::now(),
                uptime: Duration::ZERO,
                adopted: false,
            }),
            Run::Driver => self.driver_up(),
            Run::Process(_) => self.spawn_process(),
        }
    }

    pub(super) fn spawn_process(&mut self) {
        if !self.machine.wanted() {
            let name = &self.spec.name;
            self.spawn_failed(Problem::new(
                Code::ActionFailed,
                format!("{name} is not wanted any more"),
            ));
            return;
        }
        if let Some(waits) = &mut self.closing {
            *waits = true;
            return;
        }
        if self.port_is_taken() {
            if self.spec.has_own_ports() {
                self.port = None;
                self.assign_port();
            } else {
                self.ask_holder();
                return;
            }
        }
        self.holder = None;
        if self.link.is_none() {
            self.open_shim();
            return;
        }
        self.send_spawn();
    }

    fn send_spawn(&mut self) {
        self.acknowledge();
        let stop = stop_spec(&self.spec);
        let label = Label {
            service: self.spec.name.clone(),
            instance: self.index,
            port: self.port,
            fingerprint: self.launch.fingerprint().to_owned(),
            started_at: Timestamp::now(),
            restarts: self.machine.restarts(),
            stop_signal: stop.signal,
            stop_grace_ms: stop.grace_ms,
            log_seen: None,
        };
        let log = self.log_spec();
        let encoded = label.encode();
        self.label = Some(label);
        match self.launch.spawn(log.clone(), encoded) {
            Ok(spawn) => {
                if let Some(link) = &mut self.link {
                    // A new shim does not know the log yet.
                    link.queue(&ToShim::SetLog(log));
                    let text = self.machine.reason().to_owned();
                    link.queue(&ToShim::Remark { text });
                }
                self.watchdog = Some(Instant::now() + PATIENCE);
                self.send(&ToShim::Spawn(Box::new(spawn)));
            }
            Err(problem) => self.spawn_failed(problem),
        }
    }

    /// Changes what the shim keeps about the process it runs, for whoever comes after us.
    pub(super) fn relabel(&mut self, change: impl FnOnce(&mut Label)) {
        let Some(label) = &mut self.label else { return };
        let before = label.clone();
        change(label);
        if *label != before {
            let label = label.encode();
            self.send(&ToShim::SetLabel { label });
        }
    }

    /// What the shim must know of the settings without being asked to do anything: where its log goes, and how its
    /// tree is ended, should the machine shut down or the service leave the configuration while no engine runs.
    pub(super) fn tell_settings(&mut self) {
        let (log, stop) = (self.log_spec(), stop_spec(&self.spec));
        self.send(&ToShim::SetLog(log));
        self.send(&ToShim::SetStop(stop));
        self.relabel(|label| {
            label.stop_signal = stop.signal;
            label.stop_grace_ms = stop.grace_ms;
        });
    }

    /// Carries out [`crate::machine::Effect::StopTree`].
    pub(super) fn stop_tree(&mut self) {
        self.stop_problem = None;
        if !matches!(self.spec.run, Run::Process(_)) {
            self.driver_down();
            return;
        }
        let stop = stop_spec(&self.spec);
        self.watchdog = Some(Instant::now() + Duration::from_millis(stop.grace_ms) + PATIENCE);
        match self.link.is_some() {
            true => self.send(&ToShim::Stop(stop)),
            false => self.inputs.push_back(Input::ShimLost {
                cause: "no connection to it".to_owned(),
            }),
        }
    }

    pub(super) fn acknowledge(&mut self) {
        for id in std::mem::take(&mut self.unacked) {
            self.send(&ToShim::AckExit { id });
        }
    }

    pub(super) fn on_messages(&mut self, messages: Vec<FromShim>) {
        let mut messages = messages.into_iter().peekable();
        while let Some(message) = messages.next() {
            match message {
                FromShim::Started(started) => {
                    self.quiet();
                    self.feed(Input::Spawned {
                        pid: Some(started.pid),
                        started_at: micros(started.at_micros),
                        uptime: Duration::ZERO,
                        adopted: false,
                    });
                }
                FromShim::SpawnFailed(error) => {
                    self.quiet();
                    self.feed(Input::SpawnFailed(self.failure(error)));
                }
                FromShim::Exited(exit) => {
                    // Both in one breath: no state between.
                    let tree_empty = messages
                        .next_if(|m| matches!(m, FromShim::TreeEmpty))
                        .is_some();
                    if tree_empty {
                        self.quiet();
                    }
                    self.unacked.push(exit.id);
                    let exit = exit_of(&exit);
                    self.feed(Input::Exited { exit, tree_empty });
                }
                FromShim::TreeEmpty => {
                    self.quiet();
                    self.feed(Input::TreeEmpty);
                }
                FromShim::Refused(refusal) => {
                    tracing::warn!(service = %self.spec.name, "the shim refused {:?}: {}", refusal.command, refusal.reason);
                    if refusal.command == cockpit_shim::protocol::Command::Spawn {
                        self.quiet();
                        let problem =
                            Problem::new(Code::ActionFailed, "the shim refused to start it")
                                .detail(refusal.reason);
                        self.feed(Input::SpawnFailed(SpawnFailure::Other(problem)));
                    }
                }
                FromShim::Lingering { pids } => {
                    let pids: Vec<_> = pids.iter().map(u32::to_string).collect();
                    self.shared.say(
                        "warning",
                        format!(
                            "{}: processes {} do not end, not even by SIGKILL",
                            self.spec.name,
                            pids.join(", ")
                        ),
                    );
                    if self.watchdog.is_some() {
                        self.watchdog = Some(Instant::now() + PATIENCE * 6);
                    }
                }
                FromShim::LogHealth {
                    problem: Some(problem),
                    ..
                } => {
                    self.shared.say(
                        "warning",
                        format!("{}: its log cannot be written: {problem}", self.spec.name),
                    );
                }
                FromShim::LogHealth {
                    problem: None,
                    dropped_lines,
                } => {
                    self.shared.say(
                        "warning",
                        format!(
                            "{}: its log is written again; {dropped_lines} lines were lost",
                            self.spec.name
                        ),
                    );
                }
                FromShim::Welcome(_)
                | FromShim::Line(_)
                | FromShim::Lost { .. }
                | FromShim::Pong { .. }
                | FromShim::Unknown(_) => {}
            }
        }
    }

    /// The shim answered.
    fn quiet(&mut self) {
        self.watchdog = None;
        self.woken_shim = false;
    }

    fn failure(&self, error: SpawnError) -> SpawnFailure {
        let program = self.launch.command().into_iter().next().unwrap_or_default();
        if error.kind == SpawnErrorKind::NotFound && !error.text.contains("interpreter") {
            return SpawnFailure::Missing { program };
        }
        let remedy = match error.kind {
            SpawnErrorKind::NotFound => "install the interpreter its first line names",
            SpawnErrorKind::Permission => "make it executable (chmod +x) and readable",
            SpawnErrorKind::Cwd => "check `cwd` in the configuration",
            SpawnErrorKind::Other => "look at its log",
        };
        let problem = Problem::new(Code::ActionFailed, format!("{program} cannot be started"))
            .detail(error.text)
            .remedy(remedy);
        SpawnFailure::Other(problem)
    }

    pub(super) fn on_link_lost(&mut self, error: &std::io::Error) {
        let Some(link) = self.link.take() else { return };
        tracing::debug!(service = %self.spec.name, "the link to the shim ended: {error}");
        self.shim_pid = None;
        if self.machine.is_idle() {
            return;
        }
        self.reconnect(link.shim());
    }

    /// The watchdog: something was asked and nothing came. A shim may have been stopped by hand (SIGSTOP): it is woken
    /// once; one that stays silent is ended, and its tree with it.
    pub(super) fn shim_is_silent(&mut self) {
        shim_link::wake(&self.seat);
        if !std::mem::replace(&mut self.woken_shim, true) {
            self.watchdog = Some(Instant::now() + SILENCE);
            return;
        }
        self.quiet();
        self.link = None;
        self.shim_pid = None;
        self.feed(Input::ShimLost {
            cause: "it does not answer".to_owned(),
        });
    }

    /// A new connection to the same shim: what happened meanwhile is caught up.
    pub(super) fn catch_up(&mut self, welcome: Welcome) {
        self.quiet();
        self.shim_pid = Some(welcome.shim_pid);
        let missed: Vec<_> = welcome
            .exits
            .iter()
            .filter(|e| !self.unacked.contains(&e.id))
            .cloned()
            .collect();
        for exit in missed {
            self.unacked.push(exit.id);
            // It began and ended while we could not listen.
            if self.machine.pid() != Some(exit.pid) {
                self.feed(Input::Spawned {
                    pid: Some(exit.pid),
                    started_at: Timestamp::now(),
                    uptime: Duration::ZERO,
                    adopted: false,
                });
            }
            let exit = exit_of(&exit);
            self.feed(Input::Exited {
                exit,
                tree_empty: false,
            });
        }
        match welcome.state {
            State::Running(running) if self.machine.pid() == Some(running.pid) => {
                // They may have changed while it could not be told.
                self.tell_settings();
                if self.machine.is_stopping() && !running.stopping {
                    self.stop_tree();
                }
            }
            State::Running(running) => self.feed(Input::Spawned {
                pid: Some(running.pid),
                started_at: micros(running.since_micros),
                uptime: Duration::ZERO,
                adopted: false,
            }),
            State::Empty => {
                // The end of the tree may itself ask for a spawn: that one is not answered here.
                let spawning = self.machine.is_spawning();
                self.feed(Input::TreeEmpty);
                if spawning {
                    let problem = Problem::new(
                        Code::ActionFailed,
                        "the shim was lost while it was starting",
                    );
                    self.feed(Input::SpawnFailed(SpawnFailure::Other(problem)));
                }
            }
            State::Ending => {}
        }
    }

    pub(super) fn on_opened(&mut self, opened: std::io::Result<(shim_link::Link, Welcome)>) {
        match opened {
            Ok((link, welcome)) => {
                self.shim_pid = Some(link.shim_pid());
                self.link = Some(link);
                match welcome.state {
                    State::Empty => self.spawn_process(),
                    // Something of a former life is still there: end it, then start.
                    State::Running(_) | State::Ending => {
                        self.link = None;
                        self.inputs.push_back(Input::ShimLost {
                            cause: "it still had another process".to_owned(),
                        });
                    }
                }
            }
            Err(error) => {
                let problem = Problem::new(
                    Code::Internal,
                    format!("{}: its shim cannot be started", self.spec.name),
                )
                .detail(error.to_string())
                .remedy("check that the data folder is writable and the disk is not full");
                self.spawn_failed(problem);
            }
        }
        self.feed(Input::Tick);
    }

    pub(super) fn recovered(&mut self, outcome: Result<(), String>) {
        match outcome {
            Ok(()) => self.feed(Input::TreeEmpty),
            Err(why) => {
                self.shared.say(
                    "error",
                    format!(
                        "{}: what a dead shim left cannot be ended: {why}",
                        self.spec.name
                    ),
                );
                self.recover(Duration::from_secs(5));
            }
        }
    }

    pub(super) fn on_reconnected(&mut self, outcome: Result<(shim_link::Link, Welcome), String>) {
        match outcome {
            Ok((link, welcome)) => {
                self.link = Some(link);
                self.catch_up(welcome);
            }
            Err(cause) => {
                self.quiet();
                self.feed(Input::ShimLost { cause });
            }
        }
    }

    /// Ends the shim of an instance that is at rest. A finished task's shim stays: it remembers that it is done.
    pub(super) fn dismiss_shim(&mut self) {
        self.acknowledge();
        let Some(mut link) = self.link.take() else {
            return;
        };
        self.shim_pid = None;
        let text = self.machine.cause().to_owned();
        link.queue(&ToShim::Remark { text });
        if link.send(&ToShim::Quit).is_err() {
            return;
        }
        self.closing = Some(false);
        self.jobs.push(Box::pin(async move {
            link.closed(Duration::from_secs(3)).await;
            Done::Closed
        }));
    }
}
