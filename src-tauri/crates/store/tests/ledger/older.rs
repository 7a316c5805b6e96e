//! Files that an earlier version wrote.

use std::path::{Path, PathBuf};
use std::time::Duration;

use cockpit_model::usage::{Dimension, Usage};
use cockpit_model::{Call, Record, ReportKind};
use cockpit_store::Ledger;
use cockpit_store::ledger::{Ack, Options, UsageQuery};
use proptest::prelude::*;

use crate::given::{self, Clock, DAY, HOUR, MINUTE, NOON, at, ingest};
use crate::naive;

/// Makes a file what it was before the values by five minutes lay by the hour, and before there were sums by key.
fn by_time(path: &Path) {
    let connection = rusqlite::Connection::open(path).unwrap();
    connection
        .execute_batch(
            "INSERT INTO rollups SELECT series, at, value, body FROM fives;
             DROP TABLE fives;
             DELETE FROM rollups WHERE series % 8 = 7;
             DELETE FROM meta WHERE key = 'keys';
             PRAGMA user_version = 3;",
        )
        .unwrap();
}

/// And what it was before there were sums by three hours and by the week: these are all that came with them.
fn without_weeks(path: &Path) {
    by_time(path);
    let connection = rusqlite::Connection::open(path).unwrap();
    connection
        .execute_batch(
            "DELETE FROM rollups WHERE series >= 32;
             DELETE FROM meta WHERE key IN ('floor_3h', 'floor_1w');
             PRAGMA user_version = 2;",
        )
        .unwrap();
}

/// Every answer is made of sums.
fn open(path: &Path, clock: &Clock) -> Ledger {
    let options = Options {
        exact_up_to: 0,
        ..clock.options()
    };
    Ledger::open_with(path, options).unwrap().0
}

fn floor(path: &Path, name: &str) -> i64 {
    let connection = rusqlite::Connection::open(path).unwrap();
    connection
        .query_row("SELECT value FROM meta WHERE key = ?1", [name], |row| {
            row.get(0)
        })
        .unwrap()
}

fn buckets(path: &Path, series: i64) -> Vec<i64> {
    let connection = rusqlite::Connection::open(path).unwrap();
    let mut statement = connection
        .prepare("SELECT at FROM rollups WHERE series = ?1 ORDER BY at")
        .unwrap();
    let buckets = statement.query_map([series], |row| row.get(0)).unwrap();
    buckets.map(Result::unwrap).collect()
}

#[test]
fn three_hours_and_weeks_begin_behind_what_was_there_before_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let clock = Clock::new();
    let ledger = open(&path, &clock);
    // On a Monday; the tests' day is the Wednesday that ends a week.
    ingest(&ledger, [given::call("before", NOON - 2 * DAY)]);
    ledger.close();
    without_weeks(&path);

    let midnight = NOON + 12 * HOUR;
    let ledger = open(&path, &clock);
    clock.set(midnight + 6 * HOUR);
    let call = |id: &str, ms| given::call(id, ms);
    ingest(
        &ledger,
        [
            call("the same day", NOON - 2 * DAY + 11 * HOUR),
            call("the next", NOON - DAY),
            call("the next week", midnight + 6 * HOUR),
        ],
    );
    ledger.close();
    assert_eq!(floor(&path, "floor_3h") * 1000, midnight - 2 * DAY);
    assert_eq!(floor(&path, "floor_1w") * 1000, midnight);
    let eighth = |ms: i64| ms / (3 * HOUR);
    assert_eq!(
        buckets(&path, 32),
        [eighth(NOON - DAY), eighth(midnight + 6 * HOUR)]
    );
    assert_eq!(buckets(&path, 40), [midnight / (7 * DAY)]);
}

#[test]
fn values_by_five_minutes_are_put_by_the_hour_and_nothing_else_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let clock = Clock::new();
    let ledger = open(&path, &clock);
    let calls = (0..60).map(|n| {
        let mut call = given::call(n, NOON - n * 4 * MINUTE);
        call.user = (n % 3 > 0).then(|| format!("user-{}", n % 3));
        call
    });
    ingest(&ledger, calls);
    ledger.close();
    let all = |table: &str| -> Vec<(i64, i64, rusqlite::types::Value, Vec<u8>)> {
        let connection = rusqlite::Connection::open(&path).unwrap();
        let mut statement = connection
            .prepare(&format!(
                "SELECT series, at, value, body FROM {table} WHERE series % 8 < 7 ORDER BY 1, 2, 3"
            ))
            .unwrap();
        let rows = statement.query_map([], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        });
        rows.unwrap().map(Result::unwrap).collect()
    };
    let before = (all("rollups"), all("fives"));
    assert!(before.1.iter().all(|rollup| (9..16).contains(&rollup.0)));
    assert!(before.0.iter().all(|rollup| !(9..16).contains(&rollup.0)));
    by_time(&path);
    assert_eq!(all("rollups").len(), before.0.len() + before.1.len());
    open(&path, &clock).close();
    assert_eq!((all("rollups"), all("fives")), before);
    let astray: i64 = rusqlite::Connection::open(&path)
        .unwrap()
        .query_row(
            "SELECT count(*) FROM fives WHERE hour <> at / 12",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!((astray, before.1.is_empty()), (0, false));
}

