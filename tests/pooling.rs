use half::f16;
use ndarray::{Array2, Array3, Array4};
use ndarray_npy::NpzReader;
use proptest::prelude::*;
use relabel::shared::geometry::{Crop, InputSize, MapSize, UnitBox};
use relabel::shared::label_map::LabelMap;
use relabel::training::cutmix::CutRect;
use relabel::training::pool::{Convention, CropPooler, CropWeights, Fill, OutputSize, PoolOptions, Pooler};

use crate::common::data;

/// A dense map, `[class, y, x]`.
struct Dense {
    values: Vec<f32>,
    classes: usize,
    height: usize,
    width: usize,
}

impl Dense {
    fn of(map: &LabelMap, classes: usize, fill: f32) -> Self {
        let (height, width) = (map.size().height_cells(), map.size().width_cells());
        let mut values = vec![fill; classes * height * width];
        for rank in 0..map.k() {
            for y in 0..height {
                for x in 0..width {
                    let (score, class) = map.at(rank, y, x);
                    values[(class as usize * height + y) * width + x] = score.to_f32();
                }
            }
        }
        Self { values, classes, height, width }
    }

    /// The value that `roi_align` samples at a point: bilinear, 0 if more than one cell outside the map.
    fn sample(&self, class: usize, y: f32, x: f32) -> f32 {
        if y < -1.0 || y > self.height as f32 || x < -1.0 || x > self.width as f32 {
            return 0.0;
        }
        let corner = |at: f32, cells: usize| {
            let at = at.max(0.0);
            let low = (at as usize).min(cells - 1);
            let high = (low + 1).min(cells - 1);
            (low, high, if low == cells - 1 { 0.0 } else { at - low as f32 })
        };
        let ((y0, y1, fy), (x0, x1, fx)) = (corner(y, self.height), corner(x, self.width));
        let at = |y: usize, x: usize| self.values[(class * self.height + y) * self.width + x];
        (1.0 - fy) * ((1.0 - fx) * at(y0, x0) + fx * at(y0, x1)) + fy * ((1.0 - fx) * at(y1, x0) + fx * at(y1, x1))
    }

    /// `roi_align(aligned=False, sampling_ratio=-1)` of `[x0, y0, x1, y1]` in map coordinates, then softmax:
    /// `[class, row, column]`. `weight` gives the weight of a sample from its row and column in the part.
    fn pool(
        &self,
        roi: [f32; 4],
        rows: usize,
        columns: usize,
        weight: impl Fn(usize, usize, usize, usize) -> f64,
    ) -> Vec<f32> {
        let [x0, y0, x1, y1] = roi;
        let (part_height, part_width) = ((y1 - y0).max(1.0) / rows as f32, (x1 - x0).max(1.0) / columns as f32);
        let (samples_y, samples_x) = (part_height.ceil() as usize, part_width.ceil() as usize);
        let mut pooled = vec![0.0; self.classes * rows * columns];
        for row in 0..rows {
            for column in 0..columns {
                let scores: Vec<f64> = (0..self.classes)
                    .map(|class| {
                        let (mut sum, mut weights) = (0.0, 0.0);
                        for i in 0..samples_y {
                            let y = y0 + row as f32 * part_height + (i as f32 + 0.5) * part_height / samples_y as f32;
                            for j in 0..samples_x {
                                let x =
                                    x0 + column as f32 * part_width + (j as f32 + 0.5) * part_width / samples_x as f32;
                                let share = weight(i, samples_y, j, samples_x);
                                sum += f64::from(self.sample(class, y, x)) * share;
                                weights += share;
                            }
                        }
                        sum / weights
                    })
                    .collect();
                let top = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let total: f64 = scores.iter().map(|score| (score - top).exp()).sum();
                for (class, score) in scores.iter().enumerate() {
                    pooled[(class * rows + row) * columns + column] = ((score - top).exp() / total) as f32;
                }
            }
        }
        pooled
    }
}

fn max_difference(first: &[f32], second: &[f32]) -> f32 {
    assert_eq!(first.len(), second.len());
    first.iter().zip(second).map(|(first, second)| (first - second).abs()).fold(0.0, f32::max)
}

fn maps(classes: u32) -> impl Strategy<Value = LabelMap> {
    (1..=4_usize, 1..=17_usize, 1..=17_usize, any::<u64>()).prop_map(move |(k, height, width, seed)| {
        // Each cell has k different classes and descending scores.
        let mut state = seed | 1;
        let mut draw = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        let cells = height * width;
        let (mut scores, mut ids) = (vec![f16::ZERO; k * cells], vec![0; k * cells]);
        for cell in 0..cells {
            let (mut score, first, step) = (20.0 - draw(160) as f32 / 8.0, draw(u64::from(classes)), 1 + draw(3));
            for rank in 0..k {
                scores[rank * cells + cell] = f16::from_f32(score);
                ids[rank * cells + cell] = ((first + rank as u64 * step) % u64::from(classes)) as u32;
                score -= draw(40) as f32 / 8.0;
            }
        }
        LabelMap::from_rank_planes(&scores, &ids, k, MapSize::new(height, width).unwrap()).unwrap()
    })
}

