//! What callers may use, and what may be spent: reserved before a request goes on, settled after.

mod accounts;
mod forgotten;
mod told;
mod views;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cockpit_model::Usd;
use cockpit_model::traffic::Budget as BudgetSpec;
use cockpit_resilience::budget::{self, Budget, Crossed, Each};
use cockpit_resilience::rate::{self, Cost};
use tokio::time::Instant;

use self::accounts::{Accounts, Party, parties};
use self::told::{exhausted_refusal, limited_refusal};
use crate::calendar;
use crate::callers::Callers;
use crate::refusal::Refusal;

/// Accounts that a start opens for those who spent most, so that they can be shown.
const OPENED: usize = 1000;

/// Whose account it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Who {
    /// Everybody together.
    All,
    /// A key.
    Key(String),
    /// A user.
    User(String),
    /// An agent.
    Agent(String),
}

impl std::fmt::Display for Who {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::All => f.write_str("this cockpit"),
            Self::Key(name) => write!(f, "the key `{name}`"),
            Self::User(name) if name.is_empty() => f.write_str("all further users together"),
            Self::Agent(name) if name.is_empty() => f.write_str("all further agents together"),
            Self::User(name) => write!(f, "the user `{name}`"),
            Self::Agent(name) => write!(f, "the agent `{name}`"),
        }
    }
}

/// Hears of a budget of which a part was reached.
pub(crate) type Listener = Box<dyn Fn(&Who, &Crossed) + Send + Sync>;

/// See the module.
pub(crate) struct Spend {
    origin: Instant,
    accounts: Mutex<Accounts>,
    crossed: Listener,
}

/// What was set aside for one request.
pub(crate) struct Held {
    spend: Arc<Spend>,
    parts: Vec<Part>,
}

/// What was set aside on one account.
struct Part {
    who: Who,
    money: Option<budget::Reservation>,
    rate: Option<rate::Reservation>,
}

/// Who asks, and what it may cost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wish<'a> {
    pub(crate) callers: Callers<'a>,
    pub(crate) budget: BudgetSpec,
    pub(crate) tokens: u64,
    /// Whether money may be spent on it. A price that is not known is no reason to go on when everything is spent.
    pub(crate) pays: bool,
    /// Of the dearest target whose price is known; zero where all of them cost nothing.
    pub(crate) cost: Usd,
}

impl Spend {
    pub(crate) fn new(crossed: Listener) -> Self {
        Self {
            origin: Instant::now(),
            accounts: Mutex::default(),
            crossed,
        }
    }

    fn accounts(&self) -> MutexGuard<'_, Accounts> {
        // Accounts are whole between any two calls.
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Learns what was spent today and this month, whoever spent most first.
    pub(crate) fn restore(&self, spent: Vec<(Who, Each<Usd>)>) {
        let periods = calendar::now();
        let mut accounts = self.accounts();
        let Accounts {
            open, forgotten, ..
        } = &mut *accounts;
        for (who, spent) in spent {
            let places = open.len() < OPENED;
            match open.get_mut(&who) {
                Some(account) => match &mut account.budget {
                    Some(budget) => budget.know(spent, &periods),
                    None => forgotten.remember(&who, spent, &periods),
                },
                None if places => {
                    let account = open.entry(who).or_default();
                    account.budget = Some(Budget::new(Each::default(), &periods, spent));
                }
                None => forgotten.remember(&who, spent, &periods),
            }
        }
    }

    /// Forgets the limits of whoever is limited differently from now on; what was used still counts.
    pub(crate) fn reconfigure(&self) {
        let now = self.origin.elapsed();
        self.accounts()
            .open
            .retain(|_, account| account.budget.is_some() || !account.limits.is_idle(now));
    }

    /// Sets aside what the request may use.
    ///
    /// # Errors
    /// When a limit has no room for it now.
    pub(crate) fn reserve(self: &Arc<Self>, wish: &Wish<'_>) -> Result<Held, Refusal> {
        let mut held = Held {
            spend: Arc::clone(self),
            parts: Vec::new(),
        };
        let mut parties = parties(wish).peekable();
        if parties.peek().is_none() {
            return Ok(held);
        }
        let (now, periods) = (self.now(), calendar::now());
        let mut accounts = self.accounts();
        accounts.make_room(now, &periods);
        let refused = held
            .set_aside(&mut accounts, parties, wish, (now, &periods))
            .err();
        drop(accounts);
        match refused {
            Some(refusal) => {
                held.give_back();
                Err(refusal)
            }
            None => Ok(held),
        }
    }

    fn now(&self) -> Duration {
        self.origin.elapsed()
    }
}

