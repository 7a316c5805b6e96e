//! The closed set of things that happen. One sequence number each; the stream resumes by it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::call::Call;
use crate::gateway::ProviderState;
use crate::host::HostSample;
use crate::money::Usd;
use crate::service::{Exit, InstanceState, Service};
use crate::verdict::Status;

/// A thing that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Position in the stream; grows by one.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// What.
    #[serde(flatten)]
    pub body: EventBody,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum EventBody {
    /// An instance went from one state to another.
    InstanceState {
        /// The service.
        service: String,
        /// Its instance.
        instance: u16,
        /// Before.
        from: InstanceState,
        /// Now.
        to: InstanceState,
        /// Why.
        cause: String,
    },
    /// A process ended.
    InstanceExit {
        /// The service.
        service: String,
        /// Its instance.
        instance: u16,
        /// The pid that ended.
        pid: u32,
        /// How.
        exit: Exit,
        /// Whether we asked it to.
        expected: bool,
    },
    /// A process was started.
    InstanceStarted {
        /// The service.
        service: String,
        /// Its instance.
        instance: u16,
        /// Its pid.
        pid: u32,
        /// `true` when it was found running after a restart of the cockpit.
        adopted: bool,
    },
    /// A service died and did not heal: a person should know.
    ServiceDown {
        /// The service.
        service: String,
        /// Why.
        cause: String,
    },
    /// A service that was down is well again.
    ServiceRecovered {
        /// The service.
        service: String,
        /// How long it was down.
        down_ms: u64,
    },
    /// A service's memory went over its limit.
    MemoryLimit {
        /// The service.
        service: String,
        /// Its instance.
        instance: u16,
        /// What it used.
        used_bytes: u64,
        /// What it may use.
        limit_bytes: u64,
        /// `restart` or `notify`.
        action: String,
    },
    /// A service's view changed; live only, not stored.
    Service {
        /// All of it.
        service: Box<Service>,
    },
    /// A service left the configuration; live only.
    ServiceRemoved {
        /// Its name.
        service: String,
    },
    /// The verdict changed; live only.
    Status {
        /// All of it.
        status: Status,
    },
    /// The machine's newest sample; live only.
    Host {
        /// All of it.
        host: Box<HostSample>,
    },
    /// A mark on every chart.
    Mark(Mark),
    /// The configuration was read again.
    Config {
        /// Whether it holds.
        ok: bool,
        /// What changed, or what is wrong.
        summary: String,
    },
    /// A part of the cockpit itself is in trouble, and what it did about it.
    Cockpit {
        /// `warning` or `error`.
        level: String,
        /// What.
        message: String,
    },
    /// A target's circuit breaker changed.
    Breaker {
        /// The provider.
        provider: String,
        /// Its model.
        model: String,
        /// `closed`, `open` or `half_open`, before.
        from: String,
        /// The same, now.
        to: String,
        /// Why.
        cause: String,
    },
    /// A provider began to fail requests, or answers them again.
    Provider {
        /// The provider.
        provider: String,
        /// The service of this machine that it is.
        service: Option<String>,
        /// Before.
        from: ProviderState,
        /// Now.
        to: ProviderState,
        /// Why; empty when it answers again.
        cause: String,
    },
    /// A part of a budget is spent.
    Budget {
        /// Whose: `this cockpit`, or of a key, a user, an agent.
        whose: String,
        /// `day` or `month`.
        period: String,
        /// How much of it is spent, at least.
        percent: u8,
        /// What was spent.
        spent_usd: Usd,
        /// What may be.
        limit_usd: Usd,
    },
    /// The gateway did not let somebody in. Told at once, then once a minute for all that came since.
    Refused {
        /// The error's code.
        code: String,
        /// From which address the last of them came.
        from: String,
        /// How many there were.
        #[serde(default = "one")]
        count: u64,
    },
    /// A key of the gateway is used as it never was.
    Access {
        /// The key's name.
        key: String,
        /// What is new: `address`, `hour` or `volume`.
        what: String,
        /// From which address.
        from: String,
        /// What was seen.
        seen: String,
        /// What is usual; empty where nothing is.
        usual: String,
    },
    /// Requests to models held personal data or secrets: the first at once, then those of a minute together.
    Pii {
        /// The newest such call.
        call: String,
        /// How many calls since the last such event.
        #[serde(default = "one")]
        calls: u64,
        /// What was found in them, and how often: `email 2`.
        found: Vec<String>,
        /// `observe`, `redact` or `block`.
        action: String,
    },
    /// Applications reported failed authentications, personal data, or rules they applied: the first at once, then
    /// those of a minute together.
    Reported {
        /// `auth`, `pii` or `policy`.
        kind: String,
        /// How many since the last such event.
        count: u64,
        /// Of the newest: on whose behalf, or by whom.
        user: Option<String>,
        /// Of the newest: what was said of it.
        said: Option<String>,
    },
    /// Calls that ended in the last second; live only.
    Calls {
        /// How many ended.
        ended: u64,
        /// The newest of them, at most 50, newest first.
        newest: Vec<Call>,
    },
    /// Events were dropped because a reader was too slow, or between two lives of the engine.
    Gap {
        /// How many; null when it cannot be known.
        missed: Option<u64>,
    },
}

impl EventBody {
    /// The `type` field.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::InstanceState { .. } => "instance_state",
            Self::InstanceExit { .. } => "instance_exit",
            Self::InstanceStarted { .. } => "instance_started",
            Self::ServiceDown { .. } => "service_down",
            Self::ServiceRecovered { .. } => "service_recovered",
            Self::MemoryLimit { .. } => "memory_limit",
            Self::Service { .. } => "service",
            Self::ServiceRemoved { .. } => "service_removed",
            Self::Status { .. } => "status",
            Self::Host { .. } => "host",
            Self::Mark(_) => "mark",
            Self::Config { .. } => "config",
            Self::Cockpit { .. } => "cockpit",
            Self::Breaker { .. } => "breaker",
            Self::Provider { .. } => "provider",
            Self::Budget { .. } => "budget",
            Self::Refused { .. } => "refused",
            Self::Access { .. } => "access",
            Self::Pii { .. } => "pii",
            Self::Reported { .. } => "reported",
            Self::Calls { .. } => "calls",
            Self::Gap { .. } => "gap",
        }
    }

    /// Whether it only paints the present and need not be kept.
    pub const fn is_live_only(&self) -> bool {
        matches!(
            self,
            Self::Service { .. }
                | Self::ServiceRemoved { .. }
                | Self::Status { .. }
                | Self::Host { .. }
                | Self::Calls { .. }
                | Self::Gap { .. }
        )
    }
}

/// What an event counts that was stored before it counted.
const fn one() -> u64 {
    1
}

/// A mark on every chart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "mark", rename_all = "snake_case")]
pub enum Mark {
    /// The engine started.
    EngineStarted {
        /// Its version.
        version: String,
        /// How many running services it found again.
        adopted: u32,
        /// Where the one before ended abruptly: until when everything is known. Requests to models after
        /// that may be missing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        known_until: Option<Timestamp>,
    },
    /// A service was restarted by hand.
    Restart {
        /// Which.
        service: String,
    },
    /// The machine slept.
    Slept {
        /// For how long.
        slept_ms: u64,
    },
    /// Something was deployed, as its reporter tells.
    Deploy {
        /// What.
        what: Option<String>,
        /// Its version.
        version: Option<String>,
    },
}
