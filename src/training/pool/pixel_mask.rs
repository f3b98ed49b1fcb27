//! Masks as arrays of pixels.

use std::ops::Range;

use super::mask_size::{MaskError, MaskSize};

/// Order of the pixels of a mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PixelOrder {
    /// Row by row, as in NumPy's default order.
    Rows,
    /// Column by column, as in the arrays that `pycocotools` returns.
    Columns,
}

/// A mask as pixels, with at least one pixel inside. A value other than 0 is inside.
#[derive(Clone, Copy, Debug)]
pub struct PixelMask<'a> {
    size: MaskSize,
    pixels: &'a [u8],
    order: PixelOrder,
}

impl<'a> PixelMask<'a> {
    /// Creates a mask.
    ///
    /// # Errors
    /// Returns [`MaskError::PixelCount`] if the number of pixels is not that of the size; [`MaskError::Empty`] if no pixel is inside.
    pub fn new(size: MaskSize, pixels: &'a [u8], order: PixelOrder) -> Result<Self, MaskError> {
        if pixels.len() != size.pixels() {
            return Err(MaskError::PixelCount { found: pixels.len(), size });
        }
        // In blocks without a branch, which the compiler vectorises.
        let has_inside = |block: &[u8]| block.iter().fold(0, |all, pixel| all | pixel) != 0;
        if pixels.chunks(4096).any(has_inside) { Ok(Self { size, pixels, order }) } else { Err(MaskError::Empty) }
    }

    /// Size in pixels.
    #[must_use]
    pub fn size(&self) -> MaskSize {
        self.size
    }

    /// Returns whether each of these pixels is inside, column by column.
    pub(super) fn pixels_at(&self, rows: &[usize], columns: &[usize]) -> Vec<bool> {
        let pixels = columns.iter().flat_map(|&column| rows.iter().map(move |&row| (row, column)));
        let is_inside = |(row, column): (usize, usize)| match self.order {
            PixelOrder::Rows => self.pixels[row * self.size.width_pixels() + column] != 0,
            PixelOrder::Columns => self.pixels[column * self.size.height_pixels() + row] != 0,
        };
        pixels.map(is_inside).collect()
    }

    /// Calls `visit` with the rows and the columns of rectangles that together are the mask.
    pub(super) fn for_each_rectangle(&self, mut visit: impl FnMut(Range<usize>, Range<usize>)) {
        let line_length = match self.order {
            PixelOrder::Rows => self.size.width_pixels(),
            PixelOrder::Columns => self.size.height_pixels(),
        };
        for (at, line) in self.pixels.chunks(line_length).enumerate() {
            let mut end = 0;
            while let Some(outside) = line[end..].iter().position(|&pixel| pixel != 0) {
                let start = end + outside;
                end = line[start..].iter().position(|&pixel| pixel == 0).map_or(line.len(), |inside| start + inside);
                match self.order {
                    PixelOrder::Rows => visit(at..at + 1, start..end),
                    PixelOrder::Columns => visit(start..end, at..at + 1),
                }
            }
        }
    }
}
