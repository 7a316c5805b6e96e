//! Keys, tokens and private keys: they begin with what their vendors chose so that they can be found.

use std::ops::Range;
use std::sync::OnceLock;

use aho_corasick::{AhoCorasick, MatchKind};

use crate::Kind;
use crate::text::{begins_word, is_word};

/// What may stand in a key.
#[derive(Clone, Copy)]
enum Set {
    /// Letters and digits.
    Plain,
    /// And `-`, `_`.
    Url,
    /// Capital letters and digits.
    Capital,
    /// And `+`, `/`.
    Base64,
}

impl Set {
    fn has(self, byte: u8) -> bool {
        match self {
            Self::Plain => byte.is_ascii_alphanumeric(),
            Self::Url => is_word(byte) || byte == b'-',
            Self::Capital => byte.is_ascii_uppercase() || byte.is_ascii_digit(),
            Self::Base64 => byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'),
        }
    }
}

/// How a key looks.
enum Shape {
    /// So many characters of a set after the prefix.
    Run(Set, usize, usize),
    /// A web token.
    Jwt,
    /// A private key.
    Pem,
    /// What follows a name that says so.
    Named(usize),
}

/// A longer key than any vendor's.
const LONG: usize = 512;

const SHAPES: &[(&str, Kind, Shape)] = &[
    (
        "sk-ant-",
        Kind::AnthropicKey,
        Shape::Run(Set::Url, 20, LONG),
    ),
    ("sk-proj-", Kind::OpenAiKey, Shape::Run(Set::Url, 20, LONG)),
    (
        "sk-svcacct-",
        Kind::OpenAiKey,
        Shape::Run(Set::Url, 20, LONG),
    ),
    ("sk-admin-", Kind::OpenAiKey, Shape::Run(Set::Url, 20, LONG)),
    ("sk-or-v1-", Kind::ApiKey, Shape::Run(Set::Plain, 32, LONG)),
    ("sk-lf-", Kind::ApiKey, Shape::Run(Set::Url, 20, LONG)),
    // Without more of a prefix: `OpenAI`'s of old, and of whoever copied them.
    ("sk-", Kind::OpenAiKey, Shape::Run(Set::Plain, 20, LONG)),
    ("AKIA", Kind::AwsKey, Shape::Run(Set::Capital, 16, 16)),
    ("ASIA", Kind::AwsKey, Shape::Run(Set::Capital, 16, 16)),
    ("aws_secret_access_key", Kind::AwsKey, Shape::Named(40)),
    ("AWS_SECRET_ACCESS_KEY", Kind::AwsKey, Shape::Named(40)),
    ("SecretAccessKey", Kind::AwsKey, Shape::Named(40)),
    ("ghp_", Kind::GithubToken, Shape::Run(Set::Plain, 36, LONG)),
    ("gho_", Kind::GithubToken, Shape::Run(Set::Plain, 36, LONG)),
    ("ghu_", Kind::GithubToken, Shape::Run(Set::Plain, 36, LONG)),
    ("ghs_", Kind::GithubToken, Shape::Run(Set::Plain, 36, LONG)),
    ("ghr_", Kind::GithubToken, Shape::Run(Set::Plain, 36, LONG)),
    (
        "github_pat_",
        Kind::GithubToken,
        Shape::Run(Set::Url, 50, LONG),
    ),
    ("xoxb-", Kind::SlackToken, Shape::Run(Set::Url, 20, LONG)),
    ("xoxp-", Kind::SlackToken, Shape::Run(Set::Url, 20, LONG)),
    ("xoxa-", Kind::SlackToken, Shape::Run(Set::Url, 20, LONG)),
    ("xoxe-", Kind::SlackToken, Shape::Run(Set::Url, 20, LONG)),
    ("xoxr-", Kind::SlackToken, Shape::Run(Set::Url, 20, LONG)),
    ("xoxs-", Kind::SlackToken, Shape::Run(Set::Url, 20, LONG)),
    ("xapp-", Kind::SlackToken, Shape::Run(Set::Url, 20, LONG)),
    (
        "hooks.slack.com/services/",
        Kind::SlackToken,
        Shape::Run(Set::Base64, 30, LONG),
    ),
    ("AIza", Kind::GoogleKey, Shape::Run(Set::Url, 35, 35)),
    ("GOCSPX-", Kind::GoogleKey, Shape::Run(Set::Url, 28, LONG)),
    ("ya29.", Kind::GoogleKey, Shape::Run(Set::Url, 40, 2 * LONG)),
    (
        "sk_live_",
        Kind::StripeKey,
        Shape::Run(Set::Plain, 16, LONG),
    ),
    (
        "sk_test_",
        Kind::StripeKey,
        Shape::Run(Set::Plain, 16, LONG),
    ),
    (
        "rk_live_",
        Kind::StripeKey,
        Shape::Run(Set::Plain, 16, LONG),
    ),
    (
        "rk_test_",
        Kind::StripeKey,
        Shape::Run(Set::Plain, 16, LONG),
    ),
    ("whsec_", Kind::StripeKey, Shape::Run(Set::Base64, 24, LONG)),
    ("gsk_", Kind::ApiKey, Shape::Run(Set::Plain, 40, LONG)),
    ("hf_", Kind::ApiKey, Shape::Run(Set::Plain, 30, LONG)),
    ("xai-", Kind::ApiKey, Shape::Run(Set::Plain, 40, LONG)),
    ("pplx-", Kind::ApiKey, Shape::Run(Set::Plain, 40, LONG)),
    ("r8_", Kind::ApiKey, Shape::Run(Set::Plain, 30, LONG)),
    ("glpat-", Kind::ApiKey, Shape::Run(Set::Url, 20, LONG)),
    ("npm_", Kind::ApiKey, Shape::Run(Set::Plain, 36, LONG)),
    ("pypi-AgEI", Kind::ApiKey, Shape::Run(Set::Url, 50, LONG)),
    ("dop_v1_", Kind::ApiKey, Shape::Run(Set::Plain, 40, LONG)),
    ("sbp_", Kind::ApiKey, Shape::Run(Set::Plain, 40, LONG)),
    ("sb_secret_", Kind::ApiKey, Shape::Run(Set::Url, 20, LONG)),
    ("SG.", Kind::ApiKey, Shape::Run(Set::Url, 20, 30)),
    // Those that the gateway of a cockpit asks for.
    ("cockpit_", Kind::ApiKey, Shape::Run(Set::Plain, 36, 36)),
    ("tskey-", Kind::ApiKey, Shape::Run(Set::Url, 20, LONG)),
    ("eyJ", Kind::Jwt, Shape::Jwt),
    ("-----BEGIN ", Kind::PrivateKey, Shape::Pem),
];

