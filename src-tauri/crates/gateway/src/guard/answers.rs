//! Answers that are good in name only.

use std::collections::BTreeMap;

use cockpit_metering::wire::{self, Dialect, JsonWanted, Reading, Request as Asked};
use serde_json::Value;

use super::schema::Schema;

/// The JSON that was asked for.
pub(crate) struct Json {
    dialect: Dialect,
    schema: Option<Schema>,
}

impl Json {
    /// What the answer is to be; `None`: whatever it likes.
    pub(crate) fn of(dialect: Dialect, asked: &Asked<'_>, body: &[u8]) -> Option<Self> {
        let schema = match asked.json {
            JsonWanted::No => return None,
            JsonWanted::Any => None,
            JsonWanted::Schema => Schema::of(body),
        };
        Some(Self { dialect, schema })
    }

    /// Whether a text of an answer is that.
    fn allows(&self, text: &str) -> bool {
        serde_json::from_str::<Value>(text).is_ok_and(|value| {
            let schema = self.schema.as_ref();
            schema.is_none_or(|schema| schema.allows(&value))
        })
    }

    /// The error of a whole answer that is something else.
    fn breaks(&self, reading: &Reading, body: &[u8]) -> Option<&'static str> {
        mismatch(reading, || {
            serde_json::from_slice::<Value>(body)
                .is_ok_and(|answer| texts(&answer).into_iter().all(|text| self.allows(text)))
        })
    }

    /// The error of a streamed answer that is something else. It has reached its caller by then: this is for its
    /// target's breaker, and for the books.
    pub(crate) fn streamed(&self, reading: &Reading, stream: &[u8]) -> Option<&'static str> {
        mismatch(reading, || {
            let texts = streamed_texts(self.dialect, stream);
            texts.iter().all(|text| self.allows(text))
        })
    }
}

const MISMATCH: &str = "provider_schema_mismatch";

/// Whoever calls a tool, or was cut, owes no JSON.
fn mismatch(reading: &Reading, fits: impl FnOnce() -> bool) -> Option<&'static str> {
    let owes = !reading.tool_calls && ended_well(reading);
    (owes && !fits()).then_some(MISMATCH)
}

/// The error of a whole answer with a good status; `None`: it holds.
pub(crate) fn judge(
    dialect: Dialect,
    reading: &Reading,
    asked: &Asked<'_>,
    json: Option<&Json>,
    body: &[u8],
) -> Option<&'static str> {
    if reading.malformed > 0 {
        return Some("provider_malformed_answer");
    }
    if reading.error.is_some() {
        return Some("provider_error");
    }
    if !reading.saw_content
        && !reading.tool_calls
        && ended_well(reading)
        && speaks(dialect)
        && !loads_only(dialect, asked)
    {
        return Some("provider_empty_answer");
    }
    json.and_then(|json| json.breaks(reading, body))
}

