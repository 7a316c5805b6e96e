//! Any bytes as reported events: no panic; each event is either read or refused with a reason, in its place; what is
//! read is what its kind promises. The same bytes say the same twice.
#![no_main]

use std::sync::LazyLock;

use cockpit_model::{Outcome, Record, ReportKind, Timestamp};
use cockpit_telemetry::ingest::events::{MOST, read};
use cockpit_telemetry::ingest::{Prices, Setting, gunzip};
use libfuzzer_sys::fuzz_target;

static SETTING: LazyLock<Setting> = LazyLock::new(|| Setting {
    now: Timestamp::UNIX_EPOCH,
    prices: Prices::default(),
    gateways: Vec::new(),
});

fuzz_target!(|bytes: &[u8]| {
    gunzip(bytes, 1 << 16);
    let Ok(batch) = read(bytes, &SETTING, 1) else {
        return;
    };
    assert_eq!(read(bytes, &SETTING, 1).as_ref(), Ok(&batch));
    assert!(batch.records.len() + batch.rejected.len() <= MOST);
    assert!(batch.rejected.iter().all(|one| !one.reason.is_empty()));
    for (place, record) in &batch.records {
        assert!(batch.rejected.iter().all(|one| one.index != *place));
        match record {
            Record::Call(call) => {
                assert_eq!(call.error.is_some(), call.outcome == Outcome::Error);
                assert_eq!(call.cost_usd.is_some(), call.price_version.is_some());
                assert!(call.cached_input_tokens.unwrap_or(0) <= call.input_tokens.unwrap_or(u64::MAX));
            }
            Record::Report(report) => {
                assert!(report.kind != ReportKind::Feedback || report.score.is_some_and(|s| (0.0..=1.0).contains(&s)));
                // The body is an object of its own.
                let body: serde_json::Value = serde_json::from_str(&report.body).expect("JSON");
                assert!(body.is_object());
            }
        }
    }
});
