//! Creates or resumes a store, and commits shards.

mod copy_shard;

use std::fs::Metadata;
use std::path::{Path, PathBuf};

use rayon::iter::{IntoParallelIterator as _, IntoParallelRefIterator as _, ParallelIterator as _};

use super::committer::{Committer, FaultInjection, clear_staging, create_folder, create_own_folder};
use super::group::GroupState;
use super::in_flight::InFlight;
use super::info::StoreInfo;
use super::json_digest::{pretty, with_digest};
use super::layout::{self, SMALL_FILE_BYTES, StoreArray, record_file};
use super::part::Part;
use super::part_lock::{PartLock, StartLock};
use super::record::{Agreement, IdentifiedStore, RecordState, ShardRecord, StoreIdentity, TileFiles};
use super::recorded_file::RecordedFile;
use super::shard_encoder::ShardLabels;
use super::source_index::read_source_index;
use super::store_error::StoreError;
use super::verified_files::{VerifiedFiles, VerifiedFilesLog};
use crate::shared::digest::digest_bytes;
use crate::shared::error::Error;
use crate::shared::manifest::{Manifest, manifest_bytes, read_known_manifest_bytes};
use crate::shared::regular_file;

/// A store of which this process writes a part.
#[derive(Debug)]
pub struct StoreWriter {
    path: PathBuf,
    info: StoreInfo,
    identity: StoreIdentity,
    part: Part,
    committer: Committer,
    verified: VerifiedFiles,
    verified_log: VerifiedFilesLog,
    in_flight: InFlight,
    /// Paths inside the store of the fixed files that were damaged or missing and were written again.
    repaired: Vec<String>,
    _lock: PartLock,
}

/// Options of a writer.
#[derive(Debug, Default)]
pub struct WriterOptions {
    /// The part of the store that this process writes.
    pub part: Part,
    /// Description of this process for other writers: `process 4711 on node3`.
    pub holder: String,
    /// Injected failures, for tests.
    #[doc(hidden)]
    pub faults: FaultInjection,
}

/// Progress of a writer's part.
#[derive(Debug, Default)]
pub struct PartState {
    /// Records of the finished shards.
    pub done: Vec<ShardRecord>,
    /// Numbers of the other shards, in order.
    pub to_do: Vec<usize>,
    /// Reasons that finished shards must be labelled again.
    pub damaged: Vec<String>,
}

impl StoreWriter {
    /// Returns whether a store exists at `path`, complete or not. A store whose `zarr.json` is damaged does not count: it is
    /// created again, and keeps its valid shards.
    ///
    /// # Errors
    /// Returns [`Error::Store`] if it is of a different format version or program.
    pub fn exists(path: &Path) -> Result<bool, Error> {
        Ok(matches!(GroupState::read(path)?, GroupState::Valid(_)))
    }

    /// Checks that a store may be created at `path`: it does not exist, or contains only files of an earlier attempt.
    ///
    /// # Errors
    /// Returns [`Error::Store`] if the folder contains other files; [`Error::File`] if it cannot be read.
    pub fn check_free(path: &Path) -> Result<(), Error> {
        if let Some(entry) = first_foreign_entry(path)? {
            return Err(Error::Store {
                path: path.to_path_buf(),
                problem: format!(
                    "not a store and not empty (it contains `{entry}`)\n  help: choose another --out, or empty this one"
                )
                .into(),
            });
        }
        Ok(())
    }

    /// Creates an empty store. Its `zarr.json` is written last: a folder without one is not a store.
    /// If another process has just created the same store, resumes that one.
    ///
    /// # Errors
    /// Returns [`Error::Store`] if the folder contains other files or another process writes this part;
    /// [`Error::SettingsDiffer`] if another process has just created a store with different settings; [`Error::File`] if
    /// the folder cannot be written.
    pub fn create(path: &Path, info: StoreInfo, manifest: &Manifest, options: WriterOptions) -> Result<Self, Error> {
        let manifest = manifest_bytes(manifest)
            .map_err(|problem| Error::Manifest { path: path.join(layout::MANIFEST), problem: problem.into() })?;
        Self::create_with(path, info, &manifest, options)
    }

