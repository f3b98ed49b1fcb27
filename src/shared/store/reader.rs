//! Reads label maps back.

mod shard;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use half::f16;

use super::arrays::StoreArray;
use super::decode::{DecodeScratch, Decoders};
use super::files::Files;
use super::info::StoreInfo;
use super::place::Place;
use super::record::{FailedImage, Identified, ShardRecord};
use super::record_file;
use super::writer::read_source_index;
use crate::shared::digest::Digest;
use crate::shared::error::Error;
use crate::shared::label_map::{ImageLabels, ImagePrediction, LabelMap};
use crate::shared::manifest::Manifest;

use shard::{KeptFiles, OpenShard, ReadFailure};

/// A store, open for reading. Threads may share it. It goes on with a finished shard as it was when it was first read,
/// also when it is made again meanwhile: for what is new then, open the store again.
pub struct StoreReader {
    /// What messages call the store.
    path: PathBuf,
    place: Place,
    info: StoreInfo,
    identity: Digest,
    decoders: Decoders,
    kept_files: KeptFiles,
    /// Finished shards whose files were held against their records.
    shards: RwLock<HashMap<usize, Arc<OpenShard>>>,
}

/// What a store knows of one row.
#[derive(Clone, Debug, PartialEq)]
pub enum RowState<T = ImageLabels> {
    /// It is labelled.
    Labelled(T),
    /// It could not be labelled.
    Failed(FailedImage),
    /// Its shard is not done yet.
    ToDo,
}

