//! Canvas for rectangles, lines, text and photographs. Coordinates are pixels from the upper left corner.

use tiny_skia::{Color, FillRule, Paint, PathBuilder, Pixmap, Rect, Stroke, StrokeDash, Transform};

use super::font::SizedFont;
use crate::inspection::inspect::Rgb;
use crate::labelling::pixels::{Filter, RgbImage};
use crate::shared::error::ImageError;
use crate::shared::geometry::UnitBox;

pub(super) const INK: Rgb = Rgb([28, 32, 38]);
pub(super) const FAINT_INK: Rgb = Rgb([98, 104, 112]);
pub(super) const PAPER: Rgb = Rgb([255, 255, 255]);
pub(super) const EMPTY: Rgb = Rgb([226, 229, 233]);

/// Margin of a picture.
pub(super) const MARGIN_PIXELS: f32 = 32.0;
/// Gap between parts of a picture.
pub(super) const GAP_PIXELS: f32 = 26.0;
/// Height of the header.
pub(super) const HEADER_PIXELS: f32 = 78.0;
/// Width of a legend.
pub(super) const LEGEND_PIXELS: f32 = 310.0;

/// Reason a picture cannot be drawn.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    /// The size is 0 or too large.
    #[error("cannot allocate a picture of {width}x{height} pixels (width x height)")]
    Size {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
    },
    /// The embedded font cannot be read.
    #[error("cannot read the embedded font: {0}")]
    Font(#[from] ab_glyph::InvalidFont),
    /// The photograph cannot be resized.
    #[error("cannot resize the photograph: {0}")]
    Photograph(ImageError),
    /// The PNG cannot be encoded.
    #[error("cannot encode the PNG: {0}")]
    Encode(#[from] png::EncodingError),
}

/// A rectangle on the canvas, in pixels: upper left corner, width and height.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct PixelRect {
    pub(super) x: f32,
    pub(super) y: f32,
    pub(super) width: f32,
    pub(super) height: f32,
}

impl PixelRect {
    pub(super) fn right(self) -> f32 {
        self.x + self.width
    }

    pub(super) fn bottom(self) -> f32 {
        self.y + self.height
    }

    /// Moves all sides outwards.
    pub(super) fn grown(self, by: f32) -> Self {
        Self { x: self.x - by, y: self.y - by, width: self.width + 2.0 * by, height: self.height + 2.0 * by }
    }

    /// Returns the part of the area that a box covers, clipped to it.
    pub(super) fn part(self, unit_box: UnitBox) -> Self {
        let side = |unit: f64, start: f32, length: f32| start + unit.clamp(0.0, 1.0) as f32 * length;
        let (x, right) = (side(unit_box.x0(), self.x, self.width), side(unit_box.x1(), self.x, self.width));
        let (y, bottom) = (side(unit_box.y0(), self.y, self.height), side(unit_box.y1(), self.y, self.height));
        Self { x, y, width: right - x, height: bottom - y }
    }

    /// Moves all sides to integer pixels. The area is at least one pixel.
    pub(super) fn rounded(self) -> Self {
        let (x, y) = (self.x.round(), self.y.round());
        let side = |end: f32, start: f32| (end.round() - start).max(1.0);
        Self { x, y, width: side(self.right(), x), height: side(self.bottom(), y) }
    }

    fn rect(self) -> Option<Rect> {
        Rect::from_xywh(self.x, self.y, self.width, self.height)
    }
}

/// An opaque picture that is being drawn, and its fonts.
pub(super) struct Canvas {
    pixels: Pixmap,
    pub(super) small: SizedFont,
    pub(super) normal: SizedFont,
    pub(super) large: SizedFont,
}

