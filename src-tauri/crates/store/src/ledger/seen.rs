//! Which ids were accounted for: a keyed hash of each, ordered by the day of its record, so that what
//! comes in together lies together however many there are. Kept as long as the records.

use cockpit_model::{CallSource, Record, Timestamp};
use rusqlite::{Connection, params};
use sha2::{Digest, Sha256};

use super::tiers::DAY;

/// Records this fresh may have been dated by us on their arrival, so that sending them again would
/// date them anew.
const FRESH: i64 = 10;
/// Bytes of a hash: with ten million ids in a day two collide once in 10¹⁰ such days.
const HASH: usize = 10;

/// The day and the hash, both big-endian: two and ten bytes.
pub(crate) type SeenKey = [u8; 2 + HASH];

/// Makes keys; the secret keeps a reporter from making ids that collide with another's.
#[derive(Debug)]
pub(crate) struct Seen {
    secret: Vec<u8>,
}

fn day(at: Timestamp) -> u16 {
    u16::try_from(at.as_second().div_euclid(DAY)).unwrap_or(0)
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
        now: i64,
    ) -> rusqlite::Result<bool> {
        let at = match record {
            Record::Call(call) => call.at,
            Record::Report(report) => report.at,
        };
        let hash = self.hash(record);
        let day = day(at);
        if (now - at.as_second()).abs() <= FRESH {
            let yesterday = with_day(hash, day.saturating_sub(1));
            if connection
                .prepare_cached("SELECT 1 FROM seen WHERE key = ?1")?
                .exists([&yesterday[..]])?
            {
                return Ok(false);
            }
        }
        let new = connection
            .prepare_cached("INSERT OR IGNORE INTO seen (key) VALUES (?1)")?
            .execute(params![&with_day(hash, day)[..]])?;
        Ok(new == 1)
    }
}
