//! Readings of JSON that take what is of use and are not thrown by the rest: others write it, and not always as they
//! document it. A value of another type than expected counts as absent; it never fails the whole.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A value that is not a list or an object.
#[derive(Debug, Default)]
pub(crate) enum Scalar<'a> {
    /// Null, absent, or a list or an object.
    #[default]
    Nothing,
    Bool(bool),
    Whole(u64),
    /// A number that is negative or not whole.
    Number(f64),
    Text(Cow<'a, str>),
}

impl<'a> Scalar<'a> {
    /// A number of things.
    pub(crate) fn count(&self) -> Option<u64> {
        match *self {
            Self::Whole(count) => Some(count),
            // 12.0, as some write it. 2⁵³: beyond it floats are not whole numbers any more.
            Self::Number(count) if count.fract() == 0.0 && (0.0..9e15).contains(&count) => {
                Some(count as u64)
            }
            _ => None,
        }
    }

    pub(crate) fn number(&self) -> Option<f64> {
        match *self {
            Self::Whole(count) => Some(count as f64),
            Self::Number(number) => Some(number),
            _ => None,
        }
    }

    pub(crate) fn truth(&self) -> Option<bool> {
        match *self {
            Self::Bool(truth) => Some(truth),
            _ => None,
        }
    }

    /// Text that is not empty.
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) if !text.is_empty() => Some(text),
            _ => None,
        }
    }

    /// Text that is not empty.
    pub(crate) fn into_text(self) -> Option<Cow<'a, str>> {
        match self {
            Self::Text(text) if !text.is_empty() => Some(text),
            _ => None,
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Scalar<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Scalar<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Scalar::Nothing)
            }

            fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
                Ok(Scalar::Bool(value))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
                Ok(Scalar::Whole(value))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
                Ok(Scalar::Number(value as f64))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
                Ok(Scalar::Number(value))
            }

            fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Self::Value, E> {
                Ok(Scalar::Text(value.into()))
            }

            fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
                Ok(Scalar::Text(value.to_owned().into()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
                skip_list(seq)?;
                Ok(Scalar::Nothing)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                skip_object(map)?;
                Ok(Scalar::Nothing)
            }
        }

        deserializer.deserialize_any(Any)
    }
}

fn skip_list<'de, A: SeqAccess<'de>>(mut seq: A) -> Result<(), A::Error> {
    while seq.next_element::<IgnoredAny>()?.is_some() {}
    Ok(())
}

fn skip_object<'de, A: MapAccess<'de>>(mut map: A) -> Result<(), A::Error> {
    while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
    Ok(())
}

/// Text that is borrowed where it holds no escapes: a key.
#[derive(Debug, Deserialize)]
pub(crate) struct Key<'a>(#[serde(borrow)] pub(crate) Cow<'a, str>);

/// An object, if it is one.
#[derive(Debug)]
pub(crate) struct Object<T>(pub(crate) Option<T>);

impl<T> Default for Object<T> {
    fn default() -> Self {
        Self(None)
    }
}

/// The objects of a list, if it is one; `None` where it is not.
#[derive(Debug)]
pub(crate) struct List<T>(pub(crate) Option<Vec<T>>);

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T> List<T> {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().flatten()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.as_ref().is_none_or(Vec::is_empty)
    }
}

/// Whether there is something: a text, list or object that is not empty, or a number.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Something(pub(crate) bool);

/// The arms of a visitor for values that are not expected: absent.
macro_rules! absent {
    ($absent:expr) => {
        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok($absent)
        }

        fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
            Ok($absent)
        }

        fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
            Ok($absent)
        }

        fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
            Ok($absent)
        }

        fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
            Ok($absent)
        }
    };
}
pub(crate) use absent;

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Any<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }

            absent!(Object(None));

            fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
                Ok(Object(None))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
                skip_list(seq)?;
                Ok(Object(None))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(|value| Object(Some(value)))
            }
        }

        deserializer.deserialize_any(Any(PhantomData))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Any<T> {
            type Value = List<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }

            absent!(List(None));

            fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
                Ok(List(None))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut objects = Vec::new();
                while let Some(Object(object)) = seq.next_element()? {
                    objects.extend(object);
                }
                Ok(List(Some(objects)))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                skip_object(map)?;
                Ok(List(None))
            }
        }

        deserializer.deserialize_any(Any(PhantomData))
    }
}

impl<'de> Deserialize<'de> for Something {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Something;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }

            fn visit_unit<E>(self) -> Result<Something, E> {
                Ok(Something(false))
            }

            fn visit_bool<E>(self, value: bool) -> Result<Something, E> {
                Ok(Something(value))
            }

            fn visit_u64<E>(self, _: u64) -> Result<Something, E> {
                Ok(Something(true))
            }

            fn visit_i64<E>(self, _: i64) -> Result<Something, E> {
                Ok(Something(true))
            }

            fn visit_f64<E>(self, _: f64) -> Result<Something, E> {
                Ok(Something(true))
            }

            fn visit_str<E>(self, value: &str) -> Result<Something, E> {
                Ok(Something(!value.is_empty()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Something, A::Error> {
                let first = seq.next_element::<IgnoredAny>()?.is_some();
                skip_list(seq)?;
                Ok(Something(first))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Something, A::Error> {
                let first = map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some();
                skip_object(map)?;
                Ok(Something(first))
            }
        }

        deserializer.deserialize_any(Any)
    }
}
