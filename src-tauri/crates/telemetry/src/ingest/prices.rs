//! The providers of the configuration: by what name a reporter means which, and what its answers cost where the reporter
//! does not say.

use std::sync::Arc;

use cockpit_metering::price::{PriceBook, Priced, Tariff, Tokens};
use cockpit_model::traffic::{ProviderSpec, TrafficSpec};

use super::provider;

/// Who is known by which name, and what tokens cost there; of others, by the table. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Prices {
    providers: Arc<[(String, Tariff)]>,
    book: PriceBook,
}

impl Prices {
    /// Those of the configuration in force.
    pub fn of(spec: Option<&TrafficSpec>, book: &PriceBook) -> Self {
        Self::of_providers(spec.map_or(&[], |spec| &spec.providers), book)
    }

    /// Those of these providers.
    pub fn of_providers(providers: &[ProviderSpec], book: &PriceBook) -> Self {
        let known = providers.iter();
        let known = known.map(|one| (one.name.clone(), Tariff::of(one, book)));
        Self {
            providers: known.collect(),
            book: book.clone(),
        }
    }

    /// What we call the provider that a reporter names so: as the configuration does, if it names one of its own.
    pub(super) fn name(&self, told: &str) -> String {
        let told = told.trim();
        let names = || self.providers.iter().map(|(name, _)| name);
        let configured = names()
            .find(|name| *name == told)
            .or_else(|| names().find(|name| name.eq_ignore_ascii_case(told)));
        configured.map_or_else(|| provider::name(told), Clone::clone)
    }

    /// A model without its provider's name before it.
    pub(super) fn bare<'m>(&self, provider: &str, model: &'m str) -> &'m str {
        let model = model.trim();
        let within = model
            .split_once('/')
            .filter(|(before, _)| self.name(before) == provider);
        within.map_or(model, |(_, bare)| bare)
    }

    /// What it cost and the version of what says so; `None`: it is not known. `answered`: the model that the
    /// provider says it was.
    pub fn cost(
        &self,
        provider: &str,
        asked: &str,
        answered: Option<&str>,
        tokens: &Tokens,
    ) -> Option<Priced> {
        match self.providers.iter().find(|(name, _)| name == provider) {
            Some((_, tariff)) => tariff.cost(asked, answered, tokens),
            None => Tariff::of_name(provider, &self.book).cost(asked, answered, tokens),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_bare_without_its_provider() {
        let prices = Prices::default();
        assert_eq!(prices.bare("openai", "openai/gpt-4o"), "gpt-4o");
        assert_eq!(prices.bare("openai", "OpenAI/gpt-4o"), "gpt-4o");
        assert_eq!(prices.bare("azure", "azure.ai.openai/gpt-4o"), "gpt-4o");
        assert_eq!(prices.bare("openai", "meta/llama"), "meta/llama");
    }
}
