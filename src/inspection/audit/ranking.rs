//! Ranking of the images of a store by contradiction with their folder classes.

use std::collections::BTreeSet;

use super::audited_image::{AuditedImage, Auditor, CropSet};
use crate::inspection::inspect::{FinishedRow, walk};
use crate::inspection::random_crops::random_crops;
use crate::shared::classes::ClassList;
use crate::shared::error::Error;
use crate::shared::manifest::Manifest;
use crate::shared::monitor::Monitor;
use crate::shared::store::StoreReader;

/// Options of an audit.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditOptions {
    /// Rows to audit.
    pub rows: Vec<usize>,
    /// Number of random crops per image, the same for all images; 0 for none.
    pub crops: usize,
    /// Seed of the random crops.
    pub seed: u64,
}

/// An audit: its images, ranked.
pub struct Audit<'a> {
    pub(super) store: &'a StoreReader,
    pub(super) manifest: &'a Manifest,
    pub(super) classes: ClassList,
    /// Short names of the classes.
    pub(super) names: Vec<String>,
    pub(super) options: AuditOptions,
    /// Highest contradiction first.
    pub(super) images: Vec<AuditedImage>,
    pub(super) failed: usize,
    pub(super) to_do: usize,
}

impl<'a> Audit<'a> {
    /// Examines images on the threads of the current rayon pool.
    ///
    /// # Errors
    /// Returns [`Error::Interrupted`] if a stop was requested, and [`Error::Store`] if no image is labelled or a shard is
    /// damaged.
    pub fn run(
        store: &'a StoreReader,
        manifest: &'a Manifest,
        options: AuditOptions,
        monitor: &dyn Monitor,
    ) -> Result<Self, Error> {
        let classes: ClassList = (&store.info().classes).into();
        let class_of_label = classes.by_folder_class();
        let folder_class = |row: usize| manifest.folder_class(row).and_then(|label| class_of_label.get(label).copied());
        let crops = CropSet::new(store.map_size("audit a store")?, random_crops(options.crops, options.seed));
        let make_auditor = || Auditor::new(store.info().classes.count, &crops);
        let examine = |auditor: &mut Auditor<'_>, row: usize, finished: FinishedRow| match finished {
            FinishedRow::Failed(_) => Ok(None),
            FinishedRow::Labelled(labels) => {
                auditor.audit(row, &labels, folder_class(row)).map(Some).map_err(|error| Error::Store {
                    path: store.path().to_path_buf(),
                    problem: format!("row {row}: {error}").into(),
                })
            }
        };
        let finished = walk(store, &options.rows, monitor, make_auditor, examine)?;
        let to_do = options.rows.len() - finished.len();
        let mut images: Vec<AuditedImage> = finished.into_iter().flatten().collect();
        if images.is_empty() {
            let problem = "cannot audit: no image is labelled yet\n  help: label images with `relabel run`, then audit";
            return Err(Error::Store { path: store.path().to_path_buf(), problem: problem.into() });
        }
        images.sort_by(AuditedImage::by_contradiction);
        let names = (0..store.info().classes.count as u32).map(|class| classes.short_name(class)).collect();
        let failed = options.rows.len() - to_do - images.len();
        Ok(Self { store, manifest, classes, names, options, images, failed, to_do })
    }

    /// Returns the labelled images, highest contradiction first.
    #[must_use]
    pub fn images(&self) -> &[AuditedImage] {
        &self.images
    }

    /// Returns the short name of a class; an empty string if the teacher has no such class.
    #[must_use]
    pub fn name(&self, class: u32) -> &str {
        self.names.get(class as usize).map_or("", String::as_str)
    }
}

/// Returns the rows with one of these folder classes; all rows if `classes` is empty.
///
/// # Errors
/// Returns [`Error::Usage`] if a class has no row.
pub fn rows_of_classes(manifest: &Manifest, list: &ClassList, classes: &[u32]) -> Result<Vec<usize>, Error> {
    if classes.is_empty() {
        return Ok((0..manifest.len()).collect());
    }
    let class_of_label = list.by_folder_class();
    let (mut rows, mut found) = (Vec::new(), BTreeSet::new());
    for row in 0..manifest.len() {
        let folder_class = manifest.folder_class(row).and_then(|label| class_of_label.get(label)).copied();
        if let Some(class) = folder_class.filter(|class| classes.contains(class)) {
            rows.push(row);
            found.insert(class);
        }
    }
    match classes.iter().find(|class| !found.contains(*class)) {
        None => Ok(rows),
        Some(&class) => Err(Error::Usage(format!("no image has the folder class {class}, {}", list.short_name(class)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::manifest::ManifestEntry;

    #[test]
    fn rows_are_selected_by_folder_class() {
        let entry = |(at, label): (usize, &&str)| ManifestEntry {
            path: format!("{at}.jpg"),
            folder_class: Some((*label).to_owned()).filter(|label| !label.is_empty()),
            ..ManifestEntry::default()
        };
        let labels = ["n01440764", "", "n07920052", "n01440764", "elsewhere"];
        let manifest = Manifest::from_entries(labels.iter().enumerate().map(entry).collect()).unwrap();
        let list = ClassList::imagenet_1k();
        let rows = |classes: &[u32]| rows_of_classes(&manifest, &list, classes);
        assert_eq!(rows(&[]).unwrap(), [0, 1, 2, 3, 4]);
        assert_eq!(rows(&[0]).unwrap(), [0, 3]);
        assert_eq!(rows(&[967, 0]).unwrap(), [0, 2, 3]);
        assert!(rows(&[0, 1]).unwrap_err().to_string().contains("the folder class 1, goldfish"));
    }
}
