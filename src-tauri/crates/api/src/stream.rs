//! Server-sent events: a live stream as an answer.

use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, header};
use axum::response::sse::{Event as Message, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, StreamExt, stream};

use crate::door::{Door, closed};

/// A comment is sent after so long without a message, so that both ends notice a dead connection.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How long a browser waits before it connects again.
const RECONNECT: Duration = Duration::from_secs(1);

/// Answers with the messages as they come, until they end, the reader leaves or the engine stops.
pub(crate) fn live<S>(request: &Request<Body>, messages: S) -> Response
where
    S: Stream<Item = Result<Message, axum::Error>> + Send + 'static,
{
    let closing = request
        .extensions()
        .get::<Door>()
        .map(|door| door.closing.clone());
    let until = async move {
        match closing {
            Some(closing) => closed(closing).await,
            None => std::future::pending().await,
        }
    };
    let opening = stream::iter([Ok(Message::default().retry(RECONNECT).comment("open"))]);
    let mut response = Sse::new(opening.chain(messages).take_until(until))
        .keep_alive(KeepAlive::new().interval(HEARTBEAT).text("heartbeat"))
        .into_response();
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
