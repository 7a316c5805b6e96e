//! How the budgets stand, for whoever looks.

use std::collections::HashMap;

use cockpit_model::gateway::BudgetView;
use cockpit_model::traffic::{KeySpec, Limits as LimitsSpec, TrafficSpec};
use cockpit_resilience::budget::Budget;

use super::accounts::{Accounts, caps};
use super::{Spend, Who};
use crate::calendar;

/// More budgets than this nobody reads.
const SHOWN: usize = 50;

impl Spend {
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
                let caps = caps(limits, spec.budget);
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
}
