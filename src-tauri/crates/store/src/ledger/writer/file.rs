//! The writer's file, apart from its commits: opened, its rollups written, what is old dropped from it, and set aside
//! where it is damaged.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use cockpit_model::Timestamp;
use rusqlite::Connection;

use super::Writer;
use crate::database::{self, Opened};
use crate::error::Error;
use crate::ledger::horizon::Horizon;
use crate::ledger::key;
use crate::ledger::names::Texts;
use crate::ledger::retention::{self, Dropped};
use crate::ledger::rollup::Delta;
use crate::ledger::schema::{self, ALIVE, CLEAN, SCHEMA, meta, set_meta};
use crate::ledger::seen::Seen;
use crate::telemetry::lock;

/// How often it is noted that all is well, and looked for what can be dropped.
const HEARTBEAT: Duration = Duration::from_secs(60);
/// Between two slices of what is dropped.
const BETWEEN_SLICES: Duration = Duration::from_millis(20);

impl Writer {
    /// Opens the file; what is staged stays. Also says until when things are known to be on the disk, if
    /// the file was not closed as it should be.
    pub(super) fn connect(&mut self) -> Result<(Opened, Option<Timestamp>), Error> {
        let (connection, opened) = database::open(&self.path, &SCHEMA)?;
        connection.set_prepared_statement_cache_capacity(64);
        if let Some(bytes) = self.options.max_bytes {
            let page: i64 = connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
            let pages = i64::try_from(bytes).unwrap_or(i64::MAX) / page.max(1);
            connection.pragma_update(None, "max_page_count", pages)?;
        }
        let known_until = (meta(&connection, CLEAN)? != Some(1))
            .then(|| meta(&connection, ALIVE))
            .transpose()?
            .flatten()
            .map(|ms| key::time(ms, 0));
        let now = self.now();
        self.horizon = Horizon::open(&connection, &self.options, now.as_second())?;
        self.floors =
            self.horizon
                .floors(&connection, schema::floors(&connection)?, now.as_second())?;
        self.seen = Seen::new(schema::secret(&connection)?);
        self.names.forget();
        self.texts = Texts::default();
        self.rollups.forget();
        self.delta = Delta::catch_up(&connection, &self.floors)?;
        let last: Option<i64> =
            connection.query_row("SELECT max(batch) FROM pending", [], |row| row.get(0))?;
        self.batch = last.unwrap_or(0) + 1;
        self.place = now.subsec_nanosecond().unsigned_abs();
        // Not worth a wait for the disk: whatever is written next takes it along.
        relaxed(&connection, |connection| {
            let transaction = connection.unchecked_transaction()?;
            schema::set_floors(&transaction, &self.floors)?;
            self.horizon.write(&transaction)?;
            set_meta(&transaction, CLEAN, 0)?;
            set_meta(&transaction, ALIVE, now.as_millisecond())?;
            transaction.commit()
        })?;
        self.shared
            .oldest
            .store(self.floors.rows, Ordering::Relaxed);
        self.shared.generation.fetch_add(1, Ordering::AcqRel);
        if !self.delta.is_empty() {
            self.roll_due = Some(Instant::now());
        }
        self.connection = Some(connection);
        Ok((opened, known_until))
    }

    /// Writes the rollups.
    pub(super) fn roll(&mut self) -> Result<(), Error> {
        self.roll_due = None;
        if self.delta.is_empty() {
            return Ok(());
        }
        let Some(connection) = self.connection.as_ref() else {
            return Err(Error::Ended);
        };
        // They can be made again from the rows: no wait for the disk.
        let result = relaxed(connection, |connection| {
            let transaction = connection.unchecked_transaction()?;
            self.rollups
                .write(&transaction, &mut self.texts, &self.delta, &self.floors)?;
            transaction.commit()
        });
        match result {
            Ok(()) => {
                self.delta = Delta::default();
                Ok(())
            }
            Err(error) => {
                self.rollups.forget();
                let error = Error::from(error);
                self.failed(&error.to_string());
                self.roll_due = Some(Instant::now() + self.options.retry_after);
                if error.is_damage() {
                    self.replace(&error.to_string());
                }
                Err(error)
            }
        }
    }

    /// Notes that all is well, and drops a slice of what has been kept long enough.
    pub(super) fn upkeep(&mut self) {
        self.upkeep_due = Instant::now() + HEARTBEAT;
        let now = self.now();
        self.horizon.follow(now.as_second());
        let Some(connection) = self.connection.as_ref() else {
            return;
        };
        let floors = self
            .horizon
            .floors(connection, self.floors, now.as_second());
        let floors = match floors {
            Ok(floors) => floors,
            Err(error) => {
                tracing::warn!(%error, "what has been kept long enough is not known; tried again in a minute");
                return;
            }
        };
        // Rows go only when they are counted.
        if floors != self.floors && self.roll().is_err() {
            return;
        }
        let Some(connection) = self.connection.as_ref() else {
            return;
        };
        let result = relaxed(connection, |connection| {
            let transaction = connection.unchecked_transaction()?;
            set_meta(&transaction, ALIVE, now.as_millisecond())?;
            self.horizon.write(&transaction)?;
            if floors != self.floors {
                schema::set_floors(&transaction, &floors)?;
            }
            let dropped = retention::drop_slice(&transaction, &floors)?;
            transaction.commit()?;
            Ok(dropped)
        });
        match result {
            Ok(dropped) => {
                self.floors = floors;
                self.shared.oldest.store(floors.rows, Ordering::Relaxed);
                if dropped == Dropped::Names {
                    self.names.forget();
                }
                if dropped != Dropped::Nothing {
                    self.upkeep_due = Instant::now() + BETWEEN_SLICES;
                }
            }
            Err(error) => {
                tracing::warn!(%error, "old calls could not be dropped; tried again in a minute");
            }
        }
    }

    /// A reader found damage: look for ourselves.
    pub(super) fn check(&mut self) {
        if self.connection.is_none() {
            return;
        }
        if let Some(why) = database::damage(&self.path) {
            self.failed(&why);
            self.replace(&why);
        }
    }

    /// Sets a damaged file aside and goes on with a new one.
    pub(super) fn replace(&mut self, why: &str) {
        if let Some(connection) = self.connection.take() {
            database::leave_untouched(&connection);
        }
        match database::set_aside(&self.path, Timestamp::now()) {
            Ok(moved_to) => {
                tracing::error!(path = %self.path.display(), moved_to = %moved_to.display(), why, "the ledger was damaged; set aside, begun anew");
                lock(&self.shared.set_aside).push(moved_to);
                if let Err(error) = self.connect() {
                    self.failed(&error.to_string());
                }
            }
            Err(error) => self.failed(&error.to_string()),
        }
    }
}

/// Works without waiting for the disk at the commit.
fn relaxed<T>(
    connection: &Connection,
    work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    let result = work(connection);
    connection.pragma_update(None, "synchronous", "FULL")?;
    result
}
