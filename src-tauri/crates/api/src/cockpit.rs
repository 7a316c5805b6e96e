//! What the Router asks of the engine. `engine.rs` implements it; tests implement a small one.

use std::pin::Pin;
use std::time::Duration;

use axum::body::Bytes;
use cockpit_metering::counters::Counters;
use cockpit_model::host::HostView;
use cockpit_model::kept::CallDetail;
use cockpit_model::keys::{KeyView, KeyWish, NewKey, RemovedKey};
use cockpit_model::logs::{LogLine, LogQuery};
use cockpit_model::usage::{Dimension, Usage};
use cockpit_model::{
    Action, BreakerView, Call, Event, GatewayView, Ingested, Outcome, Problem, Service, Status,
    Timestamp,
};
use futures_util::Stream;
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};

/// A live stream of things, ended by dropping it.
pub type Live<T> = Pin<Box<dyn Stream<Item = T> + Send>>;

/// Everything a person or a program can ask of the cockpit.
///
/// Names of services are passed as they came in the path, decoded; the implementation answers
/// [`cockpit_model::Code::UnknownService`] for what it does not know and never uses them as paths.
pub trait Cockpit: Send + Sync + 'static {
    /// Whether the engine has taken up its work: what `/readyz` answers. It speaks for the engine,
    /// not for the services. An engine that opens its doors only once it is ready keeps this default.
    fn ready(&self) -> bool {
        true
    }

    /// The verdict, the configuration's state, the counts. Never waits.
    fn status(&self) -> Status;

    /// Every service, in the configuration's order. Never waits.
    fn services(&self) -> Vec<Service>;

    /// One service.
    fn service(&self, name: &str) -> Result<Service, Problem>;

    /// Does it, and resolves when it is done: started = ready, stopped = its tree is gone.
    /// Dropping the future does not undo what has begun.
    fn act(&self, name: String, action: Action) -> BoxFuture<'static, Result<Service, Problem>>;

    /// Stops every service (each remembered as stopped by hand), dependants first.
    fn stop_all(&self) -> BoxFuture<'static, Result<Vec<Service>, Problem>>;

    /// The last lines that match, oldest first, all instances merged by time.
    fn logs(
        &self,
        name: String,
        query: LogQuery,
    ) -> BoxFuture<'static, Result<Vec<LogLine>, Problem>>;

    /// The same, and then every further line as it is written.
    fn follow(
        &self,
        name: String,
        query: LogQuery,
    ) -> BoxFuture<'static, Result<Live<LogLine>, Problem>>;

    /// The machine now, and its series over the window in at most `points` points.
    fn host(
        &self,
        window: Duration,
        points: usize,
    ) -> BoxFuture<'static, Result<HostView, Problem>>;

    /// The newest stored events, newest first; only of one service if named.
    fn events(
        &self,
        limit: usize,
        service: Option<String>,
    ) -> BoxFuture<'static, Result<Vec<Event>, Problem>>;

    /// Live events: those after `after` that are still kept, in memory or on the disk (a
    /// [`cockpit_model::EventBody::Gap`] where they are not), then every further one. `None`: from now on.
    fn subscribe(&self, after: Option<u64>) -> Live<Event>;

    /// Accounts for what was reported: JSON, an object, an array or an object a line; `gzip`: packed. Resolves once
    /// what was accepted is on the disk; [`cockpit_model::Code::Storage`] when it could not be written, and nothing
    /// of it is.
    fn ingest(&self, body: Bytes, gzip: bool) -> BoxFuture<'static, Result<Ingested, Problem>>;

    /// The metrics that applications reported, in Prometheus' text exposition format. Never waits.
    fn reported_metrics(&self) -> String {
        String::new()
    }

    /// Unloads a model of an Ollama service from memory.
    fn unload_model(
        &self,
        service: String,
        model: String,
    ) -> BoxFuture<'static, Result<Service, Problem>>;

    /// What requests to models amounted to.
    fn usage(&self, asked: UsageAsked) -> BoxFuture<'static, Result<Usage, Problem>>;

    /// Single requests to models, newest first.
    fn calls(&self, asked: CallsAsked) -> BoxFuture<'static, Result<Vec<Call>, Problem>>;

    /// One call, and what was said in it where that is kept; [`cockpit_model::Code::NotFound`] where there is no such
    /// one.
    fn call(&self, id: String) -> BoxFuture<'static, Result<CallDetail, Problem>>;

    /// Every breaker that knows something, by provider and model. Never waits.
    fn breakers(&self) -> Vec<BreakerView>;

    /// The gateway as it is now: where to send requests, who answers them. Never waits.
    fn gateway(&self) -> GatewayView;

    /// Closes a breaker by hand; [`cockpit_model::Code::NotFound`] where there is no such one.
    fn reset_breaker(&self, provider: &str, model: &str) -> Result<(), Problem>;

    /// What has been counted since the engine began. Never waits.
    fn counted(&self) -> Counted;

    /// Every key of the gateway; never the keys themselves.
    fn keys(&self) -> BoxFuture<'static, Result<Vec<KeyView>, Problem>>;

    /// Makes a key; the answer is the only one that holds it.
    fn add_key(&self, wish: KeyWish) -> BoxFuture<'static, Result<NewKey, Problem>>;

    /// Removes a key that was made here.
    fn remove_key(&self, name: String) -> BoxFuture<'static, Result<RemovedKey, Problem>>;

    /// A chart for a report.
    fn chart(&self, chart: Chart) -> BoxFuture<'static, Result<Vec<u8>, Problem>>;

    /// What was detected on this machine, as a plan and a `cockpit.toml`.
    fn detect(&self) -> BoxFuture<'static, Result<Plan, Problem>>;

    /// Ends the engine; the services go on unless `stop_services`.
    fn shutdown(&self, stop_services: bool) -> BoxFuture<'static, Result<(), Problem>>;

    /// Whether the engine starts at login.
    fn login_item(&self) -> BoxFuture<'static, Result<LoginItem, Problem>>;

    /// Turns starting at login on or off.
    fn set_login_item(&self, on: bool) -> BoxFuture<'static, Result<LoginItem, Problem>>;
}

