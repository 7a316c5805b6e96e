//! Answers that are written piece by piece.

use std::convert::Infallible;

use axum::body::{Body, Bytes};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;

/// The client is gone: there is nobody to write for.
#[derive(Debug)]
pub(crate) struct Gone;

/// Where the pieces go.
#[derive(Debug)]
pub(crate) struct Pieces(mpsc::Sender<Bytes>);

impl Pieces {
    async fn put(&self, piece: Bytes) -> Result<(), Gone> {
        self.0.send(piece).await.map_err(|_| Gone)
    }

    /// A line of NDJSON.
    pub(crate) async fn line(&self, value: &Value) -> Result<(), Gone> {
        self.put(Bytes::from(format!("{value}\n"))).await
    }

    /// An event without a name.
    pub(crate) async fn data(&self, value: &Value) -> Result<(), Gone> {
        self.put(Bytes::from(format!("data: {value}\n\n"))).await
    }

    /// An event that is named by its own `type`.
    pub(crate) async fn event(&self, value: &Value) -> Result<(), Gone> {
        let name = value
            .get("type")
            .and_then(Value::as_str)
            .unwrap_or_default();
        self.put(Bytes::from(format!("event: {name}\ndata: {value}\n\n")))
            .await
    }

    /// What ends a stream of OpenAI's.
    pub(crate) async fn done(&self) -> Result<(), Gone> {
        self.put(Bytes::from_static(b"data: [DONE]\n\n")).await
    }
}

/// Server-sent events, written by the future that `write` makes.
pub(crate) fn events<F>(write: impl FnOnce(Pieces) -> F) -> Response
where
    F: Future<Output = Result<(), Gone>> + Send + 'static,
{
    answer("text/event-stream", write)
}

/// Lines of JSON, in the same way.
pub(crate) fn lines<F>(write: impl FnOnce(Pieces) -> F) -> Response
where
    F: Future<Output = Result<(), Gone>> + Send + 'static,
{
    answer("application/x-ndjson", write)
}

fn answer<F>(content_type: &'static str, write: impl FnOnce(Pieces) -> F) -> Response
where
    F: Future<Output = Result<(), Gone>> + Send + 'static,
{
    let (pieces, received) = mpsc::channel(16);
    tokio::spawn(write(Pieces(pieces)));
    let body = Body::from_stream(ReceiverStream::new(received).map(Ok::<_, Infallible>));
    ([(header::CONTENT_TYPE, content_type)], body).into_response()
}
