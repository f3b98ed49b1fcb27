//! Statistics of one image: its target, how many classes it shows, and whether its folder class is among them.

use serde::Serialize;

use super::cell_probs::CellProbs;
use super::regions::objects;
use crate::shared::error::Cause;
use crate::shared::geometry::{Crop, UnitBox};
use crate::shared::label_map::{ImageLabels, ImagePrediction, LabelMap, NoLabelMap};
use crate::shared::pooling_parameters::PoolingParameters;
use crate::shared::store::StoreInfo;
use crate::training::labels::CropPooling;
use crate::training::pool::{LabelSources, MixedPooler, PoolError, PoolOptions, Pooler, SparseTarget};

/// Computes statistics of the labels of one store. Holds buffers that are reused from image to image; use one per thread.
#[derive(Debug)]
pub struct Examiner {
    pooler: Pooler,
    /// Pools images without label maps.
    predictions: MixedPooler,
    sources: LabelSources,
    class_count: usize,
}

/// Statistics of the labels of an image.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageStatistics {
    /// Target of the full image: the paper's LabelPooling of its label map. Without one, the mean of the predictions of the
    /// image and its tiles, weighted by overlap.
    pub target: SparseTarget,
    /// Whether the folder class is the best class of [`ImageStatistics::target`].
    pub verdict: Verdict,
    /// Probability of the folder class in [`ImageStatistics::target`]; `None` without a folder class.
    pub folder_class_prob: Option<f32>,
    /// Number of cells whose best class is the folder class; `None` without a folder class or label map.
    pub folder_class_cells: Option<usize>,
    /// Classes that are the best in at least one cell, in ascending order; without a label map, those that are the best in the
    /// prediction of the image or of a tile.
    pub winners: Box<[u32]>,
    /// Number of [`objects`]; 0 without a label map.
    pub objects: usize,
    /// Entropy of [`ImageStatistics::target`] in nats: 0 if one class has all of the probability, ln(classes) if all
    /// classes have the same.
    pub entropy: f32,
}

/// Comparison of an image's target with its folder class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The folder class is the best class of the target.
    Agrees,
    /// A different class is the best, but the top `k` of some cell contains the folder class. Without a label map: but the
    /// prediction of the image or of a tile contains it.
    Differs,
    /// No cell, or no prediction, contains the folder class.
    Absent,
    /// The image is in no folder, or its folder is not a class of the teacher.
    NotCompared,
}

