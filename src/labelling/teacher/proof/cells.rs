//! The cells of a proof: which are compared, and what the unmodified pooling and head say of each.

use std::collections::BTreeSet;

use ort::session::Session;

use crate::labelling::teacher::rewrite::Sides;
use crate::labelling::teacher::tail::{CellGrid, Pooling, Refusal};
use crate::labelling::teacher::tensors::{Floats, run_floats, take};
use crate::shared::error::Error;
use crate::shared::geometry::{InputSize, MapSize};
use crate::shared::random::SplitMix64;

/// The features as one vector a cell.
pub(super) struct Cells {
    pub(super) map_size: MapSize,
    images: usize,
    channels: usize,
    sides: Sides,
    /// `[image, cell, channel]`
    vectors: Vec<f32>,
    dims: Vec<usize>,
    element: i32,
}

/// One cell of one image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) image: usize,
    /// Row by row.
    pub(super) cell: usize,
}

impl Place {
    /// Position among the cells of all images.
    pub(super) fn at(self, map_size: MapSize) -> usize {
        self.image * map_size.cells() + self.cell
    }

    /// The same place in the mirrored map of the image that stands `images` further on.
    pub(super) fn mirrored(self, images: usize, map_size: MapSize) -> Self {
        let width = map_size.width_cells();
        let (y, x) = (self.cell / width, self.cell % width);
        Self { image: self.image + images, cell: y * width + width - 1 - x }
    }
}

/// All cells of `images` maps where they are at most `most`; else at most that many, one at random out of each of as many
/// equal parts of each map, so that they are spread over it. The same every time.
pub(super) fn sample(images: usize, map_size: MapSize, most: usize) -> Vec<Place> {
    let cells = map_size.cells();
    if images * cells <= most {
        return (0..images).flat_map(|image| (0..cells).map(move |cell| Place { image, cell })).collect();
    }
    let mut random = SplitMix64::new(0x6365_6c6c_7300_0000);
    let parts = (most / images).clamp(1, cells);
    let mut places = BTreeSet::new();
    for image in 0..images.min(most) {
        for part in 0..parts {
            let (first, end) = (part * cells / parts, (part + 1) * cells / parts);
            places.insert(Place { image, cell: first + (random.next_u64() % (end - first) as u64) as usize });
        }
    }
    places.into_iter().collect()
}

/// What the unmodified teacher showed of its pooling.
pub(super) struct Shown<'a> {
    pub(super) features: &'a Floats,
    pub(super) pooled: &'a Floats,
    /// An attention's values; for a mean the features.
    pub(super) values: &'a Floats,
    /// The other parts of the image that the head takes.
    pub(super) parts: &'a [Floats],
}

/// The features as cells, if the pooling covers the whole map.
pub(super) fn cells_of(
    pooling: &Pooling,
    shown: &Shown<'_>,
    input_size: InputSize,
    grid: &CellGrid,
) -> Result<Cells, Refusal> {
    let (features, pooled) = (shown.features, shown.pooled);
    let dims = features.dims.clone();
    let (images, channels, map_size) =
        (dims.first().copied().unwrap_or(0), pooling.layout.channels_of(&dims), grid.size);
    if dims.len() != pooling.layout.rank() || features.values.len() != images * channels * map_size.cells() {
        return Err(not_whole_map(format!(
            "the features before its pooling have the shape {dims:?}; {} with {map_size} cells was expected",
            pooling.layout.in_words()
        )));
    }
    let sides = match &pooling.attention_values {
        Some(_) => sides_of_attention(shown, images, map_size)?,
        None => Sides { cells: map_size.cells(), channels, heads: 1, value_axes: 0 },
    };
    parts_are_vectors(pooling, shown.parts, images)?;
    if pooling.attention_values.is_none() && pooled.values.len() != images * channels {
        return Err(not_whole_map(format!(
            "its last pooling does not cover the whole map: {dims:?} becomes {:?}, and the head mixes what is left of the map",
            pooled.dims
        )));
    }
    let largest_side_pixels = input_size.height_pixels().max(input_size.width_pixels());
    if map_size.cells() == 1 && largest_side_pixels > ONE_CELL_PIXELS {
        return Err(Refusal::new(
            format!(
                "the features before its pooling are a single cell ({dims:?}), so that there is no map: what a VGG mixes \
                 before its pooling, or an input of {input_size} pixels that is too small, leaves nothing to label"
            ),
            "give a larger --input-size if the graph takes one, or use another teacher",
        ));
    }
    let vectors = grid.in_order(pooling.layout.cells_last(features), channels);
    Ok(Cells { map_size, images, channels, sides, vectors, dims, element: features.element })
}

/// The sides of an attention's values, `[.., cell, channel]` with the batch and perhaps heads in front.
fn sides_of_attention(shown: &Shown<'_>, images: usize, map_size: MapSize) -> Result<Sides, Refusal> {
    let (values, cells) = (shown.values, map_size.cells());
    let sides = match values.dims[..] {
        [.., tokens, channels] if matches!(values.dims.len(), 3 | 4) && tokens == cells && channels > 0 => {
            let rows = values.values.len() / (cells * channels);
            rows.is_multiple_of(images.max(1)).then(|| Sides {
                cells,
                channels,
                heads: rows / images.max(1),
                value_axes: values.dims.len(),
            })
        }
        _ => None,
    };
    let sides = sides.filter(|sides| shown.pooled.values.len() == images * sides.heads * sides.channels);
    sides.ok_or_else(|| {
        not_whole_map(format!(
            "its attention does not pool {cells} cells into one vector: {:?} becomes {:?}",
            values.dims, shown.pooled.dims
        ))
    })
}

