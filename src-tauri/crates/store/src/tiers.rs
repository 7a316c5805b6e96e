//! How finely, and for how long, samples are kept.

use std::time::Duration;

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

/// One resolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tier {
    /// Its table.
    pub table: &'static str,
    /// Seconds of a bucket.
    pub step: i64,
    /// Seconds a bucket is kept at least.
    pub keep: i64,
    /// Seconds that are dropped at once, when the last of them has been kept long enough.
    pub chunk: i64,
    /// Whether free space of volumes is kept too.
    pub disks: bool,
}

/// From fine to coarse.
pub const TIERS: [Tier; 4] = [
    Tier {
        table: "host_1s",
        step: 1,
        keep: HOUR,
        chunk: 600,
        disks: false,
    },
    Tier {
        table: "host_10s",
        step: 10,
        keep: DAY,
        chunk: HOUR,
        disks: false,
    },
    Tier {
        table: "host_1m",
        step: 60,
        keep: 30 * DAY,
        chunk: DAY,
        disks: true,
    },
    Tier {
        table: "host_1h",
        step: HOUR,
        keep: 730 * DAY,
        chunk: 30 * DAY,
        disks: true,
    },
];

/// What is older than this is to be dropped from `tier`, in seconds: a chunk's border.
pub const fn cutoff(tier: &Tier, now: i64) -> i64 {
    (now - tier.keep).div_euclid(tier.chunk) * tier.chunk
}

/// How to answer a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// Where to read.
    pub tier: Tier,
    /// Seconds between two points; a multiple of the tier's step.
    pub step: i64,
    /// How many points.
    pub count: usize,
    /// The first point's time, a multiple of `step`; the last one's bucket holds `now`.
    pub first: i64,
}

/// Picks the coarsest tier that still gives `max_points` over `window`, among those that go back far
/// enough; the finest of them if none is coarse enough.
pub fn plan(window: Duration, max_points: usize, now: i64) -> Option<Plan> {
    let points = i64::try_from(max_points)
        .ok()
        .filter(|points| *points > 0)?;
    let longest = 100 * 365 * DAY;
    let window = i64::try_from(window.as_secs()).map_or(longest, |window| window.clamp(1, longest));
    let wanted = (window + points - 1) / points;
    let [.., coarsest] = TIERS;
    let tier = TIERS
        .into_iter()
        .filter(|tier| tier.keep >= window)
        .reduce(|finer, tier| if tier.step <= wanted { tier } else { finer })
        .unwrap_or(coarsest);
    let step = (wanted + tier.step - 1) / tier.step * tier.step;
    let count = (window + step - 1) / step;
    let first = (now.div_euclid(step) - count + 1) * step;
    Some(Plan {
        tier,
        step,
        count: usize::try_from(count).ok()?,
        first,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, missing_docs, reason = "tests")]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn usual_windows_read_the_tier_that_fits() {
        let tier = |hours: u64, points| {
            plan(Duration::from_secs(hours * 3600), points, 1_700_000_000)
                .unwrap()
                .tier
                .table
        };
        assert_eq!(tier(1, 2000), "host_1s");
        assert_eq!(tier(1, 300), "host_10s");
        assert_eq!(tier(24, 2000), "host_10s");
        assert_eq!(tier(24, 500), "host_1m");
        assert_eq!(tier(7 * 24, 2000), "host_1m");
        assert_eq!(tier(30 * 24, 500), "host_1h");
        assert_eq!(tier(3 * 365 * 24, 500), "host_1h");
    }

    proptest! {
        #[test]
        fn a_plan_keeps_its_bounds(
            window in 0_u64..200_000_000,
            max_points in 1_usize..3_000,
            now in 0_i64..4_000_000_000,
        ) {
            let plan = plan(Duration::from_secs(window), max_points, now).unwrap();
            let count = i64::try_from(plan.count).unwrap();
            prop_assert!(plan.count <= max_points && plan.count > 0);
            prop_assert_eq!(plan.step % plan.tier.step, 0);
            prop_assert_eq!(plan.first.rem_euclid(plan.step), 0);
            // The last bucket holds `now`, and all of them cover the window.
            let end = plan.first + count * plan.step;
            prop_assert!(now < end && now >= end - plan.step);
            prop_assert!(count * plan.step >= i64::try_from(window).unwrap());
        }
    }
}
