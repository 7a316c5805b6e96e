//! A call on its way: what is known of it so far, and the promise that it is written down exactly once.

mod vain;

use std::sync::Arc;
use std::time::Duration;

use cockpit_metering::price::Tokens;
use cockpit_metering::wire::Reading;
use cockpit_model::call::Fault;
use cockpit_model::traffic::Target;
use cockpit_model::{Call, Outcome, Usd};
use cockpit_resilience::breaker;
use tokio::time::Instant;

pub(crate) use self::vain::Used;
use self::vain::{Vain, estimated, written};
use crate::Shared;
use crate::cache::Kept;
use crate::force::Provider;
use crate::memory::Share;
use crate::room::Place;
use crate::spend::Held;

/// A call on its way. Dropped before it was told how it ended, its caller has gone: it is written down
/// as cancelled, with what was used until then.
pub(crate) struct Flight {
    shared: Arc<Shared>,
    started: Instant,
    /// `None` once it is written down.
    draft: Option<Box<Call>>,
    /// What its target's breaker allowed.
    permit: Option<(Target, breaker::Permit)>,
    /// What was set aside for it.
    held: Option<Held>,
    /// Its place at a provider that takes so many at once.
    place: Option<Place>,
    /// Who was asked last.
    provider: Option<Arc<Provider>>,
    /// Whether that one may still be at work.
    at_work: bool,
    /// What was used before, in vain.
    vain: Vain,
    /// Of what was written to the provider's cache, what stays there for an hour.
    written_1h: u64,
    /// What it was expected to use.
    expected: Expected,
    /// Whether an answer has begun to reach the caller.
    begun: bool,
    /// Of an answer that is read in passing: its pieces so far.
    pieces: Option<u64>,
}

/// What a request is expected to use: stands in where its provider does not tell, so that whoever hangs up before the
/// end pays for what was written until then.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Expected {
    pub(crate) input: u64,
    pub(crate) output: u64,
}

/// How an attempt ended, for its target's breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Blame {
    /// It did its job.
    None,
    /// It did not.
    Target(Option<Duration>),
    /// It says nothing of the target.
    Other,
}

impl Flight {
    pub(crate) fn new(shared: Arc<Shared>, started: Instant, draft: Call) -> Self {
        Self {
            shared,
            started,
            draft: Some(Box::new(draft)),
            permit: None,
            held: None,
            place: None,
            provider: None,
            at_work: false,
            vain: Vain::default(),
            written_1h: 0,
            expected: Expected::default(),
            begun: false,
            pieces: None,
        }
    }

    pub(crate) fn hold(&mut self, held: Held, expected: Expected) {
        self.held = Some(held);
        self.expected = expected;
    }

    /// Memory for what is taken along of its answer.
    pub(crate) fn share(&self) -> Share {
        self.shared.memory.share()
    }

    /// An answer begins to reach the caller.
    pub(crate) fn begins(&mut self) {
        self.begun = true;
    }

    /// Keeps the place until the end.
    pub(crate) fn keep(&mut self, place: Option<Place>) {
        self.place = place;
    }

    /// What is known of it. Every flight in the air has one.
    pub(crate) fn call(&mut self) -> Option<&mut Call> {
        self.draft.as_deref_mut()
    }

