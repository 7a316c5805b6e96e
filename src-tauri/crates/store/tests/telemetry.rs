//! `telemetry.db`: what is recorded is there, for as long as it should be.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use cockpit_model::host::Gpu;
use cockpit_model::{Event, EventBody, Mark};
use cockpit_store::tiers::TIERS;
use cockpit_store::{Opened, Options, Telemetry};
use common::{at, event, sample, uses};
use jiff::Timestamp;
use proptest::prelude::*;

const T0: i64 = 1_700_000_000 - 1_700_000_000 % 3600;

#[test]
fn a_sample_comes_back_in_every_column() {
    let folder = tempfile::tempdir().unwrap();
    let (telemetry, opened) = Telemetry::open(folder.path().join("telemetry.db")).unwrap();
    assert_eq!(opened, Opened::Fresh);
    for second in 0..10 {
        let mut one = sample(T0 + second, second as f32);
        one.gpu = (second >= 5).then(|| Gpu {
            name: "GPU".to_owned(),
            percent: Some(40.0),
            memory_used_bytes: None,
        });
        telemetry.record_host(&one, &uses("api", second as f32));
    }
    let series = telemetry
        .host_series(Duration::from_secs(10), 100, at(T0 + 9))
        .unwrap();
    assert_eq!(series.step_ms, 1000);
    assert_eq!(
        series.at_ms,
        (0..10).map(|i| (T0 + i) * 1000).collect::<Vec<_>>()
    );
    let column = |name: &str| series.values[name].clone();
    let seconds: Vec<_> = (0..10).map(|i| Some(f64::from(i))).collect();
    assert_eq!(column("cpu_percent"), seconds);
    assert_eq!(column("cpu_percent_max"), seconds);
    assert_eq!(
        column("memory_used_bytes"),
        vec![Some(8.0 * 1024.0 * 1024.0); 10]
    );
    assert_eq!(column("swap_used_bytes"), vec![Some(4096.0); 10]);
    assert_eq!(column("rx_bytes_per_s"), vec![Some(1000.0); 10]);
    assert_eq!(column("tx_bytes_per_s"), vec![Some(500.0); 10]);
    assert_eq!(column("cockpit_cpu_percent"), vec![Some(0.25); 10]);
    assert_eq!(
        column("cockpit_memory_bytes"),
        vec![Some(20.0 * 1024.0 * 1024.0); 10]
    );
    assert_eq!(
        column("gpu_percent")[..6],
        [None, None, None, None, None, Some(40.0)]
    );
    // Two instances, together.
    assert_eq!(column("service.api.cpu_percent")[4], Some(8.0));
    assert_eq!(
        column("service.api.memory_bytes")[4],
        Some(2.0 * 1024.0 * 1024.0)
    );
}

#[test]
fn means_are_weighted_and_peaks_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (telemetry, _) = Telemetry::open(folder.path().join("telemetry.db")).unwrap();
    // Ten seconds of which one is a peak.
    for second in 0..10 {
        let cpu = if second == 3 { 100.0 } else { 10.0 };
        telemetry.record_host(&sample(T0 + second, cpu), &[]);
    }
    let series = telemetry
        .host_series(Duration::from_secs(600), 60, at(T0 + 9))
        .unwrap();
    assert_eq!(
        series.values["cpu_percent"].last().copied().flatten(),
        Some(19.0)
    );
    assert_eq!(
        series.values["cpu_percent_max"].last().copied().flatten(),
        Some(100.0)
    );
    assert_eq!(
        series.values["cpu_percent"].iter().flatten().count(),
        1,
        "the rest is a gap"
    );
}

#[test]
fn an_interrupted_bucket_is_continued() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("telemetry.db");
    for (second, cpu) in [(0, 10.0), (20, 20.0), (40, 60.0)] {
        let (telemetry, _) = Telemetry::open(&path).unwrap();
        telemetry.record_host(&sample(T0 + second, cpu), &uses("api", cpu));
        telemetry.close();
    }
    let (telemetry, opened) = Telemetry::open(&path).unwrap();
    assert_eq!(opened, Opened::Ok);
    let series = telemetry
        .host_series(Duration::from_secs(86_400), 1440, at(T0 + 59))
        .unwrap();
    assert_eq!(
        series.values["cpu_percent"].last().copied().flatten(),
        Some(30.0)
    );
    assert_eq!(
        series.values["service.api.cpu_percent"]
            .last()
            .copied()
            .flatten(),
        Some(60.0)
    );
    let minutes: i64 = query(&path, "SELECT n FROM host_1m");
    assert_eq!(minutes, 3);
}

