//! LiteLLM's table: one object, an entry for each model.
//!
//! ```text
//! "gemini/gemini-2.5-pro": {
//!     "litellm_provider": "gemini", "mode": "chat",
//!     "input_cost_per_token": 1.25e-06, "input_cost_per_token_above_200k_tokens": 2.5e-06, …
//! ```

use std::collections::HashMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

use super::rates::{Listed, Price};
use crate::lenient::{Key, Scalar};

/// The bytes are no price table.
#[derive(Debug, thiserror::Error)]
#[error("this is not a price table in LiteLLM's form: {0}")]
pub struct NoTable(#[from] serde_json::Error);

/// A vendor, by LiteLLM's name for it; and whether its entries go before those of another that has the same vendor.
fn vendor(litellm_provider: &str) -> Option<(&'static str, bool)> {
    Some(match litellm_provider {
        "anthropic" => ("anthropic", true),
        "azure" => ("azure", true),
        "cerebras" => ("cerebras", true),
        "cohere" | "cohere_chat" => ("cohere", true),
        "deepseek" => ("deepseek", true),
        "gemini" => ("gemini", true),
        "vertex_ai-embedding-models" | "vertex_ai-language-models" => ("gemini", false),
        "groq" => ("groq", true),
        "minimax" => ("minimax", true),
        "mistral" => ("mistral", true),
        "codestral" | "text-completion-codestral" => ("mistral", false),
        "moonshot" => ("moonshot", true),
        "openai" => ("openai", true),
        "text-completion-openai" => ("openai", false),
        "perplexity" => ("perplexity", true),
        "together_ai" => ("together_ai", true),
        "voyage" => ("voyage", true),
        "xai" => ("xai", true),
        "zai" => ("zai", true),
        _ => return None,
    })
}

type Models = HashMap<&'static str, HashMap<Box<str>, Price>>;

pub(super) fn models(json: &[u8]) -> Result<Models, NoTable> {
    struct Table;

    impl<'de> Visitor<'de> for Table {
        type Value = Models;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object with an entry for each model")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Models, A::Error> {
            let mut models = Models::new();
            while let Some((Key(key), entry)) = map.next_entry::<Key<'_>, Entry<'_>>()? {
                entry.put(&key, &mut models);
            }
            Ok(models)
        }
    }

    let mut json = serde_json::Deserializer::from_slice(json);
    let models = json.deserialize_map(Table)?;
    json.end()?;
    Ok(models)
}

/// What is read of an entry.
#[derive(Default)]
struct Entry<'a> {
    provider: Scalar<'a>,
    mode: Scalar<'a>,
    /// Answers in sound or pictures, whose tokens have other prices.
    mixed: bool,
    base: Listed,
    tiers: Vec<(u64, Listed)>,
}

impl Entry<'_> {
    fn put(self, key: &str, models: &mut Models) {
        let provider = self.provider.text().unwrap_or_default();
        let mode = self.mode.text().unwrap_or_default();
        let Some((vendor, first)) = vendor(provider) else {
            return;
        };
        let text = matches!(mode, "chat" | "completion" | "embedding" | "responses");
        let paid = self.base.input.unwrap_or(0) > 0 || self.base.output.unwrap_or(0) > 0;
        if self.mixed || !text || !paid {
            return;
        }
        let mut base = self.base;
        if mode == "embedding" {
            // There is no output; some entries do not say so.
            base.output = base.output.or(Some(0));
        }
        let Some(price) = Price::listed(&base, self.tiers) else {
            return;
        };
        let name = key
            .strip_prefix(provider)
            .or_else(|| key.strip_prefix(vendor))
            .and_then(|rest| rest.strip_prefix('/'))
            .unwrap_or(key);
        let name = name.to_lowercase().into_boxed_str();
        let models = models.entry(vendor).or_default();
        if first {
            models.insert(name, price);
        } else {
            models.entry(name).or_insert(price);
        }
    }

    /// Takes a price, if the field is one.
    fn field(&mut self, name: &str, dollars: f64) {
        let (name, above) = match name
            .strip_suffix("k_tokens")
            .and_then(|n| n.rsplit_once("_above_"))
        {
            None => (name, None),
            Some((name, thousands)) => match thousands.parse::<u32>() {
                Ok(thousands) => (name, Some(u64::from(thousands) * 1000)),
                Err(_) => return,
            },
        };
        let rate: fn(&mut Listed) -> &mut Option<u64> = match name {
            "input_cost_per_token" => |rates| &mut rates.input,
            "output_cost_per_token" => |rates| &mut rates.output,
            "cache_read_input_token_cost" => |rates| &mut rates.cached_read,
            "cache_creation_input_token_cost" => |rates| &mut rates.cache_write,
            "cache_creation_input_token_cost_above_1hr" => |rates| &mut rates.cache_write_1h,
            _ => return,
        };
        let pico = (dollars * 1e12).round();
        // A thousand dollars a token is a mistake, and so is less than none.
        if !(0.0..=1e15).contains(&pico) {
            return;
        }
        let rates = match above {
            None => &mut self.base,
            Some(above) => {
                let at = self.tiers.iter().position(|&(tier, _)| tier == above);
                let at = at.unwrap_or_else(|| {
                    self.tiers.push((above, Listed::default()));
                    self.tiers.len() - 1
                });
                match self.tiers.get_mut(at) {
                    Some((_, rates)) => rates,
                    None => return,
                }
            }
        };
        *rate(rates) = Some(pico as u64);
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Entry<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;

        impl<'de> Visitor<'de> for Fields {
            type Value = Entry<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with the prices of a model")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entry = Entry::default();
                while let Some(Key(name)) = map.next_key()? {
                    match &*name {
                        "litellm_provider" => entry.provider = map.next_value()?,
                        "mode" => entry.mode = map.next_value()?,
                        "output_cost_per_audio_token" | "output_cost_per_image_token" => {
                            map.next_value::<IgnoredAny>()?;
                            entry.mixed = true;
                        }
                        name if name.contains("_cost") => {
                            if let Some(dollars) = map.next_value::<Scalar<'_>>()?.number() {
                                entry.field(name, dollars);
                            }
                        }
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                Ok(entry)
            }
        }

        deserializer.deserialize_map(Fields)
    }
}
