//! A finished shard, open for reading.

use std::fs::{File, Metadata};
use std::io::ErrorKind;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::process::{Resource, getrlimit};

use crate::shared::error::Error;
use crate::shared::regular_file::{self, Lookup};
use crate::shared::store::info::StoreInfo;
use crate::shared::store::layout::StoreArray;
use crate::shared::store::location::StoreLocation;
use crate::shared::store::record::ShardRecord;
use crate::shared::store::recorded_file::{FileMismatch, RecordedFile};
use crate::shared::store::shard_index::{InnerChunk, ShardIndex};
use crate::shared::store::store_error::StoreError;
use crate::shared::store::verified_files::{FileFingerprint, VerifiedFiles};

/// A finished shard. In a folder, its files were verified against its record.
#[derive(Debug)]
pub(super) struct OpenShard {
    pub(super) record: ShardRecord,
    /// Entries of each index.
    images: usize,
    /// By [`StoreArray`]; `None` if nothing was labelled.
    files: [Option<ShardFile>; StoreArray::ALL.len()],
}

/// One file of a shard.
#[derive(Debug)]
struct ShardFile {
    recorded: RecordedFile,
    /// Largest length of an inner chunk, since the index is not trusted.
    max_chunk_bytes: u64,
    /// Metadata when it was verified; `None` outside folders.
    fingerprint: Option<FileFingerprint>,
    /// Index of an array with an inner chunk for each image, once it was needed.
    index: OnceLock<ShardIndex>,
    /// All values of an array without inner chunks, once they were needed.
    values: OnceLock<Vec<u8>>,
    /// The open file, if the budget allows.
    open: OnceLock<File>,
}

/// Number of files that may still be kept open. A data set has thousands, and a process may be limited to few.
#[derive(Debug)]
pub(super) struct OpenFileBudget {
    left: AtomicUsize,
}

impl Default for OpenFileBudget {
    fn default() -> Self {
        let allowed = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        Self { left: AtomicUsize::new((allowed / 4).min(8192) as usize) }
    }
}

impl OpenFileBudget {
    fn take(&self) -> bool {
        let less = |left: usize| left.checked_sub(1);
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
    }

    fn give_back(&self) {
        self.left.fetch_add(1, Ordering::Relaxed);
    }
}

/// A file of a shard that is not what its record lists.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {mismatch}")]
pub(super) struct DamagedFile {
    path: String,
    #[source]
    mismatch: FileMismatch,
}

/// Reason that a read from a shard failed.
#[derive(Debug)]
pub(super) enum ReadFailure {
    /// The file was replaced since it was verified.
    Changed,
    /// The file is damaged, with the reason.
    Damaged(String),
    /// An I/O error of the host or the network, which is not evidence of damage.
    Failed(Error),
}

impl OpenShard {
    /// Opens a shard and verifies its files against its record; returns the first mismatch.
    ///
    /// Inner chunks have checksums, but those of another shard's file are valid too. A file is therefore verified when it is
    /// first read, unless it was verified before and not touched since. Outside folders nothing is verified here, since
    /// files are read in ranges.
    ///
    /// # Errors
    /// Returns [`Error::File`] if a file cannot be read.
    pub(super) fn verify(
        location: &StoreLocation,
        info: &StoreInfo,
        record: ShardRecord,
    ) -> Result<Result<Self, DamagedFile>, Error> {
        let mut files = [const { None }; StoreArray::ALL.len()];
        for (recorded, array) in record.all_files().zip(stored_arrays(&record, info)) {
            let max_chunk_bytes = array.max_chunk_bytes(info);
            let open = match location {
                StoreLocation::Folder { path, verified } => ShardFile::verify(path, info, verified, recorded, array)?,
                StoreLocation::Files { .. } => Ok(ShardFile::new(recorded, None, max_chunk_bytes)),
            };
            match open {
                Ok(open) => files[array as usize] = Some(open),
                Err(mismatch) => return Ok(Err(DamagedFile { path: recorded.path.clone(), mismatch })),
            }
        }
        Ok(Ok(Self { record, images: info.shard_images, files }))
    }

    /// Returns the length of the inner chunk of the image at this position in the shard; 0 if it has none.
    pub(super) fn chunk_bytes(
        &self,
        location: &StoreLocation,
        array: StoreArray,
        at: usize,
    ) -> Result<usize, ReadFailure> {
        match &self.files[array as usize] {
            Some(file) => Ok(self.inner_chunk(location, file, at)?.map_or(0, |chunk| chunk.bytes)),
            None => Ok(0),
        }
    }

    /// Reads the inner chunk of the image at this position in the shard, encoded.
    pub(super) fn chunk(
        &self,
        location: &StoreLocation,
        array: StoreArray,
        at: usize,
        open_files: &OpenFileBudget,
    ) -> Result<Vec<u8>, ReadFailure> {
        let known = self.known(array)?;
        let chunk = self.inner_chunk(location, known, at)?.ok_or_else(|| missing("its chunk"))?;
        if chunk.bytes as u64 > known.max_chunk_bytes {
            let (bytes, max) = (chunk.bytes, known.max_chunk_bytes);
            return Err(ReadFailure::Damaged(format!("its chunk has {bytes} bytes, expected at most {max}")));
        }
        let store = match location {
            StoreLocation::Folder { path, .. } => path,
            StoreLocation::Files { files } => {
                let range = chunk.offset..chunk.offset + chunk.bytes as u64;
                return files.read_recorded_range(&known.recorded, range).map_err(ReadFailure::Failed);
            }
        };
        let mut encoded = vec![0; chunk.bytes];
        if let Some(file) = known.open.get() {
            // It remains the verified file, even if another one replaces it.
            file.read_exact_at(&mut encoded, chunk.offset).map_err(|error| known.failure(store, error))?;
            return Ok(encoded);
        }
        let file = known.reopen(store)?;
        file.read_exact_at(&mut encoded, chunk.offset).map_err(|error| known.failure(store, error))?;
        if open_files.take() && known.open.set(file).is_err() {
            open_files.give_back();
        }
        Ok(encoded)
    }

