//! E-mail addresses, and passwords inside of URLs: both have an `@`.

use std::ops::Range;

use memchr::memchr_iter;

use crate::Kind;
use crate::text::{before, follows_escape};

/// As RFC 5321 has it.
const LONGEST_LOCAL: usize = 64;
const LONGEST_DOMAIN: usize = 253;
/// How far before its `@` a URL's user and password begin at most.
const LONGEST_CREDENTIALS: usize = 256;

pub(crate) fn find(text: &[u8], each: &mut impl FnMut(Kind, Range<usize>)) {
    for at in memchr_iter(b'@', text) {
        if let Some(password) = password(text, at) {
            each(Kind::Password, password);
        } else if let Some(address) = address(text, at) {
            each(Kind::Email, address);
        }
    }
}

/// `scheme://user:password@host`: the password.
fn password(text: &[u8], at: usize) -> Option<Range<usize>> {
    let from = at.saturating_sub(LONGEST_CREDENTIALS);
    let before = text.get(from..at)?;
    let ends = |byte: &u8| {
        byte.is_ascii_whitespace()
            || byte.is_ascii_control()
            || matches!(byte, b'/' | b'@' | b'"' | b'\'' | b'<' | b'>' | b'`')
    };
    let slash = before.iter().rposition(ends)?;
    if !before.get(..=slash)?.ends_with(b"://") {
        return None;
    }
    let credentials = before.get(slash + 1..)?;
    let colon = credentials.iter().position(|byte| *byte == b':')?;
    let start = from + slash + 1 + colon + 1;
    let secret = text.get(start..at)?;
    // A variable is no value: `${PASSWORD}`, `{password}`, `<password>`, `$PASSWORD`, `***`.
    let is_place = secret
        .iter()
        .any(|byte| matches!(byte, b'{' | b'$' | b'*' | b'['));
    (secret.len() >= 3 && !is_place).then_some(start..at)
}

fn address(text: &[u8], at: usize) -> Option<Range<usize>> {
    let mut start = at;
    while at - start < LONGEST_LOCAL {
        let Some(byte) = before(text, start) else {
            break;
        };
        if is_local(byte) && !follows_escape(text, start) {
            start -= 1;
        } else if let Some(letter) = latin_before(text, start) {
            start -= letter;
        } else {
            break;
        }
    }
    // A point, a quote or a bracket at the begin belongs to what is around.
    while matches!(
        text.get(start),
        Some(b'.' | b'\'' | b'-' | b'/' | b'=' | b'`' | b'*' | b'&' | b'?')
    ) {
        start += 1;
    }
    if start >= at || before(text, at) == Some(b'.') {
        return None;
    }
    let domain = text.get(at + 1..text.len().min(at + 1 + LONGEST_DOMAIN))?;
    let mut length = 0;
    while let Some(byte) = domain.get(length) {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.') {
            length += 1;
        } else if let Some(letter) = latin_at(domain, length) {
            length += letter;
        } else {
            break;
        }
    }
    while matches!(domain.get(length.wrapping_sub(1)), Some(b'.' | b'-')) {
        length -= 1;
    }
    let name = domain.get(..length)?;
    let point = name.iter().rposition(|byte| *byte == b'.')?;
    let top = name.get(point + 1..)?;
    let is_top = (2..=24).contains(&top.len()) && top.iter().all(u8::is_ascii_alphabetic)
        || top.starts_with(b"xn--");
    let labels = name.split(|byte| *byte == b'.');
    let mut labels = labels.filter(|label| label.is_empty() || label.starts_with(b"-"));
    if !is_top || labels.next().is_some() {
        return None;
    }
    // `git@github.com:owner/name` is an address of a repository.
    let local = text.get(start..at)?;
    if local == b"git" {
        return None;
    }
    Some(start..at + 1 + length)
}

fn is_local(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'.' | b'_'
                | b'%'
                | b'+'
                | b'-'
                | b'\''
                | b'!'
                | b'#'
                | b'&'
                | b'*'
                | b'/'
                | b'='
                | b'?'
                | b'`'
                | b'~'
                | b'^'
        )
}

/// The length of a Latin letter with a mark (ä, é, ł) that ends at a place. Other scripts are written without blanks
/// between words: what stands before an address there is not part of it.
fn latin_before(text: &[u8], end: usize) -> Option<usize> {
    let from = end.checked_sub(2)?;
    latin_at(text, from)
}

fn latin_at(text: &[u8], at: usize) -> Option<usize> {
    matches!(text.get(at..at + 2), Some([0xC3..=0xC9, 0x80..=0xBF])).then_some(2)
}
