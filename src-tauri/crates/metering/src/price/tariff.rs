//! What a provider's answers cost. The one rule, for what goes through the gateway and for what applications report:
//! 1. a person's own price of the model;
//! 2. nothing, where the provider runs here ([`Tariff::is_local`]). Ollama hands some models on to its maker's machines:
//!    what those cost is not known;
//! 3. what the vendor at its address asks, by the table.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;

use cockpit_model::Usd;
use cockpit_model::traffic::{PriceSpec, ProviderKind, ProviderSpec};

use super::book::{By, PriceBook, Priced};
use super::rates::{Tokens, own_cost};
use super::vendor::{host, vendor, vendor_at};

/// See the module.
#[derive(Debug, Clone)]
pub struct Tariff {
    vendor: Cow<'static, str>,
    local: bool,
    own: BTreeMap<String, PriceSpec>,
    book: PriceBook,
}

impl Tariff {
    /// Of a provider of the configuration; what vendors ask is in the book.
    pub fn of(provider: &ProviderSpec, book: &PriceBook) -> Self {
        let is_ollama = provider.kind == ProviderKind::Ollama;
        Self {
            vendor: vendor_at(provider.kind.as_str(), &provider.base_url).into(),
            local: provider.service.is_some() || is_ollama && is_near(&provider.base_url),
            own: provider.prices.clone(),
            book: book.clone(),
        }
    }

    /// Of one that is known by its name only.
    pub fn of_name(name: &str, book: &PriceBook) -> Self {
        let vendor = vendor(name);
        Self {
            vendor: vendor.to_owned().into(),
            local: vendor == ProviderKind::Ollama.as_str(),
            own: BTreeMap::new(),
            book: book.clone(),
        }
    }

    /// Whether it is one of this machine's services, or an Ollama in this network. At an address of this machine alone
    /// there may be anything, also what hands on to somebody who wants money.
    pub const fn is_local(&self) -> bool {
        self.local
    }

    /// Whether a model is known to cost nothing, however much of it is used.
    pub fn is_free(&self, model: &str) -> bool {
        const MUCH: Tokens = Tokens {
            input: 2_000_000,
            cached_read: 1_000_000,
            cache_write: 0,
            cache_write_1h: 0,
            output: 1_000_000,
        };
        // Nobody else lists anything for nothing.
        (self.local || self.own.contains_key(model))
            && self
                .cost(model, None, &MUCH)
                .is_some_and(|priced| priced.cost == Usd::ZERO)
    }

    /// What it cost and the version of what says so; `None`: it is not known. `answered`: the model that the provider
    /// says it was.
    pub fn cost(&self, asked: &str, answered: Option<&str>, tokens: &Tokens) -> Option<Priced> {
        let free = Priced {
            cost: Usd::ZERO,
            by: By::Local,
        };
        if let Some(own) = self.own.get(asked) {
            return Some(Priced {
                cost: own_cost(own, tokens),
                by: By::Own,
            });
        }
        let is_ollama = self.vendor == ProviderKind::Ollama.as_str();
        if self.local && !is_ollama {
            return Some(free);
        }
        if is_ollama && !self.local {
            // Somebody's machines, at a price that nobody lists.
            return None;
        }
        let table = self.book.table();
        // What answered is the more exact name: an alias stands for a dated model.
        let cost = answered
            .filter(|_| !self.local)
            .and_then(|model| table.cost(&self.vendor, model, tokens))
            .or_else(|| table.cost(&self.vendor, asked, tokens))?;
        let by = if self.local {
            By::Local
        } else {
            By::Table(table)
        };
        Some(Priced { cost, by })
    }
}

