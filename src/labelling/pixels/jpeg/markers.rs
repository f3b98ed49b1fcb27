//! Markers and segments of a JPEG header.

use crate::labelling::pixels::image_error::{broken, truncated};
use crate::shared::error::ImageError;

/// The unread bytes of a file.
pub(super) struct Unread<'a>(pub(super) &'a [u8]);

impl<'a> Unread<'a> {
    /// Reads the code of the next marker, skipping bytes before it.
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
                _ => return Err(broken(format!("JPEG: invalid marker ff {code:02x}"))),
            }
        }
    }

    /// Reads the segment after a marker, without its two length bytes.
    pub(super) fn segment(&mut self) -> Result<&'a [u8], ImageError> {
        let length = u16::from_be_bytes([self.byte()?, self.byte()?]);
        // libjpeg checks lengths below 2.
        let (payload, rest) =
            self.0.split_at_checked(usize::from(length).saturating_sub(2)).ok_or_else(ends_in_header)?;
        self.0 = rest;
        Ok(payload)
    }

    fn byte(&mut self) -> Result<u8, ImageError> {
        let (&byte, rest) = self.0.split_first().ok_or_else(ends_in_header)?;
        self.0 = rest;
        Ok(byte)
    }
}

fn ends_in_header() -> ImageError {
    truncated("JPEG: unexpected end of file before the first scan")
}

/// Whether a marker has no segment. PIL skips these: its table `MARKER` has no handler for them.
pub(super) fn is_bare(marker: u8) -> bool {
    matches!(marker, 0xc8 | 0xd0..=0xd9 | 0xf0..=0xfd)
}

/// Whether a marker starts a frame: `SOF0`..`SOF15` and `DHP`.
pub(super) fn is_frame(marker: u8) -> bool {
    matches!(marker, 0xc0..=0xcf | 0xde) && !matches!(marker, 0xc4 | 0xc8 | 0xcc)
}
