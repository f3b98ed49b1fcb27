//! Damaged JPEGs that PIL accepts.
//!
//! PIL refuses a file as truncated if libjpeg needs a byte beyond its end before the last row is complete. `TurboJPEG` does
//! not report this, so the image is decoded again with a few bytes appended, chosen so that reading them is noticeable.
//! This depends on when libjpeg delivers rows:
//!
//! * **Several scans** (progressive, or one scan per component): rows come after the end-of-image marker. A further
//!   *start*-of-image marker is appended, which is an error for libjpeg if it found no end before.
//! * **One scan**: rows come while the scan is read, up to the next marker. If there is a marker, the scan cannot run out of
//!   bytes, and PIL ignores everything after the rows unless it is an error. If there is none, a zero byte and an
//!   end-of-image marker are appended: if the rows were complete before, libjpeg warns about extraneous bytes before that
//!   marker; if the scan needed the zero byte, it does not.
//!
//! Known limitation: a file of one scan without a marker after it, which PIL accepts if its rows happen to be complete. With
//! corrupt scan data, the corruption is the only warning that libjpeg reports; with restart markers, the search for the next
//! one warns like the search for the end. Such files are refused rather than decoded half gray.

use super::header::JpegHeader;
use super::{DecodeProblem, decompress, libjpeg_error};
use crate::labelling::pixels::image_error::truncated;
use crate::shared::error::ImageError;

/// Decodes a file that libjpeg warned about, like `decompress`.
///
/// Metadata is removed from the header, since `TurboJPEG` does not start the scan after a warning in the header.
///
/// # Errors
/// Returns an error if PIL refuses the file: truncated or broken.
pub(super) fn pixels_despite_warning(header: &JpegHeader) -> Result<Vec<u8>, ImageError> {
    let end = if header.has_several_scans() {
        // More of them than fit in the longest segment.
        [0xff, 0xd8].repeat(usize::from(u16::MAX))
    } else {
        vec![0x00, 0xff, 0xd9]
    };
    let mut probe = header.with_plain_metadata();
    probe.extend(end);
    match decompress(&probe, header) {
        Err(DecodeProblem::Error(message)) if message.starts_with(SECOND_START) => Err(no_end()),
        Err(DecodeProblem::Error(message)) => Err(libjpeg_error(&message)),
        Ok(pixels) if header.has_several_scans() || header.scan_ends_at_marker() => Ok(pixels),
        Ok(_) => Err(no_end()),
        Err(DecodeProblem::Warning { message, pixels }) => {
            let rows_complete = !header.has_restarts()
                && message.starts_with("Corrupt JPEG data: ")
                && message.ends_with(EXTRANEOUS_BYTES);
            if header.has_several_scans() || header.scan_ends_at_marker() || rows_complete {
                Ok(pixels)
            } else {
                Err(no_end())
            }
        }
    }
}

/// `JERR_SOI_DUPLICATE` of libjpeg's `jerror.h`.
const SECOND_START: &str = "Invalid JPEG file structure: two SOI markers";

/// `JWRN_EXTRANEOUS_DATA` of `jerror.h`, for the appended marker.
const EXTRANEOUS_BYTES: &str = " extraneous bytes before marker 0xd9";

fn no_end() -> ImageError {
    truncated("JPEG: unexpected end of file, no end-of-image marker")
}

#[cfg(test)]
mod tests {
    use super::super::tests::sample;
    use crate::labelling::pixels::ExifOrientation;
    use crate::shared::error::{ImageError, ImageErrorKind};

    fn rgb(bytes: &[u8]) -> Result<Vec<u8>, ImageError> {
        crate::labelling::pixels::decode(bytes, ExifOrientation::Ignore).map(|image| image.data)
    }

    #[test]
    fn missing_bytes_are_reported_as_truncation() {
        for progressive in [false, true] {
            let complete = sample(progressive);
            for missing in [20, 100, 200] {
                let error = rgb(&complete[..complete.len() - missing]).unwrap_err();
                assert_eq!(error.kind, ImageErrorKind::Truncated);
            }
        }
    }

    #[test]
    fn one_scan_needs_its_rows_and_several_scans_need_the_end() {
        let zeros_for_end = |complete: Vec<u8>| [&complete[..complete.len() - 2], &[0; 40]].concat();
        assert_eq!(rgb(&zeros_for_end(sample(false))), rgb(&sample(false)));
        assert_eq!(rgb(&zeros_for_end(sample(true))).unwrap_err().kind, ImageErrorKind::Truncated);
    }

    #[test]
    fn an_early_end_marker_leaves_the_rest_gray() {
        for progressive in [false, true] {
            let complete = sample(progressive);
            let early = [&complete[..complete.len() - 100], &[0xff, 0xd9]].concat();
            let (pixels, all) = (rgb(&early).unwrap(), rgb(&complete).unwrap());
            assert_eq!(pixels.len(), all.len());
            assert_ne!(pixels, all);
        }
    }

    #[test]
    fn warnings_in_the_header_are_ignored() {
        let plain = sample(false);
        let unknown_adobe = b"\xff\xee\0\x0eAdobe\0d\0\0\0\0\x07";
        let broken_icc = b"\xff\xe2\0\x14ICC_PROFILE\0\x03\x01\0\0\0\0";
        for odd in [b"junk".as_slice(), unknown_adobe, broken_icc] {
            let marked = [&plain[..20], odd, &plain[20..]].concat();
            assert_eq!(rgb(&marked), rgb(&plain), "{}", odd.escape_ascii());
        }
    }
}
