//! The engine killed in the middle of load, again and again: no acknowledged event lost, none twice; of the gateway's
//! calls at most the last 100 ms.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cockpit_model::Timestamp;
use cockpit_store::Ledger;
use cockpit_store::ledger::{CallFilter, CallsQuery};
use rand::Rng as _;
use serde_json::{Value, json};

use crate::figure;
use crate::gateway::Stage;
use crate::wire::{Connection, request};

const ROUNDS: u32 = 100;
const CALLERS: usize = 8;
const REPORTERS: usize = 4;
/// Events sent at once.
const BATCH: u64 = 50;
/// What the gateway may lose.
const MAY_BE_LOST: Duration = Duration::from_millis(100);

/// What was said of events, by the number of the first of a batch.
#[derive(Default)]
struct Told {
    acknowledged: HashSet<u64>,
    /// Sent and not answered, to be sent again; whether that is being done.
    unanswered: BTreeMap<u64, bool>,
}

pub(crate) async fn run() {
    let mut stage = Stage::start().await;
    let told = Arc::new(Mutex::new(Told::default()));
    let next = Arc::new(AtomicU64::new(0));
    // Of each call whose answer had come: how long before the kill.
    let mut answered: HashMap<String, Duration> = HashMap::new();
    for round in 0..ROUNDS {
        if round > 0 {
            stage.serve().await;
        }
        let over = Arc::new(AtomicBool::new(false));
        let gateway = stage.gateway;
        let callers: Vec<_> = (0..CALLERS)
            .map(|_| {
                let over = Arc::clone(&over);
                std::thread::spawn(move || call(gateway, &over))
            })
            .collect();
        let reporters: Vec<_> = (0..REPORTERS)
            .map(|_| {
                let (client, told, next) =
                    (stage.cockpit.client(), Arc::clone(&told), Arc::clone(&next));
                tokio::spawn(async move { while report(&client, &told, &next).await {} })
            })
            .collect();
        let load = rand::rng().random_range(100..400);
        tokio::time::sleep(Duration::from_millis(load)).await;
        let killed = Instant::now();
        stage.cockpit.kill_engine().await;
        over.store(true, Ordering::Relaxed);
        for caller in callers {
            let came = tokio::task::spawn_blocking(move || caller.join().unwrap());
            for (id, at) in came.await.unwrap() {
                answered.insert(id, killed.saturating_duration_since(at));
            }
        }
        for reporter in reporters {
            // Nobody answers any more. What it had sent is sent again.
            reporter.abort();
            let _ = reporter.await;
        }
        for sending in told.lock().unwrap().unanswered.values_mut() {
            *sending = false;
        }
    }
    // What was not answered is sent once more, and now it is.
    stage.serve().await;
    let client = stage.cockpit.client();
    while !told.lock().unwrap().unanswered.is_empty() {
        assert!(report(&client, &told, &next).await);
    }
    stage.cockpit.terminate_engine().await;

    let written = tokio::task::spawn_blocking({
        let path = stage.cockpit.data().join("ledger.db");
        move || written(&path)
    })
    .await
    .unwrap();
    let acknowledged = std::mem::take(&mut told.lock().unwrap().acknowledged);
    let missing = acknowledged
        .iter()
        .filter(|n| !written.contains_key(&event(**n)))
        .count();
    let twice = written.values().filter(|times| **times > 1).count();
    let lost = |long_ago: bool| {
        let gone = answered.iter().filter(|(id, before)| {
            !written.contains_key(*id) && (**before > MAY_BE_LOST) == long_ago
        });
        gone.count()
    };
    figure(
        &format!(
            "{ROUNDS} kills: of {} acknowledged events lost",
            acknowledged.len()
        ),
        missing,
        "0",
    );
    figure("events and calls written twice", twice, "0");
    figure(
        &format!("of {} calls older than 100 ms lost", answered.len()),
        lost(true),
        "0",
    );
    figure("calls of the last 100 ms lost", lost(false), "few");
}

/// Asks until the engine is gone; when each call's answer came, by its id.
fn call(gateway: u16, over: &AtomicBool) -> Vec<(String, Instant)> {
    let asked = request(gateway, "openai/gpt-4o", false);
    let mut came = Vec::new();
    let Some(mut connection) = Connection::try_open(gateway) else {
        return came;
    };
    while !over.load(Ordering::Relaxed)
        && let Some(id) = connection.call(&asked)
    {
        came.push((id, Instant::now()));
        std::thread::sleep(Duration::from_millis(1));
    }
    came
}

/// Sends a batch: one that was not answered before, or a new one. Whether it was answered.
async fn report(
    client: &studio_cockpit::cli::client::Client,
    told: &Mutex<Told>,
    next: &AtomicU64,
) -> bool {
    let first = {
        let unanswered = &mut told.lock().unwrap().unanswered;
        let again = unanswered.iter().find(|(_, sending)| !**sending);
        let first = again.map_or_else(
            || next.fetch_add(BATCH, Ordering::Relaxed),
            |(first, _)| *first,
        );
        unanswered.insert(first, true);
        first
    };
    let at = Timestamp::now();
    let events: Vec<Value> = (first..first + BATCH)
        .map(|n| {
            json!({"id": event(n), "type": "call", "at": at, "provider": "own", "model": "m", "outcome": "ok",
                "input_tokens": 5, "output_tokens": 7, "latency_ms": 3.5})
        })
        .collect();
    match client.post::<Value>("/api/events", &json!(events)).await {
        Ok(answer) => {
            let known =
                answer["accepted"].as_u64().unwrap() + answer["duplicates"].as_u64().unwrap();
            assert_eq!(known, BATCH, "{answer}");
            let mut told = told.lock().unwrap();
            told.unanswered.remove(&first);
            told.acknowledged.extend(first..first + BATCH);
            true
        }
        Err(_) => false,
    }
}

fn event(n: u64) -> String {
    format!("event-{n}")
}

/// How often each id is written down.
fn written(path: &std::path::Path) -> HashMap<String, u32> {
    let (ledger, _) = Ledger::open(path).unwrap();
    let now = Timestamp::now();
    let hours = |n: i64| Timestamp::from_second(now.as_second() + n * 3600).unwrap();
    let mut page = CallsQuery {
        from: hours(-6),
        to: hours(1),
        limit: 5000,
        before: None,
        filter: CallFilter::default(),
    };
    let mut ids = HashMap::new();
    loop {
        let calls = ledger.calls(&page).unwrap();
        let Some(last) = calls.last() else {
            return ids;
        };
        page.before = Some(cockpit_store::ledger::Before {
            at: last.at,
            id: last.id.clone(),
        });
        for call in calls {
            *ids.entry(call.id).or_default() += 1;
        }
    }
}
