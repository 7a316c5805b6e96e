//! What calls amounted to over a window.
//!
//! A few calls (10,000) are read one by one, and their percentiles are exact. Of more, the rollups that
//! fit are merged, with the calls at the window's edges that fill no bucket and those that no rollup
//! has yet. Either way the sums are those of all calls of the window.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use cockpit_metering::sketch::Dense;
use cockpit_model::Timestamp;
use cockpit_model::usage::{Business, Dimension, Point, Security, Usage, UsageWindow};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, params};

use super::groups;
use super::window::{Window, is_in, rows_of};
use crate::error::Error;
use crate::ledger::distinct::Distinct;
use crate::ledger::names::Texts;
use crate::ledger::rollup::{self, damaged, value_of, with_row};
use crate::ledger::row::Row;
use crate::ledger::table::Table;
use crate::ledger::tally::{Parts, Sums, Tally, Told, active_user};
use crate::ledger::tiers::{Segment, Source, length};
use crate::ledger::{key, reports};

/// What usage is asked.
///
/// The window is answered to the millisecond. Where single calls are not kept any more it is widened
/// to whole hours or days, and so are steps finer than what is kept of that time. Steps begin at
/// multiples of their length in UTC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageQuery {
    /// The window's begin.
    pub from: Timestamp,
    /// Its end, excluded.
    pub to: Timestamp,
    /// The length of the series' steps; chosen to suit if not given.
    pub step: Option<Duration>,
    /// Whether, and by what, to group.
    pub group_by: Option<Dimension>,
}

/// What single calls came to.
pub(super) struct Gathered<S> {
    /// Of each step.
    pub points: Vec<Tally<S>>,
    /// Of each value's number and each step in which it was.
    pub groups: HashMap<(Option<u32>, usize), Tally<S>>,
    users: HashSet<u32>,
}

/// Keys that no rollup counts yet.
struct Pending {
    calls: Vec<i64>,
    reports: Vec<i64>,
}

pub(crate) fn usage(
    connection: &Connection,
    texts: &mut Texts,
    query: &UsageQuery,
    now: Timestamp,
    exact_up_to: u32,
) -> Result<Usage, Error> {
    let window = Window::new(connection, query, now, i64::from(exact_up_to))?;
    let pending = Pending::read(connection)?;
    let ask = Ask {
        connection,
        window: &window,
        group_by: query.group_by,
        pending: &pending,
    };
    if window.exact {
        ask.answer::<Vec<f64>>(texts)
    } else {
        ask.answer::<Dense>(texts)
    }
}

/// How the rollups are added to what single calls came to.
pub(super) trait Rolled: Told + Send {
    /// Whether rollups are read at all.
    const READS: bool;
    fn add_parts(tally: &mut Tally<Self>, parts: &Parts<'_>) -> Option<()>;
    /// Takes off what was added; `None` if it cannot have been.
    fn take_parts(tally: &mut Tally<Self>, parts: &Parts<'_>) -> Option<()>;
}

impl Rolled for Vec<f64> {
    const READS: bool = false;
    fn add_parts(_: &mut Tally<Self>, _: &Parts<'_>) -> Option<()> {
        Some(())
    }
    fn take_parts(_: &mut Tally<Self>, _: &Parts<'_>) -> Option<()> {
        Some(())
    }
}

impl Rolled for Dense {
    const READS: bool = true;
    fn add_parts(tally: &mut Tally<Self>, parts: &Parts<'_>) -> Option<()> {
        tally.merge_parts(parts)
    }
    fn take_parts(tally: &mut Tally<Self>, parts: &Parts<'_>) -> Option<()> {
        tally.take_parts(parts)
    }
}

struct Ask<'a> {
    connection: &'a Connection,
    window: &'a Window,
    group_by: Option<Dimension>,
    pending: &'a Pending,
}

impl Ask<'_> {
    fn answer<S: Rolled>(&self, texts: &mut Texts) -> Result<Usage, Error> {
        let window = self.window;
        let mut gathered = self.gather::<S>()?;
        if S::READS {
            for piece in window.stepwise() {
                each_rollup(self.connection, piece, None, |at, _, parts| {
                    let point = window
                        .place(at)
                        .and_then(|place| gathered.points.get_mut(place));
                    point.map_or(Some(()), |point| S::add_parts(point, parts))
                })?;
            }
        }
        let mut totals = Tally::<S>::default();
        for point in &gathered.points {
            totals.merge(point);
        }
        let groups = match self.group_by {
            Some(dimension) => {
                groups::groups(self.connection, texts, window, dimension, &gathered.groups)?
            }
            None => Vec::new(),
        };
        let (business, security) = self.reported(texts, &gathered.users)?;
        Ok(Usage {
            window: UsageWindow {
                from: key::time(window.from, 0),
                to: key::time(window.to, 0),
                step_s: window.step.unsigned_abs(),
            },
            totals: totals.totals(),
            groups,
            series: points(window, gathered.points),
            business,
            interruptions: Vec::new(),
            security,
        })
    }

