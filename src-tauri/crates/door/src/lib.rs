//! What every HTTP door has in common: connections are taken, within bounds, and ended in order.
//!
//! A door bounds what a stranger can hold: how many connections there are, how large a request's head may be and how
//! long it may take to arrive, how long an answer may wait to be read. A head that is not HTTP/1 at all, or is too
//! large, never becomes a request: hyper answers it by itself with a bare 400, 414 or 431, for which it offers no
//! hook. Once a door closes, answers under way are finished, and what is left after a while is cut.
//!
//! Who may come in and what is answered is each door's own; [`whence`] says from where somebody comes. So are the
//! bounds of bodies, which differ from one question to the next; for one that is too large there is [`let_finish`].
//!
//! Between a connection and its door's service there is nothing for each request but the call: what is set up here is
//! set up once a connection.

mod finish;
mod listener;
mod quiet;
pub mod whence;

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use cockpit_panics::Outlived;
use futures_util::FutureExt as _;
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::{HttpService, service_fn};
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;

pub use finish::let_finish;
pub use listener::Listener;

use quiet::Quiet;

/// How long a caller may take nothing of an answer that is there.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);
/// How long nobody is let in after a connection could not be taken.
const BREATH: Duration = Duration::from_millis(100);

/// What whoever comes may hold, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Whose door it is, for the log.
    pub door: &'static str,
    /// Connections held at once; further ones wait in the listener's backlog.
    pub connections: usize,
    /// The largest head: request line and headers, in bytes.
    pub head: usize,
    /// How long a request's head may take, also between two requests of one connection.
    pub head_timeout: Duration,
    /// How long answers under way may take once the door closes.
    pub last_answers: Duration,
}

/// Takes connections until `stop` resolves; answers under way are finished, within bounds. Nothing of a connection is
/// left when it returns; dropping the future cuts every one at once.
///
/// A panic in `answer` ends the connection it happened in.
pub async fn serve<L, A, F, B>(
    listener: L,
    bounds: Bounds,
    stop: impl Future<Output = ()> + Send,
    answer: A,
) where
    L: Listener,
    A: Fn(L::Peer, Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data: Send, Error: std::error::Error + Send + Sync + 'static> + Send + 'static,
{
    let slots = Arc::new(Semaphore::new(bounds.connections));
    let closing = CancellationToken::new();
    let mut connections = JoinSet::new();
    let taking = async {
        loop {
            let slot = Arc::clone(&slots).acquire_owned().await;
            let (io, peer) = next(&listener, bounds.door).await;
            let answer = answer.clone();
            // No async block of its own, which would hold the future twice.
            let service = service_fn(move |request| answer(peer, request).map(Ok::<_, Infallible>));
            let serving = connection(io, service, bounds, closing.clone());
            connections.spawn(Outlived::new(Quiet::new(async move {
                serving.await;
                drop(slot);
            })));
            while connections.try_join_next().is_some() {}
        }
    };
    tokio::select! {
        () = taking => {}
        () = stop => {}
    }
    drop(listener);
    closing.cancel();
    let finished = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(bounds.last_answers, finished)
        .await
        .is_err()
    {
        connections.shutdown().await;
        tracing::info!(
            "{}: answers that were still being written were cut",
            bounds.door
        );
    }
}

async fn next<L: Listener>(listener: &L, door: &str) -> (L::Io, L::Peer) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) => {
                // Out of file descriptors, as a rule: some will be given back.
                tracing::warn!(%error, "{door}: cannot take a connection");
                tokio::time::sleep(BREATH).await;
            }
        }
    }
}

async fn connection<I, S, B>(io: I, service: S, bounds: Bounds, closing: CancellationToken)
where
    I: AsyncRead + AsyncWrite,
    S: HttpService<Incoming, ResBody = B, Error = Infallible>,
    B: Body<Error: std::error::Error + Send + Sync + 'static> + 'static,
{
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(bounds.head_timeout)
        .max_buf_size(bounds.head);
    // Whoever stops reading holds a place, here and wherever the answer comes from: hyper itself would wait without
    // end.
    let mut io = TimeoutStream::new(io);
    io.set_write_timeout(Some(WRITE_TIMEOUT));
    let mut serving = pin!(http.serve_connection(TokioIo::new(Box::pin(io)), service));
    let ended = tokio::select! {
        biased;
        ended = serving.as_mut() => ended,
        () = closing.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "{}: a connection ended badly", bounds.door);
    }
}

#[cfg(test)]
mod tests;
