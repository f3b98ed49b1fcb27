//! `SHA256SUMS`, which `sha256sum -c` reads.

use super::ReleaseFile;

/// The name of the list of checksums, which is written last.
pub const CHECKSUMS: &str = "SHA256SUMS";
/// The name of the signature of [`CHECKSUMS`].
pub const SIGNATURE: &str = "SHA256SUMS.sig";

/// A line for each file, sorted by name.
pub(super) fn checksums(files: &[ReleaseFile]) -> Vec<u8> {
    let mut lines: Vec<String> = files.iter().map(|file| format!("{}  {}\n", file.sha256, file.path)).collect();
    lines.sort_by(|a, b| a[64..].cmp(&b[64..]));
    lines.concat().into_bytes()
}
