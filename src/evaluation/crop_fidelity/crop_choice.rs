//! Which crops of which images.

use std::ops::Range;

use crate::inspection::random_crops::random_pixel_crops;
use crate::labelling::pixels::PixelCrop;
use crate::shared::digest::Digest;
use crate::shared::error::Error;
use crate::shared::geometry::UnitBox;
use crate::shared::random::SplitMix64;
use crate::shared::store::StoreReader;

/// The crops of each image.
#[derive(Clone, Debug, PartialEq)]
pub enum CropChoice {
    /// Random resized crops. Those of an image depend on the seed and its row only, not on the other images.
    Random {
        /// Number of crops of each image.
        per_image: usize,
        /// Seed.
        seed: u64,
    },
    /// The crops of a file.
    Boxes(CropBoxes),
}

/// Boxes of images, by row.
#[derive(Clone, Debug, PartialEq)]
pub struct CropBoxes {
    /// Sorted by row; boxes of a row are in the order of the file.
    boxes: Vec<(usize, UnitBox)>,
    sha256: Digest,
}

impl CropBoxes {
    /// Sorts boxes by row. `sha256` is the digest of the file that they were read from.
    #[must_use]
    pub fn new(mut boxes: Vec<(usize, UnitBox)>, sha256: Digest) -> Self {
        boxes.sort_by_key(|(row, _)| *row);
        Self { boxes, sha256 }
    }

    /// Digest of the file.
    #[must_use]
    pub fn sha256(&self) -> &Digest {
        &self.sha256
    }

    /// Number of boxes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.boxes.len()
    }

    /// Returns whether the list of boxes is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.boxes.is_empty()
    }

    /// Returns the rows that have boxes, in order.
    #[must_use]
    pub fn rows(&self) -> Vec<usize> {
        let mut rows: Vec<usize> = self.boxes.iter().map(|(row, _)| *row).collect();
        rows.dedup();
        rows
    }

    fn of_row(&self, row: usize) -> &[(usize, UnitBox)] {
        let first = self.boxes.partition_point(|(other, _)| *other < row);
        let end = self.boxes.partition_point(|(other, _)| *other <= row);
        &self.boxes[first..end]
    }
}

impl CropChoice {
    /// Number of crops of a row.
    pub(super) fn count(&self, row: usize) -> usize {
        match self {
            Self::Random { per_image, .. } => *per_image,
            Self::Boxes(boxes) => boxes.of_row(row).len(),
        }
    }

    /// Returns some of the crops of a row, in pixels of its image.
    pub(super) fn crops(&self, row: usize, which: Range<usize>, image_pixels: [u32; 2]) -> Vec<PixelCrop> {
        match self {
            Self::Random { seed, .. } => {
                let [height, width] = image_pixels;
                let seed = SplitMix64::nth(seed ^ CROP_STREAM, row as u64);
                random_pixel_crops(which.end, seed, height, width).into_iter().skip(which.start).collect()
            }
            Self::Boxes(boxes) => {
                let of_row = boxes.of_row(row).iter().take(which.end).skip(which.start);
                of_row.filter_map(|(_, unit_box)| PixelCrop::nearest(*unit_box, image_pixels)).collect()
            }
        }
    }
}

/// Separate the random numbers for images from those for crops, for one seed.
const ROW_STREAM: u64 = 0x726f_7773;
const CROP_STREAM: u64 = 0x6372_6f70_7300;

/// Returns `count` different random rows of `rows`, or all if there are fewer, in ascending order. A larger sample with the
/// same seed contains the smaller one, and the order of `rows` has no effect.
#[must_use]
pub fn sample_rows(count: usize, seed: u64, rows: &[usize]) -> Vec<usize> {
    let number = |row: usize| SplitMix64::nth(seed ^ ROW_STREAM, row as u64);
    let mut drawn: Vec<(u64, usize)> = rows.iter().map(|&row| (number(row), row)).collect();
    drawn.sort_unstable();
    drawn.dedup();
    drawn.truncate(count);
    let mut sample: Vec<usize> = drawn.into_iter().map(|(_, row)| row).collect();
    sample.sort_unstable();
    sample
}

/// Returns the labelled rows of a store, in order.
///
/// # Errors
/// Returns the errors of [`StoreReader::records`].
pub fn labelled_rows(store: &StoreReader) -> Result<Vec<usize>, Error> {
    let mut labelled = Vec::new();
    for record in store.records()? {
        let mut failed = record.failed.iter().map(|image| image.row).peekable();
        for row in record.first_row..record.first_row + record.rows {
            if failed.next_if_eq(&row).is_none() {
                labelled.push(row);
            }
        }
    }
    Ok(labelled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::digest::digest_bytes;

    #[test]
    fn samples_are_distinct_nested_and_seeded() {
        let rows: Vec<usize> = (0..10_000).map(|row| row * 3).collect();
        let backwards: Vec<usize> = rows.iter().rev().copied().collect();
        let small = sample_rows(100, 7, &rows);
        assert_eq!(small.len(), 100);
        assert!(small.windows(2).all(|pair| pair[0] < pair[1]) && small.iter().all(|row| row % 3 == 0));
        assert_eq!(small, sample_rows(100, 7, &backwards));
        let large = sample_rows(1000, 7, &rows);
        assert!(small.iter().all(|row| large.contains(row)));
        assert_ne!(small, sample_rows(100, 8, &rows));
        assert_eq!(sample_rows(100, 7, &[5, 2, 5]), [2, 5]);
        let mean = large.iter().sum::<usize>() as f64 / 1000.0;
        assert!((14_000.0..16_000.0).contains(&mean), "{mean}");
    }

    #[test]
    fn random_crops_depend_on_seed_and_row() {
        let crops = |seed, row, which| CropChoice::Random { per_image: 9, seed }.crops(row, which, [375, 500]);
        assert_eq!(crops(1, 4, 0..9)[3..7], crops(1, 4, 3..7));
        assert_ne!(crops(1, 4, 0..9), crops(1, 5, 0..9));
        assert_ne!(crops(1, 4, 0..9), crops(2, 4, 0..9));
        assert_ne!(crops(1, 0, 0..1)[0], crops(1, 1, 0..1)[0]);
    }

    #[test]
    fn boxes_keep_their_order_within_a_row() {
        let unit_box = |x0: f64| UnitBox::new(x0, 0.0, 1.0, 1.0).unwrap();
        let boxes = vec![(5, unit_box(0.5)), (2, unit_box(0.0)), (5, unit_box(0.2)), (5, unit_box(0.1))];
        let boxes = CropBoxes::new(boxes, digest_bytes(b""));
        assert_eq!((boxes.rows(), boxes.len()), (vec![2, 5], 4));
        let choice = CropChoice::Boxes(boxes);
        assert_eq!([0, 2, 5, 9].map(|row| choice.count(row)), [0, 1, 3, 0]);
        let left = |which| choice.crops(5, which, [10, 10]).iter().map(|crop| crop.sides()[0]).collect::<Vec<_>>();
        assert_eq!((left(0..3), left(1..2)), (vec![5, 2, 1], vec![2]));
    }
}
