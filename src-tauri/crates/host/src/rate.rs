//! Rates from counters that only grow, until an interface or a volume comes, goes or starts anew.

use std::collections::HashMap;
use std::time::Duration;

/// Two counters since some start: bytes received and sent, or read and written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// In.
    pub received: u64,
    /// Out.
    pub sent: u64,
}

/// In and out per second.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Rate {
    /// In.
    pub received: f64,
    /// Out.
    pub sent: f64,
}

/// Remembers the last reading of each counter by name.
#[derive(Debug, Default)]
pub struct Rates {
    last: HashMap<String, Counters>,
}

impl Rates {
    /// Takes a reading and returns each one's rate since the reading before, in the readings' order.
    ///
    /// One that is seen for the first time has no rate; a counter that went back counts as started
    /// anew, from zero.
    pub fn advance(
        &mut self,
        readings: Vec<(String, Counters)>,
        elapsed: Duration,
    ) -> Vec<(String, Option<Rate>)> {
        let seconds = elapsed.as_secs_f64();
        let rates = readings
            .iter()
            .map(|(name, now)| {
                let rate = self
                    .last
                    .get(name)
                    .filter(|_| seconds > 0.0)
                    .map(|before| Rate {
                        received: grown(before.received, now.received) as f64 / seconds,
                        sent: grown(before.sent, now.sent) as f64 / seconds,
                    });
                (name.clone(), rate)
            })
            .collect();
        self.last = readings.into_iter().collect();
        rates
    }

    /// The same, summed over all.
    pub fn advance_sum(&mut self, readings: Vec<(String, Counters)>, elapsed: Duration) -> Rate {
        self.advance(readings, elapsed)
            .into_iter()
            .filter_map(|(_, rate)| rate)
            .fold(Rate::default(), |sum, rate| Rate {
                received: sum.received + rate.received,
                sent: sum.sent + rate.sent,
            })
    }
}

const fn grown(before: u64, now: u64) -> u64 {
    if now >= before { now - before } else { now }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: &str, received: u64, sent: u64) -> (String, Counters) {
        (name.to_owned(), Counters { received, sent })
    }

    #[test]
    fn a_new_interface_brings_no_burst_and_a_reset_counts_from_zero() {
        let mut rates = Rates::default();
        let second = Duration::from_secs(2);
        assert_eq!(
            rates.advance_sum(vec![one("en0", 1_000_000, 5)], second),
            Rate::default()
        );
        let rate = rates.advance_sum(
            vec![one("en0", 1_000_400, 25), one("en1", 9_999, 9)],
            second,
        );
        assert_eq!((rate.received, rate.sent), (200.0, 10.0));
        let rate = rates.advance_sum(vec![one("en0", 100, 0), one("en1", 9_999, 9)], second);
        assert_eq!((rate.received, rate.sent), (50.0, 0.0));
    }

    #[test]
    fn no_time_no_rate() {
        let mut rates = Rates::default();
        rates.advance_sum(vec![one("en0", 0, 0)], Duration::ZERO);
        assert_eq!(
            rates.advance_sum(vec![one("en0", 100, 0)], Duration::ZERO),
            Rate::default()
        );
    }
}
