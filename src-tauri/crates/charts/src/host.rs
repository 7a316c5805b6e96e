//! The machine's charts: processor and memory. Pure.

use std::time::Duration;

use cockpit_model::host::Series;
use jiff::Timestamp;

use crate::Kind;
use crate::axis::{GIB, Unit, span, time_ticks};
use crate::layout::{Chart, Legend, Line, Segment, Style, highest};

const BLUE: (u8, u8, u8) = (37, 99, 235);
const VIOLET: (u8, u8, u8) = (109, 40, 217);
const AMBER: (u8, u8, u8) = (217, 119, 6);

pub(crate) fn chart(kind: Kind, series: &Series, now: Timestamp, window: Duration) -> Chart {
    let (from_ms, to_ms) = crate::bounds(now, window);
    let line = |name, column, color, style, unit| Line {
        name,
        color,
        style,
        segments: segments(series, column, unit, from_ms, to_ms),
    };
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
    lines.retain(|line| line.style == Style::Area || highest(line).is_some_and(|top| top > 0.0));
    let (top, mut y_ticks) = unit.axis(lines.iter().filter_map(highest).fold(0.0, f64::max));
    let nothing = lines.iter().all(|line| line.segments.is_empty());
    if unit == Unit::Gib && nothing {
        // A scale for nothing would be invented.
        y_ticks.truncate(1);
    }
    Chart {
        title,
        subtitle: subtitle(unit, &lines, window),
        from_ms,
        to_ms,
        top,
        y_ticks,
        x_ticks: time_ticks(from_ms, to_ms),
        bars: Vec::new(),
        lines,
        notes: Vec::new(),
        legend: Legend::Row,
        nothing: nothing.then_some("no samples in this window yet"),
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

#[cfg(test)]
mod tests {
    #![allow(missing_docs, reason = "tests")]
    use std::collections::BTreeMap;

    use super::*;

    const NOW: i64 = 1_763_877_600_000;

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
}
