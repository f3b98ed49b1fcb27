//! Reads and writes a store's `zarr.json`.

use std::fs::Metadata;
use std::path::Path;

use serde_json::{Value, json};

use super::info::{FORMAT_VERSION, MAPLESS_FORMAT_VERSION, StoreInfo};
use super::json_digest::{pretty, verify_digest, with_digest};
use super::layout::{self, SMALL_FILE_BYTES};
use super::location::Files;
use crate::shared::error::Error;
use crate::shared::regular_file::{self, Lookup};

impl StoreInfo {
    /// Returns the group's `zarr.json`.
    #[must_use]
    pub(super) fn group_json(&self) -> Vec<u8> {
        let Ok(Value::Object(info)) = serde_json::to_value(self) else { return Vec::new() };
        pretty(&json!({ "zarr_format": 3, "node_type": "group", "attributes": { "relabel": with_digest(info) } }))
    }

    /// Reads the group's `zarr.json`.
    ///
    /// # Errors
    /// Returns [`Error::Store`] if it is missing, damaged, of a different format version, or not written by relabel.
    pub(super) fn read(store: &Path) -> Result<Self, Error> {
        let problem = |problem: String| Error::Store { path: store.to_path_buf(), problem: problem.into() };
        match GroupState::read(store)? {
            GroupState::Valid(info) => Ok(*info),
            GroupState::Absent => {
                let is_folder = regular_file::metadata(store)?.is_some_and(|there| there.is_dir());
                let what = if is_folder { "not a store: it has no zarr.json" } else { "does not exist" };
                Err(problem(format!("{what}\n  help: pass a store that `relabel run` wrote")))
            }
            GroupState::Damaged(what) => Err(problem(format!(
                "its zarr.json is damaged: {what}\n  help: repeat the run command that created the store, which writes \
                 zarr.json again"
            ))),
        }
    }

    /// Reads the `zarr.json` of a store that is not in a folder.
    ///
    /// # Errors
    /// See [`StoreInfo::read`].
    pub(super) fn from_files(files: &dyn Files) -> Result<Self, Error> {
        let problem = |problem: String| Error::Store { path: files.name().into(), problem: problem.into() };
        let Some(text) = files.read(layout::GROUP)? else {
            let what = "not a store: it has no zarr.json\n  help: check the URL under which the store or the \
                        release was published";
            return Err(problem(what.to_owned()));
        };
        Self::from_json(&text).map_err(|error| {
            problem(match error {
                GroupError::OtherVersion(what) => what,
                GroupError::Damaged(what) => format!("its zarr.json is damaged: {what}"),
                GroupError::NotOurs => "its zarr.json has no attributes of relabel".to_owned(),
            })
        })
    }

    fn from_json(text: &[u8]) -> Result<Self, GroupError> {
        let damaged = |error: &dyn std::fmt::Display| GroupError::Damaged(error.to_string());
        let group: Value = serde_json::from_slice(text).map_err(|error| damaged(&error))?;
        let attributes = group["attributes"]["relabel"].as_object().ok_or(GroupError::NotOurs)?;
        let version = attributes.get("format_version").and_then(Value::as_u64);
        let known = [FORMAT_VERSION, MAPLESS_FORMAT_VERSION].map(u64::from);
        if let Some(version) = version.filter(|version| !known.contains(version)) {
            return Err(GroupError::OtherVersion(format!(
                "format version {version}, and this relabel reads versions {FORMAT_VERSION} and {MAPLESS_FORMAT_VERSION}\n  \
                 help: use a version of relabel that reads it"
            )));
        }
        if group["zarr_format"] != 3 || group["node_type"] != "group" {
            return Err(GroupError::Damaged("it does not describe a Zarr v3 group".to_owned()));
        }
        let content = verify_digest(attributes.clone()).map_err(|error| damaged(&error))?;
        let info: Self = serde_json::from_value(content.into()).map_err(|error| damaged(&error))?;
        info.check().map_err(|error| damaged(&error))?;
        Ok(info)
    }
}

/// State of a store's `zarr.json`.
pub(super) enum GroupState {
    /// The file is missing.
    Absent,
    /// The description of a store.
    Valid(Box<StoreInfo>),
    /// Left by an interrupted run or damaged, with the reason.
    Damaged(String),
}

/// Reason that a `zarr.json` is not the description of a store.
enum GroupError {
    /// It has no attributes of relabel.
    NotOurs,
    /// It has a different format version.
    OtherVersion(String),
    /// It was changed or cut off.
    Damaged(String),
}

impl GroupState {
    /// Reads the `zarr.json` of a folder.
    ///
    /// # Errors
    /// Returns [`Error::Store`] if it is of a different format version or not written by relabel; [`Error::File`] if it
    /// cannot be read.
    pub(super) fn read(store: &Path) -> Result<Self, Error> {
        let path = store.join(layout::GROUP);
        let text = match regular_file::read(&path, SMALL_FILE_BYTES)? {
            Lookup::Found(text) => text,
            Lookup::Absent => return Ok(Self::Absent),
            Lookup::Unusable(problem) => return Ok(Self::Damaged(problem.to_string())),
        };
        let refused = |problem: String| Error::Store { path: store.to_path_buf(), problem: problem.into() };
        match StoreInfo::from_json(&text) {
            Ok(info) => Ok(Self::Valid(Box::new(info))),
            Err(GroupError::Damaged(what)) => Ok(Self::Damaged(what)),
            Err(GroupError::NotOurs) if has_files_of_a_store(store)? => {
                Ok(Self::Damaged("it has no attributes of relabel".to_owned()))
            }
            Err(GroupError::NotOurs) => Err(refused(
                "its zarr.json has no attributes of relabel: not written by relabel\n  help: pass a store that `relabel run` wrote, or choose another --out".to_owned(),
            )),
            Err(GroupError::OtherVersion(problem)) => Err(refused(problem)),
        }
    }
}

fn has_files_of_a_store(store: &Path) -> Result<bool, Error> {
    let has =
        |name: &str, is: fn(&Metadata) -> bool| Ok(regular_file::metadata(&store.join(name))?.is_some_and(|m| is(&m)));
    Ok(has(layout::MANIFEST, Metadata::is_file)? && has(layout::RECORDS, Metadata::is_dir)?)
}
