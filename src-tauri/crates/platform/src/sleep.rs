//! How long the machine has slept.
//!
//! Two monotonic clocks tell it: one goes on while the machine sleeps, the other stands still, and
//! their difference is the total sleep since boot. A step of the wall clock (a person setting the
//! time, NTP) moves neither, so it is never mistaken for a sleep. The engine reads the total every
//! second and hands it to [`SleepDetector`], which tells one sleep from the clocks' own noise.

use std::time::Duration;

/// Shorter pauses are not worth a mark: the two clocks are read one after the other, and a loaded
/// machine may take its time between the two.
const SHORTEST: Duration = Duration::from_secs(2);

/// The machine's sleep clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SleepClock;

impl SleepClock {
    /// Total time asleep since boot. Never waits, never fails.
    pub fn slept_total(self) -> Duration {
        imp::slept_total()
    }
}

/// Turns readings of the [`SleepClock`] into single sleeps. Pure.
#[derive(Debug, Clone, Copy, Default)]
pub struct SleepDetector {
    last: Option<Duration>,
}

impl SleepDetector {
    /// One that has seen nothing yet: its first reading is the base line.
    pub const fn new() -> Self {
        Self { last: None }
    }

    /// Takes a reading; answers how long the machine slept since the last one, if it was at least
    /// two seconds.
    pub fn observe(&mut self, slept_total: Duration) -> Option<Duration> {
        let last = self.last.replace(slept_total)?;
        let slept = slept_total.saturating_sub(last);
        (slept >= SHORTEST).then_some(slept)
    }
}

#[cfg(not(target_os = "macos"))]
mod imp {
    use std::time::Duration;

    use rustix::time::{ClockId, Timespec, clock_gettime};

    pub(super) fn slept_total() -> Duration {
        // Monotonic first: time that passes between the two readings then only makes the difference
        // larger, by far less than what the detector ignores, and never negative.
        let awake = duration(clock_gettime(ClockId::Monotonic));
        let all = duration(clock_gettime(ClockId::Boottime));
        all.saturating_sub(awake)
    }

    fn duration(t: Timespec) -> Duration {
        let seconds = u64::try_from(t.tv_sec).unwrap_or(0);
        let nanos = u32::try_from(t.tv_nsec).unwrap_or(0);
        Duration::new(seconds, nanos)
    }
}

#[cfg(target_os = "macos")]
mod imp {
    use std::time::Duration;

    #[repr(C)]
    #[derive(Default)]
    struct Timebase {
        numer: u32,
        denom: u32,
    }

    // SAFETY: the three signatures are those of <mach/mach_time.h>, part of libSystem, which every
    // program on macOS links. The two clocks take nothing and only return a number.
    #[allow(unsafe_code, reason = "the clocks have no safe binding")]
    unsafe extern "C" {
        safe fn mach_continuous_time() -> u64;
        safe fn mach_absolute_time() -> u64;
        fn mach_timebase_info(info: *mut Timebase) -> i32;
    }

    pub(super) fn slept_total() -> Duration {
        let awake = mach_absolute_time();
        let all = mach_continuous_time();
        let mut base = Timebase::default();
        // SAFETY: `base` is a valid, writable `mach_timebase_info_data_t` for the call's duration.
        #[allow(unsafe_code, reason = "fills a struct through a pointer")]
        let failed = unsafe { mach_timebase_info(&raw mut base) } != 0;
        if failed || base.denom == 0 {
            return Duration::ZERO;
        }
        let ticks = u128::from(all.saturating_sub(awake));
        let nanos = ticks * u128::from(base.numer) / u128::from(base.denom);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_first_reading_is_the_base_line() {
        assert_eq!(SleepDetector::new().observe(s(90_000)), None);
    }

    #[test]
    fn a_sleep_is_told_once_and_in_full() {
        let mut detector = SleepDetector::new();
        assert_eq!(detector.observe(s(10)), None);
        assert_eq!(detector.observe(s(3_610)), Some(s(3_600)));
        assert_eq!(detector.observe(s(3_610)), None);
    }

    #[test]
    fn noise_and_a_clock_that_reads_backwards_are_no_sleep() {
        let mut detector = SleepDetector::new();
        detector.observe(s(10));
        assert_eq!(detector.observe(s(10) + Duration::from_millis(1_999)), None);
        assert_eq!(detector.observe(s(9)), None);
        assert_eq!(detector.observe(s(11)), Some(s(2)));
    }

    #[test]
    fn the_real_clock_does_not_run_backwards_by_more_than_noise() {
        let first = SleepClock.slept_total();
        let second = SleepClock.slept_total();
        assert!(second + s(1) > first);
    }
}
