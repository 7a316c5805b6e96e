//! The arithmetic of a chart: scales, ticks, labels, segments between gaps. Pure.

use std::time::Duration;

use cockpit_model::host::Series;
use jiff::Timestamp;

use crate::Kind;

/// Of the picture, in points.
pub(crate) const WIDTH: u32 = 900;
/// Of the picture, in points.
pub(crate) const HEIGHT: u32 = 360;
/// Canvas units a point.
pub(crate) const FINE: u32 = 4;
const GIB: f64 = (1_u64 << 30) as f64;

/// A run of points without a gap: milliseconds and value in the chart's unit.
pub(crate) type Segment = Vec<(i64, f64)>;

/// A line, its name, and how it is drawn.
#[derive(Debug)]
pub(crate) struct Line {
    pub name: &'static str,
    pub color: (u8, u8, u8),
    pub style: Style,
    pub segments: Vec<Segment>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// A faint area down to the axis, without a line.
    Shadow,
    /// A line over an area down to the axis.
    Area,
    /// A line only.
    Line,
}

/// A place on an axis and what is written there.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tick<T> {
    pub at: T,
    pub label: String,
}

/// Everything that is to be drawn.
#[derive(Debug)]
pub(crate) struct Chart {
    pub title: &'static str,
    pub subtitle: String,
    pub from_ms: i64,
    pub to_ms: i64,
    pub top: f64,
    pub y_ticks: Vec<Tick<f64>>,
    pub x_ticks: Vec<Tick<i64>>,
    pub lines: Vec<Line>,
}

impl Chart {
    pub(crate) fn new(kind: Kind, series: &Series, now: Timestamp, window: Duration) -> Self {
        let to_ms = now.as_millisecond();
        let window_ms = i64::try_from(window.as_millis())
            .unwrap_or(i64::MAX)
            .max(1000);
        let from_ms = to_ms.saturating_sub(window_ms);
        let line = |name, column, color, style, unit| Line {
            name,
            color,
            style,
            segments: segments(series, column, unit, from_ms, to_ms),
        };
        const BLUE: (u8, u8, u8) = (37, 99, 235);
        const VIOLET: (u8, u8, u8) = (109, 40, 217);
        const AMBER: (u8, u8, u8) = (217, 119, 6);
        let (title, unit, mut lines) = match kind {
            Kind::Cpu => (
                "Processor",
                Unit::Percent,
                vec![
                    line("Peak", "cpu_percent_max", BLUE, Style::Shadow, 1.0),
                    line("Mean", "cpu_percent", BLUE, Style::Area, 1.0),
                ],
            ),
            Kind::Memory => (
                "Memory",
                Unit::Gib,
                vec![
                    line("In use", "memory_used_bytes", VIOLET, Style::Area, GIB),
                    line("Swap", "swap_used_bytes", AMBER, Style::Line, GIB),
                ],
            ),
        };
        // A line that never leaves zero says nothing, unless it is the one the chart is about.
        lines
            .retain(|line| line.style == Style::Area || highest(line).is_some_and(|top| top > 0.0));
        let (top, mut y_ticks) = unit.axis(lines.iter().filter_map(highest).fold(0.0, f64::max));
        if matches!(unit, Unit::Gib) && lines.iter().all(|line| line.segments.is_empty()) {
            // A scale for nothing would be invented.
            y_ticks.truncate(1);
        }
        Self {
            title,
            subtitle: subtitle(unit, &lines, window),
            from_ms,
            to_ms,
            top,
            y_ticks,
            x_ticks: time_ticks(from_ms, to_ms),
            lines,
        }
    }

    /// Whether anything was measured.
    pub(crate) fn is_empty(&self) -> bool {
        self.lines.iter().all(|line| line.segments.is_empty())
    }
}

#[derive(Debug, Clone, Copy)]
enum Unit {
    Percent,
    Gib,
}

impl Unit {
    /// The axis' end and its ticks, for a highest value.
    fn axis(self, highest: f64) -> (f64, Vec<Tick<f64>>) {
        let step = match self {
            Self::Percent => 25.0,
            // The first power of two that needs no more than five steps.
            Self::Gib => (-2..24)
                .map(|power| 2_f64.powi(power))
                .find(|step| highest <= step * 5.0)
                .unwrap_or(f64::MAX / 8.0),
        };
        let count = match self {
            Self::Percent => 4,
            Self::Gib => ((highest / step).ceil() as u32).clamp(2, 5),
        };
        let ticks = (0..=count)
            .map(|i| {
                let at = f64::from(i) * step;
                Tick {
                    at,
                    label: match self {
                        Self::Percent => format!("{at}%"),
                        Self::Gib => format!("{at} GiB"),
                    },
                }
            })
            .collect();
        (f64::from(count) * step, ticks)
    }

    fn figure(self, value: f64) -> String {
        match self {
            Self::Percent if value < 10.0 => format!("{value:.1}%"),
            Self::Percent => format!("{value:.0}%"),
            Self::Gib => format!("{value:.1} GiB"),
        }
    }
}

