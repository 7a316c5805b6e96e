//! Keys of the gateway, and what is spent with them, through a whole cockpit.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod support;

use std::path::Path;

use serde_json::{Value, json};
use support::{Cockpit, exe, free_port};

struct Stack {
    cockpit: Cockpit,
    gateway: u16,
}

impl Stack {
    /// A vendor under our own supervision, and the gateway before it.
    async fn start(more: &str) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (gateway, vendor) = (free_port(), free_port());
        let config = format!(
            r#"
[gateway]
listen = "127.0.0.1:{gateway}"

[services.vendor]
command = ["{exe}", "simulate", "openai", "--port", "{{port}}"]
listen = "127.0.0.1:{vendor}"
ready = {{ tcp = "127.0.0.1:{{port}}", every = "200ms" }}

[providers.openai]
kind = "openai"
api_key = {{ env = "VENDOR_KEY" }}
base_url = "http://127.0.0.1:{vendor}/v1"
{more}"#,
            exe = exe().display()
        );
        let mut cockpit = Cockpit::new(&config);
        cockpit
            .env
            .push(("VENDOR_KEY".to_owned(), "sk-kept-elsewhere".to_owned()));
        let mut stack = Self { cockpit, gateway };
        stack.open().await;
        stack
    }

    async fn open(&mut self) {
        self.cockpit.serve().await;
        self.cockpit.wait_all_ready().await;
        // The gateway opens after the services were taken up; there is nothing to wait on but itself.
        let open = async {
            while tokio::net::TcpStream::connect(("127.0.0.1", self.gateway))
                .await
                .is_err()
            {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(support::PATIENCE, open)
            .await
            .expect("the gateway opens");
    }

    async fn ask(&self, key: &str, headers: &[(&str, &str)]) -> u16 {
        let body = json!({"model": "openai/gpt-4o", "messages": [{"role": "user", "content": "What is a mole?"}]});
        let mut request = reqwest::Client::new()
            .post(format!(
                "http://127.0.0.1:{}/v1/chat/completions",
                self.gateway
            ))
            .bearer_auth(key)
            .body(body.to_string());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.send().await.expect("the gateway answers");
        answer.status().as_u16()
    }

    async fn get(&self, path: &str) -> Value {
        self.cockpit.client().get(path).await.unwrap()
    }

    /// A verb that does what it says; what it printed.
    async fn verb(&self, args: &[&str]) -> String {
        let (code, out, error) = self.cockpit.verb(args).await;
        assert_eq!(code, 0, "{args:?}: {error}");
        out
    }
}

/// The files below a folder that hold a text.
fn holding(folder: &Path, text: &str, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            holding(&path, text, found);
        } else if path.is_file() {
            let bytes = std::fs::read(&path).unwrap();
            if bytes
                .windows(text.len())
                .any(|part| part == text.as_bytes())
            {
                found.push(path.display().to_string());
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_made_used_listed_and_removed() {
    let mut stack = Stack::start("").await;
    assert_eq!(stack.ask("whatever", &[]).await, 200, "none is needed yet");
    let first = [
        "key",
        "add",
        "app",
        "--requests-per-minute",
        "600",
        "--models",
        "openai/gpt-4o,chat",
    ];
    let (code, made, beside) = stack.cockpit.verb(&first).await;
    assert_eq!(code, 0, "{beside}");
    let changes = "note: it is the first key: from now on whoever asks the gateway needs one";
    assert!(beside.contains(changes), "{beside}");
    let app = made.trim().to_owned();
    assert!(cockpit_gateway::is_made_here(&app), "{made}");
    assert_eq!(stack.ask("whatever", &[]).await, 401);
    assert_eq!(stack.ask(&app, &[]).await, 200);
    let calls = stack.get("/api/calls").await;
    assert_eq!(calls["calls"][0]["key"], "app");
    assert_eq!(
        calls["calls"].as_array().unwrap().len(),
        2,
        "a refused one is no call"
    );

    let other: Value =
        serde_json::from_str(&stack.verb(&["key", "add", "other", "--json"]).await).unwrap();
    assert!(
        other["note"].is_null(),
        "it changes nothing for others: {other}"
    );
    let other = other["secret"].as_str().unwrap().to_owned();
    let (code, _, error) = stack.cockpit.verb(&["key", "add", "app"]).await;
    assert_eq!(code, 1, "{error}");
    assert!(error.contains("key remove app"), "{error}");
    for wrong in [
        &["key", "add", "../app"][..],
        &["key", "add", "zero", "--requests-per-minute", "0"],
        &["key", "add", "poor", "--usd-per-day=-1"],
    ] {
        let (code, _, error) = stack.cockpit.verb(wrong).await;
        assert_eq!(code, 2, "{wrong:?}: {error}");
    }

    // Nothing that is asked afterwards tells the key.
    let list = stack.verb(&["key", "list"]).await;
    let line = list
        .lines()
        .find(|line| line.starts_with("app"))
        .expect(&list);
    assert!(
        line.contains("600 requests/min") && line.contains("ago"),
        "{list}"
    );
    let keys = stack.get("/api/keys").await;
    assert_eq!(keys[0]["name"], "app");
    assert_eq!(keys[0]["made"], "here");
    assert_eq!(
        keys[0]["limits"]["models"],
        json!(["openai/gpt-4o", "chat"])
    );
    assert!(keys[0]["last_used_at"].is_string() && keys[1]["last_used_at"].is_null());
    for told in [
        list,
        keys.to_string(),
        stack.get("/api/events").await.to_string(),
    ] {
        assert!(!told.contains(&app) && !told.contains(&other));
    }

    // As a power cut ends it.
    stack.cockpit.kill_engine().await;
    let (code, _, error) = stack.cockpit.verb(&["key", "list"]).await;
    assert_eq!(code, 3, "{error}");
    stack.open().await;
    assert_eq!(stack.ask("whatever", &[]).await, 401);
    assert_eq!(stack.ask(&app, &[]).await, 200);

    let removed = stack.verb(&["key", "remove", "app"]).await;
    assert!(removed.contains("removed"), "{removed}");
    assert_eq!(stack.ask(&app, &[]).await, 401);
    assert_eq!(stack.ask(&other, &[]).await, 200);
    let (code, _, error) = stack.cockpit.verb(&["key", "remove", "app"]).await;
    assert_eq!(code, 1, "{error}");
    let (code, _, error) = stack.cockpit.verb(&["key", "remove", "other"]).await;
    assert!(code == 0 && error.contains("no key is left"), "{error}");
    assert_eq!(
        stack.ask(&other, &[]).await,
        401,
        "a key that is no more opens nothing"
    );
    assert_eq!(stack.ask("whatever", &[]).await, 200);

    // What is counted at the gate is written down when the engine ends as it should.
    stack.cockpit.terminate_engine().await;
    stack.open().await;
    let usage = stack.get("/api/usage?window=1h").await;
    let failed = usage["security"]["failed_authentications"].as_u64();
    assert!(failed >= Some(3), "{usage}");
    let told = stack.verb(&["usage"]).await;
    assert!(told.contains("failed authentication"), "{told}");

    for key in [&app, &other] {
        let mut found = Vec::new();
        holding(stack.cockpit.data(), key, &mut found);
        assert_eq!(found, [""; 0], "a key in clear");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_the_file_takes_the_one_that_is_made_for_it() {
    let stack = Stack::start("\n[keys.app]\nlimits = { models = [\"openai/gpt-4o\"] }\n\n[keys.own]\nsecret = { env = \"VENDOR_KEY\" }\n").await;
    let keys = stack.get("/api/keys").await;
    assert_eq!(
        (&keys[0]["made"], &keys[1]["made"]),
        (&json!("nowhere"), &json!("elsewhere"))
    );
    let status = stack.get("/api/status").await;
    assert!(
        status["engine"]["trouble"]
            .to_string()
            .contains("key add app"),
        "{status}"
    );
    let app = stack.verb(&["key", "add", "app"]).await;
    assert_eq!(stack.ask(app.trim(), &[]).await, 200);
    assert_eq!(stack.get("/api/keys").await[0]["in_config"], json!(true));
    let (code, _, error) = stack.cockpit.verb(&["key", "add", "own"]).await;
    assert_eq!(code, 1, "{error}");
    let (code, _, error) = stack.cockpit.verb(&["key", "remove", "own"]).await;
    assert!(code == 1 && error.contains("cockpit.toml"), "{error}");
    let (code, _, error) = stack.cockpit.verb(&["key", "remove", "app"]).await;
    assert!(
        code == 0 && error.contains("[keys.app] still stands"),
        "{error}"
    );
    assert_eq!(stack.ask(app.trim(), &[]).await, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_is_not_renewed_by_killing_the_engine() {
    let limits = "{ usd_per_day = 0.000001 }";
    let mut stack = Stack::start(&format!("\n[limits]\nuser = {limits}\nagent = {limits}\n")).await;
    let poor = stack
        .verb(&["key", "add", "poor", "--usd-per-month", "0.000001"])
        .await;
    let rich = stack.verb(&["key", "add", "rich"]).await;
    let (poor, rich) = (poor.trim(), rich.trim());
    let (ada, planner) = (("x-cockpit-user", "ada"), ("x-cockpit-agent", "planner"));
    // One request spends each of them.
    assert_eq!(stack.ask(poor, &[]).await, 200);
    assert_eq!(stack.ask(rich, &[ada]).await, 200);
    assert_eq!(stack.ask(rich, &[planner]).await, 200);
    assert_eq!(
        stack.get("/api/calls").await["calls"]
            .as_array()
            .unwrap()
            .len(),
        3
    );
    for round in 0..2 {
        assert_eq!(stack.ask(poor, &[]).await, 402, "round {round}");
        assert_eq!(stack.ask(rich, &[ada]).await, 402, "round {round}");
        assert_eq!(stack.ask(rich, &[planner]).await, 402, "round {round}");
        assert_eq!(stack.ask(rich, &[]).await, 200, "round {round}");
        stack.cockpit.kill_engine().await;
        stack.open().await;
    }
}
