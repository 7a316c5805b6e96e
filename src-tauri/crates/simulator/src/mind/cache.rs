//! Prompts that were read before are cheaper. OpenAI looks for the longest known beginning by itself,
//! in steps of 128 tokens; Anthropic keeps and finds what the caller marks. Both from 1024 tokens on.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::words;

const LEAST: u64 = 1024;
const STEP: u64 = 128;
/// Bytes of a token, as [`words::count`] takes it.
const TOKEN: usize = 4;
/// Beginnings that are remembered; then all are forgotten.
const MOST: usize = 100_000;

/// What was read before.
#[derive(Debug, Default)]
pub(crate) struct PromptCache {
    known: HashSet<u64>,
}

/// A mark of the caller's: up to here it is to be kept.
#[derive(Debug, Clone)]
pub(crate) struct Breakpoint {
    /// All text up to it.
    pub(crate) text: String,
    /// For an hour, not for five minutes.
    pub(crate) hour: bool,
}

/// Tokens that came out of the cache and that went into it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Cached {
    pub(crate) read: u64,
    pub(crate) written_5m: u64,
    pub(crate) written_1h: u64,
}

impl PromptCache {
    fn learn(&mut self, hash: u64) {
        if self.known.len() >= MOST {
            self.known.clear();
        }
        self.known.insert(hash);
    }

    /// OpenAI's: how many tokens of the beginning are known. All of it is from now on.
    pub(crate) fn beginning(&mut self, model: &str, text: &str) -> u64 {
        if words::count(text) < LEAST {
            return 0;
        }
        let mut hasher = DefaultHasher::new();
        model.hash(&mut hasher);
        let mut known = 0;
        let mut unbroken = true;
        let step = usize::try_from(STEP).unwrap_or(usize::MAX) * TOKEN;
        for block in text.as_bytes().chunks_exact(step) {
            block.hash(&mut hasher);
            let hash = hasher.finish();
            unbroken &= self.known.contains(&hash);
            if unbroken {
                known += STEP;
            }
            self.learn(hash);
        }
        if known < LEAST { 0 } else { known }
    }

    /// Anthropic's: what is read up to the last known mark, and written from there to the last mark.
    pub(crate) fn marked(&mut self, model: &str, marks: &[Breakpoint]) -> Cached {
        let mut cached = Cached::default();
        let mut at = 0;
        for mark in marks {
            let tokens = words::count(&mark.text);
            if tokens < LEAST {
                continue;
            }
            let mut hasher = DefaultHasher::new();
            (model, &mark.text).hash(&mut hasher);
            let hash = hasher.finish();
            if self.known.contains(&hash) {
                cached = Cached {
                    read: tokens,
                    ..Cached::default()
                };
            } else if mark.hour {
                cached.written_1h += tokens.saturating_sub(at);
            } else {
                cached.written_5m += tokens.saturating_sub(at);
            }
            at = tokens;
            self.learn(hash);
        }
        cached
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_beginning_counts_in_steps() {
        let mut cache = PromptCache::default();
        let long = "a".repeat(5000);
        assert_eq!(cache.beginning("m", &long), 0);
        assert_eq!(cache.beginning("m", &format!("{long} and more")), 1152);
        assert_eq!(cache.beginning("other", &long), 0);
        assert_eq!(cache.beginning("m", "short"), 0);
        assert_eq!(cache.beginning("m", "short"), 0);
    }

    #[test]
    fn marks_are_written_once_and_read_then() {
        let mut cache = PromptCache::default();
        let mark = |length: usize, hour| Breakpoint {
            text: "a".repeat(length),
            hour,
        };
        let first = cache.marked("m", &[mark(8000, true)]);
        assert_eq!((first.read, first.written_1h), (0, 2000));
        let second = cache.marked("m", &[mark(8000, true), mark(12_000, false)]);
        assert_eq!((second.read, second.written_5m), (2000, 1000));
        assert_eq!(cache.marked("m", &[mark(100, false)]), Cached::default());
    }
}
