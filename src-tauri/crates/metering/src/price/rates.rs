//! The price of one model, and the arithmetic.

use cockpit_model::Usd;
use cockpit_model::traffic::PriceSpec;

/// What a call used. Cached tokens are part of the input and counted once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tokens {
    /// All that was read, whether from a cache or not.
    pub input: u64,
    /// Of [`Self::input`], what was read from the provider's cache.
    pub cached_read: u64,
    /// Of [`Self::input`], what was written to the provider's cache for minutes.
    pub cache_write: u64,
    /// Of [`Self::input`], what was written to the provider's cache for an hour.
    pub cache_write_1h: u64,
    /// All that was written, thoughts included.
    pub output: u64,
}

/// What tokens cost at a person's own price. Dollars a million tokens are as many microdollars, a token's picodollars times a million.
pub fn own_cost(price: &PriceSpec, tokens: &Tokens) -> Usd {
    let part = |tokens: u64, million: Usd| {
        let pico = i128::from(tokens) * i128::from(million.pico()) / 1_000_000;
        Usd::from_pico(i64::try_from(pico).unwrap_or(i64::MAX))
    };
    let cached = tokens.cached_read.min(tokens.input);
    part(tokens.input - cached, price.input)
        + part(cached, price.cached_input.unwrap_or(price.input))
        + part(tokens.output, price.output)
}

/// What a model costs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Price {
    base: Rates,
    /// For requests with more input tokens than this; the largest first.
    tiers: Vec<(u64, Rates)>,
}

/// Picodollars a token, each known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rates {
    input: u64,
    output: u64,
    cached_read: u64,
    cache_write: u64,
    cache_write_1h: u64,
}

/// Picodollars a token, as far as they are listed.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Listed {
    pub(super) input: Option<u64>,
    pub(super) output: Option<u64>,
    pub(super) cached_read: Option<u64>,
    pub(super) cache_write: Option<u64>,
    pub(super) cache_write_1h: Option<u64>,
}

/// Nothing, and that is known.
pub(super) static FREE: Price = Price {
    base: Rates {
        input: 0,
        output: 0,
        cached_read: 0,
        cache_write: 0,
        cache_write_1h: 0,
    },
    tiers: Vec::new(),
};

impl Price {
    /// From what is listed; `None` where input or output is not.
    ///
    /// What a tier does not list costs there what it costs below it. A cache's price that is listed nowhere is that
    /// of the tier's input; a write for an hour that is listed nowhere is priced as one for minutes.
    pub(super) fn listed(base: &Listed, mut tiers: Vec<(u64, Listed)>) -> Option<Self> {
        tiers.sort_by_key(|&(above, _)| std::cmp::Reverse(above));
        let tiers: Option<_> = tiers
            .iter()
            .map(|&(above, tier)| Some((above, tier.over(base).rates()?)))
            .collect();
        Some(Self {
            base: base.rates()?,
            tiers: tiers?,
        })
    }

    /// The sum, exactly. The tier is a cliff: one token too many reprices the whole call. `None` for counts so large
    /// that they are no amount of money.
    pub fn cost(&self, tokens: &Tokens) -> Option<Usd> {
        let rates = self
            .tiers
            .iter()
            .find(|&&(above, _)| tokens.input > above)
            .map_or(&self.base, |(_, rates)| rates);
        let cached = [
            (tokens.cached_read, rates.cached_read),
            (tokens.cache_write, rates.cache_write),
            (tokens.cache_write_1h, rates.cache_write_1h),
        ];
        let fresh = cached
            .iter()
            .fold(tokens.input, |left, &(count, _)| left.saturating_sub(count));
        let pico = cached
            .iter()
            .chain(&[(fresh, rates.input), (tokens.output, rates.output)])
            .try_fold(0u128, |sum, &(count, rate)| {
                sum.checked_add(u128::from(count) * u128::from(rate))
            })?;
        i64::try_from(pico).ok().map(Usd::from_pico)
    }
}

impl Listed {
    fn over(&self, base: &Self) -> Self {
        Self {
            input: self.input.or(base.input),
            output: self.output.or(base.output),
            cached_read: self.cached_read.or(base.cached_read),
            cache_write: self.cache_write.or(base.cache_write),
            cache_write_1h: self.cache_write_1h.or(base.cache_write_1h),
        }
    }

    fn rates(&self) -> Option<Rates> {
        let input = self.input?;
        let cache_write = self.cache_write.unwrap_or(input);
        Some(Rates {
            input,
            output: self.output?,
            cached_read: self.cached_read.unwrap_or(input),
            cache_write,
            cache_write_1h: self.cache_write_1h.unwrap_or(cache_write),
        })
    }
}
