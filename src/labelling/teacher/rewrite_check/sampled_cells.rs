//! The cells that are compared: all of small maps, a sample of large ones.

use std::collections::BTreeSet;

use crate::shared::geometry::MapSize;
use crate::shared::random::SplitMix64;

/// One cell of one image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SampledCell {
    pub(super) image: usize,
    /// Row-major index in the map.
    pub(super) cell: usize,
}

impl SampledCell {
    /// Index among the cells of all images.
    pub(super) fn index(self, map_size: MapSize) -> usize {
        self.image * map_size.cells() + self.cell
    }

    /// The corresponding cell in the mirrored map, which is `images` images further on.
    pub(super) fn mirrored(self, images: usize, map_size: MapSize) -> Self {
        let width = map_size.width_cells();
        let (y, x) = (self.cell / width, self.cell % width);
        Self { image: self.image + images, cell: y * width + width - 1 - x }
    }
}

/// Returns all cells of `images` maps if there are at most `most`; else at most `most` cells, one at random from each of
/// equally large parts of each map. Deterministic.
pub(super) fn sample(images: usize, map_size: MapSize, most: usize) -> Vec<SampledCell> {
    let cells = map_size.cells();
    if images * cells <= most {
        return (0..images).flat_map(|image| (0..cells).map(move |cell| SampledCell { image, cell })).collect();
    }
    let mut random = SplitMix64::new(0x6365_6c6c_7300_0000);
    let parts = (most / images).clamp(1, cells);
    let mut sampled = BTreeSet::new();
    for image in 0..images.min(most) {
        for part in 0..parts {
            let (first, end) = (part * cells / parts, (part + 1) * cells / parts);
            sampled.insert(SampledCell { image, cell: first + (random.next_u64() % (end - first) as u64) as usize });
        }
    }
    sampled.into_iter().collect()
}

/// Returns the cells, followed for two views by the corresponding cells in the mirrored maps.
pub(super) fn with_mirrored_cells(
    cells: &[SampledCell],
    images: usize,
    map_size: MapSize,
    views: usize,
) -> Vec<SampledCell> {
    let mirrored = cells.iter().map(|cell| cell.mirrored(images, map_size));
    let mirrored = mirrored.take(if views == 2 { cells.len() } else { 0 });
    cells.iter().copied().chain(mirrored).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_all_cells_or_spread_over_every_map() {
        let size = |height, width| MapSize::new(height, width).unwrap();
        assert_eq!(sample(2, size(7, 7), 256).len(), 98);
        let some = sample(2, size(40, 40), 256);
        assert_eq!((some.len(), &some), (256, &sample(2, size(40, 40), 256)));
        for part in 0..128 {
            let inside = |sampled: &&SampledCell| sampled.cell / 12 == part * 1600 / 128 / 12;
            assert!(part % 10 > 0 || some.iter().any(|cell| inside(&cell)), "no cell near part {part}");
        }
        assert!(some.iter().all(|sampled| sampled.cell < 1600));
        assert_eq!(sample(300, size(2, 2), 256).len(), 256);
    }

    #[test]
    fn mirrored_cells_are_as_far_from_the_other_side() {
        let mirrored = SampledCell { image: 1, cell: 6 + 1 }.mirrored(2, MapSize::new(4, 6).unwrap());
        assert_eq!(mirrored, SampledCell { image: 3, cell: 6 + 4 });
    }
}
