//! The circuit breaker of one provider's model.
//!
//! Closed, it counts how calls end. Too many failures open it: nobody asks a broken target, neither making
//! callers wait for it nor keeping it from recovering. After a while it is half-open: exactly one caller, the
//! probe, is let through; its success closes the breaker, its failure opens it for twice as long.
//!
//! Half-open is a matter of time alone: an open breaker whose [`View::retry_at`] has passed is half-open,
//! also when nobody asks.
//!
//! **Generations.** Every transition, and every probe, begins a new generation. A [`Permit`] carries the
//! generation it was given in, and what is reported for an older one is ignored: the calls that were under
//! way when the breaker opened say nothing about the time after. A probe that is never reported (its task was
//! dropped) holds its place for as long as it said that it may take, then the next caller is the probe.
//!
//! One caller at a time: put it behind a mutex. It never waits, and its memory is constant.

mod errors;
mod window;

use std::fmt;
use std::time::Duration;

use self::errors::Errors;
pub use self::errors::Failing;
pub use self::window::Counts;
use self::window::Window;

/// A provider that says "come again in a year" is believed for an hour: asking once more is cheap, and a
/// header alone must not shut a target for good.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// What callers beside a probe are told to wait: it decides any moment.
const WHILE_PROBING: Duration = Duration::from_secs(1);

/// When it opens, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// The length of the sliding window.
    pub window: Duration,
    /// Fewer calls than this within the window prove nothing.
    pub least_calls: u32,
    /// It opens when so many percent of them fail.
    pub failure_percent: u32,
    /// It opens after so many failures without a success between, however long that takes.
    pub failures_in_a_row: u32,
    /// How long it is open the first time.
    pub open_for: Duration,
    /// Every failed probe doubles that, up to this.
    pub open_for_max: Duration,
}

impl Default for Settings {
    /// 50 % of at least 10 calls in 60 s, or 5 in a row; open for 30 s, doubling to 5 min.
    fn default() -> Self {
        Self {
            window: Duration::from_secs(60),
            least_calls: 10,
            failure_percent: 50,
            failures_in_a_row: 5,
            open_for: Duration::from_secs(30),
            open_for_max: Duration::from_secs(300),
        }
    }
}

/// Whether calls pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// They do.
    Closed,
    /// They do not.
    Open,
    /// One does, to see.
    HalfOpen,
}

impl State {
    /// The word in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

/// Why it is in its state. [`fmt::Display`] gives the sentence for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Nothing has happened yet.
    New,
    /// Too large a part of the calls in the window failed.
    TooMany {
        /// Of the window.
        counts: Counts,
        /// Its length.
        window: Duration,
        /// The code of the last failure.
        code: &'static str,
    },
    /// Too many failures without a success between.
    InARow {
        /// How many.
        failures: u32,
        /// The code of the last.
        code: &'static str,
    },
    /// The probe failed.
    ProbeFailed {
        /// With this code.
        code: &'static str,
    },
    /// The probe succeeded.
    ProbeSucceeded,
    /// A person closed it.
    Reset,
    /// What it guards was started anew.
    Renewed,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::New => f.write_str("no reason to open so far"),
            Self::TooMany {
                counts,
                window,
                code,
            } => write!(
                f,
                "{} of {} calls failed in {} s: {code}",
                counts.failed,
                counts.calls,
                window.as_secs()
            ),
            Self::InARow { failures, code } => {
                write!(f, "{failures} calls in a row failed: {code}")
            }
            Self::ProbeFailed { code } => write!(f, "a trial call failed too: {code}"),
            Self::ProbeSucceeded => f.write_str("a trial call succeeded"),
            Self::Reset => f.write_str("reset by hand"),
            Self::Renewed => f.write_str("its service was started anew"),
        }
    }
}

/// How a call ended, as far as its target is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The target did its job.
    Success,
    /// It did not.
    Failure {
        /// The stable error code, `provider_…`.
        code: &'static str,
        /// What it said of when to come again: a breaker that opens stays open at least as long, up to 1 h.
        retry_after: Option<Duration>,
    },
    /// Says nothing of the target: the caller went away, or asked for what cannot be.
    Neutral,
}

/// The right to make one call. Report how it ended; dropping it unreported counts nothing.
#[must_use = "report how the call ended"]
#[derive(Debug, PartialEq, Eq)]
pub struct Permit {
    generation: u64,
    probe: bool,
}

impl Permit {
    /// Whether this call decides over a half-open breaker.
    pub const fn is_probe(&self) -> bool {
        self.probe
    }
}

/// No call passes now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Open {
    /// When asking again makes sense; never zero.
    pub retry_after: Duration,
    /// Why it opened.
    pub cause: Cause,
}

