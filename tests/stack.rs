//! The cockpit runs a real deployment: PostgreSQL, a model server, a Node API. Everything in it is
//! killed, one thing is hung, the cockpit itself is killed: all of it comes back or never went.
//!
//! Needs `tests/stack/setup` to have been run.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;
use serde_json::{Value, json};
use support::{Cockpit, brief, free_port, is_alive, pid, signal};

/// PostgreSQL's programs, wherever this system keeps them.
fn postgres_bin() -> PathBuf {
    let on_path = std::env::var_os("PATH").into_iter().flat_map(|path| {
        std::env::split_paths(&path)
            .filter(|dir| dir.join("initdb").exists())
            .collect::<Vec<_>>()
    });
    let found = on_path
        .map(|dir| {
            dir.join("initdb")
                .canonicalize()
                .unwrap()
                .parent()
                .unwrap()
                .to_path_buf()
        })
        .next();
    let packaged = || {
        let mut versions: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path().join("bin"))
            .filter(|bin| bin.join("postgres").exists())
            .collect();
        versions.sort();
        versions.pop()
    };
    found
        .or_else(packaged)
        .expect("PostgreSQL is installed (tests/stack/setup says how)")
}

/// PostgreSQL refuses to run as root: then it runs as the user its package made.
fn as_database_user(args: Vec<String>) -> Vec<String> {
    if !rustix::process::getuid().is_root() {
        return args;
    }
    let mut all: Vec<String> = [
        "setpriv",
        "--reuid=postgres",
        "--regid=postgres",
        "--clear-groups",
    ]
    .map(String::from)
    .into();
    all.extend(args);
    all
}

fn make_database(dir: &Path) {
    let data = dir.join("pg");
    std::fs::create_dir(&data).unwrap();
    if rustix::process::getuid().is_root() {
        // The way to it must be open to that user too.
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o711)).unwrap();
        assert!(
            Command::new("chown")
                .arg("postgres")
                .arg(&data)
                .status()
                .unwrap()
                .success()
        );
    }
    let initdb = postgres_bin().join("initdb").display().to_string();
    let args = [
        &initdb,
        "-D",
        data.to_str().unwrap(),
        "-A",
        "trust",
        "-U",
        "app",
        "--no-sync",
    ];
    let all = as_database_user(args.map(String::from).into());
    let made = Command::new(&all[0])
        .args(&all[1..])
        .current_dir("/")
        .output()
        .unwrap();
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
}

struct Ports {
    database: u16,
    model: u16,
    api: u16,
    otlp: u16,
}

fn config(dir: &Path, ports: &Ports) -> String {
    let stack = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stack");
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/.cache/venv/bin/python");
    assert!(python.exists(), "run tests/stack/setup first");
    let Ports {
        database,
        model,
        api,
        otlp,
    } = ports;
    let postgres = postgres_bin().join("postgres").display().to_string();
    let data = dir.join("pg").display().to_string();
    let command: Value = as_database_user(
        [
            &postgres,
            "-D",
            &data,
            "-p",
            &database.to_string(),
            "-k",
            &data,
        ]
        .map(String::from)
        .into(),
    )
    .into();
    format!(
        r#"
[otlp]
listen = "127.0.0.1:{otlp}"

[services.database]
kind = "postgres"
command = {command}
listen = "127.0.0.1:{database}"
cwd = "/"
ready = {{ postgres = "postgres://app@127.0.0.1:{database}/postgres", every = "500ms", timeout = "1s" }}
live = {{ postgres = "postgres://app@127.0.0.1:{database}/postgres", every = "500ms", timeout = "1s", failures = 4 }}

[services.migrate]
kind = "task"
command = ["node", "migrate.js"]
cwd = "{stack}/api"
env = {{ DATABASE_URL = "postgres://app@127.0.0.1:{database}/postgres" }}
depends_on = ["database"]

[services.model]
command = ["{python}", "{stack}/model/server.py"]
listen = "127.0.0.1:{model}"
env = {{ PORT = "{{port}}" }}
ready = {{ http = "http://127.0.0.1:{{port}}/health", every = "500ms", timeout = "2s" }}
live = {{ http = "http://127.0.0.1:{{port}}/health", every = "1s", timeout = "5s", failures = 6 }}

[services.api]
kind = "node"
command = ["node", "server.js"]
cwd = "{stack}/api"
listen = "127.0.0.1:{api}"
env = {{ DATABASE_URL = "postgres://app@127.0.0.1:{database}/postgres", MODEL_URL = "http://127.0.0.1:{model}", OTEL_EXPORTER_OTLP_ENDPOINT = "http://127.0.0.1:{otlp}", OTEL_BSP_SCHEDULE_DELAY = "200", COCKPIT_FOLDER = "{folder}" }}
depends_on = ["migrate", "model"]
ready = {{ http = "http://127.0.0.1:{{port}}/health", every = "500ms", timeout = "2s" }}
live = {{ http = "http://127.0.0.1:{{port}}/live", every = "1s", timeout = "2s", failures = 3 }}
"#,
        stack = stack.display(),
        folder = dir.display(),
        python = python.display(),
    )
}

