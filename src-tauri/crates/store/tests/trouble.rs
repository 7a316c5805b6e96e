//! `telemetry.db` when the disk, the file or the process is not well.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "tests")]

mod common;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use cockpit_store::{Error, Opened, Options, Telemetry};
use common::{at, event, sample};

const T0: i64 = 1_700_000_000;

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

fn impatient() -> Options {
    Options {
        retry_after: Duration::from_millis(50),
        ..Options::default()
    }
}

#[test]
fn a_damaged_file_is_set_aside_on_opening() {
    for spoil in [spoil_with_garbage, truncate] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("telemetry.db");
        let (telemetry, _) = Telemetry::open(&path).unwrap();
        for second in 0..500 {
            telemetry.record_host(&sample(T0 + second, 1.0), &[]);
        }
        telemetry.close();
        spoil(&path);
        let before = fs::read(&path).unwrap();
        let (telemetry, opened) = Telemetry::open(&path).unwrap();
        let Opened::SetAside { moved_to, .. } = opened else {
            panic!("{opened:?}");
        };
        assert_eq!(fs::read(moved_to).unwrap(), before);
        telemetry.record_event(&event(1, T0, "api"));
        assert_eq!(telemetry.events(10, None).unwrap().len(), 1);
    }
}

fn spoil_with_garbage(path: &Path) {
    fs::write(path, vec![0x5A; 20_000]).unwrap();
}

fn truncate(path: &Path) {
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    file.set_len(file.metadata().unwrap().len() / 3).unwrap();
}

#[test]
fn a_newer_layout_is_left_alone_and_named_until_it_is_moved_away() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("telemetry.db");
    drop(Telemetry::open(&path).unwrap());
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.pragma_update(None, "user_version", 777).unwrap();
    drop(connection);
    let before = fs::read(&path).unwrap();
    let (telemetry, opened) = Telemetry::open_with(&path, impatient()).unwrap();
    let Opened::Unavailable { why } = opened else {
        panic!("{opened:?}");
    };
    assert!(why.contains("newer version"), "{why}");
    telemetry.record_event(&event(1, T0, "api"));
    assert!(matches!(
        telemetry.flush().unwrap_err(),
        Error::Newer { found: 777, .. }
    ));
    assert!(matches!(
        telemetry.events(10, None).unwrap_err(),
        Error::Newer { found: 777, .. }
    ));
    assert_eq!(telemetry.stats().last_error, Some(why));
    assert_eq!(fs::read(&path).unwrap(), before);
    // As the remedy says.
    fs::rename(&path, folder.path().join("away.db")).unwrap();
    eventually(|| telemetry.stats().last_error.is_none());
    assert_eq!(telemetry.events(10, None).unwrap().len(), 1);
}

#[test]
fn a_full_disk_is_survived_and_what_fits_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("telemetry.db");
    let options = Options {
        max_bytes: Some(200 * 1024),
        ..impatient()
    };
    let (telemetry, _) = Telemetry::open_with(&path, options.clone()).unwrap();
    telemetry.record_event(&event(1, T0, "first"));
    telemetry.flush().unwrap();
    let mut seq = 1;
    let refused = loop {
        for _ in 0..200 {
            seq += 1;
            telemetry.record_event(&event(seq, T0, "filler"));
        }
        if let Err(error) = telemetry.flush() {
            break error;
        }
    };
    assert!(refused.to_string().contains("full"), "{refused}");
    let stats = telemetry.stats();
    assert!(stats.write_errors > 0);
    assert!(stats.last_error.unwrap().contains("full"));
    // Reading goes on, and what was committed is there.
    assert_eq!(telemetry.events(10, Some("first")).unwrap().len(), 1);
    // Memory stays bounded while it refuses: the rest is dropped and counted.
    for _ in 0..20 {
        for _ in 0..1000 {
            seq += 1;
            telemetry.record_event(&event(seq, T0, "filler"));
        }
        assert!(telemetry.flush().is_err());
    }
    assert!(telemetry.stats().dropped > 0);
    assert!(fs::metadata(&path).unwrap().len() <= 200 * 1024);
    telemetry.close();

    // With room again, all goes on.
    let (telemetry, opened) = Telemetry::open(&path).unwrap();
    assert_eq!(opened, Opened::Ok);
    telemetry.record_event(&event(seq + 1, T0, "after"));
    telemetry.flush().unwrap();
    assert_eq!(telemetry.events(10, Some("after")).unwrap().len(), 1);
}

