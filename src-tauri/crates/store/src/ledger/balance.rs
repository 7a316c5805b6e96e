//! A window from as few buckets as do, where what is summed up can be taken off again. Pure.

use super::tiers::{Floors, Segment, Source, TIERS, length, next};

/// A piece of what sums are made of: added, or taken off again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part {
    /// Of a tier.
    pub piece: Segment,
    /// Whether it is taken off.
    pub taken: bool,
    /// Whether it has what is taken off, or is that: then no value may be hidden in a rest.
    pub strict: bool,
}

impl Part {
    /// A piece of which nothing is taken off.
    pub(crate) fn plain(piece: Segment) -> Self {
        Self {
            piece,
            taken: false,
            strict: false,
        }
    }

    /// How many buckets it has in which there may be something.
    fn buckets(&self, until: Option<i64>) -> i64 {
        match self.piece.source {
            Source::Tier(tier) => {
                let length = length(tier) * 1000;
                let to = self.piece.to;
                let end = until.map_or(to, |until| to.min(next(until, length)));
                (end - self.piece.from).max(0) / length
            }
            Source::Rows => i64::MAX,
        }
    }

    /// As it is seen by whatever it is taken off from.
    fn turned(self) -> Self {
        Self {
            taken: !self.taken,
            strict: true,
            ..self
        }
    }
}

/// The pieces of tiers in a [`cover`](super::tiers::cover) of all tiers, put together anew from as few buckets as do: a day that begins at
/// five past midnight is the whole day without its first five minutes. What is added comes before what is taken off.
/// `until`: there is nothing at or after it, as far as is known.
pub(crate) fn balance(cover: &[Segment], floors: &Floors, until: Option<i64>) -> Vec<Part> {
    let all: Vec<usize> = (0..TIERS.len()).collect();
    let held = Held { floors, until };
    let runs = cover.chunk_by(|a, b| a.source != Source::Rows && b.source != Source::Rows);
    let mut parts = Vec::new();
    for run in runs {
        let (Some(first), Some(last)) = (run.first(), run.last()) else {
            continue;
        };
        if first.source == Source::Rows {
            continue;
        }
        match held.fewest(first.from, last.to, &all) {
            Some(fewest) => parts.extend(fewest),
            None => parts.extend(run.iter().copied().map(Part::plain)),
        }
    }
    parts.sort_by_key(|part| (part.taken, !part.strict));
    parts
}

/// What there is to choose from.
struct Held<'a> {
    floors: &'a Floors,
    until: Option<i64>,
}

