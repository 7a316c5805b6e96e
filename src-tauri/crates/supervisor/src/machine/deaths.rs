//! What follows an end: the restart policy, the crash loop, the outage a person hears of.

use std::time::Duration;

use cockpit_model::spec::RestartPolicy;
use cockpit_model::{Code, EventBody, Exit, InstanceState, Problem};

use super::io::{Effect, Moment, SpawnFailure};
use super::{CONFLICT_MAX, Machine, Phase, Then, words};

/// From the first death until it is well again.
#[derive(Debug, Clone)]
pub(super) struct Outage {
    since: Duration,
    announced: bool,
    /// Over only after a stable run, not at the first readiness: it was a crash loop.
    pub(super) stable: bool,
}

impl Machine {
    pub(super) fn on_exited(
        &mut self,
        now: Moment,
        chance: f64,
        exit: Exit,
        tree_empty: bool,
        out: &mut Vec<Effect>,
    ) {
        let expected = match &self.phase {
            Phase::Running(_) => false,
            Phase::Stopping(_) | Phase::Clearing(_) => true,
            // Told again after a reconnection, or not ours.
            _ => return,
        };
        if let Some(pid) = self.pid {
            out.push(Effect::Event(EventBody::InstanceExit {
                service: self.spec.name.clone(),
                instance: self.index,
                pid,
                exit: exit.clone(),
                expected,
            }));
        }
        self.pid = None;
        if let Phase::Running(process) = &self.phase {
            let uptime = match process.before.is_zero() {
                true => process.uptime(now),
                // It may have died while nobody looked: the process table's clock decides.
                false => Duration::try_from(exit.at.duration_since(process.started_at))
                    .unwrap_or_default(),
            };
            let cause = words::death(&exit, uptime);
            let clean = exit.code == Some(0);
            self.fell(now);
            if !tree_empty {
                let cause = format!("{cause}; ending what it left behind");
                self.enter(now, InstanceState::BackingOff, cause, out);
            }
            self.phase = Phase::Clearing(Then::Judge {
                cause,
                uptime,
                clean,
                forced: false,
            });
        }
        self.last_exit = Some(exit);
        if tree_empty {
            self.on_tree_empty(now, chance, out);
        }
    }

    pub(super) fn on_tree_empty(&mut self, now: Moment, chance: f64, out: &mut Vec<Effect>) {
        let (Phase::Stopping(then) | Phase::Clearing(then)) = &self.phase else {
            return;
        };
        let then = then.clone();
        self.pid = None;
        self.started_at = None;
        if !self.wanted {
            let cause = self.cause.clone();
            self.rest(now, InstanceState::Stopped, cause, out);
            return;
        }
        self.tickets.resolve_down(out);
        match then {
            Then::Start => {
                let reason = std::mem::take(&mut self.reason);
                self.start_gated(now, reason, out);
            }
            Then::Judge {
                cause,
                uptime,
                clean,
                forced,
            } => {
                self.judge(now, chance, cause, uptime, (clean, forced), out);
            }
        }
    }

    pub(super) fn on_shim_lost(&mut self, now: Moment, cause: String, out: &mut Vec<Effect>) {
        let cause = format!("its shim ended: {cause}");
        let then = match &self.phase {
            Phase::Off | Phase::Gated | Phase::Pausing(_) | Phase::External(..) => return,
            Phase::Stopping(then) | Phase::Clearing(then) => then.clone(),
            Phase::Running(p) => Then::Judge {
                cause: cause.clone(),
                uptime: p.uptime(now),
                clean: false,
                forced: false,
            },
            Phase::Spawning => Then::Judge {
                cause: cause.clone(),
                uptime: Duration::ZERO,
                clean: false,
                forced: false,
            },
        };
        self.phase = Phase::Clearing(then);
        out.push(Effect::RecoverTree);
        if self.wanted {
            self.fell(now);
            self.enter(now, InstanceState::BackingOff, cause, out);
        }
    }

