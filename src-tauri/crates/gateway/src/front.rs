//! The address of an Ollama that runs behind the gateway.
//!
//! Who asks there was never told of a gateway, and is to notice none: every model is that Ollama's, by the name that
//! it has there; what is no request to a model goes through as it is; nobody on this machine needs a key. Whom
//! Ollama lets in by itself is let in: names that lead nowhere else (a container's `host.docker.internal`, a
//! Mac's `studio.local`), pages of this machine and of `OLLAMA_ORIGINS`. What comes through a tunnel has to
//! be named and needs a key, as everywhere.

use std::net::IpAddr;
use std::sync::Arc;

use cockpit_door::whence::{address, forwarded, without_port};
use cockpit_model::traffic::{FrontSpec, Target};
use hyper::HeaderMap;
use hyper::header::{HOST, ORIGIN};

use crate::force::{Chain, Provider};
use crate::gate::{self, Caller, Keys};
use crate::refusal::Refusal;

/// See the module.
#[derive(Debug)]
pub(crate) struct Front {
    pub(crate) spec: FrontSpec,
    pub(crate) provider: Arc<Provider>,
}

impl Front {
    /// Judges a request by its head.
    ///
    /// # Errors
    /// Whoever may not ask is told so.
    pub(crate) fn admit(
        &self,
        headers: &HeaderMap,
        peer: IpAddr,
        keys: &Keys,
        allowed_hosts: &[String],
    ) -> Result<Caller, Refusal> {
        let host = headers.get(HOST).map(|host| host.to_str().unwrap_or("?"));
        let is_own = host.is_none_or(|host| leads_nowhere_else(without_port(host)));
        if !is_own || forwarded(headers).is_some() || !peer.is_loopback() {
            return gate::admit(headers, peer, keys, allowed_hosts);
        }
        self.admit_page(headers, allowed_hosts)?;
        Ok(gate::known(headers, keys))
    }

    /// Judges the page that asks, if it is one.
    ///
    /// # Errors
    /// A foreign page may not ask.
    pub(crate) fn admit_page(
        &self,
        headers: &HeaderMap,
        allowed_hosts: &[String],
    ) -> Result<(), Refusal> {
        let origin = headers.get(ORIGIN).and_then(|origin| origin.to_str().ok());
        let let_in = |origin: &str| {
            let unspecified = ["http://0.0.0.0", "https://0.0.0.0"].iter().any(|own| {
                let rest = origin.strip_prefix(own);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
            });
            unspecified || self.spec.origins.iter().any(|one| matches(one, origin))
        };
        if origin.is_some_and(let_in) {
            return Ok(());
        }
        gate::admit_page(headers, allowed_hosts)
    }

    /// Who answers: this Ollama, for whatever model.
    pub(crate) fn chain(&self, model: &str) -> Chain {
        Chain {
            named: true,
            route: None,
            targets: vec![(
                Target {
                    provider: self.provider.spec.name.clone(),
                    model: model.to_owned(),
                },
                Arc::clone(&self.provider),
            )],
        }
    }
}

/// Whether a host's name cannot be made by a stranger to lead here: the ones Ollama answers to as well.
fn leads_nowhere_else(host: &str) -> bool {
    if let Some(ip) = address(host) {
        return ip.is_loopback()
            || ip.is_unspecified()
            || match ip {
                IpAddr::V4(ip) => ip.is_private(),
                IpAddr::V6(ip) => ip.is_unique_local(),
            };
    }
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    host == "localhost"
        || [".localhost", ".local", ".internal"]
            .iter()
            .any(|end| host.ends_with(end))
}

/// Whether an origin fits a pattern of `OLLAMA_ORIGINS`: `*` stands for anything.
fn matches(pattern: &str, origin: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| origin.strip_prefix(first)) else {
        return false;
    };
    let mut last = None;
    for part in parts {
        if let Some(between) = last.replace(part) {
            match rest.find(between) {
                Some(at) => rest = rest.get(at + between.len()..).unwrap_or_default(),
                None => return false,
            }
        }
    }
    last.map_or(rest.is_empty(), |end: &str| rest.ends_with(end))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn names_that_lead_nowhere_else() {
        for host in [
            "localhost",
            "127.0.0.1",
            "[::1]",
            "0.0.0.0",
            "192.168.1.5",
            "host.docker.internal",
            "Studio.local",
            "studio.local.",
        ] {
            assert!(leads_nowhere_else(host), "{host}");
        }
        for host in [
            "evil.example",
            "local",
            "notlocal",
            "8.8.8.8",
            "localhost.evil.example",
            "?",
            "",
        ] {
            assert!(!leads_nowhere_else(host), "{host}");
        }
    }

    #[test]
    fn origins_are_matched_as_ollama_does() {
        let cases = [
            ("*", "https://anything.example", true),
            ("https://a.example", "https://a.example", true),
            ("https://a.example", "https://a.example.evil", false),
            ("https://*.example", "https://b.example", true),
            ("https://*.example", "https://b.example.evil", false),
            ("http://a.example:*", "http://a.example:3000", true),
            ("moz-extension://*", "moz-extension://1234", true),
            ("https://*.a.*", "https://x.a.example", true),
            ("https://*.a.*", "https://a.example", false),
            ("a*a", "a", false),
        ];
        for (pattern, origin, fits) in cases {
            assert_eq!(matches(pattern, origin), fits, "{pattern} {origin}");
        }
    }
}
