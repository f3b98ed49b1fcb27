//! Reads label maps back.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use half::f16;
use zarrs::array::ArrayToBytesCodecTraits as _;
use zarrs::array::{Array, CodecOptions};
use zarrs::filesystem::FilesystemStore;

use super::arrays::{Chunks, StoreArray};
use super::index::ShardIndex;
use super::info::StoreInfo;
use super::names;
use super::record::{FailedImage, Identified, RecordState, RecordedFile, ShardRecord};
use super::seen::{Look, Seen};
use crate::digest::{Digest, digest_bytes};
use crate::error::Error;
use crate::label_map::{ImageLabels, ImagePrediction, LabelMap};
use crate::manifest::{Manifest, read_manifest_parquet};

/// A store, open for reading.
pub struct StoreReader {
    path: PathBuf,
    info: StoreInfo,
    identity: Digest,
    /// Those of [`StoreArray::of`], in its order.
    arrays: Vec<Array<FilesystemStore>>,
    /// The same arrays with a chunk for each image, which decode what the shards hold.
    image_arrays: Vec<Array<FilesystemStore>>,
    seen: Seen,
    /// Finished shards whose files were held against their records.
    shards: RwLock<HashMap<usize, Arc<OpenShard>>>,
}

/// A finished shard.
struct OpenShard {
    record: ShardRecord,
    /// Of each array that has an inner chunk for each image, in the order of [`StoreArray::of`]; empty where nothing was
    /// labelled.
    indices: Vec<Option<ShardIndex>>,
    /// How each file looked when it was compared, in the same order.
    looks: Vec<Look>,
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
        Self::open_described(path, StoreInfo::read(path)?)
    }

    /// Opens a store whose description was read already.
    pub(super) fn open_described(path: &Path, info: StoreInfo) -> Result<Self, Error> {
        let broken = |problem: String| Error::Store { path: path.to_path_buf(), problem };
        let storage = Arc::new(FilesystemStore::new(path).map_err(|error| broken(error.to_string()))?);
        let open = |chunks| -> Result<Vec<Array<FilesystemStore>>, Error> {
            let arrays = StoreArray::of(&info).iter();
            arrays.map(|array| array.open(&info, Arc::clone(&storage), chunks).map_err(broken)).collect()
        };
        let (arrays, image_arrays) = (open(Chunks::OfShards)?, open(Chunks::OfImages)?);
        let (identity, seen) = (info.identity(), Seen::read(path));
        Ok(Self { path: path.to_path_buf(), info, identity, arrays, image_arrays, seen, shards: RwLock::default() })
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
    /// names (test `damage::every_damage_is_named_and_repaired`).
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
        let Some(shard) = self.shard(row / self.info.shard_images)? else { return Ok(RowState::ToDo) };
        let record = &shard.record;
        if let Some(failed) = record.failed.iter().find(|failed| failed.row == row) {
            return Ok(RowState::Failed(failed.clone()));
        }
        let damaged = |problem: String| self.damaged(record.shard, &format!("row {row}: {problem}"));
        let scores = halves(&self.map_values(&shard, StoreArray::Scores, row).map_err(damaged)?);
        let probs = halves(&self.small_values(StoreArray::ImageProbs, row).map_err(damaged)?);
        let classes = self.class_ids(&self.map_values(&shard, StoreArray::Classes, row).map_err(damaged)?);
        let image_classes = self.class_ids(&self.small_values(StoreArray::ImageClasses, row).map_err(damaged)?);
        if scores.iter().any(|score| !score.is_finite()) {
            return Err(damaged("its labels are missing although its record says that they are there".to_owned()));
        }
        let mut map = LabelMap::from_stored(scores, classes, self.info.k, self.info.map_size);
        if self.info.with_lse {
            let lse = halves(&self.map_values(&shard, StoreArray::Lse, row).map_err(damaged)?);
            map = map.and_then(|map| map.with_stored_lse(lse));
        }
        let prediction = ImagePrediction::from_stored(probs, image_classes);
        match (map, prediction) {
            (Some(map), Some(prediction)) => Ok(RowState::Labelled(ImageLabels { map, prediction })),
            _ => Err(damaged("its arrays have other shapes".to_owned())),
        }
    }

    /// Checks that a row holds nothing, as a row without labels must: no inner chunk, and fill values in the small arrays.
    pub(super) fn check_unlabelled(&self, row: usize) -> Result<(), (StoreArray, String)> {
        let shard =
            self.shard(row / self.info.shard_images).map_err(|error| (StoreArray::Scores, error.to_string()))?;
        for &array in StoreArray::of(&self.info) {
            let index = shard.as_ref().and_then(|shard| shard.indices[array as usize].as_ref());
            let holds = match array {
                StoreArray::Scores | StoreArray::Classes | StoreArray::Lse => {
                    Ok(index.is_some_and(|index| index.chunk(row % self.info.shard_images).is_some()))
                }
                StoreArray::ImageProbs => {
                    self.small_values(array, row).map(|probs| halves(&probs).iter().any(|&prob| prob != f16::ZERO))
                }
                StoreArray::ImageClasses => {
                    self.small_values(array, row).map(|ids| ids.iter().any(|&byte| byte != u8::MAX))
                }
            };
            match holds {
                Ok(false) => {}
                Ok(true) => return Err((array, "there are values".to_owned())),
                Err(problem) => return Err((array, problem)),
            }
        }
        Ok(())
    }

    /// A shard, once its files were held against its record; `None` when it is not done.
    fn shard(&self, shard: usize) -> Result<Option<Arc<OpenShard>>, Error> {
        let known = self.shards.read().unwrap_or_else(PoisonError::into_inner).get(&shard).cloned();
        // A shard that was made again meanwhile has its images in other places.
        if let Some(open) = known.filter(|open| self.looks_as_compared(open)) {
            return Ok(Some(open));
        }
        let of = Identified { info: &self.info, identity: &self.identity };
        let record = match RecordState::read(&self.path, &of, shard)? {
            RecordState::Valid(record) => record,
            RecordState::Absent => return Ok(None),
            RecordState::Damaged(what) => return Err(self.damaged(shard, &format!("its record: {what}"))),
        };
        let arrays = StoreArray::of(&self.info);
        let mut indices: Vec<Option<ShardIndex>> = arrays.iter().map(|_| None).collect();
        let mut looks = Vec::new();
        for (file, &array) in record.files.iter().zip(arrays) {
            let (index, look) = self
                .index_of_recorded(file, array)
                .map_err(|what| self.damaged(shard, &format!("{}: {what}", file.path)))?;
            indices[array as usize] = index;
            looks.push(look);
        }
        let open = Arc::new(OpenShard { record, indices, looks });
        self.shards.write().unwrap_or_else(PoisonError::into_inner).insert(shard, Arc::clone(&open));
        Ok(Some(open))
    }

    /// Inner chunks have checksums of their own, but another shard's file has right ones too. So a file is compared with
    /// its record when it is first read, unless it was compared before and not touched since.
    fn index_of_recorded(&self, file: &RecordedFile, array: StoreArray) -> Result<(Option<ShardIndex>, Look), String> {
        let text = |error: std::io::Error| error.to_string();
        let opened = File::open(self.path.join(&file.path)).map_err(text)?;
        let metadata = opened.metadata().map_err(text)?;
        if metadata.len() != file.bytes {
            return Err(format!("it has {} bytes, {} when it was written", metadata.len(), file.bytes));
        }
        let index_at = metadata.len().saturating_sub(ShardIndex::bytes(self.info.shard_images) as u64);
        let is_known = self.seen.knows(&file.path, &metadata);
        let first = if is_known { index_at } else { 0 };
        let mut bytes = vec![0; (metadata.len() - first) as usize];
        opened.read_exact_at(&mut bytes, first).map_err(text)?;
        if !is_known && digest_bytes(&bytes) != file.sha256 {
            return Err("it is not the file that its record names".to_owned());
        }
        let index = &bytes[(index_at - first) as usize..];
        let index = array.is_map().then(|| ShardIndex::parse(index, index_at)).transpose()?;
        Ok((index, Look::of(&metadata)))
    }

    fn looks_as_compared(&self, shard: &OpenShard) -> bool {
        shard.record.files.iter().zip(&shard.looks).all(|(file, look)| {
            std::fs::metadata(self.path.join(&file.path)).is_ok_and(|metadata| Look::of(&metadata) == *look)
        })
    }

    fn damaged(&self, shard: usize, problem: &str) -> Error {
        Error::Store {
            path: self.path.clone(),
            problem: format!("shard {shard} is damaged: {problem}. The run command that made the store makes it again"),
        }
    }

    /// Bytes of one image's values in an array without inner chunks, in this machine's byte order.
    fn small_values(&self, array: StoreArray, row: usize) -> Result<Vec<u8>, String> {
        let chunk = array.chunk_of(row / self.info.shard_images);
        let bytes: zarrs::array::ArrayBytes<'static> = self.arrays[array as usize]
            .retrieve_chunk_opt(&chunk, &CodecOptions::default())
            .map_err(|error| error.to_string())?;
        let bytes = bytes.into_fixed().map_err(|error| error.to_string())?;
        let image_bytes = bytes.len() / self.info.shard_images;
        let first = (row % self.info.shard_images) * image_bytes;
        Ok(bytes[first..first + image_bytes].to_vec())
    }

    /// Bytes of one image's inner chunk, decoded, in this machine's byte order. It is decoded whole, since zarrs passes
    /// over checksums when it decodes parts (test `readers::a_flipped_bit_is_an_error`).
    fn map_values(&self, shard: &OpenShard, array: StoreArray, row: usize) -> Result<Vec<u8>, String> {
        let index = shard.indices[array as usize].as_ref();
        let place = index.and_then(|index| index.chunk(row % self.info.shard_images)).ok_or("its chunk is missing")?;
        let file = self.path.join(array.file_of(shard.record.shard));
        let mut encoded = vec![0; place.bytes];
        File::open(file)
            .and_then(|file| file.read_exact_at(&mut encoded, place.offset))
            .map_err(|error| error.to_string())?;
        let alone = &self.image_arrays[array as usize];
        let shape = alone.chunk_shape(&[row as u64, 0, 0, 0]).map_err(|error| error.to_string())?;
        let decoded = alone
            .codecs()
            .decode(encoded.into(), &shape, alone.data_type(), alone.fill_value(), &CodecOptions::default())
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
