//! Whose fault it is: what is told of a target, and what is none of its business.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "tests"
)]

mod common;

use cockpit_model::traffic::Budget;
use cockpit_model::{BreakerState, Call, ProviderState, Usd};
use common::*;

/// What is written down of a call that nobody was asked for.
fn is_nobodys(call: &Call) -> bool {
    call.attempts == 0 && call.provider.is_empty() && call.target.is_empty()
}

#[tokio::test]
async fn what_we_refuse_is_no_error_of_whoever_would_have_been_asked() {
    let doubles = Doubles::start().await;
    let mut traffic = spec(
        doubles.providers(),
        vec![route("chat", &["openai/gpt-4o", "openai/gpt-4o-mini"])],
    );
    traffic.limits.user.requests_per_minute = Some(1);
    traffic.rules.blocked_words = vec!["hush".to_owned()];
    traffic.budget = Budget {
        daily: Usd::from_dollars(0.000_001),
        monthly: None,
    };
    let rig = Rig::new(traffic).await;
    rig.post("/v1/chat/completions", &chat("chat")).await;
    assert_eq!(rig.call().await.target, "openai/gpt-4o");
    let mut hush = chat("openai/gpt-4o");
    hush["messages"][0]["content"] = "hush".into();
    let ada = [("x-cockpit-user", "ada")];
    rig.post_with("/v1/chat/completions", &chat("ollama/llama3.2"), &ada)
        .await;
    rig.call().await;
    for (request, headers, error) in [
        (chat("chat"), &[][..], "policy_budget_exhausted"),
        (hush, &[][..], "policy_blocked_word"),
        (chat("ollama/llama3.2"), &ada[..], "policy_rate_limited"),
    ] {
        rig.post_with("/v1/chat/completions", &request, headers)
            .await;
        let call = rig.call().await;
        assert_eq!(call.error.as_deref(), Some(error));
        assert!(is_nobodys(&call), "{call:?}");
        assert!(call.requested_model.is_some(), "what was asked for stays");
    }
    for seen in rig.gateway.breakers() {
        assert_eq!((seen.calls, seen.failed), (1, 0), "{seen:?}");
    }
}

#[tokio::test]
async fn a_model_that_nobody_has_is_no_target() {
    let doubles = Doubles::start().await;
    let rig = Rig::new(spec(doubles.providers(), Vec::new())).await;
    let answer = rig
        .post("/v1/chat/completions", &chat("openai/gpt-4o!404"))
        .await;
    assert_eq!(answer.status(), 404);
    let call = rig.call().await;
    assert_eq!(call.error.as_deref(), Some("caller_unknown_model"));
    assert_eq!(call.target, "openai/gpt-4o!404", "it was asked");
    assert!(rig.gateway.breakers().is_empty());
    rig.post("/v1/chat/completions", &chat("openai/gpt-4o"))
        .await;
    rig.call().await;
    let models: Vec<String> = rig
        .gateway
        .breakers()
        .into_iter()
        .map(|one| one.model)
        .collect();
    assert_eq!(models, ["gpt-4o"]);
}

#[tokio::test]
async fn a_target_that_fails_two_of_five_requests_is_shown_as_degraded() {
    let doubles = Doubles::start().await;
    let rig = Rig::new(spec(doubles.providers(), Vec::new())).await;
    let fault = [("x-fault", "malformed")];
    for n in 0..25 {
        let fault = if n % 5 > 2 { &fault[..] } else { &[] };
        rig.post_with("/v1/chat/completions", &chat("openai/gpt-4o"), fault)
            .await;
        rig.call().await;
    }
    let view = rig.gateway.view();
    let openai = view.providers.iter().find(|one| one.name == "openai");
    let openai = openai.unwrap();
    assert_eq!(rig.gateway.breakers()[0].state, BreakerState::Closed);
    assert_eq!(openai.state, ProviderState::Degraded);
    assert_eq!(
        openai.cause,
        "`gpt-4o`: 10 of 25 calls failed in 5 min: provider_malformed_answer"
    );
}

#[tokio::test]
async fn a_provider_that_has_become_ready_is_asked_at_once() {
    let doubles = Doubles::start().await;
    let mut providers = doubles.providers();
    providers[1].service = Some("claude".to_owned());
    let rig = Rig::new(spec(providers, Vec::new())).await;
    let broken = chat("openai/gpt-4o!malformed");
    for _ in 0..5 {
        rig.post("/v1/chat/completions", &broken).await;
        rig.call().await;
    }
    let state = || rig.gateway.breakers()[0].state;
    assert_eq!(state(), BreakerState::Open);
    rig.gateway.ready("claude", Some("127.0.0.1:1"));
    assert_eq!(state(), BreakerState::Open, "that is somebody else");
    // It has no `service`, but listens where the provider is asked.
    let listen = doubles.openai.to_string();
    rig.gateway.ready("vllm", Some(&listen));
    assert_eq!(state(), BreakerState::HalfOpen);
    let answer = rig.post("/v1/chat/completions", &broken).await;
    assert_eq!(answer.status(), 200, "the one that finds out");
    assert_eq!(state(), BreakerState::Open);
}
