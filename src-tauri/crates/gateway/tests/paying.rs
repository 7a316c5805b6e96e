//! Whoever worked is paid, whatever came of it: the right sum in the record, and in the budget.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod common;

use std::net::SocketAddr;
use std::time::Duration;

use cockpit_model::traffic::{Budget, PriceSpec, ProviderKind, ProviderSpec, TrafficSpec};
use cockpit_model::{Call, Outcome, Usd};
use common::*;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const CHAT: &str = "/v1/chat/completions";

/// A vendor that answers every request alike; without an answer, it takes requests and is silent.
async fn vendor(answer: Option<Value>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(serve(stream, answer.clone()));
        }
    });
    address
}

async fn serve(mut stream: TcpStream, answer: Option<Value>) {
    let mut asked = Vec::new();
    // Every request here ends in its body's closing brace; a look at the models ends with its head.
    while !asked.ends_with(b"}") {
        if asked.ends_with(b"\r\n\r\n") && asked.starts_with(b"GET")
            || stream.read_buf(&mut asked).await.unwrap_or(0) == 0
        {
            return;
        }
    }
    let Some(body) = answer.map(|answer| answer.to_string()) else {
        // Until the other side goes.
        let _ = stream.read(&mut [0; 64]).await;
        return;
    };
    let length = body.len();
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close";
    let text = format!("{head}\r\ncontent-length: {length}\r\n\r\n{body}");
    let _ = stream.write_all(text.as_bytes()).await;
}

fn said(text: &str, input: u64, output: u64) -> Value {
    json!({
        "object": "chat.completion", "model": "m",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}],
        "usage": {"prompt_tokens": input, "completion_tokens": output},
    })
}

/// It takes a dollar for a million tokens of input, two for output.
fn paid(name: &str, address: SocketAddr) -> ProviderSpec {
    let mut one = provider(name, ProviderKind::OpenAi, format!("http://{address}/v1"));
    let price = PriceSpec {
        input: Usd::from_dollars(1.0).unwrap(),
        output: Usd::from_dollars(2.0).unwrap(),
        cached_input: None,
    };
    one.prices.insert("m".to_owned(), price);
    one
}

fn cost(input: i64, output: i64) -> Usd {
    Usd::from_pico(1_000_000 * (input + 2 * output))
}

fn budgeted(providers: Vec<ProviderSpec>, targets: &[&str]) -> TrafficSpec {
    let mut traffic = spec(providers, vec![route("chain", targets)]);
    traffic.budget = Budget {
        daily: Usd::from_dollars(10.0),
        monthly: None,
    };
    traffic
}

/// What is spent of the budget, with nothing set aside any more.
fn spent(rig: &Rig) -> Usd {
    let budget = &rig.gateway.view().budgets[0];
    assert_eq!(budget.reserved_usd, Usd::ZERO);
    budget.spent_usd
}

/// Asks for JSON, which a plain text is not.
async fn ask(rig: &Rig) -> (u16, Call) {
    let mut request = chat("chain");
    request["response_format"] = json!({"type": "json_object"});
    request["max_tokens"] = json!(100);
    let answer = rig.post(CHAT, &request).await;
    let status = answer.status().as_u16();
    answer.bytes().await.unwrap();
    (status, rig.call().await)
}

#[tokio::test]
async fn an_answer_that_is_no_good_is_paid_for() {
    let chatty = vendor(Some(said("Sure!", 100, 50))).await;
    let rig = Rig::new(budgeted(vec![paid("chatty", chatty)], &["chatty/m"])).await;
    let (status, call) = ask(&rig).await;
    assert_eq!(status, 200, "what the provider says is handed on");
    assert_eq!(call.error.as_deref(), Some("provider_schema_mismatch"));
    assert_eq!(
        (call.input_tokens, call.output_tokens),
        (Some(100), Some(50))
    );
    assert_eq!(call.cost_usd, Some(cost(100, 50)));
    assert_eq!(call.finish_reason.as_deref(), Some("stop"));
    assert_eq!(spent(&rig), cost(100, 50));
}

