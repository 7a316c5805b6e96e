//! Answers held against the schema that the caller asked for.
//!
//! A schema comes from outside: it reaches nothing beyond itself, its patterns are matched in linear time, and one that
//! leads back to itself without going deeper into the answer, or that branches beyond all bounds, is not used. What
//! cannot be used judges nothing: then an answer need only be JSON.

use std::collections::HashMap;
use std::sync::OnceLock;

use jsonschema::{PatternOptions, Validator};
use serde::Deserialize;
use serde_json::Value;

/// The longest schema that is used, in bytes.
const LONGEST: usize = 256 << 10;
/// How many places of a schema may be looked at for one place of an answer.
const BROADEST: u64 = 4096;
/// Places of a schema by places of an answer; beyond it an answer is not judged.
const MOST_WORK: u64 = 1 << 22;
/// How deep it leads for one place of an answer, times how deep the answer is: each step is one on the stack.
const DEEPEST: usize = 512;

/// A schema that answers are held against.
pub(crate) struct Schema {
    /// Made when the first answer is there.
    validator: OnceLock<Option<(Validator, Shape)>>,
    written: Value,
}

impl Schema {
    /// The schema of a request that asks for one.
    pub(crate) fn of(body: &[u8]) -> Option<Self> {
        let asked: Asked = serde_json::from_slice(body).ok()?;
        Some(Self {
            validator: OnceLock::new(),
            written: asked.schema()?,
        })
    }

    /// Whether an answer is what was asked for, as far as that can be told.
    pub(crate) fn allows(&self, answer: &Value) -> bool {
        let usable = self.validator.get_or_init(|| usable(&self.written));
        let Some((validator, shape)) = usable else {
            return true;
        };
        let (places, depth) = extent(answer);
        shape.breadth.saturating_mul(places) > MOST_WORK
            || shape.depth.saturating_mul(depth) > DEEPEST
            || validator.is_valid(answer)
    }
}

/// What a schema leads to for one place of an answer, at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shape {
    /// How many places of it are looked at.
    breadth: u64,
    /// How many of them one within another.
    depth: usize,
}

fn usable(schema: &Value) -> Option<(Validator, Shape)> {
    if schema.to_string().len() > LONGEST {
        return None;
    }
    let shape = shape(schema)?;
    let made = jsonschema::options()
        .with_pattern_options(PatternOptions::regex())
        .with_retriever(Nowhere)
        .build(schema);
    match made {
        Ok(validator) => Some((validator, shape)),
        Err(error) => {
            tracing::debug!(%error, "a schema that was asked for cannot be used");
            None
        }
    }
}

/// Fetches nothing.
struct Nowhere;

impl jsonschema::Retrieve for Nowhere {
    fn retrieve(
        &self,
        uri: &jsonschema::Uri<String>,
    ) -> Result<Value, Box<dyn std::error::Error + Send + Sync>> {
        Err(format!("{uri} is not fetched").into())
    }
}

/// How many values there are in one, and how deep they lie.
fn extent(value: &Value) -> (u64, usize) {
    let inner: Vec<&Value> = match value {
        Value::Array(items) => items.iter().collect(),
        Value::Object(members) => members.values().collect(),
        _ => return (1, 1),
    };
    // serde_json has bounded the depth.
    let sum = inner.into_iter().map(extent);
    let (places, depth) = sum.fold((0, 0), |(places, depth), (more, deeper)| {
        (places + more, depth.max(deeper))
    });
    (places + 1, depth + 1)
}

/// `None`: there is no end to it, or too much of it.
fn shape(schema: &Value) -> Option<Shape> {
    let mut known = HashMap::new();
    let mut most = Shape {
        breadth: 1,
        depth: 1,
    };
    for place in subschemas(schema) {
        // What names itself anew is referred to in ways that are not followed here.
        let root = std::ptr::eq(place, schema);
        if !root
            && (place.get("$id").is_some_and(Value::is_string) || place.get("$anchor").is_some())
        {
            return None;
        }
        let mut walk = Walk {
            root: schema,
            known: &mut known,
        };
        let shape = walk.shape(place, 0)?;
        most.breadth = most.breadth.max(shape.breadth);
        most.depth = most.depth.max(shape.depth);
    }
    Some(most)
}

