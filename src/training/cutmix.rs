//! CutMix (arXiv 1905.04899) and `MixUp` (arXiv 1710.09412) with pooled targets.
//!
//! CutMix pastes a part of one crop over the same part of another. The target in the paper is `λ·a + (1 − λ)·b`, with the
//! targets of the two entire crops and λ the visible share of the host ([`mix`]). By region, each of the two targets is
//! that of the visible part of its image:
//!
//! * pasted: LabelPooling over the pasted part of its crop
//!   ([`Pooler::pool`](crate::training::pool::Pooler::pool) of [`CutRect::pasted_crop`]);
//! * host: the mean over the `RoIAlign` samples of its crop, each weighted by the visible fraction of its interval of the
//!   crop, then softmax ([`Pooler::pool_visible`](crate::training::pool::Pooler::pool_visible) under
//!   [`CutRect::unit_from_input`]).
//!
//! With [`MixedPooler`](crate::training::pool::MixedPooler) the same holds of each label map; the predictions that it mixes in are
//! those for the host's entire crop, and the pasted part is a crop of its own.
//!
//! `docs/label-pooling.md` has the derivation, and test `pooling::visible_regions_pool_as_brute_force_does` verifies it.

use crate::shared::geometry::{Crop, InputSize, UnitBox};

/// The pasted box: pixels `x0..x1`, `y0..y1` of the student's input. It may be empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CutRect {
    input: InputSize,
    x0: u32,
    y0: u32,
    x1: u32,
    y1: u32,
}

/// Errors of creating a pasted box.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CutRectError {
    /// λ is not a share.
    #[error("lambda is {0}, expected 0 to 1\n  help: pass the visible share of the host")]
    Lambda(f64),
    /// The centre is outside the input.
    #[error(
        "the centre x = {x}, y = {y} is outside the input of {input} pixels\n  help: pass a centre inside the input, in pixels"
    )]
    Centre {
        /// Column of the centre.
        x: u32,
        /// Row of the centre.
        y: u32,
        /// Size of the input.
        input: InputSize,
    },
    /// The box is reversed or leaves the input.
    #[error("x0 = {}, y0 = {}, x1 = {}, y1 = {} is not a box in an input of {input} pixels\n  help: pass x0 <= x1 and y0 <= y1 inside the input, in pixels", sides[0], sides[1], sides[2], sides[3])]
    Sides {
        /// `x0, y0, x1, y1` in pixels.
        sides: [u32; 4],
        /// Size of the input.
        input: InputSize,
    },
}

impl CutRect {
    /// Creates the box of the paper: sides `W·√(1 − λ)` and `H·√(1 − λ)`, rounded down to even numbers, around the pixel
    /// (`centre_x`, `centre_y`), clipped to the input.
    ///
    /// # Errors
    /// Returns [`CutRectError::Lambda`] if λ is not in 0..=1; [`CutRectError::Centre`] if the centre is outside the input.
    pub fn around(input: InputSize, lambda: f64, centre_x: u32, centre_y: u32) -> Result<Self, CutRectError> {
        if !(0.0..=1.0).contains(&lambda) {
            return Err(CutRectError::Lambda(lambda));
        }
        let (width, height) = (input.width_pixels(), input.height_pixels());
        if centre_x >= width || centre_y >= height {
            return Err(CutRectError::Centre { x: centre_x, y: centre_y, input });
        }
        let half = |side: u32| (0.5 * (1.0 - lambda).sqrt() * f64::from(side)) as u32;
        let (half_width, half_height) = (half(width), half(height));
        Ok(Self {
            input,
            x0: centre_x.saturating_sub(half_width),
            y0: centre_y.saturating_sub(half_height),
            x1: width.min(centre_x + half_width),
            y1: height.min(centre_y + half_height),
        })
    }

    /// Creates a box from its sides in input pixels.
    ///
    /// # Errors
    /// Returns [`CutRectError::Sides`] if it is reversed or leaves the input.
    pub fn new(input: InputSize, x0: u32, y0: u32, x1: u32, y1: u32) -> Result<Self, CutRectError> {
        if x0 <= x1 && y0 <= y1 && x1 <= input.width_pixels() && y1 <= input.height_pixels() {
            Ok(Self { input, x0, y0, x1, y1 })
        } else {
            Err(CutRectError::Sides { sides: [x0, y0, x1, y1], input })
        }
    }

