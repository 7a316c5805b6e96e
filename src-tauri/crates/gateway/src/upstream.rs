//! The way to providers: one pool of connections, and what of a caller's head travels on.

use std::time::Duration;

use hyper::header::{self, AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use crate::body::Sending;
use crate::force::{NoAddress, Provider, ProviderKey};
use cockpit_metering::wire::Dialect;
use cockpit_model::traffic::ProviderKind;

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(10);
/// How long an unused one is kept.
const IDLE: Duration = Duration::from_secs(90);
/// How many unused ones are kept for a provider.
const IDLE_FOR_EACH: usize = 128;

pub(crate) type Upstream = Client<HttpsConnector<HttpConnector>, Sending>;

/// A pool of connections.
///
/// # Errors
/// When the machine's certificates cannot be used.
pub(crate) fn client() -> Result<Upstream, std::io::Error> {
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    // A small request must not wait for the acknowledgement of the one before.
    http.set_nodelay(true);
    http.set_connect_timeout(Some(CONNECT));
    http.set_keepalive(Some(Duration::from_secs(60)));
    let ring = rustls::crypto::ring::default_provider();
    let https = HttpsConnectorBuilder::new()
        .with_provider_and_platform_verifier(ring)?
        .https_or_http()
        .enable_http1()
        .wrap_connector(http);
    Ok(Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(IDLE_FOR_EACH)
        .build(https))
}

/// Headers that belong to a connection, not to the message (RFC 9110, 7.6.1).
const HOP_BY_HOP: [HeaderName; 9] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// What `connection` names.
fn named(headers: &HeaderMap) -> Vec<HeaderName> {
    headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| HeaderName::try_from(name.trim()).ok())
        .collect()
}

/// Takes out what belongs to the connection, also what `connection` names.
pub(crate) fn strip_connection(headers: &mut HeaderMap) {
    for name in named(headers).into_iter().chain(HOP_BY_HOP) {
        headers.remove(name);
    }
}

/// Whether a caller's header is for us, or for whoever is on the other end of its connection.
fn stays(name: &HeaderName, metered: bool) -> bool {
    const OURS: [HeaderName; 6] = [
        header::HOST,
        header::CONTENT_LENGTH,
        header::EXPECT,
        // Judged by us; Ollama would judge it again and refuse what was let in.
        header::ORIGIN,
        header::REFERER,
        header::COOKIE,
    ];
    HOP_BY_HOP.contains(name)
        || OURS.contains(name)
        || metered && *name == header::ACCEPT_ENCODING
        || name.as_str().starts_with("x-cockpit-")
        || crate::gate::is_forwarding_name(name.as_str())
}

/// What of a caller's headers a provider gets. `metered`: the answer is to be read by us, so it must not
/// come compressed.
pub(crate) fn headers_for(
    provider: &Provider,
    callers: &HeaderMap,
    ours: bool,
    dialect: Option<Dialect>,
) -> HeaderMap {
    let named = named(callers);
    let mut headers = HeaderMap::with_capacity(callers.len() + 2);
    for (name, value) in callers {
        if !stays(name, dialect.is_some()) && !named.contains(name) {
            headers.append(name, value.clone());
        }
    }
    authorize(provider, &mut headers, ours, dialect);
    headers
}

/// `ours`: what the caller sent is not for this provider: a key of this cockpit, or of another vendor.
fn authorize(provider: &Provider, headers: &mut HeaderMap, ours: bool, dialect: Option<Dialect>) {
    const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
    let own = match &provider.key {
        ProviderKey::Own(own) => Some(own),
        ProviderKey::Callers | ProviderKey::Unreadable(_) => None,
    };
    if ours || own.is_some() {
        headers.remove(AUTHORIZATION);
        headers.remove(&X_API_KEY);
        headers.remove("api-key");
        headers.remove("x-goog-api-key");
    }
    let Some(own) = own else { return };
    let compatible = matches!(
        dialect,
        Some(
            Dialect::OpenAiChat
                | Dialect::OpenAiCompletions
                | Dialect::OpenAiEmbeddings
                | Dialect::OpenAiResponses
        )
    );
    let (name, text) = if provider.spec.kind == ProviderKind::Anthropic && !compatible {
        (X_API_KEY, own.clone())
    } else {
        (AUTHORIZATION, format!("Bearer {own}"))
    };
    if let Ok(mut value) = HeaderValue::try_from(text) {
        value.set_sensitive(true);
        headers.insert(name, value);
    }
}

/// A request to a provider.
///
/// # Errors
/// When it has no address for the path.
pub(crate) fn request(
    provider: &Provider,
    method: &Method,
    path_and_query: &str,
    headers: HeaderMap,
    body: Sending,
) -> Result<Request<Sending>, NoAddress> {
    let uri = provider.uri(path_and_query)?;
    let mut request = Request::new(body);
    *request.method_mut() = method.clone();
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    Ok(request)
}
