//! From where a request comes, as far as its head and its peer tell.
//!
//! A tunnel on this machine (cloudflared, `tailscale serve`) makes the internet look like loopback, and a page in a
//! browser may have its own name lead here. So a request is from this machine only if its peer is, its `Host` names
//! nothing else, and it has no header that only proxies add.

use std::net::IpAddr;

use hyper::header::{HeaderMap, HeaderName};

/// Whether a request comes from elsewhere, or may. `host`: what its `Host` says.
pub fn is_from_elsewhere(host: Option<&str>, headers: &HeaderMap, peer: IpAddr) -> bool {
    let foreign = host.is_some_and(|host| !is_loopback(without_port(host)));
    foreign || forwarded(headers).is_some() || !peer.is_loopback()
}

/// The header, if there is one, that says that a request was forwarded.
pub fn forwarded(headers: &HeaderMap) -> Option<&HeaderName> {
    headers
        .keys()
        .find(|name| is_forwarding_name(name.as_str()))
}

/// Whether only a proxy adds a header of this name, which is in lower case.
pub fn is_forwarding_name(name: &str) -> bool {
    name.starts_with("x-forwarded-")
        || name.starts_with("cf-")
        || name.starts_with("tailscale-")
        || matches!(name, "forwarded" | "x-real-ip" | "true-client-ip" | "via")
}

/// A host's name, or its address, without a port.
pub fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        // A port is digits; the colon of a bare IPv6 address is inside of brackets.
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !name.ends_with(':') => {
            name
        }
        _ => host,
    }
}

/// The address that a host is written as, in brackets or not; none if it has a name.
pub fn address(host: &str) -> Option<IpAddr> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.parse().ok()
}

/// Whether a host, without a port, is this machine by a name or an address that nobody can have lead elsewhere.
pub fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || address(host).is_some_and(|ip| ip.is_loopback())
}

/// The host, with its port, of the web page that an `Origin` names; none if it names no web page.
pub fn page(origin: &str) -> Option<&str> {
    origin
        .strip_prefix("http://")
        .or_else(|| origin.strip_prefix("https://"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use hyper::header::HeaderValue;

    use super::*;

    const HERE: &str = "127.0.0.1";

    fn elsewhere(host: Option<&str>, header: Option<&'static str>, peer: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert("accept", HeaderValue::from_static("*/*"));
        if let Some(header) = header {
            headers.insert(header, HeaderValue::from_static("1.2.3.4"));
        }
        is_from_elsewhere(host, &headers, peer.parse().unwrap())
    }

    #[test]
    fn from_this_machine_is_what_names_it_and_was_not_forwarded() {
        for host in [
            "localhost",
            "LocalHost:11435",
            "127.0.0.1",
            "127.0.0.1:4318",
            "127.9.9.9",
            "[::1]",
            "[::1]:4318",
            "::1",
        ] {
            assert!(!elsewhere(Some(host), None, HERE), "{host}");
            assert!(elsewhere(Some(host), None, "100.64.0.9"), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "localhost.",
            "localhost:1:2",
            "127.0.0.1.evil.example:80",
            "192.168.1.7",
            "0.0.0.0",
            "[::2]:80",
            "?",
            "",
        ] {
            assert!(elsewhere(Some(host), None, HERE), "{host}");
        }
        assert!(!elsewhere(None, None, "::1"), "old clients name nobody");
        for header in [
            "x-forwarded-for",
            "x-forwarded-proto",
            "forwarded",
            "via",
            "x-real-ip",
            "true-client-ip",
            "cf-ray",
            "tailscale-user-login",
        ] {
            assert!(elsewhere(Some(HERE), Some(header), HERE), "{header}");
        }
        assert!(!elsewhere(Some(HERE), Some("x-forward"), HERE));
    }

    #[test]
    fn pages_by_their_hosts() {
        assert_eq!(page("http://localhost:5173"), Some("localhost:5173"));
        assert_eq!(page("https://[::1]"), Some("[::1]"));
        assert_eq!(page("https://a.example"), Some("a.example"));
        for none in ["null", "", "file://localhost", "app://x", "localhost"] {
            assert_eq!(page(none), None, "{none}");
        }
    }
}
