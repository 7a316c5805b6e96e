//! Any bytes as a log file: no panic, and reading by pieces agrees with reading the whole.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| cockpit_shim::log::reader::fuzz(bytes));
