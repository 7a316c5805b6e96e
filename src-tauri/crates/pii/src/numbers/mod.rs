//! What has a digit: cards, accounts, national numbers, telephone numbers.
//!
//! Each word with a digit in it is tried once, by the shapes that may begin with as many letters as it does.

mod account;
mod card;
mod countries;
mod national;
mod phone;
mod shape;

use std::ops::Range;

use crate::Kind;
use crate::text::{before, begins_word, follows_escape};

/// The most letters before the first digit of anything that is looked for: those of a codice fiscale.
const MOST_LETTERS: usize = 6;

pub(crate) fn find(text: &[u8], each: &mut impl FnMut(Kind, Range<usize>)) {
    let mut at = 0;
    while let Some(digit) = next_digit(text, at) {
        let start = word_start(text, digit, at);
        match try_at(text, start, digit) {
            Some((kind, range)) => {
                at = range.end.max(digit + 1);
                each(kind, range);
            }
            None => {
                // The rest of the word cannot begin anything.
                let rest = text.get(digit..).unwrap_or_default();
                let length = rest
                    .iter()
                    .take_while(|byte| byte.is_ascii_alphanumeric())
                    .count();
                at = digit + length;
            }
        }
    }
}

/// The next digit from a place on. Prose has few: it is passed over in blocks.
fn next_digit(text: &[u8], from: usize) -> Option<usize> {
    const BLOCK: usize = 32;
    let mut at = from;
    while let Some(block) = text.get(at..at + BLOCK) {
        // Without a branch inside, so that it is done for many bytes at once.
        let any = block
            .iter()
            .fold(false, |any, byte| any | byte.is_ascii_digit());
        if any {
            break;
        }
        at += BLOCK;
    }
    let rest = text.get(at..)?;
    rest.iter()
        .position(u8::is_ascii_digit)
        .map(|place| at + place)
}

/// Where the word of a digit begins, if it does so near enough; else the digit.
fn word_start(text: &[u8], digit: usize, from: usize) -> usize {
    let mut start = digit;
    while start > from
        && digit - start <= MOST_LETTERS
        && before(text, start).is_some_and(|byte| byte.is_ascii_alphabetic())
        && !follows_escape(text, start)
    {
        start -= 1;
    }
    start
}

fn try_at(text: &[u8], start: usize, digit: usize) -> Option<(Kind, Range<usize>)> {
    if !begins_word(text, start) {
        return None;
    }
    let named = |kind, end: usize| (kind, start..end);
    match digit - start {
        0 => {
            let sign = before(text, start);
            if sign == Some(b'+') || sign == Some(b'(') {
                return phone::signed(text, start - 1).map(|range| (Kind::Phone, range));
            }
            // Most numbers in a text are short, and nothing.
            let length = run(text, start)?;
            if !is_free(text, start) {
                return None;
            }
            card::find(text, start, length)
                .map(|end| named(Kind::Card, end))
                .or_else(|| {
                    national::digits(text, start, length).map(|(kind, end)| named(kind, end))
                })
                .or_else(|| phone::plain(text, start, length).map(|end| named(Kind::Phone, end)))
                .or_else(|| national::spaced_nino(text, start).map(|at| (Kind::UkNino, at)))
        }
        1 => national::nie(text, start).map(|end| named(Kind::EsDni, end)),
        2 => account::iban(text, start)
            .map(|end| named(Kind::Iban, end))
            .or_else(|| national::nino(text, start).map(|end| named(Kind::UkNino, end))),
        6 => national::codice_fiscale(text, start).map(|end| named(Kind::ItFiscalCode, end)),
        _ => None,
    }
}

/// How many digits a number begins with in a row; none, if it has too few in all to be anything, whatever stands
/// between them.
fn run(text: &[u8], start: usize) -> Option<usize> {
    /// Those of a telephone number inside of a town, and of a NINO after its letters.
    const LEAST: usize = 6;
    /// Digits with as many signs between them as anything has.
    const REACH: usize = 16;
    let rest = text.get(start..).unwrap_or_default();
    let length = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if length >= LEAST {
        return Some(length);
    }
    let more = rest.iter().skip(length).take(REACH);
    let more = more.take_while(|byte| {
        byte.is_ascii_digit() || matches!(byte, b' ' | b'-' | b'.' | b'/' | b'(' | b')')
    });
    let digits = length + more.filter(|byte| byte.is_ascii_digit()).count();
    (digits >= LEAST).then_some(length)
}

/// Whether a number that begins here is one of its own: no decimals, no part of a path, a date or a longer number.
fn is_free(text: &[u8], start: usize) -> bool {
    let Some(sign) = before(text, start) else {
        return true;
    };
    if !matches!(
        sign,
        b'.' | b',' | b'-' | b'/' | b':' | b'@' | b'#' | b'%' | b'&'
    ) {
        return true;
    }
    let beyond = before(text, start - 1);
    match sign {
        // `Card:4111…` is one, `12:4111…` is not.
        b':' => beyond.is_none_or(|byte| !byte.is_ascii_digit()),
        b'#' | b'%' | b'&' => false,
        b',' => beyond.is_none_or(|byte| !byte.is_ascii_digit()),
        _ => beyond.is_none_or(|byte| !byte.is_ascii_alphanumeric()),
    }
}
