//! The figures of the ledger, each beside its baseline in the same run.
//!
//! `cargo bench -p cockpit-store --bench ledger [-- NAME…]` with any of `ingest usage kill`. Nothing here
//! asserts: it prints what was measured next to what is wanted. `usage` fills a ledger with ten million
//! calls first (`CALLS` in the environment: another number), about two gigabytes in the temporary folder.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    missing_docs,
    reason = "a bench"
)]

use std::collections::HashSet;
use std::fmt::Display;
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cockpit_model::usage::Dimension;
use cockpit_model::{Call, CallSource, Operation, Outcome, Record, Timestamp, Usd};
use cockpit_store::Ledger;
use cockpit_store::ledger::{Ack, CallFilter, CallsQuery, Options, Receipt, UsageQuery};
use rusqlite::{Connection, params};

const BATCH: u64 = 10_000;
const INGESTED: u64 = 500_000;
const KILLS: u64 = 100;
/// When usage is asked: just after midnight into the second day of a week (2026-01-02 00:01:07 UTC). What begins a day
/// or 29 days before begins just after a week did, and so a day and an hour.
const ASKED: i64 = 1_767_312_067;
/// Each question is asked so often.
const TIMES: u32 = 15;

fn figure(name: &str, measured: impl Display, wanted: &str) {
    println!("  {name:<58} {measured:>26}   wanted {wanted}");
}

fn baseline(name: &str, measured: impl Display) {
    println!("  {name:<58} {measured:>26}   baseline");
}

fn main() {
    let args: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| arg != "--bench")
        .collect();
    if let [child, path, from] = &args[..]
        && child == "child-load"
    {
        return load(Path::new(path), from.parse().unwrap());
    }
    let wanted = |name: &str| args.is_empty() || args.iter().any(|arg| arg == name);
    if wanted("ingest") {
        println!("ingest: durable, in batches of {BATCH}");
        ingest();
    }
    if wanted("usage") {
        usage();
    }
    if wanted("kill") {
        println!("kill: SIGKILL in the middle of load, {KILLS} times");
        kill();
    }
}

/// Numbers that look random and are the same in every run.
fn mix(n: u64) -> u64 {
    let n = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

/// One of many calls: 20 models of 4 providers, 1,000 users, 20 agents, latencies over two decades.
fn call(n: u64, at: Timestamp) -> Call {
    let random = mix(n);
    let pick = |shift: u32, of: u64| (random >> shift) % of;
    let model = pick(0, 20);
    let provider = ["openai", "anthropic", "ollama", "mistral"][(model % 4) as usize];
    let failed = pick(8, 50) == 0;
    let latency = 200.0 * 10_f64.powf(pick(16, 10_000) as f64 / 5_000.0);
    let latency = (latency * 1e3).round() / 1e3;
    let (input, output) = (pick(24, 4000) + 10, pick(36, 800) + 1);
    Call {
        id: format!("{:016x}{:016x}", random, mix(random ^ n)),
        at,
        source: CallSource::Events,
        provider: provider.to_owned(),
        model: format!("model-{model}"),
        target: format!("{provider}/model-{model}"),
        requested_model: Some("chat".to_owned()),
        route: Some(format!("route-{}", pick(40, 3))),
        operation: Operation::Chat,
        outcome: if failed { Outcome::Error } else { Outcome::Ok },
        error: failed.then(|| "provider_timeout".to_owned()),
        status: Some(if failed { 504 } else { 200 }),
        finish_reason: (!failed).then(|| "stop".to_owned()),
        user: Some(format!("user-{}", pick(44, 1000))),
        agent: Some(format!("agent-{}", pick(52, 20))),
        key: Some("app".to_owned()),
        tags: vec!["production".to_owned()],
        input_tokens: Some(input),
        output_tokens: (!failed).then_some(output),
        cached_input_tokens: Some(input / 3),
        cache_write_tokens: None,
        latency_ms: Some(latency),
        ttft_ms: (!failed).then(|| (latency * 200.0).round() / 1e3),
        streamed: true,
        attempts: 1,
        fallback: false,
        cache_hit: false,
        cost_usd: Some(Usd::from_pico(
            i64::try_from(input * 2_500_000 + output * 10_000_000).unwrap(),
        )),
        price_version: Some("2026-01".to_owned()),
    }
}

/// The time of the `n`th of `count` calls spread over `span` before `end`.
fn spread(n: u64, count: u64, span: Duration, end: Timestamp) -> Timestamp {
    let ms = span.as_millis() as u64;
    let ago = ms - (n as f64 / count as f64 * ms as f64) as u64;
    Timestamp::from_millisecond(end.as_millisecond() - i64::try_from(ago).unwrap()).unwrap()
}

/// Processor time of this process, all threads.
fn cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(
        time.tv_sec.unsigned_abs(),
        u32::try_from(time.tv_nsec).unwrap(),
    )
}

