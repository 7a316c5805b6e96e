//! What one transaction writes: ids, rows, and the keys that the rollups have yet to count.

use cockpit_model::{Call, Record, Timestamp};
use rusqlite::{Connection, params};

use super::names::Names;
use super::row::Row;
use super::seen::{self, Seen};
use super::spending::{Days, Spending};
use super::tiers::DAY;
use super::{key, reports};

/// A millisecond so crowded that this many places are taken gives way to the next.
const TRIES: usize = 64;

/// A record that waits to be written.
pub(crate) struct Staged {
    pub record: Record,
    /// See [`super::Told`].
    pub undated: bool,
    /// The batch and the place in it; a call of our own has none.
    pub ticket: Option<(usize, usize)>,
}

/// A transaction's result.
pub(crate) struct Written {
    /// Of each staged record, whether it was new.
    pub new: Vec<bool>,
    pub calls: Vec<(i64, Row)>,
    /// Key, and place among the staged.
    pub reports: Vec<(i64, usize)>,
}

/// One transaction's work.
pub(crate) struct Group<'a> {
    pub seen: &'a Seen,
    pub names: &'a mut Names,
    pub place: &'a mut u32,
    pub days: &'a mut Days,
    pub now: i64,
    /// From when on ids are remembered, in Unix seconds.
    pub oldest: i64,
    pub bytes: Vec<u8>,
}

impl Group<'_> {
    pub(crate) fn write(
        &mut self,
        connection: &Connection,
        staged: &[Staged],
        batch: i64,
    ) -> rusqlite::Result<Written> {
        let mut written = Written {
            new: Vec::with_capacity(staged.len()),
            calls: Vec::with_capacity(staged.len()),
            reports: Vec::new(),
        };
        let mut spending = Spending::default();
        for (place, staged) in staged.iter().enumerate() {
            let record = &staged.record;
            let new = match (record, staged.ticket) {
                // Nobody sends a call of our own a second time; of those who tell of it, see there.
                (Record::Call(_), None) => true,
                _ => {
                    let before = if staged.undated {
                        seen::Before::All(self.oldest)
                    } else {
                        seen::Before::Fresh(self.now)
                    };
                    self.seen.remember(connection, record, before)?
                }
            };
            written.new.push(new);
            if !new {
                continue;
            }
            match record {
                Record::Call(call) => {
                    spending.add(call, self.days);
                    let row = self.call(connection, call)?;
                    written.calls.push(row);
                }
                Record::Report(report) => {
                    let row_key = self.insert(report.at, |row_key| {
                        reports::insert(connection, row_key, report)
                    })?;
                    written.reports.push((row_key, place));
                }
            }
        }
        spending.write(connection)?;
        let mut calls: Vec<i64> = written.calls.iter().map(|(row_key, _)| *row_key).collect();
        let mut reports: Vec<i64> = written
            .reports
            .iter()
            .map(|(row_key, _)| *row_key)
            .collect();
        connection
            .prepare_cached("INSERT INTO pending VALUES (?1, ?2, ?3)")?
            .execute(params![
                batch,
                key::pack(&mut calls),
                key::pack(&mut reports)
            ])?;
        Ok(written)
    }

    fn call(&mut self, connection: &Connection, call: &Call) -> rusqlite::Result<(i64, Row)> {
        let day = call.at.as_second().div_euclid(DAY);
        let (row, tags) = Row::of(call, |name| {
            self.names.number(connection, name, day).map(|name| name.id)
        })?;
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.clear();
        row.encode(&tags, &call.id, &mut bytes);
        let mut insert =
            connection.prepare_cached("INSERT OR IGNORE INTO calls VALUES (?1, ?2)")?;
        let row_key = self.insert(call.at, |row_key| {
            insert
                .execute(params![row_key, bytes])
                .map(|written| written == 1)
        })?;
        self.bytes = bytes;
        Ok((row_key, row))
    }

    /// Puts a row at the first free place of its millisecond.
    fn insert(
        &mut self,
        at: Timestamp,
        mut put: impl FnMut(i64) -> rusqlite::Result<bool>,
    ) -> rusqlite::Result<i64> {
        let (mut ms, _) = key::split(at);
        *self.place = self.place.wrapping_add(1);
        let mut place = *self.place;
        loop {
            for _ in 0..TRIES {
                let row_key = key::key(ms, place);
                if put(row_key)? {
                    return Ok(row_key);
                }
                place = key::after(place);
            }
            ms += 1;
        }
    }
}