/// Every object in a schema, whatever it means.
fn subschemas(schema: &Value) -> Vec<&Value> {
    let mut all = Vec::new();
    let mut open = vec![schema];
    while let Some(value) = open.pop() {
        match value {
            Value::Array(items) => open.extend(items),
            Value::Object(members) => {
                all.push(value);
                open.extend(members.values());
            }
            _ => {}
        }
    }
    all
}

struct Walk<'a, 'k> {
    root: &'a Value,
    /// What was found of each place already; `None` while it is being looked at.
    known: &'k mut HashMap<*const Value, Option<Shape>>,
}

impl<'a> Walk<'a, '_> {
    fn shape(&mut self, schema: &'a Value, level: usize) -> Option<Shape> {
        if level > DEEPEST {
            return None;
        }
        let mut shape = Shape {
            breadth: 1,
            depth: 1,
        };
        let Value::Object(members) = schema else {
            return Some(shape);
        };
        let place: *const Value = schema;
        match self.known.get(&place) {
            Some(Some(shape)) => return Some(*shape),
            // It leads back to itself; or so deep that it might as well.
            Some(None) => return None,
            None => {}
        }
        self.known.insert(place, None);
        for (keyword, value) in members {
            let next: Vec<&'a Value> = match keyword.as_str() {
                "allOf" | "anyOf" | "oneOf" => value.as_array().into_iter().flatten().collect(),
                "not" | "if" | "then" | "else" => vec![value],
                "dependentSchemas" | "dependencies" => value
                    .as_object()
                    .into_iter()
                    .flat_map(|all| all.values())
                    .collect(),
                "$ref" if value.is_string() => vec![self.referred(value)?],
                // Where these lead is known only in passing.
                "$dynamicRef" | "$recursiveRef" => return None,
                "enum" => {
                    let choices = value.as_array().map_or(0, Vec::len) as u64;
                    shape.breadth = shape.breadth.saturating_add(choices);
                    continue;
                }
                _ => continue,
            };
            for schema in next {
                let inner = self.shape(schema, level + 1)?;
                shape.breadth = shape.breadth.saturating_add(inner.breadth);
                shape.depth = shape.depth.max(inner.depth + 1);
            }
        }
        if shape.breadth > BROADEST || shape.depth > DEEPEST {
            return None;
        }
        self.known.insert(place, Some(shape));
        Some(shape)
    }

    /// What a reference within the schema leads to; `None`: elsewhere.
    fn referred(&self, reference: &Value) -> Option<&'a Value> {
        let pointer = reference.as_str()?.strip_prefix('#')?;
        if !pointer.is_empty() && !pointer.starts_with('/') {
            return None;
        }
        self.root.pointer(&unescaped(pointer))
    }
}

/// A pointer without the escapes of a URL.
fn unescaped(pointer: &str) -> String {
    let mut out = Vec::with_capacity(pointer.len());
    let mut rest = pointer.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        let escaped = after.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        let read = escaped.and_then(|two| u8::from_str_radix(two, 16).ok());
        if *byte == b'%'
            && let Some(read) = read
        {
            out.push(read);
            rest = after.get(2..).unwrap_or_default();
        } else {
            out.push(*byte);
            rest = after;
        }
    }
    String::from_utf8(out).unwrap_or_default()
}

/// What a request says of the answer's form, in any dialect.
#[derive(Deserialize)]
struct Asked {
    /// `OpenAI`.
    #[serde(default)]
    response_format: Value,
    /// `OpenAI`'s responses.
    #[serde(default)]
    text: Value,
    /// Anthropic.
    #[serde(default)]
    output_config: Value,
    /// Anthropic, before.
    #[serde(default)]
    output_format: Value,
    /// Ollama.
    #[serde(default)]
    format: Value,
}

