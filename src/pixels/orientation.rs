//! EXIF orientation, for the cards that ask for it (`PIL.ImageOps.exif_transpose`).

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder as _, ImageReader};

use super::{RgbImage, markers};

/// The orientation that a file's EXIF data asks for; none where there is no such data.
pub(super) fn of(bytes: &[u8]) -> Orientation {
    let from_exif = |chunk: &[u8]| Orientation::from_exif_chunk(chunk);
    let orientation = if bytes.starts_with(&[0xff, 0xd8]) {
        markers::walk(bytes).exif.and_then(|range| bytes.get(range)).and_then(from_exif)
    } else {
        let reader = ImageReader::new(std::io::Cursor::new(bytes)).with_guessed_format().ok();
        reader
            .and_then(|reader| reader.into_decoder().ok())
            .and_then(|mut decoder| decoder.exif_metadata().ok().flatten())
            .and_then(|chunk| from_exif(&chunk))
    };
    orientation.unwrap_or(Orientation::NoTransforms)
}

/// Turns an image.
pub(super) fn apply(image: RgbImage, orientation: Orientation) -> RgbImage {
    let sides = image.sides;
    let Some(pixels) = image::RgbImage::from_raw(sides.width_pixels, sides.height_pixels, image.data) else {
        unreachable!("an RgbImage has as many bytes as its sides ask for");
    };
    let mut turned = DynamicImage::ImageRgb8(pixels);
    turned.apply_orientation(orientation);
    let sides = super::Sides { height_pixels: turned.height(), width_pixels: turned.width() };
    RgbImage { sides, data: turned.into_rgb8().into_raw() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_turn_swaps_the_sides() {
        let image = RgbImage::new(1, 2, vec![1, 1, 1, 2, 2, 2]).unwrap();
        let turned = apply(image, Orientation::Rotate90);
        assert_eq!((turned.height_pixels(), turned.width_pixels()), (2, 1));
        assert_eq!(turned.data(), [1, 1, 1, 2, 2, 2]);
    }
}