/// Of calls of before there were sums by key it may not be known whose they were; of no call is told what is wrong.
fn check_keys(usage: &Usage, calls: &[Call]) {
    let inside = |call: &&Call| (usage.window.from..usage.window.to).contains(&call.at);
    naive::same(
        &usage.totals,
        &naive::totals(calls.iter().filter(inside)),
        "totals",
    );
    let sum: u64 = usage.groups.iter().map(|group| group.totals.calls).sum();
    assert_eq!(sum, usage.totals.calls);
    for group in usage.groups.iter().filter(|group| !group.rest) {
        let of_key = calls.iter().filter(|call| call.key == group.key);
        let counted = naive::totals(of_key.filter(inside));
        assert!(group.totals.calls <= counted.calls, "{group:?}");
        let of_series: u64 = group.series.iter().map(|point| point.totals.calls).sum();
        assert_eq!(of_series, group.totals.calls);
    }
}

#[test]
fn calls_of_before_there_were_sums_by_key_are_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let clock = Clock::new();
    let call = |id: &str, key: &str, ms| {
        let mut call = given::call(id, ms);
        call.key = Some(key.to_owned());
        call
    };
    let ledger = open(&path, &clock);
    ingest(&ledger, [call("before", "app", NOON - 2 * DAY)]);
    ledger.close();
    by_time(&path);
    let ledger = open(&path, &clock);
    let late = call("late", "app", NOON - 2 * DAY + MINUTE);
    ingest(&ledger, [late, call("after", "web", NOON - HOUR)]);
    ledger.close();
    let groups = |exact_up_to| -> Vec<(Option<String>, bool, u64)> {
        let options = Options {
            exact_up_to,
            ..clock.options()
        };
        let ledger = Ledger::open_with(&path, options).unwrap().0;
        let query = UsageQuery {
            from: at(NOON - 3 * DAY),
            to: at(NOON),
            step: None,
            group_by: Some(Dimension::Key),
        };
        let usage = ledger.usage(&query, clock.now()).unwrap();
        let groups = usage.groups.into_iter();
        groups
            .map(|group| (group.key, group.rest, group.totals.calls))
            .collect()
    };
    let key = |key: &str, calls| (Some(key.to_owned()), false, calls);
    assert_eq!(groups(0), [key("web", 1), (None, true, 2)]);
    assert_eq!(groups(100), [key("app", 2), key("web", 1)]);

    // Single calls are found all the same.
    let mut query = given::everything();
    query.filter.key = Some("app".to_owned());
    let found = open(&path, &clock).calls(&query).unwrap();
    let ids: Vec<_> = found.iter().map(|call| call.id.as_str()).collect();
    assert_eq!(ids, ["late", "before"]);
}

/// The file as an abrupt end leaves it: the rows are there, and in no sum.
fn copy(folder: &Path, path: &Path) -> PathBuf {
    let copy = folder.join("copy.db");
    std::fs::copy(path, &copy).unwrap();
    std::fs::copy(folder.join("ledger.db-wal"), folder.join("copy.db-wal")).unwrap();
    copy
}

#[test]
fn three_hours_begin_behind_what_is_in_no_sum_yet() {
    for newest_is_a_call in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.db");
        let clock = Clock::new();
        let ledger = open(&path, &clock);
        let (call, report) = if newest_is_a_call {
            (NOON - 4 * HOUR, NOON - 8 * HOUR)
        } else {
            (NOON - 8 * HOUR, NOON - 4 * HOUR)
        };
        let report = given::report(1, ReportKind::Task, report);
        let told = vec![Record::Call(given::call(1, call)), Record::Report(report)];
        ledger.ingest(told).wait().unwrap();
        let path = copy(folder.path(), &path);
        ledger.close();
        without_weeks(&path);
        open(&path, &clock).close();
        assert_eq!(floor(&path, "floor_3h") * 1000, NOON - 3 * HOUR);
    }
}

