//! The public handle.

use std::path::PathBuf;
use std::time::Duration;

use cockpit_model::logs::{LogLine, LogQuery};
use cockpit_model::{Action, Problem, Service, ServiceSpec};
use futures_util::stream::BoxStream;

use crate::seams::Parts;

/// Why the supervisor could not start. Nothing was started or touched.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A folder or file of our own cannot be used.
    #[error(
        "cannot {what} {path}: {source}; check that the data folder is writable and the disk is not full"
    )]
    Io {
        /// `create`, `read`, `write`.
        what: &'static str,
        /// Which.
        path: PathBuf,
        /// The system's word.
        source: std::io::Error,
    },
    /// A socket in the run folder would be too long for the system.
    #[error(
        "the run folder {path} is too long: a socket in it would have {bytes} bytes of the 104 there may be; choose a shorter data folder"
    )]
    RunDirTooLong {
        /// The folder.
        path: PathBuf,
        /// What a socket in it would need.
        bytes: usize,
    },
    /// The settings do not hold together.
    #[error("{0}")]
    Spec(String),
}

/// What [`Supervisor::apply`] did, services by name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changes {
    /// New ones, being started.
    pub started: Vec<String>,
    /// Those whose own settings changed, being restarted.
    pub restarted: Vec<String>,
    /// Those that left the configuration, stopped.
    pub removed: Vec<String>,
    /// Those left alone.
    pub unchanged: Vec<String>,
}

/// A process we run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tracked {
    /// The service.
    pub service: String,
    /// Its instance.
    pub instance: u16,
    /// The leader of its tree.
    pub pid: u32,
    /// Its shim, where it has one (watched and foreign processes have none).
    pub shim_pid: Option<u32>,
}

/// What one instance's tree uses now.
#[derive(Debug, Clone, PartialEq)]
pub struct InstanceUse {
    /// The service.
    pub service: String,
    /// Its instance.
    pub instance: u16,
    /// CPU of the whole tree, 100 = one core.
    pub cpu_percent: f32,
    /// Resident bytes of the whole tree.
    pub memory_bytes: u64,
}

/// The supervisor's handle; cheap to clone.
#[derive(Clone)]
pub struct Supervisor {}

impl Supervisor {
    /// Copies the shim, finds running services again, starts the others in order. Returns as soon as adoption
    /// is done; starting goes on.
    pub async fn start(parts: Parts, specs: Vec<ServiceSpec>) -> Result<Self, Error> {
        let _ = (parts, specs);
        todo!()
    }
    /// Every service, in the configuration's order. Never waits.
    pub fn services(&self) -> Vec<Service> {
        todo!()
    }
    /// One service. Never waits.
    pub fn service(&self, name: &str) -> Option<Service> {
        let _ = name;
        todo!()
    }
    /// Does it, and resolves when it is done: started = ready, stopped = its tree is gone. Dropping the future
    /// does not undo what has begun.
    pub async fn act(&self, name: &str, action: Action) -> Result<Service, Problem> {
        let _ = (name, action);
        todo!()
    }
    /// Stops every service, dependants first, each remembered as stopped by hand.
    pub async fn stop_all(&self) -> Result<Vec<Service>, Problem> {
        todo!()
    }
    /// Puts new settings in force: only services whose own settings changed restart. Returns when removed
    /// ones are gone; starting goes on.
    pub async fn apply(&self, specs: Vec<ServiceSpec>) -> Result<Changes, Error> {
        let _ = specs;
        todo!()
    }
    /// The machine slept.
    pub fn woke(&self, slept: Duration) {
        let _ = slept;
        todo!()
    }
    /// The processes we run, for the sampling of their use.
    pub fn processes(&self) -> Vec<Tracked> {
        todo!()
    }
    /// What they use; feeds the views and the memory limits.
    pub fn usage(&self, uses: Vec<InstanceUse>) {
        let _ = uses;
        todo!()
    }
    /// The last lines that match, oldest first, all instances merged by time.
    pub async fn logs(&self, name: &str, query: LogQuery) -> Result<Vec<LogLine>, Problem> {
        let _ = (name, query);
        todo!()
    }
    /// The same, and then every further line as it is written.
    pub async fn follow(
        &self,
        name: &str,
        query: LogQuery,
    ) -> Result<BoxStream<'static, LogLine>, Problem> {
        let _ = (name, query);
        todo!()
    }
    /// Has the service's driver look at it now (after a model was unloaded, say), and resolves when its view shows it.
    pub async fn inspect_now(&self, name: &str) -> Option<Service> {
        let _ = name;
        todo!()
    }
    /// Lets go of everything: the services run on, or, if told so, are stopped in reverse order and their shims quit.
    pub async fn shutdown(&self, stop_services: bool) {
        let _ = stop_services;
        todo!()
    }
    /// How many running processes were found again at the start.
    pub fn adopted(&self) -> u32 {
        todo!()
    }
}
