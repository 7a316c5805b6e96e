//! The settings a service runs by, complete: defaults filled in, paths absolute, `~` expanded.
//! `cockpit-config` makes them, the supervisor obeys them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What kind of service it is: which preset knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Any command that stays.
    #[default]
    Command,
    /// A command that runs once and is done.
    Task,
    /// Ollama.
    Ollama,
    /// A Supabase project: the CLI brings it up and down, Docker runs it.
    Supabase,
    /// A Node.js program.
    Node,
    /// PostgreSQL.
    Postgres,
    /// A Cloudflare tunnel.
    Cloudflared,
    /// Tailscale on this machine.
    Tailscale,
    /// A URL that is only watched.
    Url,
}

impl Kind {
    /// The word in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Task => "task",
            Self::Ollama => "ollama",
            Self::Supabase => "supabase",
            Self::Node => "node",
            Self::Postgres => "postgres",
            Self::Cloudflared => "cloudflared",
            Self::Tailscale => "tailscale",
            Self::Url => "url",
        }
    }
}

/// How the service comes to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Run {
    /// Our own process under a shim: program and arguments. `{port}` stands for the instance's port.
    Process(Vec<String>),
    /// Brought up and down by its preset's driver (Supabase, Tailscale); others run the processes.
    Driver,
    /// Only watched.
    Watch,
}

/// A complete service.
///
/// Not `Debug`-printed in logs: `env` may hold secrets.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct ServiceSpec {
    /// Unique; letters, digits, `-`, `_` and `.` inside.
    pub name: String,
    /// Which preset.
    pub kind: Kind,
    /// How it runs.
    pub run: Run,
    /// Working folder.
    pub cwd: Option<PathBuf>,
    /// Extra environment; wins over `env_file`. `{port}` is replaced.
    pub env: BTreeMap<String, String>,
    /// A dotenv file, read at every start.
    pub env_file: Option<PathBuf>,
    /// Services that must be ready first.
    pub depends_on: Vec<String>,
    /// How many instances; at least 1.
    pub replicas: u16,
    /// Its address `host:port`; with one instance `{port}` is this port.
    pub listen: Option<String>,
    /// When it counts as ready; none: once it runs.
    pub ready: Option<ProbeSpec>,
    /// When it counts as hung; none: never.
    pub live: Option<ProbeSpec>,
    /// How long a start may take before liveness is judged.
    pub start_timeout: Duration,
    /// When and how it is started again.
    pub restart: RestartSpec,
    /// How it is ended.
    pub stop: StopSpec,
    /// What it may use.
    pub limits: LimitsSpec,
    /// What is kept of its output.
    pub logs: LogSpec,
    /// Started with the cockpit (unless stopped by hand).
    pub autostart: bool,
    /// What only its preset understands.
    pub options: PresetOptions,
}

impl ServiceSpec {
    /// Whether its instances get ports of their own: `listen` is then somebody else's to bind, a balancer's or
    /// the gateway's.
    pub const fn has_own_ports(&self) -> bool {
        self.replicas > 1 || self.options.behind_gateway
    }

    /// The port of `listen`, if it has one.
    pub fn listen_port(&self) -> Option<u16> {
        self.listen.as_deref()?.rsplit_once(':')?.1.parse().ok()
    }
}

/// Settings that only one kind understands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct PresetOptions {
    /// supabase: the project folder.
    pub project: Option<PathBuf>,
    /// ollama: models loaded again after a restart.
    pub models: Vec<String>,
    /// ollama: the gateway takes its `listen`, and it runs behind it on a port of its own.
    // Not written where it is not set: it must not change the fingerprint of a service that knows nothing of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub behind_gateway: bool,
    /// url: what is watched. supabase: the API's base, where it is not the default.
    pub url: Option<String>,
    /// postgres, supabase: the database to SELECT from (`postgres://…`), password allowed only from `password_env`.
    pub database: Option<String>,
}

/// A probe and its thresholds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProbeSpec {
    /// What is asked.
    pub check: ProbeCheck,
    /// Time between two probes.
    pub every: Duration,
    /// When an answer counts as missing.
    pub timeout: Duration,
    /// Failures in a row that take it down.
    pub failures: u32,
    /// Successes in a row that bring it back.
    pub successes: u32,
}

/// What a probe asks. `{port}` is replaced by the instance's port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProbeCheck {
    /// GET; 2xx and 3xx pass.
    Http(String),
    /// A connection to `host:port`.
    Tcp(String),
    /// A command; exit 0 passes.
    Exec(Vec<String>),
    /// `SELECT 1` on a `postgres://` URL.
    Postgres(String),
    /// A text the service writes; passes from then on, until the next start.
    Log(String),
}

impl ProbeCheck {
    /// The word in the configuration.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Http(_) => "http",
            Self::Tcp(_) => "tcp",
            Self::Exec(_) => "exec",
            Self::Postgres(_) => "postgres",
            Self::Log(_) => "log",
        }
    }
}

/// When a dead process is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RestartPolicy {
    /// Whatever its exit.
    Always,
    /// Only after a non-zero exit or a signal.
    OnFailure,
    /// Never.
    Never,
}

/// Restart policy and backoff: `0 ms` first, then 250 ms × 2ⁿ up to `max_delay`, jittered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RestartSpec {
    /// When.
    pub policy: RestartPolicy,
    /// Delay of the first restart after a stable run.
    pub initial_delay: Duration,
    /// Longest delay.
    pub max_delay: Duration,
    /// Uptime after which the exponent starts anew.
    pub reset_after: Duration,
    /// Give up after so many restarts without a stable run; none: never.
    pub max_restarts: Option<u32>,
}

/// How a service is ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopSpec {
    /// By name: `SIGTERM`, `SIGINT`, `SIGQUIT`, `SIGHUP`, `SIGUSR1`, `SIGUSR2`, `SIGKILL`.
    pub signal: String,
    /// How long the tree may take before SIGKILL.
    pub grace: Duration,
}

/// What is done to a service over its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitAction {
    /// Restart it.
    Restart,
    /// Say so and leave it.
    Notify,
}

/// What a service may use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitsSpec {
    /// Resident bytes of the tree.
    pub memory: Option<u64>,
    /// What happens above.
    pub action: LimitAction,
}

/// What is kept of a service's output: at most `max_size × (keep + 1)` on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogSpec {
    /// Bytes of one file.
    pub max_size: u64,
    /// Rotated files kept beside the current one.
    pub keep: u32,
}
