//! Copies finished shards, run notes and the calibration from another store with the same settings.

use std::path::Path;

use super::StoreWriter;
use crate::shared::error::Error;
use crate::shared::regular_file::{self, Lookup};
use crate::shared::store::committer::CopyMode;
use crate::shared::store::layout::{self, SMALL_FILE_BYTES, record_file};
use crate::shared::store::record::{IdentifiedStore, ShardRecord};
use crate::shared::store::run_notes::valid_notes;

impl StoreWriter {
    /// Copies or links the files of a shard, verifies each against `record`, and writes the record last, as
    /// [`StoreWriter::commit`] does. The record is copied byte by byte, so that keys of a later version are kept. Returns
    /// [`CopyMode::Copy`] if any file was copied.
    ///
    /// # Errors
    /// Returns [`Error::Store`] if the other store's record is no longer `record`; [`Error::File`] if a file does not match
    /// it or cannot be written. The shard then has no record in this store.
    pub(in crate::shared::store) fn copy_shard_from(
        &self,
        from: &Path,
        record: &ShardRecord,
        mode: CopyMode,
    ) -> Result<CopyMode, Error> {
        let record_file = record_file(record.shard);
        let path = from.join(&record_file);
        let bytes = regular_file::read(&path, SMALL_FILE_BYTES)?.or_none("read", &path)?.unwrap_or_default();
        let of = IdentifiedStore { info: &self.info, identity: &self.identity };
        if !ShardRecord::from_json(&bytes, &of, record.shard).is_ok_and(|there| there == *record) {
            return Err(Error::Store {
                path: from.to_path_buf(),
                problem: format!("{record_file} changed during the merge\n  help: repeat the command").into(),
            });
        }
        self.committer.remove(&record_file)?;
        let mut done = mode;
        for file in record.all_files() {
            if self.committer.copy_file(&file.path, &from.join(&file.path), &file.sha256, mode)? == CopyMode::Copy {
                done = CopyMode::Copy;
            }
            if let Ok(metadata) = std::fs::metadata(self.path.join(&file.path)) {
                self.verified_log.add(&file.path, &metadata);
            }
        }
        self.committer.write_file(&record_file, &bytes)?;
        Ok(done)
    }

    /// Copies the valid run notes that this store does not have yet, and returns their number. A note whose name is taken
    /// gets a number appended.
    ///
    /// # Errors
    /// Returns [`Error::File`] if one cannot be written.
    pub(in crate::shared::store) fn copy_run_notes_from(&self, from: &Path) -> Result<usize, Error> {
        let mut copied = 0;
        for (name, bytes) in valid_notes(from)? {
            let mut number = 1;
            loop {
                let numbered = if number == 1 { String::new() } else { format!("-{number}") };
                let inside = format!("{}/{name}{numbered}.json", layout::RUNS);
                match regular_file::read(&self.path.join(&inside), SMALL_FILE_BYTES)? {
                    Lookup::Found(there) if there == bytes => break,
                    Lookup::Found(_) | Lookup::Unusable(_) => number += 1,
                    Lookup::Absent => {
                        self.committer.write_file(&inside, &bytes)?;
                        copied += 1;
                        break;
                    }
                }
            }
        }
        Ok(copied)
    }

    /// Writes the `pooling.json` of another store with the same settings.
    ///
    /// # Errors
    /// Returns [`Error::File`] if it cannot be written.
    pub(in crate::shared::store) fn write_calibration(&self, text: &[u8]) -> Result<(), Error> {
        self.committer.write_file(layout::CALIBRATION, text)
    }
}
