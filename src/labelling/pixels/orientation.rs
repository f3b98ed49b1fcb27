//! Applies an EXIF orientation, like PIL's `ImageOps.exif_transpose`.

use relabel_resize::Sides;
use serde::{Deserialize, Serialize};

use super::exif::Orientation;
use super::rgb_image::RgbImage;

/// Whether EXIF orientation is applied. torchvision's loader ignores it, and so do the paper's label maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExifOrientation {
    /// Keep pixels as stored.
    Ignore,
    /// Rotate and flip them like `PIL.ImageOps.exif_transpose`.
    Apply,
}

/// Rotates and flips stored pixels. Orientations 5 to 8 swap height and width.
pub(super) fn apply(image: RgbImage, orientation: Orientation) -> RgbImage {
    if orientation == Orientation::NONE {
        return image;
    }
    let Sides { height_pixels, width_pixels } = image.sides;
    let (rows, columns) = (height_pixels as usize, width_pixels as usize);
    let sides = if orientation.swaps_sides() {
        Sides { height_pixels: width_pixels, width_pixels: height_pixels }
    } else {
        image.sides
    };
    let (stored, _) = image.data.as_chunks::<3>();
    let mut data = Vec::with_capacity(image.data.len());
    for y in 0..sides.height_pixels as usize {
        for x in 0..sides.width_pixels as usize {
            let (row, column) = match orientation.number() {
                2 => (y, columns - 1 - x),
                3 => (rows - 1 - y, columns - 1 - x),
                4 => (rows - 1 - y, x),
                5 => (x, y),
                6 => (rows - 1 - x, y),
                7 => (rows - 1 - x, columns - 1 - y),
                8 => (x, columns - 1 - y),
                _ => (y, x),
            };
            data.extend(stored[row * columns + column]);
        }
    }
    RgbImage { sides, data }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `ImageOps.exif_transpose` of PIL 13 for the orientations 1 to 8, on an image of 3 columns and 2 rows:
    /// 0 1 2 / 3 4 5.
    #[test]
    fn all_orientations_match_pil() {
        for (number, width, expected) in [
            (1, 3, [0, 1, 2, 3, 4, 5]),
            (2, 3, [2, 1, 0, 5, 4, 3]),
            (3, 3, [5, 4, 3, 2, 1, 0]),
            (4, 3, [3, 4, 5, 0, 1, 2]),
            (5, 2, [0, 3, 1, 4, 2, 5]),
            (6, 2, [3, 0, 4, 1, 5, 2]),
            (7, 2, [5, 2, 4, 1, 3, 0]),
            (8, 2, [2, 5, 1, 4, 0, 3]),
        ] {
            let image = RgbImage::new(2, 3, (0..6).flat_map(|value| [value; 3]).collect()).unwrap();
            let upright = apply(image, Orientation::from_number(f64::from(number)));
            assert_eq!(upright.width_pixels(), width, "orientation {number}");
            let values: Vec<u8> = upright.data().as_chunks::<3>().0.iter().map(|pixel| pixel[0]).collect();
            assert_eq!(values, expected, "orientation {number}");
        }
    }
}