fn query<T: rusqlite::types::FromSql>(path: &std::path::Path, sql: &str) -> T {
    rusqlite::Connection::open(path)
        .unwrap()
        .query_row(sql, [], |row| row.get(0))
        .unwrap()
}

#[test]
fn every_tier_keeps_what_it_promises_and_drops_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("telemetry.db");
    let options = Options {
        pace: None,
        ..Options::default()
    };
    let (telemetry, _) = Telemetry::open_with(&path, options).unwrap();
    let day = 86_400;
    // Three years, seen now and then; the last two hours each second.
    let mut now = T0;
    while now < T0 + 3 * 365 * day {
        telemetry.record_host(&sample(now, 5.0), &[]);
        telemetry.record_event(&event(u64::try_from(now - T0).unwrap() + 1, now, "api"));
        telemetry.flush().unwrap();
        now += 5 * day + 1;
    }
    for second in 0..7200 {
        telemetry.record_host(&sample(now + second, 5.0), &[]);
        if second % 1000 == 0 {
            telemetry.flush().unwrap();
        }
    }
    now += 7199;
    telemetry.flush().unwrap();
    for tier in TIERS {
        let oldest: i64 = query(&path, &format!("SELECT min(at) FROM {}", tier.table));
        // The newest prune may be a minute of samples ago.
        assert!(
            oldest >= now - tier.keep - tier.chunk - 1100,
            "{}: {oldest}",
            tier.table
        );
        let kept: i64 = query(
            &path,
            &format!(
                "SELECT count(*) FROM {} WHERE at > {now} - {}",
                tier.table, tier.keep
            ),
        );
        let expected = match tier.step {
            1 => 3600,
            10 => 720,
            60 => 120 + 6,
            _ => 730 / 5,
        };
        assert!((kept - expected).abs() <= 3, "{}: {kept}", tier.table);
    }
    let events: i64 = query(&path, "SELECT count(*) FROM events");
    // One every five days, the newest five days ago: a sixth may be in the day that is dropped whole.
    assert!((5..=6).contains(&events), "{events} of the last month");
}

#[test]
fn a_clock_that_leaps_ahead_for_a_moment_costs_no_history() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("telemetry.db");
    let ahead = 400 * 86_400;
    let count = || -> i64 {
        query(
            &path,
            &format!("SELECT count(*) FROM host_1s WHERE at <= {}", T0 + 20),
        )
    };
    let (telemetry, _) = Telemetry::open(&path).unwrap();
    for second in 0..10 {
        telemetry.record_host(&sample(T0 + second, 5.0), &[]);
    }
    telemetry.record_event(&event(1, T0, "api"));
    telemetry.flush().unwrap();
    // While it runs, and at a start.
    telemetry.record_host(&sample(T0 + ahead, 5.0), &[]);
    telemetry.flush().unwrap();
    telemetry.close();
    let (telemetry, _) = Telemetry::open(&path).unwrap();
    telemetry.record_host(&sample(T0 + ahead + 1, 5.0), &[]);
    telemetry.flush().unwrap();
    for second in 10..20 {
        telemetry.record_host(&sample(T0 + second, 5.0), &[]);
    }
    telemetry.flush().unwrap();
    assert_eq!(count(), 20);
    assert_eq!(telemetry.events(10, None).unwrap().len(), 1);
}

