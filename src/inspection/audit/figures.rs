//! One image against its folder's class.

use std::cmp::Ordering;

use super::crops::iou;
use crate::inspection::inspect::{Examiner, Verdict};
use crate::shared::geometry::{MapSize, UnitBox};
use crate::shared::label_map::{ImageLabels, LabelMap};
use crate::training::pool::{CropPooler, CropWeights, SparseTarget};

/// What an audit keeps of one image. A data set has millions, so texts stay in the manifest.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditedImage {
    /// Its row.
    pub row: usize,
    /// How its pooled label and its folder's class go together.
    pub verdict: Verdict,
    /// The best class of its pooled label.
    pub best: ClassProb,
    /// The teacher's own prediction for the whole image.
    pub teacher: ClassProb,
    /// Classes that are the best in at least one cell.
    pub classes: u32,
    /// Connected areas of cells that are sure of one class.
    pub objects: u32,
    /// Entropy of the pooled label in nats.
    pub entropy: f32,
    /// What is said of its folder's class; `None` where that is no class of the teacher.
    pub label: Option<LabelFigures>,
}

/// A class and its probability.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClassProb {
    /// The class.
    pub class: u32,
    /// Its probability.
    pub prob: f32,
}

/// A map against its folder's class.
#[derive(Clone, Debug, PartialEq)]
pub struct LabelFigures {
    /// The folder's class.
    pub class: u32,
    /// Its probability in the pooled label of the whole image.
    pub prob: f32,
    /// Probability of the best other class less that of the folder's, from -1 to 1. Classes that no cell holds do not
    /// count as others, so that it is above 0 only where the best class is another.
    pub contradiction: f32,
    /// Share of the cells in which the folder's class is the best.
    pub cells: f32,
    /// What random crops show; `None` where none were cut.
    pub crops: Option<CropFigures>,
}

/// The folder's class in random crops: means and shares over the crops.
#[derive(Clone, Debug, PartialEq)]
pub struct CropFigures {
    /// Mean probability of the folder's class in their pooled labels.
    pub label_prob: f32,
    /// Share of the crops of whose pooled label another class is the best.
    pub wrong: f32,
    /// Share of the crops that share nothing with the class's region: the box around the cells that it wins.
    pub miss: f32,
    /// Mean overlap with that region, intersection over union.
    pub iou: f32,
    /// Mean probability of the folder's class, each crop counting by its overlap; `None` where no crop has any.
    pub iou_label_prob: Option<f32>,
}

/// Audits one image after the other. Make one for each thread.
pub(super) struct Auditor<'a> {
    examiner: Examiner,
    crops: &'a RandomCrops,
    pooler: CropPooler<'a>,
}

/// The crops of every image, and how they are pooled.
pub(super) struct RandomCrops {
    boxes: Vec<UnitBox>,
    weights: CropWeights,
}

impl RandomCrops {
    /// Crops of images whose maps have one size.
    pub(super) fn new(size: MapSize, boxes: Vec<UnitBox>) -> Self {
        Self { weights: CropWeights::new(size, &boxes), boxes }
    }
}

impl<'a> Auditor<'a> {
    /// An auditor of maps of a teacher with `class_count` classes, by these crops.
    pub(super) fn new(class_count: usize, crops: &'a RandomCrops) -> Self {
        let pooler = CropPooler::new(class_count, &crops.weights);
        Self { examiner: Examiner::new(class_count), crops, pooler }
    }

    /// The figures of the image in `row`, which is filed under `label_class`. Errors are in words.
    pub(super) fn audit(
        &mut self,
        row: usize,
        labels: &ImageLabels,
        label_class: Option<u32>,
    ) -> Result<AuditedImage, String> {
        let (map, prediction) = (&labels.map, &labels.prediction);
        let figures = self.examiner.figures(map, label_class)?;
        let whole = &figures.whole;
        let first = |classes: &[u32], prob: Option<f32>| match (classes.first(), prob) {
            (Some(&class), Some(prob)) => Ok(ClassProb { class, prob }),
            _ => Err("it has no best class"),
        };
        let label = match (label_class, figures.label_prob, figures.label_cells) {
            (Some(class), Some(prob), Some(cells)) => Some(LabelFigures {
                class,
                prob,
                contradiction: best_other(whole, class) - prob,
                cells: cells as f32 / map.size().cells() as f32,
                crops: self.crop_figures(map, class)?,
            }),
            _ => None,
        };
        Ok(AuditedImage {
            row,
            verdict: figures.verdict,
            best: first(&whole.classes, whole.probs.first().copied())?,
            teacher: first(prediction.classes(), prediction.probs().first().map(|prob| prob.to_f32()))?,
            classes: figures.winners.len() as u32,
            objects: figures.objects as u32,
            entropy: figures.entropy,
            label,
        })
    }

    fn crop_figures(&mut self, map: &LabelMap, class: u32) -> Result<Option<CropFigures>, String> {
        let boxes = &self.crops.boxes;
        if boxes.is_empty() {
            return Ok(None);
        }
        let region = region_box(map, class);
        let (mut prob_sum, mut wrong, mut missed, mut iou_sum, mut weighted_sum) = (0.0, 0, 0, 0.0, 0.0);
        for (&unit_box, label) in boxes.iter().zip(self.pooler.pool(map, class).map_err(|problem| problem.to_string())?)
        {
            let overlap = region.map_or(0.0, |region| iou(unit_box, region));
            prob_sum += label.prob;
            wrong += usize::from(label.best_class != class);
            missed += usize::from(overlap <= 0.0);
            iou_sum += overlap;
            weighted_sum += overlap * label.prob;
        }
        let count = boxes.len() as f64;
        Ok(Some(CropFigures {
            label_prob: (prob_sum / count) as f32,
            wrong: (wrong as f64 / count) as f32,
            miss: (missed as f64 / count) as f32,
            iou: (iou_sum / count) as f32,
            iou_label_prob: (iou_sum > 0.0).then(|| (weighted_sum / iou_sum) as f32),
        }))
    }
}

