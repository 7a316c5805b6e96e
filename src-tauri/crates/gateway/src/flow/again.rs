//! An answer that was given before, given again.

use std::sync::Arc;

use cockpit_metering::wire::Request as Asked;
use cockpit_model::traffic::CacheSpec;
use hyper::header::{AGE, HeaderName, HeaderValue};

use super::Request;
use super::answer::{Answer, Head, Sent};
use crate::cache::{self, Kept, Slot, Wish};
use crate::flight::Flight;
use crate::force::Chain;

/// The header that says where an answer comes from.
pub(super) const CACHE: HeaderName = HeaderName::from_static("x-cockpit-cache");

/// What there is for a request.
pub(super) enum Again {
    /// Its answer.
    Hit(Arc<Kept>),
    /// A place for it.
    Miss(Slot),
    /// Nobody wants it kept.
    Off,
}

pub(super) fn look(
    request: &Request,
    chain: &Chain,
    asked: &Asked<'_>,
    body: &[u8],
    spec: Option<CacheSpec>,
) -> Again {
    let Some(cache) = spec.and_then(|spec| request.shared.caches.of(spec)) else {
        return Again::Off;
    };
    let headers = &request.parts.headers;
    let wish = Wish::of(headers);
    // What asks nothing is an order: Ollama loads or unloads a model.
    if (!wish.read && !wish.write) || asked.text_bytes == 0 {
        return Again::Off;
    }
    let path = request.parts.uri.path_and_query();
    let key = cache::key::of(
        request.dialect,
        path.map_or("/", |path| path.as_str()),
        headers,
        &request.caller,
        chain,
        body,
    );
    let Some(key) = key else {
        return Again::Off;
    };
    if wish.read
        && let Some(kept) = cache.get(&key, wish)
    {
        return Again::Hit(kept);
    }
    Again::Miss(Slot { cache, key })
}

/// The answer once more. Nothing went upstream for it.
pub(super) fn give(flight: &mut Flight, kept: &Kept) -> Sent {
    flight.given_again(kept);
    let mut headers = kept.headers.clone();
    headers.insert(AGE, cache::age(kept));
    headers.insert(CACHE, HeaderValue::from_static("hit"));
    let head = Head {
        status: kept.status,
        headers,
    };
    Sent::of(Answer::whole(head, kept.body.clone()))
}
