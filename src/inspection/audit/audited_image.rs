//! Comparison of one image with its folder class.

use std::cmp::Ordering;

use crate::inspection::inspect::{Examiner, StatisticsError, Verdict};
use crate::inspection::random_crops::iou;
use crate::shared::geometry::{MapSize, UnitBox};
use crate::shared::label_map::{ImageLabels, LabelMap};
use crate::training::pool::{CropPooler, CropWeights, LabelSources, SparseTarget};

/// Audit of one image. Its id and folder stay in the manifest, as a data set can have millions of images.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditedImage {
    /// Row in the manifest.
    pub row: usize,
    /// Comparison of the target with the folder class.
    pub verdict: Verdict,
    /// Best class of the target of the full image.
    pub best: ClassProb,
    /// Best class of the prediction.
    pub teacher: ClassProb,
    /// Number of classes that are the best in at least one cell.
    pub classes: u32,
    /// Number of [objects](crate::inspection::inspect::Object).
    pub objects: u32,
    /// Entropy of the target in nats.
    pub entropy: f32,
    /// Statistics of the folder class; `None` without one.
    pub folder: Option<FolderClassStatistics>,
}

/// A class and its probability.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClassProb {
    /// Class id.
    pub class: u32,
    /// Probability of the class.
    pub prob: f32,
}

/// Statistics of the folder class of an image.
#[derive(Clone, Debug, PartialEq)]
pub struct FolderClassStatistics {
    /// The folder class.
    pub class: u32,
    /// Probability of the folder class in the target of the full image.
    pub prob: f32,
    /// Probability of the best other class minus that of the folder class, from -1 to 1. Only classes that some cell
    /// contains count as others, so it is above 0 only if a different class is the best.
    pub contradiction: f32,
    /// Fraction of cells whose best class is the folder class.
    pub cells: f32,
    /// Statistics of random crops; `None` without crops.
    pub crops: Option<CropStatistics>,
}

/// Statistics of the folder class over the random crops of an image.
#[derive(Clone, Debug, PartialEq)]
pub struct CropStatistics {
    /// Mean probability of the folder class.
    pub folder_class_prob: f32,
    /// Fraction of crops whose best class is a different class.
    pub wrong: f32,
    /// Fraction of crops that do not overlap the region of the folder class: the bounding box of the cells whose best
    /// class it is.
    pub miss: f32,
    /// Mean intersection over union with that region.
    pub iou: f32,
    /// Mean probability of the folder class, weighted by the overlap of each crop; `None` if no crop overlaps.
    pub iou_folder_class_prob: Option<f32>,
}

/// Audits images one by one; use one per thread.
pub(super) struct Auditor<'a> {
    examiner: Examiner,
    crops: &'a CropSet,
    pooler: CropPooler<'a>,
}

/// The crops of every image, with their pooling weights.
pub(super) struct CropSet {
    boxes: Vec<UnitBox>,
    weights: CropWeights,
}

impl CropSet {
    /// Prepares crops for maps of one size.
    pub(super) fn new(size: MapSize, boxes: Vec<UnitBox>) -> Self {
        Self { weights: CropWeights::new(size, &boxes), boxes }
    }
}

impl<'a> Auditor<'a> {
    /// Creates an auditor for maps of a teacher with `class_count` classes.
    pub(super) fn new(class_count: usize, crops: &'a CropSet) -> Self {
        let pooler = CropPooler::new(class_count, &crops.weights);
        Self { examiner: Examiner::new(class_count, LabelSources::new(true, None)), crops, pooler }
    }

