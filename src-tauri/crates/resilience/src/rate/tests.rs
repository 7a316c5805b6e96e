#![allow(clippy::unwrap_used, reason = "tests")]
use super::*;
use proptest::prelude::*;

const MS: fn(u64) -> Duration = Duration::from_millis;
const S: fn(u64) -> Duration = Duration::from_secs;

fn tokens(tokens: u64) -> Cost {
    Cost {
        requests: 1,
        tokens,
    }
}

fn limits(requests: u64, per_minute: u64) -> Limits {
    Limits::new(&[
        (Dimension::Requests, Settings::per_minute(requests).unwrap()),
        (Dimension::Tokens, Settings::per_minute(per_minute).unwrap()),
    ])
}

fn headroom(limits: &Limits, now: Duration) -> Vec<(u64, Duration)> {
    let each = limits.headroom(now);
    each.map(|(_, room)| (room.remaining, room.reset)).collect()
}

#[test]
fn a_burst_uses_the_whole_limit_and_then_it_comes_back_evenly() {
    let mut limits = limits(60, 1_000_000);
    for n in 0..60 {
        assert!(limits.reserve(tokens(1), S(0)).is_ok(), "request {n}");
    }
    let limited = limits.reserve(tokens(1), S(0)).unwrap_err();
    assert_eq!(limited.dimension, Dimension::Requests);
    assert_eq!(limited.retry_after, S(1));
    let expected = Headroom {
        limit: 60,
        remaining: 0,
        reset: S(60),
    };
    assert_eq!(limited.headroom, expected);
    assert!(limits.reserve(tokens(1), MS(999)).is_err());
    assert!(limits.reserve(tokens(1), S(1)).is_ok());
    let requests = |at| *headroom(&limits, at).first().unwrap();
    assert_eq!(requests(S(60)), (59, S(1)));
    assert_eq!(requests(S(61)), (60, S(0)));
}

#[test]
fn what_was_reserved_too_much_comes_back_and_too_little_becomes_a_debt() {
    let mut limits = limits(100, 6000);
    let generous = limits.reserve(tokens(6000), S(0)).unwrap();
    assert!(limits.reserve(tokens(1), S(0)).is_err());
    limits.settle(generous, tokens(1000), S(0));
    assert_eq!(headroom(&limits, S(0)), [(99, MS(600)), (5000, S(10))]);
    let modest = limits.reserve(tokens(5000), S(0)).unwrap();
    limits.settle(modest, tokens(8000), S(0));
    let limited = limits.reserve(tokens(1), S(0)).unwrap_err();
    assert_eq!(
        (limited.dimension, limited.retry_after),
        (Dimension::Tokens, MS(30_010))
    );
}

#[test]
fn what_is_larger_than_the_limit_passes_alone() {
    let mut limits = limits(100, 1000);
    assert!(limits.reserve(tokens(5000), S(0)).is_ok());
    let limited = limits.reserve(tokens(5000), S(0)).unwrap_err();
    assert_eq!(limited.retry_after, S(300));
    assert!(limits.reserve(tokens(5000), S(300)).is_ok());
}

#[test]
fn a_made_up_cost_shuts_nobody_out_for_ever() {
    let mut limits = limits(100, 1000);
    let reservation = limits.reserve(tokens(1), S(0)).unwrap();
    limits.settle(reservation, tokens(u64::MAX), S(0));
    assert_eq!(
        limits.reserve(tokens(0), S(0)).unwrap_err().retry_after,
        S(600)
    );
}

#[test]
fn an_absurd_estimate_gives_back_no_more_than_it_took() {
    let mut limits = limits(100, 10_000);
    let absurd = limits.reserve(tokens(1_000_000), S(0)).unwrap();
    limits.settle(absurd, tokens(9000), S(0));
    assert_eq!(headroom(&limits, S(0)).last().unwrap().0, 1000);
    assert!(limits.reserve(tokens(1_000_000), S(0)).is_err());
}

#[test]
fn what_others_really_used_is_not_given_back() {
    let mut limits = limits(100, 6000);
    let slow = limits.reserve(tokens(5000), S(0)).unwrap();
    // It has drained when another uses nearly everything.
    let other = limits.reserve(tokens(5000), S(50)).unwrap();
    limits.settle(other, tokens(5000), S(50));
    limits.settle(slow, tokens(500), S(50));
    assert_eq!(headroom(&limits, S(50)).last().unwrap().0, 500);
}

#[test]
fn what_is_under_way_is_not_forgotten() {
    let mut limits = limits(100, 6000);
    let slow = limits.reserve(tokens(100), S(0)).unwrap();
    assert!(!limits.is_idle(S(3600)));
    limits.settle(slow, tokens(100), S(3600));
    assert!(!limits.is_idle(S(3600)));
    assert!(limits.is_idle(S(3601)));
}

#[test]
fn a_saved_configuration_forgives_nothing() {
    let mut limits = limits(60, 1000);
    let _ = limits.reserve(tokens(900), S(0)).unwrap();
    let hour = Settings::new(1000, S(3600)).unwrap();
    limits.reconfigure(&[(Dimension::Tokens, hour)], S(0));
    assert_eq!(headroom(&limits, S(0)), [(100, S(3240))]);
    limits.reconfigure(&[], S(0));
    assert!(limits.is_idle(S(0)));
}

