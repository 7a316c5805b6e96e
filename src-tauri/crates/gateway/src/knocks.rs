//! Whoever is not let in: every one is counted, and told of now and then.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cockpit_model::EventBody;
use tokio::time::Instant;

/// How often the same sort of refusal is told: strangers may knock as often as they like.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// See the module.
pub(crate) struct Knocks {
    origin: Instant,
    doors: Mutex<HashMap<&'static str, Door>>,
}

/// One sort of refusal.
#[derive(Debug)]
struct Door {
    told: Duration,
    /// Since then.
    untold: u64,
    last: IpAddr,
}

impl Default for Knocks {
    fn default() -> Self {
        Self {
            origin: Instant::now(),
            doors: Mutex::default(),
        }
    }
}

impl Knocks {
    fn doors(&self) -> MutexGuard<'_, HashMap<&'static str, Door>> {
        self.doors.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody was not let in; what is to be told of it now.
    pub(crate) fn note(&self, code: &'static str, from: IpAddr) -> Option<EventBody> {
        note(&mut self.doors(), code, from, self.origin.elapsed())
    }

    /// What is to be told of those who knocked in vain since somebody was last told of such.
    pub(crate) fn due(&self) -> Vec<EventBody> {
        due(&mut self.doors(), self.origin.elapsed())
    }
}

fn note(
    doors: &mut HashMap<&'static str, Door>,
    code: &'static str,
    from: IpAddr,
    now: Duration,
) -> Option<EventBody> {
    let Some(door) = doors.get_mut(code) else {
        let door = Door {
            told: now,
            untold: 0,
            last: from,
        };
        doors.insert(code, door);
        return Some(event(code, from, 1));
    };
    door.untold += 1;
    door.last = from;
    tell(code, door, now)
}

fn due(doors: &mut HashMap<&'static str, Door>, now: Duration) -> Vec<EventBody> {
    let doors = doors.iter_mut();
    doors
        .filter_map(|(code, door)| tell(code, door, now))
        .collect()
}

fn tell(code: &'static str, door: &mut Door, now: Duration) -> Option<EventBody> {
    if door.untold == 0 || now.saturating_sub(door.told) < TELL_EVERY {
        return None;
    }
    door.told = now;
    Some(event(code, door.last, std::mem::take(&mut door.untold)))
}

fn event(code: &str, from: IpAddr, count: u64) -> EventBody {
    EventBody::Refused {
        code: code.to_owned(),
        from: from.to_string(),
        count,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn each_sort_is_told_once_a_minute_with_how_many_there_were() {
        let mut doors = HashMap::new();
        let s = Duration::from_secs;
        let code = "caller_unauthorized";
        assert_eq!(
            note(&mut doors, code, HERE, s(0)),
            Some(event(code, HERE, 1))
        );
        for _ in 0..99 {
            assert_eq!(note(&mut doors, code, HERE, s(1)), None);
        }
        assert!(note(&mut doors, "policy_host", HERE, s(1)).is_some());
        assert_eq!(due(&mut doors, s(59)), []);
        // Nobody knocks any more, and yet the ninety-nine are told of.
        assert_eq!(due(&mut doors, s(60)), [event(code, HERE, 99)]);
        assert_eq!(due(&mut doors, s(200)), []);
        assert_eq!(
            note(&mut doors, code, HERE, s(201)),
            Some(event(code, HERE, 1))
        );
    }
}
