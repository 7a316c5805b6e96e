//! `/v1/embeddings`

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

use super::request::Texts;
use super::{body, find, invalid, missing};
use crate::backend::Backend;
use crate::dialect::Refusal;
use crate::words;

#[derive(Deserialize)]
struct Ask {
    #[serde(default)]
    model: String,
    input: Option<Texts>,
    encoding_format: Option<String>,
    dimensions: Option<usize>,
}

pub(super) async fn embeddings(State(backend): State<Backend>, asked: Bytes) -> Response {
    match answer(&backend, &asked).await {
        Ok(answer) => answer,
        Err(refusal) => *refusal,
    }
}

async fn answer(backend: &Backend, asked: &Bytes) -> Result<Response, Refusal> {
    let ask: Ask = body(asked)?;
    let model = find(backend, &ask.model)?;
    let texts = ask.input.ok_or_else(|| missing("input"))?.list();
    if texts.is_empty() {
        return Err(invalid("'$.input' is invalid.", "input"));
    }
    backend.load(&model).await;
    let length = ask.dimensions.unwrap_or(model.embedding_length);
    // The official clients ask for base64 unless told otherwise.
    let packed = ask.encoding_format.as_deref() == Some("base64");
    let data = texts.iter().enumerate().map(|(index, text)| {
        let vector = backend.mind.embed(text, length);
        let embedding: Value = if packed {
            let bytes: Vec<u8> = vector.iter().flat_map(|x| x.to_le_bytes()).collect();
            STANDARD.encode(bytes).into()
        } else {
            json!(vector)
        };
        json!({ "object": "embedding", "index": index, "embedding": embedding })
    });
    let data: Vec<Value> = data.collect();
    let tokens: u64 = texts.iter().map(|text| words::count(text).max(1)).sum();
    Ok(Json(json!({
        "object": "list",
        "data": data,
        "model": model.name,
        "usage": { "prompt_tokens": tokens, "total_tokens": tokens },
    }))
    .into_response())
}
