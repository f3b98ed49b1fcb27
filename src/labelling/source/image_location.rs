//! Images in archives: their paths, folder classes and locations.

use crate::shared::manifest::{Manifest, ManifestBuilder, ManifestError, folder_class_from_path};

/// Where an image is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ImageLocation {
    /// Number of the archive.
    pub(super) archive: u32,
    /// In a tar, the offset of its header; in a Parquet file, its row.
    pub(super) offset: u64,
    /// Length of the image, 0 if it is known only after reading.
    pub(super) bytes: u64,
    /// Fingerprint of what the archive records there about the image, so a changed archive never gives a different
    /// image's bytes.
    pub(super) check: u64,
}

/// An image in an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ArchivedImage {
    pub(super) path: String,
    pub(super) folder_class: FolderClass,
    pub(super) location: ImageLocation,
}

/// Where an image's folder class comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum FolderClass {
    /// The first folder of the path.
    FromPath,
    /// Recorded in the archive.
    Recorded(String),
    /// The image has none.
    Unknown,
}

/// Builds the manifest of a source.
///
/// # Errors
/// See [`ManifestBuilder`].
pub(super) fn manifest_of(images: &[ArchivedImage]) -> Result<Manifest, ManifestError> {
    let mut list = ManifestBuilder::default();
    for image in images {
        let folder_class = match &image.folder_class {
            FolderClass::FromPath => folder_class_from_path(&image.path),
            FolderClass::Recorded(class) => Some(class.as_str()),
            FolderClass::Unknown => None,
        };
        list.push(&image.path, None, folder_class, image.location.bytes)?;
    }
    list.finish()
}

/// Computes the FNV-1a hash of some bytes. It is written into files, so it must not change with the compiler.
pub(super) fn fingerprint(parts: &[&[u8]]) -> u64 {
    parts
        .iter()
        .flat_map(|part| part.iter())
        .fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}
