//! Limits hold for everybody they are given to, whatever is asked.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod common;

use cockpit_model::traffic::{KeySpec, Limits, PiiMode, PriceSpec, SecretPlace, TrafficSpec};
use cockpit_model::{ReportKind, Usd};
use common::*;
use serde_json::{Value, json};

const CHAT: &str = "/v1/chat/completions";
const COUNT: &str = "/v1/messages/count_tokens";

async fn code(answer: reqwest::Response) -> String {
    let body: Value = answer.json().await.unwrap();
    let code = body["error"]["code"].as_str().or(body["code"].as_str());
    code.unwrap_or_default().to_owned()
}

/// Vendors with keys of their own, and one key of ours.
async fn limited(limits: Limits) -> (Doubles, TrafficSpec) {
    let doubles = Doubles::start().await;
    let mut providers = doubles.providers();
    for provider in &mut providers {
        provider.api_key = Some(SecretPlace::Env("VENDOR".to_owned()));
    }
    let mut spec = spec(providers, Vec::new());
    spec.keys = vec![KeySpec {
        name: "app".to_owned(),
        secret: Some(SecretPlace::Env("APP".to_owned())),
        limits,
    }];
    (doubles, spec)
}

const APP: (&str, &str) = ("authorization", "Bearer secret of APP");

#[tokio::test]
async fn users_and_agents_keep_to_their_models_and_lengths() {
    let (_doubles, mut spec) = limited(Limits {
        max_tokens: Some(50),
        ..Limits::default()
    })
    .await;
    spec.limits.user.models = Some(vec!["openai/gpt-4o".to_owned()]);
    spec.limits.agent.max_tokens = Some(20);
    let rig = Rig::new(spec).await;
    let ask = async |model: &str, tokens: u64, who: &str| {
        let mut request = chat(model);
        request["max_tokens"] = json!(tokens);
        let headers = [APP, (who, "ada")];
        let answer = rig.post_with(CHAT, &request, &headers).await;
        match answer.status().as_u16() {
            200 => "ok".to_owned(),
            _ => code(answer).await,
        }
    };
    let (user, agent, nobody) = ("x-cockpit-user", "x-cockpit-agent", "x-nobody");
    assert_eq!(ask("openai/gpt-4o", 50, user).await, "ok");
    assert_eq!(ask("openai/gpt-4o-mini", 5, user).await, "policy_model");
    assert_eq!(ask("openai/gpt-4o-mini", 20, agent).await, "ok");
    // Of several limits the strictest holds.
    assert_eq!(
        ask("openai/gpt-4o-mini", 21, agent).await,
        "policy_max_tokens"
    );
    assert_eq!(
        ask("openai/gpt-4o-mini", 51, nobody).await,
        "policy_max_tokens"
    );
    // OpenAI's own way to name a user.
    let mut request = chat("openai/gpt-4o-mini");
    request["user"] = json!("ada");
    let answer = rig.post_with(CHAT, &request, &[APP]).await;
    assert_eq!(code(answer).await, "policy_model");
}

#[tokio::test]
async fn what_is_passed_on_is_a_request_of_whoever_asks() {
    let (_doubles, mut spec) = limited(Limits::default()).await;
    spec.limits.user.requests_per_minute = Some(2);
    spec.limits.agent.usd_per_day = Usd::from_dollars(0.000_001);
    let rig = Rig::new(spec).await;
    let picture = json!({"prompt": "a mole"});
    let paint = async |who: &str, name: &str| {
        let headers = [APP, (who, name)];
        rig.post_with("/v1/images/generations", &picture, &headers)
            .await
    };
    let first = paint("x-cockpit-user", "ada").await;
    assert_eq!(first.status(), 404, "the double paints nothing");
    assert_eq!(header(&first, "x-ratelimit-remaining-requests"), Some("1"));
    paint("x-cockpit-user", "ada").await;
    let refused = paint("x-cockpit-user", "ada").await;
    assert_eq!(
        header(&refused, "x-ratelimit-remaining-requests"),
        Some("0")
    );
    assert_eq!(code(refused).await, "policy_rate_limited");
    assert_eq!(paint("x-cockpit-user", "bob").await.status(), 404);

    let headers = [APP, ("x-cockpit-agent", "writer")];
    let spent = rig.post_with(CHAT, &chat("openai/gpt-4o"), &headers).await;
    assert_eq!(spent.status(), 200);
    rig.call().await;
    let refused = paint("x-cockpit-agent", "writer").await;
    assert_eq!(code(refused).await, "policy_budget_exhausted");
    assert_eq!(paint("x-cockpit-agent", "other").await.status(), 404);
}

