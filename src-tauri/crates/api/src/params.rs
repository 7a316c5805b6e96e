//! Query parameters: unknown ones and bad ones are refused by name. One that is misspelt and ignored would answer
//! another question than was asked.

use std::ops::RangeInclusive;
use std::time::Duration;

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use cockpit_model::{Code, Problem, Timestamp};

use crate::refusal::Refusal;

/// The longest window anything is kept for, in days.
const MOST_DAYS: u64 = 2 * 366;
const MAX_WINDOW: Duration = Duration::from_secs(MOST_DAYS * 24 * 3600);

/// The query's names and values, decoded, in order.
#[derive(Debug, Default)]
pub(crate) struct Params(Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for Params {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        Query::try_from_uri(&parts.uri)
            .map(|Query(pairs)| Self(pairs))
            .map_err(|rejection| {
                Problem::new(Code::BadRequest, "the query cannot be read")
                    .detail(rejection.body_text())
                    .into()
            })
    }
}

impl Params {
    /// Refuses what is none of these.
    pub(crate) fn only(&self, known: &[&str]) -> Result<(), Problem> {
        let unknown = self
            .0
            .iter()
            .find(|(name, _)| !known.contains(&name.as_str()));
        let Some((name, _)) = unknown else {
            return Ok(());
        };
        let name: String = name.chars().take(60).collect();
        let all: Vec<String> = known.iter().map(|one| format!("`{one}`")).collect();
        let takes = match all.as_slice() {
            [one] => format!("this path takes {one} alone"),
            [most @ .., last] => format!("this path takes {} and {last}", most.join(", ")),
            [] => "this path takes none".to_owned(),
        };
        Err(Problem::new(
            Code::BadRequest,
            format!("there is no query parameter `{name}` here"),
        )
        .remedy(takes))
    }

    /// The value of a parameter, the last one if it is repeated; an empty one counts as absent.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .rev()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }

    /// `true`, `false`, `1` or `0`; absent is false.
    pub(crate) fn flag(&self, name: &str) -> Result<bool, Problem> {
        match self.text(name) {
            None | Some("false" | "0") => Ok(false),
            Some("true" | "1") => Ok(true),
            Some(other) => Err(bad(name, other, "true or false")),
        }
    }

    /// A whole number within a range.
    pub(crate) fn count(
        &self,
        name: &str,
        default: usize,
        range: RangeInclusive<usize>,
    ) -> Result<usize, Problem> {
        let Some(text) = self.text(name) else {
            return Ok(default);
        };
        text.parse()
            .ok()
            .filter(|n| range.contains(n))
            .ok_or_else(|| {
                let wanted = format!("a whole number from {} to {}", range.start(), range.end());
                bad(name, text, &wanted)
            })
    }

    /// A whole number, if it is given.
    pub(crate) fn number<N: std::str::FromStr>(&self, name: &str) -> Result<Option<N>, Problem> {
        self.text(name)
            .map(|text| text.parse().map_err(|_| bad(name, text, "a whole number")))
            .transpose()
    }

    /// A moment, if it is given.
    pub(crate) fn moment(&self, name: &str) -> Result<Option<Timestamp>, Problem> {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        let moment = text.parse().map(Some);
        moment.map_err(|_| bad(name, text, "a time such as 2026-03-01T12:00:00Z"))
    }

    /// A length of time.
    pub(crate) fn window(&self, name: &str, default: Duration) -> Result<Duration, Problem> {
        let Some(text) = self.text(name) else {
            return Ok(default);
        };
        let window = parse_duration(text)
            .ok_or_else(|| bad(name, text, "a length of time such as 30s, 5m, 1h or 7d"))?;
        if window > MAX_WINDOW {
            return Err(bad(name, text, &format!("at most {MOST_DAYS}d")));
        }
        Ok(window)
    }
}

