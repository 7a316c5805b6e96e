//! What part of time a question is about, and how finely it can be answered.

use cockpit_model::Timestamp;
use rusqlite::Connection;

use super::usage::UsageQuery;
use crate::ledger::balance::{Part, balance};
use crate::ledger::tiers::{DAY, DAYS, Floors, Segment, Source, WEEK, cover, length, next};
use crate::ledger::{key, rollup, schema};

/// Steps of a series at most.
const MOST_POINTS: i64 = 1500;
/// Steps that suit people, in seconds, and how many of them are plenty.
const NICE: [i64; 11] = [
    60,
    300,
    900,
    1800,
    3600,
    10_800,
    21_600,
    43_200,
    DAY,
    7 * DAY,
    30 * DAY,
];
const PLENTY: i64 = 300;

/// A window in Unix milliseconds, and how it is read.
#[derive(Debug)]
pub(crate) struct Window {
    /// What is answered about.
    pub from: i64,
    pub to: i64,
    /// Seconds of a step.
    pub step: i64,
    /// Whether the single calls are read.
    pub exact: bool,
    /// What is read: the same, but reaching further where nothing is, so that whole buckets fit.
    scan_from: i64,
    scan_to: i64,
    floors: Floors,
    /// From when on all calls are summed up by the values of the dimension that is asked for, and from when on each
    /// tier has only such.
    known_from: i64,
    known: Floors,
}

impl Window {
    pub(crate) fn new(
        connection: &Connection,
        query: &UsageQuery,
        now: Timestamp,
        exact_up_to: i64,
    ) -> rusqlite::Result<Self> {
        let floors = schema::floors(connection)?;
        let mut from = query.from.as_nanosecond().div_euclid(1_000_000) as i64;
        let mut to = (query.to.as_nanosecond() + 999_999).div_euclid(1_000_000) as i64;
        from = from.max(0);
        // Nothing is accounted for that lies further ahead.
        to = to.min(now.as_millisecond() + DAY * 1000).max(from);
        let rows_from = floors.rows * 1000;
        let older = oldest_rollup(connection)?.is_some_and(|oldest| oldest < rows_from);
        let mut scan_from = from.max(if older { i64::MIN } else { rows_from });
        if scan_from < rows_from {
            // The rows are gone: only whole buckets are left.
            let tier = floors.finest_at(from.div_euclid(1000)).unwrap_or(DAYS);
            let length = length(tier) * 1000;
            from = from.div_euclid(length) * length;
            if to < rows_from {
                to = next(to, length);
            }
            let day_floor = floors.tiers.get(DAYS).copied().unwrap_or(0) * 1000;
            scan_from = from.max(day_floor).min(to);
        }
        let exact = scan_from >= rows_from
            && count(connection, scan_from, to, exact_up_to + 1)? <= exact_up_to;
        let mut scan_to = to;
        // That there are no rows says something only of times whose rows are kept. They are dropped by the day: so an
        // end may reach to that of its week, a begin only to that of its day, before which may be what only sums know.
        if to >= rows_from && is_empty(connection, key::first(to), i64::MAX)? {
            scan_to = next(to, WEEK * 1000);
        }
        if scan_from >= rows_from && is_empty(connection, 0, key::first(scan_from))? {
            scan_from = scan_from.div_euclid(DAY * 1000) * DAY * 1000;
        }
        let unit = if exact {
            1
        } else {
            let tier = floors.finest_at(scan_from.div_euclid(1000)).unwrap_or(DAYS);
            length(tier)
        };
        let length = ((to - from) / 1000).max(1);
        let step = query
            .step
            .map(|step| i64::try_from(step.as_secs()).unwrap_or(i64::MAX / 4).max(1))
            .unwrap_or_else(|| nice(length))
            .min(100 * 365 * DAY)
            .max((length + MOST_POINTS - 1) / MOST_POINTS);
        let step = (step + unit - 1) / unit * unit;
        let known_from = match query.group_by {
            Some(dimension) => schema::summed_up_from(connection, dimension)?,
            None => 0,
        };
        let (known_from, known) = floors.known_from(known_from);
        Ok(Self {
            from,
            to,
            step,
            exact,
            scan_from,
            scan_to,
            floors,
            known_from: known_from * 1000,
            known,
        })
    }

