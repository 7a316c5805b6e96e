//! The event bus: a closed set of events, a ring in memory, subscriptions that resume.
//!
//! Theory of operation. Every event that is kept gets the next sequence number and a place in the
//! ring; a reader that comes back with the last number it saw is given what it missed, then everything
//! live, without a hole between the two. What the ring does not hold any more is read from a [`History`],
//! page by page, until the ring holds the next one ([`reader`]). Events that only paint the present
//! ([`EventBody::is_live_only`]) carry the number of the last kept event and no place in the ring:
//! they never move the point a reader resumes from.
//!
//! **Invariant:** publishing never waits. A reader that falls behind loses live paint first, is
//! given again what ring and history still hold, and is told of the rest by [`EventBody::Gap`].

mod reader;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cockpit_model::{Event, EventBody, Timestamp};
use futures_util::Stream;
use futures_util::future::BoxFuture;
use tokio::sync::broadcast;

use self::reader::Reader;

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
    /// How many events the ring holds.
    size: usize,
    live: broadcast::Sender<Arc<Event>>,
}

struct Ring {
    /// The number of the newest kept event; 0 before the first ever.
    last: u64,
    kept: VecDeque<Arc<Event>>,
}

impl Ring {
    /// The number of the oldest event that is held, or of the next one.
    fn oldest(&self) -> u64 {
        self.kept.front().map_or(self.last + 1, |event| event.seq)
    }

    /// What is held after that number.
    fn since(&self, after: u64) -> impl Iterator<Item = Arc<Event>> {
        let held = self.kept.iter();
        held.filter(move |event| event.seq > after).cloned()
    }
}

/// Where events are that the ring does not hold any more.
pub trait History: Send + Sync + 'static {
    /// The kept events after one number and up to another, oldest first, at most so many: all of
    /// them that were published before this was called and are there at all.
    ///
    /// # Errors
    /// Why they cannot be read.
    fn page(
        &self,
        after: u64,
        up_to: u64,
        limit: usize,
    ) -> BoxFuture<'static, Result<Vec<Event>, String>>;
}

impl Bus {
    /// A bus whose first kept event is numbered `last_seq + 1`, so that numbers never repeat over
    /// the lives of the engine.
    pub fn new(last_seq: u64) -> Self {
        Self::sized(last_seq, RING, LIVE)
    }

    fn sized(last_seq: u64, ring: usize, live: usize) -> Self {
        let (live, _) = broadcast::channel(live);
        let size = ring;
        let ring = Mutex::new(Ring {
            last: last_seq,
            kept: VecDeque::new(),
        });
        Self {
            shared: Arc::new(Shared { ring, size, live }),
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
            if ring.kept.len() >= self.shared.size {
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

    /// Everything from now on; with `after`, first what the ring still holds since that number.
    pub fn subscribe(&self, after: Option<u64>) -> impl Stream<Item = Event> + Send + use<> {
        self.stream(after, None)
    }

    /// Everything after that number, also what the ring does not hold any more.
    pub fn resume(
        &self,
        after: u64,
        history: Arc<dyn History>,
    ) -> impl Stream<Item = Event> + Send + use<> {
        self.stream(Some(after), Some(history))
    }

    fn stream(
        &self,
        after: Option<u64>,
        history: Option<Arc<dyn History>>,
    ) -> impl Stream<Item = Event> + Send + use<> {
        let reader = Reader::new(self.clone(), after, history);
        futures_util::stream::unfold(reader, |mut reader| async move {
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
