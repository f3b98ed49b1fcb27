//! Reads all small files of a store, wherever it is. The files of its shards are left to the caller.

use rayon::iter::{IntoParallelIterator as _, ParallelIterator as _};

use super::fixed_files::{ManifestState, WRONG_ARRAY_METADATA};
use super::shards::contradicts_manifest;
use super::verification::without_help;
use crate::shared::error::Error;
use crate::shared::store::calibration::Calibration;
use crate::shared::store::info::StoreInfo;
use crate::shared::store::layout::{self, StoreArray, record_file};
use crate::shared::store::location::Files;
use crate::shared::store::record::{IdentifiedStore, ShardRecord, StoreIdentity};

/// Contents and problems of a store's small files: `zarr.json` of the group and the arrays, manifest and records.
#[derive(Debug, Default)]
pub struct StoreDescription {
    /// Description of the store; without it, nothing else could be read.
    pub info: Option<StoreInfo>,
    /// The valid records, in order.
    pub records: Vec<ShardRecord>,
    /// Numbers of the shards without a record.
    pub shards_to_do: Vec<usize>,
    /// Damaged or missing files, each with the problem.
    pub problems: Vec<(String, String)>,
}

/// Reads and verifies a store's small files, including all records. `on_shard` is called for each shard, and may end it
/// with an error. Damage is not an error but part of the result.
///
/// # Errors
/// Returns [`Error::Remote`] if the server cannot be reached; [`Error::File`] if a file cannot be read; and the errors of
/// `on_shard`.
pub fn read_description(
    files: &dyn Files,
    on_shard: &(dyn Fn() -> Result<(), Error> + Sync),
) -> Result<StoreDescription, Error> {
    let mut found = StoreDescription::default();
    let info = match StoreInfo::from_files(files) {
        Ok(info) => info,
        Err(Error::Store { problem, .. }) => {
            found.add(layout::GROUP, without_help(&problem));
            return Ok(found);
        }
        Err(error) => return Err(error),
    };
    for array in StoreArray::stored_in(&info) {
        let file = array.metadata_file();
        match files.read(&file)? {
            Some(bytes) if bytes == array.metadata_json(&info) => {}
            Some(_) => found.add(file, WRONG_ARRAY_METADATA),
            None => found.add(file, "missing"),
        }
    }
    if let Some(text) = files.read(layout::CALIBRATION)?
        && let Err(problem) = Calibration::from_json(&text, &info)
    {
        found.add(layout::CALIBRATION, problem.to_string());
    }
    let manifest = match files.read_up_to(layout::MANIFEST, info.max_manifest_bytes())? {
        None => ManifestState::Damaged("missing".to_owned()),
        Some(bytes) => ManifestState::read(bytes, &info),
    };
    if let ManifestState::Damaged(problem) | ManifestState::OtherLength(problem) = &manifest {
        found.add(layout::MANIFEST, problem);
    }
    let of = IdentifiedStore { info: &info, identity: &StoreIdentity::new(&info) };
    let shards = (0..manifest.shards(&info)).into_par_iter().map(|shard| {
        let text = files.read(&record_file(shard))?;
        on_shard()?;
        Ok(text.map(|text| ShardRecord::from_json(&text, &of, shard)))
    });
    for (shard, record) in shards.collect::<Result<Vec<_>, Error>>()?.into_iter().enumerate() {
        match record {
            None => found.shards_to_do.push(shard),
            Some(Err(problem)) => found.add(record_file(shard), problem.to_string()),
            Some(Ok(record)) => {
                if let Some(problem) = manifest.manifest().and_then(|manifest| contradicts_manifest(&record, manifest))
                {
                    found.add(record_file(shard), problem);
                }
                found.records.push(record);
            }
        }
    }
    found.info = Some(info);
    Ok(found)
}

impl StoreDescription {
    fn add(&mut self, file: impl Into<String>, problem: impl Into<String>) {
        self.problems.push((file.into(), problem.into()));
    }
}
