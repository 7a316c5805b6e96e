//! What has happened since the engine began: counters and histograms that only grow, for `/metrics`.
//!
//! They are fed with every call as it is written down and never made of windows, so that a rate over them
//! holds. Callers name models: so many targets are told apart, all others are one.

use std::collections::{BTreeMap, HashMap};

use cockpit_model::{Call, CallSource, Operation, Outcome, Report, Usd};

/// More targets are not told apart.
pub const MOST_TARGETS: usize = 100;
/// More errors of one target are not told apart.
const MOST_ERRORS: usize = 24;
/// What stands for all others, as the conventions have it.
pub const OTHER: &str = "_OTHER";
/// The error of a call whose caller went away.
pub const CANCELLED: &str = "cancelled";

/// Upper bounds of `gen_ai.client.token.usage`, in tokens.
pub const TOKEN_BOUNDS: [f64; 14] = [
    1.0,
    4.0,
    16.0,
    64.0,
    256.0,
    1024.0,
    4096.0,
    16384.0,
    65536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
];
/// Upper bounds of `gen_ai.client.operation.duration` and `.time_to_first_chunk`, in seconds.
pub const DURATION_BOUNDS: [f64; 14] = [
    0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92,
];

/// How values spread over 14 bounds and what lies above.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    bounds: &'static [f64; 14],
    counts: [u64; 15],
    sum: f64,
}

impl Histogram {
    /// One of no values.
    pub const fn new(bounds: &'static [f64; 14]) -> Self {
        Self {
            bounds,
            counts: [0; 15],
            sum: 0.0,
        }
    }

    /// Takes a value. What is no amount (not finite, negative) is left out: a sum must not go back.
    pub fn observe(&mut self, value: f64) {
        if !value.is_finite() || value < 0.0 {
            return;
        }
        let place = self.bounds.partition_point(|bound| *bound < value);
        if let Some(count) = self.counts.get_mut(place) {
            *count += 1;
            self.sum += value;
        }
    }

    /// Each bound, and how many values are at most that.
    pub fn buckets(&self) -> impl Iterator<Item = (f64, u64)> {
        let bounds = self.bounds.iter().copied().chain([f64::INFINITY]);
        bounds.zip(self.counts).scan(0, |sum, (bound, count)| {
            *sum += count;
            Some((bound, *sum))
        })
    }

    /// How many values there were.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// What they add up to.
    pub fn sum(&self) -> f64 {
        self.sum
    }
}

/// Calls of one operation of one target. What our own cache answered is among the `calls` and the `cache_hits` alone.
#[derive(Debug, Clone, PartialEq)]
pub struct Figures {
    /// How long they took, by their error; without one under an empty name.
    pub duration: BTreeMap<String, Histogram>,
    /// From the request to the first piece of streamed answers that succeeded.
    pub first_chunk: Histogram,
    /// All input of each call that told.
    pub input: Histogram,
    /// All output.
    pub output: Histogram,
    /// Input read from the provider's cache.
    pub cached_input: u64,
    /// Input written to it.
    pub cache_write: u64,
    /// Calls by who told and how they ended.
    pub calls: BTreeMap<(&'static str, &'static str), u64>,
    /// What they cost, where that is known.
    pub cost: Usd,
    /// Calls whose cost is missing from that ([`Call::is_unpriced`]).
    pub unpriced: u64,
    /// Requests that went upstream for them.
    pub attempts: u64,
    /// Calls that another than the first target of their route served.
    pub fallbacks: u64,
    /// Calls that our own cache answered.
    pub cache_hits: u64,
}

impl Default for Figures {
    fn default() -> Self {
        Self {
            duration: BTreeMap::new(),
            first_chunk: Histogram::new(&DURATION_BOUNDS),
            input: Histogram::new(&TOKEN_BOUNDS),
            output: Histogram::new(&TOKEN_BOUNDS),
            cached_input: 0,
            cache_write: 0,
            calls: BTreeMap::new(),
            cost: Usd::ZERO,
            unpriced: 0,
            attempts: 0,
            fallbacks: 0,
            cache_hits: 0,
        }
    }
}

