//! The fault board: which fault is in force at a moment, and what it does to a request.
//!
//! A pure state machine: time is a parameter. [`crate::serving`] carries out what it says.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// What can go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Connections are accepted, nothing is answered.
    Hang,
    /// Every request is answered with 500.
    Error,
    /// The process exits with 1.
    Crash,
    /// Every answer is late by `latency_ms` (3 s unless told).
    Slow,
    /// Two seconds well, two seconds in error, and so on.
    Flap,
    /// Memory grows by 16 MiB a second and is given back when the fault ends.
    Leak,
}

/// A fault as it is ordered: the body of `POST /_fault`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// What.
    pub kind: Kind,
    /// For how long; without it, until it is taken back.
    #[serde(default)]
    pub for_ms: Option<u64>,
    /// Of a slow answer.
    #[serde(default)]
    pub latency_ms: Option<u64>,
}

/// What happens to a request now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Nothing: it is answered.
    Pass,
    /// It is answered after this time.
    Delay(Duration),
    /// It is answered with 500.
    Fail,
    /// The double is not ready yet: 503.
    NotReady,
    /// It is not answered before this moment (then judged again); never, without one.
    Hang(Option<Instant>),
}

/// Faults fixed at the start, as times since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Schedule {
    /// Not ready before.
    pub ready_after: Option<Duration>,
    /// Hangs from then on.
    pub hang_after: Option<Duration>,
    /// Exits then.
    pub crash_after: Option<Duration>,
}

#[derive(Debug, Clone, Copy)]
struct Active {
    order: Order,
    from: Instant,
    until: Option<Instant>,
}

impl Active {
    fn holds(&self, now: Instant) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

/// The board.
#[derive(Debug)]
pub struct Faults {
    started: Instant,
    schedule: Schedule,
    active: Vec<Active>,
}

/// How long each half of a flap lasts.
const FLAP: Duration = Duration::from_secs(2);
/// How late a slow answer is, unless told.
const SLOW: Duration = Duration::from_secs(3);
/// What a leak adds in a second.
const LEAK_PER_SECOND: u64 = 16 << 20;

impl Faults {
    /// A board that starts now.
    pub const fn new(schedule: Schedule, now: Instant) -> Self {
        Self {
            started: now,
            schedule,
            active: Vec::new(),
        }
    }

    /// Puts a fault in force. One of a kind holds at a time: a second order replaces the first.
    pub fn inject(&mut self, order: Order, now: Instant) {
        self.active
            .retain(|active| active.holds(now) && active.order.kind != order.kind);
        self.active.push(Active {
            order,
            from: now,
            until: order
                .for_ms
                .and_then(|ms| now.checked_add(Duration::from_millis(ms))),
        });
    }

    /// Takes all ordered faults back; the schedule of the flags stays.
    pub fn clear(&mut self) {
        self.active.clear();
    }

    /// The faults in force.
    pub fn in_force(&self, now: Instant) -> Vec<Order> {
        self.active
            .iter()
            .filter(|active| active.holds(now))
            .map(|active| active.order)
            .collect()
    }

    /// Whether the double's start is over.
    pub fn is_ready(&self, now: Instant) -> bool {
        self.schedule
            .ready_after
            .is_none_or(|after| now.duration_since(self.started) >= after)
    }

    /// Whether the process must exit now.
    pub fn is_crash_due(&self, now: Instant) -> bool {
        let scheduled = self
            .schedule
            .crash_after
            .is_some_and(|after| now.duration_since(self.started) >= after);
        scheduled
            || self
                .active
                .iter()
                .any(|active| active.order.kind == Kind::Crash)
    }

    /// Bytes that a leak holds now.
    pub fn leaked_bytes(&self, now: Instant) -> u64 {
        self.active
            .iter()
            .filter(|active| active.order.kind == Kind::Leak && active.holds(now))
            .map(|active| {
                let seconds = now.duration_since(active.from).as_secs();
                seconds.saturating_mul(LEAK_PER_SECOND)
            })
            .sum()
    }

