//! Trying again: which target of a chain is asked, how often, and when.
//!
//! A [`Plan`] belongs to one request. Whoever carries it out asks [`Plan::next`] what to do, does it, and tells
//! how it went ([`Plan::ended`]) or that it could not be begun ([`Plan::skip`]: a breaker is open, a service is
//! down), until an attempt succeeds or the plan fails:
//!
//! - At most [`Settings::attempts`] requests go upstream, over all targets, and none is begun or waited for
//!   beyond the deadline.
//! - **The same target again**, after a backoff: no answer, 408, 5xx. But a retry never takes the attempt that
//!   a further target of the chain could use: with two targets and three attempts the first is asked twice and
//!   the second once.
//! - **The next target at once**, the same again after a backoff only when no other is left: 429; no answer in
//!   time (a second time-out would keep the caller waiting that a further target could serve).
//! - **Only another target**: 401, 402, 403 (the key we hold for that provider is wrong or unpaid, which is no
//!   fault of the caller); 404 (the provider does not have the model that the chain names); an answer that does
//!   not hold.
//! - **Nothing**: any other status, which is of the caller's making. An answer of which something has reached the
//!   caller, and a caller that has gone, end the plan: nobody asks it any more.
//! - A provider's Retry-After takes the backoff's place. With no other target left one of up to
//!   [`Settings::longest_wait`] is waited for; a longer one is handed back to the caller.

mod header;

use std::time::Duration;

pub use self::header::retry_after;

/// How often and how patiently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// The most requests that go upstream, over all targets.
    pub attempts: u32,
    /// The first backoff; it doubles with every retry of a target.
    pub base: Duration,
    /// The longest backoff.
    pub max: Duration,
    /// The longest Retry-After that is waited for.
    pub longest_wait: Duration,
}

impl Default for Settings {
    /// 3 attempts, 0.5 s doubling to 8 s, a Retry-After of up to 60 s.
    fn default() -> Self {
        Self {
            attempts: 3,
            base: Duration::from_millis(500),
            max: Duration::from_secs(8),
            longest_wait: Duration::from_secs(60),
        }
    }
}

impl Settings {
    /// `base × 2ⁿ`, at most `max`, less up to a quarter of it by `chance` (`0.0..1.0`; anything else is taken
    /// as the nearest bound). `nth` counts from 0.
    pub fn backoff(&self, nth: u32, chance: f64) -> Duration {
        let factor = 1_u32.checked_shl(nth).unwrap_or(u32::MAX);
        let plain = self.base.saturating_mul(factor).min(self.max);
        let chance = if chance > 0.0 { chance.min(1.0) } else { 0.0 };
        plain.saturating_sub((plain / 4).mul_f64(chance))
    }
}

/// How an attempt ended that did not succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptEnd {
    /// No answer: refused, reset, no such host, TLS.
    Network,
    /// No answer in time.
    Timeout,
    /// An answer that is no success.
    Status {
        /// Its status.
        status: u16,
        /// When to come again, if it says so ([`retry_after`]).
        retry_after: Option<Duration>,
    },
    /// A success in name only: malformed, empty, cut short, not of the schema that was asked for.
    InvalidAnswer,
}

/// What is to be made of an attempt's end, seen alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The same target may succeed a moment later.
    Retry {
        /// After this; `None`: after a backoff.
        after: Option<Duration>,
    },
    /// Another target is the better choice; without one, the same may succeed.
    Elsewhere {
        /// After this; `None`: after a backoff.
        after: Option<Duration>,
    },
    /// The same target will fail again, another may not.
    NextTarget,
    /// No target would do better.
    GiveUp,
}

/// What is to be made of an attempt's end, seen alone.
pub const fn classify(end: AttemptEnd) -> Class {
    match end {
        AttemptEnd::Network => Class::Retry { after: None },
        AttemptEnd::Timeout => Class::Elsewhere { after: None },
        AttemptEnd::Status {
            status,
            retry_after,
        } => {
            // "At once" is no answer to a server in trouble.
            let after = match retry_after {
                Some(Duration::ZERO) => None,
                given => given,
            };
            match status {
                429 => Class::Elsewhere { after },
                408 | 500..=599 => Class::Retry { after },
                401..=404 => Class::NextTarget,
                _ => Class::GiveUp,
            }
        }
        AttemptEnd::InvalidAnswer => Class::NextTarget,
    }
}

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Ask this target. Asking the plan again gives the same answer until it hears what came of it.
    Try {
        /// Its index in the chain.
        target: usize,
        /// Which request upstream it is, from 1.
        nth: u32,
    },
    /// Nothing for so long; then ask the plan again.
    Wait(Duration),
    /// The request has failed. This is the last step.
    Fail(Why),
}

/// Why a plan has nothing more to try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Nothing was tried: every target was skipped.
    NoTarget {
        /// When the first of them can be asked again, if one of them said so.
        retry_after: Option<Duration>,
    },
    /// Nothing was tried: the deadline had passed before.
    Deadline,
    /// What the last attempt ended with is the answer.
    LastEnd,
    /// The answer is the last attempt's. A provider named a time to come again that is not waited for: it is
    /// too long, or attempts or time are used up.
    HandBack {
        /// The first such time.
        retry_after: Duration,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    /// Not asked yet.
    Fresh,
    /// Could not be asked; perhaps from then on.
    Skipped(Option<Duration>),
    /// May be asked again.
    Again {
        /// From then on.
        at: Duration,
        /// The provider said so.
        told: bool,
        order: Order,
    },
    /// Would fail again.
    Spent,
}