/// A change of state that somebody may want to hear of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transition {
    /// Before.
    pub from: State,
    /// After.
    pub to: State,
    /// Why.
    pub cause: Cause,
    /// When the probe is let through; of an opening.
    pub retry_at: Option<Duration>,
}

/// What people see of it. Moments are since the caller's origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View {
    /// Whether calls pass.
    pub state: State,
    /// Since when.
    pub since: Duration,
    /// Why: of a half-open one, why it had opened.
    pub cause: Cause,
    /// When the probe is let through; of an open one.
    pub retry_at: Option<Duration>,
    /// The calls in the window, of a closed one.
    pub counts: Counts,
    /// The failures since the last success.
    pub failures_in_a_row: u32,
    /// Whether too many calls fail, though not so many that it opens.
    pub failing: Option<Failing>,
    /// Whether any call ever said something of the target. Callers name the models: one that does not exist is no
    /// target.
    pub heard: bool,
}

/// See the module.
#[derive(Debug, Clone)]
pub struct Breaker {
    settings: Settings,
    window: Window,
    errors: Errors,
    heard: bool,
    failures_in_a_row: u32,
    last_code: &'static str,
    /// The latest moment a provider asked us to stay away until, since the last success.
    stay_away_until: Duration,
    generation: u64,
    since: Duration,
    cause: Cause,
    phase: Phase,
}

#[derive(Debug, Clone, Copy)]
enum Phase {
    Closed,
    /// Half-open from `until` on.
    Open {
        until: Duration,
        open_for: Duration,
        /// When the place of the probe that is under way becomes free by itself.
        probe_until: Option<Duration>,
    },
}

impl Breaker {
    /// A closed one.
    pub fn new(settings: Settings, now: Duration) -> Self {
        Self {
            settings,
            window: Window::new(settings.window),
            errors: Errors::new(),
            heard: false,
            failures_in_a_row: 0,
            last_code: "",
            stay_away_until: Duration::ZERO,
            generation: 0,
            since: now,
            cause: Cause::New,
            phase: Phase::Closed,
        }
    }

    /// Whether a call would pass now, without taking its place: what a chain of targets passes over.
    ///
    /// # Errors
    /// When it would not.
    pub fn peek(&self, now: Duration) -> Result<(), Open> {
        let Phase::Open {
            until, probe_until, ..
        } = self.phase
        else {
            return Ok(());
        };
        let retry_after = match probe_until {
            _ if now < until => until.saturating_sub(now),
            Some(free_at) if now < free_at => WHILE_PROBING.min(free_at.saturating_sub(now)),
            _ => return Ok(()),
        };
        Err(Open {
            retry_after,
            cause: self.cause,
        })
    }

    /// Asks for one call, which ends within `longest`. Of a half-open breaker exactly one caller gets a permit, the
    /// probe's: nobody else is let through as long as it may take, else a slow target's success would always come too
    /// late to close the breaker.
    ///
    /// # Errors
    /// When no call passes now.
    pub fn try_acquire(&mut self, now: Duration, longest: Duration) -> Result<Permit, Open> {
        self.peek(now)?;
        let probe = if let Phase::Open { probe_until, .. } = &mut self.phase {
            // A probe that comes back after its place was given away must decide nothing.
            self.generation += 1;
            *probe_until = Some(now.saturating_add(longest));
            true
        } else {
            false
        };
        Ok(Permit {
            generation: self.generation,
            probe,
        })
    }

    /// How a permitted call ended. Answers what changed, if anything.
    pub fn report(
        &mut self,
        permit: Permit,
        outcome: Outcome,
        now: Duration,
    ) -> Option<Transition> {
        if permit.generation != self.generation {
            return None;
        }
        self.heard |= outcome != Outcome::Neutral;
        match (self.phase, outcome) {
            (Phase::Closed, Outcome::Neutral) => None,
            (Phase::Closed, Outcome::Success) => {
                self.failures_in_a_row = 0;
                self.stay_away_until = Duration::ZERO;
                self.window.add(false, now);
                self.errors.add(None, now);
                self.trip(now)
            }
            (Phase::Closed, Outcome::Failure { code, retry_after }) => {
                self.failures_in_a_row = self.failures_in_a_row.saturating_add(1);
                self.failed(code, retry_after, now);
                self.window.add(true, now);
                self.errors.add(Some(code), now);
                self.trip(now)
            }
            (Phase::Open { .. }, Outcome::Neutral) => {
                if let Phase::Open { probe_until, .. } = &mut self.phase {
                    *probe_until = None;
                }
                None
            }
            (Phase::Open { .. }, Outcome::Success) => Some(self.close(Cause::ProbeSucceeded, now)),
            (Phase::Open { open_for, .. }, Outcome::Failure { code, retry_after }) => {
                self.failures_in_a_row = self.failures_in_a_row.saturating_add(1);
                self.failed(code, retry_after, now);
                Some(self.open(open_for.saturating_mul(2), Cause::ProbeFailed { code }, now))
            }
        }
    }

