//! OpenAI's chat completions, completions and embeddings, and those of the many who speak alike.

use serde::Deserialize;

use super::reading::{Failure, Kind, Reading};
use crate::lenient::{List, Object, Scalar, Something};

/// A whole answer, or a chunk of one.
#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow, default)]
    model: Scalar<'a>,
    #[serde(borrow, default)]
    choices: List<Choice<'a>>,
    #[serde(borrow, default)]
    usage: Object<Usage<'a>>,
    /// Where Groq puts what was used by a stream.
    #[serde(borrow, default)]
    x_groq: Object<Groq<'a>>,
    /// Embeddings.
    #[serde(default)]
    data: Something,
    #[serde(borrow, default)]
    error: Failure<'a>,
    /// `error`, where vLLM's error is not in an object of its own.
    #[serde(borrow, default)]
    object: Scalar<'a>,
    #[serde(borrow, default)]
    message: Scalar<'a>,
    #[serde(borrow, default, rename = "type")]
    kind: Scalar<'a>,
    #[serde(borrow, default)]
    code: Scalar<'a>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(default)]
    delta: Object<Said>,
    #[serde(default)]
    message: Object<Said>,
    #[serde(default)]
    text: Something,
    #[serde(borrow, default)]
    finish_reason: Scalar<'a>,
}

#[derive(Deserialize)]
struct Said {
    #[serde(default)]
    content: Something,
    #[serde(default)]
    reasoning: Something,
    #[serde(default)]
    reasoning_content: Something,
    #[serde(default)]
    refusal: Something,
    #[serde(default)]
    audio: Something,
    #[serde(default)]
    tool_calls: Something,
    #[serde(default)]
    function_call: Something,
}

#[derive(Deserialize)]
struct Groq<'a> {
    #[serde(borrow, default)]
    usage: Object<Usage<'a>>,
}

/// What was used. Cached tokens are part of the prompt's.
#[derive(Deserialize)]
struct Usage<'a> {
    #[serde(borrow, default)]
    prompt_tokens: Scalar<'a>,
    #[serde(borrow, default)]
    completion_tokens: Scalar<'a>,
    #[serde(borrow, default)]
    total_tokens: Scalar<'a>,
    #[serde(borrow, default)]
    prompt_tokens_details: Object<InputDetails<'a>>,
    /// DeepSeek's name for `prompt_tokens_details.cached_tokens`.
    #[serde(borrow, default)]
    prompt_cache_hit_tokens: Scalar<'a>,
}

/// Of what was read.
#[derive(Deserialize)]
pub(super) struct InputDetails<'a> {
    #[serde(borrow, default)]
    cached_tokens: Scalar<'a>,
    #[serde(borrow, default)]
    cache_write_tokens: Scalar<'a>,
    #[serde(borrow, default)]
    cache_creation_tokens: Scalar<'a>,
}

impl InputDetails<'_> {
    pub(super) fn tell(&self, reading: &mut Reading) {
        let written = self.cache_write_tokens.count();
        reading.cached_read = self.cached_tokens.count().or(reading.cached_read);
        reading.cache_write = written
            .or_else(|| self.cache_creation_tokens.count())
            .or(reading.cache_write);
    }
}

impl Usage<'_> {
    /// All output. xAI and Gemini count thoughts beside `completion_tokens`, and only in the total.
    fn output(&self) -> Option<u64> {
        let (total, prompt) = (self.total_tokens.count(), self.prompt_tokens.count());
        let beyond = total
            .zip(prompt)
            .map(|(total, prompt)| total.saturating_sub(prompt));
        // Of embeddings, which have no output, nothing is left over.
        self.completion_tokens
            .count()
            .max(beyond.filter(|beyond| *beyond > 0))
    }

    /// Some tell it with each chunk, then the last one counts.
    fn tell(&self, reading: &mut Reading) {
        reading.input_tokens = self.prompt_tokens.count().or(reading.input_tokens);
        reading.output_tokens = self.output().or(reading.output_tokens);
        reading.cached_read = self.prompt_cache_hit_tokens.count().or(reading.cached_read);
        if let Object(Some(details)) = &self.prompt_tokens_details {
            details.tell(reading);
        }
    }
}

impl Said {
    fn calls(&self) -> bool {
        self.tool_calls.0 || self.function_call.0
    }

    fn is_content(&self) -> bool {
        self.content.0
            || self.reasoning.0
            || self.reasoning_content.0
            || self.refusal.0
            || self.audio.0
            || self.calls()
    }
}

pub(super) fn read(
    data: &[u8],
    streamed: bool,
    reading: &mut Reading,
) -> Result<Kind, serde_json::Error> {
    let answer: Answer<'_> = serde_json::from_slice(data)?;
    reading.told_model(&answer.model);
    let usages = [
        &answer.usage,
        &answer.x_groq.0.map(|groq| groq.usage).unwrap_or_default(),
    ]
    .map(|usage| {
        usage
            .0
            .as_ref()
            .inspect(|usage| usage.tell(reading))
            .is_some()
    });
    let mut content = answer.data.0;
    for choice in answer.choices.iter() {
        reading.told_finish(&choice.finish_reason);
        content |= choice.text.0;
        for said in [&choice.delta, &choice.message] {
            if let Object(Some(said)) = said {
                content |= said.is_content();
                reading.tool_calls |= said.calls();
            }
        }
    }
    if content {
        reading.told_content();
    }
    let failed = answer.error.is_some();
    reading.told_error(answer.error);
    if answer.object.text() == Some("error") {
        reading.told_error(Failure::of(answer.kind, answer.code, answer.message));
    }
    if !streamed {
        reading.complete = !answer.choices.is_empty() || answer.data.0;
    }
    let only_usage =
        usages.contains(&true) && matches!(&answer.choices, List(Some(none)) if none.is_empty());
    Ok(if streamed && only_usage && !content && !failed {
        Kind::UsageOnly
    } else {
        Kind::Ordinary
    })
}
