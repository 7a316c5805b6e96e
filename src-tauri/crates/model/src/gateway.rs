//! The gateway as people and programs see it: where to send requests, who answers them, what may still be
//! spent.

use std::net::SocketAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::money::Usd;

/// The gateway as it is now.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct GatewayView {
    /// Where it listens, or would; null when none is configured.
    pub listen: Option<SocketAddr>,
    /// Whether it takes requests there.
    pub open: bool,
    /// Why not, and what to do; null when it does.
    pub cause: Option<String>,
    /// Addresses of services that run behind it: it answers there as they would.
    pub fronts: Vec<FrontView>,
    /// Whether callers need a key.
    pub needs_key: bool,
    /// Who answers, in the order of the configuration.
    pub providers: Vec<GatewayProvider>,
    /// Chains of targets by name.
    pub routes: Vec<GatewayRoute>,
    /// What may be spent and was; the fullest first.
    pub budgets: Vec<BudgetView>,
    /// What of its settings cannot be used, each with whom that shuts out.
    pub trouble: Vec<String>,
}

/// The address of a service that runs behind the gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrontView {
    /// The address.
    pub listen: SocketAddr,
    /// The service.
    pub service: String,
    /// Whether the gateway answers there.
    pub open: bool,
    /// Why not, and what to do; null when it does.
    pub cause: Option<String>,
}

/// Whether a provider answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProviderState {
    /// As far as is known, it does.
    Ready,
    /// Requests to some of its models fail.
    Degraded,
    /// It is not asked: its service is down, or its key cannot be read.
    Down,
    /// Nobody has asked it lately.
    Unknown,
}

/// Somebody who answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatewayProvider {
    /// Its name.
    pub name: String,
    /// `openai`, `anthropic` or `ollama`.
    pub kind: String,
    /// Where it is asked, without a name or a password that the URL may hold.
    pub base_url: String,
    /// The service of this machine that it is.
    pub service: Option<String>,
    /// Whether what it answers costs nothing.
    pub local: bool,
    /// Whether it answers.
    pub state: ProviderState,
    /// Why it does not, or not as it should; empty when it does.
    pub cause: String,
    /// Since when it fails; null when it does not.
    pub since: Option<Timestamp>,
    /// Its models that fail, where it answers for others; empty where it is as it should be, or cannot be asked at all.
    pub failing: Vec<String>,
    /// Its waiting room; null where every request goes upstream at once.
    pub room: Option<WaitingRoom>,
}

/// How full a waiting room is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitingRoom {
    /// How many requests may be upstream at once.
    pub concurrency: u32,
    /// How many are.
    pub admitted: usize,
    /// How many may wait.
    pub capacity: u32,
    /// How many do.
    pub waiting: usize,
    /// How long the first of them has waited.
    pub longest_wait_ms: u64,
}

/// A chain of targets: the first that can answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatewayRoute {
    /// What callers write as their model.
    pub name: String,
    /// `provider/model` each, in the order they are asked.
    pub targets: Vec<String>,
}

/// How a budget stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BudgetView {
    /// Whose: `this cockpit`, or of a key, a user, an agent.
    pub whose: String,
    /// `day` or `month`, by the clock on the wall.
    pub period: String,
    /// What may be spent.
    pub limit_usd: Usd,
    /// What was.
    pub spent_usd: Usd,
    /// What requests under way may still cost.
    pub reserved_usd: Usd,
    /// When it begins at zero.
    pub renews_at: Timestamp,
}

impl BudgetView {
    /// Whether it is used up. A limit of zero is none that can be: whoever sets it wants nothing spent.
    pub fn is_spent(&self) -> bool {
        self.limit_usd > Usd::ZERO && self.spent_usd >= self.limit_usd
    }

    /// Whether it is of this cockpit or one of its keys, and not of one among many users or agents: that one of those
    /// has spent theirs is every day's business.
    pub fn is_own(&self) -> bool {
        self.whose == "this cockpit" || self.whose.starts_with("the key ")
    }
}
