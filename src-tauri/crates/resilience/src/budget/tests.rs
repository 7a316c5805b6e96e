#![allow(clippy::unwrap_used, reason = "tests")]
use super::*;
use proptest::prelude::*;

const DAY: i64 = 86_400;

/// Days and months (of thirty days) since the epoch.
fn periods(day: i64) -> Periods {
    let at = |day: i64| Timestamp::from_second(day * DAY).unwrap();
    let month = day.div_euclid(30) * 30;
    Periods {
        day: Period {
            starts: at(day),
            ends: at(day + 1),
        },
        month: Period {
            starts: at(month),
            ends: at(month + 30),
        },
    }
}

fn usd(dollars: f64) -> Usd {
    Usd::from_dollars(dollars).unwrap()
}

fn budget(day: f64, month: f64) -> Budget {
    let limits = Each {
        day: Some(usd(day)),
        month: Some(usd(month)),
    };
    Budget::new(limits, &periods(0), Each::default())
}

fn spend(budget: &mut Budget, amount: f64, day: i64) -> Vec<(Span, u8)> {
    let reservation = budget.reserve(usd(amount), &periods(day)).unwrap();
    let crossed = budget.settle(reservation, usd(amount), &periods(day));
    crossed.iter().map(|one| (one.span, one.percent)).collect()
}

#[test]
fn is_exhausted_until_the_day_or_the_month_is_over() {
    let mut budget = budget(5.0, 12.0);
    spend(&mut budget, 5.0, 0);
    let exhausted = budget.reserve(usd(0.0), &periods(0)).unwrap_err();
    assert_eq!(exhausted.span, Span::Day);
    assert_eq!(exhausted.renews_at, periods(1).day.starts);
    spend(&mut budget, 5.0, 1);
    spend(&mut budget, 2.0, 2);
    let exhausted = budget.reserve(usd(1.0), &periods(2)).unwrap_err();
    assert_eq!((exhausted.span, exhausted.spent), (Span::Month, usd(12.0)));
    assert!(budget.reserve(usd(1.0), &periods(29)).is_err());
    assert!(budget.reserve(usd(1.0), &periods(30)).is_ok());
}

#[test]
fn thresholds_are_told_once_in_a_period() {
    let mut budget = budget(10.0, 100.0);
    assert_eq!(spend(&mut budget, 4.9, 0), []);
    assert_eq!(spend(&mut budget, 0.1, 0), [(Span::Day, 50)]);
    assert_eq!(spend(&mut budget, 1.0, 0), []);
    assert_eq!(
        spend(&mut budget, 4.0, 0),
        [(Span::Day, 80), (Span::Day, 100)]
    );
    assert_eq!(spend(&mut budget, 5.0, 1), [(Span::Day, 50)]);
    (2..5).for_each(|day| {
        spend(&mut budget, 9.0, day);
    });
    assert_eq!(
        spend(&mut budget, 8.0, 5),
        [(Span::Day, 50), (Span::Day, 80), (Span::Month, 50)]
    );
}

#[test]
fn a_restart_restores_what_is_spent_and_tells_nothing_twice() {
    let limits = Each {
        day: Some(usd(10.0)),
        month: None,
    };
    let spent = Each {
        day: usd(8.5),
        month: usd(300.0),
    };
    let mut budget = Budget::new(limits, &periods(3), spent);
    assert_eq!(spend(&mut budget, 1.0, 3), []);
    assert_eq!(spend(&mut budget, 0.5, 3), [(Span::Day, 100)]);
    let [day, month] = budget.view(&periods(3));
    assert_eq!((day.spent, month.spent), (usd(10.0), usd(301.5)));
    // A raised limit lets spending go on, and is told of anew only where it was not reached.
    budget.reconfigure(Each {
        day: Some(usd(20.0)),
        month: None,
    });
    assert_eq!(spend(&mut budget, 6.0, 3), [(Span::Day, 80)]);
}

#[test]
fn one_alone_may_overdraw_but_not_many_at_once() {
    let mut budget = budget(1.0, 100.0);
    let large = budget.reserve(usd(2.0), &periods(0)).unwrap();
    let refused = budget.reserve(usd(0.1), &periods(0)).unwrap_err();
    assert_eq!((refused.spent, refused.reserved), (usd(0.0), usd(2.0)));
    budget.settle(large, usd(0.3), &periods(0));
    let first = budget.reserve(usd(0.5), &periods(0)).unwrap();
    assert!(budget.reserve(usd(0.3), &periods(0)).is_err());
    let second = budget.reserve(usd(0.2), &periods(0)).unwrap();
    budget.cancel(first, &periods(0));
    budget.cancel(second, &periods(0));
    assert_eq!(budget.view(&periods(0))[0].reserved, Usd::ZERO);
}

