//! What the supervisor asks of the rest of the house: the traits it owns, implemented elsewhere and
//! wired in `engine.rs`. Tests implement small ones.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use cockpit_model::logs::{LogLine, LogQuery};
use cockpit_model::{Code, Detail, EventBody, Owner, PortHolder, Problem, ServiceSpec};
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;

/// Finds the driver of a service, if its kind has one.
pub type Drivers = Arc<dyn Fn(&ServiceSpec) -> Option<Arc<dyn Driver>> + Send + Sync>;

/// Takes what happens. Called from the actors: it must not block.
pub type EventSink = Arc<dyn Fn(EventBody) + Send + Sync>;

/// Everything the supervisor needs from outside.
#[derive(Clone)]
pub struct Parts {
    /// Where sockets, pidfiles and the copied shim live. Created with mode 0700; short, because the path of
    /// a socket may have at most 104 bytes.
    pub run_dir: PathBuf,
    /// Where the shims write the services' output, one folder each.
    pub log_dir: PathBuf,
    /// The shim's executable as installed; it is copied into `run_dir` and run from there.
    pub shim: PathBuf,
    /// The machine around us.
    pub surroundings: Arc<dyn Surroundings>,
    /// The presets' drivers.
    pub drivers: Drivers,
    /// Where events go.
    pub events: EventSink,
    /// What must outlive the engine.
    pub memory: Arc<dyn Memory>,
    /// Services that a person had stopped by hand when the engine last ran.
    pub manual_stops: BTreeSet<String>,
}

/// The machine around the services.
pub trait Surroundings: Send + Sync {
    /// The environment children get, `PATH` resolved. Asked once at the start and after every `apply`.
    fn environment(&self) -> BoxFuture<'_, Arc<BTreeMap<String, String>>>;

    /// Who listens on a TCP port of this machine. May take long: asked only when a bind failed.
    fn port_holder(&self, port: u16) -> BoxFuture<'_, Option<PortHolder>>;

    /// Ends the foreign process that holds the port, in its owner's way (`brew services stop`, quit the app, `systemctl stop`).
    /// Called only when a person asked for it.
    fn take_over(&self, port: u16, holder: PortHolder) -> BoxFuture<'_, Result<(), Problem>>;
}

/// What must outlive the engine. Called from the actors: it must not block for long.
pub trait Memory: Send + Sync {
    /// A person stopped the service by hand, or started it again.
    ///
    /// # Errors
    /// Why that will be forgotten when the engine ends, for a person.
    fn set_manual_stop(&self, service: &str, stopped: bool) -> Result<(), String>;
}

/// What a preset can do beyond running a command. Every method has a default that does nothing.
pub trait Driver: Send + Sync {
    /// Brings it up ([`cockpit_model::spec::Run::Driver`] only). Resolves when its own tool says it is up.
    fn up(&self) -> BoxFuture<'_, Result<(), Problem>> {
        Box::pin(async { Err(unsupported("bring this service up")) })
    }

    /// Brings it down ([`cockpit_model::spec::Run::Driver`] only).
    fn down(&self) -> BoxFuture<'_, Result<(), Problem>> {
        Box::pin(async { Err(unsupported("bring this service down")) })
    }

    /// Looks at it. Called every few seconds while it runs, in a task of its own.
    fn inspect(&self) -> BoxFuture<'_, Observation> {
        Box::pin(async { Observation::default() })
    }

    /// Called once for every start of the process, when it became ready.
    fn after_ready(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }

    /// The last lines of what others run (containers, Ollama.app).
    fn logs(&self, _query: LogQuery) -> BoxFuture<'_, Result<Vec<LogLine>, Problem>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    /// Those lines, and then every further one.
    fn follow(
        &self,
        query: LogQuery,
    ) -> BoxFuture<'_, Result<BoxStream<'static, LogLine>, Problem>> {
        Box::pin(async move {
            let lines = self.logs(query).await?;
            let stream: BoxStream<'static, LogLine> = Box::pin(futures_util::stream::iter(lines));
            Ok(stream)
        })
    }
}

fn unsupported(what: &str) -> Problem {
    Problem::new(Code::NotSupported, format!("cannot {what}"))
}

/// What a driver saw. What it cannot tell is `None`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Observation {
    /// The program's version.
    pub version: Option<String>,
    /// Models, containers, named checks.
    pub detail: Option<Detail>,
    /// Whether it is ready, or why it is not.
    pub ready: Option<Result<(), String>>,
    /// Who runs it.
    pub owner: Option<Owner>,
    /// Who exactly: `Docker Desktop`, `Ollama.app (pid 812)`.
    pub owner_detail: Option<String>,
}