    /// Creates a store as [`StoreWriter::create`] does, with the bytes of `manifest.parquet`.
    pub(super) fn create_with(
        path: &Path,
        info: StoreInfo,
        manifest: &[u8],
        options: WriterOptions,
    ) -> Result<Self, Error> {
        info.check().map_err(|problem| {
            let help = "\n  help: use a larger --shard-size";
            let help = if matches!(problem, StoreError::TooManyShards { .. }) { help } else { "" };
            Error::Usage(format!("cannot create a store: {problem}{help}"))
        })?;
        create_folder(path)?;
        create_own_folder(&path.join(layout::LOCKS))?;
        let start = StartLock::wait(path)?;
        if let GroupState::Valid(there) = GroupState::read(path)? {
            let differences = there.differences_to_new(&info);
            if !differences.is_empty() {
                return Err(Error::SettingsDiffer {
                    path: path.to_path_buf(),
                    differences,
                    advice: "another process has just created this store: pass the same flags to all of them",
                });
            }
            return Self::start(path, *there, options, &start);
        }
        Self::check_free(path)?;
        for folder in [layout::STAGING, layout::RECORDS, layout::RUNS] {
            create_own_folder(&path.join(folder))?;
        }
        for array in StoreArray::stored_in(&info) {
            create_own_folder(&path.join(array.name()))?;
        }
        let store = Self::start(path, info, options, &start)?;
        store.committer.write_file(layout::MANIFEST, manifest)?;
        for array in StoreArray::stored_in(&store.info) {
            store.committer.write_file(&array.metadata_file(), &array.metadata_json(&store.info))?;
        }
        store.committer.write_file(layout::GROUP, &store.info.group_json())?;
        Ok(store)
    }

    /// Opens a store to resume it. Fixed files that are damaged or missing are written again: the arrays' `zarr.json` from
    /// the group's, and the manifest from `list_again` if that returns the same list.
    ///
    /// # Errors
    /// Returns [`Error::Store`] if it is not a store, is damaged beyond that, or another process writes this part;
    /// [`Error::File`] if it cannot be written; and the errors of `list_again`.
    pub fn resume(
        path: &Path,
        options: WriterOptions,
        list_again: &mut dyn FnMut() -> Result<Manifest, Error>,
    ) -> Result<(Self, Manifest), Error> {
        let info = StoreInfo::read(path)?;
        create_own_folder(&path.join(layout::LOCKS))?;
        let start = StartLock::wait(path)?;
        let mut store = Self::start(path, info, options, &start)?;
        for array in StoreArray::stored_in(&store.info) {
            create_own_folder(&path.join(array.name()))?;
            let (file, wanted) = (array.metadata_file(), array.metadata_json(&store.info));
            let there = regular_file::read(&path.join(&file), SMALL_FILE_BYTES)?.usable();
            if there.as_ref() != Ok(&wanted) {
                store.committer.write_file(&file, &wanted)?;
                store.repaired.push(file);
            }
        }
        let manifest = store.manifest(list_again)?;
        Ok((store, manifest))
    }

    /// Locks the part and removes what its last writer left.
    fn start(path: &Path, info: StoreInfo, options: WriterOptions, start: &StartLock) -> Result<Self, Error> {
        let WriterOptions { part, holder, faults } = options;
        let lock = PartLock::take(path, part, info.shards(), &holder, start)?;
        for folder in [layout::STAGING, layout::RECORDS, layout::RUNS] {
            create_own_folder(&path.join(folder))?;
        }
        clear_staging(path, part, info.shards())?;
        let committer = Committer::new(path, &part.to_string(), faults)?;
        let (verified, verified_log) = (VerifiedFiles::read(path), VerifiedFilesLog::open(path, part)?);
        let in_flight = InFlight::open(path, part)?;
        let identity = StoreIdentity::new(&info);
        Ok(Self {
            path: path.to_path_buf(),
            info,
            identity,
            part,
            committer,
            verified,
            verified_log,
            in_flight,
            repaired: Vec::new(),
            _lock: lock,
        })
    }

