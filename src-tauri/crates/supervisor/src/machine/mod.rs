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
mod play;
#[cfg(test)]
mod properties;
mod running;
#[cfg(test)]
mod scenarios;
#[cfg(test)]
pub(crate) use play::spec as a_spec;
mod tickets;
mod wishes;
pub(crate) mod words;

use std::sync::Arc;
use std::time::Duration;

use cockpit_model::spec::{Kind, Run};
use cockpit_model::{EventBody, Exit, InstanceState, PortHolder, ServiceSpec, Timestamp};
use cockpit_resilience::{Backoff, BackoffSettings, CrashLoop, CrashLoopSettings};

use deaths::Outage;
use health::Threshold;
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
    /// Its liveness probe passed at least once.
    lived: bool,
    /// It was found running: what follows a start was done by whoever started it.
    adopted: bool,
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
    /// Why it is, or was last, being started.
    pub(crate) fn reason(&self) -> &str {
        &self.reason
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

    /// Whether the readiness probe should hurry: a verdict is awaited. A start is watched closely until it is ready or
    /// overdue: that a program does not answer in its first tenth of a second says nothing.
    pub(crate) fn hurried(&self) -> bool {
        match &self.phase {
            Phase::Running(process) => {
                let starts = !process.ever_ready && !process.overdue && !self.is_watched();
                process.ready.verdict().is_none() || starts
            }
            Phase::External(_, process) => process.ready.verdict().is_none(),
            _ => false,
        }
    }

    /// Whether liveness may be judged now: not before it was ready. Where nothing asks for readiness, a slow start looks
    /// like a hang; there it must have lived once, or have had its time to start.
    fn judges_liveness(&self, now: Moment) -> bool {
        let Phase::Running(process) = &self.phase else {
            return false;
        };
        match self.is_unprobed() {
            true => process.lived || now.mono >= self.overdue_at(process),
            false => process.ever_ready || process.overdue,
        }
    }

    /// Whether running is all it takes to be ready.
    fn is_unprobed(&self) -> bool {
        self.spec.ready.is_none() && matches!(self.spec.run, Run::Process(_)) && !self.is_task()
    }

    /// Whether a spawn is under way.
    pub(crate) const fn is_spawning(&self) -> bool {
        matches!(self.phase, Phase::Spawning)
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
                self.on_restart(now, by, cause, ticket, &mut out);
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
                self.on_exited(now, chance, exit, tree_empty, &mut out);
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

    /// Deadlines that have passed.
    fn on_time(&mut self, now: Moment, out: &mut Vec<Effect>) {
        if let Phase::Pausing(until) = self.phase
            && now.mono >= until
        {
            let reason = self.starting_again(&self.cause);
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
        if self.lacks_nothing() {
            self.became_ready(now, out);
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
