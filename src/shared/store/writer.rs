//! Creates a store, goes on with one, and commits shards.

mod take_over;

use std::path::{Path, PathBuf};

use rayon::iter::{IntoParallelIterator as _, IntoParallelRefIterator as _, ParallelIterator as _};

use super::arrays::StoreArray;
use super::commit::{Committer, Faults, clear_staging, create_folder, create_own_folder};
use super::encode::ShardLabels;
use super::files::SMALL_FILE_BYTES;
use super::in_flight::InFlight;
use super::info::{GroupState, StoreInfo};
use super::lock::{PartLock, StartLock};
use super::part::Part;
use super::record::{Agreement, Identified, RecordState, RecordedFile, ShardRecord};
use super::seal::{pretty, sealed};
use super::seen::{Seen, SeenNotes};
use super::{names, record_file};
use crate::shared::digest::{Digest, digest_bytes, digest_opened};
use crate::shared::error::Error;
use crate::shared::manifest::{Manifest, manifest_bytes, read_known_manifest_bytes};
use crate::shared::regular_file;

/// A store of which this process may write a part.
#[derive(Debug)]
pub struct StoreWriter {
    path: PathBuf,
    info: StoreInfo,
    identity: Digest,
    part: Part,
    committer: Committer,
    seen: Seen,
    notes: SeenNotes,
    in_flight: InFlight,
    /// Fixed files that were damaged or gone and have been made again, by their paths inside the store.
    repaired: Vec<String>,
    _lock: PartLock,
}

/// Who writes, and what of the store.
#[derive(Debug, Default)]
pub struct WriteAs {
    /// The part of the store that is this process's.
    pub part: Part,
    /// What others are told while this process writes: `process 4711 on node3`.
    pub holder: String,
    /// Failures on purpose; none outside tests.
    pub faults: Faults,
}

/// How far a writer's part is.
#[derive(Debug, Default)]
pub struct PartState {
    /// Records of the shards that are done.
    pub done: Vec<ShardRecord>,
    /// Numbers of the others, in order.
    pub to_do: Vec<usize>,
    /// Why shards that were done are to do again, in words.
    pub damaged: Vec<String>,
}

impl StoreWriter {
    /// True when there is a store at `path`, whole or partly filled. One whose `zarr.json` is damaged is none: it is
    /// made again, and keeps the shards that fit.
    ///
    /// # Errors
    /// When it is of another format version or another program.
    pub fn exists(path: &Path) -> Result<bool, Error> {
        Ok(matches!(GroupState::read(path)?, GroupState::Whole(_)))
    }

    /// Checks that a store may be created at `path`: nothing is there, or what an earlier attempt left.
    ///
    /// # Errors
    /// When the folder holds something else or cannot be read.
    pub fn check_free(path: &Path) -> Result<(), Error> {
        if let Some(stranger) = first_stranger(path)? {
            return Err(Error::Store {
                path: path.to_path_buf(),
                problem: format!(
                    "it is no store and not empty (it holds `{stranger}`). Name another --out, or empty it"
                )
                .into(),
            });
        }
        Ok(())
    }

    /// Creates an empty store. Its `zarr.json` is written last: what has none is no store.
    /// Where another process has just made the same store, goes on with that one.
    ///
    /// # Errors
    /// When the folder holds something else, cannot be written, or its part is being written by another process.
    pub fn create(path: &Path, info: StoreInfo, manifest: &Manifest, write_as: WriteAs) -> Result<Self, Error> {
        let manifest = manifest_bytes(manifest)
            .map_err(|problem| Error::Manifest { path: path.join(names::MANIFEST), problem: problem.into() })?;
        Self::create_with(path, info, &manifest, write_as)
    }