impl AuditedImage {
    /// Whether the folder's class can be compared, and another class is the best.
    #[must_use]
    pub fn contradicts(&self) -> bool {
        matches!(self.verdict, Verdict::Differs | Verdict::Absent)
    }

    /// The order of an audit: the highest contradiction first, then by row; images that cannot be compared last.
    #[must_use]
    pub fn by_contradiction(&self, other: &Self) -> Ordering {
        let key = |image: &Self| image.label.as_ref().map_or(f32::NEG_INFINITY, |label| label.contradiction);
        key(other).total_cmp(&key(self)).then(self.row.cmp(&other.row))
    }
}

/// Probability of the best class that is held by a cell and is not `class`; 0 where there is none.
fn best_other(whole: &SparseTarget, class: u32) -> f32 {
    let others = whole.classes.iter().zip(&whole.probs).filter(|(held, _)| **held != class);
    others.map(|(_, prob)| *prob).next().unwrap_or(0.0)
}

/// The box around the cells in which a class is the best, edges included.
fn region_box(map: &LabelMap, class: u32) -> Option<UnitBox> {
    let (height, width) = (map.size().height_cells(), map.size().width_cells());
    let mut sides: Option<[usize; 4]> = None;
    for (cell, _) in map.best_classes().into_iter().enumerate().filter(|(_, winner)| *winner == class) {
        let (y, x) = (cell / width, cell % width);
        let [x0, y0, x1, y1] = sides.unwrap_or([x, y, x + 1, y + 1]);
        sides = Some([x0.min(x), y0.min(y), x1.max(x + 1), y1.max(y + 1)]);
    }
    let [x0, y0, x1, y1] = sides?;
    let (of_width, of_height) = (|x: usize| x as f64 / width as f64, |y: usize| y as f64 / height as f64);
    UnitBox::new(of_width(x0), of_height(y0), of_width(x1), of_height(y1)).ok()
}

#[cfg(test)]
mod tests {
    use super::super::crops::random_crops;
    use super::*;
    use crate::shared::label_map::{ImagePrediction, ScoreRounding};

    /// Two rows of four cells: class 1, and class 2 in the right half.
    fn halves() -> ImageLabels {
        let size = MapSize::new(2, 4).unwrap();
        let classes = [1, 2, 1, 2, 2, 1, 2, 1].repeat(2);
        let map = LabelMap::from_cells(&[9.0, 1.0].repeat(8), &classes, 2, size, ScoreRounding::Float16).unwrap();
        ImageLabels { map, prediction: ImagePrediction::from_ranks(&[0.75], &[2]).unwrap() }
    }

    fn crops(boxes: Vec<UnitBox>) -> RandomCrops {
        RandomCrops::new(halves().map.size(), boxes)
    }

    fn unit_box(x0: f64, y0: f64, x1: f64, y1: f64) -> UnitBox {
        UnitBox::new(x0, y0, x1, y1).unwrap()
    }

    #[test]
    fn regions_are_boxes_around_cells() {
        assert_eq!(region_box(&halves().map, 2), Some(unit_box(0.5, 0.0, 1.0, 1.0)));
        assert_eq!(region_box(&halves().map, 3), None);
    }

    #[test]
    fn crops_beside_the_object_miss_it_and_carry_another_label() {
        let crops = crops(vec![unit_box(0.0, 0.0, 0.5, 1.0), unit_box(0.5, 0.0, 1.0, 1.0), UnitBox::WHOLE]);
        let mut auditor = Auditor::new(10, &crops);
        let image = auditor.audit(7, &halves(), Some(2)).unwrap();
        // Both halves are alike, and the lower id is the best.
        assert_eq!((image.row, image.best.class, image.teacher.class), (7, 1, 2));
        let label = image.label.unwrap();
        assert!((label.cells - 0.5).abs() < 1e-6 && label.contradiction.abs() < 1e-6);
        let crops = label.crops.unwrap();
        assert!((crops.wrong - 2.0 / 3.0).abs() < 1e-6, "the left half and the tie");
        assert!((crops.miss - 1.0 / 3.0).abs() < 1e-6);
        assert!((crops.iou - 0.5).abs() < 1e-6, "0, 1 and 1/2");
        let right = 9_f64.exp() / (9_f64.exp() + 1_f64.exp() + 8.0);
        let whole = 5_f64.exp() / (2.0 * 5_f64.exp() + 8.0);
        let weighted = (right + whole / 2.0) / 1.5;
        assert!((f64::from(crops.iou_label_prob.unwrap()) - weighted).abs() < 1e-6);
    }

    #[test]
    fn a_class_that_wins_nowhere_has_no_region() {
        let (random, none) = (crops(random_crops(16, 0)), crops(Vec::new()));
        let image = Auditor::new(10, &random).audit(0, &halves(), Some(5)).unwrap();
        let found = image.label.unwrap().crops.unwrap();
        assert_eq!((found.wrong, found.miss, found.iou, found.iou_label_prob), (1.0, 1.0, 0.0, None));
        assert_eq!(Auditor::new(10, &none).audit(0, &halves(), Some(5)).unwrap().label.unwrap().crops, None);
        assert_eq!(Auditor::new(10, &random).audit(0, &halves(), None).unwrap().label, None);
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
