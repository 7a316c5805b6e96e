//! `telemetry.db`: what was measured and what happened. The handle; the work is in `writer`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, SyncSender, TrySendError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use cockpit_model::Event;
use cockpit_model::host::{HostSample, InstanceUse, Series};
use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags, OptionalExtension};

use crate::database::{self, Opened};
use crate::encode;
use crate::error::{Error, is_damage};
use crate::events;
use crate::pace;
use crate::rows;
use crate::series::Points;
use crate::tiers;
use crate::writer::{self, Command, Measured};

/// More waiting than this is dropped and counted.
const QUEUE: usize = 4096;
/// How long a reader waits for the writer to write what it has.
const FLUSH_PATIENCE: Duration = Duration::from_secs(2);

/// Settings; the default is what the product uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The file never grows beyond this; writes fail, counted, until retention makes room. `None`:
    /// as much as the disk has.
    pub max_bytes: Option<u64>,
    /// Samples are committed after at most this long.
    pub commit_samples_within: Duration,
    /// Events are committed after at most this long.
    pub commit_events_within: Duration,
    /// How long after a failed write it is tried again.
    pub retry_after: Duration,
    /// How many times faster than it passes time is caught up with when the clock leaps, or after a long time off:
    /// so much history a clock that is wrong for a while can cost at most. `None`: it is believed at once.
    pub pace: Option<u32>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_bytes: None,
            commit_samples_within: Duration::from_secs(10),
            commit_events_within: Duration::from_millis(100),
            retry_after: Duration::from_secs(10),
            pace: Some(pace::PACE),
        }
    }
}

/// How the writer is doing, since the start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// Samples and events that were not kept: the queue was full, or the disk refused for too long.
    pub dropped: u64,
    /// Groups written.
    pub commits: u64,
    /// Groups that could not be written; each is tried again.
    pub write_errors: u64,
    /// The last such failure; `None` once a write succeeded after it.
    pub last_error: Option<String>,
    /// Damaged files that were set aside while running.
    pub set_aside: Vec<PathBuf>,
}

/// What the handle and its writer share.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    pub dropped: AtomicU64,
    pub commits: AtomicU64,
    pub write_errors: AtomicU64,
    pub last_error: Mutex<Option<String>>,
    pub set_aside: Mutex<Vec<PathBuf>>,
    /// Counts the files written to: a reader of an older one must open anew.
    pub generation: AtomicU64,
}

/// The handle. Cheap to clone; recording never waits, reading blocks for as long as the disk takes.
#[derive(Debug, Clone)]
pub struct Telemetry {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    queue: SyncSender<Command>,
    shared: Arc<Shared>,
    reader: Mutex<Option<(u64, Connection)>>,
    last_seq: u64,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl Telemetry {
    /// Opens or makes the database at `path`, whose folder must be there, and starts its writer.
    ///
    /// A damaged file is set aside. When it cannot be opened otherwise, or a newer version of the
    /// program wrote it, it is left as it is: this is [`Opened::Unavailable`], and the writer tries
    /// again by itself.
    ///
    /// # Errors
    /// When there is no thread for the writer.
    pub fn open(path: impl AsRef<Path>) -> Result<(Self, Opened), Error> {
        Self::open_with(path, Options::default())
    }

    /// The same, with settings.
    ///
    /// # Errors
    /// As [`Telemetry::open`].
    pub fn open_with(path: impl AsRef<Path>, options: Options) -> Result<(Self, Opened), Error> {
        let path = path.as_ref().to_owned();
        let shared = Arc::new(Shared::default());
        let (writer, opened, last_seq) =
            writer::Writer::open(path.clone(), options, Arc::clone(&shared));
        let (queue, commands) = mpsc::sync_channel(QUEUE);
        let thread = std::thread::Builder::new()
            .name("telemetry-writer".to_owned())
            .spawn(move || writer.run(&commands))
            .map_err(|error| Error::Unavailable {
                why: format!("no thread for the writer: {error}"),
            })?;
        let inner = Inner {
            path,
            queue,
            shared,
            reader: Mutex::new(None),
            last_seq,
            writer: Mutex::new(Some(thread)),
        };
        Ok((
            Self {
                inner: Arc::new(inner),
            },
            opened,
        ))
    }

    /// Keeps a sample of the machine and of our instances. Never waits.
    pub fn record_host(&self, sample: &HostSample, uses: &[InstanceUse]) {
        self.send(Command::Host(Box::new(Measured::new(sample, uses))));
    }

    /// Keeps an event. Never waits. Those that are live only have no number of their own, and are not for here.
    pub fn record_event(&self, event: &Event) {
        self.send(Command::Event(Box::new(event.clone())));
    }

    /// The highest event number that can have been given out before this was opened: exact after a
    /// clean end, else somewhat above it. Numbering goes on after it.
    pub fn last_seq(&self) -> u64 {
        self.inner.last_seq
    }

    /// Waits until everything recorded so far is committed.
    ///
    /// # Errors
    /// When it could not be written; it is kept and tried again.
    pub fn flush(&self) -> Result<(), Error> {
        let (reply, answer) = mpsc::sync_channel(1);
        self.inner
            .queue
            .send(Command::Flush(reply))
            .map_err(|_| Error::Ended)?;
        match answer.recv_timeout(FLUSH_PATIENCE) {
            Ok(result) => result,
            Err(mpsc::RecvTimeoutError::Timeout) => Err(Error::Unavailable {
                why: "the writer is busy".to_owned(),
            }),
            Err(mpsc::RecvTimeoutError::Disconnected) => Err(Error::Ended),
        }
    }

    /// The series of the `window` that ends `now`, in at most `max_points` points (and at most
    /// 2,000); see [`crate::series`] for how they are reduced. The points cover the whole window; null where nothing was measured.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn host_series(
        &self,
        window: Duration,
        max_points: usize,
        now: Timestamp,
    ) -> Result<Series, Error> {
        let Some(plan) = tiers::plan(window, max_points.min(2000), now.as_second()) else {
            return Ok(Series::default());
        };
        self.flush_for_reading();
        self.read(|connection| {
            let mut points = Points::new(plan);
            rows::read_buckets(connection, &plan.tier, plan.first, |at, bucket| {
                points.add(at, &bucket);
            })?;
            let names = rows::read_names(connection)?
                .into_iter()
                .map(|(name, id)| (id, name))
                .collect();
            Ok(points.finish(&names))
        })
    }

