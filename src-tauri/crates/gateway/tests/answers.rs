//! What is done with answers: given again, held against a schema, kept for a person.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod common;

use std::time::Duration;

use cockpit_model::traffic::{CacheSpec, KeySpec, Limits, PiiMode, SecretPlace, TrafficSpec};
use cockpit_model::{Outcome, Usd};
use common::*;
use futures_util::StreamExt;
use serde_json::{Value, json};

const CHAT: &str = "/v1/chat/completions";

fn cached(doubles: &Doubles) -> TrafficSpec {
    let mut spec = spec(
        doubles.providers(),
        vec![
            route("chat", &["openai/gpt-4o", "openai/gpt-4o-mini"]),
            route("plain", &["openai/gpt-4o"]),
        ],
    );
    let cache = Some(CacheSpec {
        ttl: Duration::from_secs(600),
        max_bytes: 1 << 20,
    });
    spec.rules.cache = cache;
    spec.routes[0].rules.cache = cache;
    spec
}

fn state(answer: &reqwest::Response) -> Option<String> {
    header(answer, "x-cockpit-cache").map(str::to_owned)
}

#[tokio::test]
async fn an_equal_request_is_answered_from_memory() {
    let doubles = Doubles::start().await;
    let rig = Rig::new(cached(&doubles)).await;
    let first = rig.post(CHAT, &chat("chat")).await;
    assert_eq!(state(&first).as_deref(), Some("miss"));
    let first = first.bytes().await.unwrap();
    let paid = rig.call().await;
    assert!(!paid.cache_hit && paid.cost_usd.unwrap() > Usd::ZERO);

    // The same, spelled otherwise.
    let written =
        r#"{ "messages":[{"content":"What is a mole?","role":"user"}], "model":"ch\u0061t" }"#;
    let again = rig
        .client
        .post(rig.url(CHAT))
        .bearer_auth("sk-callers-own")
        .body(written);
    let again = again.send().await.unwrap();
    assert_eq!(again.status(), 200);
    assert_eq!(state(&again).as_deref(), Some("hit"));
    assert_eq!(header(&again, "x-cockpit-target"), Some("openai/gpt-4o"));
    assert_eq!(header(&again, "x-cockpit-attempts"), Some("0"));
    assert!(header(&again, "age").is_some());
    assert_eq!(header(&again, "content-type"), Some("application/json"));
    assert_eq!(again.bytes().await.unwrap(), first);
    let call = rig.call().await;
    assert_eq!(
        (call.outcome, call.cache_hit, call.attempts),
        (Outcome::Ok, true, 0)
    );
    assert_eq!(
        (call.cost_usd, call.output_tokens),
        (Some(Usd::ZERO), Some(0))
    );
    assert_eq!(
        (call.target.as_str(), call.route.as_deref()),
        ("openai/gpt-4o", Some("chat"))
    );

    // Not the same, or not wanted.
    for (request, headers, expected) in [
        (streamed(chat("chat")), &[][..], Some("miss")),
        (chat("openai/gpt-4o"), &[], Some("miss")),
        (chat("plain"), &[], None),
        (chat("chat"), &[("cache-control", "no-cache")], Some("miss")),
        (chat("chat"), &[("cache-control", "no-store")], None),
        (
            chat("chat"),
            &[("authorization", "Bearer sk-anothers")],
            Some("miss"),
        ),
    ] {
        let answer = rig.post_with(CHAT, &request, headers).await;
        assert_eq!(state(&answer).as_deref(), expected, "{request} {headers:?}");
        answer.bytes().await.unwrap();
        assert!(!rig.call().await.cache_hit);
    }
}

#[tokio::test]
async fn who_is_limited_is_told_what_is_left_also_of_answers_from_memory() {
    let doubles = Doubles::start().await;
    let mut traffic = cached(&doubles);
    traffic.limits.user.requests_per_minute = Some(2);
    let rig = Rig::new(traffic).await;
    let ada = [("x-cockpit-user", "ada")];
    for (status, cache, left) in [
        (200, Some("miss"), "1"),
        (200, Some("hit"), "0"),
        (429, None, "0"),
    ] {
        let answer = rig.post_with(CHAT, &chat("chat"), &ada).await;
        assert_eq!(answer.status(), status);
        assert_eq!(state(&answer).as_deref(), cache);
        let remaining = header(&answer, "x-ratelimit-remaining-requests");
        assert_eq!(remaining, Some(left), "{cache:?}");
        answer.bytes().await.unwrap();
        rig.call().await;
    }
}

