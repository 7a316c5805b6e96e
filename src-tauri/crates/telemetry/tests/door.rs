//! OTLP over HTTP, from outside: who may send, and what is answered.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use cockpit_model::{Record, Timestamp};
use cockpit_telemetry::ingest::otlp::{Door, Intake, Rules};
use cockpit_telemetry::ingest::{Kept, Ledger, NotKept, Prices, Setting};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use prost::Message;
use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// A ledger that keeps all but what is called `refused`, or nothing.
#[derive(Default)]
struct Books {
    kept: Mutex<Vec<Record>>,
    full: Mutex<bool>,
}

impl Ledger for Books {
    fn setting(&self) -> Setting {
        Setting {
            now: Timestamp::now(),
            prices: Prices::default(),
            gateways: Vec::new(),
        }
    }

    fn keep(&self, records: Vec<Record>) -> BoxFuture<'static, Result<Vec<Kept>, NotKept>> {
        let answer = if *self.full.lock().unwrap() {
            Err(NotKept {
                why: "the disk is full".to_owned(),
            })
        } else {
            let judged = records.iter().map(|record| match record {
                Record::Call(call) if call.model == "refused" => {
                    Kept::Refused("too old".to_owned())
                }
                _ => Kept::New,
            });
            let judged = judged.collect();
            self.kept.lock().unwrap().extend(records);
            Ok(judged)
        };
        std::future::ready(answer).boxed()
    }
}

async fn open() -> (Arc<Books>, SocketAddr) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let books = Arc::new(Books::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let listen = listener.local_addr().unwrap();
    let rules = Rules {
        listen,
        allowed_hosts: vec!["studio.ts.net".to_owned()],
        token: "s3cret".to_owned(),
    };
    let door = Door::new(Intake::new(books.clone()), rules);
    tokio::spawn(door.serve(listener, std::future::pending()));
    (books, listen)
}

fn span(id: u8, model: &str) -> Value {
    json!({"traceId": "5b8efff798038103d269b633813fc60c", "spanId": format!("00000000000000{id:02x}"), "attributes": [
        {"key": "gen_ai.operation.name", "value": {"stringValue": "chat"}},
        {"key": "gen_ai.provider.name", "value": {"stringValue": "openai"}},
        {"key": "gen_ai.request.model", "value": {"stringValue": model}}]})
}

fn body(spans: &[Value]) -> String {
    json!({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}).to_string()
}

fn post(at: SocketAddr, path: &str, body: impl Into<reqwest::Body>) -> RequestBuilder {
    Client::new()
        .post(format!("http://{at}{path}"))
        .header("content-type", "application/json")
        .body(body)
}

async fn answer(request: RequestBuilder) -> (u16, String) {
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
}

#[tokio::test]
async fn what_is_kept_is_acknowledged_and_what_is_not_is_told() {
    let (books, at) = open().await;
    let all = answer(post(at, "/v1/traces", body(&[span(1, "m"), span(2, "n")]))).await;
    assert_eq!(all, (200, "{}".to_owned()));
    assert_eq!(books.kept.lock().unwrap().len(), 2);
    let (status, text) = answer(post(
        at,
        "/v1/traces",
        body(&[
            span(3, "m"),
            span(4, "refused"),
            json!({"attributes":
        [{"key": "gen_ai.operation.name", "value": {"stringValue": "chat"}}]}),
        ]),
    ))
    .await;
    let told: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (status, &told["partialSuccess"]["rejectedSpans"]),
        (200, &json!("2"))
    );
    let message = told["partialSuccess"]["errorMessage"].as_str().unwrap();
    assert!(
        message.contains("trace id") && message.contains("too old"),
        "{message}"
    );
    // In protobuf nothing is an empty message, and all is well is another.
    let empty = Client::new()
        .post(format!("http://{at}/v1/logs"))
        .header("content-type", "application/x-protobuf");
    assert_eq!(answer(empty).await, (200, String::new()));
}

