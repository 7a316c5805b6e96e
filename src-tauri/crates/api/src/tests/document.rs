//! The OpenAPI document: complete, sound, and true to what is really answered.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Entry, fake, request, sample};
use crate::router::{EXCHANGE, table};

fn document() -> Value {
    serde_json::from_str(&crate::openapi_document()).unwrap()
}

/// Follows `#/a/b`.
fn resolve<'d>(document: &'d Value, reference: &str) -> &'d Value {
    let pointer = reference.strip_prefix('#').expect("a local reference");
    document
        .pointer(pointer)
        .unwrap_or_else(|| panic!("{reference} leads nowhere"))
}

fn deref<'d>(document: &'d Value, value: &'d Value) -> &'d Value {
    match value["$ref"].as_str() {
        Some(reference) => resolve(document, reference),
        None => value,
    }
}

fn walk(value: &Value, visit: &mut impl FnMut(&Value)) {
    visit(value);
    match value {
        Value::Array(items) => items.iter().for_each(|item| walk(item, visit)),
        Value::Object(members) => members.values().for_each(|member| walk(member, visit)),
        _ => {}
    }
}

/// What of JSON Schema the document uses; and stricter: an object has no member that is not described.
fn fault(document: &Value, schema: &Value, value: &Value, at: &str) -> Option<String> {
    let schema = deref(document, schema);
    if let Some(choices) = schema["oneOf"].as_array() {
        let fits = choices
            .iter()
            .filter(|c| fault(document, c, value, at).is_none())
            .count();
        return (fits != 1).then(|| format!("{at}: fits {fits} of the choices: {value}"));
    }
    if let Some(constant) = schema.get("const") {
        return (constant != value).then(|| format!("{at}: {value} is not {constant}"));
    }
    if let Some(words) = schema["enum"].as_array()
        && !words.contains(value)
    {
        return Some(format!("{at}: {value} is not one of {words:?}"));
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(several) => several.iter().map(|t| t.as_str().unwrap()).collect(),
        other => return Some(format!("{at}: the schema's type is {other}")),
    };
    let is = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(n) if n.is_i64() || n.is_u64() => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    if !(types.contains(&is) || is == "integer" && types.contains(&"number")) {
        return Some(format!("{at}: {value} is {is}, not {types:?}"));
    }
    if let (Some(minimum), Some(number)) = (schema["minimum"].as_f64(), value.as_f64())
        && number < minimum
    {
        return Some(format!("{at}: {number} is below {minimum}"));
    }
    if let Value::Array(items) = value {
        return items
            .iter()
            .enumerate()
            .find_map(|(i, item)| fault(document, &schema["items"], item, &format!("{at}[{i}]")));
    }
    let members = value.as_object()?;
    for required in schema["required"].as_array().unwrap_or(&Vec::new()) {
        if !members.contains_key(required.as_str().unwrap()) {
            return Some(format!("{at}: lacks {required}"));
        }
    }
    members.iter().find_map(|(name, member)| {
        let at = format!("{at}.{name}");
        match schema["properties"].get(name).or_else(|| {
            schema
                .get("additionalProperties")
                .filter(|more| more.is_object())
        }) {
            Some(schema) => fault(document, schema, member, &at),
            None => Some(format!("{at}: is not described")),
        }
    })
}

#[test]
fn every_route_is_described_and_nothing_else() {
    let routes: BTreeSet<(String, String)> = table()
        .into_iter()
        .map(|route| (route.path.to_owned(), route.method.as_str().to_lowercase()))
        .collect();
    let document = document();
    let mut described = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            described.insert((path.clone(), method.clone()));
        }
    }
    assert_eq!(routes, described);
}

#[test]
fn it_is_sound() {
    let document = document();
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    let mut used = BTreeSet::new();
    walk(&document, &mut |value| {
        if let Some(reference) = value.get("$ref").and_then(Value::as_str) {
            resolve(&document, reference);
            used.insert(reference.to_owned());
        }
    });
    for (kind, members) in document["components"].as_object().unwrap() {
        for name in members.as_object().unwrap().keys() {
            let reference = format!("#/components/{kind}/{name}");
            assert!(
                kind == "securitySchemes" || used.contains(&reference),
                "{reference} is not used"
            );
        }
    }
    let mut ids = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap();
            assert!(ids.insert(id.to_owned()), "{id} twice");
            assert!(!operation["summary"].as_str().unwrap().is_empty());
            let tag = &operation["tags"][0];
            assert!(
                document["tags"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .any(|t| t["name"] == *tag)
            );
            let none = Vec::new();
            let parameters = operation["parameters"].as_array().unwrap_or(&none);
            let in_path: BTreeSet<String> = parameters
                .iter()
                .map(|p| deref(&document, p))
                .filter(|p| p["in"] == "path")
                .map(|p| format!("{{{}}}", p["name"].as_str().unwrap()))
                .collect();
            let wanted: BTreeSet<String> = path
                .split('/')
                .filter(|part| part.starts_with('{'))
                .map(str::to_owned)
                .collect();
            assert_eq!(in_path, wanted, "{method} {path}");
            let responses = operation["responses"].as_object().unwrap();
            assert!(
                responses.keys().any(|code| code.starts_with('2')),
                "{method} {path}"
            );
            for response in responses.values() {
                assert!(deref(&document, response)["description"].is_string());
            }
        }
    }
}

