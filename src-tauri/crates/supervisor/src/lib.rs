//! Services, instances, probes, restart policy, dependency order, adoption.

mod machine;
mod seams;
mod supervisor;

pub use seams::{Driver, Drivers, EventSink, Memory, Observation, Parts, Surroundings};
pub use supervisor::{Changes, Error, InstanceUse, Supervisor, Tracked};
