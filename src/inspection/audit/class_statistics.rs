//! Statistics of each folder class, and confusions between classes.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use super::audited_image::FolderClassStatistics;
use super::ranking::Audit;
use crate::inspection::inspect::Verdict;

/// Statistics of the images with one folder class.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClassStatistics {
    /// Class id.
    pub class: u32,
    /// Name of the class's folder; empty if the class list has no folders.
    pub folder: String,
    /// Name of the class.
    pub name: String,
    /// Number of audited images with this folder class; at least one.
    pub images: usize,
    /// Fraction of these whose verdict is [`Verdict::Agrees`].
    pub agreement: f32,
    /// Fraction of these whose verdict is [`Verdict::Absent`].
    pub absent: f32,
    /// Mean probability of the class in the targets of the full images.
    pub folder_class_prob: f32,
    /// Fraction of random crops whose best class is a different class; `None` without crops.
    pub crop_wrong: Option<f32>,
    /// The class that is most often the best instead; `None` if all images agree.
    pub confused_with: Option<Confusion>,
}

/// Number of images of one folder class whose best class is one other class.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Confusion {
    /// Folder class.
    pub folder_class: u32,
    /// Name of the folder class.
    pub folder_class_name: String,
    /// Best class of the targets.
    pub best_class: u32,
    /// Name of the best class.
    pub best_name: String,
    /// Number of images.
    pub images: usize,
}

/// Sums over the images with one folder class.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    images: usize,
    agree: usize,
    absent: usize,
    folder_class_prob: f64,
    crop_wrong: f64,
}

impl Sums {
    fn add(&mut self, verdict: Verdict, folder: &FolderClassStatistics) {
        self.images += 1;
        self.agree += usize::from(verdict == Verdict::Agrees);
        self.absent += usize::from(verdict == Verdict::Absent);
        self.folder_class_prob += f64::from(folder.prob);
        self.crop_wrong += folder.crops.as_ref().map_or(0.0, |crops| f64::from(crops.wrong));
    }
}

impl Audit<'_> {
    /// Returns the statistics of each folder class, by class id.
    #[must_use]
    pub fn class_statistics(&self) -> Vec<ClassStatistics> {
        let mut sums: BTreeMap<u32, Sums> = BTreeMap::new();
        for image in &self.images {
            if let Some(folder) = &image.folder {
                sums.entry(folder.class).or_default().add(image.verdict, folder);
            }
        }
        let mut confused_with: HashMap<u32, Confusion> = HashMap::new();
        for confusion in self.confusions() {
            confused_with.entry(confusion.folder_class).or_insert(confusion);
        }
        let statistics = sums.into_iter().map(|(class, sums)| {
            let mean = |sum: f64| (sum / sums.images as f64) as f32;
            ClassStatistics {
                class,
                folder: self.classes.entries().get(class as usize).map(|entry| entry.id.clone()).unwrap_or_default(),
                name: self.name(class).to_owned(),
                images: sums.images,
                agreement: mean(sums.agree as f64),
                absent: mean(sums.absent as f64),
                folder_class_prob: mean(sums.folder_class_prob),
                crop_wrong: (self.options.crops > 0).then(|| mean(sums.crop_wrong)),
                confused_with: confused_with.remove(&class),
            }
        });
        statistics.collect()
    }

    /// Returns the confusions, most frequent first, then by class ids.
    #[must_use]
    pub fn confusions(&self) -> Vec<Confusion> {
        let mut counts: HashMap<(u32, u32), usize> = HashMap::new();
        for image in self.images.iter().filter(|image| image.contradicts()) {
            if let Some(folder) = &image.folder {
                *counts.entry((folder.class, image.best.class)).or_default() += 1;
            }
        }
        let mut counts: Vec<((u32, u32), usize)> = counts.into_iter().collect();
        counts.sort_by(|(pair, count), (other_pair, other)| other.cmp(count).then(pair.cmp(other_pair)));
        let confusion = |((folder_class, best_class), images)| Confusion {
            folder_class,
            folder_class_name: self.name(folder_class).to_owned(),
            best_class,
            best_name: self.name(best_class).to_owned(),
            images,
        };
        counts.into_iter().map(confusion).collect()
    }
}
