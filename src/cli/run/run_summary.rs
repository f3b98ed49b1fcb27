//! Result of a run, as text and as a document.

use std::collections::HashSet;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use relabel::inspection::inspect::name_of_row;
use relabel::shared::error::Error;
use relabel::shared::geometry::InputSize;
use relabel::shared::manifest::Manifest;
use relabel::shared::printable::{printable, printable_path};
use relabel::shared::store::{Part, StoreStatus};
use serde_json::json;

use crate::cli::output::{agreement_line, bytes, count, path_json, per_image, rate, thousands};
use crate::cli::shell::shell_quote;
use crate::cli::time_format::duration_text;

/// Result of a run.
pub struct RunSummary<'a> {
    pub out: &'a Path,
    pub part: Part,
    pub status: &'a StoreStatus,
    /// Images that this run labelled or that failed in it.
    pub done_now: usize,
    pub seconds: f64,
    pub images_per_s: f64,
    pub slowest_stage: &'static str,
    pub manifest: &'a Manifest,
    /// Rows of the part.
    pub rows: Range<usize>,
    pub warning: Option<&'static str>,
    /// Images of this run with tiles that have fewer pixels than the teacher's input.
    pub tiles_enlarged: usize,
    pub input_size: InputSize,
}

impl RunSummary<'_> {
    pub fn text(&self) -> String {
        let status = self.status;
        let part = if self.part.is_whole() { String::new() } else { format!(" of part {}", self.part) };
        let mut text = format!("labelled {} of {} images{part}", thousands(status.labelled), thousands(status.images));
        if self.done_now > 0 {
            text += &format!(
                "; {} processed in {} ({}, slowest stage: {})",
                thousands(self.done_now),
                duration_text(Duration::from_secs_f64(self.seconds)),
                rate(self.images_per_s),
                self.slowest_stage
            );
        } else {
            text += "; nothing left to do";
        }
        text.push('\n');
        if let Some((kind, most)) = status.failures_by_kind.iter().max_by_key(|(_, count)| **count) {
            text += &format!(
                "failed   {}, most often: {kind} ({}); list: relabel status {} --failed\n",
                thousands(status.failed),
                thousands(*most),
                printable_path(self.out)
            );
        }
        text += &agreement_line(status.agreement);
        if let Some(bytes_per_image) = status.bytes_per_image {
            text += &format!("size     {} ({})\n", bytes(status.label_bytes), per_image(bytes_per_image));
        }
        text += &format!("store    {}\n", printable_path(self.out));
        text += &self.warning.map_or_else(String::new, |warning| format!("warning  {warning}\n"));
        text += &enlarged_line(self.tiles_enlarged, self.done_now, self.input_size);
        if let Some(row) = self.example_row() {
            text += &format!(
                "next     relabel inspect {} {}\n",
                printable_path(self.out),
                printable(&shell_quote(&name_of_row(self.manifest, row)))
            );
        }
        text
    }

    /// Returns a labelled row, from the middle of the list: broken files are often at its ends.
    fn example_row(&self) -> Option<usize> {
        let rows = self.rows.clone();
        let middle = usize::midpoint(rows.start, rows.end);
        let failed: HashSet<usize> = self.status.failed_images.iter().map(|failed| failed.row).collect();
        (middle..rows.end).chain(rows.start..middle).find(|row| !failed.contains(row))
    }

    pub fn document(&self) -> serde_json::Value {
        let status = self.status;
        json!({
            "store": path_json(self.out),
            "part": self.part.to_string(),
            "images": status.images,
            "labelled": status.labelled,
            "failed": status.failed,
            "images_this_run": self.done_now,
            "seconds": self.seconds,
            "images_per_s": self.images_per_s,
            "slowest_stage": self.slowest_stage,
            "label_bytes": status.label_bytes,
            "bytes_per_image": status.bytes_per_image,
            "tiles_enlarged": self.tiles_enlarged,
            "agreement": status.agreement,
            "failures_by_kind": status.failures_by_kind,
            "failed_images": status.failed_images,
        })
    }
}

/// Returns a line about images whose tiles have fewer pixels than the teacher's input; empty if there are none.
pub fn enlarged_line(enlarged: usize, images: usize, input_size: InputSize) -> String {
    if enlarged == 0 {
        return String::new();
    }
    format!(
        "tiles    of {} of {} images have fewer pixels than the teacher's input ({input_size}): enlarging them adds no detail\n",
        thousands(enlarged),
        thousands(images)
    )
}

/// Checks that every shard of a part is done, according to the records at the end of the run.
///
/// # Errors
/// Returns [`Error::Store`] if a shard is not: another process or a disk failure removed what was committed.
pub fn check_complete(status: &StoreStatus, out: &Path) -> Result<(), Error> {
    let (done, total, damaged) = (status.shards_done, status.shards_total, status.damaged_shards.len());
    if done == total && damaged == 0 && status.labelled + status.failed == status.images {
        return Ok(());
    }
    let with_damage = if damaged > 0 { format!(" ({} damaged)", thousands(damaged)) } else { String::new() };
    Err(Error::Store {
        path: out.to_path_buf(),
        problem: format!(
            "the run finished, but only {} of {} are done{with_damage}: committed files were changed or removed in the meantime\n  \
             help: make sure that nothing else writes to the store, and re-run the same command",
            thousands(done),
            count(total, "shard")
        )
        .into(),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use relabel::shared::store::Agreement;

    use super::*;

    fn status(shards_done: usize, damaged_shards: Vec<usize>) -> StoreStatus {
        StoreStatus {
            images: 12,
            labelled: shards_done * 4,
            failed: 0,
            to_do: 12 - shards_done * 4,
            shards_total: 3,
            shards_done,
            damaged_shards,
            label_bytes: 0,
            bytes_per_image: None,
            images_per_s: None,
            agreement: Agreement::default(),
            failures_by_kind: BTreeMap::new(),
            failed_images: Vec::new(),
        }
    }

    #[test]
    fn run_is_complete_only_if_every_shard_is_done() {
        let check = |status| check_complete(&status, Path::new("labels")).map_err(|error| error.to_string());
        assert_eq!(check(status(3, vec![])), Ok(()));
        assert!(check(status(2, vec![])).unwrap_err().contains("only 2 of 3 shards are done"));
        assert!(check(status(2, vec![1])).unwrap_err().contains("done (1 damaged)"));
        assert!(check(status(3, vec![1])).is_err());
    }
}
