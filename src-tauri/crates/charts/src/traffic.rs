//! The charts of requests to models: cost, latency, tokens, requests. Pure.

use std::collections::HashMap;
use std::time::Duration;

use cockpit_model::Usd;
use cockpit_model::usage::{Group, Point, Totals, Usage};
use jiff::Timestamp;

use crate::axis::{Unit, counted, grouped, length, short, span, time_ticks};
use crate::layout::{Bar, Chart, Color, Entry, Legend, Line, Segment, Style, highest};
use crate::note::{Note, clean, place};
use crate::{TrafficKind, bounds};

const BLUE: Color = (37, 99, 235);
const AMBER: Color = (217, 119, 6);
const VIOLET: Color = (109, 40, 217);
const TEAL: Color = (13, 148, 136);
const SKY: Color = (125, 170, 245);
const RED: Color = (220, 38, 38);
const GRAY: Color = (156, 163, 175);
/// Of the dearest models, in their order; all others share one.
const MODELS: [Color; 8] = [
    BLUE,
    AMBER,
    TEAL,
    VIOLET,
    (219, 39, 119),
    (101, 143, 13),
    (8, 145, 178),
    (146, 64, 14),
];
/// Longer names of models are never whole beside a plot.
const LONGEST_NAME: usize = 80;

pub(crate) fn chart(
    kind: TrafficKind,
    usage: &Usage,
    notes: &[Note],
    now: Timestamp,
    window: Duration,
) -> Chart {
    let (from_ms, to_ms) = bounds(now, window);
    let step = Duration::from_secs(usage.window.step_s.max(1));
    let steps = Steps {
        from_ms,
        to_ms,
        step_ms: i64::try_from(step.as_millis()).unwrap_or(i64::MAX),
    };
    let of = match kind {
        TrafficKind::Cost => cost(usage, &steps),
        TrafficKind::Latency => latency(usage, &steps),
        TrafficKind::Tokens => tokens(usage, &steps),
        TrafficKind::Requests => requests(usage, &steps),
    };
    let (top, mut y_ticks) = of.unit.axis(of.highest());
    if of.nothing.is_some() {
        // A scale for nothing would be invented.
        y_ticks.truncate(1);
    }
    let each = match of.unit {
        Unit::Milliseconds => "a point",
        _ => "a bar",
    };
    let mut told = vec![span(window)];
    told.extend(of.told);
    if of.nothing.is_none() {
        told.push(format!("{each} is {}", length(step, Some("1"))));
    }
    Chart {
        title: of.title,
        subtitle: told.join(" · "),
        from_ms,
        to_ms,
        top,
        y_ticks,
        x_ticks: time_ticks(from_ms, to_ms),
        bars: of.bars,
        lines: of.lines,
        notes: place(notes, from_ms, to_ms),
        legend: Legend::Column(of.entries),
        nothing: of.nothing,
    }
}

/// What differs between the four.
struct Of {
    title: &'static str,
    unit: Unit,
    /// Of the whole window, in words.
    told: Vec<String>,
    bars: Vec<Bar>,
    lines: Vec<Line>,
    entries: Vec<Entry>,
    nothing: Option<&'static str>,
}

impl Of {
    fn highest(&self) -> f64 {
        let bars = self
            .bars
            .iter()
            .map(|bar| bar.parts.iter().map(|(_, value)| value).sum());
        let lines = self.lines.iter().filter_map(highest);
        bars.chain(lines).fold(0.0, f64::max)
    }
}

/// The window, and how time is cut.
struct Steps {
    from_ms: i64,
    to_ms: i64,
    step_ms: i64,
}

