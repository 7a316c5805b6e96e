//! What a request cost: a table of prices and exact sums.
//!
//! The table is a part of LiteLLM's `model_prices_and_context_window.json`, unchanged (`prices/`, with its licence; made
//! by `prices/make`). A person's own prices go before it ([`Tariff`]). A price that is not known is `None`, never zero.
//!
//! # How a model is found
//!
//! Under the vendor's name ([`vendor`], [`vendor_at`]), whatever the case:
//! 1. as it is named, also with the vendor's name before it (`openai/gpt-4o`), or as Gemini names it (`models/…`);
//! 2. a fine-tuned one by what it was tuned from (`ft:gpt-4o-2024-08-06:acme::7p4lURel` → `ft:gpt-4o-2024-08-06`);
//! 3. a dated one without its date (`-2024-08-06`, `-20241022`, `@20241022`), when the dated one is not listed.
//!
//! Nothing else is guessed: a model that is merely similar has another price. What Ollama runs on this machine costs
//! nothing; its models in the cloud (`…-cloud`) are not known.
//!
//! # What is not told apart
//!
//! All text tokens of a kind cost the same: batch, flex and priority calls are priced as ordinary ones, tools of the
//! provider (searches, containers) are not priced. Models that answer in sound or pictures are left out, and so is
//! what the table lists as free, because there it often means unknown.

mod book;
mod parse;
mod rates;
mod tariff;
#[cfg(test)]
mod tests;
mod vendor;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use cockpit_model::Usd;

pub use book::{PriceBook, Priced};
pub use parse::NoTable;
pub use rates::{Price, Tokens, own_cost};
pub use tariff::Tariff;
pub use vendor::{vendor, vendor_at};

/// What vendors ask for their models. Cheap to clone.
#[derive(Debug, Clone)]
pub struct PriceTable {
    version: Arc<str>,
    /// By vendor, then by model in lower case.
    models: Arc<HashMap<&'static str, HashMap<Box<str>, Price>>>,
}

/// Why a new table is not taken.
#[derive(Debug, thiserror::Error)]
pub enum RefreshError {
    /// It is no table.
    #[error(transparent)]
    NoTable(#[from] NoTable),
    /// It knows half as many models, or fewer.
    #[error(
        "the new price table has {after} prices, the one in use {before}: it is not taken. Look at what was \
         downloaded, or wait for a later one"
    )]
    Shrunk {
        /// Prices in the table in use.
        before: usize,
        /// Prices in the new one.
        after: usize,
    },
}

static BUNDLED: LazyLock<PriceTable> = LazyLock::new(|| {
    let json = include_bytes!("../../prices/prices.json");
    let version = include_str!("../../prices/VERSION");
    // A test parses these very bytes, so the empty table is never seen; and it would price nothing wrongly.
    PriceTable::parse(json, version).unwrap_or_else(|_| PriceTable::empty(version))
});

impl PriceTable {
    /// The table this program was built with. Parsed when first asked for (a few milliseconds), then kept.
    pub fn bundled() -> &'static Self {
        &BUNDLED
    }

    /// A table in LiteLLM's form. Entries and fields that are not of use are passed over.
    pub fn parse(json: &[u8], version: &str) -> Result<Self, NoTable> {
        let models = parse::models(json)?;
        Ok(Self {
            models: Arc::new(models),
            ..Self::empty(version)
        })
    }

    fn empty(version: &str) -> Self {
        Self {
            version: version.trim().into(),
            models: Arc::default(),
        }
    }

    /// A newly fetched table in LiteLLM's form instead of this one. Refused when it has lost half of the prices or more:
    /// then the download is broken, not the market.
    pub fn refreshed(&self, json: &[u8], version: &str) -> Result<Self, RefreshError> {
        let new = Self::parse(json, version)?;
        let (before, after) = (self.len(), new.len());
        if after * 2 <= before {
            return Err(RefreshError::Shrunk { before, after });
        }
        Ok(new)
    }

    /// What says where a price is from: `litellm-1.109.1`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// How many prices are listed.
    pub fn len(&self) -> usize {
        self.models.values().map(HashMap::len).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What the call cost; `None` where the price is not known. `provider` is a provider's kind or a vendor (see
    /// [`vendor_at`] for a provider with a `base_url`).
    pub fn cost(&self, provider: &str, model: &str, tokens: &Tokens) -> Option<Usd> {
        self.find(provider, model)?.cost(tokens)
    }

    /// The price of a model; see the module for how it is found.
    pub fn find(&self, provider: &str, model: &str) -> Option<&Price> {
        let model = lower(model.trim());
        let provider = lower(provider.trim());
        let listed_as = vendor(&provider);
        let names = Names::of(&provider, listed_as, &model);
        if listed_as == "ollama" {
            return (!model.ends_with("-cloud") && !model.ends_with(":cloud"))
                .then_some(&rates::FREE);
        }
        let models = self.models.get(listed_as)?;
        names.iter().find_map(|name| models.get(name))
    }
}

/// The names a model may be listed under, best first.
struct Names<'a>([Option<&'a str>; 4]);

impl<'a> Names<'a> {
    fn of(provider: &str, vendor: &str, model: &'a str) -> Self {
        let within = |prefix: &str| model.strip_prefix(prefix)?.strip_prefix('/');
        let bare = within(provider)
            .or_else(|| within(vendor))
            .or_else(|| within("models"));
        let name = bare.unwrap_or(model);
        let tuned_from = name.strip_prefix("ft:").and_then(|rest| {
            let base = rest.split_once(':')?.0;
            name.get(.."ft:".len() + base.len())
        });
        let undated = undated(tuned_from.unwrap_or(name));
        Self([Some(model), bare, tuned_from, undated])
    }

    fn iter(&self) -> impl Iterator<Item = &'a str> {
        self.0.iter().copied().flatten()
    }
}

/// The name without the date it ends in; `None` where it ends in none.
fn undated(name: &str) -> Option<&str> {
    let is_date = |date: &[u8]| {
        let [b'2', b'0', _, _, m, n, d, e] = date else {
            return false;
        };
        let two = |tens: &u8, ones: &u8| (tens - b'0') * 10 + (ones - b'0');
        date.iter().all(u8::is_ascii_digit)
            && (1..=12).contains(&two(m, n))
            && (1..=31).contains(&two(d, e))
    };
    if let Some((base, date)) = name.rsplit_once(['-', '@'])
        && is_date(date.as_bytes())
    {
        return Some(base);
    }
    let (base, date) = name.split_at_checked(name.len().checked_sub("-2024-08-06".len())?)?;
    let mut parts = date.strip_prefix('-')?.splitn(3, '-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    (year.len() == 4 && month.len() == 2 && is_date([year, month, day].concat().as_bytes()))
        .then_some(base)
}

fn lower(text: &str) -> Cow<'_, str> {
    if text.chars().any(char::is_uppercase) {
        text.to_lowercase().into()
    } else {
        text.into()
    }
}
