//! Attributes, and values as they are wanted.

use std::borrow::Cow;

use cockpit_model::Timestamp;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};

/// The attributes of a thing.
#[derive(Clone, Copy)]
pub(super) struct Attributes<'a>(pub(super) &'a [KeyValue]);

impl<'a> Attributes<'a> {
    pub(super) fn get(self, name: &str) -> Option<&'a Value> {
        let found = self.0.iter().find(|one| one.key == name)?;
        found.value.as_ref()?.value.as_ref()
    }

    /// The first of these names that is a text or can be read as one, and is not empty.
    pub(super) fn text(self, names: &[&str]) -> Option<Cow<'a, str>> {
        let texts = names.iter().filter_map(|name| text(self.get(name)?));
        texts.into_iter().find(|text| !text.trim().is_empty())
    }

    /// The first of these names that is a whole number.
    pub(super) fn count(self, names: &[&str]) -> Option<u64> {
        names.iter().find_map(|name| match self.get(name)? {
            Value::IntValue(number) => u64::try_from(*number).ok(),
            Value::DoubleValue(number) if number.fract() == 0.0 && (0.0..9e15).contains(number) => {
                Some(*number as u64)
            }
            Value::StringValue(text) => text.trim().parse().ok(),
            _ => None,
        })
    }

    /// The first of these names that is a number.
    pub(super) fn number(self, names: &[&str]) -> Option<f64> {
        let numbers = names.iter().filter_map(|name| match self.get(name)? {
            Value::IntValue(number) => Some(*number as f64),
            Value::DoubleValue(number) => Some(*number),
            Value::StringValue(text) => text.trim().parse().ok(),
            _ => None,
        });
        numbers.into_iter().find(|number: &f64| number.is_finite())
    }

    /// The first of these names that is a yes or a no.
    pub(super) fn flag(self, names: &[&str]) -> Option<bool> {
        names.iter().find_map(|name| match self.get(name)? {
            Value::BoolValue(flag) => Some(*flag),
            Value::StringValue(text) => text.trim().parse().ok(),
            _ => None,
        })
    }

    pub(super) fn has(self, name: &str) -> bool {
        self.0.iter().any(|one| one.key == name)
    }
}

/// A value as a text; of a list its first.
pub(super) fn text(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        // Some exporters write lists as JSON in a text.
        Value::StringValue(text) if text.starts_with("[\"") => {
            let list: Vec<String> = serde_json::from_str(text).ok()?;
            list.into_iter().next().map(Cow::Owned)
        }
        Value::StringValue(text) => Some(Cow::Borrowed(text)),
        Value::IntValue(number) => Some(Cow::Owned(number.to_string())),
        Value::BoolValue(flag) => Some(Cow::Borrowed(if *flag { "true" } else { "false" })),
        Value::ArrayValue(array) => text(array.values.first()?.value.as_ref()?),
        _ => None,
    }
}

/// A value as JSON, to a depth that nobody needs.
pub(super) fn json(value: &AnyValue, depth: usize) -> serde_json::Value {
    use serde_json::Value as Json;
    let Some(value) = &value.value else {
        return Json::Null;
    };
    match value {
        Value::StringValue(text) => Json::from(text.as_str()),
        Value::BoolValue(flag) => Json::from(*flag),
        Value::IntValue(number) => Json::from(*number),
        Value::DoubleValue(number) => Json::from(*number),
        Value::ArrayValue(_) | Value::KvlistValue(_) if depth == 0 => Json::from("…"),
        Value::ArrayValue(array) => array
            .values
            .iter()
            .map(|one| json(one, depth - 1))
            .collect(),
        Value::KvlistValue(list) => Json::Object(object(&list.values, depth - 1)),
        Value::BytesValue(bytes) => Json::from(format!("{} bytes", bytes.len())),
        Value::StringValueStrindex(_) => Json::Null,
    }
}

pub(super) fn object(all: &[KeyValue], depth: usize) -> serde_json::Map<String, serde_json::Value> {
    let one = |one: &KeyValue| {
        let value = one.value.as_ref().map(|value| json(value, depth));
        (one.key.clone(), value.unwrap_or_default())
    };
    all.iter().map(one).collect()
}

/// A moment; 0 is none.
pub(super) fn moment(unix_nano: u64) -> Option<Timestamp> {
    if unix_nano == 0 {
        return None;
    }
    Timestamp::from_nanosecond(i128::from(unix_nano)).ok()
}

/// Bytes in hex.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            // Writing to a text cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// The service that tells, unless nobody named it.
pub(super) fn service(resource: Attributes<'_>) -> Option<String> {
    resource
        .text(&["service.name"])
        .filter(|name| !name.starts_with("unknown_service"))
        .map(Cow::into_owned)
}
