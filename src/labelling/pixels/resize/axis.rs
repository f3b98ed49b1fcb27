//! One axis of a resize, with Pillow's arithmetic: the sides of a box are float32, everything else is float64.

use std::ops::Range;

/// One axis of a resize: the part of `source` pixels that becomes `target` pixels.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Axis {
    source: u32,
    start: f32,
    length: f32,
    target: u32,
}

impl Axis {
    /// Creates the axis of a part that extends from `start` to `end`; `None` if, rounded to float32, it is empty or extends
    /// past the image.
    pub(crate) fn new(source: u32, [start, end]: [f64; 2], target: u32) -> Option<Self> {
        let (start, end) = (start as f32, end as f32);
        let is_inside = start >= 0.0 && start < end && end <= source as f32;
        is_inside.then_some(Self { source, start, length: end - start, target })
    }

    /// Whether Pillow does not filter this axis: the part is the entire axis and keeps its length.
    pub(crate) fn is_unchanged(self) -> bool {
        self.source == self.target && self.start == 0.0 && f64::from(self.length) - f64::from(self.target) == 0.0
    }

    /// All source pixels of the axis.
    pub(crate) fn all(self) -> Range<u32> {
        0..self.source
    }

    /// Number of target pixels.
    pub(crate) fn target(self) -> u32 {
        self.target
    }

    /// Start of the part, and its length inside the image, in source pixels.
    pub(crate) fn part(self) -> (f64, f64) {
        let start = f64::from(self.start);
        // Rounding the length to float32 can move its end past the image.
        (start, f64::from(self.length).min(f64::from(self.source) - start))
    }

    /// Source pixels for each target pixel.
    fn scale(self) -> f64 {
        f64::from(self.length) / f64::from(self.target)
    }

    /// Centre of a target pixel in the source.
    fn centre(self, target: u32) -> f64 {
        f64::from(self.start) + (f64::from(target) + 0.5) * self.scale()
    }

    /// Source pixels that may have an effect, for a filter of this radius in target pixels.
    pub(crate) fn window(self, radius: f64) -> Range<u32> {
        if self.is_unchanged() {
            return self.all();
        }
        let radius = radius * self.scale().max(1.0);
        // A pixel more on each side, so that rounding does not exclude one.
        let first = (self.centre(0) - radius).floor() - 1.0;
        let end = (self.centre(self.target - 1) + radius).ceil() + 1.0;
        first.max(0.0) as u32..end.min(f64::from(self.source)) as u32
    }

    /// Returns the source pixel of a target pixel for each, as Pillow's `ImagingScaleAffine`, which adds up the steps.
    pub(crate) fn nearest(self) -> impl Iterator<Item = u32> {
        let step = self.scale();
        let mut at = f64::from(self.start) + step * 0.5;
        (0..self.target).map(move |_| {
            let nearest = (at as u32).min(self.source - 1);
            at += step;
            nearest
        })
    }

    /// Returns the source pixels in the box of each target pixel, as Pillow's `precompute_coeffs`.
    ///
    /// Where a pixel's centre is exactly on the border of two boxes, the rounding of each operation decides to which it
    /// belongs.
    pub(crate) fn boxes(self) -> impl Iterator<Item = Range<u32>> {
        let scale = self.scale();
        let filter_scale = scale.max(1.0);
        let (radius, inverse_scale) = (0.5 * filter_scale, 1.0 / filter_scale);
        (0..self.target).map(move |target| {
            let centre = self.centre(target);
            let first = (centre - radius + 0.5) as u32;
            let end = ((centre + radius + 0.5) as u32).min(self.source);
            let distance = |pixel: u32| (f64::from(pixel) - centre + 0.5) * inverse_scale;
            let first = (first..end).find(|&pixel| distance(pixel) > -0.5).unwrap_or(end);
            let end = (first..end).rfind(|&pixel| distance(pixel) <= 0.5).map_or(first, |last| last + 1);
            first..end
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_outside_of_the_image_and_empty_parts_are_refused() {
        for part in
            [[-0.1, 2.0], [0.0, 4.1], [1.0, 1.0], [3.0, 2.0], [f64::NAN, 2.0], [0.0, f64::NAN], [1.0, 1.0 + 1e-9]]
        {
            assert!(Axis::new(4, part, 8).is_none(), "{part:?}");
        }
        assert!(Axis::new(4, [0.0, 4.0], 4).is_some_and(Axis::is_unchanged));
        for (part, target) in [([0.0, 4.0], 3), ([0.5, 4.0], 4), ([0.0, 3.0], 3), ([1.0, 4.0], 3)] {
            assert!(!Axis::new(4, part, target).unwrap().is_unchanged(), "{part:?} to {target}");
        }
    }

    #[test]
    fn a_window_has_the_pixels_around_the_part() {
        let window = |part, target, radius| Axis::new(100, part, target).unwrap().window(radius);
        assert_eq!(window([50.0, 75.0], 25, 1.0), 48..77);
        assert_eq!(window([50.0, 100.0], 25, 3.0), 44..100);
        assert_eq!(window([0.0, 50.0], 200, 1.0), 0..52);
        assert_eq!(window([0.0, 100.0], 100, 1.0), 0..100);
    }

    #[test]
    fn a_length_that_is_rounded_up_stays_inside_the_image() {
        for source in 2..2000_u32 {
            for end in [1.0, 0.75] {
                let part = [f64::from(source) / 3.0, f64::from(source) * end];
                let (start, length) = Axis::new(source, part, 224).unwrap().part();
                assert!(start + length <= f64::from(source), "{source}");
            }
        }
    }

    #[test]
    fn boxes_divide_the_part_among_the_target_pixels() {
        for (source, part, target) in [(375, [0.0, 375.0], 224), (499, [123.3, 377.9], 31), (240, [80.0, 240.0], 224)] {
            let boxes: Vec<_> = Axis::new(source, part, target).unwrap().boxes().collect();
            assert!(boxes.iter().all(|pixels| !pixels.is_empty()));
            assert_eq!(boxes[0].start, part[0].round() as u32);
            assert_eq!(boxes[target as usize - 1].end, part[1].round() as u32);
        }
    }
}
