//! What one instance does, as a pure machine: inputs and the time go in, effects come out.
//!
//! # Theory of operation
//!
//! [`Phase`] says what exists: nothing, a spawn under way, a process, a tree being ended. `wanted` says what a person
//! wants. Every input moves the phase; the visible [`InstanceState`] with its cause and since follows from it. The
//! machine never looks at a clock: deadlines are asked for with [`Machine::deadline`] and come back as
//! [`Input::Tick`].
//!
//! # Invariants (each one a property test)
//!
//! - [`Effect::Spawn`] is given only while no process, no rest of a tree and no other spawn exists.
//! - After a stop no spawn follows until somebody wants it again.
//! - While wanted there is a process, an effect under way, a deadline, or a named dependency it waits for.
//! - Every ticket is resolved exactly once.

mod deaths;
mod health;
mod io;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod scenarios;
mod tickets;
pub(crate) mod words;

use std::sync::Arc;
use std::time::Duration;

use cockpit_model::spec::{Kind, LimitAction, RestartPolicy, Run};
use cockpit_model::{
    Code, EventBody, Exit, InstanceState, PortHolder, Problem, ServiceSpec, Timestamp,
};
use cockpit_resilience::{Backoff, BackoffSettings, CrashLoop, CrashLoopSettings};

use deaths::Outage;
use health::{Threshold, Turn};
pub(crate) use io::{By, Effect, Held, Input, Moment, SpawnFailure, Ticket};
use tickets::Tickets;

/// After the machine slept, for so long failed probes change nothing.
pub(crate) const WAKE_GRACE: Duration = Duration::from_secs(30);
/// The second restart's delay; it doubles from there.
const BACKOFF_BASE: Duration = Duration::from_millis(250);
/// So many samples in a row make a memory excursion, or end it.
const MEMORY_SAMPLES: u32 = 3;
/// A held port is looked at again after 1 s, 2 s… at most this.
const CONFLICT_MAX: Duration = Duration::from_secs(10);

/// What exists.
#[derive(Debug, Clone)]
enum Phase {
    /// Nothing, and nothing is meant to.
    Off,
    /// Wanted; a dependency is not ready.
    Gated,
    /// A spawn is under way.
    Spawning,
    /// A process runs (or a driver's service, or what is only watched).
    Running(Process),
    /// A stop is under way.
    Stopping(Then),
    /// The leader is gone, the rest of its tree not yet.
    Clearing(Then),
    /// Nothing; the next attempt is due at a moment.
    Pausing(Duration),
    /// A foreign process stands in.
    External(PortHolder, Process),
}

/// What follows once the tree is gone, if it is still wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Then {
    /// A start, through the dependencies' gate.
    Start,
    /// What the restart policy says after this death.
    Judge {
        cause: String,
        uptime: Duration,
        clean: bool,
        forced: bool,
    },
}

/// What is known of a running process.
#[derive(Debug, Clone)]
struct Process {
    since: Duration,
    before: Duration,
    started_at: Timestamp,
    ready: Threshold,
    live: Threshold,
    ever_ready: bool,
    overdue: bool,
    observed: Option<String>,
    over: u32,
    under: u32,
    excursion: bool,
}

impl Process {
    const fn uptime(&self, now: Moment) -> Duration {
        now.mono
            .saturating_sub(self.since)
            .saturating_add(self.before)
    }
}

/// The machine of one instance.
pub(crate) struct Machine {
    spec: Arc<ServiceSpec>,
    index: u16,
    ready_words: String,
    wanted: bool,
    phase: Phase,
    gate: Result<(), Held>,
    state: InstanceState,
    cause: String,
    since: Timestamp,
    backoff: Backoff,
    crashes: CrashLoop,
    conflicts: u32,
    restarts: u32,
    after_crash: bool,
    /// A restart that was asked for while the spawn was under way.
    again: Option<String>,
    /// Why it is being started: shown while it starts.
    reason: String,
    pid: Option<u32>,
    started_at: Option<Timestamp>,
    last_exit: Option<Exit>,
    next_attempt_at: Option<Timestamp>,
    forgive_until: Duration,
    outage: Option<Outage>,
    tickets: Tickets,
}

fn backoff_settings(spec: &ServiceSpec) -> BackoffSettings {
    // The configuration refuses these contradictions; here they are only made harmless.
    let max = spec.restart.max_delay.max(Duration::from_millis(1));
    let initial = spec.restart.initial_delay.min(max);
    BackoffSettings::new(initial, BACKOFF_BASE, max).unwrap_or_else(|_| fallback_backoff())
}

