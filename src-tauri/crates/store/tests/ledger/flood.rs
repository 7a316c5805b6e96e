//! More of one kind than is usual.

use std::collections::HashSet;

use cockpit_model::usage::Dimension;
use cockpit_model::{CallSource, Outcome, Record, ReportKind, Usd};
use cockpit_store::Ledger;
use cockpit_store::ledger::{Ack, Options, Told, UsageQuery};

use crate::given::{self, Clock, DAY, HOUR, NOON, at, everything, ingest};

#[test]
fn the_largest_thousand_are_kept_apart_and_the_rest_is_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let clock = Clock::new();
    let (ledger, _) = given::open(&path, &clock);
    let users = 4_000_i64;
    for round in 0..4 {
        let calls = (0..users).map(|n| {
            let mut call = given::call(format!("{round}-{n}"), NOON - HOUR + n);
            call.user = Some(format!("user-{n}"));
            // The last hundred come last, and cost most.
            let dear = n >= users - 100;
            call.cost_usd = Some(Usd::from_pico(if dear { 9_000_000 } else { n }));
            call
        });
        ingest(&ledger, calls);
        if round == 1 {
            ledger.close();
        }
        if round == 2 {
            break;
        }
        if round == 1 {
            break;
        }
    }
    let (ledger, _) = given::open(&path, &clock);
    let calls = (0..users).map(|n| {
        let mut call = given::call(format!("again-{n}"), NOON - HOUR + n);
        call.user = Some(format!("user-{n}"));
        call.cost_usd = Some(Usd::from_pico(if n >= users - 100 { 9_000_000 } else { n }));
        call
    });
    ingest(&ledger, calls);
    let query = UsageQuery {
        from: at(NOON - DAY),
        to: at(NOON),
        step: None,
        group_by: Some(Dimension::User),
    };
    let usage = ledger.usage(&query, clock.now()).unwrap();
    assert!(!usage.totals.latency_ms.exact);
    assert_eq!(usage.totals.calls, 12_000);
    assert_eq!(usage.groups.len(), 1001);
    let (rest, largest) = usage.groups.split_last().unwrap();
    assert!(rest.rest && largest.iter().all(|group| !group.rest));
    let sum: u64 = usage.groups.iter().map(|group| group.totals.calls).sum();
    assert_eq!(sum, 12_000);
    let cost: Usd = usage
        .groups
        .iter()
        .filter_map(|group| group.totals.cost_usd)
        .sum();
    assert_eq!(Some(cost), usage.totals.cost_usd);
    let dear: HashSet<String> = (users - 100..users).map(|n| format!("user-{n}")).collect();
    let told: HashSet<String> = largest
        .iter()
        .take(100)
        .filter_map(|group| group.key.clone())
        .collect();
    assert_eq!(told, dear);
    assert!(
        largest
            .iter()
            .take(100)
            .all(|group| group.totals.calls == 3)
    );
    let off = (usage.business.active_users as f64 - users as f64).abs() / users as f64;
    assert!(off < 0.08, "{}", usage.business.active_users);
}

#[test]
fn a_crowded_millisecond_holds_them_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let clock = Clock::new();
    for round in 0..3 {
        let (ledger, _) = given::open(&path, &clock);
        let acks = ingest(
            &ledger,
            (0..3_000).map(|n| given::call(format!("{round}-{n}"), NOON)),
        );
        assert!(acks.iter().all(|ack| *ack == Ack::Accepted));
    }
    let (ledger, _) = given::open(&path, &clock);
    let ids: HashSet<String> = ledger
        .calls(&everything())
        .unwrap()
        .into_iter()
        .map(|call| call.id)
        .collect();
    assert_eq!(ids.len(), 9_000);
}

#[test]
fn an_id_counts_once_also_over_restarts_and_midnight() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let clock = Clock::new();
    let (ledger, _) = given::open(&path, &clock);
    let twice = [given::call("a", NOON), given::call("a", NOON)];
    assert_eq!(ingest(&ledger, twice), [Ack::Accepted, Ack::Duplicate]);
    drop(ledger);
    let (ledger, _) = given::open(&path, &clock);
    assert_eq!(ingest(&ledger, [given::call("a", NOON)]), [Ack::Duplicate]);
    // Another reporter's "a" is another call, and so is a report's.
    let mut other = given::call("a", NOON);
    other.source = CallSource::Otlp;
    assert_eq!(ingest(&ledger, [other]), [Ack::Accepted]);
    // By the id our gateway gave it, a call is the gateway's, whoever tells of it.
    let own = "01HF9DMFG00000000000000000";
    let mut told = given::call(own, NOON);
    told.source = CallSource::Gateway;
    ledger.record(told.clone());
    for source in [CallSource::Events, CallSource::Otlp] {
        told.source = source;
        assert_eq!(ingest(&ledger, [told.clone()]), [Ack::Duplicate]);
    }
    let report = given::report("a", ReportKind::Task, NOON);
    let both = vec![Record::Report(report.clone()), Record::Report(report)];
    assert_eq!(
        ledger.ingest(both).wait().unwrap(),
        [Ack::Accepted, Ack::Duplicate]
    );

    // Sent without a time, and so dated on arrival: before midnight, and again after it.
    let midnight = NOON + 12 * HOUR;
    clock.set(midnight - 2_000);
    assert_eq!(
        ingest(&ledger, [given::call("late", midnight - 2_000)]),
        [Ack::Accepted]
    );
    clock.set(midnight + 3 * HOUR);
    assert_eq!(
        ingest(&ledger, [given::call("late", midnight + 3 * HOUR)]),
        [Ack::Duplicate]
    );
    let stats = ledger.stats();
    assert_eq!((stats.accepted, stats.duplicates), (4, 5));
}

