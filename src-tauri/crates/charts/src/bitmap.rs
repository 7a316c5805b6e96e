//! PNG: a backend for plotters that fills exactly what a shape covers, pixel by pixel, and sets our
//! own text.
//!
//! The picture is drawn in strips, each into the same half megabyte: plotters' own bitmap would
//! need a buffer of 15 MB for edges as smooth, and an allocator that has once given back a block of
//! that size keeps the next ones. An engine of 30 MB would double for a chart.

use std::convert::Infallible;
use std::f32::consts::TAU;

use ab_glyph_rasterizer::{Point, Rasterizer, point};
use plotters_backend::{
    BackendColor, BackendCoord, BackendStyle, BackendTextStyle, DrawingBackend, DrawingErrorKind,
    FontStyle,
};

use crate::Error;
use crate::text::Typesetter;

/// Canvas units a pixel, each way.
const UNITS: u32 = 2;
/// Rows of a strip.
const STRIP: u32 = 90;
/// Corners of a circle, and of the round joint of two stretches of a line.
const CORNERS: u8 = 16;

/// One strip of the picture. Coordinates are the whole canvas'.
pub(crate) struct Canvas<'a> {
    width: usize,
    height: usize,
    /// The strip's first row.
    top: f32,
    size: (u32, u32),
    pixels: Vec<[u8; 3]>,
    typesetter: &'a Typesetter,
}

type Failure = DrawingErrorKind<Infallible>;

fn blend(pixel: &mut [u8; 3], rgb: (u8, u8, u8), alpha: f32) {
    if alpha >= 1.0 {
        *pixel = [rgb.0, rgb.1, rgb.2];
        return;
    }
    for (under, over) in pixel.iter_mut().zip([rgb.0, rgb.1, rgb.2]) {
        let mixed = f32::from(*under) * (1.0 - alpha) + f32::from(over) * alpha;
        *under = mixed.round() as u8;
    }
}

impl Canvas<'_> {
    /// From canvas units to pixels of the strip.
    fn place(&self, (x, y): BackendCoord) -> Point {
        let units = UNITS as f32;
        point(x as f32 / units, y as f32 / units - self.top)
    }

    /// Fills outlines that all turn the same way; where they overlap, they cover once.
    fn fill(&mut self, outlines: &[Vec<Point>], color: BackendColor) {
        let corners = || outlines.iter().flatten();
        let (mut left, mut right) = (f32::MAX, f32::MIN);
        let (mut upper, mut lower) = (f32::MAX, f32::MIN);
        for corner in corners() {
            (left, right) = (left.min(corner.x), right.max(corner.x));
            (upper, lower) = (upper.min(corner.y), lower.max(corner.y));
        }
        let upper = upper.max(0.0).floor();
        let lower = lower.min(self.height as f32).ceil();
        let left = left.max(0.0).floor();
        if lower <= upper || right < left {
            return;
        }
        let columns = (right - left).ceil() as usize + 3;
        let mut mask = Rasterizer::new(columns, (lower - upper) as usize);
        for outline in outlines {
            let next = outline.iter().cycle().skip(1);
            for (from, to) in outline.iter().zip(next) {
                mask.draw_line(
                    point(from.x - left, from.y - upper),
                    point(to.x - left, to.y - upper),
                );
            }
        }
        let (left, upper) = (left as usize, upper as usize);
        let alpha = color.alpha as f32;
        mask.for_each_pixel_2d(|x, y, coverage| {
            let column = left + x as usize;
            if coverage > 0.0 && column < self.width {
                let place = (upper + y as usize) * self.width + column;
                if let Some(pixel) = self.pixels.get_mut(place) {
                    blend(pixel, color.rgb, coverage.min(1.0) * alpha);
                }
            }
        });
    }

    fn circle(&self, center: BackendCoord, radius: f32) -> Vec<Point> {
        let center = self.place(center);
        (0..CORNERS)
            .map(|corner| {
                let angle = TAU * f32::from(corner) / f32::from(CORNERS);
                point(
                    center.x + radius * angle.cos(),
                    center.y - radius * angle.sin(),
                )
            })
            .collect()
    }

    /// A stretch of a line as a rectangle, turning the way [`Self::circle`] does.
    fn stretch(&self, from: BackendCoord, to: BackendCoord, width: f32) -> Vec<Point> {
        let (from, to) = (self.place(from), self.place(to));
        let (dx, dy) = (to.x - from.x, to.y - from.y);
        let scale = width / 2.0 / dx.hypot(dy).max(f32::EPSILON);
        let (nx, ny) = (-dy * scale, dx * scale);
        vec![
            point(from.x + nx, from.y + ny),
            point(to.x + nx, to.y + ny),
            point(to.x - nx, to.y - ny),
            point(from.x - nx, from.y - ny),
        ]
    }
}

