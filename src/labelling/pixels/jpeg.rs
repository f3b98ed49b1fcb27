//! JPEG through libjpeg-turbo, with PIL's tolerance for damage.
//!
//! PIL's decoder *is* libjpeg-turbo, so the pixels agree to the bit. Which files PIL refuses follows from how it calls
//! libjpeg (`JpegDecode.c`): it ignores warnings, and suspends libjpeg at the end of the file, where `TurboJPEG` inserts an
//! end-of-image marker. `TurboJPEG` also reports a warning exactly like an error, although the pixels have been written.
//! There are three cases:
//!
//! 1. `TurboJPEG` succeeds: so does PIL. This holds for nearly every file.
//! 2. libjpeg reports an error: PIL refuses the file.
//! 3. libjpeg warns: PIL accepts the file, unless libjpeg needed bytes beyond its end (`tolerance.rs`).

mod markers;
mod header;
mod tolerance;

use turbojpeg::{Compressor, Decompressor, Image, PixelFormat, Subsamp};

use super::cmyk;
use super::exif::{Orientation, OrientationMetadata};
use super::image_error::broken;
use super::limits::DecodeLimits;
use super::orientation::{self, ExifOrientation};
use super::rgb_image::RgbImage;
use crate::shared::error::ImageError;
use header::JpegHeader;

/// Decodes a JPEG of one, three or four components.
///
/// # Errors
/// Returns an error if PIL refuses the file: truncated, broken or too large.
pub(super) fn decode(bytes: &[u8], exif: ExifOrientation, limits: &DecodeLimits) -> Result<RgbImage, ImageError> {
    let header = JpegHeader::read(bytes)?;
    let (width, height) = (u32::from(header.width_pixels), u32::from(header.height_pixels));
    let upright_bytes = if exif == ExifOrientation::Apply { 3 } else { 0 };
    let stored_bytes = if header.components == 4 { 4 } else { 0 };
    let pixels = u64::from(width) * u64::from(height);
    limits.check_bytes(height, width, pixels * (3 + stored_bytes + upright_bytes) + header.coefficient_bytes())?;
    DecodeLimits::check_work(header.scans(), pixels, "scans")?;
    let stored = match decompress(bytes, &header) {
        Ok(pixels) => pixels,
        Err(DecodeProblem::Error(message)) => return Err(libjpeg_error(&message)),
        Err(DecodeProblem::Warning { .. }) => tolerance::pixels_despite_warning(&header)?,
    };
    let rgb = if header.components == 4 { cmyk::to_rgb(&stored) } else { stored };
    let image = RgbImage::new(height, width, rgb)?;
    match exif {
        ExifOrientation::Ignore => Ok(image),
        ExifOrientation::Apply => Ok(orientation::apply(image, read_orientation(&header)?)),
    }
}

/// Reads the orientation from the APP1 segments. A long EXIF block is split into several of them.
fn read_orientation(header: &JpegHeader) -> Result<Orientation, ImageError> {
    let (mut exif, mut xmp) = (None, None);
    for payload in header.app1() {
        if let Some(part) = payload.strip_prefix(b"Exif\0\0") {
            exif.get_or_insert_with(Vec::new).extend_from_slice(part);
        } else if let Some(text) = payload.strip_prefix(b"http://ns.adobe.com/xap/1.0/\0") {
            xmp = Some(text);
        }
    }
    let orientation = OrientationMetadata { exif: exif.as_deref(), xmp, raw_profile: None }.orientation();
    // Without a resolution in the header, PIL reads EXIF for one. If that fails, it does not read EXIF again, and the image
    // has no orientation (`_read_dpi_from_exif`).
    if header.has_resolution() { orientation } else { Ok(orientation.unwrap_or(Orientation::NONE)) }
}

impl RgbImage {
    /// Encodes the image as a JPEG with 4:2:0 subsampling. `quality` is 1 to 100.
    ///
    /// # Errors
    /// Returns an error if libjpeg-turbo fails: a side is longer than 65,535 pixels.
    pub fn to_jpeg(&self, quality: u8) -> Result<Vec<u8>, ImageError> {
        let (height, width) = (self.height_pixels() as usize, self.width_pixels() as usize);
        let pixels = Image { pixels: self.data(), width, pitch: width * 3, height, format: PixelFormat::RGB };
        let encode = || {
            let mut compressor = Compressor::new()?;
            compressor.set_quality(i32::from(quality))?;
            compressor.set_subsamp(Subsamp::Sub2x2)?;
            compressor.compress_to_vec(pixels)
        };
        encode().map_err(|error: turbojpeg::Error| libjpeg_error(&error.to_string()))
    }
}

