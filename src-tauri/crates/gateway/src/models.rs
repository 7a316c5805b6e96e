//! Which models providers have: asked now and then, so that a plain model's name finds its provider.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use cockpit_model::traffic::ProviderKind;
use http_body_util::{BodyExt, Limited};
use hyper::{HeaderMap, Method, StatusCode};
use serde_json::Value;

use crate::Shared;
use crate::body::Sending;
use crate::force::{InForce, Provider, ProviderKey};
use crate::upstream;

/// How often the lists are asked for.
pub(crate) const EVERY: Duration = Duration::from_secs(60);
/// How long a provider may take to tell.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest list.
const LARGEST: usize = 8 << 20;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Models {
    known: RwLock<HashMap<String, HashSet<String>>>,
}

impl Models {
    /// Whether a provider is known to have a model.
    pub(crate) fn has(&self, provider: &Provider, model: &str) -> bool {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.get(&provider.spec.name).is_some_and(|models| {
            models.contains(model)
                // Ollama calls its models by name and tag; without one it means `latest`.
                || provider.spec.kind == ProviderKind::Ollama
                    && !model.contains(':')
                    && models.contains(&format!("{model}:latest"))
        })
    }

    /// Asks every provider. One that does not answer keeps its last list.
    pub(crate) async fn refresh(&self, shared: &Shared, force: &InForce) {
        // With one provider there is nothing to choose.
        if force.providers().len() < 2 {
            return;
        }
        let asked = force.providers().iter().map(|provider| async {
            let list = list(shared, provider, &HeaderMap::new(), false).await;
            (provider.spec.name.clone(), list)
        });
        for (name, list) in futures_util::future::join_all(asked).await {
            if let Some(list) = list {
                let ids = list.iter().filter_map(id).map(str::to_owned).collect();
                let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
                known.insert(name, ids);
            }
        }
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
    let request = upstream::request(
        provider,
        &Method::GET,
        path,
        headers,
        Sending::full(Bytes::new()),
    )
    .ok()?;
    let answered = tokio::time::timeout(PATIENCE, async {
        let response = shared.upstream.request(request).await.ok()?;
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
