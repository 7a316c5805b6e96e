//! Any bytes as a stream and as a whole answer of each dialect: no panic, what goes on is what came, and neither that
//! nor what is read depends on where the chunks are cut. The first byte chooses the dialect, the second the cuts.
#![no_main]

use bytes::Bytes;
use cockpit_metering::wire::{Dialect, Reading, StreamMeter, read_answer};
use libfuzzer_sys::fuzz_target;

const DIALECTS: [Dialect; 8] = [
    Dialect::OpenAiChat,
    Dialect::OpenAiCompletions,
    Dialect::OpenAiEmbeddings,
    Dialect::OpenAiResponses,
    Dialect::AnthropicMessages,
    Dialect::OllamaChat,
    Dialect::OllamaGenerate,
    Dialect::OllamaEmbed,
];

fn metered(mut meter: StreamMeter, body: &[u8], size: usize) -> (Reading, Vec<u8>) {
    let mut passed = Vec::new();
    let mut out = |bytes: Bytes| passed.extend_from_slice(&bytes);
    for chunk in body.chunks(size) {
        meter.push(Bytes::copy_from_slice(chunk), &mut out);
    }
    let reading = meter.finish(&mut out);
    (reading, passed)
}

fuzz_target!(|bytes: &[u8]| {
    let [dialect, size, body @ ..] = bytes else {
        return;
    };
    let dialect = DIALECTS[usize::from(*dialect) % DIALECTS.len()];
    let size = usize::from(*size).max(1);
    read_answer(dialect, body);

    let whole = metered(StreamMeter::new(dialect), body, usize::MAX);
    assert_eq!(whole.1, body);
    assert_eq!(metered(StreamMeter::new(dialect), body, size), whole);

    let dropped = metered(StreamMeter::new(dialect).dropping_usage(), body, size);
    assert_eq!(dropped.0, whole.0);
    assert!(dropped.1.len() <= body.len());
});
