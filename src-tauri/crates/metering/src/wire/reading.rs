//! What is kept of an answer, and what the dialects' readers have in common.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{Dialect, anthropic, ollama, openai, responses};
use crate::lenient::{Key, Scalar, absent};
use crate::price::Tokens;

/// What an answer said about itself. What it did not say is `None`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reading {
    /// The model that answered.
    pub model: Option<String>,
    /// All input, cached tokens included, whatever the dialect counts.
    pub input_tokens: Option<u64>,
    /// Of the input, what was read from the provider's cache.
    pub cached_read: Option<u64>,
    /// Of the input, what was written to the provider's cache for minutes.
    pub cache_write: Option<u64>,
    /// Of the input, what was written to the provider's cache for an hour.
    pub cache_write_1h: Option<u64>,
    /// All output, thoughts included.
    pub output_tokens: Option<u64>,
    /// Why the model stopped, in the provider's word.
    pub finish_reason: Option<String>,
    /// The provider's error, also one in the middle of a stream or under status 200.
    pub error: Option<ProviderError>,
    /// Whether the answer is all there: it has its main part, or the stream its end marker. An answer that is not, and
    /// has no error, was cut.
    pub complete: bool,
    /// Whether there was text, thought, a tool call, or a vector.
    pub saw_content: bool,
    /// How many events had content: about as many as tokens, where the tokens were not told.
    pub pieces: u64,
    /// Whether a tool is called.
    pub tool_calls: bool,
    /// Events (or bodies) that are not the JSON they should be.
    pub malformed: u32,
    /// Events that were too long to be read.
    pub oversized: u32,
}

/// What a provider says went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProviderError {
    /// Its type: `overloaded_error`.
    pub kind: Option<String>,
    /// Its code: `context_length_exceeded`.
    pub code: Option<String>,
    /// Its words, cut at 500 bytes.
    pub message: Option<String>,
}

impl Reading {
    /// What is to be paid; `None` where the answer did not tell. Where it told a part, the rest was none.
    pub fn tokens(&self) -> Option<Tokens> {
        if self.input_tokens.is_none() && self.output_tokens.is_none() {
            return None;
        }
        Some(Tokens {
            input: self.input_tokens.unwrap_or(0),
            cached_read: self.cached_read.unwrap_or(0),
            cache_write: self.cache_write.unwrap_or(0),
            cache_write_1h: self.cache_write_1h.unwrap_or(0),
            output: self.output_tokens.unwrap_or(0),
        })
    }

    pub(super) fn told_model(&mut self, model: &Scalar<'_>) {
        if self.model.is_none() {
            self.model = model.text().map(|name| cut(name, 200));
        }
    }

    pub(super) fn told_finish(&mut self, reason: &Scalar<'_>) {
        if let Some(reason) = reason.text() {
            self.finish_reason = Some(cut(reason, 100));
        }
    }

    /// The first error counts: what follows is its consequence.
    pub(super) fn told_error(&mut self, failure: Failure<'_>) {
        if let Failure(Some(error)) = failure {
            self.error.get_or_insert(ProviderError {
                kind: error.kind.text().map(|kind| cut(kind, 200)),
                code: match &error.code {
                    Scalar::Whole(code) => Some(code.to_string()),
                    code => code.text().map(|code| cut(code, 200)),
                },
                message: error.message.text().map(|message| cut(message, 500)),
            });
        }
    }

    pub(super) fn told_content(&mut self) {
        self.saw_content = true;
        self.pieces = self.pieces.saturating_add(1);
    }
}

/// The text, at most so many bytes of it.
fn cut(text: &str, most: usize) -> String {
    let end = text.floor_char_boundary(most);
    text.get(..end).unwrap_or_default().to_owned()
}

/// An error in any shape: an object, or only its words.
#[derive(Debug, Default)]
pub(super) struct Failure<'a>(Option<Error<'a>>);

#[derive(Debug, Default)]
struct Error<'a> {
    kind: Scalar<'a>,
    code: Scalar<'a>,
    message: Scalar<'a>,
}

impl<'a> Failure<'a> {
    pub(super) fn of(kind: Scalar<'a>, code: Scalar<'a>, message: Scalar<'a>) -> Self {
        Self(Some(Error {
            kind,
            code,
            message,
        }))
    }

    pub(super) fn is_some(&self) -> bool {
        self.0.is_some()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Failure<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Failure<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }

