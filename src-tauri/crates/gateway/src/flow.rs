//! One request to a model, from its head to the begin of its answer.
//!
//! ```text
//! head ─► gate ─► body ─► chain ─► guard ─► limits, budget ─► cache ─► attempts ─► relay ─► Call
//! ```
//!
//! Whatever way it takes, one [`Call`] is written down ([`Flight`]).

use std::collections::VecDeque;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use cockpit_metering::price::Tokens;
use cockpit_metering::wire::{
    Dialect, Reading, Request as Asked, StreamMeter, read_answer, splice,
};
use cockpit_model::traffic::Target;
use cockpit_model::{Call, CallSource, Outcome, Timestamp, Usd};
use cockpit_resilience::retry::{self, AttemptEnd, Plan, Step, Why};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header::{
    CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue,
};
use hyper::http::request::Parts;
use hyper::{Response, StatusCode};
use tokio::time::{Instant, timeout, timeout_at};

use crate::Shared;
use crate::body::{Outgoing, Sending};
use crate::endpoint::{Protocol, operation};
use crate::flight::{Blame, Flight};
use crate::force::{Chain, InForce, Provider, ProviderKey};
use crate::gate::Caller;
use crate::refusal::Refusal;
use crate::relay::{Beginning, Relay};
use crate::room::Place;
use crate::spend::Wish;
use crate::{guard, upstream};

/// The largest request: pictures travel inside.
const LARGEST_REQUEST: usize = 64 << 20;
/// How long a request's body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);
/// The largest answer that is looked at as a whole before it goes on; of a larger one the rest goes
/// through unread.
const LARGEST_WHOLE: usize = 8 << 20;
/// What of an error's body is kept to be handed on.
const LARGEST_ERROR: usize = 1 << 20;
/// The longest name of a model, in bytes.
const LONGEST_NAME: usize = 512;
/// What an answer is assumed to be where the caller sets no limit: a reservation, settled later.
const USUAL_OUTPUT: u64 = 500;
/// What no answer is longer than, whatever its caller allows.
const MOST_OUTPUT: u64 = 1_000_000;

/// What a request is about.
pub(crate) struct Request {
    pub(crate) shared: Arc<Shared>,
    pub(crate) force: Arc<InForce>,
    pub(crate) caller: Caller,
    pub(crate) parts: Parts,
    pub(crate) protocol: Protocol,
    pub(crate) dialect: Dialect,
    pub(crate) started: Instant,
}

/// An answer that is good, or the best there is.
enum Answer {
    Whole(Head, Bytes),
    Stream(Head, Box<Relay>),
}

struct Head {
    status: StatusCode,
    headers: HeaderMap,
}

/// What came of asking one target.
struct Attempted {
    end: AttemptEnd,
    code: &'static str,
    blame: Blame,
    /// What can be handed on when nobody does better.
    answer: Option<Answer>,
}

/// Answers a request to a model.
pub(crate) async fn answer(request: Request, body: Incoming) -> Response<Outgoing> {
    let at = Timestamp::now();
    let protocol = request.protocol;
    let mut flight = Flight::new(
        Arc::clone(&request.shared),
        request.started,
        draft(&request, at),
    );
    let id = flight.id().to_owned();
    let mut response = match steer(&request, body, &mut flight).await {
        Ok(sent) => sent.go(flight),
        Err(refusal) => {
            let response = refusal.answer(protocol);
            flight.finish(Outcome::Error, refusal.status.as_u16(), Some(refusal.code));
            response
        }
    };
    put(response.headers_mut(), "x-cockpit-call-id", &id);
    response
}

fn draft(request: &Request, at: Timestamp) -> Call {
    let headers = &request.parts.headers;
    let text = |name: &str| {
        let value = headers.get(name)?.to_str().ok()?.trim();
        (!value.is_empty()).then(|| short(value))
    };
    Call {
        id: crate::call_id::new(at),
        at,
        source: CallSource::Gateway,
        provider: String::new(),
        model: String::new(),
        target: String::new(),
        requested_model: None,
        route: None,
        operation: operation(request.dialect),
        outcome: Outcome::Error,
        error: None,
        status: None,
        finish_reason: None,
        user: text("x-cockpit-user"),
        agent: text("x-cockpit-agent"),
        key: request.caller.key.as_ref().map(|key| key.name.clone()),
        tags: text("x-cockpit-tags")
            .map(|tags| {
                let tags = tags.split(',').map(str::trim).filter(|tag| !tag.is_empty());
                tags.take(16).map(str::to_owned).collect()
            })
            .unwrap_or_default(),
        input_tokens: None,
        output_tokens: None,
        cached_input_tokens: None,
        cache_write_tokens: None,
        latency_ms: None,
        ttft_ms: None,
        streamed: false,
        attempts: 0,
        fallback: false,
        cache_hit: false,
        cost_usd: None,
        price_version: None,
    }
}

