//! Encodes the labels of one shard into the bytes of its files.

use std::sync::Arc;

use half::f16;
use rayon::iter::{IntoParallelRefIterator as _, ParallelIterator as _};
use zarrs::array::{ArrayBytes, CodecOptions};
use zarrs::storage::ReadableStorageTraits as _;
use zarrs::storage::store::MemoryStore;

use super::array_metadata::ChunkLayout;
use super::info::StoreInfo;
use super::layout::StoreArray;
use super::record::FailedImage;
use super::store_error::StoreError;
use crate::shared::label_map::{ImageLabels, LabelMap};
use crate::shared::tiles::Tiles;

/// Labels of the images of one shard, in row order.
#[derive(Debug)]
pub struct ShardLabels {
    /// Number of the shard.
    pub shard: usize,
    /// One result for each row of the shard.
    pub images: Vec<Result<ImageLabels, FailedImage>>,
}

/// Encodes the files of a shard: path inside the store, and bytes. An array without any labels has no file.
///
/// # Errors
/// Returns [`StoreError::Array`] if a codec fails, or if labels do not have the shape of the store.
pub fn encode_shard(info: &StoreInfo, labels: &ShardLabels) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
    let arrays = StoreArray::stored_in(info);
    let encode = |&array: &StoreArray| {
        encode(info, array, labels)
            .map_err(|problem| StoreError::Array { array: array.name(), source: Box::new(problem) })
    };
    let encoded: Vec<Option<Vec<u8>>> = arrays.par_iter().map(encode).collect::<Result<_, _>>()?;
    let files = arrays.iter().zip(encoded);
    Ok(files.filter_map(|(array, bytes)| Some((array.shard_file(labels.shard), bytes?))).collect())
}

fn encode(info: &StoreInfo, array: StoreArray, labels: &ShardLabels) -> Result<Option<Vec<u8>>, StoreError> {
    // zarrs writes chunks to a storage; this one keeps the file in memory.
    let memory = Arc::new(MemoryStore::new());
    let zarr = array.open(info, Arc::clone(&memory), ChunkLayout::ShardsOfCells)?;
    let mut options = CodecOptions::default();
    // Inner chunks that are compressed concurrently are stored in the order in which they finish, so the same labels
    // would give different bytes each time.
    options.set_concurrent_target(1);
    let mut chunk = vec![0; zarr.dimensionality()];
    chunk[0] = labels.shard as u64;
    let values = chunk_bytes(info, array, labels)?;
    zarr.store_chunk_opt(&chunk, ArrayBytes::from(values), &options).map_err(StoreError::codec("encode its chunk"))?;
    let bytes = memory.get(&zarr.chunk_key(&chunk)).map_err(StoreError::codec("encode its chunk"))?;
    Ok(bytes.map(|bytes| bytes.to_vec()))
}

/// Returns the chunk of a shard in native byte order, with fill values for images without labels.
fn chunk_bytes(info: &StoreInfo, array: StoreArray, labels: &ShardLabels) -> Result<Vec<u8>, StoreError> {
    let mut values = ChunkValues { wide_class_ids: info.wide_class_ids(), bytes: Vec::new() };
    for row in 0..info.shard_images {
        match labels.images.get(row).and_then(|image| image.as_ref().ok()) {
            Some(image) => {
                check_shape(info, row, image)?;
                values.add_image(array, info, row, image)?;
            }
            None => values.add_fill(array, array.image_values(info)),
        }
    }
    Ok(values.bytes)
}

fn check_shape(info: &StoreInfo, row: usize, image: &ImageLabels) -> Result<(), StoreError> {
    let tile_count = info.tiles.as_ref().map_or(0, Tiles::count);
    if image.tiles.len() != tile_count {
        return Err(StoreError::TileCount { image: row, tiles: image.tiles.len(), store_tiles: tile_count });
    }
    let tile_map_size = info.map_size.filter(|_| info.tiles.as_ref().is_some_and(Tiles::with_maps));
    let maps = std::iter::once((image.map.as_ref(), info.map_size));
    let maps = maps.chain(image.tiles.iter().map(|tile| (tile.map.as_ref(), tile_map_size)));
    for (map, wanted) in maps {
        if map.map(|map| (map.size(), map.k())) != wanted.map(|size| (size, info.k)) {
            let (size, k) = (map.map(LabelMap::size), map.map_or(0, LabelMap::k));
            return Err(StoreError::MapShape { image: row, size, k, store_size: wanted, store_k: info.k });
        }
    }
    let tile_ranks = info.tiles.as_ref().map_or(0, Tiles::k);
    let predictions = std::iter::once((&image.prediction, info.k));
    for (prediction, ranks) in predictions.chain(image.tiles.iter().map(|tile| (&tile.prediction, tile_ranks))) {
        if prediction.classes().len() < ranks {
            let found = prediction.classes().len();
            return Err(StoreError::PredictionRanks { image: row, ranks: found, store_ranks: ranks });
        }
    }
    Ok(())
}

/// Values of a chunk in native byte order.
struct ChunkValues {
    wide_class_ids: bool,
    bytes: Vec<u8>,
}

