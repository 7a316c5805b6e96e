//! How fast a clock is believed when it tells what has been kept long enough: one that is wrong for a while must not
//! cost history. A clock that leaps a year ahead for a minute has dropped what is an hour too young; a machine that was
//! off for a month is level again within half a day.

use std::time::Duration;

/// How many times faster than it passes time is caught up with.
pub(crate) const PACE: u32 = 60;

/// The next time to tell by, in Unix seconds, `passed` after the last one. `None`: the clock is believed at once.
pub(crate) fn follow(believed: i64, now: i64, passed: Duration, pace: Option<u32>) -> i64 {
    let Some(pace) = pace else {
        return now;
    };
    let most = i64::try_from(passed.saturating_mul(pace).as_secs()).unwrap_or(i64::MAX);
    let off = now.saturating_sub(believed).clamp(-most, most);
    believed.saturating_add(off)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: i64 = 1_700_000_000;
    const HOUR: i64 = 3600;
    const DAY: i64 = 24 * HOUR;
    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn a_leap_of_a_minute_costs_an_hour_and_months_off_are_caught_up_with() {
        let ahead = NOW + 400 * DAY;
        assert_eq!(follow(NOW, ahead, MINUTE, Some(PACE)), NOW + HOUR);
        let mut believed = NOW;
        for _ in 0..24 * 60 {
            believed = follow(believed, NOW + 60 * DAY, MINUTE, Some(PACE));
        }
        assert_eq!(believed, NOW + 60 * DAY, "within a day");
        assert_eq!(follow(NOW, ahead, Duration::ZERO, None), ahead);
    }

    proptest! {
        #[test]
        fn it_goes_towards_the_clock_and_never_beyond(
            believed in any::<i64>(),
            now in any::<i64>(),
            passed in 0_u64..10_000_000,
        ) {
            let next = follow(believed, now, Duration::from_millis(passed), Some(PACE));
            prop_assert!((believed.min(now)..=believed.max(now)).contains(&next));
            let moved = believed.abs_diff(next);
            prop_assert!(moved <= passed * u64::from(PACE) / 1000);
        }
    }
}
