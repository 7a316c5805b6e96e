//! The bundled demo: a stack with traffic, made of an ordinary configuration.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::pin::pin;

use futures_util::StreamExt as _;
use serde_json::{Value, json};
use support::Cockpit;

#[tokio::test(flavor = "multi_thread")]
async fn its_applications_ask_models_through_the_gateway_and_tell_what_came_of_it() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut cockpit = Cockpit::new("");
    cockpit.begin("demo", &["--no-window"]).await;
    let services = cockpit.wait_all_ready().await;
    let names: BTreeSet<&str> = services
        .iter()
        .map(|service| service.name.as_str())
        .collect();
    for name in ["ollama", "openai", "anthropic", "apps", "api", "database"] {
        assert!(names.contains(name), "{name} in {names:?}");
    }
    let status = cockpit.status().await;
    assert!(
        status.config.warnings.is_empty(),
        "{:?}",
        status.config.warnings
    );
    for secret in ["demo-key", "demo-vendor-key"] {
        let mode = fs::metadata(cockpit.data().join(secret))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{secret}");
    }

    // Until both a vendor and the local model have answered, and somebody told of a task.
    let client = cockpit.client();
    let stream = client.stream("/api/events/stream", None).await.unwrap();
    let mut stream = pin!(stream);
    let mut answered = BTreeSet::new();
    let waiting = async {
        loop {
            let message = stream.next().await.expect("the stream goes on").unwrap();
            if message.event != "calls" {
                continue;
            }
            let told: Value = serde_json::from_str(&message.data).unwrap();
            for call in told["newest"].as_array().unwrap() {
                assert_eq!(call["key"], "demo", "{call:#}");
                if call["outcome"] == "ok" {
                    answered.insert(call["provider"].as_str().unwrap().to_owned());
                }
            }
            let usage: Value = client.get("/api/usage?window=1h").await.unwrap();
            let tasks = usage["business"]["tasks"].as_u64().unwrap();
            if tasks > 0 && answered.contains("openai") && answered.contains("ollama") {
                assert!(
                    usage["totals"]["cost_usd"].as_f64() > Some(0.0),
                    "{usage:#}"
                );
                assert!(
                    usage["business"]["active_users"].as_u64() > Some(0),
                    "{usage:#}"
                );
                return;
            }
        }
    };
    let seen = tokio::time::timeout(support::PATIENCE, waiting).await;
    assert!(seen.is_ok(), "{answered:?}\n{}", cockpit.log());

    // A vendor in trouble: its breaker opens, and others serve its route.
    let openai: Value = client.get("/api/services/openai").await.unwrap();
    let fault = json!({"kind": "status", "status": 503});
    let ordered = reqwest::Client::new()
        .post(format!(
            "http://{}/_fault",
            openai["listen"].as_str().unwrap()
        ))
        .header("content-type", "application/json")
        .body(fault.to_string())
        .send()
        .await
        .unwrap();
    assert_eq!(ordered.status(), 202);
    let waiting = async {
        loop {
            let message = stream.next().await.expect("the stream goes on").unwrap();
            let told: Value = serde_json::from_str(&message.data).unwrap();
            if told["type"] == "breaker" && told["to"] == "open" {
                return told;
            }
        }
    };
    let opened = tokio::time::timeout(support::PATIENCE, waiting).await;
    assert_eq!(opened.expect("its breaker opens")["provider"], "openai");
    // Its services end with it.
    cockpit.terminate_engine().await;
    assert_eq!(cockpit.family(), [0_u32; 0]);
}
