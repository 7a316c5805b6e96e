//! Values made up by a JSON schema.

use rand::Rng;
use rand::rngs::StdRng;
use serde_json::{Map, Value, json};

use crate::words;

/// How deep a schema is followed; one that refers to itself has no end.
const DEEP: usize = 8;

/// A value that the schema allows; an object, where it says nothing.
pub(super) fn value(rng: &mut StdRng, schema: &Value) -> Value {
    of(rng, schema, schema, DEEP)
}

fn of(rng: &mut StdRng, schema: &Value, root: &Value, deep: usize) -> Value {
    if deep == 0 {
        return Value::Null;
    }
    let word = |rng: &mut StdRng| words::tokens(rng, 1).concat().to_lowercase();
    if let Some(constant) = schema.get("const") {
        return constant.clone();
    }
    if let Some(allowed) = schema.get("enum").and_then(Value::as_array) {
        let index = rng.random_range(0..allowed.len().max(1));
        return allowed.get(index).cloned().unwrap_or_default();
    }
    for key in ["anyOf", "oneOf", "allOf"] {
        if let Some(first) = schema.get(key).and_then(|any| any.get(0)) {
            return of(rng, first, root, deep - 1);
        }
    }
    if let Some(place) = schema.get("$ref").and_then(Value::as_str) {
        let target = place.strip_prefix('#').and_then(|at| root.pointer(at));
        return of(rng, target.unwrap_or(&Value::Null), root, deep - 1);
    }
    let kind = schema.get("type");
    let kind = kind.and_then(|kind| kind.as_str().or_else(|| kind.get(0)?.as_str()));
    match kind {
        Some("string") => json!(word(rng)),
        Some("integer") => json!(rng.random_range(1..100)),
        Some("number") => json!(f64::from(rng.random_range(10..1000_i32)) / 10.0),
        Some("boolean") => json!(rng.random::<bool>()),
        Some("null") => Value::Null,
        Some("array") => {
            let items = schema.get("items").cloned().unwrap_or_default();
            json!([of(rng, &items, root, deep - 1)])
        }
        _ => {
            let mut made = Map::new();
            let properties = schema.get("properties").and_then(Value::as_object);
            for (name, inner) in properties.into_iter().flatten() {
                made.insert(name.clone(), of(rng, inner, root, deep - 1));
            }
            if properties.is_none() && deep == DEEP {
                made.insert("answer".to_owned(), json!(word(rng)));
            }
            Value::Object(made)
        }
    }
}
