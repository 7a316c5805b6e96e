//! `prompts.db`: what was asked and answered, where a person wants that kept. There is no such file unless somebody
//! does.
//!
//! Each prompt is kept as long as the rule it was kept under says, as that rule is now: a shorter time drops what is
//! older, a rule that is gone drops all that it kept, and with the last rule the file goes. What is dropped is
//! overwritten. One thread writes and reads, from a bounded queue; what does not fit is counted and not kept.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use cockpit_model::Timestamp;
use cockpit_model::kept::Exchange;
use rusqlite::{Connection, OptionalExtension, params};

use crate::database::{self, Opened, Schema};
use crate::error::Error;
use crate::state::to_ns;
use crate::telemetry::lock;

/// Prompts that may wait to be written …
const QUEUE: usize = 1024;
/// … and their bytes.
const MOST_WAITING: usize = 64 << 20;
/// How often it is looked for what has been kept long enough.
const UPKEEP: Duration = Duration::from_secs(60);
/// The file never grows much beyond this: the oldest prompts go first.
const MOST_BYTES: i64 = 4 << 30;
/// Prompts dropped at once.
const SLICE: i64 = 500;
/// How long a reader waits.
const PATIENCE: Duration = Duration::from_secs(5);

const SCHEMA: Schema = Schema {
    migrations: &["
        CREATE TABLE prompts (call TEXT PRIMARY KEY NOT NULL, at_ns INTEGER NOT NULL, rule TEXT NOT NULL,
            prompt TEXT NOT NULL, prompt_cut INTEGER NOT NULL, answer TEXT NOT NULL, answer_cut INTEGER NOT NULL)
            WITHOUT ROWID;
        CREATE INDEX prompts_by_age ON prompts (rule, at_ns);
    "],
    // What is dropped must not be found in the file. A journal that stays would hold it.
    settings: "
        PRAGMA journal_mode = DELETE;
        PRAGMA secure_delete = ON;
        PRAGMA synchronous = NORMAL;
        PRAGMA cache_size = -1024;
        PRAGMA temp_store = MEMORY;
    ",
};

/// How long prompts are kept under each rule: a route's name, or an empty one for those without a route.
pub type Rules = BTreeMap<String, Duration>;

/// A prompt to be kept.
pub struct Keeping {
    /// Its call.
    pub call: String,
    /// When it was asked.
    pub at: Timestamp,
    /// The rule it is kept under.
    pub rule: String,
    /// How much memory it takes until it is written.
    pub bytes: usize,
    /// What was said. Called by the writer: it may take its time.
    pub read: Box<dyn FnOnce() -> Exchange + Send>,
}

enum Command {
    Keep(Keeping),
    /// There are new rules.
    Wake,
    Read(String, SyncSender<Result<Option<Exchange>, Error>>),
    Close,
}

#[derive(Default)]
struct Shared {
    waiting: AtomicUsize,
    dropped: AtomicU64,
    /// Rules that the writer does not know yet.
    rules: Mutex<Option<Rules>>,
}

/// The handle. Cheap to clone. Keeping never waits; reading blocks for as long as the disk takes.
#[derive(Clone)]
pub struct Prompts {
    inner: Arc<Inner>,
}

struct Inner {
    queue: SyncSender<Command>,
    shared: Arc<Shared>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl Prompts {
    /// Starts the writer of the file at `path`, whose folder must be there. Nothing is kept, and nothing of the file is
    /// touched, until [`Prompts::obey`].
    ///
    /// # Errors
    /// When there is no thread for it.
    pub fn new(path: impl AsRef<Path>) -> Result<Self, Error> {
        let (queue, commands) = mpsc::sync_channel(QUEUE);
        let shared = Arc::new(Shared::default());
        let writer = Writer {
            path: path.as_ref().to_owned(),
            shared: Arc::clone(&shared),
            rules: None,
            connection: None,
            upkeep_due: Instant::now() + UPKEEP,
        };
        let thread = std::thread::Builder::new()
            .name("prompts-writer".to_owned())
            .spawn(move || writer.run(&commands))
            .map_err(|error| Error::Unavailable {
                why: format!("no thread for the writer: {error}"),
            })?;
        Ok(Self {
            inner: Arc::new(Inner {
                queue,
                shared,
                writer: Mutex::new(Some(thread)),
            }),
        })
    }

    /// Takes the rules that are in force now. Never waits.
    pub fn obey(&self, rules: Rules) {
        *lock(&self.inner.shared.rules) = Some(rules);
        // Where there is no place for it, the writer is awake.
        drop(self.inner.queue.try_send(Command::Wake));
    }

    /// Keeps a prompt. Never waits; kept within moments.
    pub fn keep(&self, keeping: Keeping) {
        let shared = &self.inner.shared;
        let bytes = keeping.bytes;
        let fits = shared.waiting.fetch_add(bytes, Ordering::AcqRel) <= MOST_WAITING;
        if !fits || self.inner.queue.try_send(Command::Keep(keeping)).is_err() {
            shared.waiting.fetch_sub(bytes, Ordering::AcqRel);
            if shared.dropped.fetch_add(1, Ordering::Relaxed) == 0 {
                tracing::warn!(
                    "more prompts are to be kept than the disk takes; some are not kept"
                );
            }
        }
    }

    /// What was kept of a call.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(&self, call: &str) -> Result<Option<Exchange>, Error> {
        let (reply, answer) = mpsc::sync_channel(1);
        self.inner
            .queue
            .send(Command::Read(call.to_owned(), reply))
            .map_err(|_| Error::Ended)?;
        match answer.recv_timeout(PATIENCE) {
            Ok(result) => result,
            Err(mpsc::RecvTimeoutError::Timeout) => Err(Error::Busy),
            Err(mpsc::RecvTimeoutError::Disconnected) => Err(Error::Ended),
        }
    }

    /// Prompts that were to be kept and did not fit, since the start.
    pub fn dropped(&self) -> u64 {
        self.inner.shared.dropped.load(Ordering::Relaxed)
    }

    /// Writes what is left and ends the writer. Also happens when the last handle is dropped.
    pub fn close(&self) {
        self.inner.close();
    }
}

impl Inner {
    fn close(&self) {
        drop(self.queue.send(Command::Close));
        if let Some(thread) = lock(&self.writer).take()
            && thread.join().is_err()
        {
            tracing::error!("the writer of prompts died");
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close();
    }
}

struct Writer {
    path: PathBuf,
    shared: Arc<Shared>,
    /// Those in force; none: not known yet.
    rules: Option<Rules>,
    connection: Option<Connection>,
    upkeep_due: Instant,
}

impl Writer {
    fn run(mut self, commands: &Receiver<Command>) {
        loop {
            let wait = self.upkeep_due.saturating_duration_since(Instant::now());
            let first = match commands.recv_timeout(wait) {
                Ok(command) => Some(command),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let mut keeping = Vec::new();
            let mut next = first;
            // What has arrived meanwhile goes into the same transaction.
            while let Some(command) = next.take() {
                match command {
                    Command::Keep(one) => {
                        keeping.push(one);
                        if keeping.len() < SLICE as usize {
                            next = commands.try_recv().ok();
                        }
                    }
                    Command::Wake => {}
                    Command::Read(call, reply) => {
                        self.look_up();
                        self.write(std::mem::take(&mut keeping));
                        // Whoever asked may have given up.
                        drop(reply.send(self.read(&call)));
                    }
                    Command::Close => {
                        self.look_up();
                        self.write(keeping);
                        return;
                    }
                }
            }
            self.look_up();
            self.write(keeping);
            if self.upkeep_due <= Instant::now() {
                self.upkeep();
            }
        }
    }

    /// Takes new rules, if there are any.
    fn look_up(&mut self) {
        let Some(rules) = lock(&self.shared.rules).take() else {
            return;
        };
        let none = rules.is_empty();
        self.rules = Some(rules);
        if none {
            self.connection = None;
            if let Err(error) = remove(&self.path) {
                tracing::error!(path = %self.path.display(), %error, "kept prompts cannot be removed; remove the file by hand");
            }
        } else {
            self.upkeep();
        }
    }

    /// The file, if it is there or may be made.
    fn connection(&mut self) -> Result<&mut Connection, Error> {
        if self.connection.is_none() {
            self.connection = Some(open(&self.path)?);
        }
        self.connection.as_mut().ok_or(Error::Ended)
    }

    fn write(&mut self, keeping: Vec<Keeping>) {
        if keeping.is_empty() {
            return;
        }
        let bytes: usize = keeping.iter().map(|one| one.bytes).sum();
        let count = keeping.len() as u64;
        let rules = self.rules.clone().unwrap_or_default();
        let wanted = keeping
            .into_iter()
            .filter(|one| rules.contains_key(&one.rule));
        let wanted: Vec<_> = wanted.collect();
        if !wanted.is_empty()
            && let Err(error) = self.try_write(wanted)
        {
            tracing::error!(path = %self.path.display(), %error, "prompts cannot be kept");
            self.shared.dropped.fetch_add(count, Ordering::Relaxed);
            self.mend(&error);
        }
        self.shared.waiting.fetch_sub(bytes, Ordering::AcqRel);
    }

    fn try_write(&mut self, keeping: Vec<Keeping>) -> Result<(), Error> {
        let connection = self.connection()?;
        let transaction = connection.transaction()?;
        {
            let mut insert = transaction.prepare_cached(
                "INSERT OR REPLACE INTO prompts VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?;
            for one in keeping {
                let said = (one.read)();
                insert.execute(params![
                    one.call,
                    to_ns(one.at),
                    one.rule,
                    said.prompt,
                    said.prompt_cut,
                    said.answer,
                    said.answer_cut
                ])?;
            }
        }
        Ok(transaction.commit()?)
    }

    fn read(&mut self, call: &str) -> Result<Option<Exchange>, Error> {
        // Reading makes no file.
        if self.rules.as_ref().is_none_or(BTreeMap::is_empty) || !self.path.exists() {
            return Ok(None);
        }
        let now = Timestamp::now();
        let rules = self.rules.clone().unwrap_or_default();
        let found = self.connection().and_then(|connection| {
            let found = connection
                .prepare_cached(
                    "SELECT rule, at_ns, prompt, prompt_cut, answer, answer_cut FROM prompts WHERE call = ?1",
                )?
                .query_row([call], |row| {
                    let exchange = Exchange {
                        prompt: row.get(2)?,
                        prompt_cut: row.get(3)?,
                        answer: row.get(4)?,
                        answer_cut: row.get(5)?,
                    };
                    Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?, exchange))
                })
                .optional()?;
            Ok(found)
        });
        match found {
            Ok(found) => Ok(found.and_then(|(rule, at, exchange)| {
                let oldest = oldest(now, *rules.get(&rule)?);
                (at >= oldest).then_some(exchange)
            })),
            Err(error) => {
                self.mend(&error);
                Err(error)
            }
        }
    }

    /// Drops what has been kept long enough, and what no rule keeps any more.
    fn upkeep(&mut self) {
        self.upkeep_due = Instant::now() + UPKEEP;
        if self.rules.as_ref().is_none_or(BTreeMap::is_empty) || !self.path.exists() {
            return;
        }
        match self.drop_old(Timestamp::now()) {
            Ok(true) => self.upkeep_due = Instant::now(),
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(%error, "old prompts could not be dropped; tried again in a minute");
                self.mend(&error);
            }
        }
    }

    /// Drops a slice; whether there may be more.
    fn drop_old(&mut self, now: Timestamp) -> Result<bool, Error> {
        let rules = self.rules.clone().unwrap_or_default();
        let connection = self.connection()?;
        let known: Vec<String> = connection
            .prepare_cached("SELECT DISTINCT rule FROM prompts")?
            .query_map([], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        let mut dropped = 0;
        for rule in known {
            let below = rules.get(&rule).map_or(i64::MAX, |keep| oldest(now, *keep));
            dropped += connection
                .prepare_cached(
                    "DELETE FROM prompts WHERE call IN
                     (SELECT call FROM prompts WHERE rule = ?1 AND at_ns < ?2 ORDER BY at_ns LIMIT ?3)",
                )?
                .execute(params![rule, below, SLICE])?;
        }
        let pages = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        let used = (pages("page_count")? - pages("freelist_count")?) * pages("page_size")?;
        if used > MOST_BYTES {
            dropped += connection.execute(
                "DELETE FROM prompts WHERE call IN (SELECT call FROM prompts ORDER BY at_ns LIMIT ?1)",
                [SLICE],
            )?;
        }
        Ok(dropped as i64 >= SLICE)
    }

    /// A damaged file is not set aside, as others are: what it holds would outlive its time.
    fn mend(&mut self, error: &Error) {
        self.connection = None;
        if error.is_damage()
            && let Err(error) = remove(&self.path)
        {
            tracing::error!(path = %self.path.display(), %error, "a damaged file of prompts cannot be removed");
        }
    }
}

fn oldest(now: Timestamp, keep: Duration) -> i64 {
    to_ns(now).saturating_sub(i64::try_from(keep.as_nanos()).unwrap_or(i64::MAX))
}

/// Opens or makes the file, for its owner only.
fn open(path: &Path) -> Result<Connection, Error> {
    let made = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(path);
    made.map_err(|error| Error::Unavailable {
        why: format!("{} cannot be made: {error}", path.display()),
    })?;
    let (connection, opened) = database::open(path, &SCHEMA)?;
    if let Opened::SetAside { moved_to, why } = opened {
        tracing::error!(path = %path.display(), why, "the file of prompts was damaged; begun anew");
        drop(connection);
        for file in [moved_to.as_path(), path] {
            remove(file).map_err(|source| Error::SetAside {
                path: file.to_owned(),
                source,
            })?;
        }
        return open(path);
    }
    Ok(connection)
}

/// Removes the file and its journals.
fn remove(path: &Path) -> io::Result<()> {
    for journal in ["", "-journal", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(journal);
        match std::fs::remove_file(PathBuf::from(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}