#[tokio::test]
async fn a_stream_is_given_again_as_the_same_stream() {
    let doubles = Doubles::start().await;
    let rig = Rig::new(cached(&doubles)).await;
    let headers = [("anthropic-version", "2023-06-01"), ("x-api-key", "k")];
    let messages = chat("")["messages"].clone();
    for (path, request, headers) in [
        (CHAT, streamed(chat("openai/gpt-4o")), &[][..]),
        (
            "/v1/messages",
            streamed(
                json!({"model": "anthropic/claude-sonnet-4-5", "max_tokens": 30, "messages": messages}),
            ),
            &headers,
        ),
        (
            "/api/chat",
            json!({"model": "ollama/llama3.2", "messages": messages}),
            &[],
        ),
    ] {
        let answer = rig.post_with(path, &request, headers).await;
        let kind = header(&answer, "content-type").unwrap().to_owned();
        let first = answer.bytes().await.unwrap();
        assert!(!rig.call().await.cache_hit, "{path}");
        let answer = rig.post_with(path, &request, headers).await;
        assert_eq!(state(&answer).as_deref(), Some("hit"), "{path}");
        assert_eq!(header(&answer, "content-type"), Some(kind.as_str()));
        assert_eq!(answer.bytes().await.unwrap(), first);
        let call = rig.call().await;
        assert!(
            call.cache_hit && call.streamed && call.finish_reason.is_some(),
            "{path} {call:?}"
        );
    }
}

#[tokio::test]
async fn what_was_not_whole_and_good_is_not_given_again() {
    let doubles = Doubles::start().await;
    let rig = Rig::new(cached(&doubles)).await;
    // An error, a stream that breaks off, and one that its caller left.
    for model in ["openai/gpt-4o!500", "openai/gpt-4o!midstream"] {
        for _ in 0..2 {
            let answer = rig.post(CHAT, &streamed(chat(model))).await;
            assert_ne!(state(&answer).as_deref(), Some("hit"), "{model}");
            drop(answer.bytes().await);
            assert_eq!(rig.call().await.outcome, Outcome::Error, "{model}");
        }
    }
    let slow = double("openai", &["--tokens-per-second", "20"]).await;
    let mut traffic = cached(&doubles);
    traffic.providers[0].base_url = format!("http://{slow}/v1");
    rig.gateway.apply(traffic).await;
    for _ in 0..2 {
        let answer = rig.post(CHAT, &streamed(chat("openai/gpt-4o"))).await;
        assert_eq!(state(&answer).as_deref(), Some("miss"));
        let mut stream = answer.bytes_stream();
        stream.next().await.unwrap().unwrap();
        drop(stream);
        assert_eq!(rig.call().await.outcome, Outcome::Cancelled);
    }
}

#[tokio::test]
async fn a_fallbacks_answer_does_not_outlive_the_trouble() {
    let doubles = Doubles::start().await;
    let mut traffic = cached(&doubles);
    traffic
        .routes
        .push(route("two", &["openai/gpt-4o!500", "openai/gpt-4o-mini"]));
    traffic.routes[2].rules.cache = traffic.rules.cache;
    let rig = Rig::new(traffic).await;
    for _ in 0..2 {
        let answer = rig.post(CHAT, &chat("two")).await;
        assert_eq!(header(&answer, "x-cockpit-fallback"), Some("true"));
        assert_eq!(state(&answer).as_deref(), Some("miss"));
        rig.call().await;
    }
}

#[tokio::test]
async fn keys_do_not_share_answers_and_a_spent_budget_stops_none_that_is_free() {
    let doubles = Doubles::start().await;
    let mut traffic = cached(&doubles);
    traffic.keys = ["one", "two"]
        .map(|name| KeySpec {
            name: name.to_owned(),
            secret: Some(SecretPlace::Env(name.to_uppercase())),
            limits: Limits::default(),
        })
        .to_vec();
    traffic.budget.daily = Usd::from_dollars(0.000_001);
    for provider in &mut traffic.providers {
        provider.api_key = Some(SecretPlace::Env("VENDOR".to_owned()));
    }
    let rig = Rig::new(traffic).await;
    let bearer = |name: &str| format!("Bearer secret of {name}");
    let (one, two) = (bearer("ONE"), bearer("TWO"));
    let first = rig
        .post_with(CHAT, &chat("chat"), &[("authorization", &one)])
        .await;
    assert_eq!(first.status(), 200);
    rig.call().await;
    // Everything is spent now.
    let hit = rig
        .post_with(CHAT, &chat("chat"), &[("authorization", &one)])
        .await;
    assert_eq!(
        (hit.status().as_u16(), state(&hit).as_deref()),
        (200, Some("hit"))
    );
    assert!(rig.call().await.cache_hit);
    let other = rig
        .post_with(CHAT, &chat("chat"), &[("authorization", &two)])
        .await;
    assert_eq!(other.status(), 402);
}

