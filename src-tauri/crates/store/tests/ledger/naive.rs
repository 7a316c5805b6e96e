//! The same answers by counting everything: what the ledger is held against.

use std::collections::{BTreeMap, HashSet};

use cockpit_metering::percentile::nearest_rank;
use cockpit_model::usage::{Dimension, Percentiles, Security, Totals, Usage};
use cockpit_model::{Call, Outcome, Report, ReportKind, Usd};

use crate::given::{self, at};

pub fn value(call: &Call, dimension: Dimension) -> Option<Option<String>> {
    Some(match dimension {
        Dimension::Model => Some(call.target.clone()),
        Dimension::Provider => Some(call.provider.clone()),
        Dimension::Route => call.route.clone(),
        Dimension::User => call.user.clone(),
        Dimension::Agent => call.agent.clone(),
        Dimension::Key => call.key.clone(),
        Dimension::Error if call.outcome == Outcome::Error => call.error.clone(),
        Dimension::Error => return None,
    })
}

fn percentiles(mut values: Vec<f64>) -> Percentiles {
    values.sort_by(f64::total_cmp);
    Percentiles {
        p50: nearest_rank(&values, 0.50),
        p95: nearest_rank(&values, 0.95),
        p99: nearest_rank(&values, 0.99),
        exact: true,
    }
}

pub fn totals<'a>(calls: impl Iterator<Item = &'a Call>) -> Totals {
    let calls: Vec<&Call> = calls.collect();
    let many = |is: &dyn Fn(&Call) -> bool| calls.iter().filter(|call| is(call)).count() as u64;
    let sum = |of: &dyn Fn(&Call) -> Option<u64>| calls.iter().filter_map(|call| of(call)).sum();
    let good = || {
        calls
            .iter()
            .filter(|call| call.outcome == Outcome::Ok && !call.cache_hit)
    };
    let (mut tokens, mut seconds) = (0.0, 0.0);
    for call in good() {
        if let (Some(latency), Some(ttft), Some(output)) =
            (call.latency_ms, call.ttft_ms, call.output_tokens)
            && latency > ttft
        {
            tokens += output as f64;
            seconds += (latency - ttft) / 1e3;
        }
    }
    let cost: Usd = calls.iter().filter_map(|call| call.cost_usd).sum();
    let priced = many(&|call| call.cost_usd.is_some());
    Totals {
        calls: calls.len() as u64,
        errors: many(&|call| call.outcome == Outcome::Error),
        cancelled: many(&|call| call.outcome == Outcome::Cancelled),
        cache_hits: many(&|call| call.cache_hit),
        input_tokens: sum(&|call| call.input_tokens),
        output_tokens: sum(&|call| call.output_tokens),
        cached_input_tokens: sum(&|call| call.cached_input_tokens),
        cost_usd: (priced > 0 || calls.is_empty()).then_some(cost),
        unpriced_calls: many(&|call| {
            call.cost_usd.is_none()
                && !call.cache_hit
                && (call.input_tokens.unwrap_or(0) + call.output_tokens.unwrap_or(0) > 0
                    || call.outcome == Outcome::Ok && call.attempts > 0)
        }),
        latency_ms: percentiles(good().filter_map(|call| call.latency_ms).collect()),
        ttft_ms: percentiles(good().filter_map(|call| call.ttft_ms).collect()),
        output_tokens_per_second: (seconds > 0.0).then(|| tokens / seconds),
    }
}

/// Two figures are the same: sums exactly, percentiles within the sketch's error.
pub fn same(told: &Totals, counted: &Totals, what: &str) {
    let near = |told: Option<f64>, counted: Option<f64>, within: f64| match (told, counted) {
        (Some(told), Some(counted)) => {
            assert!(
                (told - counted).abs() <= counted.abs() * within + 1e-9,
                "{what}: {told} for {counted}"
            );
        }
        (told, counted) => assert_eq!(told, counted, "{what}"),
    };
    for (told, counted) in [
        (told.latency_ms, counted.latency_ms),
        (told.ttft_ms, counted.ttft_ms),
    ] {
        let within = if told.exact { 0.0 } else { 0.010_000_01 };
        near(told.p50, counted.p50, within);
        near(told.p95, counted.p95, within);
        near(told.p99, counted.p99, within);
    }
    near(
        told.output_tokens_per_second,
        counted.output_tokens_per_second,
        1e-9,
    );
    let plain = |totals: &Totals| Totals {
        latency_ms: Percentiles::default(),
        ttft_ms: Percentiles::default(),
        output_tokens_per_second: None,
        ..totals.clone()
    };
    assert_eq!(plain(told), plain(counted), "{what}");
}

