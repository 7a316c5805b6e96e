//! Requests to models, what guards them, and the databases that keep what is known of them.
//!
//! `gen_ai_*` are the OpenTelemetry conventions' metrics under the names and units their Prometheus
//! exporters give them. What the conventions have no word for is `cockpit_*`.

use cockpit_metering::counters::{Counters, Figures, OfTarget};
use cockpit_model::gateway::WaitingRoom;
use cockpit_model::{BreakerState, BreakerView, GatewayView};

use super::exposition::{Exposition, flag};
use crate::cockpit::{Counted, Written};

/// More budgets are not told: every user may have one. The fullest come first.
const MOST_BUDGETS: usize = 100;

pub(super) fn traffic(
    out: &mut Exposition,
    counted: &Counted,
    gateway: &GatewayView,
    breakers: &[BreakerView],
) {
    conventions(out, &counted.counters);
    calls(out, &counted.counters);
    reports(out, &counted.counters);
    gateway_families(out, gateway);
    breaker_families(out, breakers);
    written(out, counted);
}

/// Every operation of every target.
fn each(counters: &Counters, mut each: impl FnMut(&OfTarget, &'static str, &Figures)) {
    for target in counters.targets() {
        for (operation, figures) in &target.operations {
            each(target, operation, figures);
        }
    }
}

fn conventions(out: &mut Exposition, counters: &Counters) {
    if counters.targets().is_empty() {
        return;
    }
    let name = "gen_ai_client_operation_duration_seconds";
    out.family(
        name,
        "histogram",
        "How long requests to models took, whole answers.",
    );
    each(counters, |target, operation, figures| {
        for (error, duration) in &figures.duration {
            let mut labels = of(target, operation).to_vec();
            if !error.is_empty() {
                labels.push(("error_type", error));
            }
            out.histogram(name, &labels, duration);
        }
    });
    let name = "gen_ai_client_operation_time_to_first_chunk_seconds";
    out.family(
        name,
        "histogram",
        "From a request to the first piece of its streamed answer; of successes.",
    );
    each(counters, |target, operation, figures| {
        if figures.first_chunk.count() > 0 {
            out.histogram(name, &of(target, operation), &figures.first_chunk);
        }
    });
    let name = "gen_ai_client_token_usage";
    out.family(
        name,
        "histogram",
        "Tokens of a request, cached input included.",
    );
    each(counters, |target, operation, figures| {
        for (kind, tokens) in [("input", &figures.input), ("output", &figures.output)] {
            if tokens.count() > 0 {
                let [operation, provider, model] = of(target, operation);
                let labels = [operation, provider, model, ("gen_ai_token_type", kind)];
                out.histogram(name, &labels, tokens);
            }
        }
    });
}

/// The conventions' labels.
fn of<'a>(target: &'a OfTarget, operation: &'static str) -> [(&'static str, &'a str); 3] {
    [
        ("gen_ai_operation_name", operation),
        ("gen_ai_provider_name", &target.provider),
        ("gen_ai_request_model", &target.model),
    ]
}

fn calls(out: &mut Exposition, counters: &Counters) {
    let targets = counters.targets();
    if targets.is_empty() {
        return;
    }
    let name = "cockpit_calls_total";
    out.family(
        name,
        "counter",
        "Requests to models, by who told of them and how they ended.",
    );
    for target in &targets {
        let mut sums = std::collections::BTreeMap::new();
        for figures in target.operations.values() {
            for (key, count) in &figures.calls {
                *sums.entry(*key).or_insert(0_u64) += count;
            }
        }
        for ((source, outcome), count) in sums {
            let [provider, model] = named(target);
            let labels = [provider, model, ("source", source), ("outcome", outcome)];
            out.sample(name, &labels, count as f64);
        }
    }
    type Value = fn(&Figures) -> f64;
    let families: [(&str, &str, Value); 7] = [
        (
            "cockpit_call_cost_usd_total",
            "What they cost, as far as their prices are known; US dollars.",
            |figures| figures.cost.dollars(),
        ),
        (
            "cockpit_calls_unpriced_total",
            "Those that used tokens, or succeeded, and have no known price: their cost is missing.",
            |figures| figures.unpriced as f64,
        ),
        (
            "cockpit_call_attempts_total",
            "Requests that went upstream for them.",
            |figures| figures.attempts as f64,
        ),
        (
            "cockpit_call_fallbacks_total",
            "Those that another than the first target of their route served.",
            |figures| figures.fallbacks as f64,
        ),
        (
            "cockpit_call_cache_hits_total",
            "Those that the cockpit's own cache answered.",
            |figures| figures.cache_hits as f64,
        ),
        (
            "cockpit_call_cached_input_tokens_total",
            "Input read from the providers' caches.",
            |figures| figures.cached_input as f64,
        ),
        (
            "cockpit_call_cache_write_tokens_total",
            "Input written to the providers' caches.",
            |figures| figures.cache_write as f64,
        ),
    ];
    for (name, help, value) in families {
        let sums = targets.iter().map(|target| {
            let sum = target.operations.values().map(value).sum();
            (named(target), sum)
        });
        out.samples(name, "counter", help, sums);
    }
}