impl Canvas {
    /// Creates an empty picture.
    ///
    /// # Errors
    /// Returns [`PictureError::Size`] if the size is 0 or too large.
    pub(super) fn new(width_pixels: u32, height_pixels: u32) -> Result<Self, PictureError> {
        let mut pixels = Pixmap::new(width_pixels, height_pixels)
            .ok_or(PictureError::Size { width: width_pixels, height: height_pixels })?;
        pixels.fill(opaque(PAPER));
        Ok(Self { pixels, small: SizedFont::new(15.0)?, normal: SizedFont::new(18.0)?, large: SizedFont::new(25.0)? })
    }

    pub(super) fn fill(&mut self, area: PixelRect, color: Rgb, opacity: f32) {
        if area.width <= 0.0 || area.height <= 0.0 {
            return;
        }
        // A thin area between pixels would be drawn as a faint one of two pixels.
        let area = if area.width.min(area.height) < 2.0 { area.rounded() } else { area };
        if let Some(rect) = area.rect() {
            self.pixels.fill_rect(rect, &paint(color, opacity), Transform::identity(), None);
        }
    }

    /// Fills an area with rounded corners.
    pub(super) fn pill(&mut self, area: PixelRect, color: Rgb) {
        let radius = (area.height.min(area.width) / 2.0).min(6.0);
        let (left, top, right, bottom) = (area.x, area.y, area.right(), area.bottom());
        let mut path = PathBuilder::new();
        path.move_to(left + radius, top);
        path.line_to(right - radius, top);
        path.quad_to(right, top, right, top + radius);
        path.line_to(right, bottom - radius);
        path.quad_to(right, bottom, right - radius, bottom);
        path.line_to(left + radius, bottom);
        path.quad_to(left, bottom, left, bottom - radius);
        path.line_to(left, top + radius);
        path.quad_to(left, top, left + radius, top);
        path.close();
        if let Some(path) = path.finish() {
            self.pixels.fill_path(&path, &paint(color, 1.0), FillRule::Winding, Transform::identity(), None);
        }
    }

    /// Draws a frame, centred on the sides of the area.
    pub(super) fn frame(&mut self, area: PixelRect, color: Rgb, line_width: f32) {
        if let Some(rect) = area.rect() {
            let stroke = Stroke { width: line_width, ..Stroke::default() };
            let path = PathBuilder::from_rect(rect);
            self.pixels.stroke_path(&path, &paint(color, 1.0), &stroke, Transform::identity(), None);
        }
    }

    /// Draws a straight line.
    pub(super) fn line(&mut self, from: (f32, f32), to: (f32, f32), color: Rgb, line_width: f32) {
        let mut path = PathBuilder::new();
        path.move_to(from.0, from.1);
        path.line_to(to.0, to.1);
        if let Some(path) = path.finish() {
            let stroke = Stroke { width: line_width, line_cap: tiny_skia::LineCap::Square, ..Stroke::default() };
            self.pixels.stroke_path(&path, &paint(color, 1.0), &stroke, Transform::identity(), None);
        }
    }

    /// Draws straight lines through points, with gaps if `dashed`.
    pub(super) fn polyline(&mut self, points: &[(f32, f32)], color: Rgb, line_width: f32, dashed: bool) {
        let mut path = PathBuilder::new();
        for (at, (x, y)) in points.iter().enumerate() {
            if at == 0 { path.move_to(*x, *y) } else { path.line_to(*x, *y) }
        }
        if let Some(path) = path.finish() {
            let dash = if dashed { StrokeDash::new(vec![3.5 * line_width, 2.5 * line_width], 0.0) } else { None };
            let stroke = Stroke { width: line_width, line_join: tiny_skia::LineJoin::Round, dash, ..Stroke::default() };
            self.pixels.stroke_path(&path, &paint(color, 1.0), &stroke, Transform::identity(), None);
        }
    }