    fn manifest(&mut self, list_again: &mut dyn FnMut() -> Result<Manifest, Error>) -> Result<Manifest, Error> {
        let path = self.path.join(layout::MANIFEST);
        let there = match regular_file::read(&path, self.info.max_manifest_bytes())?.usable() {
            Ok(bytes) => {
                let digest = digest_bytes(&bytes);
                if digest == self.info.manifest_sha256 {
                    let read = read_known_manifest_bytes(bytes, self.info.images);
                    return read.map_err(|problem| Error::Manifest { path, problem: problem.into() });
                }
                format!("sha256 {digest}")
            }
            Err(problem) => problem.to_string(),
        };
        let manifest = list_again()?;
        let bytes = manifest_bytes(&manifest).map_err(|problem| Error::Manifest { path, problem: problem.into() })?;
        let digest = digest_bytes(&bytes);
        if digest != self.info.manifest_sha256 {
            return Err(Error::Store {
                path: self.path.clone(),
                problem: format!(
                    "its manifest was changed ({there}, expected sha256 {}), and the source now has a different list ({digest})\n  \
                     help: restore the original manifest.parquet",
                    self.info.manifest_sha256
                )
                .into(),
            });
        }
        self.committer.write_file(layout::MANIFEST, &bytes)?;
        self.repaired.push(layout::MANIFEST.to_owned());
        Ok(manifest)
    }

    /// Description of the store.
    #[must_use]
    pub fn info(&self) -> &StoreInfo {
        &self.info
    }

    /// Folder of the store.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The part that this writer writes.
    #[must_use]
    pub fn part(&self) -> Part {
        self.part
    }

    /// The images that are being decoded, and those at which the last writer of this part crashed.
    #[must_use]
    pub fn in_flight(&self) -> &InFlight {
        &self.in_flight
    }

    /// Paths inside the store of the files that [`StoreWriter::resume`] wrote again.
    #[must_use]
    pub fn repaired(&self) -> &[String] {
        &self.repaired
    }