    /// The same, with the bytes of `manifest.parquet`.
    pub(super) fn create_with(path: &Path, info: StoreInfo, manifest: &[u8], write_as: WriteAs) -> Result<Self, Error> {
        info.check().map_err(|problem| Error::Usage(format!("no store can be made of this: {problem}")))?;
        create_folder(path)?;
        create_own_folder(&path.join(names::LOCKS))?;
        let start = StartLock::wait(path)?;
        if let GroupState::Whole(there) = GroupState::read(path)? {
            let differences = there.differences_to_new(&info);
            if !differences.is_empty() {
                return Err(Error::OtherRun {
                    path: path.to_path_buf(),
                    differences,
                    advice: "another process has just made this store. Give all of them the same flags",
                });
            }
            return Self::start(path, *there, write_as, &start);
        }
        Self::check_free(path)?;
        for folder in [names::STAGING, names::RECORDS, names::RUNS] {
            create_own_folder(&path.join(folder))?;
        }
        for array in StoreArray::of(&info) {
            create_own_folder(&path.join(array.name()))?;
        }
        let store = Self::start(path, info, write_as, &start)?;
        store.committer.file(names::MANIFEST, manifest)?;
        for &array in StoreArray::of(&store.info) {
            store.committer.file(&array.metadata_file(), &array.metadata_json(&store.info))?;
        }
        store.committer.file(names::GROUP, &store.info.group_json())?;
        Ok(store)
    }

    /// Opens a store to go on with it. Fixed files that are damaged or gone are made again: the arrays' descriptions
    /// from the group's, and the manifest from `list_again`, if that gives the same list.
    ///
    /// # Errors
    /// When it is no store, is damaged beyond that, or this part of it is being written by another process.
    pub fn resume(
        path: &Path,
        write_as: WriteAs,
        list_again: &mut dyn FnMut() -> Result<Manifest, Error>,
    ) -> Result<(Self, Manifest), Error> {
        let info = StoreInfo::read(path)?;
        create_own_folder(&path.join(names::LOCKS))?;
        let start = StartLock::wait(path)?;
        let mut store = Self::start(path, info, write_as, &start)?;
        for &array in StoreArray::of(&store.info) {
            create_own_folder(&path.join(array.name()))?;
            let (file, wanted) = (array.metadata_file(), array.metadata_json(&store.info));
            let there = regular_file::read(&path.join(&file), SMALL_FILE_BYTES)?.or_problem();
            if there.as_ref() != Ok(&wanted) {
                store.committer.file(&file, &wanted)?;
                store.repaired.push(file);
            }
        }
        let manifest = store.manifest(list_again)?;
        Ok((store, manifest))
    }

    /// Takes the part's lock and tidies up after its last writer.
    fn start(path: &Path, info: StoreInfo, write_as: WriteAs, start: &StartLock) -> Result<Self, Error> {
        let WriteAs { part, holder, faults } = write_as;
        let lock = PartLock::take(path, part, info.shards(), &holder, start)?;
        for folder in [names::STAGING, names::RECORDS, names::RUNS] {
            create_own_folder(&path.join(folder))?;
        }
        clear_staging(path, part, info.shards())?;
        let committer = Committer::new(path, part, faults)?;
        let (seen, notes) = (Seen::read(path), SeenNotes::open(path, part)?);
        let in_flight = InFlight::open(path, part)?;
        let identity = info.identity();
        Ok(Self {
            path: path.to_path_buf(),
            info,
            identity,
            part,
            committer,
            seen,
            notes,
            in_flight,
            repaired: Vec::new(),
            _lock: lock,
        })
    }

