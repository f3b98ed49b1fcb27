//! Every image of a store, ranked by how much its map contradicts its folder's class. `docs/guide/audit.md` explains
//! each figure.

mod crops;
mod figures;
mod classes;
mod summary;
mod columns;
mod pred_probs;
mod files;

use std::collections::BTreeSet;

use crate::inspection::inspect::{Seen, walk};
use crate::shared::classes::ClassList;
use crate::shared::error::Error;
use crate::shared::manifest::Manifest;
use crate::shared::monitor::Monitor;
use crate::shared::store::StoreReader;

use figures::{Auditor, RandomCrops};

pub use classes::{ClassFigures, Confusion};
pub use crops::{iou, random_crops};
pub use figures::{AuditedImage, ClassProb, CropFigures, LabelFigures};
pub use files::{AuditFile, Drafts};
pub use summary::{Contradiction, CropSummary, Share, Summary};

/// What an audit looks at.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// Rows to examine, in order.
    pub rows: Vec<usize>,
    /// Random crops of each image, the same for all; 0 for none.
    pub crops: usize,
    /// Which random crops.
    pub seed: u64,
}

/// What was found.
pub struct Audit<'a> {
    store: &'a StoreReader,
    manifest: &'a Manifest,
    classes: ClassList,
    /// Short names of the classes.
    names: Vec<String>,
    request: Request,
    /// From the one that contradicts its folder most.
    images: Vec<AuditedImage>,
    failed: usize,
    to_do: usize,
}

impl<'a> Audit<'a> {
    /// Examines images on the threads of the current rayon pool.
    ///
    /// # Errors
    /// [`Error::Interrupted`] when a stop was asked for; when no image is labelled, or a shard is damaged.
    pub fn run(
        store: &'a StoreReader,
        manifest: &'a Manifest,
        request: Request,
        monitor: &dyn Monitor,
    ) -> Result<Self, Error> {
        let classes: ClassList = (&store.info().classes).into();
        let class_of_label = classes.by_label();
        let class_of = |row: usize| manifest.label(row).and_then(|label| class_of_label.get(label).copied());
        let crops = RandomCrops::new(store.info().map_size, random_crops(request.crops, request.seed));
        let make = || Auditor::new(store.info().classes.count, &crops);
        let examine = |auditor: &mut Auditor<'_>, row: usize, seen: Seen| match seen {
            Seen::Failed(_) => Ok(None),
            Seen::Labelled(labels) => auditor.audit(row, &labels, class_of(row)).map(Some).map_err(|problem| {
                Error::Store { path: store.path().to_path_buf(), problem: format!("row {row}: {problem}").into() }
            }),
        };
        let seen = walk(store, &request.rows, monitor, make, examine)?;
        let to_do = request.rows.len() - seen.len();
        let mut images: Vec<AuditedImage> = seen.into_iter().flatten().collect();
        if images.is_empty() {
            let problem = "none of its images is labelled yet, so that there is nothing to audit. `relabel run` labels \
                           them, `relabel status` says how far it is";
            return Err(Error::Store { path: store.path().to_path_buf(), problem: problem.to_owned().into() });
        }
        images.sort_by(AuditedImage::by_contradiction);
        let names = (0..store.info().classes.count as u32).map(|class| classes.short_name(class)).collect();
        let failed = request.rows.len() - to_do - images.len();
        Ok(Self { store, manifest, classes, names, request, images, failed, to_do })
    }

    /// The images that were examined, from the one that contradicts its folder most.
    #[must_use]
    pub fn images(&self) -> &[AuditedImage] {
        &self.images
    }

    /// The name of a class; nothing where the teacher has no such class.
    #[must_use]
    pub fn name(&self, class: u32) -> &str {
        self.names.get(class as usize).map_or("", String::as_str)
    }
}

/// Rows whose folders are of one of these classes; all rows where none is named.
///
/// # Errors
/// [`Error::Usage`] when a class has no row.
pub fn rows_of_classes(manifest: &Manifest, list: &ClassList, classes: &[u32]) -> Result<Vec<usize>, Error> {
    if classes.is_empty() {
        return Ok((0..manifest.len()).collect());
    }
    let class_of_label = list.by_label();
    let (mut rows, mut found) = (Vec::new(), BTreeSet::new());
    for row in 0..manifest.len() {
        let class = manifest.label(row).and_then(|label| class_of_label.get(label)).copied();
        if let Some(class) = class.filter(|class| classes.contains(class)) {
            rows.push(row);
            found.insert(class);
        }
    }
    match classes.iter().find(|class| !found.contains(*class)) {
        None => Ok(rows),
        Some(&class) => Err(Error::Usage(format!("no image is filed under class {class}, {}", list.short_name(class)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::manifest::Entry;

    #[test]
    fn rows_are_chosen_by_their_folders_class() {
        let entry = |(at, label): (usize, &&str)| Entry {
            path: format!("{at}.jpg"),
            label: Some((*label).to_owned()).filter(|label| !label.is_empty()),
            ..Entry::default()
        };
        let labels = ["n01440764", "", "n07920052", "n01440764", "elsewhere"];
        let manifest = Manifest::from_entries(labels.iter().enumerate().map(entry).collect()).unwrap();
        let list = ClassList::imagenet_1k();
        let rows = |classes: &[u32]| rows_of_classes(&manifest, &list, classes);
        assert_eq!(rows(&[]).unwrap(), [0, 1, 2, 3, 4]);
        assert_eq!(rows(&[0]).unwrap(), [0, 3]);
        assert_eq!(rows(&[967, 0]).unwrap(), [0, 2, 3]);
        assert!(rows(&[0, 1]).unwrap_err().to_string().contains("under class 1, goldfish"));
    }
}
