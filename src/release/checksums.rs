//! `SHA256SUMS`, the list of checksums that `sha256sum -c` reads.

use std::collections::{BTreeMap, BTreeSet};

use super::release_file::ReleaseFile;
use crate::shared::digest::{Digest, DigestBuilder};
use crate::shared::error::Error;
use crate::shared::store::Files;

/// Name of the list of checksums, which is delivered last.
pub const CHECKSUMS: &str = "SHA256SUMS";
/// Name of the signature of [`CHECKSUMS`].
pub const SIGNATURE: &str = "SHA256SUMS.sig";

/// Returns the content of `SHA256SUMS`: one line per file, sorted by name.
pub(super) fn checksums(files: &[ReleaseFile]) -> Vec<u8> {
    let mut lines: Vec<String> = files.iter().map(|file| format!("{}  {}\n", file.sha256, file.path)).collect();
    lines.sort_by(|a, b| a[64..].cmp(&b[64..]));
    lines.concat().into_bytes()
}

/// Returns whether a file is the list of checksums or its signature.
pub(super) fn is_checksums_or_signature(path: &str) -> bool {
    path == CHECKSUMS || path == SIGNATURE
}

/// Returns the digest of a file, read in pieces to bound memory.
pub(super) fn digest_of(files: &dyn Files, path: &str, bytes: u64) -> Result<Digest, Error> {
    const PIECE: u64 = 8 << 20;
    let mut digest = DigestBuilder::default();
    for first in (0..bytes).step_by(PIECE as usize) {
        digest.add(&files.read_range(path, first..bytes.min(first + PIECE))?);
    }
    Ok(digest.finish())
}

/// A parsed `SHA256SUMS` of an untrusted release.
#[derive(Debug, Default)]
pub(super) struct ListedFiles {
    /// Digests by file name, from the valid lines.
    pub(super) digests: BTreeMap<String, Digest>,
    /// Names that are listed but not allowed in a release.
    pub(super) refused: BTreeSet<String>,
}

/// Errors of parsing `SHA256SUMS` or one of its lines.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ChecksumsError {
    /// The list has no lines.
    #[error("no files are listed")]
    Empty,
    /// The line is not UTF-8.
    #[error("not UTF-8")]
    NotUtf8,
    /// The line does not have the format of `sha256sum`.
    #[error("not a line of sha256sum (64 hexadecimal digits, two spaces, a name)")]
    Malformed,
    /// The name cannot belong to a file of a release.
    #[error("`{}` is not a valid file name for a release", name.escape_debug())]
    InvalidName {
        /// Name on the line.
        name: String,
    },
    /// The name points outside the release, or has components without meaning.
    #[error("`{}` contains an empty component, `.` or `..`", name.escape_debug())]
    UnsafePath {
        /// Name on the line.
        name: String,
    },
    /// The list or its signature is listed.
    #[error("`{name}` must not be listed")]
    ListsItself {
        /// Name on the line.
        name: String,
    },
    /// A name occurs twice.
    #[error("`{}` is listed twice", name.escape_debug())]
    Duplicate {
        /// Name on the line.
        name: String,
    },
}

impl ListedFiles {
    /// Parses the list. Returns the valid lines, and one error message, with the line number, for each invalid line.
    pub(super) fn parse(bytes: &[u8]) -> (Self, Vec<String>) {
        let mut listed = Self::default();
        let mut problems = Vec::new();
        for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            if line.is_empty() {
                continue;
            }
            if let Err(problem) = listed.add(line) {
                problems.push(format!("line {}: {problem}", index + 1));
            }
        }
        if listed.digests.is_empty() && problems.is_empty() {
            problems.push(ChecksumsError::Empty.to_string());
        }
        (listed, problems)
    }

    fn add(&mut self, line: &[u8]) -> Result<(), ChecksumsError> {
        let line = std::str::from_utf8(line).map_err(|_| ChecksumsError::NotUtf8)?;
        let (digest, name) = line.split_at_checked(64).ok_or(ChecksumsError::Malformed)?;
        let digest = Digest::parse(digest).ok_or(ChecksumsError::Malformed)?;
        let name = name.strip_prefix("  ").or_else(|| name.strip_prefix(" *")).ok_or(ChecksumsError::Malformed)?;
        check_name(name).inspect_err(|_| {
            self.refused.insert(name.to_owned());
        })?;
        match self.digests.insert(name.to_owned(), digest) {
            None => Ok(()),
            Some(_) => Err(ChecksumsError::Duplicate { name: name.to_owned() }),
        }
    }
}

/// Checks that a name points to a file inside the release.
fn check_name(name: &str) -> Result<(), ChecksumsError> {
    let owned = || name.to_owned();
    if name.is_empty() || name.starts_with('/') || name.contains('\\') || name.chars().any(char::is_control) {
        return Err(ChecksumsError::InvalidName { name: owned() });
    }
    if name.split('/').any(|part| ["", ".", ".."].contains(&part)) {
        return Err(ChecksumsError::UnsafePath { name: owned() });
    }
    if is_checksums_or_signature(name) {
        return Err(ChecksumsError::ListsItself { name: owned() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::digest::digest_bytes;

    #[test]
    fn unsafe_names_and_malformed_lines_are_refused() {
        let digest = digest_bytes(b"x");
        let line = |name: &str| format!("{digest}  {name}\n");
        for bad in ["/etc/passwd", "../x", "a/../../x", "a//b", "./a", "a\\b", "SHA256SUMS", "SHA256SUMS.sig", ""] {
            let (listed, problems) = ListedFiles::parse(format!("{}{}", line("README.md"), line(bad)).as_bytes());
            assert_eq!(listed.digests.len(), 1, "{bad}");
            assert!(problems[0].contains("line 2"), "{bad}: {problems:?}");
        }
        for bad in
            ["nothing".to_owned(), line("a").to_uppercase(), line("a").replace("  ", " "), line("a") + &line("a")]
        {
            let (_, problems) = ListedFiles::parse(bad.as_bytes());
            assert_eq!(problems.len(), 1, "{bad}");
        }
        let (listed, problems) = ListedFiles::parse(format!("{digest} *a b/c d\n").as_bytes());
        assert!(problems.is_empty() && listed.digests.contains_key("a b/c d"));
    }
}
