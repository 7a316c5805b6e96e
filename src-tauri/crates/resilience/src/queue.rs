//! The waiting room in front of a local model.
//!
//! A machine computes a few answers at a time; asked for more at once it does all of them badly. So a limited
//! number is admitted, a limited number waits its turn in order, each for a limited time, and only then is
//! anybody turned away: a burst waits instead of failing.
//!
//! Every ticket ends once: by [`Queue::leave`], whether it was admitted or still waits, or by running out of
//! time ([`Moved::expired`]). Whoever holds one leaves on every way out. Ending an ended one again does nothing,
//! so a caller that goes away just as its turn comes need not know which came first.

use std::collections::VecDeque;
use std::time::Duration;

/// How much room there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    limit: usize,
    max_waiting: usize,
    max_wait: Duration,
}

/// Settings no queue can be made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ZeroLimit;

impl std::fmt::Display for ZeroLimit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the concurrency is zero; give it at least 1")
    }
}

impl std::error::Error for ZeroLimit {}

impl Settings {
    /// So many at once, so many waiting, each so long.
    ///
    /// # Errors
    /// When nobody would ever be admitted.
    pub const fn new(
        limit: usize,
        max_waiting: usize,
        max_wait: Duration,
    ) -> Result<Self, ZeroLimit> {
        if limit == 0 {
            return Err(ZeroLimit);
        }
        Ok(Self {
            limit,
            max_waiting,
            max_wait,
        })
    }
}

/// Somebody's place, admitted or waiting. Numbers are never given twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(u64);

/// What came of entering.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entered {
    /// Go on at once.
    Admitted(Ticket),
    /// Wait until [`Moved`] names the ticket.
    Waiting {
        /// The place.
        ticket: Ticket,
        /// Among those who wait, from 1.
        position: usize,
    },
    /// Nobody more may wait.
    Full,
}

/// Who is to be told what.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Moved {
    /// They waited and may go on.
    pub admitted: Vec<Ticket>,
    /// They waited too long; their tickets have ended.
    pub expired: Vec<Ticket>,
}

/// See the module.
#[derive(Debug)]
pub struct Queue {
    settings: Settings,
    next: u64,
    admitted: Vec<Ticket>,
    /// With the moments they entered, the longest first. Nobody waits while there is room.
    waiting: VecDeque<(Ticket, Duration)>,
}

impl Queue {
    /// An empty one.
    pub const fn new(settings: Settings) -> Self {
        Self {
            settings,
            next: 0,
            admitted: Vec::new(),
            waiting: VecDeque::new(),
        }
    }

    /// Takes new settings. Nobody who is in is turned away by them.
    pub fn reconfigure(&mut self, settings: Settings, now: Duration) -> Moved {
        self.settings = settings;
        self.expire(now)
    }

    /// Somebody comes. Whoever's time is up has to be expired before ([`Self::expire`]), else they keep their places.
    pub fn enter(&mut self, now: Duration) -> Entered {
        let ticket = Ticket(self.next);
        if self.admitted.len() < self.settings.limit {
            self.admitted.push(ticket);
        } else if self.waiting.len() < self.settings.max_waiting {
            // A moment before the last one would break the order that expiry relies on.
            let now = self.waiting.back().map_or(now, |(_, last)| now.max(*last));
            self.waiting.push_back((ticket, now));
        } else {
            return Entered::Full;
        }
        self.next += 1;
        match self.waiting.len() {
            0 => Entered::Admitted(ticket),
            position => Entered::Waiting { ticket, position },
        }
    }

    /// Somebody is done, or goes before their turn came.
    pub fn leave(&mut self, ticket: Ticket, now: Duration) -> Moved {
        if let Some(index) = self.admitted.iter().position(|one| *one == ticket) {
            self.admitted.swap_remove(index);
        } else if let Ok(index) = self.waiting.binary_search_by_key(&ticket, |(one, _)| *one) {
            self.waiting.remove(index);
        }
        self.expire(now)
    }

    /// Ends the tickets of those who waited too long, and lets the next in where there is room.
    pub fn expire(&mut self, now: Duration) -> Moved {
        let mut moved = Moved::default();
        while let Some((ticket, _)) = self
            .waiting
            .pop_front_if(|(_, entered)| now.saturating_sub(*entered) >= self.settings.max_wait)
        {
            moved.expired.push(ticket);
        }
        while self.admitted.len() < self.settings.limit
            && let Some((ticket, _)) = self.waiting.pop_front()
        {
            self.admitted.push(ticket);
            moved.admitted.push(ticket);
        }
        moved
    }

