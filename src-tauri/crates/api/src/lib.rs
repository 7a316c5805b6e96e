//! One axum Router for everything a person or program can ask; owns the trait the engine implements.

pub mod cockpit;

pub use cockpit::{Chart, ChartFormat, ChartKind, Cockpit, Found, Live, LoginItem, Plan};
