//! An invented day of requests to models. Also what the tests draw.

use std::time::Duration;

use cockpit_charts::Note;
use cockpit_model::Usd;
use cockpit_model::usage::{
    Business, Group, Percentiles, Point, Security, Totals, Usage, UsageWindow,
};
use jiff::Timestamp;

/// A day in steps of a quarter of an hour, over so many models of such names; `busy` is about how many
/// requests a step has.
pub(crate) fn day(now: Timestamp, models: &[&str], busy: f64) -> Usage {
    let step = 900_i64;
    let last = now.as_second().div_euclid(step) * step;
    let mut noise = 42_u32;
    let mut chance = move || {
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f64::from(noise >> 16) / 65_536.0
    };
    let mut groups: Vec<Group> = models
        .iter()
        .map(|name| Group {
            key: Some((*name).to_owned()),
            rest: false,
            totals: Totals::default(),
            series: Vec::new(),
        })
        .collect();
    let mut series = Vec::new();
    for i in 0..96_i64 {
        let at = Timestamp::from_second(last - (95 - i) * step).unwrap_or(now);
        let hour = i as f64 / 4.0;
        let rhythm = (0.15 + (hour / 24.0 * std::f64::consts::PI).sin().powi(2)) * busy;
        let mut all = Totals::default();
        for (place, group) in groups.iter_mut().enumerate() {
            let share = 1.0 / (1.0 + place as f64);
            let calls = (rhythm * share * (0.4 + 1.2 * chance())).round() as u64;
            let outage = place == 0 && (60..64).contains(&i);
            let errors = if outage {
                calls * 2 / 3
            } else {
                (calls as f64 * 0.02 * chance()).round() as u64
            };
            let answered = calls - errors;
            let slow = if outage { 4.0 } else { 1.0 };
            let p50 = (answered > 0)
                .then(|| slow * (600.0 + 250.0 * chance()) / (1.0 + place as f64 * 0.1));
            let one = Totals {
                calls,
                errors,
                cancelled: u64::from(calls > 8 && chance() > 0.7),
                input_tokens: answered * 900,
                cached_input_tokens: answered * 250,
                output_tokens: answered * 320,
                cost_usd: Usd::from_dollars(answered as f64 * 0.006 * share),
                latency_ms: Percentiles {
                    p50,
                    p95: p50.map(|p50| p50 * (2.2 + chance())),
                    p99: p50.map(|p50| p50 * (3.5 + 2.0 * chance())),
                    exact: true,
                },
                ttft_ms: Percentiles {
                    p50: p50.map(|p50| p50 * (0.25 + 0.15 * chance())),
                    ..Percentiles::default()
                },
                ..Totals::default()
            };
            add(&mut all, &one);
            add(&mut group.totals, &one);
            group.series.push(Point { at, totals: one });
        }
        series.push(Point { at, totals: all });
    }
    let mut totals = Totals::default();
    for point in &series {
        add(&mut totals, &point.totals);
    }
    for group in groups.iter_mut().skip(12) {
        // As the store does it.
        group.series.clear();
    }
    Usage {
        window: UsageWindow {
            from: now - Duration::from_secs(86_400),
            to: now,
            step_s: 900,
        },
        totals,
        groups,
        series,
        business: Business::default(),
        interruptions: Vec::new(),
        security: Security::default(),
    }
}

fn add(sum: &mut Totals, one: &Totals) {
    sum.calls += one.calls;
    sum.errors += one.errors;
    sum.cancelled += one.cancelled;
    sum.input_tokens += one.input_tokens;
    sum.cached_input_tokens += one.cached_input_tokens;
    sum.output_tokens += one.output_tokens;
    sum.cost_usd = match (sum.cost_usd, one.cost_usd) {
        (Some(a), Some(b)) => Some(a + b),
        (a, b) => a.or(b),
    };
    let larger = |a: Option<f64>, b: Option<f64>| match (a, b) {
        (Some(a), Some(b)) => Some(a.max(b)),
        (a, b) => a.or(b),
    };
    sum.ttft_ms.p50 = larger(sum.ttft_ms.p50, one.ttft_ms.p50);
    sum.latency_ms.p50 = larger(sum.latency_ms.p50, one.latency_ms.p50);
    sum.latency_ms.p95 = larger(sum.latency_ms.p95, one.latency_ms.p95);
    sum.latency_ms.p99 = larger(sum.latency_ms.p99, one.latency_ms.p99);
}

/// What happened on that day.
pub(crate) fn notes(now: Timestamp) -> Vec<Note> {
    let ago = |minutes: u64| now - Duration::from_secs(minutes * 60);
    let at = |minutes, label: &str| Note {
        from: ago(minutes),
        to: ago(minutes),
        label: label.to_owned(),
    };
    vec![
        Note {
            from: ago(1380),
            to: ago(1290),
            label: "slept 90 minutes".to_owned(),
        },
        at(520, "restart ollama"),
        at(505, "restart ollama"),
        at(300, "deploy 2026.11.3"),
        at(8, "cockpit started"),
    ]
}
