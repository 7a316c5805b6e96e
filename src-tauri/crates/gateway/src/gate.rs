//! Who may ask.
//!
//! That a request comes over loopback says little (`cockpit_door::whence`): one with a foreign Host or with a header
//! that only proxies add needs a configured key, and a Host that the person has named. A page in a browser on this
//! machine reaches loopback too: a foreign Origin is refused, except those of applications, which are no websites.
//!
//! **From where** a request comes is its peer's address, unless a program of this machine forwarded it: then it
//! is what that program says. Every proxy appends the address it was asked from to `x-forwarded-for`, so only
//! the last one there was written by the tunnel on this machine; all before it, and every other header, may be
//! the caller's own invention. `cf-connecting-ip` counts where there is nothing else.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use cockpit_door::whence::{forwarded, is_from_elsewhere, is_loopback, page, without_port};
use cockpit_model::traffic::KeySpec;
use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, HOST, ORIGIN};
use sha2::{Digest, Sha256};

pub(crate) use cockpit_door::whence::is_forwarding_name;

use crate::refusal::Refusal;
use crate::secret;

/// The SHA-256 of a key: all that is kept of one.
pub type KeyHash = [u8; 32];

/// The hash a key is kept and found by. Keys are long and random: a slow hash would protect nothing.
pub fn hash(key: &str) -> KeyHash {
    Sha256::digest(key.as_bytes()).into()
}

/// The keys in force.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    /// Whether any is configured, readable or not: then one is needed.
    pub(crate) needed: bool,
    pub(crate) by_hash: HashMap<KeyHash, Arc<KeySpec>>,
}

/// Who asks.
#[derive(Debug, Clone, Default)]
pub(crate) struct Caller {
    /// By the key; none: anybody on this machine.
    pub(crate) key: Option<Arc<KeySpec>>,
}

/// From where a request comes; see the module.
pub(crate) fn origin(headers: &HeaderMap, peer: IpAddr) -> IpAddr {
    let peer = peer.to_canonical();
    if !peer.is_loopback() {
        return peer;
    }
    let forwarded = headers.get_all("x-forwarded-for").iter().next_back();
    let forwarded = forwarded.and_then(|value| value.to_str().ok()?.rsplit(',').next());
    let direct = || headers.get("cf-connecting-ip")?.to_str().ok();
    forwarded
        .or_else(direct)
        .and_then(address)
        .map_or(peer, |address| address.to_canonical())
}

/// An address as proxies write it: some with a port, some in brackets.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = || text.parse().ok();
    let with_port = || Some(text.parse::<std::net::SocketAddr>().ok()?.ip());
    let in_brackets = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    bare().or_else(with_port).or_else(in_brackets)
}

/// Applications that show web pages of their own; the ones Ollama lets in as well.
const APPLICATIONS: &[&str] = &[
    "app://",
    "file://",
    "tauri://",
    "vscode-webview://",
    "vscode-file://",
];

/// Judges a request by its head.
///
/// # Errors
/// Whoever may not ask is told so, in whole sentences.
pub(crate) fn admit(
    headers: &HeaderMap,
    peer: IpAddr,
    keys: &Keys,
    allowed_hosts: &[String],
) -> Result<Caller, Refusal> {
    let host = headers.get(HOST).map(|host| host.to_str().unwrap_or("?"));
    let outside = is_from_elsewhere(host, headers, peer);
    if outside && !host.is_some_and(|host| is_named(host, allowed_hosts)) {
        let host_is_own = host.is_none_or(|host| is_loopback(without_port(host)));
        let why = match forwarded(headers) {
            Some(header) if host_is_own => {
                format!("the header `{header}` says that this request was forwarded")
            }
            _ => format!("`{}` is no name of this machine", host.unwrap_or_default()),
        };
        return Err(Refusal::new(
            "policy_host",
            format!(
                "{why}; to let a tunnel in, name its host in [gateway] allowed_hosts and give its callers a key \
                 under [keys]"
            ),
        ));
    }
    let caller = known(headers, keys);
    let presented = presented(headers);
    // Where nobody needs a key anything goes for one; but not a key that was taken from its owner, which a
    // vendor, moreover, must not be shown.
    let gone = caller.key.is_none() && presented.is_some_and(secret::is_made_here);
    if caller.key.is_none() && (keys.needed || outside || gone) {
        let what = if presented.is_some() {
            "the key is not, or no longer, one of this cockpit's"
        } else {
            "no key was sent"
        };
        return Err(Refusal::new(
            "caller_unauthorized",
            format!(
                "{what}; send it as `Authorization: Bearer …` or `x-api-key`: `studio-cockpit key list` names those there are, and `studio-cockpit key add NAME` makes one"
            ),
        ));
    }
    admit_page(headers, allowed_hosts)?;
    Ok(caller)
}

