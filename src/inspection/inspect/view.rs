//! One image as it is shown: in words, as a picture, on a page.

use std::collections::BTreeMap;

use super::cells::CellProbs;
use super::figures::{Examiner, Figures, Verdict};
use super::regions::{Object, objects};
use crate::shared::classes::ClassList;
use crate::shared::geometry::UnitBox;
use crate::shared::label_map::ImageLabels;
use crate::shared::manifest::Manifest;
use crate::training::pool::SparseTarget;

/// Everything that is known of one labelled image.
#[derive(Clone, Debug)]
pub struct View {
    /// Its row.
    pub row: usize,
    /// Its id.
    pub id: String,
    /// Its path below the source.
    pub path: String,
    /// What it is filed under, if anything.
    pub label: Option<String>,
    /// The class that this means, if it is one of the teacher's.
    pub label_class: Option<u32>,
    /// Its labels.
    pub labels: ImageLabels,
    /// What they say.
    pub figures: Figures,
    /// Connected cells that are sure of one class.
    pub objects: Vec<Object>,
    /// A crop and its pooled label, where one was asked for.
    pub crop: Option<(UnitBox, SparseTarget)>,
}

impl View {
    /// Of a labelled row.
    ///
    /// # Errors
    /// In words, when the map holds a class that the teacher does not have.
    pub fn new(
        manifest: &Manifest,
        row: usize,
        labels: ImageLabels,
        classes: &ClassList,
        crop: Option<UnitBox>,
    ) -> Result<Self, String> {
        let mut examiner = Examiner::new(classes.entries().len());
        let label = manifest.label(row).map(str::to_owned);
        let label_class = label.as_ref().and_then(|label| classes.by_label().get(label).copied());
        let figures = examiner.figures(&labels.map, label_class)?;
        let crop =
            crop.map(|unit_box| Ok::<_, String>((unit_box, examiner.pool(&labels.map, unit_box)?))).transpose()?;
        let objects = objects(&labels.map, &CellProbs::new(&labels.map, examiner.class_count()));
        let (id, path) = (manifest.id(row).to_owned(), manifest.path(row).to_owned());
        Ok(Self { row, id, path, label, label_class, labels, figures, objects, crop })
    }

    /// How folder and map go together, in words; `None` where the image is in no folder.
    #[must_use]
    pub fn verdict_in_words(&self, classes: &ClassList) -> Option<String> {
        let label = self.label.as_ref()?;
        let name = self.label_class.map(|class| classes.short_name(class)).unwrap_or_default();
        let filed = if name == *label { format!("folder {label}") } else { format!("folder {label} ({name})") };
        Some(match self.figures.verdict {
            Verdict::Agrees => format!("{filed}: the map agrees"),
            Verdict::Differs => format!("{filed}: the map disagrees, though some cells hold this class"),
            Verdict::Absent => format!("{filed}: the map disagrees, no cell holds this class"),
            Verdict::NotCompared => format!("folder {label}: no class that the teacher knows"),
        })
    }

    /// Classes that matter, at most `count`: those of the pooled labels with at least 1 %, best first, then those that some
    /// cells are sure of, largest first; and the folder's.
    #[must_use]
    pub fn classes_that_matter(&self, count: usize) -> Vec<u32> {
        let pooled = [Some(&self.figures.whole), self.crop.as_ref().map(|(_, pooled)| pooled)];
        let mut best_probs: BTreeMap<u32, f32> = BTreeMap::new();
        for target in pooled.into_iter().flatten() {
            for (&class, &prob) in target.classes.iter().zip(&target.probs) {
                let best = best_probs.entry(class).or_default();
                *best = best.max(prob);
            }
        }
        let mut ranked: Vec<(u32, f32)> = best_probs.into_iter().collect();
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
        let pooled = ranked.iter().enumerate().filter(|(at, (_, prob))| *at == 0 || *prob >= MATTERS);
        let mut objects = self.objects.clone();
        objects.sort_by_key(|object| std::cmp::Reverse(object.cells));
        let mut classes = Vec::new();
        for class in pooled.map(|(_, (class, _))| *class).chain(objects.iter().map(|object| object.class)) {
            if !classes.contains(&class) && classes.len() < count {
                classes.push(class);
            }
        }
        if let Some(class) = self.label_class.filter(|class| !classes.contains(class)) {
            classes.truncate(count.saturating_sub(1));
            classes.push(class);
        }
        classes
    }
}

/// Least probability in a pooled label of a class that matters.
const MATTERS: f32 = 0.01;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::classes::ClassEntry;
    use crate::shared::geometry::MapSize;
    use crate::shared::label_map::{ImagePrediction, LabelMap, ScoreRounding};
    use crate::shared::manifest::Entry;

    fn view(label: Option<&str>) -> View {
        let size = MapSize::new(1, 2).unwrap();
        let map = LabelMap::from_cells(&[9.0, 1.0, 8.0, 2.0], &[3, 5, 4, 5], 2, size, ScoreRounding::Float16).unwrap();
        let labels = ImageLabels { map, prediction: ImagePrediction::from_ranks(&[0.9, 0.1], &[3, 4]).unwrap() };
        let path = label.map_or("x.jpg".into(), |label| format!("{label}/x.jpg"));
        let entry = Entry { path, label: label.map(str::to_owned), ..Entry::default() };
        let manifest = Manifest::from_entries(vec![entry]).unwrap();
        let right = UnitBox::new(0.6, 0.0, 1.0, 1.0).unwrap();
        View::new(&manifest, 0, labels, &classes(), Some(right)).unwrap()
    }

    fn classes() -> ClassList {
        let entry = |class: usize| ClassEntry { id: format!("n{class}"), name: format!("thing {class}, a thing") };
        ClassList::from_entries("test".into(), (0..10).map(entry).collect())
    }

    #[test]
    fn the_folder_is_held_against_the_map() {
        let words = |label| view(label).verdict_in_words(&classes());
        assert_eq!(words(None), None);
        for (label, end) in [
            ("n3", "(thing 3): the map agrees"),
            ("n5", "(thing 5): the map disagrees, though some cells hold this class"),
            ("n9", "(thing 9): the map disagrees, no cell holds this class"),
            ("cats", "cats: no class that the teacher knows"),
        ] {
            assert!(words(Some(label)).unwrap().ends_with(end), "{label}: {:?}", words(Some(label)));
        }
    }

    #[test]
    fn classes_matter_by_probability_or_sure_cells_and_the_folders_always_does() {
        assert_eq!(view(None).classes_that_matter(2), [4, 3], "the crop shows class 4 alone");
        let mut other = view(None);
        other.objects =
            vec![Object { class: 8, cells: 1 }, Object { class: 7, cells: 2 }, Object { class: 4, cells: 9 }];
        assert_eq!(other.classes_that_matter(5), [4, 3, 5, 7, 8]);
        assert_eq!(view(Some("n9")).classes_that_matter(2), [4, 9]);
        assert_eq!(view(Some("n4")).classes_that_matter(3), [4, 3, 5]);
    }
}
