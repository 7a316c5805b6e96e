//! Answers as the providers write them, whole and streamed.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::price::Tokens;

/// What is read of a stream that comes in these chunks, and what goes on to the client.
fn metered<'a>(
    meter: StreamMeter,
    chunks: impl IntoIterator<Item = &'a [u8]>,
) -> (Reading, String) {
    let mut meter = meter;
    let mut passed = Vec::new();
    let mut out = |bytes: Bytes| passed.extend_from_slice(&bytes);
    for chunk in chunks {
        meter.push(Bytes::copy_from_slice(chunk), &mut out);
    }
    let reading = meter.finish(&mut out);
    (reading, String::from_utf8_lossy(&passed).into_owned())
}

/// What is read of a stream; it must not depend on how it is cut, and it must pass on as it is.
fn stream(dialect: Dialect, stream: &str) -> Reading {
    let (reading, passed) = metered(StreamMeter::new(dialect), [stream.as_bytes()]);
    assert_eq!(passed, stream);
    for size in [1, 2, 7, 100] {
        let (again, passed) = metered(StreamMeter::new(dialect), stream.as_bytes().chunks(size));
        assert_eq!((&again, passed.as_str()), (&reading, stream), "{size}");
    }
    reading
}

/// What goes on of a stream whose usage was not asked for by the client, however it is cut.
fn dropped(body: &str) -> String {
    let meter = || StreamMeter::new(Dialect::OpenAiChat).dropping_usage();
    let (reading, passed) = metered(meter(), [body.as_bytes()]);
    for size in [1, 3, 50, 90] {
        let again = metered(meter(), body.as_bytes().chunks(size));
        assert_eq!(again, (reading.clone(), passed.clone()), "{size}");
    }
    passed
}

fn whole(dialect: Dialect, body: &str) -> Reading {
    read_answer(dialect, body.as_bytes())
}

/// Server-sent events of these data.
fn sse(data: &[&str]) -> String {
    data.iter()
        .map(|data| format!("data: {data}\n\n"))
        .collect()
}

/// The same as a client gets them that did not ask for usage.
fn asked_for(data: &[&str]) -> String {
    sse(data).replace(",\"usage\":null", "")
}

const ROLE: &str = r#"{"id":"c","object":"chat.completion.chunk","model":"gpt-4o-2024-08-06","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}],"usage":null}"#;
const HELLO: &str = r#"{"id":"c","model":"gpt-4o-2024-08-06","choices":[{"index":0,"delta":{"content":"Hello"},"finish_reason":null}],"usage":null}"#;
const STOP: &str = r#"{"id":"c","model":"gpt-4o-2024-08-06","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null}"#;
const USAGE: &str = r#"{"id":"c","model":"gpt-4o-2024-08-06","choices":[],"usage":{"prompt_tokens":1000,"completion_tokens":20,"total_tokens":1020,"prompt_tokens_details":{"cached_tokens":400,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":5}}}"#;
const DONE: &str = "[DONE]";

#[test]
fn an_openai_chat_that_streams() {
    let reading = stream(
        Dialect::OpenAiChat,
        &sse(&[ROLE, HELLO, HELLO, STOP, USAGE, DONE]),
    );
    let expected = Reading {
        model: Some("gpt-4o-2024-08-06".to_owned()),
        input_tokens: Some(1000),
        cached_read: Some(400),
        output_tokens: Some(20),
        finish_reason: Some("stop".to_owned()),
        complete: true,
        saw_content: true,
        pieces: 2,
        ..Reading::default()
    };
    assert_eq!(reading, expected);
    let tokens = Tokens {
        input: 1000,
        cached_read: 400,
        output: 20,
        ..Tokens::default()
    };
    assert_eq!(reading.tokens(), Some(tokens));
}

