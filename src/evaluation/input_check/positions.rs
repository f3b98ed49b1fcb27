//! Mirrors images and changes patches of them, and looks at which cells of the label maps follow.

use super::position_figures::{MirrorEvidence, MirrorFigures, PositionCheck, PositionVerdict, probe_evidence, verdict};
use super::preparation::InputPreparation;
use super::probe_images::ProbeImages;
use super::statistics::{deviate, estimate, paired};
use crate::labelling::pixels::Decoder;
use crate::labelling::teacher::{PixelBatch, Teacher, TeacherDescription, probe_labels};
use crate::shared::error::Error;
use crate::shared::geometry::MapSize;
use crate::shared::monitor::Monitor;

/// Images that are mirrored, and images of which patches are changed: 16 runs each.
const MIRRORED_IMAGES: usize = 32;
const PATCHED_IMAGES: usize = 8;
const BATCH: usize = 8;
/// Fewest images whose mirrored maps show anything.
const MIN_IMAGES: usize = 4;

/// Checks that the cells of label maps look where they are.
///
/// # Errors
/// Returns [`Error::Interrupted`] if a stop is requested, and the error of the teacher if it fails.
pub fn check_positions(
    teacher: &mut dyn Teacher,
    description: &TeacherDescription,
    images: &ProbeImages,
    decoder: &Decoder,
    monitor: &dyn Monitor,
) -> Result<PositionCheck, Error> {
    let (shape, locality) = (&description.shape, &description.locality);
    let preparation = InputPreparation::of_card(&description.card);
    let size = shape.map_size;
    let count = images.len().min(MIRRORED_IMAGES);
    if size.cells() == 1 || count == 0 {
        let verdict = PositionVerdict::Inconclusive("the map has only one cell".to_owned());
        return Ok(PositionCheck { images: 0, mirror: None, probe: None, verdict });
    }
    let (mut maps, mut mirrored_maps) = (Vec::new(), Vec::new());
    for first in (0..count).step_by(BATCH) {
        if monitor.stop_requested() {
            return Err(Error::Interrupted);
        }
        let batch = images.batch(first, (first + BATCH).min(count), &preparation, decoder)?;
        let labels = teacher.label(&batch.with_mirrors())?;
        let best: Vec<i32> = labels.classes.iter().copied().step_by(labels.k).collect();
        let (original, mirrored) = best.split_at(best.len() / 2);
        maps.extend(original.chunks_exact(size.cells()).map(<[i32]>::to_vec));
        mirrored_maps.extend(mirrored.chunks_exact(size.cells()).map(<[i32]>::to_vec));
    }
    let mirror = (size.width_cells() > 1).then_some(Mirrored { maps, of_mirror_images: mirrored_maps, size });
    let mut patched = Vec::new();
    for image in 0..count.min(PATCHED_IMAGES) {
        if monitor.stop_requested() {
            return Err(Error::Interrupted);
        }
        patched.extend_from_slice(images.batch(image, image + 1, &preparation, decoder)?.data());
    }
    let patched = PixelBatch::new(count.min(PATCHED_IMAGES), preparation.size, patched);
    let probe = probe_labels(teacher, shape, &patched)?;
    let evidence = mirror.as_ref().map_or(MirrorEvidence::Unclear, Mirrored::evidence);
    let verdict = verdict(&probe_evidence(&probe), &evidence, locality);
    Ok(PositionCheck { images: count, mirror: mirror.map(|mirror| mirror.figures()), probe: Some(probe), verdict })
}

/// Best class of each cell, for images and their mirror images.
struct Mirrored {
    maps: Vec<Vec<i32>>,
    of_mirror_images: Vec<Vec<i32>>,
    size: MapSize,
}

impl Mirrored {
    /// Returns the share of equal cells for each image, if cell (y, x) of a map is compared with cell `place(y, x)` of the map
    /// of the mirror image. Cells without a place are left out.
    fn shares(&self, place: impl Fn(usize, usize) -> Option<(usize, usize)>) -> Vec<f64> {
        let (height, width) = (self.size.height_cells(), self.size.width_cells());
        let pairs: Vec<(usize, usize)> = (0..height * width)
            .filter_map(|cell| place(cell / width, cell % width).map(|(y, x)| (cell, y * width + x)))
            .collect();
        let share = |(map, mirrored): (&Vec<i32>, &Vec<i32>)| {
            let same = pairs.iter().filter(|&&(cell, other)| map[cell] == mirrored[other]).count();
            same as f64 / pairs.len().max(1) as f64
        };
        self.maps.iter().zip(&self.of_mirror_images).map(share).collect()
    }

    fn mirrored_back(&self, shift: i64) -> Vec<f64> {
        let width = self.size.width_cells();
        self.shares(|y, x| {
            let from = i64::try_from(width - 1 - x).ok()?.checked_add(shift)?;
            usize::try_from(from).ok().filter(|&from| from < width).map(|from| (y, from))
        })
    }

    fn not_mirrored(&self) -> Vec<f64> {
        self.shares(|y, x| Some((y, x)))
    }

    fn upside_down(&self) -> Vec<f64> {
        let height = self.size.height_cells();
        self.shares(|y, x| Some((height - 1 - y, x)))
    }

    /// Returns the shares of the best shift by two or more columns. Strides and paddings shift cells by up to half a cell,
    /// which mirroring doubles.
    fn best_shift(&self) -> (i64, Vec<f64>) {
        let limit = (self.size.width_cells() as i64 / 2).min(4);
        let shifts = (2..=limit).flat_map(|by| [by, -by]).map(|by| (by, self.mirrored_back(by)));
        let mean = |shares: &[f64]| estimate(shares).value;
        shifts.max_by(|one, other| mean(&one.1).total_cmp(&mean(&other.1))).unwrap_or_default()
    }

