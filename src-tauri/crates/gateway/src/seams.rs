//! What the gateway needs of the rest of the cockpit. `engine.rs` implements these.

use std::collections::BTreeMap;
use std::time::Duration;

use cockpit_model::traffic::SecretPlace;
use cockpit_model::{Call, EventBody, Report};
use futures_util::future::BoxFuture;

use crate::keep::Kept;

/// Where calls are written down.
pub trait Calls: Send + Sync + 'static {
    /// Takes a call that has ended. Must not wait.
    fn record(&self, call: Call);
}

/// Where findings are written down: failed authentication, unusual access, personal data, broken rules.
pub trait Findings: Send + Sync + 'static {
    /// Takes a report that stands for as many findings as the `count` in its body says; a few each minute,
    /// whatever the traffic. Must not wait.
    fn report(&self, report: Report);
}

/// Where prompts are kept, where a person wants that.
pub trait Prompts: Send + Sync + 'static {
    /// Takes the rules in force: how long what is said is kept, by route (an empty name for those without one). What
    /// no rule keeps is dropped.
    fn obey(&self, rules: BTreeMap<String, Duration>);

    /// Takes what was said. Must not wait.
    fn keep(&self, kept: Kept);
}

/// What the supervisor knows.
pub trait Standing: Send + Sync + 'static {
    /// Why a service cannot answer now; `None`: as far as is known, it can. Must not wait.
    fn down(&self, service: &str) -> Option<String>;

    /// The port a service was given on loopback; `None`: it has none, or none is known yet. Must not wait.
    fn port(&self, service: &str) -> Option<u16>;
}

/// Where secrets are kept.
pub trait Secrets: Send + Sync + 'static {
    /// Reads one.
    ///
    /// # Errors
    /// Why there is none, as a sentence without the secret.
    fn read<'a>(&'a self, place: &'a SecretPlace) -> BoxFuture<'a, Result<String, String>>;
}

/// Who is told what happens.
pub trait Events: Send + Sync + 'static {
    /// Must not wait.
    fn publish(&self, body: EventBody);
}
