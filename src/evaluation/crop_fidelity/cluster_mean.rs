//! Means over crops, whose standard errors count all crops of an image as one observation.

use crate::evaluation::evaluation_file::Estimate;

/// Mean of a figure over crops.
///
/// With the sum `y` and the number `m` of the crops of each of `n` images, the mean is the ratio `R = Σy / Σm`, and its
/// variance is estimated as that of a ratio of totals of clusters (Cochran, *Sampling Techniques*, 1977, section 9A.1):
/// `n / (n - 1) · Σ(y - R m)² / (Σm)²`. If all images have the same number of crops, this is the variance of the mean of the
/// images' means.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClusterMean {
    /// The mean of the first image. Sums of differences to it lose no digits.
    pivot: Option<f64>,
    images: usize,
    /// Sums over images of `m`, `z = y - pivot·m`, `z²`, `zm` and `m²`.
    m: f64,
    z: f64,
    zz: f64,
    zm: f64,
    mm: f64,
    /// Sum and number of the crops of the current image.
    current: (f64, usize),
}

impl ClusterMean {
    /// Adds a crop of the current image.
    pub(crate) fn add(&mut self, value: f64) {
        self.current.0 += value;
        self.current.1 += 1;
    }

    /// Ends the current image.
    pub(crate) fn end_image(&mut self) {
        let (y, count) = std::mem::take(&mut self.current);
        if count == 0 {
            return;
        }
        let m = count as f64;
        let z = y - *self.pivot.get_or_insert(y / m) * m;
        self.images += 1;
        self.m += m;
        self.z += z;
        self.zz += z * z;
        self.zm += z * m;
        self.mm += m * m;
    }

    /// Number of images that ended with crops.
    pub(crate) fn images(&self) -> usize {
        self.images
    }

    /// Number of their crops.
    pub(crate) fn crops(&self) -> usize {
        self.m as usize
    }

    /// Returns the mean over all crops of images that ended; `None` without crops.
    pub(crate) fn estimate(&self) -> Option<Estimate> {
        let above_pivot = self.z / self.m;
        let value = self.pivot? + above_pivot;
        let images = self.images as f64;
        let squares = (self.zz - 2.0 * above_pivot * self.zm + above_pivot * above_pivot * self.mm).max(0.0);
        let standard_error = (self.images > 1).then(|| (images / (images - 1.0) * squares).sqrt() / self.m);
        Some(Estimate { value, standard_error })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::random::SplitMix64;

    fn of(images: &[&[f64]]) -> ClusterMean {
        let mut mean = ClusterMean::default();
        for image in images {
            image.iter().for_each(|&value| mean.add(value));
            mean.end_image();
        }
        mean
    }

    #[test]
    fn images_with_equally_many_crops_are_averaged() {
        let estimate = of(&[&[1.0, 3.0], &[4.0, 6.0], &[8.0, 8.0], &[]]).estimate().unwrap();
        // Means of the images: 2, 5, 8.
        assert!((estimate.value - 5.0).abs() < 1e-12);
        assert!((estimate.standard_error.unwrap() - (9.0_f64 / 3.0).sqrt()).abs() < 1e-12);
    }

    #[test]
    fn crops_are_counted_if_images_have_different_numbers() {
        let mean = of(&[&[1.0, 0.0, 1.0], &[0.0], &[1.0]]);
        assert_eq!((mean.images(), mean.crops()), (3, 5));
        let estimate = mean.estimate().unwrap();
        assert!((estimate.value - 0.6).abs() < 1e-12);
        let squares = 0.2_f64.powi(2) + 0.6_f64.powi(2) + 0.4_f64.powi(2);
        assert!((estimate.standard_error.unwrap() - (1.5 * squares).sqrt() / 5.0).abs() < 1e-12);
    }

    #[test]
    fn standard_errors_need_two_images() {
        assert_eq!(of(&[]).estimate(), None);
        assert_eq!(of(&[&[3.0, 4.0]]).estimate(), Some(Estimate { value: 3.5, standard_error: None }));
        let equal = of(&[&[0.1; 3], &[0.1; 3], &[0.1; 3]]).estimate().unwrap();
        assert!(equal.standard_error.unwrap() < 1e-12);
    }

    #[test]
    fn standard_errors_are_the_spread_of_repeated_samples() {
        // Images with 1 to 4 crops, which have a part in common.
        let mut random = SplitMix64::new(1);
        let mut sample = || {
            let mut mean = ClusterMean::default();
            for _ in 0..200 {
                let shared = random.uniform(0.0, 1.0);
                for _ in 0..=(random.uniform(0.0, 4.0) as usize) {
                    mean.add(shared + random.uniform(-0.5, 0.5));
                }
                mean.end_image();
            }
            mean.estimate().unwrap()
        };
        let estimates: Vec<Estimate> = (0..400).map(|_| sample()).collect();
        let mean = estimates.iter().map(|estimate| estimate.value).sum::<f64>() / 400.0;
        let spread = (estimates.iter().map(|estimate| (estimate.value - mean).powi(2)).sum::<f64>() / 399.0).sqrt();
        let claimed = estimates.iter().map(|estimate| estimate.standard_error.unwrap()).sum::<f64>() / 400.0;
        assert!((mean - 0.5).abs() < 0.005, "{mean}");
        assert!((claimed / spread - 1.0).abs() < 0.12, "{claimed} and {spread}");
    }
}
