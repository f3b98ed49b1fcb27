//! The record of a finished shard: the file that makes it count, written last.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::arrays::StoreArray;
use super::files::SMALL_FILE_BYTES;
use super::info::StoreInfo;
use super::record_path;
use super::seal::{pretty, sealed, unsealed};
use crate::shared::digest::{Digest, digest_bytes};
use crate::shared::error::{Error, ImageError};
use crate::shared::regular_file::{self, Found};

/// What became of one shard. It holds no times, so that a shard that is made again gives the same record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardRecord {
    /// What the shard was made with: [`StoreInfo::identity`]. A record of another store does not count.
    pub made_with: Digest,
    /// Number of the shard.
    pub shard: usize,
    /// Its first row.
    pub first_row: usize,
    /// Rows it has.
    pub rows: usize,
    /// Rows with labels.
    pub labelled: usize,
    /// Rows without, and why.
    pub failed: Vec<FailedImage>,
    /// How often the teacher agreed with the folder's class.
    pub agreement: Agreement,
    /// The shard's files.
    pub files: Vec<RecordedFile>,
}

/// An image that could not be labelled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedImage {
    /// Its row.
    pub row: usize,
    /// Its id.
    pub id: String,
    /// Its path below the source.
    pub path: String,
    /// Why.
    #[serde(flatten)]
    pub error: ImageError,
}

/// A file of a shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedFile {
    /// Path inside the store.
    pub path: String,
    /// Length.
    pub bytes: u64,
    /// SHA-256 of its bytes.
    pub sha256: Digest,
}

impl RecordedFile {
    pub(super) fn of(path: &str, bytes: &[u8]) -> Self {
        Self { path: path.to_owned(), bytes: bytes.len() as u64, sha256: digest_bytes(bytes) }
    }
}

/// Counts of images whose folder is a class that the teacher knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agreement {
    /// Images that were compared.
    pub compared: usize,
    /// Of these, the teacher's best class is the folder's.
    pub top1: usize,
    /// Of these, the folder's class is among the teacher's best five.
    pub top5: usize,
}

impl Agreement {
    /// Adds an image: `rank` is where the folder's class stands in the teacher's prediction.
    pub fn see(&mut self, rank: Option<usize>) {
        self.compared += 1;
        self.top1 += usize::from(rank == Some(0));
        self.top5 += usize::from(rank.is_some_and(|rank| rank < 5));
    }

    /// Adds other counts.
    pub fn add(&mut self, other: Self) {
        self.compared += other.compared;
        self.top1 += other.top1;
        self.top5 += other.top5;
    }

    /// `count` as a share of the compared images, in percent.
    #[must_use]
    pub fn percent(&self, count: usize) -> f64 {
        100.0 * count as f64 / self.compared.max(1) as f64
    }
}

/// A store and its identity, which takes too long to compute for each record anew.
#[derive(Clone, Copy)]
pub(crate) struct Identified<'a> {
    pub(crate) info: &'a StoreInfo,
    pub(crate) identity: &'a Digest,
}

/// What lies in the place of a shard's record.
#[derive(Debug)]
pub(crate) enum RecordState {
    /// Nothing: the shard is to do.
    Absent,
    /// The shard is done, if its files are as the record says.
    Valid(ShardRecord),
    /// Something that cannot be this shard's record, and why.
    Damaged(String),
}

impl RecordState {
    /// Reads a shard's record.
    ///
    /// # Errors
    /// When something is there that cannot be read.
    pub(crate) fn read(store: &Path, of: &Identified<'_>, shard: usize) -> Result<Self, Error> {
        let path = record_path(store, shard);
        let text = match regular_file::read(&path, SMALL_FILE_BYTES)? {
            Found::There(text) => text,
            Found::Absent => return Ok(Self::Absent),
            Found::Unusable(problem) => return Ok(Self::Damaged(problem)),
        };
        Ok(ShardRecord::from_json(&text, of, shard).map_or_else(Self::Damaged, Self::Valid))
    }

    /// Whether it is this record.
    pub(super) fn is(&self, record: &ShardRecord) -> bool {
        matches!(self, Self::Valid(there) if there == record)
    }
}

impl ShardRecord {
    pub(super) fn to_json(&self) -> Vec<u8> {
        match serde_json::to_value(self) {
            Ok(serde_json::Value::Object(object)) => pretty(&sealed(object)),
            _ => Vec::new(),
        }
    }

    /// Reads a record and holds it against the store and the shard that it should be of.
    pub(super) fn from_json(text: &[u8], of: &Identified<'_>, shard: usize) -> Result<Self, String> {
        let object = serde_json::from_slice(text).map_err(|error| format!("it is no JSON object: {error}"))?;
        let record: Self = serde_json::from_value(unsealed(object)?.into())
            .map_err(|error| format!("it is no record of a shard: {error}"))?;
        if record.shard != shard {
            return Err(format!("it is the record of shard {}", record.shard));
        }
        if record.made_with != *of.identity {
            return Err("it is of a store that was made with something else".to_owned());
        }
        let rows = of.info.rows_of(shard);
        let counted = record.labelled.checked_add(record.failed.len());
        if (record.first_row, record.rows, counted) != (rows.start, rows.len(), Some(rows.len())) {
            return Err("its counts do not add up".to_owned());
        }
        let wanted: Vec<String> = StoreArray::of(of.info).iter().map(|array| array.file_of(shard)).collect();
        let named = record.files.iter().map(|file| file.path.as_str());
        let all_there = record.labelled == 0 || record.files.len() == wanted.len();
        if !all_there || !named.eq(wanted.iter().map(String::as_str).take(record.files.len())) {
            return Err("it names other files than the shard has".to_owned());
        }
        for (file, &array) in record.files.iter().zip(StoreArray::of(of.info)) {
            let most = array.most_file_bytes(of.info);
            if file.bytes > most {
                return Err(format!("{} has {} bytes in it, and at most {most} can be", file.path, file.bytes));
            }
        }
        if let Some(stray) = record.failed.iter().find(|failed| !rows.contains(&failed.row)) {
            return Err(format!("row {}, which failed, is not in it", stray.row));
        }
        if let Some(pair) = record.failed.windows(2).find(|pair| pair[0].row >= pair[1].row) {
            return Err(format!("row {} stands after row {} among those that failed", pair[1].row, pair[0].row));
        }
        let Agreement { compared, top1, top5 } = record.agreement;
        if top1 > top5 || top5 > compared || compared > record.rows {
            return Err(format!("its agreement is {top1} and {top5} of {compared} images, and it has {}", record.rows));
        }
        Ok(record)
    }

    /// True when the shard's files are there with the lengths that were recorded.
    ///
    /// # Errors
    /// Returns [`Error::File`] if the system fails to say what is there.
    pub(super) fn files_are_there(&self, store: &Path) -> Result<bool, Error> {
        for file in &self.files {
            let there = regular_file::look_at(&store.join(&file.path))?;
            if !there.is_some_and(|metadata| metadata.is_file() && metadata.len() == file.bytes) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Bytes of the shard's files.
    #[must_use]
    pub fn file_bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }
}
