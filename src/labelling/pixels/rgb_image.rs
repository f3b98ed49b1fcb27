//! Decoded images.

use relabel_resize::{Filter, PixelBox, Sides, resize_part_rgb8, resize_rgb8};

use super::image_error::broken;
use super::pixel_crop::PixelCrop;
use crate::shared::error::ImageError;
use crate::shared::geometry::{InputSize, UnitBox};

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

    /// Cuts out a crop and resizes it to `size`, into `out`, `[y, x, channel]` u8: PIL's `crop` and then `resize`, so no pixel
    /// outside of the crop has an effect.
    ///
    /// # Errors
    /// Returns an error if the crop is one of an image of a different size.
    ///
    /// # Panics
    /// Panics if `out` is not `size.rgb_bytes()` long.
    pub fn resize_crop(
        &self,
        crop: &PixelCrop,
        size: InputSize,
        filter: Filter,
        out: &mut [u8],
    ) -> Result<(), ImageError> {
        assert_eq!(out.len(), size.rgb_bytes(), "buffer for {size} RGB pixels");
        let [height, width] = crop.image_pixels();
        if [height, width] != [self.height_pixels(), self.width_pixels()] {
            let (image_height, image_width) = (self.height_pixels(), self.width_pixels());
            return Err(broken(format!(
                "a crop of an image of {height}x{width} pixels, not {image_height}x{image_width}"
            )));
        }
        let [x0, y0, x1, y1] = crop.sides();
        let part = self.cropped(y0, x0, y1 - y0, x1 - x0)?;
        let to = Sides { height_pixels: size.height_pixels(), width_pixels: size.width_pixels() };
        resize_rgb8(&part.data, part.sides, out, to, filter).map_err(|error| broken(error.to_string()))
    }

    /// Resizes the part of the image in `unit_box` to `size`, into `out`, `[y, x, channel]` u8: PIL's `resize` with `box`. The sides
    /// of the box may be between two pixels, and pixels around it have an effect as far as the filter reaches.
    ///
    /// # Errors
    /// Returns an error if the box extends past the image, or is so narrow that it is empty in PIL's float32.
    ///
    /// # Panics
    /// Panics if `out` is not `size.rgb_bytes()` long.
    pub fn resize_part(
        &self,
        unit_box: UnitBox,
        size: InputSize,
        filter: Filter,
        out: &mut [u8],
    ) -> Result<(), ImageError> {
        assert_eq!(out.len(), size.rgb_bytes(), "buffer for {size} RGB pixels");
        let (width, height) = (f64::from(self.width_pixels()), f64::from(self.height_pixels()));
        let [x0, y0, x1, y1] = unit_box.sides();
        let part = PixelBox { left: x0 * width, top: y0 * height, right: x1 * width, bottom: y1 * height };
        let to = Sides { height_pixels: size.height_pixels(), width_pixels: size.width_pixels() };
        resize_part_rgb8(&self.data, self.sides, part, out, to, filter).map_err(|error| broken(error.to_string()))
    }

    /// Returns the part of the image that starts at row `top` and column `left`.
    ///
    /// # Errors
    /// Returns an error if the part is empty or extends past the image.
    pub fn cropped(&self, top: u32, left: u32, height_pixels: u32, width_pixels: u32) -> Result<Self, ImageError> {
        let ends = (top.checked_add(height_pixels), left.checked_add(width_pixels));
        let (Some(bottom), Some(right)) = ends else { return Err(broken("the crop is too large".to_owned())) };
        if bottom > self.sides.height_pixels || right > self.sides.width_pixels {
            let Sides { height_pixels: rows, width_pixels: columns } = self.sides;
            return Err(broken(format!("a crop that ends at {bottom}x{right} in an image of {rows}x{columns} pixels")));
        }
        let row_bytes = self.sides.width_pixels as usize * 3;
        let mut data = Vec::with_capacity(height_pixels as usize * width_pixels as usize * 3);
        for row in self.data.chunks_exact(row_bytes).skip(top as usize).take(height_pixels as usize) {
            data.extend_from_slice(&row[left as usize * 3..right as usize * 3]);
        }
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
    fn a_crop_is_resized_without_the_pixels_around_it() {
        let data: Vec<u8> = (0..4 * 5).flat_map(|at| [at, at + 100, 7]).collect();
        let image = RgbImage::new(4, 5, data).unwrap();
        let cut = |sides: [u32; 4], height: u32, width: u32| {
            let size = InputSize::new(height, width).unwrap();
            let mut out = vec![0; size.rgb_bytes()];
            let crop = PixelCrop::new([4, 5], sides).unwrap();
            image.resize_crop(&crop, size, Filter::Bilinear, &mut out).unwrap();
            out
        };
        assert_eq!(cut([1, 2, 3, 3], 1, 2), [11, 111, 7, 12, 112, 7]);
        assert_eq!(cut([0, 1, 5, 2], 1, 5), image.data[15..30]);
        assert_eq!(cut([2, 1, 3, 2], 3, 3), [7, 107, 7].repeat(9));
        let other = PixelCrop::new([4, 6], [0, 0, 1, 1]).unwrap();
        let refused = image.resize_crop(&other, InputSize::new(1, 1).unwrap(), Filter::Box, &mut [0; 3]).unwrap_err();
        assert!(refused.reason.contains("4x6 pixels, not 4x5"), "{refused}");
    }

    #[test]
    fn a_part_is_resized_with_the_pixels_around_it() {
        let image = RgbImage::new(1, 4, [0, 0, 100, 200].iter().flat_map(|&value| [value; 3]).collect()).unwrap();
        let part = |x0: f64, x1: f64, filter: Filter| {
            let mut out = [0; 6];
            let unit_box = UnitBox::new(x0, 0.0, x1, 1.0).unwrap();
            image.resize_part(unit_box, InputSize::new(1, 2).unwrap(), filter, &mut out).map(|()| [out[0], out[3]])
        };
        assert_eq!(part(0.5, 1.0, Filter::Bilinear), Ok([100, 200]), "the part has the size of the output");
        assert_eq!(part(0.5, 0.75, Filter::Bilinear), Ok([75, 125]), "the neighbours have a weight of a quarter");
        assert_eq!(part(0.375, 0.875, Filter::Bilinear), Ok([50, 150]), "the part begins between two pixels");
        assert_eq!(part(0.0, 1.0, Filter::Box), Ok([0, 150]));
        for (x0, x1) in [(-0.25, 0.5), (0.5, 1.25)] {
            let reason = part(x0, x1, Filter::Nearest).unwrap_err().reason;
            assert!(reason.contains("of an image of 1x4 pixels is empty or extends past it"), "{reason}");
        }
    }

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

    #[test]
    fn a_crop_has_the_pixels_of_its_place() {
        let image = RgbImage::new(3, 4, (0..36).collect()).unwrap();
        let crop = image.cropped(1, 2, 2, 1).unwrap();
        assert_eq!(
            (crop.sides.height_pixels, crop.sides.width_pixels, crop.data()),
            (2, 1, &[18, 19, 20, 30, 31, 32][..])
        );
        for [top, left, height, width] in [[0, 0, 4, 4], [0, 4, 1, 1], [0, 0, 0, 1], [u32::MAX, 0, 1, 1]] {
            assert!(image.cropped(top, left, height, width).is_err());
        }
    }
}
