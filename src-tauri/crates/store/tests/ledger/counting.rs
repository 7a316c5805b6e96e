//! Whatever comes in whatever order, and whatever happens in between: the answers are those of
//! counting all calls.

use std::path::{Path, PathBuf};
use std::time::Duration;

use cockpit_model::usage::Dimension;
use cockpit_model::{Call, Outcome, Record, Report, ReportKind, Usd};
use cockpit_store::Ledger;
use cockpit_store::ledger::{Ack, Before, CallFilter, CallsQuery, Options, UsageQuery};
use proptest::prelude::*;

use crate::given::{self, Clock, DAY, HOUR, MINUTE, NOON, at, everything};
use crate::naive;

/// A time up to 29 days ago, more often a little while ago; some at borders of buckets.
fn moment() -> impl Strategy<Value = i64> {
    prop_oneof![
        4 => 0..5 * MINUTE,
        4 => 0..3 * HOUR,
        3 => 0..2 * DAY,
        3 => 0..29 * DAY,
        1 => (0..600_i64).prop_map(|minutes| minutes * MINUTE),
        1 => (0..232_i64).prop_map(|eighths| eighths * 3 * HOUR),
        1 => (0..29_i64).prop_map(|days| days * DAY + 12 * HOUR),
        1 => (0..4_i64).prop_map(|weeks| weeks * 7 * DAY + 6 * DAY + 12 * HOUR),
    ]
    .prop_map(|ago| NOON - ago)
}

prop_compose! {
    fn some_call()(
        id in 0_u32..400,
        ms in moment(),
        (provider, model) in (0_usize..3, 0_usize..20),
        user in proptest::option::of(0_u32..30),
        (agent, key) in (proptest::option::of(0_u32..3), proptest::option::of(0_u32..3)),
        outcome in 0_usize..6,
        (input, output) in (proptest::option::of(0_u64..5000), proptest::option::of(0_u64..2000)),
        latency_us in proptest::option::of(0_u32..90_000_000),
        first in proptest::option::of(0.0_f64..1.0),
        cost in proptest::option::of(0_i64..5_000_000_000_000),
        attempts in 0_u32..3,
        cache_hit in proptest::bool::weighted(0.1),
    ) -> Call {
        let mut call = given::call(id, ms);
        // One id, one call: sending it again is the same call.
        call.provider = ["openai", "anthropic", "ollama"][provider].to_owned();
        call.model = format!("m{model}");
        call.target = format!("{}/{}", call.provider, call.model);
        call.user = user.map(|n| format!("user-{n}"));
        call.agent = agent.map(|n| format!("agent-{n}"));
        call.key = key.map(|n| format!("key-{n}"));
        call.route = (model % 2 == 0).then(|| "chat".to_owned());
        (call.outcome, call.error) = match outcome {
            0 => (Outcome::Error, Some("provider_timeout".to_owned())),
            1 => (Outcome::Error, None),
            2 => (Outcome::Cancelled, None),
            _ => (Outcome::Ok, None),
        };
        call.input_tokens = input;
        call.output_tokens = output;
        call.cached_input_tokens = input.map(|input| input / 2);
        call.latency_ms = latency_us.map(|us| f64::from(us) / 1e3);
        call.ttft_ms = latency_us.zip(first).map(|(us, first)| (f64::from(us) * first).round() / 1e3);
        call.cost_usd = cost.map(Usd::from_pico);
        call.attempts = attempts;
        call.cache_hit = cache_hit;
        call
    }
}

prop_compose! {
    fn some_report()(
        id in any::<u32>(),
        ms in moment(),
        kind in 0_usize..8,
        ok in any::<Option<bool>>(),
        score in proptest::option::of(0.0_f64..=1.0),
        user in proptest::option::of(0_u32..40),
        body in proptest::sample::select(given::BODIES),
    ) -> Report {
        let mut report = given::report(id, ReportKind::ALL[kind], ms);
        report.ok = ok;
        report.score = score;
        report.user = user.map(|n| format!("user-{n}"));
        report.body = body.to_owned();
        report
    }
}

#[derive(Debug, Clone)]
enum Step {
    Ingest(Vec<Call>),
    Reports(Vec<Report>),
    /// Of our own, not waited for.
    Record(Box<Call>),
    Restart,
    /// The file as it is, without being closed.
    Crash,
    /// The clock is so many hours ahead for a while, and is believed.
    Leap(i64),
    Ask {
        from: i64,
        to: i64,
        step: Option<u32>,
        by: Option<usize>,
        exact: bool,
    },
    Look {
        from: i64,
        to: i64,
        limit: usize,
        filter: CallFilter,
    },
}

