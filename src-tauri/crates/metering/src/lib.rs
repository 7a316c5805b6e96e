//! What a request to a model used, what it cost, and how many of them spread.
//!
//! **Invariant:** no I/O and no clock; nothing here panics on what a provider sends.
//!
//! - [`counters`]: what has happened since the engine began, for `/metrics`.
//! - [`percentile`] and [`sketch`]: how values spread, exactly and approximately, by the same rank.
//! - [`price`]: what tokens cost, by a table, in exact picodollars.
//! - [`wire`]: what requests ask and answers tell, whole or while they stream.

pub mod counters;
mod lenient;
pub mod percentile;
pub mod price;
pub mod sketch;
pub mod wire;
