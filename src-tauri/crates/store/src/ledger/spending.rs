//! What callers of the gateway spent, by the person's own days: written in the transaction of the calls that
//! cost it, so that a budget begins again exactly where the rows end, whatever ended the engine.
//!
//! Only calls of the gateway count: what an application reports by itself may be the very same request seen
//! from its other end.

use std::collections::HashMap;
use std::ops::Range;

use cockpit_model::{Call, CallSource, Timestamp, Usd};
use jiff::ToSpan as _;
use jiff::tz::TimeZone;
use rusqlite::{Connection, params};

use super::tiers::DAY;

/// Days are kept so much longer than rows, in seconds: until no month can need them any more.
const BEYOND_ROWS: i64 = 40 * DAY;
/// Days and spenders dropped at once.
const SLICE: i64 = 4000;

/// Who spent.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Spender {
    /// Everybody together.
    All,
    /// Whoever has a key.
    Key(String),
    /// A user.
    User(String),
    /// An agent.
    Agent(String),
}

impl Spender {
    fn parts(&self) -> (i64, &str) {
        match self {
            Self::All => (0, ""),
            Self::Key(name) => (1, name),
            Self::User(name) => (2, name),
            Self::Agent(name) => (3, name),
        }
    }

    fn of(kind: i64, name: String) -> Option<Self> {
        Some(match kind {
            0 => Self::All,
            1 => Self::Key(name),
            2 => Self::User(name),
            3 => Self::Agent(name),
            _ => return None,
        })
    }
}

/// What somebody spent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spent {
    /// Who.
    pub who: Spender,
    /// In the day that was asked for.
    pub day: Usd,
    /// In the month that was asked for.
    pub month: Usd,
}

/// The days of the place where the person who pays lives.
#[derive(Debug, Default)]
pub(crate) struct Days {
    /// None: the machine's.
    pub(crate) zone: Option<TimeZone>,
    /// The day that was asked for last, in Unix seconds.
    last: Option<Range<i64>>,
}

impl Days {
    /// The begin of the day of a moment, in Unix seconds.
    fn begin(&mut self, at: Timestamp) -> i64 {
        let second = at.as_second();
        if let Some(day) = &self.last
            && day.contains(&second)
        {
            return day.start;
        }
        let zone = self.zone.clone().unwrap_or_else(TimeZone::system);
        let day = at.to_zoned(zone);
        let begin = day
            .start_of_day()
            .map_or(second, |day| day.timestamp().as_second());
        let end = day
            .checked_add(1.day())
            .and_then(|next| next.start_of_day())
            .map_or(begin, |next| next.timestamp().as_second());
        self.last = Some(begin..end);
        begin
    }
}

/// What the calls of one transaction cost.
#[derive(Debug, Default)]
pub(crate) struct Spending(HashMap<(i64, Spender), i64>);

impl Spending {
    pub(crate) fn add(&mut self, call: &Call, days: &mut Days) {
        let Some(cost) = call.cost_usd.filter(|cost| *cost > Usd::ZERO) else {
            return;
        };
        if call.source != CallSource::Gateway {
            return;
        }
        let day = days.begin(call.at);
        let name = |name: &Option<String>, of: fn(String) -> Spender| name.clone().map(of);
        let spenders = [
            Some(Spender::All),
            name(&call.key, Spender::Key),
            name(&call.user, Spender::User),
            name(&call.agent, Spender::Agent),
        ];
        for spender in spenders.into_iter().flatten() {
            let spent = self.0.entry((day, spender)).or_default();
            *spent = spent
                .saturating_add(cost.pico())
                .min(250_000_000_000_000_000);
        }
    }

    /// A quarter of a million dollars in a day are as many as can be told, so that no sum overflows.
    pub(crate) fn write(&self, connection: &Connection) -> rusqlite::Result<()> {
        let mut add = connection.prepare_cached(
            "INSERT INTO spending VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT DO UPDATE SET pico = min(pico + excluded.pico, 250000000000000000)",
        )?;
        for ((day, spender), pico) in &self.0 {
            let (kind, name) = spender.parts();
            add.execute(params![day, kind, name, pico])?;
        }
        Ok(())
    }
}

/// What everybody spent in a day and in a month, whoever spent most first; at most so many.
pub(crate) fn read(
    connection: &Connection,
    day: &Range<Timestamp>,
    month: &Range<Timestamp>,
    most: usize,
) -> rusqlite::Result<Vec<Spent>> {
    let mut statement = connection.prepare_cached(
        "SELECT kind, name, sum(iif(day >= ?1 AND day < ?2, pico, 0)), sum(pico) AS month
         FROM spending WHERE day >= ?3 AND day < ?4
         GROUP BY kind, name ORDER BY month DESC LIMIT ?5",
    )?;
    let mut rows = statement.query(params![
        day.start.as_second(),
        day.end.as_second(),
        month.start.as_second(),
        month.end.as_second(),
        i64::try_from(most).unwrap_or(i64::MAX),
    ])?;
    let mut spent = Vec::new();
    while let Some(row) = rows.next()? {
        if let Some(who) = Spender::of(row.get(0)?, row.get(1)?) {
            spent.push(Spent {
                who,
                day: Usd::from_pico(row.get(2)?),
                month: Usd::from_pico(row.get(3)?),
            });
        }
    }
    Ok(spent)
}

/// Drops a slice of what no month needs any more, given the floor of the rows; whether there was any.
pub(crate) fn drop_slice(connection: &Connection, floor_of_rows: i64) -> rusqlite::Result<bool> {
    let dropped = connection
        .prepare_cached(
            "DELETE FROM spending WHERE (day, kind, name) IN
             (SELECT day, kind, name FROM spending WHERE day < ?1 LIMIT ?2)",
        )?
        .execute(params![floor_of_rows - BEYOND_ROWS, SLICE])?;
    Ok(dropped > 0)
}