    /// Reads the single calls that are to be read.
    fn gather<S: Rolled>(&self) -> Result<Gathered<S>, Error> {
        let window = self.window;
        let mut gathered = Gathered {
            points: window.steps().map(|_| Tally::default()).collect(),
            groups: HashMap::new(),
            users: HashSet::new(),
        };
        let pieces = window.of_calls();
        let mut statement = self
            .connection
            .prepare_cached("SELECT key, body FROM calls WHERE key >= ?1 AND key < ?2")?;
        for piece in &pieces {
            let mut rows = statement.query([key::first(piece.from), key::first(piece.to)])?;
            while let Some(found) = rows.next()? {
                let row_key: i64 = found.get(0)?;
                if let Some((row, _)) = found.get_ref(1)?.as_blob().ok().and_then(Row::decode) {
                    self.add(&mut gathered, row_key, &row);
                }
            }
        }
        for row_key in self.pending.calls.iter().copied() {
            if !is_in(&pieces, key::ms(row_key)) {
                with_row(self.connection, row_key, |row| {
                    self.add(&mut gathered, row_key, row);
                })?;
            }
        }
        Ok(gathered)
    }

    fn add<S: Rolled>(&self, gathered: &mut Gathered<S>, row_key: i64, row: &Row) {
        let ms = key::ms(row_key);
        if !(self.window.from..self.window.to).contains(&ms) {
            return;
        }
        let Some(place) = self.window.place(ms) else {
            return;
        };
        let Some(point) = gathered.points.get_mut(place) else {
            return;
        };
        point.add(row);
        gathered.users.extend(row.user);
        if let Some(value) = self.group_by.and_then(|dimension| value_of(row, dimension)) {
            gathered.groups.entry((value, place)).or_default().add(row);
        }
    }

    /// What reports came to.
    fn reported(
        &self,
        texts: &mut Texts,
        callers: &HashSet<u32>,
    ) -> Result<(Business, Security), Error> {
        let window = self.window;
        let mut sums = Sums::default();
        let mut users = Distinct::default();
        for caller in callers {
            users.add(&texts.text(self.connection, *caller)?);
        }
        let pieces = window.whole();
        for piece in &pieces {
            each_rollup(self.connection, *piece, None, |_, _, parts| {
                sums.merge(&parts.sums);
                parts.add_users(&mut users);
                Some(())
            })?;
        }
        let pieces = rows_of(&pieces);
        let mut add = |report: &cockpit_model::Report| {
            sums.add_report(report);
            if let Some(user) = active_user(report) {
                users.add(user);
            }
        };
        for piece in &pieces {
            let (from, to) = (key::first(piece.from), key::first(piece.to));
            reports::each(self.connection, from, to, &mut add)?;
        }
        for row_key in self.pending.reports.iter().copied() {
            let ms = key::ms(row_key);
            if (window.from..window.to).contains(&ms)
                && !is_in(&pieces, ms)
                && let Some(report) = reports::read_one(self.connection, row_key)?
            {
                add(&report);
            }
        }
        let business = Business {
            active_users: users.count(),
            tasks: sums.tasks,
            tasks_completed: sums.tasks_completed,
            completion_rate: (sums.tasks > 0)
                .then(|| sums.tasks_completed as f64 / sums.tasks as f64),
            feedback: sums.feedback,
            satisfaction: sums.satisfaction(),
        };
        Ok((business, sums.security()))
    }
}

impl Pending {
    fn read(connection: &Connection) -> Result<Self, Error> {
        let mut pending = Self {
            calls: Vec::new(),
            reports: Vec::new(),
        };
        let mut statement = connection.prepare_cached("SELECT calls, reports FROM pending")?;
        let mut batches = statement.query([])?;
        while let Some(batch) = batches.next()? {
            let keys = |column: usize| {
                batch
                    .get_ref(column)
                    .map(|bytes| key::unpack(bytes.as_blob().unwrap_or_default()))
            };
            pending.calls.extend(keys(0)?);
            pending.reports.extend(keys(1)?);
        }
        Ok(pending)
    }
}

/// The steps of a window with what fell into them.
fn points<S: Told>(window: &Window, tallies: Vec<Tally<S>>) -> Vec<Point> {
    window
        .steps()
        .zip(tallies)
        .map(|(at, mut tally)| Point {
            at: key::time(at, 0),
            totals: tally.totals(),
        })
        .collect()
}

/// Hands over the rollups of a piece, if it is one of a tier: the bucket's begin in Unix milliseconds,
/// its value, and what it holds; in whatever order they lie. `None` from `each`: it is damaged.
pub(super) fn each_rollup(
    connection: &Connection,
    piece: Segment,
    dimension: Option<Dimension>,
    mut each: impl FnMut(i64, ValueRef<'_>, &Parts<'_>) -> Option<()>,
) -> Result<(), Error> {
    each_row(connection, piece, dimension, |at, value, body| {
        each(at, value, &Parts::read(body)?)
    })?
    .ok_or_else(|| damaged().into())
}

/// The same as it is in the table. `None`, if `each` said so: what comes after it is not read.
pub(super) fn each_row(
    connection: &Connection,
    piece: Segment,
    dimension: Option<Dimension>,
    mut each: impl FnMut(i64, ValueRef<'_>, &[u8]) -> Option<()>,
) -> Result<Option<()>, Error> {
    let Source::Tier(tier) = piece.source else {
        return Ok(Some(()));
    };
    let length = length(tier) * 1000;
    let series = rollup::series(tier, dimension);
    let mut statement = connection.prepare_cached(Table::of(series).between)?;
    let mut rows = statement.query(params![series, piece.from / length, piece.to / length,])?;
    while let Some(row) = rows.next()? {
        let at: i64 = row.get(0)?;
        let body = row.get_ref(2)?.as_blob().unwrap_or_default();
        if each(at * length, row.get_ref(1)?, body).is_none() {
            return Ok(None);
        }
    }
    Ok(Some(()))
}