fn size(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |file| file.len())
}

/// Sends batches, two at a time, so that one is made while the other is written.
fn send(ledger: &Ledger, batches: impl Iterator<Item = Vec<Record>>) {
    let accepted = |receipt: Receipt| {
        assert!(
            receipt
                .wait()
                .unwrap()
                .iter()
                .all(|ack| *ack == Ack::Accepted)
        );
    };
    let mut before = None;
    for batch in batches {
        if let Some(receipt) = before.replace(ledger.ingest(batch)) {
            accepted(receipt);
        }
    }
    before.map(accepted);
}

fn batches(count: u64, span: Duration, end: Timestamp) -> impl Iterator<Item = Vec<Record>> {
    (0..count / BATCH).map(move |batch| {
        (batch * BATCH..(batch + 1) * BATCH)
            .map(|n| Record::Call(call(n, spread(n, count, span, end))))
            .collect()
    })
}

fn ingest() {
    let folder = tempfile::tempdir().unwrap();
    let now = Timestamp::now();
    for (what, span) in [
        ("all within an hour", Duration::from_secs(3600)),
        ("over a day", Duration::from_secs(86_400)),
    ] {
        // Made beforehand: what is measured is the ledger and SQLite.
        let made: Vec<Vec<Record>> = batches(INGESTED, span, now).collect();
        let (begin, before) = (Instant::now(), cpu());
        plain(&folder.path().join("plain.db"), &made);
        let (bare, bare_cpu) = (rate(begin), (cpu() - before) / INGESTED as u32);
        let path = folder.path().join("ledger.db");
        let (ledger, _) = Ledger::open(&path).unwrap();
        let (begin, before) = (Instant::now(), cpu());
        send(&ledger, made.into_iter());
        let (durable, our_cpu) = (rate(begin), (cpu() - before) / INGESTED as u32);
        ledger.close();
        baseline(
            &format!("{what}: plain prepared batch insert"),
            format!("{bare:.0}/s, {bare_cpu:.1?} CPU"),
        );
        figure(
            &format!("{what}: ledger"),
            format!("{durable:.0}/s, {our_cpu:.1?} CPU"),
            "≥ 50000/s",
        );
        figure(
            &format!("{what}: of the plain insert"),
            format!("{:.0} %", durable / bare * 100.0),
            "≥ 50 %",
        );
        for file in ["plain.db", "ledger.db"] {
            std::fs::remove_file(folder.path().join(file)).unwrap();
        }
    }
}

fn rate(begin: Instant) -> f64 {
    INGESTED as f64 / begin.elapsed().as_secs_f64()
}

