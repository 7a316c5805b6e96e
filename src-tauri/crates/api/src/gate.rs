//! What every request passes on its way in, and every answer on its way out.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use cockpit_door::let_finish;
use cockpit_model::{Code, Problem};

use crate::door::Door;
use crate::refusal::Refusal;
use crate::router::{App, EVENTS, EXCHANGE};

/// The largest request body, in bytes.
pub(crate) const MAX_BODY: usize = 1024 * 1024;
/// The largest body of reported events, in bytes; unpacked it may be no larger.
pub(crate) const MAX_EVENTS: usize = 8 * 1024 * 1024;
/// Up to which size a body that is refused for its size is let through to its end, unread.
const LET_FINISH: usize = 64 * 1024 * 1024;
/// The longest path with its query, in bytes.
const MAX_TARGET: usize = 4096;

/// For the pages: nothing but our own files; style attributes because the UI's framework sets them.
pub(crate) const UI_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'self'; style-src-attr 'unsafe-inline'; img-src 'self' data: blob:; object-src 'none'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);
/// For everything else: a browser that shows it runs and loads nothing.
const DATA_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox",
);

/// The middleware around the whole Router.
pub(crate) async fn gate(State(app): State<App>, request: Request, next: Next) -> Response {
    let response = match screen(&app, &request) {
        Ok(()) => next.run(request).await,
        Err(refusal) => {
            let response = refusal.into_response();
            let too_large = response.status() == StatusCode::PAYLOAD_TOO_LARGE;
            if too_large {
                let_finish(request.into_body(), LET_FINISH).await;
            }
            response
        }
    };
    seal(response)
}

/// The size that the head of a request tells.
fn declared(request: &Request<Body>) -> Option<u64> {
    let told = request.headers().get(header::CONTENT_LENGTH)?;
    told.to_str().ok()?.parse().ok()
}

fn screen(app: &App, request: &Request<Body>) -> Result<(), Refusal> {
    let target = request
        .uri()
        .path_and_query()
        .map_or(0, |target| target.as_str().len());
    if target > MAX_TARGET {
        return Err(Refusal::with_status(
            Problem::new(Code::TooLarge, "the address is too long")
                .detail(format!("{target} bytes; at most {MAX_TARGET}")),
            StatusCode::URI_TOO_LONG,
        ));
    }
    let authorized = request
        .extensions()
        .get::<Door>()
        .is_some_and(|door| door.authorized);
    if !authorized && !is_public(app, request) {
        return Err(Problem::new(
            Code::Unauthorized,
            "this needs the cockpit's token",
        )
        .remedy("open the UI with `studio-cockpit open`, or send `Authorization: Bearer` with the content of the file `token` in the data folder")
        .into());
    }
    let most = if request.uri().path() == EVENTS {
        MAX_EVENTS
    } else {
        MAX_BODY
    };
    if declared(request).is_some_and(|bytes| bytes > most as u64) {
        return Err(too_large()
            .detail(format!("at most {most} bytes are taken"))
            .into());
    }
    Ok(())
}

/// The refusal of a body that is larger than what is asked takes.
pub(crate) fn too_large() -> Problem {
    Problem::new(Code::TooLarge, "the body is too large")
}

/// What holds no data (the two health answers and the UI's own files), and where a one-time code
/// stands for the token.
fn is_public(app: &App, request: &Request<Body>) -> bool {
    let path = request.uri().path();
    match *request.method() {
        Method::GET | Method::HEAD => matches!(path, "/healthz" | "/readyz") || app.ui.has(path),
        Method::POST => path == EXCHANGE,
        _ => false,
    }
}

/// Adds the headers every answer carries; keeps those it already has.
pub(crate) fn seal(mut response: Response) -> Response {
    let headers = response.headers_mut();
    let defaults = [
        (header::CONTENT_SECURITY_POLICY, DATA_POLICY),
        (
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ),
        (
            header::REFERRER_POLICY,
            HeaderValue::from_static("no-referrer"),
        ),
        (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (
            header::HeaderName::from_static("cross-origin-resource-policy"),
            HeaderValue::from_static("same-origin"),
        ),
        (
            header::HeaderName::from_static("cross-origin-opener-policy"),
            HeaderValue::from_static("same-origin"),
        ),
    ];
    for (name, value) in defaults {
        headers.entry(name).or_insert(value);
    }
    response
}
