//! One request to a model, from its head to the begin of its answer.
//!
//! ```text
//! head ─► gate ─► body ─► chain ─► guard ─► limits, budget ─► cache ─► attempts ─► relay ─► Call
//! ```
//!
//! Here it is steered; its body is read in [`bodies`], the chain of its targets walked in [`attempts`], one of
//! them asked in [`attempt`], and what came of it handed on in [`answer`](mod@answer).
//!
//! Whatever way it takes, one [`Call`] is written down ([`Flight`]).

mod again;
mod answer;
mod attempt;
mod attempts;
pub(crate) mod bodies;

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use cockpit_metering::price::Tokens;
use cockpit_metering::wire::{Dialect, Request as Asked};
use cockpit_model::traffic::{Rules, Target};
use cockpit_model::{Call, CallSource, Operation, Outcome, Timestamp, Usd};
use hyper::Response;
use hyper::body::Incoming;
use hyper::header::{HeaderMap, HeaderValue};
use hyper::http::request::Parts;
use tokio::time::Instant;

use self::again::Again;
use self::answer::{CALL_ID, Sent, name_target};
use self::attempts::Attempts;
use crate::Shared;
use crate::body::Outgoing;
use crate::cache::Kept;
use crate::callers::{AGENT, Callers, TAGS, USER, short, told};
use crate::endpoint::{Protocol, operation};
use crate::findings::Whose;
use crate::flight::{Expected, Flight};
use crate::force::{Chain, InForce, Provider};
use crate::front::Front;
use crate::gate::Caller;
use crate::refusal::Refusal;
use crate::spend::{Held, Wish};
use crate::{guard, keep};

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
    /// At whose address it came in, if that is not the gateway's own.
    pub(crate) front: Option<Arc<Front>>,
    /// From where; see [`gate::origin`](crate::gate::origin).
    pub(crate) from: IpAddr,
    pub(crate) parts: Parts,
    pub(crate) protocol: Protocol,
    pub(crate) dialect: Dialect,
    pub(crate) started: Instant,
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
    let id = HeaderValue::from_str(flight.id());
    let mut response = match steer(&request, body, &mut flight).await {
        Ok(sent) => sent.go(flight),
        Err(refusal) => {
            if guard::is_violation(&refusal)
                && let Some(call) = flight.call()
            {
                request.shared.broken(whose(request.from, call), &refusal);
            }
            let mut response = refusal.answer(protocol);
            if let Some(call) = flight.call() {
                name_target(response.headers_mut(), call);
            }
            flight.finish(Outcome::Error, refusal.status.as_u16(), Some(refusal.code));
            response
        }
    };
    if let Ok(id) = id {
        response.headers_mut().insert(CALL_ID, id);
    }
    response
}

fn draft(request: &Request, at: Timestamp) -> Call {
    let headers = &request.parts.headers;
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
        user: told(headers, &USER),
        agent: told(headers, &AGENT),
        key: request.caller.key.as_ref().map(|key| key.name.clone()),
        tags: told(headers, &TAGS)
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

fn whose(from: IpAddr, call: &Call) -> Whose<'_> {
    Whose {
        key: call.key.as_deref(),
        user: call.user.as_deref(),
        agent: call.agent.as_deref(),
        from: Some(from),
    }
}

/// The way of a request whose body is read: its chain, the rules, what is set aside, the cache, the attempts.
async fn steer(request: &Request, body: Incoming, flight: &mut Flight) -> Result<Sent, Refusal> {
    let Request { shared, force, .. } = request;
    let body = bodies::read(body, shared.memory.share()).await?;
    let asked = Asked::read(&body)
        .map_err(|error| Refusal::new("caller_malformed_request", error.to_string()))?;
    let model = named(&asked)?;
    let chain = chain(request, &asked, model, flight).await?;
    let rules = force.rules(&chain);
    let user = flight.call().and_then(|call| call.user.clone());
    let agent = flight.call().and_then(|call| call.agent.clone());
    let callers = Callers {
        key: request.caller.key.as_deref(),
        user: user.as_deref(),
        agent: agent.as_deref(),
        common: &force.spec.limits,
    };
    guard::spelling(&chain, &asked)?;
    guard::policy(callers, model, &chain, &asked, rules)?;
    let sent = judged(request, &body, rules, flight)?;
    let most = guard::most::allowed(callers, rules);
    let expected = expected(request.dialect, &asked, most);
    let wish = Wish {
        callers,
        budget: force.spec.budget,
        tokens: expected.input.saturating_add(expected.output),
        pays: !chain.targets.iter().all(is_free),
        cost: dearest(&chain, expected),
    };
    let keep = rules
        .keep_prompts
        .and_then(|_| slot(request, flight, &sent));
    let cache = match again::look(request, &chain, &asked, &sent, rules.cache) {
        Again::Hit(kept) => {
            let mut given = hit(shared, &wish, &kept, flight)?;
            given.keep = keep;
            return Ok(given);
        }
        Again::Miss(slot) => Some(slot),
        Again::Off => None,
    };
    let limits = || left(shared, &wish);
    let reserved = reserve(shared, &wish, &chain);
    let (held, paid) = reserved.map_err(|refusal| refusal.limits(limits()))?;
    flight.hold(held, expected);
    let limits = limits();
    let json = guard::Json::of(request.dialect, &asked, &sent).map(Arc::new);
    let attempts = Attempts {
        request,
        chain: &chain,
        asked: &asked,
        body: &sent,
        most,
        json: json.clone(),
        paid,
    };
    match attempts.run(flight).await {
        Ok(mut sent) => {
            sent.limits = limits;
            sent.cache = cache;
            sent.keep = keep;
            sent.json = json;
            Ok(sent)
        }
        Err(refusal) => Err(refusal.limits(limits)),
    }
}

