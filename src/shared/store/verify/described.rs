//! A store as its small files describe it, wherever it lies. What they say of the labels' files is left to the caller.

use rayon::iter::{IntoParallelIterator as _, ParallelIterator as _};

use super::fixed::List;
use super::shards::names_others;
use crate::shared::error::Error;
use crate::shared::store::arrays::StoreArray;
use crate::shared::store::files::Files;
use crate::shared::store::info::StoreInfo;
use crate::shared::store::record::{Identified, ShardRecord};
use crate::shared::store::{names, record_file};

/// What the small files of a store say: its `zarr.json`, the arrays' descriptions, the manifest and the records.
#[derive(Debug, Default)]
pub struct Description {
    /// What the store is; without it, nothing else could be looked at.
    pub info: Option<StoreInfo>,
    /// The records that hold by themselves, in order.
    pub records: Vec<ShardRecord>,
    /// Numbers of the shards without a record.
    pub shards_to_do: Vec<usize>,
    /// Files that are not what they should be, each with what is wrong.
    pub problems: Vec<(String, String)>,
}

/// Reads a store's small files, all records among them. `heard` is called for each shard, and may end it with an error.
///
/// # Errors
/// When the place cannot be reached, and what `heard` gives. Damage is no error: it is what is looked for.
pub fn describe(files: &dyn Files, heard: &(dyn Fn() -> Result<(), Error> + Sync)) -> Result<Description, Error> {
    let mut found = Description::default();
    let info = match StoreInfo::of_files(files) {
        Ok(info) => info,
        Err(Error::Store { problem, .. }) => {
            found.add(names::GROUP, problem.to_string());
            return Ok(found);
        }
        Err(error) => return Err(error),
    };
    for &array in StoreArray::of(&info) {
        let file = array.metadata_file();
        match files.read(&file)? {
            Some(bytes) if bytes == array.metadata_json(&info) => {}
            Some(_) => found.add(file, "it does not describe the array that zarr.json of the store names"),
            None => found.add(file, "it is not there"),
        }
    }
    let list = match files.read_up_to(names::MANIFEST, info.most_manifest_bytes())? {
        None => List::Damaged("it is not there".to_owned()),
        Some(bytes) => List::read(bytes, &info),
    };
    if let List::Damaged(problem) | List::OfOtherImages(problem) = &list {
        found.add(names::MANIFEST, problem);
    }
    let of = Identified { info: &info, identity: &info.identity() };
    let shards = (0..list.shards(&info)).into_par_iter().map(|shard| {
        let text = files.read(&record_file(shard))?;
        heard()?;
        Ok(text.map(|text| ShardRecord::from_json(&text, &of, shard)))
    });
    for (shard, record) in shards.collect::<Result<Vec<_>, Error>>()?.into_iter().enumerate() {
        match record {
            None => found.shards_to_do.push(shard),
            Some(Err(problem)) => found.add(record_file(shard), problem),
            Some(Ok(record)) => {
                if let Some(problem) = list.manifest().and_then(|manifest| names_others(&record, manifest)) {
                    found.add(record_file(shard), problem);
                }
                found.records.push(record);
            }
        }
    }
    found.info = Some(info);
    Ok(found)
}

impl Description {
    fn add(&mut self, file: impl Into<String>, problem: impl Into<String>) {
        self.problems.push((file.into(), problem.into()));
    }
}