    /// What the policy says. `(clean, forced)`: it ended with code 0; we ended it for its health.
    fn judge(
        &mut self,
        now: Moment,
        chance: f64,
        cause: String,
        uptime: Duration,
        (clean, forced): (bool, bool),
        out: &mut Vec<Effect>,
    ) {
        if uptime >= self.spec.restart.reset_after {
            self.backoff.reset();
        }
        if self.is_task() && clean {
            let cause = format!("finished after {}", words::span(uptime));
            self.rest(now, InstanceState::Done, cause, out);
            self.settle_up(out);
            return;
        }
        let stays_down = match self.spec.restart.policy {
            RestartPolicy::Always => None,
            RestartPolicy::OnFailure => (clean && !forced).then_some("on_failure"),
            RestartPolicy::Never => (!forced).then_some("never"),
        };
        if let Some(policy) = stays_down {
            let cause = format!("{cause}; not restarted (policy {policy})");
            self.fail_tickets(&cause, out);
            if clean {
                self.forget_outage(out);
            } else {
                self.announce(now, &cause, out);
            }
            self.rest(now, InstanceState::Stopped, cause, out);
            return;
        }
        let cause = match &self.gate {
            Ok(()) => cause,
            Err(held) => format!("{cause}; not ready meanwhile: {}", held.who),
        };
        self.fell(now);
        let looping = self.crashes.crashed(now.mono);
        if self.gives_up(now, &cause, out) {
            return;
        }
        self.after_crash = true;
        let delay = self.backoff.next(chance);
        if !looping {
            self.pause(now, delay, InstanceState::BackingOff, cause, out);
            return;
        }
        let within = self.crashes.within(now.mono, Duration::from_secs(600));
        let cause = format!("crashed {within} times in 10 min, last: {cause}");
        if let Some(outage) = &mut self.outage {
            outage.stable = true;
        }
        self.announce(now, &cause, out);
        self.fail_tickets(&cause, out);
        let cap = self.spec.restart.max_delay.max(Duration::from_millis(1));
        let delay = cap
            .mul_f64(0.5 + chance.clamp(0.0, 1.0))
            .min(cap)
            .max(delay);
        self.pause(now, delay, InstanceState::CrashLooping, cause, out);
    }

    /// Whether the person's limit of restarts is used up.
    fn gives_up(&mut self, now: Moment, cause: &str, out: &mut Vec<Effect>) -> bool {
        let Some(max) = self.spec.restart.max_restarts else {
            return false;
        };
        if self.backoff.attempts() < max {
            return false;
        }
        let cause = format!("gave up after {max} restarts: {cause}");
        self.announce(now, &cause, out);
        self.fail_tickets(&cause, out);
        self.rest(now, InstanceState::CrashLooping, cause, out);
        true
    }

    fn pause(
        &mut self,
        now: Moment,
        delay: Duration,
        state: InstanceState,
        cause: String,
        out: &mut Vec<Effect>,
    ) {
        self.pid = None;
        self.started_at = None;
        if delay.is_zero() {
            self.start_now(now, self.starting_again(&cause), out);
            return;
        }
        self.phase = Phase::Pausing(now.mono.saturating_add(delay));
        self.next_attempt_at = now.wall.checked_add(delay).ok();
        self.enter(now, state, cause, out);
    }

    /// Why it is being started, in words.
    pub(super) fn starting_again(&self, cause: &str) -> String {
        match self.backoff.attempts() {
            0 => format!("starting again: {cause}"),
            attempt => format!("starting again (attempt {attempt}): {cause}"),
        }
    }

