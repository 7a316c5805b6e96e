//! The life of one tree, as a state machine: what happened goes in, what to do comes out. No I/O, no clock.
//!
//! ```text
//!            Spawned            Stop                    grace over, Kill
//!   Empty ───────────▶ Running ──────▶ Stopping ───────────────────────▶ Killing
//!     ▲                   │               │                                 │
//!     │   nothing left    │ nothing left  │                                 │ nothing left
//!     └───────────────────┴───────────────┴─────────────────────────────────┘
//!                         │ leader gone, something left: SIGKILL to it at once ▶ Killing
//! ```
//!
//! A stop is for the *tree*. The signal goes to the leader's group. Who left the group (PostgreSQL's backends have
//! their own sessions) gets it only once the leader is gone: a leader that is told to stop ends its own children
//! in its own order. What is left when the grace is over is killed, again and again, until nothing is left.
//!
//! What is left of a leader that died by itself is killed at once: its orphans hold ports and locks that the
//! successor needs, and they have lost the one who would tell them what to do.

use std::time::{Duration, Instant};

use crate::protocol::StopSpec;
use crate::tree::Identity;

/// The first pause between two rounds of SIGKILL; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(2);
/// The longest.
const LAST_PAUSE: Duration = Duration::from_millis(200);
/// After this long it is told who is still there.
const LINGERING: Duration = Duration::from_secs(2);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Empty,
    Running {
        leader: Identity,
    },
    Stopping {
        /// `None`: it is gone, the rest is waited for.
        leader: Option<Identity>,
        signal: i32,
        deadline: Instant,
    },
    Killing {
        leader: Option<Identity>,
        requested: bool,
        next: Instant,
        pause: Duration,
        tell_at: Instant,
    },
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Input {
    /// A child was started.
    Spawned(Identity),
    /// It shall end gracefully.
    Stop(StopSpec),
    /// It shall end at once.
    Kill,
    /// Children were reaped.
    Reaped {
        /// The leader was among them.
        leader: bool,
        /// Nothing of the tree is left.
        empty: bool,
    },
    /// Time passed.
    Tick,
}

/// What to do about it, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// Signal the process group of this leader, which was not reaped yet.
    SignalGroup(Identity, i32),
    /// Signal everything that is left.
    SignalRest(i32),
    /// SIGKILL to everything that is left.
    KillAll,
    /// The leader ended.
    Exited {
        /// As it was asked to.
        requested: bool,
    },
    /// Nothing is left.
    TreeEmpty,
    /// Tell who is left.
    Lingering,
}

/// The machine.
#[derive(Debug)]
pub(super) struct Machine {
    phase: Phase,
}

