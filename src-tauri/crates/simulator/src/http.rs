//! A small web API: health, a list, and questions that it hands on to a model server.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use rand::Rng;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::client::post_json;
use crate::serving::{Board, say, serve};
use crate::{Common, words};

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// Where it listens, on loopback.
    #[arg(long)]
    port: u16,
    /// A model server's port that answers the questions.
    #[arg(long)]
    model_server: Option<u16>,
    /// The model it is asked for.
    #[arg(long, default_value = "llama3.2")]
    model: String,
    #[command(flatten)]
    common: Common,
}

struct Api {
    options: Options,
    started: Instant,
    requests: AtomicU64,
}

pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let board = Board::start(&options.common);
    let port = options.port;
    let api = Arc::new(Api {
        options,
        started: Instant::now(),
        requests: AtomicU64::new(0),
    });
    say(&format!(
        "api starting, will listen on http://127.0.0.1:{port}"
    ));
    tokio::spawn(background(Arc::clone(&api), board.clone()));
    let routes = Router::new()
        .route(
            "/",
            get(async || "A small API. Try /health, /orders, POST /ask.\n"),
        )
        .route("/health", get(health))
        .route("/orders", get(orders))
        .route("/ask", post(ask))
        .with_state(Arc::clone(&api))
        .layer(middleware::from_fn_with_state(api, logged));
    serve("api", port, routes, board).await
}

async fn logged(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    let line = format!("{} {}", request.method(), request.uri().path());
    api.requests.fetch_add(1, Ordering::Relaxed);
    let began = Instant::now();
    let response = next.run(request).await;
    say(&format!(
        "{line} {} {:.1} ms",
        response.status().as_u16(),
        began.elapsed().as_secs_f64() * 1000.0
    ));
    response
}

/// A line twice a minute, as servers that report on themselves write.
async fn background(api: Arc<Api>, board: Board) {
    board.ready().await;
    say("ready: connected to the database, 12 routes");
    loop {
        sleep(Duration::from_secs(30)).await;
        let _ = board.pass().await;
        say(&format!(
            "stats: {} requests in {} s",
            api.requests.load(Ordering::Relaxed),
            api.started.elapsed().as_secs()
        ));
    }
}

async fn health(State(api): State<Arc<Api>>) -> Json<Value> {
    Json(json!({ "status": "ok", "uptime_s": api.started.elapsed().as_secs() }))
}

async fn orders(State(api): State<Arc<Api>>) -> Json<Value> {
    let mut rng = words::rng(api.options.common.seed, "orders");
    let orders: Vec<Value> = (1..=5)
        .map(|number| json!({ "number": number, "total_usd": rng.random_range(5..200) }))
        .collect();
    sleep(Duration::from_millis(rng.random_range(4..20))).await;
    Json(json!({ "orders": orders }))
}

#[derive(Deserialize)]
struct Question {
    question: String,
}

async fn ask(State(api): State<Arc<Api>>, Json(asked): Json<Question>) -> Response {
    let Some(port) = api.options.model_server else {
        return (
            StatusCode::NOT_IMPLEMENTED,
            Json(json!({ "error": "no model server was given" })),
        )
            .into_response();
    };
    let body = json!({ "model": api.options.model, "prompt": asked.question, "stream": false });
    match post_json(port, "/api/generate", &body).await {
        Ok(answer) => Json(json!({ "answer": answer.get("response") })).into_response(),
        Err(error) => {
            say(&format!(
                "error: the model server on port {port} did not answer: {error:#}"
            ));
            (
                StatusCode::BAD_GATEWAY,
                Json(json!({ "error": "the model server did not answer" })),
            )
                .into_response()
        }
    }
}
