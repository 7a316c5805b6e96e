//! The models themselves: which there are, which are in memory, getting and dropping them.

use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use cockpit_model::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::models::{ModelFile, full_name};
use super::{Server, refuse, said};
use crate::dialect::{Dialect, Refusal};
use crate::json::put;
use crate::streaming::{Gone, Pieces, lines};

/// When every model was last changed.
const MODIFIED: &str = "2025-06-01T09:30:00.000000000Z";
/// Steps in which a pull tells its progress.
const STEPS: u32 = 8;

pub(super) async fn tags(State(server): State<Server>) -> Json<Value> {
    let models: Vec<Value> = server.with_files(|files| files.iter().map(listed).collect());
    Json(json!({ "models": models }))
}

fn listed(file: &ModelFile) -> Value {
    json!({
        "name": file.name,
        "model": file.name,
        "modified_at": MODIFIED,
        "size": file.size,
        "digest": file.digest,
        "details": file.details(),
    })
}

pub(super) async fn ps(State(server): State<Server>) -> Json<Value> {
    let loaded = server.with_memory(|memory| memory.loaded(Timestamp::now()));
    let models: Vec<Value> = loaded
        .iter()
        .filter_map(|(name, until)| {
            let file = server.file(name)?;
            Some(json!({
                "name": name,
                "model": name,
                "size": file.resident(),
                "digest": file.digest,
                "details": file.details(),
                "expires_at": until.to_string(),
                "size_vram": file.resident(),
                "context_length": file.context_length,
            }))
        })
        .collect();
    Json(json!({ "models": models }))
}

/// A request that names a model; `name` is what older clients call it.
#[derive(Deserialize)]
struct Named {
    #[serde(alias = "name", default)]
    model: String,
    stream: Option<bool>,
}

pub(super) async fn show(State(server): State<Server>, body: Bytes) -> Response {
    let shown = Dialect::Ollama.read(&body).and_then(|asked: Named| {
        let file = server.wanted(&asked.model)?;
        let info = |key: &str| format!("{}.{key}", file.family);
        let mut model_info = json!({
            "general.architecture": file.family,
            "general.file_type": 15,
        });
        put(&mut model_info, &info("context_length"), json!(131_072));
        put(
            &mut model_info,
            &info("embedding_length"),
            json!(file.embedding_length),
        );
        Ok(Json(json!({
            "license": "a licence",
            "modelfile": format!("FROM {}\n", file.name),
            "parameters": "stop                           \"<|eot_id|>\"",
            "template": "{{ .Prompt }}",
            "details": file.details(),
            "model_info": model_info,
            "capabilities": file.capabilities,
            "modified_at": MODIFIED,
        }))
        .into_response())
    });
    said(shown)
}

pub(super) async fn pull(State(server): State<Server>, body: Bytes) -> Response {
    let asked: Named = match Dialect::Ollama.read(&body) {
        Ok(asked) => asked,
        Err(refusal) => return *refusal,
    };
    let stream = asked.stream != Some(false);
    if !ModelFile::is_in_library(&asked.model) {
        let message = "pull model manifest: file does not exist";
        if stream {
            // The head is out before the library is asked.
            return lines(async move |pieces: Pieces| {
                pieces
                    .line(&json!({ "status": "pulling manifest" }))
                    .await?;
                pieces.line(&json!({ "error": message })).await
            });
        }
        return *refuse(StatusCode::INTERNAL_SERVER_ERROR, message);
    }
    let file = ModelFile::named(&asked.model);
    if !stream {
        server.add(file);
        return Json(json!({ "status": "success" })).into_response();
    }
    lines(|pieces| async move {
        pieces
            .line(&json!({ "status": "pulling manifest" }))
            .await?;
        transfer(&server, &file, "pulling", &pieces).await?;
        for status in ["verifying sha256 digest", "writing manifest"] {
            pieces.line(&json!({ "status": status })).await?;
        }
        server.add(file);
        pieces.line(&json!({ "status": "success" })).await
    })
}

