//! Pools crops of a store's rows.

use super::Labels;
use super::crop_pooling::CropPooling;
use crate::shared::error::Error;
use crate::shared::geometry::{Crop, UnitBox};
use crate::shared::label_map::ImageLabels;
use crate::shared::store::{DecodeScratch, LabelParts};
use crate::training::pool::{LabelSources, MixedPooler, PoolError, Pooler, SparseTarget, TargetValue};

/// Pools crops of rows. Reads only those labels of a row that the target depends on. It has buffers, so every thread needs its own.
pub(super) struct RowPooler<'a> {
    labels: &'a Labels,
    pooler: AnyPooler,
    scratch: DecodeScratch,
}

enum AnyPooler {
    Paper(Pooler),
    Mixed(Box<MixedPooler>),
}

impl<'a> RowPooler<'a> {
    pub(super) fn new(labels: &'a Labels, pooling: CropPooling) -> Self {
        let (info, class_count) = (labels.info(), labels.class_count());
        let pooler = match pooling {
            CropPooling::Paper(options) => AnyPooler::Paper(Pooler::new(class_count, options)),
            CropPooling::Mixed(parameters) => {
                let sources = LabelSources::new(info.map_size.is_some(), info.tiles.as_ref());
                AnyPooler::Mixed(Box::new(MixedPooler::new(class_count, parameters, sources)))
            }
        };
        Self { labels, pooler, scratch: DecodeScratch::default() }
    }

    /// Writes the target of a crop.
    pub(super) fn pool<T: TargetValue>(&mut self, row: usize, crop: Crop, target: &mut [T]) -> Result<(), Error> {
        let pooled = match &mut self.pooler {
            AnyPooler::Paper(pooler) => pooler.pool(&self.labels.map_with(row, &mut self.scratch)?, crop, target),
            AnyPooler::Mixed(pooler) => {
                let image = needed_labels(self.labels, pooler, row, crop, None, &mut self.scratch)?;
                pooler.pool(&image, crop.unit_box, target)
            }
        };
        self.checked(row, pooled)
    }

    /// Returns the sparse target of each part of the output.
    pub(super) fn pool_sparse(&mut self, row: usize, crop: Crop) -> Result<Vec<SparseTarget>, Error> {
        let pooled = match &mut self.pooler {
            AnyPooler::Paper(pooler) => pooler.pool_sparse(&self.labels.map_with(row, &mut self.scratch)?, crop),
            AnyPooler::Mixed(pooler) => {
                let image = needed_labels(self.labels, pooler, row, crop, None, &mut self.scratch)?;
                pooler.pool_sparse(&image, crop.unit_box).map(|target| vec![target])
            }
        };
        self.checked(row, pooled)
    }

    /// Calls `write` for each part of the output with its number and the best `top` classes of its target.
    pub(super) fn for_each_sparse(
        &mut self,
        row: usize,
        crop: Crop,
        top: usize,
        mut write: impl FnMut(usize, &SparseTarget),
    ) -> Result<(), Error> {
        let pooled = match &mut self.pooler {
            AnyPooler::Paper(pooler) => {
                pooler.for_each_sparse(&self.labels.map_with(row, &mut self.scratch)?, crop, top, write)
            }
            AnyPooler::Mixed(pooler) => {
                let image = needed_labels(self.labels, pooler, row, crop, None, &mut self.scratch)?;
                pooler.pool_sparse(&image, crop.unit_box).map(|target| write(0, &target.with_top(top)))
            }
        };
        self.checked(row, pooled)
    }

    /// Writes the target of the part of a crop that is not covered by a pasted box.
    pub(super) fn pool_visible<T: TargetValue>(
        &mut self,
        row: usize,
        crop: Crop,
        hidden: UnitBox,
        target: &mut [T],
    ) -> Result<(), Error> {
        let pooled = match &mut self.pooler {
            AnyPooler::Paper(pooler) => {
                pooler.pool_visible(&self.labels.map_with(row, &mut self.scratch)?, crop, hidden, target)
            }
            AnyPooler::Mixed(pooler) => {
                let image = needed_labels(self.labels, pooler, row, crop, Some(hidden), &mut self.scratch)?;
                pooler.pool_visible(&image, crop, hidden, target)
            }
        };
        self.checked(row, pooled)
    }

    fn checked<T>(&self, row: usize, pooled: Result<T, PoolError>) -> Result<T, Error> {
        pooled.map_err(|problem| self.labels.unusable(row, &problem))
    }
}

/// Reads the labels of a row that the target of a crop depends on.
fn needed_labels(
    labels: &Labels,
    pooler: &mut MixedPooler,
    row: usize,
    crop: Crop,
    hidden: Option<UnitBox>,
    scratch: &mut DecodeScratch,
) -> Result<ImageLabels, Error> {
    let needed = pooler.needed_labels(crop, hidden);
    let tiles = needed.tile_predictions || needed.tile_maps;
    let parts = LabelParts { map: needed.map, tiles, tile_maps: needed.tile_maps };
    labels.labels_with(row, parts, scratch)
}
