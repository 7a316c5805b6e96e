//! By which time is told what has been kept long enough: a clock that is wrong for a while must not cost history, nor
//! keep what comes afterwards out.
//!
//! - It follows the clock, but only so fast ([`crate::pace`]).
//! - Where the clock is behind it, the clock holds at once. What was dropped stays dropped: floors go back no further
//!   than to where everything is still there, so that no bucket claims a time that it does not know whole.

use std::time::{Duration, Instant};

use rusqlite::{Connection, OptionalExtension};

use super::schema::{self, ALIVE, BELIEVED, meta, set_meta};
use super::tiers::{DAY, Floors, Keep, TIERS, next};
use super::{Options, key};
use crate::pace::{PACE, follow};

/// See the module.
#[derive(Debug)]
pub(crate) struct Horizon {
    /// In Unix seconds.
    believed: i64,
    followed: Instant,
    keep: Keep,
    pace: Option<u32>,
}

impl Default for Horizon {
    fn default() -> Self {
        Self {
            believed: 0,
            followed: Instant::now(),
            keep: Keep::default(),
            pace: Some(PACE),
        }
    }
}

impl Horizon {
    /// Where a file's is.
    pub(crate) fn open(
        connection: &Connection,
        options: &Options,
        now: i64,
    ) -> rusqlite::Result<Self> {
        let floor = schema::floors(connection)?.rows;
        let believed = match meta(connection, BELIEVED)? {
            Some(believed) => believed,
            None if floor == 0 => now,
            // A file of former times: its floors say the day, and when it was last written may say more.
            None => {
                let keep = i64::try_from(options.keep.calls.as_secs()).unwrap_or(0);
                let day = floor.saturating_add(keep);
                let alive = meta(connection, ALIVE)?.unwrap_or(0).div_euclid(1000);
                alive.clamp(day, day.saturating_add(DAY))
            }
        };
        Ok(Self {
            believed: follow(believed, now, Duration::ZERO, options.pace),
            followed: Instant::now(),
            keep: options.keep,
            pace: options.pace,
        })
    }

    /// Notes it in the file.
    pub(crate) fn write(&self, connection: &Connection) -> rusqlite::Result<()> {
        set_meta(connection, BELIEVED, self.believed)
    }

    /// Follows the clock.
    pub(crate) fn follow(&mut self, now: i64) {
        let passed = std::mem::replace(&mut self.followed, Instant::now()).elapsed();
        self.believed = follow(self.believed, now, passed, self.pace);
    }

    /// Where floors that are there are to be moved to.
    pub(crate) fn floors(
        &self,
        connection: &Connection,
        floors: Floors,
        now: i64,
    ) -> rusqlite::Result<Floors> {
        let wanted = Floors::at(&self.keep, self.believed.min(now));
        if !wanted.is_below(&floors) {
            return Ok(wanted);
        }
        let rows = Rows::read(connection, &floors, now)?;
        Ok(floors.moved(&wanted, &rows, now))
    }
}

/// What there is of rows, in Unix seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rows {
    /// From when on all that were ever written are there.
    whole_from: i64,
    /// The end of what lies below the floor of each tier, and is not in it.
    below: [i64; TIERS.len()],
}

impl Rows {
    /// Looks what there is.
    fn read(connection: &Connection, floors: &Floors, now: i64) -> rusqlite::Result<Self> {
        // They are dropped from the old end, calls before reports and both before the memory of their ids.
        let oldest: Option<i64> = connection
            .prepare_cached("SELECT min(key) FROM calls")?
            .query_row([], |row| row.get(0))?;
        let whole_from = oldest.map_or(now, |oldest| key::ms(oldest).div_euclid(1000));
        let mut below = [i64::MIN; TIERS.len()];
        for (below, floor) in below.iter_mut().zip(floors.tiers) {
            for table in ["calls", "reports"] {
                let newest: Option<i64> = connection
                    .prepare_cached(&format!(
                        "SELECT key FROM {table} WHERE key < ?1 ORDER BY key DESC LIMIT 1"
                    ))?
                    .query_row([key::first(floor.saturating_mul(1000))], |row| row.get(0))
                    .optional()?;
                let end = newest.map_or(i64::MIN, |key| key::ms(key).div_euclid(1000) + 1);
                *below = (*below).max(end);
            }
        }
        Ok(Self {
            whole_from: whole_from.min(now),
            below,
        })
    }
}

impl Floors {
    /// Whether any of them is below those.
    fn is_below(&self, those: &Self) -> bool {
        self.max(*those) != *self
    }

    /// These floors moved to where they should be, as far as that goes: up always, down to what is whole. Today is let
    /// in whatever became of its begin.
    fn moved(self, wanted: &Self, rows: &Rows, now: i64) -> Self {
        let whole_day = next(rows.whole_from, DAY).min(now.div_euclid(DAY) * DAY);
        let mut tiers = wanted.tiers;
        let parts = tiers
            .iter_mut()
            .zip(self.tiers)
            .zip(rows.below.iter().zip(&TIERS));
        for ((wanted, floor), (below, tier)) in parts {
            let whole = next(rows.whole_from.max(*below), tier.chunk);
            *wanted = (*wanted).max(whole.min(floor));
        }
        Self {
            rows: wanted.rows.max(whole_day.min(self.rows)),
            tiers,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, reason = "tests")]
    use proptest::prelude::*;

    use super::*;

    const NOW: i64 = 1_700_000_000;

    proptest! {
        /// Wherever the floors are and should be: up they go at once, down only over what is empty or whole.
        #[test]
        fn floors_go_down_to_what_is_whole(
            at in -500_i64..500,
            wanted in -500_i64..500,
            whole_from in -40 * DAY..=0,
            below in proptest::array::uniform6(proptest::option::of(-800 * DAY..0)),
        ) {
            let floors = Floors::at(&Keep::default(), NOW + at * DAY);
            let wanted = Floors::at(&Keep::default(), NOW + wanted * DAY);
            let rows = Rows {
                whole_from: NOW + whole_from,
                below: below.map(|below| below.map_or(i64::MIN, |below| NOW + below)),
            };
            let moved = floors.moved(&wanted, &rows, NOW);
            prop_assert!(moved.rows >= wanted.rows);
            prop_assert!(moved.rows == wanted.rows || moved.rows <= floors.rows);
            prop_assert!(moved.rows <= wanted.rows.max(NOW), "what is new is let in");
            prop_assert_eq!(moved.rows % DAY, 0);
            let tiers = moved.tiers.into_iter().zip(floors.tiers).zip(wanted.tiers).zip(rows.below);
            for (tier, (((moved, floor), wanted), below)) in tiers.enumerate() {
                prop_assert!(moved >= wanted && (moved == wanted || moved <= floor));
                if moved < floor {
                    prop_assert!(moved >= below && (moved >= rows.whole_from || moved == wanted));
                }
                prop_assert_eq!(moved % TIERS[tier].chunk, 0);
            }
        }
    }
}
