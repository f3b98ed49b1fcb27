//! The record of a finished shard. It is written last and marks the shard as done.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::info::StoreInfo;
use super::json_digest::{pretty, verify_digest, with_digest};
use super::layout::{SMALL_FILE_BYTES, StoreArray, record_file, record_path};
use super::recorded_file::RecordedFile;
use super::store_error::StoreError;
use crate::shared::digest::Digest;
use crate::shared::error::{Error, ImageError};
use crate::shared::regular_file::{self, Lookup};

/// Result of one shard. It contains no times, so a shard that is labelled again gets the same record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardRecord {
    /// Identity of the store ([`StoreInfo::identity`]). A record of a different store is refused.
    pub made_with: Digest,
    /// Number of the shard.
    pub shard: usize,
    /// First row of the shard.
    pub first_row: usize,
    /// Number of rows.
    pub rows: usize,
    /// Rows with labels.
    pub labelled: usize,
    /// Rows without labels, in order.
    pub failed: Vec<FailedImage>,
    /// Agreement of the teacher with the folder classes.
    pub agreement: Agreement,
    /// Files with labels of entire images.
    pub files: Vec<RecordedFile>,
    /// Files with labels of tiles; absent if the store has no tiles.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tiles: Option<TileFiles>,
}

/// Files of a shard with labels of tiles. They have a key of their own: programs that do not know tiles read the rest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TileFiles {
    /// Identity of the store with its tiles ([`StoreInfo::identity_with_tiles`]).
    pub made_with: Digest,
    /// The files.
    pub files: Vec<RecordedFile>,
}

/// An image that could not be labelled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedImage {
    /// Row of the image.
    pub row: usize,
    /// Id of the image.
    pub id: String,
    /// Path below the source.
    pub path: String,
    /// Reason of the failure.
    #[serde(flatten)]
    pub error: ImageError,
}

/// Agreement of the teacher's predictions with the folder classes that the teacher knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agreement {
    /// Images that were compared.
    pub compared: usize,
    /// Images whose best class is the folder class.
    pub top1: usize,
    /// Images with the folder class among their best five classes.
    pub top5: usize,
}

impl Agreement {
    /// Counts an image. `rank` is the position of the folder class in the teacher's prediction.
    pub fn count(&mut self, rank: Option<usize>) {
        self.compared += 1;
        self.top1 += usize::from(rank == Some(0));
        self.top5 += usize::from(rank.is_some_and(|rank| rank < 5));
    }

    /// Adds the counts of `other`.
    pub fn add(&mut self, other: Self) {
        self.compared += other.compared;
        self.top1 += other.top1;
        self.top5 += other.top5;
    }

    /// Returns `count` as a percentage of the compared images.
    #[must_use]
    pub fn percent(&self, count: usize) -> f64 {
        100.0 * count as f64 / self.compared.max(1) as f64
    }
}

/// A store's description and its identity, which is too slow to compute for each record.
#[derive(Clone, Copy)]
pub(super) struct IdentifiedStore<'a> {
    pub(super) info: &'a StoreInfo,
    pub(super) identity: &'a StoreIdentity,
}

/// Digests of the settings of a store.
#[derive(Clone, Debug)]
pub(super) struct StoreIdentity {
    /// [`StoreInfo::identity`].
    pub(super) of_images: Digest,
    /// [`StoreInfo::identity_with_tiles`] of a store with tiles.
    pub(super) with_tiles: Option<Digest>,
}

impl StoreIdentity {
    pub(super) fn new(info: &StoreInfo) -> Self {
        Self { of_images: info.identity(), with_tiles: info.tiles.as_ref().map(|_| info.identity_with_tiles()) }
    }
}

/// State of a shard's record.
#[derive(Debug)]
pub(super) enum RecordState {
    /// The record is missing: the shard is to do.
    Absent,
    /// The shard is done if its files match the record.
    Valid(ShardRecord),
    /// The file is not a record of this shard, with the reason.
    Damaged(String),
}

impl RecordState {
    /// Reads a shard's record.
    ///
    /// # Errors
    /// Returns [`Error::File`] if it cannot be read.
    pub(super) fn read(store: &Path, of: &IdentifiedStore<'_>, shard: usize) -> Result<Self, Error> {
        let path = record_path(store, shard);
        let text = match regular_file::read(&path, SMALL_FILE_BYTES)? {
            Lookup::Found(text) => text,
            Lookup::Absent => return Ok(Self::Absent),
            Lookup::Unusable(problem) => return Ok(Self::Damaged(problem.to_string())),
        };
        let record = ShardRecord::from_json(&text, of, shard);
        Ok(record.map_or_else(|problem| Self::Damaged(problem.to_string()), Self::Valid))
    }

