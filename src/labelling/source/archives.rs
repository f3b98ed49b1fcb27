//! The archive files of a source, and positioned reads of them.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::labelling::source::source_error::SourceError;
use crate::shared::error::{Cause, Error};
use crate::shared::regular_file::open_regular;

/// Files that are kept open; a process may usually open 1,024.
const OPEN_FILES: usize = 64;

/// Bytes that can be read at any offset.
pub(super) trait ReadAt: Sync {
    /// Fills the buffer with the bytes at `offset`.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
}

impl ReadAt for File {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.read_exact_at(buffer, offset)
    }
}

impl ReadAt for &[u8] {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let end = start.saturating_add(buffer.len());
        buffer.copy_from_slice(self.get(start..end).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

/// Archives that together are one source.
#[derive(Debug)]
pub(super) struct Archives {
    /// The path or pattern that the user passed.
    pub(super) given: PathBuf,
    /// Name of the source.
    pub(super) name: String,
    files: Vec<ArchiveFile>,
    open: Mutex<VecDeque<(usize, Arc<File>)>>,
}

#[derive(Debug)]
struct ArchiveFile {
    path: PathBuf,
    bytes: u64,
    modified_ns: i128,
}

impl Archives {
    /// Opens no file yet, but records lengths and times.
    ///
    /// # Errors
    /// Returns [`Error::File`] if one of them is missing, and [`Error::Source`] if it is not a file.
    pub(super) fn new(given: &Path, name: String, paths: Vec<PathBuf>) -> Result<Self, Error> {
        let file = |path: PathBuf| {
            let metadata = std::fs::metadata(&path).map_err(Error::file("open", &path))?;
            if !metadata.is_file() {
                return Err(Error::Source { path, problem: SourceError::NotAFile.into() });
            }
            let modified_ns = i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec());
            Ok(ArchiveFile { path, bytes: metadata.len(), modified_ns })
        };
        let files = paths.into_iter().map(file).collect::<Result<_, _>>()?;
        Ok(Self { given: given.to_path_buf(), name, files, open: Mutex::default() })
    }

    pub(super) fn count(&self) -> usize {
        self.files.len()
    }

    pub(super) fn path(&self, archive: usize) -> &Path {
        &self.files[archive].path
    }

    pub(super) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(|file| file.path.as_path())
    }

    pub(super) fn bytes(&self, archive: usize) -> u64 {
        self.files[archive].bytes
    }

    /// The archive's file name.
    pub(super) fn file_name(&self, archive: usize) -> String {
        self.path(archive).file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// The archive's file name without its extension.
    pub(super) fn stem(&self, archive: usize) -> String {
        self.path(archive).file_stem().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Returns a name for each archive: its file name without its extension or, if two would share that, its path below the
    /// folder that contains all of them.
    pub(super) fn names(&self) -> Vec<String> {
        let stems: Vec<String> = (0..self.count()).map(|archive| self.stem(archive)).collect();
        let mut seen = HashSet::new();
        if stems.iter().all(|stem| seen.insert(stem)) {
            return stems;
        }
        let contains_all = |folder: &&Path| self.paths().all(|path| path.starts_with(folder));
        let common = self.paths().next().and_then(|first| first.ancestors().skip(1).find(contains_all));
        let below = |path: &Path| {
            let path = path.strip_prefix(common.unwrap_or(Path::new(""))).unwrap_or(path);
            path.with_extension("").to_string_lossy().trim_start_matches('/').to_owned()
        };
        self.paths().map(below).collect()
    }

    /// Checks that no two archives have the same name, for sources in which the names become folders.
    ///
    /// # Errors
    /// Returns [`Error::Source`] with both names.
    pub(super) fn check_stems(&self) -> Result<(), Error> {
        let mut stems: HashMap<String, usize> = HashMap::new();
        for archive in 0..self.count() {
            if let Some(first) = stems.insert(self.stem(archive), archive) {
                let other = self.path(first).to_path_buf();
                return Err(self.error(archive, SourceError::SameStem { stem: self.stem(archive), other }));
            }
        }
        Ok(())
    }

    /// Opens an archive. Reads are positioned, so all threads share the file; the lock is held only to find it.
    pub(super) fn open(&self, archive: usize) -> io::Result<Arc<File>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, file)) = open.iter().find(|(number, _)| *number == archive) {
            return Ok(Arc::clone(file));
        }
        let file = Arc::new(open_regular(self.path(archive))?);
        if open.len() == OPEN_FILES {
            open.pop_front();
        }
        open.push_back((archive, Arc::clone(&file)));
        Ok(file)
    }

    /// Returns a string that identifies the archives wherever they are stored: names, lengths, and modification times.
    pub(super) fn identity(&self) -> String {
        let line = |(archive, file): (usize, &ArchiveFile)| {
            format!("{}\t{}\t{}\n", self.file_name(archive), file.bytes, file.modified_ns)
        };
        self.files.iter().enumerate().map(line).collect()
    }

    /// Returns an error that names an archive.
    pub(super) fn error(&self, archive: usize, problem: impl Into<Cause>) -> Error {
        Error::Source { path: self.path(archive).to_path_buf(), problem: problem.into() }
    }

    /// Returns an error that names the source.
    pub(super) fn source_error(&self, problem: impl Into<Cause>) -> Error {
        Error::Source { path: self.given.clone(), problem: problem.into() }
    }
}
