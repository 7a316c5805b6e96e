//! Any bytes as OTLP, in either encoding, as each signal: no panic, bounded output, and the same records when what was
//! read is written and read again. The first byte chooses.
#![no_main]

use std::net::{IpAddr, Ipv4Addr};
use std::sync::LazyLock;
use std::time::Instant;

use cockpit_model::{Outcome, Record, Timestamp};
use cockpit_telemetry::ingest::otlp::{
    Above, Encoding, Quota, Series, Translated, logs, metrics, traces, translate_logs, translate_spans,
};
use cockpit_telemetry::ingest::{Address, Prices, Setting};
use libfuzzer_sys::fuzz_target;
use prost::Message;

static SETTING: LazyLock<Setting> = LazyLock::new(|| Setting {
    now: Timestamp::UNIX_EPOCH,
    prices: Prices::default(),
    gateways: vec![Address {
        ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
        port: 11435,
        names: vec!["studio.ts.net".to_owned()],
    }],
});

fn sound(translated: &Translated) {
    for record in &translated.records {
        match record {
            Record::Call(call) => {
                assert_eq!(call.error.is_some(), call.outcome == Outcome::Error);
                assert!(!call.id.is_empty() && !call.provider.is_empty());
                assert!(call.latency_ms.is_none_or(|ms| ms >= 0.0));
            }
            Record::Report(report) => {
                assert!(report.body.len() < 64 << 10, "{}", report.body.len());
                assert!(serde_json::from_str::<serde_json::Value>(&report.body).is_ok());
            }
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    let [choice, body @ ..] = bytes else {
        return;
    };
    let encoding = if choice & 1 == 0 { Encoding::Protobuf } else { Encoding::Json };
    let now = Instant::now();
    match choice >> 1 & 3 {
        0 => {
            let Ok(request) = traces(encoding, body) else {
                return;
            };
            let translated = translate_spans(&request, &SETTING, &mut Above::default());
            sound(&translated);
            let again = traces(Encoding::Protobuf, &request.encode_to_vec()).expect("what was read");
            assert_eq!(translate_spans(&again, &SETTING, &mut Above::default()), translated);
        }
        1 => {
            let Ok(request) = logs(encoding, body) else {
                return;
            };
            let translated = translate_logs(&request, &SETTING, &mut Quota::default(), now);
            sound(&translated);
            let again = logs(Encoding::Protobuf, &request.encode_to_vec()).expect("what was read");
            assert_eq!(translate_logs(&again, &SETTING, &mut Quota::default(), now), translated);
        }
        _ => {
            let Ok(request) = metrics(encoding, body) else {
                return;
            };
            let mut series = Series::default();
            series.take(&request, now);
            series.take(&request, now);
            for line in series.exposition(now).lines() {
                assert!(line.starts_with('#') || line.rsplit_once(' ').is_some_and(|(_, n)| n.parse::<f64>().is_ok()), "{line}");
            }
        }
    }
});
