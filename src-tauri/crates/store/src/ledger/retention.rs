//! Dropping what has been kept long enough, from the old end, in slices that are short enough for the
//! writer to make between two commits. Pages are freed, never rewritten.

use cockpit_model::usage::Dimension;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, params};

use super::rollup;
use super::schema::{NAMES_DAY, meta, set_meta};
use super::table::Table;
use super::tiers::{DAY, Floors, TIERS};
use super::{key, seen, spending};

/// Rows dropped at once.
const SLICE: i64 = 4000;

/// What one slice was.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Dropped {
    /// There may be more.
    Slice,
    /// Of names, so that numbers which are remembered may be gone; there may be more.
    Names,
    /// There is nothing to drop.
    Nothing,
}

/// Drops one slice of what lies below the floors.
pub(crate) fn drop_slice(connection: &Connection, floors: &Floors) -> rusqlite::Result<Dropped> {
    let oldest = Value::Integer(key::first(floors.rows * 1000));
    let first_seen = Value::Blob(seen::first(floors.rows.div_euclid(DAY)).to_vec());
    for (table, below) in [
        ("calls", oldest.clone()),
        ("reports", oldest),
        ("seen", first_seen),
    ] {
        if slice_of_rows(connection, table, below)? > 0 {
            return Ok(Dropped::Slice);
        }
    }
    if spending::drop_slice(connection, floors.rows)? {
        return Ok(Dropped::Slice);
    }
    for (tier, (floor, of)) in floors.tiers.iter().zip(&TIERS).enumerate() {
        for dimension in std::iter::once(None).chain(Dimension::ALL.into_iter().map(Some)) {
            let series = rollup::series(tier, dimension);
            if slice_of_rollups(connection, series, floor.div_euclid(of.length))? > 0 {
                return Ok(Dropped::Slice);
            }
        }
    }
    slice_of_names(connection, floors.rows.div_euclid(DAY))
}

fn slice_of_rows(connection: &Connection, table: &str, below: Value) -> rusqlite::Result<usize> {
    let end: Option<Value> = connection
        .prepare_cached(&format!(
            "SELECT key FROM {table} WHERE key < ?1 ORDER BY key LIMIT 1 OFFSET ?2"
        ))?
        .query_row(params![below, SLICE], |row| row.get(0))
        .optional()?;
    connection
        .prepare_cached(&format!("DELETE FROM {table} WHERE key < ?1"))?
        .execute([end.unwrap_or(below)])
}

fn slice_of_rollups(connection: &Connection, series: i64, below: i64) -> rusqlite::Result<usize> {
    let table = Table::of(series);
    let end: Option<i64> = connection
        .prepare_cached(table.slice)?
        .query_row(params![series, below, SLICE], |row| row.get(0))
        .optional()?;
    // The bucket that the slice ends in goes too: else one with more values than a slice stayed.
    let end = end.map_or(below, |end| end + 1);
    connection
        .prepare_cached(table.delete_before)?
        .execute(params![series, end])
}

/// Names that no row has any more; looked for once for each day that is dropped.
fn slice_of_names(connection: &Connection, oldest_day: i64) -> rusqlite::Result<Dropped> {
    if meta(connection, NAMES_DAY)? == Some(oldest_day) {
        return Ok(Dropped::Nothing);
    }
    let dropped = connection
        .prepare_cached(
            "DELETE FROM names WHERE id IN (SELECT id FROM names WHERE day < ?1 LIMIT ?2)",
        )?
        .execute([oldest_day, SLICE])?;
    if dropped > 0 {
        return Ok(Dropped::Names);
    }
    set_meta(connection, NAMES_DAY, oldest_day)?;
    Ok(Dropped::Nothing)
}
