//! Average precision of the images of each class.

use super::class_ranking::ClassRanking;
use crate::training::pool::SparseTarget;

/// Computes the average precision of each class over all images: each image is an answer, ranked by the probability of the
/// class. Images of equal probability count as one rank, as in scikit-learn's `average_precision_score`.
///
/// Only listed classes are stored, in 5 bytes each: the precision at a probability is computed from the number of images with
/// at least that probability, and the images that do not list the class are counted for all classes at once.
#[derive(Debug)]
pub(super) struct ClassPrecision {
    columns: Vec<ClassColumn>,
    /// Probability of the classes that an image does not list, for each image.
    absent_probs: Vec<f32>,
}

/// The images that list one class.
#[derive(Debug, Default)]
struct ClassColumn {
    probs: Vec<f32>,
    /// Difference of the image's number to that of the image before it, as bytes: their sum up to the first that is not
    /// [`LONG_GAP`].
    gaps: Vec<u8>,
    last_image: usize,
    /// Probabilities of the class in its own images.
    true_probs: Vec<f32>,
}

/// A byte that the next byte continues.
const LONG_GAP: u8 = u8::MAX;

impl ClassPrecision {
    pub(super) fn new(class_count: usize) -> Self {
        Self { columns: (0..class_count).map(|_| ClassColumn::default()).collect(), absent_probs: Vec::new() }
    }

    /// Adds an image. `true_classes` are distinct. Class ids beyond the number of classes are not counted.
    pub(super) fn add(&mut self, label: &SparseTarget, ranking: &ClassRanking<'_>, true_classes: &[u32]) {
        let image = self.absent_probs.len();
        push(&mut self.absent_probs, ranking.absent_prob());
        for (&class, &prob) in label.classes.iter().zip(&label.probs) {
            if let Some(column) = self.columns.get_mut(class as usize) {
                column.push(image, prob);
            }
        }
        for &class in true_classes {
            if let Some(column) = self.columns.get_mut(class as usize) {
                column.true_probs.push(ranking.prob_of(class));
            }
        }
    }

    /// Returns the mean over the classes that have at least one image; 0 without any.
    pub(super) fn mean(&self) -> f64 {
        let mut absent_probs = self.absent_probs.clone();
        absent_probs.sort_by(|a, b| b.total_cmp(a));
        let with_images = self.columns.iter().filter(|column| !column.true_probs.is_empty());
        let (sum, classes) = with_images.fold((0.0, 0_usize), |(sum, classes), column| {
            (sum + column.average_precision(&self.absent_probs, &absent_probs), classes + 1)
        });
        sum / classes.max(1) as f64
    }
}

impl ClassColumn {
    fn push(&mut self, image: usize, prob: f32) {
        push(&mut self.probs, prob);
        let mut gap = image - self.last_image;
        while gap >= usize::from(LONG_GAP) {
            push(&mut self.gaps, LONG_GAP);
            gap -= usize::from(LONG_GAP);
        }
        push(&mut self.gaps, gap as u8);
        self.last_image = image;
    }

    /// Images that list the class, and its probabilities in them.
    fn listed(&self) -> impl Iterator<Item = (usize, f32)> {
        let mut image = 0;
        let images = self.gaps.iter().filter_map(move |&gap| {
            image += usize::from(gap);
            (gap != LONG_GAP).then_some(image)
        });
        images.zip(self.probs.iter().copied())
    }

