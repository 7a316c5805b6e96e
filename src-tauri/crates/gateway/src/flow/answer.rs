//! What is handed on: an answer with all that is said about it.

use std::sync::Arc;

use bytes::Bytes;
use cockpit_metering::wire::Reading;
use cockpit_model::traffic::Target;
use cockpit_model::{Call, Outcome};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};

use super::again::CACHE;
use crate::body::Outgoing;
use crate::flight::Flight;
use crate::guard::Json;
use crate::relay::Relay;
use crate::room::Place;
use crate::tap::{Begun, Tap};
use crate::{cache, keep};

/// An answer that is good, or the best there is.
pub(super) struct Answer {
    pub(super) head: Head,
    pub(super) content: Content,
}

pub(super) struct Head {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
}

pub(super) enum Content {
    Whole(Bytes),
    Stream(Box<Relay>),
}

impl Answer {
    pub(super) const fn whole(head: Head, bytes: Bytes) -> Self {
        let content = Content::Whole(bytes);
        Self { head, content }
    }

    pub(super) fn stream(head: Head, relay: Relay) -> Self {
        let content = Content::Stream(Box::new(relay));
        Self { head, content }
    }

    pub(super) const fn is_whole(&self) -> bool {
        matches!(self.content, Content::Whole(_))
    }
}

/// An answer with all that is said about it.
pub(super) struct Sent {
    pub(super) answer: Answer,
    pub(super) limits: HeaderMap,
    /// The error it is written down as, of one that is handed on for want of a better.
    pub(super) code: Option<&'static str>,
    pub(super) reading: Option<Reading>,
    pub(super) place: Option<Place>,
    /// Where it is to be kept for the next who asks the same.
    pub(super) cache: Option<cache::Slot>,
    /// Where it is to be kept for a person.
    pub(super) keep: Option<keep::Slot>,
    /// What it is to be.
    pub(super) json: Option<Arc<Json>>,
}

impl Sent {
    pub(super) fn of(answer: Answer) -> Self {
        Self {
            answer,
            limits: HeaderMap::new(),
            code: None,
            reading: None,
            place: None,
            cache: None,
            keep: None,
            json: None,
        }
    }

    pub(super) fn go(mut self, mut flight: Flight) -> Response<Outgoing> {
        if self.code.is_none() {
            flight.begins();
        }
        let asked_cache = self.cache.is_some();
        let tap = self.tap(&mut flight);
        let Answer { mut head, content } = self.answer;
        head.headers.extend(self.limits);
        if let Some(call) = flight.call() {
            name_target(&mut head.headers, call);
        }
        if asked_cache {
            let miss = HeaderValue::from_static("miss");
            head.headers.insert(CACHE, miss);
        }
        let body = match content {
            Content::Whole(bytes) => {
                if let Some(mut tap) = tap {
                    tap.pass(&bytes);
                    let reading = self.reading.as_ref();
                    let finish = reading.and_then(|reading| reading.finish_reason.clone());
                    tap.end(self.code.is_none(), finish);
                }
                if let Some(reading) = &self.reading {
                    flight.used(reading);
                }
                let outcome = match self.code {
                    Some(_) => Outcome::Error,
                    None => Outcome::Ok,
                };
                flight.finish(outcome, head.status.as_u16(), self.code);
                Outgoing::full(bytes)
            }
            Content::Stream(relay) => {
                if let Some(call) = flight.call() {
                    call.streamed = true;
                }
                if relay.saw_content() {
                    flight.first_piece();
                }
                flight.keep(self.place);
                Outgoing::Relay(Box::new(relay.carry(flight).tapped(tap)))
            }
        };
        let mut response = Response::new(body);
        *response.status_mut() = head.status;
        *response.headers_mut() = head.headers;
        response
    }

    /// What takes it along for whoever keeps or judges it, if somebody does.
    fn tap(&mut self, flight: &mut Flight) -> Option<Tap> {
        let (cache, keep) = (self.cache.take(), self.keep.take());
        // A whole answer is judged by now.
        let json = self.json.take().filter(|_| !self.answer.is_whole());
        if cache.is_none() && keep.is_none() && json.is_none() {
            return None;
        }
        let share = flight.share();
        // What nobody gave is nobody's to be kept.
        let call = flight
            .call()
            .filter(|call| call.attempts > 0 || call.cache_hit)?;
        let begun = Begun {
            status: self.answer.head.status,
            headers: cache::lasting(&self.answer.head.headers),
            target: Target {
                provider: call.provider.clone(),
                model: call.model.clone(),
            },
            streamed: !self.answer.is_whole(),
        };
        // What a fallback says would outlive the trouble it stands in for.
        let cache = cache.filter(|_| !call.fallback);
        Tap::new(cache, keep, json, begun, share)
    }
}

const ATTEMPTS: HeaderName = HeaderName::from_static("x-cockpit-attempts");
const TARGET: HeaderName = HeaderName::from_static("x-cockpit-target");
const FALLBACK: HeaderName = HeaderName::from_static("x-cockpit-fallback");
pub(super) const CALL_ID: HeaderName = HeaderName::from_static("x-cockpit-call-id");

/// Says how many requests went upstream, and whose answer it is.
pub(super) fn name_target(headers: &mut HeaderMap, call: &Call) {
    let attempts = match call.attempts {
        1 => HeaderValue::from_static("1"),
        more => HeaderValue::from(more),
    };
    headers.insert(ATTEMPTS, attempts);
    if (call.attempts > 0 || call.cache_hit)
        && let Ok(target) = HeaderValue::from_str(&call.target)
    {
        headers.insert(TARGET, target);
    }
    if call.fallback {
        headers.insert(FALLBACK, HeaderValue::from_static("true"));
    }
}
