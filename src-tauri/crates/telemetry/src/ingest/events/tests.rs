#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

use std::time::Duration;

use cockpit_metering::price::PriceBook;
use cockpit_model::traffic::{PriceSpec, ProviderKind, ProviderSpec};
use cockpit_model::{Call, CallSource, Operation, Outcome, Report, Timestamp, Usd};
use proptest::prelude::*;

use super::*;
use crate::ingest::Prices;

fn setting() -> Setting {
    Setting {
        now: "2026-01-31T09:00:00Z".parse().unwrap(),
        prices: Prices::default(),
        gateways: Vec::new(),
    }
}

fn read_all(body: &str) -> Batch {
    read(body.as_bytes(), &setting(), 7).unwrap()
}

fn call(json: &str) -> Call {
    match read_all(json) {
        Batch {
            mut records,
            rejected,
            ..
        } if rejected.is_empty() => match records.pop().unwrap().1 {
            Record::Call(call) => call,
            Record::Report(report) => panic!("{report:?}"),
        },
        Batch { rejected, .. } => panic!("{rejected:?}"),
    }
}

fn report(json: &str) -> Report {
    match read_all(json).records.pop().unwrap().1 {
        Record::Report(report) => report,
        Record::Call(call) => panic!("{call:?}"),
    }
}

fn refused(json: &str) -> String {
    let batch = read_all(json);
    assert!(batch.records.is_empty(), "{json} was taken");
    batch.rejected[0].reason.clone()
}

/// A provider of the configuration.
fn configured(name: &str, prices: &[(&str, f64)]) -> ProviderSpec {
    let price = |dollars| Usd::from_dollars(dollars).unwrap();
    let price = |(model, dollars): &(&str, f64)| {
        let each = price(*dollars);
        let price = PriceSpec {
            input: each,
            output: each,
            cached_input: None,
        };
        ((*model).to_owned(), price)
    };
    ProviderSpec {
        name: name.to_owned(),
        kind: ProviderKind::OpenAi,
        base_url: "https://proxy.example/v1".to_owned(),
        api_key: None,
        timeout: Duration::ZERO,
        first_byte_timeout: Duration::ZERO,
        idle_timeout: Duration::ZERO,
        service: None,
        behind_gateway: false,
        queue: None,
        prices: prices.iter().map(price).collect(),
    }
}

#[test]
fn a_provider_of_the_configuration_is_known_by_its_name() {
    let providers = [
        configured("google", &[("own", 1.0)]),
        configured("MyProxy", &[("own", 2.0)]),
        configured("azure-openai", &[("own", 3.0)]),
    ];
    let setting = Setting {
        prices: Prices::of_providers(&providers, &PriceBook::default()),
        ..setting()
    };
    let call = |provider: &str, model: &str| {
        let json = serde_json::json!({
            "type": "call", "provider": provider, "model": model, "input_tokens": 1_000_000, "output_tokens": 0,
        });
        let mut batch = read(json.to_string().as_bytes(), &setting, 7).unwrap();
        match batch.records.pop().unwrap().1 {
            Record::Call(call) => (call.provider, call.model, call.cost_usd),
            Record::Report(report) => panic!("{report:?}"),
        }
    };
    for (told, model, name, dollars) in [
        ("google", "own", "google", 1.0),
        ("Google", "google/own", "google", 1.0),
        ("MyProxy", "own", "MyProxy", 2.0),
        (" myproxy ", "MYPROXY/own", "MyProxy", 2.0),
        ("azure-openai", "own", "azure-openai", 3.0),
    ] {
        let expected = (
            name.to_owned(),
            "own".to_owned(),
            Usd::from_dollars(dollars),
        );
        assert_eq!(call(told, model), expected, "{told}");
    }
    // Who is none of them is called as everywhere.
    assert_eq!(call("gcp.gemini", "own").0, "gemini");
}

#[test]
fn who_has_an_id_and_no_time_is_known() {
    let batch = read_all(
        r#"[{"type":"call","model":"a/b"},{"id":"x","type":"call","model":"a/b"},
            {"id":"y","type":"task","ok":true,"at":"2026-01-31T08:00:00Z"},{"id":"z","type":"task","ok":true}]"#,
    );
    assert_eq!(batch.records.len(), 4);
    assert_eq!(Vec::from_iter(batch.undated), [1, 3]);
}

