//! `serve` and `demo`: this process becomes the engine.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use super::app;
use crate::cli::args::Common;
use crate::cli::client::Client;
use crate::cli::failure::{Done, Failure};
use crate::cli::folder::DataFolder;
use crate::cli::log;
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
    log::begin(common, &data);
    let options = EngineOptions {
        config: common.config.clone(),
        data,
        stop_services_on_exit: stop_services,
        await_config,
        demo: false,
    };
    run_and_greet(options).await
}

/// Runs the engine to its end; on a terminal it says where it is once it is ready.
async fn run_and_greet(options: EngineOptions) -> Done {
    let (data, stop_services) = (options.data.clone(), options.stop_services_on_exit);
    let mut running = Box::pin(engine::run(options));
    if io::stdout().is_terminal() {
        tokio::select! {
            ended = &mut running => return Ok(ended?),
            greeted = greet(&data, stop_services) => greeted?,
        }
    }
    Ok(running.await?)
}

/// Says to whoever started it where it is, and what ends with it.
async fn greet(data: &DataFolder, stop_services: bool) -> Done {
    until_ready(&Client::new(data.socket()?)).await;
    let engine = data.read_engine_file()?;
    let services = if stop_services {
        "the services end with it"
    } else {
        "the services go on"
    };
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "Studio Cockpit {} serves on http://{}\n  `studio-cockpit open` shows it in a browser, signed in; \
         `studio-cockpit status` says how things are\n  Ctrl-C ends it: {services}",
        engine.version, engine.listen
    )?;
    out.flush()?;
    Ok(())
}

/// The demo has a data folder of its own, and ends what it started.
pub(in crate::cli) async fn demo(common: &Common, no_window: bool) -> Done {
    let mut data = common.folder()?;
    if common.data_dir.is_none() {
        data = data.demo()?;
    }
    log::begin(common, &data);
    let options = EngineOptions {
        config: common.config.clone(),
        data: data.clone(),
        stop_services_on_exit: true,
        await_config: false,
        demo: true,
    };
    if no_window || !app::can_launch() {
        return run_and_greet(options).await;
    }
    let mut running = Box::pin(engine::run(options));
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
