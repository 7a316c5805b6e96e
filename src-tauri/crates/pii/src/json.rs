//! The strings of a JSON text, in one pass, without building anything of it.
//!
//! Expects JSON that was checked before; other bytes never make it panic, and what it says of them means little.

use std::ops::Range;

use memchr::memchr2;

/// How many containers within each other are looked through: each takes memory. Most readers of JSON go less deep.
pub const DEEPEST: usize = 256;

/// One string of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Piece<'a> {
    /// Between its quotes.
    pub at: Range<usize>,
    /// Whether a backslash stands in it.
    pub escaped: bool,
    /// The nearest key above it, as it is spelled; of a key, the key itself.
    pub key: &'a [u8],
    /// Whether it is a key.
    pub is_key: bool,
    /// How many containers are open around it.
    pub depth: usize,
    /// The key of the outermost object it stands under.
    pub root: &'a [u8],
}

/// Calls `each` for every string, keys included; whether those were all: nothing is looked at from where a body is nested
/// too deep, or where a string has no end.
#[must_use]
pub(crate) fn strings<'a>(body: &'a [u8], mut each: impl FnMut(&Piece<'a>)) -> bool {
    let mut at = 0;
    // Of each open container: whether it is an object, and the key that it stands under.
    let mut open: Vec<(bool, &[u8])> = Vec::new();
    let mut key: &[u8] = b"";
    let mut root: &[u8] = b"";
    let mut wants_key = false;
    while let Some(&byte) = body.get(at) {
        match byte {
            b'"' => {
                let Some((range, escaped)) = string(body, at) else {
                    return false;
                };
                at = range.end + 1;
                let text = body.get(range.clone()).unwrap_or_default();
                if wants_key {
                    key = text;
                    if open.len() == 1 {
                        root = text;
                    }
                }
                each(&Piece {
                    at: range,
                    escaped,
                    key,
                    is_key: wants_key,
                    depth: open.len(),
                    root,
                });
                wants_key = false;
            }
            b'{' | b'[' => {
                if open.len() >= DEEPEST {
                    return false;
                }
                open.push((byte == b'{', key));
                wants_key = byte == b'{';
                at += 1;
            }
            b'}' | b']' => {
                if let Some((_, above)) = open.pop() {
                    key = above;
                }
                wants_key = false;
                at += 1;
            }
            b',' => {
                wants_key = open.last().is_some_and(|(object, _)| *object);
                if let Some((false, above)) = open.last() {
                    key = above;
                }
                at += 1;
            }
            _ => at += 1,
        }
    }
    true
}

/// The string that begins with the quote at a place: what is between its quotes, and whether it has escapes.
fn string(body: &[u8], quote: usize) -> Option<(Range<usize>, bool)> {
    let start = quote + 1;
    let mut at = start;
    let mut escaped = false;
    loop {
        at += memchr2(b'"', b'\\', body.get(at..)?)?;
        if body.get(at) == Some(&b'"') {
            return Some((start..at, escaped));
        }
        escaped = true;
        at += 2;
    }
}

/// A string with its escapes read, and where each part of it stands in the spelled one.
#[derive(Debug, Default)]
pub(crate) struct Decoded {
    pub text: Vec<u8>,
    /// From this place of the text on, up to the next entry, the spelled string goes on from that place.
    parts: Vec<(usize, usize)>,
}

impl Decoded {
    /// Reads another string; the memory is used again.
    pub(crate) fn read(&mut self, spelled: &[u8]) {
        self.text.clear();
        self.parts.clear();
        self.parts.push((0, 0));
        let mut at = 0;
        while let Some(found) = memchr::memchr(b'\\', spelled.get(at..).unwrap_or_default()) {
            let plain = spelled.get(at..at + found).unwrap_or_default();
            self.text.extend_from_slice(plain);
            at += found;
            let (character, length) = escape(spelled.get(at..).unwrap_or_default());
            let mut bytes = [0; 4];
            self.text
                .extend_from_slice(character.encode_utf8(&mut bytes).as_bytes());
            at += length;
            self.parts.push((self.text.len(), at));
        }
        self.text
            .extend_from_slice(spelled.get(at..).unwrap_or_default());
    }

