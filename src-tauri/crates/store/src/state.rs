//! `state.db`: what must not be lost.

mod keys;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags, OptionalExtension, params};

use crate::database::{self, Opened, Schema};
use crate::error::Error;

const SCHEMA: Schema = Schema {
    migrations: &[
        "
        CREATE TABLE manual_stops (
            service TEXT PRIMARY KEY NOT NULL,
            at_ns INTEGER NOT NULL
        ) WITHOUT ROWID;
        CREATE TABLE kv (
            key TEXT PRIMARY KEY NOT NULL,
            value TEXT NOT NULL
        ) WITHOUT ROWID;
    ",
        "
        CREATE TABLE keys (
            name TEXT PRIMARY KEY NOT NULL,
            hash BLOB NOT NULL UNIQUE,
            hint TEXT NOT NULL,
            limits TEXT NOT NULL,
            created_ns INTEGER NOT NULL
        ) WITHOUT ROWID;
        CREATE TABLE key_uses (
            name TEXT PRIMARY KEY NOT NULL,
            used_ns INTEGER NOT NULL,
            profile TEXT NOT NULL
        ) WITHOUT ROWID;
    ",
    ],
    settings: "
        PRAGMA journal_mode = WAL;
        PRAGMA synchronous = FULL;
        PRAGMA fullfsync = 1;
        PRAGMA checkpoint_fullfsync = 1;
        PRAGMA cache_size = -256;
    ",
};

pub use keys::{KeyUse, StoredKey};

/// Services stopped by hand, small values by key, and the gateway's keys. Its methods block for as long as the disk
/// takes; call them where that is allowed.
#[derive(Debug)]
pub struct StateDb {
    connection: Mutex<Connection>,
    volatile: Option<String>,
}

impl StateDb {
    /// Opens or makes the database at `path`, whose folder must be there.
    ///
    /// A damaged file is set aside. One that cannot be written, or that a newer version of the program
    /// wrote, is left as it is and read as far as it is understood, and then this answers from memory:
    /// [`Opened::Unavailable`]; every change then holds until the program ends and returns
    /// [`Error::NotDurable`].
    ///
    /// # Errors
    /// When not even memory can be had.
    pub fn open(path: impl AsRef<Path>) -> Result<(Self, Opened), Error> {
        let path = path.as_ref();
        match database::open(path, &SCHEMA) {
            Ok((connection, opened)) => Ok((
                Self {
                    connection: Mutex::new(connection),
                    volatile: None,
                },
                opened,
            )),
            Err(error) => {
                let why = error.to_string();
                let mut memory = Connection::open_in_memory()?;
                for statements in SCHEMA.migrations {
                    memory.execute_batch(statements)?;
                }
                if let Err(error) = copy(path, &mut memory) {
                    tracing::debug!(%error, path = %path.display(), "the state could not even be read");
                }
                let state = Self {
                    connection: Mutex::new(memory),
                    volatile: Some(why.clone()),
                };
                Ok((state, Opened::Unavailable { why }))
            }
        }
    }

    /// The services a person has stopped, and when.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn manual_stops(&self) -> Result<BTreeMap<String, Timestamp>, Error> {
        let connection = self.lock();
        let mut statement = connection.prepare_cached("SELECT service, at_ns FROM manual_stops")?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?)))?;
        let mut stops = BTreeMap::new();
        for row in rows {
            let (service, at) = row?;
            stops.insert(service, from_ns(at));
        }
        Ok(stops)
    }

    /// Remembers that a service was stopped by hand (`Some`: when), or forgets it (`None`: it was
    /// started again). On the disk when this returns `Ok`.
    ///
    /// # Errors
    /// When it cannot be written; [`Error::NotDurable`] when it holds in memory only.
    pub fn set_manual_stop(&self, service: &str, stopped: Option<Timestamp>) -> Result<(), Error> {
        let connection = self.lock();
        match stopped {
            Some(at) => connection
                .prepare_cached(
                    "INSERT OR REPLACE INTO manual_stops (service, at_ns) VALUES (?1, ?2)",
                )?
                .execute(params![service, to_ns(at)])?,
            None => connection
                .prepare_cached("DELETE FROM manual_stops WHERE service = ?1")?
                .execute([service])?,
        };
        self.durable()
    }

    /// The value of a key.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn get(&self, key: &str) -> Result<Option<String>, Error> {
        Ok(self
            .lock()
            .prepare_cached("SELECT value FROM kv WHERE key = ?1")?
            .query_row([key], |row| row.get(0))
            .optional()?)
    }

    /// Sets or removes (`None`) the value of a key. On the disk when this returns `Ok`.
    ///
    /// # Errors
    /// When it cannot be written; [`Error::NotDurable`] when it holds in memory only.
    pub fn set(&self, key: &str, value: Option<&str>) -> Result<(), Error> {
        let connection = self.lock();
        match value {
            Some(value) => connection
                .prepare_cached("INSERT OR REPLACE INTO kv (key, value) VALUES (?1, ?2)")?
                .execute([key, value])?,
            None => connection
                .prepare_cached("DELETE FROM kv WHERE key = ?1")?
                .execute([key])?,
        };
        self.durable()
    }

    fn durable(&self) -> Result<(), Error> {
        match &self.volatile {
            None => Ok(()),
            Some(why) => Err(Error::NotDurable { why: why.clone() }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        // A connection is whole even if a thread died while it held the lock.
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Copies what a file holds that may only be read. `immutable`: nobody writes it, so SQLite needs no
/// files beside it.
fn copy(path: &Path, memory: &mut Connection) -> Result<(), Error> {
    let mut uri = String::from("file:");
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'/' | b'-' | b'_' | b'.' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => {
                uri.push(char::from(*byte));
            }
            other => uri.push_str(&format!("%{other:02X}")),
        }
    }
    uri.push_str("?immutable=1");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    let source = Connection::open_with_flags(uri, flags)?;
    let transaction = memory.transaction()?;
    for (table, columns) in [
        ("manual_stops", "service, at_ns"),
        ("kv", "key, value"),
        ("keys", "name, hash, hint, limits, created_ns"),
        ("key_uses", "name, used_ns, profile"),
    ] {
        let is_there = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?1";
        if !source.prepare(is_there)?.exists([table])? {
            // Of an older layout.
            continue;
        }
        let places = vec!["?"; columns.split(',').count()].join(", ");
        let insert = format!("INSERT INTO {table} ({columns}) VALUES ({places})");
        let mut insert = transaction.prepare(&insert)?;
        let mut rows = source.prepare(&format!("SELECT {columns} FROM {table}"))?;
        let mut rows = rows.query([])?;
        while let Some(row) = rows.next()? {
            let values = (0..columns.split(',').count())
                .map(|column| row.get::<_, rusqlite::types::Value>(column))
                .collect::<Result<Vec<_>, _>>()?;
            insert.execute(rusqlite::params_from_iter(values))?;
        }
    }
    Ok(transaction.commit()?)
}

pub(crate) fn to_ns(at: Timestamp) -> i64 {
    i64::try_from(at.as_nanosecond()).unwrap_or(i64::MAX)
}

pub(crate) fn from_ns(at: i64) -> Timestamp {
    Timestamp::from_nanosecond(i128::from(at)).unwrap_or(Timestamp::UNIX_EPOCH)
}