/// A name as it is kept: callers choose them.
fn short(text: &str) -> String {
    text.chars().take(256).collect()
}

/// An answer with all that is said about it.
struct Sent {
    answer: Answer,
    attempts: u32,
    target: Option<(Target, bool)>,
    limits: HeaderMap,
    /// The error it is written down as, of one that is handed on for want of a better.
    code: Option<&'static str>,
    reading: Option<Reading>,
    place: Option<Place>,
}

impl Sent {
    fn go(self, mut flight: Flight) -> Response<Outgoing> {
        let (head, body) = match self.answer {
            Answer::Whole(head, bytes) => {
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
                (head, Outgoing::Relay(Box::new(relay.carry(flight))))
            }
        };
        let mut response = Response::new(body);
        *response.status_mut() = head.status;
        *response.headers_mut() = head.headers;
        let headers = response.headers_mut();
        headers.extend(self.limits);
        headers.insert(
            HeaderName::from_static("x-cockpit-attempts"),
            HeaderValue::from(self.attempts),
        );
        if let Some((target, fallback)) = self.target {
            put(headers, "x-cockpit-target", &target.to_string());
            if fallback {
                put(headers, "x-cockpit-fallback", "true");
            }
        }
        response
    }
}

fn put(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(HeaderName::from_static(name), value);
    }
}

async fn steer(request: &Request, body: Incoming, flight: &mut Flight) -> Result<Sent, Refusal> {
    let Request { shared, force, .. } = request;
    let body = read_body(body).await?;
    let asked = Asked::read(&body)
        .map_err(|error| Refusal::new("caller_malformed_request", error.to_string()))?;
    let Some(model) = asked.model.as_deref() else {
        return Err(Refusal::new(
            "caller_malformed_request",
            "the request names no model; add `model`",
        ));
    };
    if model.len() > LONGEST_NAME {
        return Err(Refusal::new(
            "caller_unknown_model",
            format!("no model has a name of {} bytes", model.len()),
        ));
    }
    if let Some(call) = flight.call() {
        call.requested_model = Some(short(model));
        if call.user.is_none() {
            call.user = asked.user.as_deref().map(short);
        }
        // Until a target is asked, this is what is known.
        call.model = short(model);
    }
    let chain = force.chain(
        model,
        request.dialect,
        request.protocol,
        |provider, model| shared.models.has(provider, model),
    )?;
    if let Some(call) = flight.call() {
        call.route = chain.route.as_ref().map(|route| route.name.clone());
        if let Some((target, _)) = chain.targets.first() {
            call.provider.clone_from(&target.provider);
            call.model.clone_from(&target.model);
            call.target = target.to_string();
        }
    }
    let rules = force.rules(&chain);
    let key = request.caller.key.as_deref();
    guard::policy(key, model, &chain, &asked, rules)?;
    guard::prompt(&body, rules)?;

    let user = flight.call().and_then(|call| call.user.clone());
    let agent = flight.call().and_then(|call| call.agent.clone());
    let output = asked.max_tokens.unwrap_or(USUAL_OUTPUT).min(MOST_OUTPUT);
    let input = asked.estimated_input_tokens();
    let wish = Wish {
        key,
        user: user.as_deref(),
        agent: agent.as_deref(),
        common: &force.spec.limits,
        budget: force.spec.budget,
        tokens: input.saturating_add(output),
        cost: dearest(shared, &chain, input, output),
    };
    let local = chain.targets.iter().any(|(_, one)| one.is_local());
    let costly = chain.targets.iter().any(|(_, one)| !one.is_local());
    let free = Wish {
        cost: Usd::ZERO,
        ..wish
    };
    // A price that is not known is no reason to go on when everything is spent.
    let may_pay = if costly {
        shared.spend.may_spend(&wish)
    } else {
        Ok(())
    };
    let reserved = may_pay.and_then(|()| shared.spend.reserve(&wish));
    let (held, paid) = match reserved {
        Ok(held) => (held, true),
        // Models on this machine go on.
        Err(refusal) if local && refusal.code == "policy_budget_exhausted" => {
            (shared.spend.reserve(&free)?, false)
        }
        Err(refusal) => return Err(refusal),
    };
    flight.hold(held);
    let mut limits = HeaderMap::new();
    shared.spend.headers(&wish, &mut limits);

    let attempts = Attempts {
        request,
        chain: &chain,
        asked: &asked,
        body: &body,
        paid,
    };
    let mut sent = attempts.run(flight).await?;
    sent.limits = limits;
    Ok(sent)
}

