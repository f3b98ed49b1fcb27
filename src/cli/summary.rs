//! The end of a run, in words and as a document.

use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use relabel::inspect::name_of;
use relabel::manifest::Manifest;
use relabel::store::{Part, StoreStatus};
use serde_json::json;

use super::clock;
use super::output::{agreement_line, bytes, thousands};

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
                self.out.display()
            );
        }
        words += &agreement_line(status.agreement);
        if let Some(per_image) = status.bytes_per_image {
            words += &format!("size     {} ({per_image:.0} bytes per image)\n", bytes(status.label_bytes));
        }
        words += &format!("store    {}\n", self.out.display());
        words += &self.warning.map_or_else(String::new, |warning| format!("warning  {warning}\n"));
        // From the middle of the list: broken files tend to stand at its ends.
        let rows = self.rows.clone();
        let half = usize::midpoint(rows.start, rows.end);
        let is_labelled = |row: &usize| status.failed_images.iter().all(|failed| failed.row != *row);
        let example = (half..rows.end).chain(rows.start..half).find(is_labelled);
        if let Some(row) = example {
            words += &format!(
                "next     relabel inspect {} {}\n",
                self.out.display(),
                shell_word(&name_of(self.manifest, row))
            );
        }
        words
    }

    pub fn document(&self) -> serde_json::Value {
        let status = self.status;
        json!({
            "store": self.out,
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

/// A word that a shell takes as it is.
pub fn shell_word(word: &str) -> String {
    let plain = word.chars().all(|letter| letter.is_ascii_alphanumeric() || "/._-".contains(letter));
    if plain { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_quoted_only_where_a_shell_needs_it() {
        assert_eq!(shell_word("n01/n01_1"), "n01/n01_1");
        assert_eq!(shell_word("a b'c"), r"'a b'\''c'");
    }
}
