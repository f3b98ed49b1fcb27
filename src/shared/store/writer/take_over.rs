//! Takes a finished shard over from another store that was made with the same.

use std::path::Path;

use super::StoreWriter;
use crate::shared::error::Error;
use crate::shared::regular_file::{self, Found};
use crate::shared::store::commit::PlaceBy;
use crate::shared::store::files::SMALL_FILE_BYTES;
use crate::shared::store::record::{Identified, ShardRecord};
use crate::shared::store::{names, record_file};

impl StoreWriter {
    /// Puts the files of a shard into this store, each held against `record`, and the record last, as
    /// [`StoreWriter::commit`] does. The record's own bytes are kept, so that keys of a later version stay. Gives how the
    /// files were placed: by copying as soon as one of them was copied.
    ///
    /// # Errors
    /// When the other store's record is not `record` any more, a file is not what it says, or cannot be written; the
    /// shard then has no record here and does not count.
    pub(in crate::shared::store) fn take_over(
        &self,
        from: &Path,
        record: &ShardRecord,
        by: PlaceBy,
    ) -> Result<PlaceBy, Error> {
        let record_file = record_file(record.shard);
        let place = from.join(&record_file);
        let bytes = regular_file::read(&place, SMALL_FILE_BYTES)?.or_none("read", &place)?.unwrap_or_default();
        let of = Identified { info: &self.info, identity: &self.identity };
        if ShardRecord::from_json(&bytes, &of, record.shard).as_ref() != Ok(record) {
            return Err(Error::Store {
                path: from.to_path_buf(),
                problem: format!("{record_file} was changed meanwhile. Give the same command again").into(),
            });
        }
        self.committer.remove(&record_file)?;
        let mut done = by;
        for file in &record.files {
            if self.committer.place(&file.path, &from.join(&file.path), &file.sha256, by)? == PlaceBy::Copy {
                done = PlaceBy::Copy;
            }
            if let Ok(metadata) = std::fs::metadata(self.path.join(&file.path)) {
                self.notes.add(&file.path, &metadata);
            }
        }
        self.committer.file(&record_file, &bytes)?;
        Ok(done)
    }

    /// Takes the notes of runs over, as they are. Where another note has a note's name, it gets a number behind it; one
    /// that is here already is not taken twice. Damaged ones stay behind. Gives how many came.
    ///
    /// # Errors
    /// When one cannot be written.
    pub(in crate::shared::store) fn take_over_notes(&self, from: &Path) -> Result<usize, Error> {
        let mut came = 0;
        for (name, bytes) in crate::shared::store::notes::whole_notes(from)? {
            let mut number = 1;
            loop {
                let numbered = if number == 1 { String::new() } else { format!("-{number}") };
                let inside = format!("{}/{name}{numbered}.json", names::RUNS);
                match regular_file::read(&self.path.join(&inside), SMALL_FILE_BYTES)? {
                    Found::There(there) if there == bytes => break,
                    Found::There(_) | Found::Unusable(_) => number += 1,
                    Found::Absent => {
                        self.committer.file(&inside, &bytes)?;
                        came += 1;
                        break;
                    }
                }
            }
        }
        Ok(came)
    }
}
