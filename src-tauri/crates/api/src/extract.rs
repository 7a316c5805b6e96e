//! What handlers take out of a request, with our own refusals.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use cockpit_model::{Code, Problem};
use serde::de::DeserializeOwned;

use crate::gate::too_large;
use crate::refusal::Refusal;

/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// The longest name of a service.
const MAX_NAME: usize = 64;

/// The `{name}` of the path: decoded, and shaped like the name of a service. What is not shaped
/// like one cannot be one, and never reaches the engine.
pub(crate) struct ServiceName(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for ServiceName {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        #[derive(serde::Deserialize)]
        struct Named {
            name: String,
        }
        match Path::<Named>::from_request_parts(parts, state).await {
            Ok(Path(Named { name })) => service_name(name).map(Self).map_err(Refusal::from),
            Err(_) => Err(unknown_service("a name that is not text").into()),
        }
    }
}

/// Passes what could be the name of a service.
pub(crate) fn service_name(name: String) -> Result<String, Problem> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_');
    let shaped = name.len() <= MAX_NAME
        && name.chars().all(plain)
        && edge(name.chars().next())
        && edge(name.chars().next_back());
    if shaped {
        Ok(name)
    } else {
        let shown: String = name.chars().take(MAX_NAME).collect();
        Err(unknown_service(&format!("`{shown}`")))
    }
}

fn unknown_service(shown: &str) -> Problem {
    Problem::new(Code::UnknownService, format!("there is no service {shown}"))
        .remedy("`studio-cockpit services` lists them")
}

/// All of a body, within the route's limit and in time.
pub(crate) async fn whole_body<S: Send + Sync>(
    request: Request,
    state: &S,
) -> Result<Bytes, Refusal> {
    let read = tokio::time::timeout(BODY_TIMEOUT, Bytes::from_request(request, state)).await;
    match read {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(rejection)) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            Err(too_large().into())
        }
        Ok(Err(rejection)) => Err(Problem::new(Code::BadRequest, "the body could not be read")
            .detail(rejection.body_text())
            .into()),
        Err(_) => Err(Refusal::with_status(
            Problem::new(Code::BadRequest, "the body did not arrive in time")
                .detail(format!("waited {} s", BODY_TIMEOUT.as_secs())),
            StatusCode::REQUEST_TIMEOUT,
        )),
    }
}

/// A JSON body; an empty one counts as `{}`.
pub(crate) struct JsonBody<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for JsonBody<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let json = request
            .headers()
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|value| {
                let essence = value.split(';').next().unwrap_or("").trim();
                essence.eq_ignore_ascii_case("application/json")
            });
        let body = whole_body(request, state).await?;
        if !json && !body.is_empty() {
            return Err(Refusal::with_status(
                Problem::new(Code::BadRequest, "the body is not declared as JSON")
                    .remedy("send `Content-Type: application/json`"),
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
            ));
        }
        let text: &[u8] = if body.is_empty() { b"{}" } else { &body };
        serde_json::from_slice(text).map(Self).map_err(|error| {
            Problem::new(Code::BadRequest, "the body is not the JSON this takes")
                .detail(error.to_string())
                .into()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::service_name;

    #[test]
    fn names() {
        for name in ["api", "api-2", "web_1", "a.b", "_x", "A"] {
            assert!(service_name(name.into()).is_ok(), "{name}");
        }
        let long = "a".repeat(65);
        for name in [
            "", ".", "..", "../etc", "a/b", "a\\b", "a b", "a\0", "-a", "a.", ".a", "ä", &long,
        ] {
            assert!(service_name(name.into()).is_err(), "{name}");
        }
    }
}
