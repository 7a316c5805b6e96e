//! A fault as it is ordered: in JSON, or in words behind a model's name.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What can go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Connections are accepted, nothing is answered; of one answer: its first byte never comes.
    Hang,
    /// Every request is answered with 500.
    Error,
    /// The process exits with 1.
    Crash,
    /// Every answer is late by `latency_ms` (3 s unless told).
    Slow,
    /// Two seconds well, two seconds in error, and so on.
    Flap,
    /// Memory grows by 16 MiB a second and is given back when the fault ends.
    Leak,
    /// Answered with `status` (500 unless told) and an error in the protocol's shape, with
    /// `retry_after_s` or `retry_after_ms` as headers.
    Status,
    /// After `after` pieces nothing more comes, and the connection stays.
    Stall,
    /// After `after` pieces the connection is reset (TCP RST).
    Reset,
    /// `content-length` promises 100 bytes more than come.
    Length,
    /// After `after` pieces come bytes that are no UTF-8; the rest follows.
    Utf8,
    /// After `after` pieces the same piece is repeated, every `every_ms` (1 ms unless told), without
    /// end. A whole answer goes on with blanks.
    Endless,
    /// After `after` pieces an error in the protocol's shape, under status 200.
    Midstream,
    /// After `after` pieces one that is cut in half; the rest follows. A whole answer ends there.
    Malformed,
    /// Every piece comes `every_ms` (200 ms unless told) after the one before.
    Drip,
    /// The answer carries `bytes` (100 MB unless told) of padding in one field; it is valid.
    Huge,
    /// Status 200 and not one byte.
    Empty,
    /// After `after` pieces the answer ends as if it were complete.
    Cut,
}

/// A fault as it is ordered: the body of `POST /_fault`.
///
/// A piece is one event or line of a stream; a whole answer is taken as four pieces.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// What.
    pub kind: Kind,
    /// For how long; without it, until it is taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_ms: Option<u64>,
    /// For how many answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u64>,
    /// For which model only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Of a slow answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<u64>,
    /// Of an answer with a status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The header `retry-after`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_s: Option<u64>,
    /// The header `retry-after-ms`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// So many pieces pass first: 2 of a stream, 1 of a whole answer, unless told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<usize>,
    /// Of the padding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Between two pieces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every_ms: Option<u64>,
}

impl Order {
    /// One of that kind, with nothing told.
    pub const fn of(kind: Kind) -> Self {
        Self {
            kind,
            for_ms: None,
            times: None,
            model: None,
            latency_ms: None,
            status: None,
            retry_after_s: None,
            retry_after_ms: None,
            after: None,
            bytes: None,
            every_ms: None,
        }
    }

    /// Reads `reset,after=3` or, short for `status,status=429`, `429`.
    ///
    /// # Errors
    ///
    /// What is wrong with it, for a person.
    pub fn in_words(text: &str) -> Result<Self, String> {
        let mut words = text.split(',').map(str::trim);
        let first = words.next().unwrap_or_default();
        let mut json = Map::new();
        if let Ok(status) = first.parse::<u16>() {
            json.insert("kind".to_owned(), "status".into());
            json.insert("status".to_owned(), status.into());
        } else {
            json.insert("kind".to_owned(), first.into());
        }
        for word in words {
            let (key, value) = word
                .split_once('=')
                .ok_or_else(|| format!("`{word}` is not key=value"))?;
            let value = value
                .parse::<u64>()
                .map_or_else(|_| Value::from(value), Value::from);
            json.insert(key.to_owned(), value);
        }
        let order: Self = serde_json::from_value(Value::Object(json))
            .map_err(|e| format!("`{text}` is not a fault: {e}"))?;
        if matches!(order.kind, Kind::Crash | Kind::Flap | Kind::Leak) {
            return Err(format!(
                "`{first}` befalls the service: order it at /_fault"
            ));
        }
        Ok(order)
    }

    /// Whether, ordered for everybody, it befalls single answers and leaves the service well.
    pub const fn is_of_answers(&self) -> bool {
        match self.kind {
            Kind::Crash | Kind::Flap | Kind::Leak => false,
            Kind::Hang | Kind::Error | Kind::Slow => self.model.is_some() || self.times.is_some(),
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn in_words_as_in_json() {
        let order = Order::in_words("429, retry_after_s=2").unwrap();
        assert_eq!((order.kind, order.status), (Kind::Status, Some(429)));
        assert_eq!(order.retry_after_s, Some(2));
        let json = r#"{"kind":"reset","after":3}"#;
        assert_eq!(
            Order::in_words("reset,after=3").unwrap(),
            serde_json::from_str(json).unwrap()
        );
        for wrong in [
            "",
            "gremlins",
            "reset,after",
            "reset,after=x",
            "reset,of=3",
            "crash",
        ] {
            assert!(Order::in_words(wrong).is_err(), "{wrong}");
        }
    }
}
