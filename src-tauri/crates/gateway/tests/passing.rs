//! What gets through: each protocol, whole and streamed, as it would without us, and written down.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod common;

use cockpit_model::traffic::ProviderKind;
use cockpit_model::{Outcome, Usd};
use common::*;
use serde_json::{Value, json};

/// Without what is different each time.
fn timeless(mut answer: Value) -> Value {
    // A vendor that is asked for usage says of every other chunk that it has none.
    if let Some(object) = answer.as_object_mut()
        && object.get("usage") == Some(&Value::Null)
    {
        object.remove("usage");
    }
    for key in [
        "id",
        "created",
        "created_at",
        "total_duration",
        "load_duration",
        "prompt_eval_duration",
        "eval_duration",
    ] {
        if let Some(object) = answer.as_object_mut() {
            object.remove(key);
        }
    }
    answer
}

#[tokio::test]
async fn a_whole_answer_is_the_providers_and_is_accounted_for() {
    let doubles = Doubles::start().await;
    let rig = Rig::new(spec(doubles.providers(), Vec::new())).await;
    let direct: Value = client()
        .post(format!("http://{}/v1/chat/completions", doubles.openai))
        .bearer_auth("sk-callers-own")
        .body(chat("gpt-4o").to_string())
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();

    let headers = [
        ("x-cockpit-agent", "writer"),
        ("x-cockpit-tags", "night, batch"),
        ("authorization", "Bearer sk-caller"),
    ];
    let mut request = chat("openai/gpt-4o");
    request["user"] = json!("ada");
    let answer = rig
        .post_with("/v1/chat/completions", &request, &headers)
        .await;
    assert_eq!(answer.status(), 200);
    assert_eq!(header(&answer, "x-cockpit-target"), Some("openai/gpt-4o"));
    assert_eq!(header(&answer, "x-cockpit-attempts"), Some("1"));
    assert_eq!(header(&answer, "x-cockpit-fallback"), None);
    let id = header(&answer, "x-cockpit-call-id").unwrap().to_owned();
    let answer: Value = answer.json().await.unwrap();
    assert_eq!(timeless(answer.clone()), timeless(direct));

    let call = rig.call().await;
    assert_eq!(call.id, id);
    assert_eq!(call.outcome, Outcome::Ok);
    assert_eq!(
        (call.provider.as_str(), call.model.as_str()),
        ("openai", "gpt-4o")
    );
    assert_eq!(call.requested_model.as_deref(), Some("openai/gpt-4o"));
    assert_eq!(
        (call.user.as_deref(), call.agent.as_deref()),
        (Some("ada"), Some("writer"))
    );
    assert_eq!(call.tags, ["night", "batch"]);
    assert_eq!(call.input_tokens, answer["usage"]["prompt_tokens"].as_u64());
    assert_eq!(
        call.output_tokens,
        answer["usage"]["completion_tokens"].as_u64()
    );
    assert!(call.cost_usd.unwrap() > Usd::ZERO);
    assert!(call.price_version.is_some());
    assert_eq!(call.finish_reason.as_deref(), Some("stop"));
    assert!(call.latency_ms.unwrap() > 0.0);
    assert_eq!((call.attempts, call.status), (1, Some(200)));
    rig.no_call().await;
}

#[tokio::test]
async fn a_stream_passes_as_it_is_though_we_ask_for_its_usage() {
    let doubles = Doubles::start().await;
    let rig = Rig::new(spec(doubles.providers(), Vec::new())).await;
    let text = |body: String| -> Vec<Value> {
        body.lines()
            .filter_map(|line| line.strip_prefix("data: "))
            .filter(|data| *data != "[DONE]")
            .map(|data| timeless(serde_json::from_str(data).unwrap()))
            .collect()
    };
    let request = streamed(chat("gpt-4o"));
    let direct = client()
        .post(format!("http://{}/v1/chat/completions", doubles.openai))
        .bearer_auth("sk-callers-own")
        .body(request.to_string())
        .send()
        .await
        .unwrap();
    let direct = text(direct.text().await.unwrap());

    let answer = rig.post("/v1/chat/completions", &request).await;
    assert_eq!(header(&answer, "content-type"), Some("text/event-stream"));
    let body = answer.text().await.unwrap();
    assert!(body.ends_with("data: [DONE]\n\n"));
    assert_eq!(text(body), direct, "without the chunk of usage");
    let call = rig.call().await;
    assert!(call.streamed && call.outcome == Outcome::Ok);
    assert!(call.input_tokens.unwrap() > 0 && call.output_tokens.unwrap() > 0);
    assert!(call.ttft_ms.unwrap() <= call.latency_ms.unwrap());

    let mut asked = request;
    asked["stream_options"] = json!({"include_usage": true});
    let body = rig
        .post("/v1/chat/completions", &asked)
        .await
        .text()
        .await
        .unwrap();
    let last = text(body).pop().unwrap();
    assert_eq!(
        last["usage"]["completion_tokens"].as_u64(),
        rig.call().await.output_tokens,
        "who asks gets it"
    );
}

