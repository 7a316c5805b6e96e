//! What a chart is made of, before it is drawn. Pure.

use crate::note::Placed;

/// Of the picture, in points.
pub(crate) const WIDTH: u32 = 900;
/// Of the picture, in points.
pub(crate) const HEIGHT: u32 = 360;
/// Canvas units a point.
pub(crate) const FINE: u32 = 4;

/// Red, green, blue.
pub(crate) type Color = (u8, u8, u8);

/// A run of points without a gap: milliseconds and value in the chart's unit.
pub(crate) type Segment = Vec<(i64, f64)>;

/// A line, its name, and how it is drawn.
#[derive(Debug)]
pub(crate) struct Line {
    pub name: &'static str,
    pub color: Color,
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

/// A stretch of time, and what it amounts to, from the axis up.
#[derive(Debug)]
pub(crate) struct Bar {
    pub from_ms: i64,
    pub to_ms: i64,
    pub parts: Vec<(Color, f64)>,
}

/// A place on an axis and what is written there.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tick<T> {
    pub at: T,
    pub label: String,
}

/// How the reader is told which colour is what.
#[derive(Debug)]
pub(crate) enum Legend {
    /// The lines' names, top right, where there is more than one.
    Row,
    /// Beside the plot, each with its figure.
    Column(Vec<Entry>),
}

/// A line of a legend's column.
#[derive(Debug)]
pub(crate) struct Entry {
    pub color: Color,
    pub name: String,
    pub figure: String,
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
    pub bars: Vec<Bar>,
    pub lines: Vec<Line>,
    pub notes: Vec<Placed>,
    pub legend: Legend,
    /// What is said in its place where there is nothing to draw.
    pub nothing: Option<&'static str>,
}

pub(crate) fn highest(line: &Line) -> Option<f64> {
    line.segments
        .iter()
        .flatten()
        .map(|(_, value)| *value)
        .reduce(f64::max)
}
