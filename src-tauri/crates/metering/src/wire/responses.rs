//! OpenAI's responses. In a stream, every event has its `type`; the last one holds the whole response.

use serde::Deserialize;

use super::openai::InputDetails;
use super::reading::{Failure, Reading};
use crate::lenient::{List, Object, Scalar, Something};

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Scalar<'a>,
    #[serde(borrow, default)]
    response: Object<Response<'a>>,
    #[serde(default)]
    delta: Something,
    #[serde(borrow, default)]
    item: Object<Item<'a>>,
    #[serde(borrow, default)]
    error: Failure<'a>,
    #[serde(borrow, default)]
    code: Scalar<'a>,
    #[serde(borrow, default)]
    message: Scalar<'a>,
}

#[derive(Deserialize)]
struct Response<'a> {
    #[serde(borrow, default)]
    model: Scalar<'a>,
    #[serde(borrow, default)]
    status: Scalar<'a>,
    #[serde(borrow, default)]
    incomplete_details: Object<Incomplete<'a>>,
    #[serde(borrow, default)]
    output: List<Item<'a>>,
    #[serde(borrow, default)]
    usage: Object<Usage<'a>>,
    #[serde(borrow, default)]
    error: Failure<'a>,
}

#[derive(Deserialize)]
struct Incomplete<'a> {
    #[serde(borrow, default)]
    reason: Scalar<'a>,
}

#[derive(Deserialize)]
struct Item<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Scalar<'a>,
}

/// What was used. Cached tokens are part of the input's.
#[derive(Deserialize)]
struct Usage<'a> {
    #[serde(borrow, default)]
    input_tokens: Scalar<'a>,
    #[serde(borrow, default)]
    output_tokens: Scalar<'a>,
    #[serde(borrow, default)]
    input_tokens_details: Object<InputDetails<'a>>,
}

impl Item<'_> {
    /// `function_call`, `web_search_call`, …
    fn is_call(&self) -> bool {
        self.kind.text().is_some_and(|kind| kind.ends_with("_call"))
    }
}

impl Response<'_> {
    fn tell(self, reading: &mut Reading) {
        reading.told_model(&self.model);
        if let Object(Some(usage)) = &self.usage {
            reading.input_tokens = usage.input_tokens.count().or(reading.input_tokens);
            reading.output_tokens = usage.output_tokens.count().or(reading.output_tokens);
            if let Object(Some(details)) = &usage.input_tokens_details {
                details.tell(reading);
            }
        }
        reading.tool_calls |= self.output.iter().any(Item::is_call);
        match self.status.text() {
            Some("completed" | "incomplete") => {
                reading.complete = true;
                reading.told_finish(&self.status);
            }
            Some("failed" | "cancelled") => reading.told_finish(&self.status),
            _ => {}
        }
        if let Object(Some(incomplete)) = &self.incomplete_details {
            reading.told_finish(&incomplete.reason);
        }
        reading.told_error(self.error);
    }
}

pub(super) fn read(
    data: &[u8],
    streamed: bool,
    reading: &mut Reading,
) -> Result<(), serde_json::Error> {
    if !streamed {
        let response: Response<'_> = serde_json::from_slice(data)?;
        if !response.output.is_empty() {
            reading.told_content();
        }
        // Work in the background has only begun. In a stream it is the end that counts.
        if matches!(response.status.text(), Some("queued" | "in_progress")) {
            reading.told_finish(&response.status);
        }
        response.tell(reading);
        return Ok(());
    }
    let event: Event<'_> = serde_json::from_slice(data)?;
    let kind = event.kind.text().unwrap_or_default();
    if let Object(Some(item)) = &event.item {
        reading.tool_calls |= item.is_call();
    }
    if kind.ends_with(".delta") && event.delta.0 {
        reading.told_content();
    }
    if let Object(Some(response)) = event.response {
        response.tell(reading);
    }
    reading.told_error(event.error);
    if kind == "error" {
        reading.told_error(Failure::of(event.kind, event.code, event.message));
    }
    Ok(())
}
