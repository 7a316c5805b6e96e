//! An Ollama that runs behind the gateway: its clients change nothing and notice nothing, and every request is
//! accounted for. It can be put there and taken out while it runs.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod support;

use cockpit_model::gateway::{FrontView, GatewayView};
use cockpit_model::service::Owner;
use cockpit_model::{Action, InstanceState};
use serde_json::{Value, json};
use support::{Cockpit, Foreign, PATIENCE, exe, free_port, pid};

fn config(gateway: u16, ollama: u16, more: &str) -> String {
    format!(
        r#"
[gateway]
listen = "127.0.0.1:{gateway}"

[services.bystander]
command = ["sleep", "1000000"]

[services.ollama]
kind = "ollama"
command = ["{exe}", "simulate", "ollama", "--port", "{{port}}"]
listen = "127.0.0.1:{ollama}"
ready = {{ every = "200ms" }}
models = ["llama3.2"]
{more}"#,
        exe = exe().display()
    )
}

const BEHIND: &str = "behind_gateway = true\n";

/// What an official client does at Ollama's port: the call's id where it passed a gateway.
async fn chat(port: u16) -> (u16, Option<String>) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let body = json!({"model": "llama3.2", "stream": false, "messages": [{"role": "user", "content": "What is a mole?"}]});
    let sent = reqwest::Client::new()
        .post(format!("http://127.0.0.1:{port}/api/chat"))
        .body(body.to_string())
        .send()
        .await;
    // Nobody listens for a moment while the door changes hands.
    let Ok(answer) = sent else { return (0, None) };
    let id = answer.headers().get("x-cockpit-call-id");
    let id = id.map(|id| id.to_str().unwrap().to_owned());
    (answer.status().as_u16(), id)
}