    /// `x0, y0, x1, y1` in input pixels.
    #[must_use]
    pub fn sides(self) -> [u32; 4] {
        [self.x0, self.y0, self.x1, self.y1]
    }

    /// Returns λ of the clipped box: the visible share of the host.
    #[must_use]
    pub fn lambda(self) -> f64 {
        let area = u64::from(self.x1 - self.x0) * u64::from(self.y1 - self.y0);
        let all = u64::from(self.input.width_pixels()) * u64::from(self.input.height_pixels());
        1.0 - area as f64 / all as f64
    }

    /// Returns whether nothing is pasted.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.x0 == self.x1 || self.y0 == self.y1
    }

    /// Returns the box in 0..1 of the input; `None` if it is empty.
    #[must_use]
    pub fn unit_from_input(self) -> Option<UnitBox> {
        let x = |pixels: u32| f64::from(pixels) / f64::from(self.input.width_pixels());
        let y = |pixels: u32| f64::from(pixels) / f64::from(self.input.height_pixels());
        UnitBox::new(x(self.x0), y(self.y0), x(self.x1), y(self.y1)).ok()
    }

    /// Returns the part of an image that appears in this box if `crop` fills the input; `None` if the box is empty.
    #[must_use]
    pub fn pasted_crop(self, crop: Crop) -> Option<Crop> {
        let inside = self.unit_from_input()?;
        let inside = if crop.is_flipped { inside.mirrored() } else { inside };
        Some(Crop { unit_box: crop.unit_box.part(inside), is_flipped: crop.is_flipped })
    }
}

/// Computes `λ·host + (1 − λ)·other` into `host`: the target of CutMix and of `MixUp`.
///
/// # Panics
/// Panics if the lengths differ.
pub fn mix(host: &mut [f32], other: &[f32], lambda: f64) {
    assert_eq!(host.len(), other.len(), "targets of the same classes");
    let lambda = lambda as f32;
    for (host, other) in host.iter_mut().zip(other) {
        *host = lambda * *host + (1.0 - lambda) * other;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input() -> InputSize {
        InputSize::new(10, 20).unwrap()
    }

    #[test]
    fn lambda_is_that_of_the_clipped_box() {
        let inside = CutRect::around(input(), 0.75, 10, 5).unwrap();
        assert_eq!((inside.sides(), inside.lambda()), ([5, 3, 15, 7], 1.0 - 40.0 / 200.0));
        let clipped = CutRect::around(input(), 0.75, 1, 9).unwrap();
        assert_eq!((clipped.sides(), clipped.lambda()), ([0, 7, 6, 10], 1.0 - 18.0 / 200.0));
        assert!(CutRect::around(input(), 0.0, 10, 5).unwrap().lambda() < 1e-12);
        assert!(CutRect::around(input(), 1.0, 0, 0).unwrap().is_empty());
    }

    #[test]
    fn impossible_boxes_are_refused() {
        assert!(CutRect::around(input(), -0.1, 0, 0).is_err());
        assert!(CutRect::around(input(), f64::NAN, 0, 0).is_err());
        assert!(CutRect::around(input(), 0.5, 20, 0).is_err());
        assert!(CutRect::new(input(), 3, 0, 2, 1).is_err());
        assert!(CutRect::new(input(), 0, 0, 21, 1).is_err());
    }

    #[test]
    fn the_pasted_part_of_an_image_is_computed() {
        let rect = CutRect::new(input(), 10, 0, 20, 5).unwrap();
        let crop = Crop::from(UnitBox::new(0.5, 0.5, 1.0, 1.0).unwrap());
        let pasted = rect.pasted_crop(crop).unwrap();
        assert_eq!(pasted.unit_box, UnitBox::new(0.75, 0.5, 1.0, 0.75).unwrap());
        let flipped = rect.pasted_crop(Crop { is_flipped: true, ..crop }).unwrap();
        assert_eq!(flipped.unit_box, UnitBox::new(0.5, 0.5, 0.75, 0.75).unwrap());
        assert_eq!(CutRect::new(input(), 4, 4, 4, 8).unwrap().pasted_crop(crop), None);
    }

    #[test]
    fn mixing_is_linear() {
        let mut host = [1.0, 0.0];
        mix(&mut host, &[0.0, 1.0], 0.75);
        assert!((host[0] - 0.75_f32).abs() < 1e-6 && (host[1] - 0.25).abs() < 1e-6);
    }
}
