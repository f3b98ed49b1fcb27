//! The first frame of a WebP through libwebp, which PIL uses too. Which files are complete is told as libwebp's demuxer
//! tells it (`container.rs`), which the package for libwebp does not offer.

mod container;

use super::exif::Sources;
use super::limits::Limits;
use super::{ExifOrientation, RgbImage, broken, orientation};
use crate::shared::error::ImageError;
use container::{Container, Frame};

/// Decodes the first frame on a canvas of transparent black. Alpha is dropped.
///
/// # Errors
/// What PIL refuses: files that are cut or hold more than one image without being an animation, broken frames.
pub(super) fn decode(bytes: &[u8], exif: ExifOrientation, limits: &Limits) -> Result<RgbImage, ImageError> {
    let container = Container::read(bytes)?;
    let (width, height) = container.canvas;
    let Frame { left, top, width: frame_width, height: frame_height, .. } = container.first;
    let turned_bytes = if exif == ExifOrientation::Apply { 3 } else { 0 };
    let canvas_bytes = u64::from(width) * u64::from(height) * (3 + turned_bytes);
    let frame_bytes = u64::from(frame_width) * u64::from(frame_height) * container.first.bytes_per_pixel();
    limits.check_bytes(height, width, canvas_bytes + frame_bytes)?;
    let no_picture = || broken("WebP: libwebp finds its image broken".to_owned());
    let picture = webp::Decoder::new(container.first.bytes).decode().ok_or_else(no_picture)?;
    if (picture.width(), picture.height()) != (frame_width, frame_height) {
        return Err(no_picture());
    }
    let sample = if picture.is_alpha() { 4 } else { 3 };
    let mut rgb = vec![0; height as usize * width as usize * 3];
    let lines = picture.chunks_exact(frame_width as usize * sample);
    let rows = rgb.chunks_exact_mut(width as usize * 3).skip(top as usize);
    for (line, row) in lines.zip(rows) {
        let row = row[left as usize * 3..].as_chunks_mut::<3>().0;
        for (pixel, out) in line.chunks_exact(sample).zip(row) {
            out.copy_from_slice(&pixel[..3]);
        }
    }
    let image = RgbImage::new(height, width, rgb)?;
    match exif {
        ExifOrientation::Ignore => Ok(image),
        ExifOrientation::Apply => {
            let sources = Sources { exif: container.exif, xmp: container.xmp, raw_profile: None };
            Ok(orientation::apply(image, sources.orientation()?))
        }
    }
}
