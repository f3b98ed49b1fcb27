//! Local copies of remote files, named by their digests: a copy is never out of date, and releases that share
//! files share copies. The folder may be deleted at any time.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};

use super::remote_files::RemoteFiles;
use crate::shared::digest::{Digest, digest_bytes};
use crate::shared::error::Error;
use crate::shared::regular_file;
use crate::shared::store::{CHECKSUMS_BYTES, Files, RecordedFile};

/// Ranges of a file that are read before all of it is downloaded. Reading single images stays cheap, and training soon has
/// local copies of all files.
const RANGES_BEFORE_DOWNLOAD: usize = 4;

/// Remote files with a local cache.
#[derive(Debug)]
pub struct CachedFiles {
    remote: RemoteFiles,
    /// Folder of the copies; `None` to keep none.
    folder: Option<PathBuf>,
    /// Digests in the `SHA256SUMS` of a release; empty if it has none.
    digests: OnceLock<HashMap<String, Digest>>,
    /// Number of ranges that were read of each file, by path.
    ranges: Mutex<HashMap<String, usize>>,
}

impl CachedFiles {
    /// Creates access to remote files, with copies in `folder`, which is created when it is needed; without one, nothing is
    /// cached.
    #[must_use]
    pub fn new(remote: RemoteFiles, folder: Option<PathBuf>) -> Self {
        Self { remote, folder, digests: OnceLock::new(), ranges: Mutex::default() }
    }

    /// Returns the digest of a file in `SHA256SUMS`. It only locates copies, whose content is verified.
    fn listed_digest(&self, inside: &str) -> Result<Option<&Digest>, Error> {
        if self.folder.is_none() || inside == CHECKSUMS {
            return Ok(None);
        }
        if self.digests.get().is_none() {
            // Not `get_or_init`: a process forked in the meantime would wait for a thread that it does not have.
            let text = self.remote.read_up_to(CHECKSUMS, CHECKSUMS_BYTES)?.unwrap_or_default();
            let text = String::from_utf8_lossy(&text);
            let lines = text.lines().filter_map(|line| line.split_once("  "));
            let digests = lines.filter_map(|(digest, path)| Some((path.to_owned(), Digest::parse(digest)?)));
            let _ = self.digests.set(digests.collect());
        }
        Ok(self.digests.get().and_then(|digests| digests.get(inside)))
    }

    fn copy_path(&self, sha256: &Digest) -> Option<PathBuf> {
        let digits = sha256.as_str();
        Some(self.folder.as_ref()?.join(&digits[..2]).join(digits))
    }

    /// Returns the copy of a file, if its content matches its name.
    fn copy(&self, sha256: &Digest, max_bytes: u64) -> Option<Vec<u8>> {
        let copy = regular_file::read(&self.copy_path(sha256)?, max_bytes).ok()?.usable().ok()?;
        Some(copy).filter(|bytes| digest_bytes(bytes) == *sha256)
    }

    /// Writes a copy. A failure only costs time.
    fn keep(&self, sha256: &Digest, bytes: &[u8]) {
        if let Some(path) = self.copy_path(sha256)
            && let Err(error) = write_copy(&path, bytes)
        {
            tracing::warn!("cannot cache {}: {error}", path.display());
        }
    }

    /// Counts a range that is read of a file, and returns whether all of it should be downloaded instead.
    fn should_download(&self, file: &RecordedFile) -> bool {
        // If the lock is held, or was when the process was forked, the range is not counted.
        let Ok(mut ranges) = self.ranges.try_lock() else { return false };
        let count = ranges.entry(file.path.clone()).or_default();
        *count += 1;
        *count > RANGES_BEFORE_DOWNLOAD
    }
}

impl Files for CachedFiles {
    fn name(&self) -> &str {
        RemoteFiles::name(&self.remote)
    }

    fn read_up_to(&self, inside: &str, max_bytes: u64) -> Result<Option<Vec<u8>>, Error> {
        let listed = self.listed_digest(inside)?;
        if let Some(copy) = listed.and_then(|sha256| self.copy(sha256, max_bytes)) {
            return Ok(Some(copy));
        }
        let read = self.remote.read_up_to(inside, max_bytes)?;
        if let (Some(bytes), Some(sha256)) = (&read, listed)
            && digest_bytes(bytes) == *sha256
        {
            self.keep(sha256, bytes);
        }
        Ok(read)
    }

    fn read_range(&self, inside: &str, range: Range<u64>) -> Result<Vec<u8>, Error> {
        self.remote.read_range(inside, range)
    }

    fn file_bytes(&self, inside: &str) -> Result<Option<u64>, Error> {
        self.remote.file_bytes(inside)
    }

    fn list(&self) -> Result<Option<Vec<(String, u64)>>, Error> {
        self.remote.list()
    }

    fn read_verified(&self, inside: &str, sha256: &Digest, max_bytes: u64) -> Result<Vec<u8>, Error> {
        if let Some(copy) = self.copy(sha256, max_bytes) {
            return Ok(copy);
        }
        let bytes = self.remote.read_verified(inside, sha256, max_bytes)?;
        self.keep(sha256, &bytes);
        Ok(bytes)
    }

    fn read_recorded_range(&self, file: &RecordedFile, range: Range<u64>) -> Result<Vec<u8>, Error> {
        let Some(path) = self.copy_path(&file.sha256) else { return self.read_range(&file.path, range) };
        if let Some(part) = range_of_copy(&path, file.bytes, &range) {
            return Ok(part);
        }
        if self.should_download(file) || !self.remote.supports_ranges() {
            let bytes = self.read_verified(&file.path, &file.sha256, file.bytes)?;
            if let Some(part) = bytes.get(range.start as usize..range.end as usize) {
                return Ok(part.to_vec());
            }
        }
        self.read_range(&file.path, range)
    }
}

/// Reads a range of a copy that was verified when it was written.
fn range_of_copy(path: &Path, bytes: u64, range: &Range<u64>) -> Option<Vec<u8>> {
    let (copy, metadata) = regular_file::open(path).ok()?.usable().ok()?;
    if metadata.len() != bytes || range.end > bytes {
        return None;
    }
    let mut part = vec![0; (range.end - range.start) as usize];
    copy.read_exact_at(&mut part, range.start).ok()?;
    Some(part)
}

/// Writes to a temporary name first, so that no process reads an incomplete copy.
fn write_copy(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    static COPIES: AtomicUsize = AtomicUsize::new(0);
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder)?;
    let draft = path.with_extension(format!("{}-{}", process::id(), COPIES.fetch_add(1, Ordering::Relaxed)));
    let written = File::create(&draft).and_then(|mut file| file.write_all(bytes));
    if written.is_err() {
        let _ = fs::remove_file(&draft);
    }
    written.and_then(|()| fs::rename(&draft, path))
}

/// The file of a release that lists all others with their digests.
const CHECKSUMS: &str = "SHA256SUMS";
