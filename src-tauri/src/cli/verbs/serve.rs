//! `serve` and `demo`: this process becomes the engine.

use std::io;
use std::path::Path;
use std::time::Duration;

use cockpit_config::LogLevel;

use super::app;
use super::check::home;
use crate::cli::args::Common;
use crate::cli::client::Client;
use crate::cli::failure::{Done, Failure};
use crate::cli::folder::DataFolder;
use crate::engine::{self, EngineOptions, StartError};

/// How often a starting engine is asked whether it is ready.
const ASK_AGAIN: Duration = Duration::from_millis(50);

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Config(errors) => Self::Config(errors),
            StartError::Problem(problem) => Self::Problem(problem),
        }
    }
}

pub(in crate::cli) async fn serve(
    common: &Common,
    stop_services: bool,
    await_config: bool,
) -> Done {
    let data = common.folder()?;
    log(common, &data);
    let options = EngineOptions {
        config: common.config.clone(),
        data,
        stop_services_on_exit: stop_services,
        await_config,
        demo: false,
    };
    Ok(Box::pin(engine::run(options)).await?)
}

/// The demo has a data folder of its own, and ends what it started.
pub(in crate::cli) async fn demo(common: &Common, no_window: bool) -> Done {
    let mut data = common.folder()?;
    if common.data_dir.is_none() {
        data = DataFolder::new(Some(&data.path().join("demo")))?;
    }
    log(common, &data);
    let options = EngineOptions {
        config: common.config.clone(),
        data: data.clone(),
        stop_services_on_exit: true,
        await_config: false,
        demo: true,
    };
    let mut running = Box::pin(engine::run(options));
    if no_window || !app::can_launch() {
        return Ok(running.await?);
    }
    let opened = tokio::select! {
        ended = &mut running => return Ok(ended?),
        opened = window(&data) => opened,
    };
    if let Err(failure) = opened {
        // Without its window the demo still serves the browser.
        failure.report(false);
    }
    Ok(running.await?)
}

async fn window(data: &DataFolder) -> Done {
    until_ready(&Client::new(data.socket()?)).await;
    app::launch(Some(data.path()))
}

/// Waits until the engine on that socket has taken up its work. For as long as it takes: whoever
/// waits also watches the engine itself.
pub(in crate::cli) async fn until_ready(client: &Client) {
    while client.get_bytes("/readyz").await.is_err() {
        tokio::time::sleep(ASK_AGAIN).await;
    }
}

/// Writes the log to standard error: as much as the command line says, else the configuration.
fn log(common: &Common, data: &DataFolder) {
    let level = match common.log_level {
        Some(level) => level.into(),
        None => configured(&common.config.clone().unwrap_or_else(|| data.config())),
    };
    let level = match level {
        LogLevel::Error => tracing::Level::ERROR,
        LogLevel::Warn => tracing::Level::WARN,
        LogLevel::Info => tracing::Level::INFO,
        LogLevel::Debug => tracing::Level::DEBUG,
        LogLevel::Trace => tracing::Level::TRACE,
    };
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_target(false)
        .with_ansi(io::IsTerminal::is_terminal(&io::stderr()))
        .with_writer(io::stderr)
        .finish();
    // Fails only where a log is set up already, and then that one is the right one.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

/// What the configuration says; where it does not hold, the engine will say so itself.
fn configured(file: &Path) -> LogLevel {
    cockpit_config::load(file, &home()).map_or(LogLevel::Info, |config| config.cockpit.log_level)
}
