//! `RoIAlign` along one axis: positions of the samples, and weights of the cells.

use crate::shared::geometry::{MapSize, UnitBox};

/// The samples along a side of a box, part by part. Positions are in `map` coordinates, computed in float32 with the
/// operations of `torchvision.ops.roi_align(aligned=False, sampling_ratio=-1)` in their order.
#[derive(Debug)]
pub(super) struct AxisSamples {
    cells: usize,
    samples_per_part: usize,
    /// Samples of all parts, concatenated; `None` for a sample so far outside that it counts as 0.
    samples: Vec<Option<Sample>>,
}

/// A sample between two cells.
#[derive(Clone, Copy, Debug)]
struct Sample {
    below: usize,
    above: usize,
    /// Weight of the cell above.
    fraction: f32,
}

impl AxisSamples {
    /// Creates the samples along the sides of a box, y first, each side as one part.
    pub(super) fn of_box(unit_box: UnitBox, size: MapSize) -> [Self; 2] {
        let (height, width) = (size.height_cells(), size.width_cells());
        let y = Self::new(unit_box.map_y_from_unit(height), height, 1);
        [y, Self::new(unit_box.map_x_from_unit(width), width, 1)]
    }

    /// Creates the samples of a side between two `map` coordinates, on an axis of `cells` cells, divided into `parts` parts.
    pub(super) fn new([start, end]: [f32; 2], cells: usize, parts: usize) -> Self {
        let length = (end - start).max(1.0);
        let part_length = length / parts as f32;
        let samples_per_part = part_length.ceil() as usize;
        let positions = (0..parts).flat_map(|part| (0..samples_per_part).map(move |sample| (part, sample)));
        let samples = positions.map(|(part, sample)| {
            let in_part = (sample as f32 + 0.5) * part_length / samples_per_part as f32;
            Sample::at(start + part as f32 * part_length + in_part, cells)
        });
        Self { cells, samples_per_part, samples: samples.collect() }
    }

    /// Returns the weight of each cell in the mean of one part.
    pub(super) fn part_weights(&self, part: usize) -> Vec<f64> {
        let first = part * self.samples_per_part;
        let share = 1.0 / self.samples_per_part as f64;
        self.weights((first..first + self.samples_per_part).map(|sample| (sample, share)))
    }

    /// Returns the weight of each cell in the sum of the samples, each weighted by the fraction of its interval between
    /// `from` and `to`, which are in 0..1 of the side.
    pub(super) fn covered_weights(&self, from: f64, to: f64) -> Vec<f64> {
        let count = self.samples.len() as f64;
        let (from, to) = (from * count, to * count);
        let covered = |sample: usize| (to.min(sample as f64 + 1.0) - from.max(sample as f64)).clamp(0.0, 1.0);
        self.weights((0..self.samples.len()).map(|sample| (sample, covered(sample))))
    }

    /// Number of samples.
    pub(super) fn samples(&self) -> usize {
        self.samples.len()
    }

    fn weights(&self, shares: impl Iterator<Item = (usize, f64)>) -> Vec<f64> {
        let mut weights = vec![0.0; self.cells];
        for (sample, share) in shares {
            if let Some(sample) = self.samples[sample] {
                let fraction = f64::from(sample.fraction);
                weights[sample.below] += (1.0 - fraction) * share;
                weights[sample.above] += fraction * share;
            }
        }
        weights
    }
}

impl Sample {
    /// A sample more than one cell outside the map counts as 0; a nearer one has the value at the edge.
    fn at(position: f32, cells: usize) -> Option<Self> {
        if !(-1.0..=cells as f32).contains(&position) {
            return None;
        }
        let position = position.max(0.0);
        let below = position as usize;
        if below >= cells - 1 {
            return Some(Self { below: cells - 1, above: cells - 1, fraction: 0.0 });
        }
        Some(Self { below, above: below + 1, fraction: position - below as f32 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entire_side(cells: usize) -> Vec<f64> {
        AxisSamples::new([-0.5, cells as f32 - 0.5], cells, 1).part_weights(0)
    }

    #[test]
    fn the_entire_side_is_sampled_at_its_cells() {
        // Samples are at 0, 1, 2, 3 from -0.5 + 0.5: each in the middle of a cell.
        assert_eq!(entire_side(4), [0.25; 4]);
        assert_eq!(entire_side(1), [1.0]);
    }

    #[test]
    fn a_short_side_is_widened_to_one_cell() {
        // From 1.5 - 0.5 on for one cell: one sample, in the middle between cells 1 and 2.
        assert_eq!(AxisSamples::new([1.0, 1.1], 4, 1).part_weights(0), [0.0, 0.5, 0.5, 0.0]);
    }

    #[test]
    fn samples_outside_count_as_zero() {
        let outside = AxisSamples::new([7.5, 11.5], 4, 1).part_weights(0);
        assert_eq!(outside, [0.0; 4]);
        let total: f64 = AxisSamples::new([-4.5, 3.5], 4, 1).part_weights(0).iter().sum();
        assert!((total - 0.625).abs() < 1e-12, "5 of 8 samples are within a cell of the map: {total}");
    }

    #[test]
    fn parts_divide_the_side() {
        let axis = AxisSamples::new([-0.5, 3.5], 4, 2);
        assert_eq!(axis.part_weights(0), [0.5, 0.5, 0.0, 0.0]);
        assert_eq!(axis.part_weights(1), [0.0, 0.0, 0.5, 0.5]);
    }

    #[test]
    fn covered_intervals_count_by_their_fraction() {
        let axis = AxisSamples::new([-0.5, 3.5], 4, 1);
        assert_eq!(axis.covered_weights(0.125, 0.625), [0.5, 1.0, 0.5, 0.0]);
        let all: f64 = axis.covered_weights(0.0, 1.0).iter().sum();
        assert!((all - axis.samples() as f64).abs() < 1e-12);
    }
}
