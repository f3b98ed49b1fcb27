//! A finished shard, open for reading.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::process::{Resource, getrlimit};

use crate::digest::digest_bytes;
use crate::error::Error;
use crate::store::arrays::StoreArray;
use crate::store::index::{InnerChunk, ShardIndex};
use crate::store::info::StoreInfo;
use crate::store::place::Place;
use crate::store::record::{RecordedFile, ShardRecord};
use crate::store::seen::{Look, Seen};

/// A finished shard; in a folder, its files were held against its record.
#[derive(Debug)]
pub(super) struct OpenShard {
    pub(super) record: ShardRecord,
    /// Entries of each index.
    images: usize,
    /// By [`StoreArray`]; `None` where nothing was labelled.
    files: [Option<OpenFile>; StoreArray::ALL.len()],
}

/// One file of a shard.
#[derive(Debug)]
struct OpenFile {
    recorded: RecordedFile,
    /// How it looked when it was compared; `None` where it does not lie in a folder.
    look: Option<Look>,
    /// Of arrays that have an inner chunk for each image, once it was needed.
    index: OnceLock<ShardIndex>,
    /// All values of an array without inner chunks, once they were asked for.
    values: OnceLock<Vec<u8>>,
    /// Where there is room for one more.
    kept: OnceLock<File>,
}

/// How many files may still be kept open. A data set has thousands, and a process may have few.
#[derive(Debug)]
pub(super) struct KeptFiles {
    left: AtomicUsize,
}

impl Default for KeptFiles {
    fn default() -> Self {
        let allowed = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        Self { left: AtomicUsize::new((allowed / 4).min(8192) as usize) }
    }
}

impl KeptFiles {
    fn take(&self) -> bool {
        let less = |left: usize| left.checked_sub(1);
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
    }

    fn give_back(&self) {
        self.left.fetch_add(1, Ordering::Relaxed);
    }
}

/// Why something could not be read from a shard.
#[derive(Debug)]
pub(super) enum ReadFailure {
    /// Another file has taken the place of the one that was compared.
    Changed,
    /// What is wrong, in words.
    Damaged(String),
    /// The place could not be reached.
    Unreachable(Error),
}

impl OpenShard {
    /// Compares a shard's files with its record.
    ///
    /// Inner chunks have checksums of their own, but another shard's file has right ones too. So a file is compared with
    /// its record when it is first read, unless it was compared before and not touched since. Elsewhere than in a folder
    /// nothing is compared here: files are read in pieces there.
    pub(super) fn compare(place: &Place, info: &StoreInfo, record: ShardRecord) -> Result<Self, String> {
        let mut files = [const { None }; StoreArray::ALL.len()];
        for (recorded, &array) in record.files.iter().zip(StoreArray::of(info)) {
            let open = match place {
                Place::Folder { path, seen } => OpenFile::compare(path, info, seen, recorded, array),
                Place::Elsewhere { .. } => Ok(OpenFile::new(recorded, None)),
            };
            files[array as usize] = Some(open.map_err(|what| format!("{}: {what}", recorded.path))?);
        }
        Ok(Self { record, images: info.shard_images, files })
    }

    /// Whether the array has an inner chunk for the image in this place of the shard.
    pub(super) fn has_chunk(&self, place: &Place, array: StoreArray, at: usize) -> bool {
        self.chunk_bytes(place, array, at).is_ok_and(|bytes| bytes > 0)
    }

    /// Length of the inner chunk of the image in this place of the shard; 0 where it has none.
    pub(super) fn chunk_bytes(&self, place: &Place, array: StoreArray, at: usize) -> Result<usize, ReadFailure> {
        match &self.files[array as usize] {
            Some(file) => Ok(self.inner_chunk(place, file, at)?.map_or(0, |chunk| chunk.bytes)),
            None => Ok(0),
        }
    }

    /// Encoded bytes of the inner chunk of the image in this place of the shard.
    pub(super) fn chunk(
        &self,
        place: &Place,
        array: StoreArray,
        at: usize,
        kept_files: &KeptFiles,
    ) -> Result<Vec<u8>, ReadFailure> {
        let known = self.known(array)?;
        let chunk = self.inner_chunk(place, known, at)?.ok_or_else(|| missing("its chunk"))?;
        let store = match place {
            Place::Folder { path, .. } => path,
            Place::Elsewhere { files } => {
                let range = chunk.offset..chunk.offset + chunk.bytes as u64;
                return files.read_known_range(&known.recorded, range).map_err(ReadFailure::Unreachable);
            }
        };
        let mut encoded = vec![0; chunk.bytes];
        if let Some(file) = known.kept.get() {
            // It stays the file that was compared, whatever takes its place.
            file.read_exact_at(&mut encoded, chunk.offset).map_err(|error| in_words(&error))?;
            return Ok(encoded);
        }
        let file = known.reopen(store)?;
        file.read_exact_at(&mut encoded, chunk.offset).map_err(|error| in_words(&error))?;
        if kept_files.take() && known.kept.set(file).is_err() {
            kept_files.give_back();
        }
        Ok(encoded)
    }

