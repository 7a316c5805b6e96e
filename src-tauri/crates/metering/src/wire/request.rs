//! What a request asks for, without building the whole of it in memory.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::Dialect;
use crate::lenient::{Key, Object, Scalar, Something, absent};

/// The fields that a gateway looks at, of any dialect's request. Where a key stands twice, the last one counts, as it
/// does for nearly every reader.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Request<'a> {
    /// The model that is asked for.
    pub model: Option<Cow<'a, str>>,
    /// Whether a stream is asked for, where the request says; see [`Self::streams`].
    pub stream: Option<bool>,
    /// `user`, else `metadata.user_id`.
    pub user: Option<Cow<'a, str>>,
    /// The most that is to be written, by whatever name; where several say it, the largest.
    pub max_tokens: Option<u64>,
    /// `stream_options.include_usage`.
    pub include_usage: bool,
    /// Whether the answer is to be JSON.
    pub json: JsonWanted,
    /// Whether the model may call tools.
    pub tools: bool,
    /// How many bytes of text the model is to read; without pictures, sound and files.
    pub text_bytes: u64,
    /// One of the keys above that stands in other letters (`Model`): not read here, but by readers that are written in
    /// Go, such as Ollama's, which do not tell the letters apart.
    pub other_case: Option<&'static str>,
}

/// The keys of the outermost object that are read here.
const READ: [&str; 23] = [
    "model",
    "stream",
    "user",
    "metadata",
    "max_tokens",
    "max_completion_tokens",
    "max_output_tokens",
    "max_tokens_to_sample",
    "options",
    "stream_options",
    "response_format",
    "text",
    "output_format",
    "output_config",
    "format",
    "messages",
    "input",
    "prompt",
    "suffix",
    "system",
    "instructions",
    "tools",
    "functions",
];

/// The key that a reader takes this one for which does not tell letters of different case apart.
fn meant(key: &str) -> Option<&'static str> {
    // Besides capitals these two are the same letter to such a reader.
    let folded = key.chars().map(|letter| match letter {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        other => other.to_ascii_lowercase(),
    });
    READ.into_iter()
        .find(|known| known.chars().eq(folded.clone()))
}

/// Whether an answer is to be JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum JsonWanted {
    /// It is not said.
    #[default]
    No,
    /// Any object.
    Any,
    /// What a schema allows.
    Schema,
}

/// The body is no request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the request's body is not a JSON object (line {line}, column {column}): send one, as the API's reference shows"
)]
pub struct NoRequest {
    /// From 1.
    pub line: usize,
    /// From 1, in bytes.
    pub column: usize,
}

impl<'a> Request<'a> {
    /// Reads a body. All of it is checked to be JSON.
    pub fn read(body: &'a [u8]) -> Result<Self, NoRequest> {
        let fields: Fields<'_> = serde_json::from_slice(body).map_err(|error| NoRequest {
            line: error.line(),
            column: error.column(),
        })?;
        let text = fields.text.0.and_then(|text| text.format.0);
        let output = fields.output_config.0.and_then(|output| output.format.0);
        let formats = [
            fields.response_format.0,
            fields.output_format.0,
            text,
            output,
        ];
        let wanted = formats.iter().flatten().map(Format::wanted);
        let num_predict = fields
            .options
            .0
            .and_then(|options| options.num_predict.count());
        let user_id = fields
            .metadata
            .0
            .and_then(|metadata| metadata.user_id.into_text());
        Ok(Self {
            model: fields.model.into_text(),
            stream: fields.stream.truth(),
            user: fields.user.into_text().or(user_id),
            max_tokens: fields.max_tokens.max(num_predict),
            include_usage: fields
                .stream_options
                .0
                .is_some_and(|options| options.include_usage.truth() == Some(true)),
            json: wanted
                .chain([fields.format.0])
                .find(|&wanted| wanted != JsonWanted::No)
                .unwrap_or_default(),
            tools: fields.tools,
            text_bytes: fields.text_bytes,
            other_case: fields.other_case,
        })
    }

    /// Whether the answer is a stream; Ollama streams unless it is told not to.
    pub fn streams(&self, dialect: Dialect) -> bool {
        self.stream.unwrap_or(matches!(
            dialect,
            Dialect::OllamaChat | Dialect::OllamaGenerate
        ))
    }

    /// About how many tokens the model is to read: four bytes each. Good enough to reserve, never to bill.
    pub fn estimated_input_tokens(&self) -> u64 {
        self.text_bytes.div_ceil(4)
    }
}

#[derive(Default)]
struct Fields<'a> {
    model: Scalar<'a>,
    stream: Scalar<'a>,
    user: Scalar<'a>,
    metadata: Object<Metadata<'a>>,
    max_tokens: Option<u64>,
    options: Object<Options<'a>>,
    stream_options: Object<StreamOptions<'a>>,
    /// OpenAI.
    response_format: Object<Format<'a>>,
    /// OpenAI's responses.
    text: Object<Formatted<'a>>,
    /// Anthropic.
    output_format: Object<Format<'a>>,
    /// Anthropic.
    output_config: Object<Formatted<'a>>,
    /// Ollama.
    format: OllamaFormat,
    tools: bool,
    text_bytes: u64,
    other_case: Option<&'static str>,
}