/// What a head takes besides the pooled features is repeated for each cell; a map would have places of its own.
fn parts_are_vectors(pooling: &Pooling, parts: &[Floats], images: usize) -> Result<(), Refusal> {
    let is_vector =
        |dims: &[usize]| dims.len() >= 2 && dims[0] == images && dims[1..dims.len() - 1].iter().all(|&side| side == 1);
    match pooling.image_parts.iter().zip(parts).find(|(_, part)| !is_vector(&part.dims)) {
        Some((name, part)) => Err(not_whole_map(format!(
            "its head joins the mean over the map with `{name}` of the shape {:?}, which is not one vector an image",
            part.dims
        ))),
        None => Ok(()),
    }
}

/// Inputs up to this side may have a single cell, as those of thumbnails do: there is no more to tell apart in them.
const ONE_CELL_PIXELS: u32 = 32;

fn not_whole_map(problem: String) -> Refusal {
    Refusal::new(
        problem,
        "use a teacher that averages its features over the whole map before its head, or another --input-size if the \
         export fixed one",
    )
}

impl Cells {
    /// Sides of what the copied head takes.
    pub(super) fn sides(&self) -> Sides {
        self.sides
    }

    /// Runs the unmodified pooling and head on maps that show one place's vector everywhere. Scores, `[place, class]`.
    pub(super) fn hear(
        &self,
        tail: &mut Session,
        pooling: &Pooling,
        places: &[Place],
        run: &TailRun<'_>,
    ) -> Result<Vec<f32>, Error> {
        // With the image's shape in play, the batch has to be the image's own.
        let batch = run.fixed_batch.or(run.image.map(|_| self.images)).unwrap_or(8).max(1);
        let mut dims = self.dims.clone();
        dims[0] = batch;
        let cells = self.map_size.cells();
        let mut scores = Vec::new();
        for some in places.chunks(batch) {
            if (run.stop_requested)() {
                return Err(Error::Interrupted);
            }
            let mut values = Vec::with_capacity(dims.iter().product());
            for slot in 0..batch {
                // The last run repeats its last cell to fill the batch.
                let place = some[slot.min(some.len() - 1)];
                let vector = &self.vectors[place.at(self.map_size) * self.channels..][..self.channels];
                if pooling.layout.channels_last() {
                    (0..cells).for_each(|_| values.extend_from_slice(vector));
                } else {
                    for &value in vector {
                        values.resize(values.len() + cells, value);
                    }
                }
            }
            let everywhere = Floats { dims: dims.clone(), values, element: self.element };
            // Each slot gets the other parts of the image that its cell is of.
            let parts: Vec<(&str, Floats)> = run
                .parts
                .iter()
                .map(|&(name, part)| {
                    let row = part.values.len() / self.images.max(1);
                    let of_slot = |slot: usize| some[slot.min(some.len() - 1)].image * row;
                    let values = (0..batch).flat_map(|slot| &part.values[of_slot(slot)..][..row]).copied().collect();
                    let mut dims = part.dims.clone();
                    dims[0] = batch;
                    (name, Floats { dims, values, element: part.element })
                })
                .collect();
            let mut inputs = vec![(pooling.features.as_str(), &everywhere)];
            inputs.extend(parts.iter().map(|(name, part)| (*name, part)));
            inputs.extend(run.image);
            let [heard] = take(run_floats(tail, &inputs, &[run.logits])?);
            let classes = heard.values.len() / batch;
            scores.extend_from_slice(&heard.values[..classes * some.len()]);
        }
        Ok(scores)
    }
}

/// What the unmodified pooling and head need beside a map.
pub(super) struct TailRun<'a> {
    pub(super) logits: &'a str,
    /// The image, where the graph takes shapes from it.
    pub(super) image: Option<(&'a str, &'a Floats)>,
    /// The other parts of the images that the head takes, one row an image.
    pub(super) parts: &'a [(&'a str, &'a Floats)],
    pub(super) fixed_batch: Option<usize>,
    pub(super) stop_requested: &'a dyn Fn() -> bool,
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
            let inside = |place: &&Place| place.cell / 12 == part * 1600 / 128 / 12;
            assert!(part % 10 > 0 || some.iter().any(|place| inside(&place)), "no cell near part {part}");
        }
        assert!(some.iter().all(|place| place.cell < 1600));
        assert_eq!(sample(300, size(2, 2), 256).len(), 256);
    }

    #[test]
    fn a_mirrored_place_is_as_far_from_the_other_side() {
        let place = Place { image: 1, cell: 6 + 1 }.mirrored(2, MapSize::new(4, 6).unwrap());
        assert_eq!(place, Place { image: 3, cell: 6 + 4 });
    }
}
