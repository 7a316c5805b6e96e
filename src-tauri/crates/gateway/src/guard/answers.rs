//! Answers that are good in name only.

use cockpit_metering::wire::{Dialect, JsonWanted, Reading, Request as Asked};
use serde_json::Value;

use super::Schema;

/// The error of a whole answer with a good status; `None`: it holds.
pub(crate) fn judge(
    dialect: Dialect,
    reading: &Reading,
    asked: &Asked<'_>,
    schema: Option<&Schema>,
    body: &[u8],
) -> Option<&'static str> {
    if reading.malformed > 0 {
        return Some("provider_malformed_answer");
    }
    if reading.error.is_some() {
        return Some("provider_error");
    }
    let ended_well = !reading.finish_reason.as_deref().is_some_and(is_cut);
    if !reading.saw_content
        && !reading.tool_calls
        && ended_well
        && speaks(dialect)
        && !loads_only(dialect, asked)
    {
        return Some("provider_empty_answer");
    }
    if asked.json != JsonWanted::No && !reading.tool_calls && ended_well && !fits(body, schema) {
        return Some("provider_schema_mismatch");
    }
    None
}

/// Who runs out of tokens, is stopped by a filter, or has only begun (OpenAI's work in the background), may have
/// nothing to say, and half of a JSON is none.
fn is_cut(finish_reason: &str) -> bool {
    matches!(
        finish_reason,
        "length"
            | "max_tokens"
            | "max_output_tokens"
            | "model_context_window_exceeded"
            | "pause_turn"
            | "content_filter"
            | "refusal"
            | "load"
            | "unload"
            | "queued"
            | "in_progress"
    )
}

/// Whether an answer has to say something: the continuation of a text may well be nothing.
fn speaks(dialect: Dialect) -> bool {
    !matches!(
        dialect,
        Dialect::OpenAiCompletions | Dialect::OllamaGenerate
    )
}

/// Ollama loads or unloads a model when it is asked without a prompt.
fn loads_only(dialect: Dialect, asked: &Asked<'_>) -> bool {
    matches!(
        dialect,
        Dialect::OllamaChat | Dialect::OllamaGenerate | Dialect::OllamaEmbed
    ) && asked.text_bytes == 0
}

/// Whether every text of the answer is the JSON that was asked for.
fn fits(body: &[u8], schema: Option<&Schema>) -> bool {
    let Ok(answer) = serde_json::from_slice::<Value>(body) else {
        return false;
    };
    let texts = texts(&answer);
    texts.is_empty()
        || texts.iter().all(|text| {
            serde_json::from_str::<Value>(text)
                .is_ok_and(|value| schema.is_none_or(|schema| schema.allows(&value)))
        })
}

