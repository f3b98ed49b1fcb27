//! PIL's antialiased resize of 8-bit RGB images (`Image.resize` in Pillow's `Resample.c`).
//!
//! A separate crate without generics in its interface, so `fast_image_resize`, which is slow to compile, is
//! instantiated once.

mod axis;
mod exact;

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use axis::Axis;
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

    /// The convolution by `fast_image_resize`; `None` for filters that are computed in [`exact`].
    fn convolution(self) -> Option<FilterType> {
        match self {
            Self::Nearest | Self::Box => None,
            Self::Bilinear => Some(FilterType::Bilinear),
            Self::Bicubic => Some(FilterType::CatmullRom),
            Self::Lanczos => Some(FilterType::Lanczos3),
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
    /// A part is empty, or extends past the image.
    #[error("the part {part:?} of an image of {}x{} pixels is empty or extends past it", .sides.height_pixels, .sides.width_pixels)]
    Part {
        /// The part.
        part: PixelBox,
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

/// A part of an image, in its pixels. The sides may be between two pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PixelBox {
    /// Left side.
    pub left: f64,
    /// Upper side.
    pub top: f64,
    /// Right side.
    pub right: f64,
    /// Lower side.
    pub bottom: f64,
}

impl PixelBox {
    /// Returns the part that is the entire image.
    #[must_use]
    pub fn entire(sides: Sides) -> Self {
        let (right, bottom) = (f64::from(sides.width_pixels), f64::from(sides.height_pixels));
        Self { left: 0.0, top: 0.0, right, bottom }
    }
}

/// Resizes `from`, `[y, x, channel]` u8 of `from_sides`, into `to` of `to_sides`, as Pillow 13 does: see
/// [`resize_part_rgb8`].
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
    resize_part_rgb8(from, from_sides, PixelBox::entire(from_sides), to, to_sides, filter)
}

/// Resizes a part of `from`, `[y, x, channel]` u8 of `from_sides`, into `to` of `to_sides`, as Pillow 13 does with
/// `resize(size, filter, box)`: one axis after the other, rounded to 8 bits in between. An axis of which the part is all, and
/// whose length does not change, is not filtered. Pixels outside of the part have an effect as far as the filter reaches. The sides
/// of the part are rounded to float32.
///
/// Nearest and box are equal to PIL's. The other filters' values differ by at most 2, and most are equal (tests
/// `golden::resized_pixels_equal_pil_bilinear`, `golden::resized_pixels_equal_pil_bicubic`,
/// `golden::resized_parts_equal_pil`).
///
/// # Errors
/// Returns [`ResampleError`] if a buffer does not have the length of its sides, a side is 0, or the part is empty or extends past
/// the image.
pub fn resize_part_rgb8(
    from: &[u8],
    from_sides: Sides,
    part: PixelBox,
    to: &mut [u8],
    to_sides: Sides,
    filter: Filter,
) -> Result<(), ResampleError> {
    for (buffer, bytes, sides) in [("source", from.len(), from_sides), ("target", to.len(), to_sides)] {
        if bytes != sides.rgb_bytes() || bytes == 0 {
            return Err(ResampleError::BufferLength { buffer, bytes, sides });
        }
    }
    let PixelBox { left, top, right, bottom } = part;
    let (width, height) = (from_sides.width_pixels, from_sides.height_pixels);
    let columns = Axis::new(width, [left, right], to_sides.width_pixels);
    let rows = Axis::new(height, [top, bottom], to_sides.height_pixels);
    let (Some(columns), Some(rows)) = (columns, rows) else {
        return Err(ResampleError::Part { part, sides: from_sides });
    };
    let radius = filter.support() as f64;
    let (column_window, row_window) = (columns.window(radius), rows.window(radius));
    match (columns.is_unchanged(), rows.is_unchanged()) {
        (true, true) => to.copy_from_slice(from),
        _ if filter == Filter::Nearest => exact::nearest(from, width, columns, rows, to),
        (false, true) => resize_columns(from, &columns.all(), columns, to, filter)?,
        (true, false) => resize_rows(from, width, &columns.all(), &rows.all(), rows, to, filter)?,
        // A single call for both axes would keep more than 8 bits in between.
        (false, false) if rows_first(from_sides, to_sides) => {
            let mut between = vec![0; rows.target() as usize * column_window.len() * 3];
            resize_rows(from, width, &column_window, &rows.all(), rows, &mut between, filter)?;
            resize_columns(&between, &column_window, columns, to, filter)?;
        }
        (false, false) => {
            let row_bytes = width as usize * 3;
            let needed = &from[row_window.start as usize * row_bytes..row_window.end as usize * row_bytes];
            let mut between = vec![0; row_window.len() * columns.target() as usize * 3];
            resize_columns(needed, &columns.all(), columns, &mut between, filter)?;
            resize_rows(&between, columns.target(), &(0..columns.target()), &row_window, rows, to, filter)?;
        }
    }
    Ok(())
}

/// Largest number of bytes that [`resize_rgb8`] and [`resize_part_rgb8`] allocate in addition to source and target: the image
/// between the two passes, and the weights of the larger pass.
#[must_use]
pub fn working_bytes(from: Sides, to: Sides, filter: Filter) -> u64 {
    if filter == Filter::Nearest {
        return u64::from(to.width_pixels) * 8;
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

/// Whether Pillow 13 resizes the height first: if the target has fewer rows than the image, and the difference is more than twice
/// that of the columns. Older versions never do. The part has no effect on the order. The order affects the result because of the
/// rounding in between.
fn rows_first(from: Sides, to: Sides) -> bool {
    let removed_rows = from.height_pixels.saturating_sub(to.height_pixels);
    let removed_columns = from.width_pixels.saturating_sub(to.width_pixels);
    u64::from(removed_rows) > 2 * u64::from(removed_columns)
}

/// Resizes along the rows of an image. Its columns are those in `held`.
fn resize_columns(
    from: &[u8],
    held: &Range<u32>,
    columns: Axis,
    to: &mut [u8],
    filter: Filter,
) -> Result<(), ResampleError> {
    let Some(convolution) = filter.convolution() else {
        exact::box_columns(from, held, columns, to);
        return Ok(());
    };
    let held_columns = held.end - held.start;
    let rows = (from.len() / 3) as u32 / held_columns;
    let source = TypedImageRef::<U8x3>::from_buffer(held_columns, rows, from)?;
    let mut target = TypedImage::<U8x3>::from_buffer(columns.target(), rows, to)?;
    let (start, length) = columns.part();
    let options = ResizeOptions::new().crop(start - f64::from(held.start), 0.0, length, f64::from(rows));
    Ok(Resizer::new().resize_typed(&source, &mut target, &options.resize_alg(ResizeAlg::Convolution(convolution)))?)
}

/// Resizes along the columns in `window` of an image of `from_width` columns. Its rows are those in `held`.
fn resize_rows(
    from: &[u8],
    from_width: u32,
    window: &Range<u32>,
    held: &Range<u32>,
    rows: Axis,
    to: &mut [u8],
    filter: Filter,
) -> Result<(), ResampleError> {
    let Some(convolution) = filter.convolution() else {
        exact::box_rows(from, from_width, window, held, rows, to);
        return Ok(());
    };
    let columns = window.end - window.start;
    let source = TypedImageRef::<U8x3>::from_buffer(from_width, held.end - held.start, from)?;
    let mut target = TypedImage::<U8x3>::from_buffer(columns, rows.target(), to)?;
    let (start, length) = rows.part();
    let top = start - f64::from(held.start);
    let options = ResizeOptions::new().crop(f64::from(window.start), top, f64::from(columns), length);
    Ok(Resizer::new().resize_typed(&source, &mut target, &options.resize_alg(ResizeAlg::Convolution(convolution)))?)
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
    fn a_part_costs_no_more_memory_than_the_entire_image() {
        for filter in Filter::ALL.map(|(_, filter)| filter) {
            for (from, to) in
                [(sides(375, 500), sides(224, 224)), (sides(2000, 30), sides(7, 9)), (sides(1, 1), sides(5, 5))]
            {
                let entire = PixelBox::entire(from);
                let part = PixelBox { left: entire.right / 3.0, ..entire };
                let radius = filter.support() as f64;
                let columns = Axis::new(from.width_pixels, [part.left, part.right], to.width_pixels).unwrap();
                let rows = Axis::new(from.height_pixels, [part.top, part.bottom], to.height_pixels).unwrap();
                let between = if rows_first(from, to) {
                    columns.window(radius).len() * to.height_pixels as usize * 3
                } else {
                    rows.window(radius).len() * to.width_pixels as usize * 3
                };
                if filter != Filter::Nearest {
                    assert!(between as u64 <= working_bytes(from, to, filter), "{from:?} to {to:?}");
                }
            }
        }
    }

    #[test]
    fn wrong_buffer_lengths_are_errors_with_both_values() {
        let message = resize_rgb8(&[0; 5], sides(1, 2), &mut [0; 3], sides(1, 1), Filter::Box).unwrap_err().to_string();
        assert!(message.contains("5 bytes") && message.contains("need 6"), "{message}");
    }
}