/// Who asks, by the key that was sent.
pub(crate) fn known(headers: &HeaderMap, keys: &Keys) -> Caller {
    let key = presented(headers)
        .filter(|_| !keys.by_hash.is_empty())
        .and_then(|key| keys.by_hash.get(&hash(key)).cloned());
    Caller { key }
}

/// Judges the page that asks, if it is one.
///
/// # Errors
/// A foreign page may not ask.
pub(crate) fn admit_page(headers: &HeaderMap, allowed_hosts: &[String]) -> Result<(), Refusal> {
    let Some(origin) = headers.get(ORIGIN) else {
        return Ok(());
    };
    let origin = origin.to_str().unwrap_or("?");
    if is_own_origin(origin, |host| is_named(host, allowed_hosts)) {
        return Ok(());
    }
    Err(Refusal::new(
        "policy_origin",
        format!(
            "pages of `{origin}` may not ask; name its host in [gateway] allowed_hosts to let them"
        ),
    ))
}

fn is_named(host: &str, allowed_hosts: &[String]) -> bool {
    let host = without_port(host).trim_end_matches('.');
    allowed_hosts
        .iter()
        .any(|one| one.eq_ignore_ascii_case(host))
}

/// The key a client of either protocol sends.
pub(crate) fn presented(headers: &HeaderMap) -> Option<&str> {
    let bearer = headers.get(AUTHORIZATION).and_then(|value| {
        let (scheme, key) = value.to_str().ok()?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
    });
    bearer
        .or_else(|| headers.get("x-api-key")?.to_str().ok().map(str::trim))
        .filter(|key| !key.is_empty())
}

