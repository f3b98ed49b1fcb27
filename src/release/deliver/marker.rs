//! What stands in a place while a release is brought there, so that a delivery that was stopped can be told from anything
//! else, and goes on.

use serde::{Deserialize, Serialize};

use crate::release::{Content, ReleaseFile};
use crate::shared::digest::digest_bytes;

/// The file that is there while a release is on its way.
pub const MARKER: &str = ".publishing";

/// The marker's content.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Marker {
    /// Digest of the checksums that the release will have.
    pub(super) checksums: String,
    /// The files of the release that is on its way.
    pub(super) files: Vec<String>,
    /// Files of an older release that have to go.
    pub(super) remove: Vec<String>,
}

impl Marker {
    /// Reads a marker; `None` where it was cut off.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        serde_json::from_slice(text).ok()
    }

    pub(super) fn file(&self) -> ReleaseFile {
        let bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        ReleaseFile {
            path: MARKER.to_owned(),
            bytes: bytes.len() as u64,
            sha256: digest_bytes(&bytes),
            content: Content::Made(bytes),
        }
    }
}
