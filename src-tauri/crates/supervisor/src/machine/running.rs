//! A process that runs: its beginning, its probes, its memory.

use std::time::Duration;

use cockpit_model::spec::{Kind, LimitAction, RestartPolicy};
use cockpit_model::{EventBody, InstanceState, Timestamp};

use super::health::Turn;
use super::io::{Effect, Moment};
use super::{MEMORY_SAMPLES, Machine, Phase, Process, Then, threshold, words};

impl Machine {
    pub(super) fn on_spawned(
        &mut self,
        now: Moment,
        pid: Option<u32>,
        started_at: Timestamp,
        uptime: Duration,
        adopted: bool,
        out: &mut Vec<Effect>,
    ) {
        let expected = matches!(self.phase, Phase::Spawning) || (adopted && self.is_idle());
        if !expected {
            return;
        }
        self.pid = pid;
        self.started_at = Some(started_at);
        self.conflicts = 0;
        if adopted {
            self.wanted = true;
            self.reason = match pid {
                Some(pid) => format!("found running (pid {pid})"),
                None => "found running".to_owned(),
            };
        }
        if let Some(pid) = pid {
            out.push(Effect::Event(EventBody::InstanceStarted {
                service: self.spec.name.clone(),
                instance: self.index,
                pid,
                adopted,
            }));
        }
        self.phase = Phase::Running(self.process(now, started_at, uptime));
        if !self.wanted {
            self.phase = Phase::Stopping(Then::Start);
            out.push(Effect::StopTree);
            return;
        }
        if let Some(cause) = self.again.take() {
            self.phase = Phase::Stopping(Then::Start);
            out.push(Effect::StopTree);
            self.enter(now, InstanceState::Stopping, cause, out);
            return;
        }
        self.tickets.fail_down(&self.spec.name, out);
        if self.is_unprobed() {
            self.became_ready(now, out);
        } else if !self.is_watched() {
            let reason = self.reason.clone();
            self.enter(now, InstanceState::Starting, reason, out);
        }
    }

    /// Its readiness probe was removed while it was not ready: now it is, as it runs.
    pub(super) fn lacks_nothing(&self) -> bool {
        let unprobed = self.is_unprobed();
        let waiting = matches!(
            self.state,
            InstanceState::Starting | InstanceState::Degraded
        );
        matches!(&self.phase, Phase::Running(p) if p.ready.error().is_none()) && unprobed && waiting
    }

    pub(super) fn process(&self, now: Moment, started_at: Timestamp, before: Duration) -> Process {
        Process {
            since: now.mono,
            before,
            started_at,
            ready: threshold(self.spec.ready.as_ref()),
            live: threshold(self.spec.live.as_ref()),
            ever_ready: false,
            lived: false,
            adopted: !before.is_zero(),
            overdue: false,
            observed: None,
            over: 0,
            under: 0,
            excursion: false,
        }
    }

    pub(super) fn on_ready_sample(
        &mut self,
        now: Moment,
        outcome: Result<(), String>,
        out: &mut Vec<Effect>,
    ) {
        let forgiving = now.mono < self.forgive_until;
        let (Phase::Running(process) | Phase::External(_, process)) = &mut self.phase else {
            return;
        };
        let outcome = match (outcome, &process.observed) {
            (Ok(()), Some(error)) => Err(error.clone()),
            (outcome, _) => outcome,
        };
        if outcome.is_err() && forgiving {
            return;
        }
        match process.ready.sample(outcome) {
            Some(Turn::Up) => self.became_ready(now, out),
            _ => self.show_unready(now, out),
        }
    }

    pub(super) fn on_observed(
        &mut self,
        now: Moment,
        ready: Option<Result<(), String>>,
        out: &mut Vec<Effect>,
    ) {
        let Some(ready) = ready else { return };
        let (Phase::Running(process) | Phase::External(_, process)) = &mut self.phase else {
            return;
        };
        process.observed = ready.as_ref().err().cloned();
        if self.spec.ready.is_none() {
            self.on_ready_sample(now, ready, out);
        }
    }

    pub(super) fn became_ready(&mut self, now: Moment, out: &mut Vec<Effect>) {
        let external = self.external().map(words::named);
        let (Phase::Running(process) | Phase::External(_, process)) = &mut self.phase else {
            return;
        };
        if self.spec.kind == Kind::Task {
            return;
        }
        let first = !std::mem::replace(&mut process.ever_ready, true) && !process.adopted;
        let cause = match external {
            Some(owner) => format!("run by {owner}; {}", self.ready_words),
            None => self.ready_words.clone(),
        };
        self.enter(now, InstanceState::Ready, cause, out);
        if first {
            out.push(Effect::AfterReady);
        }
        self.settle_up(out);
    }

