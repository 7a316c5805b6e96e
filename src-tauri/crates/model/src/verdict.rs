//! The one sentence: is the deployment well?

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::service::{InstanceState, Service};

/// The state the menubar's shape shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VerdictState {
    /// Everything that should run is ready.
    Well,
    /// Something is starting, stopping or restarting; nothing is known to be wrong.
    Busy,
    /// Something is wrong but answers, or is being restarted.
    Degraded,
    /// A service does not run and did not come back.
    Down,
    /// Nothing is known yet.
    Unknown,
}

/// `{state, summary, since, cause}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The state.
    pub state: VerdictState,
    /// One sentence: `All 4 services are ready`.
    pub summary: String,
    /// Since when.
    pub since: Timestamp,
    /// Why, in the words of the worst service; empty when all is well.
    pub cause: String,
}

/// `GET /api/status`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The verdict.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// Whether the configuration file holds.
    pub config: ConfigStatus,
    /// How many services.
    pub services: Counts,
    /// Incidents that are open.
    pub incidents_open: u32,
    /// The engine.
    pub engine: EngineInfo,
}

/// The engine as a client sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineInfo {
    /// Its version; an app of a newer one offers the upgrade.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// Since when it runs.
    pub started_at: Timestamp,
    /// Where its data is.
    pub data_dir: String,
    /// The configuration file in force.
    pub config_path: String,
    /// Whether this is the bundled demo stack.
    pub demo: bool,
    /// What of the engine itself does not work now, each with what to do: a database that cannot be
    /// used. The services are kept up all the same.
    #[serde(default)]
    pub trouble: Vec<String>,
}

/// How many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Counts {
    /// Ready (or done).
    pub ready: u32,
    /// Configured.
    pub total: u32,
}

/// The configuration's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigStatus {
    /// `ok` or `invalid`.
    pub state: ConfigState,
    /// What is wrong, `cockpit.toml:LINE:COLUMN: …` each.
    pub errors: Vec<ConfigError>,
    /// What is accepted but does nothing yet, or looks like a slip.
    pub warnings: Vec<ConfigError>,
}

/// Whether the configuration holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConfigState {
    /// It holds and is in force.
    Ok,
    /// The file on disk does not hold; the last good one is in force.
    Invalid,
}

/// One mistake in the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigError {
    /// The file.
    pub file: String,
    /// 1-based.
    pub line: usize,
    /// 1-based, in characters.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// The offending text; never a secret.
    pub text: Option<String>,
    /// What was probably meant, or what to write.
    pub suggestion: Option<String>,
}

impl std::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}:{}:{}: {}",
            self.file, self.line, self.column, self.message
        )?;
        if let Some(text) = &self.text {
            write!(f, ": `{text}`")?;
        }
        if let Some(suggestion) = &self.suggestion {
            write!(f, "; {suggestion}")?;
        }
        Ok(())
    }
}

impl Verdict {
    /// Judges the services. `now` is used only when there is nothing to take a time from.
    pub fn of(services: &[Service], now: Timestamp) -> Self {
        let watched: Vec<&Service> = services
            .iter()
            .filter(|s| !(s.state == InstanceState::Stopped && s.manual_stop))
            .collect();
        let Some(worst) = watched.iter().max_by_key(|s| s.state.badness()) else {
            let summary = if services.is_empty() {
                "No services are configured yet".to_owned()
            } else {
                "Every service is stopped by hand".to_owned()
            };
            return Self {
                state: VerdictState::Unknown,
                summary,
                since: now,
                cause: String::new(),
            };
        };
        let total = watched.len();
        let state = match worst.state {
            InstanceState::Ready | InstanceState::Done => VerdictState::Well,
            InstanceState::Stopped
            | InstanceState::Starting
            | InstanceState::Waiting
            | InstanceState::Stopping => VerdictState::Busy,
            InstanceState::Unknown => VerdictState::Unknown,
            InstanceState::Degraded | InstanceState::BackingOff | InstanceState::Failing => {
                VerdictState::Degraded
            }
            InstanceState::CrashLooping | InstanceState::Missing => VerdictState::Down,
        };
        if state == VerdictState::Well {
            let since = watched.iter().map(|s| s.since).max().unwrap_or(now);
            let held = services.len() - total;
            let mut summary = match total {
                1 => format!("{} is ready", worst.name),
                n => format!("All {n} services are ready"),
            };
            if held > 0 {
                summary.push_str(&format!(", {held} stopped by hand"));
            }
            return Self {
                state,
                summary,
                since,
                cause: String::new(),
            };
        }
        let bad = watched.iter().filter(|s| !s.is_ready()).count();
        let word = phrase(worst.state);
        let summary = if bad == 1 {
            format!("{} {word}", worst.name)
        } else {
            format!("{} {word}, and {} more", worst.name, bad - 1)
        };
        Self {
            state,
            summary,
            since: worst.since,
            cause: worst.cause.clone(),
        }
    }
}

/// The state as the predicate of a sentence.
const fn phrase(state: InstanceState) -> &'static str {
    match state {
        InstanceState::Stopped => "is stopped",
        InstanceState::Waiting => "is waiting",
        InstanceState::Starting => "is starting",
        InstanceState::Ready => "is ready",
        InstanceState::Degraded => "does not answer as it should",
        InstanceState::Failing => "is hung and is being restarted",
        InstanceState::BackingOff => "died and will be restarted",
        InstanceState::Stopping => "is stopping",
        InstanceState::CrashLooping => "keeps crashing",
        InstanceState::Missing => "is not installed",
        InstanceState::Done => "is done",
        InstanceState::Unknown => "has not been seen yet",
    }
}
