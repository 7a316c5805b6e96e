//! `ledger.db`: every request to a model, and what else is accounted for. The handle; the work is in
//! `writer` and `query`.
//!
//! # Theory of operation
//!
//! - A **row** a call, about 75 bytes, ordered by time whatever the order of arrival (`key`, `row`).
//!   Names are numbers. A row is on the disk before anybody is told so (`synchronous=FULL`, on macOS
//!   with `F_FULLFSYNC`); many go in one transaction, so that one wait for the disk serves all.
//! - An **id** is accounted for once, as long as the calls are kept: a keyed hash of each is remembered
//!   by day (`seen`).
//! - **Rollups** by minute, five minutes, hour, three hours, day and week, in total and by each value of seven dimensions,
//!   hold sums and sketches (`tally`). They lag a few seconds behind the rows, which are the truth, and
//!   are caught up after an abrupt end (`rollup`).
//! - **A question** is answered from the rollups that fit its window, the rows at its ragged edges and
//!   the rows that no rollup has yet: what it says is what counting all rows would say (`tiers`,
//!   `query`). By dimension a rollup that reaches a little beyond the window fits too, less what lies beyond.
//! - **What callers spent** is summed up by day in the transaction that writes the rows, for budgets that
//!   outlive the engine (`spending`).
//! - **Retention** drops slices from the old end (`retention`), by a time that follows the clock only so fast (`horizon`).

mod balance;
mod distinct;
mod group;
mod horizon;
mod judge;
mod key;
mod names;
mod query;
mod reports;
mod retention;
mod rollup;
mod row;
mod schema;
mod seen;
mod spending;
mod table;
mod tally;
mod tiers;
mod writer;

use std::fmt;
use std::future::Future;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, SyncSender, TrySendError};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use std::time::Duration;

use cockpit_model::usage::Usage;
use cockpit_model::{Call, Record, Report, Timestamp};
use jiff::tz::TimeZone;
use rusqlite::{Connection, OpenFlags};
use tokio::sync::oneshot;

use crate::database::Opened;
use crate::error::{Error, is_damage};
use crate::telemetry::lock;
use names::Texts;
use writer::{Command, Writer};

pub use query::{Before, CallFilter, CallsQuery, UsageQuery};
pub use spending::{Spender, Spent};
pub use tiers::Keep;

/// Calls of our own that may wait; more are dropped and counted.
const QUEUE: usize = 16_384;
/// Ingested records that may wait; more are refused.
const MOST_WAITING: usize = 100_000;
/// How long a reader waits for the writer to write what it has.
const FLUSH_PATIENCE: Duration = Duration::from_secs(2);

/// Settings; the default is what the product uses.
#[derive(Clone)]
pub struct Options {
    /// The file never grows beyond this. `None`: as much as the disk has.
    pub max_bytes: Option<u64>,
    /// Calls of our own are committed after at most this long.
    pub commit_within: Duration,
    /// How long after a failed write it is tried again.
    pub retry_after: Duration,
    /// How long things are kept.
    pub keep: Keep,
    /// Up to so many calls of a window are read one by one, and their percentiles are exact.
    pub exact_up_to: u32,
    /// How many times faster than it passes time is caught up with when the clock leaps, or after a long time off:
    /// so much history a clock that is wrong for a while can cost at most. `None`: it is believed at once.
    pub pace: Option<u32>,
    /// The time of day.
    pub clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// By whose days is told what was spent. `None`: the machine's.
    pub zone: Option<TimeZone>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_bytes: None,
            commit_within: Duration::from_millis(50),
            retry_after: Duration::from_secs(5),
            keep: Keep::default(),
            exact_up_to: 10_000,
            pace: Some(crate::pace::PACE),
            clock: Arc::new(Timestamp::now),
            zone: None,
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("max_bytes", &self.max_bytes)
            .field("commit_within", &self.commit_within)
            .field("retry_after", &self.retry_after)
            .field("keep", &self.keep)
            .field("exact_up_to", &self.exact_up_to)
            .field("pace", &self.pace)
            .finish_non_exhaustive()
    }
}

