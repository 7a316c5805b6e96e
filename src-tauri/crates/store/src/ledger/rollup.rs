//! Rollups: what the calls of each bucket of time amount to, in total and by each value of each
//! dimension.
//!
//! The rows are the truth and rollups lag behind them. Every transaction that writes rows also writes
//! their keys into `pending`; what they add to the buckets is gathered in memory ([`Delta`]) and
//! written every few seconds, in one transaction that also deletes those keys. So whatever happens in
//! between, each row is counted exactly once: after an abrupt end the pending rows are read again.
//!
//! A bucket keeps its largest 1,000 values of a dimension, and some more until they are too many; the
//! others are summed up as one.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use cockpit_metering::sketch::Sketch;
use cockpit_model::usage::Dimension;
use cockpit_model::{Outcome, Report};
use rusqlite::types::{ToSqlOutput, Value as SqlValue, ValueRef};
use rusqlite::{Connection, OptionalExtension, ToSql, params};

use super::names::Texts;
use super::row::Row;
use super::table::Table;
use super::tally::{Parts, Tally, active_user};
use super::tiers::{Floors, TIERS, length};
use super::{key, reports};

/// Values of a dimension that are kept apart …
pub(crate) const LARGEST: usize = 1000;
/// … and how many there may be before the smallest are summed up.
const MOST: usize = LARGEST + LARGEST / 2;
/// Buckets whose number of values is remembered.
const COUNTED: usize = 4096;

/// Dimensions, and one more for the totals.
pub(crate) const SERIES_OF_TIER: i64 = 8;
pub(crate) const TOTAL: u8 = 0;

/// The value of a dimension in a bucket.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Value {
    /// Calls without one; also of the totals, which have no values.
    None,
    /// All beyond the largest.
    Rest,
    Text(Arc<str>),
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Self::None => ToSqlOutput::Owned(SqlValue::Integer(Self::NONE)),
            Self::Rest => ToSqlOutput::Owned(SqlValue::Integer(Self::REST)),
            Self::Text(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
        })
    }
}

impl Value {
    const NONE: i64 = 0;
    /// How the table has the rest.
    pub(crate) const REST: i64 = 1;

    /// Whether it is the one that the table has.
    pub(crate) fn is(&self, value: ValueRef<'_>) -> bool {
        match (self, value) {
            (Self::Text(ours), ValueRef::Text(theirs)) => ours.as_bytes() == theirs,
            (Self::None, ValueRef::Integer(Self::NONE))
            | (Self::Rest, ValueRef::Integer(Self::REST)) => true,
            _ => false,
        }
    }

    pub(crate) fn read(value: ValueRef<'_>) -> Self {
        match value {
            ValueRef::Text(text) => Self::Text(String::from_utf8_lossy(text).into()),
            ValueRef::Integer(Self::REST) => Self::Rest,
            _ => Self::None,
        }
    }
}

/// The number of a tier's totals (`None`) or of one of its dimensions.
pub(crate) fn series(tier: usize, dimension: Option<Dimension>) -> i64 {
    let place = dimension.map_or(TOTAL, dimension_place);
    series_at(tier, place)
}

fn series_at(tier: usize, place: u8) -> i64 {
    let number = TIERS.get(tier).map_or(-1, |tier| tier.number);
    number * SERIES_OF_TIER + i64::from(place)
}

fn dimension_place(dimension: Dimension) -> u8 {
    match dimension {
        Dimension::Model => 1,
        Dimension::Provider => 2,
        Dimension::Route => 3,
        Dimension::User => 4,
        Dimension::Agent => 5,
        Dimension::Error => 6,
        Dimension::Key => 7,
    }
}

/// The number of a call's value in a dimension, if it has one; `None` if it has no place in it.
pub(crate) fn value_of(row: &Row, dimension: Dimension) -> Option<Option<u32>> {
    Some(match dimension {
        Dimension::Model => Some(row.target),
        Dimension::Provider => Some(row.provider),
        Dimension::Route => row.route,
        Dimension::User => row.user,
        Dimension::Agent => row.agent,
        Dimension::Key => row.key,
        Dimension::Error if row.outcome == Outcome::Error => row.error,
        Dimension::Error => return None,
    })
}

/// A bucket of a tier, `at` in Unix seconds, and a value by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Cell {
    tier: usize,
    place: u8,
    at: i64,
    value: Option<u32>,
}

impl Cell {
    /// The bucket of the next coarser tier that is kept.
    fn coarser(self, floors: &Floors) -> Option<Self> {
        (self.tier + 1..TIERS.len()).find_map(|tier| {
            let length = length(tier);
            let at = self.at.div_euclid(length) * length;
            floors.keeps(tier, at).then_some(Self { tier, at, ..self })
        })
    }
}

/// A row of the table: series, bucket, value and what it holds.
type Rollup = (i64, i64, Value, Tally<Sketch>);

