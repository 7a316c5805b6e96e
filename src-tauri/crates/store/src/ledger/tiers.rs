//! The stretches of time that rollups are kept for, how long, and how a window is put together from
//! them. Pure.

use std::time::Duration;

pub(crate) const HOUR: i64 = 3600;
pub(crate) const DAY: i64 = 24 * HOUR;

/// The lengths of the buckets in seconds, from fine to coarse; each is a multiple of the one before.
pub(crate) const STEPS: [i64; 4] = [60, 300, HOUR, DAY];
/// The place of the hour among them.
pub(crate) const HOURS: usize = 2;
/// The place of the day among them.
pub(crate) const DAYS: usize = 3;

/// How long things are kept at least; what is older is dropped by the hour or by the day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// Single calls and reports, and with them the memory of their ids.
    pub calls: Duration,
    /// Sums by the minute.
    pub minutes: Duration,
    /// Sums by five minutes.
    pub five_minutes: Duration,
    /// Sums by the hour.
    pub hours: Duration,
    /// Sums by the day.
    pub days: Duration,
}

impl Default for Keep {
    fn default() -> Self {
        let hours = |n: u64| Duration::from_secs(n * 3600);
        Self {
            calls: hours(30 * 24),
            minutes: hours(6),
            five_minutes: hours(3 * 24),
            hours: hours(35 * 24),
            days: hours(730 * 24),
        }
    }
}

/// From when on things are kept, in Unix seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Floors {
    /// Calls and reports; a day's begin.
    pub rows: i64,
    /// Each of [`STEPS`]; an hour's or a day's begin.
    pub tiers: [i64; STEPS.len()],
}

impl Floors {
    pub(crate) fn at(keep: &Keep, now: i64) -> Self {
        let floor = |keep: Duration, chunk: i64| {
            let keep = i64::try_from(keep.as_secs()).unwrap_or(i64::MAX);
            (now.saturating_sub(keep).max(0)).div_euclid(chunk) * chunk
        };
        Self {
            rows: floor(keep.calls, DAY),
            tiers: [
                floor(keep.minutes, HOUR),
                floor(keep.five_minutes, HOUR),
                floor(keep.hours, DAY),
                floor(keep.days, DAY),
            ],
        }
    }

    /// What was dropped does not come back.
    pub(crate) fn max(self, other: Self) -> Self {
        let mut tiers = self.tiers;
        for (floor, other) in tiers.iter_mut().zip(other.tiers) {
            *floor = (*floor).max(other);
        }
        Self {
            rows: self.rows.max(other.rows),
            tiers,
        }
    }

    /// The finest tier that keeps what happened at a time.
    pub(crate) fn finest_at(&self, second: i64) -> Option<usize> {
        self.tiers.iter().position(|floor| *floor <= second)
    }

    /// Whether a tier keeps what happened at a time.
    pub(crate) fn keeps(&self, tier: usize, second: i64) -> bool {
        self.tiers.get(tier).is_some_and(|floor| *floor <= second)
    }
}

/// Where a piece of a window is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    Rows,
    Tier(usize),
}

/// A piece of a window: Unix milliseconds, begin included, end excluded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Segment {
    pub source: Source,
    pub from: i64,
    pub to: i64,
}

/// Puts a window together: its middle from the coarsest buckets that fit into it, its ragged edges
/// from finer ones, and what no bucket fits from the rows. Only tiers whose buckets fit into `step`
/// seconds are used.
pub(crate) fn cover(from: i64, to: i64, step: Option<i64>, floors: &Floors) -> Vec<Segment> {
    let mut segments = Vec::new();
    let usable: Vec<usize> = (0..STEPS.len())
        .filter(|tier| {
            let length = STEPS.get(*tier).copied().unwrap_or(DAY);
            step.is_none_or(|step| step % length == 0)
        })
        .collect();
    cover_with(from, to, &usable, floors, &mut segments);
    segments
}

fn cover_with(from: i64, to: i64, tiers: &[usize], floors: &Floors, out: &mut Vec<Segment>) {
    if from >= to {
        return;
    }
    let Some((tier, finer)) = tiers.split_last() else {
        out.push(Segment {
            source: Source::Rows,
            from,
            to,
        });
        return;
    };
    let bounds = STEPS.get(*tier).zip(floors.tiers.get(*tier));
    let (begin, end) = bounds.map_or((to, to), |(step, floor)| {
        let length = step * 1000;
        let begin = from.max(floor * 1000);
        (
            begin.div_euclid(length) * length
                + if begin.rem_euclid(length) > 0 {
                    length
                } else {
                    0
                },
            to.div_euclid(length) * length,
        )
    });
    if begin >= end {
        cover_with(from, to, finer, floors, out);
        return;
    }
    cover_with(from, begin, finer, floors, out);
    out.push(Segment {
        source: Source::Tier(*tier),
        from: begin,
        to: end,
    });
    cover_with(end, to, finer, floors, out);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, reason = "tests")]
    use super::*;
    use proptest::prelude::*;

    const NOW: i64 = 1_700_000_000;

    #[test]
    fn a_month_is_days_with_ragged_edges() {
        let floors = Floors::at(&Keep::default(), NOW);
        let segments = cover((NOW - 29 * DAY) * 1000 + 7, NOW * 1000, None, &floors);
        let sources: Vec<Source> = segments.iter().map(|segment| segment.source).collect();
        use Source::{Rows, Tier};
        assert_eq!(
            sources,
            [Rows, Tier(2), Tier(3), Tier(2), Tier(1), Tier(0), Rows]
        );
    }

    proptest! {
        #[test]
        fn a_cover_is_the_window_without_gaps(
            from in (NOW - 40 * DAY) * 1000..NOW * 1000,
            length in 0_i64..40 * DAY * 1000,
            step in proptest::option::of(1_i64..5000),
        ) {
            let floors = Floors::at(&Keep::default(), NOW);
            let to = from + length;
            let segments = cover(from, to, step, &floors);
            let mut at = from;
            for segment in &segments {
                prop_assert_eq!(segment.from, at);
                prop_assert!(segment.to > at);
                at = segment.to;
                if let Source::Tier(tier) = segment.source {
                    prop_assert_eq!(segment.from % (STEPS[tier] * 1000), 0);
                    prop_assert_eq!(segment.to % (STEPS[tier] * 1000), 0);
                    prop_assert!(segment.from >= floors.tiers[tier] * 1000);
                    prop_assert!(step.is_none_or(|step| step % STEPS[tier] == 0));
                }
            }
            prop_assert_eq!(at, to);
        }
    }
}
