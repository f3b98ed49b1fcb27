//! One way to prepare the input of a classifier, and the pixels that it gives.

use crate::labelling::pixels::{ExifOrientation, Filter, RgbImage};
use crate::labelling::teacher::{Normalisation, TeacherCard};
use crate::shared::error::ImageError;
use crate::shared::geometry::InputSize;

/// One way to prepare the input of a classifier.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct InputPreparation {
    /// Whether EXIF orientation is applied.
    pub exif_orientation: ExifOrientation,
    /// The part of the image that is used.
    pub framing: Framing,
    /// Input height and width in pixels.
    pub size: InputSize,
    /// How pixels are resized.
    pub resampling: Resampling,
    /// How pixel values become the input.
    pub normalisation: Normalisation,
}

/// The part of an image that becomes the input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Framing {
    /// The entire image, without keeping its aspect ratio: what labels are made of.
    Squash,
    /// The centre: the image is resized so that its shorter side is the input's side divided by `ratio`, and cropped.
    CentreCrop {
        /// The input's side as a fraction of the shorter side.
        ratio: f64,
    },
}

/// How pixels are resized.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resampling {
    /// PIL's resize with this filter, as cards describe it.
    Pil(Filter),
    /// Bilinear interpolation between the four nearest pixels, without antialiasing, as `cv2.resize` and TensorFlow 1 do.
    /// No card can describe it.
    PlainBilinear,
}

impl InputPreparation {
    /// Returns how a card prepares the input.
    #[must_use]
    pub fn of_card(card: &TeacherCard) -> Self {
        Self {
            exif_orientation: card.exif_orientation,
            framing: Framing::Squash,
            size: card.input_size,
            resampling: Resampling::Pil(card.filter),
            normalisation: card.normalisation(),
        }
    }

    /// Returns whether a card can describe it.
    #[must_use]
    pub fn fits_a_card(&self) -> bool {
        self.framing == Framing::Squash && matches!(self.resampling, Resampling::Pil(_))
    }

    /// Returns whether two preparations give the same pixels before normalisation.
    pub(super) fn has_pixels_of(&self, other: &Self) -> bool {
        Self { normalisation: other.normalisation, ..*self } == *other
    }

    /// Returns the pixels of an image, `[y, x, channel]`. The caller has decoded it with [`Self::exif_orientation`].
    pub(super) fn pixels(&self, image: &RgbImage) -> Result<Vec<u8>, ImageError> {
        let (height, width) = (self.size.height_pixels(), self.size.width_pixels());
        let part;
        let image = match self.framing {
            Framing::Squash => image,
            Framing::CentreCrop { ratio } => {
                let [rows, columns] = centre_size(image, self.size, ratio);
                let top = (image.height_pixels() - rows) / 2;
                let left = (image.width_pixels() - columns) / 2;
                part = image.cropped(top, left, rows, columns)?;
                &part
            }
        };
        match self.resampling {
            Resampling::Pil(filter) => Ok(image.resized(height, width, filter)?.data().to_vec()),
            Resampling::PlainBilinear => Ok(plain_bilinear(image, self.size)),
        }
    }
}

/// Returns the rows and columns of the image that a centre crop shows. Cropping before the resize needs little memory for
/// images of extreme shape, and differs from cropping after it only at the edges of the crop.
fn centre_size(image: &RgbImage, size: InputSize, ratio: f64) -> [u32; 2] {
    let (height, width) = (f64::from(image.height_pixels()), f64::from(image.width_pixels()));
    let (to_height, to_width) = (f64::from(size.height_pixels()), f64::from(size.width_pixels()));
    let scale = (to_height / ratio / height).max(to_width / ratio / width);
    let side = |to: f64, from: u32| ((to / scale).round() as u32).clamp(1, from);
    [side(to_height, image.height_pixels()), side(to_width, image.width_pixels())]
}

/// Interpolates between the four pixels around each target position; pixel centres are at half coordinates.
fn plain_bilinear(image: &RgbImage, size: InputSize) -> Vec<u8> {
    let axis = |from: u32, to: u32| -> Vec<(usize, usize, f32)> {
        let last = from as usize - 1;
        let position = |at: u32| (f64::from(at) + 0.5) * f64::from(from) / f64::from(to) - 0.5;
        (0..to)
            .map(|at| position(at).clamp(0.0, last as f64))
            .map(|at| (at as usize, (at as usize + 1).min(last), at.fract() as f32))
            .collect()
    };
    let rows = axis(image.height_pixels(), size.height_pixels());
    let columns = axis(image.width_pixels(), size.width_pixels());
    let row_bytes = image.width_pixels() as usize * 3;
    let data = image.data();
    let mut pixels = Vec::with_capacity(size.rgb_bytes());
    for &(upper, lower, down) in &rows {
        for &(left, right, across) in &columns {
            for channel in 0..3 {
                let at = |row: usize, column: usize| f32::from(data[row * row_bytes + column * 3 + channel]);
                let above = at(upper, left) + (at(upper, right) - at(upper, left)) * across;
                let below = at(lower, left) + (at(lower, right) - at(lower, left)) * across;
                pixels.push((above + (below - above) * down).round() as u8);
            }
        }
    }
    pixels
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::labelling::pixels::decode;
    use crate::labelling::teacher::card::ChannelOrder;

    /// A PPM file of these grey rows.
    fn image(rows: &[&[u8]]) -> RgbImage {
        let mut file = format!("P6 {} {} 255\n", rows[0].len(), rows.len()).into_bytes();
        file.extend(rows.iter().copied().flatten().flat_map(|&value| [value; 3]));
        decode(&file, ExifOrientation::Ignore).unwrap()
    }

    fn preparation(height: u32, width: u32, framing: Framing, resampling: Resampling) -> InputPreparation {
        InputPreparation {
            exif_orientation: ExifOrientation::Ignore,
            framing,
            size: InputSize::new(height, width).unwrap(),
            resampling,
            normalisation: Normalisation { mean: [0.0; 3], std: [1.0; 3], channel_order: ChannelOrder::Rgb },
        }
    }

    fn grey(preparation: InputPreparation, image: &RgbImage) -> Vec<u8> {
        preparation.pixels(image).unwrap().iter().step_by(3).copied().collect()
    }

    #[test]
    fn plain_bilinear_equals_opencv() {
        // `cv2.resize(rows, size, interpolation=cv2.INTER_LINEAR)`
        let rows = image(&[&[0, 100, 200, 40, 80, 120]]);
        assert_eq!(grey(preparation(1, 3, Framing::Squash, Resampling::PlainBilinear), &rows), [50, 120, 100]);
        assert_eq!(grey(preparation(1, 2, Framing::Squash, Resampling::PlainBilinear), &rows), [100, 80]);
        let one = image(&[&[9]]);
        assert_eq!(grey(preparation(2, 2, Framing::Squash, Resampling::PlainBilinear), &one), [9; 4]);
    }

    #[test]
    fn a_centre_crop_keeps_the_middle_and_the_aspect_ratio() {
        let wide = image(&[&[1, 1, 7, 8, 1, 1], &[1, 1, 9, 6, 1, 1]]);
        let crop = |ratio| preparation(2, 2, Framing::CentreCrop { ratio }, Resampling::Pil(Filter::Bilinear));
        assert_eq!(grey(crop(1.0), &wide), [7, 8, 9, 6]);
        let line = image(&[&[5; 4000]]);
        assert_eq!(grey(crop(0.875), &line), [5; 4]);
    }
}
