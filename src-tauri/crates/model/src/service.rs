//! What a service is doing, as the API shows it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What one instance is doing. Who runs it is a separate fact, see [`Owner`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InstanceState {
    /// Not running, and not meant to.
    Stopped,
    /// Wants to start; a dependency is not ready yet (the cause names it).
    Waiting,
    /// Runs, not yet ready.
    Starting,
    /// Runs and answers.
    Ready,
    /// Runs; readiness fails.
    Degraded,
    /// Runs; liveness fails, a restart is on its way.
    Failing,
    /// Died; the next attempt is scheduled.
    BackingOff,
    /// Told to stop; its tree is not gone yet.
    Stopping,
    /// Died too often; attempts go on at the longest delay.
    CrashLooping,
    /// The command is not on this machine.
    Missing,
    /// A one-shot task that ended well.
    Done,
    /// Not known: nothing has been observed yet, or it cannot be.
    Unknown,
}

impl InstanceState {
    /// Whether dependants may rely on it.
    pub const fn is_ready(self) -> bool {
        matches!(self, Self::Ready | Self::Done)
    }

    /// Whether a process is expected to exist.
    pub const fn is_running(self) -> bool {
        matches!(
            self,
            Self::Starting | Self::Ready | Self::Degraded | Self::Failing | Self::Stopping
        )
    }

    /// Whether it is wrong and a person may want to know.
    pub const fn is_broken(self) -> bool {
        matches!(
            self,
            Self::Degraded | Self::Failing | Self::BackingOff | Self::CrashLooping | Self::Missing
        )
    }

    /// How bad, for picking the state that speaks for a service with several instances; 0 is best.
    pub const fn badness(self) -> u8 {
        match self {
            Self::Ready => 0,
            Self::Done => 1,
            Self::Stopped => 2,
            Self::Starting => 3,
            Self::Waiting => 4,
            Self::Stopping => 5,
            Self::Unknown => 6,
            Self::Degraded => 7,
            Self::BackingOff => 8,
            Self::Failing => 9,
            Self::CrashLooping => 10,
            Self::Missing => 11,
        }
    }

    /// The state as written in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Waiting => "waiting",
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Degraded => "degraded",
            Self::Failing => "failing",
            Self::BackingOff => "backing_off",
            Self::Stopping => "stopping",
            Self::CrashLooping => "crash_looping",
            Self::Missing => "missing",
            Self::Done => "done",
            Self::Unknown => "unknown",
        }
    }
}

/// Who runs the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
pub enum Owner {
    /// This cockpit, through a shim.
    #[default]
    Cockpit,
    /// Ollama's Mac application, which respawns its own server.
    OllamaApp,
    /// `brew services`.
    Homebrew,
    /// Another launchd job.
    Launchd,
    /// A systemd unit.
    Systemd,
    /// A container.
    Docker,
    /// Another machine.
    Remote,
    /// Some other process, a terminal for instance.
    Other,
}

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// The exit code; null when a signal ended it.
    pub code: Option<i32>,
    /// The signal by name (`SIGKILL`); null when it exited.
    pub signal: Option<String>,
    /// When it was reaped.
    pub at: Timestamp,
    /// The last lines it wrote (at most 20).
    pub last_lines: Vec<String>,
}

/// One running copy of a service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Instance {
    /// 0-based.
    pub index: u16,
    /// The leader's process id.
    pub pid: Option<u32>,
    /// The port given to it, if one was.
    pub port: Option<u16>,
    /// What it is doing.
    pub state: InstanceState,
    /// Since when it is in this state.
    pub since: Timestamp,
    /// Why.
    pub cause: String,
    /// When the running process was started.
    pub started_at: Option<Timestamp>,
    /// Restarts after a crash or a failed liveness probe; not those by hand.
    pub restarts: u32,
    /// CPU of the whole tree, 100 = one core; null when not measured yet.
    pub cpu_percent: Option<f32>,
    /// Resident memory of the whole tree; null when not measured yet.
    pub memory_bytes: Option<u64>,
    /// How the previous process ended.
    pub last_exit: Option<Exit>,
    /// When the next start is due, while backing off.
    pub next_attempt_at: Option<Timestamp>,
}

