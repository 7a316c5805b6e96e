//! Limits on how much a caller uses: requests, tokens and money in a while.
//!
//! What a request costs is known only when it is over. So an estimate is reserved before, in every limit or in
//! none, and settled after: too much reserved comes back, too little becomes a debt. A [`Reservation`] that is
//! never settled stands as it was estimated and drains away like any use.
//!
//! Keep one [`Limits`] for each key, user or agent, behind a mutex; [`Limits::is_idle`] says which may be
//! forgotten.

mod gcra;

use std::time::Duration;

use cockpit_model::Usd;

pub use self::gcra::{Gcra, Headroom, InvalidRate, Settings};

/// What is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dimension {
    /// Requests.
    Requests,
    /// Tokens, input and output together.
    Tokens,
    /// Money, in picodollars.
    Usd,
}

impl Dimension {
    /// The word in headers and messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Tokens => "tokens",
            Self::Usd => "usd",
        }
    }
}

/// What a request costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cost {
    /// One, as a rule.
    pub requests: u64,
    /// Tokens, input and output together.
    pub tokens: u64,
    /// Money; less than nothing is nothing.
    pub usd: Usd,
}

impl Cost {
    /// In the unit of that dimension.
    fn of(&self, dimension: Dimension) -> u64 {
        match dimension {
            Dimension::Requests => self.requests,
            Dimension::Tokens => self.tokens,
            Dimension::Usd => u64::try_from(self.usd.pico()).unwrap_or(0),
        }
    }
}

/// An estimate that stands until it is settled.
#[must_use = "settle it, or the estimate stands"]
#[derive(Debug, PartialEq, Eq)]
pub struct Reservation(Cost);

/// There is no room now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limited {
    /// In what; of several the one that takes longest.
    pub dimension: Dimension,
    /// When there will be; never zero.
    pub retry_after: Duration,
    /// Of that dimension.
    pub headroom: Headroom,
}

/// Several limits that hold together.
#[derive(Debug, Clone, Default)]
pub struct Limits {
    limits: Vec<(Dimension, Gcra)>,
}

impl Limits {
    /// All of these; a dimension may be limited in more than one period.
    pub fn new(limits: &[(Dimension, Settings)]) -> Self {
        let limits = limits.iter();
        Self {
            limits: limits
                .map(|(what, rate)| (*what, Gcra::new(*rate)))
                .collect(),
        }
    }

    /// Takes new limits. A dimension that was limited before keeps what is used of it.
    pub fn reconfigure(&mut self, limits: &[(Dimension, Settings)], now: Duration) {
        let mut before = std::mem::take(&mut self.limits);
        self.limits = Self::new(limits).limits;
        for ((dimension, gcra), (_, settings)) in self.limits.iter_mut().zip(limits) {
            if let Some(index) = before.iter().position(|(what, _)| what == dimension) {
                *gcra = before.swap_remove(index).1;
                gcra.reconfigure(*settings, now);
            }
        }
    }

    /// Reserves the estimate in every limit, or in none.
    ///
    /// # Errors
    /// When a limit has no room for it now.
    pub fn reserve(&mut self, estimate: Cost, now: Duration) -> Result<Reservation, Limited> {
        let waits = self.limits.iter().map(|(dimension, gcra)| Limited {
            dimension: *dimension,
            retry_after: gcra.wait_for(estimate.of(*dimension), now),
            headroom: gcra.headroom(now),
        });
        if let Some(limited) = waits.max_by_key(|limited| limited.retry_after)
            && !limited.retry_after.is_zero()
        {
            return Err(limited);
        }
        for (dimension, gcra) in &mut self.limits {
            gcra.take(estimate.of(*dimension), now);
        }
        Ok(Reservation(estimate))
    }

    /// Puts what it really cost in the estimate's place. [`Cost::default`] takes it back: at the moment it was
    /// made, exactly.
    pub fn settle(&mut self, reservation: Reservation, real: Cost, now: Duration) {
        for (dimension, gcra) in &mut self.limits {
            gcra.correct(reservation.0.of(*dimension), real.of(*dimension), now);
        }
    }

    /// What is left, for the headers.
    pub fn headroom(&self, now: Duration) -> impl Iterator<Item = (Dimension, Headroom)> {
        let limits = self.limits.iter();
        limits.map(move |(dimension, gcra)| (*dimension, gcra.headroom(now)))
    }

    /// Whether nothing of any is used: it may be forgotten.
    pub fn is_idle(&self, now: Duration) -> bool {
        self.headroom(now)
            .all(|(_, headroom)| headroom.reset.is_zero())
    }
}

#[cfg(test)]
mod tests;
