//! From marker to marker through the header of a JPEG.

use crate::labelling::pixels::{broken, truncated};
use crate::shared::error::ImageError;

/// The bytes that were not read yet.
pub(super) struct Rest<'a>(pub(super) &'a [u8]);

impl<'a> Rest<'a> {
    /// The code of the next marker; what stands before it is passed over.
    pub(super) fn next_marker(&mut self) -> Result<u8, ImageError> {
        loop {
            while self.byte()? != 0xff {}
            let mut code = self.byte()?;
            while code == 0xff {
                code = self.byte()?;
            }
            match code {
                0 => {}
                0xc0..=0xfe => return Ok(code),
                _ => return Err(broken(format!("no marker: ff {code:02x}"))),
            }
        }
    }

    /// The segment that follows a marker, without its two bytes of length.
    pub(super) fn segment(&mut self) -> Result<&'a [u8], ImageError> {
        let length = u16::from_be_bytes([self.byte()?, self.byte()?]);
        // A length that does not even count itself: libjpeg will judge.
        let (payload, rest) = self.0.split_at_checked(usize::from(length).saturating_sub(2)).ok_or_else(in_header)?;
        self.0 = rest;
        Ok(payload)
    }

    fn byte(&mut self) -> Result<u8, ImageError> {
        let (&byte, rest) = self.0.split_first().ok_or_else(in_header)?;
        self.0 = rest;
        Ok(byte)
    }
}

fn in_header() -> ImageError {
    truncated("it ends before its first scan".to_owned())
}

/// Markers without a segment, which PIL steps over: its table `MARKER` has no handler for them.
pub(super) fn is_bare(marker: u8) -> bool {
    matches!(marker, 0xc8 | 0xd0..=0xd9 | 0xf0..=0xfd)
}

/// Start of a frame: `SOF0`..`SOF15` and `DHP`.
pub(super) fn is_frame(marker: u8) -> bool {
    matches!(marker, 0xc0..=0xcf | 0xde) && !matches!(marker, 0xc4 | 0xc8 | 0xcc)
}
