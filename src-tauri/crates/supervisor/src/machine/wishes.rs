//! What people and dependencies want: starts, stops, restarts, the gate.

use cockpit_model::{Code, InstanceState, Problem};

use super::io::{By, Effect, Held, Moment, Ticket};
use super::{Machine, Phase, Then, words};

impl Machine {
    pub(super) fn on_start(
        &mut self,
        now: Moment,
        by: By,
        ticket: Option<Ticket>,
        out: &mut Vec<Effect>,
    ) {
        self.wanted = true;
        self.calm(&by);
        if let Some(ticket) = ticket {
            self.tickets
                .up(ticket, now.mono.saturating_add(self.spec.start_timeout));
        }
        let reason = match by {
            By::Hand => "started by hand",
            By::Cockpit => "started with the cockpit",
        };
        match &mut self.phase {
            Phase::Off | Phase::Pausing(_) | Phase::Gated => {
                self.start_gated(now, reason.to_owned(), out);
            }
            Phase::Stopping(then) | Phase::Clearing(then) => {
                *then = Then::Start;
                self.reason = reason.to_owned();
            }
            Phase::Spawning => {}
            Phase::Running(_) | Phase::External(..) => self.settle_up(out),
        }
    }

    pub(super) fn on_stop(
        &mut self,
        now: Moment,
        by: &By,
        cause: String,
        ticket: Option<Ticket>,
        out: &mut Vec<Effect>,
    ) {
        let foreign = self.is_watched() || self.external().is_some();
        if foreign && *by == By::Hand {
            let problem = self.not_ours("stopped");
            out.extend(ticket.map(|t| Effect::Resolve(t, Err(problem))));
            return;
        }
        self.wanted = false;
        self.again = None;
        self.forget_outage(out);
        let stopped = Problem::new(
            Code::ActionFailed,
            format!("{} was stopped before it was ready", self.spec.name),
        );
        self.tickets.fail_up(&stopped, out);
        if let Some(ticket) = ticket {
            self.tickets.down(ticket);
        }
        match self.phase {
            Phase::Off | Phase::Gated | Phase::Pausing(_) | Phase::External(..) => {
                self.rest(now, InstanceState::Stopped, cause, out);
            }
            Phase::Running(_) if foreign => self.rest(now, InstanceState::Stopped, cause, out),
            Phase::Running(_) => {
                self.phase = Phase::Stopping(Then::Start);
                out.push(Effect::StopTree);
                self.enter(now, InstanceState::Stopping, cause, out);
            }
            Phase::Spawning | Phase::Stopping(_) | Phase::Clearing(_) => {
                self.enter(now, InstanceState::Stopping, cause, out);
            }
        }
    }

    pub(super) fn on_restart(
        &mut self,
        now: Moment,
        by: By,
        cause: String,
        ticket: Option<Ticket>,
        out: &mut Vec<Effect>,
    ) {
        let foreign = self.is_watched() || self.external().is_some();
        if foreign && by == By::Hand {
            let problem = self.not_ours("restarted");
            out.extend(ticket.map(|t| Effect::Resolve(t, Err(problem))));
            return;
        }
        self.wanted = true;
        self.calm(&by);
        if let Some(ticket) = ticket {
            let patience = self.spec.start_timeout.saturating_add(self.spec.stop.grace);
            self.tickets.up(ticket, now.mono.saturating_add(patience));
        }
        match &mut self.phase {
            Phase::Off | Phase::Gated | Phase::Pausing(_) | Phase::External(..) => {
                self.start_gated(now, cause, out);
            }
            Phase::Running(_) if foreign => self.start_gated(now, cause, out),
            Phase::Running(_) => {
                self.phase = Phase::Stopping(Then::Start);
                self.reason.clone_from(&cause);
                out.push(Effect::StopTree);
                self.enter(now, InstanceState::Stopping, cause, out);
            }
            Phase::Spawning => self.again = Some(cause),
            Phase::Stopping(then) | Phase::Clearing(then) => {
                *then = Then::Start;
                self.reason = cause;
            }
        }
    }

    pub(super) fn not_ours(&self, done: &str) -> Problem {
        match self.external() {
            Some(holder) => Problem::new(
                Code::NotOurs,
                format!(
                    "{} is run by {} and is not {done} unasked",
                    self.spec.name,
                    words::named(holder)
                ),
            )
            .remedy("take it over first, or use its owner's way"),
            None => Problem::new(
                Code::NotSupported,
                format!("{} is only watched and cannot be {done}", self.spec.name),
            ),
        }
    }

    /// A person looked at it: the past no longer counts.
    pub(super) fn calm(&mut self, by: &By) {
        if *by == By::Hand {
            self.backoff.reset();
            self.crashes.clear();
            self.conflicts = 0;
            if let Some(outage) = &mut self.outage {
                outage.stable = false;
            }
        }
    }

    pub(super) fn on_gate(&mut self, now: Moment, gate: Result<(), Held>, out: &mut Vec<Effect>) {
        let opened = self.gate.is_err() && gate.is_ok();
        self.gate = gate;
        match (&self.phase, &self.gate) {
            (Phase::Gated, _) => {
                let reason = std::mem::take(&mut self.reason);
                self.start_gated(now, reason, out);
            }
            // What it died of may be over: the dependency it lacked is back.
            (Phase::Pausing(_), _) if opened && self.state != InstanceState::Missing => {
                let reason = self.starting_again(&self.cause);
                self.start_now(now, reason, out);
            }
            _ => {}
        }
    }

    /// Starts it, or waits for what it depends on.
    pub(super) fn start_gated(&mut self, now: Moment, reason: String, out: &mut Vec<Effect>) {
        match self.gate.clone() {
            Ok(()) => self.start_now(now, reason, out),
            Err(held) => {
                self.phase = Phase::Gated;
                self.reason = reason;
                self.next_attempt_at = None;
                let cause = format!("waiting for {}", held.who);
                if let Some(hopeless) = &held.hopeless {
                    let problem =
                        Problem::new(Code::ActionFailed, format!("{} is {cause}", self.spec.name))
                            .remedy(hopeless.clone());
                    self.tickets.fail_up(&problem, out);
                }
                self.enter(now, InstanceState::Waiting, cause, out);
            }
        }
    }

    /// The only place that asks for a process: nothing may exist.
    pub(super) fn start_now(&mut self, now: Moment, reason: String, out: &mut Vec<Effect>) {
        self.phase = Phase::Spawning;
        self.next_attempt_at = None;
        if self.after_crash {
            self.after_crash = false;
            self.restarts = self.restarts.saturating_add(1);
        }
        self.reason.clone_from(&reason);
        out.push(Effect::Spawn);
        if !self.is_watched() {
            self.enter(now, InstanceState::Starting, reason, out);
        }
    }
}
