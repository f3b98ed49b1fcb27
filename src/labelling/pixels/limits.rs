//! Limits of pixels, memory and work, checked before anything is allocated.

use std::cell::RefCell;

use relabel_resize::{Filter, Sides, working_bytes};

use super::budget::{MemoryBudget, Reservation};
use super::image_error::{broken, too_large};
use crate::shared::error::ImageError;

/// Largest number of pixels that are decoded. PIL treats more as a decompression bomb (twice `Image.MAX_IMAGE_PIXELS`).
pub const MAX_PIXELS: u64 = 2 * 89_478_485;

/// Largest number of pixels processed for one image, in all scans and segments together.
///
/// Twelve times the largest image: a progressive JPEG has about ten scans. Without the limit, one with 30,000 scans takes
/// minutes.
const MAX_WORK_PIXELS: u64 = 12 * MAX_PIXELS;

/// The limits of one image. Every decoder checks them before it allocates memory that grows with the image; granted memory
/// stays reserved until this is dropped.
pub(super) struct DecodeLimits<'a> {
    max_pixels: u64,
    budget: MemoryBudget,
    resized_to: Option<(Sides, Filter)>,
    with_crops: bool,
    granted: RefCell<Option<Reservation>>,
    before_grant: &'a dyn Fn(u64),
}

impl<'a> DecodeLimits<'a> {
    /// Creates limits from PIL's largest number of pixels and a memory budget. `resized_to` is the size and filter to which
    /// the image will be resized.
    pub(super) fn new(budget: &MemoryBudget, resized_to: Option<(Sides, Filter)>) -> Self {
        Self {
            max_pixels: MAX_PIXELS,
            budget: budget.clone(),
            resized_to,
            with_crops: false,
            granted: RefCell::new(None),
            before_grant: &|_| {},
        }
    }

    /// Reserves memory for the copy of a crop, in addition to the image.
    pub(super) fn for_crops(self) -> Self {
        Self { with_crops: true, ..self }
    }

    /// Calls `before_grant` with the number of bytes before they are granted.
    pub(super) fn with_callback(self, before_grant: &'a dyn Fn(u64)) -> Self {
        Self { before_grant, ..self }
    }

    /// Checks an image whose decoding takes `bytes_per_pixel`, including its RGB pixels.
    ///
    /// # Errors
    /// Returns an error of kind `TooLarge` if a limit is exceeded, `Broken` if a side is 0.
    pub(super) fn check(&self, height: u32, width: u32, bytes_per_pixel: u64) -> Result<(), ImageError> {
        let pixels = u64::from(height) * u64::from(width);
        self.check_bytes(height, width, pixels.saturating_mul(bytes_per_pixel))
    }

    /// Checks an image whose decoding takes `bytes` in total, including its RGB pixels.
    ///
    /// # Errors
    /// See [`DecodeLimits::check`].
    pub(super) fn check_bytes(&self, height: u32, width: u32, bytes: u64) -> Result<(), ImageError> {
        let pixels = u64::from(height) * u64::from(width);
        let too_large = |limit: String| Err(too_large(format!("{height}x{width} pixels; {limit}")));
        if pixels == 0 {
            return Err(broken(format!("image size is {height}x{width} pixels")));
        }
        if pixels > self.max_pixels {
            return too_large(format!("PIL refuses more than {} pixels as a decompression bomb", self.max_pixels));
        }
        let resizing = self.resized_to.map_or(0, |(to, filter)| {
            let from = Sides { height_pixels: height, width_pixels: width };
            let copies = if self.with_crops { 2 } else { 1 };
            (pixels * 3 * copies).saturating_add(working_bytes(from, to, filter))
        });
        let needed = bytes.max(resizing);
        if needed > self.budget.image_bytes {
            let limit = self.budget.image_bytes;
            return too_large(format!("decoding and resizing takes {needed} bytes of memory, the limit is {limit}"));
        }
        let mut granted = self.granted.borrow_mut();
        if granted.as_ref().is_none_or(|granted| granted.bytes() < needed) {
            // Released first: waiting for more while holding some could deadlock.
            *granted = None;
            (self.before_grant)(needed);
            *granted = Some(self.budget.pixels(needed));
        }
        Ok(())
    }

    /// Checks the number of processed pixels, for formats in which an image can repeat them many times.
    ///
    /// # Errors
    /// Returns an error of kind `TooLarge` if the limit is exceeded.
    pub(super) fn check_work(times: u64, pixels: u64, what: &str) -> Result<(), ImageError> {
        if times.saturating_mul(pixels) <= MAX_WORK_PIXELS {
            return Ok(());
        }
        Err(too_large(format!("{times} {what} of {pixels} pixels; the limit is {MAX_WORK_PIXELS} pixels in total")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::error::ImageErrorKind;

    fn limits(max_pixels: u64, max_bytes: u64, resized_to: Option<(Sides, Filter)>) -> DecodeLimits<'static> {
        DecodeLimits { max_pixels, ..DecodeLimits::new(&MemoryBudget::new(max_bytes, 0), resized_to) }
    }

    #[test]
    fn pixels_and_bytes_are_limited() {
        let limits = limits(100, 150, None);
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

    #[test]
    fn memory_for_resizing_is_limited() {
        let small = Sides { height_pixels: 2, width_pixels: 2 };
        let of = |resized_to| limits(1 << 20, 100_000, resized_to).check(1, 10_000, 3).map_err(|error| error.kind);
        assert_eq!(of(None), Ok(()));
        assert_eq!(of(Some((small, Filter::Nearest))), Ok(()));
        assert_eq!(of(Some((small, Filter::Lanczos))), Err(ImageErrorKind::TooLarge));
    }

    #[test]
    fn memory_for_the_copy_of_a_crop_is_limited() {
        let sides = Sides { height_pixels: 2, width_pixels: 2 };
        let limits = || limits(1 << 20, 50_000, Some((sides, Filter::Nearest)));
        assert!(limits().check(1, 10_000, 3).is_ok());
        assert_eq!(limits().for_crops().check(1, 10_000, 3).unwrap_err().kind, ImageErrorKind::TooLarge);
    }

    #[test]
    fn granted_memory_grows_and_is_released() {
        let budget = MemoryBudget::new(100, 0);
        let limits = DecodeLimits::new(&budget, None);
        for (height, granted) in [(10, 30), (5, 30), (30, 90)] {
            limits.check(height, 1, 3).unwrap();
            assert_eq!(limits.granted.borrow().as_ref().unwrap().bytes(), granted);
        }
        drop(limits);
        drop(budget.pixels(100));
    }

    #[test]
    fn work_is_limited() {
        assert!(DecodeLimits::check_work(10, MAX_PIXELS, "scans").is_ok());
        assert_eq!(DecodeLimits::check_work(u64::MAX, 2, "scans").unwrap_err().kind, ImageErrorKind::TooLarge);
    }
}
