//! The record of a finished shard: the file that makes it count, written last.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::record_path;
use crate::digest::Digest;
use crate::error::{Error, ImageError};

/// What became of one shard. It holds no times, so that a shard that is made again gives the same record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardRecord {
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

impl ShardRecord {
    pub(super) fn to_json(&self) -> Vec<u8> {
        let mut text = serde_json::to_vec_pretty(self).unwrap_or_default();
        text.push(b'\n');
        text
    }

    /// Reads a shard's record; `None` when the shard has none.
    pub(super) fn read(store: &Path, shard: usize) -> Result<Option<Self>, Error> {
        let path = record_path(store, shard);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::file("read", &path)(error)),
        };
        let read = serde_json::from_slice::<Self>(&text).map_err(|error| error.to_string());
        let checked = read.and_then(|record| {
            if record.shard == shard && record.labelled.checked_add(record.failed.len()) == Some(record.rows) {
                Ok(record)
            } else {
                Err("its counts do not add up".to_owned())
            }
        });
        checked.map(Some).map_err(|error| Error::Store {
            path: store.to_path_buf(),
            problem: format!(
                "the record of shard {shard} is damaged ({error}). Remove {} and run again",
                path.display()
            ),
        })
    }

    /// True when the shard's files are there with the lengths that were recorded.
    pub(super) fn files_are_there(&self, store: &Path) -> bool {
        self.files
            .iter()
            .all(|file| std::fs::metadata(store.join(&file.path)).is_ok_and(|metadata| metadata.len() == file.bytes))
    }

    /// Bytes of the shard's files.
    #[must_use]
    pub fn file_bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }
}
