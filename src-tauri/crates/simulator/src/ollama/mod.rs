//! Ollama, as its API is documented: models on disk and in memory, streamed answers with their
//! timings, pulls with their progress; and OpenAI's and Anthropic's protocols as Ollama renders them.

mod embed;
mod library;
mod models;
mod native;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use cockpit_model::Timestamp;
use serde_json::json;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use self::models::{KeepAlive, Memory, ModelFile};
use crate::backend::{Backend, Catalog, Flavour, Model};
use crate::dialect::{Dialect, Refusal};
use crate::mind::Mind;
use crate::serving::{Board, bind, say, serve_on};
use crate::{Common, anthropic, double, openai};

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// Where it listens, on loopback; 0 for a free port, which its first line names.
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
    /// How fast it writes; 0 for as fast as it can.
    #[arg(long, default_value_t = 60.0)]
    tokens_per_second: f64,
    /// Says nothing of single requests.
    #[arg(long)]
    quiet: bool,
    #[command(flatten)]
    common: Common,
}

/// The version it reports: the first with Anthropic's protocol.
const VERSION: &str = "0.14.0";

/// What the handlers share.
#[derive(Clone)]
struct Server {
    files: Arc<Mutex<Vec<ModelFile>>>,
    memory: Arc<Mutex<Memory>>,
    options: Arc<Options>,
    mind: Mind,
}

pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let board = Board::start(&options.common);
    let port = options.port;
    let server = Server::new(options);
    board.ready().await;
    let listener = bind("ollama", port).await?;
    say(&format!(
        "Listening on {} (version {VERSION})",
        listener.local_addr()?
    ));
    tokio::spawn(unload_in_time(server.clone()));
    serve_on(listener, "ollama", routes(server, &board), board).await
}

fn routes(server: Server, board: &Board) -> Router {
    let backend = Backend {
        catalog: Arc::new(server.clone()),
        mind: server.mind.clone(),
        flavour: Flavour::Ollama,
        key: None,
    };
    let quiet = server.options.quiet;
    let routes = Router::new()
        .route("/", get(async || "Ollama is running"))
        .route(
            "/api/version",
            get(async || Json(json!({ "version": VERSION }))),
        )
        .route("/api/tags", get(library::tags))
        .route("/api/ps", get(library::ps))
        .route("/api/show", post(library::show))
        .route("/api/pull", post(library::pull))
        .route("/api/push", post(library::push))
        .route("/api/create", post(library::create))
        .route("/api/copy", post(library::copy))
        .route("/api/delete", delete(library::remove))
        .route("/api/generate", post(native::generate))
        .route("/api/chat", post(native::chat))
        .route("/api/embed", post(embed::embed))
        .route("/api/embeddings", post(embed::embeddings))
        .with_state(server)
        .merge(openai::routes(backend.clone()))
        .merge(anthropic::messages_routes(backend))
        .fallback(async || (StatusCode::NOT_FOUND, "404 page not found"));
    let routes = double::dressed(routes, board);
    if quiet {
        return routes;
    }
    routes.layer(middleware::from_fn(logged))
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
    fn new(options: Options) -> Self {
        let files = options.models.iter().map(|name| ModelFile::named(name));
        Self {
            files: Arc::new(Mutex::new(files.collect())),
            memory: Arc::default(),
            mind: Mind::new(options.common.seed, options.tokens_per_second),
            options: Arc::new(options),
        }
    }

    fn with_memory<T>(&self, f: impl FnOnce(&mut Memory) -> T) -> T {
        f(&mut self.memory.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn with_files<T>(&self, f: impl FnOnce(&mut Vec<ModelFile>) -> T) -> T {
        f(&mut self.files.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The model by the name of a request, with or without its tag.
    fn file(&self, name: &str) -> Option<ModelFile> {
        let full = models::full_name(name);
        self.with_files(|files| files.iter().find(|file| file.name == full).cloned())
    }

    /// The same, refused in Ollama's words where there is none.
    fn wanted(&self, name: &str) -> Result<ModelFile, Refusal> {
        if name.is_empty() {
            return Err(refuse(StatusCode::BAD_REQUEST, "model is required"));
        }
        self.file(name)
            .ok_or_else(|| refuse(StatusCode::NOT_FOUND, &format!("model '{name}' not found")))
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
        began.elapsed()
    }

    /// After a use: out of memory, or kept there from now on.
    fn leave(&self, file: &ModelFile, keep: KeepAlive) {
        if keep.is_zero() {
            self.unload(file);
        } else {
            self.with_memory(|memory| memory.touch(&file.name, keep, Timestamp::now()));
        }
    }

    fn unload(&self, file: &ModelFile) {
        if self.with_memory(|memory| memory.unload(&file.name)) {
            say(&format!(
                "unloaded model={} reason=\"keep_alive is 0\"",
                file.name
            ));
        }
    }
}

impl Catalog for Server {
    fn models(&self) -> Vec<Model> {
        self.with_files(|files| files.iter().map(model).collect())
    }

    fn find(&self, name: &str) -> Option<Model> {
        // The answer names the model as the request did.
        let file = self.file(name)?;
        Some(Model {
            name: name.to_owned(),
            ..model(&file)
        })
    }

    fn load(&self, wanted: &Model) -> Option<JoinHandle<()>> {
        let file = self.file(&wanted.name)?;
        let server = self.clone();
        Some(tokio::spawn(async move {
            server.load(&file, server.options.keep_alive).await;
        }))
    }
}

fn model(file: &ModelFile) -> Model {
    Model {
        name: file.name.clone(),
        embedding_length: file.embedding_length,
        thinks: file.can("thinking"),
    }
}

/// An error in Ollama's own shape.
fn refuse(status: StatusCode, message: &str) -> Refusal {
    Box::new(Dialect::Ollama.refuse(status, message))
}

/// What a handler has to say, one way or the other.
fn said(answer: Result<Response, Refusal>) -> Response {
    let mut answer = answer.unwrap_or_else(|refusal| *refusal);
    // Ollama's framework tells the charset.
    if let Some(kind) = answer.headers_mut().get_mut(header::CONTENT_TYPE)
        && kind == "application/json"
    {
        *kind = header::HeaderValue::from_static("application/json; charset=utf-8");
    }
    answer.into_response()
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
