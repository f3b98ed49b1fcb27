//! Random images, and their normalisation for the reference.

use ort::session::Session;
use ort::value::Tensor;

use crate::labelling::teacher::graph::element;
use crate::labelling::teacher::normalised_input::normalised_input;
use crate::labelling::teacher::refusal::Refusal;
use crate::labelling::teacher::rewrite::{ImageInput, port};
use crate::labelling::teacher::tensors::{FloatTensor, failed, run_values, take};
use crate::labelling::teacher::{PixelBatch, TeacherCard};
use crate::shared::error::Error;
use crate::shared::geometry::InputSize;
use crate::shared::random::SplitMix64;

/// Images with large and small structures, so cells differ: 4 x 4 blocks of random colour, and noise.
pub(crate) fn random_images(images: usize, size: InputSize) -> PixelBatch {
    let (height, width) = (size.height_pixels() as usize, size.width_pixels() as usize);
    let mut random = SplitMix64::new(0x7265_6c61_6265_6c00);
    let mut next_byte = || (random.next_u64() >> 56) as u8;
    let mut data = Vec::with_capacity(images * size.rgb_bytes());
    for _ in 0..images {
        let blocks: Vec<u8> = (0..4 * 4 * 3).map(|_| next_byte()).collect();
        for y in 0..height {
            for x in 0..width {
                let block = ((y * 4 / height) * 4 + x * 4 / width) * 3;
                data.extend((0..3).map(|channel| (blocks[block + channel] / 4 * 3).saturating_add(next_byte() / 4)));
            }
        }
    }
    PixelBatch::new(images, size, data)
}

/// The input of the reference: pixels exactly as the rewritten teacher normalises them. Some normalisations, such as mean
/// and standard deviation 0.5, put pixels where the last bit decides in which direction a quantiser rounds.
#[derive(Clone, Debug)]
pub(super) struct NormalisedImages {
    pub(super) floats: FloatTensor,
    /// Largest difference from `(x / 255 - mean) / std`.
    pub(super) difference: f32,
    /// Largest absolute value.
    largest: f32,
}

impl NormalisedImages {
    /// A few roundings of float32.
    const RELATIVE_TOLERANCE: f32 = 1e-6;
    /// The same plus half a step of float16.
    const RELATIVE_TOLERANCE_HALF: f32 = 1e-3;

    /// Runs the normalisation of the rewritten teacher and compares it with the formula.
    pub(super) fn run(
        session: &mut Session,
        pixels: &PixelBatch,
        card: &TeacherCard,
        input: &ImageInput,
    ) -> Result<Self, Error> {
        let size = pixels.size();
        let shape = [pixels.images(), size.height_pixels() as usize, size.width_pixels() as usize, 3];
        let bytes = Tensor::from_array((shape, pixels.data().to_vec())).map_err(failed("create an input tensor"))?;
        let [floats] = take(run_values(session, vec![(port::PIXELS.to_owned(), bytes.into())], &[&input.name])?);
        let expected = normalised(pixels, card, input);
        let mut difference = 0.0_f32;
        let mut largest = 0.0_f32;
        for (&actual, &wanted) in floats.values.iter().zip(&expected.values) {
            let distance = (actual - wanted).abs();
            // Keeps NaN.
            difference = if distance <= difference { difference } else { distance };
            largest = largest.max(wanted.abs());
        }
        if floats.dims != expected.dims {
            difference = f32::NAN;
        }
        Ok(Self { floats, difference, largest })
    }

    /// The refusal of normalised pixels that differ too much.
    pub(super) fn failure(&self) -> Option<Refusal> {
        let half = self.floats.element == element::FLOAT16;
        let relative = if half { Self::RELATIVE_TOLERANCE_HALF } else { Self::RELATIVE_TOLERANCE };
        let accepted = relative * self.largest.max(1.0);
        (!(self.difference <= accepted)).then(|| {
            Refusal::new(
                format!(
                    "normalised pixels differ from (x/255 - mean) / std by up to {:.1e}, above the tolerance of {accepted:.1e}",
                    self.difference
                ),
                "check `mean` and `std` in the card; the largest float16 value is 65,504",
            )
        })
    }
}

/// Computes `(x / 255 - mean) / std` in float64.
pub(super) fn normalised(pixels: &PixelBatch, card: &TeacherCard, input: &ImageInput) -> FloatTensor {
    normalised_input(pixels, &card.normalisation(), input)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_images_are_deterministic_and_not_uniform() {
        let size = InputSize::new(16, 24).unwrap();
        let (a, b) = (random_images(2, size), random_images(2, size));
        assert_eq!(a.data(), b.data());
        assert_ne!(a.image(0), a.image(1));
        assert!(a.data().iter().max() > a.data().iter().min());
    }
}
