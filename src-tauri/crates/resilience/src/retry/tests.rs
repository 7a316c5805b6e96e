#![allow(clippy::unwrap_used, reason = "tests")]
use super::*;
use proptest::prelude::*;

const MS: fn(u64) -> Duration = Duration::from_millis;
const S: fn(u64) -> Duration = Duration::from_secs;

fn status(status: u16) -> AttemptEnd {
    AttemptEnd::Status {
        status,
        retry_after: None,
    }
}

fn busy(seconds: u64) -> AttemptEnd {
    AttemptEnd::Status {
        status: 429,
        retry_after: Some(S(seconds)),
    }
}

/// What was asked when (in ms), and how it failed, when every attempt ends at once as `end` says of its target.
fn course(targets: usize, end: impl Fn(usize) -> AttemptEnd) -> (Vec<(usize, u128)>, Why) {
    let mut plan = Plan::new(Settings::default(), targets, S(120));
    let mut now = S(0);
    let mut asked = Vec::new();
    loop {
        match plan.next(now) {
            Step::Try { target, nth } => {
                asked.push((target, now.as_millis()));
                assert_eq!(nth as usize, asked.len());
                plan.ended(end(target), now, 0.0);
            }
            Step::Wait(wait) => now += wait,
            Step::Fail(why) => return (asked, why),
        }
    }
}

#[test]
fn one_target_is_asked_three_times_with_a_backoff() {
    for end in [
        AttemptEnd::Network,
        AttemptEnd::Timeout,
        status(408),
        status(500),
        status(429),
        status(529),
    ] {
        let (asked, why) = course(1, |_| end);
        assert_eq!(asked, [(0, 0), (0, 500), (0, 1500)], "{end:?}");
        assert_eq!(why, Why::LastEnd);
    }
}

#[test]
fn what_will_not_change_is_not_tried_again() {
    let callers = [status(400), status(422), status(413), status(302)];
    for end in callers {
        assert_eq!(course(3, |_| end), (vec![(0, 0)], Why::LastEnd), "{end:?}");
    }
    let providers = [
        status(401),
        status(402),
        status(403),
        status(404),
        AttemptEnd::InvalidAnswer,
    ];
    for end in providers {
        assert_eq!(course(1, |_| end), (vec![(0, 0)], Why::LastEnd), "{end:?}");
        assert_eq!(
            course(2, |_| end),
            (vec![(0, 0), (1, 0)], Why::LastEnd),
            "{end:?}"
        );
    }
}

#[test]
fn every_target_gets_its_attempt_before_another_gets_its_last() {
    assert_eq!(course(2, |_| status(500)).0, [(0, 0), (0, 500), (1, 500)]);
    assert_eq!(course(3, |_| status(500)).0, [(0, 0), (1, 0), (2, 0)]);
    assert_eq!(course(9, |_| status(500)).0, [(0, 0), (1, 0), (2, 0)]);
}

#[test]
fn a_busy_or_silent_target_is_left_at_once_and_asked_again_when_none_is_left() {
    for end in [status(429), busy(5), AttemptEnd::Timeout] {
        let (asked, _) = course(2, |_| end);
        assert_eq!(asked.first_chunk(), Some(&[(0, 0), (1, 0)]), "{end:?}");
    }
    // The one that is free sooner.
    let (asked, why) = course(2, |target| busy(if target == 0 { 9 } else { 4 }));
    assert_eq!(asked, [(0, 0), (1, 0), (1, 4000)]);
    assert_eq!(why, Why::HandBack { retry_after: S(4) });
    let (asked, _) = course(2, |target| if target == 0 { busy(7) } else { status(401) });
    assert_eq!(asked, [(0, 0), (1, 0), (0, 7000)]);
}

#[test]
fn a_retry_after_is_waited_for_up_to_a_minute_and_else_handed_back() {
    assert_eq!(
        course(1, |_| busy(40)).0,
        [(0, 0), (0, 40_000), (0, 80_000)]
    );
    let handed = |seconds| Why::HandBack {
        retry_after: S(seconds),
    };
    assert_eq!(course(1, |_| busy(61)), (vec![(0, 0)], handed(61)));
    let (asked, why) = course(2, |target| busy(if target == 0 { 90 } else { 70 }));
    assert_eq!((asked, why), (vec![(0, 0), (1, 0)], handed(70)));
    let unavailable = AttemptEnd::Status {
        status: 503,
        retry_after: Some(S(2)),
    };
    assert_eq!(course(1, |_| unavailable).0, [(0, 0), (0, 2000), (0, 4000)]);
    // "At once" is a backoff.
    assert_eq!(course(1, |_| busy(0)).0, [(0, 0), (0, 500), (0, 1500)]);
    // Within a minute, but beyond the deadline.
    assert_eq!(course(1, |_| busy(60)).0, [(0, 0), (0, 60_000)]);
}