#[test]
fn three_hours_begin_no_sooner_than_hours() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let clock = Clock::new();
    open(&path, &clock).close();
    without_weeks(&path);
    let hours = (NOON - 10 * DAY - 12 * HOUR) / 1000;
    rusqlite::Connection::open(&path)
        .unwrap()
        .execute("UPDATE meta SET value = ?1 WHERE key = 'floor_1h'", [hours])
        .unwrap();
    open(&path, &clock).close();
    assert_eq!(floor(&path, "floor_1h"), hours);
    assert_eq!(floor(&path, "floor_3h"), hours);
}

#[test]
fn a_new_file_has_them_from_the_first_call_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let ledger = open(&path, &Clock::new());
    ingest(&ledger, [given::call("old", NOON - 29 * DAY)]);
    ledger.close();
    assert_eq!(buckets(&path, 32), [(NOON - 29 * DAY) / (3 * HOUR)]);
    assert_eq!(buckets(&path, 40), [(NOON - 29 * DAY) / (7 * DAY)]);
}

#[derive(Debug, Clone)]
struct Ask {
    from: i64,
    to: i64,
    step: Option<u64>,
    by: Option<usize>,
}

fn moment(latest: i64) -> impl Strategy<Value = i64> {
    prop_oneof![
        3 => -20 * DAY..latest,
        1 => (-160..latest / (3 * HOUR)).prop_map(|eighth| eighth * 3 * HOUR),
    ]
    .prop_map(move |ms| NOON + ms.min(latest - 1))
}

fn ask() -> impl Strategy<Value = Ask> {
    (
        (moment(21 * DAY), moment(21 * DAY)),
        proptest::option::of(proptest::sample::select(&[
            60, 300, 3600, 7200, 10_800, 21_600, 86_400, 604_800,
        ])),
        proptest::option::of(0..Dimension::ALL.len()),
    )
        .prop_map(|((a, b), step, by)| Ask {
            from: a.min(b),
            to: a.max(b),
            step,
            by,
        })
}

/// A call at each moment, and all that there are.
fn take(ledger: &Ledger, moments: impl IntoIterator<Item = i64>, calls: &mut Vec<Call>) {
    let known = calls.len();
    for ms in moments {
        let mut call = given::call(calls.len(), ms);
        call.user = Some(format!("user-{}", ms % 7));
        call.key = (ms % 3 > 0).then(|| format!("key-{}", ms % 3));
        calls.push(call);
    }
    let acks = ingest(ledger, calls[known..].to_vec());
    assert!(acks.iter().all(|ack| *ack == Ack::Accepted));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 200, ..ProptestConfig::default() })]

    /// Whenever it was, by whatever clock, that the file was first opened by a version that has them.
    #[test]
    fn what_an_older_file_says_is_what_counting_says(
        before in proptest::collection::vec(moment(HOUR), 0..30),
        unrolled in any::<bool>(),
        had_weeks in any::<bool>(),
        off in prop_oneof![Just(0), -500 * DAY..500 * DAY],
        after in proptest::collection::vec((0..20 * DAY, proptest::collection::vec(moment(20 * DAY), 1..20)), 1..4),
        asks in proptest::collection::vec(ask(), 1..6),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let mut path = folder.path().join("ledger.db");
        let clock = Clock::new();
        let mut calls = Vec::new();
        let ledger = open(&path, &clock);
        take(&ledger, before, &mut calls);
        if unrolled {
            path = copy(folder.path(), &path);
        }
        ledger.close();
        if had_weeks {
            by_time(&path);
        } else {
            without_weeks(&path);
        }

        clock.set(NOON + off);
        open(&path, &clock).close();
        for (later, moments) in after {
            clock.set(NOON + later);
            let ledger = open(&path, &clock);
            let soonest = NOON + later + HOUR;
            take(&ledger, moments.into_iter().filter(|ms| *ms < soonest), &mut calls);
            for Ask { from, to, step, by } in &asks {
                let group_by = by.map(|by| Dimension::ALL[by]);
                let query = UsageQuery {
                    from: at(*from),
                    to: at(*to),
                    step: step.map(Duration::from_secs),
                    group_by,
                };
                let usage = ledger.usage(&query, clock.now()).unwrap();
                if group_by == Some(Dimension::Key) {
                    check_keys(&usage, &calls);
                } else {
                    naive::check(&usage, group_by, &calls, &[]);
                }
            }
            ledger.close();
        }
    }
}
