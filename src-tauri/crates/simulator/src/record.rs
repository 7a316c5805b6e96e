//! What a double was asked: `GET /_requests` answers the last ones, oldest first, `DELETE` forgets them.
//!
//! Each is `{method, path, query, headers, body, status, outcome}`; `body` is null where it was no
//! JSON; `outcome` is `waiting` (no answer yet), `answering`, `done` or `aborted` (the client left, or a
//! fault cut it). Keys are shown as they came: what a test wants to see is which one was sent.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use axum::body::{Body, BodyDataStream, Bytes, HttpBody as _, to_bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Map, Value, json};
use tokio_stream::Stream;

/// Requests that are kept.
const KEPT: usize = 200;
/// Bytes of a body that is kept; of a longer one, nothing.
const BODY: usize = 1 << 20;
/// Bytes of a request at most.
const REQUEST: usize = 256 << 20;

/// The last requests.
#[derive(Debug, Clone, Default)]
pub(crate) struct Record(Arc<Mutex<VecDeque<Arc<Mutex<Entry>>>>>);

#[derive(Debug)]
struct Entry {
    method: String,
    path: String,
    query: Option<String>,
    headers: Vec<(String, String)>,
    body: Bytes,
    status: Option<u16>,
    outcome: &'static str,
}

impl Entry {
    fn shown(&self) -> Value {
        let headers: Map<String, Value> = self
            .headers
            .iter()
            .map(|(name, value)| (name.clone(), value.clone().into()))
            .collect();
        json!({
            "method": self.method,
            "path": self.path,
            "query": self.query,
            "headers": headers,
            "body": serde_json::from_slice::<Value>(&self.body).unwrap_or_default(),
            "status": self.status,
            "outcome": self.outcome,
        })
    }
}

fn with<T, U>(of: &Mutex<T>, f: impl FnOnce(&mut T) -> U) -> U {
    f(&mut of.lock().unwrap_or_else(PoisonError::into_inner))
}

impl Record {
    /// `/_requests`
    pub(crate) fn routes(self) -> Router {
        Router::new()
            .route("/_requests", get(shown).delete(forget))
            .with_state(self)
    }

    fn push(&self, entry: Entry) -> Arc<Mutex<Entry>> {
        let entry = Arc::new(Mutex::new(entry));
        with(&self.0, |all| {
            if all.len() == KEPT {
                all.pop_front();
            }
            all.push_back(Arc::clone(&entry));
        });
        entry
    }
}

async fn shown(State(record): State<Record>) -> Json<Vec<Value>> {
    let all: Vec<_> = with(&record.0, |all| all.iter().cloned().collect());
    Json(all.iter().map(|entry| with(entry, |e| e.shown())).collect())
}

async fn forget(State(record): State<Record>) -> StatusCode {
    with(&record.0, VecDeque::clear);
    StatusCode::NO_CONTENT
}

/// The middleware that writes it.
pub(crate) async fn keep(State(record): State<Record>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, REQUEST).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let text =
        |value: &axum::http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let entry = record.push(Entry {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().map(str::to_owned),
        headers: parts
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), text(value)))
            .collect(),
        body: if body.len() <= BODY {
            body.clone()
        } else {
            Bytes::new()
        },
        status: None,
        outcome: "waiting",
    });
    // Dropped before it is done, it was aborted.
    let mut watch = Watch { entry, done: false };
    let answer = next.run(Request::from_parts(parts, Body::from(body))).await;
    let (parts, body) = answer.into_parts();
    with(&watch.entry, |entry| {
        entry.status = Some(parts.status.as_u16());
        entry.outcome = "answering";
    });
    // A whole answer stays whole: as a stream it would lose its length.
    if body.size_hint().exact().is_some() {
        watch.end();
        return Response::from_parts(parts, body);
    }
    let body = Watched {
        inner: body.into_data_stream(),
        watch,
    };
    Response::from_parts(parts, Body::from_stream(body))
}

struct Watch {
    entry: Arc<Mutex<Entry>>,
    done: bool,
}

impl Watch {
    fn end(&mut self) {
        self.done = true;
        with(&self.entry, |entry| entry.outcome = "done");
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if !self.done {
            with(&self.entry, |entry| entry.outcome = "aborted");
        }
    }
}

/// An answer under way.
struct Watched {
    inner: BodyDataStream,
    watch: Watch,
}

impl Stream for Watched {
    type Item = Result<Bytes, axum::Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = Pin::new(&mut self.inner).poll_next(cx);
        if matches!(next, Poll::Ready(None)) {
            self.watch.end();
        }
        next
    }
}
