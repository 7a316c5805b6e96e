//! What goes wrong upstream and at the caller's end: the right answer, the right record, nothing stuck.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "tests"
)]

mod common;

use std::pin::pin;
use std::time::Duration;

use cockpit_model::Usd;
use cockpit_model::traffic::{Budget, ProviderKind, SecretPlace};
use cockpit_model::{BreakerState, Outcome, ReportKind};
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
async fn the_next_target_answers_when_the_first_cannot() {
    let doubles = Doubles::start().await;
    let routes = vec![
        route(
            "limited",
            &["openai/gpt-4o!429,retry_after_s=3000", "ollama/llama3.2"],
        ),
        route(
            "malformed",
            &["openai/gpt-4o!malformed", "openai/gpt-4o-mini"],
        ),
        route("empty", &["openai/gpt-4o!empty", "openai/gpt-4o-mini"]),
        route("cut", &["openai/gpt-4o!length", "openai/gpt-4o-mini"]),
        route("forbidden", &["openai/gpt-4o!403", "openai/gpt-4o-mini"]),
    ];
    let rig = Rig::new(spec(doubles.providers(), routes)).await;
    for (name, target) in [
        ("limited", "ollama/llama3.2"),
        ("malformed", "openai/gpt-4o-mini"),
        ("empty", "openai/gpt-4o-mini"),
        ("cut", "openai/gpt-4o-mini"),
        ("forbidden", "openai/gpt-4o-mini"),
    ] {
        let answer = rig.post("/v1/chat/completions", &chat(name)).await;
        assert_eq!(answer.status(), 200, "{name}");
        assert_eq!(header(&answer, "x-cockpit-target"), Some(target), "{name}");
        assert_eq!(
            header(&answer, "x-cockpit-fallback"),
            Some("true"),
            "{name}"
        );
        let call = rig.call().await;
        assert_eq!(
            (call.outcome, call.route.as_deref()),
            (Outcome::Ok, Some(name))
        );
        assert!(
            call.fallback && call.attempts >= 2,
            "{name}: {}",
            call.attempts
        );
    }
}

#[tokio::test]
async fn with_nobody_else_the_providers_own_words_are_handed_on() {
    let doubles = Doubles::start().await;
    let rig = Rig::new(spec(doubles.providers(), Vec::new())).await;
    let answer = rig
        .post(
            "/v1/chat/completions",
            &chat("openai/gpt-4o!429,retry_after_s=3000"),
        )
        .await;
    assert_eq!(answer.status(), 429);
    assert_eq!(header(&answer, "retry-after"), Some("3000"));
    let call = rig.call().await;
    assert_eq!(call.error.as_deref(), Some("provider_rate_limited"));
    assert_eq!((call.status, call.attempts), (Some(429), 1));

    let answer = rig
        .post("/v1/chat/completions", &chat("openai/gpt-4o!400"))
        .await;
    assert_eq!(answer.status(), 400);
    let call = rig.call().await;
    assert_eq!(
        call.error.as_deref(),
        Some("caller_refused"),
        "the caller's fault"
    );

    let answer = rig
        .post("/v1/chat/completions", &chat("openai/gpt-4o!malformed"))
        .await;
    assert_eq!(answer.status(), 200, "as without us");
    assert_eq!(
        rig.call().await.error.as_deref(),
        Some("provider_malformed_answer")
    );
}

#[tokio::test]
async fn a_target_that_fails_again_and_again_is_left_alone() {
    let doubles = Doubles::start().await;
    let rig = Rig::new(spec(doubles.providers(), Vec::new())).await;
    // Answers that are no answers are not asked for again, so each request is one failure.
    for _ in 0..5 {
        rig.post("/v1/chat/completions", &chat("openai/gpt-4o!malformed"))
            .await;
        assert_eq!(rig.call().await.attempts, 1);
    }
    let answer = rig
        .post("/v1/chat/completions", &chat("openai/gpt-4o!malformed"))
        .await;
    assert_eq!(answer.status(), 503);
    assert!(
        header(&answer, "retry-after")
            .unwrap()
            .parse::<u64>()
            .unwrap()
            > 0
    );
    assert_eq!(header(&answer, "x-cockpit-attempts"), Some("0"));
    assert_eq!(header(&answer, "x-cockpit-target"), None, "nobody is asked");
    assert_eq!(code(answer).await, "provider_unavailable");
    let call = rig.call().await;
    assert_eq!(
        (call.attempts, call.error.as_deref()),
        (0, Some("provider_unavailable"))
    );
    let breaker = &rig.gateway.breakers()[0];
    assert_eq!(
        (breaker.state, breaker.model.as_str()),
        (BreakerState::Open, "gpt-4o!malformed")
    );
    assert!(breaker.retry_at.is_some() && breaker.cause.contains("provider_malformed_answer"));
    assert!(rig.events.kinds().contains(&"breaker"));

    assert!(rig.gateway.reset_breaker("openai", "gpt-4o!malformed"));
    assert!(!rig.gateway.reset_breaker("openai", "never asked"));
    assert_eq!(
        rig.post("/v1/chat/completions", &chat("openai/gpt-4o!malformed"))
            .await
            .status(),
        200
    );
}