fn dearest(shared: &Shared, chain: &Chain, input: u64, output: u64) -> Usd {
    let tokens = Tokens {
        input,
        output,
        ..Tokens::default()
    };
    chain
        .targets
        .iter()
        .filter_map(|(target, provider)| shared.prices.cost(provider, &target.model, None, &tokens))
        .map(|(cost, _)| cost)
        .max()
        .unwrap_or(Usd::ZERO)
}

async fn read_body(body: Incoming) -> Result<Bytes, Refusal> {
    let too_large = || {
        Refusal::new(
            "caller_too_large",
            format!("the request is larger than {} MiB", LARGEST_REQUEST >> 20),
        )
    };
    let mut body = body;
    let reading = async {
        let mut all = BytesMut::new();
        let mut first = None;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| {
                Refusal::new("caller_malformed_request", "the request's body broke off")
            })?;
            let Ok(data) = frame.into_data() else {
                continue;
            };
            if all.len() + data.len() > LARGEST_REQUEST {
                return Err(too_large());
            }
            // Most come in one piece, which need not be copied.
            if first.is_none() && all.is_empty() {
                first = Some(data);
                continue;
            }
            if let Some(first) = first.take() {
                all.extend_from_slice(&first);
            }
            all.extend_from_slice(&data);
        }
        Ok(first.unwrap_or_else(|| all.freeze()))
    };
    timeout(BODY_TIMEOUT, reading).await.unwrap_or_else(|_| {
        Err(Refusal::new(
            "caller_too_slow",
            format!(
                "the request's body did not arrive within {} s",
                BODY_TIMEOUT.as_secs()
            ),
        ))
    })
}

/// The attempts of one request.
struct Attempts<'a> {
    request: &'a Request,
    chain: &'a Chain,
    asked: &'a Asked<'a>,
    body: &'a Bytes,
    /// Whether models that cost money may be asked.
    paid: bool,
}

