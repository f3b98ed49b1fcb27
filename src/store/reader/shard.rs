//! A finished shard, open for reading.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::process::{Resource, getrlimit};

use crate::digest::digest_bytes;
use crate::store::arrays::StoreArray;
use crate::store::index::ShardIndex;
use crate::store::info::StoreInfo;
use crate::store::record::{RecordedFile, ShardRecord};
use crate::store::seen::{Look, Seen};

/// A finished shard whose files were held against its record.
#[derive(Debug)]
pub(super) struct OpenShard {
    pub(super) record: ShardRecord,
    /// By [`StoreArray`]; `None` where nothing was labelled.
    files: [Option<OpenFile>; StoreArray::ALL.len()],
}

/// One file of a shard, as it was when it was compared.
#[derive(Debug)]
struct OpenFile {
    look: Look,
    /// Of arrays that have an inner chunk for each image.
    index: Option<ShardIndex>,
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
}

impl OpenShard {
    /// Compares a shard's files with its record.
    ///
    /// Inner chunks have checksums of their own, but another shard's file has right ones too. So a file is compared with
    /// its record when it is first read, unless it was compared before and not touched since.
    pub(super) fn compare(store: &Path, info: &StoreInfo, seen: &Seen, record: ShardRecord) -> Result<Self, String> {
        let mut files = [const { None }; StoreArray::ALL.len()];
        for (file, &array) in record.files.iter().zip(StoreArray::of(info)) {
            let open = OpenFile::compare(store, info, seen, file, array);
            files[array as usize] = Some(open.map_err(|what| format!("{}: {what}", file.path))?);
        }
        Ok(Self { record, files })
    }

    /// Whether the array has an inner chunk for the image in this place of the shard.
    pub(super) fn has_chunk(&self, array: StoreArray, at: usize) -> bool {
        let index = self.files[array as usize].as_ref().and_then(|file| file.index.as_ref());
        index.is_some_and(|index| index.chunk(at).is_some())
    }

    /// Length of the inner chunk of the image in this place of the shard; 0 where it has none.
    pub(super) fn chunk_bytes(&self, array: StoreArray, at: usize) -> usize {
        let index = self.files[array as usize].as_ref().and_then(|file| file.index.as_ref());
        index.and_then(|index| index.chunk(at)).map_or(0, |chunk| chunk.bytes)
    }

    /// Encoded bytes of the inner chunk of the image in this place of the shard.
    pub(super) fn chunk(
        &self,
        store: &Path,
        array: StoreArray,
        at: usize,
        kept_files: &KeptFiles,
    ) -> Result<Vec<u8>, ReadFailure> {
        let known = self.known(array)?;
        let place = known.index.as_ref().and_then(|index| index.chunk(at)).ok_or_else(|| missing("its chunk"))?;
        let mut encoded = vec![0; place.bytes];
        if let Some(file) = known.kept.get() {
            // It stays the file that was compared, whatever takes its place.
            file.read_exact_at(&mut encoded, place.offset).map_err(|error| in_words(&error))?;
            return Ok(encoded);
        }
        let file = self.reopen(store, array, known)?;
        file.read_exact_at(&mut encoded, place.offset).map_err(|error| in_words(&error))?;
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
        store: &Path,
        array: StoreArray,
        decode: impl Fn(Vec<u8>) -> Result<Vec<u8>, String>,
    ) -> Result<&[u8], ReadFailure> {
        let known = self.known(array)?;
        if let Some(values) = known.values.get() {
            return Ok(values);
        }
        let mut encoded = vec![0; known.look.bytes() as usize];
        self.reopen(store, array, known)?.read_exact_at(&mut encoded, 0).map_err(|error| in_words(&error))?;
        let values = decode(encoded).map_err(ReadFailure::Damaged)?;
        Ok(known.values.get_or_init(|| values))
    }

    fn known(&self, array: StoreArray) -> Result<&OpenFile, ReadFailure> {
        self.files[array as usize].as_ref().ok_or_else(|| missing("its file"))
    }

    fn reopen(&self, store: &Path, array: StoreArray, known: &OpenFile) -> Result<File, ReadFailure> {
        let file = File::open(store.join(array.file_of(self.record.shard))).map_err(|error| in_words(&error))?;
        let metadata = file.metadata().map_err(|error| in_words(&error))?;
        if Look::of(&metadata) == known.look { Ok(file) } else { Err(ReadFailure::Changed) }
    }
}

impl OpenFile {
    fn compare(
        store: &Path,
        info: &StoreInfo,
        seen: &Seen,
        file: &RecordedFile,
        array: StoreArray,
    ) -> Result<Self, String> {
        let text = |error: std::io::Error| error.to_string();
        let opened = File::open(store.join(&file.path)).map_err(text)?;
        let metadata = opened.metadata().map_err(text)?;
        if metadata.len() != file.bytes {
            return Err(format!("it has {} bytes, {} when it was written", metadata.len(), file.bytes));
        }
        let index_at = metadata.len().saturating_sub(ShardIndex::bytes(info.shard_images) as u64);
        let is_known = seen.knows(&file.path, &metadata);
        let first = if is_known { index_at } else { 0 };
        let mut bytes = vec![0; (metadata.len() - first) as usize];
        opened.read_exact_at(&mut bytes, first).map_err(text)?;
        if !is_known && digest_bytes(&bytes) != file.sha256 {
            return Err("it is not the file that its record names".to_owned());
        }
        let index = &bytes[(index_at - first) as usize..];
        let index = array.is_map().then(|| ShardIndex::parse(index, index_at)).transpose()?;
        Ok(Self { look: Look::of(&metadata), index, values: OnceLock::new(), kept: OnceLock::new() })
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
