//! What the map of the second store resembles, where the two maps of an image differ.

use std::collections::HashMap;

use super::arrangement::Arrangement;
use super::cell_figures::{CellComparer, CellFigures};
use super::compared_image::{ComparedImage, fingerprint};
use crate::shared::label_map::LabelMap;

/// What a map of the second store resembles more than the map of its image in the first store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Likeness {
    /// The map of its image, with cells out of place.
    Rearranged(Arrangement),
    /// The map of a different image, in this row of the first store.
    OtherImage {
        /// Row in the first store.
        row_a: usize,
    },
}

/// The two maps of an image.
pub(super) struct MapPair {
    pub(super) row_a: usize,
    pub(super) a: LabelMap,
    pub(super) b: LabelMap,
}

/// Finds what the second map of each pair resembles. Other images are found among the pairs, and among all of `images` if the
/// classes of all cells and ranks are those of exactly one. `typical` is the agreement of a typical image.
pub(super) fn find_likenesses(
    pairs: &[MapPair],
    images: &[ComparedImage],
    class_count: usize,
    typical: f64,
) -> Vec<Option<Likeness>> {
    let copies = rows_by_fingerprint(pairs, images);
    let mut comparer = CellComparer::new(class_count);
    let likeness = |pair: &MapPair| {
        let direct = resemblance(&mut comparer, &pair.a, &pair.b, Arrangement::Same);
        if direct.is_some_and(|direct| direct.agreement >= 1.0) {
            return None;
        }
        let mut best: Option<(Resemblance, Likeness)> = None;
        let mut consider = |found: Option<Resemblance>, likeness: Likeness| {
            if let Some(found) = found
                && best.is_none_or(|(best, _)| found.closeness() > best.closeness() + MIN_LEAD)
            {
                best = Some((found, likeness));
            }
        };
        for arrangement in Arrangement::TRIED {
            let found = resemblance(&mut comparer, &pair.a, &pair.b, arrangement);
            consider(found, Likeness::Rearranged(arrangement));
        }
        for other in pairs.iter().filter(|other| other.row_a != pair.row_a) {
            let found = resemblance(&mut comparer, &other.a, &pair.b, Arrangement::Same);
            consider(found, Likeness::OtherImage { row_a: other.row_a });
        }
        if let Some(&Some(row_a)) = copies.get(&fingerprint(&pair.b))
            && row_a != pair.row_a
        {
            consider(Some(Resemblance { agreement: 1.0, overlap: 1.0 }), Likeness::OtherImage { row_a });
        }
        let (found, likeness) = best?;
        found.is_convincing(direct, typical).then_some(likeness)
    };
    pairs.iter().map(likeness).collect()
}

/// How alike two maps are.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Resemblance {
    /// Fraction of the compared cells with the same best class.
    agreement: f64,
    /// Mean fraction of the best classes that both have.
    overlap: f64,
}

/// Lead in closeness by which a candidate replaces an earlier, more plausible one.
const MIN_LEAD: f64 = 1e-9;

/// Factor by which the disagreement must shrink.
const MAX_REMAINING: f64 = 0.5;
/// Agreement of a candidate as a fraction of that of a typical image.
const MIN_OF_TYPICAL: f64 = 0.95;
/// Fewer cells resemble others by chance.
const MIN_CELLS: u32 = 4;

impl Resemblance {
    fn closeness(self) -> f64 {
        f64::midpoint(self.agreement, self.overlap)
    }

    /// Returns whether this explains the difference: at most half of the disagreement remains, and the maps agree nearly as
    /// well as those of a typical image.
    fn is_convincing(self, direct: Option<Self>, typical: f64) -> bool {
        let remaining = |closeness: f64, of: f64| 1.0 - closeness <= MAX_REMAINING * (1.0 - of);
        let direct = direct.unwrap_or(Self { agreement: 0.0, overlap: 0.0 });
        remaining(self.closeness(), direct.closeness())
            && remaining(self.agreement, direct.agreement)
            && self.agreement >= MIN_OF_TYPICAL * typical
    }
}

/// Compares the second map with the rearranged first one; `None` if their sizes differ or too few cells can be compared.
fn resemblance(
    comparer: &mut CellComparer,
    a: &LabelMap,
    b: &LabelMap,
    arrangement: Arrangement,
) -> Option<Resemblance> {
    let (from, to) = (a.size(), b.size());
    if arrangement.size(from) != Some(to) {
        return None;
    }
    let mut figures = CellFigures::default();
    for cell in 0..to.cells() {
        let (y, x) = (cell / to.width_cells(), cell % to.width_cells());
        if let Some((y, x)) = arrangement.source(from, y, x) {
            figures.add(&comparer.compare_cell((a, y * from.width_cells() + x), (b, cell), |_| {}));
        }
    }
    (figures.cells >= MIN_CELLS)
        .then(|| Resemblance { agreement: figures.same_best_share(), overlap: figures.rank_overlap() })
}

