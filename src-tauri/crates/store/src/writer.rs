//! The one thread that writes `telemetry.db`.
//!
//! It gathers what comes in until the first thing of the group is due, then writes all of it in
//! one transaction. A group that cannot be written stays in memory, within bounds, and is tried
//! again; a file that turns out to be damaged is set aside and the group goes to its successor.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};

use cockpit_model::Event;
use cockpit_model::host::{HostSample, InstanceUse};
use jiff::Timestamp;
use rusqlite::{Connection, params};

use crate::bucket::{Rollup, Sample};
use crate::database::{self, Opened, Schema};
use crate::error::Error;
use crate::events;
use crate::pace;
use crate::rows::{read_bucket, read_names, write_bucket};
use crate::telemetry::{Options, Shared, lock, meta};
use crate::tiers::{self, TIERS};

pub(crate) const SCHEMA: Schema = Schema {
    migrations: &["
        CREATE TABLE meta (key TEXT PRIMARY KEY NOT NULL, value INTEGER NOT NULL) WITHOUT ROWID;
        -- Services and volumes, so that a row can call them by number.
        CREATE TABLE names (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
        -- One table a tier. `at`: Unix seconds of the bucket's begin. Percents in hundredths, sizes
        -- in KiB, traffic in bytes a second; means of `n` samples, and two maxima.
        CREATE TABLE host_1s (at INTEGER PRIMARY KEY, n INTEGER NOT NULL, cpu INTEGER NOT NULL,
            cpu_max INTEGER NOT NULL, memory INTEGER NOT NULL, memory_max INTEGER NOT NULL, swap INTEGER NOT NULL,
            rx INTEGER NOT NULL, tx INTEGER NOT NULL, gpu INTEGER, own_cpu INTEGER NOT NULL,
            own_memory INTEGER NOT NULL, services BLOB, disks BLOB);
        CREATE TABLE host_10s (at INTEGER PRIMARY KEY, n INTEGER NOT NULL, cpu INTEGER NOT NULL,
            cpu_max INTEGER NOT NULL, memory INTEGER NOT NULL, memory_max INTEGER NOT NULL, swap INTEGER NOT NULL,
            rx INTEGER NOT NULL, tx INTEGER NOT NULL, gpu INTEGER, own_cpu INTEGER NOT NULL,
            own_memory INTEGER NOT NULL, services BLOB, disks BLOB);
        CREATE TABLE host_1m (at INTEGER PRIMARY KEY, n INTEGER NOT NULL, cpu INTEGER NOT NULL,
            cpu_max INTEGER NOT NULL, memory INTEGER NOT NULL, memory_max INTEGER NOT NULL, swap INTEGER NOT NULL,
            rx INTEGER NOT NULL, tx INTEGER NOT NULL, gpu INTEGER, own_cpu INTEGER NOT NULL,
            own_memory INTEGER NOT NULL, services BLOB, disks BLOB);
        CREATE TABLE host_1h (at INTEGER PRIMARY KEY, n INTEGER NOT NULL, cpu INTEGER NOT NULL,
            cpu_max INTEGER NOT NULL, memory INTEGER NOT NULL, memory_max INTEGER NOT NULL, swap INTEGER NOT NULL,
            rx INTEGER NOT NULL, tx INTEGER NOT NULL, gpu INTEGER, own_cpu INTEGER NOT NULL,
            own_memory INTEGER NOT NULL, services BLOB, disks BLOB);
        CREATE TABLE events (seq INTEGER PRIMARY KEY, at_ns INTEGER NOT NULL, service TEXT, body TEXT NOT NULL);
        CREATE INDEX events_of_service ON events (service, seq) WHERE service IS NOT NULL;
        CREATE INDEX events_by_time ON events (at_ns);
    ", "
        -- Marks are few among many, and every chart asks for them.
        CREATE INDEX events_marks ON events (at_ns) WHERE substr(body, 1, 14) = '{\"type\":\"mark\"';
    "],
    settings: "
        PRAGMA journal_mode = WAL;
        PRAGMA synchronous = NORMAL;
        PRAGMA journal_size_limit = 4194304;
        PRAGMA wal_autocheckpoint = 512;
        PRAGMA cache_size = -512;
        PRAGMA temp_store = MEMORY;
    ",
};

/// Closed buckets and events that are kept while the disk refuses.
const MOST_UNWRITTEN: usize = 4096;
/// Event numbers are reserved in blocks, so that an abrupt end never gives one out twice.
const SEQ_BLOCK: u64 = 4096;
/// The number up to which event numbers are reserved.
const SEQ: &str = "seq";
/// By which time was told last what has been kept long enough, in Unix seconds.
const BELIEVED: &str = "believed";
/// Events are kept this long, and dropped by the day.
const KEEP_EVENTS: i64 = 30 * 86_400;
/// At most this many chunks are dropped in one go.
const CHUNKS_AT_ONCE: usize = 32;

pub(crate) enum Command {
    Host(Box<Measured>),
    Event(Box<Event>),
    Flush(SyncSender<Result<(), Error>>),
    Check,
    Close,
}

/// What of a sample is kept, names not yet numbers.
pub(crate) struct Measured {
    sample: Sample,
    services: BTreeMap<String, (f64, f64)>,
    disks: BTreeMap<String, u64>,
}

impl Measured {
    pub(crate) fn new(host: &HostSample, uses: &[InstanceUse]) -> Self {
        let mut services = BTreeMap::<String, (f64, f64)>::new();
        for one in uses {
            let sum = services.entry(one.service.clone()).or_default();
            sum.0 += f64::from(one.cpu_percent);
            sum.1 += one.memory_bytes as f64;
        }
        Self {
            sample: Sample {
                at: host.at.as_second(),
                cpu: f64::from(host.cpu.percent),
                memory: host.memory.used_bytes as f64,
                swap: host.memory.swap_used_bytes as f64,
                rx: host.network.rx_bytes_per_s,
                tx: host.network.tx_bytes_per_s,
                gpu: host.gpu.as_ref().and_then(|gpu| gpu.percent).map(f64::from),
                own_cpu: f64::from(host.cockpit.cpu_percent),
                own_memory: host.cockpit.memory_bytes as f64,
                ..Sample::default()
            },
            services,
            disks: host
                .disks
                .iter()
                .map(|disk| (disk.mount.clone(), disk.free_bytes))
                .collect(),
        }
    }
}

pub(crate) struct Writer {
    path: PathBuf,
    options: Options,
    shared: Arc<Shared>,
    connection: Option<Connection>,
    rollup: Rollup,
    events: Vec<Event>,
    names: HashMap<String, u32>,
    names_unwritten: Vec<String>,
    highest_seq: u64,
    reserved_seq: u64,
    /// What the last sample or event says the time is.
    latest: i64,
    /// By which time it was told last in the file.
    stored: Option<i64>,
    /// By which time is told what has been kept long enough, and since when.
    believed: Option<(i64, Instant)>,
    pruned_at: i64,
    due: Option<Instant>,
}

impl Writer {
    pub(crate) fn open(
        path: PathBuf,
        options: Options,
        shared: Arc<Shared>,
    ) -> (Self, Opened, u64) {
        let mut writer = Self {
            path,
            options,
            shared,
            connection: None,
            rollup: Rollup::default(),
            events: Vec::new(),
            names: HashMap::new(),
            names_unwritten: Vec::new(),
            highest_seq: 0,
            reserved_seq: 0,
            latest: i64::MIN,
            stored: None,
            believed: None,
            pruned_at: i64::MIN,
            due: None,
        };
        let opened = match writer.connect() {
            Ok(opened) => opened,
            Err(error) => {
                let why = error.to_string();
                writer.failed(&why);
                Opened::Unavailable { why }
            }
        };
        let last_seq = writer.highest_seq;
        (writer, opened, last_seq)
    }

    /// Opens the file and takes over what it holds; what is in memory stays.
    fn connect(&mut self) -> Result<Opened, Error> {
        let (connection, opened) = database::open(&self.path, &SCHEMA)?;
        if let Some(bytes) = self.options.max_bytes {
            let page: i64 = connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
            let pages = i64::try_from(bytes).unwrap_or(i64::MAX) / page.max(1);
            connection.pragma_update(None, "max_page_count", pages)?;
        }
        let mut newest = [None; TIERS.len()];
        for (newest, tier) in newest.iter_mut().zip(&TIERS) {
            *newest = connection.query_row(
                &format!("SELECT max(at) FROM {}", tier.table),
                [],
                |row| row.get(0),
            )?;
        }
        let newest_of_all = newest.into_iter().flatten().max();
        self.stored = meta(&connection, BELIEVED)?.or(newest_of_all);
        let last_event: Option<i64> =
            connection.query_row("SELECT max(seq) FROM events", [], |row| row.get(0))?;
        let reserved = meta(&connection, SEQ)?;
        let seq = last_event.max(reserved).unwrap_or(0);
        self.highest_seq = self.highest_seq.max(u64::try_from(seq).unwrap_or(0));
        self.reserved_seq = 0;
        // The file's numbers hold. What was numbered without it, or for its predecessor, is renumbered.
        let mut names = read_names(&connection)?;
        let mut next = names.values().max().map_or(1, |highest| highest + 1);
        let mut renumbered = HashMap::new();
        self.names_unwritten.clear();
        for (name, old) in self.names.drain() {
            let id = *names.entry(name).or_insert_with_key(|name| {
                self.names_unwritten.push(name.clone());
                next += 1;
                next - 1
            });
            renumbered.insert(old, id);
        }
        self.names = names;
        self.rollup.renumber(&renumbered);
        self.rollup.on_disk(newest);
        self.shared.generation.fetch_add(1, Ordering::AcqRel);
        self.connection = Some(connection);
        Ok(opened)
    }

    pub(crate) fn run(mut self, commands: &Receiver<Command>) {
        if self
            .path
            .metadata()
            .is_ok_and(|file| file.len() > database::WHOLE_CHECK_BYTES)
        {
            // Too large to hold up the start with it.
            self.check();
        }
        loop {
            let command = match self.due {
                Some(due) => commands.recv_timeout(due.saturating_duration_since(Instant::now())),
                None => commands.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match command {
                Ok(Command::Host(measured)) => self.host(*measured),
                Ok(Command::Event(event)) => {
                    self.highest_seq = self.highest_seq.max(event.seq);
                    self.events.push(*event);
                    self.due_within(self.options.commit_events_within);
                }
                Ok(Command::Flush(reply)) => {
                    // Whoever asked may have given up.
                    drop(reply.send(self.commit()));
                    continue;
                }
                Ok(Command::Check) => self.check(),
                Ok(Command::Close) | Err(RecvTimeoutError::Disconnected) => {
                    self.end();
                    return;
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
            if self.due.is_some_and(|due| due <= Instant::now()) {
                // Counted and told in the stats; the group is kept.
                drop(self.commit());
            }
        }
    }

    fn due_within(&mut self, wait: Duration) {
        let due = Instant::now() + wait;
        self.due = Some(self.due.map_or(due, |earlier| earlier.min(due)));
    }

    fn host(&mut self, measured: Measured) {
        let Measured {
            mut sample,
            services,
            disks,
        } = measured;
        for (name, used) in services {
            sample.services.insert(self.number(name), used);
        }
        for (mount, free) in disks {
            sample.disks.insert(self.number(mount), free);
        }
        self.latest = sample.at;
        let connection = self.connection.as_ref();
        self.rollup.push(&sample, |tier, at| {
            let found = connection.map(|connection| read_bucket(connection, tier, at))?;
            found.unwrap_or_else(|error| {
                tracing::warn!(%error, "an interrupted bucket cannot be continued");
                None
            })
        });
        self.due_within(self.options.commit_samples_within);
    }

    fn number(&mut self, name: String) -> u32 {
        if let Some(id) = self.names.get(&name) {
            return *id;
        }
        let id = self.names.values().max().map_or(1, |highest| highest + 1);
        self.names_unwritten.push(name.clone());
        self.names.insert(name, id);
        id
    }

    /// Writes everything that is not on the disk.
    fn commit(&mut self) -> Result<(), Error> {
        self.due = None;
        let result = self.try_commit();
        match &result {
            Ok(()) => {
                self.shared.commits.fetch_add(1, Ordering::Relaxed);
                if self.shared.write_errors.load(Ordering::Relaxed) > 0 {
                    *lock(&self.shared.last_error) = None;
                }
                self.prune();
            }
            Err(error) => {
                let why = error.to_string();
                self.failed(&why);
                if error.is_damage() {
                    self.replace(&why);
                }
                self.shed();
            }
        }
        result
    }

    fn try_commit(&mut self) -> Result<(), Error> {
        if self.connection.is_none() {
            self.connect()?;
        }
        let Some(connection) = self.connection.as_mut() else {
            return Err(Error::Ended);
        };
        let transaction = connection.transaction()?;
        for name in &self.names_unwritten {
            transaction
                .prepare_cached("INSERT OR IGNORE INTO names (id, name) VALUES (?1, ?2)")?
                .execute(params![self.names.get(name), name])?;
        }
        for (tier, at, bucket) in self.rollup.unwritten() {
            write_bucket(&transaction, tier, at, bucket)?;
        }
        events::insert(&transaction, &self.events)?;
        let mut reserved = self.reserved_seq;
        if self.highest_seq > reserved {
            reserved = self.highest_seq + SEQ_BLOCK;
            set_meta(&transaction, SEQ, number(reserved))?;
        }
        transaction.commit()?;
        self.reserved_seq = reserved;
        self.names_unwritten.clear();
        self.rollup.written();
        if let Some(last) = self.events.last() {
            // Some are told late, and of another time.
            self.latest = self.latest.max(last.at.as_second());
        }
        self.events.clear();
        Ok(())
    }

    fn failed(&mut self, why: &str) {
        self.shared.write_errors.fetch_add(1, Ordering::Relaxed);
        let mut last = lock(&self.shared.last_error);
        if last.as_deref() != Some(why) {
            tracing::error!(path = %self.path.display(), why, "telemetry cannot be written; kept in memory and tried again");
            *last = Some(why.to_owned());
        }
        drop(last);
        self.due_within(self.options.retry_after);
    }

    /// While the disk refuses, memory stays bounded: what is oldest and finest goes first.
    fn shed(&mut self) {
        let mut dropped = self.rollup.shed(MOST_UNWRITTEN);
        let excess = self.events.len().saturating_sub(MOST_UNWRITTEN);
        self.events.drain(..excess);
        dropped += excess;
        self.shared.dropped.fetch_add(
            u64::try_from(dropped).unwrap_or(u64::MAX),
            Ordering::Relaxed,
        );
    }

    /// A reader found damage, or the file is too large to be checked on opening: look for ourselves.
    fn check(&mut self) {
        if self.connection.is_none() {
            return;
        }
        if let Some(why) = database::damage(&self.path) {
            self.failed(&why);
            self.replace(&why);
        }
    }

    /// Sets a damaged file aside and goes on with a new one.
    fn replace(&mut self, why: &str) {
        if let Some(connection) = self.connection.take() {
            database::leave_untouched(&connection);
        }
        match database::set_aside(&self.path, Timestamp::now()) {
            Ok(moved_to) => {
                tracing::error!(path = %self.path.display(), moved_to = %moved_to.display(), why, "telemetry was damaged; set aside, begun anew");
                lock(&self.shared.set_aside).push(moved_to);
                if let Err(error) = self.connect() {
                    self.failed(&error.to_string());
                }
            }
            Err(error) => self.failed(&error.to_string()),
        }
        self.due_within(self.options.commit_events_within);
    }

    /// Drops what has been kept long enough, once for every minute that is recorded.
    fn prune(&mut self) {
        if self.latest == i64::MIN {
            return;
        }
        let by = self.followed().min(self.latest);
        if by.saturating_sub(self.pruned_at) < 60 {
            // The clock may have been set back.
            self.pruned_at = self.pruned_at.min(by);
            return;
        }
        self.pruned_at = by;
        let Some(connection) = self.connection.as_ref() else {
            return;
        };
        if let Err(error) = prune(connection, by).and_then(|()| set_meta(connection, BELIEVED, by))
        {
            tracing::warn!(%error, "old telemetry could not be dropped; tried again in a minute");
        }
    }

    /// Follows the clock, from where the file ends.
    fn followed(&mut self) -> i64 {
        let latest = self.latest;
        let (believed, since) = self.believed.unwrap_or_else(|| {
            let stored = self.stored.map_or(latest, |stored| stored.min(latest));
            (stored, Instant::now())
        });
        let now = Instant::now();
        let passed = now.saturating_duration_since(since);
        let next = pace::follow(believed, latest, passed, self.options.pace);
        // Less than a second would be lost.
        let since = if passed.as_secs() > 0 { now } else { since };
        self.believed = Some((next, since));
        next
    }

    fn end(&mut self) {
        if self.commit().is_err() {
            return;
        }
        let Some(connection) = self.connection.take() else {
            return;
        };
        if self.reserved_seq > 0
            && let Err(error) = set_meta(&connection, SEQ, number(self.highest_seq))
        {
            tracing::debug!(%error, "the event numbering goes on with a jump");
        }
    }
}

fn set_meta(connection: &Connection, key: &str, value: i64) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)")?
        .execute(params![key, value])
        .map(drop)
}

fn number(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}

fn prune(connection: &Connection, now: i64) -> rusqlite::Result<()> {
    for tier in &TIERS {
        let cutoff = tiers::cutoff(tier, now);
        for _ in 0..CHUNKS_AT_ONCE {
            let oldest: Option<i64> = connection
                .prepare_cached(&format!("SELECT min(at) FROM {}", tier.table))?
                .query_row([], |row| row.get(0))?;
            let Some(oldest) = oldest.filter(|oldest| *oldest < cutoff) else {
                break;
            };
            let end = ((oldest.div_euclid(tier.chunk) + 1) * tier.chunk).min(cutoff);
            connection
                .prepare_cached(&format!("DELETE FROM {} WHERE at < ?1", tier.table))?
                .execute([end])?;
        }
    }
    let cutoff = (now - KEEP_EVENTS).div_euclid(86_400) * 86_400;
    let cutoff = cutoff.saturating_mul(1_000_000_000);
    connection
        .prepare_cached("DELETE FROM events WHERE at_ns < ?1")?
        .execute([cutoff])?;
    Ok(())
}