/// The readiness probe and what it last saw.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProbeView {
    /// `http`, `tcp`, `exec`, `postgres` or `log`.
    pub kind: String,
    /// What is probed, secrets removed.
    pub target: String,
    /// The last answer's latency; null before the first.
    pub latency_ms: Option<f64>,
    /// 95th percentile of the last 90 answers; null before the first.
    pub p95_ms: Option<f64>,
    /// Why the last probe failed; null when it passed.
    pub error: Option<String>,
}

/// One tick of the heartbeat bar: one probe's outcome.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct HealthTick {
    /// When it was probed.
    pub at: Timestamp,
    /// Passed or not.
    pub ok: bool,
    /// How long the answer took.
    pub latency_ms: Option<f64>,
}

/// What a preset knows beyond the process: loaded models, containers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
pub struct Detail {
    /// Models an Ollama has on disk and in memory.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<LocalModel>,
    /// Containers a Docker-run service consists of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub containers: Vec<Container>,
    /// Further named checks (`auth`, `rest`, `database`), each with its own outcome.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<Check>,
    /// What a person can do about a named cause (`open -a Docker`), if the preset knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// A model of a local model server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LocalModel {
    /// `llama3.2:latest`.
    pub name: String,
    /// On disk.
    pub size_bytes: Option<u64>,
    /// Resident while loaded; null when not loaded.
    pub memory_bytes: Option<u64>,
    /// When it will be unloaded; null when not loaded, or kept for ever.
    pub expires_at: Option<Timestamp>,
    /// Whether it is in memory now.
    pub loaded: bool,
}

/// A container behind a service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Container {
    /// Its name.
    pub name: String,
    /// Its image.
    pub image: String,
    /// Docker's own word: `running`, `exited`, `restarting`, `paused`, `dead`, `created`.
    pub state: String,
    /// Docker's health word, if the image has a check: `healthy`, `unhealthy`, `starting`.
    pub health: Option<String>,
    /// Docker's sentence: `Up 3 hours (healthy)`.
    pub status: String,
    /// Exit code of a dead one.
    pub exit_code: Option<i64>,
    /// When it last started.
    pub started_at: Option<Timestamp>,
}

/// A named check of a preset.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// `auth`, `rest`, `database`.
    pub name: String,
    /// Passed or not; null when unknown.
    pub ok: Option<bool>,
    /// How long it took.
    pub latency_ms: Option<f64>,
    /// What went wrong.
    pub error: Option<String>,
}

/// A service as the API shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Service {
    /// Its name in the configuration.
    pub name: String,
    /// Its kind in the configuration.
    pub kind: String,
    /// The worst of its instances' states.
    pub state: InstanceState,
    /// Since when.
    pub since: Timestamp,
    /// Why.
    pub cause: String,
    /// Who runs it.
    pub owner: Owner,
    /// Who exactly, when it is not us: `Ollama.app (pid 812)`.
    pub owner_detail: Option<String>,
    /// The program's version, where its preset can tell.
    pub version: Option<String>,
    /// Its address, `host:port`.
    pub listen: Option<String>,
    /// Its running copies.
    pub instances: Vec<Instance>,
    /// Readiness.
    pub probe: Option<ProbeView>,
    /// The last probes, oldest first, at most 90.
    pub heartbeat: Vec<HealthTick>,
    /// What must be ready before it.
    pub depends_on: Vec<String>,
    /// Whether a person stopped it by hand.
    pub manual_stop: bool,
    /// The actions that make sense now.
    pub actions: Vec<Action>,
    /// What its preset knows; null for a plain command.
    pub detail: Option<Detail>,
}

impl Service {
    /// Whether every instance can be relied on.
    pub const fn is_ready(&self) -> bool {
        self.state.is_ready()
    }
}

/// What a person can ask of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Bring it up; forget a manual stop.
    Start,
    /// Bring it down and remember that.
    Stop,
    /// Down and up again.
    Restart,
    /// End the foreign process in its owner's way and run it ourselves.
    TakeOver,
}

impl Action {
    /// The verb in paths and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
            Self::TakeOver => "take_over",
        }
    }
}

/// The process that listens on a port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortHolder {
    /// Its id; null when the system does not tell (another user's process).
    pub pid: Option<u32>,
    /// Its executable's name: `ollama`, `postgres`, `nginx`; empty when not known.
    pub name: String,
    /// Who runs it.
    pub owner: Owner,
    /// The owner in words a person understands: `Ollama.app`, `homebrew.mxcl.postgresql@16`, `ollama.service`.
    pub described: String,
}
