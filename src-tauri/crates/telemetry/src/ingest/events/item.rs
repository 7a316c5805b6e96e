//! One event as it was written: its fields, not yet judged.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::value::{Maybe, Told};

macro_rules! fields {
    ($($name:literal $(| $alias:literal)* => $field:ident,)*) => {
        /// The fields any kind of event may have. Others are passed over; a report keeps them as they are.
        #[derive(Debug, Default)]
        pub(super) struct Item<'a> {
            pub(super) tags: Option<&'a RawValue>,
            $(pub(super) $field: Maybe<'a>,)*
        }

        impl<'a> Item<'a> {
            /// Takes the value of a field; `false` where there is no such one.
            fn set<'de: 'a, M: MapAccess<'de>>(&mut self, name: &str, map: &mut M) -> Result<bool, M::Error> {
                match name {
                    "tags" => self.tags = Some(map.next_value()?),
                    $($name $(| $alias)* => {
                        let told: Told<'de> = map.next_value()?;
                        self.$field = Some(told);
                    })*
                    _ => return Ok(false),
                }
                Ok(true)
            }
        }
    };
}

fields! {
    "id" => id,
    "type" => kind,
    "at" | "time" | "timestamp" => at,
    "user" => user,
    "agent" => agent,
    "key" => key,
    "provider" => provider,
    "model" => model,
    "requested_model" => requested_model,
    "route" => route,
    "operation" => operation,
    "outcome" => outcome,
    "error" => error,
    "status" => status,
    "finish_reason" => finish_reason,
    "input_tokens" => input_tokens,
    "output_tokens" => output_tokens,
    "cached_input_tokens" => cached_input_tokens,
    "cache_write_tokens" => cache_write_tokens,
    "latency_ms" => latency_ms,
    "ttft_ms" => ttft_ms,
    "streamed" => streamed,
    "attempts" => attempts,
    "fallback" => fallback,
    "cost_usd" => cost_usd,
    "ok" => ok,
    "completed" => completed,
    "success" => success,
    "score" => score,
    "rating" => rating,
    "thumb" => thumb,
    "version" => version,
    "service" => service,
}

impl<'de: 'a, 'a> Deserialize<'de> for Item<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = Item<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Item<'de>, M::Error> {
                let mut item = Item::default();
                while let Some(Key(name)) = map.next_key()? {
                    if !item.set(&name, &mut map)? {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(item)
            }
        }

        deserializer.deserialize_map(Reader)
    }
}

/// A field's name, borrowed where it holds no escapes.
pub(super) struct Key<'a>(pub(super) Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Key<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = Key<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Borrowed(name)))
            }

            fn visit_str<E>(self, name: &str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Owned(name.to_owned())))
            }
        }

        deserializer.deserialize_str(Reader)
    }
}

/// All fields of an object as they are written, in their order.
pub(super) struct Written<'a>(pub(super) Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Written<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = Written<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Written<'de>, M::Error> {
                let mut all = Vec::new();
                while let Some(Key(name)) = map.next_key()? {
                    all.push((name, map.next_value()?));
                }
                Ok(Written(all))
            }
        }

        deserializer.deserialize_map(Reader)
    }
}