#[derive(Deserialize)]
struct Metadata<'a> {
    #[serde(borrow, default)]
    user_id: Scalar<'a>,
}

#[derive(Deserialize)]
struct Options<'a> {
    #[serde(borrow, default)]
    num_predict: Scalar<'a>,
}

#[derive(Deserialize)]
struct StreamOptions<'a> {
    #[serde(borrow, default)]
    include_usage: Scalar<'a>,
}

#[derive(Deserialize)]
struct Formatted<'a> {
    #[serde(borrow, default)]
    format: Object<Format<'a>>,
}

#[derive(Deserialize)]
struct Format<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Scalar<'a>,
}

impl Format<'_> {
    fn wanted(&self) -> JsonWanted {
        match self.kind.text() {
            Some("json_object") => JsonWanted::Any,
            Some("json_schema") => JsonWanted::Schema,
            _ => JsonWanted::No,
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Fields::default();
                while let Some(Key(key)) = map.next_key()? {
                    match &*key {
                        "model" => fields.model = map.next_value()?,
                        "stream" => fields.stream = map.next_value()?,
                        "user" => fields.user = map.next_value()?,
                        "metadata" => fields.metadata = map.next_value()?,
                        "max_tokens"
                        | "max_completion_tokens"
                        | "max_output_tokens"
                        | "max_tokens_to_sample" => {
                            let most = map.next_value::<Scalar<'_>>()?.count();
                            fields.max_tokens = fields.max_tokens.max(most);
                        }
                        "options" => fields.options = map.next_value()?,
                        "stream_options" => fields.stream_options = map.next_value()?,
                        "response_format" => fields.response_format = map.next_value()?,
                        "text" => fields.text = map.next_value()?,
                        "output_format" => fields.output_format = map.next_value()?,
                        "output_config" => fields.output_config = map.next_value()?,
                        "format" => fields.format = map.next_value()?,
                        "messages" | "input" | "prompt" | "suffix" | "system" | "instructions" => {
                            let TextSize(bytes) = map.next_value()?;
                            fields.text_bytes = fields.text_bytes.saturating_add(bytes);
                        }
                        "tools" | "functions" => {
                            let TextSize(bytes) = map.next_value()?;
                            fields.tools |= bytes > 0;
                            fields.text_bytes = fields.text_bytes.saturating_add(bytes);
                        }
                        other => {
                            fields.other_case = fields.other_case.or_else(|| meant(other));
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                Ok(fields)
            }
        }

        deserializer.deserialize_map(Members)
    }
}

/// Ollama's `format`: the word `json`, or a schema.
#[derive(Default)]
struct OllamaFormat(JsonWanted);

impl<'de> Deserialize<'de> for OllamaFormat {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = OllamaFormat;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }

            absent!(OllamaFormat(JsonWanted::No));

            fn visit_str<E>(self, word: &str) -> Result<OllamaFormat, E> {
                Ok(OllamaFormat(if word == "json" {
                    JsonWanted::Any
                } else {
                    JsonWanted::No
                }))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<OllamaFormat, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(OllamaFormat(JsonWanted::No))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<OllamaFormat, A::Error> {
                while map.next_entry::<IgnoredAny, Something>()?.is_some() {}
                Ok(OllamaFormat(JsonWanted::Schema))
            }
        }

        deserializer.deserialize_any(Any)
    }
}

/// The text in a value, whatever its shape; a number is a token of a prompt.
struct TextSize(u64);

/// Members that hold what is not text.
const NOT_TEXT: [&str; 6] = [
    "data",
    "file_data",
    "image_url",
    "images",
    "signature",
    "url",
];

