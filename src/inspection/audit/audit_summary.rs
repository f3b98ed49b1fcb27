//! Summary of an audit.

use serde::Serialize;

use super::audited_image::{CropStatistics, FolderClassStatistics};
use super::class_statistics::{ClassStatistics, Confusion};
use super::ranking::Audit;
use crate::inspection::inspect::Verdict;

/// Number of images, classes and confusions that a summary lists.
const LISTED: usize = 10;

/// Summary of an audit. Fractions are of the compared images: those with a folder class.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AuditSummary {
    /// Number of labelled images.
    pub images: usize,
    /// Number of images that could not be labelled.
    pub failed: usize,
    /// Number of images whose shards are not done.
    pub to_do: usize,
    /// Number of labelled images without a folder class.
    pub not_compared: usize,
    /// Images with [`Verdict::Agrees`].
    pub agree: ImageShare,
    /// Images with [`Verdict::Differs`].
    pub differ: ImageShare,
    /// Images with [`Verdict::Absent`].
    pub absent: ImageShare,
    /// Mean probability of the folder class; `None` if no image is compared.
    pub folder_class_prob: Option<f64>,
    /// Statistics of random crops; `None` without crops or if no image is compared.
    pub crops: Option<CropSummary>,
    /// The images with the highest contradiction.
    pub contradictions: Vec<Contradiction>,
    /// The classes with the lowest agreement.
    pub lowest_agreement: Vec<ClassStatistics>,
    /// The most frequent confusions.
    pub confusions: Vec<Confusion>,
}

/// A number of images, and their fraction of the compared ones.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ImageShare {
    /// Number of images.
    pub images: usize,
    /// Fraction of the compared images; `None` if no image is compared.
    pub share: Option<f64>,
}

/// Statistics of random crops: means over the compared images.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CropSummary {
    /// Number of crops per image.
    pub crops: usize,
    /// Seed of the crops.
    pub seed: u64,
    /// Fraction of crops whose best class is not the folder class.
    pub wrong: f64,
    /// Fraction of crops that do not overlap the region of the folder class.
    pub miss: f64,
    /// Intersection over union with that region.
    pub iou: f64,
}

/// An image whose best class is not its folder class.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Contradiction {
    /// Row in the manifest.
    pub row: usize,
    /// Id of the image.
    pub id: String,
    /// Folder of the image.
    pub label: String,
    /// Name of the folder class.
    pub folder_class_name: String,
    /// Probability of the folder class.
    pub folder_class_prob: f32,
    /// Name of the best class.
    pub best_name: String,
    /// Probability of the best class.
    pub best_prob: f32,
}

impl Audit<'_> {
    /// Summarises the audit.
    #[must_use]
    pub fn summary(&self) -> AuditSummary {
        let folders: Vec<&FolderClassStatistics> =
            self.images.iter().filter_map(|image| image.folder.as_ref()).collect();
        let compared = folders.len();
        let share_of = |verdict: Verdict| {
            let images = self.images.iter().filter(|image| image.verdict == verdict).count();
            ImageShare { images, share: (compared > 0).then(|| images as f64 / compared as f64) }
        };
        let mut lowest_agreement = self.class_statistics();
        lowest_agreement.sort_by(|a, b| a.agreement.total_cmp(&b.agreement).then(b.images.cmp(&a.images)));
        lowest_agreement.truncate(LISTED);
        let mut confusions = self.confusions();
        confusions.truncate(LISTED);
        AuditSummary {
            images: self.images.len(),
            failed: self.failed,
            to_do: self.to_do,
            not_compared: self.images.len() - compared,
            agree: share_of(Verdict::Agrees),
            differ: share_of(Verdict::Differs),
            absent: share_of(Verdict::Absent),
            folder_class_prob: mean(folders.iter().map(|folder| folder.prob)),
            crops: self.crop_summary(&folders),
            contradictions: self.contradictions(),
            lowest_agreement,
            confusions,
        }
    }

    fn crop_summary(&self, folders: &[&FolderClassStatistics]) -> Option<CropSummary> {
        let crop_mean = |value: fn(&CropStatistics) -> f32| {
            mean(folders.iter().filter_map(|folder| folder.crops.as_ref()).map(value))
        };
        Some(CropSummary {
            crops: self.options.crops,
            seed: self.options.seed,
            wrong: crop_mean(|crops| crops.wrong)?,
            miss: crop_mean(|crops| crops.miss)?,
            iou: crop_mean(|crops| crops.iou)?,
        })
    }

    fn contradictions(&self) -> Vec<Contradiction> {
        let contradicting = self.images.iter().filter(|image| image.contradicts());
        let contradictions = contradicting.filter_map(|image| {
            let folder = image.folder.as_ref()?;
            Some(Contradiction {
                row: image.row,
                id: self.manifest.id(image.row).to_owned(),
                label: self.manifest.folder_class(image.row)?.to_owned(),
                folder_class_name: self.name(folder.class).to_owned(),
                folder_class_prob: folder.prob,
                best_name: self.name(image.best.class).to_owned(),
                best_prob: image.best.prob,
            })
        });
        contradictions.take(LISTED).collect()
    }
}

fn mean(values: impl Iterator<Item = f32>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0_usize), |(sum, count), value| (sum + f64::from(value), count + 1));
    (count > 0).then(|| sum / count as f64)
}
