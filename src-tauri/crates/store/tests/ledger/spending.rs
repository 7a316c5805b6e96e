//! What callers spent: by the person's days, to the last row, whatever ends the engine.

use std::fs;

use cockpit_model::{Call, CallSource, Usd};
use cockpit_store::Ledger;
use cockpit_store::ledger::{Options, Spender, Spent};
use jiff::tz::{Offset, TimeZone};

use crate::given::{self, Clock, DAY, HOUR, MINUTE, NOON, at, ingest};

/// Half past five in the east: a day that begins in the middle of one of ours.
fn options(clock: &Clock) -> Options {
    let offset = Offset::from_seconds(5 * 3600 + 30 * 60).unwrap();
    Options {
        zone: Some(TimeZone::fixed(offset)),
        ..clock.options()
    }
}

/// Begin of the day there, in which `NOON` is.
const MIDNIGHT: i64 = NOON - 12 * HOUR - 5 * HOUR - 30 * MINUTE;

fn call(id: &str, ms: i64, pico: i64) -> Call {
    let mut call = given::call(id, ms);
    call.source = CallSource::Gateway;
    call.agent = Some("planner".to_owned());
    call.cost_usd = Some(Usd::from_pico(pico));
    call
}

fn spent(ledger: &Ledger) -> Vec<Spent> {
    let (day, month) = (
        MIDNIGHT..MIDNIGHT + DAY,
        MIDNIGHT - 14 * DAY..MIDNIGHT + 16 * DAY,
    );
    let mut spent = ledger
        .spending(
            at(day.start)..at(day.end),
            at(month.start)..at(month.end),
            100,
        )
        .unwrap();
    spent.sort_by_key(|one| format!("{:?}", one.who));
    spent
}

fn each(day: i64, month: i64) -> Vec<Spent> {
    [
        Spender::Agent("planner".to_owned()),
        Spender::All,
        Spender::Key("app".to_owned()),
        Spender::User("ada".to_owned()),
    ]
    .map(|who| Spent {
        who,
        day: Usd::from_pico(day),
        month: Usd::from_pico(month),
    })
    .into()
}

#[test]
fn what_was_spent_is_there_after_the_worst() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let clock = Clock::new();
    clock.set(MIDNIGHT + DAY - 1);
    let (ledger, _) = Ledger::open_with(&path, options(&clock)).unwrap();
    ledger.record(call("a", MIDNIGHT, 1));
    ledger.record(call("b", MIDNIGHT + DAY - 1, 10));
    ledger.record(call("c", MIDNIGHT - 1, 100));
    ledger.record(call("d", MIDNIGHT - 15 * DAY, 1_000));
    // What others report of requests that may be these.
    ingest(&ledger, [given::call("a", MIDNIGHT)]);
    let mut unpriced = call("e", NOON, 0);
    unpriced.cost_usd = None;
    ledger.record(unpriced);
    assert_eq!(spent(&ledger), each(11, 111));

    // The file as it is: nobody closed it.
    let dead = folder.path().join("dead");
    fs::create_dir(&dead).unwrap();
    for name in ["ledger.db", "ledger.db-wal"] {
        fs::copy(folder.path().join(name), dead.join(name)).unwrap();
    }
    let (again, opening) = Ledger::open_with(dead.join("ledger.db"), options(&clock)).unwrap();
    assert!(opening.known_until.is_some());
    assert_eq!(spent(&again), each(11, 111));
    again.record(call("f", NOON, 10_000));
    assert_eq!(spent(&again), each(10_011, 10_111));
    assert_eq!(
        again
            .spending(at(0)..at(NOON), at(0)..at(NOON), 2)
            .unwrap()
            .len(),
        2
    );
}
