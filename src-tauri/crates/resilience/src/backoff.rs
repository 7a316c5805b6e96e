//! Exponential backoff with jitter.
//!
//! The first attempt after calm waits [`BackoffSettings::initial`], commonly nothing: most deaths are single
//! ones. Every further attempt waits `base × 2ⁿ`, at most `max`, times a jitter of 0.5 to 1.5, so that many
//! that died together do not come back together. The product is cut at `max` again: `max` is a promise.

use std::time::Duration;

/// What the delays are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackoffSettings {
    initial: Duration,
    base: Duration,
    max: Duration,
}

/// Settings no backoff can be made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvalidBackoff {
    /// A base of zero would spin.
    ZeroBase,
    /// The longest delay is shorter than the first.
    MaxBelowInitial,
    /// A longest delay of zero would spin.
    ZeroMax,
}

impl std::fmt::Display for InvalidBackoff {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::ZeroBase => "the base delay is zero; give it at least 1 ms",
            Self::MaxBelowInitial => {
                "the longest delay is shorter than the initial one; raise max_delay"
            }
            Self::ZeroMax => "the longest delay is zero; give it at least 1 ms",
        })
    }
}

impl std::error::Error for InvalidBackoff {}

impl BackoffSettings {
    /// `initial` for the first attempt, then `base × 2ⁿ` up to `max`.
    ///
    /// # Errors
    /// When the delays could never grow, or contradict each other.
    pub const fn new(
        initial: Duration,
        base: Duration,
        max: Duration,
    ) -> Result<Self, InvalidBackoff> {
        if base.is_zero() {
            return Err(InvalidBackoff::ZeroBase);
        }
        if max.is_zero() {
            return Err(InvalidBackoff::ZeroMax);
        }
        if max.as_nanos() < initial.as_nanos() {
            return Err(InvalidBackoff::MaxBelowInitial);
        }
        Ok(Self { initial, base, max })
    }

    /// The longest delay there can be.
    pub const fn max(&self) -> Duration {
        self.max
    }
}

/// Counts attempts since the last calm and says how long to wait before the next.
#[derive(Debug, Clone)]
pub struct Backoff {
    settings: BackoffSettings,
    attempts: u32,
}

impl Backoff {
    /// A calm one.
    pub const fn new(settings: BackoffSettings) -> Self {
        Self {
            settings,
            attempts: 0,
        }
    }

    /// Takes new settings; the attempts so far still count.
    pub const fn reconfigure(&mut self, settings: BackoffSettings) {
        self.settings = settings;
    }

    /// How many attempts there were since the last [`Self::reset`].
    pub const fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Calm again: the next delay is the initial one.
    pub const fn reset(&mut self) {
        self.attempts = 0;
    }

    /// The delay before the next attempt, which is counted. `chance` in `0.0..1.0` makes the jitter;
    /// anything else (NaN too) is taken as the nearest bound.
    pub fn next(&mut self, chance: f64) -> Duration {
        let nth = self.attempts;
        self.attempts = self.attempts.saturating_add(1);
        if nth == 0 {
            return self.settings.initial;
        }
        let factor = 1_u32.checked_shl(nth - 1).unwrap_or(u32::MAX);
        let plain = self.settings.base.saturating_mul(factor);
        let chance = if chance > 0.0 { chance.min(1.0) } else { 0.0 };
        plain
            .min(self.settings.max)
            .mul_f64(0.5 + chance)
            .min(self.settings.max)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use proptest::prelude::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn standard() -> Backoff {
        Backoff::new(BackoffSettings::new(Duration::ZERO, MS(250), MS(30_000)).unwrap())
    }

    #[test]
    fn doubles_from_the_base_to_the_cap() {
        let mut backoff = standard();
        let delays: Vec<_> = (0..10).map(|_| backoff.next(0.5)).collect();
        let expected = [0, 250, 500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000].map(MS);
        assert_eq!(delays, expected);
        backoff.reset();
        assert_eq!(backoff.next(0.5), Duration::ZERO);
    }

    #[test]
    fn refuses_contradictions() {
        let new = BackoffSettings::new;
        assert_eq!(new(MS(0), MS(0), MS(1)), Err(InvalidBackoff::ZeroBase));
        assert_eq!(new(MS(0), MS(1), MS(0)), Err(InvalidBackoff::ZeroMax));
        assert_eq!(
            new(MS(5), MS(1), MS(4)),
            Err(InvalidBackoff::MaxBelowInitial)
        );
    }

    proptest! {
        #[test]
        fn every_delay_is_within_its_bounds(
            initial in 0_u64..5_000, base in 1_u64..5_000, more in 0_u64..100_000,
            chances in proptest::collection::vec(-1.0_f64..2.0, 1..80),
        ) {
            let max = initial + base + more;
            let settings = BackoffSettings::new(MS(initial), MS(base), MS(max)).unwrap();
            let mut backoff = Backoff::new(settings);
            prop_assert_eq!(backoff.next(0.3), MS(initial));
            for (n, chance) in chances.into_iter().enumerate() {
                let plain = MS(base).saturating_mul(1 << n.min(20)).min(MS(max));
                let delay = backoff.next(chance);
                prop_assert!(delay <= MS(max));
                prop_assert!(delay >= plain.mul_f64(0.5));
                prop_assert!(delay <= plain.mul_f64(1.5));
            }
        }

        #[test]
        fn never_panics_however_often(n in 0_u32..200, chance in proptest::num::f64::ANY) {
            let mut backoff = standard();
            for _ in 0..n { backoff.next(chance); }
            prop_assert_eq!(backoff.attempts(), n);
        }
    }
}