#[test]
fn an_id_without_a_time_counts_once_as_long_as_ids_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::new();
    let (ledger, _) = given::open(&folder.path().join("ledger.db"), &clock);
    let told = |ms: i64, undated: bool| {
        let told = Told {
            record: Record::Call(given::call("x", ms)),
            undated,
        };
        clock.set(ms);
        ledger.ingest_told(vec![told]).wait().unwrap().remove(0)
    };
    assert_eq!(told(NOON, true), Ack::Accepted);
    for days in [0, 1, 2, 29] {
        assert_eq!(told(NOON + days * DAY, true), Ack::Duplicate);
    }
    // Who tells a time may number each day's calls anew.
    assert_eq!(told(NOON + 3 * DAY, false), Ack::Accepted);
}

#[test]
fn what_cannot_be_accounted_for_is_refused_one_by_one() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::new();
    let (ledger, _) = given::open(&folder.path().join("ledger.db"), &clock);
    let spoil: [fn(&mut cockpit_model::Call); 8] = [
        |call| call.id.clear(),
        |call| call.at = at(NOON - 40 * DAY),
        |call| call.at = at(NOON + 2 * DAY),
        |call| call.user = Some("x".repeat(300)),
        |call| call.latency_ms = Some(f64::NAN),
        |call| call.ttft_ms = Some(-1.0),
        |call| call.input_tokens = Some(u64::MAX),
        |call| call.cost_usd = Some(Usd::from_pico(-1)),
    ];
    let mut calls = vec![given::call("good", NOON)];
    for (n, spoil) in spoil.iter().enumerate() {
        let mut call = given::call(n, NOON);
        spoil(&mut call);
        calls.push(call);
    }
    let acks = ingest(&ledger, calls.clone());
    assert_eq!(acks[0], Ack::Accepted);
    for (ack, why) in acks[1..].iter().zip([
        "id", "older", "future", "user", "latency", "ttft", "input", "cost",
    ]) {
        let Ack::Refused(reason) = ack else {
            panic!("{ack:?}");
        };
        assert!(reason.contains(why), "{reason}");
    }
    assert_eq!(ledger.stats().refused, 8);
    assert_eq!(ledger.calls(&everything()).unwrap(), calls[..1]);

    // What went through our own gateway happened: it is kept, as far as it can be.
    let mut own = given::call("own", NOON);
    own.source = CallSource::Gateway;
    own.user = Some("é".repeat(300));
    own.latency_ms = Some(f64::INFINITY);
    ledger.record(own);
    let newest = ledger.calls(&everything()).unwrap();
    let own = newest.iter().find(|call| call.id == "own").unwrap();
    assert_eq!(own.user, Some("é".repeat(128)));
    assert_eq!(own.latency_ms, None);
}

#[test]
fn a_call_of_our_own_that_found_nobody_to_ask_is_accounted_for() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::new();
    let path = folder.path().join("ledger.db");
    let (ledger, _) = given::open(&path, &clock);
    let nobody = |id: &str| {
        let mut call = given::call(id, NOON);
        call.source = CallSource::Gateway;
        call.provider.clear();
        call.target.clear();
        call.outcome = Outcome::Error;
        call.error = Some("caller_unknown_model".to_owned());
        call.attempts = 0;
        call
    };
    let mut unnamed = nobody("unnamed");
    unnamed.model.clear();
    ledger.record(nobody("own"));
    ledger.record(unnamed.clone());
    // Whoever reports one has to say who was asked.
    let [Ack::Refused(why)] = &ingest(&ledger, [nobody("reported")])[..] else {
        panic!("a reported call without a provider is taken");
    };
    assert!(why.contains("provider"), "{why}");
    let found = ledger.calls(&everything()).unwrap();
    assert_eq!(found.len(), 2);
    assert!(found.contains(&nobody("own")) && found.contains(&unnamed));

    // Counted one by one, and from the rollups after the next start.
    drop(ledger);
    for exact_up_to in [10_000, 0] {
        let options = Options {
            exact_up_to,
            ..clock.options()
        };
        let (ledger, _) = Ledger::open_with(&path, options).unwrap();
        for by in [Dimension::Provider, Dimension::Model] {
            let query = UsageQuery {
                from: at(NOON - HOUR),
                to: at(NOON + HOUR),
                step: None,
                group_by: Some(by),
            };
            let groups = ledger.usage(&query, clock.now()).unwrap().groups;
            let told: Vec<_> = groups
                .iter()
                .map(|group| (group.key.as_deref(), group.totals.errors))
                .collect();
            assert_eq!(told, [(None, 2)], "{by:?}");
        }
    }
}