impl Steps {
    /// A bar for every step of the window in which something was.
    fn bars<'a>(
        &self,
        points: &'a [Point],
        parts: impl Fn(&'a Point) -> Vec<(Color, f64)>,
    ) -> Vec<Bar> {
        let bar = |point: &'a Point| {
            let at = point.at.as_millisecond();
            let (from_ms, to_ms) = (
                at.max(self.from_ms),
                at.saturating_add(self.step_ms).min(self.to_ms),
            );
            let parts: Vec<_> = parts(point)
                .into_iter()
                .filter(|(_, value)| value.is_finite() && *value > 0.0)
                .collect();
            (from_ms < to_ms && !parts.is_empty()).then_some(Bar {
                from_ms,
                to_ms,
                parts,
            })
        };
        points.iter().filter_map(bar).collect()
    }

    /// A point in the middle of every step that has a value; a step without one breaks the line.
    fn segments(&self, points: &[Point], value: impl Fn(&Totals) -> Option<f64>) -> Vec<Segment> {
        let mut segments = vec![Segment::new()];
        for point in points {
            let begin = point.at.as_millisecond();
            let at = begin
                .saturating_add(self.step_ms / 2)
                .clamp(self.from_ms, self.to_ms);
            let inside = begin < self.to_ms && begin.saturating_add(self.step_ms) > self.from_ms;
            match value(&point.totals).filter(|value| value.is_finite() && inside) {
                Some(value) => {
                    if let Some(segment) = segments.last_mut() {
                        segment.push((at, value.max(0.0)));
                    }
                }
                None => segments.push(Segment::new()),
            }
        }
        segments.retain(|segment| !segment.is_empty());
        segments
    }
}

fn paid(totals: &Totals) -> f64 {
    totals.cost_usd.map_or(0.0, Usd::dollars)
}

fn cost(usage: &Usage, steps: &Steps) -> Of {
    let totals = &usage.totals;
    // The store names the costliest first, and gives those a series.
    let named: Vec<&Group> = usage
        .groups
        .iter()
        .filter(|group| group.key.is_some() && paid(&group.totals) > 0.0)
        .filter(|group| !group.series.is_empty())
        .take(MODELS.len())
        .collect();
    let series: Vec<HashMap<i64, f64>> = named
        .iter()
        .map(|group| {
            let point = |point: &Point| (point.at.as_millisecond(), paid(&point.totals));
            group.series.iter().map(point).collect()
        })
        .collect();
    let bars = steps.bars(&usage.series, |point| {
        let at = point.at.as_millisecond();
        let mut parts: Vec<(Color, f64)> = series
            .iter()
            .zip(MODELS)
            .map(|(series, color)| (color, series.get(&at).copied().unwrap_or(0.0)))
            .collect();
        let named: f64 = parts.iter().map(|(_, cost)| cost).sum();
        let rest = paid(&point.totals) - named;
        // What is left by rounding is nobody's.
        if rest > paid(&point.totals) * 1e-9 {
            parts.push((GRAY, rest));
        }
        parts
    });
    let mut entries: Vec<Entry> = named
        .iter()
        .zip(MODELS)
        .map(|(group, color)| Entry {
            color,
            name: clean(group.key.as_deref().unwrap_or_default(), LONGEST_NAME),
            figure: Unit::Dollars.figure(paid(&group.totals)),
        })
        .collect();
    let rest = paid(totals) - named.iter().map(|group| paid(&group.totals)).sum::<f64>();
    if rest > paid(totals) * 1e-9 {
        entries.push(Entry {
            color: GRAY,
            name: "all others".to_owned(),
            figure: Unit::Dollars.figure(rest),
        });
    }
    let mut told = Vec::new();
    if totals.calls > 0 {
        let requests = counted(totals.calls, "request");
        told.push(match totals.cost_usd {
            Some(cost) => format!("{} for {requests}", Unit::Dollars.figure(cost.dollars())),
            None => requests,
        });
    }
    told.extend(match totals.unpriced_calls {
        0 => None,
        all if all == totals.calls => Some("no price is known for any of them".to_owned()),
        1 => Some("1 of them has no known price and is not in it".to_owned()),
        n => Some(format!(
            "{} of them have no known price and are not in it",
            grouped(n)
        )),
    });
    let nothing = match totals.cost_usd {
        _ if totals.calls == 0 => Some(NO_REQUESTS),
        None => Some("no price is known for these requests"),
        Some(_) if bars.is_empty() => Some("these requests cost nothing"),
        Some(_) => None,
    };
    Of {
        title: "Cost of requests to models",
        unit: Unit::Dollars,
        told,
        bars,
        lines: Vec::new(),
        entries,
        nothing,
    }
}

const NO_REQUESTS: &str = "no requests to models in this window";