/// Small and large boxes: inside, touching and crossing the edge, and outside.
fn boxes() -> impl Strategy<Value = UnitBox> {
    let position = prop_oneof![-1.5_f32..2.0, Just(0.0), 0.0_f32..1.0];
    let side = prop_oneof![0.001_f32..0.1, 0.05_f32..1.0, 0.5_f32..3.0, Just(1.0)];
    (position.clone(), position, side.clone(), side)
        .prop_map(|(x0, y0, width, height)| UnitBox::from_float32([x0, y0, x0 + width, y0 + height]).unwrap())
}

const CLASSES: usize = 13;

proptest! {
    #[test]
    fn random_maps_and_boxes_pool_like_dense_maps(
        map in maps(CLASSES as u32), unit in boxes(), rows in 1..4_usize, columns in 1..4_usize, is_flipped: bool,
        fill in prop_oneof![Just(0.0_f32), -8.0_f32..8.0], is_naver: bool,
    ) {
        let (height, width) = (map.size().height_cells() as f32, map.size().width_cells() as f32);
        let [x0, y0, x1, y1] = [unit.x0(), unit.y0(), unit.x1(), unit.y1()].map(|side| side as f32);
        let sides = if is_naver {
            [y0 * width, x0 * width, y1 * width, x1 * width]
        } else {
            [x0 * width, y0 * height, x1 * width, y1 * height]
        };
        let dense = Dense::of(&map, CLASSES, fill);
        let mut wanted = dense.pool(sides.map(|side| side - 0.5), rows, columns, |_, _, _, _| 1.0);
        if is_flipped {
            wanted.chunks_mut(columns).for_each(<[f32]>::reverse);
        }
        let convention = if is_naver { Convention::Naver } else { Convention::XFirst };
        let pooling = PoolOptions {
            output: OutputSize::new(rows, columns).unwrap(), fill: Fill::Constant(fill), convention, ..PoolOptions::default()
        };
        let mut target = vec![0.0_f32; wanted.len()];
        Pooler::new(CLASSES, pooling).pool(&map, Crop { unit_box: unit, is_flipped }, &mut target).unwrap();
        prop_assert!(max_difference(&target, &wanted) <= 1e-5, "{target:?} instead of {wanted:?}");
        let sparse = Pooler::new(CLASSES, pooling).pool_sparse(&map, Crop { unit_box: unit, is_flipped }).unwrap();
        for (part, sparse) in sparse.iter().enumerate() {
            let total: f32 = sparse.probs.iter().sum::<f32>() + sparse.rest;
            prop_assert!((total - 1.0).abs() < 1e-5);
            for (&class, &prob) in sparse.classes.iter().zip(&sparse.probs) {
                prop_assert!((prob - target[class as usize * rows * columns + part]).abs() < 1e-6);
            }
        }
    }

    #[test]
    fn crops_pooled_together_equal_crops_pooled_alone(
        map in maps(CLASSES as u32), other in maps(CLASSES as u32), boxes in prop::collection::vec(boxes(), 1..40),
        class in 0..CLASSES as u32,
    ) {
        let weights = CropWeights::new(map.size(), &boxes);
        let mut together = CropPooler::new(CLASSES, &weights);
        if other.size() != map.size() {
            prop_assert!(together.pool(&other, class).unwrap_err().to_string().contains(&other.size().to_string()));
        }
        // An earlier map has no effect.
        let other_classes = map.cell_classes().iter().map(|class| (class + 1) % CLASSES as u32).collect();
        let earlier = LabelMap::from_stored_cells(map.cell_scores().to_vec(), other_classes, map.k(), map.size()).unwrap();
        together.pool(&earlier, class).unwrap();
        let labels = together.pool(&map, class).unwrap();
        prop_assert_eq!(labels.len(), boxes.len());
        let mut alone = Pooler::new(CLASSES, PoolOptions::default());
        for (label, unit_box) in labels.iter().zip(boxes) {
            let target = alone.pool_sparse(&map, Crop::from(unit_box)).unwrap().swap_remove(0);
            // A box outside the map has no class.
            if let Some(&best) = target.classes.first() {
                prop_assert_eq!(label.best_class, best);
            }
            prop_assert!((label.prob - f64::from(target.prob_of(class, CLASSES))).abs() < 1e-6);
        }
    }

    /// The visible share of each sample is computed by counting pixels of the student's input.
    #[test]
    fn visible_regions_pool_as_brute_force_does(
        map in maps(CLASSES as u32), unit in boxes(), is_flipped: bool, lambda in 0.0_f64..1.0,
        centre_x in 0..24_u32, centre_y in 0..36_u32,
    ) {
        let input = InputSize::new(36, 24).unwrap();
        let rect = CutRect::around(input, lambda, centre_x, centre_y).unwrap();
        prop_assume!(!rect.is_empty() && rect.lambda() > 0.0);
        let [x0, y0, x1, y1] = rect.sides().map(|side| side as usize);
        // 27,720 points are divisible by every number of samples up to 12; larger boxes are skipped.
        let fine = |from: usize, to: usize, pixels: usize, at: usize, samples: usize| {
            let points = 27_720 / samples;
            let inside = (at * points..(at + 1) * points).filter(|point| {
                let pixel = (*point as f64 + 0.5) * pixels as f64 / 27_720.0;
                (from as f64..to as f64).contains(&pixel)
            });
            inside.count() as f64 / points as f64
        };
        let (height, width) = (map.size().height_cells() as f32, map.size().width_cells() as f32);
        let [left, upper, right, lower] = [unit.x0(), unit.y0(), unit.x1(), unit.y1()].map(|side| side as f32);
        prop_assume!((right - left) * width <= 12.0 && (lower - upper) * height <= 12.0);
        let roi = [left * width, upper * height, right * width, lower * height].map(|side| side - 0.5);
        let dense = Dense::of(&map, CLASSES, 0.0);
        let wanted = dense.pool(roi, 1, 1, |i, samples_y, j, samples_x| {
            let seen_j = if is_flipped { samples_x - 1 - j } else { j };
            1.0 - fine(y0, y1, 36, i, samples_y) * fine(x0, x1, 24, seen_j, samples_x)
        });
        let mut target = vec![0.0_f32; CLASSES];
        let crop = Crop { unit_box: unit, is_flipped };
        let hidden = rect.unit_from_input().unwrap();
        Pooler::new(CLASSES, PoolOptions::default()).pool_visible(&map, crop, hidden, &mut target).unwrap();
        prop_assert!(max_difference(&target, &wanted) <= 2e-3, "{target:?} instead of {wanted:?}");
    }

    /// A hidden region outside the crop does not change its target.
    #[test]
    fn a_crop_pasted_over_itself_keeps_its_classes(map in maps(CLASSES as u32), unit in boxes()) {
        let mut pooler = Pooler::new(CLASSES, PoolOptions::default());
        let hidden = UnitBox::new(0.25, 0.0, 0.75, 0.5).unwrap();
        let (mut complete, mut visible) = (vec![0.0_f32; CLASSES], vec![0.0_f32; CLASSES]);
        pooler.pool(&map, unit.into(), &mut complete).unwrap();
        pooler.pool_visible(&map, unit.into(), hidden, &mut visible).unwrap();
        let total: f32 = visible.iter().sum();
        prop_assert!((total - 1.0).abs() < 1e-5);
        pooler.pool_visible(&map, unit.into(), UnitBox::new(5.0, 5.0, 6.0, 6.0).unwrap(), &mut visible).unwrap();
        prop_assert!(max_difference(&visible, &complete) < 1e-6, "nothing is hidden");
    }
}

