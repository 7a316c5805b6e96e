//! Money: exact sums of very small amounts.

use std::iter::Sum;
use std::ops::{Add, AddAssign, Sub};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// US dollars, kept in whole picodollars (10⁻¹² USD) so that sums over millions of calls are exact.
/// Written as a decimal number of dollars. Holds up to about nine million dollars and stops there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Usd(i64);

const PICO: f64 = 1e12;

impl Usd {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// From whole picodollars.
    pub const fn from_pico(pico: i64) -> Self {
        Self(pico)
    }

    /// In whole picodollars.
    pub const fn pico(self) -> i64 {
        self.0
    }

    /// The nearest amount; `None` for what is no amount of money (not finite) or does not fit.
    pub fn from_dollars(dollars: f64) -> Option<Self> {
        let pico = (dollars * PICO).round();
        // 2⁶³ itself does not fit an i64.
        (pico.is_finite() && pico.abs() < 9.2e18).then_some(Self(pico as i64))
    }

    /// In dollars, for people and JSON.
    pub fn dollars(self) -> f64 {
        self.0 as f64 / PICO
    }

    /// With as many digits as say something of it: of less than a cent two that are not zero.
    pub fn told(self) -> String {
        let dollars = self.dollars();
        if dollars >= 0.01 || dollars <= 0.0 {
            return format!("{dollars:.2}");
        }
        let digits = format!("{dollars:.12}");
        let first = digits.find(|c: char| c.is_ascii_digit() && c != '0');
        digits
            .get(..first.unwrap_or(0) + 2)
            .unwrap_or(&digits)
            .to_owned()
    }
}

impl Add for Usd {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sub for Usd {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl AddAssign for Usd {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for Usd {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Add::add)
    }
}

impl Serialize for Usd {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.dollars())
    }
}

impl<'de> Deserialize<'de> for Usd {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let dollars = f64::deserialize(deserializer)?;
        Self::from_dollars(dollars).ok_or_else(|| {
            serde::de::Error::custom("an amount of dollars must be a number below nine million")
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn sums_are_exact_where_floats_are_not() {
        let dime = Usd::from_dollars(0.1).unwrap();
        let sum: Usd = std::iter::repeat_n(dime, 1_000_000).sum();
        assert_eq!(sum, Usd::from_dollars(100_000.0).unwrap());
    }

    #[test]
    fn small_amounts_are_not_told_as_nothing() {
        for (amount, told) in [
            (0.0, "0.00"),
            (5.0, "5.00"),
            (0.01, "0.01"),
            (0.001, "0.0010"),
            (0.000_012_3, "0.000012"),
            (0.000_000_000_001, "0.000000000001"),
        ] {
            assert_eq!(Usd::from_dollars(amount).unwrap().told(), told);
        }
    }

    #[test]
    fn what_is_no_money_is_refused() {
        for wrong in [f64::NAN, f64::INFINITY, 1e7, -1e7] {
            assert_eq!(Usd::from_dollars(wrong), None, "{wrong}");
        }
        assert_eq!(
            Usd::from_pico(i64::MAX) + Usd::from_pico(1),
            Usd::from_pico(i64::MAX)
        );
    }
}
