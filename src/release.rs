//! A release: a finished store as a data set that strangers can find, understand, check and train on.
//! `docs/guide/publish.md` describes it file by file.
//!
//! Everything in it is made of the store alone, and of what the publisher asks for: the same store gives the same bytes,
//! wherever it lies (test `publish::the_same_store_gives_the_same_bytes`).

mod request;
mod licence;
mod markdown;
mod words;
mod places;
mod stored;
mod summary;
mod overview;
mod facts;
mod card;
mod croissant;
mod provenance;
mod limits;
mod checksums;
mod plan;
mod signature;
mod deliver;
mod trusted;
mod verify;

use std::path::PathBuf;

use crate::shared::digest::{Digest, digest_bytes, digest_file};
use crate::shared::error::Error;

pub use checksums::{CHECKSUMS, SIGNATURE};
pub use deliver::{
    BucketTarget, Delivery, Existing, FolderTarget, MARKER, Progress, StoredAs, Target, Watch, check_target, deliver,
    would_send,
};
pub use licence::{KnownLicence, Licence};
pub use places::Shortened;
pub use plan::{Release, plan};
pub use request::{HubLimits, Picture, Request, Sign, Tool, Wholeness};
pub use signature::{SIGNED_NAMESPACE, SignedBy, Signer, Trust, check_signature};
pub use summary::VerdictCounts;
pub use trusted::TrustedKeys;
pub use verify::{Checked, Reading, ReleaseProblem, ReleaseStep, Remedy, check_rows, verify};

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

impl ReleaseFile {
    fn made(path: &str, bytes: Vec<u8>) -> Self {
        let (length, sha256) = (bytes.len() as u64, digest_bytes(&bytes));
        Self { path: path.to_owned(), bytes: length, sha256, content: Content::Made(bytes) }
    }

    /// A file of the store whose digest nobody has noted.
    fn stored(path: String, at: PathBuf) -> Result<Self, Error> {
        let (sha256, bytes) = digest_file(&at)?;
        Ok(Self { path, bytes, sha256, content: Content::Stored(at) })
    }
}