/// The same calls into one table of a column for each field, as durable.
fn plain(path: &Path, batches: &[Vec<Record>]) {
    let mut connection = Connection::open(path).unwrap();
    connection
        .execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 8192;
             CREATE TABLE calls (id TEXT PRIMARY KEY, at INTEGER, source INTEGER, provider TEXT, model TEXT,
                target TEXT, requested_model TEXT, route TEXT, operation INTEGER, outcome INTEGER, error TEXT,
                status INTEGER, finish_reason TEXT, user TEXT, agent TEXT, key TEXT, tags TEXT,
                input_tokens INTEGER, output_tokens INTEGER, cached_input_tokens INTEGER,
                cache_write_tokens INTEGER, latency_ms REAL, ttft_ms REAL, streamed INTEGER, attempts INTEGER,
                fallback INTEGER, cache_hit INTEGER, cost INTEGER, price_version TEXT)",
        )
        .unwrap();
    let tokens = |value: Option<u64>| value.map(|value| value as i64);
    for batch in batches {
        let transaction = connection.transaction().unwrap();
        let mut insert = transaction
            .prepare_cached(
                "INSERT OR IGNORE INTO calls VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?,
                    ?, ?, ?, ?, ?, ?, ?)",
            )
            .unwrap();
        for record in batch {
            let Record::Call(c) = record else {
                continue;
            };
            insert
                .execute(params![
                    c.id,
                    c.at.as_nanosecond() as i64,
                    c.source as u8,
                    c.provider,
                    c.model,
                    c.target,
                    c.requested_model,
                    c.route,
                    c.operation as u8,
                    c.outcome as u8,
                    c.error,
                    c.status,
                    c.finish_reason,
                    c.user,
                    c.agent,
                    c.key,
                    c.tags.first(),
                    tokens(c.input_tokens),
                    tokens(c.output_tokens),
                    tokens(c.cached_input_tokens),
                    tokens(c.cache_write_tokens),
                    c.latency_ms,
                    c.ttft_ms,
                    c.streamed,
                    c.attempts,
                    c.fallback,
                    c.cache_hit,
                    c.cost_usd.map(Usd::pico),
                    c.price_version,
                ])
                .unwrap();
        }
        drop(insert);
        transaction.commit().unwrap();
    }
}

fn usage() {
    let count: u64 = std::env::var("CALLS").map_or(10_000_000, |calls| calls.parse().unwrap());
    println!("usage: {count} calls over 30 days");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let now = Timestamp::from_second(ASKED).unwrap();
    let open = || {
        let options = Options {
            clock: Arc::new(move || now),
            ..Options::default()
        };
        Ledger::open_with(&path, options).unwrap().0
    };
    let ledger = open();
    let begin = Instant::now();
    send(
        &ledger,
        batches(count, Duration::from_secs(30 * 86_400), now),
    );
    figure(
        "filling it, the calls made meanwhile",
        format!("{:.0}/s", count as f64 / begin.elapsed().as_secs_f64()),
        "≥ 50000/s",
    );
    ledger.close();
    figure(
        "bytes on disk a call, with ids and rollups",
        format!("{:.1}", size(&path) as f64 / count as f64),
        "≤ 200",
    );
    scan(&path);
    let begin = Instant::now();
    let ledger = open();
    figure("opening it", ms(begin.elapsed()), "soon");
    for (what, hours, wanted) in [
        ("all 30 days", 30 * 24, "≤ 50 ms"),
        ("29 of 30 days", 29 * 24, "≤ 50 ms"),
        ("24 hours", 24, "≤ 20 ms"),
        ("1 hour", 1, "≤ 20 ms"),
    ] {
        let groups = [None, Some(Dimension::Model), Some(Dimension::User)];
        for group_by in groups {
            let query = UsageQuery {
                from: Timestamp::from_second(now.as_second() - hours * 3600).unwrap(),
                to: now,
                step: None,
                group_by,
            };
            let before = cpu();
            let took = median(|| {
                let usage = ledger.usage(&query, now).unwrap();
                assert!(usage.totals.calls > 0);
            });
            let used = (cpu() - before) / TIMES;
            let by = group_by.map_or("in total", Dimension::as_str);
            figure(
                &format!("usage over {what}, {by}, median of {TIMES}"),
                format!("{}, {} CPU", ms(took), ms(used)),
                wanted,
            );
        }
    }
    for (what, user) in [
        ("newest", None),
        ("newest of one user", Some("user-7".to_owned())),
    ] {
        let query = CallsQuery {
            from: Timestamp::from_second(now.as_second() - 30 * 86_400).unwrap(),
            to: now,
            limit: 100,
            before: None,
            filter: CallFilter {
                user,
                ..CallFilter::default()
            },
        };
        let took = median(|| assert_eq!(ledger.calls(&query).unwrap().len(), 100));
        figure(&format!("100 calls, {what}"), ms(took), "≤ 50 ms");
    }
}