    fn manifest(&mut self, list_again: &mut dyn FnMut() -> Result<Manifest, Error>) -> Result<Manifest, Error> {
        let path = self.path.join(names::MANIFEST);
        let there = match regular_file::read(&path, self.info.most_manifest_bytes())?.or_problem() {
            Ok(bytes) => {
                let digest = digest_bytes(&bytes);
                if digest == self.info.manifest_sha256 {
                    let read = read_known_manifest_bytes(bytes, self.info.images);
                    return read.map_err(|problem| Error::Manifest { path, problem: problem.into() });
                }
                format!("sha256 {digest}")
            }
            Err(problem) => problem,
        };
        let manifest = list_again()?;
        let bytes = manifest_bytes(&manifest).map_err(|problem| Error::Manifest { path, problem: problem.into() })?;
        let digest = digest_bytes(&bytes);
        if digest != self.info.manifest_sha256 {
            return Err(Error::Store {
                path: self.path.clone(),
                problem: format!(
                    "its manifest was changed ({there}, but {} when it was made), and the source gives another list now \
                     ({digest}). Put the original manifest.parquet back",
                    self.info.manifest_sha256
                ).into(),
            });
        }
        self.committer.file(names::MANIFEST, &bytes)?;
        self.repaired.push(names::MANIFEST.to_owned());
        Ok(manifest)
    }

    /// What the store is.
    #[must_use]
    pub fn info(&self) -> &StoreInfo {
        &self.info
    }

    /// Where the store is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The part that is this writer's.
    #[must_use]
    pub fn part(&self) -> Part {
        self.part
    }

    /// Which images are being decoded, and at which ones the last writer of this part died.
    #[must_use]
    pub fn in_flight(&self) -> &InFlight {
        &self.in_flight
    }

    /// Paths inside the store of the files that [`StoreWriter::resume`] made again.
    #[must_use]
    pub fn repaired(&self) -> &[String] {
        &self.repaired
    }

    /// How far this writer's part is. A shard is done when its record is there and holds, and its files are what the
    /// record says. Files that were compared before and not touched since are not read again; `reading` hears how
    /// many bytes will be.
    ///
    /// # Errors
    /// When a record or file is there and cannot be read.
    pub fn part_state(&self, reading: &dyn Fn(u64)) -> Result<PartState, Error> {
        let shards = self.part.shards(self.info.shards());
        let of = Identified { info: &self.info, identity: &self.identity };
        let states: Vec<(usize, RecordState)> = shards
            .into_par_iter()
            .map(|shard| Ok((shard, RecordState::read(&self.path, &of, shard)?)))
            .collect::<Result<_, Error>>()?;
        let unknown = |file: &RecordedFile| {
            let metadata = regular_file::look_at(&self.path.join(&file.path))?;
            let is_unknown = metadata.is_some_and(|metadata| !self.seen.knows(&file.path, &metadata));
            Ok(if is_unknown { file.bytes } else { 0 })
        };
        let valid = |(_, state): &(usize, RecordState)| match state {
            RecordState::Valid(record) => record.files.iter().map(unknown).sum(),
            _ => Ok(0),
        };
        let unknown_bytes = states.par_iter().map(valid).sum::<Result<u64, Error>>()?;
        if unknown_bytes > 0 {
            reading(unknown_bytes);
        }
        let compared: Vec<Option<String>> = states
            .par_iter()
            .map(|(_, state)| match state {
                RecordState::Valid(record) => {
                    record.files.iter().find_map(|file| self.compare(file).transpose()).transpose()
                }
                _ => Ok(None),
            })
            .collect::<Result<_, Error>>()?;
        let mut state_of_part = PartState::default();
        for ((shard, state), compared) in states.into_iter().zip(compared) {
            match (state, compared) {
                (RecordState::Valid(record), None) => state_of_part.done.push(record),
                (RecordState::Absent, _) => state_of_part.to_do.push(shard),
                (RecordState::Damaged(what), _) => {
                    state_of_part.damaged.push(format!("the record of shard {shard}: {what}"));
                    state_of_part.to_do.push(shard);
                }
                (RecordState::Valid(_), Some(what)) => {
                    state_of_part.damaged.push(what);
                    state_of_part.to_do.push(shard);
                }
            }
        }
        Ok(state_of_part)
    }

