//! What calls amounted to: the answers of `/api/usage`.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::money::Usd;

/// What usage is grouped by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dimension {
    /// `provider/model`.
    Model,
    /// The provider's name.
    Provider,
    /// The route's name.
    Route,
    /// The user.
    User,
    /// The agent.
    Agent,
    /// The name of the key.
    Key,
    /// The error's code; only calls that failed.
    Error,
}

impl Dimension {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Model,
        Self::Provider,
        Self::Route,
        Self::User,
        Self::Agent,
        Self::Key,
        Self::Error,
    ];

    /// The word in a query.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Provider => "provider",
            Self::Route => "route",
            Self::User => "user",
            Self::Agent => "agent",
            Self::Key => "key",
            Self::Error => "error",
        }
    }
}

/// What calls amounted to over a window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// Over what time.
    pub window: UsageWindow,
    /// All calls.
    pub totals: Totals,
    /// By the asked dimension, the costliest first, then the busiest; empty when none was asked for.
    pub groups: Vec<Group>,
    /// Over time, oldest first; every step of the window is there.
    pub series: Vec<Point>,
    /// What people got out of it.
    pub business: Business,
    /// When requests may be missing, oldest first: an engine ended abruptly.
    #[serde(default)]
    pub interruptions: Vec<Interruption>,
    /// What was noticed at the gate.
    pub security: Security,
}

/// A window, begin included, end excluded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageWindow {
    /// Its begin.
    pub from: Timestamp,
    /// Its end.
    pub to: Timestamp,
    /// The length of a step of the series, in seconds.
    pub step_s: u64,
}

/// A time of which not everything is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interruption {
    /// Until here everything is known.
    pub from: Timestamp,
    /// From here on it is again: the next engine started.
    pub to: Timestamp,
}

/// Sums and percentiles of some calls.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Totals {
    /// All, whatever their outcome.
    pub calls: u64,
    /// Those that failed.
    pub errors: u64,
    /// Those whose caller went away.
    pub cancelled: u64,
    /// Those our own cache answered.
    pub cache_hits: u64,
    /// All input, cached tokens included.
    pub input_tokens: u64,
    /// All output.
    pub output_tokens: u64,
    /// Input read from the providers' caches.
    pub cached_input_tokens: u64,
    /// What the priced ones cost; null when there were calls and none had a price.
    pub cost_usd: Option<Usd>,
    /// How many used tokens, or succeeded without saying how many, and had no known price.
    pub unpriced_calls: u64,
    /// Whole answers, of successes.
    pub latency_ms: Percentiles,
    /// First pieces of streamed answers, of successes.
    pub ttft_ms: Percentiles,
    /// Output tokens for each second of writing, over all successes that tell; null when none does.
    pub output_tokens_per_second: Option<f64>,
}

/// Percentiles; null without values.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Percentiles {
    /// The median.
    pub p50: Option<f64>,
    /// 95 of 100 are at most this.
    pub p95: Option<f64>,
    /// 99 of 100 are at most this.
    pub p99: Option<f64>,
    /// By nearest rank from the single values, else within 1 % of it from merged sketches.
    pub exact: bool,
}

impl Default for Percentiles {
    /// Those of no values, which is exact.
    fn default() -> Self {
        Self {
            p50: None,
            p95: None,
            p99: None,
            exact: true,
        }
    }
}

/// The calls that share a value of a dimension.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// The value; null for calls without one.
    pub key: Option<String>,
    /// `true` for the one group that holds all values beyond the largest 1,000.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rest: bool,
    /// Their sums.
    #[serde(flatten)]
    pub totals: Totals,
    /// Over time, in the steps of [`Usage::series`]; of the largest 12 groups.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub series: Vec<Point>,
}

/// One step of a series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Its begin.
    pub at: Timestamp,
    /// What fell into it.
    #[serde(flatten)]
    pub totals: Totals,
}

/// What people got out of it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Business {
    /// Different users that called or were active.
    pub active_users: u64,
    /// Reported tasks that ended.
    pub tasks: u64,
    /// Those that were completed.
    pub tasks_completed: u64,
    /// Completed among ended; null without tasks.
    pub completion_rate: Option<f64>,
    /// Reported feedback.
    pub feedback: u64,
    /// The mean of its scores, from 0 to 1; null without feedback.
    pub satisfaction: Option<f64>,
}

/// What was noticed at the gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Security {
    /// Requests that were not let in for want of a good key, and reported failures of others.
    pub failed_authentications: u64,
    /// Times a key was used from a new address, at an unusual hour, or far more than ever before.
    pub unusual_access: u64,
    /// Personal data and secrets found in prompts.
    pub pii_detections: u64,
    /// Requests that broke a rule: foreign hosts and pages, models, sizes and words that are not allowed.
    pub policy_violations: u64,
}
