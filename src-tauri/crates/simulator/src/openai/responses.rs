//! `/v1/responses`: output items, and a stream of named and numbered events.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use cockpit_model::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::request::{choice, schema, tools};
use super::{body, find, missing};
use crate::backend::{Backend, Model};
use crate::dialect::Refusal;
use crate::json::put;
use crate::mind::{Answer, End, Question, Reading, text_of};
use crate::streaming::{Gone, Pieces, events};

#[derive(Deserialize)]
struct Ask {
    #[serde(default)]
    model: String,
    input: Option<Value>,
    #[serde(default)]
    instructions: Value,
    #[serde(default)]
    stream: bool,
    max_output_tokens: Option<u64>,
    #[serde(default)]
    tools: Vec<Value>,
    #[serde(default)]
    tool_choice: Value,
    #[serde(default)]
    text: Value,
    #[serde(default)]
    metadata: Value,
}

pub(super) async fn responses(State(backend): State<Backend>, asked: Bytes) -> Response {
    match answer(backend, &asked).await {
        Ok(answer) => answer,
        Err(refusal) => *refusal,
    }
}

async fn answer(backend: Backend, asked: &Bytes) -> Result<Response, Refusal> {
    let ask: Ask = body(asked)?;
    let model = find(&backend, &ask.model)?;
    let reading = match &ask.input {
        None => return Err(missing("input")),
        Some(Value::Array(items)) => Reading::of_messages(items),
        Some(text) => Reading::of_text(text_of(text)),
    };
    let reading = reading.after(&text_of(&ask.instructions));
    let cached = backend
        .mind
        .with_cache(|c| c.beginning(&model.name, &reading.text));
    let given = tools(&ask.tools);
    let answer = backend.mind.answer(&Question {
        model: &model.name,
        reading,
        limit: ask.max_output_tokens,
        choice: choice(&ask.tool_choice, &given),
        tools: given,
        schema: ask.text.get("format").and_then(schema),
        think: model.thinks,
        ..Question::default()
    });
    let writing = Writing {
        id: backend.mind.id("resp_"),
        item: backend.mind.id("msg_"),
        call: backend.mind.id("call_"),
        created: Timestamp::now().as_second(),
        stream: ask.stream,
        ask,
        answer,
        cached,
        model,
        backend,
    };
    if writing.stream {
        return Ok(events(|pieces| writing.write(pieces)));
    }
    writing.backend.load(&writing.model).await;
    writing.answer.all().await;
    let output = writing.output(true);
    Ok(Json(writing.response(writing.ended(), &output)).into_response())
}

struct Writing {
    id: String,
    item: String,
    call: String,
    created: i64,
    stream: bool,
    ask: Ask,
    answer: Answer,
    cached: u64,
    model: Model,
    backend: Backend,
}

