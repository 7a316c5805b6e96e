//! What a report gets.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod read;

use std::collections::BTreeMap;
use std::time::Duration;

use cockpit_charts::{Format, Kind, render};
use cockpit_model::host::Series;
use jiff::Timestamp;
use proptest::prelude::*;
use read::{count, parse};

const HOUR: Duration = Duration::from_secs(3600);

fn now() -> Timestamp {
    Timestamp::from_second(1_763_877_600).unwrap()
}

fn series(values: Vec<Option<f64>>) -> Series {
    let count = i64::try_from(values.len()).unwrap();
    Series {
        step_ms: 60_000,
        at_ms: (0..count)
            .map(|i| now().as_millisecond() - (count - 1 - i) * 60_000)
            .collect(),
        values: BTreeMap::from([
            ("cpu_percent".to_owned(), values.clone()),
            ("memory_used_bytes".to_owned(), values),
        ]),
    }
}

fn svg(kind: Kind, series: &Series) -> String {
    String::from_utf8(render(kind, Format::Svg, series, now(), HOUR).unwrap()).unwrap()
}

#[test]
fn the_svg_is_well_formed_and_says_what_it_shows() {
    let svg = svg(
        Kind::Cpu,
        &series((0..60).map(|i| Some(f64::from(i))).collect()),
    );
    let (_, texts) = parse(&svg);
    for expected in [
        "Processor",
        "Last hour · mean 30% · peak 59%",
        "0%",
        "100%",
        "05:30",
        "UTC",
    ] {
        assert!(
            texts.iter().any(|text| text == expected),
            "{expected} in {texts:?}"
        );
    }
    assert!(svg.contains("width=\"900\" height=\"360\""));
    assert!(svg.contains("viewBox=\"0 0 3600 1440\""));
}

#[test]
fn a_gap_breaks_the_line() {
    let whole = series((0..60).map(|i| Some(f64::from(i))).collect());
    let broken = series(
        (0..60)
            .map(|i| (!(20..30).contains(&i)).then_some(f64::from(i)))
            .collect(),
    );
    let areas = |series| count(&parse(&svg(Kind::Cpu, series)).0, "polygon");
    assert_eq!((areas(&whole), areas(&broken)), (1, 2));
}

#[test]
fn one_point_is_a_dot() {
    let (tags, _) = parse(&svg(Kind::Memory, &series(vec![Some(3e9)])));
    assert_eq!(count(&tags, "circle"), 1);
}

#[test]
fn an_empty_window_says_so() {
    for empty in [Series::default(), series(vec![None; 60])] {
        let (tags, texts) = parse(&svg(Kind::Memory, &empty));
        assert!(
            texts
                .iter()
                .any(|text| text == "no samples in this window yet")
        );
        assert_eq!(count(&tags, "polygon") + count(&tags, "polyline"), 0);
    }
}

#[test]
fn the_png_has_its_size_and_something_on_it() {
    let drawn = render(
        Kind::Cpu,
        Format::Png,
        &series((0..60).map(|i| Some(f64::from(i))).collect()),
        now(),
        HOUR,
    )
    .unwrap();
    assert!(drawn.starts_with(b"\x89PNG\r\n\x1a\n"));
    let mut reader = png::Decoder::new(std::io::Cursor::new(&drawn))
        .read_info()
        .unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    assert_eq!((info.width, info.height), (1800, 720));
    // The title's ink, the line's blue, and the paper.
    let dark = pixels
        .chunks_exact(3)
        .filter(|pixel| pixel.iter().all(|part| *part < 60))
        .count();
    let blue = pixels
        .chunks_exact(3)
        .filter(|pixel| **pixel == [37, 99, 235])
        .count();
    assert!(dark > 300, "{dark}");
    assert!(blue > 1000, "{blue}");
    assert_eq!(pixels[..3], [255, 255, 255]);
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let series = series((0..60).map(|i| Some(f64::from(i))).collect());
    for format in [Format::Svg, Format::Png] {
        let draw = || render(Kind::Memory, format, &series, now(), HOUR).unwrap();
        assert_eq!(draw(), draw());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_series_is_drawn_and_holds_no_nonsense(
        points in proptest::collection::vec(
            (any::<i64>(), proptest::option::of(any::<f64>())), 0..40),
        step_ms in any::<u64>(),
        window in any::<u64>(),
    ) {
        let (at_ms, values): (Vec<_>, Vec<_>) = points.into_iter().unzip();
        let series = Series {
            step_ms,
            at_ms,
            values: BTreeMap::from([
                ("cpu_percent".to_owned(), values.clone()),
                ("swap_used_bytes".to_owned(), values.clone()),
                ("memory_used_bytes".to_owned(), values),
            ]),
        };
        for kind in [Kind::Cpu, Kind::Memory] {
            let drawn = render(kind, Format::Svg, &series, now(), Duration::from_secs(window)).unwrap();
            let drawn = String::from_utf8(drawn).unwrap();
            parse(&drawn);
            prop_assert!(!drawn.contains("NaN") && !drawn.contains("inf"));
        }
    }
}