fn named(target: &OfTarget) -> [(&'static str, &str); 2] {
    [("provider", &target.provider), ("model", &target.model)]
}

fn reports(out: &mut Exposition, counters: &Counters) {
    let name = "cockpit_reports_total";
    out.family(
        name,
        "counter",
        "What else was reported or noticed, by its type; ok is whether a task was completed, an authentication good.",
    );
    for ((kind, ok), count) in counters.reports() {
        let ok = ok.map_or("", |ok| if ok { "true" } else { "false" });
        out.sample(name, &[("type", kind), ("ok", ok)], count as f64);
    }
    let (count, sum) = counters.feedback();
    let name = "cockpit_feedback_score";
    out.family(name, "summary", "Reported satisfaction, from 0 to 1.");
    out.sample_of(name, "_sum", &[], sum);
    out.sample_of(name, "_count", &[], count as f64);
    let name = "cockpit_gateway_refused_total";
    out.family(
        name,
        "counter",
        "Requests the gateway did not let in, by the error's code.",
    );
    for (code, count) in counters.refusals() {
        out.sample(name, &[("code", code)], count as f64);
    }
}

fn gateway_families(out: &mut Exposition, gateway: &GatewayView) {
    if gateway.listen.is_none() {
        return;
    }
    out.single(
        "cockpit_gateway_open",
        "Whether the gateway takes requests.",
        flag(gateway.open),
    );
    type Value = fn(&WaitingRoom) -> f64;
    let rooms: [(&str, &str, Value); 3] = [
        (
            "cockpit_gateway_queue_admitted",
            "Requests that are upstream at a provider that takes so many at once.",
            |room| room.admitted as f64,
        ),
        (
            "cockpit_gateway_queue_waiting",
            "Requests that wait for their turn.",
            |room| room.waiting as f64,
        ),
        (
            "cockpit_gateway_queue_longest_wait_seconds",
            "How long the first of them has waited.",
            |room| room.longest_wait_ms as f64 / 1000.0,
        ),
    ];
    for (name, help, value) in rooms {
        let rooms = gateway.providers.iter().filter_map(|provider| {
            let room = provider.room.as_ref()?;
            Some(([("provider", &provider.name)], value(room)))
        });
        out.samples(name, "gauge", help, rooms);
    }
    type Amount = fn(&cockpit_model::gateway::BudgetView) -> f64;
    let budgets: [(&str, &str, Amount); 3] = [
        (
            "cockpit_budget_limit_usd",
            "What may be spent in a period.",
            |budget| budget.limit_usd.dollars(),
        ),
        (
            "cockpit_budget_spent_usd",
            "What was spent in it so far.",
            |budget| budget.spent_usd.dollars(),
        ),
        (
            "cockpit_budget_reserved_usd",
            "What requests under way may still cost.",
            |budget| budget.reserved_usd.dollars(),
        ),
    ];
    for (name, help, amount) in budgets {
        let budgets = gateway.budgets.iter().take(MOST_BUDGETS).map(|budget| {
            let labels = [("whose", &budget.whose), ("period", &budget.period)];
            (labels, amount(budget))
        });
        out.samples(name, "gauge", help, budgets);
    }
}

fn breaker_families(out: &mut Exposition, breakers: &[BreakerView]) {
    let states = [
        (BreakerState::Closed, "closed"),
        (BreakerState::Open, "open"),
        (BreakerState::HalfOpen, "half_open"),
    ];
    let all = breakers.iter().flat_map(|breaker| {
        states.map(|(state, word)| {
            let labels = [
                ("provider", breaker.provider.as_str()),
                ("model", &breaker.model),
                ("state", word),
            ];
            (labels, flag(breaker.state == state))
        })
    });
    out.samples(
        "cockpit_breaker_state",
        "gauge",
        "A target's circuit breaker: 1 for the state it is in.",
        all,
    );
}

fn written(out: &mut Exposition, counted: &Counted) {
    let stores = [
        ("ledger", &counted.ledger),
        ("telemetry", &counted.telemetry),
    ];
    let name = "cockpit_ledger_records_total";
    out.family(
        name,
        "counter",
        "Calls and reports, by what became of them on their way to the disk.",
    );
    let ledger = &counted.ledger;
    for (result, count) in [
        ("accepted", ledger.accepted),
        ("duplicate", ledger.duplicates),
        ("refused", ledger.refused),
    ] {
        out.sample(name, &[("result", result)], count as f64);
    }
    type Value = fn(&Written) -> u64;
    let families: [(&str, &str, Value); 3] = [
        (
            "cockpit_store_dropped_total",
            "What was not kept: the queue was full, or the disk refused for too long.",
            |store| store.dropped,
        ),
        (
            "cockpit_store_commits_total",
            "Groups written to the disk.",
            |store| store.commits,
        ),
        (
            "cockpit_store_write_errors_total",
            "Groups that could not be written at first.",
            |store| store.write_errors,
        ),
    ];
    for (name, help, value) in families {
        let stores = stores.map(|(store, of)| ([("store", store)], value(of) as f64));
        out.samples(name, "counter", help, stores);
    }
}