impl Attempts<'_> {
    async fn run(self, flight: &mut Flight) -> Result<Sent, Refusal> {
        let shared = &self.request.shared;
        let targets = &self.chain.targets;
        let origin = self.request.started;
        let whole = targets
            .first()
            .map_or(Duration::ZERO, |(_, one)| one.spec.timeout);
        let mut plan = Plan::new(retry::Settings::default(), targets.len(), whole);
        let mut why_not = self.skip_unusable(&mut plan, origin);
        let mut last: Option<Attempted> = None;
        loop {
            match plan.next(origin.elapsed()) {
                Step::Wait(wait) => tokio::time::sleep(wait).await,
                Step::Fail(why) => return self.failed(flight, why, last, &why_not),
                Step::Try { target: index, .. } => {
                    let Some((target, provider)) = targets.get(index) else {
                        plan.skip(index, None, origin.elapsed());
                        continue;
                    };
                    let place = match shared.rooms.room(provider) {
                        Some(room) => {
                            match in_time(origin + whole, room.enter(&provider.spec.name)).await {
                                Ok(place) => Some(place),
                                Err(refusal) if targets.len() == 1 => return Err(refusal),
                                Err(refusal) => {
                                    why_not = refusal.message;
                                    plan.skip(index, refusal.retry_after, origin.elapsed());
                                    continue;
                                }
                            }
                        }
                        None => None,
                    };
                    let permit = match shared.breakers.try_acquire(target) {
                        Ok(permit) => permit,
                        Err(open) => {
                            why_not = format!("`{target}`: {}", open.cause);
                            plan.skip(index, Some(open.retry_after), origin.elapsed());
                            continue;
                        }
                    };
                    flight.asked(target, provider, permit, index > 0);
                    let first = targets.first().map(|(first, _)| &first.provider);
                    let elsewhere = first != Some(&target.provider);
                    match self
                        .attempt(target, provider, elsewhere, origin + whole)
                        .await
                    {
                        Ok((answer, reading)) => {
                            if matches!(answer, Answer::Whole(..)) {
                                flight.attempt_ended(Blame::None, "");
                            }
                            return Ok(self.sent(flight, answer, reading, None, place));
                        }
                        Err(attempted) => {
                            flight.attempt_ended(attempted.blame, attempted.code);
                            plan.ended(attempted.end, origin.elapsed(), rand::random());
                            last = Some(attempted);
                        }
                    }
                }
            }
        }
    }

    fn sent(
        &self,
        flight: &mut Flight,
        answer: Answer,
        reading: Option<Reading>,
        code: Option<&'static str>,
        place: Option<Place>,
    ) -> Sent {
        let (attempts, target) = flight.call().map_or((0, None), |call| {
            let target = Target {
                provider: call.provider.clone(),
                model: call.model.clone(),
            };
            (
                call.attempts,
                (call.attempts > 0).then_some((target, call.fallback)),
            )
        });
        Sent {
            answer,
            attempts,
            target,
            limits: HeaderMap::new(),
            code,
            reading,
            place,
        }
    }

    /// Passes over whoever cannot be asked now; says why of the last.
    fn skip_unusable(&self, plan: &mut Plan, origin: Instant) -> String {
        let shared = &self.request.shared;
        let mut why = String::new();
        for (index, (target, provider)) in self.chain.targets.iter().enumerate() {
            let now = origin.elapsed();
            if !self.paid && !provider.is_local() {
                plan.skip(index, None, now);
                why = format!("`{target}` costs money, and the budget is spent");
            } else if let ProviderKey::Unreadable(reason) = &provider.key {
                plan.skip(index, None, now);
                why = format!("`{target}` cannot be asked: {reason}");
            } else if let Some(reason) = provider
                .spec
                .service
                .as_deref()
                .and_then(|service| shared.standing.down(service))
            {
                plan.skip(index, Some(Duration::from_secs(5)), now);
                why = format!("`{target}` is down: {reason}");
            } else if let Err(open) = shared.breakers.peek(target) {
                plan.skip(index, Some(open.retry_after), now);
                why = format!("`{target}`: {}", open.cause);
            }
        }
        why
    }

    fn failed(
        &self,
        flight: &mut Flight,
        why: Why,
        last: Option<Attempted>,
        why_not: &str,
    ) -> Result<Sent, Refusal> {
        let Some(last) = last else {
            let retry_after = match why {
                Why::NoTarget { retry_after } => retry_after,
                _ => None,
            };
            let model = flight.call().and_then(|call| call.requested_model.clone());
            return Err(Refusal::new(
                "provider_unavailable",
                format!(
                    "nobody can be asked for `{}` now: {why_not}",
                    model.unwrap_or_default()
                ),
            )
            .retry_after(retry_after.or(Some(Duration::from_secs(1)))));
        };
        if let Some(answer) = last.answer {
            // What the provider itself says is the best answer there is.
            return Ok(self.sent(flight, answer, None, Some(last.code), None));
        }
        let target = flight
            .call()
            .map(|call| call.target.clone())
            .unwrap_or_default();
        let what = match last.end {
            AttemptEnd::Timeout => "did not answer in time",
            AttemptEnd::InvalidAnswer => "gave an answer that does not hold",
            _ => "could not be reached",
        };
        let retry_after = match why {
            Why::HandBack { retry_after } => Some(retry_after),
            _ => None,
        };
        Err(Refusal::new(
            match last.end {
                AttemptEnd::Timeout => "provider_timeout",
                AttemptEnd::InvalidAnswer => "provider_invalid_answer",
                _ => "provider_unreachable",
            },
            format!("`{target}` {what}"),
        )
        .retry_after(retry_after))
    }

    /// Asks one target.
    async fn attempt(
        &self,
        target: &Target,
        provider: &Arc<Provider>,
        elsewhere: bool,
        deadline: Instant,
    ) -> Result<(Answer, Option<Reading>), Attempted> {
        let dialect = self.request.dialect;
        // The caller's own key goes to whom the caller meant, and to nobody whom we chose instead.
        let meant = provider.spec.kind == self.request.protocol.home() || self.chain.named;
        let ours = self.request.caller.key.is_some() || elsewhere || !meant;
        let inject = self.asked.streams(dialect)
            && dialect.wants_include_usage()
            && !self.asked.include_usage;
        let body = splice::rewrite(
            self.body,
            &splice::Changes {
                model: (self.asked.model.as_deref() != Some(&target.model))
                    .then_some(&target.model),
                include_usage: inject,
            },
        )
        .unwrap_or_else(|_| self.body.clone());
        let path = self
            .request
            .parts
            .uri
            .path_and_query()
            .map_or("/", |path| path.as_str());
        let headers =
            upstream::headers_for(provider, &self.request.parts.headers, ours, Some(dialect));
        let sending = upstream::request(
            provider,
            &self.request.parts.method,
            path,
            headers,
            Sending::full(body),
        )
        .map_err(|_| unreachable_target())?;
        // The first byte of an answer that is not streamed comes when all of it is written.
        let first = if self.asked.streams(dialect) {
            Instant::now() + provider.spec.first_byte_timeout
        } else {
            deadline
        };
        let response = match timeout_at(
            first.min(deadline),
            self.request.shared.upstream.request(sending),
        )
        .await
        {
            Err(_) => return Err(late(None)),
            Ok(Err(error)) => {
                tracing::debug!(%target, error = %chain_of(&error), "no answer");
                return Err(unreachable_target());
            }
            Ok(Ok(response)) => response,
        };
        let (parts, incoming) = response.into_parts();
        let mut headers = parts.headers;
        upstream::strip_connection(&mut headers);
        let head = Head {
            status: parts.status,
            headers,
        };
        if !head.status.is_success() {
            return Err(refused(head, incoming, deadline).await);
        }
        if head.headers.contains_key(CONTENT_ENCODING) {
            // Compressed though nobody asked for it: it goes through unread.
            let relay = Relay::new(incoming, None, provider, head.status.as_u16(), deadline);
            return Ok((Answer::Stream(head, Box::new(relay)), None));
        }
        if is_stream(&head.headers) {
            return self
                .stream(head, incoming, provider, deadline, inject)
                .await;
        }
        self.whole(head, incoming, provider, deadline).await
    }

    async fn stream(
        &self,
        mut head: Head,
        incoming: Incoming,
        provider: &Arc<Provider>,
        deadline: Instant,
        inject: bool,
    ) -> Result<(Answer, Option<Reading>), Attempted> {
        let mut meter = StreamMeter::new(self.request.dialect);
        if inject {
            meter = meter.dropping_usage();
            head.headers.remove(CONTENT_LENGTH);
        }
        let mut relay = Relay::new(
            incoming,
            Some(meter),
            provider,
            head.status.as_u16(),
            deadline,
        );
        let beginning = relay.begin().await;
        let answer = Answer::Stream(head, Box::new(relay));
        match beginning {
            Beginning::Good => Ok((answer, None)),
            Beginning::Failed => Err(Attempted {
                end: AttemptEnd::Status {
                    status: 500,
                    retry_after: None,
                },
                code: "provider_stream_error",
                blame: Blame::Target(None),
                answer: Some(answer),
            }),
            Beginning::Broken => Err(Attempted {
                end: AttemptEnd::Network,
                code: "provider_stream_broken",
                blame: Blame::Target(None),
                answer: None,
            }),
            Beginning::Late => Err(late(None)),
        }
    }

    async fn whole(
        &self,
        mut head: Head,
        incoming: Incoming,
        provider: &Arc<Provider>,
        deadline: Instant,
    ) -> Result<(Answer, Option<Reading>), Attempted> {
        let (read, rest) = match gather(
            incoming,
            LARGEST_WHOLE,
            deadline,
            provider.spec.idle_timeout,
        )
        .await
        {
            Ok(gathered) => gathered,
            Err(Gathering::Late) => return Err(late(None)),
            Err(Gathering::Broken) => {
                return Err(Attempted {
                    end: AttemptEnd::InvalidAnswer,
                    code: "provider_answer_cut",
                    blame: Blame::Target(None),
                    answer: None,
                });
            }
        };
        if let Some(rest) = rest {
            // Too large to be looked at: it goes through as it comes.
            let relay =
                Relay::new(rest, None, provider, head.status.as_u16(), deadline).after(read);
            return Ok((Answer::Stream(head, Box::new(relay)), None));
        }
        let bytes = joined(read);
        head.headers.remove(CONTENT_LENGTH);
        let reading = read_answer(self.request.dialect, &bytes);
        let Some(code) = guard::judge_answer(self.request.dialect, &reading, self.asked, &bytes)
        else {
            return Ok((Answer::Whole(head, bytes), Some(reading)));
        };
        Err(Attempted {
            end: AttemptEnd::InvalidAnswer,
            code,
            blame: Blame::Target(None),
            answer: Some(Answer::Whole(head, bytes)),
        })
    }
}

