#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

use std::net::IpAddr;
use std::time::{Duration, Instant};

use cockpit_model::{Call, Operation, Outcome, Record, Report, ReportKind, Usd};
use prost::Message as _;
use serde_json::{Value, json};

use super::*;
use crate::ingest::{Address, Prices, Setting};

fn setting() -> Setting {
    Setting {
        now: "2026-01-31T09:00:00Z".parse().unwrap(),
        prices: Prices::default(),
        gateways: vec![Address {
            ip: IpAddr::from([127, 0, 0, 1]),
            port: 11435,
            names: Vec::new(),
        }],
    }
}

/// A second after the begin of 2026, in nanoseconds.
const START: u64 = 1_767_225_601_000_000_000;

/// Attributes as OTLP's JSON writes them.
fn attributes(told: &Value) -> Value {
    let one = |(key, value): (&String, &Value)| {
        let value = match value {
            Value::String(text) => json!({"stringValue": text}),
            Value::Bool(flag) => json!({"boolValue": flag}),
            Value::Number(n) if n.is_i64() || n.is_u64() => json!({"intValue": n.to_string()}),
            Value::Number(n) => json!({"doubleValue": n}),
            Value::Array(all) => {
                let values: Vec<Value> = all
                    .iter()
                    .map(|text| json!({"stringValue": text}))
                    .collect();
                json!({"arrayValue": {"values": values}})
            }
            other => panic!("{other}"),
        };
        json!({"key": key, "value": value})
    };
    told.as_object().unwrap().iter().map(one).collect()
}

fn span(n: u8, parent: Option<u8>, told: &Value) -> Value {
    json!({
        "traceId": "5b8efff798038103d269b633813fc60c", "spanId": format!("eee19b7ec3c1b1{n:02x}"),
        "parentSpanId": parent.map(|n| format!("eee19b7ec3c1b1{n:02x}")).unwrap_or_default(),
        "name": "chat", "kind": 3, "startTimeUnixNano": START.to_string(),
        "endTimeUnixNano": (START + 850_000_000).to_string(), "attributes": attributes(told),
    })
}

fn body(spans: &[Value]) -> String {
    let about = attributes(&json!({"service.name": "api"}));
    json!({"resourceSpans": [{"resource": {"attributes": about}, "scopeSpans": [{"spans": spans}]}]}).to_string()
}

/// What is kept of these spans; the same whichever way they are written.
fn kept(spans: &[Value]) -> Translated {
    let request = traces(Encoding::Json, body(spans).as_bytes()).unwrap();
    let again = traces(Encoding::Protobuf, &request.encode_to_vec()).unwrap();
    let translated = translate_spans(&request, &setting(), &mut Above::default());
    assert_eq!(
        translated,
        translate_spans(&again, &setting(), &mut Above::default())
    );
    translated
}

fn calls(spans: &[Value]) -> Vec<Call> {
    let translated = kept(spans);
    assert_eq!(translated.refused, Refused::default());
    let call = |record| match record {
        Record::Call(call) => call,
        Record::Report(report) => panic!("{report:?}"),
    };
    translated.records.into_iter().map(call).collect()
}

fn call(told: &Value) -> Call {
    let mut calls = calls(&[span(1, None, told)]);
    assert_eq!(calls.len(), 1, "{told}");
    calls.remove(0)
}

