//! Which ids were accounted for: a keyed hash of each, ordered by the day of its record, so that what
//! comes in together lies together however many there are. Kept as long as the records.

use std::ops::Range;

use cockpit_model::{CallSource, Record, Timestamp};
use rusqlite::{Connection, params};
use sha2::{Digest, Sha256};

use super::key;
use super::row::Row;
use super::tiers::DAY;

/// Records this fresh may have been dated by us on their arrival, so that sending them again would
/// date them anew.
const FRESH: i64 = 10;
/// Days that are looked through at most, however long ids are kept.
const MOST_DAYS: u16 = 62;
/// Bytes of a hash: with ten million ids in a day two collide once in 10¹⁰ such days.
const HASH: usize = 10;

/// The day and the hash, both big-endian: two and ten bytes.
pub(crate) type SeenKey = [u8; 2 + HASH];

/// Makes keys; the secret keeps a reporter from making ids that collide with another's.
#[derive(Debug)]
pub(crate) struct Seen {
    secret: Vec<u8>,
}

/// In which days before its own a record's id is looked for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Before {
    /// All from this time on.
    All(i64),
    /// In one, if the record is of about now.
    Fresh(i64),
}

impl Before {
    fn days(self, day: u16, at: Timestamp) -> Range<u16> {
        match self {
            Self::All(oldest) => of_second(oldest).max(day.saturating_sub(MOST_DAYS))..day,
            Self::Fresh(now) if (now - at.as_second()).abs() <= FRESH => day.saturating_sub(1)..day,
            Self::Fresh(_) => day..day,
        }
    }
}

fn of_second(second: i64) -> u16 {
    u16::try_from(second.div_euclid(DAY)).unwrap_or(0)
}

fn day(at: Timestamp) -> u16 {
    of_second(at.as_second())
}

/// Whether a call of our own has this id. Their ids are in no list (nobody sends them twice), but they lie where their
/// id says.
fn is_own(connection: &Connection, id: &str) -> rusqlite::Result<bool> {
    let Some(ms) = key::given_at(id) else {
        return Ok(false);
    };
    let mut statement =
        connection.prepare_cached("SELECT body FROM calls WHERE key >= ?1 AND key < ?2")?;
    let mut rows = statement.query([key::first(ms), key::first(ms.saturating_add(1))])?;
    while let Some(row) = rows.next()? {
        let known = Row::decode(row.get_ref(0)?.as_blob()?).and_then(|(_, rest)| rest.read());
        if known.is_some_and(|tail| tail.id == id) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The least key of a day.
pub(crate) fn first(day: i64) -> SeenKey {
    with_day([0; HASH], u16::try_from(day).unwrap_or(0))
}

fn with_day(hash: [u8; HASH], day: u16) -> SeenKey {
    let mut key = [0; 2 + HASH];
    for (place, byte) in key
        .iter_mut()
        .zip(day.to_be_bytes().into_iter().chain(hash))
    {
        *place = byte;
    }
    key
}

impl Seen {
    pub(crate) fn new(secret: Vec<u8>) -> Self {
        Self { secret }
    }

    fn hash(&self, record: &Record) -> [u8; HASH] {
        let (space, id) = match record {
            Record::Call(call) => {
                let space = match call.source {
                    // Whoever tells of a call by the id our gateway gave it tells of the gateway's call.
                    _ if key::given_at(&call.id).is_some() => 0,
                    CallSource::Gateway => 0,
                    CallSource::Events => 1,
                    CallSource::Otlp => 2,
                };
                (space, &call.id)
            }
            Record::Report(report) => (3, &report.id),
        };
        let mut hasher = Sha256::new();
        hasher.update(&self.secret);
        hasher.update([space]);
        hasher.update(id.as_bytes());
        let mut hash = [0; HASH];
        for (place, byte) in hash.iter_mut().zip(hasher.finalize()) {
            *place = byte;
        }
        hash
    }

    /// Remembers a record's id; `false` if it was known already.
    pub(crate) fn remember(
        &self,
        connection: &Connection,
        record: &Record,
        before: Before,
    ) -> rusqlite::Result<bool> {
        let at = match record {
            Record::Call(call) => call.at,
            Record::Report(report) => report.at,
        };
        if let Record::Call(call) = record
            && is_own(connection, &call.id)?
        {
            return Ok(false);
        }
        let hash = self.hash(record);
        let day = day(at);
        let mut known = connection.prepare_cached("SELECT 1 FROM seen WHERE key = ?1")?;
        for earlier in before.days(day, at) {
            if known.exists([&with_day(hash, earlier)[..]])? {
                return Ok(false);
            }
        }
        let new = connection
            .prepare_cached("INSERT OR IGNORE INTO seen (key) VALUES (?1)")?
            .execute(params![&with_day(hash, day)[..]])?;
        Ok(new == 1)
    }
}
