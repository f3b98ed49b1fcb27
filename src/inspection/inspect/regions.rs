//! Which class wins where.

use std::collections::BTreeMap;

use super::cells::CellProbs;
use crate::shared::geometry::MapSize;
use crate::shared::label_map::LabelMap;

/// One class on a map: the cells in which it is the best.
#[derive(Clone, Debug, PartialEq)]
pub struct Region {
    /// The class.
    pub class: u32,
    /// Cells that it wins.
    pub cells: usize,
    /// Centre of these cells in `unit` coordinates.
    pub x: f64,
    /// Centre of these cells in `unit` coordinates.
    pub y: f64,
    /// Its best score in any of them.
    pub best_score: f32,
}

impl Region {
    /// Where the region's centre lies: `upper left`, `middle`, ...
    #[must_use]
    pub fn place(&self) -> &'static str {
        let third = |at: f64| if at < 0.38 { 0 } else { 1 + usize::from(at > 0.62) };
        [
            ["upper left", "upper middle", "upper right"],
            ["left", "middle", "right"],
            ["lower left", "lower middle", "lower right"],
        ][third(self.y)][third(self.x)]
    }
}

/// The winning classes of a map, most cells first; with as many cells, the lower class id first.
#[must_use]
pub fn regions(map: &LabelMap) -> Vec<Region> {
    let size: MapSize = map.size();
    let mut by_class: BTreeMap<u32, Region> = BTreeMap::new();
    for y in 0..size.height_cells() {
        for x in 0..size.width_cells() {
            let (score, class) = map.at(0, y, x);
            let (unit_x, unit_y) = size.unit_from_cell(y, x);
            let fresh = Region { class, cells: 0, x: 0.0, y: 0.0, best_score: f32::NEG_INFINITY };
            let region = by_class.entry(class).or_insert(fresh);
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

/// Connected cells in which one class is the best and has at least half of the probability: one object, or several of a
/// class that touch. Cells touch at their sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Object {
    /// The class.
    pub class: u32,
    /// Its cells.
    pub cells: usize,
}

/// From this probability on a cell is believed to show its best class.
const SURE: f32 = 0.5;

/// The objects of a map in the order of their first cells, row by row.
#[must_use]
pub fn objects(map: &LabelMap, probs: &CellProbs) -> Vec<Object> {
    let sure_class = |cell: usize| (probs.at(0, cell) >= SURE).then(|| map.cell(cell).1[0]);
    connected(map.size(), sure_class).into_iter().map(|(class, cells)| Object { class, cells: cells.len() }).collect()
}

/// Groups of cells of one class that touch at their sides, in the order of their first cells, row by row; each with its
/// class and its cells. `class_of` says the class of a cell, or that it belongs to no group.
#[must_use]
pub fn connected(size: MapSize, class_of: impl Fn(usize) -> Option<u32>) -> Vec<(u32, Vec<usize>)> {
    let mut is_seen = vec![false; size.cells()];
    let mut groups = Vec::new();
    for first in 0..size.cells() {
        let Some(class) = class_of(first).filter(|_| !is_seen[first]) else { continue };
        is_seen[first] = true;
        let mut cells = vec![first];
        let mut at = 0;
        while let Some(&cell) = cells.get(at) {
            at += 1;
            for next in size.beside(cell) {
                if !is_seen[next] && class_of(next) == Some(class) {
                    is_seen[next] = true;
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
    fn regions_know_where_they_are() {
        let size = MapSize::new(2, 3).unwrap();
        let map =
            LabelMap::from_cells(&[1.0, 2.0, 3.0, 1.0, 1.0, 5.0], &[7, 7, 9, 7, 7, 9], 1, size, ScoreRounding::Float16)
                .unwrap();
        let regions = regions(&map);
        assert_eq!((regions[0].class, regions[0].cells, regions[0].place()), (7, 4, "left"));
        assert_eq!(
            (regions[1].class, regions[1].cells, regions[1].place(), regions[1].best_score),
            (9, 2, "right", 5.0)
        );
    }

    #[test]
    fn objects_are_connected_and_sure() {
        let size = MapSize::new(2, 4).unwrap();
        // 7 7 9 7
        // 7 9 9 7   the last cell is not sure
        let classes = [7, 7, 9, 7, 7, 9, 9, 7];
        let scores = [9.0, 9.0, 9.0, 9.0, 9.0, 9.0, 9.0, 0.5];
        let map = LabelMap::from_cells(&scores, &classes, 1, size, ScoreRounding::Float16).unwrap();
        let found: Vec<_> = objects(&map, &CellProbs::new(&map, 10)).iter().map(|o| (o.class, o.cells)).collect();
        assert_eq!(found, [(7, 3), (9, 3), (7, 1)]);
    }
}