fn subtitle(unit: Unit, lines: &[Line], window: Duration) -> String {
    let span = span(window);
    let Some(main) = lines.iter().find(|line| line.style == Style::Area) else {
        return span;
    };
    let (count, sum) = main
        .segments
        .iter()
        .flatten()
        .fold((0_u32, 0.0), |(count, sum), (_, value)| {
            (count + 1, sum + value)
        });
    if count == 0 {
        return span;
    }
    let peak = lines
        .iter()
        .filter(|line| line.color == main.color)
        .filter_map(highest)
        .fold(0.0, f64::max);
    format!(
        "{span} · mean {} · peak {}",
        unit.figure(sum / f64::from(count)),
        unit.figure(peak)
    )
}

fn span(window: Duration) -> String {
    let seconds = window.as_secs().max(1);
    let (count, name) = match seconds {
        s if s >= 2 * 86_400 && s.is_multiple_of(86_400) => (s / 86_400, "day"),
        s if s >= 3600 && s.is_multiple_of(3600) => (s / 3600, "hour"),
        s if s >= 60 && s.is_multiple_of(60) => (s / 60, "minute"),
        s => (s, "second"),
    };
    if count == 1 {
        format!("Last {name}")
    } else {
        format!("Last {count} {name}s")
    }
}

fn highest(line: &Line) -> Option<f64> {
    line.segments
        .iter()
        .flatten()
        .map(|(_, value)| *value)
        .reduce(f64::max)
}

/// The runs of finite values of a column inside the window. A run ends at a null, and where two points
/// are further apart than one and a half steps.
fn segments(series: &Series, column: &str, unit: f64, from_ms: i64, to_ms: i64) -> Vec<Segment> {
    let furthest = i64::try_from(series.step_ms)
        .unwrap_or(i64::MAX)
        .saturating_mul(3)
        / 2;
    let values = series.values.get(column).map_or(&[][..], Vec::as_slice);
    let mut segments = Vec::new();
    let mut segment = Segment::new();
    for (at, value) in series.at_ms.iter().zip(values) {
        // A point stands for the step after it; the newest one's may not be over.
        let inside = *at > from_ms.saturating_sub(furthest) && *at <= to_ms;
        let value = value.filter(|value| value.is_finite() && inside);
        let apart = segment
            .last()
            .is_some_and(|(last, _)| furthest > 0 && at.saturating_sub(*last) > furthest);
        if (value.is_none() || apart) && !segment.is_empty() {
            segments.push(std::mem::take(&mut segment));
        }
        if let Some(value) = value {
            segment.push(((*at).max(from_ms), (value / unit).max(0.0)));
        }
    }
    if !segment.is_empty() {
        segments.push(segment);
    }
    segments
}

/// Ticks at round times of UTC, at most nine of them.
fn time_ticks(from_ms: i64, to_ms: i64) -> Vec<Tick<i64>> {
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
    use std::collections::BTreeMap;

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
    fn gaps_split_and_garbage_is_left_out() {
        let series = Series {
            step_ms: 1000,
            at_ms: (0..8).map(|i| NOW - 8000 + i * 1000).collect(),
            values: BTreeMap::from([(
                "cpu_percent".to_owned(),
                vec![
                    Some(1.0),
                    Some(2.0),
                    None,
                    Some(3.0),
                    Some(f64::NAN),
                    Some(4.0),
                    Some(5.0),
                    None,
                ],
            )]),
        };
        let values: Vec<Vec<f64>> = segments(&series, "cpu_percent", 1.0, NOW - 10_000, NOW)
            .into_iter()
            .map(|segment| segment.into_iter().map(|(_, value)| value).collect())
            .collect();
        assert_eq!(values, [vec![1.0, 2.0], vec![3.0], vec![4.0, 5.0]]);
    }

    #[test]
    fn spans_are_said_as_people_do() {
        let said = |seconds| span(Duration::from_secs(seconds));
        assert_eq!(said(3600), "Last hour");
        assert_eq!(said(86_400), "Last 24 hours");
        assert_eq!(said(7 * 86_400), "Last 7 days");
        assert_eq!(said(900), "Last 15 minutes");
    }

    proptest! {
        #[test]
        fn the_axis_holds_what_is_drawn(bytes in 0.0_f64..1e15) {
            let (top, ticks) = Unit::Gib.axis(bytes / GIB);
            prop_assert!(top >= bytes / GIB);
            prop_assert!((3..=6).contains(&ticks.len()));
        }

        #[test]
        fn ticks_are_few_and_inside(span in 1_i64..100_000_000_000, now in 0_i64..4_000_000_000_000) {
            let ticks = time_ticks(now - span, now);
            prop_assert!(ticks.len() <= 9);
            prop_assert!(ticks.iter().all(|tick| tick.at >= now - span && tick.at <= now));
        }
    }
}