#[tokio::test]
async fn a_key_for_certain_models_has_nothing_else_and_somebody_hears_of_it() {
    let (_doubles, spec) = limited(Limits {
        models: Some(vec!["openai/gpt-4o".to_owned()]),
        ..Limits::default()
    })
    .await;
    let rig = Rig::new(spec).await;
    let tunnel = [
        APP,
        ("host", "studio.ts.net"),
        ("x-forwarded-for", "203.0.113.7"),
    ];
    let answer = rig
        .post_with("/v1/images/generations", &json!({"prompt": "x"}), &tunnel)
        .await;
    assert_eq!(code(answer).await, "policy_model");
    let finding = rig.finding().await;
    assert_eq!(
        (finding.kind, finding.key.as_deref()),
        (ReportKind::Policy, Some("app"))
    );
    let body: Value = serde_json::from_str(&finding.body).unwrap();
    assert_eq!(body["what"], "policy_model");
    assert_eq!(body["from"], json!(["203.0.113.7"]));

    // A request to a model, by the address that it came from too.
    let answer = rig
        .post_with(CHAT, &chat("openai/gpt-4o-mini"), &tunnel)
        .await;
    assert_eq!(code(answer).await, "policy_model");
    // What there is it may see.
    for path in ["/v1/models", "/api/tags", "/"] {
        let asked = rig.client.get(rig.url(path)).header(APP.0, APP.1);
        assert_eq!(asked.send().await.unwrap().status(), 200, "{path}");
    }
}

#[tokio::test]
async fn no_prompt_leaves_unread_where_a_rule_says_what_may_not() {
    let (doubles, mut spec) = limited(Limits::default()).await;
    spec.rules.pii = PiiMode::Block;
    spec.rules.blocked_words = vec!["project-x".to_owned()];
    let rig = Rig::new(spec.clone()).await;
    let headers = [APP, ("anthropic-version", "2023-06-01")];
    let count = async |rig: &Rig, text: &str| {
        let mut request = chat("claude-sonnet-4-5");
        request["messages"][0]["content"] = json!(text);
        rig.post_with(COUNT, &request, &headers).await
    };
    assert_eq!(count(&rig, "What is a mole?").await.status(), 200);
    let answer = count(&rig, "I am ada@example.com").await;
    assert_eq!(code(answer).await, "policy_pii");
    let answer = count(&rig, "Tell me of Project-X").await;
    assert_eq!(code(answer).await, "policy_blocked_word");
    let unread = rig
        .client
        .post(rig.url("/v1/moderations"))
        .header(APP.0, APP.1)
        .body("ada@example.com");
    let answer = unread.send().await.unwrap();
    assert_eq!(code(answer).await, "caller_malformed_request");

    spec.rules.pii = PiiMode::Redact;
    let rig = Rig::new(spec).await;
    let answer = count(&rig, "I am ada@example.com").await;
    assert_eq!(answer.status(), 200);
    let seen = client()
        .get(format!("http://{}/_requests", doubles.anthropic))
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(
        seen.contains("I am [EMAIL]") && !seen.contains("ada@"),
        "{seen}"
    );
}

#[tokio::test]
async fn with_the_budget_spent_what_costs_nothing_goes_on() {
    let (_doubles, mut spec) = limited(Limits::default()).await;
    let nothing = PriceSpec {
        input: Usd::ZERO,
        output: Usd::ZERO,
        cached_input: None,
    };
    spec.providers[0].prices = [("gpt-4o-mini".to_owned(), nothing)].into();
    spec.budget.daily = Usd::from_dollars(0.000_001);
    let rig = Rig::new(spec).await;
    let ask = async |model: &str| {
        let answer = rig.post_with(CHAT, &chat(model), &[APP]).await;
        let status = answer.status().as_u16();
        answer.bytes().await.unwrap();
        (status, rig.call().await.cost_usd)
    };
    assert_eq!(ask("openai/gpt-4o").await.0, 200);
    assert_eq!(ask("openai/gpt-4o").await.0, 402);
    assert_eq!(ask("openai/gpt-4o-mini").await, (200, Some(Usd::ZERO)));
    assert_eq!(ask("ollama/llama3.2").await, (200, Some(Usd::ZERO)));
}

#[tokio::test]
async fn an_ollama_is_not_asked_what_nobody_here_has_read() {
    let (_doubles, spec) = limited(Limits::default()).await;
    let rig = Rig::new(spec).await;
    let twice = json!({"model": "ollama/llama3.2", "Model": "forbidden", "messages": []});
    let answer = rig.post_with("/api/chat", &twice, &[APP]).await;
    let refused: Value = answer.json().await.unwrap();
    assert_eq!(refused["code"], "caller_malformed_request");
    assert!(refused["error"].as_str().unwrap().contains("`model`"));
    // Who tells letters apart is asked.
    let mut strange = chat("openai/gpt-4o");
    strange["Options"] = json!({});
    assert_eq!(rig.post_with(CHAT, &strange, &[APP]).await.status(), 200);
}
