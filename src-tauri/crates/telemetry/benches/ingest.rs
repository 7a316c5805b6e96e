//! How fast reports become records, and records on the disk; each beside its baseline in the same run.
//!
//! `cargo bench -p cockpit-telemetry --bench ingest`. Nothing here asserts: it prints what was measured. One request of
//! 10,000 events, over and over, on one thread; the ledger's writer has a thread of its own.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    missing_docs,
    reason = "a bench"
)]

use std::time::{Duration, Instant};

use cockpit_model::{Record, Timestamp};
use cockpit_store::Ledger;
use cockpit_telemetry::ingest::otlp::{Above, Encoding, traces, translate_spans};
use cockpit_telemetry::ingest::{Prices, Setting, events};
use prost::Message as _;
use serde_json::{Value, json};

const BATCH: u64 = 10_000;
const ROUNDS: u64 = 30;

fn setting() -> Setting {
    Setting {
        now: Timestamp::now(),
        prices: Prices::default(),
        gateways: Vec::new(),
    }
}

/// One of many calls as an application reports it; about 300 bytes.
fn event(round: u64, n: u64) -> Value {
    json!({"id": format!("{round:08x}-{n:08x}"), "type": "call", "provider": "openai", "model": "gpt-4o",
        "user": format!("user-{}", n % 1000), "agent": format!("agent-{}", n % 20), "tags": ["production"],
        "input_tokens": 100 + n % 4000, "output_tokens": 1 + n % 800, "cached_input_tokens": n % 100,
        "latency_ms": 200.5 + n as f64, "ttft_ms": 120.25, "finish_reason": "stop"})
}

fn lines(round: u64) -> Vec<u8> {
    let lines: Vec<String> = (0..BATCH).map(|n| event(round, n).to_string()).collect();
    lines.join("\n").into_bytes()
}

fn spans(round: u64) -> Vec<u8> {
    let now = u64::try_from(Timestamp::now().as_nanosecond()).unwrap();
    let text = |key: &str, value: String| json!({"key": key, "value": {"stringValue": value}});
    let count =
        |key: &str, value: u64| json!({"key": key, "value": {"intValue": value.to_string()}});
    let span = |n: u64| {
        json!({"traceId": format!("{:032x}", u128::from(round + 1) << 64 | u128::from(n)), "spanId": format!("{:016x}", n + 1),
            "name": "chat gpt-4o", "kind": 3, "startTimeUnixNano": (now - 900_000_000).to_string(),
            "endTimeUnixNano": now.to_string(), "attributes": [
                text("gen_ai.operation.name", "chat".to_owned()), text("gen_ai.provider.name", "openai".to_owned()),
                text("gen_ai.request.model", "gpt-4o".to_owned()), text("gen_ai.response.model", "gpt-4o-2024-08-06".to_owned()),
                count("gen_ai.usage.input_tokens", 100 + n % 4000), count("gen_ai.usage.output_tokens", 1 + n % 800),
                text("user.id", format!("user-{}", n % 1000)), text("server.address", "api.openai.com".to_owned()),
                count("server.port", 443)]})
    };
    let spans: Vec<Value> = (0..BATCH).map(span).collect();
    json!({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]})
        .to_string()
        .into_bytes()
}

fn figure(name: &str, bytes: usize, mut once: impl FnMut(u64)) {
    let start = Instant::now();
    for round in 0..ROUNDS {
        once(round);
    }
    let took = start.elapsed();
    println!(
        "  {name:<58} {:>10} events/s  {bytes:>5} bytes an event",
        per_second(took)
    );
}

fn per_second(took: Duration) -> u64 {
    ((ROUNDS * BATCH) as f64 / took.as_secs_f64()) as u64
}

fn main() {
    let setting = setting();
    println!("reading: {BATCH} events a request, one thread");
    let body = lines(0);
    let each = body.len() / BATCH as usize;
    figure("baseline: each line as any JSON", each, |_| {
        for line in body.split(|byte| *byte == b'\n') {
            std::hint::black_box(serde_json::from_slice::<Value>(line).unwrap());
        }
    });
    figure("events, a line each", each, |_| {
        assert_eq!(
            events::read(&body, &setting, 1).unwrap().records.len() as u64,
            BATCH
        );
    });
    let json = spans(0);
    figure("OTLP, JSON", json.len() / BATCH as usize, |_| {
        let request = traces(Encoding::Json, &json).unwrap();
        assert_eq!(
            translate_spans(&request, &setting, &mut Above::default())
                .records
                .len() as u64,
            BATCH
        );
    });
    let protobuf = traces(Encoding::Json, &json).unwrap().encode_to_vec();
    figure("OTLP, protobuf", protobuf.len() / BATCH as usize, |_| {
        let request = traces(Encoding::Protobuf, &protobuf).unwrap();
        assert_eq!(
            translate_spans(&request, &setting, &mut Above::default())
                .records
                .len() as u64,
            BATCH
        );
    });

    println!("reading and keeping: acknowledged once on the disk, one request after the other");
    let folder = tempfile::tempdir().unwrap();
    let (ledger, _) = Ledger::open(folder.path().join("ledger.db")).unwrap();
    let bodies: Vec<Vec<u8>> = (0..ROUNDS).map(lines).collect();
    let records = |body: &[u8]| -> Vec<Record> {
        let batch = events::read(body, &setting, 1).unwrap();
        batch
            .records
            .into_iter()
            .map(|(_, record)| record)
            .collect()
    };
    figure("events, a line each", each, |round| {
        let kept = ledger
            .ingest(records(&bodies[round as usize]))
            .wait()
            .unwrap();
        assert_eq!(kept.len() as u64, BATCH);
    });
    let (ledger, _) = Ledger::open(folder.path().join("baseline.db")).unwrap();
    let ready: Vec<Vec<Record>> = bodies.iter().map(|body| records(body)).collect();
    let mut ready = ready.into_iter();
    figure("baseline: the same records, read already", each, |_| {
        ledger.ingest(ready.next().unwrap()).wait().unwrap();
    });
}
