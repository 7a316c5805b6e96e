//! What is not a request to a model: passed on as it is, and the list of models.

use std::sync::Arc;
use std::time::Duration;

use cockpit_model::traffic::ProviderKind;
use cockpit_model::{Timestamp, Usd};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

use crate::Shared;
use crate::body::{Outgoing, Sending};
use crate::endpoint::Protocol;
use crate::force::{InForce, Provider, ProviderKey};
use crate::gate::Caller;
use crate::refusal::Refusal;
use crate::relay::Relay;
use crate::spend::Wish;
use crate::{models, upstream};

/// How long what is passed on unread may say nothing.
const LONGEST_SILENCE: Duration = Duration::from_mins(15);
/// How long it may take in all.
const LONGEST: Duration = Duration::from_hours(24);

/// Passes a request on to whoever speaks its protocol.
pub(crate) async fn pass(
    shared: &Arc<Shared>,
    force: &InForce,
    caller: &Caller,
    protocol: Protocol,
    parts: Parts,
    body: Incoming,
) -> Result<Response<Outgoing>, Refusal> {
    let Some(provider) = force.for_protocol(protocol) else {
        return Err(Refusal::new(
            "caller_protocol_mismatch",
            "no provider of this cockpit speaks this protocol; add one to [providers] in cockpit.toml",
        ));
    };
    // What such a request costs is not known: whoever may not have every model, or has nothing left to
    // spend, cannot have this either.
    let key = caller.key.as_deref();
    if let Some(key) = key.filter(|key| key.limits.models.is_some()) {
        return Err(Refusal::new(
            "policy_model",
            format!(
                "the key `{}` may only ask for certain models, and this names none",
                key.name
            ),
        ));
    }
    if !provider.is_local() {
        shared.spend.may_spend(&Wish {
            key,
            user: None,
            agent: None,
            common: &force.spec.limits,
            budget: force.spec.budget,
            tokens: 0,
            cost: Usd::ZERO,
        })?;
    }
    pass_to(shared, provider, caller, parts, body).await
}

/// Passes a request on to this provider.
pub(crate) async fn pass_to(
    shared: &Arc<Shared>,
    provider: &Provider,
    caller: &Caller,
    parts: Parts,
    body: Incoming,
) -> Result<Response<Outgoing>, Refusal> {
    let name = &provider.spec.name;
    if let ProviderKey::Unreadable(why) = &provider.key {
        return Err(Refusal::new(
            "provider_unavailable",
            format!("`{name}` cannot be asked: {why}"),
        ));
    }
    let service = provider.spec.service.as_deref();
    if let Some(why) = service.and_then(|service| shared.standing.down(service)) {
        return Err(
            Refusal::new("provider_unavailable", format!("`{name}` is down: {why}"))
                .retry_after(Some(Duration::from_secs(5))),
        );
    }
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let ours = caller.key.is_some();
    let headers = upstream::headers_for(provider, &parts.headers, ours, None);
    let request = upstream::request(
        provider,
        &parts.method,
        path,
        headers,
        Sending::Through(body),
    )
    .map_err(|_| Refusal::new("caller_malformed_request", "the path cannot be passed on"))?;
    // A model may be pulled without a word until it is there.
    let patience = match provider.spec.kind {
        ProviderKind::Ollama => LONGEST,
        ProviderKind::OpenAi | ProviderKind::Anthropic => provider.spec.timeout,
    };
    let asked = tokio::time::timeout(patience, shared.upstream.request(request)).await;
    let response = match asked {
        Err(_) => {
            return Err(Refusal::new(
                "provider_timeout",
                format!("`{name}` did not answer in time"),
            ));
        }
        Ok(Err(_)) => {
            return Err(Refusal::new(
                "provider_unreachable",
                format!("`{name}` could not be reached at {}", provider.shown()),
            ));
        }
        Ok(Ok(response)) => response,
    };
    let (mut head, incoming) = response.into_parts();
    upstream::strip_connection(&mut head.headers);
    // A model of 40 GB is pulled through here, and its digest checked in silence.
    let relay = Relay::unread(incoming, head.status.as_u16(), LONGEST_SILENCE, LONGEST);
    let mut answer = Response::new(Outgoing::Relay(Box::new(relay)));
    *answer.status_mut() = head.status;
    *answer.headers_mut() = head.headers;
    Ok(answer)
}

/// The models that can be asked for in a protocol: the routes, then what every provider has.
pub(crate) async fn list(
    shared: &Arc<Shared>,
    force: &InForce,
    caller: &Caller,
    protocol: Protocol,
    parts: Parts,
    body: Incoming,
) -> Response<Outgoing> {
    let able = || {
        let all = force.providers().iter();
        all.filter(|provider| protocol.spoken_by(provider.spec.kind))
    };
    // One provider and no routes: its list is the list, page by page, and its refusal is the refusal.
    if let (Some(only), None) = (able().next(), able().nth(1))
        && force.spec.routes.is_empty()
    {
        let answer = pass_to(shared, only, caller, parts, body).await;
        return answer.unwrap_or_else(|refusal| refusal.answer(protocol));
    }
    // The caller's own key is for one of them at most.
    let meant = force
        .for_protocol(protocol)
        .filter(|one| one.spec.kind == protocol.home());
    let asked = able().map(|provider| {
        let ours = caller.key.is_some() || !meant.is_some_and(|one| Arc::ptr_eq(one, provider));
        models::list(shared, provider, &parts.headers, ours)
    });
    let lists = futures_util::future::join_all(asked).await;
    let now = Timestamp::now();
    let mut all: Vec<Value> = force
        .spec
        .routes
        .iter()
        .map(|route| match protocol {
            Protocol::Anthropic => json!({
                "type": "model", "id": route.name, "display_name": route.name, "created_at": now,
            }),
            Protocol::OpenAi | Protocol::Ollama => json!({
                "id": route.name, "object": "model", "created": now.as_second(), "owned_by": "studio-cockpit",
            }),
        })
        .collect();
    for list in lists {
        for model in list.unwrap_or_default() {
            // A name is asked of the first who has it.
            let known = models::id(&model)
                .is_some_and(|id| all.iter().any(|one| models::id(one) == Some(id)));
            if !known {
                all.push(model);
            }
        }
    }
    let body = match protocol {
        Protocol::Anthropic => json!({
            "data": all, "has_more": false,
            "first_id": all.first().and_then(models::id), "last_id": all.last().and_then(models::id),
        }),
        Protocol::OpenAi | Protocol::Ollama => json!({"object": "list", "data": all}),
    };
    let mut answer = Response::new(Outgoing::full(body.to_string().into()));
    *answer.status_mut() = StatusCode::OK;
    answer
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}
