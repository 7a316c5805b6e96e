//! The form of the keys that are made here: `cockpit_`, thirty characters of chance and six of a checksum, as
//! other issuers of keys write theirs. Whoever looks for leaked secrets knows one by its beginning and can tell
//! by the checksum that it is one, without asking anybody.

use rand::Rng as _;
use rand::distr::Alphanumeric;
use sha2::{Digest, Sha256};

/// How every key that is made here begins.
pub const PREFIX: &str = "cockpit_";
/// 178 bits.
const CHANCE: usize = 30;
const CHECKSUM: usize = 6;
/// What of a key is shown to people later: enough to tell a few keys apart, and nothing to guess the rest by.
const SHOWN: usize = PREFIX.len() + 4;

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A new key, from the system's own generator of secrets.
pub fn new_key() -> String {
    let chance: String = rand::rng()
        .sample_iter(Alphanumeric)
        .take(CHANCE)
        .map(char::from)
        .collect();
    let checksum = checksum(&chance);
    format!("{PREFIX}{chance}{checksum}")
}

/// Whether a text is a key that was made by a cockpit: this one, another, or one that is no more.
pub fn is_made_here(text: &str) -> bool {
    let Some(rest) = text.strip_prefix(PREFIX) else {
        return false;
    };
    rest.len() == CHANCE + CHECKSUM
        && rest
            .split_at_checked(CHANCE)
            .is_some_and(|(chance, sum)| checksum(chance) == sum)
}

/// How a key begins, for people to know it again.
pub fn beginning(key: &str) -> &str {
    key.get(..SHOWN).unwrap_or_default()
}

/// The first four bytes of the SHA-256, in base 62.
fn checksum(chance: &str) -> String {
    let [a, b, c, d, ..]: [u8; 32] = Sha256::digest(chance.as_bytes()).into();
    let mut rest = u32::from_be_bytes([a, b, c, d]);
    let mut text = [b'0'; CHECKSUM];
    for place in text.iter_mut().rev() {
        *place = DIGITS.get((rest % 62) as usize).copied().unwrap_or(b'0');
        rest /= 62;
    }
    text.iter().map(|byte| char::from(*byte)).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn keys_are_known_again_and_never_repeat() {
        let many: std::collections::HashSet<_> = (0..1000).map(|_| new_key()).collect();
        assert_eq!(many.len(), 1000);
        for key in &many {
            assert_eq!(key.len(), 44);
            assert!(is_made_here(key), "{key}");
            assert!(beginning(key).starts_with(PREFIX) && beginning(key).len() == 12);
        }
        // Written down, also among what is found in prompts: keys that were made yesterday must be known tomorrow.
        assert!(is_made_here(&format!("{PREFIX}{}0dNVM0", "0".repeat(30))));
        assert!(is_made_here("cockpit_a7Bq2Zt9Lm4Xc8Vn1Kd6Rw3Ye5Hu0J4BFJEt"));
    }

    #[test]
    fn a_mistyped_one_is_none() {
        let key = new_key();
        let digit = key.as_bytes()[20];
        let other = if digit == b'a' { "b" } else { "a" };
        let mut wrong = key.clone();
        wrong.replace_range(20..21, other);
        for text in [
            wrong.as_str(),
            key.get(1..).unwrap(),
            key.get(..43).unwrap(),
            "cockpit_",
            "",
        ] {
            assert!(!is_made_here(text), "{text}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "(cockpit_)?\\PC{0,40}") {
            is_made_here(&text);
            beginning(&text);
        }
    }
}
