//! What a store says of one image: found by name, and put into words. Reads stores, never runs a teacher.

use std::collections::BTreeMap;

use crate::geometry::MapSize;
use crate::label_map::LabelMap;
use crate::manifest::Manifest;

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

/// Finds an image by id, path, file name (with or without extension), or row number, in this order.
///
/// # Errors
/// When there is none, or several have that name; a few that come close are named.
pub fn find(manifest: &Manifest, wanted: &str) -> Result<usize, String> {
    let rows = 0..manifest.len();
    let file_name = |path: &str| path.rsplit('/').next().unwrap_or(path).to_owned();
    let exact = |row: &usize| manifest.id(*row) == wanted || manifest.path(*row) == wanted;
    if let Some(row) = rows.clone().find(exact) {
        return Ok(row);
    }
    let by_file = |row: &usize| file_name(manifest.path(*row)) == wanted || file_name(manifest.id(*row)) == wanted;
    let named: Vec<usize> = rows.clone().filter(by_file).take(6).collect();
    match named[..] {
        [row] => return Ok(row),
        [] => {}
        _ => {
            let ids: Vec<_> = named.iter().map(|&row| manifest.id(row)).collect();
            return Err(format!("`{wanted}` is the name of several images: {}. Name one by its id", ids.join(", ")));
        }
    }
    if let Some(row) = wanted.parse().ok().filter(|row| rows.contains(row)) {
        return Ok(row);
    }
    let lower = wanted.to_lowercase();
    let close: Vec<_> =
        rows.map(|row| manifest.id(row)).filter(|id| id.to_lowercase().contains(&lower)).take(5).collect();
    let first = if manifest.is_empty() { Default::default() } else { manifest.id(0) };
    Err(if close.is_empty() {
        format!(
            "no image is called `{wanted}`. Name one by id, path, file name or row (0 to {}), such as {first}",
            manifest.len().saturating_sub(1)
        )
    } else {
        format!("no image is called `{wanted}`. Close to it: {}", close.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::label_map::ScoreRounding;
    use crate::manifest::Entry;

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
    fn images_are_found_by_any_name() {
        let entry = |path: &str| Entry { path: path.into(), ..Entry::default() };
        let manifest = Manifest::from_entries(["a/one.jpg", "a/two.jpg", "b/two.jpg"].map(entry).to_vec()).unwrap();
        for (wanted, row) in [("a/one", 0), ("a/one.jpg", 0), ("one.jpg", 0), ("one", 0), ("2", 2), ("b/two", 2)] {
            assert_eq!(find(&manifest, wanted), Ok(row), "{wanted}");
        }
        assert!(find(&manifest, "two").unwrap_err().contains("a/two, b/two"));
        assert!(find(&manifest, "TW").unwrap_err().contains("Close to it: a/two"));
        assert!(find(&manifest, "zebra").unwrap_err().contains("such as a/one"));
    }
}
