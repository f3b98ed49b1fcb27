//! The feature vectors of cells, and the scores that the pooling and head of the reference give for them.

use ort::session::Session;

use super::sampled_cells::SampledCell;
use crate::labelling::teacher::refusal::Refusal;
use crate::labelling::teacher::rewrite::HeadDims;
use crate::labelling::teacher::tail::{CellGrid, Pooling};
use crate::labelling::teacher::tensors::{FloatTensor, run_floats, take};
use crate::shared::error::Error;
use crate::shared::geometry::{InputSize, MapSize};

/// The features as one vector per cell.
pub(super) struct CellVectors {
    pub(super) map_size: MapSize,
    images: usize,
    channels: usize,
    pub(super) head_dims: HeadDims,
    /// `[image, cell, channel]`
    vectors: Vec<f32>,
    dims: Vec<usize>,
    element: i32,
}

/// Tensors of the reference around its pooling.
pub(super) struct PoolingTensors<'a> {
    pub(super) features: &'a FloatTensor,
    pub(super) pooled: &'a FloatTensor,
    /// Values of an attention; the features for a mean.
    pub(super) values: &'a FloatTensor,
    /// Per-image vectors that the head takes in addition.
    pub(super) parts: &'a [FloatTensor],
}

/// Splits the features into cells, if the pooling covers the entire map.
pub(super) fn cell_vectors(
    pooling: &Pooling,
    tensors: &PoolingTensors<'_>,
    input_size: InputSize,
    grid: &CellGrid,
) -> Result<CellVectors, Refusal> {
    let (features, pooled) = (tensors.features, tensors.pooled);
    let dims = features.dims.clone();
    let (images, channels, map_size) =
        (dims.first().copied().unwrap_or(0), pooling.layout.channels_of(&dims), grid.size);
    if dims.len() != pooling.layout.rank() || features.values.len() != images * channels * map_size.cells() {
        return Err(not_entire_map(format!(
            "the features before the pooling have shape {dims:?}, expected {} with {map_size} cells",
            pooling.layout
        )));
    }
    let head_dims = match &pooling.attention_values {
        Some(_) => attention_dims(tensors, images, map_size)?,
        None => HeadDims { cells: map_size.cells(), channels, heads: 1, value_axes: 0 },
    };
    check_image_parts(pooling, tensors.parts, images)?;
    if pooling.attention_values.is_none() && pooled.values.len() != images * channels {
        return Err(not_entire_map(format!(
            "the last pooling does not cover the entire feature map: {dims:?} becomes {:?}, and the head mixes the remaining cells",
            pooled.dims
        )));
    }
    let largest_side_pixels = input_size.height_pixels().max(input_size.width_pixels());
    if map_size.cells() == 1 && largest_side_pixels > ONE_CELL_PIXELS {
        return Err(Refusal::new(
            format!(
                "the features before the pooling are a single cell ({dims:?}): either the layers before it mix all positions, \
                 as in VGG, or the input of {input_size} pixels is too small"
            ),
            "use a larger --input-size if the graph accepts one, or a different teacher",
        )
        .for_lack_of_cells());
    }
    let vectors = grid.in_order(pooling.layout.cells_last(features), channels);
    Ok(CellVectors { map_size, images, channels, head_dims, vectors, dims, element: features.element })
}

/// The dimensions of attention values, `[.., cell, channel]` with the batch and possibly heads in front.
fn attention_dims(tensors: &PoolingTensors<'_>, images: usize, map_size: MapSize) -> Result<HeadDims, Refusal> {
    let (values, cells) = (tensors.values, map_size.cells());
    let dims = match values.dims[..] {
        [.., tokens, channels] if matches!(values.dims.len(), 3 | 4) && tokens == cells && channels > 0 => {
            let rows = values.values.len() / (cells * channels);
            rows.is_multiple_of(images.max(1)).then(|| HeadDims {
                cells,
                channels,
                heads: rows / images.max(1),
                value_axes: values.dims.len(),
            })
        }
        _ => None,
    };
    let dims = dims.filter(|dims| tensors.pooled.values.len() == images * dims.heads * dims.channels);
    dims.ok_or_else(|| {
        not_entire_map(format!(
            "the attention does not pool {cells} cells into one vector: {:?} becomes {:?}",
            values.dims, tensors.pooled.dims
        ))
    })
}

