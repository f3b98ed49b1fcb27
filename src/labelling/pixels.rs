//! Bytes of an image file to the pixels that a teacher sees, equal to what PIL makes of them:
//! `Image.open(file).convert("RGB")`, then `resize`. Pure functions; what PIL refuses is an error here too.

mod sniff;
mod budget;
mod limits;
mod file_bytes;
mod samples;
mod cmyk;
mod jpeg;
mod png_file;
mod webp_file;
mod gif_file;
mod bmp_file;
mod tiff_file;
mod pnm_file;
mod exif;
mod orientation;

use std::panic::{AssertUnwindSafe, catch_unwind};

use relabel_resize::{Sides, resize_rgb8};
use serde::{Deserialize, Serialize};

pub use budget::{IMAGE_BYTES, Reservation};
pub use relabel_resize::Filter;

use crate::shared::error::{ImageError, ImageErrorKind};
use crate::shared::geometry::InputSize;
use budget::Budget;
use limits::Limits;
use sniff::Format;

/// Decodes images within a budget of memory, which all threads that use one decoder share: an image that needs more than
/// it may take is refused, and one that needs more than is free right now waits.
#[derive(Clone, Debug)]
pub struct Decoder {
    budget: Budget,
}

impl Default for Decoder {
    /// A decoder for one thread, with [`IMAGE_BYTES`] for an image.
    fn default() -> Self {
        Self::new(IMAGE_BYTES, 1)
    }
}

impl Decoder {
    /// A decoder for `threads` threads, each image of which may take at most `image_bytes` of memory while it is decoded
    /// and resized (tests `hostile_images::a_run_over_hostile_images_stays_within_memory_and_time`,
    /// `pixels::budget::tests::threads_together_never_hold_more_than_the_budget`).
    #[must_use]
    pub fn new(image_bytes: u64, threads: usize) -> Self {
        Self { budget: Budget::new(image_bytes, threads) }
    }

    /// Waits until memory for a file of so many bytes is free, and keeps it reserved as long as what is returned.
    #[must_use]
    pub fn room_for_file(&self, bytes: u64) -> Reservation {
        self.budget.file(bytes)
    }

    /// Decodes a file as PIL's `convert("RGB")` shows it. The format is told by the bytes, never by the file's name.
    ///
    /// # Errors
    /// Returns an error for what PIL refuses: empty files, files that are not images, truncated and broken ones, and more
    /// than [`MAX_PIXELS`] pixels; and for images that take more memory or work than is allowed.
    pub fn decode(&self, bytes: &[u8], exif: ExifOrientation) -> Result<RgbImage, ImageError> {
        guarded(|| decode_within(bytes, exif, &Limits::new(&self.budget, None)))
    }

    /// Decodes a file and squashes the whole image to `size`: no crop, the aspect ratio is not kept.
    /// The result goes into `out`, `[y, x, channel]` u8.
    ///
    /// # Errors
    /// As [`Decoder::decode`].
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
        self.decode_into_noting(bytes, exif, size, filter, out, &|_| {})
    }

    /// As [`Decoder::decode_into`]. `granted` is told how many bytes the image may take, before it takes them.
    pub(crate) fn decode_into_noting(
        &self,
        bytes: &[u8],
        exif: ExifOrientation,
        size: InputSize,
        filter: Filter,
        out: &mut [u8],
        granted: &dyn Fn(u64),
    ) -> Result<(), ImageError> {
        assert_eq!(out.len(), size.rgb_bytes(), "room for {size} RGB pixels");
        let to = Sides { height_pixels: size.height_pixels(), width_pixels: size.width_pixels() };
        guarded(|| {
            let limits = Limits::new(&self.budget, Some((to, filter))).telling(granted);
            let image = decode_within(bytes, exif, &limits)?;
            resize_rgb8(&image.data, image.sides, out, to, filter).map_err(broken)
        })
    }

    /// Decodes a file and shrinks the image to a longer side of at most `side_pixels`, its aspect ratio kept. Returns it
    /// with the height and width in pixels that it had.
    ///
    /// # Errors
    /// As [`Decoder::decode`].
    pub fn decode_shrunk(
        &self,
        bytes: &[u8],
        exif: ExifOrientation,
        side_pixels: u32,
    ) -> Result<(RgbImage, (u32, u32)), ImageError> {
        let to = Sides { height_pixels: side_pixels, width_pixels: side_pixels };
        guarded(|| {
            let limits = Limits::new(&self.budget, Some((to, SHRINKING)));
            let image = decode_within(bytes, exif, &limits)?;
            let size = (image.height_pixels(), image.width_pixels());
            Ok((image.shrunk(side_pixels)?, size))
        })
    }
}

/// Decodes one file with [`Decoder::default`].
///
/// # Errors
/// As [`Decoder::decode`].
pub fn decode(bytes: &[u8], exif: ExifOrientation) -> Result<RgbImage, ImageError> {
    Decoder::default().decode(bytes, exif)
}

