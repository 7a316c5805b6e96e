//! Ollama, as its API is documented: models on disk and in memory, streamed answers with their
//! timings, and the OpenAI-compatible half.

mod models;
mod native;
mod openai;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use cockpit_model::Timestamp;
use rand::Rng;
use serde_json::json;
use tokio::time::sleep;

use self::models::{KeepAlive, Memory, ModelFile};
use crate::serving::{Board, say, serve};
use crate::{Common, words};

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// Where it listens, on loopback.
    #[arg(long)]
    port: u16,
    /// The models on its disk.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "llama3.2,qwen2.5-coder:7b,nomic-embed-text"
    )]
    models: Vec<String>,
    /// How long a model stays in memory after its last use, where the request does not say.
    #[arg(long, value_parser = KeepAlive::parse, default_value = "5m")]
    keep_alive: KeepAlive,
    /// How long a model takes to load.
    #[arg(long, value_parser = crate::clock::duration, value_name = "TIME", default_value = "400ms")]
    load_time: Duration,
    /// How fast it writes.
    #[arg(long, default_value_t = 60.0)]
    tokens_per_second: f64,
    #[command(flatten)]
    common: Common,
}

/// The version it reports.
const VERSION: &str = "0.9.6";

/// What the handlers share.
#[derive(Clone)]
struct Server {
    files: Arc<Vec<ModelFile>>,
    memory: Arc<Mutex<Memory>>,
    options: Arc<Options>,
}

pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let board = Board::start(&options.common);
    let port = options.port;
    let server = Server {
        files: Arc::new(
            options
                .models
                .iter()
                .map(|name| ModelFile::named(name))
                .collect(),
        ),
        memory: Arc::default(),
        options: Arc::new(options),
    };
    board.ready().await;
    say(&format!(
        "Listening on 127.0.0.1:{port} (version {VERSION})"
    ));
    tokio::spawn(unload_in_time(server.clone()));
    serve("ollama", port, routes(server), board).await
}

fn routes(server: Server) -> Router {
    Router::new()
        .route("/", get(async || "Ollama is running"))
        .route(
            "/api/version",
            get(async || Json(json!({ "version": VERSION }))),
        )
        .route("/api/tags", get(native::tags))
        .route("/api/ps", get(native::ps))
        .route("/api/show", post(native::show))
        .route("/api/generate", post(native::generate))
        .route("/api/chat", post(native::chat))
        .route("/api/embed", post(native::embed))
        .route("/v1/models", get(openai::models))
        .route("/v1/chat/completions", post(openai::chat_completions))
        .with_state(server)
        .layer(middleware::from_fn(logged))
}

/// The log line of each request, in the shape Ollama's web framework writes.
async fn logged(request: Request, next: Next) -> Response {
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let began = Instant::now();
    let response = next.run(request).await;
    say(&format!(
        "[GIN] {} | {} | {:>9.3}ms | 127.0.0.1 | {method:<7} \"{path}\"",
        Timestamp::now().strftime("%Y/%m/%d - %H:%M:%S"),
        response.status().as_u16(),
        began.elapsed().as_secs_f64() * 1000.0
    ));
    response
}

/// Ollama unloads by its own clock; here the log learns of it.
async fn unload_in_time(server: Server) {
    loop {
        sleep(Duration::from_millis(250)).await;
        for name in server.with_memory(|memory| memory.expire(Timestamp::now())) {
            say(&format!(
                "unloaded model={name} reason=\"keep_alive ran out\""
            ));
        }
    }
}

impl Server {
    fn with_memory<T>(&self, f: impl FnOnce(&mut Memory) -> T) -> T {
        f(&mut self.memory.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The model by the name of a request, with or without its tag.
    fn file(&self, name: &str) -> Option<&ModelFile> {
        let full = models::full_name(name);
        self.files.iter().find(|file| file.name == full)
    }

    /// Brings a model into memory, or renews its time there. Answers how long loading took.
    async fn load(&self, file: &ModelFile, keep_alive: KeepAlive) -> Duration {
        let began = Instant::now();
        let loaded = self.with_memory(|memory| memory.holds(&file.name, Timestamp::now()));
        if !loaded {
            say(&format!(
                "loading model={} size=\"{:.1} GB\"",
                file.name,
                file.size as f64 / 1e9
            ));
            sleep(self.options.load_time).await;
        }
        self.with_memory(|memory| memory.touch(&file.name, keep_alive, Timestamp::now()));
        // A renewal is not instant either: Ollama reports some milliseconds.
        began.elapsed().max(Duration::from_micros(900))
    }

    fn unload(&self, file: &ModelFile) {
        if self.with_memory(|memory| memory.unload(&file.name)) {
            say(&format!(
                "unloaded model={} reason=\"keep_alive is 0\"",
                file.name
            ));
        }
    }

    /// What the model will say, and how it is paced.
    fn answer(&self, model: &str, prompt: &str, limit: Option<u64>) -> Answer {
        let mut rng = words::rng(self.options.common.seed, &format!("{model}\n{prompt}"));
        let limit = limit.map_or(usize::MAX, |limit| {
            usize::try_from(limit).unwrap_or(usize::MAX)
        });
        let tokens = words::tokens(&mut rng, limit);
        let speed = self.options.tokens_per_second.max(0.1) * rng.random_range(0.9..1.1);
        Answer {
            pace: Duration::from_secs_f64(1.0 / speed),
            prompt_tokens: words::count(prompt).max(1),
            reading: Duration::from_millis(rng.random_range(20..120)),
            cut: tokens.len() == limit,
            tokens,
        }
    }
}

/// An answer before it is written.
struct Answer {
    tokens: Vec<String>,
    /// Time between two tokens.
    pace: Duration,
    prompt_tokens: u64,
    /// Time to read the prompt.
    reading: Duration,
    /// Whether the caller's limit ended it.
    cut: bool,
}

impl Answer {
    const fn done_reason(&self) -> &'static str {
        if self.cut { "length" } else { "stop" }
    }
}

/// Ollama's own words for a model it does not have.
fn no_such_model(name: &str) -> String {
    format!("model '{name}' not found")
}

/// An error in Ollama's own shape.
fn refuse(status: StatusCode, message: &str) -> Response {
    (status, Json(json!({ "error": message }))).into_response()
}