#[test]
fn a_call_with_everything() {
    let got = call(
        r#"{"id": "c-1", "type": "call", "at": "2026-01-31T08:59:00Z", "provider": "OpenAI", "model": "gpt-4o",
            "outcome": "ok", "user": "ada", "agent": "writer", "key": "app", "tags": ["night", "batch"],
            "input_tokens": 1000, "output_tokens": "200", "cached_input_tokens": 400.0, "latency_ms": 850.5,
            "ttft_ms": 120, "operation": "chat", "finish_reason": "stop", "status": 200, "attempts": 2,
            "something": {"else": [1, 2]}}"#,
    );
    assert_eq!(got.target, "openai/gpt-4o");
    assert_eq!(got.source, CallSource::Events);
    assert_eq!((got.outcome, got.error.as_deref()), (Outcome::Ok, None));
    assert_eq!(got.at, "2026-01-31T08:59:00Z".parse::<Timestamp>().unwrap());
    assert_eq!(
        (got.input_tokens, got.output_tokens, got.cached_input_tokens),
        (Some(1000), Some(200), Some(400))
    );
    assert_eq!(
        (got.latency_ms, got.ttft_ms, got.streamed, got.attempts),
        (Some(850.5), Some(120.0), true, 2)
    );
    assert_eq!(got.tags, ["night", "batch"]);
    // 600 × $2.50 + 400 × $1.25 + 200 × $10 a million.
    assert_eq!(got.cost_usd, Usd::from_dollars(0.004));
    assert!(got.price_version.unwrap().starts_with("litellm-"));
}

