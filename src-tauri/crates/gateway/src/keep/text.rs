//! What was said, as a person reads it.

use std::collections::BTreeMap;

use cockpit_metering::wire::{self, Dialect};
use serde_json::Value;

/// The longest text that is kept, in bytes.
const LONGEST: usize = 256 << 10;
/// From this length on, what looks like base64 is no text.
const BLOB: usize = 1024;

/// A request, without what is no text.
pub(super) fn prompt(request: &[u8]) -> (String, bool) {
    match serde_json::from_slice::<Value>(request) {
        Ok(mut value) => {
            leave_out_blobs(&mut value);
            cut(value.to_string())
        }
        Err(_) => cut(String::from_utf8_lossy(request).into_owned()),
    }
}

fn leave_out_blobs(value: &mut Value) {
    match value {
        Value::String(text) if text.len() >= BLOB => {
            let sample = text.as_bytes().get(..256).unwrap_or_default();
            let is_base64 = |byte: &u8| {
                byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_' | b'=')
            };
            if sample.starts_with(b"data:") || sample.iter().all(is_base64) {
                *text = format!("[{} bytes left out]", text.len());
            }
        }
        Value::Array(items) => items.iter_mut().for_each(leave_out_blobs),
        Value::Object(members) => members.values_mut().for_each(leave_out_blobs),
        _ => {}
    }
}

/// An answer, whole or streamed. Of vectors nothing is kept.
pub(super) fn answer(dialect: Dialect, bytes: &[u8]) -> (String, bool) {
    if matches!(dialect, Dialect::OpenAiEmbeddings | Dialect::OllamaEmbed) {
        return (String::new(), false);
    }
    if let Ok(value) = serde_json::from_slice::<Value>(bytes) {
        let said = said([&value]);
        return cut(if said.is_empty() {
            value.to_string()
        } else {
            said
        });
    }
    let mut frames: Vec<Value> = Vec::new();
    wire::frames(dialect, bytes, |frame| {
        frames.extend(serde_json::from_slice::<Value>(frame.data));
    });
    if frames.is_empty() {
        return cut(String::from_utf8_lossy(bytes).into_owned());
    }
    cut(said(&frames))
}

/// What some messages say, each answer of several by itself.
fn said<'a>(messages: impl IntoIterator<Item = &'a Value>) -> String {
    let mut answers: BTreeMap<u64, String> = BTreeMap::new();
    for message in messages {
        pieces(message, &mut |index, text| {
            answers.entry(index).or_default().push_str(text);
        });
    }
    answers.into_values().collect::<Vec<_>>().join("\n\n")
}

/// Every piece of text in one message of an answer, in whatever dialect.
fn pieces(message: &Value, each: &mut impl FnMut(u64, &str)) {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let array = |value: &Value, key: &str| {
        value
            .get(key)
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default()
    };
    for choice in array(message, "choices") {
        let index = choice.get("index").and_then(Value::as_u64).unwrap_or(0);
        let turn = choice.get("delta").or_else(|| choice.get("message"));
        let turn = turn.unwrap_or(&choice);
        for key in ["content", "refusal", "text"] {
            if let Some(text) = text(turn.get(key)) {
                each(index, &text);
            }
        }
        for call in array(turn, "tool_calls") {
            for pointer in ["/function/name", "/function/arguments"] {
                if let Some(text) = text(call.pointer(pointer)) {
                    each(index, &text);
                }
            }
        }
    }
    // Ollama's.
    for found in [message.pointer("/message/content"), message.get("response")] {
        if let Some(text) = text(found) {
            each(0, &text);
        }
    }
    for call in message
        .pointer("/message/tool_calls")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        each(0, &call.to_string());
    }
    // Anthropic's, whole.
    for part in array(message, "content") {
        match part.get("type").and_then(Value::as_str) {
            Some("text") => each(0, &text(part.get("text")).unwrap_or_default()),
            Some("tool_use") => each(0, &part.to_string()),
            _ => {}
        }
    }
    // `OpenAI`'s responses, whole.
    for item in array(message, "output") {
        for part in array(&item, "content") {
            for key in ["text", "refusal"] {
                if let Some(text) = text(part.get(key)) {
                    each(0, &text);
                }
            }
        }
        if item.get("type").and_then(Value::as_str) == Some("function_call") {
            each(0, &item.to_string());
        }
    }
    match message.get("type").and_then(Value::as_str) {
        Some("content_block_start") => {
            if let Some(name) = text(message.pointer("/content_block/name")) {
                each(0, &name);
            }
        }
        Some("content_block_delta") => {
            for pointer in ["/delta/text", "/delta/partial_json"] {
                if let Some(text) = text(message.pointer(pointer)) {
                    each(0, &text);
                }
            }
        }
        Some(
            "response.output_text.delta"
            | "response.refusal.delta"
            | "response.function_call_arguments.delta",
        ) => {
            if let Some(text) = text(message.get("delta")) {
                each(0, &text);
            }
        }
        _ => {}
    }
    if let Some(error) = message.get("error").filter(|error| !error.is_null()) {
        each(0, &error.to_string());
    }
}

