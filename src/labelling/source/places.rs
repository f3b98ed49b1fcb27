//! Images in archives: how they are listed, and where those of a list lie.

use std::collections::HashMap;

use super::archives::Archives;
use super::{ListedImages, index};
use crate::shared::error::Error;
use crate::shared::manifest::{Manifest, ManifestBuilder, label_from_path};

/// Where an image lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Number of the archive.
    pub(super) archive: u32,
    /// In a tar, where its header begins; in a Parquet file, its row.
    pub(super) offset: u64,
    /// Its length, 0 where only reading would tell.
    pub(super) bytes: u64,
    /// Stands for what the archive says of it there, so that a changed archive never gives another image's bytes.
    pub(super) check: u64,
}

/// An image in an archive, before it is a row of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PlacedImage {
    pub(super) path: String,
    pub(super) label: Label,
    pub(super) place: Place,
}

/// Where an image's class is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Label {
    /// It is the first folder of the path.
    Folder,
    /// The archive says it.
    Said(String),
    /// Nowhere.
    Unknown,
}

/// The list of a source.
pub(super) fn manifest_of(images: &[PlacedImage]) -> Result<Manifest, String> {
    let mut list = ManifestBuilder::default();
    for image in images {
        let label = match &image.label {
            Label::Folder => label_from_path(&image.path),
            Label::Said(label) => Some(label.as_str()),
            Label::Unknown => None,
        };
        list.push(&image.path, None, label, image.place.bytes)?;
    }
    list.finish()
}

/// The places of a list's images.
pub(super) struct Places {
    pub(super) by_row: Vec<Option<Place>>,
    /// An index for the store, where the old one did not fit.
    pub(super) new_index: Option<Vec<u8>>,
}

/// Finds the images of a list: by its index, or else by listing the archives.
///
/// # Errors
/// When the archives have to be listed, and cannot be.
pub(super) fn locate(
    list: &ListedImages<'_>,
    archives: &Archives,
    images: impl FnOnce() -> Result<Vec<PlacedImage>, Error>,
) -> Result<Places, Error> {
    let key = index::key(archives, list.manifest_sha256);
    let rows = list.manifest.len();
    if let Some(by_row) = list.index.as_deref().and_then(|bytes| index::decode(bytes, &key, rows, archives.count())) {
        return Ok(Places { by_row, new_index: None });
    }
    let by_row = find(list.manifest, &images()?);
    let new_index = Some(index::encode(&key, &by_row));
    Ok(Places { by_row, new_index })
}

fn find(manifest: &Manifest, images: &[PlacedImage]) -> Vec<Option<Place>> {
    let mut by_path: Option<HashMap<&str, Place>> = None;
    let mut next = 0;
    let mut place_of = |row: usize| {
        let path = manifest.path(row);
        // A list that was made from this source has its order.
        if let Some(image) = images.get(next).filter(|image| image.path == path) {
            next += 1;
            return Some(image.place);
        }
        let by_path =
            by_path.get_or_insert_with(|| images.iter().map(|image| (image.path.as_str(), image.place)).collect());
        by_path.get(path).copied()
    };
    (0..manifest.len()).map(&mut place_of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::manifest::Entry;

    #[test]
    fn images_are_found_in_any_order() {
        let image = |(path, offset): (&str, u64)| PlacedImage {
            path: path.to_owned(),
            label: Label::Folder,
            place: Place { archive: 0, offset, bytes: 1, check: 0 },
        };
        let images = [("a.jpg", 1), ("b.jpg", 2), ("c.jpg", 3)].map(image);
        let entry = |path: &str| Entry { path: path.to_owned(), ..Entry::default() };
        let manifest = Manifest::from_entries(["a.jpg", "c.jpg", "gone.jpg", "b.jpg"].map(entry).to_vec()).unwrap();
        let offsets: Vec<_> = find(&manifest, &images).into_iter().map(|place| place.map(|p| p.offset)).collect();
        assert_eq!(offsets, [Some(1), Some(3), None, Some(2)]);
    }
}