#[test]
fn skipped_targets_are_passed_over_and_leave_their_attempts_to_the_others() {
    let mut plan = Plan::new(Settings::default(), 3, S(100));
    plan.skip(0, Some(S(20)), S(0));
    plan.skip(2, None, S(0));
    assert_eq!(plan.next(S(0)), Step::Try { target: 1, nth: 1 });
    plan.ended(status(500), S(0), 0.0);
    assert_eq!(plan.next(S(0)), Step::Wait(MS(500)));
    assert_eq!(plan.next(S(1)), Step::Try { target: 1, nth: 2 });
    // Its breaker opened meanwhile.
    plan.skip(1, Some(S(30)), S(1));
    assert_eq!(plan.next(S(1)), Step::Fail(Why::LastEnd));
}

#[test]
fn says_when_a_target_is_back_if_all_are_skipped() {
    let mut plan = Plan::new(Settings::default(), 3, S(100));
    plan.skip(0, Some(S(20)), S(1));
    plan.skip(1, Some(S(10)), S(2));
    assert_eq!(plan.next(S(2)), Step::Try { target: 2, nth: 1 });
    plan.skip(2, None, S(2));
    let soonest = Some(S(9));
    assert_eq!(
        plan.next(S(3)),
        Step::Fail(Why::NoTarget {
            retry_after: soonest
        })
    );
    let none = Why::NoTarget { retry_after: None };
    assert_eq!(
        Plan::new(Settings::default(), 0, S(1)).next(S(0)),
        Step::Fail(none)
    );
}

#[test]
fn nothing_is_begun_after_the_deadline() {
    let mut plan = Plan::new(Settings::default(), 1, S(10));
    assert_eq!(plan.clone().next(S(10)), Step::Fail(Why::Deadline));
    assert_eq!(plan.next(S(9)), Step::Try { target: 0, nth: 1 });
    plan.ended(status(500), MS(9_600), 0.0);
    assert_eq!(plan.next(MS(9_600)), Step::Fail(Why::LastEnd));
}

fn end() -> impl Strategy<Value = AttemptEnd> {
    let statuses = prop_oneof![
        Just(429_u16),
        Just(500),
        Just(503),
        Just(401),
        Just(400),
        300_u16..600
    ];
    prop_oneof![
        2 => Just(AttemptEnd::Network),
        2 => Just(AttemptEnd::Timeout),
        8 => (statuses, proptest::option::of(0_u64..100)).prop_map(|(status, seconds)| {
            AttemptEnd::Status { status, retry_after: seconds.map(S) }
        }),
        1 => Just(AttemptEnd::InvalidAnswer),
    ]
}

proptest! {
    #[test]
    fn keeps_its_promises(
        targets in 0_usize..6, deadline in 0_u64..200,
        events in proptest::collection::vec((end(), 0_u64..30_000, 0.0_f64..1.0, proptest::bool::weighted(0.2)), 40),
    ) {
        let mut plan = Plan::new(Settings::default(), targets, S(deadline));
        let mut now = S(0);
        let mut asked: Vec<(usize, AttemptEnd, Duration)> = Vec::new();
        let mut skipped = Vec::new();
        let mut failed = false;
        for (end, took, chance, skip) in events {
            match plan.next(now) {
                Step::Try { target, nth } => {
                    prop_assert!(target < targets && now < S(deadline));
                    prop_assert!(!skipped.contains(&target));
                    prop_assert!(asked.len() < 3 && nth as usize == asked.len() + 1);
                    prop_assert_eq!(plan.next(now), Step::Try { target, nth });
                    for (earlier, end, ended) in &asked {
                        let class = classify(*end);
                        prop_assert_ne!(class, Class::GiveUp);
                        if *earlier == target {
                            prop_assert_ne!(class, Class::NextTarget);
                            let AttemptEnd::Status { retry_after: Some(wait), .. } = end else { continue };
                            prop_assert!(*wait <= S(60) && now >= *ended + *wait);
                        }
                    }
                    // Nobody is passed over in favour of a later one.
                    let known = |index: &usize| {
                        skipped.contains(index) || asked.iter().any(|(asked, ..)| asked == index)
                    };
                    prop_assert!((0..target).all(|index| known(&index)));
                    if skip {
                        plan.skip(target, Some(S(3)), now);
                        skipped.push(target);
                    } else {
                        now += MS(took);
                        plan.ended(end, now, chance);
                        asked.push((target, end, now));
                    }
                }
                Step::Wait(wait) => {
                    prop_assert!(!wait.is_zero() && now + wait < S(deadline) && wait <= S(60));
                    now += wait;
                    let ready = matches!(plan.next(now), Step::Try { .. });
                    prop_assert!(ready, "a wait leads to an attempt");
                }
                Step::Fail(why) => {
                    let untried = matches!(why, Why::NoTarget { .. } | Why::Deadline);
                    prop_assert_eq!(asked.is_empty(), untried);
                    prop_assert_eq!(plan.next(now), Step::Fail(why));
                    failed = true;
                    break;
                }
            }
        }
        prop_assert!(failed, "every plan comes to its end");
    }

    #[test]
    fn backoffs_are_within_their_bounds(nth in 0_u32..100, chance in proptest::num::f64::ANY) {
        let plain = MS(500).saturating_mul(1 << nth.min(10)).min(S(8));
        let delay = Settings::default().backoff(nth, chance);
        prop_assert!(delay <= plain && delay >= plain * 3 / 4);
    }
}
