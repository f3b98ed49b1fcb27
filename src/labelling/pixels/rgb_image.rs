//! Decoded images.

use relabel_resize::{Filter, Sides, resize_rgb8};

use super::image_error::broken;
use crate::shared::error::ImageError;

/// The filter of [`RgbImage::shrunk`].
pub(super) const SHRINKING_FILTER: Filter = Filter::Lanczos;

/// An 8-bit RGB image, `[y, x, channel]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RgbImage {
    pub(super) sides: Sides,
    pub(super) data: Vec<u8>,
}

impl RgbImage {
    pub(super) fn new(height_pixels: u32, width_pixels: u32, data: Vec<u8>) -> Result<Self, ImageError> {
        let expected = u64::from(height_pixels) * u64::from(width_pixels) * 3;
        if data.len() as u64 != expected || expected == 0 {
            return Err(broken(format!("got {} bytes for {height_pixels}x{width_pixels} pixels", data.len())));
        }
        Ok(Self { sides: Sides { height_pixels, width_pixels }, data })
    }

    /// Height in pixels.
    #[must_use]
    pub fn height_pixels(&self) -> u32 {
        self.sides.height_pixels
    }

    /// Width in pixels.
    #[must_use]
    pub fn width_pixels(&self) -> u32 {
        self.sides.width_pixels
    }

    /// Resizes the image, without keeping the aspect ratio.
    ///
    /// # Errors
    /// Returns an error if a side is 0 or the image is too large to be resized.
    pub fn resized(&self, height_pixels: u32, width_pixels: u32, filter: Filter) -> Result<Self, ImageError> {
        let sides = Sides { height_pixels, width_pixels };
        let mut data = vec![0; height_pixels as usize * width_pixels as usize * 3];
        resize_rgb8(&self.data, self.sides, &mut data, sides, filter).map_err(|error| broken(error.to_string()))?;
        Self::new(height_pixels, width_pixels, data)
    }

    /// Pixels, `[y, x, channel]`.
    #[must_use]
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// Shrinks the image so that its longer side is at most `side_pixels`, keeping the aspect ratio. Smaller images are not
    /// enlarged.
    ///
    /// # Errors
    /// Returns an error if `side_pixels` is 0.
    pub fn shrunk(self, side_pixels: u32) -> Result<Self, ImageError> {
        let Sides { height_pixels, width_pixels } = self.sides;
        let longer = height_pixels.max(width_pixels);
        if longer <= side_pixels {
            return Ok(self);
        }
        let scaled = |side: u32| {
            let rounded = (u64::from(side) * u64::from(side_pixels) + u64::from(longer) / 2) / u64::from(longer);
            (rounded as u32).max(1)
        };
        self.resized(scaled(height_pixels), scaled(width_pixels), SHRINKING_FILTER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shrinking_keeps_the_aspect_ratio_and_never_enlarges() {
        let image = |height: u32, width: u32| {
            RgbImage::new(height, width, vec![90; height as usize * width as usize * 3]).unwrap()
        };
        let sides = |image: RgbImage| (image.height_pixels(), image.width_pixels());
        assert_eq!(sides(image(300, 400).shrunk(100).unwrap()), (75, 100));
        assert_eq!(sides(image(40, 30).shrunk(100).unwrap()), (40, 30));
        assert_eq!(sides(image(3, 2000).shrunk(100).unwrap()), (1, 100));
        assert_eq!(sides(image(300, 400).shrunk(1).unwrap()), (1, 1));
    }
}
