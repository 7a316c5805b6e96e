//! Charts for reports, of what the databases hold.

use std::time::Duration;

use cockpit_api::{Chart, ChartFormat, ChartKind};
use cockpit_charts::{Format, Kind, Note, TrafficKind, render, render_traffic};
use cockpit_model::usage::Dimension;
use cockpit_model::{Code, Event, EventBody, Mark, Problem, Timestamp};
use cockpit_store::UsageQuery;

use super::Engine;
use super::cockpit::{back, just_after, storage};

/// Points of a line over time: more than its pixels hold would only cost.
const POINTS: usize = 720;
/// Bars of a chart at most.
const BARS: u64 = 100;
/// Marks that are looked at.
const MARKS: usize = 200;
/// Lengths of a bar that suit people, in seconds.
const STEPS: [u64; 18] = [
    1, 5, 10, 30, 60, 120, 300, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400, 259_200,
    604_800, 2_592_000,
];

/// Draws one. Blocks for as long as the disk takes.
pub(super) fn draw(engine: &Engine, chart: &Chart) -> Result<Vec<u8>, Problem> {
    let format = match chart.format {
        ChartFormat::Svg => Format::Svg,
        ChartFormat::Png => Format::Png,
    };
    let now = Timestamp::now();
    let traffic = |kind| of_traffic(engine, kind, format, chart.window, now);
    match chart.kind {
        ChartKind::Cpu => of_host(engine, Kind::Cpu, format, chart.window, now),
        ChartKind::Memory => of_host(engine, Kind::Memory, format, chart.window, now),
        ChartKind::Cost => traffic(TrafficKind::Cost),
        ChartKind::Latency => traffic(TrafficKind::Latency),
        ChartKind::Tokens => traffic(TrafficKind::Tokens),
        ChartKind::Requests => traffic(TrafficKind::Requests),
    }
}

fn of_host(
    engine: &Engine,
    kind: Kind,
    format: Format,
    window: Duration,
    now: Timestamp,
) -> Result<Vec<u8>, Problem> {
    let series = engine.telemetry.host_series(window, POINTS, now);
    render(kind, format, &series.map_err(storage)?, now, window).map_err(drawing)
}

fn of_traffic(
    engine: &Engine,
    kind: TrafficKind,
    format: Format,
    window: Duration,
    now: Timestamp,
) -> Result<Vec<u8>, Problem> {
    let (from, to) = (back(now, window), just_after(now));
    let query = UsageQuery {
        from,
        to,
        step: Some(step(window)),
        group_by: (kind == TrafficKind::Cost).then_some(Dimension::Model),
    };
    let usage = engine.ledger.usage(&query, now).map_err(storage)?;
    let marks = engine.telemetry.marks(from, to, MARKS).map_err(storage)?;
    let notes: Vec<Note> = marks.iter().filter_map(note).collect();
    render_traffic(kind, format, &usage, &notes, now, window).map_err(drawing)
}

/// How long a bar is.
fn step(window: Duration) -> Duration {
    let fits = |step: &u64| window.as_secs().div_ceil(*step) <= BARS;
    let step = STEPS.into_iter().find(fits);
    Duration::from_secs(step.unwrap_or(window.as_secs() / BARS))
}

fn note(event: &Event) -> Option<Note> {
    let EventBody::Mark(mark) = &event.body else {
        return None;
    };
    let (from, label) = match mark {
        Mark::EngineStarted {
            known_until: Some(known_until),
            ..
        } => (*known_until, "not all recorded".to_owned()),
        Mark::EngineStarted { .. } => (event.at, "cockpit started".to_owned()),
        Mark::Restart { service } => (event.at, format!("restart {service}")),
        Mark::Slept { slept_ms } => (
            back(event.at, Duration::from_millis(*slept_ms)),
            "asleep".to_owned(),
        ),
        Mark::Deploy { what, version } => {
            let words = ["deploy"].into_iter().chain(what.as_deref());
            let words: Vec<&str> = words.chain(version.as_deref()).collect();
            (event.at, words.join(" "))
        }
    };
    Some(Note {
        from,
        to: event.at,
        label,
    })
}

fn drawing(error: cockpit_charts::Error) -> Problem {
    Problem::new(Code::Internal, error.to_string())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn started(known_until: Option<Timestamp>) -> Event {
        Event {
            seq: 1,
            at: Timestamp::UNIX_EPOCH + Duration::from_secs(60),
            body: EventBody::Mark(Mark::EngineStarted {
                version: "1.0.0".to_owned(),
                adopted: 0,
                known_until,
            }),
        }
    }

    #[test]
    fn what_an_abrupt_end_left_unrecorded_is_called_so() {
        let after_an_end = note(&started(Some(Timestamp::UNIX_EPOCH))).unwrap();
        assert_eq!(after_an_end.label, "not all recorded");
        assert_eq!(after_an_end.from, Timestamp::UNIX_EPOCH);
        let mere_start = note(&started(None)).unwrap();
        assert_eq!(mere_start.label, "cockpit started");
        assert_eq!(mere_start.from, mere_start.to);
    }

    #[test]
    fn a_chart_has_enough_bars_and_not_too_many() {
        for hours in [1, 6, 24, 7 * 24, 30 * 24, 365 * 24] {
            let window = Duration::from_secs(hours * 3600);
            let bars = window.as_secs() / step(window).as_secs();
            assert!((30..=BARS).contains(&bars), "{bars} bars of {hours} hours");
        }
    }
}