fn filter() -> impl Strategy<Value = CallFilter> {
    let name = |prefix: &'static str, n: u32| {
        proptest::option::weighted(0.2, (0..n).prop_map(move |n| format!("{prefix}{n}")))
    };
    let outcome = proptest::option::weighted(
        0.3,
        prop_oneof![
            Just(Outcome::Ok),
            Just(Outcome::Error),
            Just(Outcome::Cancelled)
        ],
    );
    let model = prop_oneof![name("m", 20), name("openai/m", 20)];
    let who = (name("user-", 40), name("agent-", 3), name("key-", 3));
    (model, who, outcome).prop_map(|(model, (user, agent, key), outcome)| CallFilter {
        model,
        user,
        agent,
        key,
        outcome,
        ..CallFilter::default()
    })
}

fn step() -> impl Strategy<Value = Step> {
    let window = || {
        (moment(), moment(), 0..3_i64)
            .prop_map(|(a, b, ahead)| (a.min(b), a.max(b) + if ahead == 0 { HOUR } else { 0 }))
    };
    prop_oneof![
        6 => proptest::collection::vec(some_call(), 1..40).prop_map(Step::Ingest),
        2 => proptest::collection::vec(some_report(), 1..10).prop_map(Step::Reports),
        2 => some_call().prop_map(|call| Step::Record(Box::new(call))),
        1 => Just(Step::Restart),
        1 => Just(Step::Crash),
        1 => (0..24_i64).prop_map(Step::Leap),
        8 => (
            window(),
            proptest::option::of(1_u32..200_000),
            proptest::option::of(0..Dimension::ALL.len()),
            proptest::bool::weighted(0.2),
        )
            .prop_map(|((from, to), step, by, exact)| Step::Ask { from, to, step, by, exact }),
        3 => (window(), 1_usize..30, filter())
            .prop_map(|((from, to), limit, filter)| Step::Look { from, to, limit, filter }),
    ]
}

/// A ledger, and all that it should have.
struct Held {
    folder: tempfile::TempDir,
    path: PathBuf,
    clock: Clock,
    exact: Option<Ledger>,
    calls: Vec<Call>,
    reports: Vec<Report>,
    copies: u32,
}

