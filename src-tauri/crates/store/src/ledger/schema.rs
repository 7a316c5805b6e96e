//! The layout of `ledger.db`.

use cockpit_model::usage::Dimension;
use rusqlite::{Connection, OptionalExtension, params};

use super::tiers::{Floors, TIERS};
use crate::database::Schema;

pub(crate) const SCHEMA: Schema = Schema {
    migrations: &["
        CREATE TABLE meta (key TEXT PRIMARY KEY NOT NULL, value NOT NULL) WITHOUT ROWID;
        INSERT INTO meta VALUES ('secret', randomblob(16)), ('clean', 1);
        -- What rows call by number. `day`: the newest day (since 1970) of a row that has it.
        CREATE TABLE names (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE,
            day INTEGER NOT NULL);
        -- `key`: milliseconds and a place in them, see key.rs; `body`: see row.rs.
        CREATE TABLE calls (key INTEGER PRIMARY KEY, body BLOB NOT NULL);
        CREATE TABLE reports (key INTEGER PRIMARY KEY, kind INTEGER NOT NULL, id TEXT NOT NULL,
            sub_ns INTEGER NOT NULL, user TEXT, agent TEXT, name TEXT, ok INTEGER, score REAL,
            body TEXT NOT NULL);
        -- Ids accounted for: the day, and a hash of ten bytes.
        CREATE TABLE seen (key BLOB PRIMARY KEY NOT NULL) WITHOUT ROWID;
        -- Rows that no rollup counts yet, by the transaction that wrote them.
        CREATE TABLE pending (batch INTEGER PRIMARY KEY, calls BLOB NOT NULL, reports BLOB NOT NULL);
        -- `series`: tier and dimension, see rollup.rs; `at`: the bucket's begin in lengths of it;
        -- `value`: a text, 0 for none, 1 for all beyond the largest; `body`: see tally.rs.
        CREATE TABLE rollups (series INTEGER NOT NULL, at INTEGER NOT NULL, value NOT NULL,
            body BLOB NOT NULL, PRIMARY KEY (series, at, value)) WITHOUT ROWID;
    ", "
        -- What callers of the gateway spent: `day`: the begin of the person's day in Unix seconds; `kind` and
        -- `name`: who, see spending.rs; `pico`: picodollars.
        CREATE TABLE spending (day INTEGER NOT NULL, kind INTEGER NOT NULL, name TEXT NOT NULL,
            pico INTEGER NOT NULL, PRIMARY KEY (day, kind, name)) WITHOUT ROWID;
    ", "
        -- Sums by three hours and by the week begin behind all that there is, so that none lacks what came before
        -- (whatever the clock says); and not before those by the hour (24: the totals by the day) and by the day.
        INSERT INTO meta
            SELECT floor, (known + length - 1) / length * length
            FROM (SELECT max(until) AS known FROM (
                    SELECT (max(at) + 1) * 86400 AS until FROM rollups WHERE series = 24
                    UNION ALL SELECT max(key) / 2097152 / 1000 + 1 FROM calls
                    UNION ALL SELECT max(key) / 2097152 / 1000 + 1 FROM reports
                    UNION ALL SELECT max(value) FROM meta WHERE key IN ('floor_1h', 'floor_1d'))),
                (SELECT 'floor_3h' AS floor, 10800 AS length UNION ALL SELECT 'floor_1w', 604800)
            WHERE known IS NOT NULL;
    ", "
        -- The values of dimensions by five minutes (series 9 to 15) lie by the hour: a series of one of them is read
        -- every hour's in one go. `hour`: since 1970; the others as in `rollups`.
        CREATE TABLE fives (series INTEGER NOT NULL, hour INTEGER NOT NULL, value NOT NULL, at INTEGER NOT NULL,
            body BLOB NOT NULL, PRIMARY KEY (series, hour, value, at)) WITHOUT ROWID;
        INSERT INTO fives SELECT series, at / 12, value, at, body FROM rollups
            WHERE series BETWEEN 9 AND 15 ORDER BY series, at / 12, value, at;
        DELETE FROM rollups WHERE series BETWEEN 9 AND 15;
    ", "
        -- Sums by key begin behind all that there is (see KEYS).
        INSERT INTO meta SELECT 'keys', max(until) FROM (
                SELECT max(key) / 2097152 / 1000 + 1 AS until FROM calls
                UNION ALL SELECT max(value) FROM meta WHERE key = 'floor_rows')
            HAVING max(until) IS NOT NULL;
    "],
    settings: "
        PRAGMA journal_mode = WAL;
        PRAGMA synchronous = FULL;
        PRAGMA fullfsync = 1;
        PRAGMA checkpoint_fullfsync = 1;
        PRAGMA journal_size_limit = 67108864;
        PRAGMA wal_autocheckpoint = 8192;
        PRAGMA cache_size = -8192;
        PRAGMA temp_store = MEMORY;
    ",
};

/// Whether it was closed as it should be.
pub(crate) const CLEAN: &str = "clean";
/// When something was last known to be on the disk, in Unix milliseconds.
pub(crate) const ALIVE: &str = "alive";
/// By which time was told last what has been kept long enough, in Unix seconds; see horizon.rs.
pub(crate) const BELIEVED: &str = "believed";
/// The newest day whose names were looked through.
pub(crate) const NAMES_DAY: &str = "names_day";

/// From when on all calls are summed up by key, in Unix seconds.
const KEYS: &str = "keys";
const FLOOR_OF_ROWS: &str = "floor_rows";

pub(crate) fn meta(connection: &Connection, key: &str) -> rusqlite::Result<Option<i64>> {
    connection
        .prepare_cached("SELECT value FROM meta WHERE key = ?1")?
        .query_row([key], |row| row.get(0))
        .optional()
}

pub(crate) fn set_meta(connection: &Connection, key: &str, value: i64) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)")?
        .execute(params![key, value])
        .map(drop)
}

pub(crate) fn secret(connection: &Connection) -> rusqlite::Result<Vec<u8>> {
    connection.query_row("SELECT value FROM meta WHERE key = 'secret'", [], |row| {
        row.get(0)
    })
}

/// From when on this file has things.
pub(crate) fn floors(connection: &Connection) -> rusqlite::Result<Floors> {
    let mut tiers = [0; TIERS.len()];
    for (floor, tier) in tiers.iter_mut().zip(&TIERS) {
        *floor = meta(connection, tier.floor)?.unwrap_or(0);
    }
    Ok(Floors {
        rows: meta(connection, FLOOR_OF_ROWS)?.unwrap_or(0),
        tiers,
    })
}

/// From when on all calls are summed up by the values of a dimension, in Unix seconds.
pub(crate) fn summed_up_from(
    connection: &Connection,
    dimension: Dimension,
) -> rusqlite::Result<i64> {
    match dimension {
        Dimension::Key => Ok(meta(connection, KEYS)?.unwrap_or(0)),
        _ => Ok(0),
    }
}

pub(crate) fn set_floors(connection: &Connection, floors: &Floors) -> rusqlite::Result<()> {
    set_meta(connection, FLOOR_OF_ROWS, floors.rows)?;
    for (tier, floor) in TIERS.iter().zip(floors.tiers) {
        set_meta(connection, tier.floor, floor)?;
    }
    Ok(())
}
