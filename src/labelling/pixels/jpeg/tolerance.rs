//! Which damaged JPEGs PIL still shows.
//!
//! PIL refuses a file as truncated when libjpeg asks for a byte beyond its end before the last row is out. `TurboJPEG`
//! does not say when that happens, so the picture is decoded again with a few bytes added at the end, chosen so that
//! reading them shows. How depends on when libjpeg delivers rows:
//!
//! * **Several scans** (progressive, or a scan for each component): rows come after the end-of-image marker. So a
//!   further *start*-of-image marker is added, which is an error for libjpeg: who gets there found no end.
//! * **One scan**: rows come as the scan is read, and it is read up to the next marker. Where there is one, the scan
//!   cannot run out of bytes, and what comes after the rows does not matter to PIL unless it is an error.
//!   Where there is none, a zero byte and an end-of-image marker are added: if the rows were complete before, libjpeg
//!   warns of extraneous bytes before that marker; if the scan needed the zero byte, it does not.
//!
//! Known remainder, where a file of one scan has no marker after it, and PIL shows it if its rows happen to be complete:
//! with corrupt scan data the corruption is the one warning that libjpeg tells, and with restart markers the search for
//! the next one warns like the search for the end. Such files are refused rather than shown half gray.

use super::header::Header;
use super::{Complaint, decompress, libjpeg_says};
use crate::labelling::pixels::truncated;
use crate::shared::error::ImageError;

/// The pixels of a file that libjpeg warned about, as `decompress` gives them.
///
/// The header is made plain, too: after a warning in the header `TurboJPEG` does not start on the scan.
///
/// # Errors
/// Where PIL refuses: truncated or broken.
pub(super) fn pixels_despite_warning(header: &Header) -> Result<Vec<u8>, ImageError> {
    let end = if header.has_several_scans() {
        // More of them than the longest segment can swallow.
        [0xff, 0xd8].repeat(usize::from(u16::MAX))
    } else {
        vec![0x00, 0xff, 0xd9]
    };
    let mut probe = header.with_plain_metadata();
    probe.extend(end);
    match decompress(&probe, header) {
        Err(Complaint::Error(message)) if message.starts_with(START_READ) => Err(no_end()),
        Err(Complaint::Error(message)) => Err(libjpeg_says(&message)),
        Ok(pixels) if header.has_several_scans() || header.scan_meets_marker() => Ok(pixels),
        Ok(_) => Err(no_end()),
        Err(Complaint::Warning { message, pixels }) => {
            let rows_complete = !header.has_restarts()
                && message.starts_with("Corrupt JPEG data: ")
                && message.ends_with(END_READ_AFTER_MORE);
            if header.has_several_scans() || header.scan_meets_marker() || rows_complete {
                Ok(pixels)
            } else {
                Err(no_end())
            }
        }
    }
}

/// `JERR_SOI_DUPLICATE` of libjpeg's `jerror.h`.
const START_READ: &str = "Invalid JPEG file structure: two SOI markers";

/// `JWRN_EXTRANEOUS_DATA` of `jerror.h`, for the marker that was added.
const END_READ_AFTER_MORE: &str = " extraneous bytes before marker 0xd9";

fn no_end() -> ImageError {
    truncated("it ends before its image does: there is no end-of-image marker".to_owned())
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
    fn missing_bytes_are_truncation() {
        for progressive in [false, true] {
            let whole = sample(progressive);
            for missing in [20, 100, 200] {
                let error = rgb(&whole[..whole.len() - missing]).unwrap_err();
                assert_eq!(error.kind, ImageErrorKind::Truncated);
            }
        }
    }

    #[test]
    fn rows_count_in_one_scan_and_the_end_in_several() {
        let zeros_for_end = |whole: Vec<u8>| [&whole[..whole.len() - 2], &[0; 40]].concat();
        assert_eq!(rgb(&zeros_for_end(sample(false))), rgb(&sample(false)));
        assert_eq!(rgb(&zeros_for_end(sample(true))).unwrap_err().kind, ImageErrorKind::Truncated);
    }

    #[test]
    fn an_early_end_marker_leaves_the_rest_gray() {
        for progressive in [false, true] {
            let whole = sample(progressive);
            let early = [&whole[..whole.len() - 100], &[0xff, 0xd9]].concat();
            let (pixels, all) = (rgb(&early).unwrap(), rgb(&whole).unwrap());
            assert_eq!(pixels.len(), all.len());
            assert_ne!(pixels, all);
        }
    }

    #[test]
    fn warnings_in_the_header_do_not_matter() {
        let plain = sample(false);
        let unknown_adobe = b"\xff\xee\0\x0eAdobe\0d\0\0\0\0\x07";
        let broken_icc = b"\xff\xe2\0\x14ICC_PROFILE\0\x03\x01\0\0\0\0";
        for odd in [b"junk".as_slice(), unknown_adobe, broken_icc] {
            let marked = [&plain[..20], odd, &plain[20..]].concat();
            assert_eq!(rgb(&marked), rgb(&plain), "{}", odd.escape_ascii());
        }
    }
}
