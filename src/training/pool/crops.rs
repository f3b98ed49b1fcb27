//! The labels of the same crops in one map after the other: what [`super::Pooler`] gives for each, for many at once (test
//! `pooling::crops_pooled_together_equal_crops_pooled_alone`).

use half::slice::HalfFloatSliceExt as _;

use super::axis::Axis;
use super::cells::CellWeights;
use crate::shared::geometry::{MapSize, UnitBox};
use crate::shared::label_map::LabelMap;

/// Crops that are pooled beside each other. Their sums of all classes of a map stay in the nearest cache.
const LANES: usize = 16;

/// How much each cell of a map counts in each of some crops, pooled as the paper pools them.
#[derive(Debug)]
pub struct CropWeights {
    size: MapSize,
    crops: usize,
    blocks: Vec<Vec<CellLanes>>,
}

/// A cell that counts in some of the crops of a block.
#[derive(Debug)]
struct CellLanes {
    cell: usize,
    weights: [f64; LANES],
    /// In which it counts, one bit for each.
    counts_in: u16,
}

/// Pools these crops of one map after the other. Make one for each thread.
#[derive(Debug)]
pub struct CropPooler<'a> {
    weights: &'a CropWeights,
    /// Place of each class among those of the map, or [`NOWHERE`].
    place_of: Vec<u32>,
    classes: Vec<u32>,
    /// Of each score of the map, `[k, y, x]`: the place of its class.
    places: Vec<u32>,
    scores: Vec<f32>,
    /// By place: pooled scores, and the crops with a cell that holds the class.
    sums: Vec<([f64; LANES], u16)>,
}

const NOWHERE: u32 = u32::MAX;

/// The label of a crop, as far as it is about one class.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CropLabel {
    /// The best of the classes that some cell holds; the lower id where two are equal.
    pub best_class: u32,
    /// Probability of the class that was asked about.
    pub prob: f64,
}

impl CropWeights {
    /// Of crops of maps of one size.
    #[must_use]
    pub fn new(size: MapSize, crops: &[UnitBox]) -> Self {
        let (height, width) = (size.height_cells(), size.width_cells());
        let sides = crops.iter().map(|crop| {
            let y = Axis::new(crop.map_y_from_unit(height), height, 1).part_weights(0);
            let x = Axis::new(crop.map_x_from_unit(width), width, 1).part_weights(0);
            (y, x)
        });
        let sides: Vec<_> = sides.collect();
        let block = |sides: &[(Vec<f64>, Vec<f64>)]| {
            let cells = (0..size.cells()).map(|cell| {
                let mut lanes = CellLanes { cell, weights: [0.0; LANES], counts_in: 0 };
                for (lane, (y, x)) in sides.iter().enumerate() {
                    lanes.weights[lane] = CellWeights::product(y, x).at(cell / width, cell % width);
                    lanes.counts_in |= u16::from(lanes.weights[lane] != 0.0) << lane;
                }
                lanes
            });
            cells.filter(|lanes| lanes.counts_in != 0).collect()
        };
        Self { size, crops: crops.len(), blocks: sides.chunks(LANES).map(block).collect() }
    }
}

impl<'a> CropPooler<'a> {
    /// A pooler of maps of a teacher with `class_count` classes.
    #[must_use]
    pub fn new(class_count: usize, weights: &'a CropWeights) -> Self {
        Self {
            weights,
            place_of: vec![NOWHERE; class_count],
            classes: Vec::new(),
            places: Vec::new(),
            scores: Vec::new(),
            sums: Vec::new(),
        }
    }

    /// The labels of all crops of a map, as far as they are about `class`; in the order of the crops.
    ///
    /// # Errors
    /// In words, when the map has another size, or holds a class that the teacher does not have.
    pub fn pool(&mut self, map: &LabelMap, class: u32) -> Result<Vec<CropLabel>, String> {
        if map.size() != self.weights.size {
            return Err(format!("it is a map of {} cells, not {}", map.size(), self.weights.size));
        }
        self.find_classes(map)?;
        let (k, cells) = (map.k(), map.size().cells());
        self.scores.resize(map.scores().len(), 0.0);
        map.scores().convert_to_f32_slice(&mut self.scores);
        let mut labels = Vec::with_capacity(self.weights.blocks.len() * LANES);
        for block in &self.weights.blocks {
            self.sums.clear();
            self.sums.resize(self.classes.len(), ([0.0; LANES], 0));
            for lanes in block {
                for at in (0..k).map(|rank| rank * cells + lanes.cell) {
                    let (sums, held_in) = &mut self.sums[self.places[at] as usize];
                    let score = f64::from(self.scores[at]);
                    for (sum, weight) in sums.iter_mut().zip(&lanes.weights) {
                        *sum += weight * score;
                    }
                    *held_in |= lanes.counts_in;
                }
            }
            labels.extend((0..LANES).map(|lane| self.label(lane, class)));
        }
        labels.truncate(self.weights.crops);
        Ok(labels)
    }

    fn find_classes(&mut self, map: &LabelMap) -> Result<(), String> {
        for class in self.classes.drain(..) {
            self.place_of[class as usize] = NOWHERE;
        }
        self.places.clear();
        for &class in map.classes() {
            let class_count = self.place_of.len();
            let Some(place) = self.place_of.get_mut(class as usize) else {
                return Err(format!("it holds class {class}, but there are {class_count} classes"));
            };
            if *place == NOWHERE {
                *place = self.classes.len() as u32;
                self.classes.push(class);
            }
            self.places.push(*place);
        }
        Ok(())
    }

    /// Softmax over all classes, those that no cell of the crop holds having the score 0.
    fn label(&self, lane: usize, class: u32) -> CropLabel {
        let held = self.classes.iter().zip(&self.sums).filter(|(_, (_, held_in))| held_in & (1 << lane) != 0);
        let held = held.map(|(&class, (sums, _))| (class, sums[lane]));
        let (mut best_class, mut best, mut count, mut wanted) = (0, f64::NEG_INFINITY, 0, 0.0);
        for (held_class, sum) in held.clone() {
            if sum > best || (sum >= best && held_class < best_class) {
                (best_class, best) = (held_class, sum);
            }
            if held_class == class {
                wanted = sum;
            }
            count += 1;
        }
        let absent = (self.place_of.len() - count) as f64;
        let top = if absent > 0.0 { best.max(0.0) } else { best };
        let total = held.map(|(_, sum)| (sum - top).exp()).sum::<f64>() + absent * (-top).exp();
        CropLabel { best_class, prob: (wanted - top).exp() / total }
    }
}