#[tokio::test]
async fn a_fallback_does_not_make_the_first_answer_free() {
    let chatty = vendor(Some(said("Sure!", 100, 50))).await;
    let exact = vendor(Some(said("{}", 10, 5))).await;
    let providers = vec![paid("chatty", chatty), paid("exact", exact)];
    let rig = Rig::new(budgeted(providers, &["chatty/m", "exact/m"])).await;
    let (status, call) = ask(&rig).await;
    assert_eq!((status, call.outcome), (200, Outcome::Ok));
    assert_eq!((call.target.as_str(), call.attempts), ("exact/m", 2));
    assert_eq!(
        (call.input_tokens, call.output_tokens),
        (Some(110), Some(55))
    );
    assert_eq!(call.cost_usd, Some(cost(110, 55)));
    assert_eq!(call.price_version.as_deref(), Some("own"));
    assert_eq!(spent(&rig), cost(110, 55));
}

#[tokio::test]
async fn whoever_did_not_answer_in_time_is_paid_what_was_expected() {
    let silent = vendor(None).await;
    let exact = vendor(Some(said("{}", 10, 5))).await;
    let mut slow = paid("slow", silent);
    slow.timeout = Duration::from_millis(200);
    let alone = Rig::new(budgeted(vec![slow.clone()], &["slow/m"])).await;
    let (status, call) = ask(&alone).await;
    assert_eq!(status, 504);
    assert_eq!(
        (call.input_tokens, call.output_tokens),
        (None, None),
        "it did not tell"
    );
    let expected = call.cost_usd.unwrap();
    assert!(expected > cost(0, 100), "{expected:?}");
    assert_eq!(call.price_version.as_deref(), Some("own+estimated"));
    assert_eq!(spent(&alone), expected);

    let providers = vec![slow, paid("exact", exact)];
    let rig = Rig::new(budgeted(providers, &["slow/m", "exact/m"])).await;
    let (status, call) = ask(&rig).await;
    assert_eq!((status, call.target.as_str()), (200, "exact/m"));
    assert_eq!(
        (call.input_tokens, call.output_tokens),
        (Some(10), Some(5)),
        "what was told"
    );
    assert_eq!(call.cost_usd, Some(expected + cost(10, 5)));
    assert_eq!(call.price_version.as_deref(), Some("own+estimated"));
    assert_eq!(spent(&rig), expected + cost(10, 5));
}

#[tokio::test]
async fn whoever_could_not_work_is_paid_nothing() {
    let failing = double("openai", &[]).await;
    let mut one = paid("failing", failing);
    let price = one.prices["m"];
    one.prices.insert("m!500".to_owned(), price);
    let rig = Rig::new(budgeted(vec![one], &["failing/m!500"])).await;
    let (status, call) = ask(&rig).await;
    assert_eq!((status, call.attempts), (500, 3));
    assert_eq!((call.input_tokens, call.cost_usd), (None, None));
    assert_eq!(spent(&rig), Usd::ZERO);
}

#[tokio::test]
async fn what_is_written_to_a_cache_is_told_however_long_it_stays_there() {
    let writing = vendor(Some(json!({
        "type": "message", "model": "m", "stop_reason": "end_turn",
        "content": [{"type": "text", "text": "hi"}],
        "usage": {
            "input_tokens": 10, "output_tokens": 5, "cache_read_input_tokens": 0, "cache_creation_input_tokens": 700,
            "cache_creation": {"ephemeral_5m_input_tokens": 300, "ephemeral_1h_input_tokens": 400},
        },
    })))
    .await;
    let one = provider(
        "anthropic",
        ProviderKind::Anthropic,
        format!("http://{writing}"),
    );
    let rig = Rig::new(spec(vec![one], Vec::new())).await;
    let request = json!({"model": "claude-sonnet-4-5", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}]});
    assert_eq!(rig.post("/v1/messages", &request).await.status(), 200);
    let call = rig.call().await;
    assert_eq!(
        (call.input_tokens, call.cache_write_tokens),
        (Some(710), Some(700))
    );
}

#[tokio::test]
async fn vectors_are_expected_to_have_no_output() {
    let openai = double("openai", &[]).await;
    let one = provider(
        "openai",
        ProviderKind::OpenAi,
        format!("http://{openai}/v1"),
    );
    let mut traffic = spec(vec![one], Vec::new());
    traffic.limits.user.tokens_per_minute = Some(1000);
    let rig = Rig::new(traffic).await;
    let request = json!({"model": "text-embedding-3-small", "input": "x"});
    let ada = [("x-cockpit-user", "ada")];
    let answer = rig.post_with("/v1/embeddings", &request, &ada).await;
    assert_eq!(answer.status(), 200);
    let left = header(&answer, "x-ratelimit-remaining-tokens").unwrap();
    assert!(left.parse::<u64>().unwrap() > 900, "{left}");
}