#[tokio::test]
async fn a_wrong_key_of_the_callers_own_shuts_a_provider_for_nobody() {
    let openai = double("openai", &["--key", "sk-good"]).await;
    let url = format!("http://{openai}/v1");
    let open = provider("open", ProviderKind::OpenAi, url.clone());
    // One that holds a key of its own, a wrong one, is of no use to anybody.
    let mut closed = provider("closed", ProviderKind::OpenAi, url);
    closed.api_key = Some(SecretPlace::Env("VENDOR".to_owned()));
    let rig = Rig::new(spec(vec![open, closed], Vec::new())).await;
    for model in ["open/gpt-4o", "closed/gpt-4o"] {
        for _ in 0..5 {
            let wrong = [("authorization", "Bearer sk-wrong")];
            let answer = rig
                .post_with("/v1/chat/completions", &chat(model), &wrong)
                .await;
            assert_eq!(answer.status(), 401, "{model}");
            let call = rig.call().await;
            assert_eq!(call.error.as_deref(), Some("provider_unauthorized"));
        }
    }
    let good = [("authorization", "Bearer sk-good")];
    for (model, status) in [("open/gpt-4o", 200), ("closed/gpt-4o", 503)] {
        let answer = rig
            .post_with("/v1/chat/completions", &chat(model), &good)
            .await;
        assert_eq!(answer.status(), status, "{model}");
    }
}

#[tokio::test]
async fn a_stream_that_breaks_off_is_told_as_such() {
    // At a pace at which what was written has gone before it breaks.
    let mut doubles = Doubles::start().await;
    doubles.openai = double("openai", &["--tokens-per-second", "100"]).await;
    let mut providers = doubles.providers();
    providers[0].idle_timeout = Duration::from_millis(300);
    let rig = Rig::new(spec(providers, Vec::new())).await;
    for (fault, expected) in [
        ("reset,after=3", "provider_stream_broken"),
        ("stall,after=3", "provider_timeout"),
        ("midstream,after=3", "provider_stream_error"),
        ("cut,after=3", "provider_stream_cut"),
    ] {
        let answer = rig
            .post(
                "/v1/chat/completions",
                &streamed(chat(&format!("openai/gpt-4o!{fault}"))),
            )
            .await;
        assert_eq!(answer.status(), 200, "{fault}");
        let _ = answer.bytes().await;
        let call = rig.call().await;
        assert_eq!(call.error.as_deref(), Some(expected), "{fault}");
        assert_eq!(
            (call.outcome, call.attempts),
            (Outcome::Error, 1),
            "{fault}: nothing is tried again"
        );
    }
}

#[tokio::test]
async fn a_caller_that_goes_away_is_written_down_with_what_was_used() {
    let openai = double("openai", &["--tokens-per-second", "50"]).await;
    let rig = Rig::new(spec(
        vec![provider(
            "openai",
            ProviderKind::OpenAi,
            format!("http://{openai}/v1"),
        )],
        Vec::new(),
    ))
    .await;
    let answer = rig
        .post("/v1/chat/completions", &streamed(chat("gpt-4o!endless")))
        .await;
    let mut stream = answer.bytes_stream();
    stream.next().await.unwrap().unwrap();
    drop(stream);
    let call = rig.call().await;
    assert_eq!((call.outcome, call.error), (Outcome::Cancelled, None));
    assert!(call.streamed);

    // Also before there is anything to read.
    let asking = rig
        .client
        .post(rig.url("/v1/chat/completions"))
        .body(chat("gpt-4o!hang").to_string());
    let gone = tokio::time::timeout(Duration::from_millis(300), asking.send()).await;
    assert!(gone.is_err(), "it hangs");
    assert_eq!(rig.call().await.outcome, Outcome::Cancelled);
    assert!(
        rig.gateway
            .breakers()
            .iter()
            .all(|one| one.state == BreakerState::Closed && one.failed == 0)
    );
}