    /// Compares the image in `row` with its folder class.
    pub(super) fn audit(
        &mut self,
        row: usize,
        labels: &ImageLabels,
        folder_class: Option<u32>,
    ) -> Result<AuditedImage, StatisticsError> {
        let (map, prediction) = (labels.label_map()?, &labels.prediction);
        let statistics = self.examiner.statistics(labels, folder_class)?;
        let target = &statistics.target;
        let first = |classes: &[u32], prob: Option<f32>| match (classes.first(), prob) {
            (Some(&class), Some(prob)) => Ok(ClassProb { class, prob }),
            _ => Err(StatisticsError::NoBestClass),
        };
        let folder = match (folder_class, statistics.folder_class_prob, statistics.folder_class_cells) {
            (Some(class), Some(prob), Some(cells)) => Some(FolderClassStatistics {
                class,
                prob,
                contradiction: best_other(target, class) - prob,
                cells: cells as f32 / map.size().cells() as f32,
                crops: self.crop_statistics(map, class)?,
            }),
            _ => None,
        };
        Ok(AuditedImage {
            row,
            verdict: statistics.verdict,
            best: first(&target.classes, target.probs.first().copied())?,
            teacher: first(prediction.classes(), prediction.probs().first().map(|prob| prob.to_f32()))?,
            classes: statistics.winners.len() as u32,
            objects: statistics.objects as u32,
            entropy: statistics.entropy,
            folder,
        })
    }

    fn crop_statistics(&mut self, map: &LabelMap, class: u32) -> Result<Option<CropStatistics>, StatisticsError> {
        let boxes = &self.crops.boxes;
        if boxes.is_empty() {
            return Ok(None);
        }
        let region = region_box(map, class);
        let (mut prob_sum, mut wrong, mut missed, mut iou_sum, mut weighted_sum) = (0.0, 0, 0, 0.0, 0.0);
        let labels = self.pooler.pool(map, class).map_err(|error| StatisticsError::Pool(error.into()))?;
        for (&unit_box, label) in boxes.iter().zip(labels) {
            let overlap = region.map_or(0.0, |region| iou(unit_box, region));
            prob_sum += label.prob;
            wrong += usize::from(label.best_class != class);
            missed += usize::from(overlap <= 0.0);
            iou_sum += overlap;
            weighted_sum += overlap * label.prob;
        }
        let count = boxes.len() as f64;
        Ok(Some(CropStatistics {
            folder_class_prob: (prob_sum / count) as f32,
            wrong: (wrong as f64 / count) as f32,
            miss: (missed as f64 / count) as f32,
            iou: (iou_sum / count) as f32,
            iou_folder_class_prob: (iou_sum > 0.0).then(|| (weighted_sum / iou_sum) as f32),
        }))
    }
}

impl AuditedImage {
    /// Returns whether there is a folder class and a different class is the best.
    #[must_use]
    pub fn contradicts(&self) -> bool {
        matches!(self.verdict, Verdict::Differs | Verdict::Absent)
    }

    /// Orders images for an audit: highest contradiction first, then by row; images without a folder class last.
    #[must_use]
    pub fn by_contradiction(&self, other: &Self) -> Ordering {
        let key = |image: &Self| image.folder.as_ref().map_or(f32::NEG_INFINITY, |folder| folder.contradiction);
        key(other).total_cmp(&key(self)).then(self.row.cmp(&other.row))
    }
}

/// Returns the highest probability of a class other than `class` that some cell contains; 0 if there is none.
fn best_other(target: &SparseTarget, class: u32) -> f32 {
    let others = target.classes.iter().zip(&target.probs).filter(|(other, _)| **other != class);
    others.map(|(_, prob)| *prob).next().unwrap_or(0.0)
}

