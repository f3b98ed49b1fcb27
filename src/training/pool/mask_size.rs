//! Sizes of masks, and errors of creating masks.

use std::fmt;

/// Size of a mask in pixels. Both sides are at least 1 and at most [`MaskSize::MAX_SIDE_PIXELS`].
///
/// A mask covers the entire image, at any resolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaskSize {
    height_pixels: usize,
    width_pixels: usize,
}

impl MaskSize {
    /// Largest side that is accepted. The number of pixels then fits into the 32 bits of a count of COCO's encoding.
    pub const MAX_SIDE_PIXELS: usize = 65_535;

    /// Returns a size of `height_pixels` by `width_pixels`.
    ///
    /// # Errors
    /// Returns [`MaskError::Size`] if a side is 0 or larger than [`MaskSize::MAX_SIDE_PIXELS`].
    pub fn new(height_pixels: usize, width_pixels: usize) -> Result<Self, MaskError> {
        let sides = 1..=Self::MAX_SIDE_PIXELS;
        if sides.contains(&height_pixels) && sides.contains(&width_pixels) {
            Ok(Self { height_pixels, width_pixels })
        } else {
            Err(MaskError::Size { height_pixels, width_pixels })
        }
    }

    /// Rows of pixels.
    #[must_use]
    pub const fn height_pixels(self) -> usize {
        self.height_pixels
    }

    /// Columns of pixels.
    #[must_use]
    pub const fn width_pixels(self) -> usize {
        self.width_pixels
    }

    /// Number of pixels.
    #[must_use]
    pub const fn pixels(self) -> usize {
        self.height_pixels * self.width_pixels
    }
}

impl fmt::Display for MaskSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.height_pixels, self.width_pixels)
    }
}

/// Errors of creating a mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MaskError {
    /// A side is 0 or too large.
    #[error(
        "a mask of {height_pixels}x{width_pixels} pixels is out of range: each side must be 1 to {}",
        MaskSize::MAX_SIDE_PIXELS
    )]
    Size {
        /// Rows of pixels.
        height_pixels: usize,
        /// Columns of pixels.
        width_pixels: usize,
    },
    /// The number of pixels differs from the size.
    #[error("{found} pixels, but a mask of {size} pixels has {}", size.pixels())]
    PixelCount {
        /// Number of given pixels.
        found: usize,
        /// Size of the mask.
        size: MaskSize,
    },
    /// No pixel is inside the mask, so its region has no label.
    #[error("no pixel is inside the mask\n  help: leave out empty masks")]
    Empty,
    /// The counts of a run-length encoding do not cover the mask exactly.
    #[error(
        "the counts of the run-length encoding cover {found} pixels, but a mask of {size} pixels has {}\n  help: pass `size` as \
         height, width, and the counts of that size",
        size.pixels()
    )]
    RunLengths {
        /// Sum of the counts.
        found: u64,
        /// Size of the mask.
        size: MaskSize,
    },
    /// A count of a run-length encoding is negative or larger than the mask.
    #[error("count {at} of the run-length encoding is {count}, expected 0 to {}, the pixels of a mask of {size}", size.pixels())]
    Count {
        /// Position of the count.
        at: usize,
        /// Its value.
        count: i64,
        /// Size of the mask.
        size: MaskSize,
    },
    /// A character does not occur in compressed counts.
    #[error(
        "byte {at} of the compressed counts is {byte:#04x}, expected 0x30 to 0x6f\n  help: pass the counts of COCO's compressed run-length encoding"
    )]
    Character {
        /// Position of the byte.
        at: usize,
        /// Its value.
        byte: u8,
    },
    /// The compressed counts end within a count.
    #[error("the compressed counts end within count {0}; they are truncated")]
    Truncated(usize),
    /// A compressed count has more digits than any number of pixels.
    #[error("count {0} of the compressed counts has too many digits")]
    Digits(usize),
}
