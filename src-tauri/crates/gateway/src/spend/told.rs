//! What callers are told of their limits: in headers, and in refusals.

use std::collections::HashMap;
use std::time::Duration;

use cockpit_model::Timestamp;
use cockpit_resilience::budget;
use cockpit_resilience::rate::{self, Headroom};
use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};

use super::accounts::parties;
use super::{Spend, Who, Wish};
use crate::refusal::Refusal;

/// How long a request may take that holds what is left of a budget: a guess, after which to try again.
pub(super) const UNDER_WAY: Duration = Duration::from_secs(2);

impl Spend {
    /// Writes the standard headers of whoever has the least room.
    pub(crate) fn headers(&self, wish: &Wish<'_>, headers: &mut HeaderMap) {
        let mut parties = parties(wish).peekable();
        if parties.peek().is_none() {
            return;
        }
        let now = self.now();
        let accounts = self.accounts();
        let mut tightest: HashMap<&'static str, Headroom> = HashMap::new();
        for party in parties {
            let Some(account) = accounts.open.get(&accounts.kept_as(party.who())) else {
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

pub(super) fn limited_refusal(who: &Who, limited: &rate::Limited) -> Refusal {
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

pub(super) fn exhausted_refusal(who: &Who, exhausted: &budget::Exhausted) -> Refusal {
    if exhausted.spent < exhausted.limit {
        return Refusal::new(
            "policy_budget_exhausted",
            format!(
                "what is left of the {} budget of {who} ({} of {} USD are spent) is set aside for requests \
                 that are under way; try again once one of them is done; models on this machine go on",
                exhausted.span.as_str(),
                exhausted.spent.told(),
                exhausted.limit.told(),
            ),
        )
        .retry_after(Some(UNDER_WAY));
    }
    let wait = exhausted.renews_at.duration_since(Timestamp::now());
    Refusal::new(
        "policy_budget_exhausted",
        format!(
            "the {} budget of {who} ({} USD) is spent; it renews at {}; models on this machine go on",
            exhausted.span.as_str(),
            exhausted.limit.told(),
            exhausted.renews_at
        ),
    )
    .retry_after(Duration::try_from(wait).ok())
}
