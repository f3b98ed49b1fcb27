//! What is refused for its size or for the work that it makes, before anything is allocated for it.

use std::cell::RefCell;

use relabel_resize::{Filter, Sides, working_bytes};

use super::MAX_PIXELS;
use super::budget::{Budget, Reservation};
use crate::shared::error::{ImageError, ImageErrorKind};

/// Most pixels that are gone through while one image is decoded, all scans and pieces together.
///
/// Twelve times the largest image: a progressive JPEG has about ten scans. One that has 30,000 takes minutes otherwise.
const MAX_WORK_PIXELS: u64 = 12 * MAX_PIXELS;

/// The limits of one image. Every decoder asks before it allocates anything that grows with the image, and what is
/// granted stays reserved until this is dropped.
pub(super) struct Limits<'a> {
    max_pixels: u64,
    budget: Budget,
    resized_to: Option<(Sides, Filter)>,
    granted: RefCell<Option<Reservation>>,
    told: &'a dyn Fn(u64),
}

impl<'a> Limits<'a> {
    /// PIL's largest number of pixels, and the bytes of a budget. `resized_to` is what happens to the image once it is
    /// decoded.
    pub(super) fn new(budget: &Budget, resized_to: Option<(Sides, Filter)>) -> Self {
        Self { max_pixels: MAX_PIXELS, budget: budget.clone(), resized_to, granted: RefCell::new(None), told: &|_| {} }
    }

    /// The same limits; `told` hears how many bytes are granted, before they are.
    pub(super) fn telling(self, told: &'a dyn Fn(u64)) -> Self {
        Self { told, ..self }
    }

    /// Checks an image that needs `bytes_per_pixel` while it is decoded, its RGB included. Without pixels it is refused,
    /// too.
    ///
    /// # Errors
    /// Returns [`ImageErrorKind::TooLarge`] above a limit, [`ImageErrorKind::Broken`] for a side of 0 pixels.
    pub(super) fn check(&self, height: u32, width: u32, bytes_per_pixel: u64) -> Result<(), ImageError> {
        let pixels = u64::from(height) * u64::from(width);
        self.check_bytes(height, width, pixels.saturating_mul(bytes_per_pixel))
    }

    /// Checks an image that needs `bytes` in all while it is decoded, its RGB included.
    ///
    /// # Errors
    /// As [`Limits::check`].
    pub(super) fn check_bytes(&self, height: u32, width: u32, bytes: u64) -> Result<(), ImageError> {
        let pixels = u64::from(height) * u64::from(width);
        let too_large = |limit: String| Err(too_large(format!("{height}x{width} pixels; {limit}")));
        if pixels == 0 {
            return Err(super::broken(format!("size {height}x{width} pixels")));
        }
        if pixels > self.max_pixels {
            return too_large(format!("PIL refuses more than {} as a decompression bomb", self.max_pixels));
        }
        let resizing = self.resized_to.map_or(0, |(to, filter)| {
            let from = Sides { height_pixels: height, width_pixels: width };
            (pixels * 3).saturating_add(working_bytes(from, to, filter))
        });
        let needed = bytes.max(resizing);
        if needed > self.budget.image_bytes {
            let limit = self.budget.image_bytes;
            return too_large(format!(
                "decoding and resizing it takes {needed} bytes of memory, and {limit} are allowed"
            ));
        }
        let mut granted = self.granted.borrow_mut();
        if granted.as_ref().is_none_or(|granted| granted.bytes() < needed) {
            // Given back first: who waits for more while holding some could wait forever.
            *granted = None;
            (self.told)(needed);
            *granted = Some(self.budget.pixels(needed));
        }
        Ok(())
    }

    /// Checks the pixels that are gone through, where an image can ask for the same ones again and again.
    ///
    /// # Errors
    /// Returns [`ImageErrorKind::TooLarge`] above the limit.
    pub(super) fn check_work(times: u64, pixels: u64, what: &str) -> Result<(), ImageError> {
        if times.saturating_mul(pixels) <= MAX_WORK_PIXELS {
            return Ok(());
        }
        Err(too_large(format!("{times} {what} of {pixels} pixels; {MAX_WORK_PIXELS} pixels are gone through at most")))
    }
}

fn too_large(reason: String) -> ImageError {
    ImageError { kind: ImageErrorKind::TooLarge, reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(max_pixels: u64, max_bytes: u64, resized_to: Option<(Sides, Filter)>) -> Limits<'static> {
        Limits { max_pixels, ..Limits::new(&Budget::new(max_bytes, 0), resized_to) }
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
    fn resizing_counts() {
        let small = Sides { height_pixels: 2, width_pixels: 2 };
        let of = |resized_to| limits(1 << 20, 100_000, resized_to).check(1, 10_000, 3).map_err(|error| error.kind);
        assert_eq!(of(None), Ok(()));
        assert_eq!(of(Some((small, Filter::Nearest))), Ok(()));
        assert_eq!(of(Some((small, Filter::Lanczos))), Err(ImageErrorKind::TooLarge));
    }

    #[test]
    fn what_is_granted_grows_and_is_given_back() {
        let budget = Budget::new(100, 0);
        let limits = Limits::new(&budget, None);
        for (height, granted) in [(10, 30), (5, 30), (30, 90)] {
            limits.check(height, 1, 3).unwrap();
            assert_eq!(limits.granted.borrow().as_ref().unwrap().bytes(), granted);
        }
        drop(limits);
        drop(budget.pixels(100));
    }

    #[test]
    fn work_is_limited() {
        assert!(Limits::check_work(10, MAX_PIXELS, "scans").is_ok());
        assert_eq!(Limits::check_work(u64::MAX, 2, "scans").unwrap_err().kind, ImageErrorKind::TooLarge);
    }
}
