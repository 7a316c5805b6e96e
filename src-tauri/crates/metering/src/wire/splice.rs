//! Rewriting a request in place: everything that is not meant stays as it was written, byte for byte, unknown fields,
//! spellings of numbers and the order of keys included.
//!
//! Only members of the outermost object count, and of `stream_options`; where a key stands twice, each is rewritten, so
//! that it does not matter which one a reader takes. Keys are compared as they read, not as they are spelled
//! (`"mod\u0065l"` is `model`).

use std::ops::Range;

use bytes::Bytes;
use memchr::memchr2;

/// The body is not an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the request's body is not a JSON object: send one, as the API's reference shows")]
pub struct NotAnObject;

/// What is to be different.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Changes<'a> {
    /// The model to be asked for, instead of the one that is; a body that names none is left so.
    pub model: Option<&'a str>,
    /// Sets `stream_options.include_usage`.
    pub include_usage: bool,
    /// The most output that may be asked for.
    pub most: Option<Most<'a>>,
}

/// The most output that may be asked for. A body that asks for none, for more, or for what is no number of tokens, asks
/// for exactly that much afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Most<'a> {
    /// How many tokens.
    pub tokens: u64,
    /// The member of the outermost object that it is said in; none: the outermost itself.
    pub within: Option<&'a str>,
    /// The names it is said by.
    pub names: &'a [&'a str],
    /// Those of them that its reader heeds, and of which one has to be there.
    pub heeded: &'a [&'a str],
    /// The one that is added where none of those is.
    pub added: &'a str,
}

/// The body with the changes; the same bytes where there are none to make.
///
/// Expects JSON, such as [`super::Request::read`] has checked. Other bytes never make it panic, but what it makes of
/// them is not JSON either.
pub fn rewrite(body: &Bytes, changes: &Changes<'_>) -> Result<Bytes, NotAnObject> {
    let object = Object::scan(body, 0)?;
    if body
        .get(object.after..)
        .is_none_or(|rest| !rest.iter().all(is_space))
    {
        return Err(NotAnObject);
    }
    let mut edits = Edits::default();
    if let Some(model) = changes.model {
        let model = serde_json::to_vec(model).map_err(|_| NotAnObject)?;
        for member in object.named(body, "model") {
            edits.replace(member.value.clone(), &model);
        }
    }
    if changes.include_usage {
        let mut told = false;
        for member in object.named(body, "stream_options") {
            told = true;
            match body.get(member.value.clone()).unwrap_or_default() {
                b"null" => edits.replace(member.value.clone(), b"{\"include_usage\":true}"),
                [b'{', ..] => {
                    let options = Object::scan(body, member.value.start)?;
                    let mut asked = false;
                    for usage in options.named(body, "include_usage") {
                        asked = true;
                        edits.replace(usage.value.clone(), b"true");
                    }
                    if !asked {
                        edits.append(&options, b"\"include_usage\":true");
                    }
                }
                // What is wrong is the provider's to refuse.
                _ => {}
            }
        }
        if !told {
            edits.append(&object, b"\"stream_options\":{\"include_usage\":true}");
        }
    }
    if let Some(most) = &changes.most {
        match most.within {
            None => edits.limit(body, &object, most),
            Some(outer) => {
                let alone = format!("{{\"{}\":{}}}", most.added, most.tokens);
                let mut said = false;
                for member in object.named(body, outer) {
                    said = true;
                    match body.get(member.value.start) {
                        Some(b'{') => {
                            let options = Object::scan(body, member.value.start)?;
                            edits.limit(body, &options, most);
                        }
                        // Nothing that could be read as a limit.
                        _ => edits.replace(member.value.clone(), alone.as_bytes()),
                    }
                }
                if !said {
                    edits.append(&object, format!("\"{outer}\":{alone}").as_bytes());
                }
            }
        }
    }
    Ok(edits.apply(body))
}

/// Where a member of the outermost object stands whose value is `null`, with the comma that parts it from its
/// neighbour; `None` where there is none, or more than one.
pub(super) fn null_member(body: &[u8], name: &str) -> Option<Range<usize>> {
    let object = Object::scan(body, 0).ok()?;
    if !body.get(object.after..)?.iter().all(is_space) {
        return None;
    }
    let mut named = object.named(body, name);
    let (member, None) = (named.next()?, named.next()) else {
        return None;
    };
    if body.get(member.value.clone())? != b"null" {
        return None;
    }
    let end = member.value.end;
    let mut members = object.members.iter();
    let before = members
        .by_ref()
        .take_while(|one| one.key != member.key)
        .last();
    Some(match (before, members.next()) {
        (Some(before), _) => before.value.end..end,
        (None, Some(next)) => member.key.start..next.key.start,
        (None, None) => member.key.start..end,
    })
}

/// Where the members of an object stand.
struct Object {
    members: Vec<Member>,
    /// After the opening brace, or after the last member's value.
    end: usize,
    /// After the closing brace.
    after: usize,
}

struct Member {
    /// With its quotes.
    key: Range<usize>,
    value: Range<usize>,
}

