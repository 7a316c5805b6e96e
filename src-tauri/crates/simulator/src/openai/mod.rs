//! OpenAI's API: chat completions, completions, responses, embeddings, models. The vendor's own, with
//! its keys, and as Ollama renders it.

mod chat;
mod completions;
mod embeddings;
mod request;
mod responses;

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::Paced;
use crate::backend::{Backend, Flavour, Model, Shelf};
use crate::dialect::{Dialect, Refusal};
use crate::double;
use crate::json::put;
use crate::mind::Mind;

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// The models it has.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "gpt-4o,gpt-4o-mini,gpt-4.1,o3,gpt-3.5-turbo-instruct,text-embedding-3-small"
    )]
    models: Vec<String>,
    #[command(flatten)]
    paced: Paced,
}

/// `created` of every model.
const CREATED: i64 = 1_715_367_049;

pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let paced = options.paced;
    let backend = Backend {
        catalog: Arc::new(Shelf::of(&options.models, 1536, thinks)),
        mind: Mind::new(paced.common.seed, paced.tokens_per_second),
        flavour: Flavour::Vendor,
        key: paced.key.clone(),
    };
    double::serve("openai", &paced, routes(backend).fallback(unknown)).await
}

/// The families that think before they answer.
fn thinks(name: &str) -> bool {
    let digit_after_o = name.strip_prefix('o').and_then(|rest| rest.chars().next());
    name.starts_with("gpt-5") || digit_after_o.is_some_and(|c| c.is_ascii_digit())
}

pub(crate) fn routes(backend: Backend) -> Router {
    Router::new()
        .route("/v1/models", get(models))
        .route("/v1/models/{*id}", get(model))
        .route("/v1/chat/completions", post(chat::completions))
        .route("/v1/completions", post(completions::completions))
        .route("/v1/responses", post(responses::responses))
        .route("/v1/embeddings", post(embeddings::embeddings))
        .layer(middleware::from_fn_with_state(backend.clone(), admit))
        .with_state(backend)
}

/// Keys, and the headers that each answer of the vendor's has.
async fn admit(State(backend): State<Backend>, request: Request, next: Next) -> Response {
    if !backend.is_vendor() {
        return next.run(request).await;
    }
    let shown = request.headers().get("authorization");
    let shown = shown.and_then(|v| v.to_str().ok()?.strip_prefix("Bearer "));
    let mut answer = match (shown, &backend.key) {
        (None, _) => *refuse(
            StatusCode::UNAUTHORIZED,
            "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY).",
            None,
            None,
        ),
        (Some(shown), Some(key)) if shown != key => *refuse(
            StatusCode::UNAUTHORIZED,
            "Incorrect API key provided.",
            None,
            Some("invalid_api_key"),
        ),
        _ => next.run(request).await,
    };
    let headers = answer.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&backend.mind.id("req_")) {
        headers.insert("x-request-id", id);
    }
    headers.insert("openai-version", HeaderValue::from_static("2020-10-01"));
    answer
}

async fn models(State(backend): State<Backend>) -> Json<Value> {
    let models = backend.catalog.models();
    let data: Vec<Value> = models.iter().map(|model| listed(&backend, model)).collect();
    Json(json!({ "object": "list", "data": data }))
}

async fn model(State(backend): State<Backend>, Path(id): Path<String>) -> Response {
    match find(&backend, &id) {
        Ok(model) => Json(listed(&backend, &model)).into_response(),
        Err(refusal) => *refusal,
    }
}

fn listed(backend: &Backend, model: &Model) -> Value {
    let owner = if backend.is_vendor() {
        "system"
    } else {
        "library"
    };
    json!({ "id": model.name, "object": "model", "created": CREATED, "owned_by": owner })
}

/// The model of a request.
fn find(backend: &Backend, name: &str) -> Result<Model, Refusal> {
    if name.is_empty() {
        return Err(invalid("you must provide a model parameter", "model"));
    }
    backend.catalog.find(name).ok_or_else(|| {
        if backend.is_vendor() {
            return refuse(
                StatusCode::NOT_FOUND,
                &format!("The model `{name}` does not exist or you do not have access to it."),
                None,
                Some("model_not_found"),
            );
        }
        let message = format!("model '{name}' not found");
        let error =
            json!({ "message": message, "type": "not_found_error", "param": null, "code": null });
        Box::new((StatusCode::NOT_FOUND, Json(json!({ "error": error }))).into_response())
    })
}

fn refuse(status: StatusCode, message: &str, param: Option<&str>, code: Option<&str>) -> Refusal {
    let mut body = Dialect::OpenAi.error(status, message);
    if let Some(inner) = body.get_mut("error") {
        put(inner, "param", json!(param));
    }
    if let Some(inner) = body.get_mut("error") {
        put(inner, "code", json!(code));
    }
    Box::new((status, Json(body)).into_response())
}

/// A parameter that will not do.
fn invalid(message: &str, param: &str) -> Refusal {
    refuse(StatusCode::BAD_REQUEST, message, Some(param), None)
}

fn missing(param: &str) -> Refusal {
    refuse(
        StatusCode::BAD_REQUEST,
        &format!("Missing required parameter: '{param}'."),
        Some(param),
        Some("missing_required_parameter"),
    )
}

async fn unknown(request: Request) -> Response {
    *refuse(
        StatusCode::NOT_FOUND,
        &format!(
            "Invalid URL ({} {})",
            request.method(),
            request.uri().path()
        ),
        None,
        None,
    )
}

/// What both sides had, in the words of chat completions.
fn usage(backend: &Backend, prompt: u64, cached: u64, written: u64, thought: u64) -> Value {
    let mut usage = json!({
        "prompt_tokens": prompt,
        "completion_tokens": written,
        "total_tokens": prompt + written,
    });
    if backend.is_vendor() {
        put(
            &mut usage,
            "prompt_tokens_details",
            json!({ "cached_tokens": cached, "audio_tokens": 0 }),
        );
        put(
            &mut usage,
            "completion_tokens_details",
            json!({
                "reasoning_tokens": thought,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            }),
        );
    }
    usage
}

/// A request's body, which is a JSON object.
fn body<T: serde::de::DeserializeOwned>(body: &Bytes) -> Result<T, Refusal> {
    Dialect::OpenAi.read(body)
}