    pub(crate) fn id(&self) -> &str {
        self.draft.as_deref().map_or("", |call| call.id.as_str())
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// A target is asked.
    pub(crate) fn asked(
        &mut self,
        target: &Target,
        provider: &Arc<Provider>,
        permit: breaker::Permit,
        fallback: bool,
    ) {
        self.permit = Some((target.clone(), permit));
        self.provider = Some(Arc::clone(provider));
        self.at_work = true;
        if let Some(call) = self.call() {
            call.finish_reason = None;
            // Most are asked by the name they were looked for.
            if call.provider != target.provider || call.model != target.model {
                call.provider.clone_from(&target.provider);
                call.model.clone_from(&target.model);
                call.target = target.name();
            }
            call.attempts += 1;
            call.fallback = fallback;
        }
    }

    /// How the attempt that is under way ended.
    pub(crate) fn attempt_ended(&mut self, blame: Blame, code: &'static str) {
        let Some((target, permit)) = self.permit.take() else {
            return;
        };
        let outcome = match blame {
            Blame::None => breaker::Outcome::Success,
            Blame::Target(retry_after) => breaker::Outcome::Failure { code, retry_after },
            Blame::Other => breaker::Outcome::Neutral,
        };
        self.shared.breakers.report(&target, permit, outcome);
    }

    /// Whoever is asked has ended without a good answer: what it used is paid for all the same.
    pub(crate) fn in_vain(&mut self, used: &Used) {
        self.at_work = false;
        let Some(provider) = self.provider.clone() else {
            return;
        };
        match used {
            Used::Nothing => {}
            Used::Told(reading) => {
                let price = provider.price(reading, self.model());
                let tokens = reading.tokens().unwrap_or_default();
                self.vain.told(reading);
                let price = price.map(|priced| (priced.cost, priced.version().to_owned()));
                self.vain.charge(&tokens, price);
                if let Some(call) = self.call() {
                    call.finish_reason.clone_from(&reading.finish_reason);
                }
            }
            Used::Untold => {
                let tokens = Tokens {
                    input: self.expected.input,
                    output: self.expected.output,
                    ..Tokens::default()
                };
                let price = provider.tariff.cost(self.model(), None, &tokens);
                self.vain.charge(&tokens, price.as_ref().map(estimated));
            }
        }
    }

    /// The first piece of the answer is here.
    pub(crate) fn first_piece(&mut self) {
        if self
            .permit
            .as_ref()
            .is_some_and(|(_, permit)| permit.is_probe())
        {
            // It answers: others need not wait until it is done.
            self.attempt_ended(Blame::None, "");
        }
        let elapsed = millis(self.elapsed());
        if let Some(call) = self.call() {
            call.ttft_ms.get_or_insert(elapsed);
        }
    }

    /// What the provider says it used.
    pub(crate) fn used(&mut self, reading: &Reading) {
        let Some(provider) = self.provider.clone() else {
            return;
        };
        // Of a whole answer they say nothing.
        let streamed = self.call().is_some_and(|call| call.streamed);
        self.pieces = streamed.then_some(reading.pieces);
        // A total that is behind what was written was told before that.
        let output = reading
            .output_tokens
            .filter(|told| reading.complete || *told >= reading.pieces);
        let price = if output.is_some() || reading.output_tokens.is_none() && reading.complete {
            provider.price(reading, self.model())
        } else {
            None
        };
        self.written_1h = reading.cache_write_1h.unwrap_or(0);
        if let Some(call) = self.call() {
            call.input_tokens = reading.input_tokens;
            call.output_tokens = output;
            call.cached_input_tokens = reading.cached_read;
            call.cache_write_tokens = written(reading);
            call.finish_reason.clone_from(&reading.finish_reason);
            if let Some(priced) = price {
                call.cost_usd = Some(priced.cost);
                call.price_version = Some(priced.version().to_owned());
            }
        }
    }

    /// What to settle the last attempt with. Where a provider worked and did not tell, that is an estimate; a price that
    /// rests on one says so in its version. Tokens that were not told stay unknown.
    fn settlement(&self, call: &mut Call) -> (u64, Usd) {
        let told = call.input_tokens.is_some() && call.output_tokens.is_some();
        let worked = self.begun || self.at_work && call.outcome == Outcome::Cancelled;
        let input = call.input_tokens.unwrap_or(0);
        let output = call.output_tokens.unwrap_or(0);
        if told || call.cost_usd.is_some() || call.attempts == 0 || !worked {
            let tokens = input.saturating_add(output);
            return (tokens, call.cost_usd.unwrap_or(Usd::ZERO));
        }
        let input = call.input_tokens.unwrap_or(self.expected.input);
        let output = call
            .output_tokens
            .or(self.pieces)
            .unwrap_or(self.expected.output);
        let tokens = Tokens {
            input,
            output,
            cached_read: call.cached_input_tokens.unwrap_or(0),
            cache_write: call
                .cache_write_tokens
                .unwrap_or(0)
                .saturating_sub(self.written_1h),
            cache_write_1h: self.written_1h,
        };
        let provider = self.provider.as_deref();
        let priced = provider.and_then(|one| one.tariff.cost(&call.model, None, &tokens));
        if let Some((cost, version)) = priced.as_ref().map(estimated) {
            call.cost_usd = Some(cost);
            call.price_version = Some(version);
        }
        let tokens = input.saturating_add(output);
        (tokens, call.cost_usd.unwrap_or(Usd::ZERO))
    }

    /// An answer from before is given again: nothing was asked, and nothing used.
    pub(crate) fn given_again(&mut self, kept: &Kept) {
        let elapsed = millis(self.elapsed());
        if let Some(call) = self.call() {
            call.provider.clone_from(&kept.target.provider);
            call.model.clone_from(&kept.target.model);
            call.target = kept.target.name();
            call.cache_hit = true;
            call.streamed = kept.streamed;
            call.ttft_ms = kept.streamed.then_some(elapsed);
            call.finish_reason.clone_from(&kept.finish_reason);
            call.input_tokens = Some(0);
            call.output_tokens = Some(0);
            call.cost_usd = Some(Usd::ZERO);
        }
    }

    fn model(&self) -> &str {
        self.draft.as_deref().map_or("", |call| call.model.as_str())
    }

    /// The end. `code` is that of an error.
    pub(crate) fn finish(mut self, outcome: Outcome, status: u16, code: Option<&'static str>) {
        self.land(outcome, Some(status), code);
    }

    fn land(&mut self, outcome: Outcome, status: Option<u16>, code: Option<&'static str>) {
        let Some(mut call) = self.draft.take() else {
            return;
        };
        // The target that would have been asked has no part in what we refuse of our own accord.
        let refused = matches!(
            code.and_then(Fault::of),
            Some(Fault::Caller | Fault::Policy | Fault::Gateway)
        );
        if refused && call.attempts == 0 {
            call.provider.clear();
            call.target.clear();
        }
        call.outcome = outcome;
        call.status = status;
        call.error = code.map(str::to_owned);
        call.latency_ms = Some(millis(self.started.elapsed()));
        let (mut tokens, mut cost) = self.settlement(&mut call);
        let vain = std::mem::take(&mut self.vain);
        tokens = tokens.saturating_add(vain.tokens);
        cost += vain.cost.unwrap_or(Usd::ZERO);
        vain.add_to(&mut call);
        if let Some(held) = self.held.take() {
            held.settle(tokens, cost);
        }
        self.shared.calls.record(*call);
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if self.draft.is_some() {
            self.attempt_ended(Blame::Other, "");
            self.land(Outcome::Cancelled, None, None);
        }
    }
}

pub(crate) fn millis(time: Duration) -> f64 {
    // Microseconds are exact enough, and shorter to write down.
    (time.as_nanos() / 1000) as f64 / 1000.0
}
