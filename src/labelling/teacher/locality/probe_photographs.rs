//! The photographs used for probing.

use crate::labelling::pixels;
use crate::labelling::teacher::{PixelBatch, TeacherCard};
use crate::shared::error::Error;

/// Built-in photographs: an astronaut, a cat, a cup of coffee and a rocket.
const SAMPLES: [&[u8]; 4] = [
    include_bytes!("../../../../tests/data/golden/images/photos/astronaut.JPEG"),
    include_bytes!("../../../../tests/data/golden/images/photos/chelsea.JPEG"),
    include_bytes!("../../../../tests/data/golden/images/photos/coffee.JPEG"),
    include_bytes!("../../../../tests/data/golden/images/photos/rocket.JPEG"),
];

/// Decodes up to `most` of the files as input for the teacher, or of the built-in photographs if none can be decoded.
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
        return Err(Error::Internal {
            action: "probe the teacher with photographs".to_owned(),
            problem: "none of the built-in photographs can be decoded".into(),
        });
    }
    Ok(PixelBatch::new(images.len(), card.input_size, images.concat()))
}
