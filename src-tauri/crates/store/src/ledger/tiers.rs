//! The stretches of time that rollups are kept for, how long, and how a window is put together from
//! them. Pure.

use std::time::Duration;

pub(crate) const HOUR: i64 = 3600;
pub(crate) const DAY: i64 = 24 * HOUR;
/// Of seven days since 1970, so it begins on a Thursday.
pub(crate) const WEEK: i64 = 7 * DAY;

/// A length of buckets.
#[derive(Debug)]
pub(crate) struct Tier {
    /// Of each bucket, in seconds.
    pub length: i64,
    /// What the file knows it by (see rollup.rs), whatever has come before it since.
    pub number: i64,
    /// The name of its floor in `meta`.
    pub floor: &'static str,
    /// What it is dropped by, in seconds: its floor is a multiple of that.
    pub chunk: i64,
}

const fn tier(length: i64, number: i64, floor: &'static str, chunk: i64) -> Tier {
    Tier {
        length,
        number,
        floor,
        chunk,
    }
}

/// From fine to coarse; each length is a multiple of the one before.
///
/// Three hours and weeks are there for the time that a long window takes: whatever they know, hours and days know too.
pub(crate) const TIERS: [Tier; 6] = [
    tier(60, 0, "floor_1m", HOUR),
    tier(300, 1, "floor_5m", HOUR),
    tier(HOUR, 2, "floor_1h", DAY),
    tier(3 * HOUR, 4, "floor_3h", DAY),
    tier(DAY, 3, "floor_1d", DAY),
    tier(WEEK, 5, "floor_1w", WEEK),
];
/// The place of five minutes among them.
pub(crate) const FIVES: usize = 1;
/// The place of the hour among them.
pub(crate) const HOURS: usize = 2;
/// The place of the day among them.
pub(crate) const DAYS: usize = 4;

/// The length of a tier's buckets in seconds.
pub(crate) fn length(tier: usize) -> i64 {
    TIERS.get(tier).map_or(WEEK, |tier| tier.length)
}

/// The first border at or after a time.
pub(crate) fn next(at: i64, length: i64) -> i64 {
    let beyond = at.rem_euclid(length);
    if beyond > 0 { at - beyond + length } else { at }
}

/// How long things are kept at least; what is older is dropped by the hour, by the day or by the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// Single calls and reports, and with them the memory of their ids.
    pub calls: Duration,
    /// Sums by the minute.
    pub minutes: Duration,
    /// Sums by five minutes.
    pub five_minutes: Duration,
    /// Sums by the hour and by three hours.
    pub hours: Duration,
    /// Sums by the day, and by the week in whole weeks.
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Floors {
    /// Calls and reports; a day's begin.
    pub rows: i64,
    /// Each of [`TIERS`]; an hour's, a day's or a week's begin.
    pub tiers: [i64; TIERS.len()],
}

