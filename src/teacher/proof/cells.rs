//! The cells of a proof: which are compared, and what the unmodified pooling and head say of each.

use std::collections::BTreeSet;

use ort::session::Session;

use crate::error::Error;
use crate::geometry::{InputSize, MapSize};
use crate::random::SplitMix64;
use crate::teacher::tail::{CellGrid, Pooling, Refusal};
use crate::teacher::tensors::{Floats, run_floats, take};

/// The features as one vector a cell.
pub(super) struct Cells {
    pub(super) map_size: MapSize,
    images: usize,
    channels: usize,
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

/// The features as cells, if the pooling covers the whole map.
pub(super) fn cells_of(
    pooling: &Pooling,
    features: &Floats,
    pooled: &Floats,
    input_size: InputSize,
    grid: &CellGrid,
) -> Result<Cells, Refusal> {
    let dims = features.dims.clone();
    let (images, channels, map_size) =
        (dims.first().copied().unwrap_or(0), pooling.layout.channels_of(&dims), grid.size);
    if dims.len() != pooling.layout.rank() || features.values.len() != images * channels * map_size.cells() {
        return Err(not_whole_map(format!(
            "the features before its pooling have the shape {dims:?}; {} with {map_size} cells was expected",
            pooling.layout.in_words()
        )));
    }
    if pooled.values.len() != images * channels {
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
    Ok(Cells { map_size, images, channels, vectors, dims, element: features.element })
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
            let mut inputs = vec![(pooling.features.as_str(), &everywhere)];
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
