//! The one thread that writes `ledger.db`.
//!
//! It gathers what comes in and writes it in one transaction: what waits for an acknowledgement at
//! once, together with whatever else has arrived by then; what nobody waits for within 50 ms. After the
//! commit the rows are added to the delta of the rollups, which is written every few seconds. That, and all else that
//! is done to the file between commits, is in `file`.

mod file;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};

use cockpit_model::{Record, Timestamp};
use rusqlite::Connection;
use tokio::sync::oneshot;

use super::group::{Group, Staged, Written};
use super::horizon::Horizon;
use super::names::{Names, Texts};
use super::rollup::{Delta, Rollups};
use super::schema::{ALIVE, CLEAN, set_meta};
use super::seen::Seen;
use super::spending::Days;
use super::tiers::Floors;
use super::{Ack, Options, Shared, Told, judge};
use crate::database::Opened;
use crate::error::Error;
use crate::telemetry::lock;

/// Calls of our own that are kept while the disk refuses.
const MOST_UNWRITTEN: usize = 16_384;
/// Records written in one transaction, about.
const GROUP: usize = 20_000;
/// The rollups are written when they lag by so many rows or buckets …
const MOST_ROWS: usize = 25_000;
const MOST_CELLS: usize = 25_000;
/// … or by so much time.
const ROLL_WITHIN: Duration = Duration::from_secs(5);

pub(crate) type Answer = oneshot::Sender<Result<Vec<Ack>, Error>>;

pub(crate) enum Command {
    /// What is our own has arrived.
    Own,
    Ingest(Vec<Told>, Answer),
    /// Commits; writes the rollups too if asked to.
    Flush {
        rollups: bool,
        reply: SyncSender<Result<(), Error>>,
    },
    Check,
    Close,
}

/// A batch that waits for its acknowledgement.
struct Batch {
    acks: Vec<Ack>,
    answer: Answer,
}

pub(crate) struct Writer {
    path: PathBuf,
    options: Options,
    shared: Arc<Shared>,
    connection: Option<Connection>,
    floors: Floors,
    horizon: Horizon,
    seen: Seen,
    names: Names,
    texts: Texts,
    rollups: Rollups,
    delta: Delta,
    staged: Vec<Staged>,
    batches: Vec<Batch>,
    /// Where the next row is put in its millisecond.
    place: u32,
    days: Days,
    /// The number of the next transaction.
    batch: i64,
    due: Option<Instant>,
    roll_due: Option<Instant>,
    upkeep_due: Instant,
    failing: bool,
}

impl Writer {
    pub(crate) fn open(
        path: PathBuf,
        options: Options,
        shared: Arc<Shared>,
    ) -> Result<(Self, Opened, Option<Timestamp>), Error> {
        let mut writer = Self {
            path,
            options,
            shared,
            connection: None,
            floors: Floors::default(),
            horizon: Horizon::default(),
            seen: Seen::new(Vec::new()),
            names: Names::default(),
            texts: Texts::default(),
            rollups: Rollups::default(),
            delta: Delta::default(),
            staged: Vec::new(),
            batches: Vec::new(),
            place: 0,
            days: Days::default(),
            batch: 1,
            due: None,
            roll_due: None,
            upkeep_due: Instant::now(),
            failing: false,
        };
        writer.days.zone = writer.options.zone.clone();
        match writer.connect() {
            Ok((opened, known_until)) => Ok((writer, opened, known_until)),
            Err(error @ (Error::Newer { .. } | Error::SetAside { .. })) => Err(error),
            Err(error) => {
                let why = error.to_string();
                writer.failed(&why);
                Ok((writer, Opened::Unavailable { why }, None))
            }
        }
    }

    fn now(&self) -> Timestamp {
        (self.options.clock)()
    }

