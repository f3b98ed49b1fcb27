//! The decoder: detects the format, decodes within limits, and resizes.

use std::panic::{AssertUnwindSafe, catch_unwind};

use relabel_resize::{Filter, Sides, resize_rgb8};

use super::budget::{IMAGE_BYTES, MemoryBudget, Reservation};
use super::image_error::broken;
use super::limits::DecodeLimits;
use super::orientation::ExifOrientation;
use super::rgb_image::{RgbImage, SHRINKING_FILTER};
use super::sniff::{self, ImageFormat};
use super::{bmp_file, gif_file, jpeg, png_file, pnm_file, tiff_file, webp_file};
use crate::shared::error::ImageError;
use crate::shared::geometry::{InputSize, UnitBox};

/// The inputs of the teacher that are made of one image: the entire image, then each tile.
#[derive(Clone, Copy, Debug)]
pub struct InputLevels<'a> {
    /// Size of each.
    pub size: InputSize,
    /// Filter of the resize.
    pub filter: Filter,
    /// Parts of the image.
    pub tiles: &'a [UnitBox],
}

impl InputLevels<'_> {
    /// Bytes of the inputs of one image, one after the other, `[level, y, x, channel]` u8.
    #[must_use]
    pub fn rgb_bytes(&self) -> usize {
        (1 + self.tiles.len()) * self.size.rgb_bytes()
    }
}

/// Decodes images within a memory budget, which all threads that use the decoder share. An image that needs more than the
/// limit per image is refused; one that needs more than is free waits.
#[derive(Clone, Debug)]
pub struct Decoder {
    budget: MemoryBudget,
}

impl Default for Decoder {
    /// A decoder for one thread, with [`IMAGE_BYTES`] per image.
    fn default() -> Self {
        Self::new(IMAGE_BYTES, 1)
    }
}

impl Decoder {
    /// Creates a decoder for `threads` threads. Decoding and resizing one image may take at most `image_bytes` of memory (tests `hostile_images::a_run_over_hostile_images_stays_within_memory_and_time`,
    /// `pixels::budget::tests::threads_together_never_hold_more_than_the_budget`).
    #[must_use]
    pub fn new(image_bytes: u64, threads: usize) -> Self {
        Self { budget: MemoryBudget::new(image_bytes, threads) }
    }

    /// Waits until memory for a file of `bytes` is free, and reserves it until the result is dropped.
    #[must_use]
    pub fn reserve_for_file(&self, bytes: u64) -> Reservation {
        self.budget.file(bytes)
    }

    /// Decodes a file like PIL's `convert("RGB")`. The format is determined by the bytes, not by the file name.
    ///
    /// # Errors
    /// Returns an error if PIL refuses the file (empty, not an image, truncated, broken, or more than [`MAX_PIXELS`](super::MAX_PIXELS) pixels),
    /// or if decoding takes more memory or work than allowed.
    pub fn decode(&self, bytes: &[u8], exif: ExifOrientation) -> Result<RgbImage, ImageError> {
        catching_panics(|| decode_within(bytes, exif, &DecodeLimits::new(&self.budget, None)))
    }

    /// Decodes a file and resizes the entire image to `size`, without cropping or keeping the aspect ratio, into `out`,
    /// `[y, x, channel]` u8.
    ///
    /// # Errors
    /// See [`Decoder::decode`].
    ///
    /// # Panics
    /// Panics if `out` is not `size.rgb_bytes()` long.
    pub fn decode_into(
        &self,
        bytes: &[u8],
        exif: ExifOrientation,
        size: InputSize,
        filter: Filter,
        out: &mut [u8],
    ) -> Result<(), ImageError> {
        let levels = InputLevels { size, filter, tiles: &[] };
        self.decode_levels_into(bytes, exif, &levels, out, &|_| {}).map(|_| ())
    }

    /// Decodes a file once and resizes the entire image and each tile, into `out`, `[level, y, x, channel]` u8. Calls
    /// `before_grant` with the number of bytes before the image gets them. Returns the height and width of the decoded image.
    ///
    /// # Errors
    /// See [`Decoder::decode`]. Also returns an error if a tile extends past the image.
    ///
    /// # Panics
    /// Panics if `out` is not `levels.rgb_bytes()` long.
    pub fn decode_levels_into(
        &self,
        bytes: &[u8],
        exif: ExifOrientation,
        levels: &InputLevels<'_>,
        out: &mut [u8],
        before_grant: &dyn Fn(u64),
    ) -> Result<(u32, u32), ImageError> {
        let InputLevels { size, filter, tiles } = *levels;
        assert_eq!(out.len(), levels.rgb_bytes(), "buffer for {} times {size} RGB pixels", 1 + tiles.len());
        let to = Sides { height_pixels: size.height_pixels(), width_pixels: size.width_pixels() };
        catching_panics(|| {
            // Resizing a tile takes no more memory than resizing the entire image.
            let limits = DecodeLimits::new(&self.budget, Some((to, filter))).with_callback(before_grant);
            let image = decode_within(bytes, exif, &limits)?;
            let (entire, parts) = out.split_at_mut(size.rgb_bytes());
            resize_rgb8(&image.data, image.sides, entire, to, filter).map_err(|error| broken(error.to_string()))?;
            for (&tile, part) in tiles.iter().zip(parts.chunks_exact_mut(size.rgb_bytes())) {
                image.resize_part(tile, size, filter, part)?;
            }
            Ok((image.height_pixels(), image.width_pixels()))
        })
    }

