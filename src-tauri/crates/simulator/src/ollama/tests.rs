//! The API as a client sees it, over a real socket.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests"
)]

use clap::Parser;
use tokio::net::TcpListener;

use super::*;
use crate::client::{post_json, request};
use crate::serving::serve_on;
use serde_json::Value;

#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    options: Options,
}

/// A double that loads and writes as fast as it can; answers its port.
async fn double() -> u16 {
    let flags = "double --port 0 --load-time 1ms --tokens-per-second 5000";
    let options = Flags::parse_from(flags.split(' ')).options;
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let board = Board::start(&options.common);
    let routes = routes(Server::new(options), &board);
    tokio::spawn(serve_on(listener, "ollama", routes, board));
    port
}

async fn get_json(port: u16, path: &str) -> Value {
    let (status, body) = request(port, "GET", path, None).await.unwrap();
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).unwrap()
}

#[tokio::test]
async fn a_stream_ends_with_its_timings_and_leaves_the_model_in_memory() {
    let port = double().await;
    assert_eq!(get_json(port, "/api/ps").await["models"], json!([]));
    let ask = json!({ "model": "llama3.2", "messages": [{ "role": "user", "content": "why?" }] });
    let (status, body) = request(port, "POST", "/api/chat", Some(&ask))
        .await
        .unwrap();
    assert_eq!(status, 200);
    let lines: Vec<Value> = body
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    let (last, chunks) = lines.split_last().unwrap();
    assert!(chunks.iter().all(|chunk| chunk["done"] == false));
    assert!(!chunks[0]["message"]["content"].as_str().unwrap().is_empty());
    assert_eq!(last["done"], true);
    assert_eq!(last["done_reason"], "stop");
    assert_eq!(last["eval_count"], chunks.len());
    let total = last["total_duration"].as_u64().unwrap();
    assert!(
        total
            >= last["load_duration"].as_u64().unwrap()
                + last["prompt_eval_duration"].as_u64().unwrap()
    );

    let ps = get_json(port, "/api/ps").await;
    let model = &ps["models"][0];
    assert_eq!(model["name"], "llama3.2:latest");
    assert!(model["size_vram"].as_u64().unwrap() > 2_000_000_000);
    assert_eq!(model["context_length"], 4096);
    let until: Timestamp = model["expires_at"].as_str().unwrap().parse().unwrap();
    assert!(until > Timestamp::now());
}

#[tokio::test]
async fn a_request_without_a_prompt_loads_and_keep_alive_zero_unloads() {
    let port = double().await;
    let load = json!({ "model": "llama3.2", "keep_alive": -1 });
    assert_eq!(
        post_json(port, "/api/generate", &load).await.unwrap()["done_reason"],
        "load"
    );
    assert_eq!(
        get_json(port, "/api/ps").await["models"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    let unload = json!({ "model": "llama3.2", "keep_alive": 0 });
    assert_eq!(
        post_json(port, "/api/generate", &unload).await.unwrap()["done_reason"],
        "unload"
    );
    assert_eq!(get_json(port, "/api/ps").await["models"], json!([]));
}

#[tokio::test]
async fn the_same_question_gets_the_same_answer_whole_or_streamed() {
    let port = double().await;
    let ask = json!({ "model": "llama3.2", "prompt": "why?", "stream": false });
    let whole = post_json(port, "/api/generate", &ask).await.unwrap();
    let ask = json!({ "model": "llama3.2", "prompt": "why?" });
    let (_, streamed) = request(port, "POST", "/api/generate", Some(&ask))
        .await
        .unwrap();
    let text: String = streamed
        .lines()
        .map(|line| {
            serde_json::from_str::<Value>(line).unwrap()["response"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    assert_eq!(whole["response"], text);
    assert_eq!(whole["done"], true);
}

#[tokio::test]
async fn a_model_it_does_not_have_is_refused_in_each_protocol() {
    let port = double().await;
    let ask =
        json!({ "model": "x", "prompt": "why?", "messages": [{ "role": "user", "content": "?" }] });
    let (status, body) = request(port, "POST", "/api/generate", Some(&ask))
        .await
        .unwrap();
    assert_eq!(
        (status, body.as_str()),
        (404, r#"{"error":"model 'x' not found"}"#)
    );
    let (status, body) = request(port, "POST", "/v1/chat/completions", Some(&ask))
        .await
        .unwrap();
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(status, 404);
    assert_eq!(body["error"]["message"], "model 'x' not found");
}

#[tokio::test]
async fn an_openai_stream_carries_usage_only_when_asked() {
    let port = double().await;
    let mut ask = json!({ "model": "llama3.2", "stream": true, "messages": [{ "role": "user", "content": "why?" }] });
    let (_, body) = request(port, "POST", "/v1/chat/completions", Some(&ask))
        .await
        .unwrap();
    assert!(body.trim_end().ends_with("data: [DONE]"));
    assert!(!body.contains("\"usage\""));
    ask["stream_options"] = json!({ "include_usage": true });
    let (_, body) = request(port, "POST", "/v1/chat/completions", Some(&ask))
        .await
        .unwrap();
    assert!(body.contains("\"usage\""));
    ask["stream"] = json!(false);
    let whole = post_json(port, "/v1/chat/completions", &ask).await.unwrap();
    let usage = &whole["usage"];
    assert_eq!(
        usage["total_tokens"].as_u64().unwrap(),
        usage["prompt_tokens"].as_u64().unwrap() + usage["completion_tokens"].as_u64().unwrap()
    );
}

#[tokio::test]
async fn embeddings_are_of_length_one() {
    let port = double().await;
    let ask = json!({ "model": "nomic-embed-text", "input": ["a", "b"] });
    let answer = post_json(port, "/api/embed", &ask).await.unwrap();
    let vectors = answer["embeddings"].as_array().unwrap();
    assert_eq!(vectors.len(), 2);
    let length: f64 = vectors[0]
        .as_array()
        .unwrap()
        .iter()
        .map(|x| x.as_f64().unwrap().powi(2))
        .sum();
    assert!((length - 1.0).abs() < 1e-3);
    assert_ne!(vectors[0], vectors[1]);
}

#[tokio::test]
async fn a_fault_breaks_it_and_taking_it_back_mends_it() {
    let port = double().await;
    let order = json!({ "kind": "error" });
    let (status, _) = request(port, "POST", "/_fault", Some(&order))
        .await
        .unwrap();
    assert_eq!(status, 202);
    assert_eq!(
        request(port, "GET", "/api/version", None).await.unwrap().0,
        500
    );
    assert_eq!(get_json(port, "/_fault").await[0]["kind"], "error");
    assert_eq!(
        request(port, "DELETE", "/_fault", None).await.unwrap().0,
        204
    );
    assert_eq!(
        request(port, "GET", "/api/version", None).await.unwrap().0,
        200
    );
    let wrong = json!({ "kind": "gremlins" });
    assert_eq!(
        request(port, "POST", "/_fault", Some(&wrong))
            .await
            .unwrap()
            .0,
        422
    );
}