/// What SQLite alone takes to step over a month of one dimension's rollups by the day, and to look at none.
fn scan(path: &Path) {
    let connection = Connection::open(path).unwrap();
    let before = cpu();
    let took = median(|| {
        let sum: i64 = connection
            .prepare_cached("SELECT sum(length(body)) FROM rollups WHERE series = 28")
            .unwrap()
            .query_row([], |row| row.get(0))
            .unwrap();
        assert!(sum > 0);
    });
    let used = (cpu() - before) / TIMES;
    baseline(
        "SQLite steps over the users' sums by the day",
        format!("{}, {} CPU", ms(took), ms(used)),
    );
}

fn median(mut run: impl FnMut()) -> Duration {
    let mut times: Vec<Duration> = (0..TIMES)
        .map(|_| {
            let begin = Instant::now();
            run();
            begin.elapsed()
        })
        .collect();
    times.sort();
    times[times.len() / 2]
}

fn ms(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

/// The child: sends batches and says so once they are acknowledged, until it is killed.
fn load(path: &Path, from: u64) {
    let (ledger, _) = Ledger::open(path).unwrap();
    let mut out = std::io::stdout().lock();
    for batch in from.. {
        let calls = (0..100)
            .map(|n| Record::Call(call(batch * 100 + n, Timestamp::now())))
            .collect();
        ledger.ingest(calls).wait().unwrap();
        writeln!(out, "{batch}").unwrap();
        out.flush().unwrap();
    }
}

fn kill() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let (mut next, mut acknowledged) = (0, Vec::new());
    for round in 0..KILLS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["child-load", path.to_str().unwrap(), &next.to_string()])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first = lines.next().unwrap().unwrap();
        let mut told = vec![first];
        std::thread::sleep(Duration::from_millis(mix(round) % 60));
        child.kill().unwrap();
        child.wait().unwrap();
        // What it said before it died.
        told.extend(lines.map_while(Result::ok));
        let told: Vec<u64> = told.iter().filter_map(|line| line.parse().ok()).collect();
        next = told.last().unwrap() + 1;
        acknowledged.extend(told);
    }
    let (ledger, opening) = Ledger::open(&path).unwrap();
    let end = Timestamp::from_second(Timestamp::now().as_second() + 1).unwrap();
    let connection = Connection::open(&path).unwrap();
    let rows: i64 = connection
        .query_row("SELECT count(*) FROM calls", [], |row| row.get(0))
        .unwrap();
    let query = UsageQuery {
        from: Timestamp::from_second(end.as_second() - 3 * 3600).unwrap(),
        to: end,
        step: None,
        group_by: None,
    };
    let counted = ledger.usage(&query, end).unwrap().totals.calls;
    // All of them, page by page.
    let mut ids = HashSet::new();
    let mut seen = 0_u64;
    let mut page = CallsQuery {
        from: query.from,
        to: end,
        limit: 10_000,
        before: None,
        filter: CallFilter::default(),
    };
    loop {
        let calls = ledger.calls(&page).unwrap();
        let Some(last) = calls.last() else {
            break;
        };
        page.before = Some(cockpit_store::ledger::Before {
            at: last.at,
            id: last.id.clone(),
        });
        seen += calls.len() as u64;
        ids.extend(calls.into_iter().map(|call| call.id));
    }
    let lost = acknowledged
        .iter()
        .flat_map(|batch| (0..100).map(move |n| call(batch * 100 + n, end).id))
        .filter(|id| !ids.contains(id))
        .count();
    figure(
        &format!("acknowledged {}: lost / twice", acknowledged.len() * 100),
        format!("{lost} / {}", seen - ids.len() as u64),
        "0 / 0",
    );
    figure(
        "rows / counted by the rollups",
        format!("{rows} / {counted}"),
        "the same",
    );
    figure(
        "the last end was noticed",
        if opening.known_until.is_some() {
            "yes"
        } else {
            "no"
        },
        "yes",
    );
}