impl DrawingBackend for Canvas<'_> {
    type ErrorType = Infallible;

    fn get_size(&self) -> (u32, u32) {
        self.size
    }

    fn ensure_prepared(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    fn present(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    fn draw_pixel(&mut self, at: BackendCoord, color: BackendColor) -> Result<(), Failure> {
        let corners = [at, (at.0 + 1, at.1), (at.0 + 1, at.1 + 1), (at.0, at.1 + 1)];
        let outline = corners.map(|corner| self.place(corner)).to_vec();
        self.fill(&[outline], color);
        Ok(())
    }

    fn draw_line<S: BackendStyle>(
        &mut self,
        from: BackendCoord,
        to: BackendCoord,
        style: &S,
    ) -> Result<(), Failure> {
        self.draw_path([from, to], style)
    }

    fn draw_rect<S: BackendStyle>(
        &mut self,
        (left, top): BackendCoord,
        (right, bottom): BackendCoord,
        style: &S,
        fill: bool,
    ) -> Result<(), Failure> {
        let corners = [(left, top), (right, top), (right, bottom), (left, bottom)];
        if fill {
            self.fill_polygon(corners, style)
        } else {
            self.draw_path(corners.into_iter().chain([(left, top)]), style)
        }
    }

    fn draw_path<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(
        &mut self,
        path: I,
        style: &S,
    ) -> Result<(), Failure> {
        let width = style.stroke_width() as f32 / UNITS as f32;
        let path: Vec<BackendCoord> = path.into_iter().collect();
        // Only what touches the strip.
        let near = |at: &BackendCoord| {
            let y = self.place(*at).y;
            i8::from(y > self.height as f32 + width) - i8::from(y < -width)
        };
        let mut outlines = Vec::new();
        for (from, to) in path.iter().zip(path.iter().skip(1)) {
            if near(from) * near(to) != 1 {
                outlines.push(self.stretch(*from, *to, width));
                outlines.push(self.circle(*to, width / 2.0));
            }
        }
        self.fill(&outlines, style.color());
        Ok(())
    }

    fn draw_circle<S: BackendStyle>(
        &mut self,
        center: BackendCoord,
        radius: u32,
        style: &S,
        _fill: bool,
    ) -> Result<(), Failure> {
        let outline = self.circle(center, radius as f32 / UNITS as f32);
        self.fill(&[outline], style.color());
        Ok(())
    }

    fn fill_polygon<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(
        &mut self,
        corners: I,
        style: &S,
    ) -> Result<(), Failure> {
        let outline = corners.into_iter().map(|corner| self.place(corner));
        let outline: Vec<Point> = outline.collect();
        self.fill(&[outline], style.color());
        Ok(())
    }

    fn draw_text<S: BackendTextStyle>(
        &mut self,
        text: &str,
        style: &S,
        at: BackendCoord,
    ) -> Result<(), Failure> {
        let at = self.place(at);
        let color = style.color();
        let bold = matches!(style.style(), FontStyle::Bold);
        let em = (style.size() / 1.24) as f32 / UNITS as f32;
        if at.y < -em || at.y > self.height as f32 + em {
            return Ok(());
        }
        let Self {
            width,
            pixels,
            typesetter,
            ..
        } = self;
        let anchor = style.anchor().h_pos;
        typesetter.set(text, em, bold, anchor, (at.x, at.y), |x, y, coverage| {
            let (Ok(x), Ok(y)) = (usize::try_from(x), usize::try_from(y)) else {
                return;
            };
            if x < *width
                && let Some(pixel) = pixels.get_mut(y * *width + x)
            {
                blend(pixel, color.rgb, coverage.min(1.0) * color.alpha as f32);
            }
        });
        Ok(())
    }
}

/// Draws on a canvas of `width` × `height` units and encodes it at half that size.
pub(crate) fn png(
    width: u32,
    height: u32,
    typesetter: &Typesetter,
    draw: impl Fn(&mut Canvas<'_>) -> Result<(), Error>,
) -> Result<Vec<u8>, Error> {
    let (columns, rows) = (width / UNITS, height / UNITS);
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, columns, rows);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    // Twice the points of the SVG: 144 pixels an inch.
    encoder.set_pixel_dims(Some(png::PixelDimensions {
        xppu: 5669,
        yppu: 5669,
        unit: png::Unit::Meter,
    }));
    let mut writer = encoder.write_header()?;
    let mut stream = writer.stream_writer()?;
    let mut pixels = Vec::new();
    for top in (0..rows).step_by(STRIP as usize) {
        let height = STRIP.min(rows - top);
        pixels.clear();
        pixels.resize(columns as usize * height as usize, [0xff; 3]);
        let mut canvas = Canvas {
            width: columns as usize,
            height: height as usize,
            top: top as f32,
            size: (width, rows * UNITS),
            pixels,
            typesetter,
        };
        draw(&mut canvas)?;
        pixels = canvas.pixels;
        std::io::Write::write_all(&mut stream, pixels.as_flattened())
            .map_err(png::EncodingError::IoError)?;
    }
    stream.finish()?;
    writer.finish()?;
    Ok(file)
}
