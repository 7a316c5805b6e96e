//! Follows the engine: keeps it running, and the menubar true.
//!
//! One loop: see that an engine answers, open its live stream, take the whole picture, then change
//! the picture by what the stream says. A stream that *ends* means that somebody ended the engine,
//! and it is left so until the person wants it back; a stream that is *cut* means that it died, and
//! it is started again.

use std::sync::Arc;
use std::time::Duration;

use cockpit_model::{Event, EventBody, Problem, Service, Status};
use futures_util::StreamExt;
use serde_json::Value;
use studio_cockpit::cli::client::Message;
use tauri::{AppHandle, Manager};
use tokio::time::sleep;

use super::engine::Engine;
use super::renew::Tasks;
use super::tray::Tray;

/// What the menubar is drawn from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum View {
    /// An engine answers.
    Live {
        /// The verdict and the counts.
        status: Box<Status>,
        /// In the configuration's order.
        services: Vec<Service>,
        /// Whether it starts at login; null where that is not known.
        login: Option<bool>,
    },
    /// None does: why, in a sentence.
    Away(String),
}

/// How a session with the engine ended.
enum Ended {
    /// The engine closed the stream.
    Stopped,
    /// The connection broke.
    Lost(Problem),
}

/// After a death, time for whoever else keeps the engine (launchd, systemd) to bring it back.
const FIRST_DELAY: Duration = Duration::from_secs(1);
const MAX_DELAY: Duration = Duration::from_secs(30);
/// How often a stopped engine is looked for: somebody may start it elsewhere.
const LOOK: Duration = Duration::from_secs(2);

/// Runs as long as the app.
pub(crate) async fn follow(app: AppHandle, engine: Arc<Engine>, tray: Option<Tray>) {
    let show = |view: View| {
        if let Some(tray) = &tray {
            tray.show(&app, &view);
        }
    };
    let mut delay = FIRST_DELAY;
    loop {
        show(View::Away("Starting the engine…".to_owned()));
        let start = app.state::<Tasks>().begin();
        let ready = engine.ensure().await;
        drop(start);
        match ready {
            Err(problem) => {
                tracing::error!("{problem}");
                show(View::Away(sentence(&problem)));
                tokio::select! {
                    () = sleep(delay) => delay = (delay * 2).min(MAX_DELAY),
                    () = engine.woken() => delay = FIRST_DELAY,
                }
            }
            Ok(()) => match session(&engine, &show).await {
                Ok(Ended::Stopped) => {
                    delay = FIRST_DELAY;
                    stopped(&engine, &show).await;
                }
                Ok(Ended::Lost(problem)) | Err(problem) => {
                    tracing::warn!("{problem}");
                    show(View::Away("The engine does not answer".to_owned()));
                    sleep(delay).await;
                    delay = (delay * 2).min(MAX_DELAY);
                }
            },
        }
    }
}

/// Waits until somebody starts the engine, or the person here wants it.
async fn stopped(engine: &Engine, show: &impl Fn(View)) {
    let words = "The engine is stopped";
    engine.set_trouble(Some(format!(
        "{}; start it from the menubar or by opening the app again",
        words.to_lowercase()
    )));
    show(View::Away(words.to_owned()));
    loop {
        tokio::select! {
            () = engine.woken() => return,
            () = sleep(LOOK) => if engine.is_ready().await { return },
        }
    }
}

/// One connection: from the first picture to the end of the stream.
async fn session(engine: &Engine, show: &impl Fn(View)) -> Result<Ended, Problem> {
    let client = engine.client();
    // The stream first, so that nothing falls between it and the picture.
    let stream = client.stream("/api/events/stream", None).await?;
    let mut stream = std::pin::pin!(stream);
    let mut status: Status = client.get("/api/status").await?;
    let mut services: Vec<Service> = client.get("/api/services").await?;
    let mut login = ask_login(engine).await;
    engine.set_trouble(None);
    loop {
        show(View::Live {
            status: Box::new(status.clone()),
            services: services.clone(),
            login,
        });
        let change = loop {
            let message = tokio::select! {
                message = stream.next() => message,
                () = engine.changed() => break Change::Missed,
            };
            match message {
                None => return Ok(Ended::Stopped),
                Some(Err(problem)) => return Ok(Ended::Lost(problem)),
                Some(Ok(message)) => {
                    if let Some(change) = change(&message) {
                        break change;
                    }
                }
            }
        };
        match change {
            Change::Status(new) => status = *new,
            Change::Service(new) => match services.iter_mut().find(|s| s.name == new.name) {
                Some(old) => *old = *new,
                // A new one has its place in the configuration's order.
                None => services = client.get("/api/services").await?,
            },
            Change::Removed(name) => services.retain(|service| service.name != name),
            Change::Missed => {
                status = client.get("/api/status").await?;
                services = client.get("/api/services").await?;
                login = ask_login(engine).await;
            }
        }
    }
}

enum Change {
    Status(Box<Status>),
    Service(Box<Service>),
    Removed(String),
    Missed,
}

/// What a message changes in the menubar. Most change nothing and are not even parsed: the
/// machine's sample of each second would be the dearest.
fn change(message: &Message) -> Option<Change> {
    if !matches!(
        message.event.as_str(),
        "status" | "service" | "service_removed" | "gap"
    ) {
        return None;
    }
    let event: Event = serde_json::from_str(&message.data).ok()?;
    match event.body {
        EventBody::Status { status } => Some(Change::Status(Box::new(status))),
        EventBody::Service { service } => Some(Change::Service(service)),
        EventBody::ServiceRemoved { service } => Some(Change::Removed(service)),
        EventBody::Gap { .. } => Some(Change::Missed),
        _ => None,
    }
}

async fn ask_login(engine: &Engine) -> Option<bool> {
    let item: Value = engine.client().get("/api/login").await.ok()?;
    item.get("on")?.as_bool()
}

/// A problem as one sentence of a menu.
fn sentence(problem: &Problem) -> String {
    let mut letters = problem.title.chars();
    letters
        .next()
        .map(|first| first.to_uppercase().chain(letters).collect())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_of_the_machine_changes_nothing_and_a_removal_does() {
        let message = |event: &str, data: &str| Message {
            event: event.to_owned(),
            data: data.to_owned(),
            ..Message::default()
        };
        assert!(change(&message("host", "{}")).is_none());
        let removed =
            r#"{"seq":1,"at":"2026-01-01T00:00:00Z","type":"service_removed","service":"api"}"#;
        assert!(matches!(
            change(&message("service_removed", removed)),
            Some(Change::Removed(name)) if name == "api"
        ));
        assert!(change(&message("service", "not json")).is_none());
    }
}
