//! Regions and objects of a label map: where each class is the best.

use std::collections::BTreeMap;

use super::cell_probs::CellProbs;
use crate::shared::geometry::MapSize;
use crate::shared::label_map::LabelMap;

/// The cells of a map in which one class is the best.
#[derive(Clone, Debug, PartialEq)]
pub struct Region {
    /// Class id.
    pub class: u32,
    /// Number of cells.
    pub cells: usize,
    /// Centre of the cells, in `unit` coordinates.
    pub x: f64,
    /// Centre of the cells, in `unit` coordinates.
    pub y: f64,
    /// Highest score of the class in these cells.
    pub best_score: f32,
}

impl Region {
    /// Returns the position of the centre as text: `upper left`, `middle`, ...
    #[must_use]
    pub fn position(&self) -> &'static str {
        let third = |at: f64| if at < 0.38 { 0 } else { 1 + usize::from(at > 0.62) };
        [
            ["upper left", "upper middle", "upper right"],
            ["left", "middle", "right"],
            ["lower left", "lower middle", "lower right"],
        ][third(self.y)][third(self.x)]
    }
}

/// Returns the regions of a map, largest first; of equal ones the lower class id first.
#[must_use]
pub fn regions(map: &LabelMap) -> Vec<Region> {
    let size: MapSize = map.size();
    let mut by_class: BTreeMap<u32, Region> = BTreeMap::new();
    for y in 0..size.height_cells() {
        for x in 0..size.width_cells() {
            let (score, class) = map.at(0, y, x);
            let (unit_x, unit_y) = size.unit_from_cell(y, x);
            let empty = Region { class, cells: 0, x: 0.0, y: 0.0, best_score: f32::NEG_INFINITY };
            let region = by_class.entry(class).or_insert(empty);
            region.cells += 1;
            region.x += unit_x;
            region.y += unit_y;
            region.best_score = region.best_score.max(score.to_f32());
        }
    }
    let mut regions: Vec<Region> = by_class.into_values().collect();
    for region in &mut regions {
        region.x /= region.cells as f64;
        region.y /= region.cells as f64;
    }
    regions.sort_by(|a, b| b.cells.cmp(&a.cells).then(a.class.cmp(&b.class)));
    regions
}

/// Connected cells in which one class is the best and has a probability of at least 0.5: one object, or several of one
/// class that touch. Cells are connected at their sides, not at their corners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Object {
    /// Class id.
    pub class: u32,
    /// Number of cells.
    pub cells: usize,
}

/// Minimum probability of the class of an object.
const MIN_OBJECT_PROB: f32 = 0.5;

/// Returns the objects of a map, in the order of their first cells, row by row.
#[must_use]
pub fn objects(map: &LabelMap, probs: &CellProbs) -> Vec<Object> {
    let sure_class = |cell: usize| (probs.at(0, cell) >= MIN_OBJECT_PROB).then(|| map.cell(cell).1[0]);
    connected_cells(map.size(), sure_class)
        .into_iter()
        .map(|(class, cells)| Object { class, cells: cells.len() })
        .collect()
}

/// Returns groups of cells of one class that are connected at their sides, in the order of their first cells, row by row;
/// each with its class and its cells. `class_of` returns the class of a cell, `None` if it belongs to no group.
#[must_use]
pub fn connected_cells(size: MapSize, class_of: impl Fn(usize) -> Option<u32>) -> Vec<(u32, Vec<usize>)> {
    let mut is_grouped = vec![false; size.cells()];
    let mut groups = Vec::new();
    for first in 0..size.cells() {
        let Some(class) = class_of(first).filter(|_| !is_grouped[first]) else { continue };
        is_grouped[first] = true;
        let mut cells = vec![first];
        let mut at = 0;
        while let Some(&cell) = cells.get(at) {
            at += 1;
            for next in size.neighbours(cell) {
                if !is_grouped[next] && class_of(next) == Some(class) {
                    is_grouped[next] = true;
                    cells.push(next);
                }
            }
        }
        groups.push((class, cells));
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::label_map::ScoreRounding;

    #[test]
    fn regions_have_a_position() {
        let size = MapSize::new(2, 3).unwrap();
        let map =
            LabelMap::from_cells(&[1.0, 2.0, 3.0, 1.0, 1.0, 5.0], &[7, 7, 9, 7, 7, 9], 1, size, ScoreRounding::Float16)
                .unwrap();
        let regions = regions(&map);
        assert_eq!((regions[0].class, regions[0].cells, regions[0].position()), (7, 4, "left"));
        assert_eq!(
            (regions[1].class, regions[1].cells, regions[1].position(), regions[1].best_score),
            (9, 2, "right", 5.0)
        );
    }

    #[test]
    fn objects_are_connected_and_sure() {
        let size = MapSize::new(2, 4).unwrap();
        // 7 7 9 7
        // 7 9 9 7   the last cell has a low probability
        let classes = [7, 7, 9, 7, 7, 9, 9, 7];
        let scores = [9.0, 9.0, 9.0, 9.0, 9.0, 9.0, 9.0, 0.5];
        let map = LabelMap::from_cells(&scores, &classes, 1, size, ScoreRounding::Float16).unwrap();
        let found: Vec<_> = objects(&map, &CellProbs::new(&map, 10)).iter().map(|o| (o.class, o.cells)).collect();
        assert_eq!(found, [(7, 3), (9, 3), (7, 1)]);
    }
}
