//! The labels that are compared with the teacher's prediction for a crop.

use super::crop_job::TeacherCrop;
use super::label_agreement::{CropPrediction, LabelAgreement};
use crate::evaluation::evaluation_file::LabelKind;
use crate::shared::error::Error;
use crate::shared::geometry::{Crop, UnitBox};
use crate::shared::label_map::{ImageLabels, LabelMap};
use crate::shared::pooling_parameters::PoolingParameters;
use crate::shared::store::StoreReader;
use crate::shared::tiles::{Covering, Tiles};
use crate::training::pool::{
    Fill, LabelSources, MixedPooler, PoolError, PoolOptions, Pooler, SparseTarget, prediction_target,
};

/// A label that is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ComparedLabel {
    /// A kind of label.
    Kind(LabelKind),
    /// [`LabelKind::Tiles`] with the tiles of a covering only.
    Covering(Covering),
}

impl ComparedLabel {
    /// Returns the labels that are compared for a store: all kinds, and the coverings that are a part of its tiles.
    pub(super) fn of_tiles(tiles: Option<&Tiles>) -> Vec<Self> {
        let kinds = LabelKind::ALL.into_iter().map(Self::Kind);
        let is_part = |tiles: &Tiles, covering: Covering| {
            tiles.positions_of(covering).is_some_and(|positions| positions.len() < tiles.count())
        };
        let coverings =
            Covering::ALL.into_iter().filter(|&(_, covering)| tiles.is_some_and(|tiles| is_part(tiles, covering)));
        kinds.chain(coverings.map(|(_, covering)| Self::Covering(covering))).collect()
    }

    /// Returns whether divergences from the teacher's prediction are finite.
    pub(super) fn has_divergence(self) -> bool {
        match self {
            Self::Kind(kind) => kind.has_divergence(),
            Self::Covering(_) => true,
        }
    }
}

/// Parameters of calibrated pooling.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct CalibratedParameters {
    pub(crate) all: PoolingParameters,
    /// Fitted without tiles, if there are tiles.
    pub(crate) without_tiles: Option<PoolingParameters>,
}

/// Agreement of each compared label with the teacher; `None` for labels that do not exist.
pub(crate) type Agreements = Vec<Option<LabelAgreement>>;

/// Computes the labels of crops.
pub(crate) struct CropLabeller<'a> {
    store: &'a StoreReader,
    labels: Vec<ComparedLabel>,
    poolers: LabelPoolers<'a>,
    scratch: Vec<f64>,
}

/// A crop after the comparison.
pub(crate) struct ComparedCrop {
    /// The target, if the store has label maps.
    pub(super) pooled: Option<SparseTarget>,
    pub(crate) agreements: Agreements,
}

/// What computes each label.
struct LabelPoolers<'a> {
    class_count: usize,
    tiles: Option<&'a Tiles>,
    paper: Pooler,
    rest: Option<Pooler>,
    calibrated: Option<MixedPooler>,
    calibrated_without_tiles: Option<MixedPooler>,
    by_overlap: Option<MixedPooler>,
    coverings: Vec<(Covering, MixedPooler)>,
}

impl<'a> CropLabeller<'a> {
    /// Reads the calibration of the store.
    ///
    /// # Errors
    /// See [`StoreReader::calibration`].
    pub(super) fn new(store: &'a StoreReader) -> Result<Self, Error> {
        let labels = ComparedLabel::of_tiles(store.info().tiles.as_ref());
        let calibration = store.calibration()?;
        let calibrated = calibration.map(|calibration| CalibratedParameters {
            all: calibration.parameters,
            without_tiles: calibration.parameters_without_tiles,
        });
        Ok(Self::with_labels(store, labels, calibrated))
    }

    /// Creates a labeller for some kinds of labels, with parameters of calibrated pooling that the store does not have yet.
    pub(crate) fn with_calibration(
        store: &'a StoreReader,
        kinds: &[LabelKind],
        calibrated: CalibratedParameters,
    ) -> Self {
        Self::with_labels(store, kinds.iter().copied().map(ComparedLabel::Kind).collect(), Some(calibrated))
    }

    fn with_labels(
        store: &'a StoreReader,
        labels: Vec<ComparedLabel>,
        calibrated: Option<CalibratedParameters>,
    ) -> Self {
        let poolers = LabelPoolers::new(store, &labels, calibrated);
        Self { store, labels, poolers, scratch: Vec::new() }
    }

    /// The compared labels, in the order of [`Agreements`].
    pub(super) fn labels(&self) -> &[ComparedLabel] {
        &self.labels
    }

