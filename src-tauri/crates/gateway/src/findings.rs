//! What is noticed of requests besides their accounts: failed authentication, unusual access, personal
//! data, broken rules. Gathered here and handed on as reports with a `count`.
//!
//! Every finding is counted, but a flood of them fills no disk: findings of one sort are one report, the
//! first within a second, the further ones once a minute. What callers choose (users, agents, addresses)
//! makes a few hundred sorts at most; beyond them findings are counted without whose they are.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cockpit_model::{Report, ReportKind, Timestamp};
use serde_json::{Map, Value};
use tokio::time::Instant;

use crate::call_id;
use crate::seams::Findings;

/// How often what has come together is looked through.
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often findings of one sort are handed on.
const AGAIN_AFTER: Duration = Duration::from_secs(60);
/// Sorts that are kept apart by user and agent.
const MOST: usize = 256;
/// Addresses that one report names.
const ADDRESSES: usize = 8;

/// Something that was noticed of a request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Finding<'a> {
    /// [`ReportKind::Auth`], [`ReportKind::Pii`] or [`ReportKind::Policy`].
    pub(crate) kind: ReportKind,
    /// What it is, in a stable word of ours (`email`, `policy_model`); never a caller's own text.
    pub(crate) what: &'static str,
    /// What was done about it (`observe`, `redact`, `block`).
    pub(crate) action: Option<&'static str>,
    /// Of an authentication: whether it succeeded.
    pub(crate) ok: Option<bool>,
    /// How many; zero is none.
    pub(crate) count: u64,
    pub(crate) whose: Whose<'a>,
}

/// Whose request it was noticed of, as far as that is known.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Whose<'a> {
    /// The key's name.
    pub(crate) key: Option<&'a str>,
    pub(crate) user: Option<&'a str>,
    pub(crate) agent: Option<&'a str>,
    /// From which address.
    pub(crate) from: Option<IpAddr>,
}

impl<'a> Finding<'a> {
    /// One of a kind.
    pub(crate) const fn new(kind: ReportKind, what: &'static str, whose: Whose<'a>) -> Self {
        Self {
            kind,
            what,
            action: None,
            ok: None,
            count: 1,
            whose,
        }
    }
}

/// What came together; see the module.
pub(crate) struct Gathered {
    origin: Instant,
    sorts: Mutex<Sorts>,
    to: Arc<dyn Findings>,
}

impl Gathered {
    pub(crate) fn new(to: Arc<dyn Findings>) -> Self {
        Self {
            origin: Instant::now(),
            sorts: Mutex::default(),
            to,
        }
    }

    /// Counts a finding. Never waits.
    pub(crate) fn note(&self, finding: &Finding<'_>) {
        self.sorts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .add(finding, Timestamp::now());
    }

    /// Hands on what is due, or all there is.
    pub(crate) fn hand_on(&self, all: bool) {
        let due = self
            .sorts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .due(self.origin.elapsed(), all);
        for report in due {
            self.to.report(report);
        }
    }
}

/// Findings of one sort are one report.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Sort {
    kind: ReportKind,
    what: &'static str,
    action: Option<&'static str>,
    ok: Option<bool>,
    key: Option<String>,
    user: Option<String>,
    agent: Option<String>,
}

/// What is not handed on yet.
#[derive(Debug)]
struct Sum {
    count: u64,
    /// Of the first of them.
    at: Timestamp,
    from: BTreeSet<IpAddr>,
    /// When findings of this sort were last handed on.
    handed_on: Option<Duration>,
}

#[derive(Debug, Default)]
struct Sorts(HashMap<Sort, Sum>);

impl Sorts {
    fn add(&mut self, finding: &Finding<'_>, at: Timestamp) {
        if finding.count == 0 {
            return;
        }
        let whose = finding.whose;
        let mut sort = Sort {
            kind: finding.kind,
            what: finding.what,
            action: finding.action,
            ok: finding.ok,
            key: whose.key.map(str::to_owned),
            user: whose.user.map(str::to_owned),
            agent: whose.agent.map(str::to_owned),
        };
        if self.0.len() >= MOST && !self.0.contains_key(&sort) {
            // Keys and words are ours, and few; only these are of the callers' choosing.
            (sort.user, sort.agent) = (None, None);
        }
        let sum = self.0.entry(sort).or_insert_with(|| Sum {
            count: 0,
            at,
            from: BTreeSet::new(),
            handed_on: None,
        });
        if sum.count == 0 {
            sum.at = at;
        }
        sum.count = sum.count.saturating_add(finding.count);
        if let Some(from) = whose.from
            && sum.from.len() < ADDRESSES
        {
            sum.from.insert(from);
        }
    }