/// What rows add to the buckets and is not written yet, in the finest buckets that are kept.
#[derive(Debug, Default)]
pub(crate) struct Delta {
    cells: HashMap<Cell, Tally<Sketch>>,
    /// The users of the totals, by number.
    users: HashMap<Cell, HashSet<u32>>,
    rows: usize,
    /// The last transaction in it.
    through: i64,
}

impl Delta {
    /// The bucket that a time falls into.
    fn bucket(second: i64, floors: &Floors) -> Option<Cell> {
        let tier = floors.finest_at(second)?;
        let length = length(tier);
        Some(Cell {
            tier,
            place: TOTAL,
            at: second.div_euclid(length) * length,
            value: None,
        })
    }

    pub(crate) fn add(&mut self, row_key: i64, row: &Row, floors: &Floors) {
        self.rows += 1;
        let second = key::ms(row_key).div_euclid(1000);
        let Some(total) = Self::bucket(second, floors) else {
            return;
        };
        self.cells.entry(total).or_default().add(row);
        if let Some(user) = row.user {
            self.users.entry(total).or_default().insert(user);
        }
        for dimension in Dimension::ALL {
            if let Some(value) = value_of(row, dimension) {
                let cell = Cell {
                    place: dimension_place(dimension),
                    value,
                    ..total
                };
                self.cells.entry(cell).or_default().add(row);
            }
        }
    }

    pub(crate) fn add_report(&mut self, row_key: i64, report: &Report, floors: &Floors) {
        self.rows += 1;
        let second = key::ms(row_key).div_euclid(1000);
        if let Some(total) = Self::bucket(second, floors) {
            let tally = self.cells.entry(total).or_default();
            tally.sums.add_report(report);
            if let Some(user) = active_user(report) {
                tally.users.add(user);
            }
        }
    }

    /// It has all rows up to this transaction.
    pub(crate) fn through(&mut self, batch: i64) {
        self.through = batch;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows == 0
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn cells(&self) -> usize {
        self.cells.len()
    }

    /// Reads again what was pending when the file was last closed.
    pub(crate) fn catch_up(connection: &Connection, floors: &Floors) -> rusqlite::Result<Self> {
        let mut delta = Self::default();
        let mut statement =
            connection.prepare("SELECT batch, calls, reports FROM pending ORDER BY batch")?;
        let mut batches = statement.query([])?;
        while let Some(batch) = batches.next()? {
            for row_key in key::unpack(batch.get_ref(1)?.as_blob().unwrap_or_default()) {
                with_row(connection, row_key, |row| delta.add(row_key, row, floors))?;
            }
            for row_key in key::unpack(batch.get_ref(2)?.as_blob().unwrap_or_default()) {
                if let Some(report) = reports::read_one(connection, row_key)? {
                    delta.add_report(row_key, &report, floors);
                }
            }
            delta.through(batch.get(0)?);
        }
        Ok(delta)
    }

    /// The same for all tiers, its numbers replaced by their names, in the order of the table.
    fn spread(
        &self,
        connection: &Connection,
        texts: &mut Texts,
        floors: &Floors,
    ) -> rusqlite::Result<Vec<Rollup>> {
        let mut cells = self.cells.clone();
        for (cell, users) in &self.users {
            let tally = cells.entry(*cell).or_default();
            for user in users {
                tally.users.add(&texts.text(connection, *user)?);
            }
        }
        for tier in 0..TIERS.len() {
            let mut coarser = HashMap::<Cell, Tally<Sketch>>::new();
            for (cell, tally) in &cells {
                if cell.tier == tier
                    && let Some(cell) = cell.coarser(floors)
                {
                    coarser.entry(cell).or_default().merge(tally);
                }
            }
            for (cell, tally) in coarser {
                cells.entry(cell).or_default().merge(&tally);
            }
        }
        let mut spread = Vec::with_capacity(cells.len());
        for (cell, tally) in cells {
            let value = match cell.value {
                Some(id) => Value::Text(texts.text(connection, id)?),
                None => Value::None,
            };
            spread.push((
                series_at(cell.tier, cell.place),
                cell.at / length(cell.tier),
                value,
                tally,
            ));
        }
        spread.sort_by(|a, b| {
            let stretch = |rollup: &Rollup| (rollup.0, Table::of(rollup.0).first(rollup.1));
            (stretch(a), &a.2, a.1).cmp(&(stretch(b), &b.2, b.1))
        });
        Ok(spread)
    }
}

/// Hands over a row, if it is there.
pub(crate) fn with_row(
    connection: &Connection,
    row_key: i64,
    each: impl FnOnce(&Row),
) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached("SELECT body FROM calls WHERE key = ?1")?;
    let mut rows = statement.query([row_key])?;
    if let Some(row) = rows.next()?
        && let Some((row, _)) = row.get_ref(0)?.as_blob().ok().and_then(Row::decode)
    {
        each(&row);
    }
    Ok(())
}

