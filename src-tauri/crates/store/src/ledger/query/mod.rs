//! Questions, answered from one state of the file.

mod calls;
mod groups;
mod merge;
mod usage;
mod window;

pub use calls::{Before, CallFilter, CallsQuery};
pub use usage::UsageQuery;

pub(crate) use calls::{call, calls};
pub(crate) use usage::usage;