#[test]
fn a_call_of_the_newest_generation() {
    let got = call(&json!({
        "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o",
        "gen_ai.response.model": "gpt-4o-2024-08-06", "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.usage.input_tokens": 1000, "gen_ai.usage.output_tokens": 200,
        "gen_ai.usage.cache_read.input_tokens": 400, "gen_ai.request.stream": true,
        "gen_ai.response.time_to_first_chunk": 0.12, "gen_ai.agent.name": "writer", "user.id": "ada",
        "server.address": "api.openai.com", "server.port": 443, "http.response.status_code": 200,
        "gen_ai.input.messages": "[{\"role\":\"user\"}]",
    }));
    assert_eq!(got.id, "5b8efff798038103d269b633813fc60c:eee19b7ec3c1b101");
    assert_eq!(
        (got.target.as_str(), got.operation),
        ("openai/gpt-4o", Operation::Chat)
    );
    assert_eq!(
        (got.latency_ms, got.ttft_ms, got.streamed),
        (Some(850.0), Some(120.0), true)
    );
    assert_eq!(
        (got.input_tokens, got.cached_input_tokens, got.output_tokens),
        (Some(1000), Some(400), Some(200))
    );
    assert_eq!(
        (got.user.as_deref(), got.agent.as_deref()),
        (Some("ada"), Some("writer"))
    );
    assert_eq!(
        (got.tags.as_slice(), got.finish_reason.as_deref()),
        (&["api".to_owned()][..], Some("stop"))
    );
    assert_eq!(
        (got.outcome, got.error.as_deref(), got.status),
        (Outcome::Ok, None, Some(200))
    );
    assert_eq!(got.cost_usd, Usd::from_dollars(0.004));
    assert!(!format!("{got:?}").contains("role"), "a prompt is kept");
}

#[test]
fn calls_of_other_generations_and_makers() {
    // Up to 1.36, by the official instrumentation.
    let old = call(&json!({
        "gen_ai.operation.name": "chat", "gen_ai.system": "az.ai.openai", "gen_ai.request.model": "gpt-4o",
        "gen_ai.usage.input_tokens": 10, "gen_ai.usage.output_tokens": 5,
    }));
    assert_eq!(old.provider, "azure");
    // The first, as OpenLLMetry wrote it.
    let first = call(&json!({
        "llm.request.type": "chat", "gen_ai.system": "Anthropic", "gen_ai.request.model": "claude-3-5-sonnet-20241022",
        "gen_ai.usage.prompt_tokens": 10, "gen_ai.usage.completion_tokens": 5,
        "gen_ai.usage.cache_read_input_tokens": 90, "gen_ai.completion.0.finish_reason": "end_turn",
    }));
    assert_eq!(
        (
            first.provider.as_str(),
            first.input_tokens,
            first.output_tokens
        ),
        ("anthropic", Some(100), Some(5))
    );
    assert_eq!(first.finish_reason.as_deref(), Some("end_turn"));
    // The newest word for what is written to the cache.
    let written = call(&json!({
        "gen_ai.operation.name": "chat", "gen_ai.provider.name": "anthropic", "gen_ai.request.model": "claude-sonnet-4-5",
        "gen_ai.usage.input_tokens": 100, "gen_ai.usage.cache_write.input_tokens": 60,
    }));
    assert_eq!(
        (written.input_tokens, written.cache_write_tokens),
        (Some(100), Some(60))
    );
    // Vercel's SDK: the inner operation.
    let vercel = call(&json!({
        "ai.operationId": "ai.streamText.doStream", "gen_ai.system": "openai.responses",
        "gen_ai.request.model": "gpt-4o-mini", "gen_ai.usage.input_tokens": 7, "ai.response.msToFirstChunk": 81.5,
    }));
    assert_eq!(
        (vercel.provider.as_str(), vercel.streamed, vercel.ttft_ms),
        ("openai", true, Some(81.5))
    );
    let vectors = call(&json!({
        "gen_ai.operation.name": "embeddings", "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "text-embedding-3-small", "gen_ai.usage.input_tokens": 1000,
    }));
    assert_eq!(
        (vectors.operation, vectors.output_tokens),
        (Operation::Embeddings, None)
    );
    assert!(vectors.cost_usd.unwrap() > Usd::ZERO);
    // No name, but an address.
    let local = call(&json!({
        "gen_ai.operation.name": "chat", "gen_ai.request.model": "llama3.2", "server.address": "localhost",
        "server.port": 11434,
    }));
    // What it used was not told; it costs nothing however much it was.
    assert_eq!(
        (local.provider.as_str(), local.cost_usd),
        ("ollama", Some(Usd::ZERO))
    );
    let unknown = call(
        &json!({"gen_ai.operation.name": "chat", "gen_ai.system": "_OTHER", "gen_ai.request.model": "m"}),
    );
    assert_eq!(unknown.target, "unknown/m");
}

