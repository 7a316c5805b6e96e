//! Addresses: `host:port`, who is loopback, which two are the same.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::fields::{At, Fields};
use crate::report::Finding;

/// `host:port` taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Address {
    /// Reads `host:port`; an IPv6 address stands in brackets.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let Some((host, port)) = text.rsplit_once(':') else {
            return Err("has no port".to_owned());
        };
        if host.is_empty() {
            return Err("has no host".to_owned());
        }
        if !is_host(host) {
            return Err("is not host:port".to_owned());
        }
        if port.is_empty() || !port.bytes().all(|b| b.is_ascii_digit()) {
            return Err("has no port".to_owned());
        }
        let port = port
            .parse()
            .map_err(|_| "has a port above 65535".to_owned())?;
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }

    /// Where a URL leads, if it names a port or its scheme has one.
    pub(crate) fn of_url(url: &str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let authority = rest.split(['/', '?', '#']).next()?;
        let place = authority.rsplit_once('@').map_or(authority, |(_, at)| at);
        let usual = if scheme.eq_ignore_ascii_case("https") {
            443
        } else {
            80
        };
        Self::parse(place)
            .or_else(|_| Self::parse(&format!("{place}:{usual}")))
            .ok()
    }

    /// A port of this machine that nobody else reaches.
    pub(crate) fn loopback(port: u16) -> Self {
        Self {
            host: Ipv4Addr::LOCALHOST.to_string(),
            port,
        }
    }

    /// What can be bound; none: a name that may stand for anything.
    pub(crate) fn socket(&self) -> Option<SocketAddr> {
        Some(SocketAddr::new(self.ip()?, self.port))
    }

    pub(crate) fn ip(&self) -> Option<IpAddr> {
        if self.host.eq_ignore_ascii_case("localhost") {
            return Some(IpAddr::V4(Ipv4Addr::LOCALHOST));
        }
        let host = self.host.trim_start_matches('[').trim_end_matches(']');
        host.parse().ok()
    }

    /// Whether only this machine reaches it. A name may be anything.
    pub(crate) fn is_loopback(&self) -> bool {
        self.ip().is_some_and(|ip| ip.is_loopback())
    }

    /// The host a client on this machine reaches it by, as it stands in a URL.
    pub(crate) fn client_host(&self) -> String {
        match self.ip() {
            Some(ip) if ip.is_unspecified() => "127.0.0.1".to_owned(),
            _ => self.host.clone(),
        }
    }

    /// Whether both cannot be listened on at once. Port 0 is a different one each time.
    pub(crate) fn collides(&self, other: &Self) -> bool {
        if self.port == 0 || self.port != other.port {
            return false;
        }
        match (self.ip(), other.ip()) {
            (Some(a), Some(b)) => a == b || a.is_unspecified() || b.is_unspecified(),
            _ => self.host.eq_ignore_ascii_case(&other.host),
        }
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl From<SocketAddr> for Address {
    fn from(at: SocketAddr) -> Self {
        let host = match at.ip() {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        };
        Self {
            host,
            port: at.port(),
        }
    }
}

/// A host name, an IPv4 address, or an IPv6 address in brackets.
pub(crate) fn is_host(host: &str) -> bool {
    if let Some(inner) = host.strip_prefix('[') {
        return inner
            .strip_suffix(']')
            .is_some_and(|ip| ip.parse::<std::net::Ipv6Addr>().is_ok());
    }
    !host.is_empty()
        && host.len() <= 253
        && host
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'-' || b == b'_')
}

/// An address we bind ourselves: loopback unless remote access is allowed.
pub(crate) fn bound(
    fields: &Fields<'_, '_>,
    default: SocketAddr,
    allow_remote: bool,
) -> At<SocketAddr> {
    let fallback = At {
        value: default,
        span: fields.key_span("listen"),
    };
    let example = default.to_string();
    let Some(text) = fields.open_text("listen", &example) else {
        return fallback;
    };
    let address = match Address::parse(&text.value) {
        Ok(address) => address,
        Err(why) => {
            fields.report.error(
                &text.span,
                Finding::new(format!("the address `{}` {why}", fields.path_of("listen")))
                    .suggest(format!("for example listen = \"{example}\"")),
            );
            return fallback;
        }
    };
    let Some(ip) = address.ip() else {
        fields.report.error(
            &text.span,
            Finding::new(format!(
                "`{}` must be an address of this machine, not a name",
                fields.path_of("listen")
            ))
            .suggest(format!("for example listen = \"{example}\"")),
        );
        return fallback;
    };
    if !ip.is_loopback() && !allow_remote {
        fields.report.error(
            &text.span,
            Finding::new(format!(
                "`{}` is reachable from other machines, which is not allowed here",
                fields.path_of("listen")
            ))
            .suggest(format!(
                "write 127.0.0.1:{}, or allow it with `allow_remote = true` under [cockpit]",
                address.port
            )),
        );
    }
    At {
        value: SocketAddr::new(ip, address.port),
        span: text.span,
    }
}

/// Host names without a port.
pub(crate) fn hosts(fields: &Fields<'_, '_>, key: &str) -> Vec<String> {
    let Some(list) = fields.texts(key, "[\"studio.tail1234.ts.net\"]") else {
        return Vec::new();
    };
    let mut hosts = Vec::new();
    for host in list.value {
        if is_host(&host.value) {
            hosts.push(host.value.to_ascii_lowercase());
        } else {
            fields.report.error(
                &host.span,
                Finding::new(format!(
                    "`{}` holds what is no host name",
                    fields.path_of(key)
                ))
                .suggest("write the name alone, without https:// and port"),
            );
        }
    }
    hosts
}
