//! PIL's antialiased resize of 8-bit RGB images (`Image.resize` in Pillow's `Resample.c`).
//!
//! A separate crate without generics in its interface, so `fast_image_resize`, which is slow to compile, is
//! instantiated once.

use std::fmt;
use std::str::FromStr;

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ImageBufferError, ResizeAlg, ResizeError, ResizeOptions, Resizer};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// PIL's resampling filters. All except `Nearest` are antialiased when they shrink.
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

    /// Radius of the filter in target pixels, rounded up.
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
    type Err = UnknownFilter;

    fn from_str(text: &str) -> Result<Self, UnknownFilter> {
        let found = Self::ALL.iter().find(|(name, _)| *name == text);
        found.map(|(_, filter)| *filter).ok_or_else(|| UnknownFilter { name: text.to_owned() })
    }
}

/// A name that is not in [`Filter::ALL`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{name}` is not a filter; expected {}", Filter::ALL.map(|(name, _)| name).join(", "))]
pub struct UnknownFilter {
    /// The name.
    pub name: String,
}

/// A failed resize.
#[derive(Debug, Error)]
pub enum ResampleError {
    /// A buffer is empty or does not have the length of its sides.
    #[error("the {buffer} has {bytes} bytes; {}x{} pixels need {}", .sides.height_pixels, .sides.width_pixels, .sides.rgb_bytes())]
    BufferLength {
        /// `source` or `target`.
        buffer: &'static str,
        /// Length of the buffer.
        bytes: usize,
        /// Sides of the image.
        sides: Sides,
    },
    /// `fast_image_resize` does not accept a buffer.
    #[error(transparent)]
    Buffer(#[from] ImageBufferError),
    /// `fast_image_resize` cannot resize.
    #[error(transparent)]
    Resize(#[from] ResizeError),
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

/// Resizes `from`, `[y, x, channel]` u8 of `from_sides`, into `to` of `to_sides`, as Pillow 13 does: one axis after the
/// other, rounded to 8 bits in between. An axis whose length does not change is not filtered.
///
/// Values differ from PIL's by at most 1 (bilinear) or 2 (bicubic), and most are equal (tests
/// `golden::resized_pixels_equal_pil_bilinear`, `golden::resized_pixels_equal_pil_bicubic`).
///
/// # Errors
/// Returns [`ResampleError`] if a buffer does not have the length of its sides, or a side is 0.
pub fn resize_rgb8(
    from: &[u8],
    from_sides: Sides,
    to: &mut [u8],
    to_sides: Sides,
    filter: Filter,
) -> Result<(), ResampleError> {
    for (buffer, bytes, sides) in [("source", from.len(), from_sides), ("target", to.len(), to_sides)] {
        if bytes != sides.rgb_bytes() || bytes == 0 {
            return Err(ResampleError::BufferLength { buffer, bytes, sides });
        }
    }
    let same_width = from_sides.width_pixels == to_sides.width_pixels;
    let same_height = from_sides.height_pixels == to_sides.height_pixels;
    match (same_width, same_height) {
        (true, true) => to.copy_from_slice(from),
        (false, true) | (true, false) => pass(from, from_sides, to, to_sides, filter)?,
        (false, false) if filter == Filter::Nearest => pass(from, from_sides, to, to_sides, filter)?,
        (false, false) => {
            // A single call for both axes would keep more than 8 bits in between.
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

/// Bytes that [`resize_rgb8`] allocates in addition to source and target: the image between the two passes, and the
/// weights of the larger pass.
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
        // As float64 and as int16.
        u64::from(to).saturating_mul(2 * window + 1).saturating_mul(8 + 2)
    };
    let weights = weights(from.height_pixels, to.height_pixels).max(weights(from.width_pixels, to.width_pixels));
    between.saturating_mul(3).saturating_add(weights)
}

/// Whether Pillow 13 resizes the height first: if it removes more than twice as many rows as columns (found by
/// experiment; older versions never do). The order affects the result because of the rounding in between.
fn rows_first(from: Sides, to: Sides) -> bool {
    let removed_rows = from.height_pixels.saturating_sub(to.height_pixels);
    let removed_columns = from.width_pixels.saturating_sub(to.width_pixels);
    u64::from(removed_rows) > 2 * u64::from(removed_columns)
}

fn pass(from: &[u8], from_sides: Sides, to: &mut [u8], to_sides: Sides, filter: Filter) -> Result<(), ResampleError> {
    let source = TypedImageRef::<U8x3>::from_buffer(from_sides.width_pixels, from_sides.height_pixels, from)?;
    let mut target = TypedImage::<U8x3>::from_buffer(to_sides.width_pixels, to_sides.height_pixels, to)?;
    let options = ResizeOptions::new().resize_alg(filter.algorithm());
    Ok(Resizer::new().resize_typed(&source, &mut target, &options)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sides(height_pixels: u32, width_pixels: u32) -> Sides {
        Sides { height_pixels, width_pixels }
    }

    #[test]
    fn filters_are_parsed_and_printed_by_name() {
        for (name, filter) in Filter::ALL {
            assert_eq!(name.parse(), Ok(filter));
            assert_eq!(filter.to_string(), name);
        }
        assert!("linear".parse::<Filter>().unwrap_err().to_string().contains("bilinear, bicubic"));
    }

    #[test]
    fn an_unchanged_axis_is_not_filtered() {
        let from: Vec<u8> = (0..3 * 4 * 3).map(|value| value * 7).collect();
        let mut same = vec![0; from.len()];
        resize_rgb8(&from, sides(3, 4), &mut same, sides(3, 4), Filter::Lanczos).unwrap();
        assert_eq!(from, same);
    }

    #[test]
    fn the_passes_have_pillows_order() {
        // (width, target width, target height, first height for which Pillow 13 resizes the height first)
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
    fn wrong_buffer_lengths_are_errors_with_both_values() {
        let message = resize_rgb8(&[0; 5], sides(1, 2), &mut [0; 3], sides(1, 1), Filter::Box).unwrap_err().to_string();
        assert!(message.contains("5 bytes") && message.contains("need 6"), "{message}");
    }
}
