//! What applications report to a whole cockpit: kept before it is acknowledged, counted once, refused with a reason.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod support;

use cockpit_model::Status;
use serde_json::{Value, json};
use support::{Cockpit, free_port};

const NDJSON: &str = r#"
{"id":"n-1","type":"call","model":"openai/gpt-4o","input_tokens":1000,"output_tokens":100,"latency_ms":900,"user":"ada"}
{"id":"n-2","type":"call","model":"gpt-4o","user":"ada"}
{"id":"n-3","type":"feedback","rating":5,"user":"ada"}
not json at all
{"id":"n-4","type":"task","completed":true,"user":"bob"}
"#;

/// Where the API listens, and the token.
fn tcp(cockpit: &Cockpit) -> (String, String) {
    let file = std::fs::read(cockpit.data().join("engine.json")).unwrap();
    let file: Value = serde_json::from_slice(&file).unwrap();
    let token = std::fs::read_to_string(cockpit.data().join("token")).unwrap();
    let listen = file["listen"].as_str().unwrap();
    (format!("http://{listen}"), token.trim().to_owned())
}

/// Sends events over TCP, as applications do: with the token.
async fn send(cockpit: &Cockpit, body: impl Into<reqwest::Body>) -> (u16, Value) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (origin, token) = tcp(cockpit);
    let answer = reqwest::Client::new()
        .post(format!("{origin}/api/events"))
        .bearer_auth(token)
        .body(body)
        .send()
        .await
        .unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