fn prefixes() -> Option<&'static AhoCorasick> {
    static PREFIXES: OnceLock<Option<AhoCorasick>> = OnceLock::new();
    PREFIXES
        .get_or_init(|| {
            AhoCorasick::builder()
                .match_kind(MatchKind::LeftmostLongest)
                .build(SHAPES.iter().map(|(prefix, ..)| prefix))
                .ok()
        })
        .as_ref()
}

pub(crate) fn find(text: &[u8], each: &mut impl FnMut(Kind, Range<usize>)) {
    let Some(prefixes) = prefixes() else { return };
    // What was looked at for one find is not looked at for the next.
    let mut upto = 0;
    for found in prefixes.find_iter(text) {
        let (start, after) = (found.start(), found.end());
        let Some((_, kind, shape)) = SHAPES.get(found.pattern().as_usize()) else {
            continue;
        };
        if start < upto {
            continue;
        }
        let range = match shape {
            Shape::Run(set, least, most) => run(text, start, after, *set, *least, *most),
            Shape::Jwt => jwt(text, start),
            Shape::Pem => pem(text, start, after),
            Shape::Named(length) => named(text, after, *length),
        };
        if let Some(range) = range {
            upto = range.end;
            each(*kind, range);
        }
    }
}

fn length_of(text: &[u8], at: usize, most: usize, has: impl Fn(u8) -> bool) -> usize {
    let rest = text.get(at..).unwrap_or_default();
    rest.iter()
        .take(most)
        .take_while(|byte| has(**byte))
        .count()
}