    /// The begins of its steps; they begin at multiples of the step, the first one maybe before the window.
    pub(crate) fn steps(&self) -> impl Iterator<Item = i64> {
        let step = self.step * 1000;
        let first = self.from.div_euclid(step) * step;
        let to = self.to;
        (0..)
            .map(move |n| first + n * step)
            .take_while(move |at| *at < to)
    }

    /// The place of the step that a time falls into.
    pub(crate) fn place(&self, ms: i64) -> Option<usize> {
        let step = self.step * 1000;
        let first = self.from.div_euclid(step);
        usize::try_from(ms.div_euclid(step) - first).ok()
    }

    /// The pieces to read for sums over the whole window.
    pub(crate) fn whole(&self) -> Vec<Segment> {
        cover(self.scan_from, self.scan_to, None, &self.floors)
    }

    /// Those of before the values of the dimension were summed up.
    pub(crate) fn unknown(&self) -> Vec<Segment> {
        let to = self.scan_to.min(self.known_from);
        cover(self.scan_from, to, None, &self.floors)
    }

    /// The others.
    pub(crate) fn known(&self) -> Vec<Segment> {
        let from = self.scan_from.max(self.known_from);
        cover(from, self.scan_to, None, &self.known)
    }

    /// The same, the pieces of tiers from as few buckets as do, some of which are taken off.
    pub(crate) fn balance(&self) -> Vec<Part> {
        // Where it reaches further than it was asked there is nothing.
        let until = (self.scan_to > self.to).then_some(self.to);
        balance(&self.known(), &self.known, until)
    }

    /// The pieces to read for sums over each step.
    pub(crate) fn stepwise(&self) -> Vec<Segment> {
        cover(self.scan_from, self.scan_to, Some(self.step), &self.floors)
    }

    /// The same where the values of the dimension are known.
    pub(crate) fn known_stepwise(&self) -> Vec<Segment> {
        let from = self.scan_from.max(self.known_from);
        cover(from, self.scan_to, Some(self.step), &self.known)
    }

    /// The pieces of which the single calls are read. All covers of the window have the same: they use the finest
    /// buckets.
    pub(crate) fn of_calls(&self) -> Vec<Segment> {
        if self.exact {
            return vec![Segment {
                source: Source::Rows,
                from: self.scan_from,
                to: self.scan_to,
            }];
        }
        rows_of(&self.whole())
    }
}

/// The pieces that are read from rows.
pub(crate) fn rows_of(segments: &[Segment]) -> Vec<Segment> {
    let rows = segments.iter().filter(|piece| piece.source == Source::Rows);
    rows.copied().collect()
}

/// Whether a time lies in one of the pieces.
pub(crate) fn is_in(segments: &[Segment], ms: i64) -> bool {
    segments
        .iter()
        .any(|piece| (piece.from..piece.to).contains(&ms))
}

fn nice(length: i64) -> i64 {
    NICE.into_iter()
        .find(|step| length / step <= PLENTY)
        .unwrap_or(30 * DAY)
}

/// How many calls there are between two times; stops counting at `most`.
fn count(connection: &Connection, from: i64, to: i64, most: i64) -> rusqlite::Result<i64> {
    connection
        .prepare_cached(
            "SELECT count(*) FROM (SELECT 1 FROM calls WHERE key >= ?1 AND key < ?2 LIMIT ?3)",
        )?
        .query_row([key::first(from), key::first(to), most], |row| row.get(0))
}

/// Whether nothing lies between two keys.
fn is_empty(connection: &Connection, from: i64, to: i64) -> rusqlite::Result<bool> {
    for table in ["calls", "reports"] {
        let found = connection
            .prepare_cached(&format!(
                "SELECT 1 FROM {table} WHERE key >= ?1 AND key < ?2 LIMIT 1"
            ))?
            .exists([from, to])?;
        if found {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The begin of the oldest day that anything is known of, in Unix milliseconds.
fn oldest_rollup(connection: &Connection) -> rusqlite::Result<Option<i64>> {
    let day: Option<i64> = connection
        .prepare_cached("SELECT min(at) FROM rollups WHERE series = ?1")?
        .query_row([rollup::series(DAYS, None)], |row| row.get(0))?;
    Ok(day.map(|day| day * DAY * 1000))
}
