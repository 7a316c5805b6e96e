//! Single calls, newest first.
//!
//! There is no index but time. What a filter asks for is found by the rollups: hours without the
//! value are passed over.

use std::collections::HashSet;
use std::time::Duration;

use cockpit_model::usage::Dimension;
use cockpit_model::{Call, Outcome, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};

use crate::error::Error;
use crate::ledger::names::Texts;
use crate::ledger::rollup::{self, Value};
use crate::ledger::row::Row;
use crate::ledger::tally::Parts;
use crate::ledger::tiers::{HOUR, HOURS};
use crate::ledger::{key, schema};

/// Calls of one answer at most.
const MOST: usize = 10_000;

/// Which single calls are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallsQuery {
    /// The window's begin.
    pub from: Timestamp,
    /// Its end, excluded; both to the millisecond.
    pub to: Timestamp,
    /// How many at most; never more than 10,000.
    pub limit: usize,
    /// Only those that come after this one in the order of the answer.
    pub before: Option<Before>,
    /// Only those that are like this.
    pub filter: CallFilter,
}

/// The last call of the page before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Before {
    /// Its time.
    pub at: Timestamp,
    /// Its id.
    pub id: String,
}

/// What calls must be like; what is `None` does not matter.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CallFilter {
    /// The provider's name.
    pub provider: Option<String>,
    /// The target (`provider/model`), or the model without its provider.
    pub model: Option<String>,
    /// The route.
    pub route: Option<String>,
    /// The user.
    pub user: Option<String>,
    /// The agent.
    pub agent: Option<String>,
    /// The name of the key.
    pub key: Option<String>,
    /// The error's code.
    pub error: Option<String>,
    /// How they ended.
    pub outcome: Option<Outcome>,
}

impl CallFilter {
    /// Whether anything matters.
    pub fn is_some(&self) -> bool {
        *self != Self::default()
    }
}

/// A filter by numbers. A value that has no number was never in any call.
struct Numbered {
    /// Of each dimension that matters: the values to look for in rollups, and their numbers.
    dimensions: Vec<(Dimension, Vec<(Value, u32)>)>,
    outcome: Option<Outcome>,
}

pub(crate) fn calls(
    connection: &Connection,
    texts: &mut Texts,
    query: &CallsQuery,
) -> Result<Vec<Call>, Error> {
    let floors = schema::floors(connection)?;
    let from = query.from.as_millisecond().max(floors.rows * 1000);
    let mut to = query.to.as_millisecond();
    if let Some(before) = &query.before {
        to = to.min(before.at.as_millisecond() + 1);
    }
    let filter = Numbered::of(connection, &query.filter)?;
    let mut page = Page {
        connection,
        texts,
        limit: query.limit.min(MOST),
        before: query.before.as_ref(),
        calls: Vec::new(),
    };
    let hour_floor = floors.tiers.get(HOURS).copied().unwrap_or(i64::MAX);
    if !query.filter.is_some() || hour_floor.saturating_mul(1000) > from {
        page.read(from, to, &filter)?;
        return Ok(page.calls);
    }
    let length = HOUR * 1000;
    let unrolled = pending_hours(connection, length)?;
    for hour in hours(connection, from / length, to.div_euclid(length), &unrolled)? {
        if page.is_full() {
            break;
        }
        if unrolled.contains(&hour) || filter.may_be_in(connection, hour)? {
            let (begin, end) = (hour * length, (hour + 1) * length);
            page.read(from.max(begin), to.min(end), &filter)?;
        }
    }
    Ok(page.calls)
}

/// A call by its id.
pub(crate) fn call(
    connection: &Connection,
    texts: &mut Texts,
    id: &str,
) -> Result<Option<Call>, Error> {
    let mut find = |from, to| -> Result<Option<Call>, Error> {
        let query = CallsQuery {
            from,
            to,
            limit: MOST,
            before: None,
            filter: CallFilter::default(),
        };
        let found = calls(connection, texts, &query)?;
        Ok(found.into_iter().find(|call| call.id == id))
    };
    // Our own ids tell when; a crowded millisecond gives way to the next ones.
    if let Some(at) = key::given_at(id).and_then(|ms| Timestamp::from_millisecond(ms).ok())
        && let Some(found) = find(at, later(at, 16))?
    {
        return Ok(Some(found));
    }
    // Until the year 2100.
    let end = Timestamp::from_second(4_102_444_800).unwrap_or(Timestamp::UNIX_EPOCH);
    find(Timestamp::UNIX_EPOCH, end)
}

fn later(at: Timestamp, ms: u64) -> Timestamp {
    at.checked_add(Duration::from_millis(ms)).unwrap_or(at)
}

struct Page<'a> {
    connection: &'a Connection,
    texts: &'a mut Texts,
    limit: usize,
    /// Until this call was seen, those of its millisecond belong to the page before.
    before: Option<&'a Before>,
    calls: Vec<Call>,
}

