//! What the screens may ask of the shell around them. They reach the engine only through here; the
//! webview holds neither token nor socket.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use cockpit_model::{Code, Problem};
use futures_util::StreamExt;
use serde::Serialize;
use tauri::State;
use tauri::async_runtime::JoinHandle;
use tauri::ipc::Channel;

use super::engine::Engine;
use super::renew::Tasks;

/// An answer of the engine; the screens parse the body.
#[derive(Serialize)]
pub(crate) struct Answer {
    status: u16,
    body: String,
}

/// Passes a request on. An HTTP error is an answer.
///
/// # Errors
/// Only when the engine cannot be reached: why, in words.
#[tauri::command]
pub(crate) async fn api(
    engine: State<'_, Arc<Engine>>,
    tasks: State<'_, Tasks>,
    method: String,
    path: String,
    body: Option<String>,
) -> Result<Answer, String> {
    let _task = tasks.begin();
    let sent = engine
        .client()
        .request(&method, &path, body.map(Into::into))
        .await;
    match sent {
        Ok((status, body)) => Ok(Answer {
            status: status.as_u16(),
            body: String::from_utf8_lossy(&body).into_owned(),
        }),
        Err(problem) => Err(in_words(&engine, &problem)),
    }
}

/// Why the engine does not answer: what the shell knows about it comes first.
fn in_words(engine: &Engine, problem: &Problem) -> String {
    match engine.trouble() {
        Some(trouble) if problem.code == Code::NotRunning => trouble,
        _ => problem.to_string(),
    }
}

/// The live streams of the window.
#[derive(Default)]
pub(crate) struct Subscriptions {
    next: AtomicU32,
    running: Mutex<HashMap<u32, JoinHandle<()>>>,
}

impl Subscriptions {
    /// Ends every stream: the page that read them is gone.
    pub(crate) fn end_all(&self) {
        for (_, stream) in self.lock().drain() {
            stream.abort();
        }
    }

    fn end(&self, id: u32) {
        if let Some(stream) = self.lock().remove(&id) {
            stream.abort();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u32, JoinHandle<()>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A message as the screens get it, and `{"event":"end"}` when no more will come.
#[derive(Serialize)]
struct Wire<'a> {
    event: &'a str,
    id: Option<&'a str>,
    data: &'a str,
}

/// Opens a live stream; its messages arrive on the channel as JSON texts. Answers its number.
///
/// # Errors
/// When the engine cannot be reached or refuses: why, in words.
#[tauri::command]
pub(crate) async fn subscribe(
    engine: State<'_, Arc<Engine>>,
    subscriptions: State<'_, Subscriptions>,
    path: String,
    last_event_id: Option<String>,
    channel: Channel<String>,
) -> Result<u32, String> {
    let stream = engine
        .client()
        .stream(&path, last_event_id.as_deref())
        .await
        .map_err(|problem| in_words(&engine, &problem))?;
    let id = subscriptions.next.fetch_add(1, Ordering::Relaxed);
    let forward = async move {
        let mut stream = std::pin::pin!(stream);
        while let Some(Ok(message)) = stream.next().await {
            let wire = Wire {
                event: &message.event,
                id: message.last_id.as_deref(),
                data: &message.data,
            };
            if send(&channel, &wire).is_err() {
                return;
            }
        }
        let end = Wire {
            event: "end",
            id: None,
            data: "",
        };
        let _ = send(&channel, &end);
    };
    let task = tauri::async_runtime::spawn(forward);
    let mut running = subscriptions.lock();
    running.retain(|_, stream| !stream.inner().is_finished());
    running.insert(id, task);
    Ok(id)
}

fn send(channel: &Channel<String>, wire: &Wire<'_>) -> Result<(), ()> {
    let text = serde_json::to_string(wire).map_err(|_| ())?;
    channel.send(text).map_err(|_| ())
}

/// Ends a live stream; one that is over already is no error.
#[tauri::command]
pub(crate) fn unsubscribe(subscriptions: State<'_, Subscriptions>, id: u32) {
    subscriptions.end(id);
}

/// This app.
#[derive(Serialize)]
pub(crate) struct AppInfo {
    /// Its version; an engine of an older one can be upgraded.
    version: &'static str,
    /// `macos` or `linux`.
    platform: &'static str,
}

/// Tells the version, to be compared with the engine's.
#[tauri::command]
pub(crate) const fn app_info() -> AppInfo {
    AppInfo {
        version: env!("CARGO_PKG_VERSION"),
        platform: std::env::consts::OS,
    }
}

/// Ends the app: window and menubar go, the engine and the services go on.
#[tauri::command]
pub(crate) fn quit(app: tauri::AppHandle) {
    app.exit(0);
}

/// Replaces the running engine by the one that came with this app; services are not touched.
///
/// # Errors
/// Why it could not be done, in words.
#[tauri::command]
pub(crate) async fn upgrade_engine(
    engine: State<'_, Arc<Engine>>,
    tasks: State<'_, Tasks>,
) -> Result<(), String> {
    let _task = tasks.begin();
    engine
        .upgrade()
        .await
        .map_err(|problem| problem.to_string())
}
