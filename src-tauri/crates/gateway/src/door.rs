//! The gateway's door: who is let in, and to whom a request goes.

use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use cockpit_door::Bounds;
use hyper::body::Incoming;
use hyper::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    HeaderMap, HeaderValue, ORIGIN, VARY,
};
use hyper::{Method, Request, Response, StatusCode};
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::Shared;
use crate::body::Outgoing;
use crate::endpoint::{Endpoint, What, is_ambiguous};
use crate::refusal::Refusal;
use crate::{flow, gate, through};

const BOUNDS: Bounds = Bounds {
    door: "the gateway",
    connections: 2048,
    head: 64 << 10,
    head_timeout: Duration::from_secs(75),
    last_answers: Duration::from_secs(10),
};

/// Takes connections until `stop` resolves; answers under way are finished, within bounds, and each call is written
/// down by then: whoever waits for this may close the ledger. `front`: the service whose address this is.
pub(crate) async fn serve(
    shared: Arc<Shared>,
    listener: TcpListener,
    front: Option<Arc<str>>,
    stop: impl Future<Output = ()> + Send,
) {
    let answer = move |peer, request| answer(Arc::clone(&shared), peer, front.clone(), request);
    cockpit_door::serve(listener, BOUNDS, stop, answer).await;
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
