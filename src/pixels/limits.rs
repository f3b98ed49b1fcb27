//! What is refused for its size, before anything is allocated for it.

use super::MAX_PIXELS;
use crate::error::{ImageError, ImageErrorKind};

/// The largest image that is decoded. Every decoder asks before it allocates anything that grows with the image.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Pixels of the whole image.
    pub(super) max_pixels: u64,
    /// Bytes that decoding may allocate, working buffers included.
    pub(super) max_bytes: u64,
}

impl Limits {
    /// PIL's: twice `Image.MAX_IMAGE_PIXELS`, and no limit of bytes.
    pub(super) const PIL: Self = Self { max_pixels: MAX_PIXELS, max_bytes: u64::MAX };

    /// Checks an image that needs `bytes_per_pixel` while it is decoded. Without pixels it is refused, too.
    ///
    /// # Errors
    /// Returns [`ImageErrorKind::TooLarge`] above either limit, [`ImageErrorKind::Broken`] for a side of 0 pixels.
    pub(super) fn check(self, height: u32, width: u32, bytes_per_pixel: u64) -> Result<(), ImageError> {
        let pixels = u64::from(height) * u64::from(width);
        let too_large = |limit: String| ImageError {
            kind: ImageErrorKind::TooLarge,
            reason: format!("{height}x{width} pixels; {limit}"),
        };
        if pixels == 0 {
            return Err(super::broken(format!("size {height}x{width} pixels")));
        }
        if pixels > self.max_pixels {
            return Err(too_large(format!("PIL refuses more than {} as a decompression bomb", self.max_pixels)));
        }
        if pixels.saturating_mul(bytes_per_pixel) > self.max_bytes {
            return Err(too_large(format!("decoding needs more than {} bytes", self.max_bytes)));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixels_and_bytes_are_limited() {
        let limits = Limits { max_pixels: 100, max_bytes: 150 };
        assert!(limits.check(10, 5, 3).is_ok());
        for (height, width, kind) in [
            (10, 11, ImageErrorKind::TooLarge),
            (10, 6, ImageErrorKind::TooLarge),
            (0, 6, ImageErrorKind::Broken),
            (u32::MAX, u32::MAX, ImageErrorKind::TooLarge),
        ] {
            assert_eq!(limits.check(height, width, 3).unwrap_err().kind, kind, "{height}x{width}");
        }
    }
}
