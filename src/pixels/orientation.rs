//! Turning an image as its EXIF (or XMP) orientation asks: PIL's `ImageOps.exif_transpose`.

use image::DynamicImage;
use image::metadata::Orientation;

use super::{RgbImage, Sides};

/// Turns the stored pixels upright; for the orientations 5 to 8 height and width change places.
pub(super) fn apply(image: RgbImage, orientation: Orientation) -> RgbImage {
    let Sides { height_pixels, width_pixels } = image.sides;
    if orientation == Orientation::NoTransforms {
        return image;
    }
    let Some(pixels) = image::RgbImage::from_raw(width_pixels, height_pixels, image.data) else {
        unreachable!("an RgbImage has as many bytes as its sides ask for");
    };
    let mut turned = DynamicImage::ImageRgb8(pixels);
    turned.apply_orientation(orientation);
    let sides = Sides { height_pixels: turned.height(), width_pixels: turned.width() };
    RgbImage { sides, data: turned.into_bytes() }
}

/// The orientation that a JPEG's APP1 segments name: EXIF first, XMP where EXIF has none (PIL's `Image.getexif`).
pub(super) fn of_app1<'a>(payloads: impl Iterator<Item = &'a [u8]>) -> Orientation {
    let (mut exif, mut xmp) = (Vec::new(), None);
    for payload in payloads {
        // A long EXIF block is spread over several segments.
        if let Some(part) = payload.strip_prefix(b"Exif\0\0") {
            exif.extend_from_slice(part);
        } else if let Some(text) = payload.strip_prefix(b"http://ns.adobe.com/xap/1.0/\0") {
            xmp = Some(text);
        }
    }
    of_chunks(Some(&exif), xmp)
}

/// The orientation in a TIFF-shaped EXIF block, or else in XMP text; without either, none.
pub(super) fn of_chunks(exif: Option<&[u8]>, xmp: Option<&[u8]>) -> Orientation {
    let exif = exif.and_then(|exif| Orientation::from_exif_chunk(exif.strip_prefix(b"Exif\0\0").unwrap_or(exif)));
    exif.or_else(|| xmp.and_then(of_xmp)).unwrap_or(Orientation::NoTransforms)
}

/// `tiff:Orientation="6"` or `<tiff:Orientation>6`: the first one with a digit counts.
fn of_xmp(text: &[u8]) -> Option<Orientation> {
    const NAME: &[u8] = b"tiff:Orientation";
    let digit = text.windows(NAME.len() + 3).find_map(|window| match window.strip_prefix(NAME)? {
        [b'=', b'"', digit @ b'0'..=b'9'] | [b'>', digit @ b'0'..=b'9', _] => Some(digit - b'0'),
        _ => None,
    })?;
    Orientation::from_exif(digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `Image.transpose` of PIL 13 for the orientations 1 to 8, on an image of 2 columns and 1 row: A B.
    #[test]
    fn eight_ways() {
        let (a, b) = ([1, 2, 3], [4, 5, 6]);
        for (exif, size, first) in [
            (1, (2, 1), a),
            (2, (2, 1), b),
            (3, (2, 1), b),
            (4, (2, 1), a),
            (5, (1, 2), a),
            (6, (1, 2), a),
            (7, (1, 2), b),
            (8, (1, 2), b),
        ] {
            let image = RgbImage::new(1, 2, [a, b].concat()).unwrap();
            let turned = apply(image, Orientation::from_exif(exif).unwrap());
            assert_eq!((turned.width_pixels(), turned.height_pixels()), size, "orientation {exif}");
            assert_eq!(turned.data()[..3], first, "orientation {exif}");
        }
    }

    #[test]
    fn exif_wins_over_xmp() {
        let exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0".as_slice();
        let xmp = b"http://ns.adobe.com/xap/1.0/\0<x tiff:Orientation=\"3\"/>".as_slice();
        assert_eq!(of_app1([xmp, exif].into_iter()), Orientation::Rotate90);
        assert_eq!(of_app1([xmp].into_iter()), Orientation::Rotate180);
        assert_eq!(of_app1([].into_iter()), Orientation::NoTransforms);
        assert_eq!(of_xmp(b"<tiff:Orientation>8</tiff:Orientation>"), Some(Orientation::Rotate270));
        assert_eq!(of_xmp(b"tiff:Orientation=\"0\""), None);
        assert_eq!(of_app1([b"Exif\0\0II*\0\xff\xff\xff\xff".as_slice()].into_iter()), Orientation::NoTransforms);
    }
}
