//! The words every other crate speaks: services and their states, the settings they run by,
//! samples of the machine, events, errors.
//!
//! **Invariant:** no I/O, no SQL, no HTTP, no tokio and no clock. A time is always a parameter.
//! The serialised names are the public contract of the API: times are RFC 3339 UTC, durations end
//! in their unit, sizes are bytes.

pub mod breaker;
pub mod call;
pub mod event;
pub mod gateway;
pub mod host;
pub mod kept;
pub mod keys;
pub mod logs;
pub mod money;
pub mod problem;
pub mod report;
pub mod service;
pub mod spec;
pub mod traffic;
pub mod usage;
pub mod verdict;

pub use breaker::{BreakerState, BreakerView};
pub use call::{Call, CallSource, Fault, Operation, Outcome, is_unpriced};
pub use event::{Event, EventBody, Mark};
pub use gateway::{GatewayProvider, GatewayView, ProviderState};
pub use jiff::Timestamp;
pub use money::Usd;
pub use problem::{Code, Problem};
pub use report::{Ingested, Record, Rejected, Report, ReportKind};
pub use service::{
    Action, Detail, Exit, HealthTick, Instance, InstanceState, Owner, PortHolder, ProbeView,
    Service,
};
pub use spec::ServiceSpec;
pub use verdict::{Status, Verdict, VerdictState};
