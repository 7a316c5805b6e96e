//! What applications report of themselves: `POST /api/events`, translated into records.
//!
//! # Theory of operation
//!
//! Translating is pure: bytes and a [`Setting`] in, records and refusals out. Who takes the bytes (the API's
//! handler) and who keeps the records (the ledger) are elsewhere.
//!
//! - [`events`]: JSON, one object, an array or a line each.
//! - [`notices`]: what of it a person sees in the list of events.
//!
//! **Invariants.** What is acknowledged is on the disk. What cannot be accounted for is refused by itself, with a
//! reason; the rest is kept. What is told twice counts once. What was not told is absent, never zero. Prompts and
//! answers that come along are not kept.

pub mod events;
mod fault;
mod gunzip;
pub mod notices;
mod prices;
mod provider;

use std::net::IpAddr;

use cockpit_model::Timestamp;

pub use gunzip::{Unpacked, gunzip};
pub use prices::Prices;

/// What translating needs to know.
#[derive(Debug, Clone)]
pub struct Setting {
    /// The time of day.
    pub now: Timestamp,
    /// What tokens cost.
    pub prices: Prices,
    /// Where our own gateway listens: what goes through it is accounted for there.
    pub gateway: Option<Address>,
}

/// Where something listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The address it is bound to.
    pub ip: IpAddr,
    /// The port.
    pub port: u16,
    /// Names it is known by besides.
    pub names: Vec<String>,
}

/// What became of one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    /// It is on the disk.
    New,
    /// It was there already.
    Twice,
    /// It cannot be accounted for, and why.
    Refused(String),
}

/// The records could not be written; whoever sent them sends them again.
#[derive(Debug, Clone, thiserror::Error)]
#[error("nothing was kept: {why}")]
pub struct NotKept {
    /// Why not.
    pub why: String,
}
