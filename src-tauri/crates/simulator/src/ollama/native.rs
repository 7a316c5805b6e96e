//! `/api/generate` and `/api/chat`.

use std::time::{Duration, Instant};

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cockpit_model::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::models::{KeepAlive, ModelFile};
use super::{Server, nanoseconds, refuse, said};
use crate::dialect::{Dialect, Refusal};
use crate::json::put;
use crate::mind::{Answer, End, Question, Reading, Tool};
use crate::streaming::{Gone, Pieces, lines};

/// What both have in common. Unknown fields are none of our business.
#[derive(Deserialize)]
struct Ask {
    #[serde(default)]
    model: String,
    #[serde(default)]
    prompt: String,
    #[serde(default)]
    system: String,
    #[serde(default)]
    images: Option<Vec<String>>,
    #[serde(default)]
    messages: Option<Vec<Value>>,
    stream: Option<bool>,
    keep_alive: Option<KeepAlive>,
    #[serde(default)]
    tools: Option<Vec<Value>>,
    #[serde(default)]
    format: Value,
    #[serde(default)]
    think: Value,
    #[serde(default)]
    options: Option<AskOptions>,
}

#[derive(Deserialize, Default)]
struct AskOptions {
    num_predict: Option<i64>,
    #[serde(default)]
    stop: Option<Vec<String>>,
}

/// Where the text goes in a chunk.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Generate,
    Chat,
}

impl Shape {
    fn put(self, chunk: &mut Value, text: &str) {
        match self {
            Self::Generate => put(chunk, "response", text),
            Self::Chat => put(
                chunk,
                "message",
                json!({ "role": "assistant", "content": text }),
            ),
        }
    }

    fn think(self, chunk: &mut Value, thought: &str) {
        match self {
            Self::Generate => put(chunk, "thinking", thought),
            Self::Chat => {
                if let Some(message) = chunk.get_mut("message") {
                    put(message, "thinking", thought);
                }
            }
        }
    }
}

impl Ask {
    fn messages(&self) -> &[Value] {
        self.messages.as_deref().unwrap_or_default()
    }

    /// Whether it asks nothing: it only moves the model in or out of memory.
    fn is_empty(&self, shape: Shape) -> bool {
        match shape {
            Shape::Generate => self.prompt.is_empty(),
            Shape::Chat => self.messages().is_empty(),
        }
    }

    fn reading(&self, shape: Shape) -> Reading {
        match shape {
            Shape::Generate => Reading {
                pictures: self.images.as_ref().map_or(0, |images| images.len() as u64),
                ..Reading::of_text(self.prompt.clone())
            }
            .after(&self.system),
            Shape::Chat => Reading::of_messages(self.messages()),
        }
    }

    fn tools(&self) -> Vec<Tool> {
        let tools = self.tools.iter().flatten().filter_map(|tool| {
            let function = tool.get("function")?;
            Some(Tool {
                name: function.get("name")?.as_str()?.to_owned(),
                parameters: function.get("parameters").cloned().unwrap_or_default(),
            })
        });
        tools.collect()
    }

    /// `think` is a boolean or an effort; a model that can think does so unless told not to.
    fn thinks(&self, file: &ModelFile) -> bool {
        file.can("thinking") && self.think != json!(false)
    }

    fn schema(&self) -> Result<Option<Value>, Refusal> {
        match &self.format {
            Value::Null => Ok(None),
            Value::String(text) if text.is_empty() => Ok(None),
            Value::String(text) if text == "json" => Ok(Some(json!({}))),
            Value::Object(_) => Ok(Some(self.format.clone())),
            other => Err(refuse(
                StatusCode::BAD_REQUEST,
                &format!(
                    "invalid format: {other}; expected \"json\" or a valid JSON Schema object"
                ),
            )),
        }
    }

    /// Whether the model can do what is asked of it, and the pictures are pictures.
    fn check(&self, file: &ModelFile, shape: Shape) -> Result<(), Refusal> {
        let bad = |message: &str| Err(refuse(StatusCode::BAD_REQUEST, message));
        if !file.can("completion") && !self.is_empty(shape) {
            let what = if shape == Shape::Chat {
                "chat"
            } else {
                "generate"
            };
            return bad(&format!("\"{}\" does not support {what}", self.model));
        }
        if !self.tools().is_empty() && !file.can("tools") {
            let name = &file.name;
            return bad(&format!(
                "registry.ollama.ai/library/{name} does not support tools"
            ));
        }
        let thinks = !matches!(self.think, Value::Null | Value::Bool(false));
        if thinks && !file.can("thinking") {
            return bad(&format!("\"{}\" does not support thinking", self.model));
        }
        let inside = self
            .messages()
            .iter()
            .filter_map(|message| message.get("images"));
        let inside = inside
            .filter_map(Value::as_array)
            .flatten()
            .filter_map(Value::as_str);
        let all = self
            .images
            .iter()
            .flatten()
            .map(String::as_str)
            .chain(inside);
        for image in all {
            if let Err(e) = STANDARD.decode(image) {
                return bad(&format!("illegal base64 data: {e}"));
            }
            if !file.can("vision") {
                return Err(refuse(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "this model is missing data required for image input",
                ));
            }
        }
        Ok(())
    }
}

pub(super) async fn generate(State(server): State<Server>, body: Bytes) -> Response {
    said(respond(server, &body, Shape::Generate).await)
}

