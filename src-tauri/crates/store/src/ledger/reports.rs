//! Reports: what is accounted for besides calls.

use cockpit_model::{Report, ReportKind};
use rusqlite::{Connection, Row, params};

use super::key;

const COLUMNS: &str = "key, kind, id, sub_ns, user, agent, name, ok, score, body";

/// Writes one at a key; `false` if that is taken.
pub(crate) fn insert(
    connection: &Connection,
    row_key: i64,
    report: &Report,
) -> rusqlite::Result<bool> {
    let kind = ReportKind::ALL.iter().position(|kind| *kind == report.kind);
    connection
        .prepare_cached(
            "INSERT OR IGNORE INTO reports VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )?
        .execute(params![
            row_key,
            i64::try_from(kind.unwrap_or(0)).unwrap_or(0),
            report.id,
            key::split(report.at).1,
            report.user,
            report.agent,
            report.key,
            report.ok,
            report.score,
            report.body,
        ])
        .map(|written| written == 1)
}

fn of(row: &Row<'_>) -> rusqlite::Result<Report> {
    let kind: u16 = row.get(1)?;
    Ok(Report {
        id: row.get(2)?,
        kind: ReportKind::ALL
            .get(usize::from(kind))
            .copied()
            .unwrap_or(ReportKind::Custom),
        at: key::time(key::ms(row.get(0)?), row.get(3)?),
        user: row.get(4)?,
        agent: row.get(5)?,
        key: row.get(6)?,
        ok: row.get(7)?,
        score: row.get(8)?,
        body: row.get(9)?,
    })
}

pub(crate) fn read_one(connection: &Connection, row_key: i64) -> rusqlite::Result<Option<Report>> {
    use rusqlite::OptionalExtension as _;
    connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM reports WHERE key = ?1"))?
        .query_row([row_key], of)
        .optional()
}

/// Those between two keys, oldest first.
pub(crate) fn each(
    connection: &Connection,
    from: i64,
    to: i64,
    mut each: impl FnMut(&Report),
) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM reports WHERE key >= ?1 AND key < ?2 ORDER BY key"
    ))?;
    let mut rows = statement.query([from, to])?;
    while let Some(row) = rows.next()? {
        each(&of(row)?);
    }
    Ok(())
}