    pub(super) fn on_spawn_failed(
        &mut self,
        now: Moment,
        chance: f64,
        failure: SpawnFailure,
        out: &mut Vec<Effect>,
    ) {
        if !matches!(self.phase, Phase::Spawning) {
            return;
        }
        self.again = None;
        if !self.wanted {
            let cause = self.cause.clone();
            self.rest(now, InstanceState::Stopped, cause, out);
            return;
        }
        self.tickets.resolve_down(out);
        self.fell(now);
        match failure {
            SpawnFailure::Missing { program } => {
                let cause = format!("`{program}` is not on this machine");
                let problem =
                    Problem::new(Code::CommandMissing, format!("{}: {cause}", self.spec.name))
                        .remedy("install it, or write its full path into `command`");
                self.tickets.fail_up(&problem, out);
                self.announce(now, &cause, out);
                let delay = self.spec.restart.max_delay.max(Duration::from_secs(1));
                self.pause(now, delay, InstanceState::Missing, cause, out);
            }
            SpawnFailure::PortHeld {
                holder: Some(holder),
                stands_in: true,
                ..
            } => {
                self.forget_outage(out);
                self.pid = holder.pid;
                let cause = format!("run by {}", words::named(&holder));
                let process = self.process(now, now.wall, Duration::ZERO);
                let no_probe = self.spec.ready.is_none();
                self.phase = Phase::External(holder, process);
                self.enter(now, InstanceState::Unknown, cause, out);
                if no_probe {
                    self.became_ready(now, out);
                }
            }
            SpawnFailure::PortHeld { port, holder, .. } => {
                let cause = words::conflict(port, holder.as_ref());
                let problem =
                    Problem::new(Code::PortConflict, format!("{}: {cause}", self.spec.name))
                        .remedy("stop that process, or give the service another port in `listen`");
                self.tickets.fail_up(&problem, out);
                let factor = 1_u32.checked_shl(self.conflicts).unwrap_or(u32::MAX);
                self.conflicts = self.conflicts.saturating_add(1).min(16);
                let delay = Duration::from_secs(1)
                    .saturating_mul(factor)
                    .min(CONFLICT_MAX);
                self.pause(now, delay, InstanceState::BackingOff, cause, out);
            }
            SpawnFailure::Other(problem) => {
                let cause = problem.to_string();
                self.tickets.fail_up(&problem, out);
                if self.gives_up(now, &cause, out) {
                    return;
                }
                let delay = self.backoff.next(chance);
                if self.backoff.attempts() >= 3 {
                    self.announce(now, &cause, out);
                }
                // Nothing ran, so nothing can have healed: never at once.
                let delay = delay.max(super::BACKOFF_BASE.min(self.spec.restart.max_delay));
                let delay = delay.max(Duration::from_millis(1));
                self.pause(now, delay, InstanceState::BackingOff, cause, out);
            }
        }
    }

    fn fail_tickets(&mut self, cause: &str, out: &mut Vec<Effect>) {
        let mut problem = Problem::new(Code::ActionFailed, format!("{}: {cause}", self.spec.name))
            .remedy("look at its log");
        let last = self
            .last_exit
            .as_ref()
            .and_then(|exit| exit.last_lines.last());
        if let Some(line) = last {
            problem = problem.detail(line.clone());
        }
        self.tickets.fail_up(&problem, out);
    }

    /// An outage begins, unless one is under way.
    pub(super) fn fell(&mut self, now: Moment) {
        self.outage.get_or_insert(Outage {
            since: now.mono,
            announced: false,
            stable: false,
        });
    }

    /// The outage ends otherwise than by healing; the next one is told anew.
    pub(super) fn forget_outage(&mut self, out: &mut Vec<Effect>) {
        if self.outage.take().is_some_and(|outage| outage.announced) {
            out.push(Effect::Forget);
        }
    }

    fn announce(&mut self, now: Moment, cause: &str, out: &mut Vec<Effect>) {
        self.fell(now);
        if let Some(outage) = &mut self.outage
            && !std::mem::replace(&mut outage.announced, true)
        {
            out.push(Effect::Down {
                cause: cause.to_owned(),
            });
        }
    }

    /// How much longer it must run before the outage counts as over; `None` while it is not well.
    fn until_stable(&self, outage: &Outage) -> Option<Duration> {
        if !self.state.is_ready() {
            return None;
        }
        match &self.phase {
            Phase::Running(p) if outage.announced && outage.stable => Some(
                p.since
                    .saturating_add(self.spec.restart.reset_after.saturating_sub(p.before)),
            ),
            _ => Some(Duration::ZERO),
        }
    }

    pub(super) fn watch_outage(&mut self, now: Moment, out: &mut Vec<Effect>) {
        let Some(outage) = &self.outage else { return };
        match self.until_stable(outage) {
            Some(at) if now.mono >= at => {
                if outage.announced {
                    let down = now.mono.saturating_sub(outage.since);
                    out.push(Effect::Recovered { down });
                }
                self.outage = None;
            }
            Some(_) => {}
            None if self.wanted
                && !outage.announced
                && now.mono.saturating_sub(outage.since) >= self.spec.start_timeout =>
            {
                let cause = self.cause.clone();
                self.announce(now, &cause, out);
            }
            None => {}
        }
    }

    pub(super) fn outage_deadline(&self) -> Option<Duration> {
        let outage = self.outage.as_ref()?;
        match self.until_stable(outage) {
            Some(at) => Some(at),
            None if self.wanted && !outage.announced => {
                Some(outage.since.saturating_add(self.spec.start_timeout))
            }
            None => None,
        }
    }
}
