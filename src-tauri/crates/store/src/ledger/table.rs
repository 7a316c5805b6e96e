//! The tables that rollups lie in.
//!
//! Most lie by time: whoever asks for all values of a bucket reads them in one go. The values of dimensions by five
//! minutes lie by the hour, in it by value, and only then by time. A series over a day asks for a few values of 288
//! buckets: were each a place of its own, to go to all of them took most of the time that the answer takes.

use super::rollup::{SERIES_OF_TIER, TOTAL};
use super::tiers::{FIVES, TIERS};

/// How rollups are read and written; `?1` is always the series, `?2` a bucket, or the begin of some.
#[derive(Debug)]
pub(crate) struct Table {
    /// Buckets that lie together.
    pub together: i64,
    /// The body of a value (`?3`) of a bucket.
    pub one: &'static str,
    /// Bucket, value and body of all up to the bucket `?3`, excluded.
    pub between: &'static str,
    /// The same of the buckets that lie together with `?2`: what is before the values to look up.
    pub among: &'static str,
    /// Puts a value (`?3`) and its body (`?4`).
    pub put: &'static str,
    /// Deletes a value (`?3`).
    pub delete: &'static str,
    /// Of each value of the buckets that lie together with `?2`, the bucket.
    pub together_with: &'static str,
    /// The last bucket that lies together with the one that comes `?3` values after the first before `?2`.
    pub slice: &'static str,
    /// Deletes all before `?2`, where a stretch begins.
    pub delete_before: &'static str,
}

const BY_TIME: Table = Table {
    together: 1,
    one: "SELECT body FROM rollups WHERE series = ?1 AND at = ?2 AND value = ?3",
    between: "SELECT at, value, body FROM rollups WHERE series = ?1 AND at >= ?2 AND at < ?3",
    among: "SELECT at, value, body FROM rollups WHERE series = ?1 AND at = ?2 AND value IN ",
    put: "INSERT OR REPLACE INTO rollups VALUES (?1, ?2, ?3, ?4)",
    delete: "DELETE FROM rollups WHERE series = ?1 AND at = ?2 AND value = ?3",
    together_with: "SELECT at FROM rollups WHERE series = ?1 AND at = ?2",
    slice: "SELECT at FROM rollups WHERE series = ?1 AND at < ?2 ORDER BY at LIMIT 1 OFFSET ?3",
    delete_before: "DELETE FROM rollups WHERE series = ?1 AND at < ?2",
};

const BY_HOUR: Table = Table {
    together: 12,
    one: "SELECT body FROM fives WHERE series = ?1 AND hour = ?2 / 12 AND value = ?3 AND at = ?2",
    between: "SELECT at, value, body FROM fives
        WHERE series = ?1 AND hour >= ?2 / 12 AND hour <= (?3 - 1) / 12 AND at >= ?2 AND at < ?3",
    among: "SELECT at, value, body FROM fives WHERE series = ?1 AND hour = ?2 / 12 AND value IN ",
    put: "INSERT OR REPLACE INTO fives VALUES (?1, ?2 / 12, ?3, ?2, ?4)",
    delete: "DELETE FROM fives WHERE series = ?1 AND hour = ?2 / 12 AND value = ?3 AND at = ?2",
    together_with: "SELECT at FROM fives WHERE series = ?1 AND hour = ?2 / 12",
    slice: "SELECT hour * 12 + 11 FROM fives WHERE series = ?1 AND hour < ?2 / 12
        ORDER BY hour LIMIT 1 OFFSET ?3",
    delete_before: "DELETE FROM fives WHERE series = ?1 AND hour < ?2 / 12",
};

impl Table {
    /// Where a series lies.
    pub(crate) fn of(series: i64) -> &'static Self {
        let is_fives = TIERS
            .get(FIVES)
            .is_some_and(|fives| fives.number == series.div_euclid(SERIES_OF_TIER));
        if is_fives && series.rem_euclid(SERIES_OF_TIER) != i64::from(TOTAL) {
            &BY_HOUR
        } else {
            &BY_TIME
        }
    }

    /// The first of the buckets that one lies together with.
    pub(crate) fn first(&self, at: i64) -> i64 {
        at.div_euclid(self.together) * self.together
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::rollup::series;
    use crate::ledger::tiers::{HOUR, length};
    use cockpit_model::usage::Dimension;

    #[test]
    fn only_the_values_by_five_minutes_lie_by_the_hour() {
        assert_eq!(BY_HOUR.together * length(FIVES), HOUR);
        for tier in 0..TIERS.len() {
            for dimension in std::iter::once(None).chain(Dimension::ALL.map(Some)) {
                let by_hour = Table::of(series(tier, dimension)).together == BY_HOUR.together;
                assert_eq!(by_hour, tier == FIVES && dimension.is_some());
            }
        }
    }
}
