//! PIL's antialiased resize of 8-bit RGB images (`Image.resize` in Pillow's `Resample.c`).
//!
//! A crate of its own, with nothing generic in its interface, because instantiating `fast_image_resize` takes long to
//! compile and should happen once.

use std::fmt;
use std::str::FromStr;

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use serde::{Deserialize, Serialize};

/// PIL's resampling filters; all but `Nearest` are antialiased when they shrink.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Filter {
    /// `PIL.Image.Resampling.NEAREST`
    Nearest,
    /// `PIL.Image.Resampling.BOX`
    Box,
    /// `PIL.Image.Resampling.BILINEAR`
    Bilinear,
    /// `PIL.Image.Resampling.BICUBIC` (a = -0.5)
    Bicubic,
    /// `PIL.Image.Resampling.LANCZOS` (a = 3)
    Lanczos,
}

impl Filter {
    /// All filters, with the names that cards use.
    pub const ALL: [(&'static str, Self); 5] = [
        ("nearest", Self::Nearest),
        ("box", Self::Box),
        ("bilinear", Self::Bilinear),
        ("bicubic", Self::Bicubic),
        ("lanczos", Self::Lanczos),
    ];

    /// Pixels of the target that a pixel of the source reaches to each side, rounded up.
    fn support(self) -> u64 {
        match self {
            Self::Nearest => 0,
            Self::Box | Self::Bilinear => 1,
            Self::Bicubic => 2,
            Self::Lanczos => 3,
        }
    }

    fn algorithm(self) -> ResizeAlg {
        let convolution = ResizeAlg::Convolution;
        match self {
            Self::Nearest => ResizeAlg::Nearest,
            Self::Box => convolution(FilterType::Box),
            Self::Bilinear => convolution(FilterType::Bilinear),
            Self::Bicubic => convolution(FilterType::CatmullRom),
            Self::Lanczos => convolution(FilterType::Lanczos3),
        }
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::ALL.iter().find(|(_, filter)| filter == self).map_or("", |(name, _)| name);
        f.write_str(name)
    }
}

impl FromStr for Filter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names = Self::ALL.map(|(name, _)| name).join(", ");
        Self::ALL
            .iter()
            .find(|(name, _)| *name == text)
            .map(|(_, filter)| *filter)
            .ok_or_else(|| format!("`{text}` is no filter; there are {names}"))
    }
}

/// Height and width in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sides {
    /// Height in pixels.
    pub height_pixels: u32,
    /// Width in pixels.
    pub width_pixels: u32,
}

impl Sides {
    fn rgb_bytes(self) -> usize {
        self.height_pixels as usize * self.width_pixels as usize * 3
    }
}

/// Resizes `from`, `[y, x, channel]` u8 of `from_sides`, into `to` of `to_sides`, as Pillow 13 does: one side
/// after the other, rounded to 8 bits in between; a side that stays as it is is not filtered at all.
///
/// Within 1 of PIL for bilinear and 2 for bicubic, and rarely different at all (tests
/// `golden::resized_pixels_equal_pil_bilinear`, `golden::resized_pixels_equal_pil_bicubic`).
///
/// # Errors
/// When a buffer does not have the length that its sides ask for, or a side is 0.
pub fn resize_rgb8(
    from: &[u8],
    from_sides: Sides,
    to: &mut [u8],
    to_sides: Sides,
    filter: Filter,
) -> Result<(), String> {
    for (name, buffer, sides) in [("source", from.len(), from_sides), ("target", to.len(), to_sides)] {
        if buffer != sides.rgb_bytes() || buffer == 0 {
            return Err(format!(
                "the {name} has {buffer} bytes; {}x{} pixels need {}",
                sides.height_pixels,
                sides.width_pixels,
                sides.rgb_bytes()
            ));
        }
    }
    let same_width = from_sides.width_pixels == to_sides.width_pixels;
    let same_height = from_sides.height_pixels == to_sides.height_pixels;
    match (same_width, same_height) {
        (true, true) => to.copy_from_slice(from),
        (false, true) | (true, false) => pass(from, from_sides, to, to_sides, filter)?,
        (false, false) if filter == Filter::Nearest => pass(from, from_sides, to, to_sides, filter)?,
        (false, false) => {
            // One call for both sides keeps more than 8 bits in between, which PIL does not.
            let between_sides = if rows_first(from_sides, to_sides) {
                Sides { height_pixels: to_sides.height_pixels, ..from_sides }
            } else {
                Sides { width_pixels: to_sides.width_pixels, ..from_sides }
            };
            let mut between = vec![0; between_sides.rgb_bytes()];
            pass(from, from_sides, &mut between, between_sides, filter)?;
            pass(&between, between_sides, to, to_sides, filter)?;
        }
    }
    Ok(())
}

