//! Figures of each label, by area of the crop.

use super::cluster_mean::ClusterMean;
use super::crop_labels::{Agreements, ComparedLabel};
use super::label_agreement::LabelAgreement;
use crate::evaluation::evaluation_file::{AreaFidelity, Fidelity, LabelKind};

/// Limits of the ranges of areas.
const AREAS: [f64; 7] = [0.0, 0.08, 0.15, 0.25, 0.5, 0.75, 1.0];
const RANGES: usize = AREAS.len() - 1;

/// Collects the agreement of crops.
pub(super) struct FidelitySums {
    labels: Vec<LabelSums>,
    /// First range that is used: random crops that rounding to pixels made smaller than 0.08 count in the range above it.
    first_range: usize,
}

struct LabelSums {
    label: ComparedLabel,
    all: FigureMeans,
    by_range: [FigureMeans; RANGES],
}

#[derive(Default)]
struct FigureMeans {
    top1: ClusterMean,
    kl: ClusterMean,
    tv: ClusterMean,
}

impl FidelitySums {
    /// Creates empty sums of labels, of random crops or of others.
    pub(super) fn new(labels: &[ComparedLabel], are_random: bool) -> Self {
        let sums =
            |&label: &ComparedLabel| LabelSums { label, all: FigureMeans::default(), by_range: Default::default() };
        Self { labels: labels.iter().map(sums).collect(), first_range: usize::from(are_random) }
    }

    /// Adds a crop of the current image.
    pub(super) fn add(&mut self, area: f64, agreements: &Agreements) {
        let above = AREAS[1..RANGES].iter().filter(|&&limit| area >= limit).count();
        let range = above.max(self.first_range);
        for (label, agreement) in self.labels.iter_mut().zip(agreements) {
            if let Some(agreement) = agreement {
                label.all.add(agreement);
                label.by_range[range].add(agreement);
            }
        }
    }

    /// Ends the current image.
    pub(super) fn end_image(&mut self) {
        for label in &mut self.labels {
            label.all.end_image();
            label.by_range.iter_mut().for_each(FigureMeans::end_image);
        }
    }

    /// Number of images with crops, and number of crops. Every crop has the prediction for its image.
    pub(super) fn counts(&self) -> (usize, usize) {
        let image = self.labels.iter().find(|sums| sums.label == ComparedLabel::Kind(LabelKind::Image));
        image.map_or((0, 0), |image| (image.all.top1.images(), image.all.top1.crops()))
    }

    /// Returns the figures of each label, without those that no crop had.
    pub(super) fn figures(&self) -> impl Iterator<Item = (ComparedLabel, Fidelity)> {
        self.labels.iter().filter_map(|sums| Some((sums.label, self.fidelity(sums)?)))
    }

    fn fidelity(&self, sums: &LabelSums) -> Option<Fidelity> {
        let (top1, tv) = (sums.all.top1.estimate()?, sums.all.tv.estimate()?);
        let kl = sums.all.kl.estimate().filter(|_| sums.label.has_divergence());
        let is_shown = |range: usize| range > 0 || sums.by_range[0].top1.crops() > 0;
        let ranges = (self.first_range..RANGES).filter(|&range| is_shown(range));
        Some(Fidelity {
            top1: top1.value,
            top1_standard_error: top1.standard_error,
            kl: kl.map(|kl| kl.value),
            kl_standard_error: kl.and_then(|kl| kl.standard_error),
            tv: tv.value,
            tv_standard_error: tv.standard_error,
            by_area: ranges.map(|range| sums.by_range[range].area_fidelity(range, sums.label)).collect(),
        })
    }
}

impl FigureMeans {
    fn add(&mut self, agreement: &LabelAgreement) {
        self.top1.add(f64::from(u8::from(agreement.top1)));
        self.kl.add(agreement.kl);
        self.tv.add(agreement.tv);
    }

    fn end_image(&mut self) {
        self.top1.end_image();
        self.kl.end_image();
        self.tv.end_image();
    }

    fn area_fidelity(&self, range: usize, label: ComparedLabel) -> AreaFidelity {
        let (top1, tv) = (self.top1.estimate(), self.tv.estimate());
        let kl = self.kl.estimate().filter(|_| label.has_divergence());
        AreaFidelity {
            area: [AREAS[range], AREAS[range + 1]],
            crops: self.top1.crops(),
            top1: top1.map(|top1| top1.value),
            top1_standard_error: top1.and_then(|top1| top1.standard_error),
            kl: kl.map(|kl| kl.value),
            kl_standard_error: kl.and_then(|kl| kl.standard_error),
            tv: tv.map(|tv| tv.value),
            tv_standard_error: tv.and_then(|tv| tv.standard_error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LABELS: [ComparedLabel; 3] = [
        ComparedLabel::Kind(LabelKind::Image),
        ComparedLabel::Kind(LabelKind::Folder),
        ComparedLabel::Kind(LabelKind::Rest),
    ];

    fn agreements(tv: f64) -> Agreements {
        let agreement = LabelAgreement { top1: tv < 0.5, kl: 2.0 * tv, tv };
        vec![Some(agreement), Some(agreement), None]
    }

    fn figures(sums: &FidelitySums) -> Vec<Option<Fidelity>> {
        let of = |label: &ComparedLabel| sums.figures().find(|(of, _)| of == label).map(|(_, fidelity)| fidelity);
        LABELS.iter().map(of).collect()
    }

    #[test]
    fn crops_count_in_the_range_of_their_area() {
        for (are_random, areas) in [(true, &AREAS[1..]), (false, &AREAS[..])] {
            let mut sums = FidelitySums::new(&LABELS, are_random);
            for (area, tv) in [(0.079, 0.125), (0.08, 0.25), (0.15, 0.5), (0.2499, 0.75), (1.0, 1.0)] {
                sums.add(area, &agreements(tv));
            }
            sums.end_image();
            assert_eq!(sums.counts(), (1, 5));
            let image = figures(&sums)[0].clone().unwrap();
            let limits: Vec<[f64; 2]> = areas.windows(2).map(|pair| [pair[0], pair[1]]).collect();
            assert_eq!(image.by_area.iter().map(|range| range.area).collect::<Vec<_>>(), limits);
            let crops: Vec<usize> = image.by_area.iter().map(|range| range.crops).collect();
            assert_eq!(crops, if are_random { vec![2, 2, 0, 0, 1] } else { vec![1, 1, 2, 0, 0, 1] });
            let [.., empty, last] = &image.by_area[..] else { panic!("too few ranges") };
            assert_eq!((empty.tv, empty.top1, last.tv, last.kl), (None, None, Some(1.0), Some(2.0)));
            assert!((image.tv - 0.525).abs() < 1e-12 && (image.top1 - 0.4).abs() < 1e-12);
        }
    }

    #[test]
    fn folder_classes_have_no_divergence_and_labels_may_be_absent() {
        let mut sums = FidelitySums::new(&LABELS, false);
        sums.add(0.5, &agreements(0.25));
        sums.end_image();
        let [_, folder, rest] = &figures(&sums)[..] else { panic!("other labels") };
        let folder = folder.as_ref().unwrap();
        assert_eq!((folder.kl, folder.tv, folder.by_area[0].kl), (None, 0.25, None));
        assert_eq!((folder.by_area.len(), folder.by_area[0].crops), (RANGES - 1, 0), "no smaller crop");
        assert_eq!(rest, &None);
    }
}