    /// Where a place of the text stands in the spelled string.
    pub(crate) fn spelled(&self, place: usize) -> usize {
        let after = self.parts.partition_point(|(text, _)| *text <= place);
        let (text, spelled) = self
            .parts
            .get(after.saturating_sub(1))
            .copied()
            .unwrap_or_default();
        spelled + place.saturating_sub(text)
    }

    /// Gives back what only an unusual string needed.
    pub(crate) fn shrink(&mut self) {
        self.text.clear();
        self.parts.clear();
        self.text.shrink_to(64 << 10);
        self.parts.shrink_to(4 << 10);
    }
}

/// The character of the escape at the beginning of some bytes, and how long it is. Half a pair is no character.
fn escape(bytes: &[u8]) -> (char, usize) {
    let unit = |at: usize| {
        let digits = bytes.get(at..at + 4)?;
        let text = std::str::from_utf8(digits).ok()?;
        u32::from_str_radix(text, 16).ok()
    };
    let character = match bytes.get(1) {
        Some(b'n') => '\n',
        Some(b't') => '\t',
        Some(b'r') => '\r',
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'u') => {
            return match unit(2) {
                Some(high @ 0xD800..0xDC00) => {
                    let low = unit(8).filter(|_| bytes.get(6..8) == Some(b"\\u"));
                    match low {
                        Some(low @ 0xDC00..0xE000) => {
                            let code = 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
                            (char::from_u32(code).unwrap_or('\u{fffd}'), 12)
                        }
                        _ => ('\u{fffd}', 6),
                    }
                }
                Some(code) => (char::from_u32(code).unwrap_or('\u{fffd}'), 6),
                None => ('\u{fffd}', 2),
            };
        }
        // What is not written in JSON, too: as it stands.
        Some(byte) if byte.is_ascii() => char::from(*byte),
        _ => return ('\u{fffd}', 1),
    };
    (character, 2)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_string_knows_where_it_stands() {
        let body = br#"{"model":"m","messages":[{"role":"user","content":["a\"b",{"x":1}],"y":"z"}],"n":{"k":"v"}}"#;
        let mut seen = Vec::new();
        let all = strings(body, |piece| {
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            seen.push((
                text(&body[piece.at.clone()]),
                text(piece.key),
                text(piece.root),
                piece.is_key,
            ));
        });
        assert!(all);
        let values: Vec<_> = seen.iter().filter(|one| !one.3).collect();
        let as_written = |text: &str, key: &str, root: &str| {
            (text.to_owned(), key.to_owned(), root.to_owned(), false)
        };
        assert_eq!(
            values,
            [
                &as_written("m", "model", "model"),
                &as_written("user", "role", "messages"),
                &as_written(r#"a\"b"#, "content", "messages"),
                &as_written("z", "y", "messages"),
                &as_written("v", "k", "n"),
            ]
        );
        let keys = seen.iter().filter(|one| one.3).count();
        assert_eq!(keys, 8);
    }

    proptest! {
        #[test]
        fn a_string_reads_as_serde_reads_it(text in any::<String>(), spell in any::<bool>()) {
            let spelled = if spell {
                let units: String = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
                format!("\"{units}\"")
            } else {
                serde_json::to_string(&text).unwrap()
            };
            let inner = &spelled[1..spelled.len() - 1];
            let mut decoded = Decoded::default();
            decoded.read(inner.as_bytes());
            prop_assert_eq!(&decoded.text, text.as_bytes());
            // Each character stands where the spelled one says it does.
            for (place, character) in text.char_indices() {
                let from = decoded.spelled(place);
                let to = decoded.spelled(place + character.len_utf8());
                let one: String = serde_json::from_str(&format!("\"{}\"", &inner[from..to])).unwrap();
                prop_assert_eq!(one, character.to_string());
            }
        }

        #[test]
        fn any_bytes_are_walked(bytes in any::<Vec<u8>>()) {
            let _ = strings(&bytes, |piece| assert!(bytes.get(piece.at.clone()).is_some()));
            Decoded::default().read(&bytes);
        }
    }
}
