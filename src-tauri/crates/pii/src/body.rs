//! A request's body: all of its strings, wherever they stand.

use std::ops::Range;

use memchr::memmem;

use crate::json::{self, Decoded, Piece};
use crate::text::in_text;
use crate::{Find, Finds, MOST_FINDS};

/// From this length on, base64 is a picture, a sound or a file.
const LONG: usize = 256;
/// How much of it is looked at to tell.
const SAMPLE: usize = 128;
/// How often what was replaced is looked through again: a label may set free what stood too close to what it replaced.
const ROUNDS: usize = 16;

/// Looks through the strings of a JSON body; the places are those of the body. Not looked through: the model's name, the
/// names of the outermost fields, pictures and files in base64; and nothing that follows a place nested more than
/// [`DEEPEST`](crate::DEEPEST) deep, which [`Finds::more`] tells.
pub fn in_body(body: &[u8]) -> Finds {
    let mut finds = Finds::default();
    let mut decoded = Decoded::default();
    let all = json::strings(body, |piece| {
        if finds.more || !is_prompt(piece) {
            return;
        }
        let spelled = body.get(piece.at.clone()).unwrap_or_default();
        if is_blob(piece, spelled) {
            return;
        }
        let found = if piece.escaped {
            decoded.read(spelled);
            let mut found = in_text(&decoded.text);
            for find in &mut found.all {
                find.at = decoded.spelled(find.at.start)..decoded.spelled(find.at.end);
            }
            decoded.shrink();
            found
        } else {
            in_text(spelled)
        };
        let room = MOST_FINDS.saturating_sub(finds.all.len());
        finds.more |= found.more || found.all.len() > room;
        let placed = found.all.into_iter().take(room).map(|find| Find {
            kind: find.kind,
            at: piece.at.start + find.at.start..piece.at.start + find.at.end,
        });
        finds.all.extend(placed);
    });
    finds.more |= !all;
    finds
}

fn is_prompt(piece: &Piece<'_>) -> bool {
    piece.depth != 1 || !piece.is_key && piece.root != b"model"
}

/// Whether a string is bytes of something that is no text.
fn is_blob(piece: &Piece<'_>, spelled: &[u8]) -> bool {
    /// What holds them in some protocol.
    const KEYS: [&[u8]; 8] = [
        b"data",
        b"file_data",
        b"images",
        b"image",
        b"b64_json",
        b"signature",
        b"encrypted_content",
        b"thought_signature",
    ];
    if spelled.len() < LONG {
        return false;
    }
    let sample = spelled.get(..SAMPLE).unwrap_or_default();
    if sample.starts_with(b"data:") {
        return memmem::find(sample, b";base64,").is_some();
    }
    let is_base64 = |byte: &u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_' | b'=' | b'\\')
    };
    KEYS.contains(&piece.key) && sample.iter().all(is_base64)
}

/// The body with a label in the place of everything that is found in it, and what was found. Every other byte stays as
/// it is; where nothing is found, there is no new body.
///
/// A body with more than [`MOST_FINDS`], or nested too deep, is not replaced whole; [`Finds::more`] tells.
pub fn redact(body: &[u8]) -> (Option<Vec<u8>>, Finds) {
    let mut all = in_body(body);
    if all.is_empty() {
        return (None, all);
    }
    let mut redacted = replaced(body, &all.all);
    for _ in 1..ROUNDS {
        let again = in_body(&redacted);
        if again.is_empty() {
            break;
        }
        redacted = replaced(&redacted, &again.all);
        all.more |= again.more;
        // Their places are those of another text; how many there are still counts.
        all.all.extend(again.all);
    }
    (Some(redacted), all)
}

fn replaced(body: &[u8], finds: &[Find]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len());
    let mut upto = 0;
    for Find { kind, at } in finds {
        let Range { start, end } = *at;
        out.extend_from_slice(body.get(upto..start).unwrap_or_default());
        out.extend_from_slice(kind.label().as_bytes());
        upto = end;
    }
    out.extend_from_slice(body.get(upto..).unwrap_or_default());
    out
}
