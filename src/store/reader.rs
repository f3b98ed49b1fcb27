//! Reads label maps back.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use half::f16;
use zarrs::array::ArrayToBytesCodecTraits as _;
use zarrs::array::{Array, ArrayShardedReadableExt as _, ArrayShardedReadableExtCache, CodecOptions};
use zarrs::filesystem::FilesystemStore;

use super::arrays::{Chunks, StoreArray};
use super::info::StoreInfo;
use super::names;
use super::record::{FailedImage, ShardRecord};
use crate::error::Error;
use crate::label_map::{ImageLabels, ImagePrediction, LabelMap};
use crate::manifest::{Manifest, read_manifest_parquet};

/// A store, open for reading.
pub struct StoreReader {
    path: PathBuf,
    info: StoreInfo,
    /// Those of [`StoreArray::of`], in its order.
    arrays: Vec<Array<FilesystemStore>>,
    /// The same arrays with a chunk for each image, which decode what the shards hold.
    image_arrays: Vec<Array<FilesystemStore>>,
    caches: Vec<ArrayShardedReadableExtCache>,
}

/// What a store knows of one row.
#[derive(Clone, Debug, PartialEq)]
pub enum RowState {
    /// It is labelled.
    Labelled(ImageLabels),
    /// It could not be labelled.
    Failed(FailedImage),
    /// Its shard is not done yet.
    ToDo,
}

impl StoreReader {
    /// Opens a store.
    ///
    /// # Errors
    /// When it is no store of this format version, or its metadata is damaged.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let info = StoreInfo::read(path)?;
        let broken = |problem: String| Error::Store { path: path.to_path_buf(), problem };
        let storage = Arc::new(FilesystemStore::new(path).map_err(|error| broken(error.to_string()))?);
        let open = |chunks| -> Result<Vec<Array<FilesystemStore>>, Error> {
            let arrays = StoreArray::of(&info).iter();
            arrays.map(|array| array.open(&info, Arc::clone(&storage), chunks).map_err(broken)).collect()
        };
        let (arrays, image_arrays) = (open(Chunks::OfShards)?, open(Chunks::OfImages)?);
        let caches = arrays.iter().map(ArrayShardedReadableExtCache::new).collect();
        Ok(Self { path: path.to_path_buf(), info, arrays, image_arrays, caches })
    }

    /// What the store is.
    #[must_use]
    pub fn info(&self) -> &StoreInfo {
        &self.info
    }

    /// The list of images.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn manifest(&self) -> Result<Manifest, Error> {
        read_manifest_parquet(&self.path.join(names::MANIFEST))
    }

    /// What is known of a row. Checksums are checked on the way.
    ///
    /// # Errors
    /// When there is no such row, or its shard is damaged.
    pub fn row(&self, row: usize) -> Result<RowState, Error> {
        if row >= self.info.images {
            return Err(Error::Usage(format!(
                "row {row} does not exist; the store has {} rows, from 0",
                self.info.images
            )));
        }
        let Some(record) = ShardRecord::read(&self.path, row / self.info.shard_images)? else {
            return Ok(RowState::ToDo);
        };
        if let Some(failed) = record.failed.into_iter().find(|failed| failed.row == row) {
            return Ok(RowState::Failed(failed));
        }
        let damaged = |problem: String| Error::Store {
            path: self.path.clone(),
            problem: format!(
                "row {row} (shard {}) is damaged: {problem}. Remove its record in records/ and run again",
                record.shard
            ),
        };
        let scores = halves(&self.values(StoreArray::Scores, row).map_err(damaged)?);
        let probs = halves(&self.values(StoreArray::ImageProbs, row).map_err(damaged)?);
        let classes = self.class_ids(&self.values(StoreArray::Classes, row).map_err(damaged)?);
        let image_classes = self.class_ids(&self.values(StoreArray::ImageClasses, row).map_err(damaged)?);
        if scores.iter().any(|score| !score.is_finite()) {
            return Err(damaged("its labels are missing although its record says that they are there".to_owned()));
        }
        let mut map = LabelMap::from_stored(scores, classes, self.info.k, self.info.map_size);
        if self.info.with_lse {
            let lse = halves(&self.values(StoreArray::Lse, row).map_err(damaged)?);
            map = map.and_then(|map| map.with_stored_lse(lse));
        }
        let prediction = ImagePrediction::from_stored(probs, image_classes);
        match (map, prediction) {
            (Some(map), Some(prediction)) => Ok(RowState::Labelled(ImageLabels { map, prediction })),
            _ => Err(damaged("its arrays have other shapes".to_owned())),
        }
    }

    /// Bytes of one image's values, in this machine's byte order.
    fn values(&self, array: StoreArray, row: usize) -> Result<Vec<u8>, String> {
        let at = array as usize;
        let options = CodecOptions::default();
        if array.is_map() {
            return self.map_values(at, row, &options);
        }
        let chunk = array.chunk_of(row / self.info.shard_images);
        let bytes: zarrs::array::ArrayBytes<'static> =
            self.arrays[at].retrieve_chunk_opt(&chunk, &options).map_err(|error| error.to_string())?;
        let bytes = bytes.into_fixed().map_err(|error| error.to_string())?;
        let image_bytes = bytes.len() / self.info.shard_images;
        let first = (row % self.info.shard_images) * image_bytes;
        Ok(bytes[first..first + image_bytes].to_vec())
    }

    /// Bytes of one image's inner chunk. It is decoded whole, since zarrs passes over checksums when it decodes parts
    /// (test `readers::a_flipped_bit_is_an_error`).
    fn map_values(&self, at: usize, row: usize, options: &CodecOptions) -> Result<Vec<u8>, String> {
        let image = [row as u64, 0, 0, 0];
        let encoded = self.arrays[at].retrieve_encoded_subchunk(&self.caches[at], &image).map_err(|e| e.to_string())?;
        let encoded = encoded.ok_or("its chunk is missing")?;
        let alone = &self.image_arrays[at];
        let shape = alone.chunk_shape(&image).map_err(|error| error.to_string())?;
        let decoded = alone
            .codecs()
            .decode(encoded.into(), &shape, alone.data_type(), alone.fill_value(), options)
            .map_err(|error| error.to_string())?;
        Ok(decoded.into_fixed().map_err(|error| error.to_string())?.into_owned())
    }

    fn class_ids(&self, bytes: &[u8]) -> Vec<u32> {
        if self.info.wide_class_ids() {
            bytes.as_chunks::<4>().0.iter().map(|id| u32::from_ne_bytes(*id)).collect()
        } else {
            bytes.as_chunks::<2>().0.iter().map(|id| u32::from(u16::from_ne_bytes(*id))).collect()
        }
    }
}

fn halves(bytes: &[u8]) -> Vec<f16> {
    bytes.as_chunks::<2>().0.iter().map(|half| f16::from_ne_bytes(*half)).collect()
}
