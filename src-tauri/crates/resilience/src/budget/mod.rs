//! What may be spent in a day and in a month.
//!
//! What a request costs is known only when it is over. So an estimate is reserved before, in both periods or in
//! none, and settled after: many requests at once cannot spend the same rest. One alone may always go on while
//! anything is left, though its estimate is larger: an estimate is made of the most tokens a caller allows, and
//! rarely comes true. So a budget is overdrawn by one request at most (as far as estimates are not too low).
//!
//! **The calendar is the caller's.** It says which [`Periods`] it is now; a later one than before begins at
//! zero. What was reserved in a period that is over is settled in none: the day's money is yesterday's. A clock
//! that is set back a little does not bring yesterday back; one that is set back further than a whole period
//! was wrong before, and begins anew.
//!
//! **A [`Reservation`] must be settled** on every way out, also with zero ([`Budget::cancel`]). One that is lost
//! takes up its part of the budget until the period ends.

use cockpit_model::{Timestamp, Usd};

/// The parts of a budget that are told of when they are spent, in percent.
pub const THRESHOLDS: [u8; 3] = [50, 80, 100];

/// Which part of the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Span {
    /// A day.
    Day,
    /// A month.
    Month,
}

impl Span {
    /// The word for people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Month => "month",
        }
    }
}

/// One day or month of the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    /// Its first moment.
    pub starts: Timestamp,
    /// The next one's first moment.
    pub ends: Timestamp,
}

/// Today, and this month.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Periods {
    /// Today.
    pub day: Period,
    /// This month.
    pub month: Period,
}

/// An amount for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Each<T> {
    /// Of the day.
    pub day: T,
    /// Of the month.
    pub month: T,
}

/// An estimate that takes up its part until it is settled.
#[must_use = "settle or cancel it: until then it takes up its part of the budget"]
#[derive(Debug, PartialEq, Eq)]
pub struct Reservation {
    estimate: Usd,
    made_in: Periods,
}

/// There is nothing left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exhausted {
    /// Of this; of both, the one that renews later.
    pub span: Span,
    /// What may be spent.
    pub limit: Usd,
    /// What was.
    pub spent: Usd,
    /// What requests that are under way may still cost. Some of it may come back sooner than `renews_at`.
    pub reserved: Usd,
    /// When it begins at zero.
    pub renews_at: Timestamp,
}

/// One of [`THRESHOLDS`] was reached for the first time in its period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crossed {
    /// Of this.
    pub span: Span,
    /// Of the limit.
    pub percent: u8,
    /// What was spent.
    pub spent: Usd,
    /// What may be.
    pub limit: Usd,
}

/// How one span stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View {
    /// Which.
    pub span: Span,
    /// What may be spent; none: as much as they like.
    pub limit: Option<Usd>,
    /// What was spent.
    pub spent: Usd,
    /// What requests that are under way may still cost.
    pub reserved: Usd,
    /// When it begins at zero.
    pub renews_at: Timestamp,
}

#[derive(Debug, Clone)]
struct Account {
    span: Span,
    limit: Option<Usd>,
    period: Period,
    spent: Usd,
    reserved: Usd,
    /// The highest of the thresholds that nobody needs to be told of again.
    told: u8,
}

impl Account {
    const fn new(span: Span, limit: Option<Usd>, period: Period) -> Self {
        Self {
            span,
            limit,
            period,
            spent: Usd::ZERO,
            reserved: Usd::ZERO,
            told: 0,
        }
    }

    fn roll(&mut self, to: Period) {
        let later = to.starts > self.period.starts;
        let clock_was_wrong = to.ends < self.period.starts;
        if later || clock_was_wrong {
            *self = Self::new(self.span, self.limit, to);
        }
    }

    fn exhausted(&self, estimate: Usd) -> Option<Exhausted> {
        let limit = self.limit?;
        let taken = self.spent + self.reserved;
        let alone = self.reserved == Usd::ZERO;
        let full = taken >= limit || (!alone && taken + estimate > limit);
        full.then_some(Exhausted {
            span: self.span,
            limit,
            spent: self.spent,
            reserved: self.reserved,
            renews_at: self.period.ends,
        })
    }

    /// The highest threshold that is reached.
    fn reached(&self) -> u8 {
        let (spent, limit) = (
            i128::from(self.spent.pico()),
            self.limit.map_or(0, |limit| i128::from(limit.pico())),
        );
        let reached = |percent: &&u8| limit > 0 && spent * 100 >= limit * i128::from(**percent);
        THRESHOLDS
            .iter()
            .filter(reached)
            .max()
            .copied()
            .unwrap_or(0)
    }

