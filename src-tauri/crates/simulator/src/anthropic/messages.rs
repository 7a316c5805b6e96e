//! `/v1/messages`: a message of blocks, and how many tokens it took.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::find;
use super::request::Ask;
use crate::backend::{Backend, Model};
use crate::dialect::Refusal;
use crate::json::put;
use crate::mind::{Answer, Cached, End, Question};
use crate::streaming::events;

pub(super) async fn messages(State(backend): State<Backend>, asked: Bytes) -> Response {
    match answer(backend, &asked).await {
        Ok(answer) => answer,
        Err(refusal) => *refusal,
    }
}

pub(super) async fn count_tokens(State(backend): State<Backend>, asked: Bytes) -> Response {
    let counted = Ask::read(&asked).and_then(|ask| {
        find(&backend, &ask.model)?;
        Ok(Json(json!({ "input_tokens": ask.reading().tokens() })))
    });
    match counted {
        Ok(counted) => counted.into_response(),
        Err(refusal) => *refusal,
    }
}

async fn answer(backend: Backend, asked: &Bytes) -> Result<Response, Refusal> {
    let ask = Ask::read(asked)?;
    let model = find(&backend, &ask.model)?;
    let limit = ask.limit()?;
    let marks = ask.marks();
    let cached = backend
        .mind
        .with_cache(|cache| cache.marked(&model.name, &marks));
    let tools = ask.tools();
    let stream = ask.stream;
    let answer = backend.mind.answer(&Question {
        model: &model.name,
        reading: ask.reading(),
        limit: Some(limit),
        choice: ask.choice(&tools),
        tools,
        think: ask.thinks(),
        stop: ask.stop_sequences,
        ..Question::default()
    });
    let message = Message {
        id: backend.mind.id("msg_"),
        call: backend.mind.id("toolu_"),
        answer,
        cached,
        model,
        backend,
    };
    if stream {
        return Ok(events(|pieces| message.stream(pieces)));
    }
    message.backend.load(&message.model).await;
    message.answer.all().await;
    Ok(Json(message.whole()).into_response())
}

/// A message being written.
pub(super) struct Message {
    id: String,
    call: String,
    pub(super) answer: Answer,
    cached: Cached,
    pub(super) model: Model,
    pub(super) backend: Backend,
}

/// What vouches for a thought.
pub(super) const SIGNATURE: &str = "EqQBCgIYAhIkMGIxM2ZhZGUtc2ltdWxhdG9y";

impl Message {
    /// What both sides had so far. What came out of the cache or went into it is not in
    /// `input_tokens`.
    pub(super) fn usage(&self, written: u64) -> Value {
        let Cached {
            read,
            written_5m,
            written_1h,
        } = self.cached;
        let created = written_5m + written_1h;
        let fresh = self.answer.prompt_tokens.saturating_sub(read + created);
        if !self.backend.is_vendor() {
            return json!({ "input_tokens": self.answer.prompt_tokens, "output_tokens": written });
        }
        json!({
            "input_tokens": fresh,
            "cache_creation_input_tokens": created,
            "cache_read_input_tokens": read,
            "cache_creation": {
                "ephemeral_5m_input_tokens": written_5m,
                "ephemeral_1h_input_tokens": written_1h,
            },
            "output_tokens": written,
            "service_tier": "standard",
        })
    }

    /// As it begins: no blocks, no end.
    pub(super) fn begun(&self) -> Value {
        json!({
            "id": self.id,
            "type": "message",
            "role": "assistant",
            "model": self.model.name,
            "content": [],
            "stop_reason": null,
            "stop_sequence": null,
            "usage": self.usage(1),
        })
    }

    /// The call of a tool, with its input or as it begins.
    pub(super) fn tool_use(&self, name: &str, input: &Value) -> Value {
        json!({ "type": "tool_use", "id": self.call, "name": name, "input": input })
    }

    /// Why it ended, and at which sequence.
    pub(super) fn stop(&self) -> (&'static str, Option<&str>) {
        match &self.answer.end {
            End::Done => ("end_turn", None),
            End::Limit => ("max_tokens", None),
            End::Sequence(sequence) => ("stop_sequence", Some(sequence)),
            End::Calls => ("tool_use", None),
        }
    }

    fn whole(&self) -> Value {
        let mut content = Vec::new();
        if !self.answer.thoughts.is_empty() {
            let thinking = self.answer.thoughts.concat();
            content.push(json!({
                "type": "thinking", "thinking": thinking, "signature": SIGNATURE
            }));
        }
        if !self.answer.tokens.is_empty() {
            content.push(json!({ "type": "text", "text": self.answer.tokens.concat() }));
        }
        for call in &self.answer.calls {
            content.push(self.tool_use(&call.name, &call.arguments));
        }
        let (reason, sequence) = self.stop();
        let mut message = self.begun();
        put(&mut message, "content", content);
        put(&mut message, "stop_reason", json!(reason));
        put(&mut message, "stop_sequence", json!(sequence));
        put(&mut message, "usage", self.usage(self.answer.written()));
        message
    }
}