    /// What happens to a request at this moment: the worst fault in force decides.
    pub fn effect(&self, now: Instant) -> Effect {
        if let Some(after) = self.schedule.hang_after
            && now.duration_since(self.started) >= after
        {
            return Effect::Hang(None);
        }
        let of = |kind: Kind| {
            self.active
                .iter()
                .find(|active| active.order.kind == kind && active.holds(now))
        };
        if let Some(hang) = of(Kind::Hang) {
            return Effect::Hang(hang.until);
        }
        if !self.is_ready(now) {
            return Effect::NotReady;
        }
        if of(Kind::Error).is_some() {
            return Effect::Fail;
        }
        if let Some(flap) = of(Kind::Flap) {
            let half = now.duration_since(flap.from).as_millis() / FLAP.as_millis();
            // It begins in error, so that ordering it is seen at once.
            if half.is_multiple_of(2) {
                return Effect::Fail;
            }
        }
        if let Some(slow) = of(Kind::Slow) {
            return Effect::Delay(slow.order.latency_ms.map_or(SLOW, Duration::from_millis));
        }
        Effect::Pass
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(kind: Kind, for_ms: Option<u64>) -> Order {
        Order {
            kind,
            for_ms,
            latency_ms: None,
        }
    }

    #[test]
    fn a_fault_ends_by_itself() {
        let t0 = Instant::now();
        let mut faults = Faults::new(Schedule::default(), t0);
        assert_eq!(faults.effect(t0), Effect::Pass);
        faults.inject(order(Kind::Error, Some(1000)), t0);
        assert_eq!(faults.effect(t0 + Duration::from_millis(999)), Effect::Fail);
        assert_eq!(
            faults.effect(t0 + Duration::from_millis(1000)),
            Effect::Pass
        );
        assert!(faults.in_force(t0 + Duration::from_secs(1)).is_empty());
    }

    #[test]
    fn a_hang_outranks_an_error_and_says_until_when() {
        let t0 = Instant::now();
        let mut faults = Faults::new(Schedule::default(), t0);
        faults.inject(order(Kind::Error, None), t0);
        faults.inject(order(Kind::Hang, Some(500)), t0);
        let end = t0 + Duration::from_millis(500);
        assert_eq!(faults.effect(t0), Effect::Hang(Some(end)));
        assert_eq!(faults.effect(end), Effect::Fail);
        faults.clear();
        assert_eq!(faults.effect(end), Effect::Pass);
    }

    #[test]
    fn flapping_begins_in_error_and_turns_every_two_seconds() {
        let t0 = Instant::now();
        let mut faults = Faults::new(Schedule::default(), t0);
        faults.inject(order(Kind::Flap, None), t0);
        let seen: Vec<Effect> = (0..4).map(|n| faults.effect(t0 + FLAP * n)).collect();
        assert_eq!(
            seen,
            [Effect::Fail, Effect::Pass, Effect::Fail, Effect::Pass]
        );
    }

    #[test]
    fn the_schedule_counts_from_the_start() {
        let t0 = Instant::now();
        let schedule = Schedule {
            ready_after: Some(Duration::from_secs(1)),
            hang_after: Some(Duration::from_secs(5)),
            crash_after: Some(Duration::from_secs(9)),
        };
        let faults = Faults::new(schedule, t0);
        let at = |seconds| t0 + Duration::from_secs(seconds);
        assert_eq!(faults.effect(at(0)), Effect::NotReady);
        assert_eq!(faults.effect(at(1)), Effect::Pass);
        assert_eq!(faults.effect(at(5)), Effect::Hang(None));
        assert!(!faults.is_crash_due(at(8)));
        assert!(faults.is_crash_due(at(9)));
    }

    #[test]
    fn a_leak_grows_and_is_given_back() {
        let t0 = Instant::now();
        let mut faults = Faults::new(Schedule::default(), t0);
        faults.inject(order(Kind::Leak, Some(3500)), t0);
        assert_eq!(
            faults.leaked_bytes(t0 + Duration::from_secs(3)),
            3 * LEAK_PER_SECOND
        );
        assert_eq!(faults.leaked_bytes(t0 + Duration::from_secs(4)), 0);
    }
}
