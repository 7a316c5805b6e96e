//! Protocol doubles with faults: the demo stack, the tests, the benches.
//!
//! # Theory of operation
//!
//! A double is one process, `studio-cockpit simulate WHAT --port N`, that speaks the protocol of what it stands for as far
//! as the cockpit can see it: Ollama's HTTP API, a small web API, a database's port, a queue
//! worker's log. It is an ordinary child under an ordinary shim; nothing in the cockpit knows that
//! it is not the real one.
//!
//! The doubles of models (`ollama`, `openai`, `anthropic`) answer the same question with the same
//! text and the same token counts; the official clients are held against them in `tests/clients`.
//! What they were asked is at `/_requests` ([`record`]).
//!
//! Every double has a fault board ([`faults`]): a state machine that says, for a moment in time,
//! whether a request passes, waits, fails or hangs. Faults come by flag (`--hang-after 5s`) or at run
//! time (`POST /_fault {"kind":"hang","for_ms":5000}`), so a test or a person at a demo can break a
//! service and watch it being mended. Single answers of models can be broken too, in a dozen ways, by
//! the same endpoint, by a header or by the name of the model: [`faults`] lists them.
//!
//! What a double makes up (words, latencies, job numbers) follows from `--seed` alone.

mod anthropic;
mod backend;
mod client;
mod clock;
mod connection;
mod database;
mod demo;
mod dialect;
mod double;
pub mod faults;
mod http;
mod json;
mod mind;
mod ollama;
mod openai;
mod record;
mod serving;
mod streaming;
mod traffic;
mod words;
mod worker;

use std::time::Duration;

use clap::{CommandFactory, Parser, Subcommand};

pub use demo::{DEMO_PORTS, Demo, demo_toml, is_demo_toml};

/// Runs a protocol double of a service, with faults.
#[derive(Debug, Clone, Parser)]
#[command(name = "simulate")]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Clone, Subcommand)]
enum What {
    /// Ollama's HTTP API, and OpenAI's and Anthropic's as it renders them.
    Ollama(ollama::Options),
    /// OpenAI's API.
    Openai(openai::Options),
    /// Anthropic's API.
    Anthropic(anthropic::Options),
    /// A small web API.
    Http(http::Options),
    /// A port that accepts connections, and a database's log.
    Database(database::Options),
    /// Applications that ask models through the gateway.
    Traffic(traffic::Options),
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

/// What the double of a vendor of models takes.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Paced {
    /// Where it listens, on loopback; 0 for a free port, which its first line names.
    #[arg(long)]
    port: u16,
    /// The key that requests must show; any, without one.
    #[arg(long)]
    key: Option<String>,
    /// How fast it writes; 0 for as fast as it can.
    #[arg(long, default_value_t = 120.0)]
    tokens_per_second: f64,
    /// Says nothing of single requests.
    #[arg(long)]
    quiet: bool,
    #[command(flatten)]
    common: Common,
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
        What::Openai(options) => openai::run(options).await,
        What::Anthropic(options) => anthropic::run(options).await,
        What::Http(options) => http::run(options).await,
        What::Database(options) => database::run(options).await,
        What::Traffic(options) => traffic::run(options).await,
        What::Worker(options) => worker::run(options).await,
    }
}