impl<'de> Deserialize<'de> for TextSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = TextSize;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }

            fn visit_unit<E>(self) -> Result<TextSize, E> {
                Ok(TextSize(0))
            }

            fn visit_bool<E>(self, _: bool) -> Result<TextSize, E> {
                Ok(TextSize(4))
            }

            fn visit_u64<E>(self, _: u64) -> Result<TextSize, E> {
                Ok(TextSize(4))
            }

            fn visit_i64<E>(self, _: i64) -> Result<TextSize, E> {
                Ok(TextSize(4))
            }

            fn visit_f64<E>(self, _: f64) -> Result<TextSize, E> {
                Ok(TextSize(4))
            }

            fn visit_str<E>(self, text: &str) -> Result<TextSize, E> {
                Ok(TextSize(text.len() as u64))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<TextSize, A::Error> {
                let mut sum = 0u64;
                while let Some(TextSize(bytes)) = seq.next_element()? {
                    sum = sum.saturating_add(bytes);
                }
                Ok(TextSize(sum))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<TextSize, A::Error> {
                let mut sum = 0u64;
                while let Some(Key(key)) = map.next_key()? {
                    if NOT_TEXT.contains(&&*key) {
                        map.next_value::<IgnoredAny>()?;
                    } else {
                        let TextSize(bytes) = map.next_value()?;
                        sum = sum.saturating_add(bytes);
                    }
                }
                Ok(TextSize(sum))
            }
        }

        deserializer.deserialize_any(Any)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn read(body: &str) -> Request<'_> {
        Request::read(body.as_bytes()).unwrap()
    }

    #[test]
    fn a_chat_is_read() {
        let request = read(
            r#"{"model": "gpt-4o", "stream": true, "user": "ann", "max_completion_tokens": 50, "x": [1, {}],
                "stream_options": {"include_usage": true}, "response_format": {"type": "json_schema", "json_schema": {}},
                "messages": [{"role": "user", "content": [{"type": "text", "text": "12345678"},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAAAAAAAAAAAAAAAAAAAA"}}]}],
                "tools": [{"type": "function"}]}"#,
        );
        assert_eq!(request.model.as_deref(), Some("gpt-4o"));
        assert!(request.streams(Dialect::OpenAiChat) && request.include_usage && request.tools);
        assert_eq!(request.user.as_deref(), Some("ann"));
        assert_eq!(request.max_tokens, Some(50));
        assert_eq!(request.json, JsonWanted::Schema);
        // Its words, and those that say what they are.
        assert_eq!(
            request.text_bytes,
            "usertext12345678image_urlfunction".len() as u64
        );
    }

    #[test]
    fn other_dialects_name_things_otherwise() {
        let anthropic = read(
            r#"{"model":"claude","max_tokens":9,"metadata":{"user_id":"u"},"system":"four",
                "output_config":{"format":{"type":"json_schema"}}}"#,
        );
        assert_eq!(anthropic.user.as_deref(), Some("u"));
        assert_eq!(
            (anthropic.max_tokens, anthropic.json),
            (Some(9), JsonWanted::Schema)
        );
        assert_eq!(anthropic.estimated_input_tokens(), 1);
        assert!(!anthropic.streams(Dialect::AnthropicMessages));

        let ollama = read(r#"{"model":"llama3.2","format":"json","options":{"num_predict":7}}"#);
        assert_eq!((ollama.max_tokens, ollama.json), (Some(7), JsonWanted::Any));
        assert!(ollama.streams(Dialect::OllamaChat));
        assert!(!read(r#"{"stream":false}"#).streams(Dialect::OllamaChat));
        assert_eq!(
            read(r#"{"format":{"type":"object"}}"#).json,
            JsonWanted::Schema
        );

        let responses = read(
            r#"{"input":"hi","max_output_tokens":5,"text":{"format":{"type":"json_object"}}}"#,
        );
        assert_eq!(
            (responses.max_tokens, responses.json),
            (Some(5), JsonWanted::Any)
        );
        assert_eq!(read(r#"{"prompt":[[1,2,3]]}"#).estimated_input_tokens(), 3);
    }

    #[test]
    fn of_several_limits_the_largest_counts() {
        for body in [
            r#"{"max_tokens":9,"max_completion_tokens":7}"#,
            r#"{"max_completion_tokens":7,"max_tokens":9}"#,
            r#"{"max_tokens":9,"max_tokens":7}"#,
            r#"{"max_tokens":7,"options":{"num_predict":9}}"#,
        ] {
            assert_eq!(read(body).max_tokens, Some(9), "{body}");
        }
    }

    #[test]
    fn surprising_values_count_as_absent() {
        let request = read(
            r#"{"model": 5, "stream": "yes", "user": {}, "max_tokens": -1, "stream_options": [], "metadata": "x",
                "options": {"num_predict": -1}, "response_format": null, "format": 7, "tools": null, "messages": null}"#,
        );
        assert_eq!(request, Request::default());
    }

    #[test]
    fn of_a_key_that_stands_twice_the_last_counts() {
        let request = read(r#"{"model": "a", "mod\u0065l": "b"}"#);
        assert_eq!(request.model.as_deref(), Some("b"));
    }

    #[test]
    fn a_key_in_other_letters_is_told() {
        for (body, key) in [
            (r#"{"model": "a", "Model": "b"}"#, "model"),
            (r#"{"OPTIONS": {"num_predict": -1}}"#, "options"),
            (r#"{"me\u017fsages": []}"#, "messages"),
        ] {
            let request = read(body);
            assert_eq!(request.other_case, Some(key), "{body}");
        }
        let plain =
            r#"{"model": "a", "Modell": 1, "x": {"Model": "b"}, "options": {}, "keep_alive": 0}"#;
        assert_eq!(read(plain).other_case, None);
    }

    #[test]
    fn what_is_no_object_is_refused_and_not_quoted() {
        for body in [
            "",
            "[]",
            "\"secret\"",
            "{",
            "{}{}",
            "{\"a\": secret}",
            "\u{feff}{}",
        ] {
            let refused = Request::read(body.as_bytes()).unwrap_err().to_string();
            assert!(!refused.contains("secret"), "{refused}");
        }
        let deep = format!("{{\"messages\": {}", "[".repeat(100_000));
        assert!(Request::read(deep.as_bytes()).is_err());
    }
}
