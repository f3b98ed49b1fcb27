//! The photographs whose patches are changed.

use crate::labelling::pixels;
use crate::labelling::teacher::{PixelBatch, TeacherCard};
use crate::shared::error::Error;

/// Photographs for teachers that come without images: an astronaut, a cat, a cup of coffee and a rocket.
const SAMPLES: [&[u8]; 4] = [
    include_bytes!("../../../../tests/data/golden/images/photos/astronaut.JPEG"),
    include_bytes!("../../../../tests/data/golden/images/photos/chelsea.JPEG"),
    include_bytes!("../../../../tests/data/golden/images/photos/coffee.JPEG"),
    include_bytes!("../../../../tests/data/golden/images/photos/rocket.JPEG"),
];

/// Up to `most` of the files that can be decoded, as the teacher takes them; the samples where none can.
pub(super) fn decoded(files: &[Vec<u8>], card: &TeacherCard, most: usize) -> Result<PixelBatch, Error> {
    let decode = |bytes: &[u8]| {
        let mut image = vec![0; card.input_size.rgb_bytes()];
        pixels::decode_into(bytes, card.exif_orientation, card.input_size, card.filter, &mut image).ok().map(|()| image)
    };
    let mut images: Vec<Vec<u8>> = files.iter().filter_map(|file| decode(file)).take(most).collect();
    if images.is_empty() {
        images = SAMPLES.iter().filter_map(|file| decode(file)).take(most).collect();
    }
    if images.is_empty() {
        let message = "none of the sample photographs can be decoded".to_owned();
        return Err(Error::Inference { action: "look at photographs", message });
    }
    Ok(PixelBatch::new(images.len(), card.input_size, images.concat()))
}
