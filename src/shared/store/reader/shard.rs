//! A finished shard, open for reading.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::process::{Resource, getrlimit};

use crate::shared::digest::digest_opened;
use crate::shared::error::Error;
use crate::shared::regular_file::{self, Found};
use crate::shared::store::arrays::StoreArray;
use crate::shared::store::index::{InnerChunk, ShardIndex};
use crate::shared::store::info::StoreInfo;
use crate::shared::store::place::Place;
use crate::shared::store::record::{RecordedFile, ShardRecord};
use crate::shared::store::seen::{Look, Seen};

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
    /// Most bytes of an inner chunk: its index is not trusted.
    most_chunk_bytes: u64,
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
    /// The system or the network failed, which proves nothing about the store.
    Failed(Error),
}

impl OpenShard {
    /// Compares a shard's files with its record.
    ///
    /// Inner chunks have checksums of their own, but another shard's file has right ones too. So a file is compared with
    /// its record when it is first read, unless it was compared before and not touched since. Elsewhere than in a folder
    /// nothing is compared here: files are read in pieces there.
    /// Returns what is wrong with them.
    ///
    /// # Errors
    /// Returns [`Error::File`] if the system fails to read one.
    pub(super) fn compare(place: &Place, info: &StoreInfo, record: ShardRecord) -> Result<Result<Self, String>, Error> {
        let mut files = [const { None }; StoreArray::ALL.len()];
        for (recorded, &array) in record.files.iter().zip(StoreArray::of(info)) {
            let most_chunk_bytes = array.most_chunk_bytes(info);
            let open = match place {
                Place::Folder { path, seen } => OpenFile::compare(path, info, seen, recorded, array)?,
                Place::Elsewhere { .. } => Ok(OpenFile::new(recorded, None, most_chunk_bytes)),
            };
            match open {
                Ok(open) => files[array as usize] = Some(open),
                Err(what) => return Ok(Err(format!("{}: {what}", recorded.path))),
            }
        }
        Ok(Ok(Self { record, images: info.shard_images, files }))
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
        if chunk.bytes as u64 > known.most_chunk_bytes {
            let (bytes, most) = (chunk.bytes, known.most_chunk_bytes);
            return Err(ReadFailure::Damaged(format!("its chunk has {bytes} bytes, and at most {most} were expected")));
        }
        let store = match place {
            Place::Folder { path, .. } => path,
            Place::Elsewhere { files } => {
                let range = chunk.offset..chunk.offset + chunk.bytes as u64;
                return files.read_known_range(&known.recorded, range).map_err(ReadFailure::Failed);
            }
        };
        let mut encoded = vec![0; chunk.bytes];
        if let Some(file) = known.kept.get() {
            // It stays the file that was compared, whatever takes its place.
            file.read_exact_at(&mut encoded, chunk.offset).map_err(|error| known.failure(store, error))?;
            return Ok(encoded);
        }
        let file = known.reopen(store)?;
        file.read_exact_at(&mut encoded, chunk.offset).map_err(|error| known.failure(store, error))?;
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
                known.reopen(path)?.read_exact_at(&mut encoded, 0).map_err(|error| known.failure(path, error))?;
                encoded
            }
            Place::Elsewhere { files } => {
                files.read_known(&recorded.path, &recorded.sha256, recorded.bytes).map_err(ReadFailure::Failed)?
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
        let encoded = files.read_known_range(&file.recorded, first..*bytes).map_err(ReadFailure::Failed)?;
        let index = ShardIndex::parse_checked(&encoded, first);
        let index = index.map_err(|what| ReadFailure::Damaged(format!("{path}: {what}")))?;
        Ok(file.index.get_or_init(|| index).chunk(at))
    }
}

impl OpenFile {
    fn new(recorded: &RecordedFile, look: Option<Look>, most_chunk_bytes: u64) -> Self {
        let (index, values, kept) = (OnceLock::new(), OnceLock::new(), OnceLock::new());
        Self { recorded: recorded.clone(), most_chunk_bytes, look, index, values, kept }
    }

    fn compare(
        store: &Path,
        info: &StoreInfo,
        seen: &Seen,
        recorded: &RecordedFile,
        array: StoreArray,
    ) -> Result<Result<Self, String>, Error> {
        let path = store.join(&recorded.path);
        let (mut opened, metadata) = match regular_file::open(&path)?.or_problem() {
            Ok(there) => there,
            Err(problem) => return Ok(Err(problem)),
        };
        let bytes = metadata.len();
        if bytes != recorded.bytes {
            return Ok(Err(format!("it has {bytes} bytes, {} when it was written", recorded.bytes)));
        }
        if !seen.knows(&recorded.path, &metadata) && digest_opened(&mut opened, &path)?.0 != recorded.sha256 {
            return Ok(Err("it is not the file that its record names".to_owned()));
        }
        let file = Self::new(recorded, Some(Look::of(&metadata)), array.most_chunk_bytes(info));
        if array.is_map() {
            let index_at = bytes.saturating_sub(ShardIndex::bytes(info.shard_images) as u64);
            let mut index = vec![0; (bytes - index_at) as usize];
            match opened.read_exact_at(&mut index, index_at) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(Err(error.to_string())),
                Err(error) => return Err(Error::file("read", &path)(error)),
            }
            match ShardIndex::parse(&index, index_at) {
                Ok(index) => drop(file.index.set(index)),
                Err(problem) => return Ok(Err(problem)),
            }
        }
        Ok(Ok(file))
    }

    fn reopen(&self, store: &Path) -> Result<File, ReadFailure> {
        match regular_file::open(&store.join(&self.recorded.path)).map_err(ReadFailure::Failed)? {
            Found::There((file, metadata)) if Some(Look::of(&metadata)) == self.look => Ok(file),
            _ => Err(ReadFailure::Changed),
        }
    }

    /// What a failed read of the file that was compared means.
    fn failure(&self, store: &Path, error: std::io::Error) -> ReadFailure {
        match error.kind() {
            ErrorKind::UnexpectedEof => ReadFailure::Damaged(error.to_string()),
            _ => ReadFailure::Failed(Error::file("read", &store.join(&self.recorded.path))(error)),
        }
    }
}

fn missing(what: &str) -> ReadFailure {
    ReadFailure::Damaged(format!("{what} is missing"))
}
