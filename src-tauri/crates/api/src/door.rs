//! The two doors: a loopback TCP listener and a unix socket, each serving the Router over HTTP/1.1.
//!
//! A door bounds what a stranger can hold: the number of connections, the size of a request's head,
//! how long it may take to arrive and how long an answer may wait to be read (the body's bounds are in `extract` and `gate`). A head that is
//! not HTTP/1 at all, or is too large, never becomes a request: hyper answers it by itself with a bare
//! 400, 414 or 431, for which it offers no hook, so these alone carry no problem document. When the engine stops, live streams are ended, answers under
//! way are finished, and what is left after [`LAST_ANSWERS`] is cut.

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::response::{IntoResponse, Response};
use axum::serve::{Listener, ListenerExt};
use cockpit_panics::Outlived;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_io_timeout::TimeoutStream;
use tower::ServiceExt;

use crate::access::Access;
use crate::gate;
use crate::refusal::Refusal;

/// Connections a door holds at once; further ones wait in the listener's backlog.
const MAX_CONNECTIONS: usize = 128;
/// How long a request's head may take, also between two requests of one connection.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a piece of an answer may wait for its reader to take it.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);
/// The largest head: request line and headers.
const MAX_HEAD: usize = 32 * 1024;
/// How long answers under way may take once the engine stops.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// What the door found out about a request, for the Router's gate.
#[derive(Clone)]
pub(crate) struct Door {
    /// It may see what is private.
    pub(crate) authorized: bool,
    /// Turns true when live streams have to end.
    pub(crate) closing: watch::Receiver<bool>,
}

/// Serves the Router on a TCP listener, behind the rules of `access`, until `stop` resolves.
///
/// Returns once the answers under way are finished, or after two seconds. Dropping the future cuts
/// every connection at once.
pub async fn serve_tcp(
    listener: TcpListener,
    router: Router,
    access: Access,
    stop: impl Future<Output = ()> + Send,
) {
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "cannot turn off delayed sending");
        }
    });
    serve(listener, router, Some(Arc::new(access)), stop).await;
}

/// Serves the Router on a unix socket, until `stop` resolves. The socket file's permissions are the
/// key: the caller makes it readable by its owner only.
///
/// Returns once the answers under way are finished, or after two seconds. Dropping the future cuts
/// every connection at once.
pub async fn serve_unix(
    listener: UnixListener,
    router: Router,
    stop: impl Future<Output = ()> + Send,
) {
    serve(listener, router, None, stop).await;
}

async fn serve<L: Listener>(
    mut listener: L,
    router: Router,
    access: Option<Arc<Access>>,
    stop: impl Future<Output = ()> + Send,
) {
    let (close, closing) = watch::channel(false);
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    let mut stop = pin!(stop);
    loop {
        let slot = tokio::select! {
            slot = Arc::clone(&slots).acquire_owned() => slot,
            () = &mut stop => break,
        };
        let io = tokio::select! {
            (io, _) = listener.accept() => io,
            () = &mut stop => break,
        };
        let serving = connection(io, router.clone(), access.clone(), closing.clone());
        connections.spawn(Outlived::new(async move {
            serving.await;
            drop(slot);
        }));
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    close.send_replace(true);
    let finished = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(LAST_ANSWERS, finished).await.is_err() {
        tracing::debug!("some connections were cut while the engine stopped");
    }
}

async fn connection<I>(
    io: I,
    router: Router,
    access: Option<Arc<Access>>,
    closing: watch::Receiver<bool>,
) where
    I: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let streams = closing.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let router = router.clone();
        let access = access.clone();
        let closing = streams.clone();
        async move { Ok::<_, Infallible>(answer(router, access.as_deref(), closing, request).await) }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD);
    // A reader that stops reading holds a place: hyper itself would wait without end.
    let mut io = TimeoutStream::new(io);
    io.set_write_timeout(Some(WRITE_TIMEOUT));
    let mut serving = pin!(http.serve_connection(TokioIo::new(Box::pin(io)), service));
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = closed(closing) => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended badly");
    }
}

/// Resolves when the door closes, or is gone.
pub(crate) async fn closed(mut closing: watch::Receiver<bool>) {
    // An error means that the sender is gone, and the door with it.
    let _ = closing.wait_for(|closed| *closed).await;
}

async fn answer(
    router: Router,
    access: Option<&Access>,
    closing: watch::Receiver<bool>,
    request: Request<Incoming>,
) -> Response {
    let admitted = match access {
        Some(access) => access.admit(request.uri(), request.headers()),
        None => Ok(true),
    };
    match admitted {
        Ok(authorized) => {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(Door {
                authorized,
                closing,
            });
            match router.oneshot(request).await {
                Ok(response) => response,
                Err(never) => match never {},
            }
        }
        Err(problem) => gate::seal(Refusal::from(problem).into_response()),
    }
}
