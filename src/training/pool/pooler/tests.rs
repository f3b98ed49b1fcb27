use half::f16;

use super::super::coco_rle::CocoRle;
use super::super::mask_size::MaskSize;
use super::super::mask_weights::MaskResize;
use super::super::options::Fill;
use super::super::pixel_mask::{PixelMask, PixelOrder};
use super::*;
use crate::shared::geometry::MapSize;

const CLASSES: usize = 6;

/// 2x2 cells, top 1: classes 0 1 / 2 3 with scores 4 3 / 2 1.
fn map() -> LabelMap {
    let scores = [4.0, 3.0, 2.0, 1.0].map(f16::from_f32).to_vec();
    LabelMap::from_stored_cells(scores, vec![0, 1, 2, 3], 1, MapSize::new(2, 2).unwrap()).unwrap()
}

fn pooled(options: PoolOptions, crop: Crop) -> Vec<f32> {
    let mut target = vec![0.0_f32; CLASSES * options.output.parts()];
    Pooler::new(CLASSES, options).pool(&map(), crop, &mut target).unwrap();
    target
}

fn softmax(scores: &[f64]) -> Vec<f32> {
    let total: f64 = scores.iter().map(|score| score.exp()).sum();
    scores.iter().map(|score| (score.exp() / total) as f32).collect()
}

fn assert_close(found: &[f32], wanted: &[f32]) {
    assert_eq!(found.len(), wanted.len());
    for (found_value, wanted_value) in found.iter().zip(wanted) {
        assert!((found_value - wanted_value).abs() < 1e-6, "{found:?} instead of {wanted:?}");
    }
}

#[test]
fn the_target_of_the_entire_image_is_the_mean_of_its_cells() {
    let wanted = softmax(&[1.0, 0.75, 0.5, 0.25, 0.0, 0.0]);
    assert_close(&pooled(PoolOptions::default(), UnitBox::WHOLE.into()), &wanted);
}

#[test]
fn x_goes_along_columns_and_the_public_readers_swap_it() {
    let upper_right: Crop = UnitBox::new(0.75, 0.0, 1.0, 0.25).unwrap().into();
    let best = |target: Vec<f32>| (0..CLASSES).max_by(|&a, &b| target[a].total_cmp(&target[b])).unwrap();
    assert_eq!(best(pooled(PoolOptions::default(), upper_right)), 1);
    assert_eq!(best(pooled(PoolOptions { convention: Convention::Naver, ..PoolOptions::default() }, upper_right)), 2);
}

#[test]
fn parts_of_a_flipped_crop_are_mirrored() {
    let options = PoolOptions { output: OutputSize::new(1, 2).unwrap(), ..PoolOptions::default() };
    let straight = pooled(options, UnitBox::WHOLE.into());
    let flipped = pooled(options, Crop { unit_box: UnitBox::WHOLE, is_flipped: true });
    let mirrored: Vec<f32> = straight.chunks(2).flat_map(|parts| [parts[1], parts[0]]).collect();
    assert_eq!(flipped, mirrored);
    assert_ne!(straight, flipped);
}

#[test]
fn sparse_targets_equal_dense_ones() {
    let crop = UnitBox::new(0.0, 0.0, 0.6, 1.0).unwrap().into();
    let dense = pooled(PoolOptions::default(), crop);
    let sparse = Pooler::new(CLASSES, PoolOptions::default()).pool_sparse(&map(), crop).unwrap().remove(0);
    let each_of_rest = sparse.rest / (CLASSES - sparse.classes.len()) as f32;
    let mut again = vec![each_of_rest; CLASSES];
    for (&class, &prob) in sparse.classes.iter().zip(&sparse.probs) {
        again[class as usize] = prob;
    }
    assert_close(&again, &dense);
    assert!(sparse.probs.is_sorted_by(|a, b| a >= b));
}

#[test]
fn the_best_classes_of_a_sparse_target_are_kept_and_the_others_added_to_the_rest() {
    let crop: Crop = UnitBox::WHOLE.into();
    let options = PoolOptions { output: OutputSize::new(1, 2).unwrap(), ..PoolOptions::default() };
    let complete = Pooler::new(CLASSES, options).pool_sparse(&map(), crop).unwrap();
    for top in [1, 2, 3, usize::MAX] {
        let mut visited = Vec::new();
        let visit = |part: usize, target: &SparseTarget| visited.push((part, target.clone()));
        Pooler::new(CLASSES, options).for_each_sparse(&map(), crop, top, visit).unwrap();
        assert_eq!(visited.len(), 2);
        for (part, target) in visited {
            let (kept, dropped) = complete[part].probs.split_at(top.min(complete[part].probs.len()));
            assert_eq!((&target.classes[..], &target.probs[..]), (&complete[part].classes[..kept.len()], kept));
            let rest = complete[part].rest + dropped.iter().sum::<f32>();
            assert!((target.rest - rest).abs() < 1e-6, "{} instead of {rest}", target.rest);
            let shortened = complete[part].clone().with_top(top);
            assert_eq!((&shortened.classes, &shortened.probs), (&target.classes, &target.probs));
            assert!((shortened.rest - target.rest).abs() < 1e-6);
        }
    }
}

#[test]
fn temperature_and_constant_fill_act_on_pooled_scores() {
    let options = PoolOptions {
        temperature: Temperature::new(2.0).unwrap(),
        fill: Fill::Constant(-3.0),
        ..PoolOptions::default()
    };
    // Each class is in one of four cells, the fill in the other three.
    let scores = [4.0, 3.0, 2.0, 1.0, -3.0, -3.0].map(|score| (score - 9.0) / 4.0 / 2.0);
    let absent = -3.0 / 2.0;
    let wanted = softmax(&[scores[0], scores[1], scores[2], scores[3], absent, absent]);
    assert_close(&pooled(options, UnitBox::WHOLE.into()), &wanted);
    for bad in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        assert!(Temperature::new(bad).is_err());
    }
}