    /// Says that its files are closed.
    pub(super) fn give_back(&self, kept_files: &KeptFiles) {
        let kept = self.files.iter().flatten().filter(|file| file.kept.get().is_some());
        kept.for_each(|_| kept_files.give_back());
    }

    /// All values of an array without inner chunks, decoded by `decode` when they are first asked for.
    pub(super) fn values(
        &self,
        place: &Place,
        array: StoreArray,
        decode: impl Fn(Vec<u8>) -> Result<Vec<u8>, String>,
    ) -> Result<&[u8], ReadFailure> {
        let known = self.known(array)?;
        if let Some(values) = known.values.get() {
            return Ok(values);
        }
        let recorded = &known.recorded;
        let encoded = match place {
            Place::Folder { path, .. } => {
                let mut encoded = vec![0; recorded.bytes as usize];
                known.reopen(path)?.read_exact_at(&mut encoded, 0).map_err(|error| in_words(&error))?;
                encoded
            }
            Place::Elsewhere { files } => {
                files.read_known(&recorded.path, &recorded.sha256).map_err(ReadFailure::Unreachable)?
            }
        };
        let values = decode(encoded).map_err(ReadFailure::Damaged)?;
        Ok(known.values.get_or_init(|| values))
    }

    fn known(&self, array: StoreArray) -> Result<&OpenFile, ReadFailure> {
        self.files[array as usize].as_ref().ok_or_else(|| missing("its file"))
    }

    /// Where an image's inner chunk lies; `None` where it has none.
    fn inner_chunk(&self, place: &Place, file: &OpenFile, at: usize) -> Result<Option<InnerChunk>, ReadFailure> {
        if let Some(index) = file.index.get() {
            return Ok(index.chunk(at));
        }
        let Place::Elsewhere { files } = place else { return Ok(None) };
        let RecordedFile { path, bytes, .. } = &file.recorded;
        let first = bytes.saturating_sub(ShardIndex::bytes(self.images) as u64);
        let encoded = files.read_known_range(&file.recorded, first..*bytes).map_err(ReadFailure::Unreachable)?;
        let index = ShardIndex::parse_checked(&encoded, first);
        let index = index.map_err(|what| ReadFailure::Damaged(format!("{path}: {what}")))?;
        Ok(file.index.get_or_init(|| index).chunk(at))
    }
}

impl OpenFile {
    fn new(recorded: &RecordedFile, look: Option<Look>) -> Self {
        let (index, values, kept) = (OnceLock::new(), OnceLock::new(), OnceLock::new());
        Self { recorded: recorded.clone(), look, index, values, kept }
    }

    fn compare(
        store: &Path,
        info: &StoreInfo,
        seen: &Seen,
        recorded: &RecordedFile,
        array: StoreArray,
    ) -> Result<Self, String> {
        let text = |error: std::io::Error| error.to_string();
        let opened = File::open(store.join(&recorded.path)).map_err(text)?;
        let metadata = opened.metadata().map_err(text)?;
        if metadata.len() != recorded.bytes {
            return Err(format!("it has {} bytes, {} when it was written", metadata.len(), recorded.bytes));
        }
        let index_at = metadata.len().saturating_sub(ShardIndex::bytes(info.shard_images) as u64);
        let is_known = seen.knows(&recorded.path, &metadata);
        let first = if is_known { index_at } else { 0 };
        let mut bytes = vec![0; (metadata.len() - first) as usize];
        opened.read_exact_at(&mut bytes, first).map_err(text)?;
        if !is_known && digest_bytes(&bytes) != recorded.sha256 {
            return Err("it is not the file that its record names".to_owned());
        }
        let file = Self::new(recorded, Some(Look::of(&metadata)));
        if array.is_map() {
            let index = ShardIndex::parse(&bytes[(index_at - first) as usize..], index_at)?;
            file.index.get_or_init(|| index);
        }
        Ok(file)
    }

    fn reopen(&self, store: &Path) -> Result<File, ReadFailure> {
        let file = File::open(store.join(&self.recorded.path)).map_err(|error| in_words(&error))?;
        let metadata = file.metadata().map_err(|error| in_words(&error))?;
        if Some(Look::of(&metadata)) == self.look { Ok(file) } else { Err(ReadFailure::Changed) }
    }
}

fn missing(what: &str) -> ReadFailure {
    ReadFailure::Damaged(format!("{what} is missing"))
}

fn in_words(error: &std::io::Error) -> ReadFailure {
    if error.kind() == std::io::ErrorKind::NotFound {
        ReadFailure::Changed
    } else {
        ReadFailure::Damaged(error.to_string())
    }
}