/// No longer than is kept, at a character's border.
fn cut(mut text: String) -> (String, bool) {
    let long = text.len() > LONGEST;
    if long {
        text.truncate(text.floor_char_boundary(LONGEST));
    }
    (text, long)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use serde_json::json;

    fn sse(events: &[Value]) -> String {
        events
            .iter()
            .map(|event| format!("data: {event}\n\n"))
            .collect::<String>()
            + "data: [DONE]\n\n"
    }

    #[test]
    fn every_dialect_reads_the_same() {
        let chat = |text: &str| json!({"choices": [{"index": 0, "delta": {"content": text}}]});
        for (dialect, bytes) in [
            (
                Dialect::OpenAiChat,
                json!({"choices": [{"index": 0, "message": {"content": "Hello there"}}]}).to_string(),
            ),
            (Dialect::OpenAiChat, sse(&[chat("Hello "), chat("there"), json!({"choices": [], "usage": {}})])),
            (
                Dialect::OpenAiResponses,
                json!({"output": [{"type": "message", "content": [{"type": "output_text", "text": "Hello there"}]}]}).to_string(),
            ),
            (
                Dialect::OpenAiResponses,
                sse(&[
                    json!({"type": "response.output_text.delta", "delta": "Hello "}),
                    json!({"type": "response.output_text.delta", "delta": "there"}),
                    json!({"type": "response.completed", "response": {"output": [{"content": [{"text": "Hello there"}]}]}}),
                ]),
            ),
            (
                Dialect::AnthropicMessages,
                json!({"type": "message", "content": [{"type": "text", "text": "Hello there"}]}).to_string(),
            ),
            (
                Dialect::AnthropicMessages,
                sse(&[
                    json!({"type": "content_block_delta", "delta": {"type": "text_delta", "text": "Hello "}}),
                    json!({"type": "content_block_delta", "delta": {"type": "text_delta", "text": "there"}}),
                ]),
            ),
            (
                Dialect::OllamaChat,
                format!("{}\n{}\n", json!({"message": {"content": "Hello "}}), json!({"message": {"content": "there"}, "done": true})),
            ),
            (Dialect::OllamaGenerate, json!({"response": "Hello there", "done": true}).to_string()),
            (Dialect::OpenAiCompletions, json!({"choices": [{"text": "Hello there"}]}).to_string()),
        ] {
            assert_eq!(answer(dialect, bytes.as_bytes()), ("Hello there".to_owned(), false), "{dialect:?} {bytes}");
        }
    }

    #[test]
    fn pictures_are_left_out_and_what_is_long_is_cut() {
        let request = json!({"messages": [{"content": [{"text": "What is it?"}, {"url": format!("data:image/png;base64,{}", "A".repeat(5000))}]}]});
        let (text, is_cut) = prompt(request.to_string().as_bytes());
        assert!(text.contains("What is it?") && text.contains("5022 bytes left out") && !is_cut);
        let (text, is_cut) = prompt(
            json!({"prompt": "é ".repeat(LONGEST)})
                .to_string()
                .as_bytes(),
        );
        assert!(text.len() <= LONGEST && is_cut);
    }

    #[test]
    fn what_is_no_answer_is_kept_as_it_came() {
        assert_eq!(answer(Dialect::OpenAiChat, b"<html>502").0, "<html>502");
        let embeddings = json!({"data": [1, 2]}).to_string();
        assert_eq!(
            answer(Dialect::OpenAiEmbeddings, embeddings.as_bytes()).0,
            ""
        );
        assert_eq!(answer(Dialect::OllamaChat, b"").0, "");
    }
}