    /// Fills a polygon.
    pub(super) fn polygon(&mut self, corners: &[(f32, f32)], color: Rgb) {
        let mut path = PathBuilder::new();
        for (at, (x, y)) in corners.iter().enumerate() {
            if at == 0 { path.move_to(*x, *y) } else { path.line_to(*x, *y) }
        }
        path.close();
        if let Some(path) = path.finish() {
            self.pixels.fill_path(&path, &paint(color, 1.0), FillRule::Winding, Transform::identity(), None);
        }
    }

    /// Fills a circle around (`x`, `y`).
    pub(super) fn disc(&mut self, x: f32, y: f32, radius: f32, color: Rgb) {
        if let Some(path) = PathBuilder::from_circle(x, y, radius) {
            self.pixels.fill_path(&path, &paint(color, 1.0), FillRule::Winding, Transform::identity(), None);
        }
    }

    /// Draws a line of text with its upper left corner at (`x`, `y`).
    pub(super) fn text(&mut self, font: &SizedFont, text: &str, x: f32, y: f32, color: Rgb) {
        font.draw(&mut self.pixels, text, x, y, color);
    }

    /// Draws a line of text that ends at `right`.
    pub(super) fn text_to(&mut self, font: &SizedFont, text: &str, right: f32, y: f32, color: Rgb) {
        font.draw(&mut self.pixels, text, right - font.width(text), y, color);
    }

    /// Draws a letter on a colour, centred at (`x`, `y`).
    pub(super) fn badge(&mut self, letter: char, color: Rgb, x: f32, y: f32) {
        let side = 24.0;
        let area = PixelRect { x: x - side / 2.0, y: y - side / 2.0, width: side, height: side };
        self.pill(area.grown(1.5), PAPER);
        self.pill(area, color);
        let font = self.small.clone();
        let text = letter.to_string();
        let left = x - font.width(&text) / 2.0;
        self.text(&font, &text, left, y - font.line_height() / 2.0, color.ink());
    }

    /// Draws a photograph, resized to the area. `tone` maps each of its pixels to the one that is drawn.
    ///
    /// # Errors
    /// Returns [`PictureError::Photograph`] if it cannot be resized.
    pub(super) fn photo(
        &mut self,
        photo: &RgbImage,
        area: PixelRect,
        tone: impl Fn([u8; 3]) -> [u8; 3],
    ) -> Result<(), PictureError> {
        let (width, height) = (area.width.round().max(1.0) as u32, area.height.round().max(1.0) as u32);
        let scaled = photo.resized(height, width, Filter::Bicubic).map_err(PictureError::Photograph)?;
        let (left, top) = (area.x.round() as usize, area.y.round() as usize);
        let row_pixels = self.pixels.width() as usize;
        for (y, row) in scaled.data().chunks_exact(width as usize * 3).enumerate() {
            for (x, pixel) in row.as_chunks::<3>().0.iter().enumerate() {
                let at = ((top + y) * row_pixels + left + x) * 4;
                if let Some(target) = self.pixels.data_mut().get_mut(at..at + 3) {
                    target.copy_from_slice(&tone(*pixel));
                }
            }
        }
        Ok(())
    }

    /// Encodes the picture as PNG.
    pub(super) fn png(&self) -> Result<Vec<u8>, PictureError> {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, self.pixels.width(), self.pixels.height());
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_compression(png::Compression::High);
        let rgb: Vec<u8> = self.pixels.data().as_chunks::<4>().0.iter().flat_map(|[r, g, b, _]| [*r, *g, *b]).collect();
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&rgb)?;
        writer.finish()?;
        Ok(bytes)
    }
}

fn opaque(Rgb([r, g, b]): Rgb) -> Color {
    Color::from_rgba8(r, g, b, 255)
}

fn paint(Rgb([r, g, b]): Rgb, opacity: f32) -> Paint<'static> {
    let mut paint = Paint { anti_alias: true, ..Paint::default() };
    paint.set_color_rgba8(r, g, b, (opacity.clamp(0.0, 1.0) * 255.0).round() as u8);
    paint
}
