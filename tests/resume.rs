//! Readers of the event stream that come back: to the same engine, and to the next one after the worst.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod support;

use std::pin::pin;

use futures_util::StreamExt as _;
use rusqlite::Connection;
use serde_json::{Value, json};
use support::Cockpit;

/// Nothing that makes events by itself.
const QUIET: &str = "[services.idle]\ncommand = [\"sleep\", \"86400\"]\n";
/// More than an engine holds in memory.
const MORE_THAN_THE_RING: u64 = 6000;

/// Has the engine tell of a deployment, which is an event, and waits until it is on the disk.
async fn deploy(cockpit: &Cockpit, version: u64) {
    let client = cockpit.client();
    let event =
        json!({"id": format!("d{version}"), "type": "deploy", "version": version.to_string()});
    let answer: Value = client.post("/api/events", &event).await.unwrap();
    assert_eq!(answer["accepted"], 1, "{answer}");
    // Reading waits for what is not on the disk yet.
    let _: Value = client.get("/api/events?limit=1").await.unwrap();
}

/// What an earlier engine left: so many events after the last one.
fn earlier(cockpit: &Cockpit, count: u64) {
    let mut database = Connection::open(cockpit.data().join("telemetry.db")).unwrap();
    let transaction = database.transaction().unwrap();
    let newest = "SELECT max(seq), max(at_ns) FROM events";
    let (seq, at): (i64, i64) = transaction
        .query_row(newest, [], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap();
    let insert = "INSERT INTO events (seq, at_ns, body) VALUES (?1, ?2, ?3)";
    for n in 1..=i64::try_from(count).unwrap() {
        let body = r#"{"type":"mark","mark":"restart","service":"idle"}"#;
        transaction
            .execute(insert, (seq + n, at + n, body))
            .unwrap();
    }
    transaction.commit().unwrap();
}

/// What a reader is given after an event, until one of this type: the numbers of kept events and,
/// where some are missing, a `None`.
async fn read_until(
    cockpit: &Cockpit,
    after: u64,
    enough: impl Fn(&Value) -> bool,
) -> Vec<Option<u64>> {
    let client = cockpit.client();
    let last = after.to_string();
    let stream = client
        .stream("/api/events/stream", Some(&last))
        .await
        .unwrap();
    let mut stream = pin!(stream);
    let mut got = Vec::new();
    let reading = async {
        loop {
            let message = stream.next().await.expect("the stream goes on").unwrap();
            let event: Value = serde_json::from_str(&message.data).unwrap();
            match event["type"].as_str().unwrap() {
                "gap" => got.push(None),
                "service" | "service_removed" | "status" | "host" | "calls" => {}
                _ => got.push(event["seq"].as_u64()),
            }
            if enough(&event) {
                return;
            }
        }
    };
    let read = tokio::time::timeout(support::PATIENCE, reading).await;
    assert!(read.is_ok(), "never saw it; {} events", got.len());
    got
}

/// The numbers of all events on the disk.
fn stored(cockpit: &Cockpit) -> Vec<u64> {
    let database = Connection::open(cockpit.data().join("telemetry.db")).unwrap();
    let mut statement = database
        .prepare("SELECT seq FROM events ORDER BY seq")
        .unwrap();
    let numbers = statement.query_map([], |row| row.get::<_, i64>(0)).unwrap();
    numbers
        .map(|seq| u64::try_from(seq.unwrap()).unwrap())
        .collect()
}

fn is_deploy(event: &Value, version: u64) -> bool {
    event["mark"] == "deploy" && event["version"] == json!(version.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_gets_from_the_disk_what_memory_has_lost_also_over_a_kill() {
    let mut cockpit = Cockpit::start(QUIET).await;
    cockpit.wait_all_ready().await;
    deploy(&cockpit, 0).await;
    let got = read_until(&cockpit, 0, |event| is_deploy(event, 0)).await;
    let seen = got.last().unwrap().unwrap();

    // The next engine: from before it, and older than what it holds in memory.
    cockpit.terminate_engine().await;
    earlier(&cockpit, MORE_THAN_THE_RING);
    cockpit.serve().await;
    cockpit.wait_all_ready().await;
    deploy(&cockpit, 1).await;
    let got = read_until(&cockpit, seen, |event| is_deploy(event, 1)).await;
    let all = stored(&cockpit).into_iter().filter(|seq| *seq > seen);
    let wanted: Vec<_> = all.map(Some).collect();
    assert_eq!(got.len(), wanted.len());
    assert!(got.len() as u64 > MORE_THAN_THE_RING);
    assert!(got == wanted, "no gap, nothing twice, in order");

    // And one after a kill in the middle of things.
    cockpit.act("idle", "restart").await;
    deploy(&cockpit, 2).await;
    cockpit.kill_engine().await;
    let before = stored(&cockpit);
    cockpit.serve().await;
    cockpit.wait_all_ready().await;
    deploy(&cockpit, 3).await;
    let got = read_until(&cockpit, seen, |event| is_deploy(event, 3)).await;
    let kept: Vec<u64> = got.iter().copied().flatten().collect();
    let all: Vec<u64> = stored(&cockpit)
        .into_iter()
        .filter(|seq| *seq > seen)
        .collect();
    assert_eq!(kept.len(), all.len());
    assert!(
        kept == all,
        "everything that is on the disk, once, in order"
    );
    assert!(
        before
            .iter()
            .filter(|seq| **seq > seen)
            .all(|seq| kept.contains(seq))
    );
    // What the kill may have cost is told where it may have been.
    let newest = before.last().copied();
    let place = got.iter().position(|seq| *seq == newest).unwrap();
    assert_eq!(got[place + 1], None, "a gap between the two lives");
    assert_eq!(got.iter().filter(|seq| seq.is_none()).count(), 1);

    // An engine that ended as it should leaves none.
    let seen = kept.last().copied().unwrap();
    cockpit.terminate_engine().await;
    cockpit.serve().await;
    let got = read_until(&cockpit, seen, |event| event["mark"] == "engine_started").await;
    assert!(got.iter().all(Option::is_some), "{got:?}");
    assert_eq!(got[0], Some(seen + 1));
}