fn fallback_backoff() -> BackoffSettings {
    const FALLBACK: Result<BackoffSettings, cockpit_resilience::InvalidBackoff> =
        BackoffSettings::new(Duration::ZERO, BACKOFF_BASE, Duration::from_secs(30));
    match FALLBACK {
        Ok(settings) => settings,
        Err(_) => unreachable!(),
    }
}

impl Machine {
    /// One that has seen nothing yet. `ready_words`: what a passing readiness probe means, in words.
    pub(crate) fn new(
        spec: Arc<ServiceSpec>,
        index: u16,
        ready_words: String,
        restarts: u32,
        now: Moment,
    ) -> Self {
        Self {
            backoff: Backoff::new(backoff_settings(&spec)),
            crashes: CrashLoop::new(CrashLoopSettings::default()),
            spec,
            index,
            ready_words,
            wanted: false,
            phase: Phase::Off,
            gate: Ok(()),
            state: InstanceState::Unknown,
            cause: "not looked at yet".to_owned(),
            since: now.wall,
            conflicts: 0,
            restarts,
            after_crash: false,
            again: None,
            reason: String::new(),
            pid: None,
            started_at: None,
            last_exit: None,
            next_attempt_at: None,
            forgive_until: Duration::ZERO,
            outage: None,
            tickets: Tickets::default(),
        }
    }

    /// Settings that a running process need not notice.
    pub(crate) fn reconfigure(&mut self, spec: Arc<ServiceSpec>, ready_words: String) {
        self.backoff.reconfigure(backoff_settings(&spec));
        self.ready_words = ready_words;
        let (ready, live) = (
            threshold(spec.ready.as_ref()),
            threshold(spec.live.as_ref()),
        );
        let probes_changed = spec.ready != self.spec.ready || spec.live != self.spec.live;
        if let (true, Phase::Running(process) | Phase::External(_, process)) =
            (probes_changed, &mut self.phase)
        {
            process.ready = ready;
            process.live = live;
        }
        self.spec = spec;
    }

    pub(crate) const fn state(&self) -> InstanceState {
        self.state
    }
    pub(crate) fn cause(&self) -> &str {
        &self.cause
    }
    pub(crate) const fn since(&self) -> Timestamp {
        self.since
    }
    pub(crate) const fn wanted(&self) -> bool {
        self.wanted
    }
    pub(crate) const fn restarts(&self) -> u32 {
        self.restarts
    }
    pub(crate) const fn pid(&self) -> Option<u32> {
        self.pid
    }
    pub(crate) const fn started_at(&self) -> Option<Timestamp> {
        self.started_at
    }
    pub(crate) const fn last_exit(&self) -> Option<&Exit> {
        self.last_exit.as_ref()
    }
    pub(crate) const fn next_attempt_at(&self) -> Option<Timestamp> {
        self.next_attempt_at
    }

    /// Whether probes have something to look at; a new number for every process.
    pub(crate) const fn probing(&self) -> bool {
        matches!(self.phase, Phase::Running(_) | Phase::External(..))
    }

    /// Whether the readiness probe should hurry: a verdict is awaited.
    pub(crate) const fn hurried(&self) -> bool {
        matches!(&self.phase, Phase::Running(p) | Phase::External(_, p) if p.ready.verdict().is_none())
    }

    /// Whether liveness may be judged now.
    pub(crate) const fn judges_liveness(&self) -> bool {
        matches!(&self.phase, Phase::Running(p) if p.ever_ready || p.overdue)
    }

    /// The foreign process that stands in, if one does.
    pub(crate) const fn external(&self) -> Option<&PortHolder> {
        match &self.phase {
            Phase::External(holder, _) => Some(holder),
            _ => None,
        }
    }

    /// Whether nothing exists and nothing is under way.
    pub(crate) const fn is_idle(&self) -> bool {
        matches!(
            self.phase,
            Phase::Off | Phase::Gated | Phase::Pausing(_) | Phase::External(..)
        )
    }

    /// Whether a stop is under way.
    pub(crate) const fn is_stopping(&self) -> bool {
        matches!(self.phase, Phase::Stopping(_))
    }

    /// Whether it is at rest because it is not meant to run (any more).
    pub(crate) const fn is_off(&self) -> bool {
        matches!(self.phase, Phase::Off)
    }