async fn get(cockpit: &Cockpit, path: &str) -> Value {
    cockpit.client().get(path).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_acknowledged_outlives_the_worst_and_counts_once() {
    let mut cockpit = Cockpit::start("[gateway]\nlisten = \"127.0.0.1:0\"\n").await;
    let (status, answer) = send(&cockpit, NDJSON).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(
        (&answer["accepted"], &answer["duplicates"]),
        (&json!(3), &json!(0))
    );
    let rejected = answer["rejected"].as_array().unwrap();
    assert_eq!(
        (rejected.len(), &rejected[0]["index"], &rejected[1]["index"]),
        (2, &json!(1), &json!(3))
    );
    assert!(
        rejected[0]["reason"]
            .as_str()
            .unwrap()
            .contains("provider is missing")
    );

    // Killed at once: it was on the disk when it was acknowledged.
    cockpit.kill_engine().await;
    cockpit.serve().await;
    let calls = get(&cockpit, "/api/calls").await;
    assert_eq!(calls["calls"].as_array().unwrap().len(), 1, "{calls}");
    let call = &calls["calls"][0];
    assert_eq!(
        (&call["id"], &call["source"]),
        (&json!("n-1"), &json!("events"))
    );
    assert_eq!(call["cost_usd"], json!(0.0035));
    let usage = get(&cockpit, "/api/usage?window=1h").await;
    assert_eq!(usage["business"]["active_users"], 2);

    // The same again, over the other life: nothing counts twice.
    let (_, answer) = send(&cockpit, NDJSON).await;
    assert_eq!(
        (&answer["accepted"], &answer["duplicates"]),
        (&json!(0), &json!(3))
    );
    let usage = get(&cockpit, "/api/usage?window=1h").await;
    assert_eq!(usage["totals"]["calls"], 1);

    // Without an id each is another.
    let nameless =
        r#"[{"type":"call","model":"ollama/llama3.2"},{"type":"call","model":"ollama/llama3.2"}]"#;
    for _ in 0..2 {
        assert_eq!(send(&cockpit, nameless).await.1["accepted"], 2);
    }
    assert_eq!(
        get(&cockpit, "/api/usage?window=1h").await["totals"]["calls"],
        5
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_of_a_whole_body_say_why() {
    let cockpit = Cockpit::start("[gateway]\nlisten = \"127.0.0.1:0\"\n").await;
    let (status, answer) = send(&cockpit, "hello").await;
    assert_eq!(
        (status, &answer["code"]),
        (400, &json!("bad_request")),
        "{answer}"
    );
    let many = vec![r#"{"type":"custom"}"#; 10_001].join("\n");
    let (status, answer) = send(&cockpit, many).await;
    assert_eq!(
        (status, &answer["code"]),
        (413, &json!("too_large")),
        "{answer}"
    );
    let (status, answer) = send(&cockpit, vec![b' '; (8 << 20) + 1]).await;
    assert_eq!(
        (status, &answer["code"]),
        (413, &json!("too_large")),
        "{answer}"
    );
    let old = r#"{"type":"call","model":"a/b","at":"2001-01-01T00:00:00Z"}"#;
    let (status, answer) = send(&cockpit, old).await;
    assert_eq!((status, &answer["accepted"]), (200, &json!(0)));
    assert!(
        answer["rejected"][0]["reason"]
            .as_str()
            .unwrap()
            .contains("older than what is kept")
    );
    let (origin, _) = tcp(&cockpit);
    let stranger = reqwest::Client::new()
        .post(format!("{origin}/api/events"))
        .body("{}")
        .send();
    assert_eq!(stranger.await.unwrap().status(), 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_sees_what_matters_and_is_not_flooded() {
    let cockpit = Cockpit::start("[gateway]\nlisten = \"127.0.0.1:0\"\n").await;
    let failed = r#"{"type":"auth","ok":false,"user":"mallory","reason":"wrong password"}"#;
    let many = vec![failed; 500].join("\n");
    assert_eq!(send(&cockpit, many).await.1["accepted"], 500);
    let deploy = r#"{"type":"deploy","service":"api","version":"1.4.0"}"#;
    assert_eq!(send(&cockpit, deploy).await.1["accepted"], 1);
    let events = get(&cockpit, "/api/events").await;
    let of = |kind: &str| -> Vec<Value> {
        let all = events.as_array().unwrap().iter();
        all.filter(|event| event["type"] == kind).cloned().collect()
    };
    let reported = of("reported");
    assert_eq!(reported.len(), 1, "{events}");
    assert_eq!(
        (
            &reported[0]["kind"],
            &reported[0]["user"],
            &reported[0]["said"]
        ),
        (&json!("auth"), &json!("mallory"), &json!("wrong password"))
    );
    let marks = of("mark");
    let deployed = marks
        .iter()
        .find(|mark| mark["mark"] == "deploy")
        .expect("a mark");
    assert_eq!(
        (&deployed["what"], &deployed["version"]),
        (&json!("api"), &json!("1.4.0"))
    );
}

/// A configuration that takes OTLP and has a vendor behind a gateway.
fn with_otlp(otlp: u16, gateway: u16, vendor: u16) -> String {
    format!(
        r#"
[otlp]
listen = "127.0.0.1:{otlp}"

[gateway]
listen = "127.0.0.1:{gateway}"

[services.vendor]
command = ["{exe}", "simulate", "openai", "--port", "{{port}}"]
listen = "127.0.0.1:{vendor}"
ready = {{ tcp = "127.0.0.1:{{port}}", every = "200ms" }}

[providers.openai]
kind = "openai"
base_url = "http://127.0.0.1:{vendor}/v1"
"#,
        exe = support::exe().display()
    )
}

/// The attributes of a request to a model.
fn told(more: &Value) -> Value {
    let mut told = json!({"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o", "gen_ai.usage.input_tokens": 1000, "gen_ai.usage.output_tokens": 100});
    told.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    let one = |(key, value): (&String, &Value)| {
        let value = match value {
            Value::Number(number) => json!({"intValue": number.to_string()}),
            text => json!({"stringValue": text}),
        };
        json!({"key": key, "value": value})
    };
    told.as_object().unwrap().iter().map(one).collect()
}

fn span(id: u8, more: &Value) -> Value {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    let now = now.as_nanos() as u64;
    json!({"traceId": "5b8efff798038103d269b633813fc60c", "spanId": format!("00000000000000{id:02x}"),
        "kind": 3, "startTimeUnixNano": (now - 2_000_000_000).to_string(), "endTimeUnixNano": now.to_string(),
        "attributes": told(more)})
}

fn traces(spans: &[Value]) -> Value {
    json!({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]})
}

async fn export(otlp: u16, path: &str, kind: &str, gzip: bool, body: Vec<u8>) -> (u16, Vec<u8>) {
    use std::io::Write as _;
    let body = if gzip {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(&body).unwrap();
        packed.finish().unwrap()
    } else {
        body
    };
    let sent = async {
        loop {
            let mut request = reqwest::Client::new()
                .post(format!("http://127.0.0.1:{otlp}{path}"))
                .header("content-type", kind);
            if gzip {
                request = request.header("content-encoding", "gzip");
            }
            match request.body(body.clone()).send().await {
                // The engine is ready before this door is open; exporters try again, and so does this.
                Err(error) if error.is_connect() => {
                    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                }
                answer => return answer.unwrap(),
            }
        }
    };
    let answer = tokio::time::timeout(support::PATIENCE, sent)
        .await
        .expect("OTLP is taken");
    (
        answer.status().as_u16(),
        answer.bytes().await.unwrap().to_vec(),
    )
}

/// The same spans in protobuf.
fn in_protobuf(ids: &[u8]) -> Vec<u8> {
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    use opentelemetry_proto::tonic::common::v1::any_value::Value as Kind;
    use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
    use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
    use prost::Message as _;
    let attribute = |one: &Value| {
        let value = &one["value"];
        let kind = match value["stringValue"].as_str() {
            Some(text) => Kind::StringValue(text.to_owned()),
            None => Kind::IntValue(value["intValue"].as_str().unwrap().parse().unwrap()),
        };
        KeyValue {
            key: one["key"].as_str().unwrap().to_owned(),
            value: Some(AnyValue { value: Some(kind) }),
            ..KeyValue::default()
        }
    };
    let spans = ids.iter().map(|id| {
        let written = span(*id, &json!({}));
        let time = |name: &str| written[name].as_str().unwrap().parse().unwrap();
        Span {
            trace_id: (0..16).map(|n| 0x5b ^ n).collect(),
            span_id: vec![0, 0, 0, 0, 0, 0, 0, *id],
            kind: 3,
            start_time_unix_nano: time("startTimeUnixNano"),
            end_time_unix_nano: time("endTimeUnixNano"),
            attributes: written["attributes"]
                .as_array()
                .unwrap()
                .iter()
                .map(attribute)
                .collect(),
            ..Span::default()
        }
    });
    let scope = ScopeSpans {
        spans: spans.collect(),
        ..ScopeSpans::default()
    };
    let resource = ResourceSpans {
        scope_spans: vec![scope],
        ..ResourceSpans::default()
    };
    ExportTraceServiceRequest {
        resource_spans: vec![resource],
    }
    .encode_to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_in_both_encodings_count_once_over_an_abrupt_end() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (otlp, gateway, vendor) = (free_port(), free_port(), free_port());
    let mut cockpit = Cockpit::start(&with_otlp(otlp, gateway, vendor)).await;
    cockpit.wait_all_ready().await;
    let written = traces(&[
        span(1, &json!({})),
        span(2, &json!({"error.type": "timeout"})),
    ])
    .to_string();
    for gzip in [false, true] {
        let got = export(
            otlp,
            "/v1/traces",
            "application/json",
            gzip,
            written.clone().into_bytes(),
        )
        .await;
        assert_eq!(got, (200, b"{}".to_vec()));
    }
    let packed = in_protobuf(&[7, 8]);
    let got = export(
        otlp,
        "/v1/traces",
        "application/x-protobuf",
        true,
        packed.clone(),
    )
    .await;
    assert_eq!(got, (200, Vec::new()));

    cockpit.kill_engine().await;
    cockpit.serve().await;
    let again = export(otlp, "/v1/traces", "application/x-protobuf", false, packed).await;
    assert_eq!(again.0, 200);
    let calls = get(&cockpit, "/api/calls").await;
    let calls = calls["calls"].as_array().unwrap();
    assert_eq!(calls.len(), 4, "{calls:#?}");
    assert!(
        calls
            .iter()
            .all(|call| call["source"] == "otlp" && call["target"] == "openai/gpt-4o")
    );
    let usage = get(&cockpit, "/api/usage?window=1h").await;
    assert_eq!(
        (&usage["totals"]["calls"], &usage["totals"]["errors"]),
        (&json!(4), &json!(1))
    );
    assert_eq!(usage["totals"]["cost_usd"], json!(0.014));

    let (status, answer) =
        export(otlp, "/v1/traces", "application/json", false, b"{".to_vec()).await;
    assert_eq!(status, 400, "{}", String::from_utf8_lossy(&answer));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_through_the_gateway_that_is_also_reported_counts_once() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (otlp, gateway, vendor) = (free_port(), free_port(), free_port());
    let cockpit = Cockpit::start(&with_otlp(otlp, gateway, vendor)).await;
    cockpit.wait_all_ready().await;
    let body = json!({"model": "openai/gpt-4o", "messages": [{"role": "user", "content": "What is a mole?"}]});
    let answer = reqwest::Client::new()
        .post(format!("http://127.0.0.1:{gateway}/v1/chat/completions"))
        .bearer_auth("sk-callers-own")
        .body(body.to_string())
        .send()
        .await
        .unwrap();
    let id = answer.headers()["x-cockpit-call-id"]
        .to_str()
        .unwrap()
        .to_owned();
    assert_eq!(answer.status(), 200);
    answer.bytes().await.unwrap();
    // By its address, by its id in a span, by its id as an event.
    let spans = traces(&[
        span(
            1,
            &json!({"server.address": "localhost", "server.port": gateway}),
        ),
        span(2, &json!({"http.response.header.x-cockpit-call-id": id})),
        span(
            3,
            &json!({"server.address": "api.openai.com", "server.port": 443}),
        ),
    ]);
    let got = export(
        otlp,
        "/v1/traces",
        "application/json",
        false,
        spans.to_string().into_bytes(),
    )
    .await;
    assert_eq!(got.0, 200);
    let event = json!({"type": "call", "id": id, "model": "openai/gpt-4o"}).to_string();
    assert_eq!(send(&cockpit, event).await.1["duplicates"], 1);
    let calls = get(&cockpit, "/api/calls").await;
    let sources: Vec<&Value> = calls["calls"]
        .as_array()
        .unwrap()
        .iter()
        .map(|call| &call["source"])
        .collect();
    assert_eq!(sources.len(), 2, "{calls}");
    assert!(sources.contains(&&json!("gateway")) && sources.contains(&&json!("otlp")));
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_are_on_the_disk_and_metrics_are_scraped() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (otlp, gateway, vendor) = (free_port(), free_port(), free_port());
    let mut cockpit = Cockpit::start(&with_otlp(otlp, gateway, vendor)).await;
    let judged = json!({"resourceLogs": [{"scopeLogs": [{"logRecords": [
        {"eventName": "gen_ai.evaluation.result", "attributes": [
            {"key": "gen_ai.evaluation.score.value", "value": {"doubleValue": 0.5}}]},
        {"severityNumber": 17, "body": {"stringValue": "it broke"}}]}]}]});
    let got = export(
        otlp,
        "/v1/logs",
        "application/json",
        false,
        judged.to_string().into_bytes(),
    )
    .await;
    assert_eq!(got, (200, b"{}".to_vec()));
    let measured = json!({"resourceMetrics": [{"scopeMetrics": [{"metrics": [
        {"name": "queue.length", "gauge": {"dataPoints": [{"timeUnixNano": "1", "asInt": "7"}]}},
        {"name": "gen_ai.client.token.usage", "sum": {"isMonotonic": true, "aggregationTemporality": 2,
            "dataPoints": [{"timeUnixNano": "1", "asInt": "7"}]}}]}]}]});
    let got = export(
        otlp,
        "/v1/metrics",
        "application/json",
        false,
        measured.to_string().into_bytes(),
    )
    .await;
    assert_eq!(got, (200, b"{}".to_vec()));
    let scraped = cockpit.client().get_bytes("/metrics").await.unwrap();
    let scraped = String::from_utf8(scraped.to_vec()).unwrap();
    assert!(scraped.contains("\nqueue_length 7\n"), "{scraped}");
    let calls = get(&cockpit, "/api/usage?window=1h").await;
    assert_eq!(calls["totals"]["calls"], 0, "a metric of calls counts none");
    cockpit.kill_engine().await;
    cockpit.serve().await;
    let usage = get(&cockpit, "/api/usage?window=1h").await;
    assert_eq!(usage["business"]["satisfaction"], json!(0.5), "{usage}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_door_for_otlp_follows_the_configuration() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let cockpit = Cockpit::start("[gateway]\nlisten = \"127.0.0.1:0\"\n").await;
    let config =
        format!("[gateway]\nlisten = \"127.0.0.1:0\"\n\n[otlp]\nlisten = \"127.0.0.1:{port}\"\n");
    cockpit.write_config(&config);
    // Somebody else has the port: it is named.
    let otlp = |one: &&String| one.contains("OTLP");
    let named = cockpit.wait_status("it is told", |status| {
        status.engine.trouble.iter().any(|one| otlp(&one))
    });
    let trouble = named.await.engine.trouble;
    let trouble = trouble.iter().find(otlp).unwrap();
    assert!(
        trouble.contains(&port.to_string()) && trouble.contains("[otlp]"),
        "{trouble}"
    );
    drop(taken);
    let open = async {
        loop {
            let request = reqwest::Client::new()
                .post(format!("http://127.0.0.1:{port}/v1/traces"))
                .header("content-type", "application/json")
                .body("{}");
            if request
                .send()
                .await
                .is_ok_and(|answer| answer.status() == 200)
            {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(support::PATIENCE, open)
        .await
        .expect("it opens by itself");
    assert_eq!(cockpit.status().await.engine.trouble, Vec::<String>::new());
    cockpit.write_config("[gateway]\nlisten = \"127.0.0.1:0\"\n");
    let closed = async {
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(support::PATIENCE, closed)
        .await
        .expect("it closes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_cannot_be_written_is_named_in_the_status() {
    let cockpit = Cockpit::start("[gateway]\nlisten = \"127.0.0.1:0\"\n").await;
    // As a full disk would: nothing can be written into it, not even that all is well.
    let ledger = rusqlite::Connection::open(cockpit.data().join("ledger.db")).unwrap();
    ledger.busy_timeout(support::PATIENCE).unwrap();
    let full = "CREATE TRIGGER full BEFORE INSERT ON meta BEGIN SELECT RAISE(ABORT, 'the disk is full'); END";
    ledger.execute_batch(full).unwrap();
    let call = r#"{"type":"call","model":"openai/gpt-4o"}"#;
    let (status, refused) = send(&cockpit, call).await;
    assert!(
        status >= 500 && refused.to_string().contains("the disk is full"),
        "{refused}"
    );
    let trouble = cockpit.status().await.engine.trouble;
    let named = trouble.iter().find(|one| one.starts_with("ledger.db"));
    assert!(
        named.is_some_and(|one| one.contains("the disk is full")),
        "{trouble:?}"
    );

    ledger.execute_batch("DROP TRIGGER full").unwrap();
    let well = |status: &Status| status.engine.trouble.is_empty();
    cockpit.wait_status("it is written again", well).await;
}

/// What a metric says in all.
async fn metric(cockpit: &Cockpit, begins: &str) -> f64 {
    let text = cockpit.client().get_bytes("/metrics").await.unwrap();
    let text = String::from_utf8(text.to_vec()).unwrap();
    let lines = text.lines().filter(|line| line.starts_with(begins));
    lines
        .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
        .sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_is_counted_though_its_sender_hung_up() {
    use tokio::io::AsyncWriteExt as _;
    let cockpit = Cockpit::start("[gateway]\nlisten = \"127.0.0.1:0\"\n").await;
    let (origin, token) = tcp(&cockpit);
    let listen = origin.strip_prefix("http://").unwrap();
    let accepted = "cockpit_ledger_records_total{result=\"accepted\"}";
    let mut n = 0;
    let hang_up = async {
        while metric(&cockpit, accepted).await < 20.0 {
            for _ in 0..20 {
                n += 1;
                let body = format!(r#"{{"id":"h-{n}","type":"call","model":"openai/gpt-4o"}}"#);
                let request = format!(
                    "POST /api/events HTTP/1.1\r\nhost: {listen}\r\nauthorization: Bearer {token}\r\n\
                     content-length: {}\r\n\r\n{body}",
                    body.len()
                );
                let mut stream = tokio::net::TcpStream::connect(listen).await.unwrap();
                stream.write_all(request.as_bytes()).await.unwrap();
            }
        }
    };
    tokio::time::timeout(support::PATIENCE, hang_up)
        .await
        .expect("some are kept");
    let counted = async {
        while metric(&cockpit, "cockpit_calls_total{").await != metric(&cockpit, accepted).await {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(support::PATIENCE, counted)
        .await
        .expect("all that are kept are counted");
}
