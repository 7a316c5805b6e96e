//! OTLP over HTTP: traces, metrics and logs, in protobuf and in JSON.
//!
//! - [`spans`]: a request to a model is a call; all else of a trace is not for us.
//! - [`logs`]: evaluations are feedback, other records are kept as they are, within bounds.
//! - [`metrics`]: the last value of each series, for whoever scrapes us. Those of requests to models are aggregates
//!   of the same calls and are not counted.
//! - [`Intake`] puts it together, [`Door`] takes it over HTTP.

mod above;
mod answer;
mod attributes;
mod decode;
mod door;
mod exposition;
mod intake;
mod json;
mod logs;
mod metrics;
mod rules;
mod spans;
#[cfg(test)]
mod tests;

pub use above::Above;
pub use decode::{Encoding, Malformed, Signal, logs, metrics, traces};
pub use door::Door;
pub use intake::Intake;
pub use logs::{Quota, translate as translate_logs};
pub use metrics::Series;
pub use rules::Rules;
pub use spans::translate as translate_spans;

use cockpit_model::Record;

/// What was made of a request.
#[derive(Debug, Default, PartialEq)]
pub struct Translated {
    /// What is to be kept.
    pub records: Vec<Record>,
    /// What cannot be.
    pub refused: Refused,
}

/// What cannot be accounted for: how much, and the first reasons.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Refused {
    count: i64,
    reasons: Vec<String>,
}

/// Reasons that are told of one request.
const MOST_REASONS: usize = 5;

impl Refused {
    /// One more.
    pub fn push(&mut self, reason: impl Into<String>) {
        self.count += 1;
        let reason = reason.into();
        if self.reasons.len() < MOST_REASONS && !self.reasons.contains(&reason) {
            self.reasons.push(reason);
        }
    }

    /// How much.
    pub const fn count(&self) -> i64 {
        self.count
    }

    /// The first reasons.
    pub fn message(&self) -> String {
        self.reasons.join("; ")
    }
}
