//! The UI's files, as the root package embeds them. They hold no data, so they need no token.

use std::borrow::Cow;
use std::fmt;
use std::hash::{DefaultHasher, Hasher};
use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;

use crate::gate::UI_POLICY;

type Lookup = dyn Fn(&str) -> Option<(Cow<'static, [u8]>, &'static str)> + Send + Sync;

/// Where the UI's files come from.
#[derive(Clone)]
pub struct Ui(Arc<Lookup>);

impl fmt::Debug for Ui {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ui")
    }
}

impl Ui {
    /// Files by their path without a leading slash (`index.html`, `assets/app-4f2a.js`), each with
    /// its content type (`text/html; charset=utf-8`).
    pub fn new(
        lookup: impl Fn(&str) -> Option<(Cow<'static, [u8]>, &'static str)> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(lookup))
    }

    /// No files: an API alone.
    pub fn none() -> Self {
        Self::new(|_| None)
    }

    /// The file at a request path; `/` is `index.html`.
    fn find(&self, path: &str) -> Option<(Cow<'static, [u8]>, &'static str)> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_./".contains(&b);
        let name = path.strip_prefix('/')?;
        let name = if name.is_empty() { "index.html" } else { name };
        let safe = name.bytes().all(plain)
            && name
                .split('/')
                .all(|part| !part.is_empty() && !part.starts_with('.'));
        if safe { (self.0)(name) } else { None }
    }

    /// Whether there is a file at a request path.
    pub(crate) fn has(&self, path: &str) -> bool {
        self.find(path).is_some()
    }

    /// The answer for a request path, if there is a file.
    pub(crate) fn serve(&self, path: &str, request: &HeaderMap) -> Option<Response> {
        let (content, mime) = self.find(path)?;
        let mut hasher = DefaultHasher::new();
        hasher.write(&content);
        let tag = HeaderValue::from_str(&format!("\"{:016x}\"", hasher.finish())).ok()?;
        // The bundler puts a hash of the content into the names below `assets/`.
        let caching = if path.starts_with("/assets/") {
            "public, max-age=31536000, immutable"
        } else {
            "no-cache"
        };
        let known = request
            .get(header::IF_NONE_MATCH)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|tags| {
                tags.split(',')
                    .map(|t| t.trim().trim_start_matches("W/"))
                    .any(|t| t == "*" || t.as_bytes() == tag.as_bytes())
            });
        let mut response = if known {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            response
        } else {
            let body = match content {
                Cow::Borrowed(embedded) => Body::from(embedded),
                Cow::Owned(read) => Body::from(read),
            };
            let mut response = Response::new(body);
            response
                .headers_mut()
                .insert(header::CONTENT_TYPE, HeaderValue::from_static(mime));
            response
        };
        let headers = response.headers_mut();
        headers.insert(header::ETAG, tag);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
        headers.insert(header::CONTENT_SECURITY_POLICY, UI_POLICY);
        Some(response)
    }
}
