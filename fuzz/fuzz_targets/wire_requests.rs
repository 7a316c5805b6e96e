//! Any bytes as a request: no panic; what reads as a request can be rewritten, reads as before but for what was meant,
//! and is not rewritten twice.
#![no_main]

use bytes::Bytes;
use cockpit_metering::wire::Request;
use cockpit_metering::wire::splice::{Changes, Most, rewrite};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let body = Bytes::copy_from_slice(bytes);
    let changes = Changes {
        model: Some("another \"model\""),
        include_usage: true,
        most: None,
    };
    let rewritten = rewrite(&body, &changes);
    let Ok(before) = Request::read(&body) else {
        return;
    };
    let rewritten = rewritten.expect("a request is an object");
    let after = Request::read(&rewritten).expect("what was JSON is JSON");
    assert_eq!(after.user, before.user);
    assert_eq!(after.max_tokens, before.max_tokens);
    assert_eq!(after.text_bytes, before.text_bytes);
    if before.model.is_some() {
        assert_eq!(after.model.as_deref(), changes.model);
    }
    assert_eq!(rewrite(&rewritten, &changes).as_ref(), Ok(&rewritten));
    assert_eq!(rewrite(&body, &Changes::default()), Ok(body.clone()));
    for within in [None, Some("options")] {
        let names: &[&str] = if within.is_some() { &["num_predict"] } else { &["max_tokens", "max_completion_tokens"] };
        let most = Most { tokens: 100, within, names, heeded: names, added: names[0] };
        let changes = Changes { most: Some(most), ..Changes::default() };
        let limited = rewrite(&body, &changes).expect("a request is an object");
        Request::read(&limited).expect("what was JSON is JSON");
        assert_eq!(rewrite(&limited, &changes).as_ref(), Ok(&limited));
    }
});
