//! The end of a run, in words and as a document.

use std::collections::HashSet;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use relabel::inspection::inspect::name_of;
use relabel::shared::error::Error;
use relabel::shared::manifest::Manifest;
use relabel::shared::printable::{printable, printable_path};
use relabel::shared::store::{Part, StoreStatus};
use serde_json::json;

use super::clock;
use super::output::{agreement_line, bytes, count, path_json, thousands};

/// The end of a run.
pub struct Summary<'a> {
    pub out: &'a Path,
    pub part: Part,
    pub status: &'a StoreStatus,
    pub done_now: usize,
    pub seconds: f64,
    pub images_per_s: f64,
    pub slowest: &'static str,
    pub manifest: &'a Manifest,
    /// The part's rows.
    pub rows: Range<usize>,
    pub warning: Option<&'static str>,
}

impl Summary<'_> {
    pub fn words(&self) -> String {
        let status = self.status;
        let of = if self.part.is_whole() { String::new() } else { format!(" of part {}", self.part) };
        let mut words = format!("labelled {} of {} images{of}", thousands(status.labelled), thousands(status.images));
        if self.done_now > 0 {
            words += &format!(
                "; now {} in {} ({:.1} images/s, slowest stage: {})",
                thousands(self.done_now),
                clock::in_words(Duration::from_secs_f64(self.seconds)),
                self.images_per_s,
                self.slowest
            );
        } else {
            words += "; there was nothing left to do";
        }
        words.push('\n');
        if let Some((kind, count)) = status.failures_by_kind.iter().max_by_key(|(_, count)| **count) {
            words += &format!(
                "failed   {}, most often: {kind} ({count}); the list: relabel status {} --failed\n",
                status.failed,
                printable_path(self.out)
            );
        }
        words += &agreement_line(status.agreement);
        if let Some(per_image) = status.bytes_per_image {
            words += &format!("size     {} ({per_image:.0} bytes per image)\n", bytes(status.label_bytes));
        }
        words += &format!("store    {}\n", printable_path(self.out));
        words += &self.warning.map_or_else(String::new, |warning| format!("warning  {warning}\n"));
        // From the middle of the list: broken files tend to stand at its ends.
        let rows = self.rows.clone();
        let half = usize::midpoint(rows.start, rows.end);
        let failed: HashSet<usize> = status.failed_images.iter().map(|failed| failed.row).collect();
        let is_labelled = |row: &usize| !failed.contains(row);
        let example = (half..rows.end).chain(rows.start..half).find(is_labelled);
        if let Some(row) = example {
            words += &format!(
                "next     relabel inspect {} {}\n",
                printable_path(self.out),
                printable(&shell_word(&name_of(self.manifest, row)))
            );
        }
        words
    }

    pub fn document(&self) -> serde_json::Value {
        let status = self.status;
        json!({
            "store": path_json(self.out),
            "part": self.part.to_string(),
            "images": status.images,
            "labelled": status.labelled,
            "failed": status.failed,
            "images_now": self.done_now,
            "seconds": self.seconds,
            "images_per_s": self.images_per_s,
            "slowest_stage": self.slowest,
            "label_bytes": status.label_bytes,
            "bytes_per_image": status.bytes_per_image,
            "agreement": status.agreement,
            "failures_by_kind": status.failures_by_kind,
            "failed_images": status.failed_images,
        })
    }
}

/// Checks that every shard of a part is done, as its records have it now that the run has ended.
///
/// # Errors
/// Returns [`Error::Store`] if a shard is not: another process, or the disk, undid what was committed.
pub fn check_complete(status: &StoreStatus, out: &Path) -> Result<(), Error> {
    let (done, total, damaged) = (status.shards_done, status.shards_total, status.damaged_shards.len());
    if done == total && damaged == 0 && status.labelled + status.failed == status.images {
        return Ok(());
    }
    let of_damaged = if damaged > 0 { format!(" ({} damaged)", thousands(damaged)) } else { String::new() };
    Err(Error::Store {
        path: out.to_path_buf(),
        problem: format!(
            "the run has ended, but only {} of {} are done{of_damaged}: what was committed was changed or removed \
             meanwhile\n  help: see that nothing else writes into the store, and give the same command again",
            thousands(done),
            count(total, "shard")
        )
        .into(),
    })
}

/// A word that a shell takes as it is.
pub fn shell_word(word: &str) -> String {
    let plain = word.chars().all(|letter| letter.is_ascii_alphanumeric() || "/._-".contains(letter));
    if plain { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
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
    fn a_run_is_done_only_if_every_shard_is() {
        let check = |status| check_complete(&status, Path::new("labels")).map_err(|error| error.to_string());
        assert_eq!(check(status(3, vec![])), Ok(()));
        assert!(check(status(2, vec![])).unwrap_err().contains("only 2 of 3 shards are done"));
        assert!(check(status(2, vec![1])).unwrap_err().contains("done (1 damaged)"));
        assert!(check(status(3, vec![1])).is_err());
    }

    #[test]
    fn ids_are_quoted_only_where_a_shell_needs_it() {
        assert_eq!(shell_word("n01/n01_1"), "n01/n01_1");
        assert_eq!(shell_word("a b'c"), r"'a b'\''c'");
    }
}
