//! How keys are used: when last, and whether as they always were.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use cockpit_model::{EventBody, Timestamp};
use cockpit_resilience::access::{Profile, Settings, Unusual, Visit};

use crate::calendar;

/// Of one key, the same sort of unusual access is told no more often than this, in seconds.
const TELL_EVERY: i64 = 600;

/// How a key is used, to be remembered over a restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyUse {
    /// The key's name.
    pub name: String,
    /// When it was last used.
    pub last_used_at: Timestamp,
    /// What is remembered of its past, as a JSON text.
    pub profile: String,
}

/// See the module. Bounded by the keys there are.
pub(crate) struct Access {
    keys: Mutex<HashMap<String, Known>>,
    settings: Settings,
}

#[derive(Debug)]
struct Known {
    profile: Profile,
    last_used_at: Timestamp,
    /// Whether it was used since it was last written down.
    changed: bool,
    /// When each sort of unusual access was last told.
    told: HashMap<&'static str, i64>,
}

/// Unusual access to be counted, and, now and then, told.
pub(crate) struct Noticed {
    /// The stable word of a finding.
    pub(crate) what: &'static str,
    pub(crate) event: Option<EventBody>,
}

impl Access {
    pub(crate) fn new(remembered: Vec<KeyUse>) -> Self {
        let known = |one: KeyUse| {
            let profile = match serde_json::from_str(&one.profile) {
                Ok(profile) => profile,
                Err(error) => {
                    tracing::warn!(key = one.name, %error, "the past of a key cannot be read; it is learnt anew");
                    Profile::new(one.last_used_at)
                }
            };
            let known = Known {
                profile,
                last_used_at: one.last_used_at,
                changed: false,
                told: HashMap::new(),
            };
            (one.name, known)
        };
        Self {
            keys: Mutex::new(remembered.into_iter().map(known).collect()),
            settings: Settings::default(),
        }
    }

    fn keys(&self) -> MutexGuard<'_, HashMap<String, Known>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets the keys that are no more.
    pub(crate) fn retain(&self, is_there: impl Fn(&str) -> bool) {
        self.keys().retain(|name, _| is_there(name));
    }

    /// A key is used.
    pub(crate) fn visit(&self, key: &str, from: IpAddr, at: Timestamp) -> Vec<Noticed> {
        let network = network(from);
        let visit = Visit {
            at,
            hour: calendar::hour(at),
            from: &network,
        };
        let mut keys = self.keys();
        if !keys.contains_key(key) {
            let known = Known {
                profile: Profile::new(at),
                last_used_at: at,
                changed: true,
                told: HashMap::new(),
            };
            keys.insert(key.to_owned(), known);
        }
        let Some(known) = keys.get_mut(key) else {
            return Vec::new();
        };
        known.last_used_at = known.last_used_at.max(at);
        known.changed = true;
        let unusual = known.profile.visit(&visit, &self.settings);
        unusual
            .into_iter()
            .map(|unusual| {
                let what = what(&unusual);
                let second = at.as_second();
                let told = known.told.get(what);
                let rested = told.is_none_or(|told| (second - told).abs() >= TELL_EVERY);
                if rested {
                    known.told.insert(what, second);
                }
                Noticed {
                    what,
                    event: rested.then(|| event(key, from, visit.hour, &unusual)),
                }
            })
            .collect()
    }

    /// How each key is used, of those that were used since they were last asked for.
    pub(crate) fn changed(&self) -> Vec<KeyUse> {
        let mut keys = self.keys();
        let changed = keys.iter_mut().filter(|(_, known)| known.changed);
        changed
            .filter_map(|(name, known)| {
                known.changed = false;
                Some(KeyUse {
                    name: name.clone(),
                    last_used_at: known.last_used_at,
                    profile: serde_json::to_string(&known.profile).ok()?,
                })
            })
            .collect()
    }

    /// They could not be written down: they are answered again.
    pub(crate) fn not_written(&self, uses: &[KeyUse]) {
        let mut keys = self.keys();
        for one in uses {
            if let Some(known) = keys.get_mut(&one.name) {
                known.changed = true;
            }
        }
    }

    /// When each key was last used.
    pub(crate) fn last_used(&self) -> HashMap<String, Timestamp> {
        let keys = self.keys();
        keys.iter()
            .map(|(name, known)| (name.clone(), known.last_used_at))
            .collect()
    }
}

