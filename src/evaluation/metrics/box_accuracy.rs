//! `MaxBoxAccV2` (Choe et al., 2022; as in wsolevaluation).

use serde::{Deserialize, Serialize};

use super::level_overlaps::LevelOverlaps;

/// `MaxBoxAccV2`, as fractions.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BoxAccuracy {
    /// Mean over the three thresholds of `IoU`.
    pub mean: f64,
    /// At `IoU` thresholds of 0.3, 0.5 and 0.7.
    pub at_iou: [f64; 3],
}

/// Thresholds of `IoU`.
const OVERLAPS: [f64; 3] = [0.3, 0.5, 0.7];

/// Number of thresholds of a map.
const THRESHOLDS: usize = 255;

/// Thresholds at which a map of one image gives a box that is right, for each `IoU`: one bit each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BoxHits([[u64; 4]; 3]);

impl From<&LevelOverlaps> for BoxHits {
    fn from(overlaps: &LevelOverlaps) -> Self {
        Self(OVERLAPS.map(|at_least| {
            let mut bits = [0; 4];
            let hits = overlaps.by_threshold().iter().enumerate().filter(|(_, overlap)| **overlap >= at_least);
            hits.for_each(|(threshold, _)| bits[threshold / 64] |= 1 << (threshold % 64));
            bits
        }))
    }
}

/// Counts images with a right box at each threshold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoxEvaluator {
    images: usize,
    /// Images with a right box, for each `IoU` and threshold.
    hits: [Vec<usize>; 3],
}

impl Default for BoxEvaluator {
    fn default() -> Self {
        Self { images: 0, hits: std::array::from_fn(|_| vec![0; THRESHOLDS]) }
    }
}

impl BoxEvaluator {
    /// Adds an image.
    pub fn add(&mut self, hits: &BoxHits) {
        self.images += 1;
        for (counts, bits) in self.hits.iter_mut().zip(&hits.0) {
            for (threshold, count) in counts.iter_mut().enumerate() {
                *count += (bits[threshold / 64] >> (threshold % 64) & 1) as usize;
            }
        }
    }

    /// Adds the images of another evaluator.
    pub fn merge(&mut self, other: &Self) {
        self.images += other.images;
        for (counts, added) in self.hits.iter_mut().zip(&other.hits) {
            counts.iter_mut().zip(added).for_each(|(count, added)| *count += added);
        }
    }

    /// Returns the fraction of images with a right box at the best threshold, which is the same for all images; zeros without
    /// images.
    #[must_use]
    pub fn accuracy(&self) -> BoxAccuracy {
        let best = |counts: &Vec<usize>| counts.iter().copied().max().unwrap_or(0);
        let at_iou: [f64; 3] = std::array::from_fn(|at| best(&self.hits[at]) as f64 / self.images.max(1) as f64);
        BoxAccuracy { mean: at_iou.iter().sum::<f64>() / 3.0, at_iou }
    }
}
