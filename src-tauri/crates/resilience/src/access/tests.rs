#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
use super::*;
use proptest::prelude::*;

const HOME: &str = "127.0.0.1";

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn visit(profile: &mut Profile, second: i64, from: &str) -> Vec<Unusual> {
    let visit = Visit {
        at: at(second),
        hour: (second.rem_euclid(DAY) / HOUR) as u8,
        from,
    };
    profile.visit(&visit, &Settings::default())
}

/// A key that is used for so many days, each hour from nine to five, so many times.
fn office(days: i64, times: i64) -> Profile {
    let mut profile = Profile::new(at(9 * HOUR));
    for day in 0..days {
        for hour in 9..17 {
            for n in 0..times {
                let second = day * DAY + hour * HOUR + n;
                assert_eq!(visit(&mut profile, second, HOME), [], "{second}");
            }
        }
    }
    profile
}

#[test]
fn a_new_address_is_told_of_once_after_a_day() {
    let mut profile = office(1, 10);
    assert_eq!(visit(&mut profile, 17 * HOUR, "10.0.0.1"), [], "it learns");
    let mut profile = office(2, 10);
    let told = visit(&mut profile, DAY + 17 * HOUR, "203.0.113.7");
    let usual = vec![HOME.to_owned()];
    assert_eq!(told, [Unusual::Address { usual }]);
    assert_eq!(visit(&mut profile, DAY + 17 * HOUR, "203.0.113.7"), []);
    assert_eq!(visit(&mut profile, DAY + 17 * HOUR, HOME), []);
}

#[test]
fn of_a_key_that_comes_from_everywhere_no_address_is_new() {
    let mut profile = office(2, 10);
    let mut told = 0;
    for n in 0..200 {
        told += visit(&mut profile, DAY + 17 * HOUR, &format!("10.0.0.{n}")).len();
        assert!(profile.addresses.len() <= ADDRESSES);
    }
    assert_eq!(told, ADDRESSES - 1);
}

#[test]
fn the_middle_of_the_night_is_unusual_for_an_office() {
    let mut young = office(6, 10);
    assert_eq!(visit(&mut young, 6 * DAY + 3 * HOUR, HOME), [], "it learns");
    let mut profile = office(8, 10);
    // The hour beside one that it knows is none to speak of.
    assert_eq!(visit(&mut profile, 7 * DAY + 17 * HOUR, HOME), []);
    let told = visit(&mut profile, 8 * DAY + 3 * HOUR, HOME);
    let usual = (9..=17).collect();
    assert_eq!(told, [Unusual::Hour { usual }]);
    assert_eq!(visit(&mut profile, 8 * DAY + 3 * HOUR + 9, HOME), []);
    // The next night it is the key's past.
    assert_eq!(visit(&mut profile, 9 * DAY + 3 * HOUR, HOME), []);
    // Half a year later it is forgotten, and so is the office.
    assert_eq!(visit(&mut profile, 190 * DAY + 3 * HOUR, HOME).len(), 1);
}

#[test]
fn five_times_the_busiest_hour_is_far_more_than_ever() {
    let mut profile = office(8, 40);
    let mut told = Vec::new();
    for n in 0..1000 {
        told.extend(visit(&mut profile, 8 * DAY + 9 * HOUR + n, HOME));
    }
    let [Unusual::Volume { requests, usual }] = told[..] else {
        panic!("{told:?}");
    };
    assert!((195..=205).contains(&requests), "{requests}");
    assert!((38..=40).contains(&usual), "{usual}");
    // A thousand an hour is its past from then on.
    for n in 0..2000 {
        assert_eq!(visit(&mut profile, 8 * DAY + 10 * HOUR + n, HOME), []);
    }
}

#[test]
fn a_clock_that_was_wrong_is_no_reason_to_be_silent_for_ever() {
    let mut profile = office(8, 10);
    visit(&mut profile, 900 * DAY + 9 * HOUR, HOME);
    assert_eq!(visit(&mut profile, 8 * DAY + 9 * HOUR, HOME), []);
    assert_eq!(profile.hour, 8 * 24 + 9);
}

proptest! {
    /// What is done every day in the same way is never unusual, wherever the day begins, and a profile that is
    /// written down and read again judges the same.
    #[test]
    fn routine_is_usual(
        hours in proptest::collection::btree_set(0_i64..24, 1..24),
        times in 5_i64..40,
        start in 0_i64..1_000_000,
        stop in 0_usize..2000,
    ) {
        let mut profile = Profile::new(at(start * HOUR));
        let mut seen = 0;
        for day in 0..20 {
            for hour in &hours {
                for n in 0..times {
                    let second = start * HOUR + day * DAY + hour * HOUR + n;
                    prop_assert_eq!(visit(&mut profile, second, HOME), []);
                    seen += 1;
                    if seen == stop {
                        let text = serde_json::to_string(&profile).unwrap();
                        profile = serde_json::from_str(&text).unwrap();
                    }
                }
            }
        }
    }

    /// Whatever comes, in whatever order: nothing is unusual before it has learnt, it stays small, and the same
    /// request twice is unusual once.
    #[test]
    fn learns_before_it_judges(
        visits in proptest::collection::vec((-3_000_000_i64..3_000_000, 0_u8..30, 0_u8..60), 1..400),
    ) {
        let settings = Settings::default();
        let mut now = 10 * DAY;
        let mut profile = Profile::new(at(now));
        for (n, (step, hour, from)) in visits.into_iter().enumerate() {
            now = (now + step).max(0);
            let from = from.to_string();
            let visit = Visit { at: at(now), hour, from: &from };
            let told = profile.visit(&visit, &settings);
            let age = now - 10 * DAY;
            for unusual in &told {
                let (learn, requests) = match unusual {
                    Unusual::Address { usual } => {
                        prop_assert!(!usual.contains(&from) && usual.len() <= TOLD);
                        (settings.learn_addresses, settings.address_requests)
                    }
                    Unusual::Hour { .. } | Unusual::Volume { .. } => (settings.learn_hours, settings.hour_requests),
                };
                prop_assert!(age >= learn && 2 * n as u64 >= requests);
            }
            let again = profile.visit(&visit, &settings);
            let volume = |one: &Unusual| matches!(one, Unusual::Volume { .. });
            prop_assert!(again.iter().all(volume));
            prop_assert!(profile.addresses.len() <= ADDRESSES);
            prop_assert!(serde_json::to_string(&profile).unwrap().len() < 4096);
        }
    }
}