    /// Returns the open files of the shard to the budget.
    pub(super) fn release_files(&self, open_files: &OpenFileBudget) {
        let open = self.files.iter().flatten().filter(|file| file.open.get().is_some());
        open.for_each(|_| open_files.give_back());
    }

    /// Returns all values of an array without inner chunks, and decodes them with `decode` at the first call.
    pub(super) fn values(
        &self,
        location: &StoreLocation,
        array: StoreArray,
        decode: impl Fn(Vec<u8>) -> Result<Vec<u8>, StoreError>,
    ) -> Result<&[u8], ReadFailure> {
        let known = self.known(array)?;
        if let Some(values) = known.values.get() {
            return Ok(values);
        }
        let recorded = &known.recorded;
        let encoded = match location {
            StoreLocation::Folder { path, .. } => {
                let mut encoded = vec![0; recorded.bytes as usize];
                known.reopen(path)?.read_exact_at(&mut encoded, 0).map_err(|error| known.failure(path, error))?;
                encoded
            }
            StoreLocation::Files { files } => {
                files.read_verified(&recorded.path, &recorded.sha256, recorded.bytes).map_err(ReadFailure::Failed)?
            }
        };
        let values = decode(encoded).map_err(|problem| ReadFailure::Damaged(problem.to_string()))?;
        Ok(known.values.get_or_init(|| values))
    }

    fn known(&self, array: StoreArray) -> Result<&ShardFile, ReadFailure> {
        self.files[array as usize].as_ref().ok_or_else(|| missing("its file"))
    }

    /// Returns the position of an image's inner chunk; `None` if it has none.
    fn inner_chunk(
        &self,
        location: &StoreLocation,
        file: &ShardFile,
        at: usize,
    ) -> Result<Option<InnerChunk>, ReadFailure> {
        if let Some(index) = file.index.get() {
            return Ok(index.chunk(at));
        }
        let StoreLocation::Files { files } = location else { return Ok(None) };
        let RecordedFile { path, bytes, .. } = &file.recorded;
        let first = bytes.saturating_sub(ShardIndex::bytes(self.images) as u64);
        let encoded = files.read_recorded_range(&file.recorded, first..*bytes).map_err(ReadFailure::Failed)?;
        let index = ShardIndex::parse_verified(&encoded, first);
        let index = index.map_err(|problem| ReadFailure::Damaged(format!("{path}: {problem}")))?;
        Ok(file.index.get_or_init(|| index).chunk(at))
    }
}

impl ShardFile {
    fn new(recorded: &RecordedFile, fingerprint: Option<FileFingerprint>, max_chunk_bytes: u64) -> Self {
        let (index, values, open) = (OnceLock::new(), OnceLock::new(), OnceLock::new());
        Self { recorded: recorded.clone(), max_chunk_bytes, fingerprint, index, values, open }
    }

    fn verify(
        store: &Path,
        info: &StoreInfo,
        verified: &VerifiedFiles,
        recorded: &RecordedFile,
        array: StoreArray,
    ) -> Result<Result<Self, FileMismatch>, Error> {
        let is_known = |metadata: &Metadata| verified.contains(&recorded.path, metadata);
        let (opened, metadata) = match recorded.open_matching(store, is_known)? {
            Ok(matching) => matching,
            Err(mismatch) => return Ok(Err(mismatch)),
        };
        let bytes = metadata.len();
        let file = Self::new(recorded, Some(FileFingerprint::from_metadata(&metadata)), array.max_chunk_bytes(info));
        if array.is_map() {
            let index_at = bytes.saturating_sub(ShardIndex::bytes(info.shard_images) as u64);
            let mut index = vec![0; (bytes - index_at) as usize];
            match opened.read_exact_at(&mut index, index_at) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                    return Ok(Err(FileMismatch::Truncated));
                }
                Err(error) => return Err(Error::file("read", &store.join(&recorded.path))(error)),
            }
            match ShardIndex::parse(&index, index_at) {
                Ok(index) => drop(file.index.set(index)),
                Err(problem) => return Ok(Err(problem.into())),
            }
        }
        Ok(Ok(file))
    }

    fn reopen(&self, store: &Path) -> Result<File, ReadFailure> {
        match regular_file::open(&store.join(&self.recorded.path)).map_err(ReadFailure::Failed)? {
            Lookup::Found((file, metadata)) if Some(FileFingerprint::from_metadata(&metadata)) == self.fingerprint => {
                Ok(file)
            }
            _ => Err(ReadFailure::Changed),
        }
    }

    /// Classifies a failed read of a verified file.
    fn failure(&self, store: &Path, error: std::io::Error) -> ReadFailure {
        match error.kind() {
            ErrorKind::UnexpectedEof => ReadFailure::Damaged(error.to_string()),
            _ => ReadFailure::Failed(Error::file("read", &store.join(&self.recorded.path))(error)),
        }
    }
}

/// Returns the arrays of [`ShardRecord::all_files`]: a shard without labels may list fewer files.
fn stored_arrays(record: &ShardRecord, info: &StoreInfo) -> Vec<StoreArray> {
    let (tiles, images): (Vec<_>, Vec<_>) =
        StoreArray::stored_in(info).into_iter().partition(|array| array.is_of_tiles());
    images.into_iter().take(record.files.len()).chain(tiles).collect()
}

fn missing(what: &str) -> ReadFailure {
    ReadFailure::Damaged(format!("{what} is missing"))
}
