#![allow(clippy::unwrap_used, reason = "tests")]
use super::*;
use proptest::prelude::*;

const S: fn(u64) -> Duration = Duration::from_secs;
/// What the calls of these tests may take.
const LONGEST: Duration = Duration::from_secs(130);
const FAILED: Outcome = Outcome::Failure {
    code: "provider_timeout",
    retry_after: None,
};

fn standard() -> Breaker {
    Breaker::new(Settings::default(), S(0))
}

/// One whole call at one moment.
fn call(breaker: &mut Breaker, outcome: Outcome, now: Duration) -> Option<Transition> {
    let permit = breaker.try_acquire(now, LONGEST).unwrap();
    breaker.report(permit, outcome, now)
}

fn tripped(now: Duration) -> Breaker {
    let mut breaker = standard();
    (0..5).for_each(|_| {
        call(&mut breaker, FAILED, now);
    });
    assert_eq!(breaker.view(now).state, State::Open);
    breaker
}

#[test]
fn opens_after_five_in_a_row() {
    let mut breaker = standard();
    for n in 0..4 {
        assert_eq!(call(&mut breaker, FAILED, S(n * 100)), None);
    }
    let transition = call(&mut breaker, FAILED, S(400)).unwrap();
    assert_eq!(
        (transition.from, transition.to),
        (State::Closed, State::Open)
    );
    assert_eq!(transition.retry_at, Some(S(430)));
    assert_eq!(
        transition.cause.to_string(),
        "5 calls in a row failed: provider_timeout"
    );
    let open = breaker.try_acquire(S(401), LONGEST).unwrap_err();
    assert_eq!(open.retry_after, S(29));
    assert_eq!(open.cause, transition.cause);
}

#[test]
fn opens_at_half_of_ten_in_a_minute() {
    let mut breaker = standard();
    for n in 0..9 {
        let outcome = if n % 2 == 0 { FAILED } else { Outcome::Success };
        assert_eq!(call(&mut breaker, outcome, S(n)), None, "call {n}");
    }
    let transition = call(&mut breaker, FAILED, S(9)).unwrap();
    assert_eq!(
        transition.cause.to_string(),
        "6 of 10 calls failed in 60 s: provider_timeout"
    );
}

#[test]
fn forgets_what_is_older_than_the_window() {
    let mut breaker = standard();
    for n in 0..60 {
        let outcome = if n % 2 == 0 { FAILED } else { Outcome::Success };
        assert_eq!(call(&mut breaker, outcome, S(n * 7)), None, "call {n}");
    }
    assert!(!breaker.is_idle(S(59 * 7)));
    assert!(breaker.is_idle(S(59 * 7 + 60)));
}

#[test]
fn lets_exactly_one_probe_through() {
    let mut breaker = tripped(S(0));
    assert!(breaker.try_acquire(S(29), LONGEST).is_err());
    assert_eq!(breaker.peek(S(30)), Ok(()));
    assert_eq!(breaker.view(S(30)).state, State::HalfOpen);
    let probe = breaker.try_acquire(S(30), LONGEST).unwrap();
    assert!(probe.is_probe());
    assert_eq!(
        breaker.try_acquire(S(30), LONGEST).unwrap_err().retry_after,
        S(1)
    );
    let transition = breaker.report(probe, Outcome::Success, S(31)).unwrap();
    assert_eq!(
        (transition.from, transition.to),
        (State::HalfOpen, State::Closed)
    );
    assert!(!breaker.try_acquire(S(31), LONGEST).unwrap().is_probe());
}

#[test]
fn a_failed_probe_doubles_up_to_the_most_and_a_good_one_starts_over() {
    let mut breaker = tripped(S(0));
    let mut now = S(30);
    let mut lengths = Vec::new();
    for _ in 0..5 {
        let transition = call(&mut breaker, FAILED, now).unwrap();
        lengths.push((transition.retry_at.unwrap() - now).as_secs());
        now = transition.retry_at.unwrap();
    }
    assert_eq!(lengths, [60, 120, 240, 300, 300]);
    call(&mut breaker, Outcome::Success, now);
    let again = (0..5)
        .filter_map(|_| call(&mut breaker, FAILED, now))
        .last();
    assert_eq!(again.unwrap().retry_at, Some(now + S(30)));
}

#[test]
fn what_has_become_ready_is_tried_at_once_and_by_one_caller() {
    let mut breaker = tripped(S(0));
    // It has failed its probes for long.
    for now in [30, 90, 210] {
        call(&mut breaker, FAILED, S(now));
    }
    assert!(breaker.try_acquire(S(220), LONGEST).is_err());
    breaker.try_now(S(220));
    assert_eq!(breaker.view(S(220)).state, State::HalfOpen);
    let probe = breaker.try_acquire(S(220), LONGEST).unwrap();
    assert!(breaker.try_acquire(S(220), LONGEST).is_err());
    let failed = breaker.report(probe, FAILED, S(221)).unwrap();
    assert_eq!(
        failed.retry_at,
        Some(S(221 + 60)),
        "not longer than after the first"
    );
}

