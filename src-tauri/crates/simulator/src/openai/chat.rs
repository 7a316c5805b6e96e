//! `/v1/chat/completions`

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use cockpit_model::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::request::{StreamOptions, Texts, choice, schema, tools};
use super::{body, find, invalid, missing, usage};
use crate::backend::{Backend, Model};
use crate::dialect::Refusal;
use crate::json::put;
use crate::mind::{Answer, End, Question, Reading};
use crate::streaming::{Gone, Pieces, events};

/// Unknown fields are none of our business.
#[derive(Deserialize)]
struct Ask {
    #[serde(default)]
    model: String,
    messages: Option<Vec<Value>>,
    #[serde(default)]
    stream: bool,
    stream_options: Option<StreamOptions>,
    max_tokens: Option<u64>,
    max_completion_tokens: Option<u64>,
    stop: Option<Texts>,
    n: Option<u64>,
    #[serde(default)]
    tools: Vec<Value>,
    #[serde(default)]
    tool_choice: Value,
    #[serde(default)]
    response_format: Value,
}

pub(super) async fn completions(State(backend): State<Backend>, asked: Bytes) -> Response {
    match answer(backend, &asked).await {
        Ok(answer) => answer,
        Err(refusal) => *refusal,
    }
}

async fn answer(backend: Backend, asked: &Bytes) -> Result<Response, Refusal> {
    let ask: Ask = body(asked)?;
    let model = find(&backend, &ask.model)?;
    let Some(messages) = &ask.messages else {
        return Err(missing("messages"));
    };
    if messages.is_empty() {
        return Err(invalid("[] is too short - 'messages'", "messages"));
    }
    if backend.is_vendor() && ask.stream_options.is_some() && !ask.stream {
        return Err(invalid(
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.",
            "stream_options",
        ));
    }
    let given = tools(&ask.tools);
    let reading = Reading::of_messages(messages);
    let cached = backend
        .mind
        .with_cache(|c| c.beginning(&model.name, &reading.text));
    let stop = ask.stop.map(Texts::list).unwrap_or_default();
    let choices = (0..ask.n.unwrap_or(1).clamp(1, 16)).map(|variant| {
        backend.mind.answer(&Question {
            model: &model.name,
            reading: reading.clone(),
            limit: ask.max_completion_tokens.or(ask.max_tokens),
            stop: stop.clone(),
            choice: choice(&ask.tool_choice, &given),
            tools: given.clone(),
            schema: schema(&ask.response_format),
            think: model.thinks,
            variant,
        })
    });
    let completion = Completion {
        id: backend.mind.id("chatcmpl-"),
        created: Timestamp::now().as_second(),
        choices: choices.collect(),
        cached,
        include_usage: ask
            .stream_options
            .is_some_and(|options| options.include_usage),
        model,
        backend,
    };
    if ask.stream {
        return Ok(events(|pieces| completion.stream(pieces)));
    }
    Ok(completion.whole().await)
}

/// A completion being written.
struct Completion {
    id: String,
    created: i64,
    choices: Vec<Answer>,
    cached: u64,
    include_usage: bool,
    model: Model,
    backend: Backend,
}

impl Completion {
    fn usage(&self) -> Value {
        let prompt = self
            .choices
            .first()
            .map_or(0, |choice| choice.prompt_tokens);
        let written = self.choices.iter().map(Answer::written).sum();
        let thought: usize = self
            .choices
            .iter()
            .map(|choice| choice.thoughts.len())
            .sum();
        usage(&self.backend, prompt, self.cached, written, thought as u64)
    }

    const fn fingerprint(&self) -> &'static str {
        if matches!(self.backend.flavour, crate::backend::Flavour::Vendor) {
            "fp_50cad350e4"
        } else {
            "fp_ollama"
        }
    }

    async fn whole(self) -> Response {
        self.backend.load(&self.model).await;
        let mut choices = Vec::new();
        for (index, answer) in self.choices.iter().enumerate() {
            answer.all().await;
            let mut message = json!({
                "role": "assistant",
                "content": answer.tokens.concat(),
                "refusal": null,
                "annotations": [],
            });
            if !answer.calls.is_empty() {
                put(&mut message, "content", Value::Null);
                put(&mut message, "tool_calls", self.calls(answer, false));
            }
            choices.push(json!({
                "index": index,
                "message": message,
                "logprobs": null,
                "finish_reason": finish_reason(answer),
            }));
        }
        Json(json!({
            "id": self.id,
            "object": "chat.completion",
            "created": self.created,
            "model": self.model.name,
            "choices": choices,
            "usage": self.usage(),
            "service_tier": "default",
            "system_fingerprint": self.fingerprint(),
        }))
        .into_response()
    }

    /// The calls with their arguments; `open`, as a stream begins them, without.
    fn calls(&self, answer: &Answer, open: bool) -> Vec<Value> {
        let calls = answer.calls.iter().enumerate().map(|(index, call)| {
            let arguments = if open {
                String::new()
            } else {
                call.arguments.to_string()
            };
            let mut made = json!({
                "id": self.backend.mind.id("call_"),
                "type": "function",
                "function": { "name": call.name, "arguments": arguments },
            });
            if open {
                put(&mut made, "index", json!(index));
            }
            made
        });
        calls.collect()
    }

    async fn stream(self, pieces: Pieces) -> Result<(), Gone> {
        self.backend.load(&self.model).await;
        for (index, answer) in self.choices.iter().enumerate() {
            answer.read().await;
            let first = json!({ "role": "assistant", "content": "", "refusal": null });
            pieces.data(&self.chunk(index, &first, None)).await?;
            for token in &answer.tokens {
                answer.next().await;
                let delta = json!({ "content": token });
                pieces.data(&self.chunk(index, &delta, None)).await?;
            }
            if !answer.calls.is_empty() {
                let delta = json!({ "tool_calls": self.calls(answer, true) });
                pieces.data(&self.chunk(index, &delta, None)).await?;
            }
            for (number, call) in answer.calls.iter().enumerate() {
                for piece in call.pieces() {
                    answer.next().await;
                    let delta = json!({
                        "tool_calls": [{ "index": number, "function": { "arguments": piece } }]
                    });
                    pieces.data(&self.chunk(index, &delta, None)).await?;
                }
            }
            let end = self.chunk(index, &json!({}), Some(finish_reason(answer)));
            pieces.data(&end).await?;
        }
        if self.include_usage {
            let mut last = self.chunk(0, &json!({}), None);
            put(&mut last, "choices", json!([]));
            put(&mut last, "usage", self.usage());
            pieces.data(&last).await?;
        }
        pieces.done().await
    }

    fn chunk(&self, index: usize, delta: &Value, finish_reason: Option<&str>) -> Value {
        let mut chunk = json!({
            "id": self.id,
            "object": "chat.completion.chunk",
            "created": self.created,
            "model": self.model.name,
            "service_tier": "default",
            "system_fingerprint": self.fingerprint(),
            "choices": [{
                "index": index,
                "delta": delta,
                "logprobs": null,
                "finish_reason": finish_reason,
            }],
        });
        if self.include_usage {
            put(&mut chunk, "usage", Value::Null);
        }
        chunk
    }
}

fn finish_reason(answer: &Answer) -> &'static str {
    match answer.end {
        End::Done | End::Sequence(_) => "stop",
        End::Limit => "length",
        End::Calls => "tool_calls",
    }
}
