//! When the disk, the file or the process is not well; and when time passes.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use cockpit_model::usage::Dimension;
use cockpit_model::{CallSource, Record, ReportKind};
use cockpit_store::ledger::{Ack, CallFilter, CallsQuery, Opening, Options, UsageQuery};
use cockpit_store::{Error, Ledger, Opened};

use crate::given::{self, Clock, DAY, HOUR, NOON, at, everything, ingest};
use crate::naive;

/// Waits for something that happens by itself; how soon is no matter of this test.
fn eventually(mut done: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !done() {
        assert!(
            begin.elapsed() < Duration::from_secs(60),
            "it never happened"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn an_abrupt_end_is_told_with_the_time_until_which_all_is_known() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let clock = Clock::new();
    let (ledger, opening) = given::open(&path, &clock);
    let fresh = Opening {
        opened: Opened::Fresh,
        known_until: None,
    };
    assert_eq!(opening, fresh);
    clock.set(NOON + HOUR);
    ingest(&ledger, [given::call(1, NOON)]);
    let copy = folder.path().join("copy.db");
    fs::copy(&path, &copy).unwrap();
    fs::copy(
        folder.path().join("ledger.db-wal"),
        folder.path().join("copy.db-wal"),
    )
    .unwrap();
    ledger.close();
    clock.set(NOON + 2 * HOUR);
    let (_, opening) = given::open(&path, &clock);
    assert_eq!(
        opening,
        Opening {
            opened: Opened::Ok,
            known_until: None
        }
    );
    let (ledger, opening) = given::open(&copy, &clock);
    assert_eq!(opening.known_until, Some(at(NOON + HOUR)));
    assert_eq!(ledger.calls(&everything()).unwrap().len(), 1);
}

#[test]
fn a_call_of_our_own_reaches_the_disk_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::new();
    let (ledger, _) = given::open(&folder.path().join("ledger.db"), &clock);
    ledger.record(given::call(1, NOON));
    eventually(|| ledger.stats().accepted == 1);
}

#[test]
fn a_damaged_file_is_set_aside_and_a_newer_one_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let clock = Clock::new();
    let (ledger, _) = given::open(&path, &clock);
    ingest(&ledger, (0..500).map(|n| given::call(n, NOON - n)));
    ledger.close();
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(file.metadata().unwrap().len() / 3).unwrap();
    let before = fs::read(&path).unwrap();
    let (ledger, opening) = given::open(&path, &clock);
    let Opened::SetAside { moved_to, .. } = opening.opened else {
        panic!("{opening:?}");
    };
    assert_eq!(fs::read(moved_to).unwrap(), before);
    assert_eq!(ingest(&ledger, [given::call(1, NOON)]), [Ack::Accepted]);
    ledger.close();

    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.pragma_update(None, "user_version", 9).unwrap();
    drop(connection);
    let refused = Ledger::open_with(&path, clock.options()).unwrap_err();
    assert!(matches!(refused, Error::Newer { found: 9, .. }));
}

#[test]
fn damage_while_running_is_set_aside_and_nothing_acknowledged_afterwards_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let clock = Clock::new();
    let (ledger, _) = given::open(&path, &clock);
    ingest(&ledger, (0..3_000).map(|n| given::call(n, NOON - n)));
    // All of it in the file, none in the journal.
    ledger.close();
    let (ledger, _) = given::open(&path, &clock);
    let length = fs::metadata(&path).unwrap().len() as usize;
    let mut spoilt = fs::read(&path).unwrap();
    spoilt[4096..].fill(0x5a);
    fs::write(&path, &spoilt[..length]).unwrap();
    let mut n = 0;
    eventually(|| {
        n += 1;
        let call = given::call(format!("old-{n}"), NOON);
        let acked = ledger.ingest(vec![Record::Call(call)]).wait();
        // The writer remembers pages and may not notice for long; a reader does, and says so to the
        // writer: what was acknowledged before it looked went into the damaged file.
        drop(ledger.calls(&everything()));
        acked.is_ok() && !ledger.stats().set_aside.is_empty()
    });
    assert_eq!(ingest(&ledger, [given::call("new", NOON)]), [Ack::Accepted]);
    assert!(
        ledger
            .calls(&everything())
            .unwrap()
            .iter()
            .any(|call| call.id == "new")
    );
    assert!(ledger.stats().set_aside[0].exists());
}

