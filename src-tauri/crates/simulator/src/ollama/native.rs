//! Ollama's own API: `/api/*`.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use cockpit_model::Timestamp;
use rand::Rng;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;

use super::models::{KeepAlive, ModelFile};
use super::{Answer, Server, no_such_model, refuse};
use crate::words;

pub(super) async fn tags(State(server): State<Server>) -> Json<Value> {
    let models: Vec<Value> = server
        .files
        .iter()
        .map(|file| {
            json!({
                "name": file.name,
                "model": file.name,
                "modified_at": "2025-06-01T09:30:00.000000000Z",
                "size": file.size,
                "digest": file.digest,
                "details": file.details(),
            })
        })
        .collect();
    Json(json!({ "models": models }))
}

pub(super) async fn ps(State(server): State<Server>) -> Json<Value> {
    let loaded = server.with_memory(|memory| memory.loaded(Timestamp::now()));
    let models: Vec<Value> = loaded
        .iter()
        .filter_map(|(name, until)| {
            let file = server.file(name)?;
            Some(json!({
                "name": name,
                "model": name,
                "size": file.resident(),
                "digest": file.digest,
                "details": file.details(),
                "expires_at": until.to_string(),
                "size_vram": file.resident(),
                "context_length": file.context_length,
            }))
        })
        .collect();
    Json(json!({ "models": models }))
}

#[derive(Deserialize)]
pub(super) struct Show {
    #[serde(alias = "name")]
    model: String,
}

pub(super) async fn show(State(server): State<Server>, Json(asked): Json<Show>) -> Response {
    let Some(file) = server.file(&asked.model) else {
        return refuse(StatusCode::NOT_FOUND, &no_such_model(&asked.model));
    };
    Json(json!({
        "modelfile": format!("FROM {}\n", file.name),
        "parameters": "stop \"<|eot_id|>\"",
        "template": "{{ .Prompt }}",
        "details": file.details(),
        "model_info": { "general.architecture": file.family },
        "capabilities": ["completion"],
    }))
    .into_response()
}

/// What `/api/generate` and `/api/chat` have in common. Unknown fields are none of our business.
#[derive(Deserialize)]
pub(super) struct Ask {
    model: String,
    #[serde(default)]
    prompt: String,
    #[serde(default)]
    messages: Vec<Value>,
    stream: Option<bool>,
    keep_alive: Option<KeepAlive>,
    #[serde(default)]
    options: AskOptions,
}

#[derive(Deserialize, Default)]
struct AskOptions {
    num_predict: Option<i64>,
}

/// Where the text goes in a chunk.
#[derive(Clone, Copy)]
enum Shape {
    Generate,
    Chat,
}

impl Shape {
    fn put(self, chunk: &mut Value, text: &str) {
        match self {
            Self::Generate => chunk["response"] = json!(text),
            Self::Chat => chunk["message"] = json!({ "role": "assistant", "content": text }),
        }
    }
}

pub(super) async fn generate(State(server): State<Server>, Json(ask): Json<Ask>) -> Response {
    let prompt = ask.prompt.clone();
    respond(server, ask, Shape::Generate, prompt).await
}

pub(super) async fn chat(State(server): State<Server>, Json(ask): Json<Ask>) -> Response {
    let prompt = prompt_of(&ask.messages);
    respond(server, ask, Shape::Chat, prompt).await
}

/// The text of all messages.
pub(super) fn prompt_of(messages: &[Value]) -> String {
    let texts: Vec<&str> = messages
        .iter()
        .filter_map(|message| message.get("content")?.as_str())
        .collect();
    texts.join("\n")
}

