//! What happens, and what others report.
//!
//! - [`bus`]: a closed set of events, a ring in memory, subscriptions that resume.
//! - [`ingest`]: what applications report, as JSON or by OpenTelemetry, translated into records.

pub mod bus;
pub mod ingest;

pub use bus::{Bus, History, RING};