fn is_own_origin(origin: &str, named: impl Fn(&str) -> bool) -> bool {
    if APPLICATIONS.iter().any(|scheme| origin.starts_with(scheme)) {
        return true;
    }
    page(origin).is_some_and(|host| is_loopback(without_port(host)) || named(host))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::type_complexity, reason = "tests")]
    use super::*;
    use hyper::header::HeaderName;
    use std::net::Ipv4Addr;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn keys(secret: Option<&str>) -> Keys {
        let spec = Arc::new(KeySpec {
            name: "app".to_owned(),
            secret: None,
            limits: cockpit_model::traffic::Limits::default(),
        });
        Keys {
            needed: secret.is_some(),
            by_hash: secret
                .iter()
                .map(|s| (hash(s), Arc::clone(&spec)))
                .collect(),
        }
    }

    fn judged(
        headers: &[(&str, &str)],
        peer: IpAddr,
        secret: Option<&str>,
    ) -> Result<Option<String>, &'static str> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
        }
        let allowed = ["studio.ts.net".to_owned()];
        admit(&map, peer, &keys(secret), &allowed)
            .map(|caller| caller.key.map(|key| key.name.clone()))
            .map_err(|refusal| refusal.code)
    }

    #[test]
    fn from_where_a_request_comes() {
        let remote: IpAddr = "100.64.0.9".parse().unwrap();
        let cases: &[(&[(&str, &str)], IpAddr, &str)] = &[
            (&[], HERE, "127.0.0.1"),
            (&[("x-forwarded-for", "203.0.113.7")], HERE, "203.0.113.7"),
            // Only the last was written by the tunnel.
            (
                &[("x-forwarded-for", "10.0.0.1, 203.0.113.7")],
                HERE,
                "203.0.113.7",
            ),
            (
                &[
                    ("x-forwarded-for", "10.0.0.1"),
                    ("x-forwarded-for", "203.0.113.7:4711"),
                    ("cf-connecting-ip", "10.0.0.2"),
                ],
                HERE,
                "203.0.113.7",
            ),
            (&[("cf-connecting-ip", "2001:db8::1")], HERE, "2001:db8::1"),
            (&[("x-forwarded-for", "[2001:db8::1]")], HERE, "2001:db8::1"),
            (&[("x-forwarded-for", "unknown")], HERE, "127.0.0.1"),
            // Who comes without a tunnel says nothing that counts.
            (&[("x-forwarded-for", "203.0.113.7")], remote, "100.64.0.9"),
            (&[], "::ffff:100.64.0.9".parse().unwrap(), "100.64.0.9"),
        ];
        for (headers, peer, expected) in cases {
            let mut map = HeaderMap::new();
            for (name, value) in *headers {
                map.append(HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
            }
            assert_eq!(origin(&map, *peer).to_string(), *expected, "{headers:?}");
        }
    }

    #[test]
    fn who_gets_in() {
        let app = Ok(Some("app".to_owned()));
        let remote: IpAddr = "100.64.0.9".parse().unwrap();
        let own = ("host", "127.0.0.1:11435");
        let tunnel = ("host", "Studio.ts.net");
        let bearer = ("authorization", "Bearer s3cret");
        let cases: &[(
            &[(&str, &str)],
            IpAddr,
            Option<&str>,
            Result<Option<String>, &str>,
        )] = &[
            (&[own], HERE, None, Ok(None)),
            (&[own, bearer], HERE, None, Ok(None)),
            (&[("host", "[::1]:11435")], HERE, None, Ok(None)),
            (&[("host", "localhost")], HERE, None, Ok(None)),
            (&[], HERE, None, Ok(None)),
            // With keys one is needed, from wherever.
            (&[own], HERE, Some("s3cret"), Err("caller_unauthorized")),
            (
                &[own, ("x-api-key", "s3cret")],
                HERE,
                Some("s3cret"),
                app.clone(),
            ),
            (
                &[own, ("authorization", "bearer  s3cret ")],
                HERE,
                Some("s3cret"),
                app.clone(),
            ),
            (
                &[own, ("authorization", "Basic s3cret")],
                HERE,
                Some("s3cret"),
                Err("caller_unauthorized"),
            ),
            (
                &[own, ("x-api-key", "")],
                HERE,
                Some("s3cret"),
                Err("caller_unauthorized"),
            ),
            // What a tunnel makes look like loopback.
            (&[("host", "evil.example")], HERE, None, Err("policy_host")),
            (
                &[("host", "evil.example"), bearer],
                HERE,
                Some("s3cret"),
                Err("policy_host"),
            ),
            (
                &[own, ("x-forwarded-for", "1.2.3.4"), bearer],
                HERE,
                Some("s3cret"),
                Err("policy_host"),
            ),
            (
                &[own, ("cf-connecting-ip", "1.2.3.4")],
                HERE,
                None,
                Err("policy_host"),
            ),
            (&[tunnel], HERE, None, Err("caller_unauthorized")),
            (
                &[tunnel, ("tailscale-user-login", "a@b.c")],
                HERE,
                None,
                Err("caller_unauthorized"),
            ),
            (
                &[tunnel, ("forwarded", "for=1.2.3.4"), bearer],
                HERE,
                Some("s3cret"),
                app.clone(),
            ),
            (&[tunnel, bearer], remote, Some("s3cret"), app),
            (&[own], remote, None, Err("policy_host")),
            // Pages.
            (
                &[own, ("origin", "https://evil.example")],
                HERE,
                None,
                Err("policy_origin"),
            ),
            (&[own, ("origin", "null")], HERE, None, Err("policy_origin")),
            (
                &[own, ("origin", "http://localhost:5173")],
                HERE,
                None,
                Ok(None),
            ),
            (
                &[own, ("origin", "http://localhost.evil.example")],
                HERE,
                None,
                Err("policy_origin"),
            ),
            (
                &[own, ("origin", "tauri://localhost")],
                HERE,
                None,
                Ok(None),
            ),
            (
                &[own, ("origin", "https://studio.ts.net")],
                HERE,
                None,
                Ok(None),
            ),
        ];
        for (headers, peer, secret, expected) in cases {
            assert_eq!(
                &judged(headers, *peer, *secret),
                expected,
                "{headers:?} from {peer}"
            );
        }
    }
}
