//! The first frame of a WebP through libwebp, which PIL uses too. `container.rs` checks completeness like libwebp's demuxer,
//! which the `webp` crate does not expose.

mod container;

use super::exif::OrientationMetadata;
use super::image_error::broken;
use super::limits::DecodeLimits;
use super::orientation::{self, ExifOrientation};
use super::rgb_image::RgbImage;
use crate::shared::error::ImageError;
use container::{Container, WebpFrame};

/// Decodes the first frame on a canvas of transparent black. Alpha is dropped.
///
/// # Errors
/// Returns an error if PIL refuses the file: truncated, several images without an animation, or broken frames.
pub(super) fn decode(bytes: &[u8], exif: ExifOrientation, limits: &DecodeLimits) -> Result<RgbImage, ImageError> {
    let container = Container::read(bytes)?;
    let (width, height) = container.canvas;
    let WebpFrame { left, top, width: frame_width, height: frame_height, .. } = container.first;
    let upright_bytes = if exif == ExifOrientation::Apply { 3 } else { 0 };
    let canvas_bytes = u64::from(width) * u64::from(height) * (3 + upright_bytes);
    let frame_bytes = u64::from(frame_width) * u64::from(frame_height) * container.first.bytes_per_pixel();
    limits.check_bytes(height, width, canvas_bytes + frame_bytes)?;
    let invalid_frame = || broken("WebP: libwebp cannot decode the first frame");
    let decoded = webp::Decoder::new(container.first.bytes).decode().ok_or_else(invalid_frame)?;
    if (decoded.width(), decoded.height()) != (frame_width, frame_height) {
        return Err(invalid_frame());
    }
    let sample = if decoded.is_alpha() { 4 } else { 3 };
    let mut rgb = vec![0; height as usize * width as usize * 3];
    let lines = decoded.chunks_exact(frame_width as usize * sample);
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
            let metadata = OrientationMetadata { exif: container.exif, xmp: container.xmp, raw_profile: None };
            Ok(orientation::apply(image, metadata.orientation()?))
        }
    }
}