impl Asked {
    fn schema(self) -> Option<Value> {
        let found = [
            (&self.response_format, "/json_schema/schema"),
            (&self.text, "/format/schema"),
            (&self.output_config, "/format/schema"),
            (&self.output_format, "/schema"),
        ]
        .into_iter()
        .find_map(|(value, pointer)| value.pointer(pointer).filter(|schema| schema.is_object()));
        match found {
            Some(schema) => Some(schema.clone()),
            None => self.format.is_object().then_some(self.format),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use super::*;
    use serde_json::json;

    fn of(schema: &Value) -> Schema {
        Schema::of(
            json!({"model": "m", "format": schema})
                .to_string()
                .as_bytes(),
        )
        .unwrap()
    }

    #[test]
    fn each_dialect_says_it_in_its_own_place() {
        let schema = json!({"type": "object", "required": ["a"]});
        for request in [
            json!({"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}}),
            json!({"text": {"format": {"type": "json_schema", "schema": schema}}}),
            json!({"output_config": {"format": {"type": "json_schema", "schema": schema}}}),
            json!({"output_format": {"type": "json_schema", "schema": schema}}),
            json!({"format": schema}),
        ] {
            let found = Schema::of(request.to_string().as_bytes()).unwrap();
            assert!(
                found.allows(&json!({"a": 1})) && !found.allows(&json!({"b": 1})),
                "{request}"
            );
        }
        for request in [
            json!({}),
            json!({"format": "json"}),
            json!({"response_format": {"type": "json_object"}}),
        ] {
            assert!(
                Schema::of(request.to_string().as_bytes()).is_none(),
                "{request}"
            );
        }
    }

    #[test]
    fn a_tree_is_held_against_a_schema_that_refers_to_itself() {
        let tree = of(&json!({
            "$ref": "#/$defs/node",
            "$defs": {"node": {"type": "object", "required": ["name"], "properties": {
                "name": {"type": "string", "pattern": "^[a-z]+$"},
                "children": {"type": "array", "items": {"$ref": "#/$defs/node"}},
            }}},
        }));
        assert!(tree.allows(&json!({"name": "a", "children": [{"name": "b"}]})));
        assert!(!tree.allows(&json!({"name": "a", "children": [{"name": "B"}]})));
        assert!(!tree.allows(&json!({"name": "a", "children": [{}]})));
    }

    #[test]
    fn a_schema_without_an_end_judges_nothing() {
        let mut doubling = json!({"$defs": {}});
        for n in 0..40 {
            let next = format!("#/$defs/{}", n + 1);
            doubling["$defs"][n.to_string()] = json!({"anyOf": [{"$ref": next}, {"$ref": next}]});
        }
        doubling["$defs"]["40"] = json!({"type": "string"});
        doubling["$ref"] = json!("#/$defs/0");
        for schema in [
            json!({"$ref": "#"}),
            json!({"allOf": [{"$ref": "#"}]}),
            json!({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"not": {"$ref": "#/$defs/a"}}}}),
            json!({"properties": {"a": {"$ref": "#/properties/a"}}}),
            json!({"$ref": "https://example.com/schema.json"}),
            json!({"$ref": "file:///etc/passwd"}),
            json!({"$dynamicRef": "#node"}),
            json!({"pattern": "(a)\\1"}),
            json!({"type": "nothing"}),
            doubling,
        ] {
            assert!(of(&schema).allows(&json!({"a": 1})), "{schema}");
        }
    }

    #[test]
    fn a_pattern_takes_no_more_time_than_the_text_is_long() {
        let schema = of(&json!({"pattern": "^(a+)+$"}));
        let text = format!("{}!", "a".repeat(100_000));
        assert!(!schema.allows(&json!(text)));
    }
}
