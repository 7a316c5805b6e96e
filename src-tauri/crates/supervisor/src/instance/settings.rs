//! New settings while it runs.
//!
//! What a process need not notice is in force at once. What it must be started with waits for [`Command::Renew`], so
//! that the instances of a service take turns; until then the instance is kept up as it was, also over a crash. Where
//! nothing runs there is nothing to wait for. Whether a process is outdated is judged by what it was started with, not
//! by what changed last: so a roll that stopped half-way, and an engine that finds processes of former settings, need
//! no memory of their own.

use std::sync::Arc;

use cockpit_model::spec::Run;
use cockpit_model::{InstanceState, ServiceSpec};

use super::{Actor, Command, Reply};
use crate::cell::Facts;
use crate::launch::fingerprint;
use crate::machine::{By, Input};

/// Another way to run the service is configured: what the old way runs is ended in the old way, and only then are the
/// new settings in force.
pub(super) struct Leaving {
    /// Whether it was wanted before.
    wanted: bool,
    /// What was asked for meanwhile.
    waiting: Vec<Command>,
}

impl Actor {
    /// Puts the cell's settings in force; `true` if the process that runs must be started anew for them instead.
    pub(super) fn reconfigure(&mut self) -> bool {
        if self.leaving.is_some() {
            // In force once the old way has ended.
            return false;
        }
        if self.is_outdated() {
            let runs = !self.machine.is_idle();
            if !runs {
                self.renew(None);
            }
            return runs;
        }
        if self.spec != self.cell.spec() {
            let old = self.put_in_force();
            if self.is_willing()
                && !old.autostart
                && self.machine.is_off()
                && self.machine.state() == InstanceState::Stopped
            {
                self.feed(Input::Start {
                    by: By::Cockpit,
                    ticket: None,
                });
            }
        }
        false
    }

    /// Starts it anew if its process was started with other settings; `reply` is told when it is ready.
    pub(super) fn renew(&mut self, reply: Option<Reply>) {
        if self.is_another_way() {
            self.leave(reply.map(|reply| Command::Renew { reply }));
            return;
        }
        let outdated = self.is_outdated();
        self.put_in_force();
        if !self.is_willing() || !(outdated || self.machine.wanted()) {
            if let Some(reply) = reply {
                let _ = reply.send(Ok(()));
            }
            return;
        }
        let ticket = self.ticket(reply);
        let by = By::Cockpit;
        self.feed(match outdated {
            true => Input::Restart {
                by,
                cause: "its settings changed".to_owned(),
                ticket,
            },
            false => Input::Start { by, ticket },
        });
    }

    /// What is started by hand is started with the newest settings, whosever turn it is. Gives the command back
    /// unless it has to wait for the end of the old way.
    pub(super) fn with_newest_settings(&mut self, command: Command) -> Option<Command> {
        let begins = match command {
            Command::Start { .. } | Command::TakeOver { .. } => self.machine.is_idle(),
            Command::Restart { .. } => true,
            Command::Renew { .. } => false,
            _ => return Some(command),
        };
        if let Some(leaving) = &mut self.leaving {
            leaving.waiting.push(command);
            return None;
        }
        if begins && self.is_another_way() {
            self.leave(Some(command));
            return None;
        }
        if begins && self.spec != self.cell.spec() {
            self.put_in_force();
        }
        Some(command)
    }

    fn is_another_way(&self) -> bool {
        std::mem::discriminant(&self.cell.spec().run) != std::mem::discriminant(&self.spec.run)
    }

    /// Whether what was started was started with other settings than the cell's.
    fn is_outdated(&self) -> bool {
        let newest = fingerprint(&self.cell.spec());
        match (&self.label, &self.spec.run) {
            (Some(label), Run::Process(_)) => label.fingerprint != newest,
            _ => fingerprint(&self.spec) != newest,
        }
    }

    /// Whether the cockpit may start it unasked.
    fn is_willing(&self) -> bool {
        !self.cell.manual_stop() && (self.machine.wanted() || self.spec.autostart)
    }

    fn leave(&mut self, then: Option<Command>) {
        self.leaving = Some(Leaving {
            wanted: self.machine.wanted(),
            waiting: then.into_iter().collect(),
        });
        self.feed(Input::Stop {
            by: By::Cockpit,
            cause: "its settings changed".to_owned(),
            ticket: None,
        });
    }

    /// Nothing of the old way is left: from now on it is run the new way.
    pub(super) fn run_the_new_way(&mut self, leaving: Leaving) {
        self.holder = None;
        self.inspect_at = None;
        self.label = None;
        self.cell.set_facts(Facts::default());
        self.put_in_force();
        if leaving.wanted && !self.cell.manual_stop() {
            let by = By::Cockpit;
            self.feed(Input::Start { by, ticket: None });
        } else if self.machine.is_off() {
            self.start_as_configured();
        }
        for command in leaving.waiting {
            self.on_command(command);
        }
    }

    /// The cell's settings are the instance's from now on; gives the former ones.
    fn put_in_force(&mut self) -> Arc<ServiceSpec> {
        let old = std::mem::replace(&mut self.spec, self.cell.spec());
        if old.has_own_ports() != self.spec.has_own_ports() {
            self.port = None;
        }
        self.assign_port();
        self.machine
            .reconfigure(Arc::clone(&self.spec), self.ready_words());
        if old.ready != self.spec.ready || old.live != self.spec.live {
            self.forget_probes();
        }
        if old.logs != self.spec.logs || old.stop != self.spec.stop {
            self.tell_settings();
        }
        self.look_at_gate();
        self.feed(Input::Tick);
        old
    }
}
