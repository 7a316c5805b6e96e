//! What each kind of service knows beyond its process: drive, inspect, detect.
//!
//! Theory of operation: the supervisor knows processes, probes and containers of neither. A
//! [`Preset`] fills that gap for one service: it can bring up and down what runs under somebody
//! else's hand (Supabase's containers, Tailscale), it can look inside (models loaded, containers,
//! connections, versions), it does what is due after a restart (loading models again), and it finds
//! the logs of what we did not start. It keeps no state but caches; it decides nothing: what an
//! [`Observation`] means for the service's state is the supervisor's business.
//!
//! What a preset needs of the machine comes in through [`Surroundings`]: the environment for child
//! processes, who holds a port, the home folder. [`detect`] looks at the same surroundings to plan a
//! configuration; it starts and writes nothing.

mod around;
mod cloudflared;
pub mod detect;
pub mod docker;
pub mod foreign;
mod http;
mod node;
pub mod ollama;
mod postgres;
mod supabase;
mod tail;
mod tailscale;

use std::sync::Arc;

use cockpit_model::logs::{LogLine, LogQuery};
use cockpit_model::spec::Kind;
use cockpit_model::{Code, Detail, Owner, Problem, ServiceSpec};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;

pub use around::{Env, Surroundings};
pub use http::words as http_words;

/// What a preset saw when it looked.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Observation {
    /// The program's version.
    pub version: Option<String>,
    /// Models, containers, further checks, and the remedy of a named cause.
    pub detail: Option<Detail>,
    /// Whether it is ready, by the preset's own judgement; the error is the cause in words. `None`:
    /// the preset has no judgement, the probes decide.
    pub ready: Option<Result<(), String>>,
    /// Who runs it, where the preset knows better than the process table.
    pub owner: Option<Owner>,
    /// The owner in words.
    pub owner_detail: Option<String>,
}

/// What one service's kind knows. What a kind does not say of itself is what holds of any process
/// that the supervisor runs or watches.
pub trait Preset: Send + Sync {
    /// The service.
    fn spec(&self) -> &ServiceSpec;

    /// The machine it is on.
    fn around(&self) -> &Surroundings;

    /// Looks inside. Bounded by a few seconds; what does not answer is absent or named.
    fn inspect(&self) -> BoxFuture<'_, Observation>;

    /// Brings it up, and resolves when its own tool says so. Only where `run` is a driver.
    fn up(&self) -> BoxFuture<'_, Result<(), Problem>> {
        not_driven(self.spec())
    }

    /// Brings it down, and resolves when it is down. Only where `run` is a driver.
    fn down(&self) -> BoxFuture<'_, Result<(), Problem>> {
        not_driven(self.spec())
    }

    /// What is due once it is ready after a start. May take minutes (a model is loaded); failures
    /// show in the next [`Observation`].
    fn after_ready(&self) -> BoxFuture<'_, ()> {
        futures_util::future::ready(()).boxed()
    }

    /// The last lines of what somebody else runs, oldest first.
    fn logs(&self, query: LogQuery) -> BoxFuture<'_, Result<Vec<LogLine>, Problem>> {
        foreign::logs(self.spec(), self.around(), query).boxed()
    }

    /// The same, then every further line; ended by dropping the stream.
    fn follow(
        &self,
        query: LogQuery,
    ) -> BoxFuture<'_, Result<BoxStream<'static, LogLine>, Problem>> {
        foreign::follow(self.spec(), self.around(), query).boxed()
    }
}

/// The preset of a service; `None` for kinds that are nothing but a process or a URL.
pub fn preset_for(spec: &ServiceSpec, around: &Surroundings) -> Option<Arc<dyn Preset>> {
    let spec = spec.clone();
    let around = around.clone();
    match spec.kind {
        Kind::Ollama => Some(Arc::new(ollama::Ollama::new(spec, around))),
        Kind::Supabase => Some(Arc::new(supabase::Supabase::new(spec, around))),
        Kind::Node => Some(Arc::new(node::Node::new(spec, around))),
        Kind::Postgres => Some(Arc::new(postgres::Postgres::new(spec, around))),
        Kind::Cloudflared => Some(Arc::new(cloudflared::Cloudflared::new(spec, around))),
        Kind::Tailscale => Some(Arc::new(tailscale::Tailscale::new(spec, around))),
        Kind::Command | Kind::Task | Kind::Url => None,
    }
}

/// What is answered to driving a plain process: the supervisor does that.
fn not_driven(spec: &ServiceSpec) -> BoxFuture<'static, Result<(), Problem>> {
    let problem = Problem::new(
        Code::NotSupported,
        format!("{} is a process, its kind has nothing to drive", spec.name),
    );
    futures_util::future::ready(Err(problem)).boxed()
}