#[tokio::test]
async fn an_answer_is_held_against_the_schema_that_was_asked_for() {
    let doubles = Doubles::start().await;
    let rig = Rig::new(spec(
        doubles.providers(),
        vec![route("two", &["openai/gpt-4o", "openai/gpt-4o-mini"])],
    ))
    .await;
    let asking = |schema: Value| {
        let mut request = chat("two");
        request["response_format"] = json!({"type": "json_schema", "json_schema": {"name": "x", "strict": true, "schema": schema}});
        request
    };
    let object = |of: Value| json!({"type": "object", "required": ["a"], "properties": {"a": of}});
    let good = rig
        .post(CHAT, &asking(object(json!({"type": "string"}))))
        .await;
    assert_eq!(good.status(), 200);
    assert_eq!(rig.call().await.outcome, Outcome::Ok);

    // Whatever the double invents, that it is not.
    let never = object(json!({"type": "string", "pattern": "^[0-9]{40}$"}));
    let answer = rig.post(CHAT, &asking(never.clone())).await;
    assert_eq!(answer.status(), 200, "what the provider says is handed on");
    assert_eq!(header(&answer, "x-cockpit-fallback"), Some("true"));
    let call = rig.call().await;
    assert_eq!(call.error.as_deref(), Some("provider_schema_mismatch"));
    assert!(call.attempts >= 2);

    // A stream has reached its caller by the time that is known.
    for (of, error) in [
        (never, Some("provider_schema_mismatch")),
        (object(json!({"type": "string"})), None),
    ] {
        let answer = rig.post(CHAT, &streamed(asking(of))).await;
        assert_eq!(answer.status(), 200);
        assert!(answer.text().await.unwrap().ends_with("data: [DONE]\n\n"));
        let call = rig.call().await;
        assert_eq!(call.error.as_deref(), error);
        assert_eq!(call.outcome == Outcome::Ok, error.is_none());
    }

    // What cannot be used judges nothing.
    let answer = rig.post(CHAT, &asking(json!({"$ref": "#"}))).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(rig.call().await.error, None);
}

#[tokio::test]
async fn prompts_are_kept_where_a_rule_says_so_as_they_were_sent() {
    let doubles = Doubles::start().await;
    let mut traffic = cached(&doubles);
    let week = Duration::from_hours(7 * 24);
    traffic.routes[0].rules.keep_prompts = Some(week);
    traffic.routes[0].rules.pii = PiiMode::Redact;
    let rig = Rig::new(traffic.clone()).await;
    assert_eq!(rig.shelf.rules(), [("chat".to_owned(), week)]);

    rig.post(CHAT, &chat("openai/gpt-4o")).await;
    rig.call().await;
    assert!(
        rig.shelf.kept.lock().unwrap().is_empty(),
        "no rule keeps it"
    );

    let mut request = chat("chat");
    request["messages"][0]["content"] = json!("I am ada@example.com. What is a mole?");
    let mut texts = Vec::new();
    // Whole, from memory, and streamed.
    for request in [&request, &request, &streamed(request.clone())] {
        let answer = rig.post(CHAT, request).await;
        let id = header(&answer, "x-cockpit-call-id").unwrap().to_owned();
        let body = answer.text().await.unwrap();
        let call = rig.call().await;
        assert_eq!(call.id, id);
        let kept = rig.shelf.kept.lock().unwrap().pop().unwrap();
        assert_eq!(
            (kept.call.as_str(), kept.rule.as_str(), kept.at),
            (id.as_str(), "chat", call.at)
        );
        let said = kept.read();
        assert!(
            said.prompt.contains("I am [EMAIL]. What is a mole?"),
            "{}",
            said.prompt
        );
        assert!(!said.prompt.contains("ada@") && !said.prompt_cut && !said.answer_cut);
        assert!(!said.answer.is_empty() && !said.answer.contains("data:"));
        if let Ok(whole) = serde_json::from_str::<Value>(&body) {
            assert_eq!(
                json!(said.answer),
                whole["choices"][0]["message"]["content"]
            );
        }
        texts.push(said.answer);
    }
    assert_eq!(texts[0], texts[1]);

    // A prompt that is refused is kept nowhere; a rule that goes is gone.
    traffic.routes[0].rules.pii = PiiMode::Block;
    rig.gateway.apply(traffic.clone()).await;
    assert_eq!(rig.post(CHAT, &request).await.status(), 403);
    rig.call().await;
    assert!(rig.shelf.kept.lock().unwrap().is_empty());
    traffic.routes[0].rules.keep_prompts = None;
    rig.gateway.apply(traffic).await;
    assert!(rig.shelf.rules().is_empty());
}
