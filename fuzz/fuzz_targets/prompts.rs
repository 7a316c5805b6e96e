//! Any bytes as a prompt, and as a request's body: no panic; finds lie apart; what is replaced stays JSON and has nothing
//! left to be found; and what a string says counts, not how it is spelled.
#![no_main]

use cockpit_pii::{in_body, in_text, redact};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut upto = 0;
    for find in in_text(bytes).all {
        assert!(upto <= find.at.start && find.at.start < find.at.end && find.at.end <= bytes.len());
        upto = find.at.end;
    }
    redact(bytes);

    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let units: String = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
    let spelled = format!("{{\"input\":\"{units}\"}}");
    let found = in_body(spelled.as_bytes());
    assert_eq!(found.counts(), in_text(bytes).counts());
    for find in &found.all {
        assert!(spelled.get(find.at.clone()).is_some_and(|part| part.starts_with('\\')));
    }
    if let (Some(new), _) = redact(spelled.as_bytes()) {
        let new = String::from_utf8(new).expect("labels are ASCII");
        assert!(new.starts_with("{\"input\":\"") && new.ends_with("\"}"));
        assert!(in_body(new.as_bytes()).is_empty(), "{new}");
    }
});
