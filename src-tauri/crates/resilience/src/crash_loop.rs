//! Crash-loop detection: too many crashes within any of several sliding windows.
//!
//! A short window catches what dies at once; a long one catches what runs stably for a while and dies again
//! and again, which a backoff that resets after a stable run would never notice.

use std::collections::VecDeque;
use std::time::Duration;

/// Which numbers of crashes in which windows are a loop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CrashLoopSettings {
    windows: Vec<(u32, Duration)>,
}

/// Settings no detection can be made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvalidCrashLoop {
    /// Without a window nothing would ever be a loop.
    NoWindow,
    /// A window that needs no crashes would always be a loop.
    ZeroCrashes,
    /// A window without length holds nothing.
    ZeroLength,
}

impl std::fmt::Display for InvalidCrashLoop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NoWindow => "there is no window; give at least one",
            Self::ZeroCrashes => "a window counts no crashes; give it at least 1",
            Self::ZeroLength => "a window has no length; give it at least 1 ms",
        })
    }
}

impl std::error::Error for InvalidCrashLoop {}

impl CrashLoopSettings {
    /// A loop is any of these: so many crashes within such a window.
    ///
    /// # Errors
    /// When there is no window, or one that says nothing.
    pub fn new(windows: &[(u32, Duration)]) -> Result<Self, InvalidCrashLoop> {
        if windows.is_empty() {
            return Err(InvalidCrashLoop::NoWindow);
        }
        for (crashes, length) in windows {
            if *crashes == 0 {
                return Err(InvalidCrashLoop::ZeroCrashes);
            }
            if length.is_zero() {
                return Err(InvalidCrashLoop::ZeroLength);
            }
        }
        Ok(Self {
            windows: windows.to_vec(),
        })
    }
}

impl Default for CrashLoopSettings {
    /// 5 in 60 s, or 5 in 10 min.
    fn default() -> Self {
        Self {
            windows: vec![(5, Duration::from_secs(60)), (5, Duration::from_secs(600))],
        }
    }
}

/// Remembers the crashes that may still matter.
#[derive(Debug, Clone)]
pub struct CrashLoop {
    settings: CrashLoopSettings,
    crashes: VecDeque<Duration>,
}

impl CrashLoop {
    /// Without a crash yet.
    pub const fn new(settings: CrashLoopSettings) -> Self {
        Self {
            settings,
            crashes: VecDeque::new(),
        }
    }

    /// Records a crash at `now` and says whether it is a loop.
    pub fn crashed(&mut self, now: Duration) -> bool {
        // A moment before the last one would break the order the windows rely on.
        let now = self.crashes.back().map_or(now, |last| now.max(*last));
        self.crashes.push_back(now);
        let most = self.settings.windows.iter().map(|(n, _)| *n).max();
        while self.crashes.len() > most.unwrap_or(1) as usize {
            self.crashes.pop_front();
        }
        self.is_looping(now)
    }

    /// Whether the crashes so far are a loop, seen from `now`.
    pub fn is_looping(&self, now: Duration) -> bool {
        self.settings.windows.iter().any(|(count, length)| {
            let nth_last = self
                .crashes
                .len()
                .checked_sub(*count as usize)
                .and_then(|index| self.crashes.get(index));
            nth_last.is_some_and(|at| now.saturating_sub(*at) <= *length)
        })
    }

    /// How many crashes lie within the last `length`.
    pub fn within(&self, now: Duration, length: Duration) -> usize {
        self.crashes
            .iter()
            .filter(|at| now.saturating_sub(**at) <= length)
            .count()
    }

    /// Forgets every crash: a person looked at it.
    pub fn clear(&mut self) {
        self.crashes.clear();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use proptest::prelude::*;

    const S: fn(u64) -> Duration = Duration::from_secs;

    #[test]
    fn five_in_a_minute_or_in_ten() {
        let mut fast = CrashLoop::new(CrashLoopSettings::default());
        let seen: Vec<_> = (0..5).map(|n| fast.crashed(S(n * 3))).collect();
        assert_eq!(seen, [false, false, false, false, true]);
        let mut slow = CrashLoop::new(CrashLoopSettings::default());
        let seen: Vec<_> = (0..5).map(|n| slow.crashed(S(n * 140))).collect();
        assert_eq!(seen, [false, false, false, false, true]);
        let mut rare = CrashLoop::new(CrashLoopSettings::default());
        assert!((0..50).all(|n| !rare.crashed(S(n * 200))));
    }

    #[test]
    fn is_over_when_the_window_has_passed_or_it_is_cleared() {
        let mut crashes = CrashLoop::new(CrashLoopSettings::default());
        (0..5).for_each(|n| {
            crashes.crashed(S(n));
        });
        assert!(crashes.is_looping(S(600)));
        assert!(!crashes.is_looping(S(601)));
        crashes.clear();
        assert!(!crashes.is_looping(S(4)));
        assert!(!crashes.crashed(S(5)));
    }

    #[test]
    fn refuses_windows_that_say_nothing() {
        let new = CrashLoopSettings::new;
        assert_eq!(new(&[]), Err(InvalidCrashLoop::NoWindow));
        assert_eq!(new(&[(0, S(1))]), Err(InvalidCrashLoop::ZeroCrashes));
        assert_eq!(new(&[(1, S(0))]), Err(InvalidCrashLoop::ZeroLength));
    }

    proptest! {
        /// Compared with counting over the whole history.
        #[test]
        fn agrees_with_counting_them_all(
            gaps in proptest::collection::vec(0_u64..400, 1..60),
            few in 1_u32..6, short in 1_u64..100, many in 1_u32..9, long in 100_u64..1000,
        ) {
            let windows = [(few, S(short)), (many, S(long))];
            let mut machine = CrashLoop::new(CrashLoopSettings::new(&windows).unwrap());
            let mut all = Vec::new();
            let mut now = S(0);
            for gap in gaps {
                now += S(gap);
                all.push(now);
                let counted = windows.iter().any(|(count, length)| {
                    all.iter().filter(|at| now - **at <= *length).count() >= *count as usize
                });
                prop_assert_eq!(machine.crashed(now), counted);
            }
        }
    }
}
