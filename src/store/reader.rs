//! Reads label maps back.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use half::f16;
use zarrs::array::ArrayToBytesCodecTraits as _;
use zarrs::array::{Array, ArrayShardedReadableExt as _, ArrayShardedReadableExtCache, CodecOptions};
use zarrs::filesystem::FilesystemStore;

use super::arrays::{Chunks, StoreArray};
use super::info::StoreInfo;
use super::names;
use super::record::{FailedImage, Identified, RecordState, RecordedFile, ShardRecord};
use crate::digest::{Digest, digest_bytes};
use crate::error::Error;
use crate::label_map::{ImageLabels, ImagePrediction, LabelMap};
use crate::manifest::{Manifest, read_manifest_parquet};

/// A store, open for reading.
pub struct StoreReader {
    path: PathBuf,
    info: StoreInfo,
    identity: Digest,
    arrays: [Array<FilesystemStore>; 4],
    /// The same arrays with a chunk for each image, which decode what the shards hold.
    image_arrays: [Array<FilesystemStore>; 4],
    caches: [ArrayShardedReadableExtCache; 4],
    /// Finished shards whose files were held against their records.
    shards: RwLock<HashMap<usize, Arc<ShardRecord>>>,
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
        let open = |chunks| -> Result<[Array<FilesystemStore>; 4], Error> {
            let open = |array: StoreArray| array.open(&info, Arc::clone(&storage), chunks).map_err(broken);
            let [scores, classes, image_probs, image_classes] = StoreArray::ALL;
            Ok([open(scores)?, open(classes)?, open(image_probs)?, open(image_classes)?])
        };
        let (arrays, image_arrays) = (open(Chunks::OfShards)?, open(Chunks::OfImages)?);
        let caches = arrays.each_ref().map(ArrayShardedReadableExtCache::new);
        let identity = info.identity();
        Ok(Self { path: path.to_path_buf(), info, identity, arrays, image_arrays, caches, shards: RwLock::default() })
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

    /// What is known of a row. Checksums are checked on the way, and that the shard's files are those that its record
    /// names (test `mishaps::every_damage_is_named_and_repaired`).
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
        let Some(record) = self.record(row / self.info.shard_images)? else { return Ok(RowState::ToDo) };
        if let Some(failed) = record.failed.iter().find(|failed| failed.row == row) {
            return Ok(RowState::Failed(failed.clone()));
        }
        let damaged = |problem: String| self.damaged(record.shard, &format!("row {row}: {problem}"));
        let scores = halves(&self.values(StoreArray::Scores, row).map_err(damaged)?);
        let probs = halves(&self.values(StoreArray::ImageProbs, row).map_err(damaged)?);
        let classes = self.class_ids(&self.values(StoreArray::Classes, row).map_err(damaged)?);
        let image_classes = self.class_ids(&self.values(StoreArray::ImageClasses, row).map_err(damaged)?);
        if scores.iter().any(|score| !score.is_finite()) {
            return Err(damaged("its labels are missing although its record says that they are there".to_owned()));
        }
        let map = LabelMap::from_stored(scores, classes, self.info.k, self.info.map_size);
        let prediction = ImagePrediction::from_stored(probs, image_classes);
        match (map, prediction) {
            (Some(map), Some(prediction)) => Ok(RowState::Labelled(ImageLabels { map, prediction })),
            _ => Err(damaged("its arrays have other shapes".to_owned())),
        }
    }

    /// The record of a shard, once its files were held against it; `None` when the shard is not done.
    fn record(&self, shard: usize) -> Result<Option<Arc<ShardRecord>>, Error> {
        if let Some(record) = self.shards.read().unwrap_or_else(PoisonError::into_inner).get(&shard) {
            return Ok(Some(Arc::clone(record)));
        }
        let of = Identified { info: &self.info, identity: &self.identity };
        let record = match RecordState::read(&self.path, &of, shard)? {
            RecordState::Valid(record) => Arc::new(record),
            RecordState::Absent => return Ok(None),
            RecordState::Damaged(what) => return Err(self.damaged(shard, &format!("its record: {what}"))),
        };
        for file in &record.files {
            self.check_is_the_recorded(file).map_err(|what| self.damaged(shard, &format!("{}: {what}", file.path)))?;
        }
        self.shards.write().unwrap_or_else(PoisonError::into_inner).insert(shard, Arc::clone(&record));
        Ok(Some(record))
    }

    /// Inner chunks have checksums of their own, but another shard's file has right ones too. So the index, which is
    /// read anyway, must be the recorded one; files without an index are small, and compared whole.
    fn check_is_the_recorded(&self, file: &RecordedFile) -> Result<(), String> {
        let text = |error: std::io::Error| error.to_string();
        let opened = File::open(self.path.join(&file.path)).map_err(text)?;
        let length = opened.metadata().map_err(text)?.len();
        if length != file.bytes {
            return Err(format!("it has {length} bytes, {} when it was written", file.bytes));
        }
        let (digest, first) = match &file.index_sha256 {
            Some(digest) => (digest, length.saturating_sub(self.info.index_bytes() as u64)),
            None => (&file.sha256, 0),
        };
        let mut bytes = vec![0; (length - first) as usize];
        opened.read_exact_at(&mut bytes, first).map_err(text)?;
        if digest_bytes(&bytes) == *digest {
            Ok(())
        } else {
            Err("it is not the file that its record names".to_owned())
        }
    }

    fn damaged(&self, shard: usize, problem: &str) -> Error {
        Error::Store {
            path: self.path.clone(),
            problem: format!("shard {shard} is damaged: {problem}. The run command that made the store makes it again"),
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
