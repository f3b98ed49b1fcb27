//! A release: a finished store as a data set that strangers can find, understand, check and train on.
//! `docs/publishing.md` describes it file by file.

mod deliver;

use std::path::PathBuf;

use crate::digest::Digest;

pub use deliver::{
    BucketTarget, Delivery, Existing, FolderTarget, Progress, StoredAs, Target, Watch, deliver, would_send,
};

/// The file that names all others with their digests, as `sha256sum` writes them. It is written last.
pub const CHECKSUMS: &str = "SHA256SUMS";
/// The signature of [`CHECKSUMS`].
pub const SIGNATURE: &str = "SHA256SUMS.sig";
/// The file that is there while a release is on its way.
pub const MARKER: &str = ".publishing";

/// A file of a release, before it is where it will be.
#[derive(Clone, Debug)]
pub struct ReleaseFile {
    /// Its name in the release, with `/`.
    pub path: String,
    /// Its length.
    pub bytes: u64,
    /// Its digest.
    pub sha256: Digest,
    /// Where its bytes are.
    pub content: Content,
}

/// Where the bytes of a release's file are.
#[derive(Clone, Debug)]
pub enum Content {
    /// Made for the release, in memory.
    Made(Vec<u8>),
    /// A file of the store, at this path of this machine.
    Stored(PathBuf),
}
