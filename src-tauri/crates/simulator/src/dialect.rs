//! The three protocols, as far as their errors go.

use axum::Json;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// An answer that says no.
pub(crate) type Refusal = Box<Response>;

/// Which protocol an endpoint speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// `/api/*`
    Ollama,
    /// `/v1/*` but for messages.
    OpenAi,
    /// The same, whose streams have named events.
    Responses,
    /// `/v1/messages`
    Anthropic,
}

impl Dialect {
    /// What an error in mid-stream says.
    pub(crate) const BROKEN: &str = "the model runner has unexpectedly stopped";

    pub(crate) fn of(path: &str) -> Self {
        if path.starts_with("/api/") {
            Self::Ollama
        } else if path.starts_with("/v1/messages") {
            Self::Anthropic
        } else if path.starts_with("/v1/responses") {
            Self::Responses
        } else {
            Self::OpenAi
        }
    }

    /// An error with a status, in the protocol's shape.
    pub(crate) fn refuse(self, status: StatusCode, message: &str) -> Response {
        (status, Json(self.error(status, message))).into_response()
    }

    /// The body of a request, whatever its content type says.
    pub(crate) fn read<T: DeserializeOwned>(self, body: &[u8]) -> Result<T, Refusal> {
        serde_json::from_slice(body).map_err(|e| {
            let message = match self {
                Self::Ollama if body.is_empty() => "missing request body".to_owned(),
                Self::Anthropic if e.is_data() => e.to_string(),
                Self::OpenAi | Self::Responses if !e.is_data() => {
                    format!("We could not parse the JSON body of your request. ({e})")
                }
                _ => e.to_string(),
            };
            Box::new(self.refuse(StatusCode::BAD_REQUEST, &message))
        })
    }

    /// The body of an error.
    pub(crate) fn error(self, status: StatusCode, message: &str) -> Value {
        match self {
            Self::Ollama => json!({ "error": message }),
            Self::OpenAi | Self::Responses => {
                let (kind, code) = match status.as_u16() {
                    401 => ("invalid_request_error", Some("invalid_api_key")),
                    429 => ("requests", Some("rate_limit_exceeded")),
                    400..=499 => ("invalid_request_error", None),
                    _ => ("server_error", None),
                };
                json!({ "error": { "message": message, "type": kind, "param": null, "code": code } })
            }
            Self::Anthropic => {
                let kind = match status.as_u16() {
                    401 => "authentication_error",
                    402 => "billing_error",
                    403 => "permission_error",
                    404 => "not_found_error",
                    413 => "request_too_large",
                    429 => "rate_limit_error",
                    400..=499 => "invalid_request_error",
                    504 => "timeout_error",
                    529 | 200 => "overloaded_error",
                    _ => "api_error",
                };
                json!({ "type": "error", "error": { "type": kind, "message": message } })
            }
        }
    }

    /// The piece of a stream that tells an error under status 200.
    pub(crate) fn error_in_stream(self) -> Bytes {
        let status = match self {
            Self::Anthropic => StatusCode::OK,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let error = self.error(status, Self::BROKEN);
        Bytes::from(match self {
            Self::Ollama => format!("{error}\n"),
            Self::OpenAi => format!("data: {error}\n\n"),
            Self::Responses => {
                let event = json!({
                    "type": "error",
                    "code": "server_error",
                    "message": Self::BROKEN,
                    "param": null,
                    "sequence_number": 0,
                });
                format!("event: error\ndata: {event}\n\n")
            }
            Self::Anthropic => format!("event: error\ndata: {error}\n\n"),
        })
    }
}