    /// Decodes a file and calls `work` with the image. The memory for the image, for the copy of one crop and for resizing
    /// it to `size` stays reserved meanwhile.
    ///
    /// # Errors
    /// Returns the errors of [`Decoder::decode`] and of `work`.
    pub fn decode_for_crops<T>(
        &self,
        bytes: &[u8],
        exif: ExifOrientation,
        size: InputSize,
        filter: Filter,
        work: impl FnOnce(&RgbImage) -> Result<T, ImageError>,
    ) -> Result<T, ImageError> {
        let to = Sides { height_pixels: size.height_pixels(), width_pixels: size.width_pixels() };
        catching_panics(|| {
            let limits = DecodeLimits::new(&self.budget, Some((to, filter))).for_crops();
            let image = decode_within(bytes, exif, &limits)?;
            work(&image)
        })
    }

    /// Decodes a file and shrinks the image so that its longer side is at most `side_pixels`, keeping the aspect ratio. Also
    /// returns the original height and width in pixels.
    ///
    /// # Errors
    /// See [`Decoder::decode`].
    pub fn decode_shrunk(
        &self,
        bytes: &[u8],
        exif: ExifOrientation,
        side_pixels: u32,
    ) -> Result<(RgbImage, (u32, u32)), ImageError> {
        let to = Sides { height_pixels: side_pixels, width_pixels: side_pixels };
        catching_panics(|| {
            let limits = DecodeLimits::new(&self.budget, Some((to, SHRINKING_FILTER)));
            let image = decode_within(bytes, exif, &limits)?;
            let size = (image.height_pixels(), image.width_pixels());
            Ok((image.shrunk(side_pixels)?, size))
        })
    }
}

/// Decodes one file with [`Decoder::default`].
///
/// # Errors
/// See [`Decoder::decode`].
pub fn decode(bytes: &[u8], exif: ExifOrientation) -> Result<RgbImage, ImageError> {
    Decoder::default().decode(bytes, exif)
}

/// Decodes and resizes one file with [`Decoder::default`].
///
/// # Errors
/// See [`Decoder::decode`].
///
/// # Panics
/// See [`Decoder::decode_into`].
pub fn decode_into(
    bytes: &[u8],
    exif: ExifOrientation,
    size: InputSize,
    filter: Filter,
    out: &mut [u8],
) -> Result<(), ImageError> {
    Decoder::default().decode_into(bytes, exif, size, filter, out)
}

fn decode_within(bytes: &[u8], exif: ExifOrientation, limits: &DecodeLimits) -> Result<RgbImage, ImageError> {
    match sniff::detect_format(bytes)? {
        ImageFormat::Jpeg => jpeg::decode(bytes, exif, limits),
        ImageFormat::Png => png_file::decode(bytes, exif, limits),
        ImageFormat::WebP => webp_file::decode(bytes, exif, limits),
        ImageFormat::Gif => gif_file::decode(bytes, limits),
        ImageFormat::Bmp => bmp_file::decode(bytes, limits),
        // PIL applies the orientation of every TIFF (`TiffImageFile.load_end`).
        ImageFormat::Tiff => tiff_file::decode(bytes, limits),
        ImageFormat::Pnm => pnm_file::decode(bytes, limits),
    }
}

/// Turns a panic of a decoder into an error of its image.
fn catching_panics<T>(decode: impl FnOnce() -> Result<T, ImageError>) -> Result<T, ImageError> {
    catch_unwind(AssertUnwindSafe(decode)).unwrap_or_else(|_| Err(broken("the decoder panicked")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_entire_image_and_its_tiles_are_resized_one_after_the_other() {
        // 2x4 pixels, the columns 0, 50, 100 and 150.
        let ppm = [b"P6 4 2 255\n".as_slice(), &[0, 50, 100, 150].map(|value| [value; 3]).concat().repeat(2)].concat();
        let right = UnitBox::new(0.5, 0.0, 1.0, 1.0).unwrap();
        let middle = UnitBox::new(0.25, 0.5, 0.75, 1.0).unwrap();
        let decoded = |tiles: &[UnitBox], decoder: &Decoder| {
            let levels = InputLevels { size: InputSize::new(1, 2).unwrap(), filter: Filter::Box, tiles };
            let mut out = vec![0; levels.rgb_bytes()];
            let sides = decoder.decode_levels_into(&ppm, ExifOrientation::Ignore, &levels, &mut out, &|_| {});
            sides.map(|sides| (sides, out.chunks_exact(3).map(|pixel| pixel[0]).collect::<Vec<_>>()))
        };
        let decoder = Decoder::default();
        assert_eq!(decoded(&[], &decoder), Ok(((2, 4), vec![25, 125])));
        assert_eq!(decoded(&[right, middle], &decoder), Ok(((2, 4), vec![25, 125, 100, 150, 50, 100])));
        let outside = UnitBox::new(0.5, 0.5, 1.5, 1.0).unwrap();
        assert!(decoded(&[right, outside], &decoder).unwrap_err().reason.contains("extends past it"));
        assert!(decoded(&[right], &Decoder::new(20, 1)).unwrap_err().reason.contains("the limit is 20"));
    }
}