#[tokio::test]
async fn what_is_answered_is_what_is_described() {
    let document = document();
    for route in table() {
        let (fake, feed) = fake();
        let entry = Entry::new(fake);
        drop(feed);
        let path = filled(route.path);
        let code = entry.post("/api/sign-in/codes", "").await.json()["code"].clone();
        let body = match route.path {
            "/api/login" => r#"{"on":true}"#.to_owned(),
            "/api/keys" if route.method == "POST" => r#"{"name":"app"}"#.to_owned(),
            EXCHANGE => json!({ "code": code }).to_string(),
            _ => String::new(),
        };
        let got = entry
            .ask(request(route.method.as_str(), &path, &body))
            .await;
        let pointer = route.method.as_str().to_lowercase();
        let operation = &document["paths"][route.path][pointer];
        let response = &operation["responses"][got.status.as_str()];
        assert!(
            response.is_object(),
            "{path}: {} is not described",
            got.status
        );
        let mime = got.header("content-type").split(';').next().unwrap();
        let content = &response["content"][mime];
        assert!(content.is_object(), "{path}: {mime} is not described");
        if mime == "application/json" && path != "/openapi.json" {
            assert_eq!(
                fault(&document, &content["schema"], &got.json(), &path),
                None
            );
        }
    }
    let line = serde_json::to_value(sample::line("x")).unwrap();
    let schema = json!({ "$ref": "#/components/schemas/LogLine" });
    assert_eq!(fault(&document, &schema, &line, "line"), None);
}

/// The path of a route with something in its braces.
fn filled(path: &str) -> String {
    path.replace("{name}", "api")
        .replace("{id}", "01HF7YAT000000000000000000")
        .replace("{model}", "m")
        .replace("{provider}", "openai")
        .replace("{chart}", "memory.png")
}

#[tokio::test]
async fn the_parameters_that_are_taken_are_those_that_are_described() {
    let document = document();
    let mut taken = 0;
    for route in table() {
        let operation = &document["paths"][route.path][route.method.as_str().to_lowercase()];
        let all = operation["parameters"].as_array().cloned();
        let names: Vec<String> = all
            .unwrap_or_default()
            .iter()
            .map(|one| deref(&document, one))
            .filter(|one| one["in"] == "query")
            .map(|one| one["name"].as_str().unwrap().to_owned())
            .collect();
        if names.is_empty() {
            continue;
        }
        let (fake, feed) = fake();
        let entry = Entry::new(fake);
        drop(feed);
        let path = filled(route.path);
        // Without a value a parameter counts as absent.
        let known = format!("{path}?{}=", names.join("=&"));
        assert_ne!(entry.get(&known).await.status, 400, "{known}");
        let got = entry.get(&format!("{path}?nothing=1")).await;
        assert_eq!(got.status, 400, "{path}");
        let remedy = got.json()["remedy"].as_str().unwrap().to_owned();
        let mut told: Vec<&str> = remedy.split('`').skip(1).step_by(2).collect();
        let mut described: Vec<&str> = names.iter().map(String::as_str).collect();
        told.sort_unstable();
        described.sort_unstable();
        assert_eq!(told, described, "{path}");
        taken += names.len();
    }
    assert!(taken > 15, "{taken}");
    let usage = document["paths"]["/api/usage"]["get"]["parameters"].as_array();
    let group_by = usage.unwrap().iter().find(|one| one["name"] == "group_by");
    let all = cockpit_model::usage::Dimension::ALL.map(cockpit_model::usage::Dimension::as_str);
    assert_eq!(group_by.unwrap()["schema"]["enum"], json!(all));
}

#[tokio::test]
async fn problems_are_as_described_and_every_code_is_listed() {
    let document = document();
    let schema = json!({ "$ref": "#/components/schemas/Problem" });
    let (fake, _feed) = fake();
    let entry = Entry::new(fake);
    for path in ["/api/nothing", "/api/host?window=x", "/api/services/nobody"] {
        let got = entry.get(path).await;
        assert_eq!(fault(&document, &schema, &got.json(), path), None);
    }
    let codes = document["components"]["schemas"]["Problem"]["properties"]["code"]["enum"]
        .as_array()
        .unwrap();
    for code in codes {
        let code: cockpit_model::Code = serde_json::from_value(code.clone()).unwrap();
        assert!(codes.contains(&json!(code.as_str())));
    }
    let words = [
        ("InstanceState", vec!["crash_looping", "done"]),
        ("Owner", vec!["ollama-app"]),
        ("VerdictState", vec!["busy"]),
    ];
    for (name, some) in words {
        let schema = json!({ "$ref": format!("#/components/schemas/{name}") });
        for word in some {
            assert_eq!(fault(&document, &schema, &json!(word), name), None);
        }
    }
}

#[test]
fn the_check_itself_finds_faults() {
    let document = document();
    let schema = json!({ "$ref": "#/components/schemas/LoginItem" });
    let of = |value: Value| fault(&document, &schema, &value, "x");
    assert_eq!(of(json!({ "on": true, "path": null, "note": null })), None);
    assert!(of(json!({ "on": true })).is_some());
    assert!(of(json!({ "on": 1, "path": null, "note": null })).is_some());
    assert!(of(json!({ "on": true, "path": null, "note": null, "more": 1 })).is_some());
    assert!(of(json!([])).is_some());
}
