//! What is not a request to a model: passed on as it is, and the list of models.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use cockpit_model::traffic::{PiiMode, ProviderKind};
use cockpit_model::{Timestamp, Usd};
use hyper::body::{Body as _, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Response, StatusCode};
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use crate::Shared;
use crate::body::{Outgoing, Sending};
use crate::callers::{AGENT, Callers, USER, told};
use crate::endpoint::Protocol;
use crate::findings::Whose;
use crate::flow::bodies;
use crate::force::{InForce, Provider, ProviderKey};
use crate::front::Front;
use crate::gate::Caller;
use crate::refusal::Refusal;
use crate::relay::Relay;
use crate::spend::Wish;
use crate::upstream::{self, Asking};
use crate::{call_id, guard, models};

/// How long what is passed on unread may say nothing.
const LONGEST_SILENCE: Duration = Duration::from_mins(15);
/// How long it may take in all.
const LONGEST: Duration = Duration::from_hours(24);

/// A request that is passed on.
pub(crate) struct Passing<'a> {
    pub(crate) shared: &'a Arc<Shared>,
    pub(crate) force: &'a InForce,
    pub(crate) caller: &'a Caller,
    /// From where.
    pub(crate) from: IpAddr,
    pub(crate) protocol: Protocol,
    /// Whether it only looks what there is: nobody's limits are for that.
    pub(crate) looks: bool,
}

impl Passing<'_> {
    /// Passes it on to whoever speaks its protocol; at the address of a service, to that service.
    pub(crate) async fn pass(
        self,
        front: Option<&Front>,
        parts: Parts,
        body: Incoming,
    ) -> Response<Outgoing> {
        let user = told(&parts.headers, &USER);
        let agent = told(&parts.headers, &AGENT);
        let wish = Wish {
            callers: Callers {
                key: self.caller.key.as_deref(),
                user: user.as_deref(),
                agent: agent.as_deref(),
                common: &self.force.spec.limits,
            },
            budget: self.force.spec.budget,
            tokens: 0,
            pays: false,
            cost: Usd::ZERO,
        };
        let answer = self.judged_and_passed(front, &wish, parts, body).await;
        answer.unwrap_or_else(|refusal| {
            if guard::is_violation(&refusal) {
                self.shared.broken(self.whose(&wish), &refusal);
            }
            refusal.answer(self.protocol)
        })
    }

    async fn judged_and_passed(
        &self,
        front: Option<&Front>,
        wish: &Wish<'_>,
        parts: Parts,
        body: Incoming,
    ) -> Result<Response<Outgoing>, Refusal> {
        let shared = self.shared;
        let meant = match front {
            Some(front) => Some(&front.provider),
            None => self.force.for_protocol(self.protocol),
        };
        let Some(provider) = meant else {
            return Err(Refusal::new(
                "caller_protocol_mismatch",
                "no provider of this cockpit speaks the protocol of this path; an OpenAI client's base URL ends with `/v1` here, another protocol wants a provider in [providers] of cockpit.toml",
            ));
        };
        if self.looks {
            return pass_to(shared, provider, self.caller, parts, Sending::Through(body)).await;
        }
        let limits = || {
            let mut limits = HeaderMap::new();
            shared.spend.headers(wish, &mut limits);
            limits
        };
        self.admit(provider, wish)
            .map_err(|refusal| refusal.limits(limits()))?;
        let sending = self.judge(provider, wish, &parts.headers, body).await?;
        let mut answer = pass_to(shared, provider, self.caller, parts, sending).await?;
        answer.headers_mut().extend(limits());
        Ok(answer)
    }

    /// What such a request costs is not known: whoever may not have every model, or has nothing left to spend,
    /// cannot have this either. It is a request, whatever comes of it.
    fn admit(&self, provider: &Provider, wish: &Wish<'_>) -> Result<(), Refusal> {
        let mut callers = wish.callers.limits();
        if let Some(limited) = callers.find(|one| one.limits.models.is_some()) {
            return Err(Refusal::new(
                "policy_model",
                format!(
                    "{} may only ask for certain models, and this is no request to one of them",
                    limited.who()
                ),
            ));
        }
        let wish = Wish {
            pays: !provider.is_local(),
            ..*wish
        };
        self.shared.spend.reserve(&wish)?.settle(0, Usd::ZERO);
        Ok(())
    }

    /// Looks through what is to leave this machine, where a rule says what may not: whatever it is, there may be a
    /// prompt in it. Uploads are no JSON, and not looked through.
    async fn judge(
        &self,
        provider: &Provider,
        wish: &Wish<'_>,
        headers: &HeaderMap,
        body: Incoming,
    ) -> Result<Sending, Refusal> {
        let rules = &self.force.spec.rules;
        let strict = matches!(rules.pii, PiiMode::Redact | PiiMode::Block)
            || !rules.blocked_words.is_empty();
        if !strict || provider.is_local() || is_upload(headers) || body.is_end_stream() {
            return Ok(Sending::Through(body));
        }
        let body = bodies::read(body, self.shared.memory.share()).await?;
        if body.is_empty() {
            return Ok(Sending::full(body));
        }
        if serde_json::from_slice::<IgnoredAny>(&body).is_err() {
            return Err(Refusal::new(
                "caller_malformed_request",
                "the request's body is not JSON, and so cannot be looked through for what may not leave this machine",
            ));
        }
        guard::prompt(&body, rules)?;
        let Some(looked) = guard::pii::look(&body, rules.pii) else {
            return Ok(Sending::full(body));
        };
        let id = call_id::new(Timestamp::now());
        self.shared.found(self.whose(wish), &id, &looked);
        match looked.refusal {
            Some(refusal) => Err(refusal),
            None => Ok(Sending::full(looked.redacted.unwrap_or(body))),
        }
    }

    fn whose<'a>(&self, wish: &Wish<'a>) -> Whose<'a> {
        Whose {
            key: wish.callers.key.map(|key| key.name.as_str()),
            user: wish.callers.user,
            agent: wish.callers.agent,
            from: Some(self.from),
        }
    }
}

/// Whether a body is a file, or holds one.
fn is_upload(headers: &HeaderMap) -> bool {
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    let kind = kind.unwrap_or_default().to_ascii_lowercase();
    ["multipart/", "application/octet-stream"]
        .iter()
        .any(|upload| kind.starts_with(upload))
}

/// Passes a request on to this provider.
async fn pass_to(
    shared: &Arc<Shared>,
    provider: &Provider,
    caller: &Caller,
    parts: Parts,
    body: Sending,
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
    let asking = Asking::new(provider, &parts.method, path, headers, body)
        .map_err(|_| Refusal::new("caller_malformed_request", "the path cannot be passed on"))?;
    // A model may be pulled without a word until it is there.
    let patience = match provider.spec.kind {
        ProviderKind::Ollama => LONGEST,
        ProviderKind::OpenAi | ProviderKind::Anthropic => provider.spec.timeout,
    };
    let asked = tokio::time::timeout(patience, asking.go(&shared.lanes)).await;
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
        let answer = pass_to(shared, only, caller, parts, Sending::Through(body)).await;
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