#[test]
fn refuses_rates_that_are_none() {
    assert_eq!(Settings::per_minute(0), Err(InvalidRate::ZeroLimit));
    assert_eq!(Settings::new(1, S(0)), Err(InvalidRate::ZeroPeriod));
    assert_eq!(
        Settings::new(1, Duration::MAX),
        Err(InvalidRate::LongPeriod)
    );
}

proptest! {
    /// In no stretch of time passes more than a burst and what comes back in it.
    #[test]
    fn never_lets_more_through(
        limit in 1_u64..1000,
        asks in proptest::collection::vec((0_u64..5_000, 0_u64..1000), 1..150),
    ) {
        let mut limits = Limits::new(&[(Dimension::Tokens, Settings::per_minute(limit).unwrap())]);
        let mut passed: Vec<(u64, u64)> = Vec::new();
        let mut now = 0;
        for (gap, cost) in asks {
            now += gap;
            let cost = cost % (limit + 1);
            match limits.reserve(tokens(cost), MS(now)) {
                Ok(_) => passed.push((now, cost)),
                Err(limited) => {
                    // It passes then, and not a nanosecond before.
                    let then = MS(now) + limited.retry_after;
                    prop_assert!(limits.clone().reserve(tokens(cost), then).is_ok());
                    prop_assert!(limits.clone().reserve(tokens(cost), then - Duration::from_nanos(1)).is_err());
                }
            }
        }
        for (n, (from, _)) in passed.iter().enumerate() {
            let mut sum = 0;
            for (at, cost) in passed.get(n..).unwrap() {
                sum += cost;
                prop_assert!(sum * 60_000 <= limit * (60_000 + at - from));
            }
        }
    }

    /// Of what was really used, no stretch of time lets more through than a burst and what comes back in it, however long
    /// requests take and however much is set aside for them.
    #[test]
    fn whatever_is_estimated_what_is_used_counts(
        limit in 10_u64..1000,
        calls in proptest::collection::vec((0_u64..10_000, 0_u64..30, 0.0_f64..1.0, 0_u64..90_000), 1..80),
    ) {
        let mut limits = Limits::new(&[(Dimension::Tokens, Settings::per_minute(limit).unwrap())]);
        let mut open: Vec<(u64, Reservation, u64, u64)> = Vec::new();
        let mut begun = Vec::new();
        let mut now = 0;
        for (gap, estimate, part, lasts) in calls {
            now += gap;
            open.sort_by_key(|call| call.0);
            while open.first().is_some_and(|call| call.0 <= now) {
                let (at, reservation, real, from) = open.remove(0);
                limits.settle(reservation, tokens(real), MS(at));
                begun.push((from, real));
            }
            // From a trifle to three times all there is.
            let estimate = estimate * limit / 10;
            if let Ok(reservation) = limits.reserve(tokens(estimate), MS(now)) {
                let real = (estimate.min(limit) as f64 * part) as u64;
                open.push((now + lasts, reservation, real, now));
            }
        }
        begun.sort_unstable();
        for (n, (from, _)) in begun.iter().enumerate() {
            let mut sum = 0;
            for (at, real) in begun.get(n..).unwrap() {
                sum += real;
                prop_assert!(sum * 60_000 <= limit * (60_000 + at - from), "{sum} from {from} to {at}");
            }
        }
    }

    /// A refusal changes nothing in any dimension, and taking a reservation back leaves no trace.
    #[test]
    fn reserves_in_all_or_in_none(
        asks in proptest::collection::vec((0_u64..3_000, 0_u64..400, 0_u8..3), 1..100),
    ) {
        let mut limits = limits(20, 1000);
        let mut now = S(0);
        for (gap, cost, ending) in asks {
            now += MS(gap);
            let before = headroom(&limits, now);
            match limits.reserve(tokens(cost), now) {
                Err(_) => prop_assert_eq!(headroom(&limits, now), before),
                Ok(reservation) if ending == 0 => {
                    limits.settle(reservation, Cost::default(), now);
                    prop_assert_eq!(headroom(&limits, now), before);
                }
                Ok(reservation) if ending == 1 => limits.settle(reservation, tokens(cost / 2), now),
                Ok(_) => {}
            }
        }
    }

    /// With everything settled exactly what is used is what it really cost, whatever had been reserved.
    #[test]
    fn what_counts_is_the_real_cost(calls in proptest::collection::vec((0_u64..100, 0_u64..100), 1..50)) {
        let mut limits = limits(1000, 10_000);
        let mut open = Vec::new();
        let real: u64 = calls.iter().map(|(_, real)| real).sum();
        for (estimate, real) in calls {
            open.push((limits.reserve(tokens(estimate), S(0)).unwrap(), real));
        }
        for (reservation, real) in open {
            limits.settle(reservation, tokens(real), S(0));
        }
        prop_assert_eq!(limits.headroom(S(0)).last().unwrap().1.remaining, 10_000 - real);
    }

    #[test]
    fn never_panics(
        limit in 1_u64.., period in 1_u64..86_400_000, costs in proptest::collection::vec((any::<u64>(), any::<u64>(), any::<u64>()), 1..30),
    ) {
        let mut limits = Limits::new(&[(Dimension::Tokens, Settings::new(limit, S(period)).unwrap())]);
        for (at, estimate, real) in costs {
            if let Ok(reservation) = limits.reserve(tokens(estimate), MS(at)) {
                limits.settle(reservation, tokens(real), Duration::from_nanos(at));
            }
            prop_assert!(limits.headroom(S(at)).all(|(_, room)| room.remaining <= limit));
        }
    }
}
