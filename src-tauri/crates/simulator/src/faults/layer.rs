//! Faults of single answers: found with the request, carried out on the answer.

use std::future;
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use tokio::time::sleep;

use super::body::spoil;
use super::order::{Kind, Order};
use crate::dialect::Dialect;
use crate::serving::{Board, Peer, say};

/// What the largest request may have: images come inside the JSON.
const REQUEST: usize = 256 << 20;
const SLOW: u64 = 3000;

/// The middleware of every double that speaks for models.
pub(crate) async fn befall(State(board): State<Board>, request: Request, next: Next) -> Response {
    if request.method() != Method::POST {
        return next.run(request).await;
    }
    let dialect = Dialect::of(request.uri().path());
    let peer = request
        .extensions()
        .get::<ConnectInfo<Peer>>()
        .map(|info| info.0.clone());
    let (mut parts, body) = request.into_parts();
    let Ok(mut body) = to_bytes(body, REQUEST).await else {
        return dialect.refuse(StatusCode::PAYLOAD_TOO_LARGE, "the request is too large");
    };
    let said = parts.headers.get("x-fault").and_then(|v| v.to_str().ok());
    let found = match said.map(str::to_owned) {
        Some(words) => Order::in_words(&words).map(Some),
        None => by_model(&mut body, &board),
    };
    // The body may have become shorter by the fault in its model's name.
    if parts.headers.contains_key(header::CONTENT_LENGTH) {
        parts
            .headers
            .insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    }
    let request = Request::from_parts(parts, Body::from(body));
    let order = match found {
        Ok(None) => return next.run(request).await,
        Ok(Some(order)) => order,
        Err(wrong) => return dialect.refuse(StatusCode::BAD_REQUEST, &wrong),
    };
    say(&format!(
        "fault: {:?} of {}",
        order.kind,
        request.uri().path()
    ));
    match order.kind {
        Kind::Hang => future::pending().await,
        Kind::Slow => {
            sleep(Duration::from_millis(order.latency_ms.unwrap_or(SLOW))).await;
            next.run(request).await
        }
        Kind::Error | Kind::Status => with_status(&order, dialect),
        // A whole answer that is an error under 200 has nothing else in it.
        Kind::Midstream => {
            let answer = next.run(request).await;
            let whole = answer.headers().get(header::CONTENT_TYPE);
            if whole.is_some_and(|kind| kind.as_bytes().starts_with(b"application/json")) {
                return dialect.refuse(StatusCode::OK, Dialect::BROKEN);
            }
            spoil(order, dialect, peer, answer).await
        }
        _ => {
            let answer = next.run(request).await;
            spoil(order, dialect, peer, answer).await
        }
    }
}

/// The fault behind the model's name, taken off it; else the board's.
fn by_model(body: &mut Bytes, board: &Board) -> Result<Option<Order>, String> {
    let ordered = board.has_answers();
    if !ordered && !body.contains(&b'!') {
        return Ok(None);
    }
    let Ok(mut json) = serde_json::from_slice::<Value>(body) else {
        return Ok(None);
    };
    let model = json
        .get("model")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if let Some((model, words)) = model.split_once('!') {
        let order = Order::in_words(words)?;
        let model = model.to_owned();
        if let Some(place) = json.get_mut("model") {
            *place = model.into();
        }
        *body = Bytes::from(json.to_string());
        return Ok(Some(order));
    }
    Ok(board.answer(model))
}

fn with_status(order: &Order, dialect: Dialect) -> Response {
    let status = order
        .status
        .and_then(|status| StatusCode::from_u16(status).ok())
        .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut answer = dialect
        .refuse(status, "a fault was ordered")
        .into_response();
    for (name, value) in [
        ("retry-after", order.retry_after_s),
        ("retry-after-ms", order.retry_after_ms),
    ] {
        if let Some(value) = value {
            answer.headers_mut().insert(name, HeaderValue::from(value));
        }
    }
    answer
}
