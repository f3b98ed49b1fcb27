//! Comparison of the images of each folder class.

use std::collections::BTreeMap;

use serde::Serialize;

use super::cell_figures::CellFigures;
use super::compared_image::ComparedImage;
use super::comparison::Comparison;

/// Comparison of the images of one folder class.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FolderClassComparison {
    /// Folder of the images: the manifest's `label`.
    pub folder: String,
    /// Class id in the first store; `None` if the folder is not a class of the teacher.
    pub class: Option<u32>,
    /// Name of the class.
    pub name: Option<String>,
    /// Number of compared images.
    pub images: usize,
    /// Number of identical images.
    pub identical: usize,
    /// Mean agreement of the images.
    pub agreement: f32,
    /// See [`CellFigures::rank_overlap`]; `None` if the maps have different sizes, as are all figures of cells.
    pub rank_overlap: Option<f32>,
    /// See [`CellFigures::only_one_share`].
    pub only_in_one: Option<f32>,
    /// Mean absolute difference of scores.
    pub score_difference: Option<f32>,
    /// Largest absolute difference of scores.
    pub max_score_difference: Option<f32>,
    /// Fraction of images with the same best class of the prediction.
    pub same_prediction: f32,
    /// Mean total variation distance of the predictions.
    pub prediction_distance: f32,
    /// Fraction of crops whose target has the same best class.
    pub same_target: f32,
    /// Mean total variation distance of the targets.
    pub target_distance: f32,
    /// Largest total variation distance of the targets.
    pub max_target_distance: f32,
}

/// Sums over images.
#[derive(Clone, Copy, Debug, Default)]
struct FolderSums {
    images: usize,
    identical: usize,
    agreement: f64,
    ranks: [f64; 2],
    kept: [f64; 2],
    scores: [f64; 2],
    max_score: f32,
    has_cells: bool,
    same_prediction: usize,
    prediction_distance: f64,
    same_target: f64,
    target_distance: f64,
    max_target_distance: f32,
}

impl FolderSums {
    fn add(&mut self, image: &ComparedImage) {
        self.images += 1;
        self.identical += usize::from(image.is_identical);
        self.agreement += image.agreement();
        if let Some(cells) = &image.cells {
            self.add_cells(cells);
        }
        self.same_prediction += usize::from(image.same_prediction);
        self.prediction_distance += f64::from(image.prediction_distance);
        self.same_target += f64::from(image.crops.same_best);
        self.target_distance += f64::from(image.crops.mean_distance);
        self.max_target_distance = self.max_target_distance.max(image.crops.max_distance);
    }

    fn add_cells(&mut self, cells: &CellFigures) {
        let add = |sums: &mut [f64; 2], part: f64, of: u32| {
            sums[0] += part;
            sums[1] += f64::from(of);
        };
        add(&mut self.ranks, cells.shared_ranks.into(), cells.ranks);
        add(&mut self.kept, cells.only_one.into(), cells.shared + cells.only_one);
        add(&mut self.scores, cells.score_sum, cells.shared);
        self.max_score = self.max_score.max(cells.score_max);
        self.has_cells = true;
    }
}

impl Comparison<'_> {
    /// Compares the images of each folder class, in the order of folder names. Images without a folder are left out.
    #[must_use]
    pub fn folder_classes(&self) -> Vec<FolderClassComparison> {
        let manifest = self.sides[0].manifest;
        let class_of_label = self.classes.by_folder_class();
        let mut sums: BTreeMap<&str, FolderSums> = BTreeMap::new();
        for image in &self.images {
            if let Some(folder) = manifest.folder_class(image.row_a) {
                sums.entry(folder).or_default().add(image);
            }
        }
        let compared = |(folder, sums): (&str, FolderSums)| {
            let class = class_of_label.get(folder).copied();
            let mean = |sum: f64| (sum / sums.images as f64) as f32;
            let share = |[part, of]: [f64; 2]| (of > 0.0).then(|| (part / of) as f32);
            FolderClassComparison {
                folder: folder.to_owned(),
                class,
                name: class.map(|class| self.classes.short_name(class)),
                images: sums.images,
                identical: sums.identical,
                agreement: mean(sums.agreement),
                rank_overlap: share(sums.ranks),
                only_in_one: share(sums.kept),
                score_difference: share(sums.scores),
                max_score_difference: sums.has_cells.then_some(sums.max_score),
                same_prediction: mean(sums.same_prediction as f64),
                prediction_distance: mean(sums.prediction_distance),
                same_target: mean(sums.same_target),
                target_distance: mean(sums.target_distance),
                max_target_distance: sums.max_target_distance,
            }
        };
        sums.into_iter().map(compared).collect()
    }
}
