//! `relabel publish`

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Args;

use super::look::PhotoFlags;
use super::up_to;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  relabel publish labels/ --to release/ --license CC-BY-4.0 --dry-run
  relabel publish labels/ --to release/ --license CC-BY-4.0 --source-terms terms.md
  relabel publish labels/ --to release/ --license my-terms.txt --name \"Birds, by patch\" --hub-repo me/birds-labels
  relabel publish labels/ --to release/ --license CC0-1.0 --picture n01440764_10026 --image-root imagenet/train
  relabel publish labels/ --to release/ --license CC-BY-4.0 --allow-partial
  relabel publish labels/ --to s3://bucket/labels --license CC-BY-4.0 --sign ~/.ssh/id_ed25519

A release is the store, and beside it a data-set card, a table for the Hub's viewer, a picture, croissant.json, \
provenance.json, the licence, what is said of the images' terms, and checksums. \
docs/guide/publish.md describes each file.
The licence is yours to choose: there is no default.

Addresses are s3://bucket/path, gs://bucket/path and az://container/path. Credentials come from the environment only: \
AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT_URL; GOOGLE_SERVICE_ACCOUNT; \
AZURE_STORAGE_ACCOUNT_NAME, AZURE_STORAGE_ACCOUNT_KEY. What was interrupted goes on with the same command.")]
// Each is a flag of the command line.
#[allow(clippy::struct_excessive_bools)]
pub struct PublishArguments {
    /// The store
    pub store: PathBuf,
    /// Where the release goes: a folder that does not exist yet, or an address, such as `s3://bucket/path`
    #[arg(long, value_name = "DEST")]
    pub to: String,
    /// What the labels are published under: an id as SPDX or the Hugging Face Hub has it (CC-BY-4.0), or a file with the text
    #[arg(long, value_name = "ID|FILE")]
    pub license: String,
    /// What the source of the images says of their terms: words, or a file with them
    #[arg(long, value_name = "TEXT|FILE")]
    pub source_terms: Option<String>,
    /// What the release is called [default: Label maps of <source> by <teacher>]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// The data set that the images are of, as the Hub names it: imagenet-1k
    #[arg(long, value_name = "ID")]
    pub source_dataset: Option<String>,
    /// Publish a store of which some shards are still to do; the release says so
    #[arg(long)]
    pub allow_partial: bool,
    /// List every file and write nothing
    #[arg(long)]
    pub dry_run: bool,
    /// The image that the picture shows: its id, path, file name, or row number. With --image-root its photograph is in the
    /// release, too
    #[arg(long, value_name = "IMAGE")]
    pub picture: Option<String>,
    #[command(flatten)]
    pub photos: PhotoFlags,
    /// Sign the checksums with this OpenSSH key (ed25519); `RELABEL_KEY_PASSPHRASE` opens an encrypted one
    #[arg(long, value_name = "KEY")]
    pub sign: Option<PathBuf>,
    /// Decode every chunk of the store and check its values before
    #[arg(long)]
    pub full: bool,
    /// Where the release will be on the Hugging Face Hub
    #[arg(long, value_name = "USER/NAME", value_parser = hub_repo)]
    pub hub_repo: Option<String>,
    /// Go beyond what the Hub takes (files in a folder, files in all, bytes of a file), for other places
    #[arg(long)]
    pub beyond_hub_limits: bool,
    /// Put this release in the place of another one that is there
    #[arg(long)]
    pub replace: bool,
    /// Link the store's files instead of copying them, where the file system can: they take no room then
    #[arg(long)]
    pub link: bool,
    /// Files that are written at a time [default: 4 into a folder, 16 to an address]
    #[arg(long, value_name = "N", value_parser = at_a_time)]
    pub at_a_time: Option<NonZeroUsize>,
}

/// Each has a thread and a connection of its own.
const MAX_AT_A_TIME: usize = 256;

fn at_a_time(text: &str) -> Result<NonZeroUsize, String> {
    up_to::<MAX_AT_A_TIME>(text).map(|files| NonZeroUsize::new(files).unwrap_or(NonZeroUsize::MIN))
}

fn hub_repo(text: &str) -> Result<String, String> {
    let is_name = |name: &str| {
        let is_known = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
        (1..=96).contains(&name.len())
            && name.chars().all(is_known)
            && !name.starts_with(['-', '.'])
            && !name.ends_with(['-', '.'])
    };
    match text.split_once('/') {
        Some((user, name)) if is_name(user) && is_name(name) => Ok(text.to_owned()),
        _ => Err("a user and a name are needed, with a slash between them: me/my-labels".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_are_a_user_and_a_name() {
        assert!(hub_repo("me/my-labels_1.0").is_ok());
        for bad in ["", "me", "me/", "/x", "a/b/c", "me/x y", "me/$(id)", "-me/x"] {
            assert!(hub_repo(bad).is_err(), "{bad}");
        }
    }
}
