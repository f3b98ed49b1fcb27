//! Masks in COCO's run-length encoding.

use std::ops::Range;

use super::mask_size::{MaskError, MaskSize};

/// A mask in COCO's run-length encoding, with at least one pixel inside.
///
/// Pixels are counted column by column, from the top left corner downwards. The counts are the lengths of runs that are
/// outside and inside in turn, the first one outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CocoRle {
    size: MaskSize,
    /// Runs of pixels that are inside, in increasing order; none is empty.
    inside: Vec<Range<usize>>,
}

impl CocoRle {
    /// Creates a mask from uncompressed counts.
    ///
    /// # Errors
    /// Returns [`MaskError::Count`] if a count is negative or larger than the mask; [`MaskError::RunLengths`] if their sum is not the
    /// number of pixels; [`MaskError::Empty`] if no pixel is inside.
    pub fn from_counts(size: MaskSize, counts: &[i64]) -> Result<Self, MaskError> {
        let (mut inside, mut end) = (Vec::with_capacity(counts.len() / 2), 0_u64);
        for (at, &count) in counts.iter().enumerate() {
            let length = u64::try_from(count).ok().filter(|&length| length <= size.pixels() as u64);
            let start = end;
            end += length.ok_or(MaskError::Count { at, count, size })?;
            if at % 2 == 1 && end > start {
                inside.push(start as usize..end as usize);
            }
        }
        if end != size.pixels() as u64 {
            return Err(MaskError::RunLengths { found: end, size });
        }
        if inside.is_empty() { Err(MaskError::Empty) } else { Ok(Self { size, inside }) }
    }

    /// Creates a mask from compressed counts, the `counts` of `pycocotools.mask.encode`.
    ///
    /// Each count is a number with 5 bits in each character, the lowest first, after 48 is subtracted: bit 6 marks that another
    /// character follows, and the highest of the last 5 bits is the sign. From the fourth count on, the number is the
    /// difference to the count two before.
    ///
    /// # Errors
    /// Returns [`MaskError::Character`], [`MaskError::Truncated`] or [`MaskError::Digits`] if the text is damaged; and the errors of
    /// [`CocoRle::from_counts`].
    pub fn from_compressed(size: MaskSize, text: &[u8]) -> Result<Self, MaskError> {
        let mut counts: Vec<i64> = Vec::with_capacity(text.len());
        let (mut number, mut bits) = (0_i64, 0_u32);
        for (at, &byte) in text.iter().enumerate() {
            let digit = byte.wrapping_sub(FIRST_CHARACTER);
            if digit > HAS_NEXT | DIGIT {
                return Err(MaskError::Character { at, byte });
            }
            if bits == MAX_DIGITS * DIGIT_BITS {
                return Err(MaskError::Digits(counts.len()));
            }
            number |= i64::from(digit & DIGIT) << bits;
            bits += DIGIT_BITS;
            if digit & HAS_NEXT != 0 {
                continue;
            }
            if digit & SIGN != 0 {
                number |= -1 << bits;
            }
            let before = if counts.len() > 2 { counts[counts.len() - 2] } else { 0 };
            let count = before + number;
            if !(0..=size.pixels() as i64).contains(&count) {
                return Err(MaskError::Count { at: counts.len(), count, size });
            }
            counts.push(count);
            (number, bits) = (0, 0);
        }
        if bits > 0 {
            return Err(MaskError::Truncated(counts.len()));
        }
        Self::from_counts(size, &counts)
    }

    /// Size in pixels.
    #[must_use]
    pub fn size(&self) -> MaskSize {
        self.size
    }

    /// Returns whether each of these pixels is inside, column by column. Rows and columns must increase.
    pub(super) fn pixels_at(&self, rows: &[usize], columns: &[usize]) -> Vec<bool> {
        let mut runs = self.inside.iter().peekable();
        let mut values = Vec::with_capacity(rows.len() * columns.len());
        for column in columns {
            for row in rows {
                let pixel = column * self.size.height_pixels() + row;
                while runs.next_if(|run| run.end <= pixel).is_some() {}
                values.push(runs.peek().is_some_and(|run| run.start <= pixel));
            }
        }
        values
    }

    /// Calls `visit` with the rows and the columns of rectangles that together are the mask.
    pub(super) fn for_each_rectangle(&self, mut visit: impl FnMut(Range<usize>, Range<usize>)) {
        let height = self.size.height_pixels();
        for run in &self.inside {
            let mut start = run.start;
            while start < run.end {
                let (column, row) = (start / height, start % height);
                // Entire columns at once.
                let columns = if row == 0 { ((run.end - start) / height).max(1) } else { 1 };
                let end = run.end.min((column + columns) * height);
                let rows = if columns > 1 { 0..height } else { row..row + (end - start) };
                visit(rows, column..column + columns);
                start = end;
            }
        }
    }
}

const FIRST_CHARACTER: u8 = 48;
const DIGIT_BITS: u32 = 5;
const DIGIT: u8 = 0x1f;
const SIGN: u8 = 0x10;
const HAS_NEXT: u8 = 0x20;

/// More digits than any difference of two numbers of pixels has.
const MAX_DIGITS: u32 = 8;

#[cfg(test)]
mod rle_tests;
