//! Telephone numbers. They have no arithmetic: only what is written like nothing else is taken, or what stands beside
//! a word that says so.

use std::ops::Range;

use super::countries::calling_code;
use super::shape::{ends, matches};
use crate::text::{before, is_told_by};

/// How far before a number the word that says what it is may stand.
const REACH: usize = 24;
const WORDS: &[&str] = &[
    "phone",
    "tel",
    "telephone",
    "mobile",
    "cell",
    "call",
    "fax",
    "whatsapp",
    "sms",
    "telefon",
    "handy",
    "mobil",
    "rufnummer",
    "téléphone",
    "portable",
    "teléfono",
    "móvil",
    "telefono",
    "cellulare",
    "telefoon",
    "mobiel",
];

/// A number as it is dialled.
struct Dialled {
    digits: [u8; 16],
    count: usize,
    /// How many groups it is written in, and how long the first is.
    groups: usize,
    first: usize,
    /// The shortest of them.
    shortest: usize,
    end: usize,
}

impl Dialled {
    fn digits(&self) -> &[u8] {
        self.digits.get(..self.count).unwrap_or_default()
    }
}

/// Digits with blanks, hyphens, points, slashes and brackets between them, as far as they go; none, if there are more
/// than any number has.
fn dial(text: &[u8], start: usize) -> Option<Dialled> {
    let mut number = Dialled {
        digits: [0; 16],
        count: 0,
        groups: 0,
        first: 0,
        shortest: usize::MAX,
        end: start,
    };
    let mut at = start;
    loop {
        let digits = text.get(at..).unwrap_or_default();
        let length = digits
            .iter()
            .take(17)
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        if length == 0 {
            return None;
        }
        for byte in digits.iter().take(length) {
            *number.digits.get_mut(number.count)? = byte - b'0';
            number.count += 1;
        }
        number.groups += 1;
        if number.groups == 1 {
            number.first = length;
        }
        number.shortest = number.shortest.min(length);
        at += length;
        number.end = at;
        // At most two signs between groups, of which the last may open a bracket or the first close one.
        let signs: usize = text
            .get(at..)
            .unwrap_or_default()
            .iter()
            .take(3)
            .take_while(|byte| matches!(byte, b' ' | b'-' | b'.' | b'/' | b'(' | b')'))
            .count();
        let next = at + signs;
        if signs == 0 || signs > 2 || !text.get(next).is_some_and(u8::is_ascii_digit) {
            return (number.count <= 15).then_some(number);
        }
        at = next;
    }
}

/// One that begins with `+` or `(`, which stand at `sign`.
pub(super) fn signed(text: &[u8], sign: usize) -> Option<Range<usize>> {
    let free = before(text, sign)
        .is_none_or(|byte| !byte.is_ascii_alphanumeric() && !matches!(byte, b'+' | b'(' | b'_'));
    if !free {
        return None;
    }
    if text.get(sign) == Some(&b'+') {
        let number = dial(text, sign + 1)?;
        let code = calling_code(number.digits())?;
        let subscriber = number.count - code;
        // In one piece it might be a sum: then it has to be as long as numbers are.
        let least = if number.groups == 1 { 8 } else { 6 };
        let fits = subscriber >= least && number.count >= 8 && number.groups <= 7;
        return (fits && ends(text, number.end)).then_some(sign..number.end);
    }
    let shapes: [&[u8]; 3] = [b"(000) 000-0000", b"(000)000-0000", b"(000) 000 0000"];
    let end = shapes.iter().find_map(|shape| matches(text, sign, shape))?;
    let area = text.get(sign + 1)?;
    if (b'2'..=b'9').contains(area) {
        return Some(sign..end);
    }
    None
}

/// One that begins with `run` digits in a row.
pub(super) fn plain(text: &[u8], start: usize, run: usize) -> Option<usize> {
    // Groups of digits in a row are some other number, or a table.
    let goes_on = before(text, start) == Some(b' ')
        && before(text, start - 1).is_some_and(|byte| byte.is_ascii_digit());
    if goes_on {
        return None;
    }
    if run > 15 {
        return None;
    }
    match text.get(start..start + 2)? {
        [b'0', b'0'] => from_abroad(text, start),
        [b'0', b'1'..=b'9'] => france(text, start).or_else(|| trunk(text, start)),
        _ if run == 1 || run == 3 => north_america(text, start),
        _ => None,
    }
    .or_else(|| told(text, start))
}

/// `555-123-4567`, with or without a 1 before it.
fn north_america(text: &[u8], start: usize) -> Option<usize> {
    let shapes: [&[u8]; 6] = [
        b"000-000-0000",
        b"000.000.0000",
        b"1-000-000-0000",
        b"1.000.000.0000",
        b"1 (000) 000-0000",
        b"1 000-000-0000",
    ];
    let end = shapes
        .iter()
        .find_map(|shape| matches(text, start, shape))?;
    let digits = text
        .get(start..end)?
        .iter()
        .filter(|byte| byte.is_ascii_digit());
    let mut digits = digits.rev();
    let exchange = digits.nth(6)?;
    let area = digits.nth(2)?;
    ((b'2'..=b'9').contains(exchange) && (b'2'..=b'9').contains(area)).then_some(end)
}

/// `06 12 34 56 78`.
fn france(text: &[u8], start: usize) -> Option<usize> {
    let shapes: [&[u8]; 3] = [b"00 00 00 00 00", b"00.00.00.00.00", b"00-00-00-00-00"];
    let end = shapes
        .iter()
        .find_map(|shape| matches(text, start, shape))?;
    Some(end)
}

/// `0049 30 1234567`.
fn from_abroad(text: &[u8], start: usize) -> Option<usize> {
    let number = dial(text, start)?;
    let abroad = number.digits().get(2..)?;
    let code = calling_code(abroad)?;
    let subscriber = abroad.len() - code;
    let fits =
        (2..=6).contains(&number.groups) && (7..=12).contains(&subscriber) && number.first >= 3;
    (fits && ends(text, number.end)).then_some(number.end)
}

/// `0170 1234567`, `030/1234567`, `020 7946 0958`: a trunk prefix, and groups.
fn trunk(text: &[u8], start: usize) -> Option<usize> {
    let number = dial(text, start)?;
    let fits = (9..=12).contains(&number.count)
        && (2..=4).contains(&number.groups)
        && (3..=5).contains(&number.first)
        && number.shortest >= 2;
    // Points make amounts and versions of it.
    let points = text.get(start..number.end)?.contains(&b'.');
    (fits && !points && ends(text, number.end)).then_some(number.end)
}

/// Any number beside a word that says that it is one.
fn told(text: &[u8], start: usize) -> Option<usize> {
    let number = dial(text, start)?;
    let fits = (7..=15).contains(&number.count) && number.groups <= 6 && number.shortest >= 2;
    (fits && ends(text, number.end) && is_told_by(text, start, REACH, WORDS)).then_some(number.end)
}
