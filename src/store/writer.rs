//! Creates a store, finds what is left to do in one, and commits shards.

use std::path::{Path, PathBuf};

use super::arrays::StoreArray;
use super::commit::{clear_staging, commit_file, create_folder};
use super::encode::ShardLabels;
use super::info::StoreInfo;
use super::lock::Lock;
use super::record::{Agreement, RecordedFile, ShardRecord};
use super::{names, record_path};
use crate::digest::digest_bytes;
use crate::error::Error;
use crate::manifest::{Manifest, manifest_bytes, read_manifest_parquet};

/// A store that this process may write.
#[derive(Debug)]
pub struct StoreWriter {
    path: PathBuf,
    info: StoreInfo,
    _lock: Lock,
}

impl StoreWriter {
    /// True when there is a store at `path`, whole or partly filled.
    #[must_use]
    pub fn exists(path: &Path) -> bool {
        path.join(names::GROUP).is_file()
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
                ),
            });
        }
        Ok(())
    }

    /// Creates an empty store. Its `zarr.json` is written last: what has none is no store.
    ///
    /// # Errors
    /// When the folder holds something else, cannot be written, or is being written by another process.
    pub fn create(path: &Path, info: StoreInfo, manifest: &Manifest) -> Result<Self, Error> {
        create_folder(path)?;
        let lock = Lock::take(path)?;
        if Self::exists(path) {
            return Err(Error::Store {
                path: path.to_path_buf(),
                problem: "another run has just made it. The same command again goes on with it".to_owned(),
            });
        }
        Self::check_free(path)?;
        for folder in [names::STAGING, names::RECORDS, names::RUNS] {
            create_folder(&path.join(folder))?;
        }
        for array in StoreArray::of(&info) {
            create_folder(&path.join(array.name()))?;
        }
        clear_staging(path)?;
        let manifest = manifest_bytes(manifest)
            .map_err(|problem| Error::Manifest { path: path.join(names::MANIFEST), problem })?;
        commit_file(path, names::MANIFEST, &manifest)?;
        for array in StoreArray::of(&info) {
            let mut text = serde_json::to_vec_pretty(&array.metadata(&info)).unwrap_or_default();
            text.push(b'\n');
            commit_file(path, &format!("{}/{}", array.name(), names::GROUP), &text)?;
        }
        commit_file(path, names::GROUP, &info.group_json())?;
        Ok(Self { path: path.to_path_buf(), info, _lock: lock })
    }

    /// Opens a store to go on with it.
    ///
    /// # Errors
    /// When it is no store, is damaged, or is being written by another process.
    pub fn resume(path: &Path) -> Result<(Self, Manifest), Error> {
        let info = StoreInfo::read(path)?;
        let lock = Lock::take(path)?;
        create_folder(&path.join(names::STAGING))?;
        clear_staging(path)?;
        let manifest_path = path.join(names::MANIFEST);
        let bytes = std::fs::read(&manifest_path).map_err(Error::file("read", &manifest_path))?;
        let digest = digest_bytes(&bytes);
        if digest != info.manifest_sha256 {
            return Err(Error::Store {
                path: path.to_path_buf(),
                problem: format!(
                    "its manifest was changed: sha256 {digest}, but {} when it was made",
                    info.manifest_sha256
                ),
            });
        }
        let manifest = read_manifest_parquet(&manifest_path)?;
        if manifest.len() != info.images {
            return Err(Error::Store {
                path: path.to_path_buf(),
                problem: format!("its manifest has {} rows, its arrays {}", manifest.len(), info.images),
            });
        }
        Ok((Self { path: path.to_path_buf(), info, _lock: lock }, manifest))
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

    /// The records of finished shards, and the numbers of the others, both in order. A shard counts as finished when
    /// its record is there and so are its files, with the lengths that were recorded.
    ///
    /// # Errors
    /// When a record cannot be read.
    pub fn progress(&self) -> Result<(Vec<ShardRecord>, Vec<usize>), Error> {
        let (mut done, mut to_do) = (Vec::new(), Vec::new());
        for shard in 0..self.info.shards() {
            match ShardRecord::read(&self.path, shard)? {
                Some(record) if record.files_are_there(&self.path) => done.push(record),
                _ => to_do.push(shard),
            }
        }
        Ok((done, to_do))
    }

    /// Commits a shard: its files first, each whole, and its record last.
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
            shard: labels.shard,
            first_row: self.info.rows_of(labels.shard).start,
            rows: labels.images.len(),
            labelled: labels.images.len() - failed.len(),
            failed,
            agreement,
            files: files
                .iter()
                .map(|(path, bytes)| RecordedFile {
                    path: path.clone(),
                    bytes: bytes.len() as u64,
                    sha256: digest_bytes(bytes),
                })
                .collect(),
        };
        for (path, bytes) in files {
            commit_file(&self.path, path, bytes)?;
        }
        let inside = record_path(Path::new(""), labels.shard);
        commit_file(&self.path, &inside.to_string_lossy(), &record.to_json())?;
        Ok(record)
    }

    /// Leaves a note of a run (when, on what, how fast) in `runs/`, the one place of a store that holds times.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn note_run(&self, name: &str, note: &serde_json::Value) -> Result<(), Error> {
        let mut text = serde_json::to_vec_pretty(note).unwrap_or_default();
        text.push(b'\n');
        commit_file(&self.path, &format!("{}/{name}.json", names::RUNS), &text)
    }
}

/// The first thing in a folder that a store under construction would not have put there.
fn first_stranger(path: &Path) -> Result<Option<String>, Error> {
    let entries = match std::fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::file("open", path)(error)),
    };
    let arrays = StoreArray::ALL.map(StoreArray::name);
    let own = [names::MANIFEST, names::RECORDS, names::RUNS, names::STAGING, names::LOCK];
    let mut strangers: Vec<String> = entries
        .filter_map(Result::ok)
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| !own.contains(&name.as_str()) && !arrays.contains(&name.as_str()))
        .collect();
    strangers.sort();
    Ok(strangers.into_iter().next())
}
