//! What is done to prompts on the way: personal data told, replaced or refused; limits that nobody evades.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod common;

use std::net::SocketAddr;

use cockpit_model::traffic::{PiiMode, Rules};
use cockpit_model::{EventBody, Outcome, ReportKind};
use common::*;
use serde_json::{Value, json};

/// The bodies a double was sent, oldest first.
async fn seen(double: SocketAddr) -> Vec<Value> {
    let all: Vec<Value> = client()
        .get(format!("http://{double}/_requests"))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let asked = all
        .into_iter()
        .filter(|request| request["method"] == "POST");
    asked.map(|request| request["body"].clone()).collect()
}

fn asking(model: &str, text: &str) -> Value {
    let mut request = chat(model);
    request["messages"][0]["content"] = json!(text);
    request
}

const TEXT: &str =
    "I am Ada (ada@example.com, +49 170 1234567); my card is \"4111 1111 1111 1111\"\n";

async fn rig(doubles: &Doubles, mode: PiiMode) -> Rig {
    let mut spec = spec(
        doubles.providers(),
        vec![
            route("chat", &["openai/gpt-4o"]),
            route("open", &["openai/gpt-4o"]),
        ],
    );
    spec.rules.pii = mode;
    spec.routes[0].rules.pii = mode;
    spec.routes[1].rules.pii = PiiMode::Off;
    Rig::new(spec).await
}

/// What each vendor wants besides a body.
async fn post(rig: &Rig, path: &str, body: &Value) -> reqwest::Response {
    let anthropic = [("anthropic-version", "2023-06-01"), ("x-api-key", "k")];
    let headers: &[_] = if path == "/v1/messages" {
        &anthropic
    } else {
        &[]
    };
    rig.post_with(path, body, headers).await
}

fn told(rig: &Rig) -> Vec<(String, Vec<String>)> {
    let events = rig.events.0.lock().unwrap();
    events
        .iter()
        .filter_map(|event| match event {
            EventBody::Pii { action, found, .. } => Some((action.clone(), found.clone())),
            _ => None,
        })
        .collect()
}

#[tokio::test]
async fn observed_is_told_and_nothing_else_changes() {
    let doubles = Doubles::start().await;
    let rig = rig(&doubles, PiiMode::Observe).await;
    let asked = asking("openai/gpt-4o", TEXT);
    for _ in 0..3 {
        let answer = rig.post("/v1/chat/completions", &asked).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(rig.call().await.outcome, Outcome::Ok);
    }
    assert_eq!(seen(doubles.openai).await[0]["messages"], asked["messages"]);
    let found = ["email 1", "card 1", "phone 1"].map(str::to_owned).to_vec();
    assert_eq!(
        told(&rig),
        [("observe".to_owned(), found)],
        "not three times"
    );
    let everything = format!("{:?}", rig.events.0.lock().unwrap());
    assert!(
        !everything.contains("ada@") && !everything.contains("4111"),
        "{everything}"
    );
    // All are counted.
    let mut counted = 0;
    for _ in 0..3 {
        let finding = rig.finding().await;
        assert_eq!(finding.kind, ReportKind::Pii);
        assert!(!finding.body.contains("ada@"));
        let body: Value = serde_json::from_str(&finding.body).unwrap();
        assert_eq!(body["action"], "observe");
        counted += body["count"].as_u64().unwrap();
    }
    assert!((3..=9).contains(&counted));
}

#[tokio::test]
async fn redacted_is_replaced_before_it_leaves_and_the_rest_stays() {
    let doubles = Doubles::start().await;
    let rig = rig(&doubles, PiiMode::Redact).await;
    let written = r#"{"model":"chat",  "messages":[{"role":"user","content":"Mail \u0061da@example.com\n\u00e9 \"4111-1111-1111-1111\""}], "temperature":1.0E+0, "x":{"y":[1,"bob@example.org"]}}"#;
    let answer = rig
        .client
        .post(rig.url("/v1/chat/completions"))
        .bearer_auth("sk")
        .body(written)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    let sent = &seen(doubles.openai).await[0];
    assert_eq!(sent["messages"][0]["content"], "Mail [EMAIL]\né \"[CARD]\"");
    assert_eq!(
        (&sent["temperature"], &sent["x"]),
        (&json!(1.0), &json!({"y": [1, "[EMAIL]"]}))
    );
    assert_eq!(sent["model"], "gpt-4o");
    assert_eq!(told(&rig)[0].0, "redact");

    // Whatever the protocol, and streamed too.
    for (path, mut request, double) in [
        (
            "/v1/messages",
            json!({"model": "anthropic/claude-sonnet-4-5", "max_tokens": 50}),
            doubles.anthropic,
        ),
        (
            "/api/chat",
            json!({"model": "ollama/llama3.2"}),
            doubles.ollama,
        ),
    ] {
        request["messages"] = json!([{"role": "user", "content": TEXT}]);
        request["stream"] = json!(true);
        let answer = post(&rig, path, &request).await;
        assert_eq!(answer.status(), 200, "{path}");
        answer.bytes().await.unwrap();
        let sent = seen(double).await.pop().unwrap();
        let text = sent["messages"][0]["content"].as_str().unwrap();
        assert_eq!(
            text, "I am Ada ([EMAIL], [PHONE]); my card is \"[CARD]\"\n",
            "{path}"
        );
    }

    // A route has a rule of its own.
    rig.post("/v1/chat/completions", &asking("open", TEXT))
        .await;
    let sent = seen(doubles.openai).await.pop().unwrap();
    assert_eq!(sent["messages"][0]["content"], TEXT);
}

