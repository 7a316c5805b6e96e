//! What a request used at those whose answer was no good: it is paid for all the same.

use cockpit_metering::price::{Priced, Tokens};
use cockpit_metering::wire::Reading;
use cockpit_model::{Call, Usd};

/// What a price's version ends in where the tokens are an estimate.
pub(crate) const ESTIMATED: &str = "+estimated";

/// What an attempt used whose answer is no good.
#[derive(Debug)]
pub(crate) enum Used {
    /// Nothing, as far as is known.
    Nothing,
    /// What its answer says.
    Told(Box<Reading>),
    /// Something: its provider worked, and did not tell.
    Untold,
}

impl Used {
    /// What a whole answer tells of it.
    pub(crate) fn of(reading: Reading) -> Self {
        if reading.tokens().is_some() {
            Self::Told(Box::new(reading))
        } else if reading.saw_content || reading.tool_calls {
            Self::Untold
        } else {
            Self::Nothing
        }
    }
}

/// The sum over such attempts.
#[derive(Debug, Default)]
pub(super) struct Vain {
    /// Told or estimated, input and output: what limits count.
    pub(super) tokens: u64,
    /// Of those whose price is known.
    pub(super) cost: Option<Usd>,
    version: Option<String>,
    input: Option<u64>,
    output: Option<u64>,
    cached_input: Option<u64>,
    cache_write: Option<u64>,
}

impl Vain {
    /// Takes what an attempt told.
    pub(super) fn told(&mut self, reading: &Reading) {
        for (sum, more) in [
            (&mut self.input, reading.input_tokens),
            (&mut self.output, reading.output_tokens),
            (&mut self.cached_input, reading.cached_read),
            (&mut self.cache_write, written(reading)),
        ] {
            add(sum, more);
        }
    }

    /// Takes what an attempt is to be charged with.
    pub(super) fn charge(&mut self, tokens: &Tokens, price: Option<(Usd, String)>) {
        let used = tokens.input.saturating_add(tokens.output);
        self.tokens = self.tokens.saturating_add(used);
        if let Some(price) = price {
            pay(&mut self.cost, &mut self.version, price);
        }
    }

    /// Adds all of it to what the last attempt used. Tokens that were not told are in no sum.
    pub(super) fn add_to(self, call: &mut Call) {
        for (sum, more) in [
            (&mut call.input_tokens, self.input),
            (&mut call.output_tokens, self.output),
            (&mut call.cached_input_tokens, self.cached_input),
            (&mut call.cache_write_tokens, self.cache_write),
        ] {
            add(sum, more);
        }
        if let Some(price) = self.cost.zip(self.version) {
            pay(&mut call.cost_usd, &mut call.price_version, price);
        }
    }
}

/// What was written to the provider's cache, for however long.
pub(super) fn written(reading: &Reading) -> Option<u64> {
    let mut written = reading.cache_write;
    add(&mut written, reading.cache_write_1h);
    written
}

/// A version that says its tokens are an estimate. What costs nothing costs nothing however much it is.
pub(super) fn estimated(priced: &Priced) -> (Usd, String) {
    let (cost, version) = (priced.cost, priced.version());
    let version = if cost == Usd::ZERO {
        version.to_owned()
    } else {
        format!("{version}{ESTIMATED}")
    };
    (cost, version)
}

fn add(sum: &mut Option<u64>, more: Option<u64>) {
    if let Some(more) = more {
        *sum = Some(sum.unwrap_or(0).saturating_add(more));
    }
}

/// Adds a price. The version is of what cost something, and an estimate in the sum makes it one.
fn pay(sum: &mut Option<Usd>, version: &mut Option<String>, (cost, more): (Usd, String)) {
    let before = sum.unwrap_or(Usd::ZERO);
    *sum = Some(before + cost);
    match version {
        Some(version) if before > Usd::ZERO => {
            if cost > Usd::ZERO && more.ends_with(ESTIMATED) && !version.ends_with(ESTIMATED) {
                version.push_str(ESTIMATED);
            }
        }
        version => *version = Some(more),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn summed(prices: &[(i64, &str)]) -> (Option<Usd>, Option<String>) {
        let (mut cost, mut version) = (None, None);
        for (pico, table) in prices {
            pay(
                &mut cost,
                &mut version,
                (Usd::from_pico(*pico), (*table).to_owned()),
            );
        }
        (cost, version)
    }

    #[test]
    fn a_sum_says_whose_prices_it_rests_on() {
        for (prices, cost, version) in [
            (&[(3, "a"), (4, "a")][..], 7, "a"),
            (&[(3, "a"), (4, "a+estimated")], 7, "a+estimated"),
            (&[(3, "a+estimated"), (4, "a")], 7, "a+estimated"),
            (&[(0, "local"), (4, "a")], 4, "a"),
            (&[(4, "a+estimated"), (0, "local")], 4, "a+estimated"),
            (&[(0, "local"), (0, "local")], 0, "local"),
        ] {
            let expected = (Some(Usd::from_pico(cost)), Some(version.to_owned()));
            assert_eq!(summed(prices), expected, "{prices:?}");
        }
        assert_eq!(summed(&[]), (None, None));
    }

    #[test]
    fn an_answer_that_says_nothing_used_nothing() {
        assert!(matches!(Used::of(Reading::default()), Used::Nothing));
        let spoke = Reading {
            saw_content: true,
            ..Reading::default()
        };
        assert!(matches!(Used::of(spoke.clone()), Used::Untold));
        let told = Reading {
            input_tokens: Some(1),
            ..spoke
        };
        assert!(matches!(Used::of(told), Used::Told(_)));
    }
}