    /// Not ready, or not sure: the state and the words that say so.
    pub(super) fn show_unready(&mut self, now: Moment, out: &mut Vec<Effect>) {
        let external = self.external().is_some();
        let (Phase::Running(process) | Phase::External(_, process)) = &self.phase else {
            return;
        };
        let Some(error) = process.ready.error() else {
            return;
        };
        let times = words::times(process.ready.failed());
        let (verdict, settled) = (
            process.ready.verdict(),
            process.ever_ready || process.overdue,
        );
        let watched = self.is_watched() || external;
        let cause = match external {
            true => format!(
                "run by {}; readiness: {error}{times}",
                self.external().map(words::named).unwrap_or_default()
            ),
            false => format!("readiness: {error}{times}"),
        };
        match verdict {
            Some(true) => {}
            Some(false) if settled || watched => {
                self.enter(now, InstanceState::Degraded, cause, out);
            }
            _ if watched => self.enter(now, InstanceState::Unknown, cause, out),
            _ if settled => self.enter(now, InstanceState::Degraded, cause, out),
            _ => {
                let cause = format!("{}; {cause}", self.reason);
                self.enter(now, InstanceState::Starting, cause, out);
            }
        }
    }

    pub(super) fn on_live_sample(
        &mut self,
        now: Moment,
        outcome: Result<(), String>,
        out: &mut Vec<Effect>,
    ) {
        if let (Ok(()), Phase::Running(process)) = (&outcome, &mut self.phase) {
            process.lived = true;
        }
        let judged = self.judges_liveness(now) && now.mono >= self.forgive_until;
        let Phase::Running(process) = &mut self.phase else {
            return;
        };
        if !judged {
            process.live.forgive();
            return;
        }
        match process.live.sample(outcome) {
            Some(Turn::Down) => {}
            // One that may not be restarted healed by itself.
            Some(Turn::Up) if self.state == InstanceState::Failing => {
                match process.ready.error() {
                    None => self.became_ready(now, out),
                    Some(_) => self.show_unready(now, out),
                }
                return;
            }
            _ => return,
        }
        let Phase::Running(process) = &self.phase else {
            return;
        };
        let error = process.live.error().unwrap_or_default();
        let cause = format!("liveness: {error}{}", words::times(process.live.failed()));
        let uptime = process.uptime(now);
        if self.spec.restart.policy == RestartPolicy::Never || self.is_watched() {
            let cause = format!("{cause}; not restarted (policy never)");
            self.enter(now, InstanceState::Failing, cause, out);
            return;
        }
        self.end_and_judge(now, InstanceState::Failing, cause, uptime, out);
    }

    pub(super) fn end_and_judge(
        &mut self,
        now: Moment,
        state: InstanceState,
        cause: String,
        uptime: Duration,
        out: &mut Vec<Effect>,
    ) {
        self.phase = Phase::Stopping(Then::Judge {
            cause: cause.clone(),
            uptime,
            clean: false,
            forced: true,
        });
        self.fell(now);
        out.push(Effect::StopTree);
        self.enter(now, state, cause, out);
    }

    pub(super) fn on_memory(&mut self, now: Moment, used: u64, out: &mut Vec<Effect>) {
        let Some(limit) = self.spec.limits.memory else {
            return;
        };
        let restart = self.spec.limits.action == LimitAction::Restart
            && self.spec.restart.policy != RestartPolicy::Never;
        let Phase::Running(process) = &mut self.phase else {
            return;
        };
        if used <= limit {
            process.over = 0;
            process.under = process.under.saturating_add(1);
            if process.under >= MEMORY_SAMPLES {
                process.excursion = false;
            }
            return;
        }
        process.under = 0;
        process.over = process.over.saturating_add(1);
        if process.over < MEMORY_SAMPLES || process.excursion {
            return;
        }
        process.excursion = true;
        let uptime = process.uptime(now);
        out.push(Effect::Event(EventBody::MemoryLimit {
            service: self.spec.name.clone(),
            instance: self.index,
            used_bytes: used,
            limit_bytes: limit,
            action: if restart { "restart" } else { "notify" }.to_owned(),
        }));
        if restart {
            let cause = format!(
                "memory: {} is over the limit of {}",
                words::bytes(used),
                words::bytes(limit)
            );
            self.end_and_judge(now, InstanceState::Stopping, cause, uptime, out);
        }
    }
}
