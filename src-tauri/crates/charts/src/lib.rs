//! Charts for a report: SVG and PNG, drawn by plotters.
//!
//! # Theory of operation
//!
//! [`render`] turns a [`Series`] into a picture of 900 × 360 points on white, for pasting into a
//! document. What is drawn where is decided once (`layout` holds the arithmetic, `draw` the
//! composition) on a canvas four times as fine, because plotters' backends place everything on whole
//! units. The SVG states the real size over the fine coordinates; the PNG (`bitmap`) has twice the
//! points of the SVG and covers each pixel by as much as a shape does.
//!
//! Text in a PNG is set with two small subsets of the Inter typeface that are part of the program
//! (SIL Open Font License, `assets/OFL.txt`): the same picture on every machine. They are looked at
//! only while a chart is drawn. Nothing measured is shown as nothing: a gap breaks the line, and a
//! window without samples says so.

mod bitmap;
mod draw;
mod layout;
mod text;

use std::time::Duration;

use cockpit_model::host::Series;
use jiff::Timestamp;
use plotters::prelude::SVGBackend;

/// What a chart shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Processor use in percent.
    Cpu,
    /// Memory and swap in use, in GiB.
    Memory,
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
    let chart = layout::Chart::new(kind, series, now, window);
    let (width, height) = (layout::WIDTH * layout::FINE, layout::HEIGHT * layout::FINE);
    match format {
        Format::Svg => {
            let mut svg = String::new();
            draw::draw(
                &chart,
                &mut SVGBackend::with_string(&mut svg, (width, height)),
            )?;
            // The first tag states the size in fine units; only the view box should.
            let fine = format!("width=\"{width}\" height=\"{height}\"");
            let real = format!(
                "width=\"{}\" height=\"{}\" role=\"img\" aria-label=\"{}\"",
                layout::WIDTH,
                layout::HEIGHT,
                chart.title
            );
            Ok(svg.replacen(&fine, &real, 1).into_bytes())
        }
        Format::Png => bitmap::png(width, height, |canvas| draw::draw(&chart, canvas)),
    }
}