impl StoreReader {
    /// Opens a store. What it costs does not depend on the number of images.
    ///
    /// # Errors
    /// When it is no store of this format version, or its metadata is damaged.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Self::open_described(path, StoreInfo::read(path)?)
    }

    /// Opens a store that does not lie in a folder, and reads of it what is asked for.
    ///
    /// A shard's label maps are then read without reading all of the shard: that the whole file is the one that its
    /// record names is compared only where the place reads it whole. Every chunk and index has its checksum either way
    /// (test `remote::a_remote_store_reads_like_the_folder`).
    ///
    /// # Errors
    /// As for [`StoreReader::open`], and when the place cannot be reached.
    pub fn open_files(files: Arc<dyn Files>) -> Result<Self, Error> {
        let info = StoreInfo::of_files(&*files)?;
        Self::new(PathBuf::from(files.name()), Place::Elsewhere { files }, info)
    }

    /// Opens a store whose description was read already.
    pub(super) fn open_described(path: &Path, info: StoreInfo) -> Result<Self, Error> {
        Self::new(path.to_path_buf(), Place::folder(path.to_path_buf()), info)
    }

    fn new(path: PathBuf, place: Place, info: StoreInfo) -> Result<Self, Error> {
        let broken = |problem: String| Error::Store { path: path.clone(), problem: problem.into() };
        let decoders = Decoders::new(&info).map_err(broken)?;
        let identity = info.identity();
        Ok(Self { path, place, info, identity, decoders, kept_files: KeptFiles::default(), shards: RwLock::default() })
    }

    /// What the store is.
    #[must_use]
    pub fn info(&self) -> &StoreInfo {
        &self.info
    }

    /// Where the store lies: its folder, or its address.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The list of images.
    ///
    /// # Errors
    /// When it cannot be read, or is not the one with which the store was made.
    pub fn manifest(&self) -> Result<Manifest, Error> {
        self.place.manifest(&self.info)
    }

    /// What is known of a row. Checksums are checked on the way, and that the shard's files are those that its record
    /// names (test `damage::every_damage_is_reported_and_repaired`).
    ///
    /// # Errors
    /// When there is no such row, or its shard is damaged.
    pub fn row(&self, row: usize) -> Result<RowState, Error> {
        self.row_with(row, &mut DecodeScratch::default())
    }

    /// The same, with room that is used again for each row.
    ///
    /// # Errors
    /// When there is no such row, or its shard is damaged.
    pub fn row_with(&self, row: usize, scratch: &mut DecodeScratch) -> Result<RowState, Error> {
        self.labelled(row, |shard| {
            let map = self.checked_map_in(shard, row, scratch)?;
            Ok(ImageLabels { map, prediction: self.checked_prediction_in(shard, row)? })
        })
    }

    /// The same without a look at values, for a verification that names what is wrong with them.
    pub(super) fn stored_row(&self, row: usize) -> Result<RowState, Error> {
        self.labelled(row, |shard| {
            let map = self.map_in(shard, row, &mut DecodeScratch::default())?;
            Ok(ImageLabels { map, prediction: self.prediction_in(shard, row)? })
        })
    }

    /// The label map of a row, as [`StoreReader::row`] reads it.
    ///
    /// # Errors
    /// When there is no such row, or its shard is damaged.
    pub fn map(&self, row: usize, scratch: &mut DecodeScratch) -> Result<RowState<LabelMap>, Error> {
        self.labelled(row, |shard| self.checked_map_in(shard, row, scratch))
    }

    /// The whole-image prediction of a row, as [`StoreReader::row`] reads it.
    ///
    /// # Errors
    /// When there is no such row, or its shard is damaged.
    pub fn prediction(&self, row: usize) -> Result<RowState<ImagePrediction>, Error> {
        self.labelled(row, |shard| self.checked_prediction_in(shard, row))
    }

    /// Bytes that the label map of a row takes in the store's files, compressed.
    ///
    /// # Errors
    /// When there is no such row, or its shard is damaged.
    pub fn map_bytes(&self, row: usize) -> Result<RowState<usize>, Error> {
        let arrays = StoreArray::of(&self.info).iter().filter(|array| array.is_map());
        let at = row % self.info.shard_images;
        self.labelled(row, |shard| arrays.clone().map(|&array| shard.chunk_bytes(&self.place, array, at)).sum())
    }

    /// Where the store's images lie in the source's archives, if that was noted.
    #[must_use]
    pub fn source_index(&self) -> Option<Vec<u8>> {
        match &self.place {
            Place::Folder { path, .. } => read_source_index(path),
            Place::Elsewhere { .. } => None,
        }
    }

    /// The record of a shard; `None` when it is not done.
    ///
    /// # Errors
    /// When it is damaged.
    pub fn record(&self, shard: usize) -> Result<Option<ShardRecord>, Error> {
        let of = Identified { info: &self.info, identity: &self.identity };
        let Some(text) = self.place.read(&record_file(shard))? else { return Ok(None) };
        let record = ShardRecord::from_json(&text, &of, shard);
        record.map(Some).map_err(|what| self.damaged(shard, &format!("its record: {what}")))
    }

    /// The records of all finished shards, in order.
    ///
    /// # Errors
    /// When one is damaged.
    pub fn records(&self) -> Result<Vec<ShardRecord>, Error> {
        let shards: Vec<usize> = (0..self.info.shards()).collect();
        let read = |shards: &[usize]| shards.iter().filter_map(|&shard| self.record(shard).transpose()).collect();
        match self.place {
            Place::Folder { .. } => read(&shards),
            // Most of the time is waiting for answers. The threads live as long as this call.
            Place::Elsewhere { .. } => std::thread::scope(|scope| {
                let each = shards.len().div_ceil(RECORDS_AT_A_TIME).max(1);
                let threads: Vec<_> = shards.chunks(each).map(|shards| scope.spawn(move || read(shards))).collect();
                let broken =
                    || Err(Error::Internal { action: "read records".to_owned(), problem: "a thread panicked".into() });
                let ended = threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| broken()));
                Ok(ended.collect::<Result<Vec<_>, Error>>()?.concat())
            }),
        }
    }

    /// Checks that a row holds nothing, as a row without labels must: no inner chunk, and fill values in the small arrays.
    /// Returns the array in which it holds something, and what.
    ///
    /// # Errors
    /// Returns [`Error::File`] if the system fails to read a file, and [`Error::Store`] if the shard is damaged.
    pub(super) fn check_unlabelled(&self, row: usize) -> Result<Result<(), (StoreArray, String)>, Error> {
        let Some(shard) = self.shard(row / self.info.shard_images)? else { return Ok(Ok(())) };
        for &array in StoreArray::of(&self.info) {
            let problem = match self.holds_values(&shard, array, row) {
                Ok(false) => continue,
                Ok(true) => "there are values".to_owned(),
                Err(ReadFailure::Changed) => "it was changed meanwhile".to_owned(),
                Err(ReadFailure::Damaged(problem)) => problem,
                Err(ReadFailure::Failed(error)) => return Err(error),
            };
            return Ok(Err((array, problem)));
        }
        Ok(Ok(()))
    }

    fn holds_values(&self, shard: &OpenShard, array: StoreArray, row: usize) -> Result<bool, ReadFailure> {
        if array.is_map() {
            return Ok(shard.chunk_bytes(&self.place, array, row % self.info.shard_images)? > 0);
        }
        if shard.record.files.iter().all(|file| file.path != array.file_of(shard.record.shard)) {
            return Ok(false);
        }
        let values = self.small_values(shard, array, row)?;
        Ok(match array {
            StoreArray::ImageProbs => halves(values).iter().any(|&prob| prob != f16::ZERO),
            _ => values.iter().any(|&byte| byte != u8::MAX),
        })
    }

    fn labelled<T>(
        &self,
        row: usize,
        mut read: impl FnMut(&OpenShard) -> Result<T, ReadFailure>,
    ) -> Result<RowState<T>, Error> {
        if row >= self.info.images {
            return Err(Error::Usage(format!(
                "row {row} does not exist; the store has {} rows, from 0",
                self.info.images
            )));
        }
        let shard_number = row / self.info.shard_images;
        let damaged = |problem: &str| self.damaged(shard_number, &format!("row {row}: {problem}"));
        // A shard that was made again meanwhile is looked at again, once.
        for _ in 0..2 {
            let Some(shard) = self.shard(shard_number)? else { return Ok(RowState::ToDo) };
            if let Some(failed) = shard.record.failed.iter().find(|failed| failed.row == row) {
                return Ok(RowState::Failed(failed.clone()));
            }
            match read(&shard) {
                Ok(labels) => return Ok(RowState::Labelled(labels)),
                Err(ReadFailure::Damaged(problem)) => return Err(damaged(&problem)),
                Err(ReadFailure::Failed(error)) => return Err(error),
                Err(ReadFailure::Changed) => {
                    let old = self.shards.write().unwrap_or_else(PoisonError::into_inner).remove(&shard_number);
                    if let Some(old) = old {
                        old.give_back(&self.kept_files);
                    }
                }
            }
        }
        Err(damaged("its files change while they are read"))
    }

    /// A shard, once its files were held against its record; `None` when it is not done.
    fn shard(&self, shard: usize) -> Result<Option<Arc<OpenShard>>, Error> {
        let known = self.shards.read().unwrap_or_else(PoisonError::into_inner).get(&shard).cloned();
        if known.is_some() {
            return Ok(known);
        }
        let Some(record) = self.record(shard)? else { return Ok(None) };
        let open = OpenShard::compare(&self.place, &self.info, record);
        let open = Arc::new(open?.map_err(|what| self.damaged(shard, &what))?);
        self.shards.write().unwrap_or_else(PoisonError::into_inner).insert(shard, Arc::clone(&open));
        Ok(Some(open))
    }

    fn damaged(&self, shard: usize, problem: &str) -> Error {
        Error::Store {
            path: self.path.clone(),
            problem: format!(
                "shard {shard} is damaged: {problem}. {}",
                match self.place {
                    Place::Folder { .. } => "The run command that made the store makes it again",
                    Place::Elsewhere { .. } =>
                        "Its publisher can put it right; `relabel verify` says what else is wrong",
                }
            )
            .into(),
        }
    }

    fn map_in(&self, shard: &OpenShard, row: usize, scratch: &mut DecodeScratch) -> Result<LabelMap, ReadFailure> {
        let k = self.info.k;
        let scores = planes(&halves(&self.chunk_values(shard, StoreArray::Scores, row, scratch)?), k);
        let classes = planes(&self.class_ids(&self.chunk_values(shard, StoreArray::Classes, row, scratch)?), k);
        if scores.iter().any(|score| !score.is_finite()) {
            let problem = "its labels are missing although its record says that they are there";
            return Err(ReadFailure::Damaged(problem.to_owned()));
        }
        let mut map = LabelMap::from_stored(scores, classes, k, self.info.map_size);
        if self.info.with_lse {
            let lse = halves(&self.chunk_values(shard, StoreArray::Lse, row, scratch)?);
            map = map.and_then(|map| map.with_stored_lse(lse));
        }
        map.ok_or_else(other_shapes)
    }

    /// A label map whose class ids are classes of the teacher, so that nobody who uses them as positions goes astray.
    fn checked_map_in(
        &self,
        shard: &OpenShard,
        row: usize,
        scratch: &mut DecodeScratch,
    ) -> Result<LabelMap, ReadFailure> {
        let map = self.map_in(shard, row, scratch)?;
        self.check_classes(map.classes())?;
        Ok(map)
    }

    fn checked_prediction_in(&self, shard: &OpenShard, row: usize) -> Result<ImagePrediction, ReadFailure> {
        let prediction = self.prediction_in(shard, row)?;
        self.check_classes(prediction.classes())?;
        if let Some(prob) = prediction.probs().iter().find(|prob| !(0.0..=1.001).contains(&prob.to_f32())) {
            return Err(ReadFailure::Damaged(format!("it has the probability {prob}")));
        }
        Ok(prediction)
    }

    fn check_classes(&self, classes: &[u32]) -> Result<(), ReadFailure> {
        let count = self.info.classes.count;
        match classes.iter().find(|&&class| class as usize >= count) {
            None => Ok(()),
            Some(class) => Err(ReadFailure::Damaged(format!("it has the class {class}, and there are {count}"))),
        }
    }

    fn prediction_in(&self, shard: &OpenShard, row: usize) -> Result<ImagePrediction, ReadFailure> {
        let probs = halves(self.small_values(shard, StoreArray::ImageProbs, row)?);
        let classes = self.class_ids(self.small_values(shard, StoreArray::ImageClasses, row)?);
        ImagePrediction::from_stored(probs, classes).ok_or_else(other_shapes)
    }

    /// Bytes of one image's values in an array without inner chunks, in this machine's byte order.
    fn small_values<'a>(&self, shard: &'a OpenShard, array: StoreArray, row: usize) -> Result<&'a [u8], ReadFailure> {
        let values = shard.values(&self.place, array, |encoded| {
            self.decoders.decode(array, encoded, &mut DecodeScratch::default())
        })?;
        let image_bytes = values.len() / self.info.shard_images;
        let first = (row % self.info.shard_images) * image_bytes;
        values.get(first..first + image_bytes).ok_or_else(other_shapes)
    }

    /// Bytes of one image's inner chunk, `[y, x, k]`, in this machine's byte order.
    fn chunk_values(
        &self,
        shard: &OpenShard,
        array: StoreArray,
        row: usize,
        scratch: &mut DecodeScratch,
    ) -> Result<Vec<u8>, ReadFailure> {
        let encoded = shard.chunk(&self.place, array, row % self.info.shard_images, &self.kept_files)?;
        self.decoders.decode(array, encoded, scratch).map_err(ReadFailure::Damaged)
    }

    fn class_ids(&self, bytes: &[u8]) -> Vec<u32> {
        if self.info.wide_class_ids() {
            bytes.as_chunks::<4>().0.iter().map(|id| u32::from_ne_bytes(*id)).collect()
        } else {
            bytes.as_chunks::<2>().0.iter().map(|id| u32::from(u16::from_ne_bytes(*id))).collect()
        }
    }
}

/// Records that are asked for at a time, where they do not lie in a folder.
const RECORDS_AT_A_TIME: usize = 16;

fn halves(bytes: &[u8]) -> Vec<f16> {
    bytes.as_chunks::<2>().0.iter().map(|half| f16::from_ne_bytes(*half)).collect()
}

/// `[k, y, x]` from `[y, x, k]`.
fn planes<T: Copy + Default>(cells: &[T], k: usize) -> Vec<T> {
    let mut planes = vec![T::default(); cells.len()];
    let plane = cells.len() / k;
    for (cell, ranks) in cells.chunks_exact(k).enumerate() {
        for (&value, place) in ranks.iter().zip(planes[cell..].iter_mut().step_by(plane)) {
            *place = value;
        }
    }
    planes
}

fn other_shapes() -> ReadFailure {
    ReadFailure::Damaged("its arrays have other shapes".to_owned())
}
