//! Who may come in over loopback TCP: the Host and Origin headers and the bearer token.
//!
//! The address alone proves nothing. Any page in the person's browser can send requests to
//! 127.0.0.1, and with DNS rebinding even read the answers, under its own name. So a request must
//! name us in `Host`; must come from our own pages or from no page at all (`Origin`); and for
//! everything private must carry the token, which only the owner of the data folder can read.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, HeaderName, Uri, header};
use cockpit_model::{Code, Problem};
use subtle::ConstantTimeEq;

/// The rules of the TCP door.
#[derive(Clone)]
pub struct Access {
    /// The bearer token; an empty one lets nobody in.
    pub token: String,
    /// The address the listener is bound to.
    pub listen: SocketAddr,
    /// Further names this cockpit answers to (`mac.tailnet.ts.net`), with a port or for any port.
    pub allowed_hosts: Vec<String>,
    /// Further origins (`http://localhost:5173`) whose pages may ask, exactly as a browser sends them.
    pub allowed_origins: Vec<String>,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access")
            .field("token", &"(secret)")
            .field("listen", &self.listen)
            .field("allowed_hosts", &self.allowed_hosts)
            .field("allowed_origins", &self.allowed_origins)
            .finish()
    }
}

impl Access {
    /// Judges a request by its head: `Err` for a foreign Host or Origin, else whether it carries
    /// the token.
    pub(crate) fn admit(&self, uri: &Uri, headers: &HeaderMap) -> Result<bool, Problem> {
        let host = only(headers, &header::HOST)
            .ok_or_else(|| foreign_host("the Host header is missing, repeated or not text"))?;
        let host = Authority::parse(host).ok_or_else(|| foreign_host(host))?;
        if !self.answers_to(&host) {
            return Err(foreign_host(&host.to_string()));
        }
        // An absolute target (`GET http://elsewhere/ HTTP/1.1`) must not name somebody else.
        if let Some(authority) = uri.authority() {
            let named = Authority::parse(authority.as_str());
            if !named.is_some_and(|named| self.answers_to(&named)) {
                return Err(foreign_host(authority.as_str()));
            }
        }
        if headers.contains_key(header::ORIGIN) {
            let origin = only(headers, &header::ORIGIN).unwrap_or("");
            if !self.own_origin(origin, &host) {
                return Err(Problem::new(
                    Code::ForbiddenOrigin,
                    "the Origin header names a page that is not this cockpit's",
                )
                .detail(excerpt(origin))
                .remedy("open the cockpit with `studio-cockpit open`"));
            }
        }
        Ok(self.holds_token(headers))
    }

    fn answers_to(&self, host: &Authority<'_>) -> bool {
        let own_port = host.port.unwrap_or(80) == self.listen.port();
        if own_port {
            if host.is("localhost") || host.is("127.0.0.1") || host.is("[::1]") {
                return true;
            }
            // A literal address cannot be rebound; it is ours if we listen there.
            if let Some(ip) = host.ip()
                && (ip == self.listen.ip() || self.listen.ip().is_unspecified())
            {
                return true;
            }
        }
        self.allowed_hosts.iter().any(|allowed| {
            Authority::parse(allowed).is_some_and(|allowed| {
                host.is(allowed.name) && (allowed.port.is_none() || allowed.port == host.port)
            })
        })
    }

    fn own_origin(&self, origin: &str, host: &Authority<'_>) -> bool {
        if self.allowed_origins.iter().any(|o| o == origin) {
            return true;
        }
        let Some((scheme, rest)) = origin.split_once("://") else {
            return false;
        };
        let default_port = match scheme {
            "http" => 80,
            "https" => 443,
            _ => return false,
        };
        Authority::parse(rest).is_some_and(|from| {
            from.is(host.name)
                && from.port.unwrap_or(default_port) == host.port.unwrap_or(default_port)
        })
    }

    fn holds_token(&self, headers: &HeaderMap) -> bool {
        let Some((scheme, token)) =
            only(headers, &header::AUTHORIZATION).and_then(|value| value.split_once(' '))
        else {
            return false;
        };
        scheme.eq_ignore_ascii_case("bearer")
            && !self.token.is_empty()
            && bool::from(token.trim().as_bytes().ct_eq(self.token.as_bytes()))
    }
}

/// The header's value, if it is there exactly once and is text.
fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    if values.next().is_some() {
        return None;
    }
    first.to_str().ok()
}

fn foreign_host(host: &str) -> Problem {
    Problem::new(
        Code::ForbiddenHost,
        "the Host header does not name this cockpit",
    )
    .detail(excerpt(host))
    .remedy("use http://127.0.0.1 with the cockpit's port, or add the name to `allowed_hosts` under [cockpit]")
}

/// The head of a text of unknown length, for an error message.
fn excerpt(text: &str) -> String {
    text.chars().take(100).collect()
}

/// `name[:port]` or `[v6][:port]`.
struct Authority<'a> {
    name: &'a str,
    port: Option<u16>,
}

impl<'a> Authority<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let text = text.trim();
        let (name, port) = if text.starts_with('[') {
            let end = text.find(']')?;
            let (name, rest) = text.split_at_checked(end + 1)?;
            (
                name,
                rest.strip_prefix(':').or(rest.is_empty().then_some("")),
            )
        } else {
            match text.split_once(':') {
                Some((name, port)) => (name, Some(port)),
                None => (text, Some("")),
            }
        };
        let port = match port? {
            "" if text.ends_with(':') => return None,
            "" => None,
            digits if digits.bytes().all(|b| b.is_ascii_digit()) => Some(digits.parse().ok()?),
            _ => return None,
        };
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._[]:".contains(&b);
        (!name.is_empty() && name.bytes().all(plain)).then_some(Self { name, port })
    }

    fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    fn ip(&self) -> Option<IpAddr> {
        self.name
            .trim_start_matches('[')
            .trim_end_matches(']')
            .parse()
            .ok()
    }
}

