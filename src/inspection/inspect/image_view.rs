//! One labelled image, prepared for display as text or as a picture.

use std::collections::BTreeMap;

use super::cell_probs::CellProbs;
use super::regions::{Object, objects};
use super::statistics::{Examiner, ImageStatistics, StatisticsError, Verdict};
use crate::shared::classes::ClassList;
use crate::shared::geometry::UnitBox;
use crate::shared::label_map::{ImageLabels, ImagePrediction, LabelMap, TileLabels};
use crate::shared::manifest::Manifest;
use crate::shared::store::StoreInfo;
use crate::shared::tiles::Tiles;
use crate::training::labels::{CropPooling, PoolingKind};
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
    /// The label map; `None` if the store has predictions only.
    pub map: Option<LabelMap>,
    /// The teacher's prediction for the entire image.
    pub prediction: ImagePrediction,
    /// The tiles; `None` if the store has none.
    pub tiles: Option<TilesView>,
    /// Statistics of the labels.
    pub statistics: ImageStatistics,
    /// Objects of the label map; empty without one.
    pub objects: Vec<Object>,
    /// The requested crop and its targets.
    pub crop: Option<CropView>,
}

/// The tiles of an image.
#[derive(Clone, Debug)]
pub struct TilesView {
    /// Their boxes and settings.
    pub tiles: Tiles,
    /// Their labels.
    pub labels: Vec<TileLabels>,
}

impl TilesView {
    /// Returns the box and the labels of each tile.
    pub fn iter(&self) -> impl Iterator<Item = (UnitBox, &TileLabels)> {
        self.tiles.boxes().iter().copied().zip(&self.labels)
    }

    /// Returns the number of tiles with this best class.
    #[must_use]
    pub fn count_of_best(&self, class: u32) -> usize {
        self.labels.iter().filter(|tile| tile.prediction.classes().first() == Some(&class)).count()
    }
}

/// A crop, and its targets by the kinds of pooling that were requested.
#[derive(Clone, Debug)]
pub struct CropView {
    /// The crop.
    pub unit_box: UnitBox,
    /// The targets, in the order of the request.
    pub targets: Vec<(PoolingKind, SparseTarget)>,
}

/// A crop to view, and the kinds of pooling to compute its targets by.
#[derive(Clone, Debug)]
pub struct CropRequest {
    /// The crop.
    pub unit_box: UnitBox,
    /// Kinds of pooling with the parameters of the store.
    pub poolings: Vec<(PoolingKind, CropPooling)>,
}

/// Prepares images of one store for display.
#[derive(Debug)]
pub struct ImageViewer<'a> {
    manifest: &'a Manifest,
    classes: &'a ClassList,
    tiles: Option<&'a Tiles>,
    examiner: Examiner,
}

impl<'a> ImageViewer<'a> {
    /// Creates a viewer for the images of a store.
    #[must_use]
    pub fn new(info: &'a StoreInfo, manifest: &'a Manifest, classes: &'a ClassList) -> Self {
        Self { manifest, classes, tiles: info.tiles.as_ref(), examiner: Examiner::of_store(info) }
    }

    /// Examines the labels of a row.
    ///
    /// # Errors
    /// Returns an error if the labels contain a class id that the teacher does not have.
    pub fn view(
        &mut self,
        row: usize,
        labels: ImageLabels,
        crop: Option<&CropRequest>,
    ) -> Result<ImageView, StatisticsError> {
        let folder = self.manifest.folder_class(row).map(str::to_owned);
        let folder_class = folder.as_ref().and_then(|folder| self.classes.by_folder_class().get(folder).copied());
        let statistics = self.examiner.statistics(&labels, folder_class)?;
        let crop = crop.map(|crop| self.pool(&labels, crop)).transpose()?;
        let objects_of = |map: &LabelMap| objects(map, &CellProbs::new(map, self.examiner.class_count()));
        let ImageLabels { map, prediction, tiles: tile_labels } = labels;
        Ok(ImageView {
            row,
            id: self.manifest.id(row).to_owned(),
            path: self.manifest.path(row).to_owned(),
            folder,
            folder_class,
            objects: map.as_ref().map(objects_of).unwrap_or_default(),
            map,
            prediction,
            tiles: self.tiles.map(|tiles| TilesView { tiles: tiles.clone(), labels: tile_labels }),
            statistics,
            crop,
        })
    }