pub(super) async fn push(State(server): State<Server>, body: Bytes) -> Response {
    let found = Dialect::Ollama
        .read(&body)
        .and_then(|asked: Named| Ok((server.wanted(&asked.model)?, asked.stream)));
    match found {
        Err(refusal) => *refusal,
        Ok((_, Some(false))) => Json(json!({ "status": "success" })).into_response(),
        Ok((file, _)) => lines(|pieces| async move {
            pieces
                .line(&json!({ "status": "retrieving manifest" }))
                .await?;
            transfer(&server, &file, "pushing", &pieces).await?;
            pieces
                .line(&json!({ "status": "pushing manifest" }))
                .await?;
            pieces.line(&json!({ "status": "success" })).await
        }),
    }
}

/// The progress of the one layer.
async fn transfer(
    server: &Server,
    file: &ModelFile,
    verb: &str,
    pieces: &Pieces,
) -> Result<(), Gone> {
    let short: String = file.digest.chars().take(12).collect();
    for step in 0..=STEPS {
        let mut line = json!({
            "status": format!("{verb} {short}"),
            "digest": format!("sha256:{}", file.digest),
            "total": file.size,
        });
        // The first has nothing completed yet, and does not say so.
        if step > 0 {
            put(
                &mut line,
                "completed",
                json!(file.size / u64::from(STEPS) * u64::from(step)),
            );
        }
        if step == STEPS {
            put(&mut line, "completed", json!(file.size));
        }
        pieces.line(&line).await?;
        let pause = server.options.load_time / STEPS;
        if pause > Duration::ZERO {
            sleep(pause).await;
        }
    }
    Ok(())
}

#[derive(Deserialize)]
struct Create {
    #[serde(alias = "name", default)]
    model: String,
    #[serde(default)]
    from: String,
    stream: Option<bool>,
}

pub(super) async fn create(State(server): State<Server>, body: Bytes) -> Response {
    let made = Dialect::Ollama.read(&body).and_then(|asked: Create| {
        if asked.from.is_empty() {
            let message = "neither 'from' or 'files' was specified";
            return Err(refuse(StatusCode::BAD_REQUEST, message));
        }
        let mut file = server.wanted(&asked.from)?;
        file.name = full_name(&asked.model);
        Ok((file, asked.stream))
    });
    match made {
        Err(refusal) => *refusal,
        Ok((file, Some(false))) => {
            server.add(file);
            Json(json!({ "status": "success" })).into_response()
        }
        Ok((file, _)) => lines(|pieces| async move {
            let layer = format!("using existing layer sha256:{}", file.digest);
            for status in [layer.as_str(), "writing manifest"] {
                pieces.line(&json!({ "status": status })).await?;
            }
            server.add(file);
            pieces.line(&json!({ "status": "success" })).await
        }),
    }
}

#[derive(Deserialize)]
struct Copy {
    source: String,
    destination: String,
}

pub(super) async fn copy(State(server): State<Server>, body: Bytes) -> Response {
    let copied = Dialect::Ollama.read(&body).and_then(|asked: Copy| {
        let mut file = server.wanted(&asked.source)?;
        file.name = full_name(&asked.destination);
        server.add(file);
        Ok(StatusCode::OK.into_response())
    });
    said(copied)
}

pub(super) async fn remove(State(server): State<Server>, body: Bytes) -> Response {
    let removed = Dialect::Ollama
        .read(&body)
        .and_then(|asked: Named| server.drop_file(&asked.model));
    said(removed)
}

impl Server {
    /// Puts a model on the disk; one of the same name is replaced.
    fn add(&self, file: ModelFile) {
        self.with_files(|files| {
            files.retain(|other| other.name != file.name);
            files.push(file);
        });
    }

    fn drop_file(&self, name: &str) -> Result<Response, Refusal> {
        let file = self.wanted(name)?;
        self.unload(&file);
        self.with_files(|files| files.retain(|other| other.name != file.name));
        Ok(StatusCode::OK.into_response())
    }
}
