//! Whose fault a reported error was: the prefix of its code.

use cockpit_model::Fault;

/// The longest code.
const LONGEST: usize = 64;

/// The code of a reported error. One that is prefixed by whose fault it was is kept; otherwise the status decides,
/// then the words, and what is left is the provider's.
pub(super) fn code(told: Option<&str>, status: Option<u16>) -> String {
    let told = told.map(str::trim).filter(|told| !told.is_empty());
    let word = told.and_then(word);
    if let Some(word) = &word
        && Fault::of(word).is_some()
    {
        return word.clone();
    }
    // `error.type` may be the status itself.
    let status = status.or_else(|| told?.parse().ok());
    if let Some(known) = status.and_then(of_status) {
        return known.to_owned();
    }
    let lower = told.unwrap_or_default().to_ascii_lowercase();
    if let Some(known) = of_words(&lower) {
        return known.to_owned();
    }
    // A class of errors is worth a code of its own; a sentence is not: each would be another.
    match word {
        Some(word) if !word.is_empty() && !word.bytes().all(|b| b.is_ascii_digit()) => {
            let mut code = format!("provider_{word}");
            code.truncate(LONGEST);
            code
        }
        _ => "provider_error".to_owned(),
    }
}

/// Whether the words say that the caller gave up.
pub(super) fn is_cancelled(told: &str) -> bool {
    let lower = told.to_ascii_lowercase();
    // A connection that was aborted is nobody's wish.
    let wished = lower.contains("cancel") || lower.contains("abort") && !lower.contains("conn");
    wished || lower == "499"
}

/// A name in one word, in our way of writing; `None` for a sentence. `openai.RateLimitError` is `rate_limit_error`.
fn word(told: &str) -> Option<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | ':');
    if told.len() > 128 || !told.chars().all(plain) {
        return None;
    }
    let name = told.rsplit(['.', ':']).next().unwrap_or(told);
    let mut word = String::with_capacity(name.len() + 8);
    let mut lower_before = false;
    for c in name.chars() {
        if c == '-' || c == '_' {
            if !word.ends_with('_') && !word.is_empty() {
                word.push('_');
            }
            lower_before = false;
            continue;
        }
        if c.is_ascii_uppercase() && lower_before {
            word.push('_');
        }
        lower_before = c.is_ascii_lowercase() || c.is_ascii_digit();
        word.push(c.to_ascii_lowercase());
    }
    Some(word.trim_end_matches('_').to_owned())
}

fn of_status(status: u16) -> Option<&'static str> {
    Some(match status {
        401 => "provider_unauthorized",
        402 => "provider_unpaid",
        408 | 504 => "provider_timeout",
        413 => "caller_too_large",
        429 => "provider_rate_limited",
        503 | 529 => "provider_overloaded",
        400..=499 => "caller_refused",
        500..=599 => "provider_error",
        _ => return None,
    })
}

fn of_words(lower: &str) -> Option<&'static str> {
    let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    if has(&["timeout", "timed out", "deadline", "etimedout"]) {
        Some("provider_timeout")
    } else if has(&["rate limit", "ratelimit", "rate_limit", "too many requests"]) {
        Some("provider_rate_limited")
    } else if has(&["overloaded"]) {
        Some("provider_overloaded")
    } else if has(&[
        "authentication",
        "unauthorized",
        "invalid_api_key",
        "invalid api key",
    ]) {
        Some("provider_unauthorized")
    } else if has(&[
        "econn",
        "enotfound",
        "ehostunreach",
        "connection",
        "unknownhost",
        "socket hang up",
        "fetch failed",
        "getaddrinfo",
    ]) {
        Some("provider_unreachable")
    } else if has(&[
        "badrequest",
        "bad request",
        "invalid_request",
        "notfounderror",
        "unprocessable",
    ]) {
        Some("caller_refused")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_is_somebodys() {
        for (told, status, code_) in [
            (Some("provider_timeout"), None, "provider_timeout"),
            (
                Some("policy_budget_exhausted"),
                Some(402),
                "policy_budget_exhausted",
            ),
            (Some("timeout"), None, "provider_timeout"),
            (Some("openai.RateLimitError"), None, "provider_rate_limited"),
            (Some("openai.BadRequestError"), None, "caller_refused"),
            (Some("429"), None, "provider_rate_limited"),
            (Some("500"), None, "provider_error"),
            (
                Some("java.net.UnknownHostException"),
                None,
                "provider_unreachable",
            ),
            (Some("ECONNREFUSED"), None, "provider_unreachable"),
            (
                Some("ContentFilterError"),
                None,
                "provider_content_filter_error",
            ),
            (
                Some("the model said 17 strange things"),
                None,
                "provider_error",
            ),
            (Some("_OTHER"), None, "provider_other"),
            (None, Some(400), "caller_refused"),
            (None, None, "provider_error"),
            (Some(""), Some(200), "provider_error"),
            (Some("12"), None, "provider_error"),
        ] {
            assert_eq!(code(told, status), code_, "{told:?} {status:?}");
        }
        for (told, cancelled) in [
            ("openai.APIUserAbortError", true),
            ("asyncio.CancelledError", true),
            ("499", true),
            ("ECONNABORTED", false),
            ("timeout", false),
        ] {
            assert_eq!(is_cancelled(told), cancelled, "{told}");
        }
        assert!(code(Some(&"x".repeat(120)), None).len() <= LONGEST);
    }
}
