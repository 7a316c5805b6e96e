//! At the start: is it running already?
//!
//! A shim that answers is taken over, with its process, its exits and what we once told it (the label). A dead shim's
//! tree is ended before anything is started. Then the instance is started, unless it is not to be.

use std::time::Duration;

use cockpit_model::spec::Run;
use cockpit_model::{InstanceState, Timestamp};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::Actor;
use super::jobs::recover_blocking;
use crate::launch::{fingerprint, stop_spec};
use crate::machine::{By, Input, Machine};
use crate::shim_link::{FromShim, Label, State, Welcome, exit_of, find, micros};

/// What a shim is still ending may take so long.
const ENDING_WITHIN: Duration = Duration::from_secs(20);
/// The engine's start waits for a shim's answer at most this.
const LOOK_WITHIN: Duration = Duration::from_secs(5);

impl Actor {
    /// Looks for a shim in our seat and takes it over. `looked` is told as soon as it is known.
    pub(super) async fn look(&mut self, looked: oneshot::Sender<bool>) {
        if !matches!(self.spec.run, Run::Process(_)) || !self.seat.is_taken() {
            self.assign_port();
            let _ = looked.send(false);
            return;
        }
        // Nobody's start waits for the patience that one shim may need.
        let seat = self.seat.clone();
        let mut finding = std::pin::pin!(find(&seat));
        let mut looked = Some(looked);
        let mut tell = |found: bool| {
            if let Some(looked) = looked.take() {
                let _ = looked.send(found);
            }
        };
        let found = match timeout(LOOK_WITHIN, &mut finding).await {
            Ok(found) => found,
            Err(_) => {
                tell(false);
                finding.await
            }
        };
        match found {
            Some((link, welcome)) => {
                self.link = Some(link);
                self.shim_pid = Some(welcome.shim_pid);
                self.take(&welcome);
                tell(matches!(welcome.state, State::Running(_)));
                if welcome.state == State::Ending {
                    self.wait_for_the_end().await;
                }
            }
            None => {
                tell(false);
                self.assign_port();
                while let Err(why) =
                    recover_blocking(self.seat.clone(), stop_spec(&self.spec)).await
                {
                    self.shared.say(
                        "error",
                        format!(
                            "{}: what a dead shim left cannot be ended: {why}",
                            self.spec.name
                        ),
                    );
                    tokio::time::sleep(Duration::from_secs(5)).await;
                }
            }
        }
    }

    fn take(&mut self, welcome: &Welcome) {
        let label = Label::decode(&welcome.label);
        if let Some(label) = &label {
            self.machine = Machine::new(
                self.spec.clone(),
                self.index,
                String::new(),
                label.restarts,
                self.shared.now(),
            );
            if self.spec.has_own_ports() {
                // A process of former settings may be where somebody else is to listen from now on.
                let own = label
                    .port
                    .filter(|port| self.spec.listen_port() != Some(*port));
                self.lease = own.and_then(|port| self.shared.ports.claim(port));
                self.port = own;
            }
        }
        self.assign_port();
        let same = label
            .as_ref()
            .is_some_and(|label| label.fingerprint == fingerprint(&self.spec));
        match welcome.state {
            State::Running(running) => {
                let started_at = micros(running.since_micros);
                self.label = Some(label.unwrap_or_else(|| Label {
                    service: self.spec.name.clone(),
                    instance: self.index,
                    // None of ours: it is started anew.
                    ..Label::default()
                }));
                // They may have changed while no engine was there.
                self.tell_settings();
                self.found(running.pid, started_at);
                // Older ones that nobody heard of.
                self.unacked
                    .extend(welcome.exits.iter().map(|exit| exit.id));
                if self.cell.manual_stop() {
                    let cause = "stopped by hand".to_owned();
                    self.feed(Input::Stop {
                        by: By::Cockpit,
                        cause,
                        ticket: None,
                    });
                }
            }
            State::Empty | State::Ending => {
                self.unacked
                    .extend(welcome.exits.iter().map(|exit| exit.id));
                let Some(last) = welcome.exits.last() else {
                    return;
                };
                let exit = exit_of(last);
                if self.spec.kind == cockpit_model::spec::Kind::Task && exit.code == Some(0) {
                    if same {
                        self.feed(Input::FoundDone);
                    }
                } else if same && !last.requested && !self.cell.manual_stop() {
                    // It died while no engine was there: judged as if we had seen it.
                    let started_at = label.map_or(exit.at, |label| label.started_at);
                    self.found(last.pid, started_at);
                    let tree_empty = welcome.state == State::Empty;
                    self.feed(Input::Exited { exit, tree_empty });
                }
            }
        }
    }

    fn found(&mut self, pid: u32, started_at: Timestamp) {
        let uptime = Timestamp::now().duration_since(started_at);
        self.feed(Input::Spawned {
            pid: Some(pid),
            started_at,
            // Never quite zero: it ran before we looked.
            uptime: Duration::try_from(uptime)
                .unwrap_or_default()
                .max(Duration::from_millis(1)),
            adopted: true,
        });
    }

    async fn wait_for_the_end(&mut self) {
        let Some(link) = &mut self.link else { return };
        let end = async {
            loop {
                match link.next().await {
                    Ok(messages) if messages.contains(&FromShim::TreeEmpty) => return,
                    Ok(_) => {}
                    Err(_) => return,
                }
            }
        };
        let _ = timeout(ENDING_WITHIN, end).await;
        self.feed(Input::TreeEmpty);
    }

    /// After the look: what is not running and should be is started.
    pub(super) fn begin(&mut self) {
        self.look_at_gate();
        if !self.machine.is_off() || self.machine.state() == InstanceState::Done {
            return;
        }
        match self.spec.run {
            Run::Driver => self.first_look(),
            Run::Process(_) | Run::Watch => self.start_as_configured(),
        }
    }

    pub(super) fn start_as_configured(&mut self) {
        let by = By::Cockpit;
        let watched = self.spec.run == Run::Watch;
        if self.cell.manual_stop() && !watched {
            let cause = "stopped by hand".to_owned();
            self.feed(Input::Stop {
                by,
                cause,
                ticket: None,
            });
        } else if !self.spec.autostart && !watched {
            let cause = "not started with the cockpit (autostart = false)".to_owned();
            self.feed(Input::Stop {
                by,
                cause,
                ticket: None,
            });
        } else {
            self.feed(Input::Start { by, ticket: None });
        }
    }
}