/// When a target is asked again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// Before one that was not asked yet, if the attempts allow.
    BeforeFresh,
    AfterFresh,
    /// Not in this plan: it would take too long.
    Never,
}

#[derive(Debug, Clone)]
struct Target {
    mark: Mark,
    tried: u32,
}

/// The course of one request. See the module.
#[derive(Debug, Clone)]
pub struct Plan {
    settings: Settings,
    deadline: Duration,
    targets: Vec<Target>,
    /// Those that have ended.
    attempts: u32,
    trying: Option<usize>,
    given_up: bool,
}

impl Plan {
    /// For a chain of so many targets, in order.
    pub fn new(settings: Settings, targets: usize, deadline: Duration) -> Self {
        let fresh = Target {
            mark: Mark::Fresh,
            tried: 0,
        };
        Self {
            settings,
            deadline,
            targets: vec![fresh; targets],
            attempts: 0,
            trying: None,
            given_up: false,
        }
    }

    /// This target cannot be asked (its breaker is open, its service is down), perhaps again after
    /// `retry_after`. Tell as many as are known before the first step: it decides how often the others are
    /// retried.
    pub fn skip(&mut self, target: usize, retry_after: Option<Duration>, now: Duration) {
        if let Some(one) = self.targets.get_mut(target) {
            one.mark = Mark::Skipped(retry_after.map(|wait| now.saturating_add(wait)));
        }
        if self.trying == Some(target) {
            self.trying = None;
        }
    }

    /// The attempt that [`Self::next`] asked for ended without success. `chance` in `0.0..1.0` makes the
    /// backoff's jitter.
    pub fn ended(&mut self, end: AttemptEnd, now: Duration, chance: f64) {
        let Some(target) = self
            .trying
            .take()
            .and_then(|index| self.targets.get_mut(index))
        else {
            return;
        };
        let nth = target.tried;
        target.tried = target.tried.saturating_add(1);
        self.attempts = self.attempts.saturating_add(1);
        let backoff = self.settings.backoff(nth, chance);
        let again = |after: Option<Duration>, order| Mark::Again {
            at: now.saturating_add(after.unwrap_or(backoff)),
            told: after.is_some(),
            order: match after {
                Some(wait) if wait > self.settings.longest_wait => Order::Never,
                _ => order,
            },
        };
        target.mark = match classify(end) {
            Class::Retry { after } => again(after, Order::BeforeFresh),
            Class::Elsewhere { after } => again(after, Order::AfterFresh),
            Class::NextTarget => Mark::Spent,
            Class::GiveUp => {
                self.given_up = true;
                Mark::Spent
            }
        };
    }

    /// What to do now.
    pub fn next(&mut self, now: Duration) -> Step {
        if let Some(target) = self.trying {
            return self.ask(target);
        }
        if self.given_up {
            return Step::Fail(Why::LastEnd);
        }
        if now >= self.deadline {
            return Step::Fail(if self.attempts == 0 {
                Why::Deadline
            } else {
                Why::LastEnd
            });
        }
        let left = self.settings.attempts.saturating_sub(self.attempts);
        if left == 0 {
            return Step::Fail(self.failure(now));
        }
        let fresh = || {
            let targets = self.targets.iter().enumerate();
            targets.filter(|(_, one)| one.mark == Mark::Fresh)
        };
        let again = |wanted: &[Order]| {
            self.soonest(|mark| match mark {
                Mark::Again { at, order, .. } => wanted.contains(&order).then_some(at),
                _ => None,
            })
        };
        let spare = left as usize > fresh().count();
        let chosen = (if spare {
            again(&[Order::BeforeFresh])
        } else {
            None
        })
        .or_else(|| fresh().next().map(|(index, _)| (Duration::ZERO, index)))
        .or_else(|| again(&[Order::BeforeFresh, Order::AfterFresh]));
        match chosen {
            Some((at, target)) if at <= now => self.ask(target),
            Some((at, _)) if at < self.deadline => Step::Wait(at.saturating_sub(now)),
            Some(_) | None => Step::Fail(self.failure(now)),
        }
    }

    fn ask(&mut self, target: usize) -> Step {
        self.trying = Some(target);
        Step::Try {
            target,
            nth: self.attempts.saturating_add(1),
        }
    }

    /// The earliest of the moments that `moment` finds, and whose it is; of equal ones the first.
    fn soonest(&self, moment: impl Fn(Mark) -> Option<Duration>) -> Option<(Duration, usize)> {
        let found = self.targets.iter().enumerate();
        found
            .filter_map(|(index, one)| Some((moment(one.mark)?, index)))
            .min()
    }

    fn failure(&self, now: Duration) -> Why {
        let wait = |(at, _): (Duration, usize)| at.saturating_sub(now);
        if self.attempts == 0 {
            let open = self.soonest(|mark| match mark {
                Mark::Skipped(until) => until,
                _ => None,
            });
            return Why::NoTarget {
                retry_after: open.map(wait),
            };
        }
        let told = self.soonest(|mark| match mark {
            Mark::Again { at, told, .. } => told.then_some(at),
            _ => None,
        });
        told.map_or(Why::LastEnd, |told| Why::HandBack {
            retry_after: wait(told),
        })
    }
}

#[cfg(test)]
mod tests;
