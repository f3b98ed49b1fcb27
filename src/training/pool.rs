//! LabelPooling (*Re-labeling ImageNet*, section 3.2): the label of a crop, from the label map of its image.
//!
//! It is `torchvision.ops.roi_align` of the densified map with the settings of `docs/label-pooling.md`, then softmax,
//! but the map is never densified: `RoIAlign` to one value is a weighted sum over cells, each weight is a product of
//! one for the row and one for the column, and all classes that no cell holds share one value. It equals torchvision to
//! 1e-5 (tests `pooling::golden_boxes_pool_to_the_golden_targets` and
//! `pooling::random_maps_and_boxes_pool_like_dense_maps`).

mod axis;
mod cells;
mod options;
mod target;
mod crops;

pub use crops::{CropLabel, CropPooler, CropWeights};
pub use options::{Convention, Fill, OutputSize, Pooling, Temperature};
pub use target::{SparseTarget, TargetValue};

use crate::shared::geometry::{Crop, UnitBox};
use crate::shared::label_map::LabelMap;

use axis::Axis;
use cells::CellWeights;
use target::ClassSums;

/// Pools label maps, one after the other. It holds what is used again for each, so make one for each thread.
#[derive(Debug)]
pub struct Pooler {
    pooling: Pooling,
    sums: ClassSums,
}

impl Pooler {
    /// A pooler of maps of a teacher with `class_count` classes.
    #[must_use]
    pub fn new(class_count: usize, pooling: Pooling) -> Self {
        Self { pooling, sums: ClassSums::new(class_count) }
    }

    /// The label of a crop: probabilities of all classes, written to `target`, `[class, y, x]` with the output's rows
    /// and columns (`[class]` for 1×1).
    ///
    /// # Errors
    /// In words, when the map holds a class that the teacher does not have, or has no log-sum-exp although the fill
    /// needs it.
    ///
    /// # Panics
    /// When `target` has another length: a fault of the caller.
    pub fn pool<T: TargetValue>(&mut self, map: &LabelMap, crop: Crop, target: &mut [T]) -> Result<(), String> {
        let parts = self.pooling.output.parts();
        assert_eq!(target.len(), self.sums.class_count() * parts, "one value for each class and part");
        self.each_part(map, crop, |part, sums, temperature| sums.write_dense(temperature, target, part, parts))
    }

    /// The same as [`Pooler::pool`] without the classes that all have the rest in equal shares: one target for each
    /// part of the output, row by row.
    ///
    /// # Errors
    /// As for [`Pooler::pool`].
    pub fn pool_sparse(&mut self, map: &LabelMap, crop: Crop) -> Result<Vec<SparseTarget>, String> {
        let mut targets = vec![SparseTarget::default(); self.pooling.output.parts()];
        self.each_part(map, crop, |part, sums, temperature| targets[part] = sums.sparse(temperature))?;
        Ok(targets)
    }

    /// The label of what stays visible of a crop under a box that covers a part of it (CutMix by region).
    /// `hidden` is in 0..1 of the crop as it is seen, after any flip. With nothing hidden it is the crop's own label.
    /// [`crate::training::cutmix`] defines it.
    ///
    /// # Errors
    /// As for [`Pooler::pool`].
    ///
    /// # Panics
    /// When `target` has another length, or the output is not 1×1: faults of the caller.
    pub fn pool_visible<T: TargetValue>(
        &mut self,
        map: &LabelMap,
        crop: Crop,
        hidden: UnitBox,
        target: &mut [T],
    ) -> Result<(), String> {
        assert_eq!(self.pooling.output.parts(), 1, "a visible region has one label");
        assert_eq!(target.len(), self.sums.class_count(), "one value for each class");
        let hidden = if crop.is_flipped { hidden.mirrored() } else { hidden };
        let (y, x) = self.axes(map, crop.unit_box);
        let weights = CellWeights::visible(&y, &x, hidden);
        self.sums.add_map(map, &weights, self.pooling.fill)?;
        self.sums.write_dense(self.pooling.temperature, target, 0, 1);
        self.sums.clear();
        Ok(())
    }

    fn each_part(
        &mut self,
        map: &LabelMap,
        crop: Crop,
        mut take: impl FnMut(usize, &ClassSums, Temperature),
    ) -> Result<(), String> {
        let OutputSize { rows, columns } = self.pooling.output;
        let (y, x) = self.axes(map, crop.unit_box);
        let x_weights: Vec<_> = (0..columns).map(|column| x.part_weights(column)).collect();
        for row in 0..rows {
            let y_weights = y.part_weights(row);
            for (column, x_weights) in x_weights.iter().enumerate() {
                let weights = CellWeights::product(&y_weights, x_weights);
                self.sums.add_map(map, &weights, self.pooling.fill)?;
                let seen_column = if crop.is_flipped { columns - 1 - column } else { column };
                take(row * columns + seen_column, &self.sums, self.pooling.temperature);
                self.sums.clear();
            }
        }
        Ok(())
    }

    /// The box's sides on the map, y first.
    fn axes(&self, map: &LabelMap, unit: UnitBox) -> (Axis, Axis) {
        let OutputSize { rows, columns } = self.pooling.output;
        let (height, width) = (map.size().height_cells(), map.size().width_cells());
        match self.pooling.convention {
            Convention::XFirst => (
                Axis::new(unit.map_y_from_unit(height), height, rows),
                Axis::new(unit.map_x_from_unit(width), width, columns),
            ),
            Convention::Naver => (
                Axis::new(unit.map_x_from_unit(width), height, rows),
                Axis::new(unit.map_y_from_unit(width), width, columns),
            ),
        }
    }
}

#[cfg(test)]
mod tests;
