//! `relabel publish`

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Args;

use super::heading::{CHECKS, OUTPUT, SCHEDULING};
use super::inspect_args::PhotoFlags;
use super::{ValueError, up_to};

/// Headings that only `publish` has.
const DESCRIPTION: &str = "Description";

#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  relabel publish imagenet.labels --to release/ --license CC-BY-4.0 --dry-run
  relabel publish imagenet.labels --to release/ --license CC-BY-4.0 --source-terms terms.md
  relabel publish imagenet.labels --to release/ --license my-terms.txt --hub-repo me/birds-labels
  relabel publish imagenet.labels --to release/ --license CC0-1.0 --picture n01440764_10026
  relabel publish imagenet.labels --to release/ --license CC-BY-4.0 --evaluation evaluation.json
  relabel publish imagenet.labels --to release/ --license CC-BY-4.0 --allow-partial
  relabel publish imagenet.labels --to s3://bucket/labels --license CC-BY-4.0 --sign ~/.ssh/id_ed25519

A release is a copy of the store (finished, unless --allow-partial is given) with a dataset card, a table for the Hub's \
viewer, a picture, croissant.json, provenance.json, the licences of labels and images, and checksums. \
docs/guide/publish.md describes each file. --license has no default.

URLs are s3://bucket/path, gs://bucket/path and az://container/path. Credentials are read from the environment only: \
AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT_URL; GOOGLE_SERVICE_ACCOUNT; \
AZURE_STORAGE_ACCOUNT_NAME, AZURE_STORAGE_ACCOUNT_KEY. Re-run the same command to resume after an interruption.

Exit codes: 0 done, 1 failed (see the message), 2 wrong usage, 130 interrupted.")]
// Each is a flag of the command line.
#[allow(clippy::struct_excessive_bools)]
pub struct PublishArguments {
    /// Store: a folder
    pub store: PathBuf,
    /// Destination: a new folder, or a URL (s3://, gs://, az://)
    #[arg(long, value_name = "DEST", help_heading = OUTPUT)]
    pub to: String,
    /// Replace a different release at DEST
    #[arg(long, help_heading = OUTPUT)]
    pub replace: bool,
    /// Hard-link the store's files instead of copying them, where possible
    #[arg(long, help_heading = OUTPUT)]
    pub link: bool,
    /// Sign the checksums with this OpenSSH key (ed25519)
    ///
    /// The environment variable `RELABEL_KEY_PASSPHRASE` decrypts an encrypted key.
    #[arg(long, value_name = "KEY", help_heading = OUTPUT)]
    pub sign: Option<PathBuf>,
    /// Allow a release that exceeds the limits of the Hugging Face Hub
    ///
    /// For other destinations. The Hub limits files per folder, files in total and bytes per file.
    #[arg(long, hide_short_help = true, help_heading = OUTPUT)]
    pub beyond_hub_limits: bool,
    /// Licence of the labels: an SPDX or Hub id, or a text file
    #[arg(long, value_name = "ID|FILE", help_heading = DESCRIPTION)]
    pub license: String,
    /// Licence of the images: text, or a text file
    #[arg(long, value_name = "TEXT|FILE", help_heading = DESCRIPTION)]
    pub source_terms: Option<String>,
    /// Data set of the images, as named on the Hub: imagenet-1k
    #[arg(long, value_name = "ID", help_heading = DESCRIPTION)]
    pub source_dataset: Option<String>,
    /// Name of the release [default: Label maps of <source> by <teacher>, or Predictions of ...]
    #[arg(long, value_name = "NAME", help_heading = DESCRIPTION)]
    pub name: Option<String>,
    /// Repository of the release on the Hugging Face Hub
    #[arg(long, value_name = "USER/NAME", value_parser = hub_repo, help_heading = DESCRIPTION)]
    pub hub_repo: Option<String>,
    /// Publish the figures of `relabel evaluate` for this store
    ///
    /// They appear in the dataset card, croissant.json and provenance.json, with charts. Figures of other labels are refused.
    #[arg(long, value_name = "FILE", help_heading = DESCRIPTION)]
    pub evaluation: Option<PathBuf>,
    /// Image shown in the picture: its id, path, file name or row number
    ///
    /// The extension of a file name may be omitted. With --image-root, the release contains the image itself; without it, no image.
    #[arg(long, value_name = "IMAGE", help_heading = DESCRIPTION)]
    pub picture: Option<String>,
    #[command(flatten)]
    pub photos: PhotoFlags,
    /// Publish a store with shards still to do; the release is marked as partial
    #[arg(long, help_heading = CHECKS)]
    pub allow_partial: bool,
    /// First decode every chunk of the store and check its values
    #[arg(long, help_heading = CHECKS)]
    pub full: bool,
    /// List every file, write nothing
    #[arg(long, help_heading = OUTPUT)]
    pub dry_run: bool,
    /// Files to write concurrently [default: 4 for a folder, 16 for a URL]
    #[arg(long, value_name = "N", value_parser = concurrency, hide_short_help = true, help_heading = SCHEDULING)]
    pub at_a_time: Option<NonZeroUsize>,
}

/// Each file has a thread and a connection of its own.
const MAX_CONCURRENCY: usize = 256;

fn concurrency(text: &str) -> Result<NonZeroUsize, ValueError> {
    up_to::<MAX_CONCURRENCY>(text).map(|files| NonZeroUsize::new(files).unwrap_or(NonZeroUsize::MIN))
}

fn hub_repo(text: &str) -> Result<String, ValueError> {
    let is_name = |name: &str| {
        let is_allowed = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
        (1..=96).contains(&name.len())
            && name.chars().all(is_allowed)
            && !name.starts_with(['-', '.'])
            && !name.ends_with(['-', '.'])
    };
    match text.split_once('/') {
        Some((user, name)) if is_name(user) && is_name(name) => Ok(text.to_owned()),
        _ => Err(ValueError::NotHubRepo),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hub_repo_is_user_and_name() {
        assert!(hub_repo("me/my-labels_1.0").is_ok());
        for bad in ["", "me", "me/", "/x", "a/b/c", "me/x y", "me/$(id)", "-me/x"] {
            assert!(hub_repo(bad).is_err(), "{bad}");
        }
    }
}