    /// When [`Input::Tick`] is due next, on the clock of [`Moment::mono`].
    pub(crate) fn deadline(&self) -> Option<Duration> {
        let phase = match &self.phase {
            Phase::Pausing(until) => Some(*until),
            Phase::Running(p) if !p.ever_ready && !p.overdue => Some(self.overdue_at(p)),
            _ => None,
        };
        [phase, self.tickets.deadline(), self.outage_deadline()]
            .into_iter()
            .flatten()
            .min()
    }

    fn overdue_at(&self, process: &Process) -> Duration {
        let left = self.spec.start_timeout.saturating_sub(process.before);
        process.since.saturating_add(left)
    }

    fn is_watched(&self) -> bool {
        matches!(self.spec.run, Run::Watch)
    }

    fn is_task(&self) -> bool {
        self.spec.kind == Kind::Task
    }

    /// Takes an input. `chance` in `0.0..1.0` makes the jitter.
    pub(crate) fn step(&mut self, now: Moment, chance: f64, input: Input) -> Vec<Effect> {
        let mut out = Vec::new();
        match input {
            Input::Start { by, ticket } => self.on_start(now, by, ticket, &mut out),
            Input::Stop { by, cause, ticket } => self.on_stop(now, &by, cause, ticket, &mut out),
            Input::Restart { by, cause, ticket } => {
                self.on_restart(now, by, cause, ticket, &mut out)
            }
            Input::Gate(gate) => self.on_gate(now, gate, &mut out),
            Input::Spawned {
                pid,
                started_at,
                uptime,
                adopted,
            } => {
                self.on_spawned(now, pid, started_at, uptime, adopted, &mut out);
            }
            Input::SpawnFailed(failure) => self.on_spawn_failed(now, chance, failure, &mut out),
            Input::Exited { exit, tree_empty } => {
                self.on_exited(now, chance, exit, tree_empty, &mut out)
            }
            Input::TreeEmpty => self.on_tree_empty(now, chance, &mut out),
            Input::ShimLost { cause } => self.on_shim_lost(now, cause, &mut out),
            Input::FoundDone => {
                if matches!(self.phase, Phase::Off) {
                    self.wanted = false;
                    self.enter(
                        now,
                        InstanceState::Done,
                        "finished before".to_owned(),
                        &mut out,
                    );
                }
            }
            Input::Ready(outcome) => self.on_ready_sample(now, outcome, &mut out),
            Input::Live(outcome) => self.on_live_sample(now, outcome, &mut out),
            Input::Observed(ready) => self.on_observed(now, ready, &mut out),
            Input::Memory { bytes } => self.on_memory(now, bytes, &mut out),
            Input::Woke => {
                self.forgive_until = now.mono.saturating_add(WAKE_GRACE);
                if let Phase::Running(p) | Phase::External(_, p) = &mut self.phase {
                    p.ready.forgive();
                    p.live.forgive();
                }
            }
            Input::HolderGone => {
                if matches!(self.phase, Phase::External(..)) {
                    self.pid = None;
                    self.phase = Phase::Off;
                    self.start_now(now, "what stood in is gone".to_owned(), &mut out);
                }
            }
            Input::Tick => {}
        }
        self.on_time(now, &mut out);
        out
    }

