//! Calls and ledgers for the tests.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use cockpit_model::{Call, CallSource, Operation, Outcome, Record, Report, ReportKind, Timestamp};
use cockpit_store::Ledger;
use cockpit_store::ledger::{Ack, CallFilter, CallsQuery, Opening, Options};

/// The tests' day, at noon.
pub const NOON: i64 = 1_700_049_600_000;
pub const MINUTE: i64 = 60_000;
pub const HOUR: i64 = 60 * MINUTE;
pub const DAY: i64 = 24 * HOUR;

/// A time of day that tests set.
#[derive(Clone)]
pub struct Clock(Arc<AtomicI64>);

impl Clock {
    pub fn new() -> Self {
        Self(Arc::new(AtomicI64::new(NOON)))
    }
    pub fn set(&self, ms: i64) {
        self.0.store(ms, Ordering::SeqCst);
    }
    pub fn now(&self) -> Timestamp {
        at(self.0.load(Ordering::SeqCst))
    }
    pub fn options(&self) -> Options {
        let clock = self.clone();
        Options {
            clock: Arc::new(move || clock.now()),
            ..Options::default()
        }
    }
}

pub fn open(path: &Path, clock: &Clock) -> (Ledger, Opening) {
    Ledger::open_with(path, clock.options()).unwrap()
}

pub fn at(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap()
}

pub fn call(id: impl ToString, ms: i64) -> Call {
    Call {
        id: id.to_string(),
        at: at(ms),
        source: CallSource::Events,
        provider: "openai".to_owned(),
        model: "gpt-4o".to_owned(),
        target: "openai/gpt-4o".to_owned(),
        requested_model: Some("chat".to_owned()),
        route: Some("chat".to_owned()),
        operation: Operation::Chat,
        outcome: Outcome::Ok,
        error: None,
        status: Some(200),
        finish_reason: Some("stop".to_owned()),
        user: Some("ada".to_owned()),
        agent: None,
        key: Some("app".to_owned()),
        tags: vec!["blue".to_owned()],
        input_tokens: Some(100),
        output_tokens: Some(20),
        cached_input_tokens: None,
        cache_write_tokens: None,
        latency_ms: Some(1234.567),
        ttft_ms: Some(234.5),
        streamed: true,
        attempts: 1,
        fallback: false,
        cache_hit: false,
        cost_usd: Some(cockpit_model::Usd::from_pico(1_250_000_000)),
        price_version: Some("1".to_owned()),
    }
}

/// What reports tell besides their fields, and how many findings that stands for.
pub const BODIES: &[&str] = &[
    r#"{"note":"fine"}"#,
    r#"{"count":3,"what":"unusual_address"}"#,
    r#"{"count":250,"what":"email"}"#,
    r#"{"count":"many"}"#,
    "no JSON",
];

pub fn count(report: &Report) -> u64 {
    match BODIES.iter().position(|body| *body == report.body) {
        Some(1) => 3,
        Some(2) => 250,
        _ => 1,
    }
}

pub fn report(id: impl ToString, kind: ReportKind, ms: i64) -> Report {
    Report {
        id: id.to_string(),
        kind,
        at: at(ms),
        user: Some("grace".to_owned()),
        agent: None,
        key: None,
        ok: Some(true),
        score: Some(0.75),
        body: r#"{"note":"fine"}"#.to_owned(),
    }
}

pub fn ingest(ledger: &Ledger, calls: impl IntoIterator<Item = Call>) -> Vec<Ack> {
    let records = calls.into_iter().map(Record::Call).collect();
    ledger.ingest(records).wait().unwrap()
}

/// Everything a ledger has, newest first.
pub fn everything() -> CallsQuery {
    CallsQuery {
        from: at(0),
        to: at(NOON + 100 * DAY),
        limit: usize::MAX,
        before: None,
        filter: CallFilter::default(),
    }
}
