//! Bodies: every string is looked through as it reads, what is replaced leaves the rest as it is.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use cockpit_pii::{Kind, MOST_FINDS, in_body, in_text, redact};
use proptest::prelude::*;
use serde_json::{Value, json};

fn redacted(body: &str) -> String {
    let (new, _) = redact(body.as_bytes());
    String::from_utf8(new.unwrap_or_else(|| body.as_bytes().to_vec())).unwrap()
}

#[test]
fn strings_are_found_wherever_they_stand_and_however_they_are_spelled() {
    for (body, expected) in [
        (
            r#"{"model":"a@b.com", "messages":[{"role":"user","content":"I am ada@example.com\n"}] , "n":1.0E+2}"#,
            r#"{"model":"a@b.com", "messages":[{"role":"user","content":"I am [EMAIL]\n"}] , "n":1.0E+2}"#,
        ),
        (
            r#"{"system":"\u0061da\u0040example.\u0063om\ttab"}"#,
            r#"{"system":"[EMAIL]\ttab"}"#,
        ),
        (
            r#"{"messages":[{"content":[{"type":"text","text":"\"4111 1111 1111 1111\" \ud83d\ude00 +49 170 1234567"}]}]}"#,
            r#"{"messages":[{"content":[{"type":"text","text":"\"[CARD]\" \ud83d\ude00 [PHONE]"}]}]}"#,
        ),
        (
            r#"{"messages":[{"tool_calls":[{"function":{"arguments":"{\"to\":\"bob@example.com\",\"n\":1}"}}]}]}"#,
            r#"{"messages":[{"tool_calls":[{"function":{"arguments":"{\"to\":\"[EMAIL]\",\"n\":1}"}}]}]}"#,
        ),
        (
            r#"{"input":["DE89 3704 0044 0532 0130 00",{"x@example.com":true}],"user":"eve@example.com"}"#,
            r#"{"input":["[IBAN]",{"[EMAIL]":true}],"user":"[EMAIL]"}"#,
        ),
        (
            r#"{"prompt":"nothing here","a@b.com":1}"#,
            r#"{"prompt":"nothing here","a@b.com":1}"#,
        ),
    ] {
        assert_eq!(redacted(body), expected);
    }
}

#[test]
fn pictures_and_files_are_passed_over() {
    // Base64 that holds what reads like a key.
    let blob = format!(
        "{}/AKIAIOSFODNN7EXAMPLE/{}",
        "iVBORw0KGgo".repeat(20),
        "A".repeat(400)
    );
    for body in [
        json!({"messages": [{"content": [{"type": "image_url", "image_url": {"url": format!("data:image/png;base64,{blob}")}}]}]}),
        json!({"messages": [{"content": [{"source": {"type": "base64", "data": blob}}]}]}),
        json!({"messages": [{"content": "x", "images": [blob, blob]}]}),
    ] {
        assert!(in_body(body.to_string().as_bytes()).is_empty());
    }
    // By its look, not only by the name of its field.
    let text = format!("{} ada@example.com", "a text ".repeat(60));
    for key in ["data", "url", "images", "signature"] {
        let body = json!({"messages": [{"content": [{key: text}]}]});
        assert_eq!(
            in_body(body.to_string().as_bytes()).counts(),
            [(Kind::Email, 1)],
            "{key}"
        );
    }
}

#[test]
fn there_is_an_end_to_what_is_told() {
    let text = "a@b.com ".repeat(MOST_FINDS + 10);
    let body = json!({"prompt": text}).to_string();
    let finds = in_body(body.as_bytes());
    assert!(finds.more);
    assert_eq!(finds.counts(), [(Kind::Email, MOST_FINDS)]);
    assert!(redact(body.as_bytes()).1.more);
}

/// Pieces that attract finds, glued together in every way.
fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("ada@example.com"),
        Just("4111 1111 1111 1111"),
        Just("4111111111111111"),
        Just("DE89370400440532013000"),
        Just("+49 170 1234567"),
        Just("0170 1234567"),
        Just("123-45-6789"),
        Just("sk-4bC9dE1fG7hJ2kL5mN8pQ3rS6tV0wX"),
        Just("AKIAIOSFODNN7EXAMPLE"),
        Just(
            "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEF\n-----END PRIVATE KEY-----"
        ),
        Just("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.SflKxwRJSMeKKF2QT4fwpM"),
        Just("postgres://a:bcd1@"),
        Just("RSSMRA85T10A562S"),
        Just("12345678Z"),
        Just("call "),
        Just(" "),
        Just("\n"),
        Just("."),
        Just("-"),
        Just("@"),
        Just("+"),
        Just("\\n"),
        Just("é"),
        Just("7"),
        Just("x"),
    ];
    let pieces = prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat());
    prop_oneof![pieces, any::<String>(), "[0-9 .+()@a-z/-]{0,60}"]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 2000 } else { 20_000 }))]

    #[test]
    fn finds_lie_apart_and_between_characters(text in text()) {
        let mut upto = 0;
        for find in in_text(text.as_bytes()).all {
            prop_assert!(find.at.start >= upto && find.at.start < find.at.end, "{find:?}");
            prop_assert!(text.get(find.at.clone()).is_some(), "{find:?}");
            upto = find.at.end;
        }
    }

    #[test]
    fn what_is_redacted_is_json_of_the_same_shape_and_has_nothing_left(one in text(), other in text()) {
        let body = json!({"model": "m", "messages": [{"role": "user", "content": one}], "x": [other, 1.5]});
        let spelled = body.to_string();
        let (new, finds) = redact(spelled.as_bytes());
        prop_assert_eq!(new.is_none(), finds.is_empty());
        let new = new.unwrap_or_else(|| spelled.clone().into_bytes());
        let read: Value = serde_json::from_slice(&new).unwrap();
        prop_assert_eq!(&read["model"], "m");
        prop_assert_eq!(&read["x"][1], 1.5);
        prop_assert_eq!(&read["messages"][0]["role"], "user");
        let (again, left) = redact(&new);
        prop_assert!(again.is_none() && left.is_empty(), "{}: {left:?}", String::from_utf8_lossy(&new));
    }

    /// However a string is spelled, the same is found in it.
    #[test]
    fn spelling_hides_nothing(text in text()) {
        let plain = json!({"input": text}).to_string();
        let units: String = text.encode_utf16().map(|unit| format!("\\u{unit:04X}")).collect();
        let spelled = format!("{{\"input\":\"{units}\"}}");
        prop_assert_eq!(in_body(plain.as_bytes()).counts(), in_body(spelled.as_bytes()).counts());
    }

    #[test]
    fn any_bytes_are_looked_through(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for find in in_body(&bytes).all.into_iter().chain(in_text(&bytes).all) {
            prop_assert!(bytes.get(find.at).is_some());
        }
        redact(&bytes);
    }
}
