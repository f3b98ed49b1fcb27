//! Random resized crops, as training code draws them.

use crate::shared::geometry::UnitBox;
use crate::shared::random::SplitMix64;

/// Range of the area of a crop as a fraction of the image, and of its aspect ratio (width / height): torchvision's
/// defaults.
const AREA: [f64; 2] = [0.08, 1.0];
const RATIO: [f64; 2] = [3.0 / 4.0, 4.0 / 3.0];

/// Attempts to draw a crop that fits before the full image is used.
const ATTEMPTS: usize = 10;

/// Draws crops as torchvision's `RandomResizedCrop` does for a square image: a store does not record the sizes of its
/// images. Torchvision also rounds to pixels.
#[must_use]
pub fn random_crops(count: usize, seed: u64) -> Vec<UnitBox> {
    let mut random = SplitMix64::new(seed);
    let draw = |_| (0..ATTEMPTS).find_map(|_| attempt(&mut random)).unwrap_or(UnitBox::WHOLE);
    (0..count).map(draw).collect()
}

/// Draws one crop; `None` if it does not fit into the image.
fn attempt(random: &mut SplitMix64) -> Option<UnitBox> {
    let area = random.uniform(AREA[0], AREA[1]);
    let ratio = random.uniform(RATIO[0].ln(), RATIO[1].ln()).exp();
    let (width, height) = ((area * ratio).sqrt(), (area / ratio).sqrt());
    if width > 1.0 || height > 1.0 {
        return None;
    }
    let (x0, y0) = (random.uniform(0.0, 1.0 - width), random.uniform(0.0, 1.0 - height));
    UnitBox::new(x0, y0, x0 + width, y0 + height).ok()
}

/// Returns the intersection over union of two boxes.
#[must_use]
pub fn iou(one: UnitBox, other: UnitBox) -> f64 {
    let side = |low: f64, high: f64| (high - low).max(0.0);
    let shared = side(one.x0().max(other.x0()), one.x1().min(other.x1()))
        * side(one.y0().max(other.y0()), one.y1().min(other.y1()));
    shared / (area(one) + area(other) - shared)
}

fn area(unit_box: UnitBox) -> f64 {
    (unit_box.x1() - unit_box.x0()) * (unit_box.y1() - unit_box.y0())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crops_are_inside_and_have_torchvisions_sizes() {
        let crops = random_crops(20_000, 5);
        let is_inside = |crop: &UnitBox| crop.x0() >= 0.0 && crop.y0() >= 0.0 && crop.x1() <= 1.0 && crop.y1() <= 1.0;
        assert!(crops.iter().all(is_inside));
        let ratio = |crop: &UnitBox| (crop.x1() - crop.x0()) / (crop.y1() - crop.y0());
        assert!(crops.iter().all(|crop| (0.08 - 1e-9..=1.0).contains(&area(*crop))));
        assert!(crops.iter().all(|crop| (0.75 - 1e-9..=4.0 / 3.0 + 1e-9).contains(&ratio(crop))));
        // The mean of the drawn areas is 0.54, but most large crops do not fit: a crop of area a fits with a probability
        // of -ln(a) / ln(4/3), at most 1. The mean of those that fit is 0.478.
        let mean = |value: &dyn Fn(&UnitBox) -> f64| crops.iter().map(value).sum::<f64>() / crops.len() as f64;
        assert!((0.47..0.486).contains(&mean(&|crop| area(*crop))), "{}", mean(&|crop| area(*crop)));
        assert!(mean(&|crop| ratio(crop).ln()).abs() < 0.01, "as often portrait as landscape");
        assert!((mean(&|crop| crop.x0() + crop.x1()) - 1.0).abs() < 0.01, "as often left as right");
    }

    #[test]
    fn the_seed_selects_the_crops() {
        assert_eq!(random_crops(8, 1)[..4], random_crops(4, 1));
        assert_ne!(random_crops(4, 1), random_crops(4, 2));
        assert!(random_crops(0, 1).is_empty());
    }

    #[test]
    fn iou_of_boxes() {
        let unit_box = |x0, y0, x1, y1| UnitBox::new(x0, y0, x1, y1).unwrap();
        let left = unit_box(0.0, 0.0, 0.5, 1.0);
        assert!((iou(left, UnitBox::WHOLE) - 0.5).abs() < 1e-12);
        assert!((iou(left, unit_box(0.25, 0.5, 0.75, 1.0)) - 0.125 / 0.625).abs() < 1e-12);
        assert!(iou(left, unit_box(0.5, 0.0, 1.0, 1.0)).abs() < 1e-12, "boxes that only touch do not overlap");
        assert!((iou(left, left) - 1.0).abs() < 1e-12);
    }
}