impl Floors {
    pub(crate) fn at(keep: &Keep, now: i64) -> Self {
        let floor = |keep: Duration, chunk: i64| {
            let keep = i64::try_from(keep.as_secs()).unwrap_or(i64::MAX);
            (now.saturating_sub(keep).max(0)).div_euclid(chunk) * chunk
        };
        let (hours, days) = (floor(keep.hours, DAY), floor(keep.days, DAY));
        Self {
            rows: floor(keep.calls, DAY),
            tiers: [
                floor(keep.minutes, HOUR),
                floor(keep.five_minutes, HOUR),
                hours,
                hours,
                days,
                next(days, WEEK),
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

    /// Where what is known from a time on begins in whole buckets, and the same floors for it: no bucket that began
    /// before.
    pub(crate) fn known_from(&self, second: i64) -> (i64, Self) {
        let finest = self.finest_at(second).unwrap_or(DAYS);
        let from = next(second, length(finest).max(HOUR));
        let mut known = *self;
        for (floor, tier) in known.tiers.iter_mut().zip(&TIERS) {
            *floor = (*floor).max(next(from, tier.length));
        }
        (from, known)
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
    let usable: Vec<usize> = (0..TIERS.len())
        .filter(|tier| step.is_none_or(|step| step % length(*tier) == 0))
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
    let length = length(*tier) * 1000;
    let floor = floors.tiers.get(*tier).copied().unwrap_or(i64::MAX / 1000);
    let begin = next(from.max(floor * 1000), length);
    let end = to.div_euclid(length) * length;
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
pub(super) mod tests {
    #![allow(clippy::indexing_slicing, reason = "tests")]
    use super::*;
    use proptest::prelude::*;

    pub(in crate::ledger) const NOW: i64 = 1_700_000_000;

    #[test]
    fn files_know_the_tiers_by_numbers_that_stay() {
        let known = TIERS.map(|tier| (tier.number, tier.length, tier.floor));
        let expected = [
            (0, 60, "floor_1m"),
            (1, 300, "floor_5m"),
            (2, 3600, "floor_1h"),
            (4, 10_800, "floor_3h"),
            (3, 86_400, "floor_1d"),
            (5, 604_800, "floor_1w"),
        ];
        assert_eq!(known, expected);
        for pair in TIERS.windows(2) {
            assert_eq!(pair[1].length % pair[0].length, 0);
        }
        assert!(TIERS.iter().all(|tier| tier.chunk % tier.length == 0));
        assert_eq!((length(HOURS), length(DAYS)), (HOUR, DAY));
    }

    #[test]
    fn a_month_is_weeks_with_ragged_edges() {
        let floors = Floors::at(&Keep::default(), NOW);
        let segments = cover((NOW - 29 * DAY) * 1000 + 7, NOW * 1000, None, &floors);
        let sources: Vec<Source> = segments.iter().map(|segment| segment.source).collect();
        use Source::{Rows, Tier};
        assert_eq!(
            sources,
            [
                Rows,
                Tier(2),
                Tier(4),
                Tier(5),
                Tier(4),
                Tier(3),
                Tier(2),
                Tier(1),
                Tier(0),
                Rows
            ]
        );
    }

    /// As those of a file in which three hours and weeks began later than hours and days.
    pub(in crate::ledger) fn begun(three_hours: i64, weeks: i64) -> Floors {
        let mut floors = Floors::at(&Keep::default(), NOW);
        for (tier, later) in [(HOURS + 1, three_hours), (DAYS + 1, weeks)] {
            let begun = next(NOW + later, TIERS[tier].length);
            floors.tiers[tier] = floors.tiers[tier].max(begun);
        }
        floors
    }

    proptest! {
        #[test]
        fn what_three_hours_and_weeks_keep_hours_and_days_keep_too(now in 0..2 * NOW) {
            let floors = Floors::at(&Keep::default(), now);
            for (floor, tier) in floors.tiers.iter().zip(&TIERS) {
                prop_assert_eq!(floor % tier.chunk, 0);
            }
            prop_assert!(floors.tiers[HOURS + 1] >= floors.tiers[HOURS]);
            prop_assert!(floors.tiers[DAYS + 1] >= floors.tiers[DAYS]);
            let oldest = floors.tiers[DAYS];
            prop_assert_eq!(floors.finest_at(oldest) == Some(DAYS), floors.tiers[HOURS] > oldest);
        }

        #[test]
        fn what_is_known_and_what_is_not_leave_the_same_to_the_rows(
            from in (NOW - 40 * DAY) * 1000..NOW * 1000,
            length in prop_oneof![0..3 * HOUR * 1000, 0..40 * DAY * 1000],
            known in (NOW - 50 * DAY)..(NOW + 2 * DAY),
            three_hours in -40 * DAY..2 * DAY,
            weeks in -40 * DAY..8 * DAY,
        ) {
            let floors = begun(three_hours, weeks);
            let (begin, later) = floors.known_from(known);
            prop_assert!(begin >= known && later.tiers.iter().all(|floor| *floor >= begin));
            let (begin, to) = (begin * 1000, from + length);
            let parts = [
                cover(from, to.min(begin), None, &floors),
                cover(from.max(begin), to, None, &later),
            ]
            .concat();
            let rows = |pieces: &[Segment]| -> Vec<(i64, i64)> {
                let rows = pieces.iter().filter(|piece| piece.source == Source::Rows);
                let rows: Vec<&Segment> = rows.collect();
                // Where one ends in which the next begins, the same are read.
                let whole = rows.chunk_by(|one, next| one.to == next.from);
                whole.map(|of| (of[0].from, of[of.len() - 1].to)).collect()
            };
            prop_assert_eq!(rows(&parts), rows(&cover(from, to, None, &floors)));
        }

        #[test]
        fn a_cover_is_the_window_without_gaps(
            from in (NOW - 40 * DAY) * 1000..NOW * 1000,
            length in 0_i64..40 * DAY * 1000,
            step in proptest::option::of(prop_oneof![1_i64..5000, (1_i64..50).prop_map(|days| days * DAY)]),
            three_hours in -40 * DAY..2 * DAY,
            weeks in -40 * DAY..8 * DAY,
        ) {
            let floors = begun(three_hours, weeks);
            let to = from + length;
            let segments = cover(from, to, step, &floors);
            let mut at = from;
            for segment in &segments {
                prop_assert_eq!(segment.from, at);
                prop_assert!(segment.to > at);
                at = segment.to;
                if let Source::Tier(tier) = segment.source {
                    let length = TIERS[tier].length;
                    prop_assert_eq!(segment.from % (length * 1000), 0);
                    prop_assert_eq!(segment.to % (length * 1000), 0);
                    prop_assert!(segment.from >= floors.tiers[tier] * 1000);
                    prop_assert!(step.is_none_or(|step| step % length == 0));
                }
            }
            prop_assert_eq!(at, to);
        }
    }
}
