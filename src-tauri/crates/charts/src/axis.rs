//! Scales, ticks, and figures as people write them. Pure.

use std::time::Duration;

use jiff::Timestamp;

use crate::layout::Tick;

/// A gibibyte, in bytes.
pub(crate) const GIB: f64 = (1_u64 << 30) as f64;

/// What an axis counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    Percent,
    Gib,
    Dollars,
    Milliseconds,
    Count,
}

impl Unit {
    /// The axis' end and its ticks, for a highest value.
    pub(crate) fn axis(self, highest: f64) -> (f64, Vec<Tick<f64>>) {
        let step = match self {
            Self::Percent => 25.0,
            // The first power of two that needs no more than five steps.
            Self::Gib => (-2..24)
                .map(|power| 2_f64.powi(power))
                .find(|step| highest <= step * 5.0)
                .unwrap_or(f64::MAX / 8.0),
            Self::Dollars | Self::Milliseconds => round_step(highest, -12),
            Self::Count => round_step(highest, 0),
        };
        let count = match self {
            Self::Percent => 4,
            _ => ((highest / step).ceil() as u32).clamp(2, 5),
        };
        let top = f64::from(count) * step;
        let ticks = (0..=count)
            .map(|i| {
                let at = f64::from(i) * step;
                let label = match self {
                    Self::Percent => format!("{at}%"),
                    Self::Gib => format!("{at} GiB"),
                    Self::Dollars if i == 0 => "$0".to_owned(),
                    Self::Milliseconds if i == 0 => "0".to_owned(),
                    Self::Dollars => {
                        let decimals = decimals(step);
                        // Whole cents, as money is written.
                        let decimals = if decimals == 1 { 2 } else { decimals };
                        format!("${at:.decimals$}")
                    }
                    Self::Milliseconds if top >= 1000.0 => {
                        format!("{:.*} s", decimals(step / 1000.0), at / 1000.0)
                    }
                    Self::Milliseconds => format!("{:.*} ms", decimals(step), at),
                    // In the unit of its end.
                    Self::Count if top >= 1e5 && at > 0.0 && at < 1e5 => format!("{}k", at / 1e3),
                    Self::Count => short(at),
                };
                Tick { at, label }
            })
            .collect();
        (top, ticks)
    }

    pub(crate) fn figure(self, value: f64) -> String {
        match self {
            Self::Percent if value < 10.0 => format!("{value:.1}%"),
            Self::Percent => format!("{value:.0}%"),
            Self::Gib => format!("{value:.1} GiB"),
            Self::Dollars => dollars(value),
            Self::Milliseconds if value < 10.0 => format!("{value:.1} ms"),
            Self::Milliseconds if value < 1000.0 => format!("{value:.0} ms"),
            Self::Milliseconds if value < 99_950.0 => format!("{:.1} s", value / 1000.0),
            Self::Milliseconds => format!("{:.0} s", value / 1000.0),
            Self::Count => short(value),
        }
    }
}

/// The first of 1, 2 or 5 times a power of ten, from `least` on, that needs no more than five steps.
fn round_step(highest: f64, least: i32) -> f64 {
    (least..300)
        .flat_map(|power| [1.0, 2.0, 5.0].map(|part| part * 10_f64.powi(power)))
        .find(|step| highest <= step * 5.0)
        .unwrap_or(f64::MAX / 8.0)
}

/// Decimals that tell multiples of a step apart.
fn decimals(step: f64) -> usize {
    let whole = |decimals: &i32| {
        let scaled = step * 10_f64.powi(*decimals);
        (scaled - scaled.round()).abs() < 1e-6 * scaled.max(1e-300)
    };
    (0..15).find(whole).unwrap_or(15).unsigned_abs() as usize
}

/// An amount: whole cents from a dollar on, two figures that count below a cent.
fn dollars(value: f64) -> String {
    if value == 0.0 {
        return "$0".to_owned();
    }
    if value >= 10_000.0 {
        return format!("${}", short(value));
    }
    if value >= 0.995 {
        return format!("${value:.2}");
    }
    let power = value.log10().floor();
    format!("${value:.*}", (1.0 - power).clamp(2.0, 12.0) as usize)
}

