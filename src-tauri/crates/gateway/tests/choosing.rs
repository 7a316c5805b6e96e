//! Whom a name means, and how far a request goes: the same from the first request on, three attempts, each in its own time.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod common;

use std::net::SocketAddr;
use std::time::Duration;

use cockpit_model::traffic::*;
use common::*;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

#[tokio::test]
async fn a_models_name_means_the_same_from_the_first_request_on() {
    let doubles = Doubles::start().await;
    // A vendor that takes connections and never says what it has: a moment is waited for it, and no longer.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut providers = doubles.providers();
    for vendor in &mut providers[..2] {
        vendor.api_key = Some(SecretPlace::Env("VENDOR".to_owned()));
    }
    let address = silent.local_addr().unwrap();
    providers.insert(
        0,
        provider(
            "silent",
            ProviderKind::OpenAi,
            format!("http://{address}/v1"),
        ),
    );
    // Each of a new gateway: nothing can be known yet.
    for (model, target) in [
        ("llama3.2", "ollama/llama3.2"),
        ("llama3.2:latest", "ollama/llama3.2:latest"),
        ("claude-haiku-4-5", "anthropic/claude-haiku-4-5"),
        ("gpt-4o", "openai/gpt-4o"),
    ] {
        let rig = Rig::new(spec(providers.clone(), Vec::new())).await;
        for _ in 0..2 {
            let answer = rig.post("/v1/chat/completions", &chat(model)).await;
            assert_eq!(header(&answer, "x-cockpit-target"), Some(target), "{model}");
        }
    }
}

#[tokio::test]
async fn a_model_that_came_meanwhile_is_found() {
    let doubles = Doubles::start().await;
    let rig = Rig::new(spec(doubles.providers(), Vec::new())).await;
    // Nobody has it: its first language says who is asked.
    let answer = rig.post("/v1/chat/completions", &chat("mine")).await;
    assert_eq!(header(&answer, "x-cockpit-target"), Some("openai/mine"));
    let copy = json!({"source": "llama3.2", "destination": "mine"});
    assert_eq!(rig.post("/api/copy", &copy).await.status(), 200);
    // A list of this machine's own models is believed for 5 s.
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(6)).await;
    tokio::time::resume();
    let answer = rig.post("/v1/chat/completions", &chat("mine")).await;
    assert_eq!(
        header(&answer, "x-cockpit-target"),
        Some("ollama/mine"),
        "found long before the next look at all lists"
    );
}

/// A vendor that has one model, and tells of each request to it whether it came with a key.
async fn watchful(model: &'static str) -> (SocketAddr, mpsc::UnboundedReceiver<bool>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, told) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let tell = tell.clone();
            tokio::spawn(async move {
                let mut asked = Vec::new();
                let is_whole = |asked: &[u8]| {
                    asked.ends_with(b"}")
                        || asked.starts_with(b"GET") && asked.ends_with(b"\r\n\r\n")
                };
                while !is_whole(&asked) {
                    if stream.read_buf(&mut asked).await.unwrap_or(0) == 0 {
                        return;
                    }
                }
                let body = if asked.starts_with(b"GET") {
                    json!({"data": [{"id": model}]})
                } else {
                    let text = String::from_utf8_lossy(&asked).to_lowercase();
                    let _ = tell.send(text.contains("sk-callers-own"));
                    json!({"choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}]})
                };
                let body = body.to_string();
                let length = body.len();
                let answer = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\
                     content-length: {length}\r\n\r\n{body}"
                );
                let _ = stream.write_all(answer.as_bytes()).await;
            });
        }
    });
    (address, told)
}

#[tokio::test]
async fn a_callers_own_key_goes_only_to_whom_the_caller_meant() {
    let (usual, mut by_usual) = watchful("common").await;
    let (other, mut by_other) = watchful("rare").await;
    let openai =
        |name, address| provider(name, ProviderKind::OpenAi, format!("http://{address}/v1"));
    let providers = vec![openai("usual", usual), openai("other", other)];
    let routes = vec![route("first", &["other/rare"])];
    let rig = Rig::new(spec(providers, routes)).await;
    for (model, target, shown) in [
        ("common", "usual/common", true),
        ("other/rare", "other/rare", true),
        ("first", "other/rare", true),
        ("rare", "other/rare", false),
    ] {
        let answer = rig.post("/v1/chat/completions", &chat(model)).await;
        assert_eq!(header(&answer, "x-cockpit-target"), Some(target), "{model}");
        let told = if target.starts_with("usual") {
            by_usual.recv().await
        } else {
            by_other.recv().await
        };
        assert_eq!(told, Some(shown), "{model}");
    }
}

#[tokio::test]
async fn three_requests_go_upstream_at_most_and_each_has_its_own_time() {
    let doubles = Doubles::start().await;
    let mut providers = doubles.providers();
    // Whoever is asked instead is not shown the caller's key.
    providers[0].api_key = Some(SecretPlace::Env("VENDOR".to_owned()));
    let mut hurried = provider(
        "hurried",
        ProviderKind::OpenAi,
        format!("http://{}/v1", doubles.openai),
    );
    hurried.timeout = Duration::from_secs(2);
    hurried.first_byte_timeout = Duration::from_millis(200);
    providers.push(hurried.clone());
    // An answer that is not streamed has no first byte to wait for.
    hurried.name = "brief".to_owned();
    hurried.timeout = Duration::from_millis(300);
    hurried.first_byte_timeout = PATIENCE;
    providers.push(hurried);
    let routes = vec![
        route(
            "failing",
            &[
                "openai/a!500",
                "openai/b!500",
                "openai/c!500",
                "openai/d!500",
            ],
        ),
        route(
            "hanging",
            &[
                "openai/gpt-4o!500",
                "hurried/gpt-4o!hang",
                "brief/gpt-4o!hang",
            ],
        ),
        route("spared", &["brief/gpt-4o!hang", "openai/gpt-4o"]),
    ];
    let rig = Rig::new(spec(providers, routes)).await;
    let answer = rig.post("/v1/chat/completions", &chat("failing")).await;
    assert_eq!(answer.status(), 500);
    let call = rig.call().await;
    assert_eq!((call.attempts, call.target.as_str()), (3, "openai/c!500"));

    for hanging in [chat("hanging"), streamed(chat("hanging"))] {
        let answer = rig.post("/v1/chat/completions", &hanging).await;
        assert_eq!(answer.status(), 504);
        let call = rig.call().await;
        assert_eq!(call.error.as_deref(), Some("provider_timeout"));
        assert_eq!(
            (call.target.as_str(), call.attempts),
            ("brief/gpt-4o!hang", 3),
            "each is cut by its own patience"
        );
    }

    // Whoever hangs takes no time from the next.
    let answer = rig.post("/v1/chat/completions", &chat("spared")).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(header(&answer, "x-cockpit-target"), Some("openai/gpt-4o"));
}
