//! What is answered: success, with what was refused of it, or `google.rpc.Status`; each in the request's encoding.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use prost::Message;

use super::{Encoding, Refused, Signal};

/// When it may be sent again, in seconds.
const AGAIN: HeaderValue = HeaderValue::from_static("2");

/// A browser asks whether its page may send.
pub(super) fn preflight(headers: &HeaderMap) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = StatusCode::NO_CONTENT;
    let wanted = headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS).cloned();
    let answered = answer.headers_mut();
    answered.insert(
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        wanted.unwrap_or(HeaderValue::from_static("*")),
    );
    answered.insert(
        header::ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static("POST"),
    );
    answered.insert(
        header::ACCESS_CONTROL_MAX_AGE,
        HeaderValue::from_static("600"),
    );
    answer
}

pub(super) fn plain(
    status: StatusCode,
    encoding: Encoding,
    body: Vec<u8>,
) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::from(body));
    *answer.status_mut() = status;
    let kind = match encoding {
        Encoding::Protobuf => "application/x-protobuf",
        Encoding::Json => "application/json",
    };
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(
        HeaderName::from_static("x-content-type-options"),
        HeaderValue::from_static("nosniff"),
    );
    answer
}

/// The answers of the three signals are alike to the byte: a message in a message, with a count and a text.
#[derive(Clone, PartialEq, Message)]
struct Success {
    #[prost(message, optional, tag = "1")]
    partial_success: Option<Partial>,
}

#[derive(Clone, PartialEq, Message)]
struct Partial {
    #[prost(int64, tag = "1")]
    rejected: i64,
    #[prost(string, tag = "2")]
    error_message: String,
}

pub(super) fn success(signal: Signal, encoding: Encoding, refused: &Refused) -> Vec<u8> {
    if refused.count() == 0 {
        return match encoding {
            Encoding::Protobuf => Vec::new(),
            Encoding::Json => b"{}".to_vec(),
        };
    }
    let (count, message) = (refused.count(), refused.message());
    match encoding {
        Encoding::Protobuf => Success {
            partial_success: Some(Partial {
                rejected: count,
                error_message: message,
            }),
        }
        .encode_to_vec(),
        Encoding::Json => {
            let what = match signal {
                Signal::Traces => "rejectedSpans",
                Signal::Metrics => "rejectedDataPoints",
                Signal::Logs => "rejectedLogRecords",
            };
            // 64-bit integers are texts in OTLP's JSON.
            let partial = serde_json::json!({ what: count.to_string(), "errorMessage": message });
            serde_json::json!({ "partialSuccess": partial })
                .to_string()
                .into_bytes()
        }
    }
}

/// A request that is not acknowledged.
pub(super) struct Refusal {
    status: StatusCode,
    message: String,
}

/// `google.rpc.Status`, which OTLP answers errors with.
#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
        }
    }

    pub(super) fn answer(self, encoding: Encoding) -> Response<Full<Bytes>> {
        // gRPC's codes.
        let code = match self.status {
            StatusCode::UNAUTHORIZED => 16,
            StatusCode::FORBIDDEN => 7,
            StatusCode::NOT_FOUND => 5,
            StatusCode::METHOD_NOT_ALLOWED => 12,
            StatusCode::REQUEST_TIMEOUT => 4,
            StatusCode::PAYLOAD_TOO_LARGE => 8,
            StatusCode::SERVICE_UNAVAILABLE => 14,
            _ => 3,
        };
        let body = match encoding {
            Encoding::Protobuf => Status {
                code,
                message: self.message,
            }
            .encode_to_vec(),
            Encoding::Json => serde_json::json!({ "code": code, "message": self.message })
                .to_string()
                .into_bytes(),
        };
        let mut answer = plain(self.status, encoding, body);
        let headers = answer.headers_mut();
        match self.status {
            StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(header::RETRY_AFTER, AGAIN);
            }
            StatusCode::METHOD_NOT_ALLOWED => {
                headers.insert(header::ALLOW, HeaderValue::from_static("POST"));
            }
            StatusCode::UNAUTHORIZED => {
                headers.insert(
                    header::WWW_AUTHENTICATE,
                    HeaderValue::from_static("Bearer realm=\"studio-cockpit\""),
                );
            }
            _ => {}
        }
        answer
    }
}
