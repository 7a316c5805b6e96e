//! The waiting room in front of a provider: so many requests at once, the others wait their turn.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cockpit_model::traffic::QueueSpec;
use cockpit_resilience::queue::{Entered, Moved, Queue, Settings, Ticket};
use serde::Serialize;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::refusal::Refusal;

/// How full a waiting room is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct RoomView {
    /// Requests that are upstream.
    pub admitted: usize,
    /// Requests that wait.
    pub waiting: usize,
    /// How long the first of them has waited.
    pub longest_wait_ms: u64,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Room {
    origin: Instant,
    inside: Mutex<Inside>,
}

#[derive(Debug)]
struct Inside {
    queue: Queue,
    max_wait: Duration,
    waiting: HashMap<Ticket, oneshot::Sender<bool>>,
}

/// A place. Dropping it lets the next one in.
#[derive(Debug)]
pub(crate) struct Place {
    room: Arc<Room>,
    ticket: Option<Ticket>,
}

fn settings(spec: QueueSpec) -> Option<Settings> {
    let (concurrency, waiting) = (spec.concurrency as usize, spec.waiting as usize);
    Settings::new(concurrency, waiting, spec.max_wait).ok()
}

impl Room {
    /// `None` for settings that let nobody in, which no configuration has.
    pub(crate) fn new(spec: QueueSpec) -> Option<Arc<Self>> {
        Some(Arc::new(Self {
            origin: Instant::now(),
            inside: Mutex::new(Inside {
                queue: Queue::new(settings(spec)?),
                max_wait: spec.max_wait,
                waiting: HashMap::new(),
            }),
        }))
    }

    pub(crate) fn reconfigure(&self, spec: QueueSpec) {
        if let Some(settings) = settings(spec) {
            let now = self.origin.elapsed();
            let mut inside = self.inside();
            inside.max_wait = spec.max_wait;
            let moved = inside.queue.reconfigure(settings, now);
            inside.tell(moved);
        }
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        // The queue is whole between any two calls.
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn view(&self) -> RoomView {
        let now = self.origin.elapsed();
        let inside = self.inside();
        let longest = inside.queue.longest_wait(now).unwrap_or_default();
        RoomView {
            admitted: inside.queue.admitted(),
            waiting: inside.queue.waiting(),
            longest_wait_ms: u64::try_from(longest.as_millis()).unwrap_or(u64::MAX),
        }
    }

    /// Waits for a place.
    ///
    /// # Errors
    /// When there is none and no room to wait, or none became free in time.
    pub(crate) async fn enter(self: &Arc<Self>, provider: &str) -> Result<Place, Refusal> {
        let (ticket, turn, max_wait) = {
            let mut inside = self.inside();
            let now = self.origin.elapsed();
            let moved = inside.queue.expire(now);
            inside.tell(moved);
            match inside.queue.enter(now) {
                Entered::Admitted(ticket) => return Ok(self.place(ticket)),
                Entered::Waiting { ticket, .. } => {
                    let (sender, turn) = oneshot::channel();
                    inside.waiting.insert(ticket, sender);
                    (ticket, turn, inside.max_wait)
                }
                Entered::Full => {
                    return Err(Refusal::new(
                        "gateway_queue_full",
                        format!("too many requests wait for `{provider}` already; try again later"),
                    )
                    .retry_after(Some(Duration::from_secs(5))));
                }
            }
        };
        // Whoever goes away while waiting gives its place in the line back.
        let place = self.place(ticket);
        match tokio::time::timeout(max_wait, turn).await {
            Ok(Ok(true)) => Ok(place),
            _ => Err(Refusal::new(
                "gateway_queue_timeout",
                format!(
                    "no place became free at `{provider}` within {:.0} s; try again later",
                    max_wait.as_secs_f64()
                ),
            )
            .retry_after(Some(Duration::from_secs(5)))),
        }
    }

    fn place(self: &Arc<Self>, ticket: Ticket) -> Place {
        Place {
            room: Arc::clone(self),
            ticket: Some(ticket),
        }
    }
}

impl Inside {
    fn tell(&mut self, moved: Moved) {
        for (tickets, turn) in [(moved.admitted, true), (moved.expired, false)] {
            for ticket in tickets {
                if let Some(waiting) = self.waiting.remove(&ticket) {
                    // Who has gone meanwhile gives its place back by itself.
                    let _ = waiting.send(turn);
                }
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket.take() else {
            return;
        };
        let mut inside = self.room.inside();
        inside.waiting.remove(&ticket);
        let moved = inside.queue.leave(ticket, self.room.origin.elapsed());
        inside.tell(moved);
    }
}
