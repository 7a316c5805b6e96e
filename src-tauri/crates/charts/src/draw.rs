//! The composition: what stands where on the canvas.

use plotters_backend::{BackendColor, BackendStyle, DrawingBackend, DrawingErrorKind};

use crate::Error;
use crate::layout::{Bar, Chart, Entry, FINE, HEIGHT, Legend, Line, Segment, Style, WIDTH};
use crate::note::Placed;
use crate::text::{Align, TextStyle, Typesetter};

const LEFT: u32 = 68;
const RIGHT: u32 = 28;
const TOP: u32 = 76;
const BOTTOM: u32 = 44;
/// Of a legend beside the plot.
const COLUMN: u32 = 240;
/// Between the plot and it.
const GUTTER: u32 = 26;
/// A line of it.
const ENTRY: u32 = 21;

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
pub(crate) fn draw<B: DrawingBackend>(
    chart: &Chart,
    typesetter: &Typesetter,
    canvas: &mut B,
) -> Result<(), Error> {
    compose(chart, typesetter, canvas)
        .map_err(|error: DrawingErrorKind<B::ErrorType>| Error::Draw(error.to_string()))
}

fn compose<B: DrawingBackend>(
    chart: &Chart,
    typesetter: &Typesetter,
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
    match &chart.legend {
        Legend::Row => row(chart, canvas)?,
        Legend::Column(entries) => column(entries, &bounds, typesetter, canvas)?,
    }
    for note in &chart.notes {
        shade(note, &bounds, canvas)?;
    }
    for note in &chart.notes {
        rule(note, &bounds, canvas)?;
    }

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

    for bar in &chart.bars {
        stack(bar, &bounds, canvas)?;
    }
    for line in &chart.lines {
        for segment in &line.segments {
            trace(canvas, &bounds, line, segment)?;
        }
    }
    annotate(&chart.notes, &bounds, typesetter, canvas)?;
    if let Some(nothing) = chart.nothing {
        let middle = (
            (bounds.left + bounds.right) / 2,
            (bounds.top + bounds.bottom) / 2,
        );
        let half = typesetter.width(nothing, (14 * FINE) as f32, false) as i32 / 2 + fine(10);
        canvas.draw_rect(
            (middle.0 - half, middle.1 - fine(14)),
            (middle.0 + half, middle.1 + fine(14)),
            &pen(WHITE, 1.0, 1),
            true,
        )?;
        text(canvas, nothing, middle, 14, SOFT, false, Align::Center)?;
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
fn row<B: DrawingBackend>(
    chart: &Chart,
    canvas: &mut B,
) -> Result<(), DrawingErrorKind<B::ErrorType>> {
    if chart.lines.len() < 2 || chart.nothing.is_some() {
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

/// Beside the plot: a swatch, a name, a figure.
fn column<B: DrawingBackend>(
    entries: &[Entry],
    bounds: &Bounds,
    typesetter: &Typesetter,
    canvas: &mut B,
) -> Result<(), DrawingErrorKind<B::ErrorType>> {
    let left = bounds.right + fine(GUTTER);
    let right = fine(WIDTH - RIGHT);
    let mut y = bounds.top + fine(6);
    for entry in entries {
        let (above, below) = (y - fine(5), y + fine(5));
        let swatch = pen(entry.color, 1.0, 1);
        canvas.draw_rect((left, above), (left + fine(10), below), &swatch, true)?;
        let em = (12 * FINE) as f32;
        let figure = typesetter.width(&entry.figure, em, false);
        let widest = (right - left - fine(18 + 12)) as f32 - figure;
        let name = typesetter.fit(&entry.name, em, widest);
        text(
            canvas,
            &name,
            (left + fine(18), y),
            12,
            INK,
            false,
            Align::Left,
        )?;
        text(
            canvas,
            &entry.figure,
            (right, y),
            12,
            SOFT,
            false,
            Align::Right,
        )?;
        y += fine(ENTRY);
    }
    Ok(())
}

/// A step's parts on top of each other. What is there is seen, however little it is.
fn stack<B: DrawingBackend>(
    bar: &Bar,
    bounds: &Bounds,
    canvas: &mut B,
) -> Result<(), DrawingErrorKind<B::ErrorType>> {
    let (left, mut right) = (bounds.x(bar.from_ms), bounds.x(bar.to_ms));
    if right - left >= fine(3) {
        right -= fine(1);
    }
    let right = right.max(left + fine(1));
    let (mut below, mut sum) = (bounds.bottom, 0.0);
    for (color, value) in &bar.parts {
        sum += value;
        let above = bounds.y(sum).min(below - fine(1)).max(bounds.top);
        canvas.draw_rect((left, above), (right, below), &pen(*color, 1.0, 1), true)?;
        below = above;
    }
    Ok(())
}

/// Behind the figures: how long something took, where that is seen.
fn shade<B: DrawingBackend>(
    note: &Placed,
    bounds: &Bounds,
    canvas: &mut B,
) -> Result<(), DrawingErrorKind<B::ErrorType>> {
    let (left, right) = (bounds.x(note.from_ms), bounds.x(note.to_ms));
    if right - left < fine(2) {
        return Ok(());
    }
    canvas.draw_rect(
        (left, bounds.top),
        (right, bounds.bottom),
        &pen(GRID, 0.6, 1),
        true,
    )
}

/// Behind the figures too: what happened hides nothing of what was measured.
fn rule<B: DrawingBackend>(
    note: &Placed,
    bounds: &Bounds,
    canvas: &mut B,
) -> Result<(), DrawingErrorKind<B::ErrorType>> {
    let x = bounds.x(note.to_ms);
    canvas.draw_rect(
        (x - 2, bounds.top),
        (x + 2, bounds.bottom),
        &pen(SOFT, 0.55, 1),
        true,
    )
}

/// Above the plot: where each happened, and its words where there is room for them.
fn annotate<B: DrawingBackend>(
    notes: &[Placed],
    bounds: &Bounds,
    typesetter: &Typesetter,
    canvas: &mut B,
) -> Result<(), DrawingErrorKind<B::ErrorType>> {
    const EM: u32 = 10;
    let mut free = bounds.left;
    for note in notes {
        let x = bounds.x(note.to_ms);
        let tip = (x, bounds.top);
        let wing = |side: i32| (x + side * fine(3), bounds.top - fine(6));
        canvas.fill_polygon([tip, wing(1), wing(-1)], &pen(SOFT, 1.0, 1))?;
        let width = typesetter
            .width(&note.label, (EM * FINE) as f32, false)
            .ceil() as i32;
        // Centred over its line, or as near as the words before leave room.
        let centred = (x - width / 2).min(fine(WIDTH - RIGHT) - width);
        let left = centred.max(free);
        if left <= x {
            let at = (left, bounds.top - fine(12));
            text(canvas, &note.label, at, EM, SOFT, false, Align::Left)?;
            free = left + width + fine(8);
        }
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
            right: match chart.legend {
                Legend::Row => fine(WIDTH - RIGHT),
                Legend::Column(_) => fine(WIDTH - RIGHT - COLUMN - GUTTER),
            },
            top: match chart.legend {
                Legend::Row => fine(TOP),
                // Below the notes' words.
                Legend::Column(_) => fine(TOP + 10),
            },
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