/// What has been counted since the engine began; all of it only grows.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Counted {
    /// Requests to models, and reports.
    pub counters: Counters,
    /// What became of them on their way to the disk.
    pub ledger: Written,
    /// The same of samples and events.
    pub telemetry: Written,
}

/// How the writer of a database is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Written {
    /// Records that were written.
    pub accepted: u64,
    /// Records that were there already.
    pub duplicates: u64,
    /// Records that cannot be accounted for.
    pub refused: u64,
    /// What was not kept.
    pub dropped: u64,
    /// Groups that were written.
    pub commits: u64,
    /// Groups that could not be, at first.
    pub write_errors: u64,
}

/// What of usage is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageAsked {
    /// So far back.
    pub window: Duration,
    /// From this moment; now if not given.
    pub until: Option<Timestamp>,
    /// The length of the series' steps; chosen to suit if not given.
    pub step: Option<Duration>,
    /// Whether, and by what, to group.
    pub group_by: Option<Dimension>,
}

/// Which single requests are asked for; what is `None` does not matter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallsAsked {
    /// So far back.
    pub window: Duration,
    /// From this moment; now if not given.
    pub until: Option<Timestamp>,
    /// How many at most.
    pub limit: usize,
    /// The provider's name.
    pub provider: Option<String>,
    /// The target (`provider/model`), or the model without its provider.
    pub model: Option<String>,
    /// The route.
    pub route: Option<String>,
    /// The user.
    pub user: Option<String>,
    /// The agent.
    pub agent: Option<String>,
    /// The name of the key.
    pub key: Option<String>,
    /// The error's code.
    pub error: Option<String>,
    /// How they ended.
    pub outcome: Option<Outcome>,
}

/// Which chart, of what, how large.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chart {
    /// What it shows.
    pub kind: ChartKind,
    /// SVG or PNG.
    pub format: ChartFormat,
    /// Over what time.
    pub window: Duration,
}

/// What a chart shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChartKind {
    /// Processor use.
    Cpu,
    /// Memory use.
    Memory,
    /// What requests to models cost, by model.
    Cost,
    /// How long their answers took.
    Latency,
    /// The tokens they used.
    Tokens,
    /// How many there were, and how they ended.
    Requests,
}

impl ChartKind {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Cost,
        Self::Latency,
        Self::Tokens,
        Self::Requests,
        Self::Cpu,
        Self::Memory,
    ];

    /// The word in the path.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Cost => "cost",
            Self::Latency => "latency",
            Self::Tokens => "tokens",
            Self::Requests => "requests",
        }
    }
}

/// A chart's file format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChartFormat {
    /// `image/svg+xml`
    Svg,
    /// `image/png`
    Png,
}

/// What was found on this machine and what would be supervised.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// What was found, one each.
    pub found: Vec<Found>,
    /// The `cockpit.toml` that would be written.
    pub toml: String,
    /// Where it would be written.
    pub path: String,
}

/// One thing found on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// The service it would become.
    pub name: String,
    /// Its kind.
    pub kind: String,
    /// How it was recognised: `Ollama 0.5.1 at /usr/local/bin/ollama, running (pid 812, Ollama.app)`.
    pub evidence: String,
    /// Why a person must decide first; its part of the configuration is then commented out. Null where it is not.
    pub doubt: Option<String>,
}

/// Starting at login.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginItem {
    /// Whether it is on.
    pub on: bool,
    /// Where it is installed, for a person who wants to look.
    pub path: Option<String>,
    /// What a person should still do or know (`loginctl enable-linger`); null when nothing.
    pub note: Option<String>,
}
