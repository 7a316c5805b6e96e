//! One text, as it reads.

use crate::{Find, Finds, Kind, email, numbers, secrets};

/// Looks through a text. It need not be whole UTF-8.
pub fn in_text(text: &[u8]) -> Finds {
    let mut finds = Finds::default();
    secrets::find(text, &mut |kind, at| finds.take(kind, at));
    email::find(text, &mut |kind, at| finds.take(kind, at));
    numbers::find(text, &mut |kind, at| finds.take(kind, at));
    finds.all = apart(finds.all);
    finds
}

/// In order, and where two overlap, both as one under the surer name.
fn apart(mut all: Vec<Find>) -> Vec<Find> {
    if all.len() < 2 {
        return all;
    }
    all.sort_by_key(|find| (find.at.start, find.at.end));
    let mut kept: Vec<Find> = Vec::with_capacity(all.len());
    for find in all {
        match kept.last_mut() {
            Some(last) if find.at.start < last.at.end => {
                last.at.end = last.at.end.max(find.at.end);
                last.kind = surer(last.kind, find.kind);
            }
            _ => kept.push(find),
        }
    }
    kept
}

fn surer(one: Kind, other: Kind) -> Kind {
    let rank = |kind| Kind::ALL.iter().position(|known| *known == kind);
    if rank(other) < rank(one) { other } else { one }
}

/// Whether a word that is written on could go on with this byte.
pub(crate) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// The byte before a place.
pub(crate) fn before(text: &[u8], at: usize) -> Option<u8> {
    text.get(at.checked_sub(1)?).copied()
}

/// Whether a word may begin at a place. The letter of an escape that a text inside of the text was written with
/// (`\n4111`) belongs to no word.
pub(crate) fn begins_word(text: &[u8], at: usize) -> bool {
    before(text, at).is_none_or(|byte| !is_word(byte)) || follows_escape(text, at)
}

pub(crate) fn follows_escape(text: &[u8], at: usize) -> bool {
    matches!(
        at.checked_sub(2).and_then(|from| text.get(from..at)),
        Some([b'\\', b'n' | b't' | b'r'])
    )
}

/// Whether one of some words (in lower case) begins in the `reach` bytes before a place.
pub(crate) fn is_told_by(text: &[u8], at: usize, reach: usize, words: &[&str]) -> bool {
    let around = text.get(at.saturating_sub(reach)..at).unwrap_or_default();
    let mut inside = false;
    for (place, byte) in around.iter().enumerate() {
        let letter = byte.is_ascii_alphabetic();
        let begins = letter && !inside;
        inside = letter;
        if !begins {
            continue;
        }
        let rest = around.get(place..).unwrap_or_default();
        let told = words.iter().any(|word| {
            rest.get(..word.len())
                .is_some_and(|part| part.eq_ignore_ascii_case(word.as_bytes()))
        });
        if told {
            return true;
        }
    }
    false
}
