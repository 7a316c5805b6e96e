//! What the messages of a question say, in any of the protocols.

use serde_json::Value;

use crate::words;

/// Tokens that a picture counts as.
const PICTURE: u64 = 256;

/// A question as it was read.
#[derive(Debug, Default, Clone)]
pub(crate) struct Reading {
    /// All its text.
    pub(crate) text: String,
    /// How many pictures come with it.
    pub(crate) pictures: u64,
    /// Whether the last word was a tool's result.
    pub(crate) by_tool: bool,
}

impl Reading {
    /// A plain prompt.
    pub(crate) fn of_text(text: String) -> Self {
        Self {
            text,
            ..Self::default()
        }
    }

    /// Of a list of messages (OpenAI's, Anthropic's, Ollama's, the items of a response's input).
    pub(crate) fn of_messages(messages: &[Value]) -> Self {
        let mut texts = Vec::new();
        let mut pictures = 0;
        for message in messages {
            let content = message.get("content").or_else(|| message.get("output"));
            if let Some(content) = content {
                texts.push(text_of(content));
                pictures += pictures_of(content);
            }
            let beside = message.get("images").and_then(Value::as_array);
            pictures += beside.map_or(0, |images| images.len() as u64);
        }
        Self {
            text: texts.join("\n"),
            pictures,
            by_tool: messages.last().is_some_and(is_of_tool),
        }
    }

    /// Puts a text in front: a system's prompt.
    pub(crate) fn after(mut self, text: &str) -> Self {
        if !text.is_empty() {
            self.text = format!("{text}\n{}", self.text);
        }
        self
    }

    /// How many tokens it counts as.
    pub(crate) fn tokens(&self) -> u64 {
        words::count(&self.text).max(1) + self.pictures * PICTURE
    }
}

/// The text of a content: a string, or the text of its parts.
pub(crate) fn text_of(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            let texts: Vec<String> = parts
                .iter()
                .map(
                    |part| match part.get("text").or_else(|| part.get("content")) {
                        Some(inner) => text_of(inner),
                        None => part.as_str().unwrap_or_default().to_owned(),
                    },
                )
                .filter(|text| !text.is_empty())
                .collect();
            texts.join("\n")
        }
        _ => String::new(),
    }
}

fn pictures_of(content: &Value) -> u64 {
    let parts = content.as_array().map(Vec::as_slice).unwrap_or_default();
    let is_picture = |part: &&Value| {
        let kind = part.get("type").and_then(Value::as_str);
        matches!(kind, Some("image" | "image_url" | "input_image"))
    };
    parts.iter().filter(is_picture).count() as u64
}

fn is_of_tool(message: &Value) -> bool {
    let is = |key: &str, value: &str| message.get(key).and_then(Value::as_str) == Some(value);
    let parts = message.get("content").and_then(Value::as_array);
    is("role", "tool")
        || is("type", "function_call_output")
        || parts.is_some_and(|parts| {
            let kinds = parts.iter().filter_map(|part| part.get("type")?.as_str());
            kinds.into_iter().any(|kind| kind == "tool_result")
        })
}
