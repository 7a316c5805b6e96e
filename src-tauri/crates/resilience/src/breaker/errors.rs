//! Whether too large a part of a target's calls fails for it to count as well.
//!
//! A breaker asks whether a target is worth asking; that it fails two of five calls is no reason to leave it alone, and
//! all the same what a person should know. The rule has hysteresis, so that a target at the edge is not now well and
//! now ill: it fires above [`FIRES`] and ends below [`CLEARS`]. Of fewer than [`ENOUGH`] calls no part means anything.

use std::time::Duration;

use super::window::{Counts, Window};

/// The length of the window.
const LENGTH: Duration = Duration::from_secs(300);
/// Of fewer calls no ratio is judged.
const ENOUGH: u32 = 20;
/// More than so many percent are too many.
const FIRES: u32 = 5;
/// Fewer than so many percent are few enough again.
const CLEARS: u32 = 2;

/// A target that fails too large a part of its calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failing {
    /// Since when.
    pub since: Duration,
    /// Calls and failures in the window.
    pub counts: Counts,
    /// The window's length.
    pub window: Duration,
    /// The code of the last failure.
    pub code: &'static str,
}

impl std::fmt::Display for Failing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} of {} calls failed in {} min: {}",
            self.counts.failed,
            self.counts.calls,
            self.window.as_secs() / 60,
            self.code
        )
    }
}

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct Errors {
    window: Window,
    since: Option<Duration>,
    code: &'static str,
}

impl Errors {
    pub(super) fn new() -> Self {
        Self {
            window: Window::new(LENGTH),
            since: None,
            code: "",
        }
    }

    /// A call has ended; `failed`: with this code.
    pub(super) fn add(&mut self, failed: Option<&'static str>, now: Duration) {
        self.code = failed.unwrap_or(self.code);
        let counts = self.window.add(failed.is_some(), now);
        self.since = self.judge(counts, now);
    }

    pub(super) fn failing(&self, now: Duration) -> Option<Failing> {
        let counts = self.window.counts(now);
        Some(Failing {
            since: self.judge(counts, now)?,
            counts,
            window: LENGTH,
            code: self.code,
        })
    }

    /// Since when it fails, by these counts.
    fn judge(&self, counts: Counts, now: Duration) -> Option<Duration> {
        let over = |percent: u32| {
            u64::from(counts.failed) * 100 > u64::from(counts.calls) * u64::from(percent)
        };
        match self.since {
            None => (counts.calls >= ENOUGH && over(FIRES)).then_some(now),
            // Few calls prove no recovery either, but without a single failure there is nothing to tell.
            Some(since) if counts.calls < ENOUGH => (counts.failed > 0).then_some(since),
            Some(since) => over(CLEARS).then_some(since),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const S: fn(u64) -> Duration = Duration::from_secs;
    const CODE: Option<&str> = Some("provider_error");

    /// Every `nth` call fails, one each second.
    fn asked(errors: &mut Errors, seconds: std::ops::Range<u64>, nth: u64) {
        for second in seconds {
            errors.add(CODE.filter(|_| second % nth == 0), S(second));
        }
    }

    #[test]
    fn what_fails_two_of_five_calls_is_told_though_no_breaker_opens() {
        let mut errors = Errors::new();
        for second in 0..100 {
            errors.add(CODE.filter(|_| second % 5 < 2), S(second));
        }
        let failing = errors.failing(S(100));
        assert_eq!(
            failing.map(|one| one.to_string()).as_deref(),
            Some("40 of 100 calls failed in 5 min: provider_error")
        );
        assert_eq!(failing.map(|one| one.since), Some(S(19)), "the twentieth");
    }

    #[test]
    fn of_a_few_calls_nothing_is_said() {
        let mut errors = Errors::new();
        asked(&mut errors, 0..19, 1);
        assert_eq!(errors.failing(S(19)), None);
    }

    #[test]
    fn one_in_twenty_five_is_not_too_many() {
        let mut errors = Errors::new();
        asked(&mut errors, 1..400, 25);
        assert_eq!(errors.failing(S(400)), None);
    }

    #[test]
    fn it_ends_lower_than_it_began() {
        let mut errors = Errors::new();
        asked(&mut errors, 1..101, 10);
        let since = errors.failing(S(101)).map(|one| one.since);
        assert!(since.is_some());
        // 4 % would not have begun it.
        asked(&mut errors, 101..700, 25);
        assert_eq!(errors.failing(S(700)).map(|one| one.since), since);
        asked(&mut errors, 700..1_100, 100);
        assert_eq!(errors.failing(S(1_100)), None);
    }

    #[test]
    fn it_falls_silent_once_nothing_failed_for_a_window() {
        let mut errors = Errors::new();
        asked(&mut errors, 0..30, 1);
        assert!(errors.failing(S(100)).is_some());
        assert_eq!(errors.failing(S(340)), None);
        // What is asked then is judged anew.
        errors.add(None, S(341));
        assert_eq!(errors.failing(S(341)), None);
    }

    proptest! {
        /// What is told can be told: there are failures, and they began before.
        #[test]
        fn what_is_told_holds(calls in proptest::collection::vec((0_u64..20_000, any::<bool>()), 1..300)) {
            let mut errors = Errors::new();
            let mut now = 0;
            for (gap, failed) in calls {
                now += gap;
                errors.add(CODE.filter(|_| failed), Duration::from_millis(now));
                if let Some(failing) = errors.failing(Duration::from_millis(now)) {
                    prop_assert!(failing.counts.failed > 0);
                    prop_assert!(failing.since <= Duration::from_millis(now));
                }
            }
        }
    }
}