    fn on_start(&mut self, now: Moment, by: By, ticket: Option<Ticket>, out: &mut Vec<Effect>) {
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
            Phase::Stopping(then) | Phase::Clearing(then) => *then = Then::Start,
            Phase::Spawning => {}
            Phase::Running(_) | Phase::External(..) => self.settle_up(out),
        }
    }

    fn on_stop(
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
        self.outage = None;
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

    fn on_restart(
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

    fn not_ours(&self, done: &str) -> Problem {
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
    fn calm(&mut self, by: &By) {
        if *by == By::Hand {
            self.backoff.reset();
            self.crashes.clear();
            self.conflicts = 0;
            if let Some(outage) = &mut self.outage {
                outage.stable = false;
            }
        }
    }

    fn on_gate(&mut self, now: Moment, gate: Result<(), Held>, out: &mut Vec<Effect>) {
        let opened = self.gate.is_err() && gate.is_ok();
        self.gate = gate;
        match (&self.phase, &self.gate) {
            (Phase::Gated, _) => {
                let reason = std::mem::take(&mut self.reason);
                self.start_gated(now, reason, out);
            }
            // What it died of may be over: the dependency it lacked is back.
            (Phase::Pausing(_), _) if opened && self.state != InstanceState::Missing => {
                let reason = format!("starting again: {}", self.cause);
                self.start_now(now, reason, out);
            }
            _ => {}
        }
    }

    /// Starts it, or waits for what it depends on.
    fn start_gated(&mut self, now: Moment, reason: String, out: &mut Vec<Effect>) {
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
    fn start_now(&mut self, now: Moment, reason: String, out: &mut Vec<Effect>) {
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

    fn on_spawned(
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
        if self.spec.ready.is_none() && matches!(self.spec.run, Run::Process(_)) && !self.is_task()
        {
            self.became_ready(now, out);
        } else if !self.is_watched() {
            let reason = self.reason.clone();
            self.enter(now, InstanceState::Starting, reason, out);
        }
    }

    fn process(&self, now: Moment, started_at: Timestamp, before: Duration) -> Process {
        Process {
            since: now.mono,
            before,
            started_at,
            ready: threshold(self.spec.ready.as_ref()),
            live: threshold(self.spec.live.as_ref()),
            ever_ready: false,
            overdue: false,
            observed: None,
            over: 0,
            under: 0,
            excursion: false,
        }
    }

    fn on_ready_sample(&mut self, now: Moment, outcome: Result<(), String>, out: &mut Vec<Effect>) {
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

    fn on_observed(
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

    fn became_ready(&mut self, now: Moment, out: &mut Vec<Effect>) {
        let external = self.external().map(words::named);
        let (Phase::Running(process) | Phase::External(_, process)) = &mut self.phase else {
            return;
        };
        if self.spec.kind == Kind::Task {
            return;
        }
        let first = !std::mem::replace(&mut process.ever_ready, true);
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
    fn show_unready(&mut self, now: Moment, out: &mut Vec<Effect>) {
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
                self.enter(now, InstanceState::Degraded, cause, out)
            }
            _ if watched => self.enter(now, InstanceState::Unknown, cause, out),
            _ if settled => self.enter(now, InstanceState::Degraded, cause, out),
            _ => {
                let cause = format!("{}; {cause}", self.reason);
                self.enter(now, InstanceState::Starting, cause, out);
            }
        }
    }

    fn on_live_sample(&mut self, now: Moment, outcome: Result<(), String>, out: &mut Vec<Effect>) {
        let judged = self.judges_liveness() && now.mono >= self.forgive_until;
        let Phase::Running(process) = &mut self.phase else {
            return;
        };
        if !judged {
            process.live.forgive();
            return;
        }
        if process.live.sample(outcome) != Some(Turn::Down) {
            return;
        }
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

    fn end_and_judge(
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

    fn on_memory(&mut self, now: Moment, used: u64, out: &mut Vec<Effect>) {
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

    /// Deadlines that have passed.
    fn on_time(&mut self, now: Moment, out: &mut Vec<Effect>) {
        if let Phase::Pausing(until) = self.phase
            && now.mono >= until
        {
            let reason = format!("starting again: {}", self.cause);
            self.start_now(now, reason, out);
        }
        let overdue = match &self.phase {
            Phase::Running(p) => !p.ever_ready && !p.overdue && now.mono >= self.overdue_at(p),
            _ => false,
        };
        if overdue && let Phase::Running(process) = &mut self.phase {
            process.overdue = true;
            if !self.is_task() {
                self.show_unready(now, out);
            }
        }
        self.watch_outage(now, out);
        let cause = self.cause.clone();
        self.tickets.expire(now.mono, &self.spec, &cause, out);
    }

    /// Nothing exists and nothing is meant to.
    fn rest(&mut self, now: Moment, state: InstanceState, cause: String, out: &mut Vec<Effect>) {
        self.phase = Phase::Off;
        self.wanted = false;
        self.pid = None;
        self.started_at = None;
        self.next_attempt_at = None;
        self.enter(now, state, cause, out);
        self.tickets.resolve_down(out);
    }

    fn settle_up(&mut self, out: &mut Vec<Effect>) {
        if self.state.is_ready() {
            self.tickets.resolve_up(out);
        }
    }

    fn enter(&mut self, now: Moment, state: InstanceState, cause: String, out: &mut Vec<Effect>) {
        if self.state != state {
            out.push(Effect::Event(EventBody::InstanceState {
                service: self.spec.name.clone(),
                instance: self.index,
                from: self.state,
                to: state,
                cause: cause.clone(),
            }));
            self.state = state;
            self.since = now.wall;
        }
        self.cause = cause;
    }
}

fn threshold(probe: Option<&cockpit_model::spec::ProbeSpec>) -> Threshold {
    probe.map_or_else(
        || Threshold::new(3, 2),
        |p| Threshold::new(p.failures, p.successes),
    )
}
