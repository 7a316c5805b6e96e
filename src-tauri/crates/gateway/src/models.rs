//! Which models providers have: asked now and then, so that a plain model's name finds its provider.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use cockpit_model::traffic::ProviderKind;
use http_body_util::{BodyExt, Limited};
use hyper::{HeaderMap, Method, StatusCode};
use serde_json::Value;
use tokio::time::Instant;

use crate::Shared;
use crate::body::Sending;
use crate::force::{InForce, Provider, ProviderKey};
use crate::upstream::{self, Asking};

/// How often the lists are asked for.
pub(crate) const EVERY: Duration = Duration::from_secs(60);
/// How long a provider may take to tell.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a request waits for a list that is not there yet.
const MOMENT: Duration = Duration::from_secs(2);
/// A list of this machine's own models is asked for anew after so long, if a model is in none.
const FRESH: Duration = Duration::from_secs(5);
/// The longest list.
const LARGEST: usize = 8 << 20;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Models {
    known: RwLock<HashMap<String, Known>>,
    /// Held while lists are asked for that a request waits for: the next one waits with it.
    asking: tokio::sync::Mutex<()>,
}

/// What a provider told when it was asked.
#[derive(Debug)]
struct Known {
    /// Empty of one that does not tell.
    models: HashSet<String>,
    asked_at: Instant,
}

impl Models {
    /// Whether a provider is known to have a model.
    pub(crate) fn has(&self, provider: &Provider, model: &str) -> bool {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.get(&provider.spec.name).is_some_and(|known| {
            known.models.contains(model)
                // Ollama calls its models by name and tag; without one it means `latest`.
                || provider.spec.kind == ProviderKind::Ollama
                    && !model.contains(':')
                    && known.models.contains(&format!("{model}:latest"))
        })
    }

    /// Sees to it that it is known which of the candidates have a model, so that the same name finds the same
    /// provider, also right after the start. Whoever has not been asked is asked now; if nobody has the model, the
    /// models on this machine may be others than a moment ago. Waits for a moment at most.
    pub(crate) async fn settle(&self, shared: &Shared, candidates: &[Arc<Provider>], model: &str) {
        if self.unsettled(shared, candidates, model).is_empty() {
            return;
        }
        let _one_at_a_time = self.asking.lock().await;
        let nothing = &HeaderMap::new();
        let asked =
            self.unsettled(shared, candidates, model)
                .into_iter()
                .map(|provider| async move {
                    let listing = list(shared, provider, nothing, false);
                    let list = tokio::time::timeout(MOMENT, listing).await.ok().flatten();
                    self.learn(provider, list);
                });
        futures_util::future::join_all(asked).await;
    }

    fn unsettled<'a>(
        &self,
        shared: &Shared,
        candidates: &'a [Arc<Provider>],
        model: &str,
    ) -> Vec<&'a Arc<Provider>> {
        let missing = !candidates.iter().any(|one| self.has(one, model));
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        candidates
            .iter()
            .filter(|one| match known.get(&one.spec.name) {
                None => true,
                Some(known) => missing && one.is_local() && known.asked_at.elapsed() > FRESH,
            })
            .filter(|one| {
                let service = one.spec.service.as_deref();
                service.is_none_or(|service| shared.standing.down(service).is_none())
            })
            .collect()
    }

    /// One that does not answer keeps its last list.
    fn learn(&self, provider: &Provider, list: Option<Vec<Value>>) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let asked_at = Instant::now();
        match list {
            Some(list) => {
                let models = list.iter().filter_map(id).map(str::to_owned).collect();
                known.insert(provider.spec.name.clone(), Known { models, asked_at });
            }
            None => {
                let none = || Known {
                    models: HashSet::new(),
                    asked_at,
                };
                known
                    .entry(provider.spec.name.clone())
                    .or_insert_with(none)
                    .asked_at = asked_at;
            }
        }
    }

    /// Forgets what providers told that are others now.
    pub(crate) fn forget(&self, changed: impl Fn(&str) -> bool) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.retain(|name, _| !changed(name));
    }

    /// Asks every provider.
    pub(crate) async fn refresh(&self, shared: &Shared, force: &InForce) {
        // With one provider there is nothing to choose.
        if force.providers().len() < 2 {
            return;
        }
        let asked = force.providers().iter().map(|provider| async move {
            let list = list(shared, provider, &HeaderMap::new(), false).await;
            self.learn(provider, list);
        });
        futures_util::future::join_all(asked).await;
    }
}

/// What a model is called in a list of `OpenAI`'s, Anthropic's or Ollama's.
pub(crate) fn id(model: &Value) -> Option<&str> {
    model
        .get("id")
        .or_else(|| model.get("model"))
        .or_else(|| model.get("name"))?
        .as_str()
}

/// A provider's list, its entries as it gives them; `None`: it does not tell.
pub(crate) async fn list(
    shared: &Shared,
    provider: &Arc<Provider>,
    callers: &HeaderMap,
    ours: bool,
) -> Option<Vec<Value>> {
    if matches!(provider.key, ProviderKey::Unreadable(_)) {
        return None;
    }
    // Ollama's list in `OpenAI`'s shape leaves out what nobody asks for.
    let path = "/v1/models";
    let mut headers = upstream::headers_for(provider, callers, ours, None);
    headers.remove(hyper::header::ACCEPT_ENCODING);
    if provider.spec.kind == ProviderKind::Anthropic {
        headers
            .entry("anthropic-version")
            .or_insert(hyper::header::HeaderValue::from_static("2023-06-01"));
    }
    let asking = Asking::new(
        provider,
        &Method::GET,
        path,
        headers,
        Sending::full(Bytes::new()),
    )
    .ok()?;
    let answered = tokio::time::timeout(PATIENCE, async {
        let response = asking.go(&shared.lanes).await.ok()?;
        if response.status() != StatusCode::OK {
            return None;
        }
        let body = Limited::new(response.into_body(), LARGEST)
            .collect()
            .await
            .ok()?;
        serde_json::from_slice::<Value>(&body.to_bytes()).ok()
    });
    let mut list = answered.await.ok()??;
    match list.get_mut("data").map(Value::take) {
        Some(Value::Array(models)) => Some(models),
        _ => None,
    }
}
