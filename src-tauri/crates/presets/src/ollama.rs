//! Ollama: what it has, what it holds in memory, and loading that again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cockpit_model::service::{Check, LocalModel};
use cockpit_model::{Code, Detail, Problem, ServiceSpec, Timestamp};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use serde::Deserialize;
use serde_json::json;

use crate::around::Surroundings;
use crate::{Observation, Preset, http};

/// Ollama's own default.
const DEFAULT: &str = "127.0.0.1:11434";
/// Loading 40 GB from a disk takes its time.
const LOAD: Duration = Duration::from_secs(300);
/// An expiry this far off is Ollama's way to write "never" (`keep_alive: -1`).
const NEVER: Duration = Duration::from_secs(10 * 365 * 86_400);

/// The preset of kind `ollama`.
pub struct Ollama {
    spec: ServiceSpec,
    around: Surroundings,
    base: String,
    /// Why a chosen model could not be loaded, by model; shown until it is.
    unloaded: Arc<Mutex<BTreeMap<String, String>>>,
}

#[derive(Deserialize)]
struct Version {
    version: String,
}

#[derive(Deserialize)]
struct Tags {
    #[serde(default)]
    models: Vec<Tag>,
}

#[derive(Deserialize)]
struct Tag {
    name: String,
    size: Option<u64>,
}

#[derive(Deserialize)]
struct Ps {
    #[serde(default)]
    models: Vec<Loaded>,
}

#[derive(Deserialize)]
struct Loaded {
    name: String,
    size: Option<u64>,
    expires_at: Option<String>,
}

impl Ollama {
    pub(crate) fn new(spec: ServiceSpec, around: Surroundings) -> Self {
        let base = base(spec.listen.as_deref());
        Self {
            spec,
            around,
            base,
            unloaded: Arc::default(),
        }
    }

    async fn look(&self) -> Observation {
        let version = format!("{}/api/version", self.base);
        let tags = format!("{}/api/tags", self.base);
        let ps = format!("{}/api/ps", self.base);
        let (version, tags, ps) = tokio::join!(
            http::get_json::<Version>(&version),
            http::get_json::<Tags>(&tags),
            http::get_json::<Ps>(&ps),
        );
        let Ok(version) = version else {
            // It does not answer: the probes say so, and an old picture would be a lie.
            return Observation::default();
        };
        let mut checks = Vec::new();
        for (name, error) in [("tags", tags.as_ref().err()), ("ps", ps.as_ref().err())] {
            if let Some(error) = error {
                checks.push(failed(name.to_owned(), error.clone()));
            }
        }
        let models = models(
            tags.map(|t| t.models).unwrap_or_default(),
            ps.map(|p| p.models).unwrap_or_default(),
            Timestamp::now(),
        );
        let mut unloaded = self.unloaded.lock().unwrap_or_else(PoisonError::into_inner);
        unloaded.retain(|model, _| !models.iter().any(|m| m.loaded && same(&m.name, model)));
        for (model, error) in unloaded.iter() {
            checks.push(failed(format!("load {model}"), error.clone()));
        }
        Observation {
            version: Some(version.version),
            detail: Some(Detail {
                models,
                checks,
                ..Detail::default()
            }),
            ..Observation::default()
        }
    }

    async fn load_chosen(&self) {
        let env = self.around.env_of(&self.spec).await;
        let keep = env.get("OLLAMA_KEEP_ALIVE").map(String::as_str);
        // One after the other: loading is bound by the disk, and memory by what came before.
        for model in &self.spec.options.models {
            let outcome = generate(&self.base, model, keep.map(keep_alive), LOAD).await;
            let mut unloaded = self.unloaded.lock().unwrap_or_else(PoisonError::into_inner);
            match outcome {
                Ok(()) => {
                    tracing::info!("{}: {model} is loaded again", self.spec.name);
                    unloaded.remove(model);
                }
                Err(error) => {
                    tracing::warn!("{}: {model} could not be loaded: {error}", self.spec.name);
                    unloaded.insert(model.clone(), error);
                }
            }
        }
    }
}

impl Preset for Ollama {
    fn spec(&self) -> &ServiceSpec {
        &self.spec
    }

    fn around(&self) -> &Surroundings {
        &self.around
    }

    fn inspect(&self) -> BoxFuture<'_, Observation> {
        self.look().boxed()
    }

    fn after_ready(&self) -> BoxFuture<'_, ()> {
        self.load_chosen().boxed()
    }
}

