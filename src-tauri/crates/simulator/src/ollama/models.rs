//! Models on disk and in memory. Pure: the time is a parameter.

use std::collections::BTreeMap;
use std::time::Duration;

use cockpit_model::Timestamp;
use jiff::SignedDuration;
use rand::Rng;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use crate::{clock, words};

/// A model on disk.
#[derive(Debug, Clone)]
pub(super) struct ModelFile {
    /// With its tag: `llama3.2:latest`.
    pub(super) name: String,
    /// Bytes.
    pub(super) size: u64,
    /// Hexadecimal, 64 digits.
    pub(super) digest: String,
    pub(super) family: &'static str,
    pub(super) parameters: &'static str,
    /// What it can do, in the words of `/api/show`.
    pub(super) capabilities: &'static [&'static str],
    /// Tokens of context it is loaded with.
    pub(super) context_length: u64,
    /// Length of its embeddings.
    pub(super) embedding_length: usize,
}

type WellKnown = (
    &'static str,
    u64,
    &'static str,
    &'static str,
    u64,
    usize,
    &'static [&'static str],
);

/// Name, bytes, family, parameters, context, embedding, capabilities.
const WELL_KNOWN: [WellKnown; 5] = [
    (
        "llama3.2",
        2_019_393_189,
        "llama",
        "3.2B",
        4096,
        3072,
        &["completion", "tools"],
    ),
    (
        "qwen2.5-coder",
        4_683_087_561,
        "qwen2",
        "7.6B",
        4096,
        3584,
        &["completion", "tools", "insert"],
    ),
    (
        "qwen3",
        5_225_388_164,
        "qwen3",
        "8.2B",
        4096,
        4096,
        &["completion", "tools", "thinking"],
    ),
    (
        "gemma3",
        3_338_801_804,
        "gemma3",
        "4.3B",
        4096,
        2560,
        &["completion", "vision"],
    ),
    (
        "nomic-embed-text",
        274_302_450,
        "nomic-bert",
        "137M",
        2048,
        768,
        &["embedding"],
    ),
];

/// A name with its tag, `latest` unless it has one.
pub(super) fn full_name(name: &str) -> String {
    if name.contains(':') {
        name.to_owned()
    } else {
        format!("{name}:latest")
    }
}

impl ModelFile {
    /// The model of that name; sizes of well-known ones are theirs, others get a plausible one.
    pub(super) fn named(name: &str) -> Self {
        let name = full_name(name);
        let base = name.split(':').next().unwrap_or_default();
        let mut rng = words::rng(0, &name);
        let text: &[&str] = &["completion", "tools"];
        let known = WELL_KNOWN.iter().find(|known| known.0 == base);
        let (_, size, family, parameters, context_length, embedding_length, capabilities) =
            known.copied().unwrap_or((
                "",
                rng.random_range(1..20) * 1_000_000_007,
                "llama",
                "8B",
                4096,
                4096,
                text,
            ));
        let digest = (0..8)
            .map(|_| format!("{:08x}", rng.random::<u32>()))
            .collect();
        Self {
            name,
            size,
            digest,
            family,
            parameters,
            context_length,
            embedding_length,
            capabilities,
        }
    }

    /// Whether it can be pulled: the library has the well-known ones.
    pub(super) fn is_in_library(name: &str) -> bool {
        let base = name.split(':').next().unwrap_or_default();
        WELL_KNOWN.iter().any(|known| known.0 == base)
    }

    /// Whether it can do that.
    pub(super) fn can(&self, what: &str) -> bool {
        self.capabilities.contains(&what)
    }

    /// `details`, as `/api/tags`, `/api/ps` and `/api/show` carry them.
    pub(super) fn details(&self) -> Value {
        json!({
            "parent_model": "",
            "format": "gguf",
            "family": self.family,
            "families": [self.family],
            "parameter_size": self.parameters,
            "quantization_level": "Q4_K_M",
        })
    }

    /// Bytes it takes in memory: the weights and the context's cache.
    pub(super) const fn resident(&self) -> u64 {
        self.size + self.size / 5 + self.context_length * 32_768
    }
}

/// How long a model stays after its last use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeepAlive {
    /// So long; zero unloads at once.
    For(Duration),
    /// Until told otherwise (any negative value).
    Forever,
}