    /// The newest events, newest first; only of one service if named.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn events(&self, limit: usize, service: Option<&str>) -> Result<Vec<Event>, Error> {
        self.flush_for_reading();
        self.read(|connection| events::newest(connection, limit, service))
    }

    /// The events after one number and up to another, oldest first, at most so many.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn events_after(&self, after: u64, up_to: u64, limit: usize) -> Result<Vec<Event>, Error> {
        let page = || self.read(|connection| events::after(connection, after, up_to, limit));
        let found = page()?;
        if found.len() == limit {
            return Ok(found);
        }
        // The rest may not be written yet.
        self.flush_for_reading();
        page()
    }

    /// The newest marks (restarts, sleeps, starts of the engine) of a time, newest first.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn marks(&self, from: Timestamp, to: Timestamp, limit: usize) -> Result<Vec<Event>, Error> {
        self.flush_for_reading();
        self.read(|connection| events::marks(connection, from, to, limit))
    }

    /// Free bytes of every volume that was seen since then, a point a minute, oldest first.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn disk_histories(
        &self,
        since: Timestamp,
    ) -> Result<BTreeMap<String, Vec<(Timestamp, u64)>>, Error> {
        self.flush_for_reading();
        self.read(|connection| {
            let names: BTreeMap<u32, String> = rows::read_names(connection)?
                .into_iter()
                .map(|(name, id)| (id, name))
                .collect();
            let mut statement = connection.prepare_cached(
                "SELECT at, disks FROM host_1m WHERE at >= ?1 AND disks IS NOT NULL ORDER BY at",
            )?;
            let mut rows = statement.query([since.as_second()])?;
            let mut histories = BTreeMap::<String, Vec<_>>::new();
            while let Some(row) = rows.next()? {
                let at = Timestamp::from_second(row.get(0)?).unwrap_or(Timestamp::UNIX_EPOCH);
                let disks = row.get_ref(1)?.as_blob().unwrap_or_default();
                for (id, free) in encode::read_disks(disks) {
                    if let Some(mount) = names.get(&id) {
                        histories.entry(mount.clone()).or_default().push((at, free));
                    }
                }
            }
            Ok(histories)
        })
    }

    /// How the writer is doing.
    pub fn stats(&self) -> Stats {
        let shared = &self.inner.shared;
        Stats {
            dropped: shared.dropped.load(Ordering::Relaxed),
            commits: shared.commits.load(Ordering::Relaxed),
            write_errors: shared.write_errors.load(Ordering::Relaxed),
            last_error: lock(&shared.last_error).clone(),
            set_aside: lock(&shared.set_aside).clone(),
        }
    }

    /// Writes what is left and ends the writer. Also happens when the last handle is dropped.
    pub fn close(&self) {
        self.inner.close();
    }

    fn send(&self, command: Command) {
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) =
            self.inner.queue.try_send(command)
        {
            self.inner.shared.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What cannot be written now is missing from the answer, and counted; the rest is there.
    fn flush_for_reading(&self) {
        if let Err(error) = self.flush() {
            tracing::debug!(%error, "reading without the newest");
        }
    }

    fn read<T>(&self, query: impl FnOnce(&Connection) -> Result<T, Error>) -> Result<T, Error> {
        let inner = &self.inner;
        let generation = inner.shared.generation.load(Ordering::Acquire);
        let mut reader = lock(&inner.reader);
        if reader.as_ref().is_none_or(|(of, _)| *of != generation) {
            *reader = None;
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let connection =
                Connection::open_with_flags(&inner.path, flags).map_err(|source| Error::Open {
                    path: inner.path.clone(),
                    source,
                })?;
            connection.execute_batch("PRAGMA cache_size = -512; PRAGMA query_only = 1;")?;
            connection.busy_timeout(Duration::from_secs(2))?;
            let layout = database::layout(&connection)?;
            database::understood(layout, &inner.path, &writer::SCHEMA)?;
            *reader = Some((generation, connection));
        }
        let Some((_, connection)) = reader.as_ref() else {
            return Err(Error::Ended);
        };
        let result = query(connection);
        if let Err(Error::Sql(error)) = &result {
            if is_damage(error) {
                // The writer's own check decides; it sees the same file.
                drop(inner.queue.try_send(Command::Check));
            }
            *reader = None;
        }
        result
    }
}

impl Inner {
    fn close(&self) {
        // A writer that has ended already is what we want.
        drop(self.queue.send(Command::Close));
        if let Some(thread) = lock(&self.writer).take()
            && thread.join().is_err()
        {
            tracing::error!("the telemetry writer died");
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close();
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A number from the `meta` table.
pub(crate) fn meta(connection: &Connection, key: &str) -> rusqlite::Result<Option<i64>> {
    connection
        .prepare_cached("SELECT value FROM meta WHERE key = ?1")?
        .query_row([key], |row| row.get(0))
        .optional()
}
