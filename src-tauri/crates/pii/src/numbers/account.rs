//! IBANs.

use super::countries::iban_length;
use super::shape::ends;

/// Where the IBAN at a place ends: in one or in fours, in either case.
pub(super) fn iban(text: &[u8], start: usize) -> Option<usize> {
    let country = match text.get(start..start + 2)? {
        [one, two] => [one.to_ascii_uppercase(), two.to_ascii_uppercase()],
        _ => return None,
    };
    let length = iban_length(country)?;
    let mut at = start;
    let mut taken = 0;
    let mut remainder = 0u32;
    // The country and the check digits count last.
    let mut head = [0u8; 4];
    while taken < length {
        let byte = *text.get(at)?;
        if byte == b' ' && taken > 0 && taken % 4 == 0 {
            at += 1;
            continue;
        }
        if !byte.is_ascii_alphanumeric() || ((2..4).contains(&taken) && !byte.is_ascii_digit()) {
            return None;
        }
        match head.get_mut(taken) {
            Some(slot) => *slot = byte,
            None => remainder = modulo(remainder, byte),
        }
        taken += 1;
        at += 1;
        // Not two blanks in a row.
        if text.get(at) == Some(&b' ') && text.get(at + 1) == Some(&b' ') && taken < length {
            return None;
        }
    }
    let remainder = head.iter().fold(remainder, |sum, byte| modulo(sum, *byte));
    (remainder == 1 && ends(text, at)).then_some(at)
}

fn modulo(remainder: u32, byte: u8) -> u32 {
    if byte.is_ascii_digit() {
        (remainder * 10 + u32::from(byte - b'0')) % 97
    } else {
        (remainder * 100 + u32::from(byte.to_ascii_uppercase() - b'A') + 10) % 97
    }
}
