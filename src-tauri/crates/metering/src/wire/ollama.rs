//! Ollama's own protocol: a stream is lines, the last of which says `"done": true` and what was used. Every count may
//! be absent, `prompt_eval_count` when the prompt was cached.

use serde::Deserialize;

use super::reading::{Failure, Reading};
use crate::lenient::{Object, Scalar, Something};

/// A line of a stream, or a whole answer.
#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow, default)]
    model: Scalar<'a>,
    #[serde(default)]
    message: Object<Said>,
    #[serde(default)]
    response: Something,
    #[serde(default)]
    thinking: Something,
    #[serde(default)]
    embeddings: Something,
    #[serde(default)]
    embedding: Something,
    #[serde(borrow, default)]
    done: Scalar<'a>,
    #[serde(borrow, default)]
    done_reason: Scalar<'a>,
    #[serde(borrow, default)]
    prompt_eval_count: Scalar<'a>,
    #[serde(borrow, default)]
    eval_count: Scalar<'a>,
    #[serde(borrow, default)]
    error: Failure<'a>,
}

#[derive(Deserialize)]
struct Said {
    #[serde(default)]
    content: Something,
    #[serde(default)]
    thinking: Something,
    #[serde(default)]
    tool_calls: Something,
}

pub(super) fn read(
    data: &[u8],
    streamed: bool,
    reading: &mut Reading,
) -> Result<(), serde_json::Error> {
    let answer: Answer<'_> = serde_json::from_slice(data)?;
    reading.told_model(&answer.model);
    reading.told_finish(&answer.done_reason);
    reading.input_tokens = answer.prompt_eval_count.count().or(reading.input_tokens);
    reading.output_tokens = answer.eval_count.count().or(reading.output_tokens);
    let embedded = answer.embeddings.0 || answer.embedding.0;
    let mut content = answer.response.0 || answer.thinking.0 || embedded;
    if let Object(Some(said)) = &answer.message {
        content |= said.content.0 || said.thinking.0 || said.tool_calls.0;
        reading.tool_calls |= said.tool_calls.0;
    }
    if content {
        reading.told_content();
    }
    reading.complete |= answer.done.truth() == Some(true) || (embedded && !streamed);
    reading.told_error(answer.error);
    Ok(())
}
