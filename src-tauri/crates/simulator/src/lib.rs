//! Protocol doubles with faults: the demo stack, the tests, the benches.
//!
//! # Theory of operation
//!
//! A double is one process, `studio-cockpit simulate WHAT --port N`, that speaks the protocol of what it stands for as far
//! as the cockpit can see it: Ollama's HTTP API, a small web API, a database's port, a queue
//! worker's log. It is an ordinary child under an ordinary shim; nothing in the cockpit knows that
//! it is not the real one.
//!
//! Every double has a fault board ([`fault::Faults`]): a state machine that says, for a moment in
//! time, whether a request passes, waits, fails or hangs. Faults come by flag (`--hang-after 5s`)
//! or at run time (`POST /_fault {"kind":"hang","for_ms":5000}`), so a test or a person at a demo
//! can break a service and watch it being mended.
//!
//! What a double makes up (words, latencies, job numbers) follows from `--seed` alone.

mod client;
mod clock;
mod database;
mod demo;
pub mod fault;
mod http;
mod ollama;
mod serving;
mod words;
mod worker;

use std::time::Duration;

use clap::{CommandFactory, Parser, Subcommand};

pub use demo::{DEMO_PORTS, demo_toml, is_demo_toml};

/// Runs a protocol double of a service, with faults.
#[derive(Debug, Clone, Parser)]
#[command(name = "simulate")]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Clone, Subcommand)]
enum What {
    /// Ollama's HTTP API and its OpenAI-compatible one.
    Ollama(ollama::Options),
    /// A small web API.
    Http(http::Options),
    /// A port that accepts connections, and a database's log.
    Database(database::Options),
    /// A queue worker: a log, and a control port if asked for.
    Worker(worker::Options),
}

/// What every double takes.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Common {
    /// Decides everything that is made up.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Not ready before so long after the start (`2s`, `500ms`).
    #[arg(long, value_parser = clock::duration, value_name = "TIME")]
    ready_after: Option<Duration>,
    /// Hangs from then on.
    #[arg(long, value_parser = clock::duration, value_name = "TIME")]
    hang_after: Option<Duration>,
    /// Exits with 1 then.
    #[arg(long, value_parser = clock::duration, value_name = "TIME")]
    crash_after: Option<Duration>,
}

/// The arguments as a clap command, to be hung under another one.
pub fn command() -> clap::Command {
    Args::command().hide(true)
}

/// Runs the double until SIGTERM or SIGINT.
///
/// # Errors
///
/// When its port cannot be bound.
pub async fn run(args: Args) -> anyhow::Result<()> {
    match args.what {
        What::Ollama(options) => ollama::run(options).await,
        What::Http(options) => http::run(options).await,
        What::Database(options) => database::run(options).await,
        What::Worker(options) => worker::run(options).await,
    }
}