#[tokio::test]
async fn what_is_cut_at_the_end_is_written_down_before_all_is_over() {
    let openai = double("openai", &[]).await;
    let url = format!("http://{openai}/v1");
    let one = provider("openai", ProviderKind::OpenAi, url);
    let rig = Rig::new(spec(vec![one], Vec::new())).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!(
        "http://{}/v1/chat/completions",
        listener.local_addr().unwrap()
    );
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let stopped = async { drop(stopped.await) };
    // In this very task, so that nothing else happens between its end and the look at what is written down.
    let mut serving = pin!(rig.gateway.serve_at(listener, None, stopped));
    let endless = streamed(chat("gpt-4o!endless")).to_string();
    let asking = rig.client.post(url).bearer_auth("sk-callers-own");
    let answer = tokio::select! {
        answer = asking.body(endless).send() => answer.unwrap(),
        () = &mut serving => panic!("nobody stopped it"),
    };
    // It is waited for its end, but nobody here waits for that.
    tokio::time::pause();
    stop.send(()).unwrap();
    serving.await;
    let call = rig.written().await.expect("nothing is open any more");
    assert_eq!(call.outcome, Outcome::Cancelled);
    drop(answer);
}

#[tokio::test]
async fn who_is_silent_or_absent_is_told_apart() {
    let doubles = Doubles::start().await;
    let mut providers = doubles.providers();
    providers[0].first_byte_timeout = Duration::from_millis(200);
    providers[0].timeout = Duration::from_millis(500);
    providers.push(provider(
        "gone",
        ProviderKind::OpenAi,
        "http://127.0.0.1:9/v1".to_owned(),
    ));
    let rig = Rig::new(spec(providers, Vec::new())).await;
    let answer = rig
        .post("/v1/chat/completions", &chat("openai/gpt-4o!hang"))
        .await;
    assert_eq!(answer.status(), 504);
    assert_eq!(code(answer).await, "provider_timeout");
    assert_eq!(rig.call().await.error.as_deref(), Some("provider_timeout"));
    let answer = rig.post("/v1/chat/completions", &chat("gone/x")).await;
    assert_eq!(answer.status(), 502);
    assert_eq!(header(&answer, "x-cockpit-attempts"), Some("3"));
    assert_eq!(header(&answer, "x-cockpit-target"), Some("gone/x"));
    assert_eq!(code(answer).await, "provider_unreachable");
    assert_eq!(
        rig.call().await.attempts,
        3,
        "tried again, it might have been a moment"
    );
}

#[tokio::test]
async fn a_service_that_is_known_to_be_down_is_not_asked() {
    let doubles = Doubles::start().await;
    let mut providers = doubles.providers();
    providers[2].service = Some("llm".to_owned());
    let rig = Rig::new(spec(
        providers,
        vec![route("chat", &["ollama/llama3.2", "openai/gpt-4o"])],
    ))
    .await;
    rig.set_down("llm", Some("ended by SIGKILL, starting again"));
    let answer = rig.post("/v1/chat/completions", &chat("chat")).await;
    assert_eq!(header(&answer, "x-cockpit-target"), Some("openai/gpt-4o"));
    let call = rig.call().await;
    assert_eq!((call.attempts, call.fallback), (1, true));
    let answer = rig.post("/api/chat", &chat("llama3.2")).await;
    assert_eq!(answer.status(), 503);
    let body: Value = answer.json().await.unwrap();
    assert!(
        body["error"].as_str().unwrap().contains("SIGKILL"),
        "{body}"
    );
    rig.call().await;
    rig.set_down("llm", None);
    assert_eq!(rig.post("/api/chat", &chat("llama3.2")).await.status(), 200);
}

