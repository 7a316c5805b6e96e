//! What we answer ourselves instead of a provider: an error in the shape of the caller's protocol, with
//! our stable code.

use std::time::Duration;

use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};
use serde_json::json;

use crate::body::Outgoing;
use crate::endpoint::Protocol;

/// An error of our own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: &'static str,
    pub(crate) status: StatusCode,
    /// What happened, to what, what to do next.
    pub(crate) message: String,
    /// When to come again.
    pub(crate) retry_after: Option<Duration>,
    /// What is left of the caller's limits.
    pub(crate) limits: Option<Box<HeaderMap>>,
}

/// The official clients wait no longer than this for us, if we say so; older ones would come too early instead.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Every code of our own: its status. The prefix says whose fault it is.
pub(crate) const fn status_of(code: &str) -> StatusCode {
    match code.as_bytes() {
        b"caller_unauthorized" => StatusCode::UNAUTHORIZED,
        b"caller_malformed_request" | b"caller_protocol_mismatch" => StatusCode::BAD_REQUEST,
        b"caller_too_large" => StatusCode::PAYLOAD_TOO_LARGE,
        b"caller_too_slow" => StatusCode::REQUEST_TIMEOUT,
        b"caller_unknown_model" => StatusCode::NOT_FOUND,
        b"policy_budget_exhausted" => StatusCode::PAYMENT_REQUIRED,
        b"policy_rate_limited" => StatusCode::TOO_MANY_REQUESTS,
        b"provider_timeout" => StatusCode::GATEWAY_TIMEOUT,
        b"provider_unreachable" | b"provider_invalid_answer" => StatusCode::BAD_GATEWAY,
        b"provider_unavailable"
        | b"gateway_queue_full"
        | b"gateway_queue_timeout"
        | b"gateway_overloaded" => StatusCode::SERVICE_UNAVAILABLE,
        // `policy_host`, `policy_origin`, `policy_model`, `policy_max_tokens`, `policy_blocked_word`, `policy_pii`.
        [b'p', b'o', b'l', b'i', b'c', b'y', ..] => StatusCode::FORBIDDEN,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl Refusal {
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            status: status_of(code),
            message: message.into(),
            retry_after: None,
            limits: None,
        }
    }

    pub(crate) fn retry_after(mut self, wait: Option<Duration>) -> Self {
        self.retry_after = wait;
        self
    }

    /// Says what is left of the caller's limits, in the standard headers.
    pub(crate) fn limits(mut self, limits: HeaderMap) -> Self {
        self.limits = (!limits.is_empty()).then(|| Box::new(limits));
        self
    }

    /// In the caller's protocol.
    pub(crate) fn answer(&self, protocol: Protocol) -> Response<Outgoing> {
        let body = match protocol {
            Protocol::OpenAi => json!({"error": {
                "message": self.message,
                "type": openai_type(self.status),
                "param": null,
                "code": self.code,
            }}),
            Protocol::Anthropic => json!({"type": "error", "error": {
                "type": anthropic_type(self.status),
                "message": self.message,
                "code": self.code,
            }}),
            Protocol::Ollama => json!({"error": self.message, "code": self.code}),
        };
        let mut answer = Response::new(Outgoing::full(Bytes::from(body.to_string())));
        *answer.status_mut() = self.status;
        let headers = answer.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(wait) = self.retry_after {
            // Whole seconds, and never earlier than it makes sense.
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
            // The official clients prefer this one, which is exact.
            let millis = u64::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
            headers.insert("retry-after-ms", HeaderValue::from(millis.max(1)));
            // They take no other answer of this kind for one that passes by itself.
            let retry = match (wait > LONGEST_WAIT, self.status) {
                (true, _) => Some("false"),
                (false, StatusCode::PAYMENT_REQUIRED) => Some("true"),
                (false, _) => None,
            };
            if let Some(retry) = retry {
                headers.insert("x-should-retry", HeaderValue::from_static(retry));
            }
        }
        if let Some(limits) = &self.limits {
            headers.extend((**limits).clone());
        }
        answer
    }
}

fn openai_type(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 => "authentication_error",
        402 => "insufficient_quota",
        403 => "permission_error",
        404 => "not_found_error",
        429 => "rate_limit_error",
        400..=499 => "invalid_request_error",
        _ => "server_error",
    }
}

fn anthropic_type(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        400..=499 => "invalid_request_error",
        503 => "overloaded_error",
        504 => "timeout_error",
        _ => "api_error",
    }
}