/// A count in few characters: `950`, `12,400`, `3.4M`.
pub(crate) fn short(value: f64) -> String {
    let whole = value.round();
    for (unit, name) in [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e5, "k")] {
        if whole >= unit {
            let unit = if name == "k" { 1e3 } else { unit };
            let part = whole / unit;
            let digits = usize::from(part < 99.95 && (part - part.round()).abs() > 0.049);
            return format!("{part:.digits$}{name}");
        }
    }
    grouped(whole as u64)
}

/// A count with its thousands apart.
pub(crate) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 request`, `2 requests`.
pub(crate) fn counted(count: u64, what: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{} {what}{s}", grouped(count))
}

/// A length of time: `15 minutes`; of one, the unit alone where `one` is none.
pub(crate) fn length(time: Duration, one: Option<&str>) -> String {
    let seconds = time.as_secs().max(1);
    let (count, name) = match seconds {
        s if s >= 2 * 86_400 && s.is_multiple_of(86_400) => (s / 86_400, "day"),
        s if s >= 3600 && s.is_multiple_of(3600) => (s / 3600, "hour"),
        s if s >= 60 && s.is_multiple_of(60) => (s / 60, "minute"),
        s => (s, "second"),
    };
    match (count, one) {
        (1, None) => name.to_owned(),
        (1, Some(one)) => format!("{one} {name}"),
        _ => format!("{count} {name}s"),
    }
}

/// The window as a subtitle begins: `Last 24 hours`.
pub(crate) fn span(window: Duration) -> String {
    format!("Last {}", length(window, None))
}

/// Ticks at round times of UTC, at most nine of them.
pub(crate) fn time_ticks(from_ms: i64, to_ms: i64) -> Vec<Tick<i64>> {
    const MINUTE: i64 = 60;
    const HOUR: i64 = 60 * MINUTE;
    const DAY: i64 = 24 * HOUR;
    const STEPS: [i64; 22] = [
        5,
        10,
        15,
        30,
        MINUTE,
        2 * MINUTE,
        5 * MINUTE,
        10 * MINUTE,
        15 * MINUTE,
        30 * MINUTE,
        HOUR,
        2 * HOUR,
        3 * HOUR,
        6 * HOUR,
        12 * HOUR,
        DAY,
        2 * DAY,
        7 * DAY,
        14 * DAY,
        30 * DAY,
        91 * DAY,
        365 * DAY,
    ];
    let span = to_ms.saturating_sub(from_ms) / 1000;
    let step = STEPS
        .into_iter()
        .find(|step| span / step <= 8)
        .unwrap_or(span / 8);
    let format = |at: Timestamp| {
        let midnight = at.as_second().rem_euclid(DAY) == 0;
        let format = match step {
            _ if step < MINUTE => "%H:%M:%S",
            _ if step < DAY && !midnight => "%H:%M",
            _ if step < 91 * DAY => "%-d %b",
            _ => "%b %Y",
        };
        at.strftime(format).to_string()
    };
    let first = from_ms.div_euclid(1000).div_euclid(step) * step;
    (0..)
        .map(|i| first.saturating_add(step.saturating_mul(i)))
        .skip_while(|second| second.saturating_mul(1000) < from_ms)
        .take_while(|second| second.saturating_mul(1000) <= to_ms)
        .take(9)
        .filter_map(|second| {
            Some(Tick {
                at: second.saturating_mul(1000),
                label: format(Timestamp::from_second(second).ok()?),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, missing_docs, reason = "tests")]
    use super::*;
    use proptest::prelude::*;

    const NOW: i64 = 1_763_877_600_000; // 23 Nov 2025 06:00 UTC

    fn labels(span_s: i64) -> Vec<String> {
        time_ticks(NOW - span_s * 1000, NOW)
            .into_iter()
            .map(|tick| tick.label)
            .collect()
    }

    #[test]
    fn times_are_round_and_days_are_named() {
        assert_eq!(
            labels(3600),
            [
                "05:00", "05:10", "05:20", "05:30", "05:40", "05:50", "06:00"
            ]
        );
        assert_eq!(
            labels(86_400),
            [
                "06:00", "09:00", "12:00", "15:00", "18:00", "21:00", "23 Nov", "03:00", "06:00"
            ]
        );
        assert_eq!(
            labels(7 * 86_400),
            [
                "17 Nov", "18 Nov", "19 Nov", "20 Nov", "21 Nov", "22 Nov", "23 Nov"
            ]
        );
    }

    #[test]
    fn spans_are_said_as_people_do() {
        let said = |seconds| span(Duration::from_secs(seconds));
        assert_eq!(said(3600), "Last hour");
        assert_eq!(said(86_400), "Last 24 hours");
        assert_eq!(said(7 * 86_400), "Last 7 days");
        assert_eq!(said(900), "Last 15 minutes");
    }

    #[test]
    fn figures_are_as_long_as_they_need_to_be() {
        let dollars: Vec<_> = [0.0, 0.000_123, 0.0456, 0.5, 3.0, 1234.5, 45_000.0]
            .map(|value| Unit::Dollars.figure(value))
            .into();
        assert_eq!(
            dollars,
            [
                "$0", "$0.00012", "$0.046", "$0.50", "$3.00", "$1234.50", "$45,000"
            ]
        );
        let counts: Vec<_> = [0.0, 950.0, 12_400.0, 250_000.0, 1_234_567.0, 2e9]
            .map(|value| Unit::Count.figure(value))
            .into();
        assert_eq!(counts, ["0", "950", "12,400", "250k", "1.2M", "2G"]);
        let times: Vec<_> = [3.21, 420.0, 2500.0, 120_000.0]
            .map(|value| Unit::Milliseconds.figure(value))
            .into();
        assert_eq!(times, ["3.2 ms", "420 ms", "2.5 s", "120 s"]);
    }

    #[test]
    fn an_axis_is_round_and_in_one_unit() {
        let labels = |unit: Unit, highest| -> Vec<String> {
            unit.axis(highest)
                .1
                .into_iter()
                .map(|tick| tick.label)
                .collect()
        };
        assert_eq!(
            labels(Unit::Dollars, 0.0123),
            ["$0", "$0.005", "$0.010", "$0.015"]
        );
        assert_eq!(
            labels(Unit::Milliseconds, 2300.0),
            ["0", "0.5 s", "1.0 s", "1.5 s", "2.0 s", "2.5 s"]
        );
        assert_eq!(
            labels(Unit::Milliseconds, 450.0),
            ["0", "100 ms", "200 ms", "300 ms", "400 ms", "500 ms"]
        );
        assert_eq!(labels(Unit::Count, 3.0), ["0", "1", "2", "3"]);
        assert_eq!(labels(Unit::Count, 0.0), ["0", "1", "2"]);
        assert_eq!(
            labels(Unit::Count, 700_000.0),
            ["0", "200k", "400k", "600k", "800k"]
        );
    }

    proptest! {
        #[test]
        fn the_axis_holds_what_is_drawn(highest in 0.0_f64..1e15, small in 0.0_f64..0.01) {
            for unit in [Unit::Gib, Unit::Dollars, Unit::Milliseconds, Unit::Count] {
                for highest in [highest, small] {
                    let (top, ticks) = unit.axis(highest);
                    prop_assert!(top >= highest);
                    prop_assert!((3..=6).contains(&ticks.len()));
                    let labels: std::collections::BTreeSet<_> = ticks.iter().map(|tick| &tick.label).collect();
                    prop_assert_eq!(labels.len(), ticks.len(), "{:?}", ticks);
                }
            }
        }

        #[test]
        fn ticks_are_few_and_inside(span in 1_i64..100_000_000_000, now in 0_i64..4_000_000_000_000) {
            let ticks = time_ticks(now - span, now);
            prop_assert!(ticks.len() <= 9);
            prop_assert!(ticks.iter().all(|tick| tick.at >= now - span && tick.at <= now));
        }
    }
}