#[tokio::test]
async fn limits_and_budgets_hold_and_models_here_go_on() {
    let doubles = Doubles::start().await;
    let mut traffic = spec(
        doubles.providers(),
        vec![route("chat", &["openai/gpt-4o", "ollama/llama3.2"])],
    );
    traffic.limits.user.requests_per_minute = Some(2);
    traffic.budget = Budget {
        daily: Usd::from_dollars(0.000_001),
        monthly: None,
    };
    let rig = Rig::new(traffic).await;
    let ada = [("x-cockpit-user", "ada")];
    let answer = rig
        .post_with("/v1/chat/completions", &chat("chat"), &ada)
        .await;
    assert_eq!(header(&answer, "x-cockpit-target"), Some("openai/gpt-4o"));
    assert_eq!(header(&answer, "x-ratelimit-limit-requests"), Some("2"));
    assert_eq!(header(&answer, "x-ratelimit-remaining-requests"), Some("1"));
    rig.call().await;
    // The budget is spent: the route goes on with what runs here, a paid model alone does not.
    let answer = rig
        .post_with("/v1/chat/completions", &chat("chat"), &ada)
        .await;
    assert_eq!(header(&answer, "x-cockpit-target"), Some("ollama/llama3.2"));
    rig.call().await;
    let answer = rig
        .post("/v1/chat/completions", &chat("openai/gpt-4o"))
        .await;
    assert_eq!(answer.status(), 402);
    assert_eq!(code(answer).await, "policy_budget_exhausted");
    rig.call().await;
    assert!(rig.events.kinds().contains(&"budget"));
    let seen = rig.gateway.view();
    let budget = seen.budgets.first().unwrap();
    assert_eq!(budget.whose, "this cockpit");
    assert!(budget.spent_usd >= budget.limit_usd, "{budget:?}");
    assert_eq!(seen.routes[0].targets, ["openai/gpt-4o", "ollama/llama3.2"]);
    // And the user's minute is used up.
    let answer = rig
        .post_with("/v1/chat/completions", &chat("chat"), &ada)
        .await;
    assert_eq!(answer.status(), 429);
    assert!(header(&answer, "retry-after").is_some());
    assert_eq!(code(answer).await, "policy_rate_limited");
    assert_eq!(
        rig.call().await.error.as_deref(),
        Some("policy_rate_limited")
    );
}

#[tokio::test]
async fn a_burst_waits_for_its_turn() {
    let ollama = double("ollama", &[]).await;
    let mut one = provider("ollama", ProviderKind::Ollama, format!("http://{ollama}"));
    one.queue = Some(cockpit_model::traffic::QueueSpec {
        concurrency: 1,
        waiting: 3,
        max_wait: PATIENCE,
    });
    let rig = Rig::new(spec(vec![one], Vec::new())).await;
    // The first holds the place until it is dropped.
    let first = rig
        .post("/v1/chat/completions", &streamed(chat("llama3.2!endless")))
        .await;
    let request = json!({"model": "llama3.2", "stream": false, "messages": [{"role": "user", "content": "x"}]});
    let asking: Vec<_> = (0..4)
        .map(|_| Box::pin(rig.post("/api/chat", &request)))
        .collect();
    let mut others = futures_util::future::select_all(asking).await;
    assert_eq!(others.0.status(), 503, "three wait, the fourth is told");
    let full: Value = others.0.json().await.unwrap();
    assert_eq!(full["code"], "gateway_queue_full");
    assert_eq!(rig.gateway.rooms()["ollama"].waiting, 3);
    let room = rig.gateway.view().providers[0].room.unwrap();
    assert_eq!((room.admitted, room.concurrency), (1, 1));
    assert_eq!((room.waiting, room.capacity), (3, 3));
    drop(first);
    for waiting in others.2.drain(..) {
        assert_eq!(waiting.await.status(), 200);
    }
}

#[tokio::test]
async fn a_full_waiting_room_does_not_hide_what_the_provider_said() {
    let openai = double("openai", &[]).await;
    let mut one = provider(
        "openai",
        ProviderKind::OpenAi,
        format!("http://{openai}/v1"),
    );
    one.queue = Some(cockpit_model::traffic::QueueSpec {
        concurrency: 1,
        waiting: 1,
        max_wait: Duration::from_millis(1),
    });
    let rig = Rig::new(spec(vec![one], Vec::new())).await;
    let patient = chat("gpt-4o!429,retry_after_s=2");
    let asking = rig.post("/v1/chat/completions", &patient);
    let meanwhile = async {
        // It was told to come again; while it waits, somebody else has the only place.
        while rig.gateway.breakers().iter().all(|one| one.failed == 0) {
            tokio::task::yield_now().await;
        }
        rig.post("/v1/chat/completions", &streamed(chat("gpt-4o!endless")))
            .await
    };
    let (answer, holds) = tokio::join!(asking, meanwhile);
    assert_eq!(holds.status(), 200);
    assert_eq!(answer.status(), 429);
    assert_eq!(header(&answer, "retry-after"), Some("2"));
    assert_eq!(code(answer).await, "rate_limit_exceeded");
    let call = rig.call().await;
    assert_eq!(call.error.as_deref(), Some("provider_rate_limited"));
    assert_eq!(call.attempts, 1);
}

