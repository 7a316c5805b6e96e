//! The fault board: which fault is in force at a moment, and what it does to a request.
//!
//! A pure state machine: time is a parameter. [`crate::serving`] carries out what befalls the whole
//! service, [`super::layer`] what befalls single answers.

use std::time::{Duration, Instant};

use super::order::{Kind, Order};

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

#[derive(Debug, Clone)]
struct Active {
    order: Order,
    from: Instant,
    until: Option<Instant>,
    /// How many answers it still befalls; without end, where not told.
    left: Option<u64>,
}

impl Active {
    fn holds(&self, now: Instant) -> bool {
        self.left != Some(0) && self.until.is_none_or(|until| now < until)
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

    /// Puts a fault in force. One of a kind and a model holds at a time: a second order replaces the
    /// first.
    pub fn inject(&mut self, order: Order, now: Instant) {
        self.active.retain(|active| {
            let same = active.order.kind == order.kind && active.order.model == order.model;
            active.holds(now) && !same
        });
        self.active.push(Active {
            from: now,
            until: order
                .for_ms
                .and_then(|ms| now.checked_add(Duration::from_millis(ms))),
            left: order.times,
            order,
        });
    }

    /// Whether any fault of single answers is in force.
    pub fn has_answers(&self) -> bool {
        self.active
            .iter()
            .any(|active| active.order.is_of_answers())
    }

    /// The fault that befalls the answer of this model now. It counts against its `times`.
    pub fn answer(&mut self, model: &str, now: Instant) -> Option<Order> {
        let hit = self.active.iter_mut().find(|active| {
            let order = &active.order;
            order.is_of_answers()
                && active.holds(now)
                && order.model.as_deref().is_none_or(|only| only == model)
        })?;
        hit.left = hit.left.map(|left| left.saturating_sub(1));
        Some(hit.order.clone())
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
            .map(|active| active.order.clone())
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
            self.active.iter().find(|active| {
                active.order.kind == kind && !active.order.is_of_answers() && active.holds(now)
            })
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
            for_ms,
            ..Order::of(kind)
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
    fn an_answer_fault_is_counted_and_kept_to_its_model() {
        let t0 = Instant::now();
        let mut faults = Faults::new(Schedule::default(), t0);
        let twice = Order {
            times: Some(2),
            model: Some("a".to_owned()),
            ..Order::of(Kind::Reset)
        };
        faults.inject(twice, t0);
        assert_eq!(
            faults.effect(t0),
            Effect::Pass,
            "the service itself is well"
        );
        assert_eq!(faults.answer("b", t0), None);
        assert!(faults.answer("a", t0).is_some() && faults.answer("a", t0).is_some());
        assert_eq!(faults.answer("a", t0), None);
        let hang = Order {
            model: Some("a".to_owned()),
            ..Order::of(Kind::Hang)
        };
        faults.inject(hang, t0);
        assert_eq!(faults.effect(t0), Effect::Pass, "only that model hangs");
        assert_eq!(faults.answer("a", t0).map(|o| o.kind), Some(Kind::Hang));
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
