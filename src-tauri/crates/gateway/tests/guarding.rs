//! Ways around the rules that are none.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod common;

use cockpit_model::traffic::{Budget, ProviderKind};
use cockpit_model::{Outcome, Usd};
use common::*;
use futures_util::StreamExt;
use serde_json::{Value, json};

async fn code(answer: reqwest::Response) -> String {
    let body: Value = answer.json().await.unwrap();
    body["error"]["code"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

#[tokio::test]
async fn a_path_written_otherwise_is_no_way_around_the_rules() {
    let doubles = Doubles::start().await;
    let mut traffic = spec(doubles.providers(), Vec::new());
    traffic.rules.blocked_words = vec!["project-x".to_owned()];
    let rig = Rig::new(traffic).await;
    let mut asked = chat("openai/gpt-4o");
    asked["messages"][0]["content"] = json!("Tell me of Project-X");
    for path in ["/v1/chat/completions", "/v1/chat/completions/"] {
        assert_eq!(
            code(rig.post(path, &asked).await).await,
            "policy_blocked_word",
            "{path}"
        );
        assert_eq!(
            rig.call().await.error.as_deref(),
            Some("policy_blocked_word")
        );
    }
    for path in ["/v1/chat/%63ompletions", "/v1//chat/completions"] {
        assert_eq!(
            code(rig.post(path, &asked).await).await,
            "caller_malformed_request",
            "{path}"
        );
    }
    // Nor what cannot be looked through.
    let unreadable = r#"{"model": "openai/gpt-4o", "x": 1e999, "messages": []}"#;
    let answer = rig
        .client
        .post(rig.url("/v1/chat/completions"))
        .body(unreadable)
        .send()
        .await
        .unwrap();
    assert_eq!(code(answer).await, "policy_blocked_word");
}

#[tokio::test]
async fn with_the_budget_spent_nothing_is_asked_that_may_cost() {
    let doubles = Doubles::start().await;
    let mut traffic = spec(doubles.providers(), Vec::new());
    traffic.budget = Budget {
        daily: Usd::from_dollars(0.000_001),
        monthly: None,
    };
    let rig = Rig::new(traffic).await;
    assert_eq!(
        rig.post("/v1/chat/completions", &chat("openai/gpt-4o"))
            .await
            .status(),
        200
    );
    rig.call().await;
    // A price that is not known, an estimate that is absurd, and what is not understood.
    let mut absurd = chat("openai/gpt-4o");
    absurd["max_tokens"] = json!(u64::MAX);
    for request in [chat("openai/nobody-knows-its-price"), absurd] {
        let answer = rig.post("/v1/chat/completions", &request).await;
        assert_eq!(code(answer).await, "policy_budget_exhausted", "{request}");
        rig.call().await;
    }
    let answer = rig
        .post("/v1/images/generations", &json!({"prompt": "x"}))
        .await;
    assert_eq!(answer.status(), 402);
}

#[tokio::test]
async fn a_limit_that_is_changed_holds_from_then_on() {
    let doubles = Doubles::start().await;
    let mut traffic = spec(doubles.providers(), Vec::new());
    traffic.limits.user.requests_per_minute = Some(60);
    let rig = Rig::new(traffic.clone()).await;
    let ada = [("x-cockpit-user", "ada"), ("authorization", "Bearer sk")];
    for _ in 0..3 {
        rig.post_with("/v1/chat/completions", &chat("openai/gpt-4o"), &ada)
            .await;
    }
    traffic.limits.user.requests_per_minute = Some(2);
    rig.gateway.apply(traffic).await;
    let answer = rig
        .post_with("/v1/chat/completions", &chat("openai/gpt-4o"), &ada)
        .await;
    assert_eq!(answer.status(), 429, "three of two were used");
}

#[tokio::test]
async fn whoever_leaves_with_the_whole_answer_has_got_it() {
    let openai = double("openai", &[]).await;
    let one = provider(
        "openai",
        ProviderKind::OpenAi,
        format!("http://{openai}/v1"),
    );
    let rig = Rig::new(spec(vec![one], Vec::new())).await;
    let answer = rig
        .post("/v1/chat/completions", &streamed(chat("gpt-4o")))
        .await;
    let mut stream = answer.bytes_stream();
    let mut text = Vec::new();
    while !text.ends_with(b"data: [DONE]\n\n") {
        text.extend_from_slice(&stream.next().await.unwrap().unwrap());
    }
    drop(stream);
    let call = rig.call().await;
    assert_eq!(call.outcome, Outcome::Ok);
    assert!(call.output_tokens.unwrap() > 0);
}

#[tokio::test]
async fn a_callers_key_does_not_follow_to_another_vendor() {
    let (mine, other) = (double("openai", &[]).await, double("openai", &[]).await);
    let at = |name, address| provider(name, ProviderKind::OpenAi, format!("http://{address}/v1"));
    let providers = vec![at("mine", mine), at("other", other)];
    let routes = vec![route("chat", &["mine/gpt-4o!403", "other/gpt-4o"])];
    let rig = Rig::new(spec(providers, routes)).await;
    let key = [("authorization", "Bearer sk-for-mine")];
    rig.post_with("/v1/chat/completions", &chat("chat"), &key)
        .await;
    rig.client
        .get(rig.url("/v1/models"))
        .bearer_auth("sk-for-mine")
        .send()
        .await
        .unwrap();
    let seen = |address| async move {
        let url = format!("http://{address}/_requests");
        client()
            .get(url)
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap()
    };
    assert!(seen(mine).await.contains("sk-for-mine"));
    assert!(
        !seen(other).await.contains("sk-for-mine"),
        "{}",
        seen(other).await
    );
}