    /// Closes it by hand and forgets everything. Answers what changed, if anything.
    pub fn reset(&mut self, now: Duration) -> Option<Transition> {
        self.forget(Cause::Reset, now)
    }

    /// What it guards was started anew: what the former one did says nothing of it. Answers what changed, if anything.
    pub fn renew(&mut self, now: Duration) -> Option<Transition> {
        self.forget(Cause::Renewed, now)
    }

    /// What it guards has become ready: the next caller is the probe, whatever the time, and a probe of before decides
    /// nothing. It is half-open then as by the time's passing, which is no transition either.
    pub fn try_now(&mut self, now: Duration) {
        let Phase::Open {
            until,
            open_for,
            probe_until,
        } = &mut self.phase
        else {
            return;
        };
        *until = now.min(*until);
        // What it was left alone for, it was before.
        *open_for = self.settings.open_for;
        *probe_until = None;
        self.stay_away_until = Duration::ZERO;
        self.generation += 1;
    }

    fn forget(&mut self, cause: Cause, now: Duration) -> Option<Transition> {
        let was_open = matches!(self.phase, Phase::Open { .. });
        let transition = self.close(cause, now);
        was_open.then_some(transition)
    }

    /// What people see of it.
    pub fn view(&self, now: Duration) -> View {
        let (state, since, retry_at) = match self.phase {
            Phase::Closed => (State::Closed, self.since, None),
            Phase::Open { until, .. } if now < until => (State::Open, self.since, Some(until)),
            Phase::Open { until, .. } => (State::HalfOpen, until, None),
        };
        View {
            state,
            since,
            cause: self.cause,
            retry_at,
            counts: self.window.counts(now),
            failures_in_a_row: self.failures_in_a_row,
            failing: match self.phase {
                Phase::Closed => self.errors.failing(now),
                Phase::Open { .. } => None,
            },
            heard: self.heard,
        }
    }

    /// Whether it knows nothing a new one would not: it may be forgotten. Models are named by callers, so
    /// whoever keeps a breaker for each must forget some.
    pub fn is_idle(&self, now: Duration) -> bool {
        matches!(self.phase, Phase::Closed)
            && self.failures_in_a_row == 0
            && self.window.counts(now).calls == 0
    }

    fn failed(&mut self, code: &'static str, retry_after: Option<Duration>, now: Duration) {
        self.last_code = code;
        if let Some(wait) = retry_after {
            let until = now.saturating_add(wait.min(LONGEST_RETRY_AFTER));
            self.stay_away_until = self.stay_away_until.max(until);
        }
    }

    /// Opens a closed breaker if what it counted so far says so.
    fn trip(&mut self, now: Duration) -> Option<Transition> {
        let counts = self.window.counts(now);
        let cause = if self.failures_in_a_row >= self.settings.failures_in_a_row.max(1) {
            Cause::InARow {
                failures: self.failures_in_a_row,
                code: self.last_code,
            }
        } else if counts.calls >= self.settings.least_calls.max(1)
            && counts.failed > 0
            && u64::from(counts.failed) * 100
                >= u64::from(counts.calls) * u64::from(self.settings.failure_percent)
        {
            Cause::TooMany {
                counts,
                window: self.settings.window,
                code: self.last_code,
            }
        } else {
            return None;
        };
        Some(self.open(self.settings.open_for, cause, now))
    }

    fn open(&mut self, open_for: Duration, cause: Cause, now: Duration) -> Transition {
        let from = self.view(now).state;
        let open_for = open_for.min(self.settings.open_for_max);
        let until = now.saturating_add(open_for).max(self.stay_away_until);
        self.phase = Phase::Open {
            until,
            open_for,
            probe_until: None,
        };
        self.began(cause, now);
        Transition {
            from,
            to: State::Open,
            cause,
            retry_at: Some(until),
        }
    }

    fn close(&mut self, cause: Cause, now: Duration) -> Transition {
        let from = self.view(now).state;
        self.phase = Phase::Closed;
        self.failures_in_a_row = 0;
        self.stay_away_until = Duration::ZERO;
        self.window.clear();
        self.errors = Errors::new();
        self.began(cause, now);
        Transition {
            from,
            to: State::Closed,
            cause,
            retry_at: None,
        }
    }

    fn began(&mut self, cause: Cause, now: Duration) {
        self.generation += 1;
        self.since = now;
        self.cause = cause;
    }
}

#[cfg(test)]
mod tests;