/// Waits until asking at the port is as wanted.
async fn chat_until(port: u16, wanted: impl Fn(u16, Option<&str>) -> bool) -> Option<String> {
    let asking = async {
        loop {
            let (status, id) = chat(port).await;
            if wanted(status, id.as_deref()) {
                return id;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, asking)
        .await
        .expect("it is answered as wanted")
}

async fn fronts(cockpit: &Cockpit) -> Vec<FrontView> {
    let view: GatewayView = cockpit.client().get("/api/gateway").await.unwrap();
    view.fronts
}

async fn calls(cockpit: &Cockpit) -> Vec<Value> {
    let calls: Value = cockpit.client().get("/api/calls").await.unwrap();
    calls["calls"].as_array().unwrap().clone()
}

/// Waits until the gateway answers at the service's address.
async fn door_open(cockpit: &Cockpit, port: u16) {
    chat_until(port, |status, id| status == 200 && id.is_some()).await;
    let fronts = fronts(cockpit).await;
    assert!(fronts.len() == 1 && fronts[0].open, "{fronts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_ollama_change_nothing_and_its_engine_may_be_killed() {
    let (gateway, port) = (free_port(), free_port());
    let mut cockpit = Cockpit::start(&config(gateway, port, BEHIND)).await;
    let service = cockpit.wait_ready("ollama").await;
    assert_eq!(service.listen, Some(format!("127.0.0.1:{port}")));
    let hidden = service.instances[0].port.unwrap();
    assert_ne!(hidden, port);
    door_open(&cockpit, port).await;

    // What the cockpit itself asks its Ollama for is no request of a client, nor is what is passed on unread.
    let loaded = |s: &cockpit_model::Service| {
        let detail = s.detail.as_ref();
        detail.is_some_and(|detail| detail.models.iter().any(|model| model.loaded))
    };
    cockpit
        .wait_for("ollama", "its model is loaded", loaded)
        .await;
    let tags = reqwest::get(format!("http://127.0.0.1:{port}/api/tags")).await;
    assert_eq!(tags.unwrap().status(), 200);
    let before = calls(&cockpit).await.len();
    let (status, id) = chat(port).await;
    assert_eq!(status, 200);
    let all = calls(&cockpit).await;
    assert_eq!(all.len(), before + 1);
    let call = all.iter().find(|call| call["id"] == json!(id)).unwrap();
    assert_eq!(call["target"], "ollama/llama3.2");
    assert!(call["output_tokens"].as_u64().unwrap() > 0);
    let (code, out, error) = cockpit.verb(&["services"]).await;
    assert_eq!(code, 0, "{error}");
    assert!(
        out.contains(&format!("127.0.0.1:{port} → {hidden}")),
        "{out}"
    );
    let (code, out, error) = cockpit.verb(&["status"]).await;
    assert_eq!(code, 0, "{error}");
    assert!(
        out.contains(&format!("127.0.0.1:{port} for ollama")),
        "{out}"
    );
    let unload: Value = cockpit
        .client()
        .post("/api/services/ollama/models/llama3.2/unload", &json!({}))
        .await
        .unwrap();
    assert_eq!(unload["name"], "ollama");
    assert_eq!(calls(&cockpit).await.len(), before + 1);

    // Stopped by hand, its clients are told so instead of finding nobody.
    cockpit.act("ollama", "stop").await;
    assert_eq!(chat(port).await.0, 503);
    cockpit.act("ollama", "start").await;
    let first = pid(&cockpit.wait_ready("ollama").await);

    // The engine dies: the door goes with it, the model server stays where it is, and the next engine takes both up.
    cockpit.kill_engine().await;
    assert_eq!(chat(port).await.0, 0);
    assert_eq!(chat(hidden).await, (200, None));
    cockpit.serve().await;
    let service = cockpit.wait_ready("ollama").await;
    assert_eq!(
        (pid(&service), service.instances[0].port),
        (first, Some(hidden))
    );
    door_open(&cockpit, port).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_moves_behind_the_gateway_and_back_while_everything_runs() {
    let (gateway, port) = (free_port(), free_port());
    let mut cockpit = Cockpit::start(&config(gateway, port, "")).await;
    let services = cockpit.wait_all_ready().await;
    let bystander = pid(&services[0]);
    let first = pid(&services[1]);
    assert_eq!(chat(port).await, (200, None));

    cockpit.write_config(&config(gateway, port, BEHIND));
    let second = pid(&cockpit.wait_successor("ollama", first).await);
    door_open(&cockpit, port).await;
    assert!(cockpit.status().await.engine.trouble.is_empty());

    cockpit.write_config(&config(gateway, port, ""));
    let service = cockpit.wait_successor("ollama", second).await;
    assert_eq!(service.instances[0].port, Some(port));
    let id = chat_until(port, |status, _| status == 200).await;
    assert_eq!(id, None, "nobody stands before it any more");
    assert_eq!(fronts(&cockpit).await, []);
    assert_eq!(
        chat(gateway).await.0,
        200,
        "the gateway's own address was open all the time"
    );

    // Put there while no engine runs: the next one finds an Ollama at the address it is to take.
    cockpit.kill_engine().await;
    cockpit.write_config(&config(gateway, port, BEHIND));
    cockpit.serve().await;
    door_open(&cockpit, port).await;
    let services = cockpit.wait_all_ready().await;
    assert_ne!(services[1].instances[0].port, Some(port));
    assert_eq!(pid(&services[0]), bystander);
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_elses_ollama_at_that_address_is_named_and_ends_when_asked_for() {
    let (gateway, port) = (free_port(), free_port());
    let mut theirs = Foreign::start("ollama", "ollama", port).await;
    let cockpit = Cockpit::start(&config(gateway, port, BEHIND)).await;
    let held = cockpit
        .wait_for("ollama", "kept from its address", |s| {
            s.state == InstanceState::Degraded
        })
        .await;
    assert!(
        held.cause.contains(&theirs.pid.to_string()),
        "{}",
        held.cause
    );
    assert_eq!(held.owner, Owner::Cockpit, "ours runs all the same");
    assert!(
        held.actions.contains(&Action::TakeOver),
        "{:?}",
        held.actions
    );
    assert_eq!(chat(port).await, (200, None), "theirs is not touched");
    assert_eq!(chat(gateway).await.0, 200);
    let shut = fronts(&cockpit).await;
    assert!(!shut[0].open && shut[0].cause.is_some(), "{shut:?}");
    let status = cockpit.status().await;
    assert_eq!(
        status.engine.trouble.len(),
        1,
        "{:?}",
        status.engine.trouble
    );

    let ours = cockpit.act("ollama", "take_over").await;
    assert_eq!(ours.state, InstanceState::Ready, "{ours:?}");
    assert_eq!(ours.actions, [Action::Stop, Action::Restart]);
    let ended = tokio::time::timeout(PATIENCE, theirs.child.wait()).await;
    assert_eq!(ended.unwrap().unwrap().code(), Some(0));
    door_open(&cockpit, port).await;
}