#[test]
fn a_full_disk_refuses_what_waits_and_keeps_what_is_our_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let clock = Clock::new();
    let options = Options {
        max_bytes: Some(400 * 1024),
        retry_after: Duration::from_millis(20),
        ..clock.options()
    };
    let (ledger, _) = Ledger::open_with(&path, options).unwrap();
    let mut written = 0;
    let refused = loop {
        let calls = (written..written + 500).map(|n| Record::Call(given::call(n, NOON - n)));
        match ledger.ingest(calls.collect()).wait() {
            Ok(acks) => assert!(acks.iter().all(|ack| *ack == Ack::Accepted)),
            Err(error) => break error,
        }
        written += 500;
    };
    assert!(
        matches!(&refused, Error::NotDurable { why } if why.contains("full")),
        "{refused}"
    );
    // Nothing of the refused batch is there, and reading goes on.
    assert_eq!(ledger.calls(&everything()).unwrap().len() as i64, written);
    let mut own = 0;
    loop {
        ledger.record(given::call(format!("own-{own}"), NOON - own));
        own += 1;
        if ledger.flush().is_err() {
            break;
        }
    }
    assert!(ledger.stats().last_error.is_some());
    // More of our own than is kept in memory is dropped, and counted.
    for n in 0..20_000 {
        ledger.record(given::call(format!("more-{n}"), NOON));
        if n % 1000 == 0 {
            assert!(ledger.flush().is_err());
        }
    }
    assert!(ledger.flush().is_err());
    assert!(ledger.stats().dropped >= 3_000);
    ledger.close();

    let (ledger, _) = given::open(&path, &clock);
    let again = (written..written + 500).map(|n| given::call(n, NOON - n));
    assert!(
        ingest(&ledger, again)
            .iter()
            .all(|ack| *ack == Ack::Accepted)
    );
}

/// Makes a table refuse what is written into it, as a full disk would, until told otherwise.
fn refuse(path: &Path, table: &str, refuses: bool) {
    let statement = if refuses {
        format!(
            "CREATE TRIGGER full_{table} BEFORE INSERT ON {table}
             BEGIN SELECT RAISE(ABORT, 'the disk is full'); END"
        )
    } else {
        format!("DROP TRIGGER full_{table}")
    };
    let connection = rusqlite::Connection::open(path).unwrap();
    connection.busy_timeout(Duration::from_secs(60)).unwrap();
    connection.execute_batch(&statement).unwrap();
}

/// A ledger that soon tries again what fails, and a table of it that takes nothing.
fn refusing(path: &std::path::Path, table: &str) -> Ledger {
    let options = Options {
        retry_after: Duration::from_millis(20),
        ..Clock::new().options()
    };
    let (ledger, _) = Ledger::open_with(path, options).unwrap();
    refuse(path, table, true);
    ledger
}

#[test]
fn our_own_calls_reach_the_disk_again_after_others_were_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let ledger = refusing(&path, "calls");
    let others = vec![Record::Call(given::call(1, NOON))];
    assert!(ledger.ingest(others).wait().is_err());
    refuse(&path, "calls", false);
    // Nobody asks for anything that would have it written.
    eventually(|| ledger.stats().last_error.is_none());
    ledger.record(given::call("own", NOON));
    eventually(|| ledger.stats().accepted == 1);
}

#[test]
fn our_own_calls_reach_the_disk_after_the_sums_could_not_be_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let ledger = refusing(&path, "rollups");
    ingest(&ledger, [given::call(1, NOON)]);
    let of_openai = CallsQuery {
        filter: CallFilter {
            provider: Some("openai".to_owned()),
            ..CallFilter::default()
        },
        ..everything()
    };
    // It has the sums written, which fails; what it reads is right without them.
    assert_eq!(ledger.calls(&of_openai).unwrap().len(), 1);
    assert!(ledger.stats().write_errors > 0);
    ledger.record(given::call("own", NOON));
    eventually(|| ledger.stats().accepted == 2);
    refuse(&path, "rollups", false);
    eventually(|| ledger.stats().last_error.is_none());
    assert_eq!(ledger.calls(&of_openai).unwrap().len(), 2);
}