    /// Returns whether the record is valid and equal to `record`.
    pub(super) fn is(&self, record: &ShardRecord) -> bool {
        matches!(self, Self::Valid(there) if there == record)
    }
}

impl ShardRecord {
    pub(super) fn to_json(&self) -> Vec<u8> {
        match serde_json::to_value(self) {
            Ok(serde_json::Value::Object(object)) => pretty(&with_digest(object)),
            _ => Vec::new(),
        }
    }

    /// Parses a record and checks it against the store and the shard.
    pub(super) fn from_json(text: &[u8], of: &IdentifiedStore<'_>, shard: usize) -> Result<Self, StoreError> {
        let object = serde_json::from_slice(text).map_err(StoreError::NotJson)?;
        let record: Self = serde_json::from_value(verify_digest(object)?.into()).map_err(StoreError::NotARecord)?;
        if record.shard != shard {
            return Err(StoreError::OtherShard(record.shard));
        }
        if record.made_with != of.identity.of_images {
            return Err(StoreError::OtherStore);
        }
        match (&record.tiles, &of.identity.with_tiles) {
            (Some(tiles), Some(identity)) if tiles.made_with != *identity => return Err(StoreError::OtherStore),
            (None, Some(_)) => return Err(StoreError::NoTileFiles),
            (Some(_), None) => return Err(StoreError::RecordFiles),
            _ => {}
        }
        let rows = of.info.shard_rows(shard);
        let counted = record.labelled.checked_add(record.failed.len());
        if (record.first_row, record.rows, counted) != (rows.start, rows.len(), Some(rows.len())) {
            return Err(StoreError::RowCounts);
        }
        let (tile_arrays, arrays): (Vec<_>, Vec<_>) =
            StoreArray::stored_in(of.info).into_iter().partition(|array| array.is_of_tiles());
        let tile_files = record.tiles.as_ref().map_or(&[][..], |tiles| &tiles.files);
        for (files, arrays) in [(&record.files[..], arrays), (tile_files, tile_arrays)] {
            let are_named = files.iter().zip(&arrays).all(|(file, array)| file.path == array.shard_file(shard));
            let are_all_there = record.labelled == 0 || files.len() == arrays.len();
            if !are_named || !are_all_there || files.len() > arrays.len() {
                return Err(StoreError::RecordFiles);
            }
            for (file, array) in files.iter().zip(arrays) {
                let max_bytes = array.max_file_bytes(of.info);
                if file.bytes > max_bytes {
                    return Err(StoreError::RecordFileBytes { path: file.path.clone(), bytes: file.bytes, max_bytes });
                }
            }
        }
        if let Some(stray) = record.failed.iter().find(|failed| !rows.contains(&failed.row)) {
            return Err(StoreError::FailedRow(stray.row));
        }
        if let Some(pair) = record.failed.windows(2).find(|pair| pair[0].row >= pair[1].row) {
            return Err(StoreError::FailedOrder { row: pair[1].row, previous: pair[0].row });
        }
        let Agreement { compared, top1, top5 } = record.agreement;
        if top1 > top5 || top5 > compared || compared > record.rows {
            return Err(StoreError::AgreementCounts { top1, top5, compared, rows: record.rows });
        }
        Ok(record)
    }

    /// Returns all files of the shard, in the order in which they are written.
    pub fn all_files(&self) -> impl Iterator<Item = &RecordedFile> {
        self.files.iter().chain(self.tiles.iter().flat_map(|tiles| &tiles.files))
    }

    /// Returns whether the shard's files exist with the recorded lengths.
    ///
    /// # Errors
    /// Returns [`Error::File`] if one cannot be inspected.
    pub(super) fn files_exist(&self, store: &Path) -> Result<bool, Error> {
        for file in self.all_files() {
            let there = regular_file::metadata(&store.join(&file.path))?;
            if !there.is_some_and(|metadata| metadata.is_file() && metadata.len() == file.bytes) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Path of the record inside the store.
    #[must_use]
    pub fn path(&self) -> String {
        record_file(self.shard)
    }

    /// Total length of the shard's files.
    #[must_use]
    pub fn file_bytes(&self) -> u64 {
        self.all_files().map(|file| file.bytes).sum()
    }
}