impl Object {
    fn scan(body: &[u8], start: usize) -> Result<Self, NotAnObject> {
        let mut scan = Scan { body, at: start };
        scan.space();
        scan.expect(b'{')?;
        let mut object = Self {
            members: Vec::new(),
            end: scan.at,
            after: 0,
        };
        scan.space();
        if scan.peek() == Some(b'}') {
            object.after = scan.at + 1;
            return Ok(object);
        }
        loop {
            scan.space();
            let key = scan.string()?;
            scan.space();
            scan.expect(b':')?;
            scan.space();
            let value = scan.value()?;
            object.end = value.end;
            object.members.push(Member { key, value });
            scan.space();
            match scan.next() {
                Some(b',') => {}
                Some(b'}') => break,
                _ => return Err(NotAnObject),
            }
        }
        object.after = scan.at;
        Ok(object)
    }

    fn named<'a>(&'a self, body: &'a [u8], name: &'a str) -> impl Iterator<Item = &'a Member> {
        self.members.iter().filter(move |member| {
            let key = body.get(member.key.clone()).unwrap_or_default();
            let plain = key.get(1..key.len().saturating_sub(1)).unwrap_or_default();
            plain == name.as_bytes()
                || (plain.contains(&b'\\')
                    && serde_json::from_slice::<String>(key).is_ok_and(|key| key == name))
        })
    }
}

struct Scan<'a> {
    body: &'a [u8],
    at: usize,
}

impl Scan<'_> {
    fn peek(&self) -> Option<u8> {
        self.body.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn expect(&mut self, byte: u8) -> Result<(), NotAnObject> {
        (self.next() == Some(byte)).then_some(()).ok_or(NotAnObject)
    }

    fn space(&mut self) {
        while self.peek().as_ref().is_some_and(is_space) {
            self.at += 1;
        }
    }

    fn string(&mut self) -> Result<Range<usize>, NotAnObject> {
        let start = self.at;
        self.expect(b'"')?;
        loop {
            let rest = self.body.get(self.at..).ok_or(NotAnObject)?;
            self.at += memchr2(b'"', b'\\', rest).ok_or(NotAnObject)?;
            match self.next() {
                Some(b'"') => return Ok(start..self.at),
                _ => self.at += 1,
            }
        }
    }

    fn value(&mut self) -> Result<Range<usize>, NotAnObject> {
        let start = self.at;
        let mut depth = 0usize;
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.string()?;
                }
                Some(b'{' | b'[') => {
                    depth += 1;
                    self.at += 1;
                }
                Some(b'}' | b']') if depth > 0 => {
                    depth -= 1;
                    self.at += 1;
                }
                Some(byte) if depth > 0 && (is_space(&byte) || matches!(byte, b',' | b':')) => {
                    self.at += 1;
                }
                // A number or a word.
                Some(_) => {
                    let word = self.at;
                    while self.peek().is_some_and(|byte| {
                        !is_space(&byte)
                            && !matches!(byte, b',' | b':' | b'}' | b']' | b'"' | b'{' | b'[')
                    }) {
                        self.at += 1;
                    }
                    if self.at == word {
                        return Err(NotAnObject);
                    }
                }
                None => return Err(NotAnObject),
            }
            if depth == 0 {
                return Ok(start..self.at);
            }
        }
    }
}

fn is_space(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\r' | b'\t')
}

/// Ranges of a body, and what is to stand there instead.
#[derive(Default)]
struct Edits(Vec<(Range<usize>, Vec<u8>)>);

impl Edits {
    fn replace(&mut self, range: Range<usize>, with: &[u8]) {
        self.0.push((range, with.to_vec()));
    }

    /// A further member at the end of an object.
    fn append(&mut self, object: &Object, member: &[u8]) {
        let place = object.end..object.end;
        let first = object.members.is_empty() && self.0.iter().all(|(range, _)| *range != place);
        let comma: &[u8] = if first { b"" } else { b"," };
        self.replace(place, &[comma, member].concat());
    }

    /// See [`Most`].
    fn limit(&mut self, body: &[u8], object: &Object, most: &Most<'_>) {
        let tokens = most.tokens.to_string();
        for name in most.names {
            for member in object.named(body, name) {
                let said = body.get(member.value.clone()).unwrap_or_default();
                let said = std::str::from_utf8(said)
                    .ok()
                    .and_then(|said| said.parse::<u64>().ok());
                if said.is_none_or(|said| said > most.tokens) {
                    self.replace(member.value.clone(), tokens.as_bytes());
                }
            }
        }
        let heeded = most
            .heeded
            .iter()
            .any(|name| object.named(body, name).next().is_some());
        if !heeded {
            self.append(object, format!("\"{}\":{tokens}", most.added).as_bytes());
        }
    }

    fn apply(mut self, body: &Bytes) -> Bytes {
        if self
            .0
            .iter()
            .all(|(range, with)| body.get(range.clone()) == Some(with))
        {
            return body.clone();
        }
        self.0.sort_by_key(|(range, _)| range.start);
        let more: usize = self.0.iter().map(|(_, with)| with.len()).sum();
        let mut out = Vec::with_capacity(body.len() + more);
        let mut upto = 0;
        for (range, with) in &self.0 {
            out.extend_from_slice(body.get(upto..range.start).unwrap_or_default());
            out.extend_from_slice(with);
            upto = range.end;
        }
        out.extend_from_slice(body.get(upto..).unwrap_or_default());
        out.into()
    }
}

#[cfg(test)]
mod tests {
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
}
