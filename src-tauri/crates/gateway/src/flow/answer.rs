//! What is handed on: an answer with all that is said about it.

use bytes::Bytes;
use cockpit_metering::wire::Reading;
use cockpit_model::traffic::Target;
use cockpit_model::{Call, Outcome};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};

use super::again::CACHE;
use crate::body::Outgoing;
use crate::flight::Flight;
use crate::relay::Relay;
use crate::room::Place;
use crate::tap::{Begun, Tap};
use crate::{cache, keep};

/// An answer that is good, or the best there is.
pub(super) enum Answer {
    Whole(Head, Bytes),
    Stream(Head, Box<Relay>),
}

pub(super) struct Head {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
}

/// An answer with all that is said about it.
pub(super) struct Sent {
    pub(super) answer: Answer,
    /// Who gave it, and whether that is a fallback; none: nobody was asked.
    pub(super) target: Option<(Target, bool)>,
    pub(super) limits: HeaderMap,
    /// The error it is written down as, of one that is handed on for want of a better.
    pub(super) code: Option<&'static str>,
    pub(super) reading: Option<Reading>,
    pub(super) place: Option<Place>,
    /// Where it is to be kept for the next who asks the same.
    pub(super) cache: Option<cache::Slot>,
    /// Where it is to be kept for a person.
    pub(super) keep: Option<keep::Slot>,
}

impl Sent {
    pub(super) fn go(self, mut flight: Flight) -> Response<Outgoing> {
        if self.code.is_none() {
            flight.begins();
        }
        let asked_cache = self.cache.is_some();
        let mut said = HeaderMap::new();
        if let Some(call) = flight.call() {
            name_target(&mut said, call);
        }
        let tap = self.target.as_ref().and_then(|(target, fallback)| {
            let head = match &self.answer {
                Answer::Whole(head, _) | Answer::Stream(head, _) => head,
            };
            let begun = Begun {
                status: head.status,
                headers: cache::lasting(&head.headers),
                target: target.clone(),
                streamed: matches!(self.answer, Answer::Stream(..)),
            };
            // What a fallback says would outlive the trouble it stands in for.
            Tap::new(
                self.cache.filter(|_| !fallback),
                self.keep,
                begun,
                flight.share(),
            )
        });
        let (head, body) = match self.answer {
            Answer::Whole(head, bytes) => {
                if let Some(mut tap) = tap {
                    tap.pass(&bytes);
                    let finish = self
                        .reading
                        .as_ref()
                        .and_then(|reading| reading.finish_reason.clone());
                    tap.end(self.code.is_none(), finish);
                }
                if let Some(reading) = &self.reading {
                    flight.used(reading);
                }
                let outcome = if self.code.is_some() {
                    Outcome::Error
                } else {
                    Outcome::Ok
                };
                flight.finish(outcome, head.status.as_u16(), self.code);
                (head, Outgoing::full(bytes))
            }
            Answer::Stream(head, relay) => {
                if let Some(call) = flight.call() {
                    call.streamed = true;
                }
                if relay.saw_content() {
                    flight.first_piece();
                }
                flight.keep(self.place);
                (
                    head,
                    Outgoing::Relay(Box::new(relay.carry(flight).tapped(tap))),
                )
            }
        };
        let mut response = Response::new(body);
        *response.status_mut() = head.status;
        *response.headers_mut() = head.headers;
        let headers = response.headers_mut();
        headers.extend(self.limits);
        headers.extend(said);
        if asked_cache {
            headers.insert(CACHE, HeaderValue::from_static("miss"));
        }
        response
    }
}

/// Says how many requests went upstream, and whose answer it is.
pub(super) fn name_target(headers: &mut HeaderMap, call: &Call) {
    headers.insert(
        HeaderName::from_static("x-cockpit-attempts"),
        HeaderValue::from(call.attempts),
    );
    if call.attempts > 0 || call.cache_hit {
        put(headers, "x-cockpit-target", &call.target);
    }
    if call.fallback {
        put(headers, "x-cockpit-fallback", "true");
    }
}

pub(super) fn put(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(HeaderName::from_static(name), value);
    }
}