impl Machine {
    pub(super) fn new() -> Self {
        Self {
            phase: Phase::Empty,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.phase == Phase::Empty
    }

    /// The leader, as long as it was not reaped.
    pub(super) fn leader(&self) -> Option<Identity> {
        match self.phase {
            Phase::Empty => None,
            Phase::Running { leader } => Some(leader),
            Phase::Stopping { leader, .. } | Phase::Killing { leader, .. } => leader,
        }
    }

    /// Whether a stop or a kill is under way.
    pub(super) fn is_stopping(&self) -> bool {
        matches!(self.phase, Phase::Stopping { .. } | Phase::Killing { .. })
    }

    /// When `Tick` is due.
    pub(super) fn next_tick(&self) -> Option<Instant> {
        match self.phase {
            Phase::Empty | Phase::Running { .. } => None,
            Phase::Stopping { deadline, .. } => Some(deadline),
            Phase::Killing { next, .. } => Some(next),
        }
    }

    pub(super) fn step(&mut self, input: Input, now: Instant) -> Vec<Effect> {
        match input {
            Input::Spawned(leader) => {
                self.phase = Phase::Running { leader };
                Vec::new()
            }
            Input::Stop(stop) => self.stop(stop, now),
            Input::Kill => match self.phase {
                Phase::Empty => vec![Effect::TreeEmpty],
                Phase::Killing { .. } => Vec::new(),
                Phase::Running { .. } | Phase::Stopping { .. } => self.kill(true, now),
            },
            Input::Reaped { leader, empty } => self.reaped(leader, empty, now),
            Input::Tick => self.tick(now),
        }
    }

    fn stop(&mut self, stop: StopSpec, now: Instant) -> Vec<Effect> {
        let leader = match self.phase {
            Phase::Empty => return vec![Effect::TreeEmpty],
            Phase::Killing { .. } => return Vec::new(),
            Phase::Running { leader } => Some(leader),
            Phase::Stopping { leader, .. } => leader,
        };
        if stop.grace_ms == 0 {
            return self.kill(true, now);
        }
        // A grace beyond what the clock can tell is as good as a year.
        let deadline = now
            .checked_add(Duration::from_millis(stop.grace_ms))
            .unwrap_or(now + Duration::from_secs(365 * 86_400));
        self.phase = Phase::Stopping {
            leader,
            signal: stop.signal,
            deadline,
        };
        vec![match leader {
            Some(leader) => Effect::SignalGroup(leader, stop.signal),
            None => Effect::SignalRest(stop.signal),
        }]
    }

    fn kill(&mut self, requested: bool, now: Instant) -> Vec<Effect> {
        self.phase = Phase::Killing {
            leader: self.leader(),
            requested,
            next: now + FIRST_PAUSE,
            pause: FIRST_PAUSE,
            tell_at: now + LINGERING,
        };
        vec![Effect::KillAll]
    }

    fn reaped(&mut self, leader_gone: bool, empty: bool, now: Instant) -> Vec<Effect> {
        let mut effects = Vec::new();
        if leader_gone && self.leader().is_some() {
            let requested = match self.phase {
                Phase::Empty | Phase::Running { .. } => false,
                Phase::Stopping { .. } => true,
                Phase::Killing { requested, .. } => requested,
            };
            effects.push(Effect::Exited { requested });
            match &mut self.phase {
                Phase::Empty => {}
                Phase::Running { .. } if empty => {}
                Phase::Running { .. } => effects.extend(self.kill(false, now)),
                Phase::Stopping { leader, signal, .. } => {
                    *leader = None;
                    if !empty {
                        effects.push(Effect::SignalRest(*signal));
                    }
                }
                Phase::Killing { leader, .. } => *leader = None,
            }
            // The one that `kill` kept is the one that is gone.
            if let Phase::Killing { leader, .. } = &mut self.phase {
                *leader = None;
            }
        }
        // A leader that was not reaped is a child: then the tree is not empty, whatever was seen.
        let leaderless = leader_gone || self.leader().is_none();
        if empty && leaderless && !self.is_empty() {
            self.phase = Phase::Empty;
            effects.push(Effect::TreeEmpty);
        }
        effects
    }

    fn tick(&mut self, now: Instant) -> Vec<Effect> {
        match &mut self.phase {
            Phase::Empty | Phase::Running { .. } => Vec::new(),
            Phase::Stopping { deadline, .. } if now >= *deadline => self.kill(true, now),
            Phase::Stopping { .. } => Vec::new(),
            Phase::Killing {
                next,
                pause,
                tell_at,
                ..
            } => {
                if now < *next {
                    return Vec::new();
                }
                *pause = (*pause * 2).min(LAST_PAUSE);
                *next = now + *pause;
                let mut effects = vec![Effect::KillAll];
                if now >= *tell_at {
                    *tell_at = now + LINGERING * 5;
                    effects.push(Effect::Lingering);
                }
                effects
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use proptest::prelude::*;

    use super::*;

    const LEADER: Identity = Identity {
        pid: 7,
        start_time: 1,
    };
    const TERM: StopSpec = StopSpec {
        signal: 15,
        grace_ms: 1000,
    };

    fn running(now: Instant) -> Machine {
        let mut machine = Machine::new();
        assert!(machine.step(Input::Spawned(LEADER), now).is_empty());
        machine
    }

    fn reaped(leader: bool, empty: bool) -> Input {
        Input::Reaped { leader, empty }
    }

    #[test]
    fn a_death_with_nothing_left_is_two_words() {
        let now = Instant::now();
        let mut machine = running(now);
        assert_eq!(
            machine.step(reaped(true, true), now),
            [Effect::Exited { requested: false }, Effect::TreeEmpty]
        );
        assert!(machine.is_empty());
    }

    #[test]
    fn what_a_dead_leader_leaves_is_killed_at_once() {
        let now = Instant::now();
        let mut machine = running(now);
        assert_eq!(
            machine.step(reaped(true, false), now),
            [Effect::Exited { requested: false }, Effect::KillAll]
        );
        assert_eq!(machine.leader(), None);
        assert_eq!(machine.step(Input::Tick, now), []);
        let later = machine.next_tick().unwrap();
        assert_eq!(machine.step(Input::Tick, later), [Effect::KillAll]);
        assert_eq!(
            machine.step(reaped(false, true), later),
            [Effect::TreeEmpty]
        );
    }

    #[test]
    fn a_stop_asks_the_group_then_the_rest_then_kills() {
        let now = Instant::now();
        let mut machine = running(now);
        assert_eq!(
            machine.step(Input::Stop(TERM), now),
            [Effect::SignalGroup(LEADER, 15)]
        );
        assert_eq!(
            machine.step(reaped(true, false), now),
            [Effect::Exited { requested: true }, Effect::SignalRest(15)]
        );
        assert_eq!(
            machine.step(Input::Tick, now + Duration::from_millis(999)),
            []
        );
        let over = now + Duration::from_millis(1000);
        assert_eq!(machine.step(Input::Tick, over), [Effect::KillAll]);
        assert_eq!(
            machine.step(Input::Tick, over + LINGERING),
            [Effect::KillAll, Effect::Lingering]
        );
        assert_eq!(machine.step(reaped(false, true), over), [Effect::TreeEmpty]);
    }

    fn inputs() -> impl Strategy<Value = Input> {
        prop_oneof![
            (0..3000_u64).prop_map(|grace_ms| Input::Stop(StopSpec {
                signal: 15,
                grace_ms
            })),
            Just(Input::Kill),
            Just(reaped(false, false)),
            Just(Input::Tick),
        ]
    }

    proptest! {
        /// Whatever is asked while it lives: one exit is told, then that the tree is empty, each once and in this
        /// order, and nothing is signalled after that.
        #[test]
        fn every_life_ends_once(before in prop::collection::vec(inputs(), 0..20), between in prop::collection::vec(inputs(), 0..20)) {
            let mut now = Instant::now();
            let mut machine = running(now);
            let mut told = Vec::new();
            let all = before.into_iter().chain([reaped(true, false)]).chain(between).chain([reaped(false, true)]);
            for input in all {
                now += Duration::from_millis(300);
                told.extend(machine.step(input, now));
                prop_assert!(machine.is_empty() || machine.leader().is_some() || machine.next_tick().is_some());
            }
            prop_assert!(machine.is_empty());
            let exits = told.iter().filter(|e| matches!(e, Effect::Exited { .. })).count();
            prop_assert_eq!(exits, 1);
            prop_assert_eq!(told.iter().filter(|e| **e == Effect::TreeEmpty).count(), 1);
            prop_assert_eq!(told.last(), Some(&Effect::TreeEmpty));
            prop_assert_eq!(machine.step(Input::Tick, now + LINGERING), []);
        }
    }
}
