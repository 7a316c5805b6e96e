//! The two headers by which a provider says when to come again.

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;

/// How long to wait by `retry-after-ms` (milliseconds) or else `retry-after` (seconds, or an HTTP date, which
/// is held against `now`). `None` where neither says anything sensible; a moment that has passed is zero.
pub fn retry_after(
    retry_after_ms: Option<&str>,
    retry_after: Option<&str>,
    now: Timestamp,
) -> Option<Duration> {
    let number = |text: &str, unit: f64| {
        let number: f64 = text.trim().parse().ok()?;
        Duration::try_from_secs_f64(number * unit).ok()
    };
    if let Some(wait) = retry_after_ms.and_then(|text| number(text, 0.001)) {
        return Some(wait);
    }
    let text = retry_after?;
    number(text, 1.0).or_else(|| {
        let at = DateTimeParser::new().parse_timestamp(text.trim()).ok()?;
        Some(Duration::try_from(at.duration_since(now)).unwrap_or(Duration::ZERO))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_providers_send() {
        let now: Timestamp = "2026-11-23T09:00:00Z".parse().unwrap();
        let cases = [
            (None, None, None),
            (Some("1500"), Some("9"), Some(1500)),
            (Some("soon"), Some("9"), Some(9000)),
            (None, Some(" 0.25 "), Some(250)),
            (None, Some("0"), Some(0)),
            (None, Some("Mon, 23 Nov 2026 09:00:20 GMT"), Some(20_000)),
            (None, Some("Mon, 23 Nov 2026 08:00:00 GMT"), Some(0)),
            (None, Some("-1"), None),
            (None, Some("NaN"), None),
            (None, Some("inf"), None),
            (None, Some("1e300"), None),
            (None, Some(""), None),
            (Some(""), Some("next year"), None),
        ];
        for (ms, seconds, expected) in cases {
            let wait = retry_after(ms, seconds, now);
            assert_eq!(
                wait,
                expected.map(Duration::from_millis),
                "{ms:?} {seconds:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn never_panics(ms in proptest::option::of(".{0,40}"), seconds in proptest::option::of(".{0,40}"), number in any::<f64>()) {
            let now = Timestamp::UNIX_EPOCH;
            retry_after(ms.as_deref(), seconds.as_deref(), now);
            retry_after(Some(&number.to_string()), Some(&number.to_string()), now);
        }
    }
}