impl fmt::Display for Authority<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        reason = "tests"
    )]
    use axum::http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn access() -> Access {
        Access {
            token: "s3cret".into(),
            listen: "127.0.0.1:4700".parse().unwrap(),
            allowed_hosts: vec!["mac.tailnet.ts.net".into(), "box.lan:8080".into()],
            allowed_origins: vec!["http://localhost:5173".into()],
        }
    }

    fn ask(access: &Access, headers: &[(&str, &str)]) -> Result<bool, Code> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_str(value).unwrap(),
            );
        }
        access
            .admit(&Uri::from_static("/api/status"), &map)
            .map_err(|p| p.code)
    }

    #[test]
    fn own_hosts_are_let_in() {
        for host in [
            "127.0.0.1:4700",
            "localhost:4700",
            "LocalHost:4700",
            "[::1]:4700",
            "mac.tailnet.ts.net",
            "mac.tailnet.ts.net:443",
            "box.lan:8080",
        ] {
            assert_eq!(ask(&access(), &[("host", host)]), Ok(false), "{host}");
        }
    }

    #[test]
    fn foreign_hosts_are_refused() {
        for host in [
            "evil.example:4700",
            "127.0.0.1",
            "127.0.0.1:80",
            "127.0.0.1:4701",
            "localhost.evil.example:4700",
            "localhost.:4700",
            "192.168.1.7:4700",
            "box.lan",
            "box.lan:8081",
            "",
            ":4700",
            "127.0.0.1:",
            "127.0.0.1:4700@evil",
            "user@127.0.0.1:4700",
            "[::1:4700",
            "[::1]x:4700",
            "127.0.0.1:+4700",
        ] {
            assert_eq!(
                ask(&access(), &[("host", host)]),
                Err(Code::ForbiddenHost),
                "{host}"
            );
        }
        assert_eq!(ask(&access(), &[]), Err(Code::ForbiddenHost));
        assert_eq!(
            ask(
                &access(),
                &[("host", "127.0.0.1:4700"), ("host", "evil.example")]
            ),
            Err(Code::ForbiddenHost)
        );
    }

    #[test]
    fn an_absolute_target_must_name_us() {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static("127.0.0.1:4700"));
        let at = |uri: &'static str| access().admit(&Uri::from_static(uri), &headers);
        assert_eq!(
            at("http://evil.example/api/status").unwrap_err().code,
            Code::ForbiddenHost
        );
        assert!(at("http://127.0.0.1:4700/api/status").is_ok());
    }

    #[test]
    fn origins() {
        let from = |origin| ask(&access(), &[("host", "127.0.0.1:4700"), ("origin", origin)]);
        assert_eq!(from("http://127.0.0.1:4700"), Ok(false));
        assert_eq!(from("http://localhost:5173"), Ok(false));
        for origin in [
            "http://evil.example",
            "http://127.0.0.1:3000",
            "http://localhost:4700",
            "null",
            "",
            "file://127.0.0.1:4700",
        ] {
            assert_eq!(from(origin), Err(Code::ForbiddenOrigin), "{origin}");
        }
        let tunnel = |origin| {
            ask(
                &access(),
                &[("host", "mac.tailnet.ts.net"), ("origin", origin)],
            )
        };
        assert_eq!(tunnel("https://mac.tailnet.ts.net"), Ok(false));
        assert_eq!(
            tunnel("https://other.tailnet.ts.net"),
            Err(Code::ForbiddenOrigin)
        );
    }

    #[test]
    fn tokens() {
        let with = |value| {
            ask(
                &access(),
                &[("host", "127.0.0.1:4700"), ("authorization", value)],
            )
        };
        assert_eq!(with("Bearer s3cret"), Ok(true));
        assert_eq!(with("bearer s3cret"), Ok(true));
        for value in [
            "Bearer s3cre",
            "Bearer s3cret2",
            "Bearer ",
            "Bearer",
            "Basic s3cret",
            "s3cret",
        ] {
            assert_eq!(with(value), Ok(false), "{value}");
        }
        let mut open = access();
        open.token.clear();
        assert_eq!(
            ask(
                &open,
                &[("host", "127.0.0.1:4700"), ("authorization", "Bearer ")]
            ),
            Ok(false)
        );
    }

    #[test]
    fn bound_to_every_interface_any_literal_address_is_ours_and_no_name() {
        let mut open = access();
        open.listen = "0.0.0.0:4700".parse().unwrap();
        assert_eq!(ask(&open, &[("host", "192.168.1.7:4700")]), Ok(false));
        assert_eq!(
            ask(&open, &[("host", "evil.example:4700")]),
            Err(Code::ForbiddenHost)
        );
    }

    #[test]
    fn the_token_is_not_in_the_debug_text() {
        assert!(!format!("{:?}", access()).contains("s3cret"));
    }

    proptest! {
        #[test]
        fn no_header_panics_or_gets_in_by_chance(
            host in "[ -~]{0,40}",
            origin in "[ -~]{0,40}",
            authorization in "[ -~]{0,40}",
        ) {
            let admitted = ask(&access(), &[
                ("host", &host),
                ("origin", &origin),
                ("authorization", &authorization),
            ]);
            prop_assert_ne!(admitted, Ok(true));
        }
    }
}
