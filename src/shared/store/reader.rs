//! Reads label maps from a store.

mod open_shard;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use half::f16;

use super::calibration::Calibration;
use super::chunk_decoder::{ChunkDecoders, DecodeScratch};
use super::info::StoreInfo;
use super::layout::{CALIBRATION, StoreArray, record_file};
use super::location::{Files, StoreLocation};
use super::record::{FailedImage, IdentifiedStore, ShardRecord, StoreIdentity};
use super::source_index::read_source_index;
use super::store_error::StoreError;
use crate::shared::digest::{Digest, digest_bytes};
use crate::shared::error::Error;
use crate::shared::geometry::MapSize;
use crate::shared::label_map::{ImageLabels, ImagePrediction, LabelMap, TileLabels};
use crate::shared::manifest::Manifest;
use crate::shared::threads::run_concurrently;
use crate::shared::tiles::Tiles;

use open_shard::{OpenFileBudget, OpenShard, ReadFailure};

/// A store, open for reading. Threads can share it. A finished shard that is labelled again in the meantime keeps the
/// labels it had when it was first read; open the store again for the new ones.
pub struct StoreReader {
    /// Folder or address, for messages.
    path: PathBuf,
    location: StoreLocation,
    info: StoreInfo,
    identity: StoreIdentity,
    decoders: ChunkDecoders,
    open_files: OpenFileBudget,
    /// Finished shards whose files were verified against their records.
    shards: RwLock<HashMap<usize, Arc<OpenShard>>>,
}

/// Labels or state of one row.
#[derive(Clone, Debug, PartialEq)]
pub enum RowState<T = ImageLabels> {
    /// The row has labels.
    Labelled(T),
    /// The image could not be labelled.
    Failed(FailedImage),
    /// The shard of the row is not done yet.
    ToDo,
}

/// Which labels of an image are read, in addition to its prediction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LabelParts {
    /// The label map.
    pub map: bool,
    /// The predictions of the tiles.
    pub tiles: bool,
    /// The label maps of the tiles; only with `tiles`.
    pub tile_maps: bool,
}

impl LabelParts {
    /// Everything.
    pub const ALL: Self = Self { map: true, tiles: true, tile_maps: true };
    /// The label map.
    pub const MAP: Self = Self { map: true, tiles: false, tile_maps: false };
}