#[test]
fn what_cannot_be_opened_is_tried_again_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let later = folder.path().join("later");
    let path = later.join("telemetry.db");
    let (telemetry, opened) = Telemetry::open_with(&path, impatient()).unwrap();
    assert!(matches!(opened, Opened::Unavailable { .. }), "{opened:?}");
    telemetry.record_event(&event(5, T0, "api"));
    telemetry.record_host(&sample(T0, 7.0), &common::uses("api", 1.0));
    assert!(telemetry.flush().is_err());
    assert!(telemetry.events(10, None).is_err());
    fs::create_dir(&later).unwrap();
    eventually(|| telemetry.stats().last_error.is_none());
    assert_eq!(telemetry.events(10, None).unwrap(), [event(5, T0, "api")]);
    let series = telemetry
        .host_series(Duration::from_secs(5), 10, at(T0))
        .unwrap();
    let newest = |name: &str| {
        series
            .values
            .get(name)
            .and_then(|column| column.last().copied())
            .flatten()
    };
    assert_eq!(newest("cpu_percent"), Some(7.0));
    assert_eq!(newest("service.api.cpu_percent"), Some(2.0));
}

#[test]
fn damage_while_running_is_set_aside_and_writing_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("telemetry.db");
    let (telemetry, _) = Telemetry::open_with(&path, impatient()).unwrap();
    for seq in 1..2000 {
        telemetry.record_event(&event(seq, T0, "api"));
        if seq % 500 == 0 {
            telemetry.flush().unwrap();
        }
    }
    telemetry.close();
    let (telemetry, _) = Telemetry::open_with(&path, impatient()).unwrap();
    // Everything behind the first page, under a running writer.
    let length = fs::metadata(&path).unwrap().len();
    let mut bytes = fs::read(&path).unwrap();
    bytes.truncate(4096);
    bytes.resize(usize::try_from(length).unwrap(), 0xEE);
    fs::write(&path, bytes).unwrap();

    let mut seq = 10_000;
    eventually(|| {
        seq += 1;
        telemetry.record_event(&event(seq, T0, "api"));
        telemetry.record_host(&sample(T0, 1.0), &[]);
        // Either of them may find it.
        let _ = telemetry.flush();
        let _ = telemetry.events(10, None);
        !telemetry.stats().set_aside.is_empty()
    });
    eventually(|| telemetry.flush().is_ok());
    telemetry.record_event(&event(90_000, T0, "after"));
    assert_eq!(
        telemetry.events(1, None).unwrap(),
        [event(90_000, T0, "after")]
    );
    assert!(telemetry.stats().set_aside.iter().all(|path| path.exists()));
}

const CHILD: &str = "COCKPIT_STORE_TEST_CHILD";

/// Not a test by itself: what the next one starts and kills.
#[test]
fn child_that_writes_until_it_is_killed() {
    let Ok(path) = std::env::var(CHILD) else {
        return;
    };
    let (telemetry, _) = Telemetry::open(&path).unwrap();
    let (state, _) = cockpit_store::StateDb::open(format!("{path}.state")).unwrap();
    for seq in 1.. {
        telemetry.record_event(&event(seq, T0, "api"));
        telemetry.record_host(&sample(T0 + i64::try_from(seq).unwrap(), 1.0), &[]);
        telemetry.flush().unwrap();
        state
            .set_manual_stop(&format!("service-{seq}"), Some(at(T0)))
            .unwrap();
        println!("acknowledged {seq}");
    }
}

#[test]
fn what_was_acknowledged_survives_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("telemetry.db");
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "child_that_writes_until_it_is_killed",
            "--nocapture",
        ])
        .env(CHILD, &path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut acknowledged = 0_u64;
    while acknowledged < 50 {
        let line = lines.next().unwrap().unwrap();
        if let Some((_, seq)) = line.split_once("acknowledged ") {
            acknowledged = seq.parse().unwrap();
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    for line in lines.map_while(Result::ok) {
        if let Some(seq) = line
            .strip_prefix("acknowledged ")
            .and_then(|seq| seq.parse().ok())
        {
            acknowledged = seq;
        }
    }

    let (telemetry, opened) = Telemetry::open(&path).unwrap();
    assert_eq!(opened, Opened::Ok);
    let events = telemetry.events(usize::MAX, None).unwrap();
    assert!(
        events.len() as u64 >= acknowledged,
        "{} of {acknowledged}",
        events.len()
    );
    assert!(telemetry.last_seq() >= acknowledged);
    let now = at(T0 + i64::try_from(acknowledged).unwrap());
    let series = telemetry
        .host_series(Duration::from_secs(acknowledged), 2000, now)
        .unwrap();
    assert!(
        series
            .values
            .get("cpu_percent")
            .unwrap()
            .iter()
            .all(Option::is_some)
    );
    let (state, _) = cockpit_store::StateDb::open(format!("{}.state", path.display())).unwrap();
    assert!(state.manual_stops().unwrap().len() as u64 >= acknowledged);
}
