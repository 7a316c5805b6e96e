//! A breaker for every target that was asked lately.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cockpit_model::traffic::Target;
use cockpit_model::{BreakerState, BreakerView, Timestamp};
use cockpit_resilience::breaker::{Breaker, Open, Outcome, Permit, Settings, State, Transition};
use tokio::time::Instant;

/// More are not kept: callers name the models, so idle ones are forgotten first.
const MOST: usize = 1000;

/// What a call may take besides: its request is sent, its end is told.
const SLACK: Duration = Duration::from_secs(30);

/// A breaker, and whether its target fails too many calls though it is asked.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) breaker: BreakerView,
    pub(crate) failing: Option<Failing>,
}

/// Since when, and why in words.
#[derive(Debug, Clone)]
pub(crate) struct Failing {
    pub(crate) since: Timestamp,
    pub(crate) cause: String,
}

/// Hears of a breaker that changed.
pub(crate) type Listener = Box<dyn Fn(&Target, &Transition) + Send + Sync>;

pub(crate) struct Breakers {
    settings: Settings,
    origin: Instant,
    began: Timestamp,
    all: Mutex<HashMap<Target, Breaker>>,
    changed: Listener,
}

impl Breakers {
    pub(crate) fn new(settings: Settings, changed: Listener) -> Self {
        Self {
            settings,
            origin: Instant::now(),
            began: Timestamp::now(),
            all: Mutex::new(HashMap::new()),
            changed,
        }
    }

    fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    fn all(&self) -> MutexGuard<'_, HashMap<Target, Breaker>> {
        // A breaker is whole between any two of its calls.
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a call would pass.
    pub(crate) fn peek(&self, target: &Target) -> Result<(), Open> {
        let now = self.now();
        self.all()
            .get(target)
            .map_or(Ok(()), |breaker| breaker.peek(now))
    }

    /// Asks for a call whose answer may take so long.
    pub(crate) fn try_acquire(&self, target: &Target, timeout: Duration) -> Result<Permit, Open> {
        let now = self.now();
        let longest = timeout.saturating_add(SLACK);
        let mut all = self.all();
        if let Some(breaker) = all.get_mut(target) {
            return breaker.try_acquire(now, longest);
        }
        if all.len() >= MOST {
            all.retain(|_, breaker| !breaker.is_idle(now));
        }
        let mut breaker = Breaker::new(self.settings, now);
        let permit = breaker.try_acquire(now, longest);
        if all.len() < MOST {
            all.insert(target.clone(), breaker);
        }
        permit
    }

    pub(crate) fn report(&self, target: &Target, permit: Permit, outcome: Outcome) {
        let now = self.now();
        let transition = self
            .all()
            .get_mut(target)
            .and_then(|breaker| breaker.report(permit, outcome, now));
        if let Some(transition) = transition {
            (self.changed)(target, &transition);
        }
    }

    /// Closes one by hand; whether there is such a one.
    pub(crate) fn reset(&self, target: &Target) -> bool {
        let now = self.now();
        let reset = self.all().get_mut(target).map(|breaker| breaker.reset(now));
        if let Some(Some(transition)) = &reset {
            (self.changed)(target, transition);
        }
        reset.is_some()
    }

    /// A provider was started anew: its breakers forget what the former one did.
    pub(crate) fn renew(&self, provider: &str) {
        let now = self.now();
        let changed: Vec<_> = self
            .all()
            .iter_mut()
            .filter(|(target, _)| target.provider == provider)
            .filter_map(|(target, breaker)| Some((target.clone(), breaker.renew(now)?)))
            .collect();
        for (target, transition) in changed {
            (self.changed)(&target, &transition);
        }
    }

    /// A provider has become ready: whoever asks next finds out whether it answers.
    pub(crate) fn try_now(&self, provider: &str) {
        let now = self.now();
        let mut all = self.all();
        for (target, breaker) in all.iter_mut() {
            if target.provider == provider {
                breaker.try_now(now);
            }
        }
    }

    /// Those of targets of which anything is known: a name that nobody has is no target.
    pub(crate) fn views(&self) -> Vec<Seen> {
        let now = self.now();
        let at = |since: Duration| self.began.checked_add(since).unwrap_or(self.began);
        let seen = |(target, breaker): (&Target, &Breaker)| {
            let view = breaker.view(now);
            let failing = view.failing.map(|failing| Failing {
                since: at(failing.since),
                cause: failing.to_string(),
            });
            let shown = BreakerView {
                provider: target.provider.clone(),
                model: target.model.clone(),
                state: match view.state {
                    State::Closed => BreakerState::Closed,
                    State::Open => BreakerState::Open,
                    State::HalfOpen => BreakerState::HalfOpen,
                },
                since: at(view.since),
                cause: view.cause.to_string(),
                retry_at: view.retry_at.map(at),
                calls: view.counts.calls,
                failed: view.counts.failed,
            };
            view.heard.then_some(Seen {
                breaker: shown,
                failing,
            })
        };
        let mut all: Vec<_> = self.all().iter().filter_map(seen).collect();
        let name = |one: &Seen| (one.breaker.provider.clone(), one.breaker.model.clone());
        all.sort_by_cached_key(name);
        all
    }
}

/// Shared by all flights.
pub(crate) type SharedBreakers = Arc<Breakers>;
