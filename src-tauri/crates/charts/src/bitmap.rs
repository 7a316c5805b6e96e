//! PNG: plotters' bitmap backend with our own text, averaged down and encoded.

use plotters::prelude::BitMapBackend;
use plotters_backend::{
    BackendColor, BackendCoord, BackendStyle, BackendTextStyle, DrawingBackend, DrawingErrorKind,
    FontStyle,
};

use crate::Error;
use crate::text::Typesetter;

/// Canvas pixels averaged into one, each way.
const AVERAGED: u32 = 2;

/// The bitmap backend, with text set by [`Typesetter`].
pub(crate) struct Canvas<'a> {
    inner: BitMapBackend<'a>,
    typesetter: Typesetter,
}

type Failure<'a> = DrawingErrorKind<<BitMapBackend<'a> as DrawingBackend>::ErrorType>;

impl<'a> DrawingBackend for Canvas<'a> {
    type ErrorType = <BitMapBackend<'a> as DrawingBackend>::ErrorType;

    fn get_size(&self) -> (u32, u32) {
        self.inner.get_size()
    }

    fn ensure_prepared(&mut self) -> Result<(), Failure<'a>> {
        self.inner.ensure_prepared()
    }

    fn present(&mut self) -> Result<(), Failure<'a>> {
        self.inner.present()
    }

    fn draw_pixel(&mut self, point: BackendCoord, color: BackendColor) -> Result<(), Failure<'a>> {
        self.inner.draw_pixel(point, color)
    }

    fn draw_line<S: BackendStyle>(
        &mut self,
        from: BackendCoord,
        to: BackendCoord,
        style: &S,
    ) -> Result<(), Failure<'a>> {
        self.inner.draw_line(from, to, style)
    }

    fn draw_rect<S: BackendStyle>(
        &mut self,
        upper_left: BackendCoord,
        bottom_right: BackendCoord,
        style: &S,
        fill: bool,
    ) -> Result<(), Failure<'a>> {
        self.inner.draw_rect(upper_left, bottom_right, style, fill)
    }

    fn draw_text<S: BackendTextStyle>(
        &mut self,
        text: &str,
        style: &S,
        pos: BackendCoord,
    ) -> Result<(), Failure<'a>> {
        let Self { inner, typesetter } = self;
        let color = style.color();
        let bold = matches!(style.style(), FontStyle::Bold);
        let em = (style.size() / 1.24).round() as u32;
        let mut result = Ok(());
        typesetter.set(
            text,
            em,
            bold,
            style.anchor().h_pos,
            pos,
            |x, y, coverage| {
                if result.is_ok() {
                    let alpha = color.alpha * coverage;
                    result = inner.draw_pixel((x, y), BackendColor { alpha, ..color });
                }
            },
        );
        result
    }
}

/// Draws on a canvas of `width` × `height` and encodes it at half that size.
pub(crate) fn png(
    width: u32,
    height: u32,
    draw: impl FnOnce(&mut Canvas<'_>) -> Result<(), Error>,
) -> Result<Vec<u8>, Error> {
    let mut fine = vec![0xff_u8; width as usize * height as usize * 3];
    let mut canvas = Canvas {
        inner: BitMapBackend::with_buffer(&mut fine, (width, height)),
        typesetter: Typesetter::new()?,
    };
    draw(&mut canvas)?;
    drop(canvas);
    let pixels = average(&fine, width as usize);
    drop(fine);

    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width / AVERAGED, height / AVERAGED);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    // Twice the points of the SVG: 144 pixels an inch.
    encoder.set_pixel_dims(Some(png::PixelDimensions {
        xppu: 5669,
        yppu: 5669,
        unit: png::Unit::Meter,
    }));
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&pixels)?;
    writer.finish()?;
    Ok(file)
}

/// The mean of every two by two pixels.
fn average(fine: &[u8], width: usize) -> Vec<u8> {
    let row = width * 3;
    let mut pixels = Vec::with_capacity(fine.len() / 4);
    for rows in fine.chunks_exact(row * 2) {
        let (upper, lower) = rows.split_at(row);
        for (upper, lower) in upper.chunks_exact(6).zip(lower.chunks_exact(6)) {
            let (&[a, b, c, d, e, f], &[g, h, i, j, k, l]) = (upper, lower) else {
                continue;
            };
            for four in [[a, d, g, j], [b, e, h, k], [c, f, i, l]] {
                let sum: u16 = four.into_iter().map(u16::from).sum();
                pixels.push(((sum + 2) / 4) as u8);
            }
        }
    }
    pixels
}
