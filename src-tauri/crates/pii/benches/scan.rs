//! What a look through a prompt costs, by the kind of text: `cargo bench -p cockpit-pii`.
#![allow(missing_docs, reason = "a bench")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use cockpit_pii::{in_body, redact};

const PROSE: &str = "The mole digs with its forefeet and lives in the dark; of its runs those near the surface are for the \
     hunt. It eats half of its own weight in a day, mostly earthworms, which it keeps alive in a larder.\\n\\n";
const CODE: &str = "    let total = items.iter().map(|item| item.price * 100).sum::<u64>(); // 2024-05-17, see #1234\\n    \
     assert_eq!(total, 31_415, \\\"{}:{}\\\", file!(), line!());\\n";
const NUMBERS: &str = "2024-05-17T12:30:45.123Z 192.168.1.17 GET /v1/orders/1234567890123456 200 0.0123 17 38291 4821 99\\n";
const FINDS: &str = "Write to ada@example.com or call +49 170 1234567; pay 4111 1111 1111 1111 or DE89 3704 0044 0532 0130 00.\\n";

fn body(of: &str, bytes: usize) -> Vec<u8> {
    let text = of.repeat(bytes / of.len() + 1);
    format!(r#"{{"model":"gpt-4o","messages":[{{"role":"user","content":"{text}"}}]}}"#)
        .into_bytes()
}

/// The fastest of many rounds, in nanoseconds for each KiB.
fn measure(body: &[u8], work: impl Fn(&[u8])) -> f64 {
    let mut best = Duration::MAX;
    let until = Instant::now() + Duration::from_millis(400);
    while Instant::now() < until {
        let began = Instant::now();
        work(black_box(body));
        best = best.min(began.elapsed());
    }
    best.as_nanos() as f64 / (body.len() as f64 / 1024.0)
}

fn main() {
    println!(
        "{:<10} {:>9} {:>14} {:>14}",
        "text", "bytes", "find ns/KiB", "redact ns/KiB"
    );
    for (name, of) in [
        ("prose", PROSE),
        ("code", CODE),
        ("numbers", NUMBERS),
        ("finds", FINDS),
    ] {
        for bytes in [1 << 10, 64 << 10] {
            let body = body(of, bytes);
            let find = measure(&body, |body| drop(black_box(in_body(body))));
            let replace = measure(&body, |body| drop(black_box(redact(body))));
            println!("{name:<10} {:>9} {find:>14.0} {replace:>14.0}", body.len());
        }
    }
    let picture = format!(
        r#"{{"messages":[{{"content":[{{"image_url":{{"url":"data:image/png;base64,{}"}}}}]}}]}}"#,
        "iVBORw0KGgo".repeat(100_000)
    );
    let find = measure(picture.as_bytes(), |body| drop(black_box(in_body(body))));
    println!("{:<10} {:>9} {find:>14.0}", "picture", picture.len());
}
