//! The filters whose results are equal to Pillow's in every bit: nearest and box. `fast_image_resize` rounds positions in
//! another order, and then takes another pixel where a centre is on the border of two.

use std::ops::Range;

use super::axis::Axis;

/// Bits after the point of Pillow's weights.
const PRECISION_BITS: u32 = 32 - 8 - 2;

/// Copies the nearest pixel of each target pixel, from an image of `from_width` columns into `to`.
pub(crate) fn nearest(from: &[u8], from_width: u32, columns: Axis, rows: Axis, to: &mut [u8]) {
    let columns: Vec<usize> = columns.nearest().map(|column| column as usize).collect();
    let row_bytes = from_width as usize * 3;
    for (row, to) in rows.nearest().zip(to.chunks_exact_mut(columns.len() * 3)) {
        let (from, _) = from[row as usize * row_bytes..][..row_bytes].as_chunks::<3>();
        for (&column, to) in columns.iter().zip(to.as_chunks_mut::<3>().0) {
            *to = from[column];
        }
    }
}

/// Averages the pixels of each box along the rows of an image, whose columns are those in `held`.
pub(crate) fn box_columns(from: &[u8], held: &Range<u32>, columns: Axis, to: &mut [u8]) {
    let boxes: Vec<Range<u32>> = columns.boxes().collect();
    let rows = from.chunks_exact(held.len() * 3);
    for (from, to) in rows.zip(to.chunks_exact_mut(boxes.len() * 3)) {
        let (from, _) = from.as_chunks::<3>();
        for (pixels, to) in boxes.iter().zip(to.as_chunks_mut::<3>().0) {
            let mut sums = [0; 3];
            for pixel in &from[(pixels.start - held.start) as usize..(pixels.end - held.start) as usize] {
                for (sum, &value) in sums.iter_mut().zip(pixel) {
                    *sum += u64::from(value);
                }
            }
            let weight = weight(pixels.len());
            *to = sums.map(|sum| rounded(sum, weight));
        }
    }
}

/// Averages the pixels of each box along the columns in `window` of an image of `from_width` columns, whose rows are those in
/// `held`.
pub(crate) fn box_rows(
    from: &[u8],
    from_width: u32,
    window: &Range<u32>,
    held: &Range<u32>,
    rows: Axis,
    to: &mut [u8],
) {
    // As many values as are summed at once.
    const BLOCK: usize = 256;
    let row_bytes = from_width as usize * 3;
    for (pixels, to) in rows.boxes().zip(to.chunks_exact_mut(window.len() * 3)) {
        let weight = weight(pixels.len());
        for (block, to) in to.chunks_mut(BLOCK).enumerate() {
            let first = window.start as usize * 3 + block * BLOCK;
            let mut sums = [0_u64; BLOCK];
            for row in pixels.clone() {
                let from = &from[(row - held.start) as usize * row_bytes + first..][..to.len()];
                for (sum, &value) in sums.iter_mut().zip(from) {
                    *sum += u64::from(value);
                }
            }
            for (to, sum) in to.iter_mut().zip(sums) {
                *to = rounded(sum, weight);
            }
        }
    }
}

/// Weight of each of `pixels` pixels, in fixed point.
fn weight(pixels: usize) -> u64 {
    (0.5 + 1.0 / pixels as f64 * f64::from(1_u32 << PRECISION_BITS)) as u64
}

fn rounded(sum: u64, weight: u64) -> u8 {
    ((sum * weight + (1 << (PRECISION_BITS - 1))) >> PRECISION_BITS).min(255) as u8
}