fn latency(usage: &Usage, steps: &Steps) -> Of {
    type Of50 = fn(&Totals) -> Option<f64>;
    let all: [(&'static str, Color, Style, Of50); 4] = [
        ("P99", AMBER, Style::Line, |totals| totals.latency_ms.p99),
        ("P95", VIOLET, Style::Line, |totals| totals.latency_ms.p95),
        ("P50", BLUE, Style::Area, |totals| totals.latency_ms.p50),
        ("P50 to first token", TEAL, Style::Line, |totals| {
            totals.ttft_ms.p50
        }),
    ];
    let lines: Vec<Line> = all
        .iter()
        .map(|(name, color, style, value)| Line {
            name,
            color: *color,
            style: *style,
            segments: steps.segments(&usage.series, value),
        })
        .collect();
    let totals = &usage.totals;
    let entries: Vec<Entry> = all
        .iter()
        .filter_map(|(name, color, _, value)| {
            Some(Entry {
                color: *color,
                name: (*name).to_owned(),
                figure: Unit::Milliseconds.figure(value(totals)?),
            })
        })
        .collect();
    let answered = totals
        .calls
        .saturating_sub(totals.errors)
        .saturating_sub(totals.cancelled);
    let mut told = Vec::new();
    if answered > 0 {
        told.push(format!("whole answers of {}", counted(answered, "request")));
        if !totals.latency_ms.exact {
            told.push("within 1%".to_owned());
        }
    }
    let nothing = if totals.calls == 0 {
        Some(NO_REQUESTS)
    } else if lines.iter().all(|line| line.segments.is_empty()) {
        Some("no request was answered in this window")
    } else {
        None
    };
    Of {
        title: "Latency of requests to models",
        unit: Unit::Milliseconds,
        told,
        bars: Vec::new(),
        lines,
        entries,
        nothing,
    }
}

fn tokens(usage: &Usage, steps: &Steps) -> Of {
    let split = |totals: &Totals| {
        let cached = totals.cached_input_tokens.min(totals.input_tokens);
        [
            (BLUE, "Input", totals.input_tokens - cached),
            (SKY, "Input, cached", cached),
            (AMBER, "Output", totals.output_tokens),
        ]
    };
    let bars = steps.bars(&usage.series, |point| {
        split(&point.totals)
            .map(|(color, _, count)| (color, count as f64))
            .to_vec()
    });
    let totals = &usage.totals;
    let entries = split(totals)
        .into_iter()
        .filter(|(_, _, count)| *count > 0)
        .map(|(color, name, count)| Entry {
            color,
            name: name.to_owned(),
            figure: short(count as f64),
        })
        .collect();
    let nothing = if totals.calls == 0 {
        Some(NO_REQUESTS)
    } else if bars.is_empty() {
        Some("no tokens were reported in this window")
    } else {
        None
    };
    let told = (totals.calls > 0).then(|| {
        let all = totals.input_tokens.saturating_add(totals.output_tokens);
        format!(
            "{} tokens in {}",
            short(all as f64),
            counted(totals.calls, "request")
        )
    });
    Of {
        title: "Tokens of requests to models",
        unit: Unit::Count,
        told: told.into_iter().collect(),
        bars,
        lines: Vec::new(),
        entries,
        nothing,
    }
}

fn requests(usage: &Usage, steps: &Steps) -> Of {
    let split = |totals: &Totals| {
        let failed = totals.errors.min(totals.calls);
        let cancelled = totals.cancelled.min(totals.calls - failed);
        [
            // On the axis, where one of them is seen best.
            (RED, "Failed", failed),
            (GRAY, "Cancelled", cancelled),
            (TEAL, "Answered", totals.calls - failed - cancelled),
        ]
    };
    let bars = steps.bars(&usage.series, |point| {
        split(&point.totals)
            .map(|(color, _, count)| (color, count as f64))
            .to_vec()
    });
    let totals = &usage.totals;
    let entries = split(totals)
        .into_iter()
        .rev()
        .filter(|(_, _, count)| *count > 0)
        .map(|(color, name, count)| Entry {
            color,
            name: name.to_owned(),
            figure: short(count as f64),
        })
        .collect();
    let mut told = Vec::new();
    if totals.calls > 0 {
        told.push(counted(totals.calls, "request"));
        let failed = totals.errors as f64 * 100.0 / totals.calls as f64;
        told.push(match totals.errors {
            0 => "none failed".to_owned(),
            _ if failed < 0.1 => "less than 0.1% failed".to_owned(),
            _ => format!("{failed:.1}% failed"),
        });
    }
    Of {
        title: "Requests to models",
        unit: Unit::Count,
        told,
        nothing: bars.is_empty().then_some(NO_REQUESTS),
        bars,
        lines: Vec::new(),
        entries,
    }
}
