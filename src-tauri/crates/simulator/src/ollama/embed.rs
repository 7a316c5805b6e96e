//! `/api/embed`, and `/api/embeddings` as it was before.

use std::time::Instant;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;

use super::models::KeepAlive;
use super::{Server, nanoseconds, said};
use crate::dialect::{Dialect, Refusal};
use crate::words;

#[derive(Deserialize)]
struct Embed {
    #[serde(default)]
    model: String,
    #[serde(default)]
    input: Input,
    #[serde(default)]
    prompt: String,
    dimensions: Option<usize>,
    keep_alive: Option<KeepAlive>,
}

#[derive(Deserialize, Default)]
#[serde(untagged)]
enum Input {
    One(String),
    Many(Vec<String>),
    #[default]
    None,
}

pub(super) async fn embed(State(server): State<Server>, body: Bytes) -> Response {
    said(embedded(&server, &body).await)
}

async fn embedded(server: &Server, body: &Bytes) -> Result<Response, Refusal> {
    let asked: Embed = Dialect::Ollama.read(body)?;
    let file = server.wanted(&asked.model)?;
    let began = Instant::now();
    let keep = asked.keep_alive.unwrap_or(server.options.keep_alive);
    let load = server.load(&file, keep).await;
    let texts = match asked.input {
        Input::One(text) => vec![text],
        Input::Many(texts) => texts,
        Input::None => vec![],
    };
    let length = asked.dimensions.unwrap_or(file.embedding_length);
    let embeddings: Vec<Vec<f32>> = texts
        .iter()
        .map(|text| server.mind.embed(text, length))
        .collect();
    server.leave(&file, keep);
    let tokens: u64 = texts.iter().map(|text| words::count(text)).sum();
    Ok(Json(json!({
        "model": asked.model,
        "embeddings": embeddings,
        "total_duration": nanoseconds(began.elapsed()),
        "load_duration": nanoseconds(load),
        "prompt_eval_count": tokens,
    }))
    .into_response())
}

pub(super) async fn embeddings(State(server): State<Server>, body: Bytes) -> Response {
    said(embedded_one(&server, &body).await)
}

async fn embedded_one(server: &Server, body: &Bytes) -> Result<Response, Refusal> {
    let asked: Embed = Dialect::Ollama.read(body)?;
    let file = server.wanted(&asked.model)?;
    let keep = asked.keep_alive.unwrap_or(server.options.keep_alive);
    server.load(&file, keep).await;
    server.leave(&file, keep);
    let embedding = if asked.prompt.is_empty() {
        vec![]
    } else {
        server.mind.embed(&asked.prompt, file.embedding_length)
    };
    Ok(Json(json!({ "embedding": embedding })).into_response())
}