/// Writes deltas into the table.
#[derive(Debug, Default)]
pub(crate) struct Rollups {
    /// How many values some buckets have.
    counts: HashMap<(i64, i64), usize>,
}

impl Rollups {
    /// Adds a delta to the table and strikes its rows off `pending`; to be called in a transaction. On
    /// an error, [`Rollups::forget`].
    pub(crate) fn write(
        &mut self,
        connection: &Connection,
        texts: &mut Texts,
        delta: &Delta,
        floors: &Floors,
    ) -> rusqlite::Result<()> {
        let mut crowded = Vec::new();
        let mut spread = delta.spread(connection, texts, floors)?;
        for of_series in spread.chunk_by_mut(|a, b| a.0 == b.0) {
            let Some(table) = of_series.first().map(|rollup| Table::of(rollup.0)) else {
                continue;
            };
            let mut select = connection.prepare_cached(table.one)?;
            let mut insert = connection.prepare_cached(table.put)?;
            for &mut (series, at, ref value, ref mut tally) in of_series {
                let known = select
                    .query_row(params![series, at, value], |row| {
                        merge(tally, row.get_ref(0)?)
                    })
                    .optional()?;
                insert.execute(params![series, at, value, tally.encode()])?;
                let is_new = known.is_none() && series % SERIES_OF_TIER != i64::from(TOTAL);
                if is_new && self.count(connection, series, at)? == MOST + 1 {
                    crowded.push((series, at));
                }
            }
        }
        for (series, at) in crowded {
            fold(connection, series, at)?;
            self.counts.remove(&(series, at));
        }
        connection
            .prepare_cached("DELETE FROM pending WHERE batch <= ?1")?
            .execute([delta.through])?;
        Ok(())
    }

    /// How many values the bucket has, one having just been added.
    fn count(&mut self, connection: &Connection, series: i64, at: i64) -> rusqlite::Result<usize> {
        if let Some(count) = self.counts.get_mut(&(series, at)) {
            *count += 1;
            return Ok(*count);
        }
        if self.counts.len() >= COUNTED {
            self.counts.clear();
        }
        let mut counts = HashMap::from([(at, 0)]);
        let mut statement = connection.prepare_cached(Table::of(series).together_with)?;
        let mut rows = statement.query([series, at])?;
        while let Some(row) = rows.next()? {
            *counts.entry(row.get(0)?).or_default() += 1;
        }
        let count = counts.get(&at).copied().unwrap_or(0);
        let counts = counts.into_iter().map(|(at, count)| ((series, at), count));
        self.counts.extend(counts);
        Ok(count)
    }

    /// After a transaction that did not happen.
    pub(crate) fn forget(&mut self) {
        self.counts.clear();
    }
}

/// Adds what the table has.
fn merge(tally: &mut Tally<Sketch>, body: ValueRef<'_>) -> rusqlite::Result<()> {
    let parts = body
        .as_blob()
        .ok()
        .and_then(Parts::read)
        .ok_or_else(damaged)?;
    parts.add_users(&mut tally.users);
    tally.merge_parts(&parts).ok_or_else(damaged)
}

/// What is said of a rollup that cannot be read.
pub(crate) fn damaged() -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(
        rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT),
        Some("a rollup cannot be read".to_owned()),
    )
}

/// Sums up all but the largest values of a bucket: the costliest, then the busiest.
fn fold(connection: &Connection, series: i64, at: i64) -> rusqlite::Result<()> {
    let mut values = Vec::new();
    let mut rest = Tally::<Sketch>::default();
    let table = Table::of(series);
    {
        let mut statement = connection.prepare_cached(table.between)?;
        let mut rows = statement.query([series, at, at + 1])?;
        while let Some(row) = rows.next()? {
            let value = Value::read(row.get_ref(1)?);
            let body = row.get_ref(2)?.as_blob().unwrap_or_default();
            let sums = Parts::read(body).ok_or_else(damaged)?.sums;
            if value != Value::Rest {
                values.push(((sums.cost, sums.calls), value));
            }
        }
    }
    values.sort_by(|(a, _), (b, _)| b.cmp(a));
    let mut select = connection.prepare_cached(table.one)?;
    let mut delete = connection.prepare_cached(table.delete)?;
    let smaller = values.into_iter().skip(LARGEST).map(|(_, value)| value);
    for value in smaller.chain([Value::Rest]) {
        select
            .query_row(params![series, at, value], |row| {
                merge(&mut rest, row.get_ref(0)?)
            })
            .optional()?;
        delete.execute(params![series, at, value])?;
    }
    connection
        .prepare_cached(table.put)?
        .execute(params![series, at, Value::Rest, rest.encode()])
        .map(drop)
}
