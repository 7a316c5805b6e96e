//! The two doors: a loopback TCP listener and a unix socket, each serving the Router over HTTP/1.1.
//!
//! What they have in common with the others is in `cockpit_door`; the body's bounds are in `extract` and `gate`. When
//! the engine stops, live streams are ended first.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::response::{IntoResponse, Response};
use cockpit_door::{Bounds, Listener};
use hyper::body::Incoming;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;
use tower::ServiceExt;

use crate::access::Access;
use crate::gate;
use crate::refusal::Refusal;

const BOUNDS: Bounds = Bounds {
    door: "the API",
    connections: 128,
    head: 32 << 10,
    head_timeout: Duration::from_secs(10),
    last_answers: Duration::from_secs(2),
};

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
    listener: L,
    router: Router,
    access: Option<Arc<Access>>,
    stop: impl Future<Output = ()> + Send,
) {
    let (close, closing) = watch::channel(false);
    let stop = async {
        stop.await;
        close.send_replace(true);
    };
    let answer = move |_, request| answer(router.clone(), access.clone(), closing.clone(), request);
    cockpit_door::serve(listener, BOUNDS, stop, answer).await;
}

/// Resolves when the door closes, or is gone.
pub(crate) async fn closed(mut closing: watch::Receiver<bool>) {
    // An error means that the sender is gone, and the door with it.
    let _ = closing.wait_for(|closed| *closed).await;
}

async fn answer(
    router: Router,
    access: Option<Arc<Access>>,
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