#[test]
fn what_was_reserved_yesterday_is_settled_in_the_month_only() {
    let mut budget = budget(10.0, 100.0);
    let late = budget.reserve(usd(6.0), &periods(0)).unwrap();
    let today = budget.reserve(usd(6.0), &periods(1)).unwrap();
    assert_eq!(budget.settle(late, usd(6.0), &periods(1)), []);
    let [day, month] = budget.view(&periods(1));
    assert_eq!((day.spent, day.reserved), (Usd::ZERO, usd(6.0)));
    assert_eq!((month.spent, month.reserved), (usd(6.0), usd(6.0)));
    budget.settle(today, usd(-1.0), &periods(1));
    assert_eq!(
        budget.view(&periods(1)).map(|view| view.spent),
        [Usd::ZERO, usd(6.0)]
    );
}

#[test]
fn a_clock_set_back_a_little_brings_no_yesterday_back_but_a_wrong_one_is_left() {
    let mut budget = budget(10.0, 100.0);
    spend(&mut budget, 7.0, 10);
    assert_eq!(budget.view(&periods(9))[0].spent, usd(7.0));
    assert_eq!(budget.view(&periods(10))[0].spent, usd(7.0));
    assert_eq!(budget.view(&periods(7))[0].spent, Usd::ZERO);
    spend(&mut budget, 10.0, 7);
    assert!(budget.reserve(usd(1.0), &periods(8)).is_ok());
}

#[test]
fn a_budget_of_nothing_lets_nothing_through_and_none_everything() {
    assert!(budget(0.0, 10.0).reserve(usd(0.0), &periods(0)).is_err());
    let mut none = Budget::new(Each::default(), &periods(0), Each::default());
    assert_eq!(spend(&mut none, 1e6, 0), []);
    assert!(none.reserve(usd(1e6), &periods(0)).is_ok());
}

proptest! {
    /// Against a list of what was spent when.
    #[test]
    fn keeps_its_promises(
        day_limit in 1_i64..300, month_limit in 1_i64..2000,
        ops in proptest::collection::vec((0_u8..5, 0_i64..100, 0_i64..=100, any::<usize>()), 1..200),
    ) {
        let pico = Usd::from_pico;
        let limits = Each { day: Some(pico(day_limit)), month: Some(pico(month_limit)) };
        let mut budget = Budget::new(limits, &periods(0), Each::default());
        let mut today = 0;
        let mut held: Vec<(Reservation, i64, i64)> = Vec::new();
        let mut spent: Vec<(i64, i64)> = Vec::new();
        let mut told: Vec<(Span, u8, i64)> = Vec::new();
        let mut largest = 0;
        for (what, estimate, part, which) in ops {
            let now = periods(today);
            match what {
                0 => today += 1,
                1 | 2 => {
                    let before = budget.view(&now);
                    match budget.reserve(pico(estimate), &now) {
                        Ok(reservation) => {
                            prop_assert!(before.iter().all(|one| one.spent + one.reserved < one.limit.unwrap()));
                            held.push((reservation, estimate, today));
                            largest = largest.max(estimate);
                        }
                        Err(refused) => {
                            prop_assert!(refused.spent + refused.reserved + pico(estimate) >= refused.limit);
                            prop_assert!(refused.renews_at > now.day.starts);
                            prop_assert_eq!(budget.view(&now), before);
                        }
                    }
                }
                _ if held.is_empty() => {}
                _ => {
                    let (reservation, estimate, made) = held.swap_remove(which % held.len());
                    let real = estimate * part / 100;
                    for crossed in budget.settle(reservation, pico(real), &now) {
                        let period = if crossed.span == Span::Day { today } else { today / 30 };
                        let one = (crossed.span, crossed.percent, period);
                        prop_assert!(!told.contains(&one), "told twice");
                        told.push(one);
                    }
                    spent.push((made, real));
                }
            }
            let [day, month] = budget.view(&periods(today));
            let sum = |is: &dyn Fn(i64) -> bool| pico(spent.iter().filter(|(made, _)| is(*made)).map(|(_, usd)| usd).sum());
            let open = |is: &dyn Fn(i64) -> bool| pico(held.iter().filter(|(.., made)| is(*made)).map(|(_, usd, _)| usd).sum());
            let (is_today, is_this_month) = (|made| made == today, |made| made / 30 == today / 30);
            prop_assert_eq!((day.spent, day.reserved), (sum(&is_today), open(&is_today)));
            prop_assert_eq!((month.spent, month.reserved), (sum(&is_this_month), open(&is_this_month)));
            // Estimates were high enough: at most one request beyond the limit.
            prop_assert!(day.spent < pico(day_limit + largest.max(1)));
            prop_assert!(month.spent < pico(month_limit + largest.max(1)));
            for (span, view, period) in [(Span::Day, day, today), (Span::Month, month, today / 30)] {
                for percent in THRESHOLDS {
                    let reached = view.spent.pico() * 100 >= view.limit.unwrap().pico() * i64::from(percent);
                    prop_assert_eq!(reached, told.contains(&(span, percent, period)));
                }
            }
        }
    }
}
