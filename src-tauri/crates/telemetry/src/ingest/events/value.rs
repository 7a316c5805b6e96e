//! The single values of an event, read as what they are meant to be.

use std::borrow::Cow;
use std::fmt;

use cockpit_model::Timestamp;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A JSON value as it was told. Reading one never fails: whoever needs it judges it, and knows the field's name.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Told<'a> {
    Null,
    Bool(bool),
    Whole(u64),
    Number(f64),
    Text(Cow<'a, str>),
    /// A list or an object.
    Nested,
}

impl<'de: 'a, 'a> Deserialize<'de> for Told<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = Told<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }

            fn visit_unit<E>(self) -> Result<Told<'de>, E> {
                Ok(Told::Null)
            }

            fn visit_bool<E>(self, value: bool) -> Result<Told<'de>, E> {
                Ok(Told::Bool(value))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Told<'de>, E> {
                Ok(Told::Whole(value))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Told<'de>, E> {
                Ok(u64::try_from(value).map_or(Told::Number(value as f64), Told::Whole))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Told<'de>, E> {
                Ok(Told::Number(value))
            }

            fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Told<'de>, E> {
                Ok(Told::Text(Cow::Borrowed(value)))
            }

            fn visit_str<E>(self, value: &str) -> Result<Told<'de>, E> {
                Ok(Told::Text(Cow::Owned(value.to_owned())))
            }

            fn visit_string<E>(self, value: String) -> Result<Told<'de>, E> {
                Ok(Told::Text(Cow::Owned(value)))
            }

            fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<Told<'de>, S::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Told::Nested)
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Told<'de>, M::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Told::Nested)
            }
        }

        deserializer.deserialize_any(Reader)
    }
}

/// A value that was told, or not.
pub(super) type Maybe<'a> = Option<Told<'a>>;

impl Told<'_> {
    /// How it is quoted in a reason.
    fn shown(&self) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Bool(value) => value.to_string(),
            Self::Whole(value) => value.to_string(),
            Self::Number(value) => value.to_string(),
            Self::Text(text) => {
                let short: String = text.chars().take(60).collect();
                format!("\"{short}\"")
            }
            Self::Nested => "a list or an object".to_owned(),
        }
    }
}

/// The reason why a field is refused: what it says and what to write.
pub(super) fn wrong(field: &str, told: &Told<'_>, write: &str) -> String {
    format!("{field} is {}: write {write}", told.shown())
}

/// A text; numbers are taken as they are written, since ids often are such. Empty counts as not told.
pub(super) fn text<'a>(field: &str, told: Maybe<'a>) -> Result<Option<Cow<'a, str>>, String> {
    match told {
        None | Some(Told::Null) => Ok(None),
        Some(Told::Text(text)) => Ok(Some(text).filter(|text| !text.trim().is_empty())),
        Some(Told::Whole(number)) => Ok(Some(Cow::Owned(number.to_string()))),
        Some(other) => Err(wrong(field, &other, "a text")),
    }
}

/// The same, to be kept.
pub(super) fn name(field: &str, told: Maybe<'_>) -> Result<Option<String>, String> {
    Ok(text(field, told)?.map(|text| text.trim().to_owned()))
}

/// A number of things; also where it is written as text or with a fraction of zero.
pub(super) fn count(field: &str, told: Maybe<'_>) -> Result<Option<u64>, String> {
    let told = match told {
        None | Some(Told::Null) => return Ok(None),
        Some(told) => told,
    };
    let whole = match &told {
        Told::Whole(number) => Some(*number),
        // Beyond 2⁵³ a fraction cannot be told from none.
        Told::Number(number) if number.fract() == 0.0 && (0.0..9e15).contains(number) => {
            Some(*number as u64)
        }
        Told::Text(text) => text.trim().parse().ok(),
        _ => None,
    };
    match whole {
        Some(number) => Ok(Some(number)),
        None => Err(wrong(field, &told, "a whole number, such as 120")),
    }
}

/// A number; also where it is written as text.
pub(super) fn number(field: &str, told: Maybe<'_>, example: &str) -> Result<Option<f64>, String> {
    let told = match told {
        None | Some(Told::Null) => return Ok(None),
        Some(told) => told,
    };
    let number = match &told {
        Told::Whole(number) => Some(*number as f64),
        Told::Number(number) => Some(*number),
        Told::Text(text) => text.trim().parse().ok(),
        _ => None,
    };
    match number.filter(|number: &f64| number.is_finite()) {
        Some(number) => Ok(Some(number)),
        None => Err(wrong(field, &told, &format!("a number, such as {example}"))),
    }
}