fn ended_well(reading: &Reading) -> bool {
    !reading.finish_reason.as_deref().is_some_and(is_cut)
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

/// The texts of a streamed answer, put together of their pieces.
fn streamed_texts(dialect: Dialect, stream: &[u8]) -> Vec<String> {
    let mut texts = BTreeMap::<u64, String>::new();
    wire::frames(dialect, stream, |frame| {
        let Ok(event) = serde_json::from_slice::<Value>(frame.data) else {
            return;
        };
        // The last of OpenAI's events of a response has all of it.
        if let Some(response) = event.get("response").filter(|one| one.is_object()) {
            let whole = self::texts(response).into_iter().map(str::to_owned);
            texts = (0..).zip(whole).collect();
            return;
        }
        for (index, piece) in pieces(&event) {
            texts.entry(index).or_default().push_str(piece);
        }
    });
    texts
        .into_values()
        .filter(|text| !text.is_empty())
        .collect()
}

/// What an event adds, and to which text.
fn pieces(event: &Value) -> Vec<(u64, &str)> {
    let index = |value: &Value| value.get("index").and_then(Value::as_u64).unwrap_or(0);
    let choices = event.get("choices").and_then(Value::as_array);
    let chat = choices.into_iter().flatten().filter_map(|choice| {
        let piece = choice.pointer("/delta/content")?.as_str()?;
        Some((index(choice), piece))
    });
    // Anthropic's, and Ollama's two.
    let others = ["/delta/text", "/message/content", "/response"];
    let others = others.into_iter().filter_map(|place| {
        let piece = event.pointer(place)?.as_str()?;
        Some((index(event), piece))
    });
    chat.chain(others).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use super::*;
    use cockpit_metering::wire::{StreamMeter, read_answer};
    use serde_json::json;

    fn judged(dialect: Dialect, request: &Value, answer: &str) -> Option<&'static str> {
        let request = request.to_string();
        let asked = Asked::read(request.as_bytes()).unwrap();
        let reading = read_answer(dialect, answer.as_bytes());
        let json = Json::of(dialect, &asked, request.as_bytes());
        judge(dialect, &reading, &asked, json.as_ref(), answer.as_bytes())
    }

    /// Judges a stream as it comes out of a meter.
    fn judged_streamed(
        dialect: Dialect,
        request: &Value,
        events: &[Value],
    ) -> Option<&'static str> {
        let request = request.to_string();
        let asked = Asked::read(request.as_bytes()).unwrap();
        let mut stream = String::new();
        for event in events {
            stream += &if dialect.streams_ndjson() {
                format!("{event}\n")
            } else {
                format!("data: {event}\n\n")
            };
        }
        let mut meter = StreamMeter::new(dialect);
        meter.push(stream.clone().into(), &mut |_| ());
        let reading = meter.finish(&mut |_| ());
        let json = Json::of(dialect, &asked, request.as_bytes()).unwrap();
        json.streamed(&reading, stream.as_bytes())
    }

    #[test]
    fn streams_are_held_against_the_schema_too() {
        let schema = json!({"type": "object", "required": ["b"]});
        let chat = json!({"model": "m", "messages": [], "stream": true, "response_format":
            {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}});
        let delta = |index: u64, text: &str| json!({"choices": [{"index": index, "delta": {"content": text}}]});
        let end =
            |reason: &str| json!({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]});
        let messages = json!({"model": "m", "messages": [], "stream": true, "max_tokens": 9, "output_config":
            {"format": {"type": "json_schema", "schema": schema}}});
        let block = |text: &str| json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}});
        let ollama = json!({"model": "m", "messages": [], "format": schema});
        let piece = |text: &str, done: bool| json!({"message": {"role": "assistant", "content": text}, "done": done});
        let generate = |text: &str, done: bool| json!({"response": text, "done": done});
        let responses = json!({"model": "m", "input": "hi", "stream": true, "text": {"format":
            {"type": "json_schema", "name": "a", "schema": schema}}});
        let completed = |text: &str| {
            json!({"type": "response.completed", "response": {"object": "response", "status":
            "completed", "output": [{"type": "message", "content": [{"type": "output_text", "text": text}]}]}})
        };
        let added = |text: &str| json!({"type": "response.output_text.delta", "delta": text});
        use Dialect::{AnthropicMessages, OllamaChat, OllamaGenerate, OpenAiChat, OpenAiResponses};
        for (dialect, request, events, holds) in [
            (
                OpenAiChat,
                &chat,
                vec![
                    delta(0, ""),
                    delta(0, "{\"b\""),
                    delta(0, ": 1}"),
                    end("stop"),
                ],
                true,
            ),
            (
                OpenAiChat,
                &chat,
                vec![delta(0, "{\"a\""), delta(0, ": 1}"), end("stop")],
                false,
            ),
            (
                OpenAiChat,
                &chat,
                vec![
                    delta(0, "{\"b\""),
                    delta(1, "Sure!"),
                    delta(0, ": 1}"),
                    end("stop"),
                ],
                false,
            ),
            (
                OpenAiChat,
                &chat,
                vec![delta(0, "{\"b\""), end("length")],
                true,
            ),
            (
                AnthropicMessages,
                &messages,
                vec![block("{\"b\""), block(": 1}")],
                true,
            ),
            (
                AnthropicMessages,
                &messages,
                vec![block("Here it is: "), block("{\"b\": 1}")],
                false,
            ),
            (
                OllamaChat,
                &ollama,
                vec![piece("{\"b\"", false), piece(": 1}", true)],
                true,
            ),
            (
                OllamaChat,
                &ollama,
                vec![piece("{\"b\"", false), piece("", true)],
                false,
            ),
            (
                OllamaGenerate,
                &ollama,
                vec![generate("[]", false), generate("", true)],
                false,
            ),
            (
                OpenAiResponses,
                &responses,
                vec![added("{\"b\""), completed("{\"b\": 1}")],
                true,
            ),
            (
                OpenAiResponses,
                &responses,
                vec![added("{\"b\""), completed("{\"b\"")],
                false,
            ),
        ] {
            let expected = (!holds).then_some(MISMATCH);
            assert_eq!(
                judged_streamed(dialect, request, &events),
                expected,
                "{dialect:?} {events:?}"
            );
        }
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
