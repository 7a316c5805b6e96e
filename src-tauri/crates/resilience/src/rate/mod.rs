//! Limits on how much a caller uses: requests and tokens in a while.
//!
//! What a request costs is known only when it is over. So an estimate is reserved before, in every limit or in
//! none, and settled after: too much reserved comes back, too little becomes a debt. A [`Reservation`] that is
//! never settled stands as it was estimated and drains away like any use.
//!
//! **What counts is what was really used**, whatever was estimated: as long as estimates are not too low, in no stretch
//! of time more of it is let through than a burst and what comes back meanwhile.
//!
//! Keep one [`Limits`] for each key, user or agent, behind a mutex; [`Limits::is_idle`] says which may be
//! forgotten.

mod gcra;

use std::time::Duration;

pub use self::gcra::{Gcra, Headroom, InvalidRate, Settings};

/// What is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dimension {
    /// Requests.
    Requests,
    /// Tokens, input and output together.
    Tokens,
}

impl Dimension {
    /// The word in headers and messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Tokens => "tokens",
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
}

impl Cost {
    /// In the unit of that dimension.
    const fn of(&self, dimension: Dimension) -> u64 {
        match dimension {
            Dimension::Requests => self.requests,
            Dimension::Tokens => self.tokens,
        }
    }
}

/// An estimate that stands until it is settled.
#[must_use = "settle it, or the estimate stands"]
#[derive(Debug, PartialEq, Eq)]
pub struct Reservation {
    /// In each limit: an estimate is larger than what is set aside for it where it is absurd.
    taken: Vec<(Dimension, u64)>,
    at: Duration,
}

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
                *gcra = before.remove(index).1;
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
        let limits = self.limits.iter_mut();
        let taken = limits.map(|(what, gcra)| (*what, gcra.take(estimate.of(*what), now)));
        Ok(Reservation {
            taken: taken.collect(),
            at: now,
        })
    }

    /// Puts what it really cost in the estimate's place. [`Cost::default`] takes it back: at the moment it was
    /// made, exactly.
    pub fn settle(&mut self, reservation: Reservation, real: Cost, now: Duration) {
        let Reservation { mut taken, at } = reservation;
        for (dimension, gcra) in &mut self.limits {
            // Nothing, where it is limited only since.
            let own = taken.iter().position(|(what, _)| what == dimension);
            let taken = own.map_or(0, |index| taken.remove(index).1);
            gcra.settle(taken, at, real.of(*dimension), now);
        }
    }

    /// What is left, for the headers.
    pub fn headroom(&self, now: Duration) -> impl Iterator<Item = (Dimension, Headroom)> {
        let limits = self.limits.iter();
        limits.map(move |(dimension, gcra)| (*dimension, gcra.headroom(now)))
    }

    /// Whether nothing of any is used or under way: it may be forgotten.
    pub fn is_idle(&self, now: Duration) -> bool {
        self.limits.iter().all(|(_, gcra)| gcra.is_idle(now))
    }
}

#[cfg(test)]
mod tests;