#[test]
fn a_probe_of_before_it_was_ready_decides_nothing() {
    let mut breaker = tripped(S(0));
    let old = breaker.try_acquire(S(30), LONGEST).unwrap();
    breaker.try_now(S(31));
    let probe = breaker.try_acquire(S(31), LONGEST).unwrap();
    assert_eq!(breaker.report(old, FAILED, S(32)), None);
    let closed = breaker.report(probe, Outcome::Success, S(33)).unwrap();
    assert_eq!(closed.to, State::Closed);
    let before = breaker.view(S(34));
    breaker.try_now(S(34));
    assert_eq!(breaker.view(S(34)), before, "nothing is shut");
}

#[test]
fn a_target_is_known_once_a_call_said_something_of_it() {
    let mut breaker = standard();
    call(&mut breaker, Outcome::Neutral, S(0));
    assert!(!breaker.view(S(0)).heard);
    call(&mut breaker, FAILED, S(1));
    assert!(breaker.view(S(1)).heard);
}

#[test]
fn an_opened_breaker_speaks_for_itself_and_a_closed_one_begins_anew() {
    let mut breaker = standard();
    let mut fail = |now: u64, outcome| call(&mut breaker, outcome, S(now));
    for n in 0..30 {
        fail(n, if n % 3 == 0 { FAILED } else { Outcome::Success });
    }
    assert!(breaker.view(S(30)).failing.is_some());
    for _ in 0..5 {
        call(&mut breaker, FAILED, S(30));
    }
    let view = breaker.view(S(30));
    assert_eq!((view.state, view.failing), (State::Open, None));
    call(&mut breaker, Outcome::Success, S(60));
    let view = breaker.view(S(60));
    assert_eq!((view.state, view.failing), (State::Closed, None));
}

#[test]
fn what_says_nothing_of_the_target_counts_nothing_and_gives_the_place_back() {
    let mut breaker = standard();
    for _ in 0..100 {
        assert_eq!(call(&mut breaker, Outcome::Neutral, S(0)), None);
    }
    assert!(breaker.is_idle(S(0)));
    let mut breaker = tripped(S(0));
    assert_eq!(call(&mut breaker, Outcome::Neutral, S(30)), None);
    assert!(breaker.try_acquire(S(30), LONGEST).unwrap().is_probe());
}

#[test]
fn a_lost_probe_makes_room_and_decides_nothing_when_it_comes_back_late() {
    let mut breaker = tripped(S(0));
    let lost = breaker.try_acquire(S(30), LONGEST).unwrap();
    assert!(breaker.try_acquire(S(159), LONGEST).is_err());
    let second = breaker.try_acquire(S(160), LONGEST).unwrap();
    assert!(second.is_probe());
    assert_eq!(breaker.report(lost, Outcome::Neutral, S(161)), None);
    assert!(
        breaker.try_acquire(S(161), LONGEST).is_err(),
        "the second still has the place"
    );
    assert!(breaker.report(second, Outcome::Success, S(162)).is_some());
}

#[test]
fn a_slow_probe_decides_however_many_ask_meanwhile() {
    let mut breaker = tripped(S(0));
    let hour = S(3600);
    let probe = breaker.try_acquire(S(30), hour).unwrap();
    for minute in 1..60 {
        let asked = breaker.try_acquire(S(30 + 60 * minute), hour);
        assert!(asked.is_err(), "minute {minute}");
    }
    let closed = breaker.report(probe, Outcome::Success, S(3629)).unwrap();
    assert_eq!(closed.to, State::Closed);
}

#[test]
fn calls_of_before_a_transition_are_ignored() {
    let mut breaker = standard();
    let before: Vec<_> = (0..64)
        .map(|_| breaker.try_acquire(S(0), LONGEST).unwrap())
        .collect();
    let transitions: Vec<_> = before
        .into_iter()
        .enumerate()
        .filter_map(|(n, permit)| breaker.report(permit, FAILED, S(n as u64)))
        .collect();
    assert_eq!(transitions.len(), 1);
    assert_eq!(breaker.view(S(10)).retry_at, Some(S(34)));
}

#[test]
fn stays_open_as_long_as_it_was_told_to_stay_away_within_reason() {
    let told = |after| Outcome::Failure {
        code: "provider_rate_limited",
        retry_after: Some(after),
    };
    let mut breaker = standard();
    call(&mut breaker, told(S(100)), S(0));
    (0..4).for_each(|_| {
        call(&mut breaker, FAILED, S(1));
    });
    assert_eq!(breaker.view(S(1)).retry_at, Some(S(100)));
    call(&mut breaker, told(Duration::MAX), S(100));
    assert_eq!(breaker.view(S(100)).retry_at, Some(S(3700)));
}

#[test]
fn a_reset_closes_and_forgets() {
    let mut breaker = tripped(S(0));
    let transition = breaker.reset(S(1)).unwrap();
    assert_eq!(
        (transition.from, transition.to),
        (State::Open, State::Closed)
    );
    assert!(breaker.is_idle(S(1)));
    assert_eq!(breaker.reset(S(2)), None);
    assert_eq!(breaker.view(S(2)).cause.to_string(), "reset by hand");
}

