//! The way to providers: what of a caller's head travels on, and over what.

mod lanes;

use hyper::header::{self, AUTHORIZATION, HeaderMap, HeaderName};
use hyper::{Method, Request, Response, Uri};

use crate::body::Sending;
use crate::force::{NoAddress, Provider, ProviderKey};
use cockpit_metering::wire::Dialect;
use cockpit_model::traffic::ProviderKind;

pub(crate) use lanes::{Coming, Lanes, NoAnswer, Origin};

/// Headers that belong to a connection, not to the message (RFC 9110, 7.6.1).
static HOP_BY_HOP: [HeaderName; 9] = [
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
    let mut connections = named(headers);
    let known = headers.keys().filter(|name| HOP_BY_HOP.contains(name));
    connections.extend(known.cloned());
    for name in connections {
        headers.remove(name);
    }
}

/// Whether a caller's header is for us, or for whoever is on the other end of its connection.
fn stays(name: &HeaderName, metered: bool) -> bool {
    static OURS: [HeaderName; 6] = [
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
    const API_KEY: HeaderName = HeaderName::from_static("api-key");
    const X_GOOG_API_KEY: HeaderName = HeaderName::from_static("x-goog-api-key");
    let own = match &provider.key {
        ProviderKey::Own(own) => Some(own),
        ProviderKey::Callers | ProviderKey::Unreadable(_) => None,
    };
    if ours || own.is_some() {
        headers.remove(AUTHORIZATION);
        headers.remove(&X_API_KEY);
        headers.remove(&API_KEY);
        headers.remove(&X_GOOG_API_KEY);
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
    if provider.spec.kind == ProviderKind::Anthropic && !compatible {
        headers.insert(X_API_KEY, own.plain.clone());
    } else {
        headers.insert(AUTHORIZATION, own.bearer.clone());
    }
}

/// A request to a provider, and where that is.
pub(crate) struct Asking {
    origin: Origin,
    request: Request<Sending>,
}

impl Asking {
    /// # Errors
    /// When the provider has no address for the path.
    pub(crate) fn new(
        provider: &Provider,
        method: &Method,
        path_and_query: &str,
        mut headers: HeaderMap,
        body: Sending,
    ) -> Result<Self, NoAddress> {
        let (origin, host) = provider.place()?;
        headers.insert(header::HOST, host);
        let mut request = Request::new(body);
        *request.method_mut() = method.clone();
        *request.uri_mut() = Uri::from(provider.path(path_and_query)?);
        *request.headers_mut() = headers;
        Ok(Self { origin, request })
    }

    /// # Errors
    /// When nobody answers.
    pub(crate) async fn go(self, lanes: &Lanes) -> Result<Response<Coming>, NoAnswer> {
        lanes.ask(self.origin, self.request).await
    }
}
