//! What is found of the images of each class, and which classes are taken for which.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use super::Audit;
use super::figures::LabelFigures;
use crate::inspection::inspect::Verdict;

/// The images that are filed under one class.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClassFigures {
    /// The class.
    pub class: u32,
    /// What its folder is called; empty where the class list does not say.
    pub folder: String,
    /// Its name.
    pub name: String,
    /// Images that are filed under it and were examined; at least one.
    pub images: usize,
    /// Share of these of whose pooled labels it is the best class.
    pub agreement: f32,
    /// Share of these of whose maps no cell holds it.
    pub absent: f32,
    /// Mean of its probability in the pooled labels of whole images.
    pub label_prob: f32,
    /// Share of random crops of whose pooled labels another class is the best; `None` where none were cut.
    pub crop_wrong: Option<f32>,
    /// The class that is most often the best where it is not; `None` where it always is.
    pub confused_with: Option<Confusion>,
}

/// How often one class is the best of images that are filed under another.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Confusion {
    /// The folder's class.
    pub label_class: u32,
    /// Its name.
    pub label_name: String,
    /// The class that is the best of the pooled labels.
    pub best_class: u32,
    /// Its name.
    pub best_name: String,
    /// Images.
    pub images: usize,
}

/// Sums over the images of one class.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    images: usize,
    agree: usize,
    absent: usize,
    label_prob: f64,
    crop_wrong: f64,
}

impl Sums {
    fn add(&mut self, verdict: Verdict, label: &LabelFigures) {
        self.images += 1;
        self.agree += usize::from(verdict == Verdict::Agrees);
        self.absent += usize::from(verdict == Verdict::Absent);
        self.label_prob += f64::from(label.prob);
        self.crop_wrong += label.crops.as_ref().map_or(0.0, |crops| f64::from(crops.wrong));
    }
}

impl Audit<'_> {
    /// Each class under which images are filed, by its number.
    #[must_use]
    pub fn class_figures(&self) -> Vec<ClassFigures> {
        let mut sums: BTreeMap<u32, Sums> = BTreeMap::new();
        for image in &self.images {
            if let Some(label) = &image.label {
                sums.entry(label.class).or_default().add(image.verdict, label);
            }
        }
        let mut confused_with: HashMap<u32, Confusion> = HashMap::new();
        for confusion in self.confusions() {
            confused_with.entry(confusion.label_class).or_insert(confusion);
        }
        let figures = sums.into_iter().map(|(class, sums)| {
            let mean = |sum: f64| (sum / sums.images as f64) as f32;
            ClassFigures {
                class,
                folder: self.classes.entries().get(class as usize).map(|entry| entry.id.clone()).unwrap_or_default(),
                name: self.name(class).to_owned(),
                images: sums.images,
                agreement: mean(sums.agree as f64),
                absent: mean(sums.absent as f64),
                label_prob: mean(sums.label_prob),
                crop_wrong: (self.request.crops > 0).then(|| mean(sums.crop_wrong)),
                confused_with: confused_with.remove(&class),
            }
        });
        figures.collect()
    }

    /// Which classes are the best of images that are filed under which others, the most frequent first; then by the
    /// numbers of the classes.
    #[must_use]
    pub fn confusions(&self) -> Vec<Confusion> {
        let mut counts: HashMap<(u32, u32), usize> = HashMap::new();
        for image in self.images.iter().filter(|image| image.contradicts()) {
            if let Some(label) = &image.label {
                *counts.entry((label.class, image.best.class)).or_default() += 1;
            }
        }
        let mut counts: Vec<((u32, u32), usize)> = counts.into_iter().collect();
        counts.sort_by(|(pair, count), (other_pair, other)| other.cmp(count).then(pair.cmp(other_pair)));
        let confusion = |((label_class, best_class), images)| Confusion {
            label_class,
            label_name: self.name(label_class).to_owned(),
            best_class,
            best_name: self.name(best_class).to_owned(),
            images,
        };
        counts.into_iter().map(confusion).collect()
    }
}
