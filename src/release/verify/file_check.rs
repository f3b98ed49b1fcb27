//! Checks one listed file of a release.

use std::collections::BTreeMap;

use super::verification::VerifyScope;
use crate::release::checksums::{CHECKSUMS, digest_of};
use crate::shared::digest::Digest;
use crate::shared::error::Error;
use crate::shared::store::{Files, RecordedFile};

/// Known properties of files before they are checked.
pub(super) struct KnownFiles<'a> {
    /// Digests and lengths of files that were already read.
    pub(super) digests: &'a BTreeMap<String, (Digest, u64)>,
    /// Lengths, if the location can list its files.
    pub(super) lengths: Option<&'a BTreeMap<String, u64>>,
    /// Files that the store's records list.
    pub(super) recorded: &'a BTreeMap<&'a str, &'a RecordedFile>,
}

/// Result of checking one file.
pub(super) enum FileCheck {
    /// The file was read and matches its digest; with its length.
    Compared(u64),
    /// Only its length was checked.
    ByLength,
    /// The file is missing or differs.
    Wrong(String),
}

pub(super) fn check_file(
    files: &dyn Files,
    name: &str,
    expected: &Digest,
    known: &KnownFiles<'_>,
    scope: VerifyScope,
) -> Result<FileCheck, Error> {
    let compare = |digest: &Digest, bytes: u64| match digest {
        digest if digest == expected => FileCheck::Compared(bytes),
        digest => FileCheck::Wrong(format!("SHA-256 is {digest}, but {CHECKSUMS} lists {expected}")),
    };
    if let Some((digest, bytes)) = known.digests.get(name) {
        return Ok(compare(digest, *bytes));
    }
    let bytes = match known.lengths {
        Some(lengths) => lengths.get(name).copied(),
        None => files.file_bytes(name)?,
    };
    let Some(bytes) = bytes else { return Ok(FileCheck::Wrong("missing".to_owned())) };
    let recorded = known.recorded.get(name);
    if let Some(recorded) = recorded.filter(|recorded| recorded.bytes != bytes) {
        return Ok(FileCheck::Wrong(format!("{bytes} bytes, but its record lists {}", recorded.bytes)));
    }
    if recorded.is_none() && bytes > MAX_UNRECORDED_BYTES {
        return Ok(FileCheck::Wrong(format!("{bytes} bytes, expected at most {MAX_UNRECORDED_BYTES}")));
    }
    if scope == VerifyScope::SmallFiles && (recorded.is_some() || is_shard_file(name)) {
        return Ok(FileCheck::ByLength);
    }
    Ok(compare(&digest_of(files, name, bytes)?, bytes))
}

/// Maximum length of a file that no record lists; even the summary of a billion images is shorter.
const MAX_UNRECORDED_BYTES: u64 = 1 << 38;

/// Returns whether this is the name of a shard file, whether or not a record lists it.
pub(super) fn is_shard_file(name: &str) -> bool {
    name.split_once('/').is_some_and(|(_, file)| file.starts_with("c."))
}