impl Held {
    /// Money first: who has none left is told that, and not to come again in a minute.
    fn set_aside<'a>(
        &mut self,
        accounts: &mut Accounts,
        parties: impl Iterator<Item = Party<'a>>,
        wish: &Wish<'_>,
        (now, periods): (Duration, &budget::Periods),
    ) -> Result<(), Refusal> {
        for party in parties {
            let (who, account) = accounts.of(&party, periods, now);
            let money = match &mut account.budget {
                // What costs nothing passes an exhausted budget.
                Some(budget) if wish.pays => match budget.reserve(wish.cost, periods) {
                    Ok(money) => Some(money),
                    Err(exhausted) => return Err(exhausted_refusal(&who, &exhausted)),
                },
                _ => None,
            };
            self.parts.push(Part {
                who,
                money,
                rate: None,
            });
        }
        let estimate = Cost {
            requests: 1,
            tokens: wish.tokens,
        };
        for part in &mut self.parts {
            let Some(account) = accounts.open.get_mut(&part.who) else {
                continue;
            };
            let rate = account.limits.reserve(estimate, now);
            part.rate = Some(rate.map_err(|limited| limited_refusal(&part.who, &limited))?);
        }
        Ok(())
    }

    /// Puts what it really was in the estimate's place.
    pub(crate) fn settle(mut self, tokens: u64, cost: Usd) {
        self.end(Some((tokens, cost)));
    }

    /// It came to nothing.
    fn give_back(mut self) {
        self.end(None);
    }

    fn end(&mut self, real: Option<(u64, Usd)>) {
        if self.parts.is_empty() {
            return;
        }
        let (now, periods) = (self.spend.now(), calendar::now());
        let (used, usd) = match real {
            Some((tokens, usd)) => (
                Cost {
                    requests: 1,
                    tokens,
                },
                usd,
            ),
            None => (Cost::default(), Usd::ZERO),
        };
        let mut crossed = Vec::new();
        {
            let mut accounts = self.spend.accounts();
            for Part { who, money, rate } in self.parts.drain(..) {
                let Some(account) = accounts.open.get_mut(&who) else {
                    continue;
                };
                if let Some(rate) = rate {
                    account.limits.settle(rate, used, now);
                }
                if let Some(budget) = &mut account.budget {
                    let reached = match money {
                        Some(money) => budget.settle(money, usd, &periods),
                        // It was thought to cost nothing.
                        None if usd > Usd::ZERO => budget.spend(usd, &periods),
                        None => Vec::new(),
                    };
                    crossed.extend(reached.into_iter().map(|one| (who.clone(), one)));
                }
            }
        }
        for (who, crossed) in crossed {
            (self.spend.crossed)(&who, &crossed);
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Nothing is left after a settlement.
        self.end(None);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::accounts::MOST;
    use super::told::UNDER_WAY;
    use super::*;
    use cockpit_model::traffic::{CommonLimits, KeySpec, Limits as LimitsSpec};

    fn spend() -> Arc<Spend> {
        Arc::new(Spend::new(Box::new(|_, _| {})))
    }

    fn key(limits: LimitsSpec) -> KeySpec {
        KeySpec {
            name: "app".to_owned(),
            secret: None,
            limits,
        }
    }

    fn wish<'a>(
        key: Option<&'a KeySpec>,
        user: Option<&'a str>,
        common: &'a CommonLimits,
        cost: f64,
    ) -> Wish<'a> {
        Wish {
            callers: Callers {
                key,
                user,
                agent: None,
                common,
            },
            budget: BudgetSpec::default(),
            tokens: 0,
            pays: cost > 0.0,
            cost: Usd::from_dollars(cost).unwrap(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_budget_that_was_taken_away_stops_nobody() {
        let (spend, common) = (spend(), CommonLimits::default());
        let limited = LimitsSpec {
            requests_per_minute: Some(60),
            usd_per_day: Usd::from_dollars(5.0),
            ..LimitsSpec::default()
        };
        let before = key(limited.clone());
        let dear = wish(Some(&before), None, &common, 6.0);
        spend.reserve(&dear).unwrap().settle(0, dear.cost);
        let refusal = spend.reserve(&dear).err().unwrap();
        assert_eq!(refusal.code, "policy_budget_exhausted");
        assert!(refusal.message.contains("is spent"), "{}", refusal.message);

        let after = key(LimitsSpec {
            usd_per_day: None,
            ..limited
        });
        let dear = wish(Some(&after), None, &common, 6.0);
        spend.reserve(&dear).unwrap().settle(0, dear.cost);
        // Given back, it knows what was spent meanwhile.
        let refusal = spend
            .reserve(&wish(Some(&before), None, &common, 1.0))
            .err();
        assert!(refusal.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn money_that_is_only_set_aside_is_not_told_as_spent() {
        let (spend, common) = (spend(), CommonLimits::default());
        let app = key(LimitsSpec {
            usd_per_day: Usd::from_dollars(5.0),
            ..LimitsSpec::default()
        });
        let one = wish(Some(&app), None, &common, 3.0);
        let under_way = spend.reserve(&one).unwrap();
        let refusal = spend.reserve(&one).err().unwrap();
        assert_eq!(refusal.code, "policy_budget_exhausted");
        assert_eq!(refusal.retry_after, Some(UNDER_WAY));
        assert!(refusal.message.contains("0.00 of 5.00 USD are spent"));
        under_way.settle(0, Usd::ZERO);
        assert!(spend.reserve(&one).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn made_up_names_fill_no_memory_and_get_nobody_more() {
        let spend = spend();
        let common = CommonLimits {
            user: LimitsSpec {
                requests_per_minute: Some(1),
                ..LimitsSpec::default()
            },
            ..CommonLimits::default()
        };
        let ask = |user: &str| {
            let held = spend.reserve(&wish(None, Some(user), &common, 0.0));
            held.map(|held| held.settle(0, Usd::ZERO))
                .map_err(|refusal| refusal.message)
        };
        for n in 0..MOST {
            ask(&format!("user {n}")).unwrap();
        }
        ask("one more").unwrap();
        let refused = ask("and another").unwrap_err();
        assert!(
            refused.starts_with("all further users together may use 1 requests"),
            "{refused}"
        );
        assert_eq!(spend.accounts().open.len(), MOST + 1);
        // Idle ones make room.
        tokio::time::advance(Duration::from_secs(61)).await;
        ask("and another").unwrap();
        assert_eq!(spend.accounts().open.len(), 1);
    }
}
