//! An audit on one page.

use serde::Serialize;

use super::Audit;
use super::classes::{ClassFigures, Confusion};
use super::figures::{CropFigures, LabelFigures};
use crate::inspection::inspect::Verdict;

/// How many images, classes and confusions a summary names.
const NAMED: usize = 10;

/// What an audit comes to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// Images that were examined.
    pub images: usize,
    /// Images that could not be labelled.
    pub failed: usize,
    /// Images whose shards are still to do.
    pub to_do: usize,
    /// Examined images that are in no folder, or in one that is no class of the teacher.
    pub not_compared: usize,
    /// Images of whose pooled labels the folder's class is the best. Shares are of the images that are compared.
    pub agree: Share,
    /// Images of which another class is the best, but some cell holds the folder's.
    pub differ: Share,
    /// Images of which no cell holds the folder's class.
    pub absent: Share,
    /// Mean probability of the folder's class; `None` where no image is compared.
    pub label_prob: Option<f64>,
    /// What random crops show; `None` where none were cut or no image is compared.
    pub crops: Option<CropSummary>,
    /// The images that contradict their folders most.
    pub contradictions: Vec<Contradiction>,
    /// The classes with which the teacher agrees least.
    pub lowest_agreement: Vec<ClassFigures>,
    /// The most frequent confusions.
    pub confusions: Vec<Confusion>,
}

/// Images, and which share of the compared ones they are.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Share {
    /// How many.
    pub images: usize,
    /// Their share; `None` where no image is compared.
    pub share: Option<f64>,
}

/// What random crops show of the folders' classes: means over the images that are compared.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CropSummary {
    /// Crops of each image.
    pub crops: usize,
    /// Which random crops.
    pub seed: u64,
    /// Share of crops of whose pooled labels another class is the best.
    pub wrong: f64,
    /// Share of crops that share nothing with the region of the folder's class.
    pub miss: f64,
    /// Overlap with it, intersection over union.
    pub iou: f64,
}

/// An image that contradicts its folder.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Contradiction {
    /// Its row.
    pub row: usize,
    /// Its id.
    pub id: String,
    /// Its folder.
    pub label: String,
    /// The name of the folder's class.
    pub label_name: String,
    /// Probability of the folder's class.
    pub label_prob: f32,
    /// The name of the best class.
    pub best_name: String,
    /// Probability of the best class.
    pub best_prob: f32,
}

impl Audit<'_> {
    /// What the audit comes to.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let labels: Vec<&LabelFigures> = self.images.iter().filter_map(|image| image.label.as_ref()).collect();
        let compared = labels.len();
        let share_of = |verdict: Verdict| {
            let images = self.images.iter().filter(|image| image.verdict == verdict).count();
            Share { images, share: (compared > 0).then(|| images as f64 / compared as f64) }
        };
        let mut lowest_agreement = self.class_figures();
        lowest_agreement.sort_by(|a, b| a.agreement.total_cmp(&b.agreement).then(b.images.cmp(&a.images)));
        lowest_agreement.truncate(NAMED);
        let mut confusions = self.confusions();
        confusions.truncate(NAMED);
        Summary {
            images: self.images.len(),
            failed: self.failed,
            to_do: self.to_do,
            not_compared: self.images.len() - compared,
            agree: share_of(Verdict::Agrees),
            differ: share_of(Verdict::Differs),
            absent: share_of(Verdict::Absent),
            label_prob: mean(labels.iter().map(|label| label.prob)),
            crops: self.crop_summary(&labels),
            contradictions: self.contradictions(),
            lowest_agreement,
            confusions,
        }
    }

    fn crop_summary(&self, labels: &[&LabelFigures]) -> Option<CropSummary> {
        let of_crops =
            |value: fn(&CropFigures) -> f32| mean(labels.iter().filter_map(|label| label.crops.as_ref()).map(value));
        Some(CropSummary {
            crops: self.request.crops,
            seed: self.request.seed,
            wrong: of_crops(|crops| crops.wrong)?,
            miss: of_crops(|crops| crops.miss)?,
            iou: of_crops(|crops| crops.iou)?,
        })
    }

    fn contradictions(&self) -> Vec<Contradiction> {
        let contradicting = self.images.iter().filter(|image| image.contradicts());
        let named = contradicting.filter_map(|image| {
            let label = image.label.as_ref()?;
            Some(Contradiction {
                row: image.row,
                id: self.manifest.id(image.row).to_owned(),
                label: self.manifest.label(image.row)?.to_owned(),
                label_name: self.name(label.class).to_owned(),
                label_prob: label.prob,
                best_name: self.name(image.best.class).to_owned(),
                best_prob: image.best.prob,
            })
        });
        named.take(NAMED).collect()
    }
}

fn mean(values: impl Iterator<Item = f32>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0_usize), |(sum, count), value| (sum + f64::from(value), count + 1));
    (count > 0).then(|| sum / count as f64)
}