/// Checks that the other inputs of the head are one vector per image, which can be repeated for each cell.
fn check_image_parts(pooling: &Pooling, parts: &[FloatTensor], images: usize) -> Result<(), Refusal> {
    let is_vector =
        |dims: &[usize]| dims.len() >= 2 && dims[0] == images && dims[1..dims.len() - 1].iter().all(|&side| side == 1);
    match pooling.image_parts.iter().zip(parts).find(|(_, part)| !is_vector(&part.dims)) {
        Some((name, part)) => Err(not_entire_map(format!(
            "the head joins the mean over the map with `{name}` of shape {:?}, which is not one vector per image",
            part.dims
        ))),
        None => Ok(()),
    }
}

/// Inputs up to this size may have a single cell, as for thumbnails.
const ONE_CELL_PIXELS: u32 = 32;

fn not_entire_map(problem: String) -> Refusal {
    Refusal::new(
        problem,
        "use a teacher that averages its features over the entire map before its head, or a different --input-size if the \
         export fixed one",
    )
    .for_lack_of_cells()
}

impl CellVectors {
    /// Runs the pooling and head of the reference on maps that hold the vector of one cell everywhere. Returns scores,
    /// `[cell, class]`.
    pub(super) fn reference_scores(
        &self,
        tail: &mut Session,
        pooling: &Pooling,
        sampled: &[SampledCell],
        run: &TailInputs<'_>,
    ) -> Result<Vec<f32>, Error> {
        // If the graph uses the shape of the image, the batch must be that of the image.
        let batch = run.fixed_batch.or(run.image.map(|_| self.images)).unwrap_or(8).max(1);
        let mut dims = self.dims.clone();
        dims[0] = batch;
        let cells = self.map_size.cells();
        let mut scores = Vec::new();
        for some in sampled.chunks(batch) {
            if (run.stop_requested)() {
                return Err(Error::Interrupted);
            }
            let mut values = Vec::with_capacity(dims.iter().product());
            for slot in 0..batch {
                // The last run repeats its last cell to fill the batch.
                let cell = some[slot.min(some.len() - 1)];
                let vector = &self.vectors[cell.index(self.map_size) * self.channels..][..self.channels];
                if pooling.layout.channels_last() {
                    (0..cells).for_each(|_| values.extend_from_slice(vector));
                } else {
                    for &value in vector {
                        values.resize(values.len() + cells, value);
                    }
                }
            }
            let everywhere = FloatTensor { dims: dims.clone(), values, element: self.element };
            // Each slot gets the per-image vectors of the image of its cell.
            let parts: Vec<(&str, FloatTensor)> = run
                .parts
                .iter()
                .map(|&(name, part)| {
                    let row = part.values.len() / self.images.max(1);
                    let first_value = |slot: usize| some[slot.min(some.len() - 1)].image * row;
                    let values =
                        (0..batch).flat_map(|slot| &part.values[first_value(slot)..][..row]).copied().collect();
                    let mut dims = part.dims.clone();
                    dims[0] = batch;
                    (name, FloatTensor { dims, values, element: part.element })
                })
                .collect();
            let mut inputs = vec![(pooling.features.as_str(), &everywhere)];
            inputs.extend(parts.iter().map(|(name, part)| (*name, part)));
            inputs.extend(run.image);
            let [result] = take(run_floats(tail, &inputs, &[run.logits])?);
            let classes = result.values.len() / batch;
            scores.extend_from_slice(&result.values[..classes * some.len()]);
        }
        Ok(scores)
    }
}

/// Inputs of the pooling and head of the reference other than the features.
pub(super) struct TailInputs<'a> {
    pub(super) logits: &'a str,
    /// The image, if the graph uses its shape.
    pub(super) image: Option<(&'a str, &'a FloatTensor)>,
    /// Per-image vectors that the head takes, one row per image.
    pub(super) parts: &'a [(&'a str, &'a FloatTensor)],
    pub(super) fixed_batch: Option<usize>,
    pub(super) stop_requested: &'a dyn Fn() -> bool,
}
