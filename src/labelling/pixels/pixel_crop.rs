//! Crops in integer pixels.

use crate::shared::geometry::UnitBox;

/// A crop of a decoded image, in `image` pixels, half-open: inside the image and not empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PixelCrop {
    image_pixels: [u32; 2],
    sides: [u32; 4],
}

impl PixelCrop {
    /// Creates the crop `x0, y0, x1, y1` of an image of this height and width; `None` if it is empty or not inside the image.
    #[must_use]
    pub fn new(image_pixels: [u32; 2], sides: [u32; 4]) -> Option<Self> {
        let ([height, width], [x0, y0, x1, y1]) = (image_pixels, sides);
        (x0 < x1 && x1 <= width && y0 < y1 && y1 <= height).then_some(Self { image_pixels, sides })
    }

    /// Returns the crop whose sides are nearest to those of a box, with at least one pixel. A box that was computed from pixels
    /// gives these pixels. `None` if the image is empty.
    #[must_use]
    pub fn nearest(unit_box: UnitBox, image_pixels: [u32; 2]) -> Option<Self> {
        let [height, width] = image_pixels;
        let range = |low: f64, high: f64, pixels: u32| {
            let nearest = |side: f64| (side * f64::from(pixels)).round().clamp(0.0, f64::from(pixels)) as u32;
            let low = nearest(low).min(pixels.saturating_sub(1));
            (low, nearest(high).max(low + 1))
        };
        let (x0, x1) = range(unit_box.x0(), unit_box.x1(), width);
        let (y0, y1) = range(unit_box.y0(), unit_box.y1(), height);
        Self::new(image_pixels, [x0, y0, x1, y1])
    }

    /// Height and width of the image.
    #[must_use]
    pub fn image_pixels(&self) -> [u32; 2] {
        self.image_pixels
    }

    /// Left, upper, right and lower side.
    #[must_use]
    pub fn sides(&self) -> [u32; 4] {
        self.sides
    }

    /// Area as a fraction of the image.
    #[must_use]
    pub fn area(&self) -> f64 {
        let ([height, width], [x0, y0, x1, y1]) = (self.image_pixels, self.sides);
        (f64::from(x1 - x0) * f64::from(y1 - y0)) / (f64::from(height) * f64::from(width))
    }

    /// Returns exactly these pixels in `unit` coordinates.
    #[must_use]
    pub fn unit_box(&self) -> UnitBox {
        let ([height, width], [x0, y0, x1, y1]) = (self.image_pixels, self.sides);
        let unit = |side: u32, pixels: u32| f64::from(side) / f64::from(pixels);
        let unit_box = UnitBox::new(unit(x0, width), unit(y0, height), unit(x1, width), unit(y1, height));
        // Sides inside an image, in order, are always accepted.
        unit_box.unwrap_or(UnitBox::WHOLE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crops_are_inside_their_image() {
        assert_eq!(
            PixelCrop::new([4, 8], [2, 1, 4, 3]).unwrap().unit_box(),
            UnitBox::new(0.25, 0.25, 0.5, 0.75).unwrap()
        );
        assert!((PixelCrop::new([4, 8], [2, 1, 4, 3]).unwrap().area() - 0.125).abs() < 1e-12);
        for sides in [[2, 1, 2, 3], [2, 1, 9, 3], [2, 3, 4, 1], [0, 0, 8, 5]] {
            assert_eq!(PixelCrop::new([4, 8], sides), None, "{sides:?}");
        }
    }

    #[test]
    fn boxes_become_the_nearest_pixels() {
        let nearest = |sides: [f64; 4], image| {
            let [x0, y0, x1, y1] = sides;
            PixelCrop::nearest(UnitBox::new(x0, y0, x1, y1).unwrap(), image).unwrap().sides()
        };
        assert_eq!(nearest([0.0, 0.0, 1.0, 1.0], [375, 500]), [0, 0, 500, 375]);
        assert_eq!(nearest([0.2509, 0.1, 0.7491, 0.9], [100, 1000]), [251, 10, 749, 90]);
        assert_eq!(nearest([0.51, 0.99, 0.52, 1.0], [10, 10]), [5, 9, 6, 10], "at least one pixel");
        for (height, width) in [(375, 500), (333, 499), (7, 3)] {
            for (x0, y0) in [(0, 0), (width / 3, height / 7), (width - 1, height - 1)] {
                let sides = [x0, y0, width, height];
                let crop = PixelCrop::new([height, width], sides).unwrap();
                assert_eq!(PixelCrop::nearest(crop.unit_box(), [height, width]), Some(crop));
                let float32 = UnitBox::from_float32([x0 as f32 / width as f32, y0 as f32 / height as f32, 1.0, 1.0]);
                assert_eq!(PixelCrop::nearest(float32.unwrap(), [height, width]), Some(crop));
            }
        }
    }
}
