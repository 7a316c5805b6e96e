//! A [`Problem`] as an HTTP answer.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use cockpit_model::Problem;
use serde::Serialize;

/// What every handler returns instead of an answer.
pub(crate) type Answer<T> = Result<T, Refusal>;

/// A refused or failed request.
#[derive(Debug)]
pub(crate) struct Refusal {
    problem: Problem,
    status: StatusCode,
}

impl Refusal {
    /// A refusal whose status is more precise than its code's.
    pub(crate) fn with_status(problem: Problem, status: StatusCode) -> Self {
        Self { problem, status }
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        let status = StatusCode::from_u16(problem.code.status())
            .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self { problem, status }
    }
}

/// RFC 9457: the standard members beside our own.
#[derive(Serialize)]
struct Document<'a> {
    r#type: &'static str,
    status: u16,
    #[serde(flatten)]
    problem: &'a Problem,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let document = Document {
            r#type: "about:blank",
            status: self.status.as_u16(),
            problem: &self.problem,
        };
        // Strings, an integer and a fieldless enum: serialising them cannot fail.
        let body = serde_json::to_vec(&document).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status;
        response.headers_mut().insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer realm=\"studio-cockpit\""),
            );
        }
        response
    }
}