/// Unloads a model from the memory of an Ollama service, and resolves when it is gone.
///
/// # Errors
/// [`Code::NotSupported`] for another kind of service, [`Code::ActionFailed`] with Ollama's words.
pub async fn unload(spec: &ServiceSpec, model: &str) -> Result<(), Problem> {
    if spec.kind != cockpit_model::spec::Kind::Ollama {
        return Err(Problem::new(
            Code::NotSupported,
            format!("{} is no Ollama and has no models", spec.name),
        ));
    }
    let base = base(spec.listen.as_deref());
    // Ollama loads a model to unload it, if it is not in memory.
    let loaded: Ps = http::get_json(&format!("{base}/api/ps"))
        .await
        .map_err(|e| not_unloaded(model, e))?;
    if !loaded.models.iter().any(|m| same(&m.name, model)) {
        return Err(not_unloaded(model, "it is not in memory".to_owned()));
    }
    generate(&base, model, Some(json!(0)), Duration::from_secs(60))
        .await
        .map_err(|e| not_unloaded(model, e))
}

fn not_unloaded(model: &str, error: String) -> Problem {
    Problem::new(Code::ActionFailed, format!("{model} was not unloaded")).detail(error)
}

/// `POST /api/generate` without a prompt: loads the model, or unloads it where `keep` is 0.
async fn generate(
    base: &str,
    model: &str,
    keep: Option<serde_json::Value>,
    limit: Duration,
) -> Result<(), String> {
    #[derive(Deserialize)]
    struct Answer {
        error: Option<String>,
    }
    let mut body = json!({"model": model, "stream": false});
    if let (Some(keep), Some(body)) = (keep, body.as_object_mut()) {
        body.insert("keep_alive".to_owned(), keep);
    }
    let answer = http::client()?
        .post(format!("{base}/api/generate"))
        .timeout(limit)
        .json(&body)
        .send()
        .await
        .map_err(http::words)?;
    let status = answer.status();
    let error = answer.json::<Answer>().await.ok().and_then(|a| a.error);
    match error {
        // Also under 200, as its streams do.
        Some(error) => Err(error),
        None if status.is_success() => Ok(()),
        None => Err(format!("it answered {}", status.as_u16())),
    }
}

/// `OLLAMA_KEEP_ALIVE` as JSON: a bare number is seconds, anything else a duration like `5m`.
fn keep_alive(text: &str) -> serde_json::Value {
    text.trim()
        .parse::<i64>()
        .map_or_else(|_| json!(text.trim()), |seconds| json!(seconds))
}

fn base(listen: Option<&str>) -> String {
    let address = listen.unwrap_or(DEFAULT);
    // A server that listens everywhere is asked on this machine.
    let address = match address.rsplit_once(':') {
        Some(("0.0.0.0", port)) => format!("127.0.0.1:{port}"),
        Some(("[::]", port)) => format!("[::1]:{port}"),
        _ => address.to_owned(),
    };
    format!("http://{address}")
}

/// `llama3.2` and `llama3.2:latest` are the same model.
fn same(a: &str, b: &str) -> bool {
    let whole = |name: &str| {
        let last = name.rsplit('/').next().unwrap_or(name);
        if last.contains(':') {
            name.to_owned()
        } else {
            format!("{name}:latest")
        }
    };
    whole(a) == whole(b)
}

fn failed(name: String, error: String) -> Check {
    Check {
        name,
        ok: Some(false),
        latency_ms: None,
        error: Some(error),
    }
}

/// What is on disk, with what of it is in memory; the loaded first, then by name.
fn models(tags: Vec<Tag>, loaded: Vec<Loaded>, now: Timestamp) -> Vec<LocalModel> {
    let mut models: Vec<LocalModel> = tags
        .into_iter()
        .map(|tag| LocalModel {
            name: tag.name,
            size_bytes: tag.size,
            memory_bytes: None,
            expires_at: None,
            loaded: false,
        })
        .collect();
    for one in loaded {
        let expires = one
            .expires_at
            .and_then(|text| text.parse::<Timestamp>().ok())
            .filter(|at| at.duration_since(now).unsigned_abs() < NEVER);
        let place = models.iter().position(|m| same(&m.name, &one.name));
        let model = match place.and_then(|i| models.get_mut(i)) {
            Some(model) => model,
            None => {
                // Deleted from the disk while in memory.
                models.push(LocalModel {
                    name: one.name,
                    size_bytes: None,
                    memory_bytes: None,
                    expires_at: None,
                    loaded: false,
                });
                let Some(model) = models.last_mut() else {
                    continue;
                };
                model
            }
        };
        model.loaded = true;
        model.memory_bytes = one.size;
        model.expires_at = expires;
    }
    models.sort_by(|a, b| b.loaded.cmp(&a.loaded).then_with(|| a.name.cmp(&b.name)));
    models
}

#[cfg(test)]
#[path = "ollama/tests.rs"]
mod tests;
