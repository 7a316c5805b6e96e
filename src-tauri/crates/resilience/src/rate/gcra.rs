//! One limit, by the generic cell rate algorithm.
//!
//! In its form as a leaky bucket: what is used fills the bucket, and it drains evenly, a whole limit in a
//! period. A burst may use the whole limit at once; after it, capacity comes back bit by bit, so there is no
//! edge of a window at which twice the limit passes. The level is kept in whole numbers (cost × nanoseconds),
//! so that nothing is lost to rounding however often it is used.
//!
//! What is set aside for requests under way stands beside what was really used, and drains only while nothing of that is
//! left to drain. So an estimate never stands in for a real cost: when a request is settled, what remains of its own
//! estimate goes, whatever else is in the bucket stays, and its real cost comes in.

use std::time::Duration;

/// A real cost may exceed what was reserved, and the debt is worked off before anything else passes. A number
/// that some upstream made up must not shut a caller out for ever: the debt is at most this many limits.
const MOST_DEBT: i128 = 10;

/// So much in such a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    limit: u64,
    period: Duration,
}

/// Settings no limit can be made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvalidRate {
    /// A limit of zero would let nothing through.
    ZeroLimit,
    /// Without a period there is no rate.
    ZeroPeriod,
    /// Nobody waits that long.
    LongPeriod,
}

impl std::fmt::Display for InvalidRate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::ZeroLimit => "the limit is zero; give it at least 1",
            Self::ZeroPeriod => "the period has no length; give it at least 1 ms",
            Self::LongPeriod => "the period is longer than 1000 days; make it shorter",
        })
    }
}

impl std::error::Error for InvalidRate {}

impl Settings {
    /// `limit` in `period`.
    ///
    /// # Errors
    /// When that would let nothing through, or is no rate.
    pub const fn new(limit: u64, period: Duration) -> Result<Self, InvalidRate> {
        if limit == 0 {
            return Err(InvalidRate::ZeroLimit);
        }
        if period.is_zero() {
            return Err(InvalidRate::ZeroPeriod);
        }
        if period.as_secs() > 1000 * 86_400 {
            return Err(InvalidRate::LongPeriod);
        }
        Ok(Self { limit, period })
    }

    /// `limit` in a minute.
    ///
    /// # Errors
    /// When that would let nothing through.
    pub const fn per_minute(limit: u64) -> Result<Self, InvalidRate> {
        Self::new(limit, Duration::from_secs(60))
    }

    const fn period(&self) -> i128 {
        self.period.as_nanos() as i128
    }

    /// A full bucket, in cost × nanoseconds.
    const fn capacity(&self) -> i128 {
        self.scaled(self.limit)
    }

    const fn scaled(&self, cost: u64) -> i128 {
        cost as i128 * self.period()
    }

    /// How long until so much has drained, to the nanosecond above.
    fn drain_time(&self, amount: i128) -> Duration {
        let limit = i128::from(self.limit);
        let nanos = amount.max(0).saturating_add(limit - 1) / limit;
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

/// What the headers `x-ratelimit-{limit,remaining,reset}-…` say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Headroom {
    /// The limit itself.
    pub limit: u64,
    /// What could be used at once now.
    pub remaining: u64,
    /// When all of it is there again.
    pub reset: Duration,
}

/// See the module.
#[derive(Debug, Clone)]
pub struct Gcra {
    settings: Settings,
    /// What was really used, and has not drained.
    used: i128,
    /// What is set aside for requests under way, and has not drained.
    held: i128,
    /// What was set aside for requests under way.
    open: i128,
    /// The moment `used` and `held` are of.
    at: Duration,
}

impl Gcra {
    /// With nothing used.
    pub const fn new(settings: Settings) -> Self {
        Self {
            settings,
            used: 0,
            held: 0,
            open: 0,
            at: Duration::ZERO,
        }
    }

    /// Takes new settings; what is used stays used.
    pub fn reconfigure(&mut self, settings: Settings, now: Duration) {
        self.drain(now);
        if settings.period != self.settings.period {
            for amount in [&mut self.used, &mut self.held, &mut self.open] {
                *amount = (*amount / self.settings.period()).saturating_mul(settings.period());
            }
        }
        self.settings = settings;
    }

    /// What drains in such a time, if there is so much.
    fn drained(&self, since: Duration, now: Duration) -> i128 {
        let passed = now.saturating_sub(since).as_nanos();
        i128::try_from(passed)
            .unwrap_or(i128::MAX)
            .saturating_mul(i128::from(self.settings.limit))
    }

    fn level(&self, now: Duration) -> i128 {
        let level = self.used.saturating_add(self.held);
        level.saturating_sub(self.drained(self.at, now)).max(0)
    }

    fn drain(&mut self, now: Duration) {
        let drained = self.drained(self.at, now);
        let of_held = drained.saturating_sub(self.used).max(0);
        self.used = self.used.saturating_sub(drained).max(0);
        self.held = self.held.saturating_sub(of_held).max(0);
        self.at = self.at.max(now);
    }

    /// How long until so much may be used; zero: now. What is more than the whole limit may be used when
    /// nothing else is (and leaves a debt): an estimate must not be a reason to refuse for ever.
    pub fn wait_for(&self, cost: u64, now: Duration) -> Duration {
        let settings = &self.settings;
        let room_from = (settings.capacity() - settings.scaled(cost)).max(0);
        settings.drain_time(self.level(now) - room_from)
    }

    /// The most that stands in the bucket. What stood there before a limit was lowered is no reason to forget it.
    fn most(&self) -> i128 {
        let most = self.settings.capacity().saturating_mul(MOST_DEBT + 1);
        most.max(self.used.saturating_add(self.held))
    }

    /// Sets so much aside, whether there is room or not; how much that was.
    pub(super) fn take(&mut self, cost: u64, now: Duration) -> u64 {
        self.drain(now);
        let room = self.most() - self.used - self.held;
        let whole = u64::try_from(room / self.settings.period()).unwrap_or(u64::MAX);
        let taken = cost.min(whole);
        self.held = self.held.saturating_add(self.settings.scaled(taken));
        self.open = self.open.saturating_add(self.settings.scaled(taken));
        taken
    }

    /// Puts the real cost in the place of what was set aside at some moment.
    pub(super) fn settle(&mut self, taken: u64, at: Duration, real: u64, now: Duration) {
        self.drain(now);
        let taken = self.settings.scaled(taken);
        self.open = self.open.saturating_sub(taken).max(0);
        // What is left of it: not less than if all that drained since were of it, and nobody else's either.
        let own = taken.saturating_sub(self.drained(at, now)).max(0);
        self.held = self.held.saturating_sub(own).clamp(0, self.open);
        let most = self.most() - self.held;
        let used = self.used.saturating_add(self.settings.scaled(real));
        self.used = used.min(most);
    }

    /// Whether nothing of it is used, or under way.
    pub(super) fn is_idle(&self, now: Duration) -> bool {
        self.open == 0 && self.level(now) == 0
    }

    /// What is left.
    pub fn headroom(&self, now: Duration) -> Headroom {
        let settings = &self.settings;
        let level = self.level(now);
        let room = (settings.capacity() - level).max(0) / settings.period();
        Headroom {
            limit: settings.limit,
            remaining: u64::try_from(room).unwrap_or(u64::MAX),
            reset: settings.drain_time(level),
        }
    }
}
