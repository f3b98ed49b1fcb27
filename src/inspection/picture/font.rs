//! The embedded font: measures text and draws it into RGBA pixels.

use ab_glyph::{Font as _, FontRef, InvalidFont, PxScale, ScaleFont as _, point};
use tiny_skia::Pixmap;

use crate::inspection::inspect::Rgb;
use crate::shared::printable::printable;

/// `DejaVu` Sans, subset to Latin, Greek and Cyrillic letters. Others are drawn as an empty box.
static FONT: &[u8] = include_bytes!("DejaVuSans.ttf");

/// No picture has space for more letters on a line.
const MAX_LETTERS: usize = 300;

/// The font at one size.
#[derive(Clone)]
pub(super) struct SizedFont {
    font: FontRef<'static>,
    scale: PxScale,
}

impl SizedFont {
    /// Creates the font with lines of `height_pixels`.
    ///
    /// # Errors
    /// Returns an error if the embedded font cannot be read.
    pub(super) fn new(height_pixels: f32) -> Result<Self, InvalidFont> {
        let font = FontRef::try_from_slice(FONT)?;
        Ok(Self { font, scale: PxScale::from(height_pixels) })
    }

    pub(super) fn width(&self, text: &str) -> f32 {
        self.glyph_ends(text).last().map_or(0.0, |(_, end)| end)
    }

    pub(super) fn line_height(&self) -> f32 {
        self.font.as_scaled(self.scale).height()
    }

    /// Shortens the text to a width; `…` replaces the rest.
    pub(super) fn fitted(&self, text: &str, width: f32) -> String {
        if self.width(text) <= width {
            return text.to_owned();
        }
        let letters: Vec<char> = text.chars().collect();
        let cut = |count: usize| letters[..count].iter().collect::<String>().trim_end().to_owned() + "…";
        (0..letters.len()).rev().map(cut).find(|cut| self.width(cut) <= width).unwrap_or_default()
    }

    /// Returns untrusted text as one line that fits a width: control characters, and letters that the font does not have, are
    /// escaped, and `…` replaces the rest.
    pub(super) fn fitted_line(&self, text: &str, width: f32) -> String {
        let start: String = text.chars().take(MAX_LETTERS).collect();
        let mut line = String::new();
        for letter in printable(&start).chars() {
            if self.font.glyph_id(letter).0 == 0 {
                line.extend(letter.escape_unicode());
            } else {
                line.push(letter);
            }
        }
        self.fitted(&line, width)
    }

    /// Draws a line with its upper left corner at (`x`, `y`).
    pub(super) fn draw(&self, pixels: &mut Pixmap, text: &str, x: f32, y: f32, color: Rgb) {
        let baseline = y + self.font.as_scaled(self.scale).ascent();
        for (glyph, end) in self.glyph_ends(text) {
            let start = end - self.font.as_scaled(self.scale).h_advance(glyph);
            let placed = glyph.with_scale_and_position(self.scale, point(x + start, baseline));
            let Some(outline) = self.font.outline_glyph(placed) else { continue };
            let bounds = outline.px_bounds();
            outline.draw(|dx, dy, coverage| {
                let (x, y) = (bounds.min.x as i64 + i64::from(dx), bounds.min.y as i64 + i64::from(dy));
                blend(pixels, x, y, color, coverage);
            });
        }
    }

    /// Iterates over the glyphs and their ends, measured from the start of the line.
    fn glyph_ends(&self, text: &str) -> impl Iterator<Item = (ab_glyph::GlyphId, f32)> {
        let font = self.font.as_scaled(self.scale);
        let (mut end, mut last) = (0.0, None);
        let glyphs: Vec<_> = text.chars().map(|letter| self.font.glyph_id(letter)).collect();
        glyphs.into_iter().map(move |glyph| {
            end += last.map_or(0.0, |last| font.kern(last, glyph)) + font.h_advance(glyph);
            last = Some(glyph);
            (glyph, end)
        })
    }
}

/// Blends a colour over an opaque pixel. Pixels outside the picture are ignored.
fn blend(pixels: &mut Pixmap, x: i64, y: i64, color: Rgb, coverage: f32) {
    let (width, height) = (i64::from(pixels.width()), i64::from(pixels.height()));
    if !(0..width).contains(&x) || !(0..height).contains(&y) {
        return;
    }
    let at = ((y * width + x) * 4) as usize;
    let coverage = coverage.clamp(0.0, 1.0);
    for (value, ink) in pixels.data_mut()[at..at + 3].iter_mut().zip(color.0) {
        *value = (f32::from(*value) * (1.0 - coverage) + f32::from(ink) * coverage).round() as u8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_shortened_to_fit() {
        let font = SizedFont::new(16.0).unwrap();
        assert!(font.width("wide") > font.width("ill") && font.width("") < f32::EPSILON);
        assert_eq!(font.fitted("espresso", 500.0), "espresso");
        let cut = font.fitted("soft-coated wheaten terrier", 100.0);
        assert!(cut.starts_with("soft") && cut.ends_with('…') && font.width(&cut) <= 100.0, "{cut}");
        assert_eq!(font.fitted("espresso", 1.0), "");
        assert_eq!(font.fitted_line("a\nb\u{1b}", 500.0), "a\\nb\\u{1b}");
        assert_eq!(font.fitted_line("猫 cat é", 500.0), "\\u{732b} cat é");
        assert!(font.fitted_line(&"long ".repeat(100_000), 200.0).len() < 60);
    }
}
