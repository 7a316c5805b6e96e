//! What else is accounted for besides calls, as its reporter told it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::call::Call;

/// What is accounted for.
#[derive(Debug, Clone, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "they travel in batches, nearly all of them calls: a box each would cost more than it saves"
)]
pub enum Record {
    /// One request to a model.
    Call(Call),
    /// Anything else.
    Report(Report),
}

/// Something that happened and is no call. `None` is "not known".
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The id its reporter gave it.
    pub id: String,
    /// What it is about.
    pub kind: ReportKind,
    /// When it happened.
    pub at: Timestamp,
    /// On whose behalf, or by whom.
    pub user: Option<String>,
    /// By which agent.
    pub agent: Option<String>,
    /// The name of the key it came with; never the key.
    pub key: Option<String>,
    /// Of a task that ended: whether it was completed. Of an authentication: whether it succeeded.
    pub ok: Option<bool>,
    /// Of feedback: how satisfied, from 0 to 1.
    pub score: Option<f64>,
    /// Everything else that was told, as a JSON text.
    pub body: String,
}

/// What a report is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReportKind {
    /// A task, completed or not.
    Task,
    /// Somebody's judgement.
    Feedback,
    /// Somebody was active.
    Activity,
    /// An authentication.
    Auth,
    /// Personal data was found.
    Pii,
    /// A rule was applied.
    Policy,
    /// A deployment.
    Deploy,
    /// Anything else.
    Custom,
}

impl ReportKind {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Task,
        Self::Feedback,
        Self::Activity,
        Self::Auth,
        Self::Pii,
        Self::Policy,
        Self::Deploy,
        Self::Custom,
    ];

    /// The word in an event's `type`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Task => "task",
            Self::Feedback => "feedback",
            Self::Activity => "activity",
            Self::Auth => "auth",
            Self::Pii => "pii",
            Self::Policy => "policy",
            Self::Deploy => "deploy",
            Self::Custom => "custom",
        }
    }
}

/// What became of events that were reported together: the answer of `POST /api/events`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Ingested {
    /// How many are on the disk now.
    pub accepted: u64,
    /// How many were there already, by their id.
    pub duplicates: u64,
    /// Those that cannot be accounted for.
    pub rejected: Vec<Rejected>,
}

/// An event that cannot be accounted for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejected {
    /// Its place in what was sent, from 0.
    pub index: usize,
    /// Why, and what to write instead.
    pub reason: String,
}