#[tokio::test]
async fn blocked_goes_nowhere_and_is_written_down() {
    let doubles = Doubles::start().await;
    let rig = rig(&doubles, PiiMode::Block).await;
    for (path, request, code) in [
        ("/v1/chat/completions", asking("chat", TEXT), "/error/code"),
        (
            "/v1/messages",
            json!({"model": "anthropic/claude-sonnet-4-5", "max_tokens": 5, "system": "AKIAIOSFODNN7EXAMPLE", "messages": []}),
            "/error/code",
        ),
        (
            "/api/generate",
            json!({"model": "ollama/llama3.2", "prompt": TEXT}),
            "/code",
        ),
    ] {
        let answer = post(&rig, path, &request).await;
        assert_eq!(answer.status(), 403, "{path}");
        let body: Value = answer.json().await.unwrap();
        assert_eq!(body.pointer(code), Some(&json!("policy_pii")), "{body}");
        let text = body.to_string();
        assert!(
            !text.contains("ada@example.com") && !text.contains("AKIA"),
            "{text}"
        );
        assert_eq!(rig.call().await.error.as_deref(), Some("policy_pii"));
    }
    assert!(seen(doubles.openai).await.is_empty());
    assert!(rig.events.kinds().contains(&"refused"));
}

/// A rule for everybody.
fn at_most(doubles: &Doubles, tokens: u64) -> cockpit_model::traffic::TrafficSpec {
    let mut spec = spec(doubles.providers(), Vec::new());
    spec.rules = Rules {
        max_tokens: Some(tokens),
        ..Rules::default()
    };
    spec
}

#[tokio::test]
async fn more_output_than_is_allowed_is_refused_by_whatever_name() {
    let doubles = Doubles::start().await;
    let rig = Rig::new(at_most(&doubles, 20)).await;
    let messages = chat("x")["messages"].clone();
    for (path, request) in [
        (
            "/v1/chat/completions",
            json!({"model": "openai/gpt-4o", "messages": messages, "max_tokens": 21}),
        ),
        (
            "/v1/chat/completions",
            json!({"model": "openai/gpt-4o", "messages": messages, "max_tokens": 1, "max_completion_tokens": 21}),
        ),
        (
            "/v1/responses",
            json!({"model": "openai/gpt-4o", "input": "hi", "max_output_tokens": 21}),
        ),
        (
            "/v1/messages",
            json!({"model": "anthropic/claude-sonnet-4-5", "messages": messages, "max_tokens": 21}),
        ),
        (
            "/api/chat",
            json!({"model": "ollama/llama3.2", "messages": messages, "options": {"num_predict": 21}}),
        ),
    ] {
        let answer = post(&rig, path, &request).await;
        assert_eq!(answer.status(), 403, "{path}");
        assert_eq!(rig.call().await.error.as_deref(), Some("policy_max_tokens"));
    }
}

#[tokio::test]
async fn whoever_asks_for_no_limit_gets_the_limit() {
    let doubles = Doubles::start().await;
    let rig = Rig::new(at_most(&doubles, 3)).await;
    let messages = chat("x")["messages"].clone();
    for (path, mut request, double, limit) in [
        (
            "/v1/chat/completions",
            json!({"model": "openai/gpt-4o"}),
            doubles.openai,
            "/max_tokens",
        ),
        (
            "/v1/chat/completions",
            json!({"model": "openai/gpt-4o", "max_completion_tokens": null}),
            doubles.openai,
            "/max_completion_tokens",
        ),
        (
            "/v1/chat/completions",
            // What Ollama does not heed is no limit.
            json!({"model": "ollama/llama3.2", "max_completion_tokens": 2}),
            doubles.ollama,
            "/max_tokens",
        ),
        (
            "/v1/responses",
            json!({"model": "openai/gpt-4o", "input": "hi"}),
            doubles.openai,
            "/max_output_tokens",
        ),
        (
            "/v1/messages",
            json!({"model": "anthropic/claude-sonnet-4-5"}),
            doubles.anthropic,
            "/max_tokens",
        ),
        (
            "/api/chat",
            json!({"model": "ollama/llama3.2"}),
            doubles.ollama,
            "/options/num_predict",
        ),
        (
            "/api/chat",
            json!({"model": "ollama/llama3.2", "options": {"num_predict": -1, "seed": 7}}),
            doubles.ollama,
            "/options/num_predict",
        ),
    ] {
        request["messages"] = messages.clone();
        let answer = post(&rig, path, &request).await;
        assert_eq!(answer.status(), 200, "{request}");
        answer.bytes().await.unwrap();
        let sent = seen(double).await.pop().unwrap();
        assert_eq!(sent.pointer(limit), Some(&json!(3)), "{sent}");
        let call = rig.call().await;
        assert!(call.output_tokens.unwrap() <= 3, "{call:?}");
    }
    // What asks for little stays as it is, and so does what writes nothing.
    let mut few = chat("openai/gpt-4o");
    few["max_completion_tokens"] = json!(2);
    rig.post("/v1/chat/completions", &few).await;
    let sent = seen(doubles.openai).await.pop().unwrap();
    assert_eq!(
        (&sent["max_completion_tokens"], &sent["max_tokens"]),
        (&json!(2), &Value::Null)
    );
    let embed = json!({"model": "openai/text-embedding-3-small", "input": "hi"});
    assert_eq!(rig.post("/v1/embeddings", &embed).await.status(), 200);
    let sent = seen(doubles.openai).await.pop().unwrap();
    assert_eq!(sent["max_tokens"], Value::Null);
}
