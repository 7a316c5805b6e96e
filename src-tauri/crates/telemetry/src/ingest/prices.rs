//! What a reported call cost, where its reporter does not say.

use std::collections::HashMap;
use std::sync::Arc;

use cockpit_metering::price::{self, PriceTable, Tokens};
use cockpit_model::Usd;
use cockpit_model::traffic::{PriceSpec, ProviderKind, TrafficSpec};

/// The version that a person's own price is written down with, as the gateway does.
const OWN: &str = "own";
/// The version of what runs on this machine.
const LOCAL: &str = "local";

/// What tokens cost: by the configured providers, whose names reporters may use, then by the table. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Prices {
    providers: Arc<HashMap<String, Known>>,
}

#[derive(Debug)]
struct Known {
    vendor: String,
    local: bool,
    own: HashMap<String, PriceSpec>,
}

impl Prices {
    /// Those of the configuration in force.
    pub fn of(spec: Option<&TrafficSpec>) -> Self {
        let providers = spec.into_iter().flat_map(|spec| &spec.providers);
        let known = providers.map(|provider| {
            let known = Known {
                vendor: price::vendor_at(provider.kind.as_str(), &provider.base_url).to_owned(),
                local: provider.kind == ProviderKind::Ollama,
                own: provider
                    .prices
                    .iter()
                    .map(|(model, price)| (model.clone(), *price))
                    .collect(),
            };
            (provider.name.clone(), known)
        });
        Self {
            providers: Arc::new(known.collect()),
        }
    }

    /// What it cost and the version of what says so; `None`: it is not known. `answered`: the model that the
    /// provider says it was.
    pub fn cost(
        &self,
        provider: &str,
        asked: &str,
        answered: Option<&str>,
        tokens: &Tokens,
    ) -> Option<(Usd, String)> {
        let known = self.providers.get(provider);
        if let Some(own) = known.and_then(|known| known.own.get(asked)) {
            return Some((price::own_cost(own, tokens), OWN.to_owned()));
        }
        let table = PriceTable::bundled();
        let vendor = known.map_or(provider, |known| known.vendor.as_str());
        // What answered is the more exact name: an alias stands for a dated model.
        let cost = answered
            .and_then(|model| table.cost(vendor, model, tokens))
            .or_else(|| table.cost(vendor, asked, tokens))?;
        let local = known.map_or(provider == "ollama", |known| known.local);
        let version = if local { LOCAL } else { table.version() };
        Some((cost, version.to_owned()))
    }
}

/// The tokens of a call as far as they are known; `None` when nothing is. Cached ones are part of the input.
pub(super) fn tokens(
    input: Option<u64>,
    output: Option<u64>,
    cached: Option<u64>,
    written: Option<u64>,
) -> Option<Tokens> {
    if input.is_none() && output.is_none() {
        return None;
    }
    Some(Tokens {
        input: input.unwrap_or(0),
        cached_read: cached.unwrap_or(0),
        cache_write: written.unwrap_or(0),
        cache_write_1h: 0,
        output: output.unwrap_or(0),
    })
}