impl Held {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.db");
        let mut held = Self {
            folder,
            path,
            clock: Clock::new(),
            exact: None,
            calls: Vec::new(),
            reports: Vec::new(),
            copies: 0,
        };
        held.open(false);
        held
    }

    fn ledger(&self) -> &Ledger {
        self.exact.as_ref().unwrap()
    }

    /// `exact`: every answer from the single calls; else none.
    fn open(&mut self, exact: bool) {
        self.exact = None;
        let mut options = self.clock.options();
        options.exact_up_to = if exact { 10_000 } else { 0 };
        options.pace = None;
        self.exact = Some(Ledger::open_with(&self.path, options).unwrap().0);
    }

    fn crash(&mut self) {
        self.copies += 1;
        let copy = self.folder.path().join(format!("copy-{}.db", self.copies));
        let wal = |path: &Path| PathBuf::from(format!("{}-wal", path.display()));
        std::fs::copy(&self.path, &copy).unwrap();
        std::fs::copy(wal(&self.path), wal(&copy)).unwrap();
        self.path = copy;
        self.open(false);
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::Ingest(calls) => {
                let acks = given::ingest(self.ledger(), calls.clone());
                for (call, ack) in calls.into_iter().zip(acks) {
                    // An id is one call of its day; one that may have been dated on its arrival is
                    // looked for in the day before, too.
                    let day = |call: &Call| call.at.as_millisecond().div_euclid(DAY);
                    let now = self.clock.now().as_second();
                    let fresh = i64::from((now - call.at.as_second()).abs() <= 10);
                    let days = day(&call) - fresh..=day(&call);
                    let known = self.calls.iter().any(|known| {
                        known.id == call.id
                            && known.source == call.source
                            && days.contains(&day(known))
                    });
                    let expected = if known { Ack::Duplicate } else { Ack::Accepted };
                    assert_eq!(ack, expected, "{call:?}");
                    if !known {
                        self.calls.push(call);
                    }
                }
            }
            Step::Reports(reports) => {
                let records = reports.iter().cloned().map(Record::Report).collect();
                let acks = self.ledger().ingest(records).wait().unwrap();
                for (report, ack) in reports.into_iter().zip(acks) {
                    assert_eq!(ack, Ack::Accepted);
                    self.reports.push(report);
                }
            }
            Step::Record(mut call) => {
                call.source = cockpit_model::CallSource::Gateway;
                call.id = format!("own-{}", self.calls.len());
                self.ledger().record((*call).clone());
                self.calls.push(*call);
            }
            Step::Restart => self.open(false),
            Step::Leap(hours) => {
                self.clock.set(NOON + hours * HOUR);
                self.open(false);
                self.ledger().flush().unwrap();
                self.clock.set(NOON);
                self.open(false);
            }
            Step::Crash => {
                self.ledger().flush().unwrap();
                self.crash();
            }
            Step::Ask {
                from,
                to,
                step,
                by,
                exact,
            } => {
                if exact {
                    self.open(true);
                }
                let group_by = by.map(|by| Dimension::ALL[by]);
                let query = UsageQuery {
                    from: at(from),
                    to: at(to),
                    step: step.map(|step| Duration::from_secs(u64::from(step))),
                    group_by,
                };
                let usage = self.ledger().usage(&query, self.clock.now()).unwrap();
                assert_eq!((usage.window.from, usage.window.to), (at(from), at(to)));
                naive::check(&usage, group_by, &self.calls, &self.reports);
                if exact {
                    assert!(usage.totals.latency_ms.exact);
                    self.open(false);
                }
            }
            Step::Look {
                from,
                to,
                limit,
                filter,
            } => self.look(from, to, limit, &filter),
        }
    }

    /// Pages through the calls of a window.
    fn look(&self, from: i64, to: i64, limit: usize, filter: &CallFilter) {
        let mut query = CallsQuery {
            from: at(from),
            to: at(to),
            limit,
            before: None,
            filter: filter.clone(),
        };
        let mut told = Vec::new();
        loop {
            let page = self.ledger().calls(&query).unwrap();
            assert!(page.len() <= limit);
            let Some(last) = page.last() else {
                break;
            };
            query.before = Some(Before {
                at: last.at,
                id: last.id.clone(),
            });
            told.extend(page);
        }
        assert!(told.windows(2).all(|pair| pair[0].at >= pair[1].at));
        let is =
            |wanted: &Option<String>, value: &Option<String>| wanted.is_none() || wanted == value;
        let mut counted: Vec<Call> = self
            .calls
            .iter()
            .filter(|call| (from..to).contains(&call.at.as_millisecond()))
            .filter(|call| {
                is(&filter.user, &call.user)
                    && is(&filter.agent, &call.agent)
                    && is(&filter.key, &call.key)
                    && filter.outcome.is_none_or(|outcome| outcome == call.outcome)
                    && filter
                        .model
                        .as_ref()
                        .is_none_or(|model| *model == call.model || *model == call.target)
            })
            .cloned()
            .collect();
        let order = |a: &Call, b: &Call| (b.at, &a.id).cmp(&(a.at, &b.id));
        told.sort_by(order);
        counted.sort_by(order);
        assert_eq!(told, counted);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn what_it_says_is_what_counting_says(steps in proptest::collection::vec(step(), 1..25)) {
        let mut held = Held::new();
        for step in steps {
            held.run(step);
        }
        let all = held.ledger().calls(&everything()).unwrap();
        prop_assert_eq!(all.len(), held.calls.len());
    }
}

#[test]
fn ten_thousand_calls_are_exact_and_more_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::new();
    let (ledger, _) = given::open(&folder.path().join("ledger.db"), &clock);
    let mut calls: Vec<Call> = (0..10_000_i64)
        .map(|n| {
            let mut call = given::call(n, NOON - n * 100);
            call.latency_ms = Some((n * 7919 % 10_007) as f64);
            call
        })
        .collect();
    given::ingest(&ledger, calls.clone());
    let query = UsageQuery {
        from: at(NOON - DAY),
        to: at(NOON + 1),
        step: None,
        group_by: Some(Dimension::Model),
    };
    let usage = ledger.usage(&query, clock.now()).unwrap();
    assert!(usage.totals.latency_ms.exact);
    naive::check(&usage, Some(Dimension::Model), &calls, &[]);

    let more = given::call("more", NOON);
    given::ingest(&ledger, [more.clone()]);
    calls.push(more);
    let usage = ledger.usage(&query, clock.now()).unwrap();
    assert!(!usage.totals.latency_ms.exact);
    assert_eq!(usage.window.step_s, 300);
    assert_eq!(usage.series.len(), 289);
    naive::check(&usage, Some(Dimension::Model), &calls, &[]);
}

