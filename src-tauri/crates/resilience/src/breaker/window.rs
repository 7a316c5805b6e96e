//! Counts of calls and failures in a sliding window, in a fixed number of buckets.

use std::time::Duration;

/// Two seconds each for a minute: the window slides by a thirtieth of its length.
const BUCKETS: usize = 30;

/// Calls of a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// All that count: successes and failures.
    pub calls: u32,
    /// The failures among them.
    pub failed: u32,
}

/// The counts of the last `BUCKETS` ticks, the running one included: the window is between 29/30 of its
/// length and its full length.
#[derive(Debug, Clone)]
pub(super) struct Window {
    tick: Duration,
    buckets: [Counts; BUCKETS],
    /// The tick the newest bucket stands for.
    newest: u64,
    sum: Counts,
}

impl Window {
    pub(super) fn new(length: Duration) -> Self {
        Self {
            tick: (length / BUCKETS as u32).max(Duration::from_nanos(1)),
            buckets: [Counts::default(); BUCKETS],
            newest: 0,
            sum: Counts::default(),
        }
    }

    fn index(tick: u64) -> usize {
        (tick % BUCKETS as u64) as usize
    }

    /// Drops what is too old. A moment before the newest bucket counts into that bucket.
    fn slide(&mut self, now: Duration) {
        let tick = u64::try_from(now.as_nanos() / self.tick.as_nanos()).unwrap_or(u64::MAX);
        let steps = tick.saturating_sub(self.newest);
        for step in 1..=steps.min(BUCKETS as u64) {
            if let Some(bucket) = self.buckets.get_mut(Self::index(tick - steps + step)) {
                self.sum.calls -= bucket.calls;
                self.sum.failed -= bucket.failed;
                *bucket = Counts::default();
            }
        }
        if steps > BUCKETS as u64 {
            // More than a whole window has passed: not all indexes were met one by one.
            self.clear();
        }
        self.newest = self.newest.max(tick);
    }

    pub(super) fn add(&mut self, failed: bool, now: Duration) -> Counts {
        self.slide(now);
        if let Some(bucket) = self.buckets.get_mut(Self::index(self.newest))
            && self.sum.calls < u32::MAX
        {
            bucket.calls += 1;
            bucket.failed += u32::from(failed);
            self.sum.calls += 1;
            self.sum.failed += u32::from(failed);
        }
        self.sum
    }

    pub(super) fn counts(&self, now: Duration) -> Counts {
        let mut slid = self.clone();
        slid.slide(now);
        slid.sum
    }

    pub(super) fn clear(&mut self) {
        self.buckets = [Counts::default(); BUCKETS];
        self.sum = Counts::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Compared with counting over the whole history.
        #[test]
        fn agrees_with_counting_them_all(
            calls in proptest::collection::vec((0_u64..5_000, any::<bool>()), 1..200),
            jumps in proptest::collection::vec((0_usize..200, 1_u64..200_000), 0..4),
        ) {
            let mut window = Window::new(Duration::from_secs(60));
            let mut all: Vec<(u64, bool)> = Vec::new();
            let mut now = 0;
            for (n, (gap, failed)) in calls.into_iter().enumerate() {
                now += gap + jumps.iter().filter(|(at, _)| *at == n).map(|(_, ms)| ms).sum::<u64>();
                all.push((now / 2000, failed));
                let recent: Vec<_> = all.iter().filter(|(tick, _)| tick + 30 > now / 2000).collect();
                let expected = Counts {
                    calls: recent.len() as u32,
                    failed: recent.iter().filter(|(_, failed)| *failed).count() as u32,
                };
                prop_assert_eq!(window.add(failed, Duration::from_millis(now)), expected);
                prop_assert_eq!(window.counts(Duration::from_millis(now)), expected);
                prop_assert_eq!(window.counts(Duration::from_millis(now + 60_000)), Counts::default());
            }
        }

        #[test]
        fn never_panics_whatever_the_time(times in proptest::collection::vec(any::<u64>(), 1..50), length in any::<u64>()) {
            let mut window = Window::new(Duration::from_nanos(length));
            for time in times {
                let counts = window.add(true, Duration::from_millis(time));
                prop_assert!(counts.failed >= 1 && counts.failed == counts.calls);
            }
            prop_assert!(window.counts(Duration::MAX).calls <= 50);
        }
    }
}
