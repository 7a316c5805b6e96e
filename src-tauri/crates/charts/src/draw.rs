//! The composition: what stands where on the canvas.

use plotters_backend::{BackendColor, BackendStyle, DrawingBackend, DrawingErrorKind};

use crate::Error;
use crate::layout::{Chart, FINE, HEIGHT, Line, Segment, Style, WIDTH};
use crate::text::{Align, TextStyle};

const LEFT: u32 = 68;
const RIGHT: u32 = 28;
const TOP: u32 = 76;
const BOTTOM: u32 = 44;

const INK: (u8, u8, u8) = (17, 24, 39);
const SOFT: (u8, u8, u8) = (107, 114, 128);
const GRID: (u8, u8, u8) = (229, 231, 235);
const AXIS: (u8, u8, u8) = (156, 163, 175);
const WHITE: (u8, u8, u8) = (255, 255, 255);

struct Pen {
    color: BackendColor,
    width: u32,
}

impl BackendStyle for Pen {
    fn color(&self) -> BackendColor {
        self.color
    }

    fn stroke_width(&self) -> u32 {
        self.width
    }
}

const fn pen(rgb: (u8, u8, u8), alpha: f64, width: u32) -> Pen {
    Pen {
        color: BackendColor { alpha, rgb },
        width,
    }
}

/// Points to canvas units.
const fn fine(points: u32) -> i32 {
    (points * FINE) as i32
}

/// Draws all of it.
pub(crate) fn draw<B: DrawingBackend>(chart: &Chart, canvas: &mut B) -> Result<(), Error> {
    compose(chart, canvas)
        .map_err(|error: DrawingErrorKind<B::ErrorType>| Error::Draw(error.to_string()))
}

fn compose<B: DrawingBackend>(
    chart: &Chart,
    canvas: &mut B,
) -> Result<(), DrawingErrorKind<B::ErrorType>> {
    canvas.ensure_prepared()?;
    canvas.draw_rect(
        (0, 0),
        (fine(WIDTH), fine(HEIGHT)),
        &pen(WHITE, 1.0, 1),
        true,
    )?;
    let bounds = Bounds::of(chart);

    text(
        canvas,
        chart.title,
        (fine(LEFT - 44), fine(28)),
        17,
        INK,
        true,
        Align::Left,
    )?;
    text(
        canvas,
        &chart.subtitle,
        (fine(LEFT - 44), fine(50)),
        12,
        SOFT,
        false,
        Align::Left,
    )?;
    legend(chart, canvas)?;

    for tick in &chart.y_ticks {
        let y = bounds.y(tick.at);
        let color = if tick.at == 0.0 { AXIS } else { GRID };
        canvas.draw_rect(
            (bounds.left, y - 1),
            (bounds.right, y + 1),
            &pen(color, 1.0, 1),
            true,
        )?;
        text(
            canvas,
            &tick.label,
            (bounds.left - fine(10), y),
            11,
            SOFT,
            false,
            Align::Right,
        )?;
    }
    for tick in &chart.x_ticks {
        let x = bounds.x(tick.at);
        canvas.draw_rect(
            (x - 1, bounds.bottom),
            (x + 1, bounds.bottom + fine(5)),
            &pen(AXIS, 1.0, 1),
            true,
        )?;
        text(
            canvas,
            &tick.label,
            (x, bounds.bottom + fine(17)),
            11,
            SOFT,
            false,
            Align::Center,
        )?;
    }
    text(
        canvas,
        "UTC",
        (fine(LEFT - 10), bounds.bottom + fine(17)),
        11,
        AXIS,
        false,
        Align::Right,
    )?;

    if chart.is_empty() {
        let middle = (
            (bounds.left + bounds.right) / 2,
            (bounds.top + bounds.bottom) / 2,
        );
        let blank = (fine(130), fine(16));
        canvas.draw_rect(
            (middle.0 - blank.0, middle.1 - blank.1),
            (middle.0 + blank.0, middle.1 + blank.1),
            &pen(WHITE, 1.0, 1),
            true,
        )?;
        text(
            canvas,
            "no samples in this window yet",
            middle,
            14,
            SOFT,
            false,
            Align::Center,
        )?;
    }
    for line in &chart.lines {
        for segment in &line.segments {
            trace(canvas, &bounds, line, segment)?;
        }
    }
    canvas.present()
}

