//! Reading `cockpit.toml`: at the start, and again whenever it was saved.
//!
//! The file is looked at once a second by its time and size (editors replace files in ways that
//! watchers of folders see differently, and one `stat` a second costs nothing), and read when these
//! changed. What holds is put in force; what does not is kept out and shown until mended.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use cockpit_config::Config;
use cockpit_model::EventBody;
use cockpit_model::verdict::{ConfigError, ConfigState, ConfigStatus};
use cockpit_panics::outlived;
use tokio_util::sync::CancellationToken;

use super::Engine;

const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Where the API listens while no configuration says otherwise.
pub(super) const fn usual_listen() -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 4700)
}

/// Reads and judges the file.
pub(super) fn load(path: &Path, home: &Path) -> Result<Config, Vec<ConfigError>> {
    cockpit_config::load(path, home)
}

/// What tells one saved file from the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    modified: SystemTime,
    bytes: u64,
}

/// What the file looks like now; `None` when it is not there.
pub(super) fn mark(path: &Path) -> Option<Mark> {
    let meta = std::fs::metadata(path).ok()?;
    Some(Mark {
        modified: meta.modified().ok()?,
        bytes: meta.len(),
    })
}

/// Reads the file again whenever it was saved, until told to stop.
pub(super) async fn watch(
    engine: Arc<Engine>,
    mut seen: Option<Mark>,
    stopping: CancellationToken,
) {
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stopping.cancelled() => return,
        }
        let now = mark(&engine.config_path);
        if now != seen {
            seen = now;
            reread(&engine).await;
        }
    }
}

async fn reread(engine: &Arc<Engine>) {
    let (path, home) = (engine.config_path.clone(), engine.home.clone());
    let loading = tokio::task::spawn_blocking(move || outlived(|| load(&path, &home)));
    match loading.await {
        Ok(Ok(config)) => put_in_force(engine, Arc::new(config)).await,
        Ok(Err(errors)) => keep_out(engine, errors),
        // A defect of ours that this file brings out: what runs is left as it is.
        Err(error) => in_trouble(
            engine,
            format!("the configuration could not be read: {error}"),
        ),
    }
}

async fn put_in_force(engine: &Arc<Engine>, config: Arc<Config>) {
    let summary = match engine.supervisor.get() {
        None => match engine.supervise(Arc::clone(&config)).await {
            Ok(()) => "the configuration holds now; the services start".to_owned(),
            Err(problem) => {
                return not_taken_up(engine, &problem.to_string());
            }
        },
        Some(supervisor) => {
            engine.adapters.obey(&config);
            super::doors::let_go(engine, config.traffic.as_ref()).await;
            match supervisor.apply(config.services.clone()).await {
                Ok(changes) => describe(&changes),
                Err(error) => {
                    stay(engine).await;
                    return not_taken_up(engine, &error.to_string());
                }
            }
        }
    };
    super::prices::obey(engine, config.prices.clone()).await;
    super::doors::obey(engine, config.traffic.as_ref()).await;
    super::ingest::obey(engine, config.otlp).await;
    let mut warnings = config.warnings.clone();
    if super::OpenedWith::of(&config) != engine.opened_with {
        warnings.push(ConfigError {
            file: engine.config_path.display().to_string(),
            line: 1,
            column: 1,
            message:
                "a new address or host name of [cockpit] is taken up when the engine starts again"
                    .to_owned(),
            text: None,
            suggestion: Some("restart the engine; the services go on".to_owned()),
        });
    }
    *engine.settings() = Some(config);
    *engine.config() = ConfigStatus {
        state: ConfigState::Ok,
        errors: Vec::new(),
        warnings,
    };
    tracing::info!("{summary}");
    engine.publish(EventBody::Config { ok: true, summary });
}

/// What was in force stays so: also the doors that were closed for what was to come.
async fn stay(engine: &Arc<Engine>) {
    let before = engine.settings().clone();
    if let Some(config) = &before {
        engine.adapters.obey(config);
        super::doors::obey(engine, config.traffic.as_ref()).await;
    }
}

/// The file holds, but could not be put in force.
fn not_taken_up(engine: &Engine, why: &str) {
    in_trouble(
        engine,
        format!("the configuration holds but was not taken up: {why}"),
    );
}

fn in_trouble(engine: &Engine, message: String) {
    let level = "error".to_owned();
    engine.publish(EventBody::Cockpit {
        level,
        message: message.clone(),
    });
    let error = ConfigError {
        file: engine.config_path.display().to_string(),
        line: 1,
        column: 1,
        message,
        text: None,
        suggestion: Some("mend what is named, then save the file again".to_owned()),
    };
    keep_out(engine, vec![error]);
}

fn keep_out(engine: &Engine, errors: Vec<ConfigError>) {
    let summary = errors.first().map(ToString::to_string).unwrap_or_default();
    {
        let mut status = engine.config();
        status.state = ConfigState::Invalid;
        status.errors = errors;
    }
    tracing::warn!("the configuration does not hold, the last good one stays in force: {summary}");
    engine.publish(EventBody::Config { ok: false, summary });
}

fn describe(changes: &cockpit_supervisor::Changes) -> String {
    let parts = [
        ("started", &changes.started),
        ("restarted", &changes.restarted),
        ("removed", &changes.removed),
    ];
    let said: Vec<String> = parts
        .iter()
        .filter(|(_, names)| !names.is_empty())
        .map(|(verb, names)| format!("{verb} {}", names.join(", ")))
        .collect();
    if said.is_empty() {
        "the configuration was saved; no service changed".to_owned()
    } else {
        format!("the configuration was saved; {}", said.join("; "))
    }
}
