//! Services, instances, probes, restart policy, dependency order, adoption.
//!
//! # Theory of operation
//!
//! - [`Supervisor`] is the handle. It knows the services' order and nothing else; all else lives in the instances.
//! - An *instance* is one task that owns its shim's connection, its probes, its timers and the callers that wait for
//!   it. What it does is decided by a pure machine (`machine`): inputs and the time in, effects out.
//! - A *cell* is what is shown of a service. Instances write it, anyone reads it without waiting, and dependants are
//!   woken by it.
//! - The *seams* ([`Surroundings`], [`Memory`], [`Driver`]) are what the rest of the house does for us.
//!
//! # Invariants
//!
//! - **One process an instance at most:** a start is given only when the tree before it is known to be empty.
//! - **A manual stop wins** over every restart, and outlives the engine.
//! - **A death is answered in the instance's own task:** shim → task → shim, without a hop or a disk between.
//! - **What is not ours is never ended unasked.**
//! - **Every state has a cause and a since.**

mod cell;
mod instance;
mod launch;
mod logs;
mod machine;
mod open_files;
mod order;
mod ports;
mod probe;
mod seams;
mod seat;
mod shared;
mod shim_link;
mod supervisor;

pub use cell::{Standing, Trouble};
pub use cockpit_model::host::InstanceUse;
pub use seams::{Driver, Drivers, EventSink, Memory, Observation, Parts, Surroundings};
pub use supervisor::{Changes, Error, Supervisor, Tracked};