    /// Returns the progress of this writer's part. A shard is done if its record is valid and its files match the record.
    /// Files that were verified before and not touched since are not read again; `on_reading` is called with the number of
    /// bytes that must be read.
    ///
    /// # Errors
    /// Returns [`Error::File`] if a record or file cannot be read.
    pub fn part_state(&self, on_reading: &dyn Fn(u64)) -> Result<PartState, Error> {
        let shards = self.part.shards(self.info.shards());
        let of = IdentifiedStore { info: &self.info, identity: &self.identity };
        let states: Vec<(usize, RecordState)> = shards
            .into_par_iter()
            .map(|shard| Ok((shard, RecordState::read(&self.path, &of, shard)?)))
            .collect::<Result<_, Error>>()?;
        let unverified = |file: &RecordedFile| {
            let metadata = regular_file::metadata(&self.path.join(&file.path))?;
            let is_unverified = metadata.is_some_and(|metadata| !self.verified.contains(&file.path, &metadata));
            Ok(if is_unverified { file.bytes } else { 0 })
        };
        let valid = |(_, state): &(usize, RecordState)| match state {
            RecordState::Valid(record) => record.all_files().map(unverified).sum(),
            _ => Ok(0),
        };
        let unverified_bytes = states.par_iter().map(valid).sum::<Result<u64, Error>>()?;
        if unverified_bytes > 0 {
            on_reading(unverified_bytes);
        }
        let compared: Vec<Option<String>> = states
            .par_iter()
            .map(|(_, state)| match state {
                RecordState::Valid(record) => {
                    record.all_files().find_map(|file| self.compare(file).transpose()).transpose()
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

    /// Compares a file with its record. Returns the difference, if there is one.
    fn compare(&self, file: &RecordedFile) -> Result<Option<String>, Error> {
        let mut was_known = false;
        let is_known = |metadata: &Metadata| {
            was_known = self.verified.contains(&file.path, metadata);
            was_known
        };
        match file.open_matching(&self.path, is_known)? {
            Ok((_, metadata)) => {
                if !was_known {
                    self.verified_log.add(&file.path, &metadata);
                }
                Ok(None)
            }
            Err(mismatch) => Ok(Some(format!("{}: {mismatch}", file.path))),
        }
    }

    /// Commits a shard: its files first, each atomically, and its record last. The old record of a shard that is labelled
    /// again is removed first, so that a record never lists files of another run.
    ///
    /// # Errors
    /// Returns [`Error::File`] if a file cannot be written. The shard then has no record and is not done.
    pub fn commit(
        &self,
        labels: &ShardLabels,
        files: &[(String, Vec<u8>)],
        agreement: Agreement,
    ) -> Result<ShardRecord, Error> {
        let failed: Vec<_> = labels.images.iter().filter_map(|image| image.as_ref().err()).cloned().collect();
        let arrays = StoreArray::stored_in(&self.info).into_iter().filter(|array| array.is_of_tiles());
        let tile_paths: Vec<_> = arrays.map(|array| array.shard_file(labels.shard)).collect();
        let (tiles, images): (Vec<_>, Vec<_>) = files.iter().partition(|(path, _)| tile_paths.contains(path));
        let recorded = |(path, bytes): &(String, Vec<u8>)| RecordedFile::from_bytes(path, bytes);
        let record = ShardRecord {
            made_with: self.identity.of_images.clone(),
            shard: labels.shard,
            first_row: self.info.shard_rows(labels.shard).start,
            rows: labels.images.len(),
            labelled: labels.images.len() - failed.len(),
            failed,
            agreement,
            files: images.into_iter().map(recorded).collect(),
            tiles: self
                .identity
                .with_tiles
                .clone()
                .map(|made_with| TileFiles { made_with, files: tiles.into_iter().map(recorded).collect() }),
        };
        let record_file = record_file(labels.shard);
        self.committer.remove(&record_file)?;
        for (path, bytes) in files {
            self.committer.write_file(path, bytes)?;
            if let Ok(metadata) = std::fs::metadata(self.path.join(path)) {
                self.verified_log.add(path, &metadata);
            }
        }
        self.committer.write_file(&record_file, &record.to_json())?;
        Ok(record)
    }

    /// Returns the cached positions of the images in their archives, if an earlier run wrote them.
    #[must_use]
    pub fn source_index(&self) -> Option<Vec<u8>> {
        read_source_index(&self.path)
    }

    /// Caches the positions of the images in their archives, so that a resumed run need not list these again.
    ///
    /// # Errors
    /// Returns [`Error::File`] if it cannot be written; nothing depends on it.
    pub fn write_source_index(&self, index: &[u8]) -> Result<(), Error> {
        self.committer.write_file(layout::SOURCE_INDEX, index)
    }

    /// Writes a note of a run (times, devices, speed) to `runs/`. Only this folder of a store contains times.
    ///
    /// # Errors
    /// Returns [`Error::File`] if it cannot be written.
    pub fn write_run_note(&self, name: &str, note: serde_json::Map<String, serde_json::Value>) -> Result<(), Error> {
        self.committer.write_file(&format!("{}/{name}.json", layout::RUNS), &pretty(&with_digest(note)))
    }
}

/// Returns the first entry of a folder that does not belong to a store.
fn first_foreign_entry(path: &Path) -> Result<Option<String>, Error> {
    let entries = match std::fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::file("open", path)(error)),
    };
    let arrays = StoreArray::ALL.map(StoreArray::name);
    let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let names: Vec<String> = names.collect::<std::io::Result<_>>().map_err(Error::file("list", path))?;
    let mut foreign: Vec<String> = names
        .into_iter()
        .filter(|name| !layout::ENTRIES.contains(&name.as_str()) && !arrays.contains(&name.as_str()))
        .collect();
    foreign.sort();
    Ok(foreign.into_iter().next())
}