pub(super) async fn chat(State(server): State<Server>, body: Bytes) -> Response {
    said(respond(server, &body, Shape::Chat).await)
}

async fn respond(server: Server, body: &Bytes, shape: Shape) -> Result<Response, Refusal> {
    let ask: Ask = Dialect::Ollama.read(body)?;
    let file = server.wanted(&ask.model)?;
    ask.check(&file, shape)?;
    let keep = ask.keep_alive.unwrap_or(server.options.keep_alive);
    if ask.is_empty(shape) {
        return Ok(load_or_unload(&server, &file, &ask.model, shape, keep).await);
    }
    let options = ask.options.as_ref();
    let limit = options.and_then(|options| options.num_predict);
    let answer = server.mind.answer(&Question {
        model: &file.name,
        reading: ask.reading(shape),
        // -1 and -2 mean no limit.
        limit: limit.and_then(|limit| u64::try_from(limit).ok()),
        stop: options
            .and_then(|options| options.stop.clone())
            .unwrap_or_default(),
        tools: if shape == Shape::Chat {
            ask.tools()
        } else {
            vec![]
        },
        schema: ask.schema()?,
        think: ask.thinks(&file),
        ..Question::default()
    });
    let writing = Writing {
        server,
        file,
        asked: ask.model,
        shape,
        keep,
        answer,
    };
    if ask.stream.unwrap_or(true) {
        return Ok(lines(|pieces| writing.stream(pieces)));
    }
    Ok(writing.whole().await)
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

/// An answer being written.
struct Writing {
    server: Server,
    file: ModelFile,
    asked: String,
    shape: Shape,
    keep: KeepAlive,
    answer: Answer,
}

impl Writing {
    fn chunk(&self, text: &str, done: bool) -> Value {
        let mut chunk = json!({
            "model": self.asked,
            "created_at": Timestamp::now().to_string(),
            "done": done,
        });
        self.shape.put(&mut chunk, text);
        chunk
    }

    /// With the end's reason and, in nanoseconds, the timings.
    fn closed(&self, mut chunk: Value, began: Instant, load: Duration, writing: Instant) -> Value {
        put(
            &mut chunk,
            "done_reason",
            json!(match self.answer.end {
                End::Limit => "length",
                _ => "stop",
            }),
        );
        put(
            &mut chunk,
            "total_duration",
            json!(nanoseconds(began.elapsed())),
        );
        put(&mut chunk, "load_duration", json!(nanoseconds(load)));
        put(
            &mut chunk,
            "prompt_eval_count",
            json!(self.answer.prompt_tokens),
        );
        put(
            &mut chunk,
            "prompt_eval_duration",
            json!(nanoseconds(self.answer.reading).max(1)),
        );
        put(&mut chunk, "eval_count", json!(self.answer.written()));
        put(
            &mut chunk,
            "eval_duration",
            json!(nanoseconds(writing.elapsed())),
        );
        if self.shape == Shape::Generate {
            // Of an old way to go on with a conversation: numbers that only the model understands.
            let tokens = self.answer.prompt_tokens.min(16);
            put(&mut chunk, "context", (1..=tokens).collect::<Vec<_>>());
        }
        chunk
    }

    fn calls(&self) -> Vec<Value> {
        let calls = self.answer.calls.iter().enumerate();
        calls
            .map(|(index, call)| {
                json!({
                    "id": self.server.mind.id("call_"),
                    "function": { "index": index, "name": call.name, "arguments": call.arguments },
                })
            })
            .collect()
    }

    async fn whole(self) -> Response {
        let began = Instant::now();
        let load = self.server.load(&self.file, self.keep).await;
        self.answer.read().await;
        let writing = Instant::now();
        self.answer.write().await;
        let mut whole = self.chunk(&self.answer.tokens.concat(), true);
        if !self.answer.thoughts.is_empty() {
            self.shape.think(&mut whole, &self.answer.thoughts.concat());
        }
        if !self.answer.calls.is_empty()
            && let Some(message) = whole.get_mut("message")
        {
            put(message, "tool_calls", self.calls());
        }
        self.server.leave(&self.file, self.keep);
        Json(self.closed(whole, began, load, writing)).into_response()
    }

    async fn stream(self, pieces: Pieces) -> Result<(), Gone> {
        let written = self.write(&pieces).await;
        // The time in memory counts from the end of the answer, also of one that nobody waits for.
        self.server.leave(&self.file, self.keep);
        pieces.line(&written?).await
    }

    /// Loads, reads, writes token by token; answers the closing chunk.
    async fn write(&self, pieces: &Pieces) -> Result<Value, Gone> {
        let began = Instant::now();
        let load = self.server.load(&self.file, self.keep).await;
        self.answer.read().await;
        let writing = Instant::now();
        for thought in &self.answer.thoughts {
            self.answer.next().await;
            let mut chunk = self.chunk("", false);
            self.shape.think(&mut chunk, thought);
            pieces.line(&chunk).await?;
        }
        for token in &self.answer.tokens {
            self.answer.next().await;
            pieces.line(&self.chunk(token, false)).await?;
        }
        if !self.answer.calls.is_empty() {
            let mut chunk = self.chunk("", false);
            if let Some(message) = chunk.get_mut("message") {
                put(message, "tool_calls", self.calls());
            }
            pieces.line(&chunk).await?;
        }
        Ok(self.closed(self.chunk("", true), began, load, writing))
    }
}