async fn respond(server: Server, ask: Ask, shape: Shape, prompt: String) -> Response {
    let Some(file) = server.file(&ask.model).cloned() else {
        return refuse(StatusCode::NOT_FOUND, &no_such_model(&ask.model));
    };
    let keep = ask.keep_alive.unwrap_or(server.options.keep_alive);
    if prompt.is_empty() && ask.messages.is_empty() {
        return load_or_unload(&server, &file, &ask.model, shape, keep).await;
    }
    let limit = ask.options.num_predict.and_then(|n| u64::try_from(n).ok());
    let answer = server.answer(&file.name, &prompt, limit);
    if ask.stream.unwrap_or(true) {
        let (lines, received) = mpsc::channel(16);
        tokio::spawn(write(server, file, ask.model, shape, keep, answer, lines));
        let body = Body::from_stream(ReceiverStream::new(received).map(Ok::<_, Infallible>));
        return ([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response();
    }
    let (lines, mut received) = mpsc::channel(16);
    let text = answer.tokens.concat();
    tokio::spawn(write(server, file, ask.model, shape, keep, answer, lines));
    let mut last = Bytes::new();
    while let Some(line) = received.recv().await {
        last = line;
    }
    let mut whole: Value = serde_json::from_slice(&last).unwrap_or_default();
    shape.put(&mut whole, &text);
    Json(whole).into_response()
}

/// A request without a prompt only moves the model in or out of memory.
async fn load_or_unload(
    server: &Server,
    file: &ModelFile,
    asked: &str,
    shape: Shape,
    keep: KeepAlive,
) -> Response {
    let reason = if keep.is_zero() {
        server.unload(file);
        "unload"
    } else {
        server.load(file, keep).await;
        "load"
    };
    let mut answer = json!({
        "model": asked,
        "created_at": Timestamp::now().to_string(),
        "done": true,
        "done_reason": reason,
    });
    shape.put(&mut answer, "");
    Json(answer).into_response()
}

/// Loads, reads, writes token by token, and closes with the timings. A client that left ends it.
async fn write(
    server: Server,
    file: ModelFile,
    asked: String,
    shape: Shape,
    keep: KeepAlive,
    answer: Answer,
    lines: mpsc::Sender<Bytes>,
) {
    let began = Instant::now();
    let load = server.load(&file, keep).await;
    sleep(answer.reading).await;
    let writing = Instant::now();
    let mut gone = false;
    for token in &answer.tokens {
        sleep(answer.pace).await;
        let mut chunk = json!({
            "model": asked,
            "created_at": Timestamp::now().to_string(),
            "done": false,
        });
        shape.put(&mut chunk, token);
        if lines.send(line(&chunk)).await.is_err() {
            gone = true;
            break;
        }
    }
    // The time in memory counts from the end of the answer.
    if keep.is_zero() {
        server.unload(&file);
    } else {
        server.with_memory(|memory| memory.touch(&file.name, keep, Timestamp::now()));
    }
    if gone {
        return;
    }
    let mut last = json!({
        "model": asked,
        "created_at": Timestamp::now().to_string(),
        "done": true,
        "done_reason": answer.done_reason(),
        "total_duration": nanoseconds(began.elapsed()),
        "load_duration": nanoseconds(load),
        "prompt_eval_count": answer.prompt_tokens,
        "prompt_eval_duration": nanoseconds(answer.reading),
        "eval_count": answer.tokens.len(),
        "eval_duration": nanoseconds(writing.elapsed()),
    });
    shape.put(&mut last, "");
    let _ = lines.send(line(&last)).await;
}

fn line(value: &Value) -> Bytes {
    Bytes::from(format!("{value}\n"))
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[derive(Deserialize)]
pub(super) struct Embed {
    model: String,
    input: Input,
    keep_alive: Option<KeepAlive>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Input {
    One(String),
    Many(Vec<String>),
}

pub(super) async fn embed(State(server): State<Server>, Json(asked): Json<Embed>) -> Response {
    let Some(file) = server.file(&asked.model).cloned() else {
        return refuse(StatusCode::NOT_FOUND, &no_such_model(&asked.model));
    };
    let began = Instant::now();
    let keep = asked.keep_alive.unwrap_or(server.options.keep_alive);
    let load = server.load(&file, keep).await;
    let texts = match asked.input {
        Input::One(text) => vec![text],
        Input::Many(texts) => texts,
    };
    let embeddings: Vec<Vec<f32>> = texts
        .iter()
        .map(|text| {
            let mut rng = words::rng(server.options.common.seed, text);
            unit(
                (0..file.embedding_length)
                    .map(|_| rng.random_range(-1.0..1.0))
                    .collect(),
            )
        })
        .collect();
    if keep.is_zero() {
        server.unload(&file);
    }
    Json(json!({
        "model": asked.model,
        "embeddings": embeddings,
        "total_duration": nanoseconds(began.elapsed()),
        "load_duration": nanoseconds(load),
        "prompt_eval_count": texts.iter().map(|text| words::count(text)).sum::<u64>(),
    }))
    .into_response()
}

/// Scaled to length 1, as Ollama answers them.
fn unit(vector: Vec<f32>) -> Vec<f32> {
    let length = vector
        .iter()
        .map(|x| x * x)
        .sum::<f32>()
        .sqrt()
        .max(f32::EPSILON);
    vector.iter().map(|x| x / length).collect()
}