fn trace<B: DrawingBackend>(
    canvas: &mut B,
    bounds: &Bounds,
    line: &Line,
    segment: &Segment,
) -> Result<(), DrawingErrorKind<B::ErrorType>> {
    let mut points: Vec<(i32, i32)> = segment
        .iter()
        .map(|(at, value)| (bounds.x(*at), bounds.y(*value)))
        .collect();
    points.dedup();
    let (Some(first), Some(last)) = (points.first().copied(), points.last().copied()) else {
        return Ok(());
    };
    if first.0 == last.0 {
        // Nothing to join it to: a dot.
        let radius = FINE * 2;
        return canvas.draw_circle(first, radius, &pen(line.color, 1.0, 1), true);
    }
    let alpha = match line.style {
        Style::Shadow => 0.13,
        Style::Area => 0.16,
        Style::Line => 0.0,
    };
    if alpha > 0.0 {
        let floor = [(last.0, bounds.bottom), (first.0, bounds.bottom)];
        let area = points.iter().copied().chain(floor);
        canvas.fill_polygon(area, &pen(line.color, alpha, 1))?;
    }
    if line.style != Style::Shadow {
        canvas.draw_path(points, &pen(line.color, 1.0, 5))?;
    }
    Ok(())
}

/// Top right, from the right: a swatch and the name of each line, where there is more than one.
fn legend<B: DrawingBackend>(
    chart: &Chart,
    canvas: &mut B,
) -> Result<(), DrawingErrorKind<B::ErrorType>> {
    if chart.lines.len() < 2 || chart.is_empty() {
        return Ok(());
    }
    // Names are short and known: columns of one width.
    let mut left = fine(WIDTH - RIGHT) - fine(58);
    let y = fine(28);
    for line in &chart.lines {
        let (height, alpha) = match line.style {
            Style::Shadow => (fine(8), 0.22),
            Style::Area | Style::Line => (fine(2), 1.0),
        };
        canvas.draw_rect(
            (left, y - height / 2),
            (left + fine(14), y + height / 2),
            &pen(line.color, alpha, 1),
            true,
        )?;
        text(
            canvas,
            line.name,
            (left + fine(21), y),
            12,
            SOFT,
            false,
            Align::Left,
        )?;
        left -= fine(76);
    }
    Ok(())
}

fn text<B: DrawingBackend>(
    canvas: &mut B,
    text: &str,
    at: (i32, i32),
    points: u32,
    rgb: (u8, u8, u8),
    bold: bool,
    align: Align,
) -> Result<(), DrawingErrorKind<B::ErrorType>> {
    let style = TextStyle {
        color: BackendColor { alpha: 1.0, rgb },
        em: points * FINE,
        bold,
        align,
    };
    canvas.draw_text(text, &style, at)
}

/// The plot's place on the canvas, and the way there from time and value.
struct Bounds {
    left: i32,
    right: i32,
    top: i32,
    bottom: i32,
    from_ms: i64,
    span_ms: f64,
    highest: f64,
}

impl Bounds {
    fn of(chart: &Chart) -> Self {
        Self {
            left: fine(LEFT),
            right: fine(WIDTH - RIGHT),
            top: fine(TOP),
            bottom: fine(HEIGHT - BOTTOM),
            from_ms: chart.from_ms,
            span_ms: chart.to_ms.saturating_sub(chart.from_ms).max(1) as f64,
            highest: chart.top,
        }
    }

    fn x(&self, at_ms: i64) -> i32 {
        let part = at_ms.saturating_sub(self.from_ms) as f64 / self.span_ms;
        self.left + (part.clamp(0.0, 1.0) * f64::from(self.right - self.left)).round() as i32
    }

    fn y(&self, value: f64) -> i32 {
        let part = (value / self.highest).clamp(0.0, 1.0);
        self.bottom - (part * f64::from(self.bottom - self.top)).round() as i32
    }
}
