//! The real Prometheus: its own checker has nothing to say of our figures, and it finds them where we tell.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod support;

use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::{Cockpit, exe, free_port};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// A cockpit that has seen requests succeed and fail.
async fn busy_cockpit() -> Cockpit {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (gateway, ollama) = (free_port(), free_port());
    let cockpit = Cockpit::start(&format!(
        r#"
[gateway]
listen = "127.0.0.1:{gateway}"

[services.ollama]
kind = "ollama"
command = ["{exe}", "simulate", "ollama", "--port", "{{port}}"]
listen = "127.0.0.1:{ollama}"

[budgets]
daily_usd = 5
"#,
        exe = exe().display()
    ))
    .await;
    cockpit.wait_all_ready().await;
    let http = reqwest::Client::new();
    for (model, stream, status) in [
        ("ollama/llama3.2", false, 200),
        ("ollama/llama3.2", true, 200),
        ("ollama/never \"heard\"\\of", false, 404),
    ] {
        let body = json!({"model": model, "stream": stream, "messages": [{"role": "user", "content": "What is a mole?"}]});
        let answer = http
            .post(format!("http://127.0.0.1:{gateway}/v1/chat/completions"))
            .body(body.to_string())
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), status, "{model}");
        answer.bytes().await.unwrap();
    }
    let now = cockpit_model::Timestamp::now();
    let reported = cockpit
        .client()
        .post::<Value>(
            "/api/events",
            &json!([
                {"id": "t1", "type": "task", "at": now, "completed": true},
                {"id": "t1", "type": "task", "at": now, "completed": true},
            ]),
        )
        .await
        .unwrap();
    assert_eq!(
        (&reported["accepted"], &reported["duplicates"]),
        (&json!(1), &json!(1))
    );
    cockpit
}

#[tokio::test(flavor = "multi_thread")]
async fn its_checker_has_nothing_to_say() {
    let cockpit = busy_cockpit().await;
    let metrics = cockpit.client().get_bytes("/metrics").await.unwrap();
    let mut checker = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is installed: scripts/setup run test");
    let mut input = checker.stdin.take().unwrap();
    input.write_all(&metrics).await.unwrap();
    drop(input);
    let output = checker.wait_with_output().await.unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success() && said.is_empty(), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_finds_our_figures() {
    let cockpit = busy_cockpit().await;
    let engine: Value =
        serde_json::from_str(&fs::read_to_string(cockpit.data().join("engine.json")).unwrap())
            .unwrap();
    let config = cockpit.data().join("prometheus.yml");
    let text = format!(
        "scrape_configs:\n  - job_name: studio-cockpit\n    scrape_interval: 1s\n    authorization:\n      \
         credentials_file: {}\n    static_configs:\n      - targets: [\"{}\"]\n",
        cockpit.data().join("token").display(),
        engine["listen"].as_str().unwrap()
    );
    fs::write(&config, text).unwrap();
    let port = free_port();
    let mut prometheus = Command::new("prometheus")
        .arg(format!("--config.file={}", config.display()))
        .arg(format!(
            "--storage.tsdb.path={}",
            cockpit.data().join("tsdb").display()
        ))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(fs::File::create(cockpit.data().join("prometheus.log")).unwrap())
        .kill_on_drop(true)
        .spawn()
        .expect("prometheus is installed: scripts/setup run test");

    let http = reqwest::Client::new();
    let deadline = Instant::now() + support::PATIENCE;
    for (query, wanted) in [
        ("up", 1.0),
        ("sum(cockpit_calls_total{outcome=\"ok\"})", 2.0),
        ("cockpit_calls_total{outcome=\"error\"}", 1.0),
        (
            "sum(gen_ai_client_operation_duration_seconds_count{gen_ai_operation_name=\"chat\"})",
            3.0,
        ),
        (
            "gen_ai_client_token_usage_count{gen_ai_request_model=\"llama3.2\",gen_ai_token_type=\"output\"}",
            2.0,
        ),
        (
            "gen_ai_client_operation_time_to_first_chunk_seconds_count",
            1.0,
        ),
        ("cockpit_ledger_records_total{result=\"duplicate\"}", 1.0),
        ("cockpit_reports_total{type=\"task\",ok=\"true\"}", 1.0),
        ("cockpit_budget_limit_usd{period=\"day\"}", 5.0),
        ("cockpit_gateway_queue_waiting{provider=\"ollama\"}", 0.0),
    ] {
        // It scrapes when it likes; there is nothing to be told by.
        loop {
            let found = ask(&http, port, query).await;
            if found == Some(wanted) {
                break;
            }
            let log =
                || fs::read_to_string(cockpit.data().join("prometheus.log")).unwrap_or_default();
            assert!(prometheus.try_wait().unwrap().is_none(), "{}", log());
            assert!(
                Instant::now() < deadline,
                "{query} is {found:?}, not {wanted}\n{}",
                log()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    prometheus.kill().await.unwrap();
}

/// The one value that a query has now.
async fn ask(http: &reqwest::Client, port: u16, query: &str) -> Option<f64> {
    let url = format!("http://127.0.0.1:{port}/api/v1/query");
    let body = form(&[("query", query)]);
    let answer = http
        .post(url)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(body)
        .send()
        .await
        .ok()?;
    let answer: Value = serde_json::from_str(&answer.text().await.ok()?).ok()?;
    let results = answer["data"]["result"].as_array()?;
    assert!(
        results.len() <= 1,
        "{query} has several values: {results:#?}"
    );
    results.first()?["value"][1].as_str()?.parse().ok()
}

fn form(pairs: &[(&str, &str)]) -> String {
    let encode = |text: &str| -> String {
        let byte = |byte: u8| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        };
        text.bytes().map(byte).collect()
    };
    let pairs: Vec<String> = pairs
        .iter()
        .map(|(name, value)| format!("{}={}", encode(name), encode(value)))
        .collect();
    pairs.join("&")
}