    /// `absent_probs` are in the order of the images, `sorted_absent_probs` from high to low.
    fn average_precision(&self, absent_probs: &[f32], sorted_absent_probs: &[f32]) -> f64 {
        let mut true_probs = self.true_probs.clone();
        true_probs.sort_by(|a, b| b.total_cmp(a));
        // The precision matters only at the probabilities of true images. For each: true images at exactly this one, and
        // listing images between this and the one above it.
        let mut thresholds = true_probs.clone();
        thresholds.dedup();
        let mut listed = vec![0_i64; thresholds.len() + 1];
        for (image, prob) in self.listed() {
            listed[thresholds.partition_point(|&threshold| threshold > prob)] += 1;
            // It is counted in `sorted_absent_probs`, too.
            listed[thresholds.partition_point(|&threshold| threshold > absent_probs[image])] -= 1;
        }
        let (mut sum, mut found, mut listed_above) = (0.0, 0, 0);
        for (&threshold, listed) in thresholds.iter().zip(listed) {
            let found_now = true_probs.partition_point(|&prob| prob >= threshold);
            listed_above += listed;
            let absent_above = sorted_absent_probs.partition_point(|&prob| prob >= threshold);
            let above = absent_above as i64 + listed_above;
            sum += (found_now - found) as f64 * found_now as f64 / above as f64;
            found = found_now;
        }
        sum / true_probs.len() as f64
    }
}

/// Appends with little spare capacity: doubling would need twice the memory.
fn push<T>(values: &mut Vec<T>, value: T) {
    if values.len() == values.capacity() {
        values.reserve_exact(values.len() / 8 + 16);
    }
    values.push(value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::random::SplitMix64;

    /// Average precision from its definition: precision and recall at each distinct probability.
    fn dense_average_precision(probs: &[f32], is_true: &[bool]) -> f64 {
        let mut thresholds = probs.to_vec();
        thresholds.sort_by(|a, b| b.total_cmp(a));
        thresholds.dedup();
        let total = is_true.iter().filter(|is_true| **is_true).count() as f64;
        let (mut sum, mut recall) = (0.0, 0.0);
        for threshold in thresholds {
            let above = || probs.iter().zip(is_true).filter(|(prob, _)| **prob >= threshold);
            let found = above().filter(|(_, is_true)| **is_true).count() as f64;
            sum += (found / total - recall) * found / above().count() as f64;
            recall = found / total;
        }
        sum
    }

    #[test]
    fn sparse_images_give_the_precision_of_dense_ones() {
        let mut random = SplitMix64::new(5);
        let mut below = |limit: usize| random.uniform(0.0, limit as f64) as usize;
        for (classes, images) in [(3, 40), (12, 200), (5, 2000), (600, 700)] {
            let mut precision = ClassPrecision::new(classes);
            let mut dense: Vec<Vec<f32>> = vec![Vec::new(); classes];
            let mut is_true: Vec<Vec<bool>> = vec![Vec::new(); classes];
            for _ in 0..images {
                let listed: Vec<u32> = (0..classes as u32).filter(|_| below(classes) < 2).collect();
                let mut probs: Vec<f32> = listed.iter().map(|_| below(8) as f32 / 64.0).collect();
                probs.sort_by(|a, b| b.total_cmp(a));
                let absent = classes - listed.len();
                let label = SparseTarget { classes: listed, probs, rest: absent as f32 * below(8) as f32 / 64.0 };
                let ranking = ClassRanking::new(&label, classes);
                let mut true_classes = vec![below(classes) as u32, below(classes) as u32];
                true_classes.dedup();
                precision.add(&label, &ranking, &true_classes);
                for class in 0..classes as u32 {
                    dense[class as usize].push(ranking.prob_of(class));
                    is_true[class as usize].push(true_classes.contains(&class));
                }
            }
            let with_images: Vec<f64> = (0..classes)
                .filter(|&class| is_true[class].contains(&true))
                .map(|class| dense_average_precision(&dense[class], &is_true[class]))
                .collect();
            let expected = with_images.iter().sum::<f64>() / with_images.len() as f64;
            assert!((precision.mean() - expected).abs() < 1e-12, "{} against {expected}", precision.mean());
        }
    }

    #[test]
    fn nothing_has_a_mean_of_zero() {
        assert!(ClassPrecision::new(4).mean().abs() < f64::EPSILON);
    }
}
