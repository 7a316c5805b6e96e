//! Anthropic's messages. A stream opens with `message_start` (what was read), ends with `message_delta` (what was
//! written, and why it stopped) and `message_stop`.
//!
//! Here cached tokens stand beside `input_tokens`, not in it. Counts are running totals: the largest one told counts.

use serde::Deserialize;

use super::reading::{Failure, Reading};
use crate::lenient::{List, Object, Scalar, Something};

/// An event of a stream, or a whole message.
#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Scalar<'a>,
    #[serde(borrow, default)]
    message: Object<Message<'a>>,
    #[serde(borrow, default)]
    content_block: Object<Block<'a>>,
    #[serde(borrow, default)]
    delta: Object<Delta<'a>>,
    #[serde(borrow, default)]
    error: Failure<'a>,
    // Of a whole message; `usage` also of a `message_delta`.
    #[serde(borrow, default)]
    model: Scalar<'a>,
    #[serde(borrow, default)]
    stop_reason: Scalar<'a>,
    #[serde(borrow, default)]
    content: List<Block<'a>>,
    #[serde(borrow, default)]
    usage: Object<Counts<'a>>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow, default)]
    model: Scalar<'a>,
    #[serde(borrow, default)]
    usage: Object<Counts<'a>>,
}

#[derive(Deserialize)]
struct Block<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Scalar<'a>,
    #[serde(default)]
    text: Something,
    #[serde(default)]
    thinking: Something,
}

#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(default)]
    text: Something,
    #[serde(default)]
    thinking: Something,
    #[serde(default)]
    partial_json: Something,
    #[serde(borrow, default)]
    stop_reason: Scalar<'a>,
}

#[derive(Deserialize)]
struct Counts<'a> {
    #[serde(borrow, default)]
    input_tokens: Scalar<'a>,
    #[serde(borrow, default)]
    output_tokens: Scalar<'a>,
    #[serde(borrow, default)]
    cache_read_input_tokens: Scalar<'a>,
    #[serde(borrow, default)]
    cache_creation_input_tokens: Scalar<'a>,
    #[serde(borrow, default)]
    cache_creation: Object<Creation<'a>>,
}

/// Of the tokens written to the cache, how long they last.
#[derive(Deserialize)]
struct Creation<'a> {
    #[serde(borrow, default)]
    ephemeral_5m_input_tokens: Scalar<'a>,
    #[serde(borrow, default)]
    ephemeral_1h_input_tokens: Scalar<'a>,
}

/// What was used, as it is told.
#[derive(Debug, Default)]
pub(super) struct Usage {
    input: Option<u64>,
    output: Option<u64>,
    read: Option<u64>,
    written: Option<u64>,
    written_5m: Option<u64>,
    written_1h: Option<u64>,
}

impl Usage {
    fn take(&mut self, counts: &Counts<'_>) {
        let Object(creation) = &counts.cache_creation;
        let creation = creation.as_ref();
        for (total, told) in [
            (&mut self.input, counts.input_tokens.count()),
            (&mut self.output, counts.output_tokens.count()),
            (&mut self.read, counts.cache_read_input_tokens.count()),
            (
                &mut self.written,
                counts.cache_creation_input_tokens.count(),
            ),
            (
                &mut self.written_5m,
                creation.and_then(|c| c.ephemeral_5m_input_tokens.count()),
            ),
            (
                &mut self.written_1h,
                creation.and_then(|c| c.ephemeral_1h_input_tokens.count()),
            ),
        ] {
            *total = (*total).max(told);
        }
    }

    /// In our counting: cached tokens are part of the input.
    pub(super) fn tell(&self, reading: &mut Reading) {
        let split = self
            .written_5m
            .unwrap_or(0)
            .saturating_add(self.written_1h.unwrap_or(0));
        let written = self.written.max((split > 0).then_some(split));
        let hour = self.written_1h.map(|hour| hour.min(written.unwrap_or(0)));
        if let Some(fresh) = self.input {
            let cached = self.read.unwrap_or(0).saturating_add(written.unwrap_or(0));
            reading.input_tokens = Some(fresh.saturating_add(cached));
        }
        reading.output_tokens = self.output.or(reading.output_tokens);
        reading.cached_read = self.read.or(reading.cached_read);
        reading.cache_write_1h = hour.or(reading.cache_write_1h);
        reading.cache_write = written
            .map(|written| written - hour.unwrap_or(0))
            .or(reading.cache_write);
    }
}

impl Block<'_> {
    /// `tool_use`, `server_tool_use`, `mcp_tool_use`.
    fn is_call(&self) -> bool {
        self.kind
            .text()
            .is_some_and(|kind| kind.ends_with("tool_use"))
    }

    /// A text or a thought opens empty; anything else is there at once.
    fn is_content(&self) -> bool {
        match self.kind.text() {
            Some("text" | "thinking") | None => self.text.0 || self.thinking.0,
            Some(_) => true,
        }
    }
}

pub(super) fn read(
    data: &[u8],
    usage: &mut Usage,
    reading: &mut Reading,
) -> Result<(), serde_json::Error> {
    let event: Event<'_> = serde_json::from_slice(data)?;
    if let Object(Some(message)) = &event.message {
        reading.told_model(&message.model);
        if let Object(Some(counts)) = &message.usage {
            usage.take(counts);
        }
    }
    if let Object(Some(counts)) = &event.usage {
        usage.take(counts);
    }
    reading.told_model(&event.model);
    reading.told_finish(&event.stop_reason);
    let mut content = false;
    let Object(opened) = &event.content_block;
    for block in opened.iter().chain(event.content.iter()) {
        content |= block.is_content();
        reading.tool_calls |= block.is_call();
    }
    if let Object(Some(delta)) = &event.delta {
        content |= delta.text.0 || delta.thinking.0 || delta.partial_json.0;
        reading.told_finish(&delta.stop_reason);
    }
    if content {
        reading.told_content();
    }
    reading.told_error(event.error);
    if matches!(event.kind.text(), Some("message_stop" | "message")) {
        reading.complete = true;
    }
    Ok(())
}