impl Figures {
    /// Takes how long a call took, and its tokens.
    fn spread(&mut self, call: &Call) {
        let error = match call.outcome {
            Outcome::Ok => "",
            Outcome::Cancelled => CANCELLED,
            Outcome::Error => call.error.as_deref().unwrap_or(OTHER),
        };
        if let Some(latency) = call.latency_ms {
            let known = self.duration.contains_key(error);
            let error = if known || self.duration.len() < MOST_ERRORS {
                error
            } else {
                OTHER
            };
            if let Some(duration) = self.duration.get_mut(error) {
                duration.observe(latency / 1000.0);
            } else {
                let mut duration = Histogram::new(&DURATION_BOUNDS);
                duration.observe(latency / 1000.0);
                self.duration.insert(error.to_owned(), duration);
            }
        }
        // It has no series of those that did not succeed.
        let succeeded = call.streamed && call.outcome == Outcome::Ok;
        if let Some(first) = call.ttft_ms.filter(|_| succeeded) {
            self.first_chunk.observe(first / 1000.0);
        }
        if let Some(input) = call.input_tokens {
            self.input.observe(input as f64);
        }
        if let Some(output) = call.output_tokens {
            self.output.observe(output as f64);
        }
    }
}

/// One target.
#[derive(Debug, Clone, PartialEq)]
pub struct OfTarget {
    /// The provider's name.
    pub provider: String,
    /// The model.
    pub model: String,
    /// By the operation's name in the conventions.
    pub operations: BTreeMap<&'static str, Figures>,
}

/// Everything that is counted.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Counters {
    targets: HashMap<String, OfTarget>,
    /// Reports that were accounted for, by their type and what they say of success.
    reports: BTreeMap<(&'static str, Option<bool>), u64>,
    feedback: (u64, f64),
    /// Requests the gateway did not let in, by the error's code.
    refused: BTreeMap<String, u64>,
}

impl Counters {
    /// Counts a call that has ended.
    pub fn call(&mut self, call: &Call) {
        let figures = self.figures(call);
        let add = |sum: &mut u64, more: u64| *sum = sum.saturating_add(more);
        let key = (source(call.source), outcome(call.outcome));
        add(figures.calls.entry(key).or_default(), 1);
        // What is paid back does not happen to a request; a counter must not go back.
        figures.cost += call.cost_usd.unwrap_or_default().max(Usd::ZERO);
        add(&mut figures.cache_hits, u64::from(call.cache_hit));
        if call.cache_hit {
            // Nobody was asked: its moment would make the provider look fast, and its no tokens frugal.
            return;
        }
        figures.spread(call);
        add(
            &mut figures.cached_input,
            call.cached_input_tokens.unwrap_or(0),
        );
        add(
            &mut figures.cache_write,
            call.cache_write_tokens.unwrap_or(0),
        );
        add(&mut figures.unpriced, u64::from(call.is_unpriced()));
        add(&mut figures.attempts, u64::from(call.attempts));
        add(&mut figures.fallbacks, u64::from(call.fallback));
    }

    /// Counts a report that was accounted for.
    pub fn report(&mut self, report: &Report) {
        *self
            .reports
            .entry((report.kind.as_str(), report.ok))
            .or_default() += 1;
        if let Some(score) = report
            .score
            .filter(|score| score.is_finite() && *score >= 0.0)
        {
            self.feedback.0 += 1;
            self.feedback.1 += score;
        }
    }

    /// Counts requests that were not let in.
    pub fn refused(&mut self, code: &str, count: u64) {
        let known = self.refused.contains_key(code) || self.refused.len() < MOST_ERRORS;
        let code = if known { code } else { OTHER };
        *self.refused.entry(code.to_owned()).or_default() += count;
    }

    /// Every target, by provider and model.
    pub fn targets(&self) -> Vec<&OfTarget> {
        let mut targets: Vec<&OfTarget> = self.targets.values().collect();
        targets.sort_by_key(|target| (&target.provider, &target.model));
        targets
    }

