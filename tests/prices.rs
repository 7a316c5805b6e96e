//! A list of prices that is fetched: in force at once, kept over a restart, and never half.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod support;

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex};

use futures_util::StreamExt as _;
use serde_json::{Value, json};
use support::Cockpit;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// The list this program was built with.
const BUNDLED: &str = include_str!("../src-tauri/crates/metering/prices/prices.json");
/// Only tomorrow's list has it.
const MODEL: &str = "gpt-9-of-tomorrow";

/// The list of tomorrow.
fn tomorrow() -> Value {
    let mut list: Value = serde_json::from_str(BUNDLED).unwrap();
    list[MODEL] = json!({
        "litellm_provider": "openai", "mode": "chat",
        "input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6,
    });
    list
}

/// Whoever serves lists: each asker gets what is there now.
async fn serving(list: Arc<Mutex<String>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            let list = list.lock().unwrap().clone();
            let answer = format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{list}",
                list.len()
            );
            // Whoever has seen enough may have gone.
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    address
}

/// Reports a call of a million tokens each way; what it cost, and by whose price.
async fn cost(cockpit: &Cockpit, id: &str) -> (Value, Value) {
    let event = json!({
        "id": id, "type": "call", "provider": "openai", "model": MODEL,
        "input_tokens": 1_000_000, "output_tokens": 1_000_000,
    });
    let client = cockpit.client();
    let answer: Value = client.post("/api/events", &event).await.unwrap();
    assert_eq!(answer["accepted"], 1, "{answer}");
    let calls: Value = client.get("/api/calls").await.unwrap();
    let calls = calls["calls"].as_array().unwrap();
    let call = calls.iter().find(|call| call["id"] == id).expect(id);
    (call["cost_usd"].clone(), call["price_version"].clone())
}

/// Writes new settings, and waits until the cockpit says this of them.
async fn set(cockpit: &Cockpit, config: &str, wanted: &str) {
    let client = cockpit.client();
    let events: Value = client.get("/api/events?limit=1").await.unwrap();
    let last = events[0]["seq"].to_string();
    cockpit.write_config(config);
    let stream = client.stream("/api/events/stream", Some(&last)).await;
    let mut stream = pin!(stream.unwrap());
    let hearing = async {
        loop {
            let message = stream.next().await.expect("the stream goes on").unwrap();
            if message.data.contains(wanted) {
                return;
            }
        }
    };
    let heard = tokio::time::timeout(support::PATIENCE, hearing).await;
    assert!(heard.is_ok(), "never heard: {wanted}\n{}", cockpit.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetched_list_is_in_force_is_kept_and_is_never_half() {
    let list = Arc::new(Mutex::new(tomorrow().to_string()));
    let at = serving(Arc::clone(&list)).await;
    let idle = "[services.idle]\ncommand = [\"sleep\", \"86400\"]\n";
    let prices = |path| format!("{idle}[prices]\nurl = \"http://{at}/{path}\"\n");
    let mut cockpit = Cockpit::start(idle).await;
    assert_eq!(cost(&cockpit, "before").await, (Value::Null, Value::Null));

    set(&cockpit, &prices("list"), "the list of prices is new").await;
    let (dollars, version) = cost(&cockpit, "after").await;
    assert_eq!(dollars, json!(3.0));
    assert!(version.as_str().unwrap().starts_with("litellm-20"));

    // Elsewhere there is a list that lost nearly all: broken, not cheap.
    let few = json!({ "gpt-4o": tomorrow()["gpt-4o"] });
    *list.lock().unwrap() = few.to_string();
    let refused = "elsewhere was not taken: the new price table has";
    set(&cockpit, &prices("elsewhere"), refused).await;
    assert_eq!(cost(&cockpit, "refused").await.0, json!(3.0));

    // The next engine has it without asking anybody.
    cockpit.terminate_engine().await;
    cockpit.serve().await;
    assert_eq!(cost(&cockpit, "kept").await, (json!(3.0), version));

    // Whoever wants none is back at the program's own.
    set(&cockpit, idle, "the configuration was saved").await;
    assert_eq!(cost(&cockpit, "none").await, (Value::Null, Value::Null));
}
