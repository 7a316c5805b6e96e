//! Events in the database.

use cockpit_model::{Event, EventBody, Mark};
use rusqlite::{Connection, Rows, params};

use crate::error::Error;
use crate::state::{from_ns, to_ns};

/// The service an event is about.
pub(crate) fn service_of(body: &EventBody) -> Option<&str> {
    match body {
        EventBody::InstanceState { service, .. }
        | EventBody::InstanceExit { service, .. }
        | EventBody::InstanceStarted { service, .. }
        | EventBody::ServiceDown { service, .. }
        | EventBody::ServiceRecovered { service, .. }
        | EventBody::MemoryLimit { service, .. }
        | EventBody::ServiceRemoved { service }
        | EventBody::Mark(Mark::Restart { service }) => Some(service),
        EventBody::Service { service } => Some(&service.name),
        EventBody::Provider { service, .. } => service.as_deref(),
        EventBody::Status { .. }
        | EventBody::Host { .. }
        | EventBody::Mark(Mark::EngineStarted { .. } | Mark::Slept { .. } | Mark::Deploy { .. })
        | EventBody::Config { .. }
        | EventBody::Cockpit { .. }
        | EventBody::Breaker { .. }
        | EventBody::Budget { .. }
        | EventBody::Refused { .. }
        | EventBody::Access { .. }
        | EventBody::Pii { .. }
        | EventBody::Reported { .. }
        | EventBody::Calls { .. }
        | EventBody::Gap { .. } => None,
    }
}

pub(crate) fn insert(connection: &Connection, events: &[Event]) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(
        "INSERT OR REPLACE INTO events (seq, at_ns, service, body) VALUES (?1, ?2, ?3, ?4)",
    )?;
    for event in events {
        let body = serde_json::to_string(&event.body)
            .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
        statement.execute(params![
            i64::try_from(event.seq).unwrap_or(i64::MAX),
            to_ns(event.at),
            service_of(&event.body),
            body
        ])?;
    }
    Ok(())
}

pub(crate) fn newest(
    connection: &Connection,
    limit: usize,
    service: Option<&str>,
) -> Result<Vec<Event>, Error> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut statement = connection.prepare_cached(match service {
        Some(_) => {
            "SELECT seq, at_ns, body FROM events WHERE service = ?1 ORDER BY seq DESC LIMIT ?2"
        }
        None => "SELECT seq, at_ns, body FROM events WHERE ?1 IS NULL ORDER BY seq DESC LIMIT ?2",
    })?;
    read(statement.query(params![service, limit])?)
}

/// Those after one number and up to another, oldest first.
pub(crate) fn after(
    connection: &Connection,
    after: u64,
    up_to: u64,
    limit: usize,
) -> Result<Vec<Event>, Error> {
    let number = |seq: u64| i64::try_from(seq).unwrap_or(i64::MAX);
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut statement = connection.prepare_cached(
        "SELECT seq, at_ns, body FROM events WHERE seq > ?1 AND seq <= ?2 ORDER BY seq LIMIT ?3",
    )?;
    read(statement.query(params![number(after), number(up_to), limit])?)
}

/// The newest marks of a time, newest first.
pub(crate) fn marks(
    connection: &Connection,
    from: jiff::Timestamp,
    to: jiff::Timestamp,
    limit: usize,
) -> Result<Vec<Event>, Error> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut statement = connection.prepare_cached(
        "SELECT seq, at_ns, body FROM events
         WHERE at_ns >= ?1 AND at_ns < ?2 AND substr(body, 1, 14) = '{\"type\":\"mark\"'
         ORDER BY at_ns DESC, seq DESC LIMIT ?3",
    )?;
    read(statement.query(params![to_ns(from), to_ns(to), limit])?)
}

fn read(mut rows: Rows<'_>) -> Result<Vec<Event>, Error> {
    let mut events = Vec::new();
    while let Some(row) = rows.next()? {
        let body: String = row.get(2)?;
        match serde_json::from_str(&body) {
            Ok(body) => events.push(Event {
                seq: u64::try_from(row.get::<_, i64>(0)?).unwrap_or(0),
                at: from_ns(row.get(1)?),
                body,
            }),
            Err(error) => tracing::warn!(%error, "a stored event cannot be read; left out"),
        }
    }
    Ok(events)
}