/// Returns the row of the only image whose first map has a fingerprint, for the fingerprints of the second maps of `pairs`;
/// `None` for several.
fn rows_by_fingerprint(pairs: &[MapPair], images: &[ComparedImage]) -> HashMap<u64, Option<usize>> {
    let mut rows: HashMap<u64, Vec<usize>> = pairs.iter().map(|pair| (fingerprint(&pair.b), Vec::new())).collect();
    for image in images {
        if let Some(rows) = rows.get_mut(&image.fingerprint).filter(|rows| rows.len() < 2) {
            rows.push(image.row_a);
        }
    }
    rows.into_iter()
        .map(|(fingerprint, rows)| (fingerprint, <[usize; 1]>::try_from(rows).ok().map(|[row]| row)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::geometry::MapSize;
    use crate::shared::label_map::ScoreRounding;

    const SIDE: usize = 6;

    /// A map with a block of another class in each corner and a third class in the middle row, none of them symmetrical.
    fn map(seed: i32) -> LabelMap {
        let class = |cell: usize| {
            let (y, x) = (cell / SIDE, cell % SIDE);
            let block = match (y, x) {
                (0 | 1, 0..=2) => 1,
                (4 | 5, 5) => 2,
                (3, _) => 3,
                (_, 0) => 4,
                _ => 0,
            };
            seed * 10 + block
        };
        let classes: Vec<i32> = (0..SIDE * SIDE).flat_map(|cell| [class(cell), class(cell) + 100]).collect();
        let size = MapSize::new(SIDE, SIDE).unwrap();
        LabelMap::from_cells(&[9.0, 1.0].repeat(SIDE * SIDE), &classes, 2, size, ScoreRounding::Float16).unwrap()
    }

    fn rearranged(map: &LabelMap, arrangement: Arrangement) -> LabelMap {
        let size = arrangement.size(map.size()).unwrap();
        let (mut scores, mut classes) = (Vec::new(), Vec::new());
        for cell in 0..size.cells() {
            let from = arrangement.source(map.size(), cell / size.width_cells(), cell % size.width_cells());
            let from = from.map_or(0, |(y, x)| y * map.size().width_cells() + x);
            scores.extend_from_slice(map.cell(from).0);
            classes.extend_from_slice(map.cell(from).1);
        }
        LabelMap::from_stored_cells(scores, classes, map.k(), size).unwrap()
    }

    fn likenesses(pairs: &[MapPair]) -> Vec<Option<Likeness>> {
        find_likenesses(pairs, &[], 300, 1.0)
    }

    #[test]
    fn every_rearrangement_is_recognised() {
        for arrangement in Arrangement::TRIED {
            let pair = MapPair { row_a: 3, a: map(1), b: rearranged(&map(1), arrangement) };
            assert_eq!(likenesses(&[pair]), [Some(Likeness::Rearranged(arrangement))]);
        }
    }

    #[test]
    fn exchanged_images_are_recognised() {
        let pair = |row_a, a, b| MapPair { row_a, a: map(a), b: map(b) };
        let found = likenesses(&[pair(3, 1, 2), pair(8, 2, 1), pair(9, 4, 5), pair(10, 6, 6)]);
        let other = |row_a| Some(Likeness::OtherImage { row_a });
        assert_eq!(found, [other(8), other(3), None, None]);
    }

    #[test]
    fn small_differences_and_tiny_maps_resemble_nothing() {
        let (a, mut classes) = (map(1), map(1).cell_classes().to_vec());
        classes[0] = 77;
        let b = LabelMap::from_stored_cells(a.cell_scores().to_vec(), classes, 2, a.size()).unwrap();
        assert_eq!(likenesses(&[MapPair { row_a: 0, a, b }]), [None]);
        let cell = |class: i32| {
            LabelMap::from_cells(&[1.0; 2], &[class, 9], 1, MapSize::new(1, 2).unwrap(), ScoreRounding::Float16)
                .unwrap()
        };
        assert_eq!(likenesses(&[MapPair { row_a: 0, a: cell(1), b: cell(2) }]), [None]);
    }
}