#[test]
fn what_cannot_be_opened_is_tried_again_and_loses_nothing_of_our_own() {
    let folder = tempfile::tempdir().unwrap();
    let later = folder.path().join("later");
    let path = later.join("ledger.db");
    let clock = Clock::new();
    let options = Options {
        retry_after: Duration::from_millis(20),
        ..clock.options()
    };
    let (ledger, opening) = Ledger::open_with(&path, options).unwrap();
    assert!(matches!(opening.opened, Opened::Unavailable { .. }));
    ledger.record(given::call("own", NOON));
    assert!(
        ledger
            .ingest(vec![Record::Call(given::call(1, NOON))])
            .wait()
            .is_err()
    );
    assert!(ledger.calls(&everything()).is_err());
    fs::create_dir(&later).unwrap();
    eventually(|| ledger.stats().accepted == 1);
    assert_eq!(ledger.calls(&everything()).unwrap()[0].id, "own");
}

/// A ledger that was told of these, and is opened again 32 days after the tests' day; as if that had been caught up with.
fn a_month_later(path: &Path, clock: &Clock, records: Vec<Record>) -> Ledger {
    let (ledger, _) = given::open(path, clock);
    ledger.ingest(records).wait().unwrap();
    ledger.close();
    clock.set(NOON + 32 * DAY);
    let options = Options {
        pace: None,
        ..clock.options()
    };
    Ledger::open_with(path, options).unwrap().0
}

#[test]
fn what_is_old_is_dropped_and_its_days_are_still_known() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let clock = Clock::new();
    let calls: Vec<_> = (0..9_000).map(|n| given::call(n, NOON - n)).collect();
    let report = given::report(1, ReportKind::Task, NOON);
    let told = calls.iter().cloned().map(Record::Call);
    let told = told.chain([Record::Report(report)]).collect();
    let ledger = a_month_later(&path, &clock, told);
    assert_eq!(ledger.oldest(), at(NOON + 2 * DAY - 12 * HOUR));
    assert_eq!(ledger.calls(&everything()).unwrap(), []);
    let rows = || {
        let connection = rusqlite::Connection::open(&path).unwrap();
        ["calls", "reports", "seen", "names"].map(|table| {
            let count = format!("SELECT count(*) FROM {table}");
            connection
                .query_row(&count, [], |row| row.get::<_, i64>(0))
                .unwrap()
        })
    };
    eventually(|| rows() == [0; 4]);
    let query = UsageQuery {
        from: at(NOON - 60 * DAY),
        to: at(NOON + 32 * DAY),
        step: None,
        group_by: Some(Dimension::User),
    };
    let usage = ledger.usage(&query, clock.now()).unwrap();
    assert_eq!(usage.totals.calls, 9_000);
    assert_eq!(usage.groups[0].key.as_deref(), Some("ada"));
    assert_eq!(usage.groups[0].totals.calls, 9_000);
    assert_eq!(usage.business.tasks, 1);
    assert_eq!(
        usage
            .series
            .iter()
            .map(|point| point.totals.calls)
            .sum::<u64>(),
        9_000
    );
    // A name that was dropped is made again.
    ingest(&ledger, [given::call("new", NOON + 32 * DAY)]);
    assert_eq!(
        ledger.calls(&everything()).unwrap()[0].user.as_deref(),
        Some("ada")
    );
    // What was refused as too old before is not a duplicate of anything: it is too old.
    assert!(matches!(
        &ingest(&ledger, [calls[0].clone()])[..],
        [Ack::Refused(_)]
    ));
}

