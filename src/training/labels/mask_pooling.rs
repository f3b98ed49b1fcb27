//! Pools masks over the label maps of a store's rows.

use std::num::NonZeroUsize;

use super::crop_pooling::CropPooling;
use super::{Labels, parallel_chunks, same_length};
use crate::shared::error::Error;
use crate::shared::geometry::MapSize;
use crate::shared::label_map::LabelMap;
use crate::shared::store::DecodeScratch;
use crate::training::pool::{Fill, MaskWeights, PoolOptions, Pooler, TargetValue, Temperature};

/// Options of pooling under masks.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct MaskPooling {
    /// Score of a class that a cell does not have.
    pub fill: Fill,
    /// Divisor of pooled scores before softmax.
    pub temperature: Temperature,
}

impl Labels {
    /// Returns the size of the label maps.
    ///
    /// # Errors
    /// Returns [`Error::NoLabelMaps`] if the store has none; `action` is what cannot be done then, such as "pool label maps".
    pub fn map_size(&self, action: &'static str) -> Result<MapSize, Error> {
        self.reader.map_size(action)
    }

    /// Pools each row's label map under a mask into `targets`, `[mask, class]`: the mean of the scores over the cells with the
    /// weights of the mask, then softmax over all classes. Several masks of one image are several equal rows; the map is
    /// decoded once if they follow each other.
    ///
    /// # Errors
    /// See [`Labels::pool`]. Also returns [`Error::NoLabelMaps`] if the store has no label maps; [`Error::Usage`] if the fill
    /// needs a log-sum-exp that it does not have; and [`Error::Threads`] if threads cannot be started.
    pub fn pool_masks_into<T: TargetValue>(
        &self,
        rows: &[usize],
        masks: &[MaskWeights],
        pooling: MaskPooling,
        threads: NonZeroUsize,
        targets: &mut [T],
    ) -> Result<(), Error> {
        let MaskPooling { fill, temperature } = pooling;
        let options = PoolOptions { fill, temperature, ..PoolOptions::default() };
        CropPooling::from(options).check(&self.reader)?;
        same_length("rows and masks", rows.len(), masks.len())?;
        same_length("values of targets and rows times classes", targets.len(), rows.len() * self.class_count())?;
        parallel_chunks::for_each_chunk(
            threads,
            targets,
            self.class_count(),
            || (Pooler::new(self.class_count(), options), LastMap::default()),
            |(pooler, last), at, target| {
                let pooled = pooler.pool_mask(last.read(self, rows[at])?, &masks[at], target);
                pooled.map_err(|problem| self.unusable(rows[at], &problem))
            },
        )
    }
}

/// The map that was read last.
#[derive(Default)]
struct LastMap {
    map: Option<(usize, LabelMap)>,
    scratch: DecodeScratch,
}

impl LastMap {
    fn read(&mut self, labels: &Labels, row: usize) -> Result<&LabelMap, Error> {
        let map = match self.map.take() {
            Some(last) if last.0 == row => last,
            _ => (row, labels.map_with(row, &mut self.scratch)?),
        };
        Ok(&self.map.insert(map).1)
    }
}