/// What was found on opening.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opening {
    /// The file.
    pub opened: Opened,
    /// After an abrupt end: until when everything is known to be on the disk. Calls after it, by at most
    /// 100 ms before the end, may be missing.
    pub known_until: Option<Timestamp>,
}

/// A record as it was told.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    /// What was told.
    pub record: Record,
    /// Its time is that of its arrival, because none was told: told again it has another, and its id is looked for in
    /// all days that are kept.
    pub undated: bool,
}

/// What became of one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ack {
    /// It is on the disk.
    Accepted,
    /// One with its id is accounted for already.
    Duplicate,
    /// It cannot be accounted for, and why.
    Refused(String),
}

/// How the ledger is doing, since the start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// Records written.
    pub accepted: u64,
    /// Records that were there already.
    pub duplicates: u64,
    /// Records that cannot be accounted for.
    pub refused: u64,
    /// Calls of our own that were not kept: the queue was full, or the disk refused for too long.
    pub dropped: u64,
    /// Transactions of rows.
    pub commits: u64,
    /// Transactions that failed; calls of our own are tried again, others told to their sender.
    pub write_errors: u64,
    /// The last such failure; `None` once a write succeeded after it.
    pub last_error: Option<String>,
    /// Damaged files that were set aside while running.
    pub set_aside: Vec<PathBuf>,
}

/// What the handle and its writer share.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    accepted: AtomicU64,
    duplicates: AtomicU64,
    refused: AtomicU64,
    dropped: AtomicU64,
    commits: AtomicU64,
    write_errors: AtomicU64,
    last_error: Mutex<Option<String>>,
    set_aside: Mutex<Vec<PathBuf>>,
    /// What is our own and waits for the next commit.
    own: Mutex<Vec<Record>>,
    /// Ingested records that wait for their commit.
    waiting: AtomicUsize,
    /// From when on single calls are kept, in Unix seconds.
    oldest: AtomicI64,
    /// Counts the files written to: a reader of an older one must open anew.
    generation: AtomicU64,
}

/// The handle. Cheap to clone. Recording never waits; reading blocks for as long as the disk takes.
#[derive(Debug, Clone)]
pub struct Ledger {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    exact_up_to: u32,
    queue: SyncSender<Command>,
    shared: Arc<Shared>,
    reader: Mutex<Option<Reader>>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Reader {
    generation: u64,
    connection: Connection,
    texts: Texts,
}

/// Resolves when a batch is on the disk: for each record, in its order, what became of it.
///
/// # Errors
/// [`Error::NotDurable`] when it could not be written: nothing of it is, send it again.
/// [`Error::Busy`] when too much waits already.
#[derive(Debug)]
pub struct Receipt(oneshot::Receiver<Result<Vec<Ack>, Error>>);

impl Future for Receipt {
    type Output = Result<Vec<Ack>, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0)
            .poll(context)
            .map(|answer| answer.unwrap_or(Err(Error::Ended)))
    }
}

impl Receipt {
    /// Waits for it, outside of any async runtime.
    ///
    /// # Errors
    /// As the future.
    pub fn wait(self) -> Result<Vec<Ack>, Error> {
        self.0.blocking_recv().unwrap_or(Err(Error::Ended))
    }
}

impl Ledger {
    /// Opens or makes the database at `path`, whose folder must be there, and starts its writer.
    ///
    /// A damaged file is set aside. When it cannot be opened otherwise, this is
    /// [`Opened::Unavailable`], and the writer tries again by itself.
    ///
    /// # Errors
    /// [`Error::Newer`] for a file of a newer version, [`Error::SetAside`] when a damaged one cannot
    /// be renamed.
    pub fn open(path: impl AsRef<Path>) -> Result<(Self, Opening), Error> {
        Self::open_with(path, Options::default())
    }

