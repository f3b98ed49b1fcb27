//! Random resized crops, as training code draws them.

use crate::labelling::pixels::PixelCrop;
use crate::shared::geometry::UnitBox;
use crate::shared::random::SplitMix64;

/// Range of the area of a crop as a fraction of the image, and of its aspect ratio (width / height): torchvision's
/// defaults.
const AREA: [f64; 2] = [0.08, 1.0];
const RATIO: [f64; 2] = [3.0 / 4.0, 4.0 / 3.0];

/// Attempts to draw a crop that fits before a fixed one is used.
const ATTEMPTS: usize = 10;

/// Draws crops as torchvision's `RandomResizedCrop` does for a square image: a store does not record the sizes of its
/// images. Torchvision also rounds to pixels.
#[must_use]
pub fn random_crops(count: usize, seed: u64) -> Vec<UnitBox> {
    let mut random = SplitMix64::new(seed);
    let draw = |_| (0..ATTEMPTS).find_map(|_| attempt(&mut random)).unwrap_or(UnitBox::WHOLE);
    (0..count).map(draw).collect()
}

/// Draws crops of an image as torchvision's `RandomResizedCrop.get_params` does, with other random numbers.
#[must_use]
pub fn random_pixel_crops(count: usize, seed: u64, height_pixels: u32, width_pixels: u32) -> Vec<PixelCrop> {
    let mut random = SplitMix64::new(seed);
    let image = [height_pixels, width_pixels];
    let mut draw = |_| (0..ATTEMPTS).find_map(|_| pixel_attempt(&mut random, image)).or_else(|| central_crop(image));
    (0..count).filter_map(&mut draw).collect()
}

/// Draws one crop; `None` if it does not fit into the image.
fn attempt(random: &mut SplitMix64) -> Option<UnitBox> {
    let (width, height) = sides(random, 1.0);
    if width > 1.0 || height > 1.0 {
        return None;
    }
    let (x0, y0) = (random.uniform(0.0, 1.0 - width), random.uniform(0.0, 1.0 - height));
    UnitBox::new(x0, y0, x0 + width, y0 + height).ok()
}

/// Draws one crop in integer pixels; `None` if it does not fit into the image.
fn pixel_attempt(random: &mut SplitMix64, [image_height, image_width]: [u32; 2]) -> Option<PixelCrop> {
    let (width, height) = sides(random, f64::from(image_height) * f64::from(image_width));
    // Python's `round`.
    let (width, height) = (width.round_ties_even() as u32, height.round_ties_even() as u32);
    if width == 0 || width > image_width || height == 0 || height > image_height {
        return None;
    }
    let y0 = below(random, image_height - height + 1);
    let x0 = below(random, image_width - width + 1);
    PixelCrop::new([image_height, image_width], [x0, y0, x0 + width, y0 + height])
}

/// Draws width and height of a crop, before any rounding.
fn sides(random: &mut SplitMix64, image_area: f64) -> (f64, f64) {
    let area = image_area * random.uniform(AREA[0], AREA[1]);
    let ratio = random.uniform(RATIO[0].ln(), RATIO[1].ln()).exp();
    ((area * ratio).sqrt(), (area / ratio).sqrt())
}

/// Draws one of the numbers below `end`.
fn below(random: &mut SplitMix64, end: u32) -> u32 {
    (random.uniform(0.0, f64::from(end)) as u32).min(end - 1)
}

/// Returns what torchvision takes if no attempt fits: the largest central crop whose aspect ratio is in the range.
fn central_crop([image_height, image_width]: [u32; 2]) -> Option<PixelCrop> {
    let ratio = f64::from(image_width) / f64::from(image_height);
    let (mut height, mut width) = (image_height, image_width);
    if ratio < RATIO[0] {
        height = (f64::from(width) / RATIO[0]).round_ties_even() as u32;
    } else if ratio > RATIO[1] {
        width = (f64::from(height) * RATIO[1]).round_ties_even() as u32;
    }
    let (y0, x0) = ((image_height - height) / 2, (image_width - width) / 2);
    PixelCrop::new([image_height, image_width], [x0, y0, x0 + width, y0 + height])
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
    fn pixel_crops_have_torchvisions_sizes() {
        let (height, width) = (375, 500);
        let crops = random_pixel_crops(20_000, 5, height, width);
        assert_eq!(crops.len(), 20_000);
        assert_eq!(random_pixel_crops(10, 5, height, width), crops[..10]);
        assert_ne!(random_pixel_crops(10, 6, height, width), crops[..10]);
        let sides = |crop: &PixelCrop| {
            let [x0, y0, x1, y1] = crop.sides().map(f64::from);
            (x1 - x0, y1 - y0)
        };
        let mean = |value: &dyn Fn(&PixelCrop) -> f64| crops.iter().map(value).sum::<f64>() / crops.len() as f64;
        let ratio = |crop: &PixelCrop| sides(crop).0 / sides(crop).1;
        assert!(crops.iter().all(|crop| (0.74..1.35).contains(&ratio(crop))));
        // Torchvision's crops of this image have a mean area of 0.431 and a mean log ratio of 0.028: more wide ones fit.
        assert!((0.425..0.437).contains(&mean(&PixelCrop::area)), "{}", mean(&PixelCrop::area));
        assert!((0.022..0.034).contains(&mean(&|crop| ratio(crop).ln())), "{}", mean(&|crop| ratio(crop).ln()));
        let touches = |side: usize, at: u32| crops.iter().any(|crop| crop.sides()[side] == at);
        assert!(touches(0, 0) && touches(1, 0) && touches(2, width) && touches(3, height));
    }

    #[test]
    fn small_and_narrow_images_have_crops() {
        let all = |height, width| random_pixel_crops(50, 1, height, width);
        assert!(all(1, 1).iter().all(|crop| crop.sides() == [0, 0, 1, 1]));
        assert!(all(2, 3).iter().all(|crop| crop.area() > 0.0));
        // No crop of at least 8 % of the area fits, so each is the central one with a ratio of 4/3 or 3/4.
        assert!(all(10, 1000).iter().all(|crop| crop.sides() == [493, 0, 506, 10]));
        assert!(all(1000, 10).iter().all(|crop| crop.sides() == [0, 493, 10, 506]));
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
