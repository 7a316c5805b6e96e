#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::collections::BTreeMap;

use cockpit_model::Mark;
use futures_util::{FutureExt, StreamExt};
use proptest::prelude::*;

use super::*;

fn kept(n: u64) -> EventBody {
    EventBody::Mark(Mark::Restart {
        service: format!("s{n}"),
    })
}

fn paint() -> EventBody {
    EventBody::ServiceRemoved {
        service: "gone".into(),
    }
}

/// Everything a subscription can give without waiting.
fn drain(stream: impl Stream<Item = Event>) -> Vec<Event> {
    let mut stream = Box::pin(stream);
    let mut all = Vec::new();
    while let Some(Some(event)) = stream.next().now_or_never() {
        all.push(event);
    }
    all
}

#[test]
fn numbers_continue_after_the_last_life() {
    let bus = Bus::new(41);
    assert_eq!(bus.publish(Timestamp::UNIX_EPOCH, kept(0)).seq, 42);
    assert_eq!(bus.publish(Timestamp::UNIX_EPOCH, paint()).seq, 42);
    assert_eq!(bus.publish(Timestamp::UNIX_EPOCH, kept(1)).seq, 43);
}

#[test]
fn a_number_from_another_life_is_answered_with_an_unknown_gap() {
    let bus = Bus::new(0);
    bus.publish(Timestamp::UNIX_EPOCH, kept(0));
    let got = drain(bus.subscribe(Some(99)));
    assert_eq!(got[0].body, EventBody::Gap { missed: None });
    assert_eq!(got[1].seq, 1);
}

#[test]
fn a_reader_that_falls_behind_gets_the_ring_again_and_is_told() {
    let bus = Bus::new(0);
    let stream = bus.subscribe(Some(0));
    for n in 0..(LIVE as u64 * 2) {
        bus.publish(Timestamp::UNIX_EPOCH, kept(n));
    }
    let got = drain(stream);
    assert!(matches!(got[0].body, EventBody::Gap { missed: Some(_) }));
    let seqs: Vec<u64> = got[1..].iter().map(|e| e.seq).collect();
    assert_eq!(seqs, (1..=LIVE as u64 * 2).collect::<Vec<_>>());
}

proptest! {
    /// However publishing, reading and coming back interleave, a reader sees every kept event
    /// once, in order, as long as the ring holds it; what it does not hold is a counted gap.
    #[test]
    fn a_reader_that_comes_back_misses_nothing(
        before in 0u64..200, seen in 0u64..200, after in 0u64..200, paints in 0u64..5,
    ) {
        let bus = Bus::new(0);
        for n in 0..before { bus.publish(Timestamp::UNIX_EPOCH, kept(n)); }
        let seen = seen.min(before);
        let stream = bus.subscribe(Some(seen));
        for n in 0..after {
            bus.publish(Timestamp::UNIX_EPOCH, kept(n));
            for _ in 0..paints { bus.publish(Timestamp::UNIX_EPOCH, paint()); }
        }
        let got = drain(stream);
        let seqs: Vec<u64> =
            got.iter().filter(|e| !e.body.is_live_only()).map(|e| e.seq).collect();
        prop_assert_eq!(seqs, (seen + 1..=before + after).collect::<Vec<_>>());
    }
}

/// Events on a disk, and the engine that goes on while they are read.
struct Past {
    bus: Bus,
    stored: Mutex<BTreeMap<u64, Event>>,
    /// How many events are published while each of the next pages is under way.
    bursts: Mutex<Vec<u64>>,
    fails: bool,
}

impl Past {
    fn publish(&self) {
        let event = self.bus.publish(Timestamp::UNIX_EPOCH, kept(0));
        self.stored
            .lock()
            .unwrap()
            .insert(event.seq, Event::clone(&event));
    }

    fn burst(&self) {
        let burst = self.bursts.lock().unwrap().pop();
        for _ in 0..burst.unwrap_or(0) {
            self.publish();
        }
    }
}

impl History for Past {
    fn page(
        &self,
        after: u64,
        up_to: u64,
        limit: usize,
    ) -> BoxFuture<'static, Result<Vec<Event>, String>> {
        let page = {
            let stored = self.stored.lock().unwrap();
            let page = stored.range(after + 1..=up_to).take(limit);
            page.map(|(_, event)| event.clone()).collect()
        };
        self.burst();
        let page = if self.fails {
            Err("the disk is gone".to_owned())
        } else {
            Ok(page)
        };
        futures_util::future::ready(page).boxed()
    }
}

