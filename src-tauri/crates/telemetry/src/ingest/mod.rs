//! What applications report of themselves: `POST /api/events` and OTLP, translated into [`Record`]s.
//!
//! # Theory of operation
//!
//! Translating is pure: bytes and a [`Setting`] in, records and refusals out. Who takes the bytes (the API's
//! handler, [`otlp::Door`]) and who keeps the records (the ledger, behind [`Ledger`]) are elsewhere.
//!
//! - [`events`]: JSON, one object, an array or a line each.
//! - [`otlp`]: spans of requests to models, logs, metrics.
//! - [`notices`]: what of it a person sees in the list of events.
//!
//! **Invariants.** What is acknowledged is on the disk. What cannot be accounted for is refused by itself, with a
//! reason; the rest is kept. What is told twice counts once. What was not told is absent, never zero. Prompts and
//! answers that come along are not kept.

pub mod events;
mod fault;
mod gunzip;
pub mod notices;
pub mod otlp;
mod prices;
mod provider;

use std::net::IpAddr;

use cockpit_metering::price::Tokens;
use cockpit_model::{Record, Timestamp, Usd};
use futures_util::future::BoxFuture;

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
    pub gateways: Vec<Address>,
}

impl Setting {
    /// What a call cost and the version of what says so; `None`: it is not known. What costs nothing costs nothing
    /// however much it is.
    fn price(
        &self,
        provider: &str,
        asked: &str,
        answered: Option<&str>,
        tokens: Option<Tokens>,
    ) -> Option<(Usd, String)> {
        let any = Tokens {
            input: 1_000_000,
            output: 1_000_000,
            ..Tokens::default()
        };
        let told = tokens.as_ref().unwrap_or(&any);
        let priced = self.prices.cost(provider, asked, answered, told)?;
        (tokens.is_some() || priced.cost == Usd::ZERO)
            .then(|| (priced.cost, priced.version().to_owned()))
    }
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

impl Address {
    /// Whether a client that talks to `host` and `port` talks to this.
    fn is(&self, host: &str, port: u64) -> bool {
        if port != u64::from(self.port) {
            return self.is_named(host) && matches!(port, 80 | 443);
        }
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        if let Ok(ip) = bare.parse::<IpAddr>() {
            return ip == self.ip || ip.is_loopback() || self.ip.is_unspecified();
        }
        bare.eq_ignore_ascii_case("localhost") || self.is_named(bare)
    }

    fn is_named(&self, host: &str) -> bool {
        self.names
            .iter()
            .any(|name| name.eq_ignore_ascii_case(host))
    }
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

/// Where records are kept.
pub trait Ledger: Send + Sync + 'static {
    /// The setting as it is now.
    fn setting(&self) -> Setting;

    /// Resolves once the records are on the disk: for each, in its order, what became of it.
    fn keep(&self, records: Vec<Record>) -> BoxFuture<'static, Result<Vec<Kept>, NotKept>>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_talks_to_the_gateway() {
        let gateway = Address {
            ip: IpAddr::from([127, 0, 0, 1]),
            port: 11435,
            names: vec!["studio.ts.net".to_owned()],
        };
        for (host, port, is) in [
            ("127.0.0.1", 11435, true),
            ("localhost", 11435, true),
            ("LocalHost", 11435, true),
            ("[::1]", 11435, true),
            ("::1", 11435, true),
            ("studio.ts.net", 443, true),
            ("studio.ts.net", 11435, true),
            ("studio.ts.net", 9, false),
            ("localhost", 11434, false),
            ("api.openai.com", 443, false),
            ("192.168.1.7", 11435, false),
            ("", 11435, false),
        ] {
            assert_eq!(gateway.is(host, port), is, "{host}:{port}");
        }
    }
}
