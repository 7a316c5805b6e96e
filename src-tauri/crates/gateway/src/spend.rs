//! What callers may use, and what may be spent: reserved before a request goes on, settled after.

mod forgotten;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cockpit_model::gateway::BudgetView;
use cockpit_model::traffic::{Budget as BudgetSpec, KeySpec, Limits as LimitsSpec, TrafficSpec};
use cockpit_model::{Timestamp, Usd};
use cockpit_resilience::budget::{self, Budget, Crossed, Each};
use cockpit_resilience::rate::{self, Cost, Dimension, Headroom, Limits};
use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};
use tokio::time::Instant;

use self::forgotten::Forgotten;
use crate::calendar;
use crate::callers::Callers;
use crate::refusal::Refusal;

/// More callers are not kept apart: users and agents are named by callers, so idle ones are forgotten, and what is
/// more shares one account.
const MOST: usize = 10_000;
/// How often it is looked who is idle, once there are so many.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// How long a request may take that holds what is left of a budget: a guess, after which to try again.
const UNDER_WAY: Duration = Duration::from_secs(2);
/// Accounts that a start opens for those who spent most, so that they can be shown.
const OPENED: usize = 1000;
/// More budgets than this nobody reads.
const SHOWN: usize = 50;

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

#[derive(Debug, Default)]
struct Accounts {
    open: HashMap<Who, Account>,
    forgotten: Forgotten,
    swept: Option<Duration>,
}

impl Accounts {
    /// Whose account is used: beyond [`MOST`] one without a name is that of everybody else.
    fn kept_as(&self, who: Who) -> Who {
        if self.open.len() < MOST || self.open.contains_key(&who) {
            return who;
        }
        match who {
            Who::User(_) => Who::User(String::new()),
            Who::Agent(_) => Who::Agent(String::new()),
            own @ (Who::All | Who::Key(_)) => own,
        }
    }

