//! What is done to prompts and answers: keys of `[gateway]`, which a route may say otherwise.

use std::time::Duration;

use cockpit_model::traffic::{CacheSpec, PiiMode, Rules};

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
    cache: Option<CacheSpec>,
    keep_prompts: Option<Duration>,
}

/// Those that are judged and do nothing yet.
const LATER: &[&str] = &["cache", "keep_prompts"];

pub(super) fn read(fields: &Fields<'_, '_>) -> Written {
    for key in LATER {
        if fields.get(key).is_some() {
            fields.report.warn(
                &fields.key_span(key),
                Finding::new(format!("`{}`: accepted, not used yet", fields.path_of(key)))
                    .unquoted(),
            );
        }
    }
    Written {
        pii: fields.choice("pii", MODES),
        blocked_words: blocked_words(fields),
        max_tokens: fields
            .whole("max_tokens", 1..=u64::from(u32::MAX), 4096)
            .map(|n| n.value),
        cache: cache(fields),
        keep_prompts: fields.span_of_time("keep_prompts", "7d"),
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

fn cache(fields: &Fields<'_, '_>) -> Option<CacheSpec> {
    let keys = ["ttl", "max_size"];
    let cache = fields.section("cache", &keys, "cache = { ttl = \"10m\" }")?;
    Some(CacheSpec {
        ttl: cache
            .span_of_time("ttl", "10m")
            .unwrap_or(Duration::from_mins(10)),
        max_bytes: cache.size("max_size", 1 << 20, "64MiB").unwrap_or(64 << 20),
    })
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
            cache: self.cache.or(common.cache),
            keep_prompts: self.keep_prompts.or(common.keep_prompts),
        }
    }
}