#[tokio::test]
async fn a_body_that_cannot_be_read_is_answered_in_its_own_encoding() {
    let (_, at) = open().await;
    let (status, text) = answer(post(at, "/v1/traces", "{")).await;
    let told: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((status, &told["code"]), (400, &json!(3)));
    let protobuf = Client::new()
        .post(format!("http://{at}/v1/metrics"))
        .header("content-type", "application/x-protobuf")
        .body("hello")
        .send()
        .await
        .unwrap();
    assert_eq!(protobuf.status(), 400);
    assert_eq!(protobuf.headers()["content-type"], "application/x-protobuf");
    let told = Status::decode(protobuf.bytes().await.unwrap()).unwrap();
    assert_eq!(told.code, 3);
    assert!(
        told.message.contains("cannot be read as OTLP"),
        "{}",
        told.message
    );
    let damaged = post(at, "/v1/logs", "{}").header("content-encoding", "gzip");
    assert_eq!(answer(damaged).await.0, 400);
    let unknown = post(at, "/v1/logs", "{}").header("content-encoding", "zstd");
    assert_eq!(answer(unknown).await.0, 415);
    let text = Client::new().post(format!("http://{at}/v1/logs")).body("x");
    assert_eq!(answer(text).await.0, 415);
    assert_eq!(answer(post(at, "/v1/profiles", "{}")).await.0, 404);
    assert_eq!(
        answer(Client::new().get(format!("http://{at}/v1/logs")))
            .await
            .0,
        405
    );
    let large = answer(post(at, "/v1/logs", vec![b' '; 24 << 20])).await;
    assert_eq!(large.0, 413);
}

#[tokio::test]
async fn what_cannot_be_kept_now_may_come_again() {
    let (books, at) = open().await;
    *books.full.lock().unwrap() = true;
    let failed = post(at, "/v1/traces", body(&[span(1, "m")]))
        .send()
        .await
        .unwrap();
    assert_eq!(failed.status(), 503);
    assert_eq!(failed.headers()["retry-after"], "2");
    let told: Value = failed.json().await.unwrap();
    assert_eq!(told["code"], 14);
    // Nothing to keep: nothing is in the way.
    assert_eq!(answer(post(at, "/v1/traces", "{}")).await.0, 200);
    *books.full.lock().unwrap() = false;
    assert_eq!(
        answer(post(at, "/v1/traces", body(&[span(1, "m")])))
            .await
            .0,
        200
    );
}

#[tokio::test]
async fn who_may_send() {
    let (books, at) = open().await;
    let with = |headers: &[(&str, &str)]| {
        let request = post(at, "/v1/traces", "{}");
        headers.iter().fold(request, |request, (name, value)| {
            request.header(*name, *value)
        })
    };
    for (headers, status) in [
        (vec![], 200),
        (vec![("host", "localhost:4318")], 200),
        (vec![("host", "evil.example")], 403),
        (
            vec![("host", "evil.example"), ("authorization", "Bearer s3cret")],
            403,
        ),
        (vec![("host", "studio.ts.net")], 401),
        (
            vec![("host", "studio.ts.net"), ("authorization", "Bearer wrong")],
            401,
        ),
        (
            vec![
                ("host", "studio.ts.net"),
                ("authorization", "bearer s3cret"),
            ],
            200,
        ),
        (vec![("x-forwarded-for", "1.2.3.4")], 401),
        (
            vec![
                ("cf-connecting-ip", "1.2.3.4"),
                ("authorization", "Bearer s3cret"),
            ],
            200,
        ),
        (vec![("origin", "https://evil.example")], 403),
        (vec![("origin", "null")], 403),
        (vec![("origin", "http://localhost:5173")], 200),
    ] {
        assert_eq!(answer(with(&headers)).await.0, status, "{headers:?}");
    }
    let page = Client::new()
        .request(reqwest::Method::OPTIONS, format!("http://{at}/v1/traces"))
        .header("origin", "http://localhost:5173")
        .header("access-control-request-headers", "content-type")
        .send()
        .await
        .unwrap();
    assert_eq!(page.status(), 204);
    assert_eq!(
        page.headers()["access-control-allow-origin"],
        "http://localhost:5173"
    );
    // No Host at all, or two.
    for hosts in ["", "Host: localhost\r\nHost: evil.example\r\n"] {
        let mut raw = TcpStream::connect(at).await.unwrap();
        let request = format!("POST /v1/traces HTTP/1.0\r\n{hosts}Content-Length: 2\r\n\r\n{{}}");
        raw.write_all(request.as_bytes()).await.unwrap();
        let mut got = String::new();
        raw.read_to_string(&mut got).await.unwrap();
        assert!(got.contains(" 403 "), "{hosts}{got}");
    }
    assert_eq!(books.kept.lock().unwrap().len(), 0);
}
