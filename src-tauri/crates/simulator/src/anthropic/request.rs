//! A request to `/v1/messages`, and what the model is asked by it.

use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::Value;

use super::refuse;
use crate::dialect::{Dialect, Refusal};
use crate::mind::{Breakpoint, Choice, Reading, Tool, text_of};

/// Unknown fields are none of our business.
#[derive(Deserialize)]
pub(super) struct Ask {
    #[serde(default)]
    pub(super) model: String,
    messages: Option<Vec<Value>>,
    max_tokens: Option<u64>,
    #[serde(default)]
    system: Value,
    #[serde(default)]
    pub(super) stream: bool,
    #[serde(default)]
    pub(super) stop_sequences: Vec<String>,
    #[serde(default)]
    tools: Vec<Value>,
    #[serde(default)]
    tool_choice: Value,
    #[serde(default)]
    thinking: Value,
}

impl Ask {
    pub(super) fn read(body: &[u8]) -> Result<Self, Refusal> {
        let ask: Self = Dialect::Anthropic.read(body)?;
        let wrong = |message: &str| Err(refuse(StatusCode::BAD_REQUEST, message));
        if ask.model.is_empty() {
            return wrong("model: Field required");
        }
        match &ask.messages {
            None => wrong("messages: Field required"),
            Some(messages) if messages.is_empty() => {
                wrong("messages: at least one message is required")
            }
            Some(_) => Ok(ask),
        }
    }

    /// The most it may write, which has to be said.
    pub(super) fn limit(&self) -> Result<u64, Refusal> {
        let wrong = |message: &str| refuse(StatusCode::BAD_REQUEST, message);
        match self.max_tokens {
            None => Err(wrong("max_tokens: Field required")),
            Some(0) => Err(wrong(
                "max_tokens: Input should be greater than or equal to 1",
            )),
            Some(limit) => Ok(limit),
        }
    }

    fn messages(&self) -> &[Value] {
        self.messages.as_deref().unwrap_or_default()
    }

    pub(super) fn thinks(&self) -> bool {
        let kind = self.thinking.get("type").and_then(Value::as_str);
        matches!(kind, Some("enabled" | "adaptive"))
    }

    /// All it says, in the order in which it is read: tools, system, messages.
    pub(super) fn reading(&self) -> Reading {
        let tools: Vec<String> = self.tools.iter().map(Value::to_string).collect();
        Reading::of_messages(self.messages())
            .after(&text_of(&self.system))
            .after(&tools.join("\n"))
    }

    pub(super) fn tools(&self) -> Vec<Tool> {
        let tools = self.tools.iter().filter_map(|tool| {
            Some(Tool {
                name: tool.get("name")?.as_str()?.to_owned(),
                parameters: tool.get("input_schema").cloned().unwrap_or_default(),
            })
        });
        tools.collect()
    }

    pub(super) fn choice(&self, tools: &[Tool]) -> Choice {
        let said = |key: &str| self.tool_choice.get(key).and_then(Value::as_str);
        match said("type") {
            Some("none") => Choice::Never,
            Some("tool") => Choice::Named(said("name").unwrap_or_default().to_owned()),
            Some("any") => tools
                .first()
                .map_or(Choice::Auto, |tool| Choice::Named(tool.name.clone())),
            _ => Choice::Auto,
        }
    }

    /// What is marked with `cache_control`, in the order in which it is read.
    pub(super) fn marks(&self) -> Vec<Breakpoint> {
        let mut marks = Marks::default();
        for tool in &self.tools {
            marks.pass(&tool.to_string(), tool);
        }
        marks.content(&self.system);
        for message in self.messages() {
            if let Some(content) = message.get("content") {
                marks.content(content);
            }
        }
        marks.found
    }
}

#[derive(Default)]
struct Marks {
    text: String,
    found: Vec<Breakpoint>,
}

impl Marks {
    fn content(&mut self, content: &Value) {
        match content {
            Value::Array(blocks) => {
                for block in blocks {
                    let text = block.get("text").or_else(|| block.get("content"));
                    self.pass(&text.map(text_of).unwrap_or_default(), block);
                }
            }
            text => self.pass(&text_of(text), &Value::Null),
        }
    }

    fn pass(&mut self, text: &str, block: &Value) {
        if !text.is_empty() {
            self.text.push_str(text);
            self.text.push('\n');
        }
        if let Some(mark) = block.get("cache_control").filter(|mark| !mark.is_null()) {
            self.found.push(Breakpoint {
                text: self.text.clone(),
                hour: mark.get("ttl").and_then(Value::as_str) == Some("1h"),
            });
        }
    }
}
