//! What is not a request to a model: passed on as it is, and the list of models.

use std::sync::Arc;

use cockpit_model::Timestamp;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Response, StatusCode};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::Shared;
use crate::body::{Outgoing, Sending};
use crate::endpoint::Protocol;
use crate::force::InForce;
use crate::gate::Caller;
use crate::refusal::Refusal;
use crate::relay::Relay;
use crate::{models, upstream};

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
    let name = &provider.spec.name;
    let asked = tokio::time::timeout(provider.spec.timeout, shared.upstream.request(request)).await;
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
                format!(
                    "`{name}` could not be reached at {}",
                    provider.spec.base_url
                ),
            ));
        }
        Ok(Ok(response)) => response,
    };
    let (mut head, incoming) = response.into_parts();
    upstream::strip_connection(&mut head.headers);
    let deadline = Instant::now() + provider.spec.timeout;
    let relay = Relay::new(incoming, None, provider, head.status.as_u16(), deadline);
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
    parts: &Parts,
) -> Response<Outgoing> {
    let ours = caller.key.is_some();
    let able = || {
        let all = force.providers().iter();
        all.filter(|provider| protocol.spoken_by(provider.spec.kind))
    };
    let asked = able().map(|provider| models::list(shared, provider, &parts.headers, ours));
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
