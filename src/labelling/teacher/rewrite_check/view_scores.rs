//! Scores per view: an image, or its mirror image.

use super::sampled_cells::{SampledCell, sample, with_mirrored_cells};
use crate::labelling::teacher::refusal::Refusal;
use crate::labelling::teacher::rewrite::HeadDims;
use crate::labelling::teacher::tail::CellGrid;
use crate::labelling::teacher::tensors::FloatTensor;
use crate::shared::geometry::MapSize;

/// Scores of the reference and the copied head, each view counted as an image.
pub(super) struct ViewScores {
    pub(super) map_size: MapSize,
    pub(super) class_count: usize,
    pub(super) head_dims: HeadDims,
    pub(super) cells: Vec<SampledCell>,
    /// The cells, followed for two views by their counterparts in the mirrored maps.
    pub(super) cells_of_views: Vec<SampledCell>,
    /// `[view of cell, class]`
    pub(super) cell_scores: Vec<f32>,
    /// `[view of image, class]`
    pub(super) image_scores: Vec<f32>,
    /// The copied head's scores, `[view of image, cell, class]`.
    pub(super) all_cells: Vec<f32>,
}

impl ViewScores {
    /// The scores of a teacher whose output is a score map.
    pub(super) fn from_score_map(scores: &FloatTensor, images: usize, grid: &CellGrid) -> Result<Self, Refusal> {
        let (shown, class_count, map_size) =
            (scores.dims.first().copied().unwrap_or(0), grid.layout.channels_of(&scores.dims), grid.size);
        if scores.dims.len() != 4 || scores.values.len() != shown * class_count * map_size.cells() {
            return Err(Refusal::new(
                format!("the score map has shape {:?}, expected {}", scores.dims, grid.layout),
                "export a graph whose output is a score map [batch, class, y, x]",
            ));
        }
        let cells = map_size.cells();
        let all_cells = grid.in_order(grid.layout.cells_last(scores), class_count);
        let image_mean = |image: &[f32]| -> Vec<f32> {
            (0..class_count).map(|class| mean(image.iter().skip(class).step_by(class_count).copied())).collect()
        };
        let image_scores = all_cells.chunks_exact(cells * class_count).flat_map(image_mean).collect();
        let sampled = sample(images, map_size, usize::MAX);
        let cells_of_views = with_mirrored_cells(&sampled, images, map_size, shown / images.max(1));
        let row = |cell: &SampledCell| &all_cells[cell.index(map_size) * class_count..][..class_count];
        let cell_scores = cells_of_views.iter().flat_map(row).copied().collect();
        let head_dims = HeadDims { cells, channels: class_count, heads: 1, value_axes: 0 };
        Ok(Self {
            map_size,
            class_count,
            head_dims,
            cells: sampled,
            cells_of_views,
            cell_scores,
            image_scores,
            all_cells,
        })
    }
}

/// Averages the two halves of the values for two views, or returns them for one view.
pub(super) fn mean_of_views(values: &[f32], views: usize) -> Vec<f32> {
    let length = values.len() / views;
    (0..length).map(|at| mean((0..views).map(|view| values[view * length + at]))).collect()
}

pub(super) fn mean(values: impl Iterator<Item = f32>) -> f32 {
    let (sum, count) = values.fold((0.0, 0_usize), |(sum, count), value| (sum + f64::from(value), count + 1));
    (sum / count as f64) as f32
}