#[test]
fn the_first_content_is_not_the_role() {
    let mut meter = StreamMeter::new(Dialect::OpenAiChat);
    let mut seen = Vec::new();
    for event in [ROLE, HELLO, STOP] {
        meter.push(sse(&[event]).into(), &mut |_| ());
        seen.push(meter.saw_content());
    }
    assert_eq!(seen, [false, true, true]);
    for delta in [
        r#""reasoning_content":"hm""#,
        r#""reasoning":"hm""#,
        r#""refusal":"no""#,
        r#""tool_calls":[{"index":0,"function":{"name":"f"}}]"#,
    ] {
        let event = format!(r#"{{"choices":[{{"delta":{{"content":null,{delta}}}}}]}}"#);
        let reading = stream(Dialect::OpenAiChat, &sse(&[ROLE, &event]));
        assert!(reading.saw_content, "{delta}");
        assert_eq!(reading.tool_calls, delta.contains("tool_calls"));
    }
}

#[test]
fn only_the_chunk_that_has_nothing_but_usage_is_left_out() {
    let asked = sse(&[ROLE, HELLO, STOP, USAGE, DONE]);
    // What the client would have got directly.
    let unasked = asked_for(&[ROLE, HELLO, STOP, DONE]);
    assert_eq!(dropped(&asked), unasked);
    // At the very end, and without its blank line.
    assert_eq!(dropped(&sse(&[HELLO, USAGE])), asked_for(&[HELLO]));
    assert_eq!(
        dropped(sse(&[HELLO, USAGE]).trim_end()),
        asked_for(&[HELLO])
    );
    assert_eq!(
        dropped(sse(&[HELLO]).trim_end()),
        asked_for(&[HELLO]).trim_end()
    );
    assert_eq!(dropped("data: cut"), "data: cut");
    let crlf = asked.replace('\n', "\r\n");
    assert_eq!(dropped(&crlf), unasked.replace('\n', "\r\n"));

    let with_choice = r#"{"choices":[{"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":4}}"#;
    let with_error = r#"{"choices":[],"usage":{"prompt_tokens":3},"error":{"message":"x"}}"#;
    // Azure's first chunk.
    let filter = r#"{"choices":[],"prompt_filter_results":[]}"#;
    // What only looks like it.
    let nested = r#"{"choices":[{"delta":{"content":"\"usage\":null","usage":null}}]}"#;
    let over_lines = "{\"choices\":[],\ndata: \"usage\":null}";
    let no_choices = r#"{"usage":{"prompt_tokens":3,"completion_tokens":4}}"#;
    for kept in [
        with_choice,
        with_error,
        filter,
        nested,
        over_lines,
        no_choices,
        "not json",
        ": ping",
    ] {
        let body = format!(": c\n\n{}", sse(&[kept, DONE]));
        assert_eq!(dropped(&body), body);
    }
    let reading = stream(Dialect::OpenAiChat, &sse(&[HELLO, with_choice]));
    assert_eq!(
        (reading.input_tokens, reading.output_tokens),
        (Some(3), Some(4))
    );
    assert!(reading.complete);
}

#[test]
fn nothing_is_held_back_but_an_event_that_is_not_complete() {
    let mut meter = StreamMeter::new(Dialect::OpenAiChat).dropping_usage();
    let mut passed = Vec::new();
    let mut push = |chunk: &'static str| {
        passed.clear();
        meter.push(Bytes::from_static(chunk.as_bytes()), &mut |bytes| {
            passed.push(bytes);
        });
        passed
            .iter()
            .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(push(": ping\n\n"), [": ping\n\n"]);
    assert_eq!(push("data: {}\n\ndata: {\"a\""), ["data: {}\n\n"]);
    assert!(push(":1}").is_empty());
    assert_eq!(
        push("\n\ndata: {}\n\n"),
        ["data: {\"a\":1}\n\ndata: {}\n\n"]
    );
}

#[test]
fn an_endless_event_passes_through_in_bounded_memory() {
    let mut meter = StreamMeter::new(Dialect::OpenAiChat).dropping_usage();
    let chunk = Bytes::from(vec![b'x'; 64 * 1024]);
    let mut passed = 0;
    let mut out = |bytes: Bytes| passed += bytes.len();
    meter.push("data: ".into(), &mut out);
    for _ in 0..64 {
        meter.push(chunk.clone(), &mut out);
    }
    assert!(meter.held_bytes() <= MAX_FRAME);
    meter.push(sse(&["", USAGE]).into(), &mut out);
    let reading = meter.finish(&mut out);
    assert_eq!(passed, "data: ".len() + 64 * chunk.len() + sse(&[""]).len());
    assert_eq!((reading.oversized, reading.output_tokens), (1, Some(20)));
}

#[test]
fn usage_comes_in_other_places() {
    let groq = r#"{"choices":[{"delta":{},"finish_reason":"stop"}],"x_groq":{"usage":{"prompt_tokens":5,"completion_tokens":6}}}"#;
    let deepseek = r#"{"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":6,"prompt_cache_hit_tokens":2,"prompt_cache_miss_tokens":3}}"#;
    let running = r#"{"choices":[{"delta":{"content":"a"}}],"usage":{"prompt_tokens":5,"completion_tokens":1}}"#;
    let writes = r#"{"choices":[],"usage":{"prompt_tokens":5.0,"completion_tokens":6,"prompt_tokens_details":{"cached_tokens":1,"cache_write_tokens":4}}}"#;
    for (last, read, written) in [
        (groq, None, None),
        (deepseek, Some(2), None),
        (writes, Some(1), Some(4)),
    ] {
        let reading = stream(Dialect::OpenAiChat, &sse(&[running, running, last, DONE]));
        assert_eq!(
            (reading.input_tokens, reading.output_tokens),
            (Some(5), Some(6)),
            "{last}"
        );
        assert_eq!(
            (reading.cached_read, reading.cache_write),
            (read, written),
            "{last}"
        );
    }
}

#[test]
fn thoughts_that_are_counted_beside_the_completion_are_output() {
    let output = |usage: &str| {
        let chat = format!(
            r#"{{"choices":[{{"message":{{"content":"a"}},"finish_reason":"stop"}}],"usage":{{{usage}}}}}"#
        );
        let last = format!(r#"{{"choices":[],"usage":{{{usage}}}}}"#);
        let whole = whole(Dialect::OpenAiChat, &chat).output_tokens;
        let streamed = stream(Dialect::OpenAiChat, &sse(&[HELLO, STOP, &last, DONE])).output_tokens;
        assert_eq!(whole, streamed, "{usage}");
        whole
    };
    // xAI: 386 thoughts and one word.
    let thought = r#""prompt_tokens":12,"completion_tokens":1,"total_tokens":399,"completion_tokens_details":{"reasoning_tokens":386}"#;
    assert_eq!(output(thought), Some(387));
    for (usage, expected) in [
        (
            r#""prompt_tokens":12,"completion_tokens":40,"total_tokens":52"#,
            Some(40),
        ),
        // A total that cannot be.
        (
            r#""prompt_tokens":12,"completion_tokens":40,"total_tokens":3"#,
            Some(40),
        ),
        (r#""completion_tokens":40,"total_tokens":52"#, Some(40)),
        (r#""prompt_tokens":12,"total_tokens":52"#, Some(40)),
        (r#""prompt_tokens":12,"total_tokens":12"#, None),
    ] {
        assert_eq!(output(usage), expected, "{usage}");
    }
}

#[test]
fn a_stream_that_is_cut_is_not_complete() {
    for (dialect, cut) in [
        (Dialect::OpenAiChat, sse(&[ROLE, HELLO])),
        (Dialect::OpenAiChat, String::new()),
        (
            Dialect::AnthropicMessages,
            sse(&[r#"{"type":"message_start","message":{"model":"m"}}"#]),
        ),
        (
            Dialect::OpenAiResponses,
            sse(&[r#"{"type":"response.output_text.delta","delta":"a"}"#]),
        ),
        (
            Dialect::OllamaChat,
            "{\"message\":{\"content\":\"a\"},\"done\":false}\n".to_owned(),
        ),
    ] {
        let reading = stream(dialect, &cut);
        assert!(!reading.complete && reading.error.is_none(), "{dialect:?}");
        assert_eq!(reading.tokens(), None);
    }
    // Not all send the mark; a reason to stop is an end, too.
    assert!(stream(Dialect::OpenAiChat, &sse(&[HELLO, STOP])).complete);
}

#[test]
fn an_openai_answer_that_is_whole() {
    let chat = whole(
        Dialect::OpenAiChat,
        r#"{"id":"c","model":"gpt-4o","choices":[{"message":{"role":"assistant","content":null,
            "tool_calls":[{"id":"t","type":"function","function":{"name":"f","arguments":"{}"}}]},"finish_reason":"tool_calls"}],
            "usage":{"prompt_tokens":9,"completion_tokens":3,"prompt_tokens_details":null}}"#,
    );
    assert!(chat.complete && chat.saw_content && chat.tool_calls);
    assert_eq!(
        (chat.input_tokens, chat.cached_read, chat.output_tokens),
        (Some(9), None, Some(3))
    );
    assert_eq!(chat.finish_reason.as_deref(), Some("tool_calls"));

    let text = whole(
        Dialect::OpenAiCompletions,
        r#"{"choices":[{"text":"x","finish_reason":"length"}],"usage":{"prompt_tokens":1,"completion_tokens":2}}"#,
    );
    assert!(text.complete && text.saw_content);

    let vectors = whole(
        Dialect::OpenAiEmbeddings,
        r#"{"object":"list","data":[{"embedding":[0.1,-2e-3]}],"model":"e","usage":{"prompt_tokens":8,"total_tokens":8}}"#,
    );
    assert!(vectors.complete && vectors.saw_content);
    assert_eq!(
        (vectors.input_tokens, vectors.output_tokens),
        (Some(8), None)
    );
    assert_eq!(vectors.tokens().unwrap().output, 0);

    // Empty in one way or the other.
    let empty = whole(
        Dialect::OpenAiChat,
        r#"{"choices":[{"message":{"content":""}}]}"#,
    );
    assert!(empty.complete && !empty.saw_content);
    for body in [r#"{"choices":[]}"#, "{}"] {
        let none = whole(Dialect::OpenAiChat, body);
        assert!(
            !none.complete && !none.saw_content && none.malformed == 0,
            "{body}"
        );
    }
    for body in ["", "<html>", "[]", "null", "{\"choices\":[{}]"] {
        let none = whole(Dialect::OpenAiChat, body);
        assert_eq!((none.malformed, none.complete), (1, false), "{body}");
    }
}

#[test]
fn an_error_is_told_in_any_shape() {
    let of = |kind: Option<&str>, code: Option<&str>, message: &str| ProviderError {
        kind: kind.map(str::to_owned),
        code: code.map(str::to_owned),
        message: Some(message.to_owned()),
    };
    for (dialect, error, expected) in [
        (
            Dialect::OpenAiChat,
            r#"{"error":{"message":"m","type":"t","param":null,"code":"c"}}"#,
            of(Some("t"), Some("c"), "m"),
        ),
        (
            Dialect::OpenAiChat,
            r#"{"error":{"message":"m","code":429}}"#,
            of(None, Some("429"), "m"),
        ),
        (Dialect::OpenAiChat, r#"{"error":"m"}"#, of(None, None, "m")),
        (
            Dialect::OpenAiChat,
            r#"{"object":"error","message":"m","type":"t","code":400}"#,
            of(Some("t"), Some("400"), "m"),
        ),
        (
            Dialect::AnthropicMessages,
            r#"{"type":"error","error":{"type":"overloaded_error","message":"m"}}"#,
            of(Some("overloaded_error"), None, "m"),
        ),
        (Dialect::OllamaChat, r#"{"error":"m"}"#, of(None, None, "m")),
        (
            Dialect::OpenAiResponses,
            r#"{"error":{"message":"m","type":"t","code":null}}"#,
            of(Some("t"), None, "m"),
        ),
    ] {
        let reading = whole(dialect, error);
        assert_eq!(reading.error.as_ref(), Some(&expected), "{error}");
        assert!(!reading.complete, "{error}");

        let events = match dialect {
            Dialect::OllamaChat => format!("{{\"response\":\"a\"}}\n{error}\n{{\"done\":true}}\n"),
            _ => format!("event: error\ndata: {error}\n\n{}", sse(&[HELLO, DONE])),
        };
        let mut meter = StreamMeter::new(dialect);
        meter.push(events.clone().into(), &mut |_| ());
        assert_eq!(meter.error(), Some(&expected), "{error}");
        assert!(!stream(dialect, &events).complete, "{error}");
    }
    let long = format!(r#"{{"error":"{}"}}"#, "\u{e9}".repeat(10_000));
    let message = whole(Dialect::OllamaChat, &long)
        .error
        .unwrap()
        .message
        .unwrap();
    assert_eq!(message.len(), 500);
    for no_error in [
        r#"{"error":null}"#,
        r#"{"error":""}"#,
        r#"{"error":[]}"#,
        r#"{"error":false}"#,
    ] {
        assert_eq!(
            whole(Dialect::OpenAiChat, no_error).error,
            None,
            "{no_error}"
        );
    }
}

/// A stream of Anthropic's, with a cache of both durations.
const MESSAGE: [&str; 9] = [
    r#"{"type":"message_start","message":{"id":"m","type":"message","role":"assistant","model":"claude-sonnet-4-5","content":[],"stop_reason":null,"usage":{"input_tokens":100,"cache_creation_input_tokens":30,"cache_read_input_tokens":7,"cache_creation":{"ephemeral_5m_input_tokens":10,"ephemeral_1h_input_tokens":20},"output_tokens":1}}}"#,
    r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
    r#"{"type":"ping"}"#,
    r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hi"}}"#,
    r#"{"type":"content_block_stop","index":0}"#,
    r#"{"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"t","name":"f","input":{}}}"#,
    r#"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":""}}"#,
    r#"{"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"output_tokens":15}}"#,
    r#"{"type":"message_stop"}"#,
];

#[test]
fn anthropics_messages_that_stream() {
    let events: String = MESSAGE
        .iter()
        .map(|data| format!("event: x\ndata: {data}\n\n"))
        .collect();
    let expected = Reading {
        model: Some("claude-sonnet-4-5".to_owned()),
        input_tokens: Some(137),
        cached_read: Some(7),
        cache_write: Some(10),
        cache_write_1h: Some(20),
        output_tokens: Some(15),
        finish_reason: Some("tool_use".to_owned()),
        complete: true,
        saw_content: true,
        pieces: 2,
        tool_calls: true,
        ..Reading::default()
    };
    assert_eq!(stream(Dialect::AnthropicMessages, &events), expected);

    // The first content is the text, not the block that opens for it.
    let mut meter = StreamMeter::new(Dialect::AnthropicMessages);
    let mut seen = Vec::new();
    for data in &MESSAGE[..4] {
        meter.push(sse(&[data]).into(), &mut |_| ());
        seen.push(meter.saw_content());
    }
    assert_eq!(seen, [false, false, false, true]);

    // Cut before it ends: what was read is known.
    let cut = stream(Dialect::AnthropicMessages, &sse(&MESSAGE[..4]));
    assert_eq!(
        (cut.input_tokens, cut.output_tokens, cut.complete),
        (Some(137), Some(1), false)
    );
}

#[test]
fn anthropics_counts_are_running_totals() {
    let delta = r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"input_tokens":120,"cache_creation_input_tokens":null,"cache_read_input_tokens":8,"output_tokens":15}}"#;
    let reading = stream(
        Dialect::AnthropicMessages,
        &sse(&[MESSAGE[0], delta, delta]),
    );
    assert_eq!(reading.input_tokens, Some(120 + 30 + 8));
    assert_eq!(reading.output_tokens, Some(15));
}

#[test]
fn anthropics_message_that_is_whole() {
    let body = r#"{"type":"message","model":"claude","content":[{"type":"thinking","thinking":"","signature":"s"},{"type":"text","text":"Hi"}],
        "stop_reason":"end_turn","usage":{"input_tokens":10,"cache_read_input_tokens":5,"cache_creation_input_tokens":2,"output_tokens":3}}"#;
    let reading = whole(Dialect::AnthropicMessages, body);
    assert!(reading.complete && reading.saw_content && !reading.tool_calls);
    assert_eq!(
        (reading.input_tokens, reading.output_tokens),
        (Some(17), Some(3))
    );
    // Without a split, writes are for minutes.
    assert_eq!(
        (reading.cache_write, reading.cache_write_1h),
        (Some(2), None)
    );
    let empty = whole(
        Dialect::AnthropicMessages,
        r#"{"type":"message","content":[]}"#,
    );
    assert!(empty.complete && !empty.saw_content);
}

#[test]
fn openai_and_anthropic_agree_on_one_prompt() {
    let openai = whole(
        Dialect::OpenAiChat,
        r#"{"choices":[{"message":{"content":"x"}}],"usage":{"prompt_tokens":50,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":40}}}"#,
    );
    let anthropic = whole(
        Dialect::AnthropicMessages,
        r#"{"type":"message","content":[],"usage":{"input_tokens":10,"cache_read_input_tokens":40,"output_tokens":2}}"#,
    );
    assert_eq!(openai.tokens(), anthropic.tokens());
}

#[test]
fn openais_responses() {
    let response = |status: &str, rest: &str| {
        format!(
            r#"{{"object":"response","model":"gpt-5","status":"{status}","output":[{{"type":"reasoning"}},{{"type":"function_call"}}],
            "usage":{{"input_tokens":70,"input_tokens_details":{{"cached_tokens":60}},"output_tokens":9}}{rest}}}"#
        )
        .replace('\n', " ")
    };
    let done = whole(Dialect::OpenAiResponses, &response("completed", ""));
    assert!(done.complete && done.saw_content && done.tool_calls);
    assert_eq!(
        (done.input_tokens, done.cached_read, done.output_tokens),
        (Some(70), Some(60), Some(9))
    );
    assert_eq!(done.finish_reason.as_deref(), Some("completed"));

    let short = r#","incomplete_details":{"reason":"max_output_tokens"},"error":null"#;
    let short = whole(Dialect::OpenAiResponses, &response("incomplete", short));
    assert!(short.complete);
    assert_eq!(short.finish_reason.as_deref(), Some("max_output_tokens"));
    assert!(!whole(Dialect::OpenAiResponses, &response("in_progress", "")).complete);

    let created = r#"{"type":"response.created","response":{"model":"gpt-5","status":"in_progress","output":[],"usage":null}}"#;
    let delta = r#"{"type":"response.output_text.delta","delta":"Hi"}"#;
    let last = format!(
        r#"{{"type":"response.completed","response":{}}}"#,
        response("completed", "")
    );
    let streamed = stream(
        Dialect::OpenAiResponses,
        &sse(&[created, delta, delta, &last]),
    );
    assert_eq!(streamed, Reading { pieces: 2, ..done });

    let failed = response(
        "failed",
        r#","error":{"code":"server_error","message":"m"}"#,
    );
    let failed = format!(r#"{{"type":"response.failed","response":{failed}}}"#);
    let flat = r#"{"type":"error","code":"server_error","message":"m","param":null}"#;
    for error in [failed.as_str(), flat] {
        let reading = stream(Dialect::OpenAiResponses, &sse(&[created, error]));
        assert_eq!(reading.error.unwrap().code.as_deref(), Some("server_error"));
        assert!(!reading.complete);
    }
}

#[test]
fn a_last_event_that_is_too_long_is_not_a_cut() {
    let long = format!(
        r#"{{"type":"response.completed","response":{{"x":"{}"}}}}"#,
        "x".repeat(MAX_FRAME)
    );
    let (reading, _) = metered(
        StreamMeter::new(Dialect::OpenAiResponses),
        [sse(&[&long]).as_bytes()],
    );
    assert!(reading.complete);
    assert_eq!((reading.oversized, reading.tokens()), (1, None));
}

#[test]
fn ollamas_own_protocol() {
    let piece = r#"{"model":"llama3.2","created_at":"x","message":{"role":"assistant","content":"a"},"done":false}"#;
    let last = r#"{"model":"llama3.2","message":{"role":"assistant","content":""},"done_reason":"stop","done":true,"total_duration":5,"prompt_eval_count":26,"eval_count":282}"#;
    let chat = stream(Dialect::OllamaChat, &format!("{piece}\n{piece}\n{last}\n"));
    let expected = Reading {
        model: Some("llama3.2".to_owned()),
        input_tokens: Some(26),
        output_tokens: Some(282),
        finish_reason: Some("stop".to_owned()),
        complete: true,
        saw_content: true,
        pieces: 2,
        ..Reading::default()
    };
    assert_eq!(chat, expected);

    // The prompt was cached: its count is absent, and unknown.
    let generated = whole(
        Dialect::OllamaGenerate,
        r#"{"response":"x","done":true,"eval_count":3}"#,
    );
    assert_eq!(
        (generated.input_tokens, generated.output_tokens),
        (None, Some(3))
    );
    assert!(generated.complete && generated.saw_content);

    let thought = r#"{"message":{"content":"","thinking":"hm","tool_calls":[{"function":{"name":"f"}}]},"done":false}"#;
    let thought = stream(Dialect::OllamaChat, thought);
    assert!(thought.saw_content && thought.tool_calls && !thought.complete);

    for vectors in [
        r#"{"model":"e","embeddings":[[0.1]],"prompt_eval_count":4}"#,
        r#"{"embedding":[0.1]}"#,
    ] {
        let reading = whole(Dialect::OllamaEmbed, vectors);
        assert!(reading.complete && reading.saw_content, "{vectors}");
    }
    assert!(!whole(Dialect::OllamaEmbed, r#"{"embeddings":[]}"#).complete);
}

#[test]
fn characters_that_are_cut_in_two_do_not_hide_the_rest() {
    let mut body = sse(&[HELLO, STOP, USAGE, DONE]).into_bytes();
    let at = body.windows(5).position(|word| word == b"Hello").unwrap();
    body[at] = 0xff;
    let (reading, _) = metered(StreamMeter::new(Dialect::OpenAiChat), [&body[..]]);
    assert_eq!(
        (reading.malformed, reading.pieces, reading.output_tokens),
        (0, 1, Some(20))
    );

    let mut meter = StreamMeter::new(Dialect::OpenAiChat).dropping_usage();
    let mut passed = Vec::new();
    meter.push(body.clone().into(), &mut |bytes| {
        passed.extend_from_slice(&bytes);
    });
    let mut kept = asked_for(&[HELLO, STOP, DONE]).into_bytes();
    let at = kept.windows(5).position(|word| word == b"Hello").unwrap();
    kept[at] = 0xff;
    assert_eq!(passed, kept);
}

#[test]
fn chunks_go_on_uncopied() {
    for meter in [
        StreamMeter::new(Dialect::OpenAiChat),
        StreamMeter::new(Dialect::OpenAiChat).dropping_usage(),
    ] {
        let mut meter = meter;
        let chunk = Bytes::from(asked_for(&[ROLE, HELLO]));
        let mut passed = Vec::new();
        meter.push(chunk.clone(), &mut |bytes| passed.push(bytes.as_ptr()));
        assert_eq!(passed, [chunk.as_ptr()]);
    }
}

fn dialect() -> impl Strategy<Value = Dialect> {
    prop::sample::select(vec![
        Dialect::OpenAiChat,
        Dialect::OpenAiCompletions,
        Dialect::OpenAiEmbeddings,
        Dialect::OpenAiResponses,
        Dialect::AnthropicMessages,
        Dialect::OllamaChat,
        Dialect::OllamaGenerate,
        Dialect::OllamaEmbed,
    ])
}

/// Events of all dialects, junk, and line ends of all kinds.
fn any_stream() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        prop::sample::select(vec![
            "\n",
            "\r",
            "\r\n",
            "\n\n",
            "data: ",
            ": c",
            "\u{feff}",
            ROLE,
            HELLO,
            STOP,
            USAGE,
            DONE,
            MESSAGE[0],
            MESSAGE[3],
            MESSAGE[7],
            MESSAGE[8],
            r#"{"error":"m"}"#,
            r#"{"done":true,"eval_count":1}"#,
            r#"{"type":"response.completed","response":{"status":"completed"}}"#,
        ])
        .prop_map(|part| part.as_bytes().to_vec()),
        prop::sample::select(vec![HELLO, USAGE, DONE, STOP])
            .prop_map(|data| sse(&[data]).into_bytes()),
        prop::collection::vec(any::<u8>(), 0..6),
    ];
    prop::collection::vec(part, 0..12).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn any_cut_gives_the_same_reading_and_the_same_bytes(
        dialect in dialect(),
        body in any_stream(),
        cuts in prop::collection::vec(0..2000usize, 0..10),
    ) {
        let meter = || StreamMeter::new(dialect);
        let whole = metered(meter(), [&body[..]]);
        prop_assert_eq!(&whole.1, &String::from_utf8_lossy(&body));
        prop_assert_eq!(&metered(meter(), split(&body, &cuts)), &whole);
        prop_assert_eq!(&metered(meter(), body.chunks(1)), &whole);
    }

    /// What is left out does not depend on the cuts either, but for a line end that a cut parts from its event; and
    /// what is read is the same as without leaving out.
    #[test]
    fn leaving_out_changes_no_reading(body in any_stream(), cuts in prop::collection::vec(0..2000usize, 0..10)) {
        let keeping = metered(StreamMeter::new(Dialect::OpenAiChat), [&body[..]]);
        let dropping = || StreamMeter::new(Dialect::OpenAiChat).dropping_usage();
        let whole = metered(dropping(), [&body[..]]);
        let parts = metered(dropping(), split(&body, &cuts));
        prop_assert_eq!(&whole.0, &keeping.0);
        prop_assert_eq!(&parts.0, &keeping.0);
        let events = |passed: &str| {
            let (mut events, mut framing) = (Vec::new(), sse::Sse::new());
            let mut each = |frame: Frame<'_>| events.push(frame.data.to_vec());
            framing.push(passed.as_bytes(), &mut each);
            framing.finish(&mut each);
            events.retain(|data| !data.is_empty());
            events
        };
        prop_assert_eq!(events(&parts.1), events(&whole.1));
    }

    #[test]
    fn junk_is_never_a_panic(dialect in dialect(), body in prop::collection::vec(any::<u8>(), 0..200)) {
        let reading = read_answer(dialect, &body);
        prop_assert!(reading.malformed == 1 || serde_json::from_slice::<serde_json::Value>(&body).is_ok());
    }
}