async fn ask(api: u16, question: &str) -> Value {
    let http = reqwest::Client::new();
    let answer = http
        .post(format!("http://127.0.0.1:{api}/chat"))
        .json(&json!({ "question": question, "user": "ada" }))
        .send()
        .await
        .unwrap();
    let status = answer.status();
    let answer: Value = answer.json().await.unwrap();
    assert!(status.is_success(), "{answer}");
    assert!(
        !answer["answer"].as_str().unwrap().trim().is_empty(),
        "{answer}"
    );
    answer
}

/// The API told of its request to the model by OpenTelemetry, and tells by a plain event what a person thinks of it.
async fn reported(cockpit: &Cockpit, ports: &Ports, answer: &Value) {
    let told = async {
        loop {
            let calls: Value = cockpit.client().get("/api/calls?user=ada").await.unwrap();
            if let Some(call) = calls["calls"].as_array().unwrap().first() {
                return call.clone();
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    let call = tokio::time::timeout(support::PATIENCE, told)
        .await
        .expect("the call is reported");
    assert_eq!(
        (&call["source"], &call["target"]),
        (&json!("otlp"), &json!("llama.cpp/smollm2-135m"))
    );
    assert_eq!(call["output_tokens"], answer["output_tokens"]);
    assert_eq!(call["tags"], json!(["sample-api"]));
    assert!(call["latency_ms"].as_f64().unwrap() > 0.0, "{call}");
    assert_eq!(call["cost_usd"], Value::Null, "nobody knows its price");
    for (thumb, accepted) in [("up", 1), ("down", 0)] {
        let judged: Value = reqwest::Client::new()
            .post(format!("http://127.0.0.1:{}/feedback", ports.api))
            .json(&json!({ "id": answer["id"], "thumb": thumb, "user": "ada" }))
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        assert_eq!(judged["accepted"], accepted, "{judged}");
    }
    let usage: Value = cockpit.client().get("/api/usage?window=1h").await.unwrap();
    assert_eq!(usage["business"]["satisfaction"], json!(1.0), "{usage}");
    assert!(usage["totals"]["calls"].as_u64().unwrap() >= 1, "{usage}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_stack_starts_in_order_answers_and_heals() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let ports = Ports {
        database: free_port(),
        model: free_port(),
        api: free_port(),
        otlp: free_port(),
    };
    let mut cockpit = Cockpit::new("");
    make_database(cockpit.data());
    cockpit.write_config(&config(cockpit.data(), &ports));
    cockpit.serve().await;

    // In order: nothing started before what it depends on was ready.
    let all = cockpit.wait_all_ready().await;
    let started = |name: &str| {
        let service = all.iter().find(|s| s.name == name).unwrap();
        service.instances[0].started_at
    };
    let since = |name: &str| all.iter().find(|s| s.name == name).unwrap().since;
    assert!(started("api").unwrap() >= since("model"), "{}", brief(&all));
    assert!(
        started("api").unwrap() >= since("migrate"),
        "{}",
        brief(&all)
    );

    // A real question, answered by a real model, kept in a real database.
    let first = ask(ports.api, "What is the capital of France?").await;
    assert!(first["output_tokens"].as_u64().unwrap() > 0, "{first}");
    reported(&cockpit, &ports, &first).await;

    // Each part killed: it comes back, alone, and the whole works again.
    for name in ["api", "model", "database"] {
        let old = pid(&cockpit.service(name).await);
        signal(old, Signal::KILL);
        let back = cockpit.wait_successor(name, old).await;
        assert_eq!(back.instances[0].restarts, 1, "{name}");
        let exit = back.instances[0].last_exit.clone().unwrap();
        assert_eq!(
            (exit.code, exit.signal.as_deref()),
            (None, Some("SIGKILL")),
            "{name}"
        );
        assert!(!is_alive(old));
        cockpit.wait_all_ready().await;
    }
    ask(ports.api, "Name a colour.").await;

    // One part hung: liveness sees it, the rest does not fall.
    let old = pid(&cockpit.service("api").await);
    signal(old, Signal::STOP);
    let back = cockpit.wait_successor("api", old).await;
    assert_eq!(back.instances[0].restarts, 2);
    assert!(!is_alive(old));

    // The cockpit itself killed: everything lives on, answers, and is found again.
    let before: Vec<u32> = cockpit
        .wait_all_ready()
        .await
        .iter()
        .filter_map(|s| s.instances[0].pid)
        .collect();
    cockpit.kill_engine().await;
    ask(ports.api, "Does it still answer?").await;
    cockpit.serve().await;
    let after: Vec<u32> = cockpit
        .wait_all_ready()
        .await
        .iter()
        .filter_map(|s| s.instances[0].pid)
        .collect();
    assert_eq!(before, after);

    // And it still heals what it found.
    let old = pid(&cockpit.service("model").await);
    signal(old, Signal::KILL);
    cockpit.wait_successor("model", old).await;
    cockpit.wait_all_ready().await;
    ask(ports.api, "And now?").await;

    // Every answer was kept, whatever was killed in between.
    let answers: Vec<Value> = reqwest::get(format!("http://127.0.0.1:{}/answers", ports.api))
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(answers.len(), 4);

    let (code, _, error) = cockpit.verb(&["stop", "--all"]).await;
    assert_eq!(code, 0, "{error}");
    for pid in after {
        assert!(!is_alive(pid), "{pid} outlived the stop");
    }
}