#[tokio::test]
async fn anthropic_and_ollama_in_their_own_tongues() {
    let doubles = Doubles::start().await;
    let rig = Rig::new(spec(doubles.providers(), Vec::new())).await;
    let mut message = chat("claude-sonnet-4-5");
    message["max_tokens"] = json!(64);
    let version = [("anthropic-version", "2023-06-01"), ("x-api-key", "k")];
    let answer = rig.post_with("/v1/messages", &message, &version).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(
        header(&answer, "x-cockpit-target"),
        Some("anthropic/claude-sonnet-4-5")
    );
    let answer: Value = answer.json().await.unwrap();
    let usage = &answer["usage"];
    let counted = [
        "input_tokens",
        "cache_read_input_tokens",
        "cache_creation_input_tokens",
    ]
    .iter()
    .map(|key| usage[key].as_u64().unwrap_or(0))
    .sum::<u64>();
    let call = rig.call().await;
    assert_eq!(
        call.input_tokens,
        Some(counted),
        "cached tokens are counted once"
    );
    assert!(call.cost_usd.is_some());

    let answer = rig
        .post_with("/v1/messages", &streamed(message), &version)
        .await;
    assert!(answer.text().await.unwrap().contains("event: message_stop"));
    let call = rig.call().await;
    assert!(call.streamed && call.output_tokens.unwrap() > 0 && call.ttft_ms.is_some());

    // Ollama streams unless it is told not to.
    let tags: Value = rig
        .client
        .get(rig.url("/api/tags"))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let model = tags["models"][0]["name"].as_str().unwrap().to_owned();
    let answer = rig.post("/api/chat", &chat(&model)).await;
    assert_eq!(answer.status(), 200);
    let body = answer.text().await.unwrap();
    let last: Value = serde_json::from_str(body.lines().last().unwrap()).unwrap();
    assert_eq!(last["done"], json!(true));
    let call = rig.call().await;
    assert_eq!(call.target, format!("ollama/{model}"));
    assert_eq!(call.output_tokens, last["eval_count"].as_u64());
    assert_eq!(
        call.cost_usd,
        Some(Usd::ZERO),
        "what runs here costs nothing"
    );

    // The same server in OpenAI's protocol.
    let answer = rig
        .post("/v1/chat/completions", &chat(&format!("ollama/{model}")))
        .await;
    assert_eq!(answer.status(), 200);
    assert_eq!(rig.call().await.target, format!("ollama/{model}"));
}

#[tokio::test]
async fn what_is_not_understood_passes_unchanged() {
    let doubles = Doubles::start().await;
    let rig = Rig::new(spec(
        doubles.providers(),
        vec![route("chat", &["openai/gpt-4o"])],
    ))
    .await;
    let direct = client()
        .get(format!("http://{}/api/version", doubles.ollama))
        .send()
        .await
        .unwrap();
    let through = rig
        .client
        .get(rig.url("/api/version"))
        .send()
        .await
        .unwrap();
    assert_eq!(through.status(), direct.status());
    assert_eq!(through.text().await.unwrap(), direct.text().await.unwrap());
    assert_eq!(
        rig.client
            .get(rig.url("/"))
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap(),
        "Ollama is running"
    );

    let models: Value = rig
        .client
        .get(rig.url("/v1/models"))
        .bearer_auth("sk-callers-own")
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let ids: Vec<_> = models["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| m["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids[0], "chat", "routes come first");
    assert!(ids.contains(&"gpt-4o"), "{ids:?}");
    rig.no_call().await;
}

#[tokio::test]
async fn a_callers_key_reaches_only_whom_it_is_for() {
    let openai = double("openai", &["--key", "secret of OPENAI"]).await;
    let mut with_key = provider(
        "openai",
        ProviderKind::OpenAi,
        format!("http://{openai}/v1"),
    );
    with_key.api_key = Some(cockpit_model::traffic::SecretPlace::Env(
        "OPENAI".to_owned(),
    ));
    let rig = Rig::new(spec(vec![with_key.clone()], Vec::new())).await;
    let callers = [("authorization", "Bearer what the caller has")];
    let answer = rig
        .post_with("/v1/chat/completions", &chat("gpt-4o"), &callers)
        .await;
    assert_eq!(answer.status(), 200, "the provider's own key goes there");
    rig.call().await;

    // Without one of its own the provider sees the caller's.
    with_key.api_key = None;
    let rig = Rig::new(spec(vec![with_key.clone()], Vec::new())).await;
    let right = [("authorization", "Bearer secret of OPENAI")];
    assert_eq!(
        rig.post_with("/v1/chat/completions", &chat("gpt-4o"), &right)
            .await
            .status(),
        200
    );
    let wrong = rig
        .post_with("/v1/chat/completions", &chat("gpt-4o"), &callers)
        .await;
    assert_eq!(wrong.status(), 401);
    assert_eq!(rig.call().await.outcome, Outcome::Ok);
    assert_eq!(
        rig.call().await.error.as_deref(),
        Some("provider_unauthorized")
    );

    // A key that cannot be read is told, not sent as nothing.
    with_key.api_key = Some(cockpit_model::traffic::SecretPlace::Env(
        "MISSING".to_owned(),
    ));
    let rig = Rig::new(spec(vec![with_key], Vec::new())).await;
    let answer = rig.post("/v1/chat/completions", &chat("gpt-4o")).await;
    assert_eq!(answer.status(), 503);
    let error: Value = answer.json().await.unwrap();
    assert_eq!(error["error"]["code"], "provider_unavailable");
    assert!(
        error["error"]["message"]
            .as_str()
            .unwrap()
            .contains("MISSING")
    );
    assert!(rig.events.kinds().contains(&"cockpit"));
}
