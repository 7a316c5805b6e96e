//! Any bytes as an encoded sketch and as a price table: no panic, and a sketch that decodes survives encoding.
#![no_main]

use cockpit_metering::price::{PriceTable, Tokens};
use cockpit_metering::sketch::Sketch;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(sketch) = Sketch::decode(bytes) {
        assert_eq!(sketch.quantile(0.5).is_some(), !sketch.is_empty());
        let mut encoded = Vec::new();
        sketch.encode(&mut encoded);
        assert!(encoded.len() <= bytes.len().max(2));
        assert_eq!(Sketch::decode(&encoded), Ok(sketch));
    }
    if let Ok(table) = PriceTable::parse(bytes, "fuzz") {
        let tokens = Tokens {
            input: 300_000,
            cached_read: 1,
            cache_write: 1,
            cache_write_1h: 1,
            output: 1,
        };
        table.cost("openai", "m", &tokens);
    }
});
