//! Sums over the images that are compared with one truth.

use std::collections::BTreeMap;

use crate::evaluation::evaluation_file::{Censored, ClassAccuracy, ClassFigures, TruthDescription, TruthFigures};
use crate::evaluation::metrics::{AccuracyAccumulator, LocalizationAccumulator, LocalizedImage};
use crate::evaluation::truth::Truth;
use crate::shared::classes::ClassList;
use crate::shared::error::Error;
use crate::shared::manifest::Manifest;
use crate::shared::printable::printable;
use crate::training::pool::SparseTarget;

/// Sums over the images that are compared with one truth.
#[derive(Debug)]
pub(super) struct TruthTally {
    labelled: usize,
    compared: usize,
    empty: usize,
    boxes_without_class: usize,
    prediction: AccuracyAccumulator,
    pooled: AccuracyAccumulator,
    by_class: BTreeMap<u32, ClassHits>,
    cells: usize,
    censored_cells: usize,
    censored_images: usize,
    localization: LocalizationAccumulator,
}

/// Labels of one image, and what was found for each truth.
pub(super) struct ComparedImage {
    pub(super) row: usize,
    /// The target of the full image; `None` without a label map.
    pub(super) pooled: Option<SparseTarget>,
    pub(super) prediction: SparseTarget,
    pub(super) truths: Vec<ImageFindings>,
}

/// Comparison of the map of one image with one truth.
#[derive(Default)]
pub(super) struct ImageFindings {
    /// `None` if the image has no true class or no map.
    pub(super) censored: Option<CensoredCells>,
    pub(super) localized: Vec<LocalizedImage>,
    pub(super) boxes_without_class: usize,
}

/// Number of cells, and of those without a true class.
#[derive(Clone, Copy)]
pub(super) struct CensoredCells {
    pub(super) cells: usize,
    pub(super) censored: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct ClassHits {
    images: usize,
    prediction: usize,
    pooled: usize,
}

impl TruthTally {
    pub(super) fn new(class_count: usize) -> Self {
        Self {
            labelled: 0,
            compared: 0,
            empty: 0,
            boxes_without_class: 0,
            prediction: AccuracyAccumulator::new(class_count),
            pooled: AccuracyAccumulator::new(class_count),
            by_class: BTreeMap::new(),
            cells: 0,
            censored_cells: 0,
            censored_images: 0,
            localization: LocalizationAccumulator::default(),
        }
    }

    /// Adds a labelled image.
    pub(super) fn add(&mut self, truth: &Truth, image: &ComparedImage, findings: &ImageFindings) {
        self.labelled += 1;
        self.boxes_without_class += findings.boxes_without_class;
        for localized in &findings.localized {
            self.localization.add(localized);
        }
        let (classes, boxes) = (truth.classes(image.row), truth.boxes(image.row));
        let has_classes = classes.is_some_and(|classes| !classes.is_empty());
        if has_classes || boxes.is_some_and(|boxes| !boxes.boxes.is_empty()) {
            self.compared += 1;
        } else if classes.is_some() || boxes.is_some() {
            self.empty += 1;
        }
        if let Some(classes) = classes.filter(|classes| !classes.is_empty()) {
            self.add_classes(classes, image);
        }
        if let Some(CensoredCells { cells, censored }) = findings.censored {
            self.cells += cells;
            self.censored_cells += censored;
            self.censored_images += usize::from(censored == cells);
        }
    }

    fn add_classes(&mut self, classes: &[u32], image: &ComparedImage) {
        let prediction = self.prediction.add(&image.prediction, classes);
        let pooled = image.pooled.as_ref().map(|pooled| self.pooled.add(pooled, classes));
        for &class in classes {
            let hits = self.by_class.entry(class).or_default();
            hits.images += 1;
            hits.prediction += usize::from(prediction.top1);
            hits.pooled += usize::from(pooled.is_some_and(|pooled| pooled.top1));
        }
    }

    /// Returns the figures.
    ///
    /// # Errors
    /// Returns [`Error::Usage`] if no labelled image has a truth, or none of the boxes has a class.
    pub(super) fn finish(self, truth: &Truth, manifest: &Manifest, classes: &ClassList) -> Result<TruthFigures, Error> {
        let name = printable(truth.name()).into_owned();
        if self.compared == 0 {
            return Err(Error::Usage(format!(
                "cannot evaluate against {name}: none of the {} labelled images has a truth, {} have an empty one\n  help: \
                 pass the truth of these images",
                self.labelled, self.empty
            )));
        }
        let localization = self.localization.finish();
        if truth.has_boxes() && !truth.has_classes() && localization.is_none() {
            return Err(Error::Usage(format!(
                "cannot evaluate against {name}: none of its {} boxes has a class, and the folders are not classes of the \
                 teacher\n  help: add the classes (`class_labels.txt` of wsolevaluation), or evaluate a store with folder classes",
                self.boxes_without_class
            )));
        }
        let with_truth =
            (0..manifest.len()).filter(|&row| truth.classes(row).is_some() || truth.boxes(row).is_some()).count();
        Ok(TruthFigures {
            truth: TruthDescription {
                name: truth.name().to_owned(),
                format: truth.format().as_str().to_owned(),
                sha256: truth.sha256().cloned(),
                images: self.compared,
                images_without_truth: self.labelled - self.compared - self.empty,
                truth_without_image: truth.unmatched(),
                truth_without_image_example: truth.unmatched_example().map(str::to_owned),
                truth_not_labelled: with_truth - self.compared - self.empty,
                empty: self.empty,
                boxes_clipped: truth.boxes_clipped(),
                boxes_without_class: self.boxes_without_class,
            },
            classes: self.class_figures(classes),
            localization,
        })
    }

    fn class_figures(&self, classes: &ClassList) -> Option<ClassFigures> {
        let images = self.prediction.images();
        // Either all images have label maps, or none.
        let has_maps = self.pooled.images() > 0;
        let fraction = |part: usize, of: usize| part as f64 / of as f64;
        let by_class = self.by_class.iter().map(|(&class, hits)| ClassAccuracy {
            class,
            name: classes.short_name(class),
            images: hits.images,
            prediction_top1: fraction(hits.prediction, hits.images),
            pooled_top1: has_maps.then(|| fraction(hits.pooled, hits.images)),
        });
        (images > 0).then(|| ClassFigures {
            images,
            prediction: self.prediction.finish(),
            pooled: has_maps.then(|| self.pooled.finish()),
            censored: has_maps.then(|| Censored {
                images: fraction(self.censored_images, images),
                cells: fraction(self.censored_cells, self.cells),
                floor: 0.0,
            }),
            by_class: by_class.collect(),
        })
    }
}
