//! What is done to prompts and answers: keys of `[gateway]`, which a route may say otherwise.

use std::time::Duration;

use cockpit_model::traffic::{CacheSpec, PiiMode, Rules};
use toml::de::DeValue;

use crate::fields::Fields;
use crate::report::Finding;

pub(super) const KEYS: &[&str] = &[
    "pii",
    "blocked_words",
    "max_tokens",
    "cache",
    "keep_prompts",
];

const MODES: &[(&str, PiiMode)] = &[
    ("observe", PiiMode::Observe),
    ("redact", PiiMode::Redact),
    ("block", PiiMode::Block),
    ("off", PiiMode::Off),
];

/// What of the rules is written; the rest is taken from elsewhere.
#[derive(Default)]
pub(super) struct Written {
    pii: Option<PiiMode>,
    blocked_words: Option<Vec<String>>,
    max_tokens: Option<u64>,
    /// Of a route, `false` turns off what `[gateway]` turns on.
    cache: Option<Option<CacheSpec>>,
    keep_prompts: Option<Option<Duration>>,
}

pub(super) fn read(fields: &Fields<'_, '_>) -> Written {
    Written {
        pii: fields.choice("pii", MODES),
        blocked_words: blocked_words(fields),
        max_tokens: fields
            .whole("max_tokens", 1..=u64::from(u32::MAX), 4096)
            .map(|n| n.value),
        cache: cache(fields),
        keep_prompts: if is_off(fields, "keep_prompts") {
            Some(None)
        } else {
            fields.span_of_time("keep_prompts", "7d").map(Some)
        },
    }
}

fn blocked_words(fields: &Fields<'_, '_>) -> Option<Vec<String>> {
    let list = fields.texts("blocked_words", "[\"project-x\"]")?;
    let mut words = Vec::new();
    for word in list.value {
        if word.value.trim().is_empty() {
            fields.report.error(
                &word.span,
                Finding::new(format!(
                    "`{}` holds an empty word, which every prompt holds",
                    fields.path_of("blocked_words")
                ))
                .suggest("remove it"),
            );
            continue;
        }
        words.push(word.value.trim().to_lowercase());
    }
    Some(words)
}

fn is_off(fields: &Fields<'_, '_>, key: &str) -> bool {
    fields
        .get(key)
        .is_some_and(|value| matches!(value.get_ref(), DeValue::Boolean(false)))
}

fn cache(fields: &Fields<'_, '_>) -> Option<Option<CacheSpec>> {
    if is_off(fields, "cache") {
        return Some(None);
    }
    let keys = ["ttl", "max_size"];
    let cache = fields.section("cache", &keys, "cache = { ttl = \"10m\" }")?;
    Some(Some(CacheSpec {
        ttl: cache
            .span_of_time("ttl", "10m")
            .unwrap_or(Duration::from_mins(10)),
        max_bytes: cache.size("max_size", 1 << 20, "64MiB").unwrap_or(64 << 20),
    }))
}

impl Written {
    /// What is not written is as in `common`, or the usual.
    pub(super) fn over(self, common: Option<&Rules>) -> Rules {
        let usual = Rules::default();
        let common = common.unwrap_or(&usual);
        Rules {
            pii: self.pii.unwrap_or(common.pii),
            blocked_words: self
                .blocked_words
                .unwrap_or_else(|| common.blocked_words.clone()),
            max_tokens: self.max_tokens.or(common.max_tokens),
            cache: self.cache.unwrap_or(common.cache),
            keep_prompts: self.keep_prompts.unwrap_or(common.keep_prompts),
        }
    }
}