/// A problem that `TurboJPEG` reports as an error.
enum DecodeProblem {
    /// The scan was decoded nevertheless, unless the warning concerned the header. libjpeg reports only the first warning.
    Warning { message: String, pixels: Vec<u8> },
    /// No or only some pixels were decoded.
    Error(String),
}

/// Prefixes of libjpeg's warnings: all `JWRN_*` messages of `jerror.h`. No error begins like that, and an error overwrites
/// the message of an earlier warning. (`tj3GetErrorCode` distinguishes them, but the crate hides it.)
const WARNINGS: [&str; 7] = [
    "Application transferred too many scanlines",
    "Corrupt JPEG data: ",
    "Inconsistent progression sequence for component ",
    "Invalid SOS parameters for sequential JPEG",
    "Premature end of JPEG file",
    "Unknown Adobe color transform code ",
    "Warning: ",
];

/// Decodes to RGB, or to CMYK as stored for four components.
///
/// `TurboJPEG` has the same defaults as PIL: accurate DCT, fancy upsampling, block smoothing.
fn decompress(jpeg: &[u8], header: &JpegHeader) -> Result<Vec<u8>, DecodeProblem> {
    let format = if header.components == 4 { PixelFormat::CMYK } else { PixelFormat::RGB };
    let (width, height) = (usize::from(header.width_pixels), usize::from(header.height_pixels));
    let mut pixels = vec![0; width * height * format.size()];
    let image = Image { pixels: pixels.as_mut_slice(), width, pitch: width * format.size(), height, format };
    let result = Decompressor::new().and_then(|mut decompressor| decompressor.decompress(jpeg, image));
    let message = match result {
        Ok(()) => return Ok(pixels),
        Err(turbojpeg::Error::TurboJpegError(message)) => message,
        Err(other) => other.to_string(),
    };
    let is_warning = WARNINGS.iter().any(|start| message.starts_with(start));
    Err(if is_warning { DecodeProblem::Warning { message, pixels } } else { DecodeProblem::Error(message) })
}

fn libjpeg_error(message: &str) -> ImageError {
    broken(format!("libjpeg: {message}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 40x24 pixels, 4:2:0, one scan or several.
    pub(super) fn sample(progressive: bool) -> Vec<u8> {
        let pixels: Vec<u8> = (0..40 * 24 * 3).map(|i| (i * i / 7 + i / 120 * 5) as u8).collect();
        let mut compressor = turbojpeg::Compressor::new().unwrap();
        compressor.set_progressive(progressive).unwrap();
        compressor.set_subsamp(turbojpeg::Subsamp::Sub2x2).unwrap();
        let image = Image { pixels: pixels.as_slice(), width: 40, pitch: 120, height: 24, format: PixelFormat::RGB };
        compressor.compress_to_vec(image).unwrap()
    }

    fn rgb(bytes: &[u8]) -> Result<Vec<u8>, ImageError> {
        crate::labelling::pixels::decode(bytes, ExifOrientation::Ignore).map(|image| image.data)
    }

    #[test]
    fn complete_files_are_decoded() {
        for progressive in [false, true] {
            let image = crate::labelling::pixels::decode(&sample(progressive), ExifOrientation::Ignore).unwrap();
            assert_eq!((image.width_pixels(), image.height_pixels()), (40, 24));
        }
    }

    #[test]
    fn junk_after_the_end_is_ignored() {
        let plain = sample(false);
        for junk in [b"\0\0\0".as_slice(), b"\xff\xd9", b"\xff\xd8\xff\xe0"] {
            assert_eq!(rgb(&[&plain, junk].concat()), rgb(&plain));
        }
    }

    #[test]
    fn libjpeg_errors_are_reported() {
        let mut no_tables = sample(false);
        let at = no_tables.windows(2).position(|pair| pair == [0xff, 0xdb]).unwrap();
        no_tables[at + 1] = 0xfe;
        let error = rgb(&no_tables).unwrap_err();
        assert!(error.reason.starts_with("libjpeg: Quantization table"), "{error}");
    }

    #[test]
    fn size_is_checked_before_decoding() {
        let mut huge = sample(false);
        let at = huge.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
        huge[at + 5..at + 9].copy_from_slice(&[0x4e, 0x20, 0x4e, 0x20]);
        assert_eq!(rgb(&huge).unwrap_err().kind, crate::shared::error::ImageErrorKind::TooLarge);
    }

    #[test]
    fn encoded_jpegs_are_decoded() {
        let image = RgbImage::new(20, 30, [200, 40, 90].repeat(600)).unwrap();
        let again = crate::labelling::pixels::decode(&image.to_jpeg(90).unwrap(), ExifOrientation::Ignore).unwrap();
        assert_eq!(again.sides, image.sides);
        assert!(again.data.iter().zip(&image.data).all(|(a, b)| a.abs_diff(*b) <= 3));
    }
}
