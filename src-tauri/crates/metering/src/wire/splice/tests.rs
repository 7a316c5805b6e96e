#![allow(clippy::unwrap_used, reason = "tests")]
use proptest::prelude::*;
use serde_json::Value;

use super::*;

const BOTH: Changes<'static> = Changes {
    model: Some("new\"\u{e9}"),
    include_usage: true,
    most: None,
};

fn rewritten(body: &str, changes: &Changes<'_>) -> String {
    let body = rewrite(&Bytes::copy_from_slice(body.as_bytes()), changes).unwrap();
    String::from_utf8(body.to_vec()).unwrap()
}

#[test]
fn only_what_is_meant_changes() {
    for (body, expected) in [
        (r"{}", r#"{"stream_options":{"include_usage":true}}"#),
        (r" { } ", r#" {"stream_options":{"include_usage":true} } "#),
        (
            r#"{ "model" : "a" , "n":1.0E+2 }"#,
            r#"{ "model" : "m" , "n":1.0E+2,"stream_options":{"include_usage":true} }"#,
        ),
        (
            r#"{"x":{"model":"a","stream_options":1},"mod\u0065l":[{}],"stream_options":null}"#,
            r#"{"x":{"model":"a","stream_options":1},"mod\u0065l":"m","stream_options":{"include_usage":true}}"#,
        ),
        (
            r#"{"model":"a\"}","stream_options":{"x":[{"include_usage":false}]},"model":null}"#,
            r#"{"model":"m","stream_options":{"x":[{"include_usage":false}],"include_usage":true},"model":"m"}"#,
        ),
        (
            r#"{"stream_options":{"include_usage": false , "include_usage":0}}"#,
            r#"{"stream_options":{"include_usage": true , "include_usage":true}}"#,
        ),
        (
            r#"{"stream_options":"x","models":1}"#,
            r#"{"stream_options":"x","models":1}"#,
        ),
    ] {
        let changes = Changes {
            model: Some("m"),
            include_usage: true,
            most: None,
        };
        assert_eq!(rewritten(body, &changes), expected, "{body}");
    }
}

#[test]
fn nobody_asks_for_more_than_the_most() {
    let chat = Most {
        tokens: 100,
        within: None,
        names: &["max_tokens", "max_completion_tokens"],
        heeded: &["max_tokens"],
        added: "max_tokens",
    };
    let ollama = Most {
        within: Some("options"),
        names: &["num_predict"],
        heeded: &["num_predict"],
        added: "num_predict",
        ..chat
    };
    for (most, body, expected) in [
        (chat, r#"{"max_tokens": 7 }"#, r#"{"max_tokens": 7 }"#),
        (chat, r#"{"max_tokens": 101 }"#, r#"{"max_tokens": 100 }"#),
        (chat, r"{}", r#"{"max_tokens":100}"#),
        (chat, r#"{"max_tokens":null}"#, r#"{"max_tokens":100}"#),
        (chat, r#"{"max_tokens":-1}"#, r#"{"max_tokens":100}"#),
        (chat, r#"{"max_tokens":"9"}"#, r#"{"max_tokens":100}"#),
        (chat, r#"{"max_tokens":1e9}"#, r#"{"max_tokens":100}"#),
        (
            chat,
            r#"{"max\u005ftokens":7,"max_tokens":1000,"max_completion_tokens":1000}"#,
            r#"{"max\u005ftokens":7,"max_tokens":100,"max_completion_tokens":100}"#,
        ),
        (
            chat,
            r#"{"max_completion_tokens":7}"#,
            r#"{"max_completion_tokens":7,"max_tokens":100}"#,
        ),
        (ollama, r"{}", r#"{"options":{"num_predict":100}}"#),
        (
            ollama,
            r#"{"options":null}"#,
            r#"{"options":{"num_predict":100}}"#,
        ),
        (
            ollama,
            r#"{"options":{}}"#,
            r#"{"options":{"num_predict":100}}"#,
        ),
        (
            ollama,
            r#"{"num_predict":9,"options":{"seed":1,"num_predict":-1},"options":{"num_predict":5}}"#,
            r#"{"num_predict":9,"options":{"seed":1,"num_predict":100},"options":{"num_predict":5}}"#,
        ),
    ] {
        let changes = Changes {
            most: Some(most),
            ..Changes::default()
        };
        assert_eq!(rewritten(body, &changes), expected, "{body}");
        assert_eq!(rewritten(expected, &changes), expected, "not twice");
    }
    let all = Changes {
        model: None,
        include_usage: true,
        most: Some(chat),
    };
    let both = r#"{"stream_options":{"include_usage":true},"max_tokens":100}"#;
    assert_eq!(rewritten("{}", &all), both);
}

#[test]
fn what_needs_no_change_is_not_copied() {
    let body = Bytes::from_static(br#"{"model":"m","stream_options":{"include_usage":true}}"#);
    let same = Changes {
        model: Some("m"),
        include_usage: true,
        most: None,
    };
    for changes in [Changes::default(), same] {
        let out = rewrite(&body, &changes).unwrap();
        assert_eq!((out.as_ptr(), out.len()), (body.as_ptr(), body.len()));
    }
}

#[test]
fn a_null_is_found_with_its_comma() {
    for (body, without) in [
        (r#"{"usage":null}"#, Some("{}")),
        (r#"{"usage":null , "a":1}"#, Some(r#"{"a":1}"#)),
        (
            r#"{ "a":{"usage":null} ,  "us\u0061ge" : null }"#,
            Some(r#"{ "a":{"usage":null} }"#),
        ),
        (r#"{"a":1,"usage":null,"b":2} "#, Some(r#"{"a":1,"b":2} "#)),
        (r#"{"usage":null,"usage":null}"#, None),
        (r#"{"usage":{}}"#, None),
        (r#"{"a":[{"usage":null}]}"#, None),
        (r#"{"usage":null"#, None),
        (r#"{"usage":null}}"#, None),
        ("[DONE]", None),
    ] {
        let found = null_member(body.as_bytes(), "usage");
        let left = found.map(|cut| [&body[..cut.start], &body[cut.end..]].concat());
        assert_eq!(left.as_deref(), without, "{body}");
    }
}

#[test]
fn what_is_no_object_is_left_alone() {
    for body in [
        "",
        " ",
        "[]",
        "\"model\"",
        "1",
        "{",
        "{\"",
        "{\"a\"",
        "{\"a\":",
        "{\"a\":1",
        "{\"a\":1,}",
        "{\"a\":}",
        "{a:1}",
        "{}}",
        "{} x",
        "{\"a\":1 2}",
        "{\"a\":[1}",
        "{\"a\":\"\\\"}",
        "\u{feff}{}",
    ] {
        let body = Bytes::copy_from_slice(body.as_bytes());
        assert_eq!(rewrite(&body, &BOTH), Err(NotAnObject), "{body:?}");
    }
}

/// JSON as people, libraries and adversaries write it.
fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("1.50E+2".to_owned()),
        Just("-0".to_owned()),
        Just("123456789012345678901234567890".to_owned()),
        any::<bool>().prop_map(|truth| truth.to_string()),
        string(),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec((inner.clone(), space()), 0..4).prop_map(|items| {
                let items: Vec<_> = items
                    .into_iter()
                    .map(|(item, space)| format!("{space}{item}{space}"))
                    .collect();
                format!("[{}]", items.join(","))
            }),
            members(inner).prop_map(|members| object(&members, " ")),
        ]
    })
}

fn space() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just(""), Just(" "), Just("\r\n\t")]
}

/// Also with escapes, quotes and braces in it.
fn string() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap()),
        Just(r#""\"}],{\\""#.to_owned()),
        key(),
    ]
}

fn key() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(r#""model""#.to_owned()),
        Just(r#""m\u006fdel""#.to_owned()),
        Just(r#""stream_options""#.to_owned()),
        Just(r#""include_usage""#.to_owned()),
        Just(r#""messages""#.to_owned()),
        Just(r#""""#.to_owned()),
    ]
}

type Members = Vec<(String, &'static str, String)>;

fn members(value: impl Strategy<Value = String>) -> impl Strategy<Value = Members> {
    prop::collection::vec((key(), space(), value), 0..5)
}

fn object(members: &[(String, &'static str, String)], end: &str) -> String {
    let members: Vec<_> = members
        .iter()
        .map(|(key, space, value)| format!("{space}{key}{space}:{space}{value}"))
        .collect();
    format!("{{{}{end}}}", members.join(","))
}

proptest! {
    /// What was rewritten reads as the values say it should, and each member that is not meant is spelled as it was.
    #[test]
    fn rewriting_agrees_with_values(members in members(json()), end in space()) {
        let body = object(&members, end);
        let out = rewritten(&body, &BOTH);
        let mut expected: Value = serde_json::from_str(&body).unwrap();
        let fields = expected.as_object_mut().unwrap();
        if let Some(model) = fields.get_mut("model") {
            *model = "new\"\u{e9}".into();
        }
        let usage = serde_json::json!({"include_usage": true});
        match fields.get_mut("stream_options") {
            None => {
                fields.insert("stream_options".to_owned(), usage);
            }
            Some(Value::Object(options)) => {
                options.insert("include_usage".to_owned(), true.into());
            }
            Some(options @ Value::Null) => *options = usage,
            Some(_) => {}
        }
        prop_assert_eq!(serde_json::from_str::<Value>(&out).unwrap(), expected);

        let mut rest = out.as_str();
        for (key, space, value) in &members {
            let spelled = format!("{space}{key}{space}:{space}");
            let name: String = serde_json::from_str(key).unwrap();
            let spelled = if name == "model" || name == "stream_options" { spelled } else { spelled + value };
            let at = rest.find(&spelled);
            prop_assert!(at.is_some(), "{spelled} is not in {rest}");
            rest = &rest[at.unwrap() + spelled.len()..];
        }
        prop_assert_eq!(rewritten(&out, &BOTH), out);
    }

    #[test]
    fn nothing_asked_is_nothing_changed(members in members(json()), end in space()) {
        let body = object(&members, end);
        prop_assert_eq!(rewritten(&body, &Changes::default()), body);
    }

    #[test]
    fn junk_never_panics(junk in "[{}\\[\\]\",:\\\\a1 ]{0,40}", prefix in "(\\{\"stream_options\":)?") {
        let body = Bytes::from(format!("{prefix}{junk}"));
        if rewrite(&body, &BOTH).is_err() {
            prop_assert!(serde_json::from_slice::<serde_json::Map<String, Value>>(&body).is_err());
        }
    }
}