    fn other_image(&self) -> Vec<f64> {
        let same = |pair: &[Vec<i32>]| {
            let same = pair[0].iter().zip(&pair[1]).filter(|(one, other)| one == other).count();
            same as f64 / self.size.cells() as f64
        };
        self.maps.windows(2).map(same).collect()
    }

    fn figures(&self) -> MirrorFigures {
        let (shift_columns, shifted) = self.best_shift();
        let other_image = self.other_image();
        MirrorFigures {
            mirrored_back: estimate(&self.mirrored_back(0)),
            not_mirrored: estimate(&self.not_mirrored()),
            upside_down: estimate(&self.upside_down()),
            shifted: (!shifted.is_empty()).then(|| estimate(&shifted)),
            shift_columns,
            other_image: (!other_image.is_empty()).then(|| estimate(&other_image)),
        }
    }

    fn evidence(&self) -> MirrorEvidence {
        /// A difference of shares that matters, and its significance.
        const MIN_DIFFERENCE: f64 = 0.05;
        const MIN_DEVIATE: f64 = 3.0;
        if self.maps.len() < MIN_IMAGES {
            return MirrorEvidence::Unclear;
        }
        let back = self.mirrored_back(0);
        let chance = estimate(&self.other_image()).value;
        let exceeds = |one: &[f64], other: &[f64]| {
            let difference = paired(one, other);
            difference.value >= MIN_DIFFERENCE && deviate(&difference, one.len()) >= MIN_DEVIATE
        };
        let (shift, shifted) = self.best_shift();
        let shift_text = format!("the mirrored map moved by {} columns", shift.abs());
        let rivals = [
            ("the map that is not mirrored", self.not_mirrored()),
            ("the map turned upside down", self.upside_down()),
            (shift_text.as_str(), shifted),
        ];
        let percent = |shares: &[f64]| 100.0 * estimate(shares).value;
        let fits = |shares: &[f64]| exceeds(shares, &back) && estimate(shares).value >= chance + MIN_DIFFERENCE;
        let rival = rivals.iter().filter(|(_, shares)| fits(shares));
        let rival = rival.max_by(|one, other| percent(&one.1).total_cmp(&percent(&other.1)));
        if let Some((name, shares)) = rival {
            return MirrorEvidence::Contradicts(format!(
                "the maps of {} mirrored images fit {name} ({:.0} % of cells have the same best class) better than the mirrored map \
                 ({:.0} %)",
                self.maps.len(),
                percent(shares),
                percent(&back),
            ));
        }
        if exceeds(&back, &rivals[0].1) { MirrorEvidence::Agrees } else { MirrorEvidence::Unclear }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Random images of 6 x 6 patches, whose best class is the patch; cell `order(y, x)` shows patch (y, x).
    fn mirrored(order: impl Fn(usize, usize) -> (usize, usize)) -> Mirrored {
        let size = MapSize::new(6, 6).unwrap();
        // Classes vary slowly, as objects do.
        let patch = |image: usize, y: usize, x: usize| (image * 31 + y / 2 * 7 + x / 2 * 3) as i32;
        let map = |image: usize, is_mirrored: bool| {
            let mut map = vec![0; 36];
            for y in 0..6 {
                for x in 0..6 {
                    let (to_y, to_x) = order(y, x);
                    map[to_y * 6 + to_x] = patch(image, y, if is_mirrored { 5 - x } else { x });
                }
            }
            map
        };
        Mirrored {
            maps: (0..8).map(|image| map(image, false)).collect(),
            of_mirror_images: (0..8).map(|image| map(image, true)).collect(),
            size,
        }
    }

    #[test]
    fn orders_of_cells_that_do_not_commute_with_mirroring_are_seen() {
        let seen = |order: fn(usize, usize) -> (usize, usize)| match mirrored(order).evidence() {
            MirrorEvidence::Agrees => "agrees".to_owned(),
            MirrorEvidence::Unclear => "unclear".to_owned(),
            MirrorEvidence::Contradicts(seen) => seen,
        };
        assert_eq!(seen(|y, x| (y, x)), "agrees");
        assert_eq!(seen(|y, x| (y, 5 - x)), "agrees", "only changed patches show this order");
        assert!(seen(|y, x| (x, y)).contains("upside down (100 %"), "{}", seen(|y, x| (x, y)));
        assert!(seen(|y, x| (y, (x + 1) % 6)).contains("moved by 2 columns"), "{}", seen(|y, x| (y, (x + 1) % 6)));
        let shuffled = seen(|y, x| ((y * 6 + x) * 5 % 36 / 6, (y * 6 + x) * 5 % 36 % 6));
        assert_ne!(shuffled, "agrees");
        let figures = mirrored(|y, x| (y, x)).figures();
        assert!(figures.mirrored_back.value > 0.99 && figures.not_mirrored.value < 0.5, "{figures:?}");
    }

    #[test]
    fn maps_that_do_not_depend_on_the_image_show_nothing() {
        let mut constant = mirrored(|y, x| (y, x));
        let map = constant.maps[0].clone();
        constant.maps.fill(map.clone());
        constant.of_mirror_images.fill(map);
        assert!(matches!(constant.evidence(), MirrorEvidence::Unclear));
        let few = mirrored(|y, x| (x, y));
        let few = Mirrored {
            maps: few.maps[..3].to_vec(),
            of_mirror_images: few.of_mirror_images[..3].to_vec(),
            size: few.size,
        };
        assert!(matches!(few.evidence(), MirrorEvidence::Unclear));
    }
}