/// A ledger that has these calls in its sums: else they were counted one by one for some seconds.
fn summed_up(path: &Path, options: &Options, calls: Vec<Call>) -> Ledger {
    let (ledger, _) = Ledger::open_with(path, options.clone()).unwrap();
    given::ingest(&ledger, calls);
    ledger.close();
    Ledger::open_with(path, options.clone()).unwrap().0
}

#[test]
fn many_values_over_many_days_are_counted_as_few_are() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::new();
    let options = Options {
        exact_up_to: 0,
        ..clock.options()
    };
    // More than one thread adds up, and more than one batch goes to each.
    let calls: Vec<_> = (0..391 * 13)
        .map(|n| {
            let mut call = given::call(n, NOON - 1 - (n % 13) * DAY);
            call.user = (n % 391 > 0).then(|| format!("user-{}", n % 391));
            call.latency_ms = Some(100.0 + (n % 37) as f64);
            call
        })
        .collect();
    let ledger = summed_up(&folder.path().join("ledger.db"), &options, calls.clone());
    let query = UsageQuery {
        from: at(NOON - 14 * DAY),
        to: at(NOON),
        step: None,
        group_by: Some(Dimension::User),
    };
    let usage = ledger.usage(&query, clock.now()).unwrap();
    assert_eq!(usage.groups.len(), 391);
    naive::check(&usage, Some(Dimension::User), &calls, &[]);
}

#[test]
fn long_series_of_many_values_are_those_of_counting() {
    // Of few all are read, of more the largest are looked up.
    for users in [20, 60] {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::new();
        let options = Options {
            exact_up_to: 0,
            ..clock.options()
        };
        let calls: Vec<_> = (0..users * 60)
            .map(|n| {
                let mut call = given::call(n, NOON - 1 - n / users * 5 * MINUTE);
                call.user = Some(format!("user-{}", n % users));
                call.latency_ms = Some(100.0 + (n % 37) as f64);
                call
            })
            .collect();
        let ledger = summed_up(&folder.path().join("ledger.db"), &options, calls.clone());
        let query = UsageQuery {
            from: at(NOON - 5 * HOUR - 7),
            to: at(NOON),
            step: None,
            group_by: Some(Dimension::User),
        };
        let usage = ledger.usage(&query, clock.now()).unwrap();
        assert_eq!(usage.groups[11].series.len(), 61);
        naive::check(&usage, Some(Dimension::User), &calls, &[]);
    }
}

/// An hour but its first five minutes is that hour without them, where all who called in it are known.
#[test]
fn who_called_only_before_a_window_is_not_in_it_however_many_they_were() {
    // Beyond 1500 the hour's smallest are summed up as one, and these are all of the window.
    for before in [3, 950] {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::new();
        let options = Options {
            exact_up_to: 0,
            ..clock.options()
        };
        let hour = NOON - 2 * HOUR;
        let early = (0..before).map(|n| (n, hour + n));
        let both = [(0, hour + 20 * MINUTE), (1, hour + 59 * MINUTE)];
        let late = (0..600).map(|n| (before + n, hour + 5 * MINUTE + n * 5000));
        let calls: Vec<_> = early
            .chain(both)
            .chain(late)
            .enumerate()
            .map(|(id, (user, ms))| {
                let mut call = given::call(id, ms);
                call.user = Some(format!("user-{user}"));
                call.latency_ms = Some(100.0 + (id % 37) as f64);
                let cost = if user < before { 9_000 } else { 1_000 + user };
                call.cost_usd = Some(Usd::from_pico(cost));
                call
            })
            .collect();
        let ledger = summed_up(&folder.path().join("ledger.db"), &options, calls.clone());
        let query = UsageQuery {
            from: at(hour + 5 * MINUTE),
            to: at(hour + HOUR),
            step: None,
            group_by: Some(Dimension::User),
        };
        let mut usage = ledger.usage(&query, clock.now()).unwrap();
        assert_eq!(usage.groups.len(), 602);
        // So many are estimated.
        usage.business.active_users = 602;
        naive::check(&usage, Some(Dimension::User), &calls, &[]);
    }
}

#[test]
fn what_was_recorded_before_a_question_is_in_its_answer() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::new();
    let (ledger, _) = given::open(&folder.path().join("ledger.db"), &clock);
    let query = UsageQuery {
        from: at(NOON - HOUR),
        to: at(NOON),
        step: None,
        group_by: None,
    };
    for n in 0..50_u64 {
        ledger.record(given::call(n, NOON - 1 - i64::try_from(n).unwrap()));
        assert_eq!(
            ledger.usage(&query, clock.now()).unwrap().totals.calls,
            n + 1
        );
        assert_eq!(ledger.calls(&everything()).unwrap().len() as u64, n + 1);
    }
}