impl Held<'_> {
    /// `None`: no buckets fit.
    fn fewest(&self, from: i64, to: i64, tiers: &[usize]) -> Option<Vec<Part>> {
        if from >= to {
            return Some(Vec::new());
        }
        let (tier, finer) = tiers.split_last()?;
        let length = length(*tier) * 1000;
        let floor = self
            .floors
            .tiers
            .get(*tier)
            .copied()
            .unwrap_or(i64::MAX / 1000)
            * 1000;
        let begin = next(from.max(floor), length);
        let end = to.div_euclid(length) * length;
        if begin > end {
            return self.edge(from, to, *tier, finer);
        }
        let mut parts = self.edge(from, begin, *tier, finer)?;
        if begin < end {
            parts.push(Part::plain(Segment {
                source: Source::Tier(*tier),
                from: begin,
                to: end,
            }));
        }
        parts.extend(self.edge(end, to, *tier, finer)?);
        Some(parts)
    }

    /// A time that is less than a bucket of a tier: from finer ones, or from that bucket without what is not asked for.
    fn edge(&self, from: i64, to: i64, tier: usize, finer: &[usize]) -> Option<Vec<Part>> {
        let length = length(tier) * 1000;
        let begin = from.div_euclid(length) * length;
        let plain = self.fewest(from, to, finer);
        if from >= to || to > begin + length || !self.floors.keeps(tier, begin / 1000) {
            return plain;
        }
        let whole = Part {
            piece: Segment {
                source: Source::Tier(tier),
                from: begin,
                to: begin + length,
            },
            taken: false,
            strict: true,
        };
        let around = self
            .fewest(begin, from, finer)
            .zip(self.fewest(to, begin + length, finer));
        let without = around.map(|(before, after)| {
            let around = before.into_iter().chain(after).map(Part::turned);
            std::iter::once(whole).chain(around).collect::<Vec<_>>()
        });
        let buckets = |parts: &[Part]| {
            parts
                .iter()
                .map(|part| part.buckets(self.until))
                .sum::<i64>()
        };
        match (plain, without) {
            (Some(plain), Some(without)) if buckets(&without) < buckets(&plain) => Some(without),
            (None, without) => without,
            (plain, _) => plain,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, reason = "tests")]
    use proptest::prelude::*;

    use super::*;
    use crate::ledger::tiers::tests::{NOW, begun};
    use crate::ledger::tiers::{DAY, DAYS, HOUR, HOURS, Keep, WEEK, cover};

    #[test]
    fn a_day_that_begins_late_is_a_day_without_its_begin() {
        let mut floors = Floors::at(&Keep::default(), NOW);
        // The second of a week.
        let day = NOW.div_euclid(WEEK) * WEEK - 6 * DAY;
        floors.tiers[1] = day;
        let cover = cover((day + 67) * 1000, (day + 2 * DAY) * 1000, None, &floors);
        let parts = balance(&cover, &floors, None);
        let part = |tier, from: i64, to: i64, taken, strict| Part {
            piece: Segment {
                source: Source::Tier(tier),
                from: from * 1000,
                to: to * 1000,
            },
            taken,
            strict,
        };
        assert_eq!(
            parts,
            [
                part(DAYS, day, day + DAY, false, true),
                part(DAYS, day + DAY, day + 2 * DAY, false, false),
                part(1, day, day + 300, true, true),
            ]
        );
    }

    #[test]
    fn days_to_come_are_no_reason_to_take_the_week() {
        let floors = Floors::at(&Keep::default(), NOW);
        // The last hour of yesterday, and all that follows in a week that has just begun.
        let week = NOW.div_euclid(WEEK) * WEEK * 1000;
        let today = week + DAY * 1000;
        let cover = cover(today - HOUR * 1000, week + WEEK * 1000, None, &floors);
        let of = |until| -> Vec<Source> {
            let parts = balance(&cover, &floors, until);
            parts.iter().map(|part| part.piece.source).collect()
        };
        use Source::Tier;
        assert_eq!(of(Some(today + 67_000)), [Tier(HOURS), Tier(DAYS)]);
        assert_eq!(of(None), [Tier(DAYS + 1), Tier(HOURS), Tier(DAYS)]);
    }

    proptest! {
        #[test]
        fn what_is_added_and_not_taken_off_is_what_the_cover_has(
            from in (NOW - 40 * DAY) * 1000..NOW * 1000,
            length in prop_oneof![0..3 * HOUR * 1000, 0..3 * DAY * 1000, 0..40 * DAY * 1000],
            recent in any::<bool>(),
            ended in proptest::option::of(0..8 * DAY * 1000),
            three_hours in -40 * DAY..2 * DAY,
            weeks in -40 * DAY..8 * DAY,
        ) {
            let floors = begun(three_hours, weeks);
            let from = if recent { NOW * 1000 - length } else { from };
            let cover = cover(from, from + length, None, &floors);
            let until = ended.map(|ended| from + length - ended);
            let parts = balance(&cover, &floors, until);
            let of_tiers: Vec<Part> = cover
                .iter()
                .filter(|piece| piece.source != Source::Rows)
                .map(|piece| Part::plain(*piece))
                .collect();
            let buckets = |parts: &[Part]| parts.iter().map(|part| part.buckets(until)).sum::<i64>();
            prop_assert!(buckets(&parts) <= buckets(&of_tiers));
            let times = |parts: &[Part], at: i64| -> i32 {
                let there = parts.iter().filter(|part| (part.piece.from..part.piece.to).contains(&at));
                there.map(|part| if part.taken { -1 } else { 1 }).sum()
            };
            let borders = parts.iter().chain(&of_tiers).flat_map(|part| [part.piece.from, part.piece.to]);
            for at in borders.flat_map(|border| [border - 1, border]) {
                prop_assert_eq!(times(&parts, at), times(&of_tiers, at));
            }
            prop_assert!(parts.is_sorted_by_key(|part| part.taken), "what is taken off must be there");
            for part in &parts {
                let Source::Tier(tier) = part.piece.source else {
                    panic!("rows are read one by one");
                };
                let length = TIERS[tier].length * 1000;
                prop_assert_eq!((part.piece.from % length, part.piece.to % length), (0, 0));
                prop_assert!(part.piece.from >= floors.tiers[tier] * 1000);
                let overlaps = parts.iter().any(|other| {
                    other != part && other.piece.from < part.piece.to && part.piece.from < other.piece.to
                });
                prop_assert_eq!(part.strict, part.taken || overlaps);
            }
        }
    }
}
