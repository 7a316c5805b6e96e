//! Who may send.
//!
//! On this machine anybody may send, as exporters expect; pages of foreign origin may not. What comes from elsewhere,
//! or through a tunnel (which looks like this machine, but names another host or adds a header), needs the cockpit's
//! token: `OTEL_EXPORTER_OTLP_HEADERS="authorization=Bearer …"`.

use std::net::{IpAddr, SocketAddr};

use cockpit_door::whence::{address, is_from_elsewhere, is_loopback, page, without_port};
use hyper::StatusCode;
use hyper::header::{self, HeaderMap, HeaderValue};
use subtle::ConstantTimeEq as _;

use super::answer::Refusal;

/// Who may send.
#[derive(Clone)]
pub struct Rules {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Names this machine answers to besides loopback's.
    pub allowed_hosts: Vec<String>,
    /// What whoever is not on this machine must carry; an empty one lets nobody in.
    pub token: String,
}

impl Rules {
    pub(super) fn admit(
        &self,
        headers: &HeaderMap,
        peer: IpAddr,
        preflight: bool,
    ) -> Result<(), Refusal> {
        let mut hosts = headers.get_all(header::HOST).iter();
        let host = hosts.next().and_then(|host| host.to_str().ok());
        let host = host.filter(|_| hosts.next().is_none());
        let Some(said) = host else {
            return Err(Refusal::new(
                StatusCode::FORBIDDEN,
                "the Host header is missing, repeated or not text",
            ));
        };
        if is_from_elsewhere(Some(said), headers, peer) {
            let host = without_port(said);
            let own = address(host).is_some_and(|ip| {
                ip == self.listen.ip() || ip.is_loopback() || self.listen.ip().is_unspecified()
            });
            if !own && !self.is_named(host) {
                return Err(Refusal::new(
                    StatusCode::FORBIDDEN,
                    format!(
                        "`{}` is no name of this machine: send to http://127.0.0.1:{}, or add the name to \
                         `allowed_hosts` under [cockpit]",
                        host.chars().take(100).collect::<String>(),
                        self.listen.port()
                    ),
                ));
            }
            // A preflight carries nothing, and gets nothing but leave to ask.
            if !preflight && !self.holds_token(headers) {
                return Err(Refusal::new(
                    StatusCode::UNAUTHORIZED,
                    "what is not sent from this machine needs the cockpit's token: set \
                     OTEL_EXPORTER_OTLP_HEADERS=\"authorization=Bearer …\" with the content of the file `token` in \
                     the data folder",
                ));
            }
        }
        match headers.get(header::ORIGIN) {
            Some(origin) if !self.is_own_page(origin) => Err(Refusal::new(
                StatusCode::FORBIDDEN,
                "pages of this origin may not report here",
            )),
            _ => Ok(()),
        }
    }

    fn is_named(&self, host: &str) -> bool {
        self.allowed_hosts
            .iter()
            .any(|name| without_port(name).eq_ignore_ascii_case(host))
    }

    fn is_own_page(&self, origin: &HeaderValue) -> bool {
        let host = origin.to_str().ok().and_then(page).map(without_port);
        host.is_some_and(|host| is_loopback(host) || self.is_named(host))
    }

    fn holds_token(&self, headers: &HeaderMap) -> bool {
        let told = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok());
        let Some((scheme, token)) = told.and_then(|told| told.split_once(' ')) else {
            return false;
        };
        scheme.eq_ignore_ascii_case("bearer")
            && !self.token.is_empty()
            && bool::from(token.trim().as_bytes().ct_eq(self.token.as_bytes()))
    }
}
