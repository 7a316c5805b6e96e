//! The OpenAI-compatible half: `/v1/models` and `/v1/chat/completions`.

use std::convert::Infallible;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use cockpit_model::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;

use super::models::ModelFile;
use super::native::prompt_of;
use super::{Answer, Server, no_such_model};
use crate::words;

pub(super) async fn models(State(server): State<Server>) -> Json<Value> {
    let data: Vec<Value> = server
        .files
        .iter()
        .map(|file| {
            json!({
                "id": file.name,
                "object": "model",
                "created": 1_748_770_200,
                "owned_by": "library",
            })
        })
        .collect();
    Json(json!({ "object": "list", "data": data }))
}

#[derive(Deserialize)]
pub(super) struct Completion {
    model: String,
    #[serde(default)]
    messages: Vec<Value>,
    #[serde(default)]
    stream: bool,
    #[serde(default)]
    stream_options: StreamOptions,
    #[serde(alias = "max_completion_tokens")]
    max_tokens: Option<u64>,
}

#[derive(Deserialize, Default)]
struct StreamOptions {
    #[serde(default)]
    include_usage: bool,
}

pub(super) async fn chat_completions(
    State(server): State<Server>,
    Json(asked): Json<Completion>,
) -> Response {
    let Some(file) = server.file(&asked.model).cloned() else {
        return refuse(
            StatusCode::NOT_FOUND,
            "not_found_error",
            &no_such_model(&asked.model),
        );
    };
    if asked.messages.is_empty() {
        return refuse(
            StatusCode::BAD_REQUEST,
            "invalid_request_error",
            "[] is too short - 'messages'",
        );
    }
    let prompt = prompt_of(&asked.messages);
    let answer = server.answer(&file.name, &prompt, asked.max_tokens);
    let number = words::count(&prompt) + answer.tokens.len() as u64;
    let completion = Writing {
        id: format!("chatcmpl-{number}"),
        created: Timestamp::now().as_second(),
        model: asked.model,
        include_usage: asked.stream_options.include_usage,
        answer,
        file,
        server,
    };
    if asked.stream {
        let (chunks, received) = mpsc::channel(16);
        tokio::spawn(completion.stream(chunks));
        let body = Body::from_stream(ReceiverStream::new(received).map(Ok::<_, Infallible>));
        return ([(header::CONTENT_TYPE, "text/event-stream")], body).into_response();
    }
    completion.whole().await
}

/// A completion being written.
struct Writing {
    id: String,
    created: i64,
    model: String,
    include_usage: bool,
    answer: Answer,
    file: ModelFile,
    server: Server,
}

impl Writing {
    fn usage(&self) -> Value {
        let completion = self.answer.tokens.len() as u64;
        json!({
            "prompt_tokens": self.answer.prompt_tokens,
            "completion_tokens": completion,
            "total_tokens": self.answer.prompt_tokens + completion,
        })
    }

    async fn whole(self) -> Response {
        let keep = self.server.options.keep_alive;
        self.server.load(&self.file, keep).await;
        sleep(self.answer.reading).await;
        let tokens = u32::try_from(self.answer.tokens.len()).unwrap_or(u32::MAX);
        sleep(self.answer.pace * tokens).await;
        Json(json!({
            "id": self.id,
            "object": "chat.completion",
            "created": self.created,
            "model": self.model,
            "system_fingerprint": "fp_ollama",
            "choices": [{
                "index": 0,
                "message": { "role": "assistant", "content": self.answer.tokens.concat() },
                "finish_reason": self.answer.done_reason(),
            }],
            "usage": self.usage(),
        }))
        .into_response()
    }

    async fn stream(self, chunks: mpsc::Sender<Bytes>) {
        let keep = self.server.options.keep_alive;
        self.server.load(&self.file, keep).await;
        sleep(self.answer.reading).await;
        for token in &self.answer.tokens {
            sleep(self.answer.pace).await;
            let delta = json!({ "role": "assistant", "content": token });
            if chunks.send(event(&self.chunk(&delta, None))).await.is_err() {
                return;
            }
        }
        let mut closing = vec![self.chunk(&json!({}), Some(self.answer.done_reason()))];
        if self.include_usage {
            let mut last = self.chunk(&json!({}), None);
            if let Some(last) = last.as_object_mut() {
                last.insert("choices".to_owned(), json!([]));
                last.insert("usage".to_owned(), self.usage());
            }
            closing.push(last);
        }
        for chunk in &closing {
            let _ = chunks.send(event(chunk)).await;
        }
        let _ = chunks.send(Bytes::from_static(b"data: [DONE]\n\n")).await;
    }

    fn chunk(&self, delta: &Value, finish_reason: Option<&str>) -> Value {
        json!({
            "id": self.id,
            "object": "chat.completion.chunk",
            "created": self.created,
            "model": self.model,
            "system_fingerprint": "fp_ollama",
            "choices": [{ "index": 0, "delta": delta, "finish_reason": finish_reason }],
        })
    }
}

fn event(chunk: &Value) -> Bytes {
    Bytes::from(format!("data: {chunk}\n\n"))
}

fn refuse(status: StatusCode, kind: &str, message: &str) -> Response {
    let error = json!({ "message": message, "type": kind, "param": null, "code": null });
    (status, Json(json!({ "error": error }))).into_response()
}
