//! Whether a key is used as it always was: from where, when, and how much.
//!
//! A [`Profile`] is what is remembered of one key's own past: the addresses it came from, on how many days of
//! the last weeks it was used in each hour of the day, and the most requests of an hour. A request that does
//! not fit is [`Unusual`], once: from then on it belongs to the past as well.
//!
//! **It learns before it judges** ([`Settings`]): nothing of the hour or the volume is unusual in the first
//! week. And it does not judge what tells nothing: of a key that comes from more addresses than are remembered,
//! a new one is nothing new.
//!
//! **Its size is fixed,** whatever the traffic, and it can be written down and read again between any two
//! requests. Times are the wall clock's, since they must outlive the process; the hour of the day is the
//! caller's to know.

use cockpit_model::Timestamp;
use serde::{Deserialize, Serialize};

/// Addresses that are remembered.
const ADDRESSES: usize = 32;
/// Addresses that a finding names as the usual ones.
const TOLD: usize = 3;
const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;
const HOURS: usize = 24;
/// Less than this of a day in the last weeks is never.
const NEVER: f64 = 0.5;

/// When it judges.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// How long a key has been used before a new address is told of, in seconds.
    pub learn_addresses: i64,
    /// How many requests it has made by then.
    pub address_requests: u64,
    /// How long a key has been used before hours and volumes are judged, in seconds.
    pub learn_hours: i64,
    /// How many requests it has made by then.
    pub hour_requests: u64,
    /// In this time half of what was learnt of hours and volumes is forgotten, in seconds.
    pub half_life: i64,
    /// So many times the most requests of an hour in the past …
    pub times: f64,
    /// … and at least so many, are far more than ever.
    pub at_least: u64,
    /// An address that was not seen for so long gives its place to another, in seconds.
    pub forget_addresses: i64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            learn_addresses: DAY,
            address_requests: 20,
            learn_hours: 7 * DAY,
            hour_requests: 100,
            half_life: 28 * DAY,
            times: 5.0,
            at_least: 100,
            forget_addresses: 90 * DAY,
        }
    }
}

/// A request.
#[derive(Debug, Clone, Copy)]
pub struct Visit<'a> {
    /// When.
    pub at: Timestamp,
    /// The hour of the day, from 0 to 23, where the key's owner lives.
    pub hour: u8,
    /// From which address, in a form in which two that count as one are equal.
    pub from: &'a str,
}

/// What does not fit a key's own past.
#[derive(Debug, Clone, PartialEq)]
pub enum Unusual {
    /// It comes from an address that it never came from.
    Address {
        /// Where it came from of late, the latest first; a few.
        usual: Vec<String>,
    },
    /// It is used at an hour of the day at which it never was, nor in the hours beside it.
    Hour {
        /// The hours at which it was used, in order.
        usual: Vec<u8>,
    },
    /// It is used far more than ever.
    Volume {
        /// The requests of this hour so far.
        requests: u64,
        /// The most of an hour before.
        usual: u64,
    },
}

/// What is remembered of a key; see the module.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    /// Its first request, in Unix seconds.
    first: i64,
    requests: u64,
    /// When each address was last seen, in Unix seconds.
    addresses: Vec<(String, i64)>,
    /// On how many days it was used at each hour; fading.
    hours: [f64; HOURS],
    /// The most requests of an hour that is over; fading.
    peak: f64,
    /// The hour under way, since the epoch.
    hour: i64,
    /// Its requests.
    count: u64,
    /// Whether its volume was found unusual.
    told: bool,
}

impl Profile {
    /// Of a key that is used for the first time.
    pub fn new(at: Timestamp) -> Self {
        Self {
            first: at.as_second(),
            requests: 0,
            addresses: Vec::new(),
            hours: [0.0; HOURS],
            peak: 0.0,
            hour: i64::MIN,
            count: 0,
            told: false,
        }
    }

    /// Notes a request, and says what of it does not fit.
    pub fn visit(&mut self, visit: &Visit<'_>, settings: &Settings) -> Vec<Unusual> {
        let now = visit.at.as_second();
        let age = now.saturating_sub(self.first);
        let mut unusual = Vec::new();
        let judged = age >= settings.learn_addresses && self.requests >= settings.address_requests;
        unusual.extend(self.address(visit.from, now, judged, settings));
        let judged = age >= settings.learn_hours && self.requests >= settings.hour_requests;
        if self.turn(now.div_euclid(HOUR), settings) {
            unusual.extend(self.hour(visit.hour, judged));
        }
        self.count = self.count.saturating_add(1);
        unusual.extend(self.volume(judged, settings));
        self.requests = self.requests.saturating_add(1);
        unusual
    }

    fn address(
        &mut self,
        from: &str,
        now: i64,
        judged: bool,
        settings: &Settings,
    ) -> Option<Unusual> {
        if let Some((_, seen)) = self.addresses.iter_mut().find(|(one, _)| one == from) {
            *seen = now.max(*seen);
            return None;
        }
        let oldest = now.saturating_sub(settings.forget_addresses);
        self.addresses.retain(|(_, seen)| *seen >= oldest);
        self.addresses.sort_by(|(_, a), (_, b)| b.cmp(a));
        // With all places taken it comes from everywhere: one more says nothing.
        let telling = self.addresses.len() < ADDRESSES && !self.addresses.is_empty();
        self.addresses.truncate(ADDRESSES - 1);
        let usual = self.addresses.iter().take(TOLD);
        let found = (judged && telling).then(|| Unusual::Address {
            usual: usual.map(|(one, _)| one.clone()).collect(),
        });
        self.addresses.push((from.to_owned(), now));
        found
    }

    /// Goes on to another hour, if it is one; whether it is.
    fn turn(&mut self, hour: i64, settings: &Settings) -> bool {
        let day = DAY / HOUR;
        // A clock that is set back a little changes nothing; one that is set back by more was wrong before.
        if (self.hour.saturating_sub(day)..=self.hour).contains(&hour) {
            return false;
        }
        if self.hour != i64::MIN {
            self.peak = self.peak.max(self.count as f64);
            let passed = hour.saturating_sub(self.hour).max(0) as f64;
            let half_life = (settings.half_life as f64 / HOUR as f64).max(1.0);
            let left = 0.5_f64.powf(passed / half_life);
            self.peak *= left;
            for days in &mut self.hours {
                *days *= left;
            }
        }
        self.hour = hour;
        self.count = 0;
        self.told = false;
        true
    }

    fn hour(&mut self, hour: u8, judged: bool) -> Option<Unusual> {
        let hour = usize::from(hour) % HOURS;
        let at = |hour: usize| self.hours.get(hour % HOURS).copied().unwrap_or(0.0);
        let known = at(hour) + at(hour + 1) + at(hour + HOURS - 1) >= NEVER;
        let found = (judged && !known).then(|| Unusual::Hour {
            usual: (0_u8..24)
                .filter(|hour| at(usize::from(*hour)) >= NEVER)
                .collect(),
        });
        if let Some(days) = self.hours.get_mut(hour) {
            *days += 1.0;
        }
        found
    }

    fn volume(&mut self, judged: bool, settings: &Settings) -> Option<Unusual> {
        let far = self.count >= settings.at_least && self.count as f64 > settings.times * self.peak;
        if !judged || self.told || !far {
            return None;
        }
        self.told = true;
        Some(Unusual::Volume {
            requests: self.count,
            usual: self.peak.round() as u64,
        })
    }
}

#[cfg(test)]
mod tests;