    /// The same, with settings.
    ///
    /// # Errors
    /// As [`Ledger::open`].
    pub fn open_with(path: impl AsRef<Path>, options: Options) -> Result<(Self, Opening), Error> {
        let path = path.as_ref().to_owned();
        let shared = Arc::new(Shared::default());
        let exact_up_to = options.exact_up_to;
        let (writer, opened, known_until) =
            Writer::open(path.clone(), options, Arc::clone(&shared))?;
        let (queue, commands) = mpsc::sync_channel(QUEUE);
        let thread = std::thread::Builder::new()
            .name("ledger-writer".to_owned())
            .spawn(move || writer.run(&commands))
            .map_err(|error| Error::Unavailable {
                why: format!("no thread for the writer: {error}"),
            })?;
        let inner = Inner {
            path,
            exact_up_to,
            queue,
            shared,
            reader: Mutex::new(None),
            writer: Mutex::new(Some(thread)),
        };
        let ledger = Self {
            inner: Arc::new(inner),
        };
        let opening = Opening {
            opened,
            known_until,
        };
        Ok((ledger, opening))
    }

    /// Accounts for a call of our own. Never waits; on the disk within 100 ms. What of it cannot be kept
    /// (a name that is too long, a figure that is none) is cut or left out.
    pub fn record(&self, call: Call) {
        self.own(Record::Call(call));
    }

    /// Accounts for a report of our own, as [`Ledger::record`] does for a call.
    pub fn note(&self, report: Report) {
        self.own(Record::Report(report));
    }

    fn own(&self, record: Record) {
        let inner = &self.inner;
        let first = {
            let mut own = lock(&inner.shared.own);
            if own.len() >= QUEUE {
                inner.shared.dropped.fetch_add(1, Ordering::Relaxed);
                return;
            }
            own.push(record);
            own.len() == 1
        };
        // The writer is woken once for all that arrives before its next commit. Where its queue is full it looks
        // by itself.
        if first && let Err(TrySendError::Disconnected(_)) = inner.queue.try_send(Command::Own) {
            let ended = std::mem::take(&mut *lock(&inner.shared.own)).len() as u64;
            inner.shared.dropped.fetch_add(ended, Ordering::Relaxed);
        }
    }

    /// Accounts for what was reported with its time. Resolves after the commit.
    pub fn ingest(&self, records: Vec<Record>) -> Receipt {
        let told = records.into_iter().map(|record| Told {
            record,
            undated: false,
        });
        self.ingest_told(told.collect())
    }

    /// Accounts for what was reported. Resolves after the commit.
    pub fn ingest_told(&self, told: Vec<Told>) -> Receipt {
        let (answer, receipt) = oneshot::channel();
        let waiting = &self.inner.shared.waiting;
        let count = told.len();
        if waiting.fetch_add(count, Ordering::AcqRel) > MOST_WAITING {
            waiting.fetch_sub(count, Ordering::AcqRel);
            drop(answer.send(Err(Error::Busy)));
            return Receipt(receipt);
        }
        let command = Command::Ingest(told, answer);
        if let Err(error) = self.inner.queue.try_send(command) {
            waiting.fetch_sub(count, Ordering::AcqRel);
            let (command, why) = match error {
                TrySendError::Full(command) => (command, Error::Busy),
                TrySendError::Disconnected(command) => (command, Error::Ended),
            };
            if let Command::Ingest(_, answer) = command {
                drop(answer.send(Err(why)));
            }
        }
        Receipt(receipt)
    }

    /// Waits until everything recorded so far is committed.
    ///
    /// # Errors
    /// When it could not be written; calls of our own are kept and tried again.
    pub fn flush(&self) -> Result<(), Error> {
        self.ask(false)
    }

    fn ask(&self, rollups: bool) -> Result<(), Error> {
        let (reply, answer) = mpsc::sync_channel(1);
        self.inner
            .queue
            .send(Command::Flush { rollups, reply })
            .map_err(|_| Error::Ended)?;
        match answer.recv_timeout(FLUSH_PATIENCE) {
            Ok(result) => result,
            Err(mpsc::RecvTimeoutError::Timeout) => Err(Error::Unavailable {
                why: "the writer is busy".to_owned(),
            }),
            Err(mpsc::RecvTimeoutError::Disconnected) => Err(Error::Ended),
        }
    }