/// The numbers of the kept events; between two that do not follow each other stands a gap.
fn numbers(after: u64, got: &[Event]) -> Vec<u64> {
    let (mut last, mut told) = (after, false);
    let mut numbers = Vec::new();
    for event in got {
        if event.body.is_live_only() {
            told = true;
            continue;
        }
        assert!(event.seq > last, "{} after {last}", event.seq);
        assert!(
            told || event.seq == last + 1,
            "{} after {last} without a word",
            event.seq
        );
        (last, told) = (event.seq, false);
        numbers.push(event.seq);
    }
    numbers
}

#[test]
fn what_the_ring_has_lost_comes_from_the_history_in_pages() {
    let bus = Bus::new(0);
    let past = Arc::new(Past {
        bus: bus.clone(),
        stored: Mutex::default(),
        bursts: Mutex::default(),
        fails: false,
    });
    let all = 3 * RING as u64 + 7;
    for _ in 0..all {
        past.publish();
    }
    let got = drain(bus.resume(5, past));
    assert_eq!(got.len() as u64, all - 5, "and no gap");
    assert_eq!(numbers(5, &got), (6..=all).collect::<Vec<_>>());
}

#[test]
fn a_history_that_cannot_be_read_is_a_gap_and_what_the_ring_holds() {
    let bus = Bus::sized(0, 8, 16);
    let past = Arc::new(Past {
        bus: bus.clone(),
        stored: Mutex::default(),
        bursts: Mutex::default(),
        fails: true,
    });
    for _ in 0..20 {
        past.publish();
    }
    let got = drain(bus.resume(3, past));
    assert_eq!(got[0].body, EventBody::Gap { missed: None });
    assert_eq!(numbers(3, &got), (13..=20).collect::<Vec<_>>());
}

proptest! {
    /// Over any number of lives, ended in any way, whatever retention has dropped and whatever happens
    /// meanwhile: a reader that comes back is given every event that is there, once and in order, and
    /// is told where some are not.
    #[test]
    fn past_and_present_are_joined_without_a_hole_or_a_repetition(
        lives in proptest::collection::vec((0u64..400, 0u64..3, 1u64..60), 0..4),
        dropped in 0usize..300,
        seen in 0u64..1500,
        now in 0u64..30,
        bursts in proptest::collection::vec(0u64..40, 0..6),
        read_first in 0usize..20,
    ) {
        let mut stored = BTreeMap::new();
        let mut last = 0;
        for (events, lost, jump) in lives {
            let life = Bus::new(last);
            let published: Vec<_> =
                (0..events).map(|_| life.publish(Timestamp::UNIX_EPOCH, kept(0))).collect();
            let (lost, jump) = if lost == 0 { (0, 0) } else { (lost.min(events), jump) };
            for event in published.iter().take(usize::try_from(events - lost).unwrap()) {
                stored.insert(event.seq, Event::clone(event));
            }
            last += events + jump;
        }
        let whole = stored.keys().copied().eq(1..=last);
        let stored: BTreeMap<_, _> = stored.into_iter().skip(dropped).collect();
        let bus = Bus::sized(last, 8, 16);
        let quiet = bursts.is_empty();
        let past = Arc::new(Past {
            bus: bus.clone(),
            stored: Mutex::new(stored),
            bursts: Mutex::new(bursts),
            fails: false,
        });
        for _ in 0..now { past.publish(); }
        let seen = seen.min(last + now);
        let mut stream = Box::pin(bus.resume(seen, past.clone()));
        let mut got = Vec::new();
        for _ in 0..read_first {
            got.extend(stream.next().now_or_never().flatten());
        }
        past.burst();
        while let Some(Some(event)) = stream.next().now_or_never() {
            got.push(event);
            past.burst();
        }
        let there: Vec<u64> = past.stored.lock().unwrap().keys().copied().filter(|seq| *seq > seen).collect();
        prop_assert_eq!(numbers(seen, &got), there);
        if quiet && whole && dropped == 0 {
            prop_assert!(got.iter().all(|event| !event.body.is_live_only()), "a gap where nothing is missing");
        }
    }
}
