//! Charts for a report: SVG and PNG, drawn by plotters.
//!
//! # Theory of operation
//!
//! [`render`] turns a [`Series`] and [`render_traffic`] a [`Usage`] into a picture of 900 × 360 points on white,
//! for pasting into a document. What is drawn where is decided once (`host` and `traffic` say what, `axis`
//! holds the arithmetic, `draw` the composition) on a canvas four times as fine, because plotters' backends place everything on whole
//! units. The SVG states the real size over the fine coordinates; the PNG (`bitmap`) has twice the
//! points of the SVG and covers each pixel by as much as a shape does.
//!
//! Text in a PNG is set with two small subsets of the Inter typeface that are part of the program
//! (SIL Open Font License, `assets/OFL.txt`): the same picture on every machine. They are looked at
//! only while a chart is drawn. Nothing measured is shown as nothing: a gap breaks the line, and a
//! window without samples says so.

mod axis;
mod bitmap;
mod draw;
mod host;
mod layout;
mod note;
mod text;
mod traffic;

use std::time::Duration;

use cockpit_model::host::Series;
use cockpit_model::usage::Usage;
use jiff::Timestamp;
use plotters::prelude::SVGBackend;

pub use note::Note;

/// What a chart shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Processor use in percent.
    Cpu,
    /// Memory and swap in use, in GiB.
    Memory,
}

/// What a chart of requests to models shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrafficKind {
    /// What they cost, by model. Needs usage grouped by model.
    Cost,
    /// P50, P95 and P99 of whole answers, and P50 to the first token.
    Latency,
    /// Input, cached input, output.
    Tokens,
    /// Answered, failed, cancelled.
    Requests,
}

/// A chart's file format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `image/svg+xml`, 900 × 360.
    Svg,
    /// `image/png`, 1800 × 720.
    Png,
}

/// A chart could not be drawn.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The drawing itself.
    #[error("the chart cannot be drawn: {0}")]
    Draw(String),
    /// The file format.
    #[error("the chart cannot be written as PNG: {0}")]
    Png(#[from] png::EncodingError),
    /// The bundled typeface.
    #[error("the chart's typeface cannot be read: {0}")]
    Font(#[from] ab_glyph::InvalidFont),
}

/// Draws the `window` that ends `now`.
///
/// # Errors
/// When it cannot be drawn or encoded; nothing in a series can cause that.
pub fn render(
    kind: Kind,
    format: Format,
    series: &Series,
    now: Timestamp,
    window: Duration,
) -> Result<Vec<u8>, Error> {
    picture(&host::chart(kind, series, now, window), format)
}

/// Draws what requests to models amounted to in the `window` that ends `now`, and what happened meanwhile.
///
/// # Errors
/// When it cannot be drawn or encoded; nothing in the usage can cause that.
pub fn render_traffic(
    kind: TrafficKind,
    format: Format,
    usage: &Usage,
    notes: &[Note],
    now: Timestamp,
    window: Duration,
) -> Result<Vec<u8>, Error> {
    picture(&traffic::chart(kind, usage, notes, now, window), format)
}

/// Begin and end of a window, in Unix milliseconds.
fn bounds(now: Timestamp, window: Duration) -> (i64, i64) {
    let to_ms = now.as_millisecond();
    let window_ms = i64::try_from(window.as_millis())
        .unwrap_or(i64::MAX)
        .max(1000);
    (to_ms.saturating_sub(window_ms), to_ms)
}

fn picture(chart: &layout::Chart, format: Format) -> Result<Vec<u8>, Error> {
    let (width, height) = (layout::WIDTH * layout::FINE, layout::HEIGHT * layout::FINE);
    let typesetter = text::Typesetter::new()?;
    match format {
        Format::Svg => {
            let mut svg = String::new();
            draw::draw(
                chart,
                &typesetter,
                &mut SVGBackend::with_string(&mut svg, (width, height)),
            )?;
            // The first tag states the size in fine units; only the view box should.
            let fine = format!("width=\"{width}\" height=\"{height}\"");
            let real = format!(
                "width=\"{}\" height=\"{}\" role=\"img\" aria-label=\"{}. {}\"",
                layout::WIDTH,
                layout::HEIGHT,
                chart.title,
                chart.subtitle
            );
            Ok(svg.replacen(&fine, &real, 1).into_bytes())
        }
        Format::Png => bitmap::png(width, height, &typesetter, |canvas| {
            draw::draw(chart, &typesetter, canvas)
        }),
    }
}