impl StoreReader {
    /// Opens a store, in constant time.
    ///
    /// # Errors
    /// Returns [`Error::Store`] if it is not a store of this format version, or its metadata is damaged.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Self::open_with_info(path, StoreInfo::read(path)?)
    }

    /// Opens a store that is not in a folder. Only the requested data is read.
    ///
    /// Label maps are read without the rest of their shard, so the digest of the file is verified only if `files`
    /// reads all of it. Every chunk and index is verified by its own checksum either way
    /// (test `remote::a_remote_store_reads_like_the_folder`).
    ///
    /// # Errors
    /// See [`StoreReader::open`]. Returns [`Error::Remote`] if the server cannot be reached.
    pub fn open_files(files: Arc<dyn Files>) -> Result<Self, Error> {
        let info = StoreInfo::from_files(&*files)?;
        Self::new(PathBuf::from(files.name()), StoreLocation::Files { files }, info)
    }

    /// Opens a store whose description was already read.
    pub(super) fn open_with_info(path: &Path, info: StoreInfo) -> Result<Self, Error> {
        Self::new(path.to_path_buf(), StoreLocation::folder(path.to_path_buf()), info)
    }

    fn new(path: PathBuf, location: StoreLocation, info: StoreInfo) -> Result<Self, Error> {
        let decoders = ChunkDecoders::new(&info)
            .map_err(|problem| Error::Store { path: path.clone(), problem: problem.into() })?;
        let identity = StoreIdentity::new(&info);
        Ok(Self {
            path,
            location,
            info,
            identity,
            decoders,
            open_files: OpenFileBudget::default(),
            shards: RwLock::default(),
        })
    }

    /// Description of the store.
    #[must_use]
    pub fn info(&self) -> &StoreInfo {
        &self.info
    }

    /// Folder or address of the store.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the manifest.
    ///
    /// # Errors
    /// Returns [`Error::Manifest`] if it is not the one that the store was created with; [`Error::File`] or
    /// [`Error::Remote`] if it cannot be read.
    pub fn manifest(&self) -> Result<Manifest, Error> {
        self.location.read_manifest(&self.info.manifest_sha256, self.info.max_manifest_bytes(), self.info.images)
    }

    /// Reads a row. Verifies checksums, and that the shard's files match its record (test
    /// `damage::every_damage_is_reported_and_repaired`).
    ///
    /// # Errors
    /// Returns [`Error::Usage`] if the row does not exist; [`Error::Store`] if its shard is damaged; [`Error::File`] or
    /// [`Error::Remote`] if it cannot be read.
    pub fn row(&self, row: usize) -> Result<RowState, Error> {
        self.row_with(row, &mut DecodeScratch::default())
    }

    /// Reads a row as [`StoreReader::row`] does, with buffers that are reused for each row.
    ///
    /// # Errors
    /// See [`StoreReader::row`].
    pub fn row_with(&self, row: usize, scratch: &mut DecodeScratch) -> Result<RowState, Error> {
        self.row_parts(row, LabelParts::ALL, scratch)
    }

    /// Reads some of the labels of a row. What is not requested, or what the store does not have, is missing in the result.
    ///
    /// # Errors
    /// See [`StoreReader::row`].
    pub fn row_parts(&self, row: usize, parts: LabelParts, scratch: &mut DecodeScratch) -> Result<RowState, Error> {
        self.labelled(row, |shard| {
            let labels = self.labels_in(shard, row, parts, scratch)?;
            self.check_values(&labels)?;
            Ok(labels)
        })
    }

    /// Reads a row as [`StoreReader::row`] does, without checks of values, for a verification that reports each wrong one.
    pub(super) fn stored_row(&self, row: usize) -> Result<RowState, Error> {
        self.labelled(row, |shard| self.labels_in(shard, row, LabelParts::ALL, &mut DecodeScratch::default()))
    }

    /// Reads the label map of a row.
    ///
    /// # Errors
    /// See [`StoreReader::row`]. Returns [`Error::NoLabelMaps`] if the store has predictions only.
    pub fn map(&self, row: usize, scratch: &mut DecodeScratch) -> Result<RowState<LabelMap>, Error> {
        let size = self.map_size("read a label map")?;
        self.labelled(row, |shard| {
            let map = self.map_in(shard, row, size, scratch)?;
            self.check_classes(map.cell_classes())?;
            Ok(map)
        })
    }

    /// Returns the size of the label maps, for an operation that needs them.
    ///
    /// # Errors
    /// Returns [`Error::NoLabelMaps`] if the store has predictions only.
    pub fn map_size(&self, action: &'static str) -> Result<MapSize, Error> {
        self.info.map_size.ok_or_else(|| Error::NoLabelMaps { action, store: self.path.clone() })
    }

    /// Reads the prediction of a row.
    ///
    /// # Errors
    /// See [`StoreReader::row`].
    pub fn prediction(&self, row: usize) -> Result<RowState<ImagePrediction>, Error> {
        self.labelled(row, |shard| {
            let prediction = self.prediction_in(shard, row)?;
            self.check_prediction(&prediction)?;
            Ok(prediction)
        })
    }

    /// Returns the compressed length of a row's label map in bytes.
    ///
    /// # Errors
    /// See [`StoreReader::row`].
    pub fn map_bytes(&self, row: usize) -> Result<RowState<usize>, Error> {
        let arrays: Vec<_> = StoreArray::stored_in(&self.info).into_iter().filter(|array| array.is_map()).collect();
        let at = row % self.info.shard_images;
        self.labelled(row, |shard| arrays.iter().map(|&array| shard.chunk_bytes(&self.location, array, at)).sum())
    }

    /// Reads the parameters of calibrated pooling; `None` if the store was not calibrated.
    ///
    /// # Errors
    /// Returns [`Error::Store`] if the file is damaged or of other labels; [`Error::File`] or [`Error::Remote`] if it cannot be
    /// read.
    pub fn calibration(&self) -> Result<Option<Calibration>, Error> {
        Ok(self.read_calibration()?.map(|(calibration, _)| calibration))
    }

    /// Returns the bytes of a valid `pooling.json`; `None` if the store was not calibrated.
    ///
    /// # Errors
    /// See [`StoreReader::calibration`].
    pub fn calibration_file(&self) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.read_calibration()?.map(|(_, text)| text))
    }

    fn read_calibration(&self) -> Result<Option<(Calibration, Vec<u8>)>, Error> {
        let Some(text) = self.location.read(CALIBRATION)? else { return Ok(None) };
        let problem = |problem: StoreError| {
            Error::Store {
            path: self.path.clone(),
            problem: format!(
                "cannot use its {CALIBRATION}: {problem}\n  help: delete the file, or write it again with `relabel calibrate`"
            )
            .into(),
        }
        };
        let calibration = Calibration::from_json(&text, &self.info).map_err(problem)?;
        Ok(Some((calibration, text)))
    }

    /// Returns the cached positions of the images in the source's archives, if the store has them.
    #[must_use]
    pub fn source_index(&self) -> Option<Vec<u8>> {
        match &self.location {
            StoreLocation::Folder { path, .. } => read_source_index(path),
            StoreLocation::Files { .. } => None,
        }
    }

    /// Reads the record of a shard; `None` if the shard is not done.
    ///
    /// # Errors
    /// Returns [`Error::Store`] if it is damaged; [`Error::File`] or [`Error::Remote`] if it cannot be read.
    pub fn record(&self, shard: usize) -> Result<Option<ShardRecord>, Error> {
        let of = IdentifiedStore { info: &self.info, identity: &self.identity };
        let Some(text) = self.location.read(&record_file(shard))? else { return Ok(None) };
        let record = ShardRecord::from_json(&text, &of, shard);
        record.map(Some).map_err(|problem| self.damaged(shard, &format!("its record: {problem}")))
    }

    /// Reads the records of all finished shards, in order.
    ///
    /// # Errors
    /// See [`StoreReader::record`]. Returns [`Error::Threads`] if threads cannot be started.
    pub fn records(&self) -> Result<Vec<ShardRecord>, Error> {
        let shards: Vec<usize> = (0..self.info.shards()).collect();
        let read = |shards: &[usize]| shards.iter().filter_map(|&shard| self.record(shard).transpose()).collect();
        match self.location {
            StoreLocation::Folder { .. } => read(&shards),
            // Most of the time is spent on waiting for responses. The threads end with this call.
            StoreLocation::Files { .. } => {
                let shards_per_thread = shards.len().div_ceil(CONCURRENT_RECORDS).max(1);
                let tasks = shards.chunks(shards_per_thread).map(|shards| move || read(shards));
                let records: Result<Vec<Vec<ShardRecord>>, Error> =
                    run_concurrently("read records", tasks)?.into_iter().collect();
                Ok(records?.concat())
            }
        }
    }

    /// Returns the digest of all labels: SHA-256 over the digests of the manifest, of the teacher and of every array file,
    /// in the order of shards. It does not depend on names and other text in records, so a release has the digest of its
    /// store.
    ///
    /// # Errors
    /// See [`StoreReader::records`].
    pub fn labels_digest(&self) -> Result<Digest, Error> {
        let mut text = format!("manifest {}\nteacher {}\n", self.info.manifest_sha256, self.info.teacher.sha256);
        for record in self.records()? {
            for file in record.all_files() {
                text += &format!("{} {}\n", file.sha256, file.path);
            }
        }
        Ok(digest_bytes(text.as_bytes()))
    }

    /// Checks that a row without labels has no values: no inner chunk, and fill values in the small arrays. Otherwise
    /// returns the array that has values, and the problem.
    ///
    /// # Errors
    /// Returns [`Error::File`] if a file cannot be read, and [`Error::Store`] if the shard is damaged.
    pub(super) fn check_unlabelled(&self, row: usize) -> Result<Result<(), (StoreArray, String)>, Error> {
        let Some(shard) = self.shard(row / self.info.shard_images)? else { return Ok(Ok(())) };
        for array in StoreArray::stored_in(&self.info) {
            let problem = match self.has_values(&shard, array, row) {
                Ok(false) => continue,
                Ok(true) => "it has values".to_owned(),
                Err(ReadFailure::Changed) => "it changed while it was read".to_owned(),
                Err(ReadFailure::Damaged(problem)) => problem,
                Err(ReadFailure::Failed(error)) => return Err(error),
            };
            return Ok(Err((array, problem)));
        }
        Ok(Ok(()))
    }

    fn has_values(&self, shard: &OpenShard, array: StoreArray, row: usize) -> Result<bool, ReadFailure> {
        if array.is_map() {
            return Ok(shard.chunk_bytes(&self.location, array, row % self.info.shard_images)? > 0);
        }
        if shard.record.all_files().all(|file| file.path != array.shard_file(shard.record.shard)) {
            return Ok(false);
        }
        let values = self.small_values(shard, array, row)?;
        Ok(match array {
            StoreArray::ImageProbs | StoreArray::TileProbs => halves(values).iter().any(|&prob| prob != f16::ZERO),
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
                "row {row} does not exist: the store has {} rows, counted from 0",
                self.info.images
            )));
        }
        let shard_number = row / self.info.shard_images;
        let damaged = |problem: &str| self.damaged(shard_number, &format!("row {row}: {problem}"));
        // A shard that was labelled again in the meantime is read again, once.
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
                        old.release_files(&self.open_files);
                    }
                }
            }
        }
        Err(damaged("its files changed while they were read"))
    }

    /// Opens a shard and verifies its files against its record; `None` if it is not done.
    fn shard(&self, shard: usize) -> Result<Option<Arc<OpenShard>>, Error> {
        let known = self.shards.read().unwrap_or_else(PoisonError::into_inner).get(&shard).cloned();
        if known.is_some() {
            return Ok(known);
        }
        let Some(record) = self.record(shard)? else { return Ok(None) };
        let open = OpenShard::verify(&self.location, &self.info, record)?;
        let open = Arc::new(open.map_err(|problem| self.damaged(shard, &problem.to_string()))?);
        self.shards.write().unwrap_or_else(PoisonError::into_inner).insert(shard, Arc::clone(&open));
        Ok(Some(open))
    }

    fn damaged(&self, shard: usize, problem: &str) -> Error {
        Error::Store {
            path: self.path.clone(),
            problem: format!(
                "shard {shard} is damaged: {problem}\n  help: {}",
                match self.location {
                    StoreLocation::Folder { .. } =>
                        "repeat the run command that created the store, which labels the shard again",
                    StoreLocation::Files { .. } =>
                        "run `relabel verify` for other problems, and ask the publisher to repair it",
                }
            )
            .into(),
        }
    }

    fn labels_in(
        &self,
        shard: &OpenShard,
        row: usize,
        parts: LabelParts,
        scratch: &mut DecodeScratch,
    ) -> Result<ImageLabels, ReadFailure> {
        let map_size = self.info.map_size.filter(|_| parts.map);
        Ok(ImageLabels {
            map: map_size.map(|size| self.map_in(shard, row, size, scratch)).transpose()?,
            prediction: self.prediction_in(shard, row)?,
            tiles: match &self.info.tiles {
                Some(tiles) if parts.tiles => self.tiles_in(shard, row, tiles, parts.tile_maps, scratch)?,
                _ => Vec::new(),
            },
        })
    }

    fn map_in(
        &self,
        shard: &OpenShard,
        row: usize,
        size: MapSize,
        scratch: &mut DecodeScratch,
    ) -> Result<LabelMap, ReadFailure> {
        let scores = finite_halves(&self.chunk_values(shard, StoreArray::Scores, row, scratch)?)?;
        let classes = self.class_ids(&self.chunk_values(shard, StoreArray::Classes, row, scratch)?);
        let mut map = LabelMap::from_stored_cells(scores, classes, self.info.k, size);
        if self.info.with_lse {
            let lse = halves(&self.chunk_values(shard, StoreArray::Lse, row, scratch)?);
            map = map.and_then(|map| map.with_stored_lse(lse));
        }
        map.ok_or_else(wrong_shape)
    }

    fn tiles_in(
        &self,
        shard: &OpenShard,
        row: usize,
        tiles: &Tiles,
        with_maps: bool,
        scratch: &mut DecodeScratch,
    ) -> Result<Vec<TileLabels>, ReadFailure> {
        let probs = halves(self.small_values(shard, StoreArray::TileProbs, row)?);
        let classes = self.class_ids(self.small_values(shard, StoreArray::TileClasses, row)?);
        let mut maps = match self.info.map_size.filter(|_| with_maps && tiles.with_maps()) {
            Some(size) => self.tile_maps_in(shard, row, size, scratch)?.into_iter(),
            None => Vec::new().into_iter(),
        };
        let predictions = probs.chunks_exact(tiles.k()).zip(classes.chunks_exact(tiles.k()));
        let labels = predictions.map(|(probs, classes)| {
            let prediction = ImagePrediction::from_stored(probs.to_vec(), classes.to_vec()).ok_or_else(wrong_shape)?;
            Ok(TileLabels { prediction, map: maps.next() })
        });
        labels.collect()
    }

    fn tile_maps_in(
        &self,
        shard: &OpenShard,
        row: usize,
        size: MapSize,
        scratch: &mut DecodeScratch,
    ) -> Result<Vec<LabelMap>, ReadFailure> {
        let scores = finite_halves(&self.chunk_values(shard, StoreArray::TileMapScores, row, scratch)?)?;
        let classes = self.class_ids(&self.chunk_values(shard, StoreArray::TileMapClasses, row, scratch)?);
        let values = size.cells() * self.info.k;
        let maps = scores.chunks_exact(values).zip(classes.chunks_exact(values)).map(|(scores, classes)| {
            LabelMap::from_stored_cells(scores.to_vec(), classes.to_vec(), self.info.k, size).ok_or_else(wrong_shape)
        });
        maps.collect()
    }

    /// Checks that class ids are below the number of classes, so that they are safe as indices, and that probabilities are
    /// some.
    fn check_values(&self, labels: &ImageLabels) -> Result<(), ReadFailure> {
        for map in labels.map.iter().chain(labels.tiles.iter().filter_map(|tile| tile.map.as_ref())) {
            self.check_classes(map.cell_classes())?;
        }
        self.check_prediction(&labels.prediction)?;
        labels.tiles.iter().try_for_each(|tile| self.check_prediction(&tile.prediction))
    }

    fn check_prediction(&self, prediction: &ImagePrediction) -> Result<(), ReadFailure> {
        self.check_classes(prediction.classes())?;
        if let Some(prob) = prediction.probs().iter().find(|prob| !(0.0..=1.001).contains(&prob.to_f32())) {
            return Err(ReadFailure::Damaged(format!("it has the probability {prob}")));
        }
        Ok(())
    }

    fn check_classes(&self, classes: &[u32]) -> Result<(), ReadFailure> {
        let count = self.info.classes.count;
        match classes.iter().find(|&&class| class as usize >= count) {
            None => Ok(()),
            Some(class) => Err(ReadFailure::Damaged(format!(
                "class id {class} is out of range (0 to {})",
                count.saturating_sub(1)
            ))),
        }
    }

    fn prediction_in(&self, shard: &OpenShard, row: usize) -> Result<ImagePrediction, ReadFailure> {
        let probs = halves(self.small_values(shard, StoreArray::ImageProbs, row)?);
        let classes = self.class_ids(self.small_values(shard, StoreArray::ImageClasses, row)?);
        ImagePrediction::from_stored(probs, classes).ok_or_else(wrong_shape)
    }

    /// Returns one image's values of an array without inner chunks, in native byte order.
    fn small_values<'a>(&self, shard: &'a OpenShard, array: StoreArray, row: usize) -> Result<&'a [u8], ReadFailure> {
        let values = shard.values(&self.location, array, |encoded| {
            self.decoders.decode(array, encoded, &mut DecodeScratch::default())
        })?;
        let image_bytes = values.len() / self.info.shard_images;
        let first = (row % self.info.shard_images) * image_bytes;
        values.get(first..first + image_bytes).ok_or_else(wrong_shape)
    }

    /// Decodes one image's inner chunk, `[y, x, k]`, into native byte order.
    fn chunk_values(
        &self,
        shard: &OpenShard,
        array: StoreArray,
        row: usize,
        scratch: &mut DecodeScratch,
    ) -> Result<Vec<u8>, ReadFailure> {
        let encoded = shard.chunk(&self.location, array, row % self.info.shard_images, &self.open_files)?;
        self.decoders.decode(array, encoded, scratch).map_err(|problem| ReadFailure::Damaged(problem.to_string()))
    }

    fn class_ids(&self, bytes: &[u8]) -> Vec<u32> {
        if self.info.wide_class_ids() {
            bytes.as_chunks::<4>().0.iter().map(|id| u32::from_ne_bytes(*id)).collect()
        } else {
            bytes.as_chunks::<2>().0.iter().map(|id| u32::from(u16::from_ne_bytes(*id))).collect()
        }
    }
}

/// Records that are read concurrently from a server.
const CONCURRENT_RECORDS: usize = 16;

fn halves(bytes: &[u8]) -> Vec<f16> {
    bytes.as_chunks::<2>().0.iter().map(|half| f16::from_ne_bytes(*half)).collect()
}

/// Converts the scores of a labelled image, which are finite.
fn finite_halves(bytes: &[u8]) -> Result<Vec<f16>, ReadFailure> {
    let scores = halves(bytes);
    if scores.iter().all(|score| score.is_finite()) {
        return Ok(scores);
    }
    Err(ReadFailure::Damaged("it has no labels, although its record lists it as labelled".to_owned()))
}

fn wrong_shape() -> ReadFailure {
    ReadFailure::Damaged("its arrays have a different shape".to_owned())
}