/// The refusal of a parameter's value.
pub(crate) fn bad(name: &str, text: &str, wanted: &str) -> Problem {
    let text: String = text.chars().take(60).collect();
    Problem::new(
        Code::BadRequest,
        format!("the query parameter `{name}` is not valid"),
    )
    .detail(format!("`{text}` is not {wanted}"))
    .remedy(format!("give `{name}` {wanted}"))
}

/// A length of time as people write it: a whole number and `ms`, `s`, `m`, `h` or `d`. `None` for
/// anything else, and for zero.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let split = text.find(|c: char| !c.is_ascii_digit())?;
    let (digits, unit) = text.split_at_checked(split)?;
    let number: u64 = digits.parse().ok()?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    let millis = number.checked_mul(millis)?;
    (millis > 0).then(|| Duration::from_millis(millis))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations() {
        assert_eq!(parse_duration("30s"), Some(Duration::from_secs(30)));
        assert_eq!(parse_duration("200ms"), Some(Duration::from_millis(200)));
        assert_eq!(parse_duration("5m"), Some(Duration::from_secs(300)));
        assert_eq!(parse_duration("1h"), Some(Duration::from_secs(3600)));
        assert_eq!(parse_duration("7d"), Some(Duration::from_secs(604_800)));
        for text in [
            "",
            "5",
            "h",
            "-5m",
            "5 m",
            "5M",
            "1.5h",
            "0s",
            "5mm",
            "99999999999999999999h",
            "18446744073709551615d",
            "٣h",
        ] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }

    #[test]
    fn a_refusal_names_the_parameter() {
        let params = Params(vec![("points".into(), "2001".into())]);
        let problem = params.count("points", 600, 1..=2000).unwrap_err();
        assert_eq!(problem.code, Code::BadRequest);
        assert!(problem.title.contains("`points`"), "{problem}");
        assert!(problem.detail.unwrap().contains("1 to 2000"));
    }

    #[test]
    fn a_window_that_is_too_long_is_told_so() {
        let of = |text: &str| {
            let params = Params(vec![("window".into(), text.into())]);
            params.window("window", Duration::from_secs(3600))
        };
        assert_eq!(of("732d").unwrap(), MAX_WINDOW);
        let detail = of("3000d").unwrap_err().detail.unwrap();
        assert_eq!(detail, "`3000d` is not at most 732d");
        let detail = of("soon").unwrap_err().detail.unwrap();
        assert!(detail.contains("such as"), "{detail}");
    }

    #[test]
    fn a_moment_is_one_in_utc_or_with_its_offset() {
        let of = |text: &str| Params(vec![("until".into(), text.into())]).moment("until");
        let noon = "2026-03-01T12:00:00Z".parse().unwrap();
        assert_eq!(of("2026-03-01T12:00:00Z").unwrap(), Some(noon));
        assert_eq!(of("2026-03-01T13:00:00+01:00").unwrap(), Some(noon));
        assert_eq!(of("").unwrap(), None);
        for text in ["now", "2026-03-01", "2026-03-01T12:00:00"] {
            let problem = of(text).unwrap_err();
            assert!(problem.title.contains("`until`"), "{problem}");
        }
    }

    #[test]
    fn the_last_of_a_repeated_parameter_counts() {
        let params = Params(vec![
            ("tail".into(), "5".into()),
            ("tail".into(), "7".into()),
        ]);
        assert_eq!(params.count("tail", 1, 0..=10).unwrap(), 7);
    }

    proptest! {
        #[test]
        fn whole_units_survive(n in 1_u64..100_000) {
            prop_assert_eq!(parse_duration(&format!("{n}s")), Some(Duration::from_secs(n)));
            prop_assert_eq!(parse_duration(&format!("{n}m")), Some(Duration::from_secs(n * 60)));
        }

        #[test]
        fn nothing_panics(text in "\\PC{0,30}") {
            let _ = parse_duration(&text);
        }
    }
}
