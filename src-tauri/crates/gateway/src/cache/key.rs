//! What makes two requests the same.

use cockpit_metering::wire::Dialect;
use hyper::HeaderMap;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::force::Chain;
use crate::gate::{self, Caller};

/// A hash of everything that may make a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Key([u8; 32]);

impl From<[u8; 32]> for Key {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

/// Headers that change what a vendor answers.
const TELLING: [&str; 5] = [
    "anthropic-version",
    "anthropic-beta",
    "openai-beta",
    "openai-organization",
    "openai-project",
];

/// The key of a request; `None`: it is not one whose answer could be given again.
///
/// Whose it is counts: what one key was answered, another never gets. Without keys of ours, it is the one the caller
/// sends for the vendor that tells callers apart. In the body the order of fields and the space between them make no
/// difference; everything else does, `user` and `seed` included.
pub(crate) fn of(
    dialect: Dialect,
    path_and_query: &str,
    headers: &HeaderMap,
    caller: &Caller,
    chain: &Chain,
    body: &[u8],
) -> Option<Key> {
    let body: Value = serde_json::from_slice(body).ok()?;
    if acts(dialect, &body) {
        return None;
    }
    let mut hash = Sha256::new();
    let mut part = |tag: u8, bytes: &[u8]| {
        hash.update([tag]);
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    match (&caller.key, gate::presented(headers)) {
        (Some(key), _) => part(b'k', key.name.as_bytes()),
        (None, Some(own)) => part(b'o', &gate::hash(own)),
        (None, None) => part(b'n', &[]),
    }
    part(b'd', format!("{dialect:?}").as_bytes());
    part(b'p', path_and_query.as_bytes());
    for name in TELLING {
        for value in headers.get_all(name) {
            part(b'h', name.as_bytes());
            part(b'v', value.as_bytes());
        }
    }
    if let Some(route) = &chain.route {
        part(b'r', route.name.as_bytes());
    }
    for (target, provider) in &chain.targets {
        part(b't', target.name().as_bytes());
        part(b'u', provider.spec.base_url.as_bytes());
    }
    write(&mut hash, &body);
    Some(Key(hash.finalize().into()))
}

/// Whether a request does something besides being answered: work in the background, a turn of a conversation that the
/// vendor keeps.
fn acts(dialect: Dialect, body: &Value) -> bool {
    let set = |field: &str| body.get(field).is_some_and(|value| !value.is_null());
    dialect == Dialect::OpenAiResponses
        && (body.get("background") == Some(&Value::Bool(true)) || set("conversation"))
        || body.get("store") == Some(&Value::Bool(true))
}

/// Writes a value so that no two different ones are written alike.
fn write(hash: &mut Sha256, value: &Value) {
    match value {
        Value::Null => hash.update(b"0"),
        Value::Bool(truth) => hash.update(if *truth { b"1" } else { b"2" }),
        Value::Number(number) => text(hash, b'#', &number.to_string()),
        Value::String(string) => text(hash, b'"', string),
        Value::Array(items) => {
            hash.update(b"[");
            hash.update((items.len() as u64).to_le_bytes());
            for item in items {
                write(hash, item);
            }
        }
        Value::Object(members) => {
            hash.update(b"{");
            hash.update((members.len() as u64).to_le_bytes());
            let mut sorted: Vec<_> = members.iter().collect();
            sorted.sort_unstable_by_key(|(name, _)| *name);
            for (name, member) in sorted {
                text(hash, b':', name);
                write(hash, member);
            }
        }
    }
}

fn text(hash: &mut Sha256, tag: u8, text: &str) {
    hash.update([tag]);
    hash.update((text.len() as u64).to_le_bytes());
    hash.update(text.as_bytes());
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use cockpit_model::traffic::{KeySpec, Limits, Target};
    use hyper::header::{AUTHORIZATION, HeaderValue};
    use proptest::prelude::*;
    use std::sync::Arc;

    fn chain() -> Chain {
        Chain {
            named: false,
            route: None,
            targets: Vec::<(Target, _)>::new(),
        }
    }

    fn caller(name: Option<&str>) -> Caller {
        Caller {
            key: name.map(|name| {
                Arc::new(KeySpec {
                    name: name.to_owned(),
                    secret: None,
                    limits: Limits::default(),
                })
            }),
        }
    }

    fn key(name: Option<&str>, own: Option<&str>, body: &str) -> Option<Key> {
        let mut headers = HeaderMap::new();
        if let Some(own) = own {
            let bearer = HeaderValue::try_from(format!("Bearer {own}")).unwrap();
            headers.insert(AUTHORIZATION, bearer);
        }
        let path = "/v1/chat/completions";
        of(
            Dialect::OpenAiChat,
            path,
            &headers,
            &caller(name),
            &chain(),
            body.as_bytes(),
        )
    }

    #[test]
    fn the_same_is_the_same_and_everything_else_is_not() {
        let one = key(
            None,
            None,
            r#"{"model":"m","temperature":0.5,"messages":[1,"2"]}"#,
        )
        .unwrap();
        let spaced = r#"{ "messages": [1, "\u0032"], "temperature": 5e-1, "model":"m" }"#;
        assert_eq!(key(None, None, spaced), Some(one));
        for other in [
            r#"{"model":"m","temperature":0.5,"messages":["2",1]}"#,
            r#"{"model":"m","temperature":0.5,"messages":[1,2]}"#,
            r#"{"model":"m","temperature":0.5,"messages":[[1,"2"]]}"#,
            r#"{"model":"m","temperature":0.5,"messages":[1,"2"],"user":"ada"}"#,
            r#"{"model":"m","temperature":0.5,"messages":[1,"2"],"stream":true}"#,
        ] {
            assert_ne!(key(None, None, other), Some(one), "{other}");
        }
    }

    #[test]
    fn nobody_gets_what_another_was_answered() {
        let body = r#"{"model":"m"}"#;
        let keys = [
            key(None, None, body),
            key(None, Some("sk-a"), body),
            key(None, Some("sk-b"), body),
            key(Some("a"), Some("sk-a"), body),
            key(Some("b"), Some("sk-a"), body),
        ];
        for (n, one) in keys.iter().enumerate() {
            assert!(keys.iter().skip(n + 1).all(|other| other != one));
        }
        assert_eq!(
            key(Some("a"), Some("x"), body),
            key(Some("a"), Some("y"), body),
            "a key that was renewed"
        );
    }

    #[test]
    fn what_acts_is_not_given_again() {
        assert_eq!(key(None, None, r#"{"model":"m","store":true}"#), None);
        assert_eq!(key(None, None, "no json"), None);
        let responses = |body: &str| {
            of(
                Dialect::OpenAiResponses,
                "/v1/responses",
                &HeaderMap::new(),
                &caller(None),
                &chain(),
                body.as_bytes(),
            )
        };
        assert!(responses(r#"{"background":true}"#).is_none());
        assert!(responses(r#"{"conversation":"c"}"#).is_none());
        assert!(responses(r#"{"background":false,"conversation":null}"#).is_some());
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i8>().prop_map(Value::from),
            "[a-c:#\"{}]{0,3}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 12, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::btree_map("[ab]{0,2}", inner, 0..3)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn two_values_are_written_alike_only_if_they_are(one in value(), other in value()) {
            let hash = |value: &Value| {
                let mut hash = Sha256::new();
                write(&mut hash, value);
                hash.finalize()
            };
            prop_assert_eq!(hash(&one) == hash(&other), one == other);
        }
    }
}
