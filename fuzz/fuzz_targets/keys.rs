//! Any text as what is wanted of a new key, and as what was remembered of one: no panic; and what is understood is
//! understood again once it is written.
#![no_main]

use cockpit_model::Timestamp;
use cockpit_model::keys::KeyWish;
use cockpit_resilience::access::{Profile, Settings, Visit};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(wish) = serde_json::from_str::<KeyWish>(text) {
        let again = serde_json::to_string(&wish).expect("it is written again");
        assert!(serde_json::from_str::<KeyWish>(&again).is_ok());
    }
    if let Ok(mut profile) = serde_json::from_str::<Profile>(text) {
        for hour in 0..30 {
            let at = Timestamp::from_second(i64::from(hour) * 3600).expect("a time");
            let visit = Visit { at, hour, from: text };
            profile.visit(&visit, &Settings::default());
        }
    }
});