#[test]
fn the_rest_is_what_the_teacher_predicted_for_absent_classes() {
    // One cell, 6 classes: softmax is 0.5 for class 2 and 0.1 for each other.
    let lse = 3.0_f32;
    let score = f16::from_f32(lse + 0.5_f32.ln());
    let map = LabelMap::from_stored_cells(vec![score], vec![2], 1, MapSize::new(1, 1).unwrap()).unwrap();
    let options = PoolOptions { fill: Fill::Rest, ..PoolOptions::default() };
    let mut target = vec![0.0_f32; CLASSES];
    let without = Pooler::new(CLASSES, options).pool(&map, UnitBox::WHOLE.into(), &mut target);
    assert!(without.unwrap_err() == PoolError::NoLse);
    let map = map.with_lse(&[lse]).unwrap();
    Pooler::new(CLASSES, options).pool(&map, UnitBox::WHOLE.into(), &mut target).unwrap();
    for (class, prob) in target.iter().enumerate() {
        let wanted = if class == 2 { 0.5 } else { 0.1 };
        assert!((prob - wanted).abs() < 1e-3, "class {class}: {prob}");
    }
}

#[test]
fn a_class_that_the_teacher_does_not_have_is_an_error_and_clears_the_sums() {
    let mut pooler = Pooler::new(3, PoolOptions::default());
    let mut target = vec![0.0_f32; 3];
    assert!(pooler.pool(&map(), UnitBox::WHOLE.into(), &mut target).unwrap_err().to_string().contains("class id 3"));
    let upper_left = UnitBox::new(0.0, 0.0, 0.2, 0.2).unwrap();
    pooler.pool(&map(), upper_left.into(), &mut target).unwrap();
    let mut fresh = vec![0.0_f32; 3];
    Pooler::new(3, PoolOptions::default()).pool(&map(), upper_left.into(), &mut fresh).unwrap();
    assert_eq!(target, fresh);
}

#[test]
fn nothing_hidden_is_the_crop_itself_and_a_hidden_half_leaves_the_other() {
    let mut pooler = Pooler::new(CLASSES, PoolOptions::default());
    let mut visible = |hidden: [f64; 4], is_flipped: bool| {
        let mut target = vec![0.0_f32; CLASSES];
        let [x0, y0, x1, y1] = hidden;
        let hidden = UnitBox::new(x0, y0, x1, y1).unwrap();
        pooler.pool_visible(&map(), Crop { unit_box: UnitBox::WHOLE, is_flipped }, hidden, &mut target).unwrap();
        target
    };
    assert_close(&visible([2.0, 2.0, 3.0, 3.0], false), &pooled(PoolOptions::default(), UnitBox::WHOLE.into()));
    assert_close(&visible([0.0, 0.0, 1.0, 1.0], false), &pooled(PoolOptions::default(), UnitBox::WHOLE.into()));
    let right_cells = softmax(&[0.0, 1.5, 0.0, 0.5, 0.0, 0.0]);
    assert_close(&visible([0.0, 0.0, 0.5, 1.0], false), &right_cells);
    assert_close(&visible([0.5, 0.0, 1.0, 1.0], true), &right_cells);
    // An L: three of four cells.
    assert_close(&visible([0.0, 0.0, 0.5, 0.5], false), &softmax(&[0.0, 1.0, 2.0 / 3.0, 1.0 / 3.0, 0.0, 0.0]));
}

/// Pools the pixels of a mask of 2 rows.
fn pooled_mask(options: PoolOptions, pixels: &[u8]) -> Vec<f32> {
    let size = MaskSize::new(2, pixels.len() / 2).unwrap();
    let mask = PixelMask::new(size, pixels, PixelOrder::Rows).unwrap();
    let weights = MaskWeights::from_pixels(&mask, map().size(), MaskResize::Linear);
    let mut target = vec![0.0_f32; CLASSES];
    Pooler::new(CLASSES, options).pool_mask(&map(), &weights, &mut target).unwrap();
    target
}

#[test]
fn the_target_of_a_mask_is_the_mean_of_its_cells() {
    let options = PoolOptions::default();
    assert_close(&pooled_mask(options, &[1; 4]), &pooled(options, UnitBox::WHOLE.into()));
    assert_close(&pooled_mask(options, &[0, 1, 0, 0]), &softmax(&[0.0, 3.0, 0.0, 0.0, 0.0, 0.0]));
    // An L: three of four cells.
    assert_close(&pooled_mask(options, &[1, 0, 1, 1]), &softmax(&[4.0 / 3.0, 0.0, 2.0 / 3.0, 1.0 / 3.0, 0.0, 0.0]));
    let filled = PoolOptions { fill: Fill::Constant(-1.0), temperature: Temperature::new(0.5).unwrap(), ..options };
    assert_close(&pooled_mask(filled, &[1, 1, 0, 0]), &softmax(&[3.0, 2.0, -2.0, -2.0, -2.0, -2.0]));
}

#[test]
fn a_mask_for_maps_of_another_size_is_an_error() {
    let mask = CocoRle::from_counts(MaskSize::new(4, 4).unwrap(), &[0, 16]).unwrap();
    let weights = MaskWeights::from_coco_rle(&mask, MapSize::new(7, 7).unwrap(), MaskResize::Linear);
    let mut target = vec![0.0_f32; CLASSES];
    let error = Pooler::new(CLASSES, PoolOptions::default()).pool_mask(&map(), &weights, &mut target).unwrap_err();
    assert_eq!(error.to_string(), "a map of 2x2 cells, expected 7x7");
}
