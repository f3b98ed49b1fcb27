//! JPEG through libjpeg-turbo, with PIL's tolerance.
//!
//! PIL's decoder *is* libjpeg-turbo, so the pixels agree to the bit. Which files it refuses follows from how it is
//! called (`JpegDecode.c`): warnings are ignored, and at the end of the file libjpeg is *suspended*, not fed with an
//! invented end-of-image marker as in `TurboJPEG`. `TurboJPEG` also reports a mere warning exactly like an error, though
//! the pixels have been written. Hence three cases:
//!
//! 1. `TurboJPEG` is content: PIL is, too. This is the way of nearly every file.
//! 2. libjpeg met an error: PIL refuses.
//! 3. libjpeg warned: PIL accepts, unless libjpeg wanted bytes beyond the end of the file (`tolerance.rs`).

mod header;
mod tolerance;
mod walk;

use turbojpeg::{Compressor, Decompressor, Image, PixelFormat, Subsamp};

use super::exif::{Orientation, Sources};
use super::limits::Limits;
use super::{ExifOrientation, RgbImage, broken, cmyk, orientation};
use crate::shared::error::ImageError;
use header::Header;

/// Decodes a JPEG of one, three or four components.
///
/// # Errors
/// Where PIL refuses: truncated, broken or too large.
pub(super) fn decode(bytes: &[u8], exif: ExifOrientation, limits: &Limits) -> Result<RgbImage, ImageError> {
    let header = Header::read(bytes)?;
    let (width, height) = (u32::from(header.width_pixels), u32::from(header.height_pixels));
    let turned_bytes = if exif == ExifOrientation::Apply { 3 } else { 0 };
    let stored_bytes = if header.components == 4 { 4 } else { 0 };
    let pixels = u64::from(width) * u64::from(height);
    limits.check_bytes(height, width, pixels * (3 + stored_bytes + turned_bytes) + header.coefficient_bytes())?;
    Limits::check_work(header.scans(), pixels, "scans")?;
    let stored = match decompress(bytes, &header) {
        Ok(pixels) => pixels,
        Err(Complaint::Error(message)) => return Err(libjpeg_says(&message)),
        Err(Complaint::Warning { .. }) => tolerance::pixels_despite_warning(&header)?,
    };
    let rgb = if header.components == 4 { cmyk::to_rgb(&stored) } else { stored };
    let image = RgbImage::new(height, width, rgb)?;
    match exif {
        ExifOrientation::Ignore => Ok(image),
        ExifOrientation::Apply => Ok(orientation::apply(image, orientation_of(&header)?)),
    }
}

/// What the APP1 segments name. A long EXIF block is spread over several of them.
fn orientation_of(header: &Header) -> Result<Orientation, ImageError> {
    let (mut exif, mut xmp) = (None, None);
    for payload in header.app1() {
        if let Some(part) = payload.strip_prefix(b"Exif\0\0") {
            exif.get_or_insert_with(Vec::new).extend_from_slice(part);
        } else if let Some(text) = payload.strip_prefix(b"http://ns.adobe.com/xap/1.0/\0") {
            xmp = Some(text);
        }
    }
    let orientation = Sources { exif: exif.as_deref(), xmp, raw_profile: None }.orientation();
    // Without a resolution in the header PIL looks for one in EXIF. If it cannot read that, it does not look again, and
    // the image has no orientation (`_read_dpi_from_exif`).
    if header.has_resolution() { orientation } else { Ok(orientation.unwrap_or(Orientation::NONE)) }
}

/// Encodes an image, 4:2:0.
pub(super) fn encode(image: &RgbImage, quality: u8) -> Result<Vec<u8>, ImageError> {
    let (height, width) = (image.height_pixels() as usize, image.width_pixels() as usize);
    let pixels = Image { pixels: image.data(), width, pitch: width * 3, height, format: PixelFormat::RGB };
    let encode = || {
        let mut compressor = Compressor::new()?;
        compressor.set_quality(i32::from(quality))?;
        compressor.set_subsamp(Subsamp::Sub2x2)?;
        compressor.compress_to_vec(pixels)
    };
    encode().map_err(|error: turbojpeg::Error| libjpeg_says(&error.to_string()))
}

/// What `TurboJPEG` calls an error.
enum Complaint {
    /// The scan was decoded all the same, unless the warning concerned the header. libjpeg tells the first one only.
    Warning { message: String, pixels: Vec<u8> },
    /// There are no pixels, or not all.
    Error(String),
}

/// How libjpeg's warnings begin: all texts `JWRN_*` of `jerror.h`. None of its errors begins like that, and an error
/// overwrites the text of an earlier warning. (`tj3GetErrorCode` would tell them apart, but the crate hides it.)
const WARNINGS: [&str; 7] = [
    "Application transferred too many scanlines",
    "Corrupt JPEG data: ",
    "Inconsistent progression sequence for component ",
    "Invalid SOS parameters for sequential JPEG",
    "Premature end of JPEG file",
    "Unknown Adobe color transform code ",
    "Warning: ",
];

/// Decodes to RGB, or to CMYK as it is stored when there are four components.
///
/// The defaults of `TurboJPEG` are those of PIL: accurate DCT, fancy upsampling, block smoothing.
fn decompress(jpeg: &[u8], header: &Header) -> Result<Vec<u8>, Complaint> {
    let format = if header.components == 4 { PixelFormat::CMYK } else { PixelFormat::RGB };
    let (width, height) = (usize::from(header.width_pixels), usize::from(header.height_pixels));
    let mut pixels = vec![0; width * height * format.size()];
    let image = Image { pixels: pixels.as_mut_slice(), width, pitch: width * format.size(), height, format };
    let verdict = Decompressor::new().and_then(|mut decompressor| decompressor.decompress(jpeg, image));
    let message = match verdict {
        Ok(()) => return Ok(pixels),
        Err(turbojpeg::Error::TurboJpegError(message)) => message,
        Err(other) => other.to_string(),
    };
    let is_warning = WARNINGS.iter().any(|start| message.starts_with(start));
    Err(if is_warning { Complaint::Warning { message, pixels } } else { Complaint::Error(message) })
}

fn libjpeg_says(message: &str) -> ImageError {
    broken(format!("libjpeg says: {message}"))
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
    fn whole_files_are_read() {
        for progressive in [false, true] {
            let image = crate::labelling::pixels::decode(&sample(progressive), ExifOrientation::Ignore).unwrap();
            assert_eq!((image.width_pixels(), image.height_pixels()), (40, 24));
        }
    }

    #[test]
    fn junk_after_the_end_does_not_matter() {
        let plain = sample(false);
        for junk in [b"\0\0\0".as_slice(), b"\xff\xd9", b"\xff\xd8\xff\xe0"] {
            assert_eq!(rgb(&[&plain, junk].concat()), rgb(&plain));
        }
    }

    #[test]
    fn libjpeg_errors_are_told() {
        let mut no_tables = sample(false);
        let at = no_tables.windows(2).position(|pair| pair == [0xff, 0xdb]).unwrap();
        no_tables[at + 1] = 0xfe;
        let error = rgb(&no_tables).unwrap_err();
        assert!(error.reason.starts_with("libjpeg says: Quantization table"), "{error}");
    }

    #[test]
    fn size_is_judged_before_decoding() {
        let mut huge = sample(false);
        let at = huge.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
        huge[at + 5..at + 9].copy_from_slice(&[0x4e, 0x20, 0x4e, 0x20]);
        assert_eq!(rgb(&huge).unwrap_err().kind, crate::shared::error::ImageErrorKind::TooLarge);
    }
}