    /// Closes those that are not in use, once there are so many; looks for them now and then only.
    fn make_room(&mut self, now: Duration, periods: &budget::Periods) {
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

#[derive(Debug)]
struct Account {
    /// What `limits` were made of.
    rates: Vec<(Dimension, rate::Settings)>,
    limits: Limits,
    budget: Option<Budget>,
}

/// What was set aside for one request.
pub(crate) struct Held {
    spend: Arc<Spend>,
    parts: Vec<(Who, rate::Reservation, Option<budget::Reservation>)>,
}

/// Who asks, and what it may cost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wish<'a> {
    pub(crate) callers: Callers<'a>,
    pub(crate) budget: BudgetSpec,
    pub(crate) tokens: u64,
    /// Of the dearest target; zero where all of them run here.
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
                    let account = Account {
                        rates: Vec::new(),
                        limits: Limits::default(),
                        budget: Some(Budget::new(Each::default(), &periods, spent)),
                    };
                    open.insert(who, account);
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

    /// Whether money may be spent on this request; `Err` says whose budget is at its end.
    ///
    /// # Errors
    /// When a budget is exhausted.
    pub(crate) fn may_spend(&self, wish: &Wish<'_>) -> Result<(), Refusal> {
        let periods = calendar::now();
        let mut accounts = self.accounts();
        for (who, limits) in parties(wish) {
            let caps = caps(&who, limits, wish.budget);
            if caps == Each::default() {
                continue;
            }
            let who = accounts.kept_as(who);
            let account = account(
                &mut accounts,
                &who,
                limits,
                wish.budget,
                &periods,
                self.now(),
            );
            if let Some(budget) = &mut account.budget
                && let Err(exhausted) = budget.reserve(Usd::ZERO, &periods).map(|reserved| {
                    budget.cancel(reserved, &periods);
                })
            {
                return Err(exhausted_refusal(&who, &exhausted));
            }
        }
        Ok(())
    }

    /// Sets aside what the request may use.
    ///
    /// # Errors
    /// When a limit has no room for it now.
    pub(crate) fn reserve(self: &Arc<Self>, wish: &Wish<'_>) -> Result<Held, Refusal> {
        let (now, periods) = (self.now(), calendar::now());
        let mut held = Held {
            spend: Arc::clone(self),
            parts: Vec::new(),
        };
        let mut accounts = self.accounts();
        accounts.make_room(now, &periods);
        let mut refused = None;
        for (who, limits) in parties(wish) {
            let who = accounts.kept_as(who);
            let account = account(&mut accounts, &who, limits, wish.budget, &periods, now);
            let estimate = Cost {
                requests: 1,
                tokens: wish.tokens,
            };
            let rate = match account.limits.reserve(estimate, now) {
                Ok(rate) => rate,
                Err(limited) => {
                    refused = Some(limited_refusal(&who, &limited));
                    break;
                }
            };
            let money = match &mut account.budget {
                // Nothing to pay passes an exhausted budget.
                Some(budget) if wish.cost > Usd::ZERO => {
                    match budget.reserve(wish.cost, &periods) {
                        Ok(money) => Some(money),
                        Err(exhausted) => {
                            account.limits.settle(rate, Cost::default(), now);
                            refused = Some(exhausted_refusal(&who, &exhausted));
                            break;
                        }
                    }
                }
                _ => None,
            };
            held.parts.push((who, rate, money));
        }
        drop(accounts);
        match refused {
            Some(refusal) => {
                held.give_back();
                Err(refusal)
            }
            None => Ok(held),
        }
    }

    /// How every budget stands whose limit is known here: those that are configured, and of users and agents
    /// those who asked. The fullest first.
    pub(crate) fn views<'a>(
        &self,
        spec: &'a TrafficSpec,
        made: impl Iterator<Item = &'a KeySpec>,
    ) -> Vec<BudgetView> {
        let periods = calendar::now();
        let mut accounts = self.accounts();
        let mut whose = vec![Who::All];
        let keys: HashMap<&str, &LimitsSpec> = spec
            .keys
            .iter()
            .chain(made)
            .map(|key| (key.name.as_str(), &key.limits))
            .collect();
        whose.extend(keys.keys().map(|name| Who::Key((*name).to_owned())));
        let callers = accounts.open.keys();
        whose.extend(
            callers
                .filter(|who| matches!(who, Who::User(_) | Who::Agent(_)))
                .cloned(),
        );
        let mut views: Vec<BudgetView> = whose
            .into_iter()
            .flat_map(|who| {
                let limits = match &who {
                    Who::All => None,
                    Who::Key(name) => keys.get(name.as_str()).copied(),
                    Who::User(_) => Some(&spec.limits.user),
                    Who::Agent(_) => Some(&spec.limits.agent),
                };
                let caps = caps(&who, limits, spec.budget);
                let Accounts {
                    open, forgotten, ..
                } = &mut *accounts;
                let stand = match open.get_mut(&who).and_then(|one| one.budget.as_mut()) {
                    Some(budget) => budget.view(&periods),
                    None => {
                        Budget::new(caps, &periods, forgotten.peek(&who, &periods)).view(&periods)
                    }
                };
                let whose = who.to_string();
                stand
                    .into_iter()
                    .zip([caps.day, caps.month])
                    .filter_map(move |(stand, limit)| {
                        Some(BudgetView {
                            whose: whose.clone(),
                            period: stand.span.as_str().to_owned(),
                            limit_usd: limit?,
                            spent_usd: stand.spent,
                            reserved_usd: stand.reserved,
                            renews_at: stand.renews_at,
                        })
                    })
                    .collect::<Vec<_>>()
            })
            .collect();
        drop(accounts);
        let part = |one: &BudgetView| one.spent_usd.dollars() / one.limit_usd.dollars();
        views.sort_by(|a, b| part(b).total_cmp(&part(a)));
        views.truncate(SHOWN);
        views
    }

    fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    /// Writes the standard headers of whoever has the least room.
    pub(crate) fn headers(&self, wish: &Wish<'_>, headers: &mut HeaderMap) {
        let now = self.now();
        let accounts = self.accounts();
        let mut tightest: HashMap<&'static str, Headroom> = HashMap::new();
        for (who, _) in parties(wish) {
            let Some(account) = accounts.open.get(&accounts.kept_as(who)) else {
                continue;
            };
            for (dimension, headroom) in account.limits.headroom(now) {
                tightest
                    .entry(dimension.as_str())
                    .and_modify(|one| {
                        if headroom.remaining < one.remaining {
                            *one = headroom;
                        }
                    })
                    .or_insert(headroom);
            }
        }
        drop(accounts);
        for (dimension, headroom) in tightest {
            let reset = headroom.reset.as_secs() + u64::from(headroom.reset.subsec_nanos() > 0);
            for (name, value) in [
                ("limit", headroom.limit.to_string()),
                ("remaining", headroom.remaining.to_string()),
                ("reset", format!("{reset}s")),
            ] {
                let name = HeaderName::try_from(format!("x-ratelimit-{name}-{dimension}"));
                if let (Ok(name), Ok(value)) = (name, HeaderValue::try_from(value)) {
                    headers.insert(name, value);
                }
            }
        }
    }
}

/// Everybody whose account a request touches, and what each may use.
fn parties<'a>(wish: &Wish<'a>) -> impl Iterator<Item = (Who, Option<&'a LimitsSpec>)> {
    let each = wish.callers.limits();
    std::iter::once((Who::All, None))
        .chain(each.map(|one| (one.who(), Some(one.limits))))
        .filter(move |(who, limits)| {
            // Who is not limited needs no account.
            caps(who, *limits, wish.budget) != Each::default() || limits.is_some_and(is_rated)
        })
}