#[test]
fn a_window_whose_calls_are_dropped_has_nothing_of_the_hours_behind_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let clock = Clock::new();
    // A Monday, and the day after it.
    let day = NOON - 2 * DAY - 12 * HOUR;
    let times = [3 * HOUR, 15 * HOUR, DAY + HOUR];
    let told = times.map(|time| Record::Call(given::call(time, day + time)));
    let ledger = a_month_later(&path, &clock, told.into());
    // Its hours are still known.
    eventually(|| ledger.calls(&everything()).unwrap().is_empty());
    for (hours, calls) in [(12, 1), (18, 2), (24, 2), (48, 3)] {
        let query = UsageQuery {
            from: at(day),
            to: at(day + hours * HOUR),
            step: None,
            group_by: Some(Dimension::Model),
        };
        let usage = ledger.usage(&query, clock.now()).unwrap();
        assert_eq!(usage.window.to, query.to);
        assert_eq!(usage.totals.calls, calls, "{hours} hours");
        assert_eq!(usage.groups[0].totals.calls, calls, "{hours} hours");
    }
}

#[test]
fn a_clock_that_leaps_ahead_for_a_moment_drops_nothing_and_shuts_nothing_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let clock = Clock::new();
    let (ledger, _) = given::open(&path, &clock);
    let mut calls: Vec<_> = (0..29).map(|n| given::call(n, NOON - n * DAY)).collect();
    ingest(&ledger, calls.clone());
    ledger.close();

    clock.set(NOON + 400 * DAY);
    let (ledger, _) = given::open(&path, &clock);
    ledger.flush().unwrap();
    ledger.close();

    clock.set(NOON + 1);
    let (ledger, _) = given::open(&path, &clock);
    for n in [100, 101] {
        calls.push(given::call(n, NOON - (n - 100) * DAY));
    }
    let acks = ingest(&ledger, calls[29..].to_vec());
    assert_eq!(acks, [Ack::Accepted, Ack::Accepted]);
    let query = UsageQuery {
        from: at(NOON - 29 * DAY),
        to: at(NOON + HOUR),
        step: None,
        group_by: Some(Dimension::User),
    };
    let usage = ledger.usage(&query, clock.now()).unwrap();
    naive::check(&usage, Some(Dimension::User), &calls, &[]);
}

#[test]
fn after_a_clock_that_was_ahead_for_long_what_is_new_is_let_in_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let clock = Clock::new();
    let open = || {
        let options = Options {
            pace: None,
            exact_up_to: 0,
            ..clock.options()
        };
        Ledger::open_with(&path, options).unwrap().0
    };
    let ledger = open();
    ingest(&ledger, [given::call("before", NOON - DAY)]);
    ledger.close();
    clock.set(NOON + 1000 * DAY);
    let ledger = open();
    eventually(|| ledger.calls(&everything()).unwrap().is_empty());
    ledger.close();

    clock.set(NOON + 2 * HOUR);
    let ledger = open();
    let calls: Vec<_> = (0..90)
        .map(|n| given::call(n, NOON + n * HOUR / 60))
        .collect();
    assert!(
        ingest(&ledger, calls[..80].to_vec())
            .iter()
            .all(|ack| *ack == Ack::Accepted)
    );
    for own in &calls[80..] {
        ledger.record(own.clone());
    }
    for step in [
        None,
        Some(Duration::from_secs(60)),
        Some(Duration::from_secs(3600)),
    ] {
        let query = UsageQuery {
            from: at(NOON - HOUR),
            to: at(NOON + 3 * HOUR),
            step,
            group_by: Some(Dimension::Model),
        };
        let usage = ledger.usage(&query, clock.now()).unwrap();
        naive::check(&usage, Some(Dimension::Model), &calls, &[]);
    }
}

#[test]
fn a_call_of_our_own_counts_whenever_the_clock_says_it_began() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::new();
    let (ledger, _) = given::open(&folder.path().join("ledger.db"), &clock);
    for (id, ms) in [("early", NOON - 400 * DAY), ("late", NOON + 400 * DAY)] {
        let mut call = given::call(id, ms);
        call.source = CallSource::Gateway;
        ledger.record(call);
    }
    let calls = ledger.calls(&everything()).unwrap();
    let times: Vec<_> = calls.iter().map(|call| call.at).collect();
    assert_eq!(
        times,
        [at(NOON), at(NOON)],
        "they happened, and that was now"
    );
    assert_eq!(ledger.stats().refused, 0);
}
