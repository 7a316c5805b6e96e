//! What a call cost: a person's own prices, then the table, and nothing on this machine.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use cockpit_metering::price::{PriceTable, Tokens, own_cost};
use cockpit_metering::wire::Reading;
use cockpit_model::Usd;
use cockpit_model::traffic::{PriceSpec, ProviderSpec};

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
        if provider.is_local() {
            return Some((Usd::ZERO, LOCAL.to_owned()));
        }
        let table = PriceTable::bundled();
        let kind = provider.spec.kind.as_str();
        // What answered is the more exact name: an alias stands for a dated model.
        let cost = answered
            .and_then(|model| table.cost(kind, model, tokens))
            .or_else(|| table.cost(kind, asked, tokens))?;
        Some((cost, table.version().to_owned()))
    }
}