    fn due(&mut self, now: Duration, all: bool) -> Vec<Report> {
        let mut due = Vec::new();
        self.0.retain(|sort, sum| {
            let rested = |since: Duration| now.saturating_sub(since) >= AGAIN_AFTER;
            if !all && !sum.handed_on.is_none_or(rested) {
                return true;
            }
            if sum.count == 0 {
                return false;
            }
            due.push(report(sort, sum));
            sum.count = 0;
            sum.from.clear();
            sum.handed_on = Some(now);
            true
        });
        due
    }
}

fn report(sort: &Sort, sum: &Sum) -> Report {
    let mut body = Map::new();
    body.insert("what".to_owned(), sort.what.into());
    body.insert("count".to_owned(), sum.count.into());
    if let Some(action) = sort.action {
        body.insert("action".to_owned(), action.into());
    }
    if !sum.from.is_empty() {
        let from: Vec<String> = sum.from.iter().map(ToString::to_string).collect();
        body.insert("from".to_owned(), from.into());
    }
    Report {
        id: call_id::new(sum.at),
        kind: sort.kind,
        at: sum.at,
        user: sort.user.clone(),
        agent: sort.agent.clone(),
        key: sort.key.clone(),
        ok: sort.ok,
        score: None,
        body: Value::Object(body).to_string(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    const S: fn(u64) -> Duration = Duration::from_secs;

    fn counts(reports: &[Report]) -> Vec<u64> {
        let of = |report: &Report| serde_json::from_str::<Value>(&report.body).unwrap();
        let count = |body: Value| body["count"].as_u64().unwrap();
        reports.iter().map(of).map(count).collect()
    }

    fn failed(from: u8) -> Finding<'static> {
        Finding {
            ok: Some(false),
            ..Finding::new(
                ReportKind::Auth,
                "caller_unauthorized",
                Whose {
                    from: Some([10, 0, 0, from].into()),
                    ..Whose::default()
                },
            )
        }
    }

    #[test]
    fn the_first_is_handed_on_at_once_and_a_flood_once_a_minute() {
        let mut sorts = Sorts::default();
        sorts.add(&failed(1), Timestamp::UNIX_EPOCH);
        let first = sorts.due(S(1), false);
        assert_eq!(counts(&first), [1]);
        assert_eq!(first[0].ok, Some(false));
        let body: Value = serde_json::from_str(&first[0].body).unwrap();
        assert_eq!(
            body,
            json!({"what": "caller_unauthorized", "count": 1, "from": ["10.0.0.1"]})
        );
        for n in 0..200 {
            sorts.add(&failed(n), Timestamp::UNIX_EPOCH);
        }
        assert_eq!(counts(&sorts.due(S(60), false)), [0; 0]);
        let rest = sorts.due(S(61), false);
        assert_eq!(counts(&rest), [200]);
        let body: Value = serde_json::from_str(&rest[0].body).unwrap();
        assert_eq!(body["from"].as_array().unwrap().len(), ADDRESSES);
        // Quiet for a minute, it is forgotten.
        assert_eq!(counts(&sorts.due(S(121), false)), [0; 0]);
        assert!(sorts.0.is_empty());
    }

    #[test]
    fn the_end_hands_on_what_is_left() {
        let mut sorts = Sorts::default();
        sorts.add(&failed(1), Timestamp::UNIX_EPOCH);
        sorts.due(S(1), false);
        sorts.add(&failed(1), Timestamp::UNIX_EPOCH);
        assert_eq!(counts(&sorts.due(S(2), true)), [1]);
    }

    proptest! {
        /// Whatever callers call themselves, nothing is lost and nothing grows.
        #[test]
        fn every_finding_is_counted_once(
            found in proptest::collection::vec((0_u32..2000, 0_u64..5, 0_u64..40, any::<bool>()), 0..1200),
        ) {
            let mut sorts = Sorts::default();
            let (mut now, mut told, mut noted) = (0, 0, 0);
            for (user, count, pause, all) in found {
                let user = user.to_string();
                let mut finding = Finding::new(ReportKind::Pii, "email", Whose {
                    key: Some("app"),
                    user: Some(&user),
                    ..Whose::default()
                });
                finding.count = count;
                sorts.add(&finding, Timestamp::UNIX_EPOCH);
                noted += count;
                prop_assert!(sorts.0.len() <= MOST + 1);
                now += pause;
                if pause > 30 {
                    told += counts(&sorts.due(S(now), all)).iter().sum::<u64>();
                }
            }
            told += counts(&sorts.due(S(now), true)).iter().sum::<u64>();
            prop_assert_eq!(told, noted);
        }
    }
}
