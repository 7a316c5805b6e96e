//! Text: how it is described to a backend, and how it is set on a bitmap.

use std::convert::Infallible;

use ab_glyph::{Font, FontRef, Glyph, InvalidFont, PxScale, ScaleFont, point};
use plotters_backend::text_anchor::{HPos, Pos, VPos};
use plotters_backend::{BackendColor, BackendCoord, BackendTextStyle, FontFamily, FontStyle};

const REGULAR: &[u8] = include_bytes!("../assets/Inter-Regular-subset.otf");
const SEMIBOLD: &[u8] = include_bytes!("../assets/Inter-SemiBold-subset.otf");
/// For the SVG, which is set by whoever shows it.
const FAMILY: &str = "Inter, -apple-system, system-ui, 'Helvetica Neue', Arial, sans-serif";
/// plotters' SVG backend divides sizes by this; what we mean by a size is the em.
const SVG_SIZE: f64 = 1.24;

/// How a text looks and where its anchor is.
#[derive(Clone, Copy)]
pub(crate) struct TextStyle {
    pub color: BackendColor,
    /// Canvas units an em.
    pub em: u32,
    pub bold: bool,
    pub align: Align,
}

/// Which end of a text stands at its place; vertically it is always the middle.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Align {
    Left,
    Center,
    Right,
}

impl BackendTextStyle for TextStyle {
    type FontError = Infallible;

    fn color(&self) -> BackendColor {
        self.color
    }

    fn size(&self) -> f64 {
        f64::from(self.em) * SVG_SIZE
    }

    fn style(&self) -> FontStyle {
        if self.bold {
            FontStyle::Bold
        } else {
            FontStyle::Normal
        }
    }

    fn anchor(&self) -> Pos {
        let horizontal = match self.align {
            Align::Left => HPos::Left,
            Align::Center => HPos::Center,
            Align::Right => HPos::Right,
        };
        Pos::new(horizontal, VPos::Center)
    }

    fn family(&self) -> FontFamily<'_> {
        FontFamily::Name(FAMILY)
    }

    // Neither is asked for: the SVG leaves setting to its reader, the bitmap has its own below.
    fn layout_box(&self, _text: &str) -> Result<((i32, i32), (i32, i32)), Infallible> {
        Ok(((0, 0), (0, 0)))
    }

    fn draw<E, DrawFunc: FnMut(i32, i32, BackendColor) -> Result<(), E>>(
        &self,
        _text: &str,
        _pos: BackendCoord,
        _draw: DrawFunc,
    ) -> Result<Result<(), E>, Infallible> {
        Ok(Ok(()))
    }
}

/// Sets text on a bitmap, with the typeface's own spacing and kerning.
#[derive(Debug)]
pub(crate) struct Typesetter {
    regular: FontRef<'static>,
    semibold: FontRef<'static>,
}

impl Typesetter {
    pub(crate) fn new() -> Result<Self, InvalidFont> {
        Ok(Self {
            regular: FontRef::try_from_slice(REGULAR)?,
            semibold: FontRef::try_from_slice(SEMIBOLD)?,
        })
    }

    fn font(&self, bold: bool) -> &FontRef<'static> {
        if bold { &self.semibold } else { &self.regular }
    }

    /// How wide a text is, in the unit of `em`.
    pub(crate) fn width(&self, text: &str, em: f32, bold: bool) -> f32 {
        let font = self.font(bold);
        let scaled = font.as_scaled(scale(font, em));
        let mut last = None;
        let mut width = 0.0;
        for letter in text.chars() {
            let id = scaled.glyph_id(letter);
            width += last.map_or(0.0, |last| scaled.kern(last, id)) + scaled.h_advance(id);
            last = Some(id);
        }
        width
    }

    /// As much of a text as is not wider than that, cut in its middle.
    pub(crate) fn fit(&self, text: &str, em: f32, widest: f32) -> String {
        let letters: Vec<char> = text.chars().collect();
        let mut fits = text.to_owned();
        let mut longest = letters.len();
        while longest > 1 && self.width(&fits, em, false) > widest {
            longest -= 1;
            fits = crate::note::cut(&letters, longest);
        }
        fits
    }

    /// Calls `put` with every pixel the text covers, and how much of it. `em` and the place are in
    /// pixels.
    pub(crate) fn set(
        &self,
        text: &str,
        em: f32,
        bold: bool,
        anchor: HPos,
        (x, y): (f32, f32),
        mut put: impl FnMut(i32, i32, f32),
    ) {
        let font = self.font(bold);
        let scale = scale(font, em);
        let scaled = font.as_scaled(scale);
        let mut glyphs: Vec<Glyph> = Vec::with_capacity(text.len());
        let mut pen = 0.0_f32;
        for letter in text.chars() {
            let id = scaled.glyph_id(letter);
            if let Some(last) = glyphs.last() {
                pen += scaled.kern(last.id, id);
            }
            glyphs.push(id.with_scale_and_position(scale, point(pen, 0.0)));
            pen += scaled.h_advance(id);
        }
        let shift = match anchor {
            HPos::Left => 0.0,
            HPos::Center => -pen / 2.0,
            HPos::Right => -pen,
        };
        // The middle of a figure, whose height is 0.727 em in Inter, stands at `y`.
        let baseline = y + em * 0.727 / 2.0;
        for mut glyph in glyphs {
            glyph.position.x += x + shift;
            glyph.position.y = baseline;
            if let Some(outline) = font.outline_glyph(glyph) {
                let bounds = outline.px_bounds();
                let (left, top) = (bounds.min.x as i32, bounds.min.y as i32);
                outline.draw(|dx, dy, coverage| {
                    put(left + dx as i32, top + dy as i32, coverage);
                });
            }
        }
    }
}

/// `ab_glyph`'s scale is ascent to descent; ours is the em.
fn scale(font: &FontRef<'_>, em: f32) -> PxScale {
    let per_em = font.units_per_em().unwrap_or(1000.0);
    PxScale::from(em * font.height_unscaled() / per_em)
}
