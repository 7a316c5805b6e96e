//! Opening: settings, check, migration, and setting a damaged file aside.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use crate::error::{Error, is_damage};

/// Files up to this size are checked whole on opening; larger ones by their structure.
pub(crate) const WHOLE_CHECK_BYTES: u64 = 8 << 20;

/// What was found on opening.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opened {
    /// There was none; a new one was made.
    Fresh,
    /// It was there and is well.
    Ok,
    /// It was damaged; a new one was made in its place.
    SetAside {
        /// Where the damaged one is now.
        moved_to: PathBuf,
        /// What was wrong with it.
        why: String,
    },
    /// It cannot be opened for writing, or is of a newer version, and is left as it is. [`StateDb`](crate::StateDb) holds what it could read, and changes, until
    /// the program ends; [`Telemetry`](crate::Telemetry) tries again by itself.
    Unavailable {
        /// Why not.
        why: String,
    },
}

/// How one database is laid out.
#[derive(Debug)]
pub(crate) struct Schema {
    /// The statements that lead from version `i` to version `i + 1`.
    pub migrations: &'static [&'static str],
    /// Settings of every connection that writes.
    pub settings: &'static str,
}

impl Schema {
    pub(crate) fn version(&self) -> i64 {
        i64::try_from(self.migrations.len()).unwrap_or(i64::MAX)
    }
}

/// Opens or makes the database; sets a damaged one aside.
pub(crate) fn open(path: &Path, schema: &Schema) -> Result<(Connection, Opened), Error> {
    let existed = path.metadata().is_ok_and(|file| file.len() > 0);
    let damage = match connect(path, schema) {
        Ok(connection) => {
            let opened = if existed { Opened::Ok } else { Opened::Fresh };
            return Ok((connection, opened));
        }
        Err(error) if error.is_damage() => error,
        Err(error) => return Err(error),
    };
    let moved_to = set_aside(path, Timestamp::now())?;
    let opened = Opened::SetAside {
        moved_to,
        why: damage.to_string(),
    };
    Ok((connect(path, schema)?, opened))
}

fn connect(path: &Path, schema: &Schema) -> Result<Connection, Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    keep_to_oneself(path);
    let mut connection =
        Connection::open_with_flags(path, flags).map_err(|source| Error::Open {
            path: path.to_owned(),
            source,
        })?;
    match prepare(&mut connection, path, schema) {
        Ok(()) => Ok(connection),
        Err(error) => {
            leave_untouched(&connection);
            Err(error)
        }
    }
}

/// Who asks what is nobody else's business: a file is its owner's alone, whatever the folder allows. SQLite gives a new
/// journal the same mode; one that a killed engine left has that of before.
fn keep_to_oneself(path: &Path) {
    use std::fs::{OpenOptions, Permissions, set_permissions};
    use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
    let mut new = OpenOptions::new();
    // Where it is there already, this fails.
    let _ = new.write(true).create_new(true).mode(0o600).open(path);
    for beside in ["", "-wal", "-shm"] {
        let mut file = path.as_os_str().to_owned();
        file.push(beside);
        let file = Path::new(&file);
        let mode = file.metadata().map(|meta| meta.permissions().mode());
        if mode.is_ok_and(|mode| mode & 0o077 != 0)
            && let Err(error) = set_permissions(file, Permissions::from_mode(0o600))
        {
            tracing::debug!(%error, file = %file.display(), "others may read it");
        }
    }
}

/// Closing the last connection writes the journal into the file: not into one that is damaged.
pub(crate) fn leave_untouched(connection: &Connection) {
    if let Err(error) = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true) {
        tracing::debug!(%error, "no-checkpoint-on-close is not supported");
    }
}

fn prepare(connection: &mut Connection, path: &Path, schema: &Schema) -> Result<(), Error> {
    let opening = |source: rusqlite::Error| {
        if is_damage(&source) {
            Error::Sql(source)
        } else {
            Error::Open {
                path: path.to_owned(),
                source,
            }
        }
    };
    connection
        .busy_timeout(Duration::from_secs(5))
        .map_err(opening)?;
    let found = layout(connection).map_err(opening)?;
    understood(found, path, schema)?;
    connection.execute_batch(schema.settings).map_err(opening)?;
    if path
        .metadata()
        .is_ok_and(|file| file.len() <= WHOLE_CHECK_BYTES)
    {
        check(connection).map_err(opening)?;
    }
    migrate(connection, schema, found).map_err(opening)
}

/// The version of a file's layout.
pub(crate) fn layout(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Refuses a layout that is newer than what is known here.
pub(crate) fn understood(found: i64, path: &Path, schema: &Schema) -> Result<(), Error> {
    if found > schema.version() {
        return Err(Error::Newer {
            path: path.to_owned(),
            found,
            known: schema.version(),
        });
    }
    Ok(())
}

/// SQLite's own check of the whole file, without comparing indexes with their tables.
fn check(connection: &Connection) -> rusqlite::Result<()> {
    let verdict: String =
        connection.pragma_query_value(None, "quick_check", |row| row.get::<_, String>(0))?;
    if verdict == "ok" {
        return Ok(());
    }
    Err(rusqlite::Error::SqliteFailure(
        rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT),
        Some(
            verdict
                .lines()
                .next()
                .unwrap_or("quick_check failed")
                .to_owned(),
        ),
    ))
}

/// What is wrong with a file that is in use, if anything. Asked over a connection of its own: one
/// that has been open for long would answer from the pages it remembers.
pub(crate) fn damage(path: &Path) -> Option<String> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let checked = Connection::open_with_flags(path, flags).and_then(|connection| {
        connection.busy_timeout(Duration::from_secs(5))?;
        check(&connection)
    });
    checked
        .err()
        .filter(is_damage)
        .map(|error| error.to_string())
}

fn migrate(connection: &mut Connection, schema: &Schema, found: i64) -> rusqlite::Result<()> {
    let from = usize::try_from(found).unwrap_or(0);
    for (version, statements) in (1_i64..).zip(schema.migrations).skip(from) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(statements)?;
        transaction.pragma_update(None, "user_version", version)?;
        transaction.commit()?;
    }
    Ok(())
}

/// Renames a database and its journal to `NAME.damaged-TIME`. Never overwrites one that is there.
pub(crate) fn set_aside(path: &Path, now: Timestamp) -> Result<PathBuf, Error> {
    let stamp = now.strftime("%Y%m%dT%H%M%SZ").to_string();
    let mut target = suffixed(path, &format!(".damaged-{stamp}"));
    for attempt in 2_u32.. {
        if !target.exists() {
            break;
        }
        target = suffixed(path, &format!(".damaged-{stamp}-{attempt}"));
    }
    std::fs::rename(path, &target).map_err(|source| Error::SetAside {
        path: path.to_owned(),
        source,
    })?;
    for journal in ["-wal", "-shm"] {
        let from = suffixed(path, journal);
        if from.exists() {
            std::fs::rename(&from, suffixed(&target, journal))
                .map_err(|source| Error::SetAside { path: from, source })?;
        }
    }
    Ok(target)
}

fn suffixed(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path.as_os_str());
    name.push(suffix);
    name.into()
}
