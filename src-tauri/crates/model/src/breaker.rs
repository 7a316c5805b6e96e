//! Circuit breakers as people and programs see them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The breaker of one provider's model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BreakerView {
    /// The provider's name.
    pub provider: String,
    /// The model.
    pub model: String,
    /// Whether calls pass.
    pub state: BreakerState,
    /// Since when.
    pub since: Timestamp,
    /// Why.
    pub cause: String,
    /// When the next call is let through; null unless it is open.
    pub retry_at: Option<Timestamp>,
    /// Calls in the last minute.
    pub calls: u32,
    /// Those of them that failed.
    pub failed: u32,
}

/// Whether calls pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BreakerState {
    /// They do.
    Closed,
    /// They do not.
    Open,
    /// One does, to see.
    HalfOpen,
}