    /// Compares a file with its record. Returns what is wrong with it.
    fn compare(&self, file: &RecordedFile) -> Result<Option<String>, Error> {
        let path = self.path.join(&file.path);
        let (mut opened, metadata) = match regular_file::open(&path)?.or_problem() {
            Ok(there) => there,
            Err(problem) => return Ok(Some(format!("{}: {problem}", file.path))),
        };
        if metadata.len() != file.bytes {
            let bytes = metadata.len();
            return Ok(Some(format!("{} has {bytes} bytes, {} when it was written", file.path, file.bytes)));
        }
        if self.seen.knows(&file.path, &metadata) {
            return Ok(None);
        }
        let (digest, _) = digest_opened(&mut opened, &path)?;
        if digest != file.sha256 {
            return Ok(Some(format!("{} has another content than when it was written", file.path)));
        }
        self.notes.add(&file.path, &metadata);
        Ok(None)
    }

    /// Commits a shard: its files first, each whole, and its record last. A shard that is made again loses its old
    /// record first, so that no record ever vouches for files of another time.
    ///
    /// # Errors
    /// When a file cannot be written; the shard then has no record and does not count.
    pub fn commit(
        &self,
        labels: &ShardLabels,
        files: &[(String, Vec<u8>)],
        agreement: Agreement,
    ) -> Result<ShardRecord, Error> {
        let failed: Vec<_> = labels.images.iter().filter_map(|image| image.as_ref().err()).cloned().collect();
        let record = ShardRecord {
            made_with: self.identity.clone(),
            shard: labels.shard,
            first_row: self.info.rows_of(labels.shard).start,
            rows: labels.images.len(),
            labelled: labels.images.len() - failed.len(),
            failed,
            agreement,
            files: files.iter().map(|(path, bytes)| RecordedFile::of(path, bytes)).collect(),
        };
        let record_file = record_file(labels.shard);
        self.committer.remove(&record_file)?;
        for (path, bytes) in files {
            self.committer.file(path, bytes)?;
            if let Ok(metadata) = std::fs::metadata(self.path.join(path)) {
                self.notes.add(path, &metadata);
            }
        }
        self.committer.file(&record_file, &record.to_json())?;
        Ok(record)
    }

    /// What an earlier run noted of where the images lie in their archives, if it did.
    #[must_use]
    pub fn source_index(&self) -> Option<Vec<u8>> {
        read_source_index(&self.path)
    }

    /// Notes where the images lie in their archives, so that a run that goes on need not list these again.
    ///
    /// # Errors
    /// When it cannot be written; nothing depends on it.
    pub fn note_source_index(&self, index: &[u8]) -> Result<(), Error> {
        self.committer.file(names::SOURCE_INDEX, index)
    }

    /// Leaves a note of a run (when, on what, how fast) in `runs/`, the one place of a store that holds times.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn note_run(&self, name: &str, note: serde_json::Map<String, serde_json::Value>) -> Result<(), Error> {
        self.committer.file(&format!("{}/{name}.json", names::RUNS), &pretty(&sealed(note)))
    }
}

/// Most bytes of a `.source-index` that are read.
const MOST_INDEX_BYTES: u64 = 1 << 32;

/// What is noted of where the images lie in their archives. Nothing depends on it, so that one that cannot be read is none.
pub(super) fn read_source_index(store: &Path) -> Option<Vec<u8>> {
    regular_file::read(&store.join(names::SOURCE_INDEX), MOST_INDEX_BYTES).ok()?.or_problem().ok()
}

/// The first thing in a folder that a store under construction would not have put there.
fn first_stranger(path: &Path) -> Result<Option<String>, Error> {
    let entries = match std::fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::file("open", path)(error)),
    };
    let arrays = StoreArray::ALL.map(StoreArray::name);
    let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let names: Vec<String> = names.collect::<std::io::Result<_>>().map_err(Error::file("list", path))?;
    let mut strangers: Vec<String> = names
        .into_iter()
        .filter(|name| !names::OWN.contains(&name.as_str()) && !arrays.contains(&name.as_str()))
        .collect();
    strangers.sort();
    Ok(strangers.into_iter().next())
}