/// Returns the bounding box of the cells whose best class is `class`.
fn region_box(map: &LabelMap, class: u32) -> Option<UnitBox> {
    let (height, width) = (map.size().height_cells(), map.size().width_cells());
    let mut sides: Option<[usize; 4]> = None;
    for (cell, _) in map.best_classes().into_iter().enumerate().filter(|(_, winner)| *winner == class) {
        let (y, x) = (cell / width, cell % width);
        let [x0, y0, x1, y1] = sides.unwrap_or([x, y, x + 1, y + 1]);
        sides = Some([x0.min(x), y0.min(y), x1.max(x + 1), y1.max(y + 1)]);
    }
    let [x0, y0, x1, y1] = sides?;
    let (unit_x, unit_y) = (|x: usize| x as f64 / width as f64, |y: usize| y as f64 / height as f64);
    UnitBox::new(unit_x(x0), unit_y(y0), unit_x(x1), unit_y(y1)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspection::random_crops::random_crops;
    use crate::shared::label_map::{ImagePrediction, ScoreRounding};

    /// Two rows of four cells: class 1 in the left half, class 2 in the right half.
    fn halves() -> ImageLabels {
        let size = MapSize::new(2, 4).unwrap();
        let classes = [1, 2, 1, 2, 2, 1, 2, 1].repeat(2);
        let map = LabelMap::from_cells(&[9.0, 1.0].repeat(8), &classes, 2, size, ScoreRounding::Float16).unwrap();
        ImageLabels::new(map, ImagePrediction::from_ranks(&[0.75], &[2]).unwrap())
    }

    fn crops(boxes: Vec<UnitBox>) -> CropSet {
        CropSet::new(halves().map.unwrap().size(), boxes)
    }

    fn unit_box(x0: f64, y0: f64, x1: f64, y1: f64) -> UnitBox {
        UnitBox::new(x0, y0, x1, y1).unwrap()
    }

    #[test]
    fn regions_are_bounding_boxes_of_cells() {
        assert_eq!(region_box(&halves().map.unwrap(), 2), Some(unit_box(0.5, 0.0, 1.0, 1.0)));
        assert_eq!(region_box(&halves().map.unwrap(), 3), None);
    }

    #[test]
    fn crops_next_to_the_object_miss_it_and_have_another_label() {
        let crops = crops(vec![unit_box(0.0, 0.0, 0.5, 1.0), unit_box(0.5, 0.0, 1.0, 1.0), UnitBox::WHOLE]);
        let mut auditor = Auditor::new(10, &crops);
        let image = auditor.audit(7, &halves(), Some(2)).unwrap();
        // Both halves have the same probability, and the lower id is the best.
        assert_eq!((image.row, image.best.class, image.teacher.class), (7, 1, 2));
        let folder = image.folder.unwrap();
        assert!((folder.cells - 0.5).abs() < 1e-6 && folder.contradiction.abs() < 1e-6);
        let crops = folder.crops.unwrap();
        assert!((crops.wrong - 2.0 / 3.0).abs() < 1e-6, "the left half and the tie");
        assert!((crops.miss - 1.0 / 3.0).abs() < 1e-6);
        assert!((crops.iou - 0.5).abs() < 1e-6, "0, 1 and 1/2");
        let right = 9_f64.exp() / (9_f64.exp() + 1_f64.exp() + 8.0);
        let whole = 5_f64.exp() / (2.0 * 5_f64.exp() + 8.0);
        let weighted = (right + whole / 2.0) / 1.5;
        assert!((f64::from(crops.iou_folder_class_prob.unwrap()) - weighted).abs() < 1e-6);
    }

    #[test]
    fn a_class_that_wins_nowhere_has_no_region() {
        let (random, none) = (crops(random_crops(16, 0)), crops(Vec::new()));
        let image = Auditor::new(10, &random).audit(0, &halves(), Some(5)).unwrap();
        let found = image.folder.unwrap().crops.unwrap();
        assert_eq!((found.wrong, found.miss, found.iou, found.iou_folder_class_prob), (1.0, 1.0, 0.0, None));
        assert_eq!(Auditor::new(10, &none).audit(0, &halves(), Some(5)).unwrap().folder.unwrap().crops, None);
        assert_eq!(Auditor::new(10, &random).audit(0, &halves(), None).unwrap().folder, None);
    }

    #[test]
    fn the_highest_contradiction_comes_first_then_the_lower_row() {
        let none = crops(Vec::new());
        let mut auditor = Auditor::new(10, &none);
        let mut image = |row, class| auditor.audit(row, &halves(), class).unwrap();
        let mut images = [image(0, None), image(1, Some(1)), image(2, Some(5)), image(3, None), image(4, Some(5))];
        images.sort_by(AuditedImage::by_contradiction);
        assert_eq!(images.map(|image| image.row), [2, 4, 1, 0, 3]);
    }
}