impl KeepAlive {
    /// A duration as Go writes it, or seconds; negative means for ever.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        match text.trim().strip_prefix('-') {
            Some(rest) => clock::duration(rest).map(|_| Self::Forever),
            None => clock::duration(text).map(Self::For),
        }
    }

    /// Whether it unloads at once.
    pub(super) const fn is_zero(self) -> bool {
        matches!(self, Self::For(time) if time.is_zero())
    }
}

impl<'de> Deserialize<'de> for KeepAlive {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Wire {
            Seconds(f64),
            Text(String),
        }
        let text = match Wire::deserialize(from)? {
            Wire::Seconds(seconds) => seconds.to_string(),
            Wire::Text(text) => text,
        };
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// What is in memory, and until when.
#[derive(Debug, Default)]
pub(super) struct Memory {
    loaded: BTreeMap<String, Timestamp>,
}

/// What "for ever" is reported as: Ollama adds the longest duration of Go, 292 years.
const FOREVER: SignedDuration = SignedDuration::from_secs(292 * 365 * 24 * 3600);

impl Memory {
    /// Whether the model is in memory.
    pub(super) fn holds(&self, name: &str, now: Timestamp) -> bool {
        self.loaded.get(name).is_some_and(|until| now < *until)
    }

    /// Loads it, or renews its time.
    pub(super) fn touch(&mut self, name: &str, keep: KeepAlive, now: Timestamp) {
        let time = match keep {
            KeepAlive::For(time) => SignedDuration::try_from(time).unwrap_or(FOREVER),
            KeepAlive::Forever => FOREVER,
        };
        let until = now
            .saturating_add(time.min(FOREVER))
            .unwrap_or(Timestamp::MAX);
        self.loaded.insert(name.to_owned(), until);
    }

    /// Takes it out; `false` when it was not in.
    pub(super) fn unload(&mut self, name: &str) -> bool {
        self.loaded.remove(name).is_some()
    }

    /// Takes out what has run out of time, and names it.
    pub(super) fn expire(&mut self, now: Timestamp) -> Vec<String> {
        let gone: Vec<String> = self
            .loaded
            .iter()
            .filter(|(_, until)| **until <= now)
            .map(|(name, _)| name.clone())
            .collect();
        for name in &gone {
            self.loaded.remove(name);
        }
        gone
    }

    /// What is in memory now, with its end.
    pub(super) fn loaded(&self, now: Timestamp) -> Vec<(String, Timestamp)> {
        self.loaded
            .iter()
            .filter(|(_, until)| now < **until)
            .map(|(name, until)| (name.clone(), *until))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn keep_alive_takes_seconds_durations_and_for_ever() {
        let of = |json: &str| serde_json::from_str::<KeepAlive>(json).unwrap();
        assert_eq!(of("30"), KeepAlive::For(Duration::from_secs(30)));
        assert_eq!(of("\"10m\""), KeepAlive::For(Duration::from_secs(600)));
        assert_eq!(of("-1"), KeepAlive::Forever);
        assert_eq!(of("\"-1m\""), KeepAlive::Forever);
        assert!(of("0").is_zero() && of("\"0\"").is_zero() && of("\"0s\"").is_zero());
        assert!(serde_json::from_str::<KeepAlive>("\"soon\"").is_err());
    }

    #[test]
    fn a_model_leaves_when_its_time_is_over_and_a_use_renews_it() {
        let t0 = Timestamp::UNIX_EPOCH;
        let at = |seconds| t0 + SignedDuration::from_secs(seconds);
        let keep = KeepAlive::For(Duration::from_secs(10));
        let mut memory = Memory::default();
        memory.touch("a", keep, t0);
        assert!(memory.holds("a", at(9)));
        memory.touch("a", keep, at(9));
        assert!(memory.holds("a", at(18)));
        assert!(!memory.holds("a", at(19)));
        assert!(memory.loaded(at(19)).is_empty());
        assert_eq!(memory.expire(at(19)), ["a"]);
        memory.touch("b", KeepAlive::Forever, t0);
        assert!(memory.holds("b", at(100 * 365 * 24 * 3600)));
        assert!(memory.unload("b") && !memory.unload("b"));
    }

    #[test]
    fn a_name_without_a_tag_is_the_latest() {
        assert_eq!(ModelFile::named("llama3.2").name, "llama3.2:latest");
        assert_eq!(ModelFile::named("x:1b").name, "x:1b");
        assert_eq!(ModelFile::named("x").digest.len(), 64);
        assert_eq!(
            ModelFile::named("x").digest,
            ModelFile::named("x:latest").digest
        );
    }
}
