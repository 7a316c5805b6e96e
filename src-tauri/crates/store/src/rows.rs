//! The tiers' rows: one bucket of samples each.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, params};

use crate::bucket::Bucket;
use crate::encode;
use crate::error::Error;
use crate::tiers::Tier;

/// Writes a bucket; one that is there already is replaced.
pub(crate) fn write_bucket(
    connection: &Connection,
    tier: &Tier,
    at: i64,
    bucket: &Bucket,
) -> rusqlite::Result<()> {
    let n = f64::from(bucket.n.max(1));
    let hundredths = |sum: f64| (sum / n * 100.0).round() as i64;
    let kib = |sum: f64| (sum / n / 1024.0).round() as i64;
    let disks = (tier.disks && !bucket.disks.is_empty()).then(|| encode::disks(&bucket.disks));
    let services = (!bucket.services.is_empty()).then(|| encode::services(&bucket.services));
    connection
        .prepare_cached(&format!(
            "INSERT OR REPLACE INTO {} VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
            tier.table
        ))?
        .execute(params![
            at,
            bucket.n,
            hundredths(bucket.cpu),
            (bucket.cpu_max * 100.0).round() as i64,
            kib(bucket.memory),
            (bucket.memory_max / 1024.0).round() as i64,
            kib(bucket.swap),
            (bucket.rx / n).round() as i64,
            (bucket.tx / n).round() as i64,
            (bucket.gpu_n > 0).then(|| (bucket.gpu / f64::from(bucket.gpu_n) * 100.0).round() as i64),
            hundredths(bucket.own_cpu),
            kib(bucket.own_memory),
            services,
            disks,
        ])
        .map(drop)
}

const COLUMNS: &str = "at, n, cpu, cpu_max, memory, memory_max, swap, rx, tx, gpu, own_cpu, own_memory, services, disks";

fn bucket_of(row: &rusqlite::Row<'_>) -> rusqlite::Result<(i64, Bucket)> {
    let n: u32 = row.get(1)?;
    let count = f64::from(n);
    let number = |column: usize| row.get::<_, i64>(column).map(|value| value as f64);
    let gpu: Option<i64> = row.get(9)?;
    Ok((
        row.get(0)?,
        Bucket {
            n,
            cpu: number(2)? / 100.0 * count,
            cpu_max: number(3)? / 100.0,
            memory: number(4)? * 1024.0 * count,
            memory_max: number(5)? * 1024.0,
            swap: number(6)? * 1024.0 * count,
            rx: number(7)? * count,
            tx: number(8)? * count,
            gpu_n: if gpu.is_some() { n } else { 0 },
            gpu: gpu.unwrap_or(0) as f64 / 100.0 * count,
            own_cpu: number(10)? / 100.0 * count,
            own_memory: number(11)? * 1024.0 * count,
            services: row
                .get_ref(12)?
                .as_blob_or_null()?
                .map(encode::read_services)
                .unwrap_or_default(),
            disks: row
                .get_ref(13)?
                .as_blob_or_null()?
                .map(encode::read_disks)
                .unwrap_or_default(),
        },
    ))
}

/// One bucket of a tier.
pub(crate) fn read_bucket(
    connection: &Connection,
    tier: &Tier,
    at: i64,
) -> rusqlite::Result<Option<Bucket>> {
    connection
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM {} WHERE at = ?1",
            tier.table
        ))?
        .query_row([at], |row| bucket_of(row).map(|(_, bucket)| bucket))
        .optional()
}

/// Every bucket of a tier from `since` on, oldest first.
pub(crate) fn read_buckets(
    connection: &Connection,
    tier: &Tier,
    since: i64,
    mut each: impl FnMut(i64, Bucket),
) -> Result<(), Error> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM {} WHERE at >= ?1 ORDER BY at",
        tier.table
    ))?;
    let mut rows = statement.query([since])?;
    while let Some(row) = rows.next()? {
        let (at, bucket) = bucket_of(row)?;
        each(at, bucket);
    }
    Ok(())
}

/// Services and volumes, with the numbers that rows call them by.
pub(crate) fn read_names(connection: &Connection) -> rusqlite::Result<HashMap<String, u32>> {
    connection
        .prepare_cached("SELECT name, id FROM names")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}