fn run(
    text: &[u8],
    start: usize,
    after: usize,
    set: Set,
    least: usize,
    most: usize,
) -> Option<Range<usize>> {
    if !begins_word(text, start) || start.checked_sub(1).and_then(|at| text.get(at)) == Some(&b'-')
    {
        return None;
    }
    let length = length_of(text, after, most, |byte| set.has(byte));
    let end = after + length;
    let goes_on = text.get(end).is_some_and(|byte| is_word(*byte));
    // A key that has an end has it where its characters end.
    if length < least || (goes_on && most < LONG) {
        return None;
    }
    is_random(text.get(after..end)?).then_some(start..end)
}

/// Whether it looks drawn by lot: letters and digits, not too many of them the same. `sk-your-key-goes-here` is not.
fn is_random(key: &[u8]) -> bool {
    let mut seen = [false; 128];
    for byte in key {
        if let Some(slot) = seen.get_mut(usize::from(*byte)) {
            *slot = true;
        }
    }
    let different = seen.iter().filter(|seen| **seen).count();
    key.iter().any(u8::is_ascii_digit) && key.iter().any(u8::is_ascii_alphabetic) && different >= 8
}

/// Three parts of base64, of which the first two are objects.
fn jwt(text: &[u8], start: usize) -> Option<Range<usize>> {
    /// Claims may be long, but not endless.
    const LONGEST: usize = 8 << 10;
    if !begins_word(text, start) {
        return None;
    }
    let url = |byte| Set::Url.has(byte);
    let header = start + length_of(text, start, LONGEST, url);
    if header < start + 12 || text.get(header..header + 4) != Some(b".eyJ") {
        return None;
    }
    let claims = header + 1 + length_of(text, header + 1, LONGEST, url);
    if text.get(claims) != Some(&b'.') {
        return None;
    }
    let signature = length_of(text, claims + 1, LONGEST, url);
    (signature >= 16).then_some(start..claims + 1 + signature)
}

/// `-----BEGIN … PRIVATE KEY-----` up to its end, or as far as it goes.
fn pem(text: &[u8], start: usize, after: usize) -> Option<Range<usize>> {
    /// `ENCRYPTED PRIVATE KEY BLOCK` and its like.
    const LONGEST_NAME: usize = 40;
    const LONGEST: usize = 64 << 10;
    let name = length_of(text, after, LONGEST_NAME, |byte| {
        byte.is_ascii_uppercase() || byte == b' '
    });
    let title = text.get(after..after + name)?;
    if !title.windows(11).any(|part| part == b"PRIVATE KEY") {
        return None;
    }
    let mut at = after + name;
    at += length_of(text, at, 5, |byte| byte == b'-');
    let inside = |byte: u8| {
        byte.is_ascii_alphanumeric()
            || byte.is_ascii_whitespace()
            || matches!(byte, b'+' | b'/' | b'=' | b':' | b',' | b'.' | b'\\')
    };
    let begin = at;
    loop {
        at += length_of(text, at, LONGEST, inside);
        // `DEK-Info: AES-256-CBC`
        let dash = text.get(at) == Some(&b'-') && text.get(at + 1) != Some(&b'-');
        if !dash || at - begin > LONGEST {
            break;
        }
        at += 1;
    }
    let tail = text.get(at..).unwrap_or_default();
    if tail.starts_with(b"-----END ") {
        at += 9;
        at += length_of(text, at, LONGEST_NAME, |byte| {
            byte.is_ascii_uppercase() || byte == b' '
        });
        at += length_of(text, at, 5, |byte| byte == b'-');
    } else if at - begin < 16 {
        // Somebody writes of keys, and shows none.
        return None;
    }
    // Blanks at its end belong to what follows.
    while text.get(at - 1).is_some_and(u8::is_ascii_whitespace) {
        at -= 1;
    }
    Some(start..at)
}

/// What follows a name, `=` or `:` and quotes.
fn named(text: &[u8], after: usize, length: usize) -> Option<Range<usize>> {
    let sign = |byte: u8| {
        byte.is_ascii_whitespace() || matches!(byte, b'=' | b':' | b'"' | b'\'' | b'\\' | b'>')
    };
    let start = after + length_of(text, after, 8, sign);
    let end = start + length_of(text, start, length + 1, |byte| Set::Base64.has(byte));
    (end - start == length && is_random(text.get(start..end)?)).then_some(start..end)
}