    /// Compares all labels of a crop with the teacher's prediction.
    ///
    /// # Errors
    /// Returns [`Error::Store`] if the labels of the image have a class that the teacher does not have.
    pub(crate) fn compare(
        &mut self,
        crop: &TeacherCrop<'_>,
        prediction: &CropPrediction<'_>,
        folder_class: Option<u32>,
    ) -> Result<ComparedCrop, Error> {
        self.try_compare(crop, prediction, folder_class).map_err(|error| Error::Store {
            path: self.store.path().to_path_buf(),
            problem: format!("row {}: {error}", crop.row).into(),
        })
    }

    fn try_compare(
        &mut self,
        crop: &TeacherCrop<'_>,
        prediction: &CropPrediction<'_>,
        folder_class: Option<u32>,
    ) -> Result<ComparedCrop, PoolError> {
        let unit_box = crop.crop.unit_box();
        let mut compared = ComparedCrop { pooled: None, agreements: Vec::with_capacity(self.labels.len()) };
        for &label in &self.labels {
            let target = self.poolers.label(label, crop.labels, unit_box, folder_class)?;
            compared.agreements.push(target.as_ref().map(|target| prediction.compare(target, &mut self.scratch)));
            if label == ComparedLabel::Kind(LabelKind::Pooled) {
                compared.pooled = target;
            }
        }
        Ok(compared)
    }
}

impl<'a> LabelPoolers<'a> {
    fn new(store: &'a StoreReader, labels: &[ComparedLabel], calibrated: Option<CalibratedParameters>) -> Self {
        let info = store.info();
        let (class_count, tiles, has_map) = (info.classes.count, info.tiles.as_ref(), info.map_size.is_some());
        let mixed =
            |parameters: PoolingParameters, sources: LabelSources| MixedPooler::new(class_count, parameters, sources);
        let by_overlap = |sources: LabelSources| mixed(PoolingParameters::PREDICTIONS_BY_OVERLAP, sources);
        let all = LabelSources::new(has_map, tiles);
        let covering = |label: &ComparedLabel| {
            let ComparedLabel::Covering(covering) = *label else { return None };
            let positions = tiles?.positions_of(covering)?;
            Some((covering, by_overlap(all.clone().with_tiles(&positions))))
        };
        let rest = PoolOptions { fill: Fill::Rest, ..PoolOptions::default() };
        let without_tiles = calibrated.and_then(|parameters| parameters.without_tiles).filter(|_| tiles.is_some());
        Self {
            class_count,
            tiles,
            paper: Pooler::new(class_count, PoolOptions::default()),
            rest: info.with_lse.then(|| Pooler::new(class_count, rest)),
            calibrated: calibrated.map(|parameters| mixed(parameters.all, all.clone())),
            calibrated_without_tiles: without_tiles
                .map(|parameters| mixed(parameters, LabelSources::new(has_map, None))),
            by_overlap: tiles.map(|_| by_overlap(all.clone())),
            coverings: labels.iter().filter_map(covering).collect(),
        }
    }

    /// Returns a label of a crop; `None` if it does not exist.
    fn label(
        &mut self,
        label: ComparedLabel,
        labels: &ImageLabels,
        crop: UnitBox,
        folder_class: Option<u32>,
    ) -> Result<Option<SparseTarget>, PoolError> {
        let map = labels.map.as_ref();
        let pooled = match label {
            ComparedLabel::Kind(LabelKind::Pooled) => map.map(|map| pooled(&mut self.paper, map, crop)),
            ComparedLabel::Kind(LabelKind::Rest) => {
                self.rest.as_mut().zip(map).map(|(pooler, map)| pooled(pooler, map, crop))
            }
            ComparedLabel::Kind(LabelKind::Calibrated) => mixed(self.calibrated.as_mut(), labels, crop),
            ComparedLabel::Kind(LabelKind::CalibratedWithoutTiles) => {
                mixed(self.calibrated_without_tiles.as_mut(), labels, crop)
            }
            ComparedLabel::Kind(LabelKind::TileMap) => self.tile_map(labels, crop),
            ComparedLabel::Kind(LabelKind::Tiles) => mixed(self.by_overlap.as_mut(), labels, crop),
            ComparedLabel::Kind(LabelKind::Tile) => self.tiles.map(|tiles| {
                let tile = closest_tile(tiles, crop).and_then(|tile| labels.tiles.get(tile));
                prediction_target(tile.map_or(&labels.prediction, |tile| &tile.prediction), self.class_count)
            }),
            ComparedLabel::Kind(LabelKind::Image) => Some(prediction_target(&labels.prediction, self.class_count)),
            ComparedLabel::Kind(LabelKind::Folder) => {
                folder_class.map(|class| Ok(SparseTarget { classes: vec![class], probs: vec![1.0], rest: 0.0 }))
            }
            ComparedLabel::Kind(LabelKind::Swapped) => map.map(|map| pooled(&mut self.paper, map, crop.transposed())),
            ComparedLabel::Covering(covering) => {
                let pooler = self.coverings.iter_mut().find(|(of, _)| *of == covering).map(|(_, pooler)| pooler);
                mixed(pooler, labels, crop)
            }
        };
        pooled.transpose()
    }