/// Bytes that [`resize_rgb8`] takes besides source and target: the image between its two passes, and the weights of the
/// longer one, of which there are more than the source has rows or columns.
#[must_use]
pub fn working_bytes(from: Sides, to: Sides, filter: Filter) -> u64 {
    if filter == Filter::Nearest {
        return 0;
    }
    let between = if rows_first(from, to) {
        u64::from(to.height_pixels) * u64::from(from.width_pixels)
    } else {
        u64::from(from.height_pixels) * u64::from(to.width_pixels)
    };
    let weights = |from: u32, to: u32| {
        let window = filter.support() * (u64::from(from) / u64::from(to.max(1)) + 1);
        // As float64, and then as int16.
        u64::from(to).saturating_mul(2 * window + 1).saturating_mul(8 + 2)
    };
    let weights = weights(from.height_pixels, to.height_pixels).max(weights(from.width_pixels, to.width_pixels));
    between.saturating_mul(3).saturating_add(weights)
}

/// Whether Pillow 13 shrinks the height first. Older versions never did; since images are rounded to 8 bits in between,
/// the order shows. Found by experiment: it does when more than twice as many rows go away as columns.
fn rows_first(from: Sides, to: Sides) -> bool {
    let rows_away = from.height_pixels.saturating_sub(to.height_pixels);
    let columns_away = from.width_pixels.saturating_sub(to.width_pixels);
    u64::from(rows_away) > 2 * u64::from(columns_away)
}

fn pass(from: &[u8], from_sides: Sides, to: &mut [u8], to_sides: Sides, filter: Filter) -> Result<(), String> {
    let source = TypedImageRef::<U8x3>::from_buffer(from_sides.width_pixels, from_sides.height_pixels, from);
    let target = TypedImage::<U8x3>::from_buffer(to_sides.width_pixels, to_sides.height_pixels, to);
    let (source, mut target) = (source.map_err(|e| e.to_string())?, target.map_err(|e| e.to_string())?);
    let options = ResizeOptions::new().resize_alg(filter.algorithm());
    Resizer::new().resize_typed(&source, &mut target, &options).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sides(height_pixels: u32, width_pixels: u32) -> Sides {
        Sides { height_pixels, width_pixels }
    }

    #[test]
    fn filters_are_called_by_their_names() {
        for (name, filter) in Filter::ALL {
            assert_eq!(name.parse(), Ok(filter));
            assert_eq!(filter.to_string(), name);
        }
        assert!("linear".parse::<Filter>().unwrap_err().contains("bilinear, bicubic"));
    }

    #[test]
    fn a_side_that_stays_is_not_filtered() {
        let from: Vec<u8> = (0..3 * 4 * 3).map(|value| value * 7).collect();
        let mut same = vec![0; from.len()];
        resize_rgb8(&from, sides(3, 4), &mut same, sides(3, 4), Filter::Lanczos).unwrap();
        assert_eq!(from, same);
    }

    #[test]
    fn the_order_of_the_passes_is_pillows() {
        // (width, target width, target height, first height at which Pillow 13 takes the rows first)
        let observed = [
            (300, 224, 224, 377),
            (800, 224, 224, 1377),
            (150, 224, 224, 225),
            (225, 224, 224, 227),
            (300, 100, 224, 625),
            (300, 224, 480, 633),
            (100, 60, 50, 131),
        ];
        for (width, to_width, to_height, first_height) in observed {
            let rows_first_at = |height| rows_first(sides(height, width), sides(to_height, to_width));
            assert!(
                rows_first_at(first_height) && !rows_first_at(first_height - 1),
                "{width} to {to_width}x{to_height}"
            );
        }
    }

    #[test]
    fn halving_with_box_averages_pairs() {
        let from = [0, 10, 20, 100, 110, 121];
        let mut to = [0; 3];
        resize_rgb8(&from, sides(1, 2), &mut to, sides(1, 1), Filter::Box).unwrap();
        assert_eq!(to, [50, 60, 71]);
    }

    #[test]
    fn wrong_lengths_are_refused_with_both_values() {
        let message = resize_rgb8(&[0; 5], sides(1, 2), &mut [0; 3], sides(1, 1), Filter::Box).unwrap_err();
        assert!(message.contains("5 bytes") && message.contains("need 6"), "{message}");
    }
}