/// Addresses that count as one: of IPv6 whoever has one has the 64 bits behind it as well.
fn network(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) if address.is_loopback() => address.to_string(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{}/64", std::net::Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

const fn what(unusual: &Unusual) -> &'static str {
    match unusual {
        Unusual::Address { .. } => "unusual_address",
        Unusual::Hour { .. } => "unusual_hour",
        Unusual::Volume { .. } => "unusual_volume",
    }
}

fn event(key: &str, from: IpAddr, hour: u8, unusual: &Unusual) -> EventBody {
    let (what, seen, usual) = match unusual {
        Unusual::Address { usual } => ("address", from.to_string(), usual.join(", ")),
        Unusual::Hour { usual } => ("hour", stretch(hour, hour), stretches(usual)),
        Unusual::Volume { requests, usual } => (
            "volume",
            format!("{requests} requests in an hour"),
            format!("at most {usual} requests in an hour"),
        ),
    };
    EventBody::Access {
        key: key.to_owned(),
        what: what.to_owned(),
        from: from.to_string(),
        seen,
        usual,
    }
}

fn stretch(from: u8, to: u8) -> String {
    format!("{from:02}:00–{:02}:00", to + 1)
}

/// Hours as people say them: `08:00–12:00, 14:00–18:00`.
fn stretches(hours: &[u8]) -> String {
    let mut stretches: Vec<(u8, u8)> = Vec::new();
    for hour in hours {
        match stretches.last_mut() {
            Some((_, to)) if *to + 1 == *hour => *to = *hour,
            _ => stretches.push((*hour, *hour)),
        }
    }
    let texts: Vec<String> = stretches
        .into_iter()
        .map(|(from, to)| stretch(from, to))
        .collect();
    texts.join(", ")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn day(day: i64, second: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + day * 86_400 + second).unwrap()
    }

    fn used() -> Access {
        let access = Access::new(Vec::new());
        for n in 0..60 {
            assert!(access.visit("app", HERE, day(n / 20, n)).is_empty());
        }
        access
    }

    #[test]
    fn a_new_address_is_told_with_the_usual_ones_and_counted_when_it_is_not_told() {
        let access = used();
        let stranger = "203.0.113.7".parse().unwrap();
        let noticed = access.visit("app", stranger, day(3, 0));
        let [
            Noticed {
                what,
                event: Some(event),
            },
        ] = &noticed[..]
        else {
            panic!("one is told");
        };
        assert_eq!(*what, "unusual_address");
        let expected = EventBody::Access {
            key: "app".to_owned(),
            what: "address".to_owned(),
            from: "203.0.113.7".to_owned(),
            seen: "203.0.113.7".to_owned(),
            usual: "127.0.0.1".to_owned(),
        };
        assert_eq!(*event, expected);
        // Another stranger at once: counted.
        let other = "2001:db8::17".parse().unwrap();
        let noticed = access.visit("app", other, day(3, 1));
        assert!(noticed.iter().all(|one| one.event.is_none()) && noticed.len() == 1);
        // The same network is the same address.
        let neighbour = "2001:db8::18".parse().unwrap();
        assert!(access.visit("app", neighbour, day(3, 700)).is_empty());
        let third = "198.51.100.1".parse().unwrap();
        let noticed = access.visit("app", third, day(3, 701));
        assert!(noticed.iter().all(|one| one.event.is_some()) && noticed.len() == 1);
    }

    #[test]
    fn what_was_learnt_outlives_a_restart() {
        let access = used();
        let uses = access.changed();
        assert_eq!(uses.len(), 1);
        assert!(access.changed().is_empty(), "it is written down");
        access.not_written(&uses);
        assert_eq!(access.changed(), uses);
        let again = Access::new(uses);
        assert_eq!(again.last_used(), access.last_used());
        let stranger = "203.0.113.7".parse().unwrap();
        assert_eq!(again.visit("app", stranger, day(3, 0)).len(), 1);
        again.retain(|name| name != "app");
        assert!(again.last_used().is_empty());
    }

    #[test]
    fn hours_are_told_as_people_say_them() {
        assert_eq!(stretches(&[8, 9, 10, 23]), "08:00–11:00, 23:00–24:00");
        assert_eq!(stretches(&[]), "");
    }
}