#[test]
fn events_come_newest_first_and_by_service() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("telemetry.db");
    let (telemetry, _) = Telemetry::open(&path).unwrap();
    assert_eq!(telemetry.last_seq(), 0);
    let mark = Event {
        seq: 3,
        at: Timestamp::new(T0, 987_654_321).unwrap(),
        body: EventBody::Mark(Mark::Slept { slept_ms: 5 }),
    };
    let all = [
        event(1, T0, "api"),
        event(2, T0, "ollama"),
        mark.clone(),
        event(4, T0 + 1, "api"),
    ];
    for one in &all {
        telemetry.record_event(one);
    }
    let mut newest_first = all.to_vec();
    newest_first.reverse();
    assert_eq!(telemetry.events(10, None).unwrap(), newest_first);
    assert_eq!(telemetry.events(2, None).unwrap(), newest_first[..2]);
    assert_eq!(telemetry.events(10, Some("ollama")).unwrap(), all[1..2]);
    assert_eq!(telemetry.events(10, Some("' OR 1=1 --")).unwrap(), []);
    assert_eq!(telemetry.events_after(0, 9, 2).unwrap(), all[..2]);
    assert_eq!(telemetry.events_after(2, 9, 2).unwrap(), all[2..]);
    assert_eq!(telemetry.events_after(2, 3, 9).unwrap(), all[2..3]);
    assert_eq!(telemetry.events_after(4, 9, 9).unwrap(), []);
    let at = |second| Timestamp::from_second(second).unwrap();
    assert_eq!(telemetry.marks(at(T0), at(T0 + 1), 10).unwrap(), [mark]);
    assert_eq!(telemetry.marks(at(T0 + 1), at(T0 + 9), 10).unwrap(), []);
}

#[test]
fn numbering_never_goes_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("telemetry.db");
    let (telemetry, _) = Telemetry::open(&path).unwrap();
    telemetry.record_event(&event(41, T0, "api"));
    telemetry.flush().unwrap();
    // As an abrupt end would leave it.
    let copy = folder.path().join("abrupt.db");
    for journal in ["", "-wal", "-shm"] {
        let from = folder.path().join(format!("telemetry.db{journal}"));
        if from.exists() {
            std::fs::copy(from, folder.path().join(format!("abrupt.db{journal}"))).unwrap();
        }
    }
    telemetry.close();
    let (after_clean_end, _) = Telemetry::open(&path).unwrap();
    assert_eq!(after_clean_end.last_seq(), 41);
    assert_eq!(after_clean_end.events(10, None).unwrap().len(), 1);
    let (after_abrupt_end, _) = Telemetry::open(&copy).unwrap();
    assert!(after_abrupt_end.last_seq() >= 41);
}

#[test]
fn disks_have_a_history() {
    let folder = tempfile::tempdir().unwrap();
    let (telemetry, _) = Telemetry::open(folder.path().join("telemetry.db")).unwrap();
    for minute in 0..5 {
        let mut one = sample(T0 + minute * 60, 1.0);
        one.disks[0].free_bytes = 1024 * (1000 - minute.unsigned_abs());
        telemetry.record_host(&one, &[]);
    }
    let histories = telemetry.disk_histories(at(T0 + 60)).unwrap();
    let expected: Vec<_> = (1..5_i64)
        .map(|minute| (at(T0 + minute * 60), 1024 * (1000 - minute.unsigned_abs())))
        .collect();
    assert_eq!(histories, BTreeMap::from([("/".to_owned(), expected)]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_series_never_exceeds_its_points_nor_what_was_measured(
        steps in proptest::collection::vec((1_i64..400, 0.0_f32..100.0), 1..60),
        window in 1_u64..200_000,
        max_points in 0_usize..300,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let (telemetry, _) = Telemetry::open(folder.path().join("telemetry.db")).unwrap();
        let mut now = T0;
        for (step, cpu) in &steps {
            now += step;
            telemetry.record_host(&sample(now, *cpu), &[]);
        }
        let series = telemetry.host_series(Duration::from_secs(window), max_points, at(now)).unwrap();
        prop_assert!(series.at_ms.len() <= max_points);
        prop_assert!(series.values.values().all(|column| column.len() == series.at_ms.len()));
        if max_points > 0 {
            let column = &series.values["cpu_percent"];
            prop_assert!(column.last().copied().flatten().is_some(), "the newest is there");
            let low = steps.iter().map(|(_, cpu)| *cpu).fold(100.0, f32::min) - 0.02;
            let high = steps.iter().map(|(_, cpu)| *cpu).fold(0.0, f32::max) + 0.02;
            prop_assert!(column.iter().flatten().all(|cpu| (f64::from(low)..=f64::from(high)).contains(cpu)));
        }
    }
}
