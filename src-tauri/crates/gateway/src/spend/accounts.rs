//! Whose account a request touches, and the accounts that are open.

use std::collections::HashMap;
use std::time::Duration;

use cockpit_model::Usd;
use cockpit_model::traffic::{Budget as BudgetSpec, Limits as LimitsSpec};
use cockpit_resilience::budget::{self, Budget, Each};
use cockpit_resilience::rate::{self, Dimension, Limits};

use super::forgotten::Forgotten;
use super::{Who, Wish};
use crate::callers::Limited;

/// More callers are not kept apart: users and agents are named by callers, so idle ones are forgotten, and what is
/// more shares one account.
pub(super) const MOST: usize = 10_000;
/// How often it is looked who is idle, once there are so many.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// One whose account a request touches.
pub(super) struct Party<'a> {
    /// `None`: everybody together.
    one: Option<Limited<'a>>,
    caps: Each<Option<Usd>>,
}

impl Party<'_> {
    pub(super) fn who(&self) -> Who {
        self.one.map_or(Who::All, |one| one.who())
    }

    /// What it may use in a minute.
    fn rates(&self) -> Vec<(Dimension, rate::Settings)> {
        let Some(Limited { limits, .. }) = self.one else {
            return Vec::new();
        };
        let minute = |n: Option<u32>| rate::Settings::per_minute(u64::from(n?)).ok();
        [
            (Dimension::Requests, minute(limits.requests_per_minute)),
            (Dimension::Tokens, minute(limits.tokens_per_minute)),
        ]
        .into_iter()
        .filter_map(|(dimension, rate)| Some((dimension, rate?)))
        .collect()
    }
}

/// Everybody whose account a request touches: who is not limited needs none. Where nobody is, this costs nothing.
pub(super) fn parties<'a>(wish: &Wish<'a>) -> impl Iterator<Item = Party<'a>> {
    let all = wish.budget;
    std::iter::once(None)
        .chain(wish.callers.limits().map(Some))
        .map(move |one| Party {
            one,
            caps: caps(one.map(|one| one.limits), all),
        })
        .filter(|party| {
            party.caps != Each::default() || party.one.is_some_and(|one| is_rated(one.limits))
        })
}

const fn is_rated(limits: &LimitsSpec) -> bool {
    limits.requests_per_minute.is_some() || limits.tokens_per_minute.is_some()
}

/// What may be spent with these limits; `None`: by everybody together.
pub(super) fn caps(limits: Option<&LimitsSpec>, all: BudgetSpec) -> Each<Option<Usd>> {
    match limits {
        None => Each {
            day: all.daily,
            month: all.monthly,
        },
        Some(limits) => Each {
            day: limits.usd_per_day,
            month: limits.usd_per_month,
        },
    }
}

#[derive(Debug, Default)]
pub(super) struct Accounts {
    pub(super) open: HashMap<Who, Account>,
    pub(super) forgotten: Forgotten,
    swept: Option<Duration>,
}

impl Accounts {
    /// Whose account is used: beyond [`MOST`] one without a name is that of everybody else.
    pub(super) fn kept_as(&self, who: Who) -> Who {
        if self.open.len() < MOST || self.open.contains_key(&who) {
            return who;
        }
        match who {
            Who::User(_) => Who::User(String::new()),
            Who::Agent(_) => Who::Agent(String::new()),
            own @ (Who::All | Who::Key(_)) => own,
        }
    }

    /// The account of one who asks, opened where there is none, with the limits it has now; and whose it is.
    pub(super) fn of(
        &mut self,
        party: &Party<'_>,
        periods: &budget::Periods,
        now: Duration,
    ) -> (Who, &mut Account) {
        let who = self.kept_as(party.who());
        let Self {
            open, forgotten, ..
        } = self;
        let account = open.entry(who.clone()).or_default();
        let rates = party.rates();
        if account.rates != rates {
            account.limits.reconfigure(&rates, now);
            account.rates = rates;
        }
        match &mut account.budget {
            // Also where it is limited no more: what it spends still counts.
            Some(budget) => budget.reconfigure(party.caps),
            None if party.caps != Each::default() => {
                let spent = forgotten.take(&who, periods);
                account.budget = Some(Budget::new(party.caps, periods, spent));
            }
            None => {}
        }
        (who, account)
    }

    /// Closes those that are not in use, once there are so many; looks for them now and then only.
    pub(super) fn make_room(&mut self, now: Duration, periods: &budget::Periods) {
        let early = |swept: Duration| now.saturating_sub(swept) < SWEEP_EVERY;
        if self.open.len() < MOST || self.swept.is_some_and(early) {
            return;
        }
        self.swept = Some(now);
        let Self {
            open, forgotten, ..
        } = self;
        open.retain(|who, account| {
            if !account.limits.is_idle(now) {
                return true;
            }
            let Some(budget) = &mut account.budget else {
                return false;
            };
            let [day, month] = budget.view(periods);
            let waits = day.reserved > Usd::ZERO || month.reserved > Usd::ZERO;
            if !waits {
                let spent = Each {
                    day: day.spent,
                    month: month.spent,
                };
                forgotten.remember(who, spent, periods);
            }
            waits
        });
    }
}

#[derive(Debug, Default)]
pub(super) struct Account {
    /// What `limits` were made of.
    rates: Vec<(Dimension, rate::Settings)>,
    pub(super) limits: Limits,
    pub(super) budget: Option<Budget>,
}
