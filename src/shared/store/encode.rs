//! Turns the labels of one shard into the bytes of its files, in memory.

use std::sync::Arc;

use half::f16;
use rayon::iter::{IntoParallelIterator as _, ParallelIterator as _};
use zarrs::array::{ArrayBytes, CodecOptions};
use zarrs::storage::ReadableStorageTraits as _;
use zarrs::storage::store::MemoryStore;

use super::arrays::{Chunks, StoreArray};
use super::info::StoreInfo;
use super::record::FailedImage;
use crate::shared::label_map::ImageLabels;

/// What is known of the images of one shard, in row order: labels, or why there are none.
#[derive(Debug)]
pub struct ShardLabels {
    /// Number of the shard.
    pub shard: usize,
    /// One result for each row of the shard.
    pub images: Vec<Result<ImageLabels, FailedImage>>,
}

/// The files of a shard: path inside the store, and bytes. An array in which nothing was labelled has no file.
///
/// # Errors
/// In words, when the codecs fail, or the labels are not those of this store's shape.
pub fn encode_shard(info: &StoreInfo, labels: &ShardLabels) -> Result<Vec<(String, Vec<u8>)>, String> {
    let arrays = StoreArray::of(info);
    let encoded: Vec<Option<Vec<u8>>> = arrays
        .into_par_iter()
        .map(|&array| encode(info, array, labels).map_err(|problem| format!("{}: {problem}", array.name())))
        .collect::<Result<_, _>>()?;
    let files = arrays.iter().zip(encoded);
    Ok(files.filter_map(|(array, bytes)| Some((array.file_of(labels.shard), bytes?))).collect())
}

fn encode(info: &StoreInfo, array: StoreArray, labels: &ShardLabels) -> Result<Option<Vec<u8>>, String> {
    // The codecs write whole chunks; a memory store takes what they would put into a file.
    let memory = Arc::new(MemoryStore::new());
    let zarr = array.open(info, Arc::clone(&memory), Chunks::OfShards)?;
    let mut options = CodecOptions::default();
    // Inner chunks that are compressed beside each other land in the shard in the order in which they get done, and
    // the same labels would give other bytes each time.
    options.set_concurrent_target(1);
    let chunk = array.chunk_of(labels.shard);
    let values = chunk_bytes(info, array, labels)?;
    zarr.store_chunk_opt(&chunk, ArrayBytes::from(values), &options).map_err(|error| error.to_string())?;
    let bytes = memory.get(&zarr.chunk_key(&chunk)).map_err(|error| error.to_string())?;
    Ok(bytes.map(|bytes| bytes.to_vec()))
}

/// The whole chunk, filled where nothing was labelled, in this machine's byte order.
fn chunk_bytes(info: &StoreInfo, array: StoreArray, labels: &ShardLabels) -> Result<Vec<u8>, String> {
    let image_values = array.image_values(info);
    let mut bytes = Vec::new();
    let floats =
        |values: &[f16], bytes: &mut Vec<u8>| bytes.extend(values.iter().flat_map(|value| value.to_ne_bytes()));
    let classes = |values: &[u32], bytes: &mut Vec<u8>| {
        if info.wide_class_ids() {
            bytes.extend(values.iter().flat_map(|class| class.to_ne_bytes()));
        } else {
            bytes.extend(values.iter().flat_map(|&class| (class as u16).to_ne_bytes()));
        }
    };
    let empty_scores = vec![f16::NEG_INFINITY; image_values];
    let empty_probs = vec![f16::ZERO; image_values];
    let empty_classes = vec![u32::MAX; image_values];
    for row in 0..info.shard_images {
        let image = labels.images.get(row).and_then(|image| image.as_ref().ok());
        if let Some(image) = image {
            let (map, prediction) = (&image.map, &image.prediction);
            if map.k() != info.k || map.size() != info.map_size || prediction.classes().len() < info.k {
                return Err(format!(
                    "image {row} has a map of {} cells and k = {}; the store has {} and {}",
                    map.size(),
                    map.k(),
                    info.map_size,
                    info.k
                ));
            }
        }
        match array {
            StoreArray::Scores => floats(image.map_or(&empty_scores, |image| image.map.scores()), &mut bytes),
            StoreArray::Classes => classes(image.map_or(&empty_classes, |image| image.map.classes()), &mut bytes),
            StoreArray::ImageProbs => {
                floats(image.map_or(&empty_probs, |image| &image.prediction.probs()[..info.k]), &mut bytes);
            }
            StoreArray::Lse => match image.map(|image| image.map.lse()) {
                None => floats(&empty_scores, &mut bytes),
                Some(Some(lse)) => floats(lse, &mut bytes),
                Some(None) => return Err(format!("image {row} has no log-sum-exp, which the store keeps")),
            },
            StoreArray::ImageClasses => {
                classes(image.map_or(&empty_classes, |image| &image.prediction.classes()[..info.k]), &mut bytes);
            }
        }
    }
    Ok(bytes)
}
