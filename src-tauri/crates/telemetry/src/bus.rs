//! The event bus: a closed set of events, a ring in memory, subscriptions that resume.
//!
//! Theory of operation. Every event that is kept gets the next sequence number and a place in the
//! ring; a reader that comes back with the last number it saw is given what it missed from the
//! ring, then everything live, without a hole between the two. Events that only paint the present
//! ([`EventBody::is_live_only`]) carry the number of the last kept event and no place in the ring:
//! they never move the point a reader resumes from.
//!
//! **Invariant:** publishing never waits. A reader that falls behind loses live paint first, is
//! given again what the ring still holds, and is told of the rest by [`EventBody::Gap`].

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cockpit_model::{Event, EventBody, Timestamp};
use futures_util::Stream;
use tokio::sync::broadcast::{self, error::RecvError};

/// How many kept events stay in memory for readers that come back.
pub const RING: usize = 4096;
/// How many events a reader may lag behind before it is served from the ring again.
const LIVE: usize = 1024;

/// Where everything that happens passes through. Clones share one bus.
#[derive(Clone)]
pub struct Bus {
    shared: Arc<Shared>,
}

struct Shared {
    ring: Mutex<Ring>,
    live: broadcast::Sender<Arc<Event>>,
}

struct Ring {
    /// The number of the newest kept event; 0 before the first ever.
    last: u64,
    kept: VecDeque<Arc<Event>>,
}

impl Ring {
    /// What is held after `after`, and how many are no longer held; `None` when `after` is from a
    /// future this bus has not seen (a number of another life whose end was not written down).
    fn since(&self, after: u64) -> (Vec<Arc<Event>>, Option<u64>) {
        if after > self.last {
            return (self.kept.iter().cloned().collect(), None);
        }
        let oldest = self.kept.front().map_or(self.last + 1, |e| e.seq);
        let lost = oldest.saturating_sub(after + 1);
        let rest = self
            .kept
            .iter()
            .filter(|e| e.seq > after)
            .cloned()
            .collect();
        (rest, Some(lost))
    }
}

impl Bus {
    /// A bus whose first kept event is numbered `last_seq + 1`, so that numbers never repeat over
    /// the lives of the engine.
    pub fn new(last_seq: u64) -> Self {
        let (live, _) = broadcast::channel(LIVE);
        let ring = Mutex::new(Ring {
            last: last_seq,
            kept: VecDeque::new(),
        });
        Self {
            shared: Arc::new(Shared { ring, live }),
        }
    }

    /// Tells everybody. Never waits. Answers the event with its number.
    pub fn publish(&self, at: Timestamp, body: EventBody) -> Arc<Event> {
        let mut ring = self.ring();
        let keep = !body.is_live_only();
        if keep {
            ring.last += 1;
        }
        let event = Arc::new(Event {
            seq: ring.last,
            at,
            body,
        });
        if keep {
            if ring.kept.len() == RING {
                ring.kept.pop_front();
            }
            ring.kept.push_back(Arc::clone(&event));
        }
        // Sent under the lock: the order of numbers is the order on the wire. An error only says
        // that nobody listens.
        let _ = self.shared.live.send(Arc::clone(&event));
        event
    }

    /// The number of the newest kept event.
    pub fn last_seq(&self) -> u64 {
        self.ring().last
    }

    /// How many subscriptions are alive.
    pub fn readers(&self) -> usize {
        self.shared.live.receiver_count()
    }

    /// Everything from now on; with `after`, first what was kept since that number.
    pub fn subscribe(&self, after: Option<u64>) -> impl Stream<Item = Event> + Send + use<> {
        let (live, cursor, backlog) = {
            // Under the lock, so that nothing is published between the look back and the live part.
            let ring = self.ring();
            let live = self.shared.live.subscribe();
            let mut backlog = VecDeque::new();
            if let Some(after) = after {
                let (rest, lost) = ring.since(after);
                if lost != Some(0) {
                    backlog.push_back(gap(ring.last, lost));
                }
                backlog.extend(rest.iter().map(|e| Event::clone(e)));
            }
            (live, ring.last, backlog)
        };
        let state = Reader {
            bus: self.clone(),
            live,
            cursor,
            backlog,
        };
        futures_util::stream::unfold(state, |mut reader| async move {
            let event = reader.next().await?;
            Some((event, reader))
        })
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        // A poisoned ring is whole: every change to it is a few moves that cannot panic half way.
        self.shared
            .ring
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

struct Reader {
    bus: Bus,
    live: broadcast::Receiver<Arc<Event>>,
    /// The newest kept event handed out, or put into the backlog.
    cursor: u64,
    backlog: VecDeque<Event>,
}

impl Reader {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.backlog.pop_front() {
                return Some(event);
            }
            match self.live.recv().await {
                Ok(event) if event.body.is_live_only() => return Some(Event::clone(&event)),
                // Already given from the ring.
                Ok(event) if event.seq <= self.cursor => {}
                Ok(event) => {
                    self.cursor = event.seq;
                    return Some(Event::clone(&event));
                }
                Err(RecvError::Lagged(missed)) => {
                    let ring = self.bus.ring();
                    let (rest, _) = ring.since(self.cursor);
                    let again = u64::try_from(rest.len()).unwrap_or(u64::MAX);
                    // Live paint was lost in any case: the gap tells a screen to read afresh.
                    self.backlog
                        .push_back(gap(ring.last, Some(missed.saturating_sub(again))));
                    self.backlog.extend(rest.iter().map(|e| Event::clone(e)));
                    self.cursor = ring.last;
                }
                Err(RecvError::Closed) => return None,
            }
        }
    }
}

fn gap(seq: u64, missed: Option<u64>) -> Event {
    Event {
        seq,
        at: Timestamp::UNIX_EPOCH,
        body: EventBody::Gap { missed },
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        reason = "tests"
    )]

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
}
