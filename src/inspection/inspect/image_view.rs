//! One labelled image, prepared for display as text or as a picture.

use std::collections::BTreeMap;

use super::cell_probs::CellProbs;
use super::regions::{Object, objects};
use super::statistics::{Examiner, ImageStatistics, StatisticsError, Verdict};
use crate::shared::classes::ClassList;
use crate::shared::geometry::UnitBox;
use crate::shared::label_map::ImageLabels;
use crate::shared::manifest::Manifest;
use crate::training::pool::SparseTarget;

/// A labelled image with its statistics.
#[derive(Clone, Debug)]
pub struct ImageView {
    /// Row in the manifest.
    pub row: usize,
    /// Id of the image.
    pub id: String,
    /// Path below the source.
    pub path: String,
    /// Folder of the image: the manifest's `label`.
    pub folder: Option<String>,
    /// Folder class of the image; `None` if the folder is not a class of the teacher.
    pub folder_class: Option<u32>,
    /// Label map and prediction.
    pub labels: ImageLabels,
    /// Statistics of the label map.
    pub statistics: ImageStatistics,
    /// Objects of the label map.
    pub objects: Vec<Object>,
    /// The requested crop and its target.
    pub crop: Option<(UnitBox, SparseTarget)>,
}

impl ImageView {
    /// Examines a labelled row.
    ///
    /// # Errors
    /// Returns an error if the map contains a class id that the teacher does not have.
    pub fn new(
        manifest: &Manifest,
        row: usize,
        labels: ImageLabels,
        classes: &ClassList,
        crop: Option<UnitBox>,
    ) -> Result<Self, StatisticsError> {
        let mut examiner = Examiner::new(classes.entries().len());
        let folder = manifest.folder_class(row).map(str::to_owned);
        let folder_class = folder.as_ref().and_then(|folder| classes.by_folder_class().get(folder).copied());
        let statistics = examiner.statistics(&labels.map, folder_class)?;
        let crop = match crop {
            Some(unit_box) => Some((unit_box, examiner.pool(&labels.map, unit_box)?)),
            None => None,
        };
        let objects = objects(&labels.map, &CellProbs::new(&labels.map, examiner.class_count()));
        let (id, path) = (manifest.id(row).to_owned(), manifest.path(row).to_owned());
        Ok(Self { row, id, path, folder, folder_class, labels, statistics, objects, crop })
    }

    /// Describes how folder and map compare; `None` if the image is in no folder.
    #[must_use]
    pub fn verdict_text(&self, classes: &ClassList) -> Option<String> {
        let folder = self.folder.as_ref()?;
        let name = self.folder_class.map(|class| classes.short_name(class)).unwrap_or_default();
        let folder_and_name =
            if name == *folder { format!("folder {folder}") } else { format!("folder {folder} ({name})") };
        Some(match self.statistics.verdict {
            Verdict::Agrees => format!("{folder_and_name}: the map agrees"),
            Verdict::Differs => format!("{folder_and_name}: the map disagrees, but some cells contain this class"),
            Verdict::Absent => format!("{folder_and_name}: the map disagrees, no cell contains this class"),
            Verdict::NotCompared => format!("folder {folder}: not a class of the teacher"),
        })
    }

    /// Returns the classes that are worth showing, at most `count`: those with at least 1 % in a target, highest
    /// probability first, then those of the objects, largest first. The folder class is always among them.
    #[must_use]
    pub fn main_classes(&self, count: usize) -> Vec<u32> {
        let targets = [Some(&self.statistics.target), self.crop.as_ref().map(|(_, target)| target)];
        let mut best_probs: BTreeMap<u32, f32> = BTreeMap::new();
        for target in targets.into_iter().flatten() {
            for (&class, &prob) in target.classes.iter().zip(&target.probs) {
                let best = best_probs.entry(class).or_default();
                *best = best.max(prob);
            }
        }
        let mut ranked: Vec<(u32, f32)> = best_probs.into_iter().collect();
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
        let probable = ranked.iter().enumerate().filter(|(at, (_, prob))| *at == 0 || *prob >= MIN_PROB);
        let mut objects = self.objects.clone();
        objects.sort_by_key(|object| std::cmp::Reverse(object.cells));
        let mut classes = Vec::new();
        for class in probable.map(|(_, (class, _))| *class).chain(objects.iter().map(|object| object.class)) {
            if !classes.contains(&class) && classes.len() < count {
                classes.push(class);
            }
        }
        if let Some(class) = self.folder_class.filter(|class| !classes.contains(class)) {
            classes.truncate(count.saturating_sub(1));
            classes.push(class);
        }
        classes
    }
}

/// Minimum probability of a class in [`ImageView::main_classes`].
const MIN_PROB: f32 = 0.01;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::classes::ClassEntry;
    use crate::shared::geometry::MapSize;
    use crate::shared::label_map::{ImagePrediction, LabelMap, ScoreRounding};
    use crate::shared::manifest::ManifestEntry;

    fn view(label: Option<&str>) -> ImageView {
        let size = MapSize::new(1, 2).unwrap();
        let map = LabelMap::from_cells(&[9.0, 1.0, 8.0, 2.0], &[3, 5, 4, 5], 2, size, ScoreRounding::Float16).unwrap();
        let labels = ImageLabels { map, prediction: ImagePrediction::from_ranks(&[0.9, 0.1], &[3, 4]).unwrap() };
        let path = label.map_or("x.jpg".into(), |label| format!("{label}/x.jpg"));
        let entry = ManifestEntry { path, folder_class: label.map(str::to_owned), ..ManifestEntry::default() };
        let manifest = Manifest::from_entries(vec![entry]).unwrap();
        let right = UnitBox::new(0.6, 0.0, 1.0, 1.0).unwrap();
        ImageView::new(&manifest, 0, labels, &classes(), Some(right)).unwrap()
    }

    fn classes() -> ClassList {
        let entry = |class: usize| ClassEntry { id: format!("n{class}"), name: format!("thing {class}, a thing") };
        ClassList::from_entries("test".into(), (0..10).map(entry).collect())
    }

    #[test]
    fn the_folder_class_is_compared_with_the_map() {
        let text = |label| view(label).verdict_text(&classes());
        assert_eq!(text(None), None);
        for (label, end) in [
            ("n3", "(thing 3): the map agrees"),
            ("n5", "(thing 5): the map disagrees, but some cells contain this class"),
            ("n9", "(thing 9): the map disagrees, no cell contains this class"),
            ("cats", "cats: not a class of the teacher"),
        ] {
            assert!(text(Some(label)).unwrap().ends_with(end), "{label}: {:?}", text(Some(label)));
        }
    }

    #[test]
    fn main_classes_are_probable_ones_then_objects_and_always_the_folder_class() {
        assert_eq!(view(None).main_classes(2), [4, 3], "the crop shows class 4 alone");
        let mut other = view(None);
        other.objects =
            vec![Object { class: 8, cells: 1 }, Object { class: 7, cells: 2 }, Object { class: 4, cells: 9 }];
        assert_eq!(other.main_classes(5), [4, 3, 5, 7, 8]);
        assert_eq!(view(Some("n9")).main_classes(2), [4, 9]);
        assert_eq!(view(Some("n4")).main_classes(3), [4, 3, 5]);
    }
}