/// Yes or no.
pub(super) fn flag(field: &str, told: Maybe<'_>) -> Result<Option<bool>, String> {
    match told {
        None | Some(Told::Null) => Ok(None),
        Some(Told::Bool(value)) => Ok(Some(value)),
        Some(Told::Whole(0)) => Ok(Some(false)),
        Some(Told::Whole(1)) => Ok(Some(true)),
        Some(told) => {
            let word = match &told {
                Told::Text(text) => text.trim().to_ascii_lowercase(),
                _ => String::new(),
            };
            match word.as_str() {
                "true" | "yes" | "ok" | "success" | "succeeded" | "completed" | "done" => {
                    Ok(Some(true))
                }
                "false" | "no" | "error" | "failure" | "failed" | "abandoned" => Ok(Some(false)),
                _ => Err(wrong(field, &told, "true or false")),
            }
        }
    }
}

/// A moment: RFC 3339, or a number of (milli-, micro-, nano-) seconds since 1970, told apart by their size.
pub(super) fn moment(field: &str, told: Maybe<'_>) -> Result<Option<Timestamp>, String> {
    const EXAMPLE: &str = "a time, such as \"2026-01-31T09:00:00Z\"";
    let told = match told {
        None | Some(Told::Null) => return Ok(None),
        Some(told) => told,
    };
    let moment = match &told {
        Told::Text(text) => {
            let text = text.trim();
            text.parse().ok().or_else(|| since_1970(text.parse().ok()?))
        }
        Told::Whole(number) => since_1970(*number as f64),
        Told::Number(number) => since_1970(*number),
        _ => None,
    };
    match moment {
        Some(moment) => Ok(Some(moment)),
        None => Err(wrong(field, &told, EXAMPLE)),
    }
}

fn since_1970(number: f64) -> Option<Timestamp> {
    // Seconds reach 10¹¹ in the year 5138; milliseconds passed it in 1973.
    let to_micros = match number {
        n if !(0.0..1e19).contains(&n) => return None,
        n if n < 1e11 => 1e6,
        n if n < 1e14 => 1e3,
        n if n < 1e17 => 1.0,
        _ => 1e-3,
    };
    Timestamp::from_microsecond((number * to_micros).round() as i64).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn told(json: &str) -> Maybe<'_> {
        Some(serde_json::from_str(json).unwrap())
    }

    #[test]
    fn what_is_meant_is_taken() {
        assert_eq!(count("n", told("12")), Ok(Some(12)));
        assert_eq!(count("n", told("12.0")), Ok(Some(12)));
        assert_eq!(count("n", told("\" 12 \"")), Ok(Some(12)));
        assert_eq!(count("n", told("null")), Ok(None));
        assert_eq!(number("n", told("\"1.5\""), "1"), Ok(Some(1.5)));
        assert_eq!(text("n", told("17")).unwrap().unwrap(), "17");
        assert_eq!(text("n", told("\" \"")).unwrap(), None);
        assert_eq!(flag("n", told("\"failed\"")), Ok(Some(false)));
        let nine = "2026-01-31T09:00:00Z".parse().ok();
        for at in [
            "\"2026-01-31T09:00:00Z\"",
            "\"2026-01-31T10:00:00+01:00\"",
            "1769850000",
            "1769850000000",
            "1769850000000000",
            "1769850000000000000",
            "\"1769850000\"",
        ] {
            assert_eq!(moment("at", told(at)), Ok(nine), "{at}");
        }
    }

    #[test]
    fn what_is_not_is_refused_with_what_to_write() {
        for json in ["-1", "1.5", "\"many\"", "true", "[1]", "1e300"] {
            let why = count("input_tokens", told(json)).unwrap_err();
            assert!(
                why.starts_with("input_tokens is ") && why.contains("such as 120"),
                "{why}"
            );
        }
        for json in ["\"NaN\"", "\"inf\"", "{}", "\"\""] {
            assert!(number("latency_ms", told(json), "850").is_err(), "{json}");
        }
        for json in ["\"yesterday\"", "-5", "1e30", "true", "\"2026-01-31\""] {
            let why = moment("at", told(json)).unwrap_err();
            assert!(why.contains("2026-01-31T09:00:00Z"), "{why}");
        }
        assert!(flag("ok", told("2")).is_err());
        assert!(text("user", told("{}")).is_err());
    }
}