/// A wait for a place, no longer than the request may take.
async fn in_time(
    deadline: Instant,
    entering: impl Future<Output = Result<Place, Refusal>>,
) -> Result<Place, Refusal> {
    timeout_at(deadline, entering).await.unwrap_or_else(|_| {
        Err(Refusal::new(
            "gateway_queue_timeout",
            "no place became free before the request's time was up; try again later",
        )
        .retry_after(Some(Duration::from_secs(5))))
    })
}

fn is_stream(headers: &HeaderMap) -> bool {
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .unwrap_or("");
    kind.starts_with("text/event-stream") || kind.starts_with("application/x-ndjson")
}

fn unreachable_target() -> Attempted {
    Attempted {
        end: AttemptEnd::Network,
        code: "provider_unreachable",
        blame: Blame::Target(None),
        answer: None,
    }
}

fn late(answer: Option<Answer>) -> Attempted {
    Attempted {
        end: AttemptEnd::Timeout,
        code: "provider_timeout",
        blame: Blame::Target(None),
        answer,
    }
}

/// An answer that is no success.
async fn refused(mut head: Head, incoming: Incoming, deadline: Instant) -> Attempted {
    let status = head.status.as_u16();
    let text = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
    let retry_after = retry::retry_after(
        text("retry-after-ms"),
        text("retry-after"),
        Timestamp::now(),
    );
    let (code, blame) = match status {
        401 | 403 => ("provider_unauthorized", Blame::Target(None)),
        402 => ("provider_unpaid", Blame::Target(None)),
        404 => ("caller_unknown_model", Blame::Other),
        408 => ("provider_timeout", Blame::Target(retry_after)),
        429 => ("provider_rate_limited", Blame::Target(retry_after)),
        529 => ("provider_overloaded", Blame::Target(retry_after)),
        500..=599 => ("provider_error", Blame::Target(retry_after)),
        _ => ("caller_refused", Blame::Other),
    };
    let gathered = gather(incoming, LARGEST_ERROR, deadline, Duration::from_secs(10)).await;
    head.headers.remove(CONTENT_LENGTH);
    let answer = match gathered {
        Ok((read, None)) => Some(Answer::Whole(head, joined(read))),
        // Its body is lost, or endless: ours says what happened.
        _ => None,
    };
    Attempted {
        end: AttemptEnd::Status {
            status,
            retry_after,
        },
        code,
        blame,
        answer,
    }
}

