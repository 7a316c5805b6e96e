//! What a call cost: a person's own prices, then the table, and nothing on this machine.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use cockpit_metering::price::{PriceTable, Tokens, own_cost};
use cockpit_metering::wire::Reading;
use cockpit_model::Usd;
use cockpit_model::traffic::{PriceSpec, ProviderKind, ProviderSpec};

use crate::force::Provider;

/// The version that a person's own price is written down with.
const OWN: &str = "own";
/// The version of what runs here.
const LOCAL: &str = "local";

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Prices {
    own: RwLock<HashMap<(String, String), PriceSpec>>,
}

impl Prices {
    pub(crate) fn obey(&self, providers: &[ProviderSpec]) {
        let own = providers
            .iter()
            .flat_map(|provider| {
                let of = |(model, price): (&String, &PriceSpec)| {
                    ((provider.name.clone(), model.clone()), *price)
                };
                provider.prices.iter().map(of)
            })
            .collect();
        *self.own.write().unwrap_or_else(PoisonError::into_inner) = own;
    }

    /// The price and the version of the table that says so; `None`: it is not known.
    pub(crate) fn price(
        &self,
        provider: &Provider,
        reading: &Reading,
        asked: &str,
    ) -> Option<(Usd, String)> {
        let tokens = reading.tokens()?;
        self.cost(provider, asked, reading.model.as_deref(), &tokens)
    }

    /// The same of a number of tokens. `answered`: the model the provider says it was.
    pub(crate) fn cost(
        &self,
        provider: &Provider,
        asked: &str,
        answered: Option<&str>,
        tokens: &Tokens,
    ) -> Option<(Usd, String)> {
        let own = {
            let own = self.own.read().unwrap_or_else(PoisonError::into_inner);
            (!own.is_empty())
                .then(|| {
                    own.get(&(provider.spec.name.clone(), asked.to_owned()))
                        .copied()
                })
                .flatten()
        };
        if let Some(own) = own {
            return Some((own_cost(&own, tokens), OWN.to_owned()));
        }
        let local = provider.is_local();
        let cost = listed(provider.vendor, local, asked, answered, tokens)?;
        let version = if local {
            LOCAL
        } else {
            PriceTable::bundled().version()
        };
        Some((cost, version.to_owned()))
    }
}

/// The price nobody has set by hand. What runs here costs nothing, except that Ollama hands some models on to its
/// maker's machines: what those cost is not known.
fn listed(
    vendor: &str,
    local: bool,
    asked: &str,
    answered: Option<&str>,
    tokens: &Tokens,
) -> Option<Usd> {
    let table = PriceTable::bundled();
    if local && vendor != ProviderKind::Ollama.as_str() {
        return Some(Usd::ZERO);
    }
    // What answered is the more exact name: an alias stands for a dated model.
    answered
        .filter(|_| !local)
        .and_then(|model| table.cost(vendor, model, tokens))
        .or_else(|| table.cost(vendor, asked, tokens))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use cockpit_metering::price::vendor_at;

    #[test]
    fn a_price_is_of_whoever_is_at_the_address() {
        let tokens = Tokens {
            input: 1_000_000,
            output: 1_000_000,
            ..Tokens::default()
        };
        let cost =
            |url, local, model| listed(vendor_at("openai", url), local, model, None, &tokens);
        let groq = "https://api.groq.com/openai/v1";
        let model = "llama-guard-3-8b";
        assert!(
            cost(groq, false, model).unwrap() > Usd::ZERO,
            "listed by Groq"
        );
        assert_eq!(cost("https://api.openai.com/v1", false, model), None);
        assert_eq!(
            cost("http://127.0.0.1:8080/v1", true, "anything"),
            Some(Usd::ZERO)
        );

        let ollama = |model| listed(ProviderKind::Ollama.as_str(), true, model, None, &tokens);
        assert_eq!(ollama("llama3.2"), Some(Usd::ZERO));
        assert_eq!(ollama("gpt-oss:120b-cloud"), None);
    }
}
