//! JPEG through libjpeg-turbo, which PIL uses too. What differs is only how damage is judged: TurboJPEG reports every
//! libjpeg warning as a failure although it has decoded the image, and takes a file that ends early for a warning.
//! PIL accepts damage with a warning, and refuses a file that ends early.

use turbojpeg::{Decompressor, Image, PixelFormat};

use super::markers::{self, Frame, Markers};
use super::{RgbImage, broken, check_pixels, cmyk};
use crate::error::{ImageError, ImageErrorKind};

/// Decodes a JPEG to the bit as PIL's `convert("RGB")` does (test `golden::jpeg_pixels_equal_pil`).
pub(super) fn decode(bytes: &[u8]) -> Result<RgbImage, ImageError> {
    let markers = markers::walk(bytes);
    let frame = markers.frame.ok_or_else(|| truncated("it ends before its frame header".to_owned()))?;
    if frame.height_pixels == 0 || frame.width_pixels == 0 {
        return Err(broken(format!("its header says {}x{} pixels", frame.height_pixels, frame.width_pixels)));
    }
    check_pixels(frame.height_pixels, frame.width_pixels)?;
    let Some(first_scan) = markers.first_scan else {
        return Err(truncated("it ends before its first scan".to_owned()));
    };
    let data = if markers.has_end {
        decompress(bytes, &markers, frame)?
    } else {
        decompress_without_end(bytes, first_scan, &markers, frame)?
    };
    let rgb = if frame.components == 4 { cmyk::to_rgb(&data) } else { data };
    RgbImage::new(frame.height_pixels, frame.width_pixels, rgb)
}

/// A file without an end-of-image marker is truncated, unless its one scan is complete and more bytes follow.
/// libjpeg reads at most a machine word ahead, so that a scan is complete when the last bytes do not matter.
fn decompress_without_end(
    bytes: &[u8],
    first_scan: usize,
    markers: &Markers,
    frame: Frame,
) -> Result<Vec<u8>, ImageError> {
    const READ_AHEAD_BYTES: usize = 8;
    let missing_end = || truncated("it ends before its image does: there is no end-of-image marker".to_owned());
    let enough = bytes.len().saturating_sub(READ_AHEAD_BYTES);
    if frame.progressive || enough <= first_scan {
        return Err(missing_end());
    }
    let continued = |filler: u8| {
        let mut bytes = bytes[..enough].to_vec();
        bytes.extend([filler; 4096]);
        bytes.extend([0xff, 0xd9]);
        decompress(&bytes, markers, frame)
    };
    let (zeros, others) = (continued(0x00)?, continued(0x55)?);
    if zeros == others { Ok(zeros) } else { Err(missing_end()) }
}

/// All samples, in RGB or, with four components, in CMYK.
fn decompress(bytes: &[u8], markers: &Markers, frame: Frame) -> Result<Vec<u8>, ImageError> {
    let format = if frame.components == 4 { PixelFormat::CMYK } else { PixelFormat::RGB };
    let (width, height) = (frame.width_pixels as usize, frame.height_pixels as usize);
    let mut pixels = vec![0; width * height * format.size()];
    let mut decompressor = Decompressor::new().map_err(|error| broken(error.to_string()))?;
    let cleaned;
    let bytes = match decompressor.read_header(bytes) {
        Err(error) if is_warning(&error.to_string()) => {
            cleaned = with_clean_header(bytes, markers);
            &cleaned
        }
        _ => bytes,
    };
    let output = Image { pixels: &mut pixels[..], width, pitch: width * format.size(), height, format };
    match decompressor.decompress(bytes, output) {
        Err(error) if !is_warning(&error.to_string()) => Err(broken(format!("libjpeg says: {error}"))),
        _ => Ok(pixels),
    }
}

/// The header without what libjpeg only warns of, since TurboJPEG would not go on to the image: bytes between the
/// segments, and a JFIF version other than 1.
fn with_clean_header(bytes: &[u8], markers: &Markers) -> Vec<u8> {
    let mut clean = vec![0xff, 0xd8];
    for segment in &markers.header {
        let start = clean.len();
        clean.extend_from_slice(&bytes[segment.clone()]);
        if clean[start..].starts_with(&[0xff, 0xe0])
            && clean[start + 4..].starts_with(b"JFIF\0")
            && clean.len() > start + 9
        {
            clean[start + 9] = 1;
        }
    }
    clean.extend_from_slice(&bytes[markers.first_scan.unwrap_or(bytes.len())..]);
    clean
}

/// libjpeg's warnings (`JWRN_*` in its `jerror.h`), by how they begin. TurboJPEG gives words, not codes.
fn is_warning(message: &str) -> bool {
    const WARNINGS: [&str; 7] = [
        "Corrupt JPEG data:",
        "Warning:",
        "Premature end of JPEG file",
        "Unknown Adobe color transform code",
        "Inconsistent progression sequence",
        "Invalid SOS parameters for sequential JPEG",
        "Application transferred too many scanlines",
    ];
    let message = message.strip_prefix("TurboJPEG error: ").unwrap_or(message);
    WARNINGS.iter().any(|warning| message.starts_with(warning))
}

fn truncated(reason: String) -> ImageError {
    ImageError { kind: ImageErrorKind::Truncated, reason }
}
