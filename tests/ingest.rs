//! What applications report to a whole cockpit: kept before it is acknowledged, counted once, refused with a reason.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod support;

use serde_json::{Value, json};
use support::Cockpit;

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