    /// What calls amounted to, all that was recorded before included. See [`UsageQuery`].
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn usage(&self, query: &UsageQuery, now: Timestamp) -> Result<Usage, Error> {
        let exact_up_to = self.inner.exact_up_to;
        self.read(false, |connection, texts| {
            query::usage(connection, texts, query, now, exact_up_to)
        })
    }

    /// Single calls, newest first. See [`CallsQuery`].
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn calls(&self, query: &CallsQuery) -> Result<Vec<Call>, Error> {
        self.read(query.filter.is_some(), |connection, texts| {
            query::calls(connection, texts, query)
        })
    }

    /// One call by its id: any that went through our gateway, else one of the newest 10,000. `None`: there is none.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn call(&self, id: &str) -> Result<Option<Call>, Error> {
        self.read(false, |connection, texts| {
            query::call(connection, texts, id)
        })
    }

    /// What everybody who asked the gateway spent in a day and in a month (begins included, ends excluded), all
    /// that was recorded before included; at most so many, whoever spent most first.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn spending(
        &self,
        day: Range<Timestamp>,
        month: Range<Timestamp>,
        most: usize,
    ) -> Result<Vec<Spent>, Error> {
        self.read(false, |connection, _| {
            Ok(spending::read(connection, &day, &month, most)?)
        })
    }

    /// From when on single calls are kept.
    pub fn oldest(&self) -> Timestamp {
        let oldest = self.inner.shared.oldest.load(Ordering::Relaxed);
        Timestamp::from_second(oldest).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    /// How the ledger is doing.
    pub fn stats(&self) -> Stats {
        let shared = &self.inner.shared;
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            accepted: count(&shared.accepted),
            duplicates: count(&shared.duplicates),
            refused: count(&shared.refused),
            dropped: count(&shared.dropped),
            commits: count(&shared.commits),
            write_errors: count(&shared.write_errors),
            last_error: lock(&shared.last_error).clone(),
            set_aside: lock(&shared.set_aside).clone(),
        }
    }

    /// Writes what is left and ends the writer. Also happens when the last handle is dropped.
    pub fn close(&self) {
        self.inner.close();
    }

    /// Reads one state of the file over a connection of its own.
    fn read<T>(
        &self,
        rollups: bool,
        query: impl FnOnce(&Connection, &mut Texts) -> Result<T, Error>,
    ) -> Result<T, Error> {
        if let Err(error) = self.ask(rollups) {
            tracing::debug!(%error, "reading without the newest");
        }
        let inner = &self.inner;
        let generation = inner.shared.generation.load(Ordering::Acquire);
        let mut slot = lock(&inner.reader);
        if slot
            .as_ref()
            .is_none_or(|reader| reader.generation != generation)
        {
            *slot = None;
            *slot = Some(Reader {
                generation,
                connection: connect(&inner.path)?,
                texts: Texts::default(),
            });
        }
        let Some(reader) = slot.as_mut() else {
            return Err(Error::Ended);
        };
        let result = reader
            .connection
            .unchecked_transaction()
            .map_err(Error::from)
            .and_then(|snapshot| query(&snapshot, &mut reader.texts));
        if let Err(Error::Sql(error)) = &result {
            if is_damage(error) {
                // The writer's own check decides; it sees the same file.
                drop(inner.queue.try_send(Command::Check));
            }
            *slot = None;
        }
        result
    }
}

fn connect(path: &Path) -> Result<Connection, Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(|source| Error::Open {
        path: path.to_owned(),
        source,
    })?;
    connection.execute_batch("PRAGMA cache_size = -4096; PRAGMA query_only = 1;")?;
    connection.busy_timeout(Duration::from_secs(2))?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(connection)
}

impl Inner {
    fn close(&self) {
        // A writer that has ended already is what we want.
        drop(self.queue.send(Command::Close));
        if let Some(thread) = lock(&self.writer).take()
            && thread.join().is_err()
        {
            tracing::error!("the ledger's writer died");
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close();
    }
}