/// Targets computed by torchvision from float32 scores; the float16 scores of a label map change them by less than 0.001.
/// With stored scores, torchvision agrees to 1e-5 (`tests/python/training/test_pooling.py`).
#[test]
fn golden_boxes_pool_to_the_golden_targets() {
    let mut arrays = NpzReader::new(std::fs::File::open(data("golden/lite0.npz")).unwrap()).unwrap();
    let scores: Array4<f32> = arrays.by_name("scores").unwrap();
    let classes: Array4<i32> = arrays.by_name("classes").unwrap();
    let boxes: Array3<f64> = arrays.by_name("boxes").unwrap();
    let targets: Array3<f32> = arrays.by_name("targets").unwrap();
    let mut pooler = Pooler::new(1000, PoolOptions::default());
    let mut worst = 0.0_f32;
    for image in 0..scores.dim().0 {
        let image_scores: Vec<f16> =
            scores.index_axis(ndarray::Axis(0), image).iter().map(|&score| f16::from_f32(score)).collect();
        let ids: Vec<u32> = classes.index_axis(ndarray::Axis(0), image).iter().map(|&class| class as u32).collect();
        let map = LabelMap::from_rank_planes(&image_scores, &ids, 5, MapSize::new(7, 7).unwrap()).unwrap();
        let image_boxes: Array2<f64> = boxes.index_axis(ndarray::Axis(0), image).to_owned();
        for (number, sides) in image_boxes.outer_iter().enumerate() {
            let unit = UnitBox::new(sides[0], sides[1], sides[2], sides[3]).unwrap();
            let mut target = vec![0.0_f32; 1000];
            pooler.pool(&map, unit.into(), &mut target).unwrap();
            let wanted = targets.index_axis(ndarray::Axis(0), image);
            let wanted = wanted.index_axis(ndarray::Axis(0), number);
            worst = worst.max(max_difference(&target, wanted.as_slice().unwrap()));
        }
    }
    assert!(worst < 1e-3, "{worst}");
}