#[test]
fn what_is_no_call_or_counts_elsewhere() {
    for told in [
        json!({"gen_ai.operation.name": "invoke_agent", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o",
               "gen_ai.usage.input_tokens": 1000}),
        json!({"gen_ai.operation.name": "execute_tool", "gen_ai.provider.name": "openai", "gen_ai.tool.name": "search"}),
        json!({"gen_ai.operation.name": "create_agent", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o"}),
        json!({"ai.operationId": "ai.generateText", "gen_ai.system": "openai", "gen_ai.request.model": "gpt-4o",
               "ai.usage.promptTokens": 10}),
        json!({"traceloop.span.kind": "workflow", "gen_ai.system": "openai", "gen_ai.request.model": "gpt-4o"}),
        json!({"http.request.method": "POST", "server.address": "api.openai.com"}),
        json!({}),
        // Through our own gateway, which has it.
        json!({"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o",
               "server.address": "localhost", "server.port": 11435}),
        json!({"llm.request.type": "chat", "gen_ai.system": "openai", "gen_ai.request.model": "gpt-4o",
               "gen_ai.openai.api_base": "http://127.0.0.1:11435/v1/"}),
    ] {
        assert_eq!(calls(&[span(1, None, &told)]), [], "{told}");
    }
    // By the id it answered with, it is the gateway's own record once more.
    let told = json!({"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o",
        "server.address": "localhost", "server.port": 11435,
        "http.response.header.x-cockpit-call-id": ["01HF7YAT000000000000000000"]});
    assert_eq!(call(&told).id, "01HF7YAT000000000000000000");
}

#[test]
fn of_two_spans_within_each_other_the_inner_one_counts() {
    let told = |model: &str| json!({"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": model});
    let chain = json!({"langchain": true});
    let spans = [
        span(3, Some(2), &told("gpt-4o")),
        span(2, Some(1), &chain),
        span(1, None, &told("gpt-4o")),
        // Beside it, and around one of another model: both count.
        span(5, Some(4), &told("gpt-4o-mini")),
        span(4, None, &told("gpt-4o")),
    ];
    let mut ids: Vec<String> = calls(&spans)
        .into_iter()
        .map(|call| call.id[47..].to_owned())
        .collect();
    ids.sort();
    assert_eq!(ids, ["03", "04", "05"]);
    // Spans that are each other's parents are nobody's, and end.
    let circle = [
        span(1, Some(2), &told("gpt-4o")),
        span(2, Some(1), &told("gpt-4o")),
        span(3, Some(3), &told("gpt-4o")),
    ];
    assert!(calls(&circle).len() < 4);
}

fn chat(model: &str) -> Value {
    json!({"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": model})
}

/// The same, asked of our gateway.
fn through_gateway(model: &str) -> Value {
    let mut told = chat(model);
    told["server.address"] = json!("127.0.0.1");
    told["server.port"] = json!(11435);
    told
}

#[test]
fn a_frameworks_span_around_one_that_went_through_our_gateway_counts_there() {
    let spans = [
        span(3, Some(2), &through_gateway("gpt-4o")),
        span(2, Some(1), &json!({"langchain": true})),
        span(1, None, &chat("gpt-4o")),
    ];
    assert_eq!(calls(&spans), []);
    // Around another model's it is a call of its own.
    let spans = [
        span(2, Some(1), &through_gateway("gpt-4o-mini")),
        span(1, None, &chat("gpt-4o")),
    ];
    assert_eq!(calls(&spans).len(), 1);
}

#[test]
fn a_span_around_one_that_was_told_earlier_does_not_count() {
    let mut above = Above::default();
    let mut told = |spans: &[Value]| {
        let request = traces(Encoding::Json, body(spans).as_bytes()).unwrap();
        let translated = translate_spans(&request, &setting(), &mut above);
        let id = |record: &Record| match record {
            Record::Call(call) => call.id[47..].to_owned(),
            Record::Report(report) => panic!("{report:?}"),
        };
        translated.records.iter().map(id).collect::<Vec<_>>()
    };
    // As they end: the innermost first, each in a request of its own.
    assert_eq!(told(&[span(4, Some(3), &chat("gpt-4o"))]), ["04"]);
    assert_eq!(
        told(&[span(7, Some(6), &through_gateway("gpt-4o"))]),
        [""; 0]
    );
    assert_eq!(told(&[span(3, Some(2), &json!({}))]), [""; 0]);
    let outer = [
        span(2, Some(1), &chat("gpt-4o")),
        span(6, Some(1), &chat("gpt-4o")),
        // Another model's, and one around nothing.
        span(1, None, &chat("gpt-4o-mini")),
        span(8, Some(1), &chat("gpt-4o")),
    ];
    assert_eq!(told(&outer), ["01", "08"]);
    assert_eq!(told(&outer), ["01", "08"], "sent again, it is the same");
}

#[test]
fn a_port_that_is_not_told_is_the_usual_one() {
    let tunnel = Setting {
        gateways: vec![Address {
            ip: IpAddr::from([127, 0, 0, 1]),
            port: 11435,
            names: vec!["studio.ts.net".to_owned()],
        }],
        ..setting()
    };
    let counts = |host: &str| {
        let mut told = chat("gpt-4o");
        told["server.address"] = json!(host);
        let request = traces(Encoding::Json, body(&[span(1, None, &told)]).as_bytes()).unwrap();
        let translated = translate_spans(&request, &tunnel, &mut Above::default());
        translated.records.len()
    };
    assert_eq!(counts("studio.ts.net"), 0);
    assert_eq!(counts("api.openai.com"), 1);
    assert_eq!(counts("localhost"), 1, "not the gateway's port");
}

#[test]
fn how_a_call_ended() {
    let ended = |told: Value, status: Value| {
        let mut all = json!({"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "m"});
        all.as_object_mut()
            .unwrap()
            .extend(told.as_object().unwrap().clone());
        let mut span = span(1, None, &all);
        span["status"] = status;
        let call = calls(&[span]).remove(0);
        (call.outcome, call.error.unwrap_or_default())
    };
    let error = |code: &str| (Outcome::Error, code.to_owned());
    assert_eq!(
        ended(json!({}), json!({"code": 1})),
        (Outcome::Ok, String::new())
    );
    assert_eq!(
        ended(json!({"error.type": "timeout"}), json!({"code": 2})),
        error("provider_timeout")
    );
    assert_eq!(
        ended(json!({"error.type": "429"}), json!({})),
        error("provider_rate_limited")
    );
    assert_eq!(
        ended(
            json!({}),
            json!({"code": "STATUS_CODE_ERROR", "message": "Rate limit reached for gpt-4o"})
        ),
        error("provider_rate_limited")
    );
    assert_eq!(
        ended(
            json!({"http.response.status_code": 400}),
            json!({"code": 2})
        ),
        error("caller_refused")
    );
    assert_eq!(
        ended(json!({"error.type": "AbortError"}), json!({"code": 2})),
        (Outcome::Cancelled, String::new())
    );
}

#[test]
fn a_span_that_cannot_count_is_refused_by_itself() {
    let told = json!({"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "m"});
    let mut nameless = span(1, None, &told);
    nameless["traceId"] = json!("00000000000000000000000000000000");
    let mut base64 = span(2, None, &told);
    base64["spanId"] = json!("7uGbfsPBsQI=");
    let modelless = span(
        3,
        None,
        &json!({"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai"}),
    );
    let translated = kept(&[nameless, base64, modelless, span(4, None, &told)]);
    assert_eq!(
        (translated.records.len(), translated.refused.count()),
        (1, 3)
    );
    let message = translated.refused.message();
    assert!(
        message.contains("trace id") && message.contains("gen_ai.request.model"),
        "{message}"
    );
}

#[test]
fn json_is_read_as_exporters_write_it() {
    let written = r#"{"resourceSpans":[{"resource":null,"scopeSpans":[{"scope":{"name":"x","droppedAttributesCount":0},
        "spans":[{"traceId":"5B8EFFF798038103D269B633813FC60C","spanId":"EEE19B7EC3C1B101","kind":"SPAN_KIND_CLIENT",
        "startTimeUnixNano":1767225601000000000,"endTimeUnixNano":"1767225601850000000","flags":257,"traceState":"",
        "attributes":[{"key":"gen_ai.system","value":{"stringValue":"openai"}},{"key":"nothing","value":null},
          {"key":"gen_ai.request.model","value":{"stringValue":"m"}},{"key":"x","value":{"bytesValue":"AAE="}},
          {"key":"gen_ai.usage.input_tokens","value":{"intValue":12}},
          {"key":"gen_ai.usage.output_tokens","value":{"doubleValue":3.0}}],
        "status":{},"links":[{"traceId":"x"}],"unknown":{"a":[1]}}]}],"schemaUrl":"https://x"}]}"#;
    let request = traces(Encoding::Json, written.as_bytes()).unwrap();
    let translated = translate_spans(&request, &setting(), &mut Above::default());
    let Record::Call(call) = &translated.records[0] else {
        panic!("{translated:?}")
    };
    assert_eq!(
        (call.input_tokens, call.output_tokens, call.latency_ms),
        (Some(12), Some(3), Some(850.0))
    );
    assert_eq!(
        traces(Encoding::Json, b"{}").unwrap().resource_spans.len(),
        0
    );
    for malformed in [
        "",
        "[",
        "[]",
        "{\"resourceSpans\":{}}",
        "{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[{\"kind\":[]}]}]}]}",
    ] {
        assert!(
            traces(Encoding::Json, malformed.as_bytes()).is_err(),
            "{malformed}"
        );
    }
    assert!(traces(Encoding::Protobuf, b"hello").is_err());
    assert!(
        traces(Encoding::Protobuf, b"")
            .unwrap()
            .resource_spans
            .is_empty()
    );
}

fn log(told: Value) -> Value {
    let mut record = json!({"timeUnixNano": START.to_string(), "severityNumber": 17, "severityText": "ERROR",
        "body": {"stringValue": "it broke"}, "traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b101"});
    record
        .as_object_mut()
        .unwrap()
        .extend(told.as_object().unwrap().clone());
    record
}

fn reports(records: &[Value], quota: &mut Quota, now: Instant) -> (Vec<Report>, Refused) {
    let about = attributes(&json!({"service.name": "api"}));
    let body = json!({"resourceLogs": [{"resource": {"attributes": about},
        "scopeLogs": [{"scope": {"name": "log"}, "logRecords": records}]}]});
    let request = logs(Encoding::Json, body.to_string().as_bytes()).unwrap();
    let again = logs(Encoding::Protobuf, &request.encode_to_vec()).unwrap();
    assert_eq!(request, again);
    let translated = translate_logs(&request, &setting(), quota, now);
    let report = |record| match record {
        Record::Report(report) => report,
        Record::Call(call) => panic!("{call:?}"),
    };
    (
        translated.records.into_iter().map(report).collect(),
        translated.refused,
    )
}

#[test]
fn logs_are_kept_with_severity_and_text_within_bounds() {
    let (mut quota, now) = (Quota::default(), Instant::now());
    let told = attributes(
        &json!({"http.route": "/chat", "user.id": "ada", "gen_ai.input.messages": "a prompt"}),
    );
    let (got, refused) = reports(&[log(json!({"attributes": told}))], &mut quota, now);
    assert_eq!(refused.count(), 0);
    assert_eq!(
        (got[0].kind, got[0].user.as_deref()),
        (ReportKind::Custom, Some("ada"))
    );
    let body: Value = serde_json::from_str(&got[0].body).unwrap();
    assert_eq!(
        body,
        json!({"severity": "ERROR", "message": "it broke", "service": "api", "scope": "log",
            "trace_id": "5b8efff798038103d269b633813fc60c", "span_id": "eee19b7ec3c1b101",
            "attributes": {"http.route": "/chat", "user.id": "ada"}})
    );
    // The same record is the same; another is another.
    let (again, _) = reports(
        &[log(json!({"attributes": told})), log(json!({}))],
        &mut quota,
        now,
    );
    assert_eq!(again[0].id, got[0].id);
    assert_ne!(again[1].id, got[0].id);

    let huge = "ä".repeat(50_000);
    let (got, _) = reports(
        &[log(
            json!({"body": {"stringValue": huge}, "attributes": attributes(&json!({"x": huge}))}),
        )],
        &mut quota,
        now,
    );
    assert!(got[0].body.len() < 10_000, "{}", got[0].body.len());

    let low = log(json!({"severityNumber": 5, "severityText": "DEBUG"}));
    let named = log(json!({"severityNumber": 5, "eventName": "order.placed"}));
    let (got, refused) = reports(&[low, named], &mut quota, now);
    assert_eq!((got.len(), refused.count()), (1, 1));
    assert!(refused.message().contains("below INFO"));
    // Prompts and answers.
    let content = log(json!({"eventName": "gen_ai.user.message"}));
    let older = log(json!({"attributes": attributes(&json!({"event.name": "gen_ai.choice"}))}));
    let (got, refused) = reports(&[content, older], &mut quota, now);
    assert_eq!((got.len(), refused.count()), (0, 0));
}

#[test]
fn evaluations_are_feedback() {
    let evaluation = |told: Value| {
        log(json!({"eventName": "gen_ai.evaluation.result", "attributes": attributes(&told)}))
    };
    let judged = [
        evaluation(
            json!({"gen_ai.evaluation.name": "Relevance", "gen_ai.evaluation.score.value": 0.8, "user.id": "ada"}),
        ),
        evaluation(json!({"gen_ai.evaluation.score.label": "fail"})),
        evaluation(
            json!({"gen_ai.evaluation.score.value": 4, "gen_ai.evaluation.score.label": "pass"}),
        ),
        evaluation(json!({"gen_ai.evaluation.score.value": 4})),
    ];
    let (got, _) = reports(&judged, &mut Quota::default(), Instant::now());
    let scores: Vec<_> = got.iter().map(|one| (one.kind, one.score)).collect();
    let (feedback, custom) = (ReportKind::Feedback, ReportKind::Custom);
    assert_eq!(
        scores,
        [
            (feedback, Some(0.8)),
            (feedback, Some(0.0)),
            (feedback, Some(1.0)),
            (custom, None)
        ]
    );
    assert_eq!(got[0].user.as_deref(), Some("ada"));
    // Also as an event of a span.
    let mut with_event = span(1, None, &json!({}));
    with_event["events"] = json!([{"name": "gen_ai.evaluation.result", "timeUnixNano": START,
        "attributes": attributes(&json!({"gen_ai.evaluation.score.value": 0.5}))}]);
    let translated = kept(&[with_event]);
    assert!(
        matches!(&translated.records[..], [Record::Report(report)] if report.score == Some(0.5))
    );
}

#[test]
fn a_flood_of_lines_is_refused_and_leaves_room_for_errors() {
    let (mut quota, now) = (Quota::default(), Instant::now());
    let line = |n: usize, severity: i32| {
        log(json!({"severityNumber": severity, "severityText": "", "timeUnixNano": n}))
    };
    let lines: Vec<Value> = (1..=5000).map(|n| line(n, 9)).collect();
    let (got, refused) = reports(&lines, &mut quota, now);
    assert_eq!((got.len(), refused.count()), (2000, 3000));
    assert!(
        refused.message().contains("10 log records a second"),
        "{}",
        refused.message()
    );
    let errors: Vec<Value> = (1..=3000).map(|n| line(n, 17)).collect();
    let (got, _) = reports(&errors, &mut quota, now);
    assert_eq!(got.len(), 2000);
    let (got, _) = reports(&errors, &mut quota, now + Duration::from_secs(7));
    assert_eq!(got.len(), 70);
}

fn metric(name: &str, data: Value) -> Value {
    let mut metric = json!({"name": name, "unit": "s", "description": "How\nlong"});
    metric
        .as_object_mut()
        .unwrap()
        .extend(data.as_object().unwrap().clone());
    metric
}

fn take(series: &mut Series, metrics_: &[Value], now: Instant) -> Refused {
    let about = attributes(&json!({"service.name": "api", "service.instance.id": "1"}));
    let body = json!({"resourceMetrics": [{"resource": {"attributes": about},
        "scopeMetrics": [{"scope": {"name": "http"}, "metrics": metrics_}]}]});
    let request = metrics(Encoding::Json, body.to_string().as_bytes()).unwrap();
    assert_eq!(
        metrics(Encoding::Protobuf, &request.encode_to_vec()).unwrap(),
        request
    );
    series.take(&request, now)
}

fn sum(at: u64, value: f64, delta: bool) -> Value {
    json!({"sum": {"isMonotonic": true, "aggregationTemporality": if delta { 1 } else { 2 }, "dataPoints":
        [{"timeUnixNano": at, "asDouble": value, "attributes": attributes(&json!({"http.route": "/a\"b"}))}]}})
}

#[test]
fn the_last_value_of_each_series_is_exposed() {
    let (mut series, now) = (Series::default(), Instant::now());
    let spread = json!({"histogram": {"aggregationTemporality": "AGGREGATION_TEMPORALITY_CUMULATIVE", "dataPoints":
        [{"timeUnixNano": 5, "count": "6", "sum": 3.5, "bucketCounts": ["1", "2", "3"], "explicitBounds": [0.1, 1]}]}});
    let refused = take(
        &mut series,
        &[
            metric("http.server.request.duration", spread),
            metric("jobs.time", sum(1, 2.5, false)),
            metric(
                "queue.length",
                json!({"gauge": {"dataPoints": [{"timeUnixNano": 1, "asInt": "7"}]}}),
            ),
            metric("gen_ai.client.token.usage", sum(1, 9.0, false)),
            metric("cockpit.build.info", sum(1, 9.0, false)),
        ],
        now,
    );
    assert_eq!(refused.count(), 1);
    assert!(refused.message().contains("cockpit_"));
    take(&mut series, &[metric("jobs.time", sum(2, 4.0, false))], now);
    // Overtaken on the way.
    take(&mut series, &[metric("jobs.time", sum(1, 2.5, false))], now);
    let text = series.exposition(now);
    let about = r#"otel_scope_name="http",service_instance_id="1",service_name="api""#;
    let expected = format!(
        r#"# HELP http_server_request_duration_seconds How long
# TYPE http_server_request_duration_seconds histogram
http_server_request_duration_seconds_bucket{{{about},le="0.1"}} 1
http_server_request_duration_seconds_bucket{{{about},le="1"}} 3
http_server_request_duration_seconds_bucket{{{about},le="+Inf"}} 6
http_server_request_duration_seconds_sum{{{about}}} 3.5
http_server_request_duration_seconds_count{{{about}}} 6
# HELP jobs_time_seconds_total How long
# TYPE jobs_time_seconds_total counter
jobs_time_seconds_total{{http_route="/a\"b",{about}}} 4
# HELP queue_length_seconds How long
# TYPE queue_length_seconds gauge
queue_length_seconds{{{about}}} 7
"#
    )
    .replace(r#"/a"b"#, r#"/a\"b"#);
    assert_eq!(text, expected);
    assert_eq!(
        series.exposition(now + metrics::STALE),
        "",
        "nothing was heard of them"
    );
}

#[test]
fn sums_since_the_last_export_are_added_once() {
    let (mut series, now) = (Series::default(), Instant::now());
    for at in [1, 2, 2, 1, 3] {
        take(&mut series, &[metric("jobs", sum(at, 2.0, true))], now);
    }
    assert!(
        series.exposition(now).contains("jobs_seconds_total{")
            && series.exposition(now).ends_with(" 6\n")
    );
    let refused = take(
        &mut series,
        &[metric(
            "jobs",
            json!({"gauge": {"dataPoints": [{"asInt": 1}]}}),
        )],
        now,
    );
    assert_eq!(refused.count(), 0, "a gauge of that name is another family");
}

#[test]
fn series_are_bounded() {
    let (mut series, now) = (Series::default(), Instant::now());
    let points: Vec<Value> = (0..metrics::MOST + 10)
        .map(|n| json!({"asInt": n, "attributes": attributes(&json!({"n": n.to_string()}))}))
        .collect();
    let refused = take(
        &mut series,
        &[metric("many", json!({"gauge": {"dataPoints": points}}))],
        now,
    );
    assert_eq!(refused.count(), 10);
    assert!(refused.message().contains("fewer attributes"));
}