    pub(crate) fn run(mut self, commands: &Receiver<Command>) {
        loop {
            let next = [self.due, self.roll_due]
                .into_iter()
                .flatten()
                .fold(self.upkeep_due, Instant::min);
            let mut waited_for = false;
            match commands.recv_timeout(next.saturating_duration_since(Instant::now())) {
                Ok(command) => {
                    let mut command = Some(command);
                    // What has arrived meanwhile goes into the same transaction.
                    while let Some(one) = command.take() {
                        match one {
                            // They are taken along by the next commit, which is due soon.
                            Command::Own => {}
                            Command::Ingest(told, answer) => {
                                self.ingest(told, answer);
                                waited_for = true;
                            }
                            Command::Flush { rollups, reply } => {
                                let mut result = self.commit();
                                if rollups && result.is_ok() {
                                    result = self.roll();
                                }
                                // Whoever asked may have given up.
                                drop(reply.send(result));
                            }
                            Command::Check => self.check(),
                            Command::Close => {
                                self.end();
                                return;
                            }
                        }
                        if self.staged.len() < GROUP {
                            command = commands.try_recv().ok();
                        }
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    self.end();
                    return;
                }
            }
            self.work(waited_for);
        }
    }

    /// What is due. Failures are counted and told in the stats; what failed is kept or told to its sender.
    fn work(&mut self, waited_for: bool) {
        if self.due.is_none() && !lock(&self.shared.own).is_empty() {
            self.due_within(self.options.commit_within);
        }
        let now = Instant::now();
        if waited_for
            || self.due.is_some_and(|due| due <= now)
            || (self.staged.len() >= GROUP && !self.failing)
        {
            drop(self.commit());
        }
        let lags = self.delta.rows() >= MOST_ROWS || self.delta.cells() >= MOST_CELLS;
        if self.connection.is_some() && (lags || self.roll_due.is_some_and(|due| due <= now)) {
            drop(self.roll());
        }
        if self.upkeep_due <= now {
            self.upkeep();
        }
    }

    fn due_within(&mut self, wait: Duration) {
        let due = Instant::now() + wait;
        self.due = Some(self.due.map_or(due, |earlier| earlier.min(due)));
    }

    /// Takes a record of our own.
    fn own(&mut self, record: Record) {
        if let Some(why) = judge::nameless(&record) {
            tracing::warn!(why, "a record of our own is not accounted for");
            self.shared.refused.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.staged.push(Staged {
            record,
            undated: false,
            ticket: None,
        });
    }

    /// Takes up what is our own and has arrived.
    fn take_own(&mut self) {
        let own = std::mem::take(&mut *lock(&self.shared.own));
        if own.is_empty() {
            return;
        }
        let now = self.now();
        for mut record in own {
            judge::fit(&mut record, self.floors.rows, now);
            self.own(record);
        }
    }

    fn ingest(&mut self, told: Vec<Told>, answer: Answer) {
        // First what was there first: some of these may tell of it.
        self.take_own();
        let now = self.now().as_second();
        if now < self.floors.rows {
            // The clock was far ahead, and is not any more.
            self.upkeep();
        }
        let batch = self.batches.len();
        let mut acks = Vec::with_capacity(told.len());
        for (place, Told { record, undated }) in told.into_iter().enumerate() {
            match judge::refusal(&record, self.floors.rows, now) {
                Some(why) => acks.push(Ack::Refused(why)),
                None => {
                    acks.push(Ack::Accepted);
                    self.staged.push(Staged {
                        record,
                        undated,
                        ticket: Some((batch, place)),
                    });
                }
            }
        }
        self.batches.push(Batch { acks, answer });
    }

    /// Writes what is staged and answers whoever waits for it.
    fn commit(&mut self) -> Result<(), Error> {
        self.due = None;
        self.take_own();
        // After a failure even nothing is written: else nobody would notice that the disk takes things again.
        if self.staged.is_empty() && self.connection.is_some() && !self.failing {
            self.acknowledge();
            return Ok(());
        }
        let mut result = self.try_commit();
        if let Err(error) = &result
            && error.is_damage()
        {
            let why = error.to_string();
            self.failed(&why);
            self.replace(&why);
            result = self.try_commit();
        }
        match result {
            Ok(written) => {
                self.committed(written);
                Ok(())
            }
            Err(error) => {
                self.failed(&error.to_string());
                self.refuse_waiting(&error.to_string());
                Err(error)
            }
        }
    }

    fn try_commit(&mut self) -> Result<Written, Error> {
        if self.connection.is_none() {
            self.connect()?;
        }
        let now = self.now();
        let Some(connection) = self.connection.as_mut() else {
            return Err(Error::Ended);
        };
        let mut group = Group {
            seen: &self.seen,
            names: &mut self.names,
            place: &mut self.place,
            days: &mut self.days,
            now: now.as_second(),
            oldest: self.floors.rows,
            bytes: Vec::with_capacity(128),
        };
        let result = connection.transaction().and_then(|transaction| {
            let written = group.write(&transaction, &self.staged, self.batch)?;
            set_meta(&transaction, ALIVE, now.as_millisecond())?;
            transaction.commit()?;
            Ok(written)
        });
        if result.is_err() {
            self.names.forget();
        }
        Ok(result?)
    }

    fn committed(&mut self, written: Written) {
        let shared = &self.shared;
        shared.commits.fetch_add(1, Ordering::Relaxed);
        if std::mem::take(&mut self.failing) {
            *lock(&shared.last_error) = None;
        }
        let mut accepted = 0;
        for (staged, new) in self.staged.iter().zip(&written.new) {
            accepted += u64::from(*new);
            if !new
                && let Some((batch, place)) = staged.ticket
                && let Some(ack) = self
                    .batches
                    .get_mut(batch)
                    .and_then(|batch| batch.acks.get_mut(place))
            {
                *ack = Ack::Duplicate;
            }
        }
        let duplicates = written.new.len() as u64 - accepted;
        shared.accepted.fetch_add(accepted, Ordering::Relaxed);
        shared.duplicates.fetch_add(duplicates, Ordering::Relaxed);
        for (row_key, row) in &written.calls {
            self.delta.add(*row_key, row, &self.floors);
        }
        for (row_key, place) in &written.reports {
            if let Some(Staged {
                record: Record::Report(report),
                ..
            }) = self.staged.get(*place)
            {
                self.delta.add_report(*row_key, report, &self.floors);
            }
        }
        self.delta.through(self.batch);
        self.batch += 1;
        self.staged.clear();
        if !self.delta.is_empty() {
            self.roll_due
                .get_or_insert_with(|| Instant::now() + ROLL_WITHIN);
        }
        self.acknowledge();
    }

    fn acknowledge(&mut self) {
        for batch in self.batches.drain(..) {
            let refused = batch
                .acks
                .iter()
                .filter(|ack| matches!(ack, Ack::Refused(_)))
                .count();
            self.shared
                .refused
                .fetch_add(refused as u64, Ordering::Relaxed);
            self.shared
                .waiting
                .fetch_sub(batch.acks.len(), Ordering::AcqRel);
            // Whoever waits may have gone; what is written is written.
            drop(batch.answer.send(Ok(batch.acks)));
        }
    }

    /// Who waits is told, and sends again; calls of our own are kept, within bounds.
    fn refuse_waiting(&mut self, why: &str) {
        for batch in self.batches.drain(..) {
            self.shared
                .waiting
                .fetch_sub(batch.acks.len(), Ordering::AcqRel);
            let error = Error::NotDurable {
                why: why.to_owned(),
            };
            drop(batch.answer.send(Err(error)));
        }
        self.staged.retain(|staged| staged.ticket.is_none());
        let excess = self.staged.len().saturating_sub(MOST_UNWRITTEN);
        self.staged.drain(..excess);
        self.shared
            .dropped
            .fetch_add(excess as u64, Ordering::Relaxed);
    }

    fn failed(&mut self, why: &str) {
        self.failing = true;
        self.shared.write_errors.fetch_add(1, Ordering::Relaxed);
        let mut last = lock(&self.shared.last_error);
        if last.as_deref() != Some(why) {
            tracing::error!(path = %self.path.display(), why, "the ledger cannot be written; our own calls are kept in memory, and it is tried again");
            *last = Some(why.to_owned());
        }
        drop(last);
        self.due_within(self.options.retry_after);
    }

    fn end(&mut self) {
        if self.commit().is_err() || self.roll().is_err() {
            return;
        }
        if let Some(connection) = self.connection.take()
            && let Err(error) = set_meta(&connection, CLEAN, 1)
        {
            tracing::debug!(%error, "the next start will take this for an abrupt end");
        }
    }
}