#[derive(Debug, Clone, Copy)]
enum Op {
    Acquire,
    Report(usize, Outcome),
    Drop(usize),
    Pass(u64),
    Reset,
    TryNow,
}

fn outcome() -> impl Strategy<Value = Outcome> {
    let retry_after = proptest::option::of((0_u64..1000).prop_map(S));
    prop_oneof![
        Just(Outcome::Success),
        Just(Outcome::Neutral),
        Just(FAILED),
        retry_after.prop_map(|retry_after| Outcome::Failure {
            code: "provider_rate_limited",
            retry_after
        }),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => Just(Op::Acquire),
        4 => (any::<usize>(), outcome()).prop_map(|(n, outcome)| Op::Report(n, outcome)),
        1 => any::<usize>().prop_map(Op::Drop),
        2 => (0_u64..200).prop_map(Op::Pass),
        1 => Just(Op::Reset),
        1 => Just(Op::TryNow),
    ]
}

proptest! {
    /// Whatever happens: one probe at most, nothing passes while open, nothing wedges.
    #[test]
    fn keeps_its_promises(ops in proptest::collection::vec(op(), 1..300)) {
        let mut breaker = standard();
        let mut now = S(0);
        // Permits under way, with the time their probe's place is theirs until.
        let mut held: Vec<(Permit, Duration)> = Vec::new();
        for op in ops {
            let before = breaker.view(now);
            match op {
                Op::Pass(seconds) => now += S(seconds),
                Op::Acquire => match breaker.try_acquire(now, LONGEST) {
                    Ok(permit) => {
                        prop_assert_ne!(before.state, State::Open);
                        prop_assert_eq!(permit.is_probe(), before.state == State::HalfOpen);
                        // No probe of the generation before is still within its deadline.
                        let rivals = held.iter().filter(|(other, until)| {
                            permit.is_probe() && other.is_probe()
                                && other.generation + 1 == permit.generation && now < *until
                        });
                        prop_assert_eq!(rivals.count(), 0);
                        held.push((permit, now + LONGEST));
                    }
                    Err(open) => {
                        prop_assert_ne!(before.state, State::Closed);
                        prop_assert!(!open.retry_after.is_zero());
                        prop_assert!(open.retry_after <= S(3600));
                        // Asking after that wait is no rounding error too early.
                        if before.state == State::Open {
                            prop_assert!(breaker.peek(now + open.retry_after).is_ok());
                        }
                    }
                },
                Op::Report(n, outcome) if !held.is_empty() => {
                    let (permit, _) = held.swap_remove(n % held.len());
                    let current = permit.generation == breaker.generation;
                    let transition = breaker.report(permit, outcome, now);
                    let after = breaker.view(now);
                    prop_assert_eq!(transition.map_or(before.state, |t| t.to), after.state);
                    if !current {
                        prop_assert_eq!(before, after);
                    }
                    if let Some(transition) = transition {
                        prop_assert_eq!(transition.from, before.state);
                        prop_assert_ne!(transition.from, transition.to);
                        prop_assert_eq!(after.since, now);
                    }
                }
                Op::Drop(n) if !held.is_empty() => drop(held.swap_remove(n % held.len())),
                Op::Reset => {
                    breaker.reset(now);
                    prop_assert!(breaker.is_idle(now));
                }
                Op::TryNow => {
                    breaker.try_now(now);
                    prop_assert_eq!(breaker.view(now).state == State::Closed, before.state == State::Closed);
                    prop_assert!(breaker.peek(now).is_ok(), "somebody is let through");
                }
                Op::Report(..) | Op::Drop(_) => {}
            }
        }
        // All permits are lost; still it is asked again in the end.
        drop(held);
        prop_assert!(breaker.try_acquire(now + S(3600) + LONGEST, LONGEST).is_ok());
    }

    /// A closed one, against the rule over the whole history.
    #[test]
    fn opens_exactly_by_the_rule(
        calls in proptest::collection::vec((0_u64..6, proptest::bool::weighted(0.4)), 1..120),
    ) {
        let mut breaker = standard();
        let mut history: Vec<(u64, bool)> = Vec::new();
        let mut now = 0;
        for (gap, failed) in calls {
            now += gap;
            history.push((now / 2, failed));
            let row = history.iter().rev().take_while(|(_, failed)| *failed).count();
            let recent: Vec<_> = history.iter().filter(|(tick, _)| tick + 30 > now / 2).collect();
            let bad = recent.iter().filter(|(_, failed)| *failed).count();
            let expected = row >= 5 || (recent.len() >= 10 && bad * 2 >= recent.len());
            let outcome = if failed { FAILED } else { Outcome::Success };
            prop_assert_eq!(call(&mut breaker, outcome, S(now)).is_some(), expected);
            if expected {
                breaker.reset(S(now));
                history.clear();
            }
        }
    }
}
