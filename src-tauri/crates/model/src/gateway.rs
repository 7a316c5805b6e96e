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
    /// Whether callers need a key.
    pub needs_key: bool,
    /// Who answers, in the order of the configuration.
    pub providers: Vec<GatewayProvider>,
    /// Chains of targets by name.
    pub routes: Vec<GatewayRoute>,
    /// What may be spent and was; the fullest first.
    pub budgets: Vec<BudgetView>,
}

/// Somebody who answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatewayProvider {
    /// Its name.
    pub name: String,
    /// `openai`, `anthropic` or `ollama`.
    pub kind: String,
    /// The service of this machine that it is.
    pub service: Option<String>,
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
