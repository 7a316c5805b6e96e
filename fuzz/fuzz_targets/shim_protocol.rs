//! Any bytes as frames of either direction: no panic, and what decodes survives encoding.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| cockpit_shim::protocol::fuzz(bytes));
