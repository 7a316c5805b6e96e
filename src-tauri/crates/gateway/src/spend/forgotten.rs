//! What callers spent who have no account at the moment: a few bytes each, so that nobody gets a new budget by
//! being idle, or by a restart.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};

use cockpit_model::{Timestamp, Usd};
use cockpit_resilience::budget::{Each, Period, Periods};

use super::Who;

/// Spenders that are remembered; some 5 MB. Beyond them those are forgotten who spent least: nobody can have
/// another forgotten without spending more than they did.
const MOST: usize = 100_000;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Forgotten {
    /// Callers' names may be long, and there may be many: a keyed hash stands for each.
    hasher: RandomState,
    spenders: HashMap<u64, Spent>,
    /// Whether it was told that they are too many.
    told: bool,
}

#[derive(Debug, Clone, Copy)]
struct Spent {
    /// The begin of the periods it was spent in.
    since: Each<Timestamp>,
    amount: Each<Usd>,
}

impl Spent {
    /// What of it was spent in the periods that it is now.
    fn now(&self, periods: &Periods) -> Each<Usd> {
        let of = |since: Timestamp, period: Period, amount: Usd| {
            if since == period.starts {
                amount
            } else {
                Usd::ZERO
            }
        };
        Each {
            day: of(self.since.day, periods.day, self.amount.day),
            month: of(self.since.month, periods.month, self.amount.month),
        }
    }
}

impl Forgotten {
    /// Remembers what somebody spent; what is known already is no less for it.
    pub(super) fn remember(&mut self, who: &Who, spent: Each<Usd>, periods: &Periods) {
        let known = self.peek(who, periods);
        let amount = Each {
            day: spent.day.max(known.day),
            month: spent.month.max(known.month),
        };
        if amount == Each::default() {
            return;
        }
        if self.spenders.len() >= MOST {
            self.make_room(periods);
        }
        let since = Each {
            day: periods.day.starts,
            month: periods.month.starts,
        };
        self.spenders
            .insert(self.hasher.hash_one(who), Spent { since, amount });
    }

    /// What somebody spent in the periods that it is now.
    pub(super) fn peek(&self, who: &Who, periods: &Periods) -> Each<Usd> {
        let spent = self.spenders.get(&self.hasher.hash_one(who));
        spent.map(|spent| spent.now(periods)).unwrap_or_default()
    }

    /// The same; from now on their account knows it.
    pub(super) fn take(&mut self, who: &Who, periods: &Periods) -> Each<Usd> {
        let spent = self.spenders.remove(&self.hasher.hash_one(who));
        spent.map(|spent| spent.now(periods)).unwrap_or_default()
    }

    /// A tenth of the places, of those who spent least.
    fn make_room(&mut self, periods: &Periods) {
        self.spenders
            .retain(|_, spent| spent.now(periods) != Each::default());
        let wanted = MOST - MOST / 10;
        if self.spenders.len() <= wanted {
            return;
        }
        let mut amounts: Vec<Usd> = self
            .spenders
            .values()
            .map(|spent| spent.now(periods).month)
            .collect();
        let excess = amounts.len() - wanted;
        let (_, least, _) = amounts.select_nth_unstable(excess);
        let least = *least;
        let mut left = excess;
        self.spenders.retain(|_, spent| {
            let goes = left > 0 && spent.now(periods).month <= least;
            left -= usize::from(goes);
            !goes
        });
        if !std::mem::replace(&mut self.told, true) {
            tracing::warn!(
                "more than {MOST} callers spend money this month; what those spent who spent least is forgotten"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use proptest::prelude::*;

    fn periods(day: i64) -> Periods {
        let at = |day: i64| Timestamp::from_second(day * 86_400).unwrap();
        let month = day / 30 * 30;
        Periods {
            day: Period {
                starts: at(day),
                ends: at(day + 1),
            },
            month: Period {
                starts: at(month),
                ends: at(month + 30),
            },
        }
    }

    fn each(day: i64, month: i64) -> Each<Usd> {
        Each {
            day: Usd::from_pico(day),
            month: Usd::from_pico(month),
        }
    }

    #[test]
    fn a_day_is_over_before_its_month() {
        let mut forgotten = Forgotten::default();
        let who = Who::User("ada".to_owned());
        forgotten.remember(&who, each(3, 10), &periods(31));
        assert_eq!(forgotten.peek(&who, &periods(31)), each(3, 10));
        assert_eq!(forgotten.peek(&who, &periods(32)), each(0, 10));
        // Whoever knows less of it does not make it less.
        forgotten.remember(&who, each(1, 4), &periods(32));
        assert_eq!(forgotten.take(&who, &periods(32)), each(1, 10));
        assert_eq!(forgotten.take(&who, &periods(32)), each(0, 0));
        forgotten.remember(&who, each(3, 10), &periods(31));
        assert_eq!(forgotten.peek(&who, &periods(60)), each(0, 0));
    }

    #[test]
    fn too_many_spenders_cost_those_their_past_who_spent_least() {
        let mut forgotten = Forgotten::default();
        let who = |n: i64| Who::User(n.to_string());
        let many = i64::try_from(MOST).unwrap() + 1;
        for n in 1..=many {
            forgotten.remember(&who(n), each(0, n), &periods(31));
        }
        assert!(forgotten.spenders.len() <= MOST);
        assert_eq!(forgotten.peek(&who(1), &periods(31)), each(0, 0));
        assert_eq!(forgotten.peek(&who(many), &periods(31)), each(0, many));
    }

    proptest! {
        #[test]
        fn within_bounds_nothing_is_lost(spent in proptest::collection::vec((0_u8..20, 0_i64..100), 0..100)) {
            let mut forgotten = Forgotten::default();
            let mut most = HashMap::<u8, i64>::new();
            for (n, amount) in spent {
                forgotten.remember(&Who::Agent(n.to_string()), each(amount, amount), &periods(31));
                let known = most.entry(n).or_default();
                *known = (*known).max(amount);
            }
            for (n, amount) in most {
                let who = Who::Agent(n.to_string());
                prop_assert_eq!(forgotten.peek(&who, &periods(31)), each(amount, amount));
            }
        }
    }
}