const fn is_rated(limits: &LimitsSpec) -> bool {
    limits.requests_per_minute.is_some() || limits.tokens_per_minute.is_some()
}

fn caps(who: &Who, limits: Option<&LimitsSpec>, all: BudgetSpec) -> Each<Option<Usd>> {
    match (who, limits) {
        (Who::All, _) => Each {
            day: all.daily,
            month: all.monthly,
        },
        (_, Some(limits)) => Each {
            day: limits.usd_per_day,
            month: limits.usd_per_month,
        },
        (_, None) => Each::default(),
    }
}

fn account<'a>(
    accounts: &'a mut Accounts,
    who: &Who,
    limits: Option<&LimitsSpec>,
    all: BudgetSpec,
    periods: &budget::Periods,
    now: Duration,
) -> &'a mut Account {
    let caps = caps(who, limits, all);
    let rates = || -> Vec<_> {
        let minute = |n: Option<u32>| rate::Settings::per_minute(u64::from(n?)).ok();
        let Some(limits) = limits else {
            return Vec::new();
        };
        [
            (Dimension::Requests, minute(limits.requests_per_minute)),
            (Dimension::Tokens, minute(limits.tokens_per_minute)),
        ]
        .into_iter()
        .filter_map(|(dimension, rate)| Some((dimension, rate?)))
        .collect()
    };
    let rates = rates();
    let Accounts {
        open, forgotten, ..
    } = accounts;
    let account = open.entry(who.clone()).or_insert_with(|| Account {
        rates: rates.clone(),
        limits: Limits::new(&rates),
        budget: None,
    });
    if account.rates != rates {
        account.limits.reconfigure(&rates, now);
        account.rates = rates;
    }
    match &mut account.budget {
        // Also where it is limited no more: what it spends still counts.
        Some(budget) => budget.reconfigure(caps),
        None if caps != Each::default() => {
            let spent = forgotten.take(who, periods);
            account.budget = Some(Budget::new(caps, periods, spent));
        }
        None => {}
    }
    account
}

fn limited_refusal(who: &Who, limited: &rate::Limited) -> Refusal {
    Refusal::new(
        "policy_rate_limited",
        format!(
            "{who} may use {} {} a minute; try again in {:.1} s",
            limited.headroom.limit,
            limited.dimension.as_str(),
            limited.retry_after.as_secs_f64()
        ),
    )
    .retry_after(Some(limited.retry_after))
}

fn exhausted_refusal(who: &Who, exhausted: &budget::Exhausted) -> Refusal {
    if exhausted.spent < exhausted.limit {
        return Refusal::new(
            "policy_budget_exhausted",
            format!(
                "what is left of the {} budget of {who} ({:.2} of {:.2} USD are spent) is set aside for requests \
                 that are under way; try again once one of them is done; models on this machine go on",
                exhausted.span.as_str(),
                exhausted.spent.dollars(),
                exhausted.limit.dollars(),
            ),
        )
        .retry_after(Some(UNDER_WAY));
    }
    let wait = exhausted.renews_at.duration_since(Timestamp::now());
    Refusal::new(
        "policy_budget_exhausted",
        format!(
            "the {} budget of {who} ({:.2} USD) is spent; it renews at {}; models on this machine go on",
            exhausted.span.as_str(),
            exhausted.limit.dollars(),
            exhausted.renews_at
        ),
    )
    .retry_after(Duration::try_from(wait).ok())
}

impl Held {
    /// Puts what it really was in the estimate's place.
    pub(crate) fn settle(mut self, tokens: u64, cost: Usd) {
        self.end(Some((tokens, cost)));
    }

    /// It came to nothing.
    fn give_back(mut self) {
        self.end(None);
    }

    fn end(&mut self, real: Option<(u64, Usd)>) {
        let (now, periods) = (self.spend.now(), calendar::now());
        let mut crossed = Vec::new();
        {
            let mut accounts = self.spend.accounts();
            for (who, rate, money) in self.parts.drain(..) {
                let Some(account) = accounts.open.get_mut(&who) else {
                    continue;
                };
                let (cost, usd) = match real {
                    Some((tokens, usd)) => (
                        Cost {
                            requests: 1,
                            tokens,
                        },
                        usd,
                    ),
                    None => (Cost::default(), Usd::ZERO),
                };
                account.limits.settle(rate, cost, now);
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
        if !self.parts.is_empty() {
            self.end(None);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use cockpit_model::traffic::CommonLimits;

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
        assert!(spend.may_spend(&dear).is_ok());
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
