//! What a report gets of requests to models.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

#[path = "../examples/chart/invented.rs"]
mod invented;
mod read;

use std::time::Duration;

use cockpit_charts::{Format, Note, TrafficKind, render_traffic};
use cockpit_model::Usd;
use cockpit_model::usage::{Group, Point, Totals, Usage};
use jiff::Timestamp;
use proptest::prelude::*;
use read::{count, parse};

const DAY: Duration = Duration::from_secs(86_400);
const ALL: [TrafficKind; 4] = [
    TrafficKind::Cost,
    TrafficKind::Latency,
    TrafficKind::Tokens,
    TrafficKind::Requests,
];

fn now() -> Timestamp {
    Timestamp::from_second(1_763_877_600).unwrap()
}

fn svg(kind: TrafficKind, usage: &Usage, notes: &[Note]) -> String {
    let drawn = render_traffic(kind, Format::Svg, usage, notes, now(), DAY).unwrap();
    String::from_utf8(drawn).unwrap()
}

fn texts(kind: TrafficKind, usage: &Usage) -> Vec<String> {
    parse(&svg(kind, usage, &[])).1
}

fn one_step(totals: Totals) -> Usage {
    let mut usage = invented::day(now(), &[], 0.0);
    let middle = usage.series.len() / 2;
    usage.series[middle].totals = totals.clone();
    usage.totals = totals;
    usage
}

