//! Today and this month, by the clock on the wall of the person who pays.

use std::sync::{Mutex, PoisonError};

use cockpit_model::Timestamp;
use cockpit_resilience::budget::{Period, Periods};
use jiff::tz::TimeZone;
use jiff::{ToSpan, Zoned};

/// The periods that it is now. Worked out anew when a day is over.
pub fn now() -> Periods {
    static KNOWN: Mutex<Option<Periods>> = Mutex::new(None);
    let now = Timestamp::now();
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    match *known {
        Some(periods) if (periods.day.starts..periods.day.ends).contains(&now) => periods,
        _ => *known.insert(at(now, TimeZone::system())),
    }
}

/// The hour of the day, from 0 to 23, by the same clock.
pub(crate) fn hour(at: Timestamp) -> u8 {
    let day = now().day;
    let hour = if (day.starts..day.ends).contains(&at) {
        at.duration_since(day.starts).as_hours()
    } else {
        i64::from(at.to_zoned(TimeZone::system()).hour())
    };
    // A day on which the clock is set back has an hour more.
    u8::try_from(hour.clamp(0, 23)).unwrap_or(0)
}

fn at(now: Timestamp, zone: TimeZone) -> Periods {
    let today = now.to_zoned(zone);
    // A day that does not begin (a change of zone over the date line) leaves the moment itself.
    let start = |day: &Zoned| day.start_of_day().map_or(now, |start| start.timestamp());
    let first = today.first_of_month().unwrap_or_else(|_| today.clone());
    let next = |day: &Zoned, span| {
        day.checked_add(span)
            .map_or(Timestamp::MAX, |day| start(&day))
    };
    Periods {
        day: Period {
            starts: start(&today),
            ends: next(&today, 1.day()),
        },
        month: Period {
            starts: start(&first),
            ends: next(&first, 1.month()),
        },
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn days_and_months_are_those_of_the_place() {
        // In Berlin this is the first of November, in the winter; in UTC it is still October.
        let now: Timestamp = "2026-10-31T23:30:00Z".parse().unwrap();
        let berlin = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        let periods = at(now, berlin);
        let text = |at: Timestamp| at.to_string();
        assert_eq!(text(periods.day.starts), "2026-10-31T23:00:00Z");
        assert_eq!(text(periods.day.ends), "2026-11-01T23:00:00Z");
        assert_eq!(text(periods.month.starts), "2026-10-31T23:00:00Z");
        assert_eq!(text(periods.month.ends), "2026-11-30T23:00:00Z");
    }
}
