//! Progress of a store, computed from its records alone.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::SystemTime;

use serde::Serialize;

use super::info::StoreInfo;
use super::layout::{self, record_path};
use super::part::Part;
use super::record::{Agreement, FailedImage, IdentifiedStore, RecordState, ShardRecord, StoreIdentity};
use crate::shared::error::Error;
use crate::shared::manifest::manifest_rows;

/// Counts over a store.
#[derive(Clone, Debug, Serialize)]
pub struct StoreStatus {
    /// Images in the manifest.
    pub images: usize,
    /// Images with labels.
    pub labelled: usize,
    /// Images that could not be labelled.
    pub failed: usize,
    /// Images in unfinished shards.
    pub to_do: usize,
    /// Number of shards.
    pub shards_total: usize,
    /// Finished shards.
    pub shards_done: usize,
    /// Shards that must be labelled again: their records are damaged, or files are missing or of a different length.
    pub damaged_shards: Vec<usize>,
    /// Total length of the finished shards' files in bytes.
    pub label_bytes: u64,
    /// `label_bytes` for each labelled image; `None` before the first.
    pub bytes_per_image: Option<f64>,
    /// Images per second between the last records (at most 32), by the times of their files; `None` with fewer than two.
    pub images_per_s: Option<f64>,
    /// Agreement of the teacher with the folder classes.
    pub agreement: Agreement,
    /// Number of failures of each kind.
    pub failures_by_kind: BTreeMap<String, usize>,
    /// Failed images.
    pub failed_images: Vec<FailedImage>,
}

impl StoreStatus {
    /// Reads every record of a store.
    ///
    /// # Errors
    /// Returns [`Error::Store`] if it is not a store; [`Error::File`] if a record cannot be read.
    pub fn read(store: &Path) -> Result<(StoreInfo, Self), Error> {
        Self::read_part(store, Part::WHOLE)
    }

    /// Reads the records of a part of a store. All counts are those of the part.
    ///
    /// # Errors
    /// Returns [`Error::Store`] if it is not a store; [`Error::File`] if a record cannot be read.
    pub fn read_part(store: &Path, part: Part) -> Result<(StoreInfo, Self), Error> {
        let info = StoreInfo::read(store)?;
        check_rows(store, &info)?;
        let (mut records, mut damaged_shards) = (Vec::new(), Vec::new());
        let of = IdentifiedStore { info: &info, identity: &StoreIdentity::new(&info) };
        for shard in part.shards(info.shards()) {
            match RecordState::read(store, &of, shard)? {
                RecordState::Valid(record) if record.files_exist(store)? => records.push(record),
                RecordState::Valid(_) | RecordState::Damaged(_) => damaged_shards.push(shard),
                RecordState::Absent => {}
            }
        }
        let mut status = Self::from_records(&info, part, &records);
        status.damaged_shards = damaged_shards;
        status.images_per_s = rate(store, &records);
        Ok((info, status))
    }

    /// Computes the counts from the records of a part.
    #[must_use]
    pub fn from_records(info: &StoreInfo, part: Part, records: &[ShardRecord]) -> Self {
        let shards = part.shards(info.shards());
        let images = info.part_rows(part).len();
        let labelled: usize = records.iter().map(|record| record.labelled).sum();
        let failed_images: Vec<_> = records.iter().flat_map(|record| record.failed.iter().cloned()).collect();
        let mut failures_by_kind = BTreeMap::new();
        for failed in &failed_images {
            *failures_by_kind.entry(failed.error.kind.to_string()).or_default() += 1;
        }
        let mut agreement = Agreement::default();
        for record in records {
            agreement.add(record.agreement);
        }
        let label_bytes = records.iter().map(ShardRecord::file_bytes).sum();
        Self {
            images,
            labelled,
            failed: failed_images.len(),
            to_do: images.saturating_sub(labelled + failed_images.len()),
            shards_total: shards.len(),
            shards_done: records.len(),
            damaged_shards: Vec::new(),
            label_bytes,
            bytes_per_image: (labelled > 0).then(|| label_bytes as f64 / labelled as f64),
            images_per_s: None,
            agreement,
            failures_by_kind,
            failed_images,
        }
    }
}

/// Refuses a store whose manifest is readable and whose number of rows differs from that of the arrays.
fn check_rows(store: &Path, info: &StoreInfo) -> Result<(), Error> {
    let path = store.join(layout::MANIFEST);
    match manifest_rows(&path)? {
        Some(rows) if rows != info.images => {
            let problem = format!("{rows} rows, but the arrays have {}", info.images);
            Err(Error::Manifest { path, problem: problem.into() })
        }
        _ => Ok(()),
    }
}

/// Returns the images per second over the newest records.
fn rate(store: &Path, records: &[ShardRecord]) -> Option<f64> {
    const NEWEST: usize = 32;
    let mut times: Vec<(SystemTime, usize)> = records
        .iter()
        .filter_map(|record| {
            let written =
                std::fs::metadata(record_path(store, record.shard)).and_then(|metadata| metadata.modified()).ok()?;
            Some((written, record.rows))
        })
        .collect();
    times.sort_unstable();
    let newest = &times[times.len().saturating_sub(NEWEST)..];
    let (first, last) = (newest.first()?.0, newest.last()?.0);
    let seconds = last.duration_since(first).ok()?.as_secs_f64();
    let images: usize = newest.iter().skip(1).map(|(_, rows)| rows).sum();
    (seconds > 0.0).then(|| images as f64 / seconds)
}
