//! `ledger.db` from outside.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    unreachable_pub,
    missing_docs,
    reason = "tests"
)]

mod counting;
mod flood;
mod given;
mod naive;
mod older;
mod spending;
mod trouble;
