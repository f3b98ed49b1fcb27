//! Pools the same crops of many maps: the targets of [`Pooler`](super::Pooler), for many crops at a time (test
//! `pooling::crops_pooled_together_equal_crops_pooled_alone`).

use half::slice::HalfFloatSliceExt as _;

use super::axis_samples::AxisSamples;
use super::cell_weights::CellWeights;
use super::pool_error::PoolError;
use crate::shared::geometry::{MapSize, UnitBox};
use crate::shared::label_map::LabelMap;

/// Crops that are pooled at a time. Their sums of all classes of a map fit into the L1 cache.
const LANES: usize = 16;

/// Weights of a map's cells in each of several crops, pooled with the default options.
#[derive(Debug)]
pub struct CropWeights {
    size: MapSize,
    crops: usize,
    blocks: Vec<Vec<CellLanes>>,
}

/// A cell with nonzero weight in some crops of a block.
#[derive(Debug)]
struct CellLanes {
    cell: usize,
    weights: [f64; LANES],
    /// Crops in which the weight is nonzero, one bit for each.
    in_crops: u16,
}

/// Pools the crops of [`CropWeights`] in one map after the other. Every thread needs its own.
#[derive(Debug)]
pub struct CropPooler<'a> {
    weights: &'a CropWeights,
    /// Index of each class in `classes`, or [`ABSENT`].
    class_index: Vec<u32>,
    classes: Vec<u32>,
    /// Index in `classes` of the class of each score, `[y, x, k]`.
    score_classes: Vec<u32>,
    scores: Vec<f32>,
    /// For each of `classes`: pooled scores, and the crops with a cell that has the class, one bit for each.
    sums: Vec<([f64; LANES], u16)>,
}

const ABSENT: u32 = u32::MAX;

/// Properties of the target of a crop with regard to one class.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CropLabel {
    /// Best class among those that some cell has; the lower id if two are equal.
    pub best_class: u32,
    /// Probability of the requested class.
    pub prob: f64,
}

impl CropWeights {
    /// Computes the weights of crops for maps of one size.
    #[must_use]
    pub fn new(size: MapSize, crops: &[UnitBox]) -> Self {
        let width = size.width_cells();
        let sides = crops.iter().map(|&crop| {
            let [y, x] = AxisSamples::of_box(crop, size);
            (y.part_weights(0), x.part_weights(0))
        });
        let sides: Vec<_> = sides.collect();
        let block = |sides: &[(Vec<f64>, Vec<f64>)]| {
            let cells = (0..size.cells()).map(|cell| {
                let mut lanes = CellLanes { cell, weights: [0.0; LANES], in_crops: 0 };
                for (lane, (y, x)) in sides.iter().enumerate() {
                    lanes.weights[lane] = CellWeights::product(y, x).at(cell / width, cell % width);
                    lanes.in_crops |= u16::from(lanes.weights[lane] != 0.0) << lane;
                }
                lanes
            });
            cells.filter(|lanes| lanes.in_crops != 0).collect()
        };
        Self { size, crops: crops.len(), blocks: sides.chunks(LANES).map(block).collect() }
    }
}

impl<'a> CropPooler<'a> {
    /// Creates a pooler for the maps of a teacher with `class_count` classes.
    #[must_use]
    pub fn new(class_count: usize, weights: &'a CropWeights) -> Self {
        Self {
            weights,
            class_index: vec![ABSENT; class_count],
            classes: Vec::new(),
            score_classes: Vec::new(),
            scores: Vec::new(),
            sums: Vec::new(),
        }
    }

    /// Pools all crops of a map, and returns the result for `class` in the order of the crops.
    ///
    /// # Errors
    /// Returns [`PoolError::MapSize`] if the size of the map differs; [`PoolError::ClassId`] if it has a class that the teacher
    /// does not have.
    pub fn pool(&mut self, map: &LabelMap, class: u32) -> Result<Vec<CropLabel>, PoolError> {
        if map.size() != self.weights.size {
            return Err(PoolError::MapSize { found: map.size(), expected: self.weights.size });
        }
        self.find_classes(map)?;
        let k = map.k();
        self.scores.resize(map.cell_scores().len(), 0.0);
        map.cell_scores().convert_to_f32_slice(&mut self.scores);
        let mut labels = Vec::with_capacity(self.weights.blocks.len() * LANES);
        for block in &self.weights.blocks {
            self.sums.clear();
            self.sums.resize(self.classes.len(), ([0.0; LANES], 0));
            for lanes in block {
                for at in lanes.cell * k..(lanes.cell + 1) * k {
                    let (sums, in_crops) = &mut self.sums[self.score_classes[at] as usize];
                    let score = f64::from(self.scores[at]);
                    for (sum, weight) in sums.iter_mut().zip(&lanes.weights) {
                        *sum += weight * score;
                    }
                    *in_crops |= lanes.in_crops;
                }
            }
            labels.extend((0..LANES).map(|lane| self.label(lane, class)));
        }
        labels.truncate(self.weights.crops);
        Ok(labels)
    }

    fn find_classes(&mut self, map: &LabelMap) -> Result<(), PoolError> {
        for class in self.classes.drain(..) {
            self.class_index[class as usize] = ABSENT;
        }
        self.score_classes.clear();
        self.score_classes.resize(map.cell_classes().len(), 0);
        // Rank by rank: the order of `classes` is the order of summation in softmax, and published audits depend on its
        // last bits.
        for at in (0..map.k()).flat_map(|rank| (rank..map.cell_classes().len()).step_by(map.k())) {
            let (class, class_count) = (map.cell_classes()[at], self.class_index.len());
            let index = self.class_index.get_mut(class as usize).ok_or(PoolError::ClassId { class, class_count })?;
            if *index == ABSENT {
                *index = self.classes.len() as u32;
                self.classes.push(class);
            }
            self.score_classes[at] = *index;
        }
        Ok(())
    }

    /// Computes softmax over all classes. Those that no cell of the crop has have the score 0.
    fn label(&self, lane: usize, class: u32) -> CropLabel {
        let kept = self.classes.iter().zip(&self.sums).filter(|(_, (_, in_crops))| in_crops & (1 << lane) != 0);
        let kept = kept.map(|(&class, (sums, _))| (class, sums[lane]));
        let (mut best_class, mut best, mut count, mut wanted) = (0, f64::NEG_INFINITY, 0, 0.0);
        for (kept_class, sum) in kept.clone() {
            if sum > best || (sum >= best && kept_class < best_class) {
                (best_class, best) = (kept_class, sum);
            }
            if kept_class == class {
                wanted = sum;
            }
            count += 1;
        }
        let absent = (self.class_index.len() - count) as f64;
        let top = if absent > 0.0 { best.max(0.0) } else { best };
        let total = kept.map(|(_, sum)| (sum - top).exp()).sum::<f64>() + absent * (-top).exp();
        CropLabel { best_class, prob: (wanted - top).exp() / total }
    }
}
