//! Recognises secrets that stand in the file, so that they are refused and never echoed.

/// Words in a key's name that promise a secret value.
const NAMES: &[&str] = &[
    "secret",
    "passw",
    "api_key",
    "apikey",
    "token",
    "credential",
    "private_key",
    "access_key",
    "routing_key",
    "webhook",
];

/// How well-known keys begin, and how long the rest is at least.
const PREFIXES: &[(&str, usize)] = &[
    ("sk-", 8),
    ("sk_live_", 8),
    ("sk_test_", 8),
    ("rk_live_", 8),
    ("pk_live_", 8),
    ("ghp_", 8),
    ("gho_", 8),
    ("ghs_", 8),
    ("ghu_", 8),
    ("github_pat_", 8),
    ("glpat-", 8),
    ("xoxb-", 8),
    ("xoxp-", 8),
    ("xoxa-", 8),
    ("xapp-", 8),
    ("AKIA", 16),
    ("AIza", 20),
    ("hf_", 16),
    ("gsk_", 16),
    ("xai-", 16),
    ("sbp_", 16),
    ("sb_secret_", 8),
    ("npm_", 20),
    ("dop_v1_", 16),
    ("tskey-", 8),
    ("cockpit_", 36),
    ("eyJhbGciOi", 20),
];

/// Whether a value looks like a key someone was given.
pub(crate) fn looks_like_key(value: &str) -> bool {
    has_key(value, |least| least)
}

/// Whether a value begins as a key does, however short: for variables whose name promises a secret.
pub(crate) fn begins_like_key(value: &str) -> bool {
    has_key(value, |_| 3)
}

fn has_key(value: &str, least: impl Fn(usize) -> usize) -> bool {
    if value.contains("-----BEGIN") && value.contains("PRIVATE KEY") {
        return true;
    }
    if value.contains("hooks.slack.com/services/") {
        return true;
    }
    value
        .split(|c: char| c.is_whitespace() || "=,;:'\"&?{}[]()".contains(c))
        .any(|word| {
            PREFIXES.iter().any(|(prefix, rest)| {
                word.strip_prefix(prefix).is_some_and(|tail| {
                    tail.chars().count() >= least(*rest)
                        && tail
                            .chars()
                            .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
                })
            })
        })
}

/// Whether a URL in the value carries a password (`scheme://user:password@host`).
pub(crate) fn has_url_password(value: &str) -> bool {
    value.match_indices("://").any(|(at, mark)| {
        let rest = value.get(at + mark.len()..).unwrap_or("");
        let url = rest
            .split(|c: char| c.is_whitespace() || "'\"".contains(c))
            .next()
            .unwrap_or("");
        let in_query = url
            .split(['?', '&'])
            .filter_map(|part| part.strip_prefix("password="))
            .any(|password| !password.is_empty() && !is_reference(password));
        in_query || url_password(url).is_some_and(|password| !is_reference(password))
    })
}

/// Whether a database URL names its password: `postgres://app:$DB_PASSWORD@host/app`.
pub(crate) fn names_password(url: &str) -> bool {
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    url_password(rest).is_some_and(is_reference)
}

/// The URL without the password it carries or names.
pub(crate) fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    match (url_password(rest), rest.split_once(':')) {
        (Some(password), Some((user, after))) => {
            let after = after.get(password.len()..).unwrap_or_default();
            format!("{scheme}://{user}{after}")
        }
        _ => url.to_owned(),
    }
}

/// The password of `user:password@host/…`, if there is one.
fn url_password(rest: &str) -> Option<&str> {
    let authority = rest.split(['/', '?', '#']).next()?;
    let (credentials, _) = authority.rsplit_once('@')?;
    let (_, password) = credentials.split_once(':')?;
    (!password.is_empty()).then_some(password)
}

/// Whether the value is a secret by its own looks.
pub(crate) fn is_secret(value: &str) -> bool {
    looks_like_key(value) || has_url_password(value)
}

/// Whether a name promises a secret: `STRIPE_SECRET`, `api_key`.
pub(crate) fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace('-', "_");
    NAMES.iter().any(|word| name.contains(word))
}

/// `${PASSWORD}` and `$PASSWORD` name a secret, they are none.
fn is_reference(value: &str) -> bool {
    value.starts_with('$')
}

/// A piece of the file that may be quoted: what follows `=` is cut off where it could be a secret.
pub(crate) fn redact_line(text: &str) -> String {
    if !is_secret(text) && !is_secret_name(text) {
        return text.to_owned();
    }
    match text.split_once('=') {
        // A name alone is no secret; a value beside it may be.
        Some((name, _)) if !is_secret(name) => format!("{} = …", name.trim()),
        None if !is_secret(text) && is_bare_key(text) => text.to_owned(),
        _ => "…".to_owned(),
    }
}

/// A TOML key or header: `api_key`, `[keys.token]`.
fn is_bare_key(text: &str) -> bool {
    text.chars()
        .all(|c| c.is_ascii_alphanumeric() || "-_.[]".contains(c))
}
