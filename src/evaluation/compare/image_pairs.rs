//! The images that two stores have in common.

use serde::Serialize;

use crate::shared::error::Error;
use crate::shared::manifest::{Manifest, RowIndex};
use crate::shared::numbers::thousands;
use crate::shared::printable::{printable, printable_path};
use crate::shared::store::StoreReader;

/// Rows of the images that two stores have in common: those with the same id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImagePairs {
    pub(super) rows: Vec<(usize, usize)>,
    pub(super) same_manifest: bool,
    pub(super) only_in: [UnpairedImages; 2],
}

/// Images of one store that the other one does not have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct UnpairedImages {
    /// Number of images.
    pub images: usize,
    /// Id of the first one.
    pub example: Option<String>,
}

impl ImagePairs {
    /// Finds the common images of two stores, in the order of the first. If the manifests are the same, rows match;
    /// otherwise ids do.
    ///
    /// # Errors
    /// Returns [`Error::Store`] if no image is in both.
    pub fn new(a: (&StoreReader, &Manifest), b: (&StoreReader, &Manifest)) -> Result<Self, Error> {
        let ((a, a_manifest), (b, b_manifest)) = (a, b);
        if a.info().manifest_sha256 == b.info().manifest_sha256 {
            let rows = (0..a_manifest.len()).map(|row| (row, row)).collect();
            return Ok(Self {
                rows,
                same_manifest: true,
                only_in: [UnpairedImages::default(), UnpairedImages::default()],
            });
        }
        let pairs = Self::by_id(a_manifest, b_manifest);
        if pairs.rows.is_empty() {
            let [only_a, only_b] = &pairs.only_in;
            let id = |only: &UnpairedImages| printable(only.example.as_deref().unwrap_or_default()).into_owned();
            return Err(Error::Store {
                path: b.path().to_path_buf(),
                problem: format!(
                    "cannot compare it (B) with {} (A): no image is in both: the {} images in A have ids such as `{}`, the {} in B \
                     such as `{}`\n  help: compare stores of the same images; images are matched by id",
                    printable_path(a.path()),
                    thousands(only_a.images),
                    id(only_a),
                    thousands(only_b.images),
                    id(only_b)
                )
                .into(),
            });
        }
        Ok(pairs)
    }

    fn by_id(a: &Manifest, b: &Manifest) -> Self {
        let index = RowIndex::new(b);
        let (mut rows, mut only_a) = (Vec::new(), UnpairedImages::default());
        let mut is_paired = vec![false; b.len()];
        for row_a in 0..a.len() {
            if let Some(row_b) = index.row(b, a.id(row_a)) {
                rows.push((row_a, row_b));
                is_paired[row_b] = true;
            } else {
                only_a.add(a.id(row_a));
            }
        }
        let mut only_b = UnpairedImages::default();
        for row in (0..b.len()).filter(|&row| !is_paired[row]) {
            only_b.add(b.id(row));
        }
        Self { rows, same_manifest: false, only_in: [only_a, only_b] }
    }

    /// Number of common images.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Returns whether the stores have zero images in common.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

impl UnpairedImages {
    fn add(&mut self, id: &str) {
        self.images += 1;
        self.example.get_or_insert_with(|| id.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::manifest::ManifestEntry;

    #[test]
    fn images_are_matched_by_id() {
        let manifest = |paths: &[&str]| {
            let entry = |path: &&str| ManifestEntry { path: (*path).to_owned(), ..ManifestEntry::default() };
            Manifest::from_entries(paths.iter().map(entry).collect()).unwrap()
        };
        let pairs = ImagePairs::by_id(
            &manifest(&["a/1.jpg", "a/2.jpg", "b/3.jpg"]),
            &manifest(&["b/3.png", "c/4.jpg", "a/1.jpg"]),
        );
        assert_eq!(pairs.rows, [(0, 2), (2, 0)]);
        let only = |example: &str| UnpairedImages { images: 1, example: Some(example.into()) };
        assert_eq!(pairs.only_in, [only("a/2"), only("c/4")]);
    }
}
