//! Anthropic's API: messages, whole and streamed, their token count, models. The vendor's own, with
//! its keys, and as Ollama renders it.

mod messages;
mod request;
mod stream;

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::Paced;
use crate::backend::{Backend, Flavour, Model, Shelf};
use crate::dialect::{Dialect, Refusal};
use crate::double;
use crate::mind::Mind;

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// The models it has.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "claude-opus-4-1,claude-sonnet-4-5,claude-haiku-4-5"
    )]
    models: Vec<String>,
    #[command(flatten)]
    paced: Paced,
}

pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let paced = options.paced;
    let backend = Backend {
        catalog: Arc::new(Shelf::of(&options.models, 0, |_| false)),
        mind: Mind::new(paced.common.seed, paced.tokens_per_second),
        flavour: Flavour::Vendor,
        key: paced.key.clone(),
    };
    let routes = messages_routes(backend.clone())
        .merge(model_routes(backend))
        .fallback(unknown);
    double::serve("anthropic", &paced, routes).await
}

/// `/v1/messages`, which Ollama has too.
pub(crate) fn messages_routes(backend: Backend) -> Router {
    Router::new()
        .route("/v1/messages", post(messages::messages))
        .route("/v1/messages/count_tokens", post(messages::count_tokens))
        .layer(middleware::from_fn_with_state(backend.clone(), admit))
        .with_state(backend)
}

fn model_routes(backend: Backend) -> Router {
    Router::new()
        .route("/v1/models", get(models))
        .route("/v1/models/{id}", get(model))
        .layer(middleware::from_fn_with_state(backend.clone(), admit))
        .with_state(backend)
}

/// Keys and the version of the API, which the vendor insists on; and its answers' headers.
async fn admit(State(backend): State<Backend>, request: Request, next: Next) -> Response {
    if !backend.is_vendor() {
        return next.run(request).await;
    }
    let mut answer = match admitted(&backend, request.headers()) {
        Ok(()) => next.run(request).await,
        Err(refusal) => *refusal,
    };
    if let Ok(id) = HeaderValue::from_str(&backend.mind.id("req_")) {
        answer.headers_mut().insert("request-id", id);
    }
    answer
}

fn admitted(backend: &Backend, headers: &HeaderMap) -> Result<(), Refusal> {
    let said = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let bearer = said("authorization").and_then(|value| value.strip_prefix("Bearer "));
    let Some(shown) = said("x-api-key").or(bearer) else {
        return Err(refuse(
            StatusCode::UNAUTHORIZED,
            "x-api-key header is required",
        ));
    };
    if backend.key.as_deref().is_some_and(|key| key != shown) {
        return Err(refuse(StatusCode::UNAUTHORIZED, "invalid x-api-key"));
    }
    if said("anthropic-version").is_none() {
        return Err(refuse(
            StatusCode::BAD_REQUEST,
            "anthropic-version: header is required",
        ));
    }
    Ok(())
}

async fn models(State(backend): State<Backend>) -> Json<Value> {
    let data: Vec<Value> = backend.catalog.models().iter().map(listed).collect();
    let id = |one: Option<&Value>| one.and_then(|one| one.get("id")).cloned();
    Json(json!({
        "first_id": id(data.first()),
        "last_id": id(data.last()),
        "has_more": false,
        "data": data,
    }))
}

async fn model(State(backend): State<Backend>, Path(id): Path<String>) -> Response {
    match find(&backend, &id) {
        Ok(model) => Json(listed(&model)).into_response(),
        Err(refusal) => *refusal,
    }
}

fn listed(model: &Model) -> Value {
    json!({
        "type": "model",
        "id": model.name,
        "display_name": model.name,
        "created_at": "2025-09-29T00:00:00Z",
    })
}

fn find(backend: &Backend, name: &str) -> Result<Model, Refusal> {
    backend.catalog.find(name).ok_or_else(|| {
        let message = if backend.is_vendor() {
            format!("model: {name}")
        } else {
            format!("model '{name}' not found")
        };
        refuse(StatusCode::NOT_FOUND, &message)
    })
}

fn refuse(status: StatusCode, message: &str) -> Refusal {
    Box::new(Dialect::Anthropic.refuse(status, message))
}

async fn unknown() -> Response {
    *refuse(StatusCode::NOT_FOUND, "Not Found")
}