            absent!(Failure(None));

            fn visit_borrowed_str<E>(self, message: &'de str) -> Result<Self::Value, E> {
                Ok(Failure::words(Cow::Borrowed(message)))
            }

            fn visit_str<E>(self, message: &str) -> Result<Self::Value, E> {
                Ok(Failure::words(Cow::Owned(message.to_owned())))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Failure(None))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut error = Error::default();
                while let Some(Key(key)) = map.next_key()? {
                    match &*key {
                        "type" => error.kind = map.next_value()?,
                        "code" => error.code = map.next_value()?,
                        "message" => error.message = map.next_value()?,
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                Ok(Failure(Some(error)))
            }
        }

        deserializer.deserialize_any(Any)
    }
}

impl<'a> Failure<'a> {
    fn words(message: Cow<'a, str>) -> Self {
        Self((!message.is_empty()).then(|| Error {
            message: Scalar::Text(message),
            ..Error::default()
        }))
    }
}

/// What an event is to whoever passes it on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Anything.
    Ordinary,
    /// OpenAI's last chunk with nothing but what was used, which only comes when it is asked for.
    UsageOnly,
}

/// Reads the events of one answer.
#[derive(Debug)]
pub(super) struct Reader {
    dialect: Dialect,
    reading: Reading,
    anthropic: anthropic::Usage,
}

impl Reader {
    pub(super) fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            reading: Reading::default(),
            anthropic: anthropic::Usage::default(),
        }
    }

    pub(super) fn reading(&self) -> &Reading {
        &self.reading
    }

    /// One event of a stream.
    pub(super) fn event(&mut self, data: &[u8]) -> Kind {
        let data = data.trim_ascii();
        if data.is_empty() {
            return Kind::Ordinary;
        }
        if data == b"[DONE]" && !self.dialect.streams_ndjson() {
            self.reading.complete |= self.reading.error.is_none();
            return Kind::Ordinary;
        }
        self.read(data, true)
    }

    /// An event that was too long to be read.
    pub(super) fn oversized(&mut self) {
        self.reading.oversized = self.reading.oversized.saturating_add(1);
        // It was nothing but content: all else is short.
        self.reading.told_content();
    }

    /// A whole answer.
    pub(super) fn whole(&mut self, body: &[u8]) {
        self.read(body, false);
    }

    fn read(&mut self, data: &[u8], streamed: bool) -> Kind {
        // A list would be read as an object's values in order.
        if !data.trim_ascii_start().starts_with(b"{") {
            self.reading.malformed = self.reading.malformed.saturating_add(1);
            return Kind::Ordinary;
        }
        let read = self.try_read(data, streamed).or_else(|error| {
            // Some cut characters in two. What is not text is replaced, and all else can be read.
            match String::from_utf8_lossy(data) {
                Cow::Borrowed(_) => Err(error),
                Cow::Owned(text) => self.try_read(text.as_bytes(), streamed),
            }
        });
        read.unwrap_or_else(|_| {
            self.reading.malformed = self.reading.malformed.saturating_add(1);
            Kind::Ordinary
        })
    }

    fn try_read(&mut self, data: &[u8], streamed: bool) -> Result<Kind, serde_json::Error> {
        let reading = &mut self.reading;
        match self.dialect {
            Dialect::OpenAiChat | Dialect::OpenAiCompletions | Dialect::OpenAiEmbeddings => {
                return openai::read(data, streamed, reading);
            }
            Dialect::OpenAiResponses => responses::read(data, streamed, reading)?,
            Dialect::AnthropicMessages => anthropic::read(data, &mut self.anthropic, reading)?,
            Dialect::OllamaChat | Dialect::OllamaGenerate | Dialect::OllamaEmbed => {
                ollama::read(data, streamed, reading)?;
            }
        }
        Ok(Kind::Ordinary)
    }

    pub(super) fn finish(self) -> Reading {
        let mut reading = self.reading;
        self.anthropic.tell(&mut reading);
        // Not all who speak OpenAI's dialect send its end marker, but a reason to stop is an end.
        if self.dialect.wants_include_usage() && reading.finish_reason.is_some() {
            reading.complete = true;
        }
        // What was too long to be read may have been the end: a response's last event holds all of it.
        if self.dialect == Dialect::OpenAiResponses && reading.oversized > 0 {
            reading.complete = true;
        }
        reading.complete &= reading.error.is_none();
        reading
    }
}