/// The texts of an answer, in whatever dialect.
fn texts(answer: &Value) -> Vec<&str> {
    let array = |key: &str| {
        answer
            .get(key)
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
    };
    let chat = array("choices").filter_map(|choice| choice.pointer("/message/content"));
    let anthropic = array("content")
        .filter(|part| part.get("type").and_then(Value::as_str) == Some("text"))
        .filter_map(|part| part.get("text"));
    let responses = array("output")
        .filter_map(|item| item.get("content")?.as_array())
        .flatten()
        .filter(|part| part.get("type").and_then(Value::as_str) == Some("output_text"))
        .filter_map(|part| part.get("text"));
    let ollama = [answer.pointer("/message/content"), answer.get("response")];
    chat.chain(anthropic)
        .chain(responses)
        .chain(ollama.into_iter().flatten())
        .filter_map(Value::as_str)
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use super::*;
    use cockpit_metering::wire::read_answer;
    use serde_json::json;

    fn judged(dialect: Dialect, request: &Value, answer: &str) -> Option<&'static str> {
        let request = request.to_string();
        let asked = Asked::read(request.as_bytes()).unwrap();
        let reading = read_answer(dialect, answer.as_bytes());
        let schema = Schema::of(request.as_bytes());
        judge(
            dialect,
            &reading,
            &asked,
            schema.as_ref(),
            answer.as_bytes(),
        )
    }

    #[test]
    fn what_is_no_answer() {
        let chat = Dialect::OpenAiChat;
        let plain = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
        let said = |text: &str, finish: &str| {
            json!({"object": "chat.completion", "model": "m", "choices": [{"index": 0, "finish_reason": finish,
                "message": {"role": "assistant", "content": text}}]})
            .to_string()
        };
        assert_eq!(judged(chat, &plain, &said("hello", "stop")), None);
        assert_eq!(
            judged(chat, &plain, &said("", "stop")),
            Some("provider_empty_answer")
        );
        assert_eq!(judged(chat, &plain, &said("", "length")), None);
        assert_eq!(
            judged(chat, &plain, "{\"choices\": ["),
            Some("provider_malformed_answer")
        );
        assert_eq!(
            judged(chat, &plain, "{\"error\": {\"message\": \"no\"}}"),
            Some("provider_error")
        );

        let mut wanted = plain.clone();
        wanted["response_format"] =
            json!({"type": "json_schema", "json_schema": {"name": "a", "schema": {}}});
        assert_eq!(judged(chat, &wanted, &said("{\"a\": 1}", "stop")), None);
        assert_eq!(
            judged(chat, &wanted, &said("Sure! {", "stop")),
            Some("provider_schema_mismatch")
        );
        wanted["response_format"]["json_schema"]["schema"] =
            json!({"type": "object", "required": ["b"]});
        assert_eq!(
            judged(chat, &wanted, &said("{\"a\": 1}", "stop")),
            Some("provider_schema_mismatch")
        );
        assert_eq!(judged(chat, &wanted, &said("{\"b\": 1}", "stop")), None);
        assert_eq!(
            judged(chat, &wanted, &said("{\"a\": ", "length")),
            None,
            "the caller's limit cut it"
        );
    }

    #[test]
    fn a_response_may_be_cut_or_only_begun() {
        let responses = Dialect::OpenAiResponses;
        let asked = json!({"model": "m", "input": "hi", "text": {"format": {"type": "json_schema", "name": "a",
            "schema": {"type": "object"}}}});
        let said = |status: &str, why: Option<&str>, text: Option<&str>| {
            let output = text.map(|text| {
                json!({"type": "message", "content": [{"type": "output_text", "text": text}]})
            });
            json!({"object": "response", "status": status, "incomplete_details": why.map(|why| json!({"reason": why})),
                "output": output.as_slice()})
            .to_string()
        };
        for (answer, expected) in [
            (said("queued", None, None), None),
            (said("in_progress", None, None), None),
            (said("completed", None, None), Some("provider_empty_answer")),
            (said("completed", None, Some("{}")), None),
            (
                said("completed", None, Some("{\"a\": ")),
                Some("provider_schema_mismatch"),
            ),
            (
                said("incomplete", Some("max_output_tokens"), Some("{\"a\": ")),
                None,
            ),
            (said("incomplete", Some("max_output_tokens"), None), None),
            (said("incomplete", Some("content_filter"), None), None),
        ] {
            assert_eq!(judged(responses, &asked, &answer), expected, "{answer}");
        }
    }

    #[test]
    fn a_message_may_be_cut() {
        let messages = Dialect::AnthropicMessages;
        let asked =
            json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]});
        for (stop, expected) in [
            ("end_turn", Some("provider_empty_answer")),
            ("max_tokens", None),
            ("model_context_window_exceeded", None),
            ("pause_turn", None),
        ] {
            let answer = json!({"type": "message", "stop_reason": stop, "content": []}).to_string();
            assert_eq!(judged(messages, &asked, &answer), expected, "{stop}");
        }
    }

    #[test]
    fn ollama_may_be_asked_to_load_a_model() {
        let load = json!({"model": "m", "keep_alive": 0});
        let answer = json!({"model": "m", "response": "", "done": true, "done_reason": "unload"})
            .to_string();
        assert_eq!(judged(Dialect::OllamaGenerate, &load, &answer), None);
    }
}
