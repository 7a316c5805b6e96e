//! The chain of a request's targets, asked in turn by a plan.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cockpit_metering::wire::Request as Asked;
use cockpit_resilience::retry::{self, AttemptEnd, Plan, Step, Why};
use tokio::time::{Instant, timeout_at};

use super::Request;
use super::answer::Sent;
use super::attempt::Attempted;
use crate::flight::{Blame, Flight};
use crate::force::{Chain, ProviderKey};
use crate::guard::Json;
use crate::refusal::Refusal;
use crate::room::Place;

/// The attempts of one request.
pub(super) struct Attempts<'a> {
    pub(super) request: &'a Request,
    pub(super) chain: &'a Chain,
    pub(super) asked: &'a Asked<'a>,
    /// What is sent: what was asked, or what the rules made of it.
    pub(super) body: &'a Bytes,
    /// The most output that may be asked for.
    pub(super) most: Option<u64>,
    /// The JSON that the answer is to be.
    pub(super) json: Option<Arc<Json>>,
    /// Whether models that cost money may be asked.
    pub(super) paid: bool,
}

/// A target that cannot be asked now.
struct Unusable {
    index: usize,
    /// Perhaps after this.
    retry_after: Option<Duration>,
    why: String,
}

impl Attempts<'_> {
    pub(super) async fn run(self, flight: &mut Flight) -> Result<Sent, Refusal> {
        let shared = &self.request.shared;
        let targets = &self.chain.targets;
        let origin = self.request.started;
        let unusable = self.unusable();
        let whole = self.patience(&unusable);
        let mut plan = Plan::new(retry::Settings::default(), targets.len(), whole);
        let mut why_not = String::new();
        for one in unusable {
            plan.skip(one.index, one.retry_after, origin.elapsed());
            why_not = one.why;
        }
        let mut last: Option<Attempted> = None;
        loop {
            match plan.next(origin.elapsed()) {
                Step::Wait(wait) => tokio::time::sleep(wait).await,
                Step::Fail(why) => return self.failed(flight, why, last, &why_not),
                Step::Try { target: index, .. } => {
                    let Some((target, provider)) = targets.get(index) else {
                        plan.skip(index, None, origin.elapsed());
                        continue;
                    };
                    let place = match shared.rooms.room(provider) {
                        Some(room) => {
                            match in_time(origin + whole, room.enter(&provider.spec.name)).await {
                                Ok(place) => Some(place),
                                // Of a provider that answered before, that answer is told.
                                Err(refusal) if targets.len() == 1 && last.is_none() => {
                                    return Err(refusal);
                                }
                                Err(refusal) => {
                                    why_not = refusal.message;
                                    plan.skip(index, refusal.retry_after, origin.elapsed());
                                    continue;
                                }
                            }
                        }
                        None => None,
                    };
                    let longest = provider.spec.timeout;
                    let permit = match shared.breakers.try_acquire(target, longest) {
                        Ok(permit) => permit,
                        Err(open) => {
                            why_not = format!("`{target}`: {}", open.cause);
                            plan.skip(index, Some(open.retry_after), origin.elapsed());
                            continue;
                        }
                    };
                    flight.asked(target, provider, permit, index > 0);
                    let first = targets.first().map(|(first, _)| &first.provider);
                    let elsewhere = first != Some(&target.provider);
                    match self
                        .attempt(target, provider, elsewhere, origin + whole)
                        .await
                    {
                        Ok((answer, reading)) => {
                            if answer.is_whole() {
                                flight.attempt_ended(Blame::None, "");
                            }
                            return Ok(Sent {
                                reading,
                                place,
                                ..Sent::of(answer)
                            });
                        }
                        Err(attempted) => {
                            flight.attempt_ended(attempted.blame, attempted.code);
                            flight.in_vain(&attempted.used);
                            plan.ended(attempted.end, origin.elapsed(), rand::random());
                            last = Some(attempted);
                        }
                    }
                }
            }
        }
    }

    /// How long all of it may take: as long as everybody together who can be asked, so that whoever hangs takes no time
    /// from the next.
    fn patience(&self, unusable: &[Unusable]) -> Duration {
        let sum = |all: bool| {
            let targets = self.chain.targets.iter().enumerate();
            targets
                .filter(|(index, _)| all || !unusable.iter().any(|one| one.index == *index))
                .fold(Duration::ZERO, |sum, (_, (_, provider))| {
                    sum.saturating_add(provider.spec.timeout)
                })
        };
        // Where nobody can be asked, that is what is told, and no deadline.
        sum(unusable.len() == self.chain.targets.len())
    }

    /// Whoever cannot be asked now.
    fn unusable(&self) -> Vec<Unusable> {
        let shared = &self.request.shared;
        let mut unusable = Vec::new();
        for (index, (target, provider)) in self.chain.targets.iter().enumerate() {
            let mut pass_over = |retry_after, why| {
                unusable.push(Unusable {
                    index,
                    retry_after,
                    why,
                });
            };
            let service = provider.spec.service.as_deref();
            if !self.paid && !provider.tariff.is_free(&target.model) {
                let why = format!("`{target}` costs money, and the budget is spent");
                pass_over(None, why);
            } else if let ProviderKey::Unreadable(reason) = &provider.key {
                pass_over(None, format!("`{target}` cannot be asked: {reason}"));
            } else if let Some(reason) = service.and_then(|service| shared.standing.down(service)) {
                let why = format!("`{target}` is down: {reason}");
                pass_over(Some(Duration::from_secs(5)), why);
            } else if let Err(open) = shared.breakers.peek(target) {
                let why = format!("`{target}`: {}", open.cause);
                pass_over(Some(open.retry_after), why);
            }
        }
        unusable
    }

    fn failed(
        &self,
        flight: &mut Flight,
        why: Why,
        last: Option<Attempted>,
        why_not: &str,
    ) -> Result<Sent, Refusal> {
        let Some(last) = last else {
            let retry_after = match why {
                Why::NoTarget { retry_after } => retry_after,
                _ => None,
            };
            let model = flight.call().and_then(|call| call.requested_model.clone());
            return Err(Refusal::new(
                "provider_unavailable",
                format!(
                    "nobody can be asked for `{}` now: {why_not}",
                    model.unwrap_or_default()
                ),
            )
            .retry_after(retry_after.or(Some(Duration::from_secs(1)))));
        };
        if let Some(answer) = last.answer {
            // What the provider itself says is the best answer there is; what it used is taken note of already.
            return Ok(Sent {
                code: Some(last.code),
                ..Sent::of(answer)
            });
        }
        let target = flight
            .call()
            .map(|call| call.target.clone())
            .unwrap_or_default();
        let what = match last.end {
            AttemptEnd::Timeout => "did not answer in time",
            AttemptEnd::InvalidAnswer => "gave an answer that does not hold",
            _ => "could not be reached",
        };
        let retry_after = match why {
            Why::HandBack { retry_after } => Some(retry_after),
            _ => None,
        };
        Err(Refusal::new(
            match last.end {
                AttemptEnd::Timeout => "provider_timeout",
                AttemptEnd::InvalidAnswer => "provider_invalid_answer",
                _ => "provider_unreachable",
            },
            format!("`{target}` {what}"),
        )
        .retry_after(retry_after))
    }
}

/// A wait for a place, no longer than the request may take.
async fn in_time(
    deadline: Instant,
    entering: impl Future<Output = Result<Place, Refusal>>,
) -> Result<Place, Refusal> {
    timeout_at(deadline, entering).await.unwrap_or_else(|_| {
        Err(Refusal::new(
            "gateway_queue_timeout",
            "no place became free before the request's time was up; try again later",
        )
        .retry_after(Some(Duration::from_secs(5))))
    })
}