    /// Pools the crop in the map of the closest tile, or in that of the image.
    fn tile_map(&mut self, labels: &ImageLabels, crop: UnitBox) -> Option<Result<SparseTarget, PoolError>> {
        let tiles = self.tiles.filter(|tiles| tiles.with_maps())?;
        let in_tile = closest_tile(tiles, crop).and_then(|tile| {
            let map = labels.tiles.get(tile)?.map.as_ref()?;
            Some((map, crop.within(tiles.boxes()[tile])?))
        });
        let (map, region) = in_tile.or_else(|| Some((labels.map.as_ref()?, crop)))?;
        Some(pooled(&mut self.paper, map, region))
    }
}

/// Returns the tile with the largest overlap with a crop, the first of equal ones; `None` if the entire image has an overlap that
/// is at least as large.
fn closest_tile(tiles: &Tiles, crop: UnitBox) -> Option<usize> {
    let mut closest = (None, crop.overlap(UnitBox::WHOLE));
    for (tile, &unit_box) in tiles.boxes().iter().enumerate() {
        let overlap = crop.overlap(unit_box);
        if overlap > closest.1 {
            closest = (Some(tile), overlap);
        }
    }
    closest.0
}

/// Pools a box of a label map.
fn pooled(pooler: &mut Pooler, map: &LabelMap, unit_box: UnitBox) -> Result<SparseTarget, PoolError> {
    let targets = pooler.pool_sparse(map, Crop::from(unit_box))?;
    Ok(targets.into_iter().next().unwrap_or_default())
}

/// Pools a crop with a pooler that may not exist.
fn mixed(
    pooler: Option<&mut MixedPooler>,
    labels: &ImageLabels,
    crop: UnitBox,
) -> Option<Result<SparseTarget, PoolError>> {
    pooler.map(|pooler| pooler.pool_sparse(labels, crop))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit_box([x0, y0, x1, y1]: [f64; 4]) -> UnitBox {
        UnitBox::new(x0, y0, x1, y1).unwrap()
    }

    fn tiles(covering: Covering) -> Tiles {
        Tiles::new(covering.name().to_owned(), covering.boxes(), 5, false).unwrap()
    }

    #[test]
    fn the_closest_tile_has_the_largest_overlap() {
        let five = tiles(Covering::Five);
        let closest = |sides: [f64; 4]| closest_tile(&five, unit_box(sides));
        assert_eq!(closest([0.0, 0.0, 1.0, 1.0]), None);
        assert_eq!(closest([0.0, 0.0, 0.9, 0.9]), None);
        assert_eq!(closest([0.5, 0.0, 1.0, 0.6]), Some(1));
        assert_eq!(closest([0.3, 0.3, 0.7, 0.7]), Some(4));
        // Of equal tiles, the first.
        assert_eq!(closest([0.25, 0.0, 0.75, 0.25]), Some(0));
        let half = Tiles::new("half".to_owned(), vec![unit_box([0.0, 0.0, 0.5, 1.0])], 5, false).unwrap();
        assert_eq!(closest_tile(&half, unit_box([0.25, 0.0, 0.75, 1.0])), None, "0.25 / 0.75, and 0.5 / 1");
        assert_eq!(closest_tile(&half, unit_box([0.0, 0.0, 0.5, 1.0])), Some(0));
    }

    #[test]
    fn coverings_that_are_a_part_of_the_tiles_are_compared() {
        let coverings = |tiles: Option<&Tiles>| {
            let labels = ComparedLabel::of_tiles(tiles);
            assert_eq!(labels[..LabelKind::COUNT], LabelKind::ALL.map(ComparedLabel::Kind));
            labels[LabelKind::COUNT..].to_vec()
        };
        assert_eq!(coverings(None), []);
        assert_eq!(coverings(Some(&tiles(Covering::Five))), []);
        assert_eq!(coverings(Some(&tiles(Covering::Nine))), [ComparedLabel::Covering(Covering::Five)]);
        let parts = [Covering::Four, Covering::Five, Covering::Nine].map(ComparedLabel::Covering);
        assert_eq!(coverings(Some(&tiles(Covering::FourAndNine))), parts);
    }
}
