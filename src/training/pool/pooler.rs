//! Pools label maps.

use super::axis_samples::AxisSamples;
use super::cell_weights::CellWeights;
use super::class_sums::ClassSums;
use super::mask_weights::MaskWeights;
use super::options::{Convention, OutputSize, PoolOptions, Temperature};
use super::pool_error::PoolError;
use super::target::{SparseTarget, TargetValue};
use crate::shared::geometry::{Crop, UnitBox};
use crate::shared::label_map::LabelMap;

/// Pools label maps. It has buffers that are reused for each map, so every thread needs its own.
#[derive(Debug)]
pub struct Pooler {
    options: PoolOptions,
    sums: ClassSums,
}

impl Pooler {
    /// Creates a pooler for the maps of a teacher with `class_count` classes.
    #[must_use]
    pub fn new(class_count: usize, options: PoolOptions) -> Self {
        Self { options, sums: ClassSums::new(class_count) }
    }

    /// Writes the target of a crop to `target`: probabilities of all classes, `[class, y, x]` with the rows and columns of
    /// the output (`[class]` for 1×1).
    ///
    /// # Errors
    /// Returns [`PoolError::ClassId`] if the map has a class that the teacher does not have; [`PoolError::NoLse`] if the fill
    /// needs a log-sum-exp that the map does not have.
    ///
    /// # Panics
    /// Panics if `target` has a different length.
    pub fn pool<T: TargetValue>(&mut self, map: &LabelMap, crop: Crop, target: &mut [T]) -> Result<(), PoolError> {
        let parts = self.options.output.parts();
        assert_eq!(target.len(), self.sums.class_count() * parts, "one value for each class and part");
        self.for_each_part(map, crop, |part, sums, temperature| sums.write_dense(temperature, target, part, parts))
    }

    /// Returns the sparse target of each part of the output, row by row.
    ///
    /// # Errors
    /// See [`Pooler::pool`].
    pub fn pool_sparse(&mut self, map: &LabelMap, crop: Crop) -> Result<Vec<SparseTarget>, PoolError> {
        let mut targets = vec![SparseTarget::default(); self.options.output.parts()];
        self.for_each_part(map, crop, |part, sums, temperature| {
            sums.write_sparse(temperature, usize::MAX, &mut targets[part]);
        })?;
        Ok(targets)
    }

    /// Calls `write` for each part of the output with its number and the best `top` classes of its target. The probability of
    /// the others is added to the rest.
    ///
    /// # Errors
    /// See [`Pooler::pool`].
    pub fn for_each_sparse(
        &mut self,
        map: &LabelMap,
        crop: Crop,
        top: usize,
        mut write: impl FnMut(usize, &SparseTarget),
    ) -> Result<(), PoolError> {
        let mut target = SparseTarget::default();
        self.for_each_part(map, crop, |part, sums, temperature| {
            sums.write_sparse(temperature, top, &mut target);
            write(part, &target);
        })
    }

    /// Writes the target of the part of a crop that is not covered by a pasted box (CutMix by region). `hidden` is in 0..1
    /// of the crop after any flip. If nothing is hidden, it is the target of the crop. Definition:
    /// [`cutmix`](crate::training::cutmix).
    ///
    /// # Errors
    /// See [`Pooler::pool`].
    ///
    /// # Panics
    /// Panics if `target` has a different length, or if the output is not 1×1.
    pub fn pool_visible<T: TargetValue>(
        &mut self,
        map: &LabelMap,
        crop: Crop,
        hidden: UnitBox,
        target: &mut [T],
    ) -> Result<(), PoolError> {
        assert_eq!(self.options.output.parts(), 1, "a visible region has one target");
        assert_eq!(target.len(), self.sums.class_count(), "one value for each class");
        let hidden = if crop.is_flipped { hidden.mirrored() } else { hidden };
        let (y, x) = self.axes(map, crop.unit_box);
        let weights = CellWeights::visible(&y, &x, hidden);
        self.sums.add_map(map, &weights, self.options.fill)?;
        self.sums.write_dense(self.options.temperature, target, 0, 1);
        self.sums.clear();
        Ok(())
    }

    /// Writes the target of a region of any shape: the mean over the cells under a mask, then softmax over all classes.
    ///
    /// # Errors
    /// See [`Pooler::pool`]. Also returns [`PoolError::MapSize`] if the mask was resized for maps of another size.
    ///
    /// # Panics
    /// Panics if `target` has a different length, or if the output is not 1×1.
    pub fn pool_mask<T: TargetValue>(
        &mut self,
        map: &LabelMap,
        mask: &MaskWeights,
        target: &mut [T],
    ) -> Result<(), PoolError> {
        assert_eq!(self.options.output.parts(), 1, "a mask has one target");
        assert_eq!(target.len(), self.sums.class_count(), "one value for each class");
        if map.size() != mask.size() {
            return Err(PoolError::MapSize { found: map.size(), expected: mask.size() });
        }
        self.sums.add_map(map, &CellWeights::Mask(mask), self.options.fill)?;
        self.sums.write_dense(self.options.temperature, target, 0, 1);
        self.sums.clear();
        Ok(())
    }

    fn for_each_part(
        &mut self,
        map: &LabelMap,
        crop: Crop,
        mut write: impl FnMut(usize, &mut ClassSums, Temperature),
    ) -> Result<(), PoolError> {
        let OutputSize { rows, columns } = self.options.output;
        let (y, x) = self.axes(map, crop.unit_box);
        let x_weights: Vec<_> = (0..columns).map(|column| x.part_weights(column)).collect();
        for row in 0..rows {
            let y_weights = y.part_weights(row);
            for (column, x_weights) in x_weights.iter().enumerate() {
                let weights = CellWeights::product(&y_weights, x_weights);
                self.sums.add_map(map, &weights, self.options.fill)?;
                let seen_column = if crop.is_flipped { columns - 1 - column } else { column };
                write(row * columns + seen_column, &mut self.sums, self.options.temperature);
                self.sums.clear();
            }
        }
        Ok(())
    }

    /// Returns the samples along the box's sides, y first.
    fn axes(&self, map: &LabelMap, unit: UnitBox) -> (AxisSamples, AxisSamples) {
        let OutputSize { rows, columns } = self.options.output;
        let (height, width) = (map.size().height_cells(), map.size().width_cells());
        match self.options.convention {
            Convention::XFirst => (
                AxisSamples::new(unit.map_y_from_unit(height), height, rows),
                AxisSamples::new(unit.map_x_from_unit(width), width, columns),
            ),
            Convention::Naver => (
                AxisSamples::new(unit.map_x_from_unit(width), height, rows),
                AxisSamples::new(unit.map_y_from_unit(width), width, columns),
            ),
        }
    }
}

#[cfg(test)]
mod tests;