impl ChunkValues {
    /// Adds the values of an image, whose shape was checked.
    fn add_image(
        &mut self,
        array: StoreArray,
        info: &StoreInfo,
        row: usize,
        image: &ImageLabels,
    ) -> Result<(), StoreError> {
        let tile_ranks = info.tiles.as_ref().map_or(0, Tiles::k);
        let tile_maps = image.tiles.iter().filter_map(|tile| tile.map.as_ref());
        match array {
            StoreArray::Scores => image.map.iter().for_each(|map| self.add_floats(map.cell_scores())),
            StoreArray::Classes => image.map.iter().for_each(|map| self.add_classes(map.cell_classes())),
            StoreArray::ImageProbs => self.add_floats(&image.prediction.probs()[..info.k]),
            StoreArray::ImageClasses => self.add_classes(&image.prediction.classes()[..info.k]),
            StoreArray::Lse => {
                let lse = image.map.as_ref().and_then(LabelMap::lse).ok_or(StoreError::NoLse(row))?;
                self.add_floats(lse);
            }
            StoreArray::TileProbs => {
                image.tiles.iter().for_each(|tile| self.add_floats(&tile.prediction.probs()[..tile_ranks]));
            }
            StoreArray::TileClasses => {
                image.tiles.iter().for_each(|tile| self.add_classes(&tile.prediction.classes()[..tile_ranks]));
            }
            StoreArray::TileMapScores => tile_maps.for_each(|map| self.add_floats(map.cell_scores())),
            StoreArray::TileMapClasses => tile_maps.for_each(|map| self.add_classes(map.cell_classes())),
        }
        Ok(())
    }

    /// Adds the fill values of an image without labels.
    fn add_fill(&mut self, array: StoreArray, count: usize) {
        match (array.has_class_ids(), array.is_map()) {
            (true, _) => self.add_classes(&vec![u32::MAX; count]),
            (false, true) => self.add_floats(&vec![f16::NEG_INFINITY; count]),
            (false, false) => self.add_floats(&vec![f16::ZERO; count]),
        }
    }

    fn add_floats(&mut self, values: &[f16]) {
        self.bytes.extend(values.iter().flat_map(|value| value.to_ne_bytes()));
    }

    fn add_classes(&mut self, classes: &[u32]) {
        if self.wide_class_ids {
            self.bytes.extend(classes.iter().flat_map(|class| class.to_ne_bytes()));
        } else {
            self.bytes.extend(classes.iter().flat_map(|&class| (class as u16).to_ne_bytes()));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::shared::label_map::{ImagePrediction, ScoreRounding};

    fn info() -> StoreInfo {
        let digest = "0".repeat(64);
        let names = vec![""; 20];
        let info = json!({
            "format_version": 1, "tool_version": "0", "k": 2, "map_size": [2, 3], "score_kind": "logits", "images": 3,
            "teacher": { "name": "", "sha256": digest, "card": {}, "card_origins": {} }, "shard_images": 3,
            "batch_images": 1, "manifest_sha256": digest, "source": "", "zstd_level": 13,
            "classes": { "list": "", "count": 20, "ids": names, "names": names },
        });
        serde_json::from_value(info).unwrap()
    }

    fn failed(row: usize) -> FailedImage {
        serde_json::from_value(json!({ "row": row, "id": "", "path": "", "kind": "empty", "reason": "" })).unwrap()
    }

    fn labels(row: usize) -> ImageLabels {
        let scores: Vec<f32> = (0..12).map(|at| (row * 30 + at / 2 * 2) as f32 - (at % 2) as f32 / 2.0).collect();
        let classes: Vec<i32> = (0..12).map(|at| (row as i32 + at * 5) % 20).collect();
        let size = info().map_size.unwrap();
        ImageLabels::new(
            LabelMap::from_cells(&scores, &classes, 2, size, ScoreRounding::Float16).unwrap(),
            ImagePrediction::from_ranks(&[0.75, 0.25], &[1, 2]).unwrap(),
        )
    }

    #[test]
    fn maps_in_cell_order_encode_to_the_bytes_of_the_declared_axes() {
        let info = info();
        let labels = ShardLabels { shard: 0, images: vec![Ok(labels(0)), Err(failed(1)), Ok(labels(2))] };
        let maps: Vec<_> =
            labels.images.iter().map(|image| image.as_ref().ok().and_then(|image| image.map.as_ref())).collect();
        for array in [StoreArray::Scores, StoreArray::Classes] {
            let values: Vec<u8> = maps
                .iter()
                .flat_map(|map| match (map.map(LabelMap::rank_planes), array) {
                    (Some((scores, _)), StoreArray::Scores) => scores.iter().flat_map(|s| s.to_ne_bytes()).collect(),
                    (Some((_, ids)), _) => ids.iter().flat_map(|&id| (id as u16).to_ne_bytes()).collect(),
                    (None, StoreArray::Scores) => f16::NEG_INFINITY.to_ne_bytes().repeat(12),
                    (None, _) => vec![u8::MAX; 24],
                })
                .collect();
            let memory = Arc::new(MemoryStore::new());
            let declared = array.open(&info, Arc::clone(&memory), ChunkLayout::Shards).unwrap();
            let mut options = CodecOptions::default();
            options.set_concurrent_target(1);
            declared.store_chunk_opt(&[0, 0, 0, 0], ArrayBytes::from(values), &options).unwrap();
            let bytes = memory.get(&declared.chunk_key(&[0, 0, 0, 0])).unwrap().unwrap();
            assert_eq!(encode(&info, array, &labels).unwrap().unwrap(), bytes.to_vec(), "{}", array.name());
        }
    }
}