    /// How many are admitted.
    pub const fn admitted(&self) -> usize {
        self.admitted.len()
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// How long the first of them has waited.
    pub fn longest_wait(&self, now: Duration) -> Option<Duration> {
        let (_, entered) = self.waiting.front()?;
        Some(now.saturating_sub(*entered))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    const S: fn(u64) -> Duration = Duration::from_secs;

    fn queue(limit: usize, waiting: usize) -> Queue {
        Queue::new(Settings::new(limit, waiting, S(10)).unwrap())
    }

    fn admitted(tickets: &[Ticket]) -> Moved {
        Moved {
            admitted: tickets.to_vec(),
            expired: Vec::new(),
        }
    }

    #[test]
    fn a_burst_waits_in_order_and_only_then_is_turned_away() {
        let mut queue = queue(1, 2);
        let Entered::Admitted(first) = queue.enter(S(0)) else {
            panic!("there is room")
        };
        let (second, third) = (Ticket(1), Ticket(2));
        assert_eq!(
            queue.enter(S(1)),
            Entered::Waiting {
                ticket: second,
                position: 1
            }
        );
        assert_eq!(
            queue.enter(S(2)),
            Entered::Waiting {
                ticket: third,
                position: 2
            }
        );
        assert_eq!(queue.enter(S(2)), Entered::Full);
        assert_eq!(queue.longest_wait(S(3)), Some(S(2)));
        assert_eq!(queue.leave(first, S(3)), admitted(&[second]));
        assert_eq!(queue.leave(first, S(3)), Moved::default());
        assert_eq!(queue.leave(second, S(4)), admitted(&[third]));
    }

    #[test]
    fn whoever_waited_too_long_is_told() {
        let mut queue = queue(1, 5);
        let Entered::Admitted(first) = queue.enter(S(0)) else {
            panic!("there is room")
        };
        queue.enter(S(1));
        queue.enter(S(5));
        assert_eq!(queue.expire(S(10)), Moved::default());
        assert_eq!(queue.expire(S(11)).expired, [Ticket(1)]);
        let moved = queue.leave(first, S(15));
        assert_eq!(
            moved,
            Moved {
                admitted: vec![],
                expired: vec![Ticket(2)]
            }
        );
        assert_eq!(queue.admitted(), 0);
    }

    #[test]
    fn new_settings_let_more_in_and_turn_nobody_away() {
        let mut queue = queue(2, 5);
        (0..5).for_each(|_| {
            queue.enter(S(0));
        });
        let more = Settings::new(4, 0, S(10)).unwrap();
        assert_eq!(
            queue.reconfigure(more, S(1)),
            admitted(&[Ticket(2), Ticket(3)])
        );
        let fewer = Settings::new(1, 0, S(10)).unwrap();
        assert_eq!(queue.reconfigure(fewer, S(1)), Moved::default());
        assert_eq!((queue.admitted(), queue.waiting()), (4, 1));
        assert_eq!(Settings::new(0, 1, S(1)), Err(ZeroLimit));
    }

    #[derive(Debug, Clone, Copy)]
    enum Op {
        Enter,
        Leave(usize),
        Pass(u64),
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            3 => Just(Op::Enter),
            3 => any::<usize>().prop_map(Op::Leave),
            1 => (0_u64..6).prop_map(Op::Pass),
        ]
    }

    proptest! {
        /// Against a plain list: never too many, nobody overtakes, no place is lost, every ticket ends once.
        #[test]
        fn keeps_its_promises(
            limit in 1_usize..5, most in 0_usize..6, ops in proptest::collection::vec(op(), 1..300),
        ) {
            let mut queue = queue(limit, most);
            let mut now = S(0);
            let mut inside = BTreeSet::new();
            let mut waiting: BTreeMap<Ticket, Duration> = BTreeMap::new();
            let mut ended = BTreeSet::new();
            for op in ops {
                let moved = match op {
                    Op::Enter => {
                        match queue.enter(now) {
                            Entered::Admitted(ticket) => {
                                prop_assert!(waiting.is_empty());
                                prop_assert!(inside.insert(ticket) && !ended.contains(&ticket));
                            }
                            Entered::Waiting { ticket, position } => {
                                prop_assert_eq!(inside.len(), limit);
                                waiting.insert(ticket, now);
                                prop_assert_eq!(position, waiting.len());
                                prop_assert_eq!(waiting.keys().last(), Some(&ticket));
                            }
                            Entered::Full => prop_assert_eq!((inside.len(), waiting.len()), (limit, most)),
                        }
                        Moved::default()
                    }
                    Op::Leave(n) => {
                        let tickets: Vec<_> = inside.iter().chain(waiting.keys()).chain(&ended).copied().collect();
                        if tickets.is_empty() { continue }
                        let ticket = tickets[n % tickets.len()];
                        if inside.remove(&ticket) || waiting.remove(&ticket).is_some() {
                            prop_assert!(ended.insert(ticket));
                        }
                        queue.leave(ticket, now)
                    }
                    Op::Pass(seconds) => {
                        now += S(seconds);
                        queue.expire(now)
                    }
                };
                for ticket in moved.expired {
                    prop_assert!(now - waiting.remove(&ticket).unwrap() >= S(10));
                    prop_assert!(ended.insert(ticket));
                }
                for ticket in moved.admitted {
                    prop_assert_eq!(waiting.pop_first().unwrap().0, ticket);
                    prop_assert!(inside.insert(ticket));
                }
                prop_assert!(inside.len() <= limit);
                prop_assert!(waiting.is_empty() || inside.len() == limit, "no place is lost");
                prop_assert!(waiting.values().all(|entered| now - *entered < S(10)));
                prop_assert_eq!((queue.admitted(), queue.waiting()), (inside.len(), waiting.len()));
            }
        }
    }
}
