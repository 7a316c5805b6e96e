//! What providers say: streams framed, answers read, requests read and rewritten.
//!
//! ```text
//! chunk ─► sse | ndjson ─► frame ─► openai | responses | anthropic | ollama ─► Reading
//!   └──────────────────────────────► the caller, byte for byte
//! ```
//!
//! [`StreamMeter`] does this for a stream, [`read_answer`] for an answer that is whole, [`Request`] and
//! [`splice::rewrite`] for what is asked.
//!
//! A reading never fails: what cannot be read is counted, what is absent is `None`, and a value of a surprising type
//! counts as absent. Names and messages are cut where they are long. What is read is never part of what was asked or
//! answered, but for the words of an error.

mod anthropic;
mod frame;
mod meter;
pub mod ndjson;
mod ollama;
mod openai;
mod reading;
mod request;
mod responses;
pub mod splice;
pub mod sse;
#[cfg(test)]
mod tests;

pub use frame::{Frame, MAX_FRAME};
pub use meter::StreamMeter;
pub use reading::{ProviderError, Reading};
pub use request::{JsonWanted, NoRequest, Request};

use reading::Reader;

/// What an endpoint speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// OpenAI `/v1/chat/completions`.
    OpenAiChat,
    /// OpenAI `/v1/completions`.
    OpenAiCompletions,
    /// OpenAI `/v1/embeddings`.
    OpenAiEmbeddings,
    /// OpenAI `/v1/responses`.
    OpenAiResponses,
    /// Anthropic `/v1/messages`.
    AnthropicMessages,
    /// Ollama `/api/chat`.
    OllamaChat,
    /// Ollama `/api/generate`.
    OllamaGenerate,
    /// Ollama `/api/embed` and `/api/embeddings`.
    OllamaEmbed,
}

impl Dialect {
    /// Whether streams of it are newline-delimited JSON; else they are server-sent events.
    pub fn streams_ndjson(self) -> bool {
        matches!(
            self,
            Self::OllamaChat | Self::OllamaGenerate | Self::OllamaEmbed
        )
    }

    /// Whether a stream of it tells what was used only when the request has `stream_options.include_usage`.
    pub fn wants_include_usage(self) -> bool {
        matches!(self, Self::OpenAiChat | Self::OpenAiCompletions)
    }
}

/// Reads an answer that is whole, also one that is an error.
pub fn read_answer(dialect: Dialect, body: &[u8]) -> Reading {
    let mut reader = Reader::new(dialect);
    reader.whole(body);
    reader.finish()
}

/// The frames of a stream that is there as a whole.
pub fn frames(dialect: Dialect, stream: &[u8], mut each: impl FnMut(Frame<'_>)) {
    if dialect.streams_ndjson() {
        let mut lines = ndjson::Ndjson::new();
        lines.push(stream, &mut each);
        lines.finish(&mut each);
    } else {
        let mut events = sse::Sse::new();
        events.push(stream, &mut each);
        events.finish(&mut each);
    }
}

/// Cuts bytes at the given places, for tests; places beyond the end are left out.
#[cfg(test)]
fn split<'a>(bytes: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut cuts: Vec<_> = cuts.iter().map(|&cut| cut.min(bytes.len())).collect();
    cuts.sort_unstable();
    let mut parts = Vec::new();
    let mut rest = bytes;
    for cut in cuts.into_iter().rev() {
        let (before, after) = rest.split_at(cut);
        parts.push(after);
        rest = before;
    }
    parts.push(rest);
    parts.reverse();
    parts
}
