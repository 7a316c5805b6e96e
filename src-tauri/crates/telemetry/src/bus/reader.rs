//! One reader of the bus: first what it missed, then everything live.

use std::collections::VecDeque;
use std::sync::Arc;

use cockpit_model::{Event, EventBody, Timestamp};
use tokio::sync::broadcast::{self, error::RecvError};

use super::{Bus, History};

/// Events that are read from the history at once.
pub(super) const PAGE: usize = 256;

/// See the module.
pub(super) struct Reader {
    bus: Bus,
    history: Option<Arc<dyn History>>,
    /// Open from the start, so that nothing falls between what is looked up and what is live.
    live: broadcast::Receiver<Arc<Event>>,
    /// The newest kept event handed out, or put into the backlog.
    cursor: u64,
    /// To be handed out next.
    backlog: VecDeque<Arc<Event>>,
    /// Whether what was missed is still being looked up.
    behind: bool,
}

impl Reader {
    pub(super) fn new(bus: Bus, after: Option<u64>, history: Option<Arc<dyn History>>) -> Self {
        let (live, last) = {
            // Under the lock, so that nothing is published between the two.
            let ring = bus.ring();
            (bus.shared.live.subscribe(), ring.last)
        };
        let mut reader = Self {
            bus,
            history,
            live,
            cursor: after.unwrap_or(last),
            backlog: VecDeque::new(),
            behind: after.is_some(),
        };
        if reader.behind {
            // What the ring holds now is held on to: it may turn over before the reader asks.
            reader.join();
        }
        reader
    }

    pub(super) async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.backlog.pop_front() {
                return Some(Event::clone(&event));
            }
            if self.behind {
                if !self.join() {
                    self.look_up().await;
                }
                continue;
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
                    // Live paint was lost in any case: the gap tells a screen to read afresh. What
                    // was kept is looked up.
                    let kept = self.bus.last_seq().saturating_sub(self.cursor);
                    self.gap(Some(missed.saturating_sub(kept)));
                    self.behind = true;
                }
                Err(RecvError::Closed) => return None,
            }
        }
    }

    /// Takes what the ring holds, if that begins where the reader is; from then on it is not behind.
    fn join(&mut self) -> bool {
        let bus = self.bus.clone();
        let ring = bus.ring();
        if self.cursor > ring.last {
            // A number of another life whose end was not written down.
            self.cursor = ring.oldest().saturating_sub(1);
            self.gap(None);
        }
        let lost = ring.oldest().saturating_sub(self.cursor + 1);
        if lost > 0 {
            if self.history.is_some() {
                return false;
            }
            self.gap(Some(lost));
        }
        self.backlog.extend(ring.since(self.cursor));
        self.cursor = ring.last;
        self.behind = false;
        true
    }

    /// Reads the next page of what the ring does not hold.
    async fn look_up(&mut self) {
        let Some(history) = self.history.clone() else {
            return;
        };
        let up_to = self.bus.ring().oldest().saturating_sub(1);
        let page = history.page(self.cursor, up_to, PAGE).await;
        let page = page.unwrap_or_else(|error| {
            tracing::warn!(%error, "what a reader missed cannot be read");
            Vec::new()
        });
        if page.is_empty() {
            // Nothing of it is there any more.
            self.cursor = up_to;
            self.gap(None);
        }
        for event in page {
            if event.seq <= self.cursor {
                continue;
            }
            if event.seq != self.cursor + 1 {
                // Dropped by retention, or lost with an engine that ended abruptly: numbers go on
                // somewhat further then, so how many there were cannot be told.
                self.gap(None);
            }
            self.cursor = event.seq;
            self.backlog.push_back(Arc::new(event));
        }
    }

    fn gap(&mut self, missed: Option<u64>) {
        self.backlog.push_back(Arc::new(Event {
            seq: self.cursor,
            at: Timestamp::UNIX_EPOCH,
            body: EventBody::Gap { missed },
        }));
    }
}