/// Decodes and resizes one file with [`Decoder::default`].
///
/// # Errors
/// As [`Decoder::decode`].
///
/// # Panics
/// As [`Decoder::decode_into`].
pub fn decode_into(
    bytes: &[u8],
    exif: ExifOrientation,
    size: InputSize,
    filter: Filter,
    out: &mut [u8],
) -> Result<(), ImageError> {
    Decoder::default().decode_into(bytes, exif, size, filter, out)
}

fn decode_within(bytes: &[u8], exif: ExifOrientation, limits: &Limits) -> Result<RgbImage, ImageError> {
    match sniff::format_of(bytes)? {
        Format::Jpeg => jpeg::decode(bytes, exif, limits),
        Format::Png => png_file::decode(bytes, exif, limits),
        Format::WebP => webp_file::decode(bytes, exif, limits),
        Format::Gif => gif_file::decode(bytes, limits),
        Format::Bmp => bmp_file::decode(bytes, limits),
        // PIL turns every TIFF, asked or not (`TiffImageFile.load_end`).
        Format::Tiff => tiff_file::decode(bytes, limits),
        Format::Pnm => pnm_file::decode(bytes, limits),
    }
}

/// A decoder that panics fails its image and nothing else.
fn guarded<T>(decode: impl FnOnce() -> Result<T, ImageError>) -> Result<T, ImageError> {
    catch_unwind(AssertUnwindSafe(decode))
        .unwrap_or_else(|_| Err(broken("the decoder gave up on it in an unexpected way".to_owned())))
}

/// Most pixels that are decoded; PIL calls more a decompression bomb (twice `Image.MAX_IMAGE_PIXELS`).
pub const MAX_PIXELS: u64 = 2 * 89_478_485;

/// The filter of [`RgbImage::shrunk`].
const SHRINKING: Filter = Filter::Lanczos;

/// Whether EXIF orientation is applied. torchvision's loader ignores it, and so do the paper's maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExifOrientation {
    /// Pixels as they are stored.
    Ignore,
    /// Turned as `PIL.ImageOps.exif_transpose` turns them.
    Apply,
}

/// An 8-bit RGB image, `[y, x, channel]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RgbImage {
    sides: Sides,
    data: Vec<u8>,
}

impl RgbImage {
    fn new(height_pixels: u32, width_pixels: u32, data: Vec<u8>) -> Result<Self, ImageError> {
        let expected = u64::from(height_pixels) * u64::from(width_pixels) * 3;
        if data.len() as u64 != expected || expected == 0 {
            return Err(broken(format!("{height_pixels}x{width_pixels} pixels came with {} bytes", data.len())));
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

    /// The image at another size, its aspect ratio not kept.
    ///
    /// # Errors
    /// When a side is 0 or the image is too large to be scaled.
    pub fn resized(&self, height_pixels: u32, width_pixels: u32, filter: Filter) -> Result<Self, ImageError> {
        let sides = Sides { height_pixels, width_pixels };
        let mut data = vec![0; height_pixels as usize * width_pixels as usize * 3];
        resize_rgb8(&self.data, self.sides, &mut data, sides, filter).map_err(broken)?;
        Self::new(height_pixels, width_pixels, data)
    }

    /// The pixels, `[y, x, channel]`.
    #[must_use]
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// The same image with a longer side of at most `side_pixels`. The aspect ratio is kept; nothing is enlarged.
    ///
    /// # Errors
    /// When there is no such size.
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
        self.resized(scaled(height_pixels), scaled(width_pixels), SHRINKING)
    }

    /// The image as a JPEG, 4:2:0. `quality` is 1 to 100.
    ///
    /// # Errors
    /// When libjpeg-turbo cannot: a side is longer than 65,535 pixels.
    pub fn to_jpeg(&self, quality: u8) -> Result<Vec<u8>, ImageError> {
        jpeg::encode(self, quality)
    }
}

fn broken(reason: String) -> ImageError {
    ImageError { kind: ImageErrorKind::Broken, reason }
}

/// What PIL may read, but is not known to be read alike here: `what` of a format, which is refused rather than shown wrongly.
fn inexact(format: &str, what: &str) -> ImageError {
    ImageError {
        kind: ImageErrorKind::Inexact,
        reason: format!("{format}: {what} is not decoded exactly; convert it to PNG or JPEG"),
    }
}

fn truncated(reason: String) -> ImageError {
    ImageError { kind: ImageErrorKind::Truncated, reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shrinking_keeps_the_proportions_and_enlarges_nothing() {
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
    fn what_is_written_as_jpeg_is_read_again() {
        let image = RgbImage::new(20, 30, [200, 40, 90].repeat(600)).unwrap();
        let again = decode(&image.to_jpeg(90).unwrap(), ExifOrientation::Ignore).unwrap();
        assert_eq!(again.sides, image.sides);
        assert!(again.data.iter().zip(&image.data).all(|(a, b)| a.abs_diff(*b) <= 3));
    }
}