#[tokio::test]
async fn strange_requests_are_refused_in_the_callers_protocol() {
    let doubles = Doubles::start().await;
    let rig = Rig::new(spec(doubles.providers(), Vec::new())).await;
    let raw = |path: &str, body: &'static str| rig.client.post(rig.url(path)).body(body).send();
    let answer = raw("/v1/chat/completions", "{\"model\": ").await.unwrap();
    assert_eq!(answer.status(), 400);
    assert_eq!(code(answer).await, "caller_malformed_request");
    let answer = raw("/v1/messages", "[]").await.unwrap();
    let body: Value = answer.json().await.unwrap();
    assert_eq!(
        (body["type"].as_str(), body["error"]["type"].as_str()),
        (Some("error"), Some("invalid_request_error"))
    );
    let answer = raw("/api/chat", "{}").await.unwrap();
    let body: Value = answer.json().await.unwrap();
    assert!(body["error"].as_str().unwrap().contains("model"));
    let answer = rig
        .post(
            "/v1/embeddings",
            &json!({"model": "anthropic/claude", "input": "x"}),
        )
        .await;
    assert_eq!(code(answer).await, "caller_protocol_mismatch");
    let answer = rig
        .client
        .post(rig.url("/v1/chat/completions"))
        .header("host", "evil.example")
        .body("{}")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 403);
    assert_eq!(code(answer).await, "policy_host");
    assert!(rig.events.kinds().contains(&"refused"));
    let finding = rig.finding().await;
    assert_eq!(finding.kind, ReportKind::Policy);
    assert!(finding.body.contains("policy_host"), "{finding:?}");
}

#[tokio::test]
async fn large_and_strange_answers_pass_within_bounds() {
    let doubles = Doubles::start().await;
    let rig = Rig::new(spec(doubles.providers(), Vec::new())).await;
    let answer = rig
        .post("/v1/chat/completions", &chat("openai/gpt-4o!huge"))
        .await;
    assert_eq!(answer.status(), 200);
    let mut size = 0;
    let mut stream = answer.bytes_stream();
    while let Some(piece) = stream.next().await {
        size += piece.unwrap().len();
    }
    assert!(size > 50 << 20, "{size}");
    assert_eq!(rig.call().await.outcome, Outcome::Ok);
    let answer = rig
        .post(
            "/v1/chat/completions",
            &streamed(chat("openai/gpt-4o!utf8")),
        )
        .await;
    assert!(
        String::from_utf8(answer.bytes().await.unwrap().to_vec()).is_err(),
        "as it came"
    );
    rig.call().await;
}

#[tokio::test]
async fn a_key_that_no_header_can_hold_is_named_and_not_left_out() {
    let doubles = Doubles::start().await;
    let mut providers = doubles.providers();
    providers[0].api_key = Some(SecretPlace::Env("A\nLINE".to_owned()));
    let name = providers[0].name.clone();
    let rig = Rig::new(spec(providers, Vec::new())).await;
    let answer = rig
        .post("/v1/chat/completions", &chat(&format!("{name}/gpt-4o")))
        .await;
    assert_eq!(answer.status(), 503);
    let body: Value = answer.json().await.unwrap();
    let message = body["error"]["message"].as_str().unwrap();
    assert!(message.contains("no header can"), "{message}");
    let call = rig.call().await;
    assert_eq!((call.attempts, call.outcome), (0, Outcome::Error));
}

#[tokio::test]
async fn whoever_sends_too_much_hears_it() {
    let doubles = Doubles::start().await;
    let rig = Rig::new(spec(doubles.providers(), Vec::new())).await;
    let url = rig.url("/v1/chat/completions");
    // Far more than what the kernel holds for a reader that has turned away.
    let sending = client().post(url).body(vec![b' '; 96 << 20]).send();
    let answer = sending.await.unwrap();
    assert_eq!(answer.status(), 413);
    assert_eq!(code(answer).await, "caller_too_large");
}
