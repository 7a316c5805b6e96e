#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests"
)]
//! Against a double that speaks Ollama's documented API and keeps models as Ollama does.

use super::*;
use crate::around::doubles::{around_with, spec};
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use cockpit_model::spec::Kind;
use serde_json::{Value, json};

#[derive(Clone, Default)]
struct Double {
    loaded: Arc<Mutex<Vec<(String, String)>>>,
    asked: Arc<Mutex<Vec<Value>>>,
}

async fn ps(State(double): State<Double>) -> Json<Value> {
    let loaded = double.loaded.lock().unwrap();
    let models: Vec<Value> = loaded
        .iter()
        .map(|(name, expires_at)| {
            json!({"name": name, "model": name, "size": 5_137_025_024_u64, "size_vram": 5_137_025_024_u64,
                   "digest": "2ae6", "details": {"family": "llama"}, "expires_at": expires_at,
                   "context_length": 4096})
        })
        .collect();
    Json(json!({ "models": models }))
}

async fn generate_double(
    State(double): State<Double>,
    Json(body): Json<Value>,
) -> (StatusCode, Json<Value>) {
    double.asked.lock().unwrap().push(body.clone());
    let model = body["model"].as_str().unwrap();
    let whole = if model.contains(':') {
        model.to_owned()
    } else {
        format!("{model}:latest")
    };
    if whole == "absent:latest" {
        let error = format!("model '{model}' not found");
        return (StatusCode::NOT_FOUND, Json(json!({ "error": error })));
    }
    let mut loaded = double.loaded.lock().unwrap();
    loaded.retain(|(name, _)| *name != whole);
    let reason = if body["keep_alive"] == json!(0) {
        "unload"
    } else {
        loaded.push((whole, "2318-01-01T00:00:00.5-07:00".to_owned()));
        "load"
    };
    let answer = json!({"model": model, "created_at": "2026-03-03T09:14:07Z", "response": "",
                        "done": true, "done_reason": reason});
    (StatusCode::OK, Json(answer))
}

/// A service of kind `ollama` whose server is the double.
async fn served(double: Double) -> ServiceSpec {
    crate::http::tests_provider();
    let tags = || async {
        Json(json!({"models": [
            {"name": "llama3.2:latest", "model": "llama3.2:latest", "size": 2_019_393_189_u64,
             "modified_at": "2026-01-01T00:00:00-08:00", "digest": "a80c"},
            {"name": "qwen3:8b", "model": "qwen3:8b", "size": 5_200_000_000_u64, "digest": "1"}
        ]}))
    };
    let app = Router::new()
        .route(
            "/api/version",
            get(|| async { Json(json!({"version": "0.12.3"})) }),
        )
        .route("/api/tags", get(tags))
        .route("/api/ps", get(ps))
        .route("/api/generate", post(generate_double))
        .with_state(double);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut spec = spec("ollama", Kind::Ollama);
    spec.listen = Some(listener.local_addr().unwrap().to_string());
    tokio::spawn(async move { axum::serve(listener, app).await });
    spec
}

fn preset(spec: &ServiceSpec) -> Ollama {
    Ollama::new(spec.clone(), around_with(BTreeMap::new(), None, None))
}

#[tokio::test]
async fn what_it_has_and_what_it_holds() {
    let double = Double::default();
    double
        .loaded
        .lock()
        .unwrap()
        .push(("qwen3:8b".into(), "2026-06-04T14:38:31.83753-07:00".into()));
    let seen = preset(&served(double).await).inspect().await;
    assert_eq!(seen.version.as_deref(), Some("0.12.3"));
    let models = seen.detail.unwrap().models;
    assert_eq!(models[0].name, "qwen3:8b");
    assert!(models[0].loaded);
    assert_eq!(models[0].memory_bytes, Some(5_137_025_024));
    assert_eq!(models[0].size_bytes, Some(5_200_000_000));
    assert_eq!(
        models[0].expires_at.unwrap().to_string(),
        "2026-06-04T21:38:31.83753Z"
    );
    assert_eq!(models[1].name, "llama3.2:latest");
    assert!(!models[1].loaded && models[1].memory_bytes.is_none());
}

#[tokio::test]
async fn chosen_models_are_loaded_again_and_a_failure_is_named() {
    let double = Double::default();
    let mut spec = served(double.clone()).await;
    spec.options.models = vec!["llama3.2".into(), "absent".into()];
    spec.env.insert("OLLAMA_KEEP_ALIVE".into(), "-1".into());
    let preset = preset(&spec);
    preset.after_ready().await;
    let asked = double.asked.lock().unwrap().clone();
    assert_eq!(
        asked[0],
        json!({"model": "llama3.2", "stream": false, "keep_alive": -1})
    );
    let detail = preset.inspect().await.detail.unwrap();
    assert!(detail.models[0].loaded);
    assert_eq!(detail.models[0].expires_at, None, "kept for ever");
    assert_eq!(detail.checks.len(), 1);
    assert_eq!(detail.checks[0].name, "load absent");
    assert_eq!(
        detail.checks[0].error.as_deref(),
        Some("model 'absent' not found")
    );
}

#[tokio::test]
async fn unloading_only_what_is_loaded() {
    let double = Double::default();
    let spec = served(double.clone()).await;
    let problem = unload(&spec, "llama3.2").await.unwrap_err();
    assert_eq!(problem.code, Code::ActionFailed);
    assert!(
        double.asked.lock().unwrap().is_empty(),
        "nothing was loaded to unload it"
    );
    generate(&base(spec.listen.as_deref()), "llama3.2", None, LOAD)
        .await
        .unwrap();
    unload(&spec, "llama3.2").await.unwrap();
    assert!(double.loaded.lock().unwrap().is_empty());
    let mut other = spec;
    other.kind = Kind::Node;
    let problem = unload(&other, "llama3.2").await.unwrap_err();
    assert_eq!(problem.code, Code::NotSupported);
}

#[tokio::test]
async fn one_that_does_not_answer_shows_nothing_old() {
    crate::http::tests_provider();
    let mut spec = spec("ollama", Kind::Ollama);
    spec.listen = Some("127.0.0.1:1".into());
    assert_eq!(preset(&spec).inspect().await, Observation::default());
    let problem = unload(&spec, "x").await.unwrap_err();
    assert!(problem.detail.unwrap().to_lowercase().contains("refused"));
}

#[test]
fn names_addresses_and_times() {
    assert!(same("llama3.2", "llama3.2:latest"));
    assert!(!same("llama3.2:1b", "llama3.2"));
    assert!(same("hf.co/x/y", "hf.co/x/y:latest"));
    assert_eq!(base(None), "http://127.0.0.1:11434");
    assert_eq!(base(Some("0.0.0.0:1")), "http://127.0.0.1:1");
    assert_eq!(base(Some("[::]:1")), "http://[::1]:1");
    assert_eq!(keep_alive("5m"), json!("5m"));
    assert_eq!(keep_alive("-1"), json!(-1));
}
