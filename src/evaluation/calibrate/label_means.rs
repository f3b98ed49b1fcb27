//! Means of the figures of each label.

use crate::evaluation::crop_fidelity::{Agreements, ClusterMean};
use crate::evaluation::evaluation_file::LabelKind;
use crate::shared::store::CalibrationFigures;

/// Collects the agreement of labels with the teacher.
pub(super) struct LabelMeans {
    labels: Vec<LabelMean>,
    row: Option<usize>,
}

struct LabelMean {
    kind: LabelKind,
    top1: ClusterMean,
    kl: ClusterMean,
    tv: ClusterMean,
    /// Difference of `kl` to that of the last label.
    kl_improvement: ClusterMean,
}

impl LabelMeans {
    /// Creates empty means. The last label is the calibrated one.
    pub(super) fn new(kinds: &[LabelKind]) -> Self {
        let mean = || ClusterMean::default();
        let label = |&kind| LabelMean { kind, top1: mean(), kl: mean(), tv: mean(), kl_improvement: mean() };
        Self { labels: kinds.iter().map(label).collect(), row: None }
    }

    /// Adds the agreement of each label of a crop. The crops of an image follow each other.
    pub(super) fn add(&mut self, row: usize, agreements: &Agreements) {
        if self.row.replace(row).is_some_and(|previous| previous != row) {
            self.end_image();
        }
        let Some(calibrated) = agreements.last().copied().flatten() else { return };
        for (label, agreement) in self.labels.iter_mut().zip(agreements) {
            let Some(agreement) = agreement else { continue };
            label.top1.add(f64::from(u8::from(agreement.top1)));
            label.kl.add(agreement.kl);
            label.tv.add(agreement.tv);
            label.kl_improvement.add(agreement.kl - calibrated.kl);
        }
    }

    /// Returns the number of images and of crops, and the figures of each label that the store has; `None` without crops.
    pub(super) fn finish(mut self) -> Option<(usize, usize, Vec<CalibrationFigures>)> {
        self.end_image();
        let calibrated = &self.labels.last()?.kl;
        let figures: Vec<_> = self.labels.iter().filter_map(LabelMean::figures).collect();
        (!figures.is_empty()).then(|| (calibrated.images(), calibrated.crops(), figures))
    }

    fn end_image(&mut self) {
        for label in &mut self.labels {
            for mean in [&mut label.top1, &mut label.kl, &mut label.tv, &mut label.kl_improvement] {
                mean.end_image();
            }
        }
    }
}

impl LabelMean {
    fn figures(&self) -> Option<CalibrationFigures> {
        let (top1, kl, tv) = (self.top1.estimate()?, self.kl.estimate()?, self.tv.estimate()?);
        let kl_improvement = self.kl_improvement.estimate()?;
        Some(CalibrationFigures {
            label: self.kind.name().to_owned(),
            top1: top1.value,
            top1_standard_error: top1.standard_error,
            kl: kl.value,
            kl_standard_error: kl.standard_error,
            tv: tv.value,
            tv_standard_error: tv.standard_error,
            kl_improvement: kl_improvement.value,
            kl_improvement_standard_error: kl_improvement.standard_error,
        })
    }
}