#[test]
fn cost_is_told_by_model_and_what_is_left_over() {
    let names: Vec<String> = (1..=20).map(|n| format!("p/model-{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let usage = invented::day(now(), &names, 30.0);
    let texts = texts(TrafficKind::Cost, &usage);
    for shown in ["p/model-1", "p/model-8", "all others"] {
        assert!(
            texts.iter().any(|text| text == shown),
            "{shown} in {texts:?}"
        );
    }
    assert!(!texts.iter().any(|text| text == "p/model-9"));
    // The figures beside the names are the whole sum.
    let sum: f64 = texts
        .iter()
        .filter_map(|text| text.strip_prefix('$')?.parse::<f64>().ok())
        .filter(|figure| *figure > 0.5)
        .sum();
    let total = usage.totals.cost_usd.unwrap().dollars();
    assert!((sum - total).abs() < total * 0.2, "{sum} of {total}");
}

#[test]
fn what_has_no_price_is_told_and_is_not_nothing() {
    let priced = |cost, unpriced_calls| {
        one_step(Totals {
            calls: 10,
            cost_usd: cost,
            unpriced_calls,
            ..Totals::default()
        })
    };
    let told = |usage: &Usage| texts(TrafficKind::Cost, usage).join("\n");
    let some = told(&priced(Usd::from_dollars(2.5), 3));
    assert!(
        some.contains("$2.50 for 10 requests · 3 of them have no known price and are not in it"),
        "{some}"
    );
    let none = told(&priced(None, 10));
    assert!(none.contains("no price is known for any of them"), "{none}");
    assert!(
        none.contains("no price is known for these requests"),
        "{none}"
    );
    let free = told(&priced(Some(Usd::ZERO), 0));
    assert!(free.contains("these requests cost nothing"), "{free}");
}

#[test]
fn an_empty_window_says_so_and_invents_no_scale() {
    let empty = invented::day(now(), &[], 0.0);
    for kind in ALL {
        let texts = texts(kind, &empty);
        let said = "no requests to models in this window";
        assert!(texts.iter().any(|text| text == said), "{kind:?}: {texts:?}");
        let scale = texts.iter().filter(|text| *text == "0" || *text == "$0");
        assert_eq!(scale.count(), 1, "{texts:?}");
    }
    let failed = one_step(Totals {
        calls: 4,
        errors: 4,
        ..Totals::default()
    });
    let texts = texts(TrafficKind::Latency, &failed);
    assert!(
        texts
            .iter()
            .any(|text| text == "no request was answered in this window")
    );
}

#[test]
fn a_step_without_answers_breaks_the_line() {
    let mut usage = invented::day(now(), &["a/b"], 40.0);
    let areas = |usage: &Usage| count(&parse(&svg(TrafficKind::Latency, usage, &[])).0, "polygon");
    assert_eq!(areas(&usage), 1);
    usage.series[40].totals = Totals::default();
    assert_eq!(areas(&usage), 2);
}

#[test]
fn a_single_failure_among_thousands_is_seen() {
    let usage = one_step(Totals {
        calls: 100_000,
        errors: 1,
        ..Totals::default()
    });
    let svg = svg(TrafficKind::Requests, &usage, &[]);
    let red = svg.lines().find(|line| {
        line.contains("<rect") && line.contains("#DC2626") && !line.contains("height=\"40\"")
    });
    assert!(
        red.is_some_and(|rect| rect.contains("height=\"4\"")),
        "{red:?}"
    );
}

#[test]
fn what_happened_meanwhile_is_marked_and_named_where_there_is_room() {
    let usage = invented::day(now(), &["a/b"], 40.0);
    let notes = invented::notes(now());
    let bare = parse(&svg(TrafficKind::Cost, &usage, &[])).0;
    let (tags, texts) = parse(&svg(TrafficKind::Cost, &usage, &notes));
    assert_eq!(count(&tags, "polygon"), notes.len());
    // A line each, and the shade of the sleep.
    assert_eq!(count(&tags, "rect") - count(&bare, "rect"), notes.len() + 1);
    for named in ["slept 90 minutes", "deploy 2026.11.3", "cockpit started"] {
        assert!(
            texts.iter().any(|text| text == named),
            "{named} in {texts:?}"
        );
    }
    // Two restarts stand too close for both names.
    assert_eq!(
        texts
            .iter()
            .filter(|text| *text == "restart ollama")
            .count(),
        1
    );
}

#[test]
fn what_happened_meanwhile_hides_nothing_that_was_measured() {
    let usage = invented::day(now(), &["a/b"], 40.0);
    let note = Note {
        from: now() - DAY / 2,
        to: now() - DAY / 2,
        label: "restart".to_owned(),
    };
    let bare = svg(TrafficKind::Cost, &usage, &[]);
    let bare: std::collections::HashSet<&str> = bare.lines().collect();
    let marked = svg(TrafficKind::Cost, &usage, &[note]);
    let mark = |line: &&str| line.contains("<rect") && !bare.contains(line);
    let before = marked.lines().take_while(|line| !mark(line));
    let blue = |line: &&str| line.contains("#2563EB");
    assert_eq!(marked.lines().filter(mark).count(), 1);
    // Only the legend is drawn before it.
    assert_eq!(before.filter(blue).count(), 1);
    assert!(marked.lines().filter(blue).count() > 10);
}

#[test]
fn what_the_legend_of_latency_names_is_drawn_in_its_colour() {
    let usage = invented::day(now(), &["a/b"], 40.0);
    let drawn = svg(TrafficKind::Latency, &usage, &[]);
    for color in ["#D97706", "#6D28D9", "#2563EB", "#0D9488"] {
        for tag in ["<rect", "<polyline"] {
            let has = |line: &str| line.contains(tag) && line.contains(color);
            assert!(drawn.lines().any(has), "{tag} in {color}");
        }
    }
    let mut unstreamed = usage;
    unstreamed.totals.ttft_ms.p50 = None;
    for point in &mut unstreamed.series {
        point.totals.ttft_ms.p50 = None;
    }
    let drawn = svg(TrafficKind::Latency, &unstreamed, &[]);
    assert!(!drawn.contains("#0D9488"));
}

#[test]
fn names_from_outside_are_cut_and_cannot_break_the_picture() {
    let hostile = "</svg><script>&\"'\u{0}\u{1b}\u{ffff}";
    let usage = invented::day(now(), &[hostile, &"x".repeat(3000), "模型/моделі"], 40.0);
    let drawn = svg(TrafficKind::Cost, &usage, &[]);
    let (tags, texts) = parse(&drawn);
    assert_eq!(count(&tags, "script"), 0);
    assert!(texts.iter().all(|text| text.chars().count() < 100));
    let png = render_traffic(TrafficKind::Cost, Format::Png, &usage, &[], now(), DAY).unwrap();
    assert!(png.starts_with(b"\x89PNG"));
}

fn totals() -> impl Strategy<Value = Totals> {
    let time = || proptest::option::of(any::<f64>());
    (
        any::<[u64; 6]>(),
        any::<Option<i64>>(),
        any::<u64>(),
        (time(), time(), time()),
    )
        .prop_map(
            |(
                [calls, errors, cancelled, input, cached, output],
                cost,
                unpriced_calls,
                (p50, p95, p99),
            )| {
                let mut totals = Totals {
                    calls,
                    errors,
                    cancelled,
                    input_tokens: input,
                    cached_input_tokens: cached,
                    output_tokens: output,
                    cost_usd: cost.map(Usd::from_pico),
                    unpriced_calls,
                    ..Totals::default()
                };
                totals.latency_ms.p50 = p50;
                totals.latency_ms.p95 = p95;
                totals.latency_ms.p99 = p99;
                totals
            },
        )
}

fn points() -> impl Strategy<Value = Vec<Point>> {
    let at = (-10_i64..200).prop_map(|step| {
        now() - Duration::from_secs(86_400)
            + Duration::from_secs(900) * i32::try_from(step + 10).unwrap().unsigned_abs()
    });
    proptest::collection::vec(
        (at, totals()).prop_map(|(at, totals)| Point { at, totals }),
        0..12,
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_usage_is_drawn_and_holds_no_nonsense(
        totals in totals(),
        series in points(),
        groups in proptest::collection::vec((any::<Option<String>>(), totals(), points()), 0..4),
        step_s in any::<u64>(),
        window in any::<u64>(),
        notes in proptest::collection::vec((0_i64..4_000_000_000, 0_i64..4_000_000_000, any::<String>()), 0..4),
    ) {
        let mut usage = invented::day(now(), &[], 0.0);
        usage.window.step_s = step_s;
        usage.totals = totals;
        usage.series = series;
        usage.groups = groups.into_iter().map(|(key, totals, series)| Group { key, rest: false, totals, series }).collect();
        let notes: Vec<Note> = notes.into_iter().map(|(from, to, label)| Note {
            from: Timestamp::from_second(from).unwrap(),
            to: Timestamp::from_second(to).unwrap(),
            label,
        }).collect();
        for kind in ALL {
            let drawn = render_traffic(kind, Format::Svg, &usage, &notes, now(), Duration::from_secs(window)).unwrap();
            let drawn = String::from_utf8(drawn).unwrap();
            let (_, texts) = parse(&drawn);
            let nonsense = texts.iter().find(|text| text.contains("NaN") || *text == "inf");
            prop_assert!(nonsense.is_none(), "{:?}", nonsense);
        }
    }
}