    /// Reports, by their type and what they say of success.
    pub fn reports(&self) -> impl Iterator<Item = ((&'static str, Option<bool>), u64)> {
        self.reports.iter().map(|(key, count)| (*key, *count))
    }

    /// How many scores there were, and their sum.
    pub fn feedback(&self) -> (u64, f64) {
        self.feedback
    }

    /// Requests that were not let in, by the error's code.
    pub fn refusals(&self) -> impl Iterator<Item = (&str, u64)> {
        self.refused
            .iter()
            .map(|(code, count)| (code.as_str(), *count))
    }

    fn figures(&mut self, call: &Call) -> &mut Figures {
        // A call that reached no target has none.
        let known = !call.provider.is_empty()
            && (self.targets.contains_key(&call.target) || self.targets.len() < MOST_TARGETS);
        let (key, provider, model) = if known {
            (
                call.target.as_str(),
                call.provider.as_str(),
                call.model.as_str(),
            )
        } else {
            (OTHER, OTHER, OTHER)
        };
        let target = self
            .targets
            .entry(key.to_owned())
            .or_insert_with(|| OfTarget {
                provider: provider.to_owned(),
                model: model.to_owned(),
                operations: BTreeMap::new(),
            });
        target
            .operations
            .entry(operation(call.operation))
            .or_default()
    }
}

/// The conventions' name.
const fn operation(operation: Operation) -> &'static str {
    match operation {
        Operation::Chat => "chat",
        Operation::Completion => "text_completion",
        Operation::Embeddings => "embeddings",
        Operation::Other => OTHER,
    }
}

const fn source(source: CallSource) -> &'static str {
    match source {
        CallSource::Gateway => "gateway",
        CallSource::Events => "events",
        CallSource::Otlp => "otlp",
    }
}

const fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Ok => "ok",
        Outcome::Error => "error",
        Outcome::Cancelled => "cancelled",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, missing_docs, reason = "tests")]
    use cockpit_model::{ReportKind, Timestamp};
    use proptest::prelude::*;

    use super::*;

    fn call(target: (&str, &str)) -> Call {
        Call {
            id: "1".to_owned(),
            at: Timestamp::UNIX_EPOCH,
            source: CallSource::Gateway,
            provider: target.0.to_owned(),
            model: target.1.to_owned(),
            target: format!("{}/{}", target.0, target.1),
            requested_model: None,
            route: None,
            operation: Operation::Chat,
            outcome: Outcome::Ok,
            error: None,
            status: None,
            finish_reason: None,
            user: None,
            agent: None,
            key: None,
            tags: Vec::new(),
            input_tokens: Some(16),
            output_tokens: Some(17),
            cached_input_tokens: Some(4),
            cache_write_tokens: None,
            latency_ms: Some(640.0),
            ttft_ms: Some(20.0),
            streamed: true,
            attempts: 2,
            fallback: true,
            cache_hit: false,
            cost_usd: Usd::from_dollars(0.5),
            price_version: None,
        }
    }

    #[test]
    fn a_call_is_counted_where_it_belongs() {
        let mut counters = Counters::default();
        counters.call(&call(("openai", "gpt-4o")));
        let mut failed = call(("openai", "gpt-4o"));
        failed.outcome = Outcome::Error;
        failed.error = Some("provider_timeout".to_owned());
        failed.cost_usd = None;
        failed.streamed = false;
        counters.call(&failed);
        let targets = counters.targets();
        assert_eq!((targets.len(), targets[0].model.as_str()), (1, "gpt-4o"));
        let figures = &targets[0].operations["chat"];
        // A bound holds what is equal to it.
        let up_to = |histogram: &Histogram, bound: f64| {
            let found = histogram.buckets().find(|(at, _)| *at == bound);
            found.map(|(_, count)| count)
        };
        assert_eq!(up_to(&figures.duration[""], 0.32), Some(0));
        assert_eq!(up_to(&figures.duration[""], 0.64), Some(1));
        assert_eq!(figures.duration["provider_timeout"].count(), 1);
        assert_eq!(figures.first_chunk.count(), 1, "the other was not streamed");
        assert_eq!(up_to(&figures.input, 16.0), Some(2));
        assert_eq!(up_to(&figures.output, 16.0), Some(0));
        assert_eq!(figures.output.sum(), 34.0);
        assert_eq!(figures.calls[&("gateway", "ok")], 1);
        assert_eq!(
            (figures.attempts, figures.fallbacks, figures.unpriced),
            (4, 2, 1)
        );
        assert_eq!(Some(figures.cost), Usd::from_dollars(0.5));
    }

    #[test]
    fn what_the_cache_answered_is_a_series_of_its_own() {
        let mut counters = Counters::default();
        let mut hit = call(("openai", "gpt-4o"));
        hit.cache_hit = true;
        (hit.input_tokens, hit.output_tokens) = (Some(0), Some(0));
        hit.cost_usd = None;
        counters.call(&hit);
        let mut cancelled = call(("openai", "gpt-4o"));
        cancelled.outcome = Outcome::Cancelled;
        counters.call(&cancelled);
        let targets = counters.targets();
        let figures = &targets[0].operations["chat"];
        assert_eq!(figures.calls[&("gateway", "ok")], 1);
        assert_eq!((figures.cache_hits, figures.unpriced), (1, 0));
        assert!(!figures.duration.contains_key(""));
        let counts = [&figures.first_chunk, &figures.input, &figures.output].map(Histogram::count);
        assert_eq!(counts, [0, 1, 1]);
    }

    #[test]
    fn a_success_that_does_not_say_what_it_used_is_unpriced_all_the_same() {
        let mut counters = Counters::default();
        let mut silent = call(("openai", "nobody-knows-it"));
        (silent.input_tokens, silent.output_tokens) = (None, None);
        silent.cost_usd = None;
        counters.call(&silent);
        // It reached nobody.
        silent.attempts = 0;
        counters.call(&silent);
        // It failed.
        silent.attempts = 1;
        silent.outcome = Outcome::Error;
        counters.call(&silent);
        assert_eq!(counters.targets()[0].operations["chat"].unpriced, 1);
    }

    #[test]
    fn names_from_outside_are_bounded() {
        let mut counters = Counters::default();
        for n in 0..5000 {
            let mut one = call(("p", &format!("m{n}")));
            one.outcome = Outcome::Error;
            one.error = Some(format!("e{n}"));
            counters.call(&one);
            let mut same = call(("p", "m0"));
            same.outcome = Outcome::Error;
            same.error = Some(format!("e{n}"));
            counters.call(&same);
            counters.refused(&format!("c{n}"), 1);
        }
        counters.call(&call(("", "")));
        let targets = counters.targets();
        assert!(targets.len() <= MOST_TARGETS + 1, "{}", targets.len());
        let all: u64 = targets
            .iter()
            .flat_map(|target| target.operations["chat"].calls.values())
            .sum();
        assert_eq!(all, 10_001, "all are counted");
        for target in targets {
            assert!(target.operations["chat"].duration.len() <= MOST_ERRORS + 1);
        }
        assert!(counters.refusals().count() <= MOST_ERRORS + 1);
        assert_eq!(
            counters.refusals().map(|(_, count)| count).sum::<u64>(),
            5000
        );
    }

    #[test]
    fn reports_are_counted_by_what_they_say() {
        let mut counters = Counters::default();
        for (kind, ok, score) in [
            (ReportKind::Task, Some(true), None),
            (ReportKind::Task, Some(false), None),
            (ReportKind::Feedback, None, Some(0.75)),
            (ReportKind::Feedback, None, Some(f64::NAN)),
        ] {
            counters.report(&Report {
                id: String::new(),
                kind,
                at: Timestamp::UNIX_EPOCH,
                user: None,
                agent: None,
                key: None,
                ok,
                score,
                body: String::new(),
            });
        }
        let reports: Vec<_> = counters.reports().collect();
        assert_eq!(
            reports,
            [
                (("feedback", None), 2),
                (("task", Some(false)), 1),
                (("task", Some(true)), 1)
            ]
        );
        assert_eq!(counters.feedback(), (1, 0.75));
    }

    proptest! {
        #[test]
        fn a_histogram_only_grows(values in proptest::collection::vec(any::<f64>(), 0..50)) {
            let mut histogram = Histogram::new(&DURATION_BOUNDS);
            for value in values {
                let before = (histogram.count(), histogram.sum());
                histogram.observe(value);
                prop_assert!(histogram.count() >= before.0 && histogram.sum() >= before.1);
                let last = histogram.buckets().last().map(|(_, count)| count);
                prop_assert_eq!(last, Some(histogram.count()));
            }
        }
    }
}