/// Holds an answer against all calls and reports there are.
pub fn check(usage: &Usage, dimension: Option<Dimension>, calls: &[Call], reports: &[Report]) {
    let (from, to) = (usage.window.from, usage.window.to);
    let inside: Vec<&Call> = calls
        .iter()
        .filter(|call| call.at >= from && call.at < to)
        .collect();
    same(&usage.totals, &totals(inside.iter().copied()), "totals");

    let step = i64::try_from(usage.window.step_s).unwrap() * 1000;
    let mut begin = from.as_millisecond().div_euclid(step) * step;
    for point in &usage.series {
        assert_eq!(point.at, at(begin));
        let of_step = |call: &&&Call| (begin..begin + step).contains(&call.at.as_millisecond());
        let counted = totals(inside.iter().filter(of_step).copied());
        same(&point.totals, &counted, "a point");
        begin += step;
    }
    assert!(begin >= to.as_millisecond(), "the series ends early");

    let mut groups = BTreeMap::<Option<String>, Vec<&Call>>::new();
    if let Some(dimension) = dimension {
        for call in &inside {
            if let Some(value) = value(call, dimension) {
                groups.entry(value).or_default().push(call);
            }
        }
    }
    assert_eq!(usage.groups.len(), groups.len());
    for (place, group) in usage.groups.iter().enumerate() {
        assert!(!group.rest);
        let members = &groups[&group.key];
        same(&group.totals, &totals(members.iter().copied()), "a group");
        assert_eq!(
            group.series.is_empty(),
            place >= 12 || usage.series.is_empty()
        );
        for point in &group.series {
            let begin = point.at.as_millisecond();
            let of_step = |call: &&&Call| (begin..begin + step).contains(&call.at.as_millisecond());
            let counted = totals(members.iter().filter(of_step).copied());
            same(&point.totals, &counted, "a group's point");
        }
    }
    for pair in usage.groups.windows(2) {
        let rank = |n: usize| {
            (
                pair[n].totals.cost_usd.unwrap_or(Usd::ZERO),
                pair[n].totals.calls,
            )
        };
        assert!(rank(0) >= rank(1), "the groups are not in order");
    }

    let told: Vec<&Report> = reports
        .iter()
        .filter(|one| one.at >= from && one.at < to)
        .collect();
    let of = |kind: ReportKind| told.iter().filter(move |report| report.kind == kind);
    let mut users: HashSet<&str> = inside
        .iter()
        .filter_map(|call| call.user.as_deref())
        .collect();
    for kind in [ReportKind::Task, ReportKind::Feedback, ReportKind::Activity] {
        users.extend(of(kind).filter_map(|report| report.user.as_deref()));
    }
    let business = &usage.business;
    assert_eq!(business.active_users, users.len() as u64);
    assert_eq!(
        business.tasks,
        of(ReportKind::Task)
            .filter(|task| task.ok.is_some())
            .count() as u64
    );
    assert_eq!(
        business.tasks_completed,
        of(ReportKind::Task)
            .filter(|task| task.ok == Some(true))
            .count() as u64
    );
    let scores: Vec<f64> = of(ReportKind::Feedback)
        .filter_map(|one| one.score)
        .collect();
    assert_eq!(business.feedback, scores.len() as u64);
    match business.satisfaction {
        Some(mean) => {
            let counted = scores.iter().sum::<f64>() / scores.len() as f64;
            assert!((mean - counted).abs() < 1e-6);
        }
        None => assert!(scores.is_empty()),
    }
    let findings = |kind, wanted: &dyn Fn(&Report) -> bool| -> u64 {
        let found = of(kind).filter(|report| wanted(report));
        found.map(|report| given::count(report)).sum::<u64>()
    };
    let unusual = |report: &Report| report.body.contains("unusual_");
    let failed = |report: &Report| report.ok == Some(false);
    let counted = Security {
        failed_authentications: findings(ReportKind::Auth, &failed),
        unusual_access: findings(ReportKind::Auth, &|one| !failed(one) && unusual(one)),
        pii_detections: findings(ReportKind::Pii, &|_| true),
        policy_violations: findings(ReportKind::Policy, &|_| true),
    };
    assert_eq!(usage.security, counted);
}
