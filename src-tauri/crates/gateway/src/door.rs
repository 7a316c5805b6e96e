//! The listener: connections, heads, and to whom a request goes.

use std::convert::Infallible;
use std::future::Future;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use cockpit_panics::Outlived;
use hyper::body::Incoming;
use hyper::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    HeaderMap, HeaderValue, ORIGIN, VARY,
};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;

use crate::Shared;
use crate::body::Outgoing;
use crate::endpoint::{Endpoint, What, is_ambiguous};
use crate::quiet::Quiet;
use crate::refusal::Refusal;
use crate::{flow, gate, through};

/// Connections held at once; further ones wait in the listener's backlog.
const MOST_CONNECTIONS: usize = 2048;
/// How long a request's head may take, also between two requests of one connection.
const HEAD_TIMEOUT: Duration = Duration::from_secs(75);
/// How long a caller may take nothing of an answer that is there.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);
/// The largest head: request line and headers.
const LARGEST_HEAD: usize = 64 << 10;
/// How long answers under way may take once the engine stops.
const LAST_ANSWERS: Duration = Duration::from_secs(10);

/// Takes connections until `stop` resolves; answers under way are finished, within bounds. `front`: the service
/// whose address this is.
pub(crate) async fn serve(
    shared: Arc<Shared>,
    listener: TcpListener,
    front: Option<Arc<str>>,
    stop: impl Future<Output = ()> + Send,
) {
    let slots = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let closing = CancellationToken::new();
    let mut connections = JoinSet::new();
    let mut stop = pin!(stop);
    loop {
        let slot = tokio::select! {
            slot = Arc::clone(&slots).acquire_owned() => slot,
            () = &mut stop => break,
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stop => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, as a rule: some will be given back.
                tracing::warn!(%error, "the gateway cannot take a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let serving = connection(
            Arc::clone(&shared),
            stream,
            peer.ip(),
            front.clone(),
            closing.clone(),
        );
        connections.spawn(Outlived::new(Quiet::new(async move {
            serving.await;
            drop(slot);
        })));
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    closing.cancel();
    let finished = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(LAST_ANSWERS, finished).await.is_err() {
        // Each call is written down as its connection goes: whoever waits for us may close the ledger then.
        connections.shutdown().await;
        tracing::info!("answers that were still being written were cut");
    }
}

async fn connection(
    shared: Arc<Shared>,
    stream: TcpStream,
    peer: IpAddr,
    front: Option<Arc<str>>,
    closing: CancellationToken,
) {
    // A piece of an answer must not wait for the acknowledgement of the one before.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot turn off delayed sending");
    }
    let service = service_fn(move |request: Request<Incoming>| {
        let (shared, front) = (Arc::clone(&shared), front.clone());
        async move { Ok::<_, Infallible>(answer(shared, peer, front, request).await) }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(LARGEST_HEAD);
    // A caller that stops reading holds a place at a provider: hyper itself would wait without end.
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(WRITE_TIMEOUT));
    let mut serving = pin!(http.serve_connection(TokioIo::new(Box::pin(stream)), service));
    let ended = tokio::select! {
        biased;
        ended = serving.as_mut() => ended,
        () = closing.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection to the gateway ended badly");
    }
}

async fn answer(
    shared: Arc<Shared>,
    peer: IpAddr,
    front: Option<Arc<str>>,
    request: Request<Incoming>,
) -> Response<Outgoing> {
    let started = Instant::now();
    let force = shared.force();
    let (parts, body) = request.into_parts();
    let anthropic = parts.headers.contains_key("anthropic-version");
    let endpoint = Endpoint::of(&parts.method, parts.uri.path(), anthropic);
    let protocol = endpoint.protocol;
    let front = match front {
        None => None,
        Some(service) => match force.front(&service) {
            Some(front) => Some(Arc::clone(front)),
            None => {
                return Refusal::new(
                    "provider_unavailable",
                    format!("`{service}` does not run behind the gateway any more; try again in a moment"),
                )
                .answer(protocol);
            }
        },
    };
    let allowed_hosts = &force.spec.allowed_hosts;
    let from = gate::origin(&parts.headers, peer);
    let origin = parts.headers.get(ORIGIN).cloned();
    if parts.method == Method::OPTIONS && origin.is_some() {
        let admitted = match &front {
            Some(front) => front.admit_page(&parts.headers, allowed_hosts),
            None => gate::admit_page(&parts.headers, allowed_hosts),
        };
        return match admitted {
            Ok(()) => preflight(&parts.headers),
            Err(refusal) => {
                shared.refused(from, &refusal);
                refusal.answer(protocol)
            }
        };
    }
    let admitted = match &front {
        Some(front) => front.admit(&parts.headers, peer, &force.keys, allowed_hosts),
        None => gate::admit(&parts.headers, peer, &force.keys, allowed_hosts),
    };
    let caller = match admitted {
        Ok(caller) => caller,
        Err(refusal) => {
            shared.refused(from, &refusal);
            return refusal.answer(protocol);
        }
    };
    if let Some(key) = &caller.key {
        shared.visited(&key.name, from);
    }
    if is_ambiguous(&parts.method, parts.uri.path()) {
        return Refusal::new(
            "caller_malformed_request",
            "the path is escaped or holds empty parts or dots; write it plainly",
        )
        .answer(protocol);
    }
    let mut response = match (endpoint.what, front) {
        (What::Model(dialect), front) => {
            let request = flow::Request {
                shared,
                force,
                caller,
                front,
                from,
                parts,
                protocol,
                dialect,
                started,
            };
            flow::answer(request, body).await
        }
        (What::Models, None) => {
            through::list(&shared, &force, &caller, protocol, parts, body).await
        }
        (what, front) => {
            let passing = through::Passing {
                shared: &shared,
                force: &force,
                caller: &caller,
                from,
                protocol,
                looks: what != What::Other,
            };
            passing.pass(front.as_deref(), parts, body).await
        }
    };
    if let Some(origin) = origin {
        let headers = response.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("*"));
        headers.append(VARY, HeaderValue::from_static("origin"));
    }
    response
}

/// A browser asks whether its page may ask.
fn preflight(headers: &HeaderMap) -> Response<Outgoing> {
    let mut answer = Response::new(Outgoing::empty());
    *answer.status_mut() = StatusCode::NO_CONTENT;
    let wanted = headers
        .get(ACCESS_CONTROL_REQUEST_HEADERS)
        .cloned()
        .unwrap_or(HeaderValue::from_static("*"));
    let origin = headers.get(ORIGIN).cloned();
    let answered = answer.headers_mut();
    answered.insert(ACCESS_CONTROL_ALLOW_HEADERS, wanted);
    answered.insert(
        ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static("GET, POST, PUT, DELETE, HEAD, OPTIONS"),
    );
    answered.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    if let Some(origin) = origin {
        answered.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    }
    answer
}