impl Writing {
    fn ended(&self) -> &'static str {
        if self.answer.end == End::Limit {
            "incomplete"
        } else {
            "completed"
        }
    }

    fn part(text: &str) -> Value {
        json!({ "type": "output_text", "text": text, "annotations": [], "logprobs": [] })
    }

    /// The output items; `done`, or as they begin.
    fn output(&self, done: bool) -> Vec<Value> {
        let status = if done { self.ended() } else { "in_progress" };
        if let Some(call) = self.answer.calls.first() {
            let arguments = if done {
                call.arguments.to_string()
            } else {
                String::new()
            };
            return vec![json!({
                "id": self.item.replace("msg_", "fc_"),
                "type": "function_call",
                "status": status,
                "call_id": self.call,
                "name": call.name,
                "arguments": arguments,
            })];
        }
        let content = if done {
            vec![Self::part(&self.answer.tokens.concat())]
        } else {
            vec![]
        };
        vec![json!({
            "id": self.item,
            "type": "message",
            "status": status,
            "role": "assistant",
            "content": content,
        })]
    }

    fn response(&self, status: &str, output: &[Value]) -> Value {
        let done = status != "in_progress";
        let usage = done.then(|| {
            let written = self.answer.written();
            json!({
                "input_tokens": self.answer.prompt_tokens,
                "input_tokens_details": { "cached_tokens": self.cached },
                "output_tokens": written,
                "output_tokens_details": { "reasoning_tokens": self.answer.thoughts.len() },
                "total_tokens": self.answer.prompt_tokens + written,
            })
        });
        let incomplete = (status == "incomplete").then(|| json!({ "reason": "max_output_tokens" }));
        json!({
            "id": self.id,
            "object": "response",
            "created_at": self.created,
            "status": status,
            "background": false,
            "error": null,
            "incomplete_details": incomplete,
            "instructions": self.ask.instructions,
            "max_output_tokens": self.ask.max_output_tokens,
            "metadata": if self.ask.metadata.is_null() { json!({}) } else { self.ask.metadata.clone() },
            "model": self.model.name,
            "output": output,
            "parallel_tool_calls": true,
            "previous_response_id": null,
            "reasoning": { "effort": null, "summary": null },
            "service_tier": "default",
            "store": true,
            "temperature": 1.0,
            "text": if self.ask.text.is_null() { json!({ "format": { "type": "text" } }) } else { self.ask.text.clone() },
            "tool_choice": if self.ask.tool_choice.is_null() { json!("auto") } else { self.ask.tool_choice.clone() },
            "tools": self.ask.tools,
            "top_p": 1.0,
            "truncation": "disabled",
            "usage": usage,
            "user": null,
        })
    }

    async fn write(self, pieces: Pieces) -> Result<(), Gone> {
        self.backend.load(&self.model).await;
        let mut numbered = Numbered { pieces, number: 0 };
        let begun = self.response("in_progress", &[]);
        for kind in ["response.created", "response.in_progress"] {
            numbered.put(kind, json!({ "response": begun })).await?;
        }
        self.answer.read().await;
        let opened = self.output(false);
        let item = opened.first().cloned().unwrap_or_default();
        let id = item.get("id").cloned().unwrap_or_default();
        let place = json!({ "output_index": 0, "item": item });
        numbered.put("response.output_item.added", place).await?;
        if self.answer.calls.is_empty() {
            self.text(&mut numbered, &id).await?;
        } else {
            self.arguments(&mut numbered, &id).await?;
        }
        let output = self.output(true);
        let place = json!({ "output_index": 0, "item": output.first() });
        numbered.put("response.output_item.done", place).await?;
        let response = self.response(self.ended(), &output);
        let kind = format!("response.{}", self.ended());
        numbered.put(&kind, json!({ "response": response })).await
    }

    async fn text(&self, numbered: &mut Numbered, id: &Value) -> Result<(), Gone> {
        let at = |more: Value| placed(id, more);
        let empty = json!({ "content_index": 0, "part": Self::part("") });
        numbered
            .put("response.content_part.added", at(empty))
            .await?;
        for token in &self.answer.tokens {
            self.answer.next().await;
            let delta = json!({ "content_index": 0, "delta": token, "logprobs": [] });
            numbered
                .put("response.output_text.delta", at(delta))
                .await?;
        }
        let text = self.answer.tokens.concat();
        let whole = json!({ "content_index": 0, "text": text, "logprobs": [] });
        numbered.put("response.output_text.done", at(whole)).await?;
        let part = json!({ "content_index": 0, "part": Self::part(&text) });
        numbered.put("response.content_part.done", at(part)).await
    }

    async fn arguments(&self, numbered: &mut Numbered, id: &Value) -> Result<(), Gone> {
        for call in &self.answer.calls {
            for piece in call.pieces() {
                self.answer.next().await;
                let delta = placed(id, json!({ "delta": piece }));
                let kind = "response.function_call_arguments.delta";
                numbered.put(kind, delta).await?;
            }
            let whole = json!({ "name": call.name, "arguments": call.arguments.to_string() });
            let kind = "response.function_call_arguments.done";
            numbered.put(kind, placed(id, whole)).await?;
        }
        Ok(())
    }
}

/// What each event inside an item says of its place.
fn placed(id: &Value, mut more: Value) -> Value {
    put(&mut more, "item_id", id.clone());
    put(&mut more, "output_index", json!(0));
    more
}

/// Events with their kind and number.
struct Numbered {
    pieces: Pieces,
    number: u64,
}

impl Numbered {
    async fn put(&mut self, kind: &str, mut event: Value) -> Result<(), Gone> {
        put(&mut event, "type", json!(kind));
        put(&mut event, "sequence_number", json!(self.number));
        self.number += 1;
        self.pieces.event(&event).await
    }
}