/// Reason the statistics of an image cannot be computed.
#[derive(Debug, thiserror::Error)]
pub enum StatisticsError {
    /// The labels do not fit the teacher: a class id is out of range, or the map has a different size.
    #[error("cannot pool the labels: {0}")]
    Pool(#[source] Cause),
    /// The image has no label map.
    #[error(transparent)]
    NoLabelMap(#[from] NoLabelMap),
    /// The target or the prediction is empty.
    #[error("the target or the prediction is empty")]
    NoBestClass,
}

impl Examiner {
    /// Creates an examiner for the labels of a store.
    #[must_use]
    pub fn of_store(info: &StoreInfo) -> Self {
        Self::new(info.classes.count, LabelSources::new(info.map_size.is_some(), info.tiles.as_ref()))
    }

    /// Creates an examiner for these labels of a teacher with `class_count` classes.
    #[must_use]
    pub fn new(class_count: usize, sources: LabelSources) -> Self {
        let by_overlap = PoolingParameters::PREDICTIONS_BY_OVERLAP;
        Self {
            pooler: Pooler::new(class_count, PoolOptions::default()),
            predictions: MixedPooler::new(class_count, by_overlap, sources.clone()),
            sources,
            class_count,
        }
    }

    /// Number of classes of the teacher.
    #[must_use]
    pub fn class_count(&self) -> usize {
        self.class_count
    }

    /// Pools a crop.
    ///
    /// # Errors
    /// Returns [`StatisticsError::Pool`] if the labels contain a class id that the teacher does not have, or are not those that
    /// the pooling needs.
    pub fn pool(
        &self,
        labels: &ImageLabels,
        unit_box: UnitBox,
        pooling: CropPooling,
    ) -> Result<SparseTarget, StatisticsError> {
        let pooled = match pooling {
            CropPooling::Paper(options) => pool_map(&mut Pooler::new(self.class_count, options), labels, unit_box),
            CropPooling::Mixed(parameters) => {
                MixedPooler::new(self.class_count, parameters, self.sources.clone()).pool_sparse(labels, unit_box)
            }
        };
        pooled.map_err(|error| StatisticsError::Pool(error.into()))
    }

    /// Computes the statistics of an image with this folder class.
    ///
    /// # Errors
    /// Returns [`StatisticsError::Pool`] if the labels contain a class id that the teacher does not have.
    pub fn statistics(
        &mut self,
        labels: &ImageLabels,
        folder_class: Option<u32>,
    ) -> Result<ImageStatistics, StatisticsError> {
        let pooled = match &labels.map {
            Some(_) => pool_map(&mut self.pooler, labels, UnitBox::WHOLE),
            None => self.predictions.pool_sparse(labels, UnitBox::WHOLE),
        };
        let target = pooled.map_err(|error| StatisticsError::Pool(error.into()))?;
        let best_classes = labels.map.as_ref().map_or_else(|| best_predicted(labels), LabelMap::best_classes);
        let folder_class_cells = |class: u32| {
            labels.map.as_ref()?;
            Some(best_classes.iter().filter(|best| **best == class).count())
        };
        let mut winners = best_classes.clone();
        winners.sort_unstable();
        winners.dedup();
        Ok(ImageStatistics {
            verdict: Verdict::new(labels, &target, folder_class),
            folder_class_prob: folder_class.map(|class| target.prob_of(class, self.class_count)),
            folder_class_cells: folder_class.and_then(folder_class_cells),
            winners: winners.into(),
            objects: labels.map.as_ref().map_or(0, |map| objects(map, &CellProbs::new(map, self.class_count)).len()),
            entropy: target.entropy(self.class_count),
            target,
        })
    }
}

/// Pools a crop of the label map.
fn pool_map(pooler: &mut Pooler, labels: &ImageLabels, unit_box: UnitBox) -> Result<SparseTarget, PoolError> {
    let targets = pooler.pool_sparse(labels.label_map()?, Crop::from(unit_box))?;
    Ok(targets.into_iter().next().unwrap_or_default())
}

/// Returns the best classes of the predictions of the image and its tiles.
fn best_predicted(labels: &ImageLabels) -> Vec<u32> {
    predictions(labels).filter_map(|prediction| prediction.classes().first().copied()).collect()
}

/// Returns the predictions of the image and its tiles.
fn predictions(labels: &ImageLabels) -> impl Iterator<Item = &ImagePrediction> {
    std::iter::once(&labels.prediction).chain(labels.tiles.iter().map(|tile| &tile.prediction))
}

impl Verdict {
    /// Compares the labels of an image and their target with the folder class.
    #[must_use]
    pub fn new(labels: &ImageLabels, target: &SparseTarget, folder_class: Option<u32>) -> Self {
        let contain = |class: u32| match &labels.map {
            Some(map) => map.cell_classes().contains(&class),
            None => predictions(labels).any(|prediction| prediction.rank_of(class).is_some()),
        };
        match folder_class {
            None => Self::NotCompared,
            Some(class) if target.classes.first() == Some(&class) => Self::Agrees,
            Some(class) if contain(class) => Self::Differs,
            Some(_) => Self::Absent,
        }
    }

    /// Returns the serialised name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Agrees => "agrees",
            Self::Differs => "differs",
            Self::Absent => "absent",
            Self::NotCompared => "not-compared",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::geometry::MapSize;
    use crate::shared::label_map::{ScoreRounding, TileLabels};
    use crate::shared::tiles::{Covering, Tiles};

    #[test]
    fn statistics_of_an_image_of_two_halves() {
        let size = MapSize::new(1, 2).unwrap();
        let map = LabelMap::from_cells(&[9.0, 1.0, 8.0, 2.0], &[3, 5, 4, 5], 2, size, ScoreRounding::Float16).unwrap();
        let labels = ImageLabels::new(map, ImagePrediction::from_ranks(&[0.9], &[7]).unwrap());
        let examiner = || Examiner::new(10, LabelSources::new(true, None));
        let statistics = examiner().statistics(&labels, Some(4)).unwrap();
        assert_eq!(statistics.target.classes, [3, 4, 5]);
        assert_eq!(
            (&*statistics.winners, statistics.objects, statistics.folder_class_cells),
            ([3, 4].as_slice(), 2, Some(1))
        );
        let total = 4.5_f32.exp() + 4_f32.exp() + 1.5_f32.exp() + 7.0;
        assert!((statistics.folder_class_prob.unwrap() - 4_f32.exp() / total).abs() < 1e-6);
        let verdict = |folder_class| examiner().statistics(&labels, folder_class).unwrap().verdict;
        assert_eq!(
            [Some(3), Some(5), Some(7), None].map(verdict),
            [Verdict::Agrees, Verdict::Differs, Verdict::Absent, Verdict::NotCompared]
        );
        assert!(matches!(
            examiner().pool(&ImageLabels { map: None, ..labels }, UnitBox::WHOLE, CropPooling::default()),
            Err(StatisticsError::Pool(_))
        ));
    }

    #[test]
    fn without_a_map_statistics_are_those_of_predictions() {
        let prediction = |class: i32| ImagePrediction::from_ranks(&[0.75, 0.125], &[class, 9]).unwrap();
        let tile = |class: i32| TileLabels { prediction: prediction(class), map: None };
        let labels = ImageLabels { map: None, prediction: prediction(3), tiles: [3, 4, 3, 3].map(tile).to_vec() };
        let tiles = Tiles::new("4".into(), Covering::Four.boxes(), 2, false).unwrap();
        let mut examiner = Examiner::new(10, LabelSources::new(false, Some(&tiles)));
        let statistics = examiner.statistics(&labels, Some(3)).unwrap();
        let weights = (8.0_f32.exp(), (8.0_f32 * 4.0 / 9.0).exp());
        let of_tile = weights.1 / (weights.0 + 4.0 * weights.1);
        let prob = 0.75 * (1.0 - of_tile) + 0.125 / 8.0 * of_tile;
        assert!((statistics.folder_class_prob.unwrap() - prob).abs() < 1e-3, "{:?}", statistics.folder_class_prob);
        assert_eq!((&*statistics.winners, statistics.objects), ([3, 4].as_slice(), 0));
        assert_eq!(statistics.folder_class_cells, None);
        let by_overlap = CropPooling::Mixed(PoolingParameters::PREDICTIONS_BY_OVERLAP);
        assert_eq!(examiner.pool(&labels, UnitBox::WHOLE, by_overlap).unwrap(), statistics.target);
        let mut verdict = |folder_class| examiner.statistics(&labels, Some(folder_class)).unwrap().verdict;
        assert_eq!(
            [3, 4, 9, 5].map(&mut verdict),
            [Verdict::Agrees, Verdict::Differs, Verdict::Differs, Verdict::Absent]
        );
    }

    #[test]
    fn entropy_counts_all_classes() {
        let flat = SparseTarget { classes: vec![2], probs: vec![0.25], rest: 0.75 };
        assert!((flat.entropy(4) - 4_f32.ln()).abs() < 1e-6);
        assert!((flat.prob_of(0, 4) - 0.25).abs() < 1e-7 && (flat.prob_of(2, 4) - 0.25).abs() < 1e-7);
        let sure = SparseTarget { classes: vec![2], probs: vec![1.0], rest: 0.0 };
        assert!(sure.entropy(4).abs() < 1e-7);
    }
}
