//! The crops that parameters are fitted on.

use rayon::prelude::*;

use crate::evaluation::crop_fidelity::TeacherCrop;
use crate::shared::pooling_parameters::PoolingParameters;
use crate::shared::tiles::Tiles;
use crate::training::pool::{CropIngredients, LabelSources, Mixture, PoolError, SourcePooler};

/// Collects what a fit needs of crops: the scores of their labels, and the teacher's probabilities of the classes that any label
/// has. That is 12 bytes for each source and its classes, and 8 bytes for each class of a crop: about 2 kB for each crop with the
/// predictions of a few tiles, and 10 kB with label maps of the tiles, for any number of classes of the teacher.
pub(super) struct FitCrops {
    pooler: SourcePooler,
    /// If there are tiles.
    pooler_without_tiles: Option<SourcePooler>,
    mixture: Mixture,
    class_count: usize,
    crops: Vec<FitCrop>,
    images: usize,
    row: Option<usize>,
}

/// Which labels a target is mixed of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FittedLabels {
    All,
    WithoutTiles,
}

/// A crop with its labels and the teacher's prediction.
struct FitCrop {
    labels: CropIngredients,
    labels_without_tiles: Option<CropIngredients>,
    teacher: TeacherProbs,
}

/// The teacher's prediction for a crop, as far as the divergence of a target depends on it.
struct TeacherProbs {
    /// Classes that a label of the crop has, sorted.
    classes: Vec<u32>,
    probs: Vec<f32>,
    /// Sum of the probabilities of all classes.
    total: f64,
    /// Sum of `p ln p` over all classes.
    negative_entropy: f64,
}

/// Lower bound of the probabilities of a target, as in the figures of crop fidelity.
const SMALLEST_PROB: f64 = f32::MIN_POSITIVE as f64;

/// All sources have a share in the target.
const EVERYTHING: PoolingParameters =
    PoolingParameters { map_share_bias: 0.0, overlap_sharpness: 0.0, ..PoolingParameters::PREDICTIONS_BY_OVERLAP };

impl FitCrops {
    /// Creates an empty collection.
    pub(super) fn new(class_count: usize, has_map: bool, tiles: Option<&Tiles>) -> Self {
        let sources = LabelSources::new(has_map, tiles);
        let without_tiles = || SourcePooler::new(class_count, sources.clone().with_tiles(&[]));
        Self {
            pooler: SourcePooler::new(class_count, sources.clone()),
            pooler_without_tiles: tiles.map(|_| without_tiles()),
            mixture: Mixture::new(class_count),
            class_count,
            crops: Vec::new(),
            images: 0,
            row: None,
        }
    }

    /// Adds a crop. The crops of an image follow each other.
    ///
    /// # Errors
    /// See [`SourcePooler::ingredients`].
    pub(super) fn add(&mut self, crop: &TeacherCrop<'_>) -> Result<(), PoolError> {
        let unit_box = crop.crop.unit_box();
        let labels = self.pooler.ingredients(crop.labels, unit_box)?;
        let without_tiles = self.pooler_without_tiles.as_mut();
        let labels_without_tiles = without_tiles.map(|pooler| pooler.ingredients(crop.labels, unit_box)).transpose()?;
        labels.mix_into(&EVERYTHING, &mut self.mixture);
        let mut classes: Vec<u32> = self.mixture.class_probs().map(|(class, _)| class).collect();
        classes.sort_unstable();
        let teacher = TeacherProbs::new(crop.probs, classes);
        self.crops.push(FitCrop { labels, labels_without_tiles, teacher });
        self.images += usize::from(self.row.replace(crop.row) != Some(crop.row));
        Ok(())
    }

    /// Number of images with crops.
    pub(super) fn images(&self) -> usize {
        self.images
    }

    /// Number of crops.
    pub(super) fn len(&self) -> usize {
        self.crops.len()
    }

    /// Returns the mean Kullback-Leibler divergence of targets from the teacher's predictions, in nats. It does not depend on the
    /// number of threads.
    pub(super) fn mean_divergence(&self, labels: FittedLabels, parameters: &PoolingParameters) -> f64 {
        let crops_at_once = self.crops.len().div_ceil(4 * rayon::current_num_threads()).max(1);
        let divergences: Vec<Vec<f64>> = self
            .crops
            .par_chunks(crops_at_once)
            .map(|crops| {
                let mut mixture = Mixture::new(self.class_count);
                let mut divergence = |crop: &FitCrop| {
                    crop.labels(labels).mix_into(parameters, &mut mixture);
                    crop.teacher.divergence(&mixture)
                };
                crops.iter().map(&mut divergence).collect()
            })
            .collect();
        divergences.iter().flatten().sum::<f64>() / self.crops.len() as f64
    }
}

impl FitCrop {
    fn labels(&self, which: FittedLabels) -> &CropIngredients {
        match (which, &self.labels_without_tiles) {
            (FittedLabels::WithoutTiles, Some(labels)) => labels,
            _ => &self.labels,
        }
    }
}

impl TeacherProbs {
    fn new(probs: &[f32], classes: Vec<u32>) -> Self {
        let (mut total, mut negative_entropy) = (0.0, 0.0);
        for prob in probs.iter().map(|&prob| f64::from(prob)).filter(|&prob| prob > 0.0) {
            total += prob;
            negative_entropy += prob * prob.ln();
        }
        let listed = classes.iter().map(|&class| probs[class as usize]).collect();
        Self { classes, probs: listed, total, negative_entropy }
    }

    fn divergence(&self, target: &Mixture) -> f64 {
        let (mut listed, mut cross_entropy) = (0.0, 0.0);
        for (class, prob) in target.class_probs() {
            let teacher = self.classes.binary_search(&class).map_or(0.0, |at| f64::from(self.probs[at]));
            listed += teacher;
            cross_entropy -= teacher * prob.max(SMALLEST_PROB).ln();
        }
        // What rounding leaves of the rest if the target has all classes is negligible.
        let rest = (self.total - listed).max(0.0);
        self.negative_entropy + cross_entropy - rest * target.absent_prob().max(SMALLEST_PROB).ln()
    }
}