    fn settle(&mut self, estimate: Usd, real: Usd, crossed: &mut Vec<Crossed>) {
        self.reserved = (self.reserved - estimate).max(Usd::ZERO);
        self.spent += real;
        let (Some(limit), reached) = (self.limit, self.reached()) else {
            return;
        };
        let new = THRESHOLDS
            .iter()
            .filter(|one| **one > self.told && **one <= reached);
        crossed.extend(new.map(|percent| Crossed {
            span: self.span,
            percent: *percent,
            spent: self.spent,
            limit,
        }));
        self.told = self.told.max(reached);
    }

    const fn view(&self) -> View {
        View {
            span: self.span,
            limit: self.limit,
            spent: self.spent,
            reserved: self.reserved,
            renews_at: self.period.ends,
        }
    }
}

/// See the module.
#[derive(Debug, Clone)]
pub struct Budget {
    day: Account,
    month: Account,
}

impl Budget {
    /// With so much spent before in the current periods, as it was persisted. The thresholds this reaches were
    /// told of then.
    pub fn new(limits: Each<Option<Usd>>, periods: &Periods, spent: Each<Usd>) -> Self {
        let account = |span, limit, period, spent| {
            let mut account = Account::new(span, limit, period);
            account.spent = spent;
            account.told = account.reached();
            account
        };
        Self {
            day: account(Span::Day, limits.day, periods.day, spent.day),
            month: account(Span::Month, limits.month, periods.month, spent.month),
        }
    }

    /// Takes new limits. What is spent stays spent, and what it reaches of them nobody is told of.
    pub fn reconfigure(&mut self, limits: Each<Option<Usd>>) {
        self.day.limit = limits.day;
        self.month.limit = limits.month;
        for account in [&mut self.day, &mut self.month] {
            account.told = account.reached();
        }
    }

    fn roll(&mut self, now: &Periods) {
        self.day.roll(now.day);
        self.month.roll(now.month);
    }

    /// Reserves the estimate in both spans, or in none.
    ///
    /// # Errors
    /// When one has nothing left for it.
    pub fn reserve(&mut self, estimate: Usd, now: &Periods) -> Result<Reservation, Exhausted> {
        self.roll(now);
        let estimate = estimate.max(Usd::ZERO);
        let exhausted = [&self.day, &self.month].map(|account| account.exhausted(estimate));
        if let Some(exhausted) = exhausted
            .into_iter()
            .flatten()
            .max_by_key(|exhausted| exhausted.renews_at)
        {
            return Err(exhausted);
        }
        self.day.reserved += estimate;
        self.month.reserved += estimate;
        Ok(Reservation {
            estimate,
            made_in: Periods {
                day: self.day.period,
                month: self.month.period,
            },
        })
    }

    /// Puts what it really cost in the estimate's place, in the periods it was made in. Answers the thresholds
    /// that are reached by it, lowest first.
    pub fn settle(&mut self, reservation: Reservation, real: Usd, now: &Periods) -> Vec<Crossed> {
        self.roll(now);
        let Reservation { estimate, made_in } = reservation;
        let real = real.max(Usd::ZERO);
        let mut crossed = Vec::new();
        for (account, made_in) in [
            (&mut self.day, made_in.day),
            (&mut self.month, made_in.month),
        ] {
            if account.period == made_in {
                account.settle(estimate, real, &mut crossed);
            }
        }
        crossed
    }

    /// Nothing was spent after all.
    pub fn cancel(&mut self, reservation: Reservation, now: &Periods) {
        self.settle(reservation, Usd::ZERO, now);
    }

    /// Learns what was spent in the current periods, as it was persisted; what is known is no less for it. What
    /// it reaches nobody is told of.
    pub fn know(&mut self, spent: Each<Usd>, now: &Periods) {
        self.roll(now);
        for (account, spent) in [(&mut self.day, spent.day), (&mut self.month, spent.month)] {
            account.spent = account.spent.max(spent);
            account.told = account.reached();
        }
    }

    /// Spends what nothing was reserved for, whether there is anything left or not. Answers the thresholds that
    /// are reached by it, lowest first.
    pub fn spend(&mut self, real: Usd, now: &Periods) -> Vec<Crossed> {
        self.roll(now);
        let mut crossed = Vec::new();
        for account in [&mut self.day, &mut self.month] {
            account.settle(Usd::ZERO, real.max(Usd::ZERO), &mut crossed);
        }
        crossed
    }

    /// How day and month stand.
    pub fn view(&mut self, now: &Periods) -> [View; 2] {
        self.roll(now);
        [self.day.view(), self.month.view()]
    }
}

#[cfg(test)]
mod tests;