    fn pool(&self, labels: &ImageLabels, crop: &CropRequest) -> Result<CropView, StatisticsError> {
        let target = |&(kind, pooling): &(PoolingKind, CropPooling)| {
            Ok((kind, self.examiner.pool(labels, crop.unit_box, pooling)?))
        };
        let targets = crop.poolings.iter().map(target).collect::<Result<_, StatisticsError>>()?;
        Ok(CropView { unit_box: crop.unit_box, targets })
    }
}

impl ImageView {
    /// Describes how folder and labels compare; `None` if the image is in no folder.
    #[must_use]
    pub fn verdict_text(&self, classes: &ClassList) -> Option<String> {
        let folder = self.folder.as_ref()?;
        let name = self.folder_class.map(|class| classes.short_name(class)).unwrap_or_default();
        let folder_and_name =
            if name == *folder { format!("folder {folder}") } else { format!("folder {folder} ({name})") };
        let (what, elsewhere, nowhere) = match self.map {
            Some(_) => ("map", "but some cells contain this class", "no cell contains this class"),
            None => ("target", "but some predictions contain this class", "no prediction contains this class"),
        };
        Some(match self.statistics.verdict {
            Verdict::Agrees => format!("{folder_and_name}: the {what} agrees"),
            Verdict::Differs => format!("{folder_and_name}: the {what} disagrees, {elsewhere}"),
            Verdict::Absent => format!("{folder_and_name}: the {what} disagrees, {nowhere}"),
            Verdict::NotCompared => format!("folder {folder}: not a class of the teacher"),
        })
    }

    /// Returns the classes that are worth a heat map, at most `count`: those with at least 1 % in a target of LabelPooling,
    /// highest probability first, then those of the objects, largest first. The folder class is always among them.
    #[must_use]
    pub fn main_classes(&self, count: usize) -> Vec<u32> {
        let targets = self.crop.iter().flat_map(|crop| &crop.targets);
        let of_crop = targets.filter(|(kind, _)| *kind == PoolingKind::Paper).map(|(_, target)| target);
        let mut best_probs: BTreeMap<u32, f32> = BTreeMap::new();
        for target in std::iter::once(&self.statistics.target).chain(of_crop) {
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
    use crate::training::pool::LabelSources;

    fn view(label: Option<&str>) -> ImageView {
        let size = MapSize::new(1, 2).unwrap();
        let map = LabelMap::from_cells(&[9.0, 1.0, 8.0, 2.0], &[3, 5, 4, 5], 2, size, ScoreRounding::Float16).unwrap();
        let labels = ImageLabels::new(map, ImagePrediction::from_ranks(&[0.9, 0.1], &[3, 4]).unwrap());
        let path = label.map_or("x.jpg".into(), |label| format!("{label}/x.jpg"));
        let entry = ManifestEntry { path, folder_class: label.map(str::to_owned), ..ManifestEntry::default() };
        let manifest = Manifest::from_entries(vec![entry]).unwrap();
        let crop = CropRequest {
            unit_box: UnitBox::new(0.6, 0.0, 1.0, 1.0).unwrap(),
            poolings: vec![(PoolingKind::Paper, CropPooling::default())],
        };
        let examiner = Examiner::new(10, LabelSources::new(true, None));
        let mut viewer = ImageViewer { manifest: &manifest, classes: &classes(), tiles: None, examiner };
        viewer.view(0, labels, Some(&crop)).unwrap()
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