/// Whether an address is of this machine or of its network, where nobody asks for money.
fn is_near(base_url: &str) -> bool {
    let host = host(base_url).to_ascii_lowercase();
    let inner = host.trim_start_matches('[').trim_end_matches(']');
    match inner.parse::<IpAddr>().map(|ip| ip.to_canonical()) {
        Ok(IpAddr::V4(ip)) => {
            // Those between 100.64.0.0 and 100.127.255.255 are a tailnet's.
            let shared = matches!(ip.octets(), [100, 64..=127, ..]);
            ip.is_loopback()
                || ip.is_private()
                || ip.is_link_local()
                || ip.is_unspecified()
                || shared
        }
        Ok(IpAddr::V6(ip)) => {
            ip.is_loopback()
                || ip.is_unique_local()
                || ip.is_unicast_link_local()
                || ip.is_unspecified()
        }
        Err(_) => {
            let name = inner.trim_end_matches('.');
            let within = |end: &&str| name.ends_with(*end);
            const NEAR: [&str; 6] = [
                ".localhost",
                ".local",
                ".internal",
                ".lan",
                ".home.arpa",
                ".ts.net",
            ];
            !name.is_empty() && (!name.contains('.') || NEAR.iter().any(within))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::time::Duration;

    use super::super::PriceTable;
    use super::*;

    /// With the table this program was built with.
    fn of(provider: &ProviderSpec) -> Tariff {
        Tariff::of(provider, &PriceBook::default())
    }

    fn told(priced: Option<Priced>) -> Option<(Usd, String)> {
        let priced = priced?;
        Some((priced.cost, priced.version().to_owned()))
    }

    const MILLION: Tokens = Tokens {
        input: 1_000_000,
        cached_read: 0,
        cache_write: 0,
        cache_write_1h: 0,
        output: 1_000_000,
    };

    fn at(kind: ProviderKind, base_url: &str, service: Option<&str>) -> ProviderSpec {
        ProviderSpec {
            name: "one".to_owned(),
            kind,
            base_url: base_url.to_owned(),
            api_key: None,
            timeout: Duration::ZERO,
            first_byte_timeout: Duration::ZERO,
            idle_timeout: Duration::ZERO,
            service: service.map(str::to_owned),
            behind_gateway: false,
            queue: None,
            prices: BTreeMap::new(),
        }
    }

    #[test]
    fn a_price_is_of_whoever_is_at_the_address() {
        let cost = |url, service, model| {
            let tariff = of(&at(ProviderKind::OpenAi, url, service));
            let cost = told(tariff.cost(model, None, &MILLION));
            assert_eq!(
                tariff.is_free(model),
                cost.as_ref().is_some_and(|one| one.0 == Usd::ZERO)
            );
            cost
        };
        let model = "llama-guard-3-8b";
        let (listed, version) = cost("https://api.groq.com/openai/v1", None, model).unwrap();
        assert!(listed > Usd::ZERO, "listed by Groq");
        assert_eq!(version, PriceTable::bundled().version());
        assert_eq!(cost("https://api.openai.com/v1", None, model), None);
        let here = "http://127.0.0.1:8080/v1";
        assert_eq!(
            cost(here, Some("llama"), "anything"),
            Some((Usd::ZERO, "local".to_owned()))
        );
        // It may hand on what it is asked.
        assert_eq!(cost(here, None, "anything"), None);
    }

    #[test]
    fn an_ollama_costs_nothing_where_it_is_ours() {
        let free = |url: &str, model: &str| {
            let tariff = of(&at(ProviderKind::Ollama, url, None));
            let cost = tariff.cost(model, None, &MILLION).map(|priced| priced.cost);
            assert!(cost.is_none_or(|cost| cost == Usd::ZERO), "{url}");
            assert_eq!(tariff.is_free(model), cost.is_some(), "{url}");
            cost.is_some()
        };
        for near in [
            "http://127.0.0.1:11434",
            "http://localhost:11434/v1",
            "http://[::1]:11434",
            "http://192.168.1.7:11434",
            "http://100.101.102.103:11434",
            "http://ollama:11434",
            "http://Studio.local:11434",
            "https://studio.tail1234.ts.net",
        ] {
            assert!(free(near, "llama3.2"), "{near}");
            assert!(!free(near, "gpt-oss:120b-cloud"), "{near}");
        }
        for far in [
            "https://ollama.com",
            "http://8.8.8.8:11434",
            "https://localhost.example",
        ] {
            assert!(!free(far, "llama3.2"), "{far}");
        }
        let service = at(
            ProviderKind::Ollama,
            "https://ollama.example",
            Some("ollama"),
        );
        assert!(of(&service).is_free("llama3.2"));
    }

    #[test]
    fn a_persons_own_price_goes_first() {
        let mut provider = at(ProviderKind::OpenAi, "http://127.0.0.1:1234/v1", None);
        let price = |input, output, cached| PriceSpec {
            input: Usd::from_dollars(input).unwrap(),
            output: Usd::from_dollars(output).unwrap(),
            cached_input: Usd::from_dollars(cached),
        };
        provider.prices = [
            ("mine".to_owned(), price(0.0, 0.0, 0.0)),
            ("half".to_owned(), price(0.0, 0.0, 1.0)),
            ("gpt-4o".to_owned(), price(1.0, 2.0, 1.0)),
        ]
        .into();
        let tariff = of(&provider);
        assert!(tariff.is_free("mine") && !tariff.is_free("half") && !tariff.is_free("gpt-4o"));
        let three = Usd::from_dollars(3.0).unwrap();
        assert_eq!(
            told(tariff.cost("gpt-4o", Some("gpt-4o-2024-08-06"), &MILLION)),
            Some((three, "own".to_owned()))
        );
        // Also of what runs here.
        provider.service = Some("mlx".to_owned());
        assert!(!of(&provider).is_free("gpt-4o"));
    }

    #[test]
    fn a_name_alone_says_who_it_is() {
        let named = |name| Tariff::of_name(name, &PriceBook::default());
        assert!(named("ollama").is_free("llama3.2"));
        assert!(named("openai").cost("gpt-4o", None, &MILLION).is_some());
        assert!(named("nobody").cost("gpt-4o", None, &MILLION).is_none());
    }

    #[test]
    fn a_new_table_is_in_force_for_everybody() {
        let book = PriceBook::default();
        let tariff = Tariff::of_name("openai", &book);
        assert!(tariff.cost("gpt-9", None, &MILLION).is_none());
        let json = br#"{"gpt-9": {"litellm_provider": "openai", "mode": "chat", "input_cost_per_token": 1e-6,
            "output_cost_per_token": 2e-6}}"#;
        book.put(PriceTable::parse(json, "litellm-of-today").unwrap());
        let three = Usd::from_dollars(3.0).unwrap();
        assert_eq!(
            told(tariff.cost("gpt-9", None, &MILLION)),
            Some((three, "litellm-of-today".to_owned()))
        );
    }
}
