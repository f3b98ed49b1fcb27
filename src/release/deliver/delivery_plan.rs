//! Decides what a delivery does with the files that are already at the destination.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::destination::{DeliveryError, ReleaseDestination};
use crate::release::checksums::{CHECKSUMS, is_checksums_or_signature};
use crate::release::release_file::ReleaseFile;
use crate::shared::digest::digest_bytes;
use crate::shared::error::Error;

/// Name of the file that exists at the destination while a release is being delivered.
pub const MARKER: &str = ".publishing";

/// Content of [`MARKER`], by which an interrupted delivery is recognised and resumed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Marker {
    /// Digest of the checksums of the release.
    checksums: String,
    /// Files of the release.
    files: Vec<String>,
    /// Files of an older release that must be removed.
    pub(super) remove: Vec<String>,
}

impl Marker {
    /// Parses a marker. Returns `None` if it was truncated.
    fn parse(text: &[u8]) -> Option<Self> {
        serde_json::from_slice(text).ok()
    }

    pub(super) fn file(&self) -> ReleaseFile {
        ReleaseFile::from_bytes(MARKER, serde_json::to_vec_pretty(self).unwrap_or_default())
    }
}

/// Treatment of an existing release at the destination.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Existing {
    /// It is kept, and a different release is refused.
    #[default]
    Keep,
    /// It is replaced. Files that belong to no release are never touched.
    Replace,
}

/// Plan of a delivery, decided before anything is written.
pub(super) struct DeliveryPlan {
    /// Whether this release is already there, judging by names, lengths and checksums.
    pub(super) is_delivered: bool,
    pub(super) marker: Marker,
}

impl DeliveryPlan {
    pub(super) fn new(
        files: &[ReleaseFile],
        destination: &dyn ReleaseDestination,
        there: &BTreeMap<String, u64>,
        existing: Existing,
    ) -> Result<Self, Error> {
        let ours: BTreeMap<&str, &ReleaseFile> = files.iter().map(|file| (file.path.as_str(), file)).collect();
        let checksums = ours.get(CHECKSUMS).ok_or_else(|| DeliveryError::NoChecksums.at(destination))?.sha256.clone();
        let unfinished = destination.read(MARKER)?.map(|text| Marker::parse(&text).unwrap_or_default());
        let old_checksums = destination.read(CHECKSUMS)?;
        let is_ours = old_checksums.as_ref().is_some_and(|text| digest_bytes(text) == checksums);
        let is_complete = files.iter().all(|file| there.get(&file.path) == Some(&file.bytes));
        // The files of an existing release are listed in its checksums, or in the marker if it is being replaced.
        let mut old: BTreeSet<String> = unfinished.iter().flat_map(|marker| marker.remove.iter().cloned()).collect();
        old.extend(old_checksums.iter().flat_map(|text| listed_paths(text)));
        old.extend(unfinished.iter().flat_map(|marker| marker.files.iter().cloned()));
        let is_extra = |path: &&String| !ours.contains_key(path.as_str()) && !is_of_a_tool(path);
        let extra: Vec<&String> = there.keys().filter(is_extra).collect();
        let is_of_a_release = |path: &str| old.contains(path) || is_checksums_or_signature(path) || path == MARKER;
        let unknown = extra.iter().find(|path| !is_of_a_release(path));
        if existing == Existing::Keep && is_ours && unfinished.is_none() && is_complete && extra.is_empty() {
            return Ok(Self { is_delivered: true, marker: Marker::default() });
        }
        if let Some(&path) = unknown {
            return Err(DeliveryError::UnknownFile { path: path.clone() }.at(destination));
        }
        let is_empty = there.keys().all(|path| is_of_a_tool(path));
        if existing == Existing::Keep && unfinished.is_none() && !is_empty && !is_ours {
            let first = there.keys().next().cloned().unwrap_or_default();
            let is_release = old_checksums.is_some();
            return Err(DeliveryError::Occupied { is_release, files: there.len(), first }.at(destination));
        }
        let is_removed = |path: &&String| !is_checksums_or_signature(path) && path.as_str() != MARKER;
        let marker = Marker {
            checksums: checksums.to_string(),
            files: ours.keys().map(|&path| path.to_owned()).collect(),
            remove: extra.into_iter().filter(is_removed).cloned().collect(),
        };
        Ok(Self { is_delivered: false, marker })
    }
}

/// Refuses a location with files but without a release, before any work is done.
///
/// # Errors
/// Returns [`Error::Release`] if it has such files, and the errors of listing it.
pub fn check_destination(destination: &dyn ReleaseDestination) -> Result<(), Error> {
    let there = destination.list()?;
    let is_release = [CHECKSUMS, MARKER].iter().any(|path| there.contains_key(*path));
    match there.keys().find(|path| !is_of_a_tool(path)) {
        Some(path) if !is_release => Err(DeliveryError::UnknownFile { path: path.clone() }.at(destination)),
        _ => Ok(()),
    }
}

/// Returns whether a file belongs to a tool such as git or the Hub's client. Their names start with a dot, and they are left alone.
fn is_of_a_tool(path: &str) -> bool {
    path.starts_with('.') && path != MARKER
}

/// Returns the paths that a list of checksums contains.
fn listed_paths(checksums: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(checksums);
    text.lines().filter_map(|line| line.split_once("  ")).map(|(_, path)| path.to_owned()).collect()
}