enum Gathering {
    Late,
    Broken,
}

/// Reads an answer up to a size; what is beyond is handed back unread.
async fn gather(
    mut incoming: Incoming,
    most: usize,
    deadline: Instant,
    idle: Duration,
) -> Result<(VecDeque<Bytes>, Option<Incoming>), Gathering> {
    let mut read = VecDeque::new();
    let mut size = 0;
    loop {
        let until = deadline.min(Instant::now() + idle);
        match timeout_at(until, incoming.frame()).await {
            Err(_) => return Err(Gathering::Late),
            Ok(None) => return Ok((read, None)),
            Ok(Some(Err(_))) => return Err(Gathering::Broken),
            Ok(Some(Ok(frame))) => {
                if let Ok(data) = frame.into_data() {
                    size += data.len();
                    read.push_back(data);
                }
            }
        }
        if size > most {
            return Ok((read, Some(incoming)));
        }
    }
}

fn joined(mut read: VecDeque<Bytes>) -> Bytes {
    if read.len() == 1
        && let Some(only) = read.pop_front()
    {
        return only;
    }
    let mut all = BytesMut::with_capacity(read.iter().map(Bytes::len).sum());
    for piece in read {
        all.extend_from_slice(&piece);
    }
    all.freeze()
}

/// An error with what lies beneath it.
fn chain_of(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut beneath = error.source();
    while let Some(error) = beneath {
        text.push_str(": ");
        text.push_str(&error.to_string());
        beneath = error.source();
    }
    text
}
