//! Whether a provider answers: what its breakers, its service and its key say together.
//!
//! A health probe says that a server answers; only requests say whether it does its job. A breaker that is not
//! closed speaks for as long as somebody may still run into it: one that nobody has tried for a while after it
//! would have let a call through says nothing about the present. A closed one speaks where its target fails too many
//! calls, though not so many that it is left alone.

use std::time::Duration;

use cockpit_model::{BreakerState, BreakerView, ProviderState, Timestamp};

use crate::breakers::Seen;

/// So long after its next call was due an open breaker that nobody has tried still counts.
const REMEMBERED: Duration = Duration::from_mins(10);

/// What is known of a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Health {
    pub(crate) state: ProviderState,
    pub(crate) cause: String,
    pub(crate) since: Option<Timestamp>,
    /// The models that fail.
    pub(crate) failing: Vec<String>,
}

/// Judges a provider. `not_asked`: why it cannot be asked at all; `probed`: whether the supervisor sees to it that
/// it answers; `breakers`: those of its models.
pub(crate) fn judge<'a>(
    not_asked: Option<String>,
    probed: bool,
    breakers: impl Iterator<Item = &'a Seen>,
    now: Timestamp,
) -> Health {
    if let Some(cause) = not_asked {
        return Health {
            state: ProviderState::Down,
            cause,
            since: None,
            failing: Vec::new(),
        };
    }
    let mut answered = probed;
    let mut failing: Vec<(Timestamp, &str, &str)> = Vec::new();
    for Seen {
        breaker,
        failing: fails,
    } in breakers
    {
        let closed = breaker.state == BreakerState::Closed;
        answered |= closed && breaker.calls > breaker.failed;
        match fails {
            Some(fails) => failing.push((fails.since, &breaker.model, &fails.cause)),
            None if !closed && speaks(breaker, now) => {
                failing.push((breaker.since, &breaker.model, &breaker.cause));
            }
            None => {}
        }
    }
    failing.sort_by_key(|(since, ..)| *since);
    let Some((since, model, cause)) = failing.first() else {
        return Health {
            state: if answered {
                ProviderState::Ready
            } else {
                ProviderState::Unknown
            },
            cause: String::new(),
            since: None,
            failing: Vec::new(),
        };
    };
    let more = match failing.len() - 1 {
        0 => String::new(),
        1 => ", and another model fails".to_owned(),
        n => format!(", and {n} other models fail"),
    };
    Health {
        state: ProviderState::Degraded,
        cause: format!("`{model}`: {cause}{more}"),
        since: Some(*since),
        failing: failing
            .iter()
            .map(|(_, model, _)| (*model).to_owned())
            .collect(),
    }
}

fn speaks(breaker: &BreakerView, now: Timestamp) -> bool {
    let due = breaker.retry_at.unwrap_or(breaker.since);
    due.checked_add(REMEMBERED).is_ok_and(|until| now < until)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::breakers::Failing;

    fn breaker(model: &str, state: BreakerState, since: i64) -> Seen {
        let breaker = BreakerView {
            provider: "openai".to_owned(),
            model: model.to_owned(),
            state,
            since: Timestamp::from_second(since).unwrap(),
            cause: "5 calls in a row failed: provider_error".to_owned(),
            retry_at: (state == BreakerState::Open)
                .then(|| Timestamp::from_second(since + 30).unwrap()),
            calls: 0,
            failed: 0,
        };
        Seen {
            breaker,
            failing: None,
        }
    }

    fn judged(breakers: &[Seen], now: i64) -> Health {
        judge(
            None,
            false,
            breakers.iter(),
            Timestamp::from_second(now).unwrap(),
        )
    }

    #[test]
    fn what_fails_is_named_by_its_oldest_failure() {
        let all = [
            breaker("b", BreakerState::Open, 20),
            breaker("a", BreakerState::HalfOpen, 10),
            breaker("c", BreakerState::Closed, 5),
        ];
        let health = judged(&all, 30);
        assert_eq!(health.state, ProviderState::Degraded);
        assert_eq!(
            health.cause,
            "`a`: 5 calls in a row failed: provider_error, and another model fails"
        );
        assert_eq!(health.since, Some(Timestamp::from_second(10).unwrap()));
        assert_eq!(health.failing, ["a", "b"]);
    }

    #[test]
    fn a_target_that_is_asked_and_fails_too_often_is_named() {
        let mut often = breaker("a", BreakerState::Closed, 0);
        (often.breaker.calls, often.breaker.failed) = (10, 4);
        often.failing = Some(Failing {
            since: Timestamp::from_second(7).unwrap(),
            cause: "39 of 100 calls failed in 5 min: provider_error".to_owned(),
        });
        let health = judged(&[breaker("b", BreakerState::Closed, 0), often], 30);
        assert_eq!(health.state, ProviderState::Degraded);
        assert_eq!(
            health.cause,
            "`a`: 39 of 100 calls failed in 5 min: provider_error"
        );
        assert_eq!(health.since, Some(Timestamp::from_second(7).unwrap()));
    }

    #[test]
    fn a_breaker_that_nobody_tries_falls_silent() {
        let open = [breaker("a", BreakerState::Open, 0)];
        assert_eq!(judged(&open, 629).state, ProviderState::Degraded);
        assert_eq!(judged(&open, 630).state, ProviderState::Unknown);
    }

    #[test]
    fn who_answered_is_ready_and_who_was_never_asked_is_unknown() {
        let mut closed = breaker("a", BreakerState::Closed, 0);
        (closed.breaker.calls, closed.breaker.failed) = (3, 3);
        assert_eq!(judged(&[closed.clone()], 1).state, ProviderState::Unknown);
        closed.breaker.failed = 2;
        assert_eq!(judged(&[closed], 1).state, ProviderState::Ready);
        let now = Timestamp::from_second(1).unwrap();
        assert_eq!(
            judge(None, true, [].iter(), now).state,
            ProviderState::Ready
        );
        let down = judge(Some("it is stopped".to_owned()), true, [].iter(), now);
        assert_eq!(
            (down.state, down.cause.as_str()),
            (ProviderState::Down, "it is stopped")
        );
    }
}
