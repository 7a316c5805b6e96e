//! What the endpoints' requests have in common.

use serde::Deserialize;
use serde_json::Value;

use crate::mind::{Choice, Tool};

/// One text or several.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(super) enum Texts {
    One(String),
    Many(Vec<String>),
    /// Tokens instead of text.
    Tokens(Vec<u64>),
    ManyTokens(Vec<Vec<u64>>),
}

impl Texts {
    pub(super) fn list(self) -> Vec<String> {
        let of_tokens = |tokens: Vec<u64>| {
            let words: Vec<String> = tokens.iter().map(u64::to_string).collect();
            words.join(" ")
        };
        match self {
            Self::One(text) => vec![text],
            Self::Many(texts) => texts,
            Self::Tokens(tokens) => vec![of_tokens(tokens)],
            Self::ManyTokens(many) => many.into_iter().map(of_tokens).collect(),
        }
    }
}

#[derive(Debug, Clone, Copy, Deserialize, Default)]
pub(super) struct StreamOptions {
    #[serde(default)]
    pub(super) include_usage: bool,
}

/// Tools as chat completions (nested in `function`) and responses (flat) write them.
pub(super) fn tools(given: &[Value]) -> Vec<Tool> {
    let tools = given.iter().filter_map(|tool| {
        let function = tool.get("function").unwrap_or(tool);
        Some(Tool {
            name: function.get("name")?.as_str()?.to_owned(),
            parameters: function.get("parameters").cloned().unwrap_or_default(),
        })
    });
    tools.collect()
}

/// `none`, `auto`, `required`, or an object that names one.
pub(super) fn choice(given: &Value, tools: &[Tool]) -> Choice {
    let named = given
        .pointer("/function/name")
        .or_else(|| given.get("name"));
    match (given.as_str(), named.and_then(Value::as_str)) {
        (Some("none"), _) => Choice::Never,
        (Some("required"), _) => tools
            .first()
            .map_or(Choice::Auto, |tool| Choice::Named(tool.name.clone())),
        (_, Some(name)) => Choice::Named(name.to_owned()),
        _ => Choice::Auto,
    }
}

/// The schema of an answer in JSON: `response_format` of chat completions, `text.format` of responses.
pub(super) fn schema(format: &Value) -> Option<Value> {
    let object = Value::Object(serde_json::Map::new());
    match format.get("type")?.as_str()? {
        "json_object" => Some(object),
        "json_schema" => {
            let inner = format.get("json_schema").unwrap_or(format);
            Some(inner.get("schema").cloned().unwrap_or(object))
        }
        _ => None,
    }
}