impl Page<'_> {
    fn is_full(&self) -> bool {
        self.calls.len() >= self.limit
    }

    fn read(&mut self, from: i64, to: i64, filter: &Numbered) -> Result<(), Error> {
        let connection = self.connection;
        let mut statement = connection.prepare_cached(
            "SELECT key, body FROM calls WHERE key >= ?1 AND key < ?2 ORDER BY key DESC",
        )?;
        let mut rows = statement.query([key::first(from), key::first(to)])?;
        while !self.is_full()
            && let Some(found) = rows.next()?
        {
            let ms = key::ms(found.get(0)?);
            let Some((row, rest)) = found.get_ref(1)?.as_blob().ok().and_then(Row::decode) else {
                continue;
            };
            if let Some(before) = self.before
                && ms == before.at.as_millisecond()
            {
                if rest.read().is_some_and(|tail| tail.id == before.id) {
                    self.before = None;
                }
                continue;
            }
            if !filter.matches(&row) {
                continue;
            }
            if let Some(tail) = rest.read() {
                let texts = &mut *self.texts;
                self.calls.push(row.call(ms, &tail, |id| {
                    texts.text(connection, id).map(|text| text.to_string())
                })?);
            }
        }
        Ok(())
    }
}

impl Numbered {
    fn of(connection: &Connection, filter: &CallFilter) -> Result<Self, Error> {
        let mut dimensions = Vec::new();
        for (dimension, wanted) in [
            (Dimension::Provider, &filter.provider),
            (Dimension::Route, &filter.route),
            (Dimension::User, &filter.user),
            (Dimension::Agent, &filter.agent),
            (Dimension::Key, &filter.key),
            (Dimension::Error, &filter.error),
        ] {
            if let Some(name) = wanted {
                let id = number(connection, name)?;
                let value = Value::Text(name.as_str().into());
                dimensions.push((dimension, id.map(|id| (value, id)).into_iter().collect()));
            }
        }
        if let Some(name) = &filter.model {
            dimensions.push((Dimension::Model, targets(connection, name)?));
        }
        Ok(Self {
            dimensions,
            outcome: filter.outcome,
        })
    }

    fn matches(&self, row: &Row) -> bool {
        self.outcome.is_none_or(|outcome| row.outcome == outcome)
            && self.dimensions.iter().all(|(dimension, values)| {
                let value = rollup::value_of(row, *dimension).flatten();
                value.is_some_and(|value| values.iter().any(|(_, id)| *id == value))
            })
    }

    /// Whether an hour may have such calls.
    fn may_be_in(&self, connection: &Connection, hour: i64) -> Result<bool, Error> {
        let mut select = connection.prepare_cached(
            "SELECT body FROM rollups WHERE series = ?1 AND at = ?2 AND value = ?3",
        )?;
        if let Some(outcome) = self.outcome {
            let total = params![rollup::series(HOURS, None), hour, Value::None];
            let sums = select
                .query_row(total, |row| {
                    let body = row.get_ref(0)?.as_blob().unwrap_or_default();
                    Ok(Parts::read(body).map(|parts| parts.sums))
                })
                .optional()?
                .flatten();
            let any = sums.is_none_or(|sums| match outcome {
                Outcome::Ok => sums.calls > sums.errors + sums.cancelled,
                Outcome::Error => sums.errors > 0,
                Outcome::Cancelled => sums.cancelled > 0,
            });
            if !any {
                return Ok(false);
            }
        }
        for (dimension, values) in &self.dimensions {
            let mut any = hour * HOUR < schema::summed_up_from(connection, *dimension)?;
            for value in values.iter().map(|(value, _)| value).chain([&Value::Rest]) {
                any |= select.exists(params![
                    rollup::series(HOURS, Some(*dimension)),
                    hour,
                    value
                ])?;
            }
            if !any {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn number(connection: &Connection, name: &str) -> rusqlite::Result<Option<u32>> {
    connection
        .prepare_cached("SELECT id FROM names WHERE name = ?1")?
        .query_row([name], |row| row.get(0))
        .optional()
}

/// The targets that are a model, or end in it.
fn targets(connection: &Connection, model: &str) -> rusqlite::Result<Vec<(Value, u32)>> {
    let suffix = format!("/{model}");
    connection
        .prepare_cached(
            "SELECT name, id FROM names WHERE name = ?1 OR substr(name, -length(?2)) = ?2",
        )?
        .query_map([model, &suffix], |row| {
            Ok((Value::read(row.get_ref(0)?), row.get(1)?))
        })?
        .collect()
}

/// The hours of calls that no rollup counts yet.
fn pending_hours(connection: &Connection, length: i64) -> rusqlite::Result<HashSet<i64>> {
    let mut hours = HashSet::new();
    let mut statement = connection.prepare_cached("SELECT calls FROM pending")?;
    let mut batches = statement.query([])?;
    while let Some(batch) = batches.next()? {
        let keys = key::unpack(batch.get_ref(0)?.as_blob().unwrap_or_default());
        hours.extend(keys.into_iter().map(|row_key| key::ms(row_key) / length));
    }
    Ok(hours)
}

/// The hours that have calls, newest first.
fn hours(
    connection: &Connection,
    from: i64,
    to: i64,
    unrolled: &HashSet<i64>,
) -> rusqlite::Result<Vec<i64>> {
    let mut hours: Vec<i64> = connection
        .prepare_cached("SELECT at FROM rollups WHERE series = ?1 AND at >= ?2 AND at <= ?3")?
        .query_map([rollup::series(HOURS, None), from, to], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    hours.extend(unrolled.iter().filter(|hour| (from..=to).contains(hour)));
    hours.sort_unstable_by(|a, b| b.cmp(a));
    hours.dedup();
    Ok(hours)
}
