//! Copies of remote files on this machine, named by their digests: a copy is never out of date, and releases that share
//! files share copies. The whole folder may be deleted at any time.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};

use super::Remote;
use crate::shared::digest::{Digest, digest_bytes};
use crate::shared::error::Error;
use crate::shared::regular_file;
use crate::shared::store::{CHECKSUMS_BYTES, Files, RecordedFile};

/// Parts that are read of a file before all of it is fetched. A look at single images stays cheap, and training soon has
/// all files here.
const PARTS_BEFORE_WHOLE: usize = 4;

/// The files of a place, with copies of what was read.
#[derive(Debug)]
pub struct CachedFiles {
    remote: Remote,
    /// Where the copies are; `None` to keep none.
    folder: Option<PathBuf>,
    /// What the release says its files are; empty where it is none.
    digests: OnceLock<HashMap<String, Digest>>,
    /// Parts that were read of each file, by path.
    parts: Mutex<HashMap<String, usize>>,
}

impl CachedFiles {
    /// The files of a place, with copies in a folder, which is made when there is something to put there; without one,
    /// nothing is kept.
    #[must_use]
    pub fn new(remote: Remote, folder: Option<PathBuf>) -> Self {
        Self { remote, folder, digests: OnceLock::new(), parts: Mutex::default() }
    }

    /// What `SHA256SUMS` says of a file. Only a hint where copies are: their content is compared.
    fn listed_digest(&self, inside: &str) -> Result<Option<&Digest>, Error> {
        if self.folder.is_none() || inside == CHECKSUMS {
            return Ok(None);
        }
        if self.digests.get().is_none() {
            // Not `get_or_init`: a process that was forked meanwhile would wait for a thread that it does not have.
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

    /// A copy whose content is what its name says.
    fn copy(&self, sha256: &Digest, most_bytes: u64) -> Option<Vec<u8>> {
        let copy = regular_file::read(&self.copy_path(sha256)?, most_bytes).ok()?.or_problem().ok()?;
        Some(copy).filter(|bytes| digest_bytes(bytes) == *sha256)
    }

    /// Keeps a copy. Where that fails, nothing is lost but time.
    fn keep(&self, sha256: &Digest, bytes: &[u8]) {
        if let Some(path) = self.copy_path(sha256)
            && let Err(error) = write_copy(&path, bytes)
        {
            tracing::warn!("no copy is kept in {}: {error}", path.display());
        }
    }

    /// Counts a part that is read of a file, and says whether all of it should be fetched instead.
    fn is_time_for_whole(&self, file: &RecordedFile) -> bool {
        // A lock that is held just now, or was when the process was forked, counts nothing.
        let Ok(mut parts) = self.parts.try_lock() else { return false };
        let count = parts.entry(file.path.clone()).or_default();
        *count += 1;
        *count > PARTS_BEFORE_WHOLE
    }
}

impl Files for CachedFiles {
    fn name(&self) -> &str {
        Remote::name(&self.remote)
    }

    fn read_up_to(&self, inside: &str, most_bytes: u64) -> Result<Option<Vec<u8>>, Error> {
        let listed = self.listed_digest(inside)?;
        if let Some(copy) = listed.and_then(|sha256| self.copy(sha256, most_bytes)) {
            return Ok(Some(copy));
        }
        let read = self.remote.read_up_to(inside, most_bytes)?;
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

    fn bytes_of(&self, inside: &str) -> Result<Option<u64>, Error> {
        self.remote.bytes_of(inside)
    }

    fn list(&self) -> Result<Option<Vec<(String, u64)>>, Error> {
        self.remote.list()
    }

    fn read_known(&self, inside: &str, sha256: &Digest, most_bytes: u64) -> Result<Vec<u8>, Error> {
        if let Some(copy) = self.copy(sha256, most_bytes) {
            return Ok(copy);
        }
        let bytes = self.remote.read_known(inside, sha256, most_bytes)?;
        self.keep(sha256, &bytes);
        Ok(bytes)
    }

    fn read_known_range(&self, file: &RecordedFile, range: Range<u64>) -> Result<Vec<u8>, Error> {
        let Some(path) = self.copy_path(&file.sha256) else { return self.read_range(&file.path, range) };
        if let Some(part) = part_of_copy(&path, file.bytes, &range) {
            return Ok(part);
        }
        if self.is_time_for_whole(file) || !self.remote.gives_ranges() {
            let bytes = self.read_known(&file.path, &file.sha256, file.bytes)?;
            if let Some(part) = bytes.get(range.start as usize..range.end as usize) {
                return Ok(part.to_vec());
            }
        }
        self.read_range(&file.path, range)
    }
}

/// A part of a copy that was compared when it was made.
fn part_of_copy(path: &Path, bytes: u64, range: &Range<u64>) -> Option<Vec<u8>> {
    let (copy, metadata) = regular_file::open(path).ok()?.or_problem().ok()?;
    if metadata.len() != bytes || range.end > bytes {
        return None;
    }
    let mut part = vec![0; (range.end - range.start) as usize];
    copy.read_exact_at(&mut part, range.start).ok()?;
    Some(part)
}

/// Under another name first, so that no process ever reads half a copy.
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

/// The file of a release that names all others with their digests.
const CHECKSUMS: &str = "SHA256SUMS";
