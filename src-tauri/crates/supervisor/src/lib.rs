//! Services, instances, probes, restart policy, dependency order, adoption.

mod seams;
mod supervisor;

pub use seams::{Driver, Drivers, EventSink, Memory, Observation, Parts, Surroundings};
pub use supervisor::{Changes, Error, InstanceUse, Supervisor, Tracked};
