//! Made-up text and numbers, decided by the seed.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

const WORDS: [&str; 32] = [
    "the", "model", "answers", "from", "memory", "and", "a", "quiet", "machine", "keeps", "time",
    "with", "every", "request", "it", "serves", "while", "logs", "turn", "over", "slowly", "so",
    "that", "nothing", "is", "lost", "when", "power", "returns", "in", "morning", "light",
];

/// A generator for one purpose: the seed and a text give the same stream every time.
pub(crate) fn rng(seed: u64, purpose: &str) -> StdRng {
    // FNV-1a: the standard library's hasher may change between releases.
    let hash = purpose
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    StdRng::seed_from_u64(seed ^ hash)
}

/// One of several.
pub(crate) fn pick<'a>(rng: &mut StdRng, from: &[&'a str]) -> &'a str {
    from.get(rng.random_range(0..from.len().max(1)))
        .copied()
        .unwrap_or_default()
}

/// An answer in tokens, each with its leading space as a tokenizer would split it.
pub(crate) fn tokens(rng: &mut StdRng, limit: usize) -> Vec<String> {
    let count = rng.random_range(12..40).min(limit);
    (0..count)
        .map(|n| {
            let word = pick(rng, &WORDS);
            match n {
                0 => {
                    let mut letters = word.chars();
                    letters
                        .next()
                        .map(|first| first.to_uppercase().chain(letters).collect())
                        .unwrap_or_default()
                }
                n if n + 1 == count => format!(" {word}."),
                _ => format!(" {word}"),
            }
        })
        .collect()
}

/// About how many tokens a text has.
pub(crate) fn count(text: &str) -> u64 {
    (text.len() as u64).div_ceil(4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_says_the_same() {
        assert_eq!(
            tokens(&mut rng(7, "why"), 99),
            tokens(&mut rng(7, "why"), 99)
        );
        assert_ne!(
            tokens(&mut rng(7, "why"), 99),
            tokens(&mut rng(8, "why"), 99)
        );
        assert_eq!(tokens(&mut rng(7, "why"), 3).len(), 3);
    }
}