/// The model that is asked for.
fn named<'a>(asked: &'a Asked<'_>) -> Result<&'a str, Refusal> {
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
    Ok(model)
}

/// Who is to answer; and what is known by then is taken note of, until a target is asked.
async fn chain(
    request: &Request,
    asked: &Asked<'_>,
    model: &str,
    flight: &mut Flight,
) -> Result<Chain, Refusal> {
    let Request { shared, force, .. } = request;
    if let Some(call) = flight.call() {
        call.requested_model = Some(short(model));
        if call.user.is_none() {
            call.user = asked.user.as_deref().map(short);
        }
        call.model = short(model);
    }
    let chain = match &request.front {
        Some(front) => front.chain(model),
        None => {
            let candidates = force.candidates(model, request.dialect);
            shared.models.settle(shared, &candidates, model).await;
            let has = |provider: &Provider, model: &str| shared.models.has(provider, model);
            force.chain(model, request.dialect, request.protocol, has)?
        }
    };
    if let Some(call) = flight.call() {
        call.route = chain.route.as_ref().map(|route| route.name.clone());
        if let Some((target, _)) = chain.targets.first() {
            call.provider.clone_from(&target.provider);
            call.model.clone_from(&target.model);
            call.target = target.name();
        }
    }
    Ok(chain)
}

/// What is sent: what was asked, or what the rules made of it.
fn judged(
    request: &Request,
    body: &Bytes,
    rules: &Rules,
    flight: &mut Flight,
) -> Result<Bytes, Refusal> {
    guard::prompt(body, rules)?;
    let Some(looked) = guard::pii::look(body, rules.pii) else {
        return Ok(body.clone());
    };
    if let Some(call) = flight.call() {
        let whose = whose(request.from, call);
        request.shared.found(whose, &call.id, &looked);
    }
    match looked.refusal {
        Some(refusal) => Err(refusal),
        None => Ok(looked.redacted.unwrap_or_else(|| body.clone())),
    }
}

/// What it will use, as far as can be told before.
fn expected(dialect: Dialect, asked: &Asked<'_>, most: Option<u64>) -> Expected {
    let output = if operation(dialect) == Operation::Embeddings {
        0
    } else {
        asked
            .max_tokens
            .unwrap_or(USUAL_OUTPUT)
            .min(most.unwrap_or(MOST_OUTPUT))
            .min(MOST_OUTPUT)
    };
    Expected {
        input: asked.estimated_input_tokens(),
        output,
    }
}

/// Where the prompt is kept for a person.
fn slot(request: &Request, flight: &mut Flight, sent: &Bytes) -> Option<keep::Slot> {
    let call = flight.call()?;
    Some(keep::Slot {
        prompts: Arc::clone(&request.shared.prompts),
        call: call.id.clone(),
        at: call.at,
        rule: call.route.clone().unwrap_or_default(),
        dialect: request.dialect,
        request: sent.clone(),
    })
}

/// Gives an answer from before. It costs nothing, whatever is spent; but it is a request.
fn hit(
    shared: &Shared,
    wish: &Wish<'_>,
    kept: &Kept,
    flight: &mut Flight,
) -> Result<Sent, Refusal> {
    let asking = Wish {
        tokens: 0,
        pays: false,
        cost: Usd::ZERO,
        ..*wish
    };
    let held = shared.spend.reserve(&asking);
    let held = held.map_err(|refusal| refusal.limits(left(shared, &asking)))?;
    flight.hold(held, Expected::default());
    let mut given = again::give(flight, kept);
    given.limits = left(shared, &asking);
    Ok(given)
}

/// Sets aside what it may use; and whether models that cost money may be asked.
fn reserve(shared: &Shared, wish: &Wish<'_>, chain: &Chain) -> Result<(Held, bool), Refusal> {
    match shared.spend.reserve(wish) {
        Ok(held) => Ok((held, true)),
        // Models on this machine go on.
        Err(refusal)
            if refusal.code == "policy_budget_exhausted" && chain.targets.iter().any(is_free) =>
        {
            let free = Wish {
                pays: false,
                cost: Usd::ZERO,
                ..*wish
            };
            Ok((shared.spend.reserve(&free)?, false))
        }
        Err(refusal) => Err(refusal),
    }
}

fn is_free((target, provider): &(Target, Arc<Provider>)) -> bool {
    provider.tariff.is_free(&target.model)
}

/// What is left of the limits of whoever asks, as headers.
fn left(shared: &Shared, wish: &Wish<'_>) -> HeaderMap {
    let mut limits = HeaderMap::new();
    shared.spend.headers(wish, &mut limits);
    limits
}

/// What the dearest of its targets asks for that.
fn dearest(chain: &Chain, expected: Expected) -> Usd {
    let tokens = Tokens {
        input: expected.input,
        output: expected.output,
        ..Tokens::default()
    };
    chain
        .targets
        .iter()
        .filter_map(|(target, provider)| provider.tariff.cost(&target.model, None, &tokens))
        .map(|priced| priced.cost)
        .max()
        .unwrap_or(Usd::ZERO)
}