#[test]
fn a_call_with_next_to_nothing() {
    let got = call(r#"{"type":"call","model":"nobody/knows-it"}"#);
    assert_eq!(
        (got.provider.as_str(), got.model.as_str()),
        ("nobody", "knows-it")
    );
    assert_eq!(got.at, setting().now);
    assert_eq!((got.outcome, got.operation), (Outcome::Ok, Operation::Chat));
    assert_eq!(
        (got.input_tokens, got.latency_ms, got.cost_usd),
        (None, None, None)
    );
    assert_eq!(got.id, "00000000000000000000000000000007-0");
    let priced =
        call(r#"{"type":"call","model":"nobody/knows-it","input_tokens":5,"cost_usd":0.25}"#);
    assert_eq!(priced.cost_usd, Usd::from_dollars(0.25));
    assert_eq!(priced.price_version.as_deref(), Some("reported"));
    let unpriced = call(r#"{"type":"call","model":"nobody/knows-it","input_tokens":5}"#);
    assert_eq!((unpriced.cost_usd, unpriced.price_version), (None, None));
    let local = call(r#"{"type":"call","model":"ollama/llama3.2","input_tokens":5}"#);
    assert_eq!(
        (local.cost_usd, local.price_version.as_deref()),
        (Some(Usd::ZERO), Some("local"))
    );
}

#[test]
fn errors_are_somebodys_fault() {
    let code = |more: &str| {
        call(&format!(
            r#"{{"type":"call","model":"openai/gpt-4o",{more}}}"#
        ))
        .error
    };
    assert_eq!(
        code(r#""error":"provider_timeout""#).unwrap(),
        "provider_timeout"
    );
    assert_eq!(
        code(r#""error":"RateLimitError""#).unwrap(),
        "provider_rate_limited"
    );
    assert_eq!(
        code(r#""outcome":"error","status":400"#).unwrap(),
        "caller_refused"
    );
    assert_eq!(code(r#""outcome":"failed""#).unwrap(), "provider_error");
    assert_eq!(code(r#""outcome":"cancelled","error":"AbortError""#), None);
}

#[test]
fn refusals_say_what_to_write() {
    for (json, words) in [
        (r#"{"model":"a/b"}"#, "type is missing: write \"call\""),
        (
            r#"{"type":"cal"}"#,
            "type is \"cal\": write \"call\", \"task\"",
        ),
        (r#"{"type":7}"#, "type is 7"),
        (r#"{"type":"call","provider":"openai"}"#, "model is missing"),
        (r#"{"type":"call","model":"gpt-4o"}"#, "provider is missing"),
        (
            r#"{"type":"call","model":"a/b","input_tokens":-1}"#,
            "input_tokens is -1: write a whole number",
        ),
        (
            r#"{"type":"call","model":"a/b","outcome":"meh"}"#,
            "write \"ok\", \"error\" or \"cancelled\"",
        ),
        (
            r#"{"type":"call","model":"a/b","outcome":"ok","error":"x"}"#,
            "leave error out",
        ),
        (
            r#"{"type":"call","model":"a/b","input_tokens":10,"cached_input_tokens":90}"#,
            "write the sum",
        ),
        (
            r#"{"type":"call","model":"a/b","at":"soon"}"#,
            "at is \"soon\": write a time",
        ),
        (
            r#"{"type":"call","model":"a/b","cost_usd":-1}"#,
            "leave it out to have it priced",
        ),
        (
            r#"{"type":"call","model":"a/b","tags":{"a":1}}"#,
            "tags is no list",
        ),
        (r#"{"type":"call","model":"a/b","status":7}"#, "such as 429"),
        (r#"{"type":"task"}"#, "true if the task was completed"),
        (
            r#"{"type":"auth","user":"ada"}"#,
            "true if the authentication succeeded",
        ),
        (r#"{"type":"feedback"}"#, "thumb \"up\" or \"down\""),
        (r#"{"type":"feedback","score":4}"#, "rating from 1 to 5"),
        (r#"{"type":"feedback","rating":6}"#, "from 1 to 5"),
        (r#"{"type":"activity"}"#, "user is missing"),
        (r#"[[]]"#, "this is no object"),
    ] {
        let reason = refused(json);
        assert!(reason.contains(words), "{json}: {reason}");
    }
}

#[test]
fn reports_keep_what_they_tell() {
    let done = report(
        r#"{"type":"task","completed":true,"user":"ada","name":"translate","steps":[1, 2]}"#,
    );
    assert_eq!(
        (done.kind, done.ok, done.user.as_deref()),
        (ReportKind::Task, Some(true), Some("ada"))
    );
    assert_eq!(done.body, r#"{"name":"translate","steps":[1, 2]}"#);
    for (json, score) in [
        (r#"{"type":"feedback","score":0.75}"#, 0.75),
        (r#"{"type":"feedback","rating":4}"#, 0.75),
        (r#"{"type":"feedback","thumb":"up"}"#, 1.0),
        (r#"{"type":"feedback","thumb":"down","comment":"no"}"#, 0.0),
    ] {
        assert_eq!(report(json).score, Some(score), "{json}");
    }
    let deploy = report(r#"{"type":"deploy","service":"api","version":"1.4.0","model":"x"}"#);
    assert_eq!(
        deploy.body,
        r#"{"service":"api","version":"1.4.0","model":"x"}"#
    );
    let bare = report(r#"{"type":"custom"}"#);
    assert_eq!(bare.body, "{}");
}

#[test]
fn one_many_or_a_line_each() {
    let many = r#"[{"type":"custom"},{"type":"what"},{"type":"custom","id":"b"}]"#;
    let batch = read_all(many);
    assert_eq!(
        batch
            .records
            .iter()
            .map(|(place, _)| *place)
            .collect::<Vec<_>>(),
        [0, 2]
    );
    assert_eq!(batch.rejected[0].index, 1);

    let lines = "{\"type\":\"custom\"}\r\n\n{broken\n{\"type\":\"custom\"} trailing\n{\"type\":\"custom\"}\n";
    let batch = read_all(lines);
    assert_eq!(
        batch
            .records
            .iter()
            .map(|(place, _)| *place)
            .collect::<Vec<_>>(),
        [0, 3]
    );
    assert_eq!(batch.rejected.len(), 2);
    assert!(batch.rejected[0].reason.contains("one object on each line"));

    let pretty = "\u{feff}{\n  \"type\": \"custom\",\n  \"a\": 1\n}\n";
    assert_eq!(read_all(pretty).records.len(), 1);
    assert_eq!(read_all("[]"), Batch::default());

    for body in [
        "",
        "   ",
        "[",
        "{",
        "hello",
        "17",
        "null",
        "\"x\"",
        "{\"type\":",
        "[{}",
        "[1,",
    ] {
        let error = read(body.as_bytes(), &setting(), 0).unwrap_err();
        assert!(matches!(error, Unreadable::NotJson(_)), "{body}");
    }
    assert!(read(b"\xff{}", &setting(), 0).is_err());
    let full = format!("[{}]", vec!["{}"; MOST].join(","));
    assert_eq!(read_all(&full).rejected.len(), MOST);
    let over = vec!["{}"; MOST + 1].join("\n");
    assert_eq!(
        read(over.as_bytes(), &setting(), 0),
        Err(Unreadable::TooMany(MOST + 1))
    );
}

#[test]
fn the_answer_speaks_of_places_in_what_was_sent() {
    let rejected = vec![Rejected {
        index: 1,
        reason: "a".into(),
    }];
    let kept = vec![Kept::New, Kept::Refused("b".into()), Kept::Twice];
    let got = answer(&[0, 2, 3], kept, rejected);
    assert_eq!((got.accepted, got.duplicates), (1, 1));
    assert_eq!(
        got.rejected.iter().map(|one| one.index).collect::<Vec<_>>(),
        [1, 2]
    );
}

proptest! {
    #[test]
    fn no_body_panics_and_none_is_lost(
        lines in proptest::collection::vec(r#"\{?("type":"(call|task|custom)")?,?("[a-z_]{1,8}":[\-0-9a-z"\[\]{}]{0,9})?\}?"#, 1..9),
    ) {
        let body = lines.join("\n");
        if let Ok(batch) = read(body.as_bytes(), &setting(), 0) {
            let told = body.lines().filter(|line| !line.trim().is_empty()).count();
            let seen = batch.records.len() + batch.rejected.len();
            prop_assert!(seen == told || body.trim().starts_with('[') || seen == 1, "{} of {}", seen, told);
        }
    }
}
