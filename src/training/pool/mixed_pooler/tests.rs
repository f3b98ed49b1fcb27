use half::f16;
use proptest::prelude::*;

use super::super::options::PoolOptions;
use super::super::pooler::Pooler;
use super::*;
use crate::shared::geometry::MapSize;
use crate::shared::label_map::{ImagePrediction, LabelMap, TileLabels};
use crate::shared::tiles::Tiles;

const CLASSES: usize = 6;

/// Only label maps, at temperature 1.
const MAPS: PoolingParameters = PoolingParameters { map_share_bias: 40.0, ..PoolingParameters::PREDICTIONS_BY_OVERLAP };

/// Only predictions.
const PREDICTIONS: PoolingParameters = PoolingParameters::PREDICTIONS_BY_OVERLAP;

fn unit_box([x0, y0, x1, y1]: [f64; 4]) -> UnitBox {
    UnitBox::new(x0, y0, x1, y1).unwrap()
}

/// Rows of cells, each cell with its best class and its score.
fn map(rows: &[&[(u32, f32)]]) -> LabelMap {
    let scores = rows.iter().flat_map(|row| row.iter().map(|&(_, score)| f16::from_f32(score))).collect();
    let classes = rows.iter().flat_map(|row| row.iter().map(|&(class, _)| class)).collect();
    LabelMap::from_stored_cells(scores, classes, 1, MapSize::new(rows.len(), rows[0].len()).unwrap()).unwrap()
}

fn prediction(probs: &[(u32, f32)]) -> ImagePrediction {
    let (classes, probs): (Vec<u32>, Vec<f16>) =
        probs.iter().map(|&(class, prob)| (class, f16::from_f32(prob))).unzip();
    ImagePrediction::from_stored(probs, classes).unwrap()
}

/// An image of two cells, and its left half as its only tile.
fn labels(with_maps: bool) -> (ImageLabels, LabelSources) {
    let tile = TileLabels {
        prediction: prediction(&[(1, 0.75)]),
        map: with_maps.then(|| map(&[&[(4, 2.0), (4, 1.0)], &[(4, 1.0), (4, 4.0)]])),
    };
    let labels = ImageLabels {
        map: Some(map(&[&[(0, 3.0), (2, 5.0)]])),
        prediction: prediction(&[(0, 0.5), (1, 0.25)]),
        tiles: vec![tile],
    };
    let tiles = Tiles::new("half.csv".into(), vec![unit_box([0.0, 0.0, 0.5, 1.0])], 1, with_maps).unwrap();
    (labels, LabelSources::new(true, Some(&tiles)))
}

fn pooled(labels: &ImageLabels, sources: &LabelSources, parameters: PoolingParameters, crop: UnitBox) -> Vec<f64> {
    let mut target = vec![0.0_f64; CLASSES];
    MixedPooler::new(CLASSES, parameters, sources.clone()).pool(labels, crop, &mut target).unwrap();
    target
}

fn softmax(scores: [f64; CLASSES], temperature: f64) -> Vec<f64> {
    let exponentials = scores.map(|score| (score / temperature).exp());
    exponentials.iter().map(|exponential| exponential / exponentials.iter().sum::<f64>()).collect()
}

fn tempered(probs: [f64; CLASSES], temperature: f64) -> Vec<f64> {
    softmax(probs.map(f64::ln), temperature)
}

/// Weighted sum of distributions.
fn sum(terms: &[(f64, Vec<f64>)]) -> Vec<f64> {
    (0..CLASSES).map(|class| terms.iter().map(|(share, probs)| share * probs[class]).sum()).collect()
}

#[track_caller]
fn assert_close(found: &[f64], wanted: &[f64], tolerance: f64) {
    assert_eq!(found.len(), wanted.len());
    let worst = found.iter().zip(wanted).map(|(found, wanted)| (found - wanted).abs()).fold(0.0, f64::max);
    assert!(worst <= tolerance, "{found:?} instead of {wanted:?}");
}

#[test]
fn all_sources_are_mixed_by_share() {
    let (labels, sources) = labels(true);
    let parameters = PoolingParameters {
        map_temperature: 1.5,
        map_temperature_exponent: -0.5,
        prediction_temperature: 2.0,
        prediction_temperature_exponent: 0.25,
        map_share_bias: 0.5,
        map_share_slope: 1.0,
        overlap_sharpness: 3.0,
        tile_bias: 0.25,
        tile_map_bias: -0.5,
    };
    // The upper left quarter of the image. Overlaps: 1/4 with the image, 1/2 with the tile.
    let crop = unit_box([0.0, 0.0, 0.5, 0.5]);
    let map_share = 1.0 / (1.0 + (-(0.5 + 0.25_f64.ln())).exp());
    let group =
        |image: f64, tile: f64| [image.exp() / (image.exp() + tile.exp()), tile.exp() / (image.exp() + tile.exp())];
    let [image_map, tile_map] = group(0.75, 1.5 - 0.5);
    let [image_prediction, tile_prediction] = group(0.75, 1.5 + 0.25);
    let (map_temperature, prediction_temperature) = (1.5 * 2.0, 2.0 * 0.25_f64.powf(0.25));
    // Of the image's map the crop is the left cell. Of the tile's map it is the upper row, whose mean is 1.5.
    let wanted = sum(&[
        (map_share * image_map, softmax([3.0, 0.0, 0.0, 0.0, 0.0, 0.0], map_temperature)),
        (map_share * tile_map, softmax([0.0, 0.0, 0.0, 0.0, 1.5, 0.0], map_temperature)),
        (
            (1.0 - map_share) * image_prediction,
            tempered([0.5, 0.25, 0.0625, 0.0625, 0.0625, 0.0625], prediction_temperature),
        ),
        ((1.0 - map_share) * tile_prediction, tempered([0.05, 0.75, 0.05, 0.05, 0.05, 0.05], prediction_temperature)),
    ]);
    assert_close(&pooled(&labels, &sources, parameters, crop), &wanted, 1e-12);
}

#[test]
fn label_maps_alone_are_label_pooling() {
    let (labels, sources) = labels(true);
    let sources = sources.without_tile_maps();
    for crop in [[0.0, 0.0, 1.0, 1.0], [0.1, 0.2, 0.7, 0.9], [-2.0, 0.5, 0.25, 3.0], [1.5, 1.5, 2.0, 2.0]].map(unit_box)
    {
        let mut wanted = vec![0.0_f64; CLASSES];
        let map = labels.map.as_ref().unwrap();
        Pooler::new(CLASSES, PoolOptions::default()).pool(map, crop.into(), &mut wanted).unwrap();
        assert_close(&pooled(&labels, &sources, MAPS, crop), &wanted, 1e-12);
        let mut without_predictions = labels.clone();
        without_predictions.tiles.clear();
        assert_close(&pooled(&without_predictions, &sources, MAPS, crop), &wanted, 1e-12);
    }
}

#[test]
fn the_prediction_alone_is_that_of_the_image_for_any_crop() {
    let (labels, sources) = labels(false);
    let alone = ImageLabels { map: None, tiles: Vec::new(), ..labels };
    let wanted = [0.5, 0.25, 0.0625, 0.0625, 0.0625, 0.0625];
    for crop in [[0.0, 0.0, 1.0, 1.0], [0.1, 0.2, 0.7, 0.9], [1.5, 1.5, 2.0, 2.0]].map(unit_box) {
        // Label maps without a share, and a store without label maps, whose share goes to predictions.
        assert_close(&pooled(&alone, &sources.clone().with_tiles(&[]), PREDICTIONS, crop), &wanted, 1e-12);
        assert_close(&pooled(&alone, &LabelSources::new(false, None), MAPS, crop), &wanted, 1e-12);
    }
}

#[test]
fn predictions_keep_a_rest_and_lose_no_class() {
    let labels = |probs: &[(u32, f32)]| ImageLabels { map: None, prediction: prediction(probs), tiles: Vec::new() };
    let pooled =
        |probs: &[(u32, f32)]| pooled(&labels(probs), &LabelSources::new(false, None), PREDICTIONS, UnitBox::WHOLE);
    let rest = 1.0 / 4096.0;
    let tiny = 1.0 / 16_777_216.0;
    let total = 1.0 + tiny + rest;
    assert_close(
        &pooled(&[(3, 1.0), (0, 0.0)]),
        &[tiny, rest / 4.0, rest / 4.0, 1.0, rest / 4.0, rest / 4.0].map(|prob| prob / total),
        1e-15,
    );
    let all = [(0, 0.5), (1, 0.25), (2, 0.125), (3, 0.0625), (4, 0.03125), (5, 0.03125)];
    assert_close(&pooled(&all), &all.map(|(_, prob)| f64::from(prob)), 1e-15);
}

#[test]
fn sparse_targets_are_sorted_and_equal_dense_ones() {
    let (labels, sources) = labels(true);
    let parameters = PoolingParameters { map_share_bias: 0.0, ..PREDICTIONS };
    let crop = unit_box([0.0, 0.0, 0.8, 0.8]);
    let dense = pooled(&labels, &sources, parameters, crop);
    let sparse = MixedPooler::new(CLASSES, parameters, sources).pool_sparse(&labels, crop).unwrap();
    assert!(sparse.probs.is_sorted_by(|first, second| first >= second));
    for (class, &prob) in dense.iter().enumerate() {
        assert!((f64::from(sparse.prob_of(class as u32, CLASSES)) - prob).abs() < 1e-7, "class {class}");
    }
    // Classes with the same probability: the lower id comes first.
    let tied = ImageLabels { prediction: prediction(&[(5, 0.25), (2, 0.25), (4, 0.25)]), ..labels };
    let mut pooler = MixedPooler::new(CLASSES, PREDICTIONS, LabelSources::new(false, None));
    assert_eq!(pooler.pool_sparse(&tied, crop).unwrap().classes, [2, 4, 5]);
}

#[test]
fn only_labels_with_a_share_are_needed() {
    let (labels, sources) = labels(true);
    let crop = unit_box([0.0, 0.0, 0.5, 0.5]);
    let needed = |parameters: PoolingParameters, sources: &LabelSources| {
        MixedPooler::new(CLASSES, parameters, sources.clone()).needed_labels(crop.into(), None)
    };
    let all = PoolingParameters { map_share_bias: 0.0, ..PREDICTIONS };
    assert_eq!(needed(all, &sources), NeededLabels { map: true, tile_predictions: true, tile_maps: true });
    assert_eq!(needed(PREDICTIONS, &sources), NeededLabels { tile_predictions: true, ..NeededLabels::default() });
    let only_tile = PoolingParameters { tile_map_bias: 40.0, ..MAPS };
    assert_eq!(needed(only_tile, &sources), NeededLabels { tile_maps: true, ..NeededLabels::default() });
    assert_eq!(needed(MAPS, &sources.clone().without_maps().with_tiles(&[])), NeededLabels::default());
    let without_map = ImageLabels { map: None, ..labels.clone() };
    let wanted = pooled(&labels, &sources, PREDICTIONS, crop);
    assert_eq!(pooled(&without_map, &sources, PREDICTIONS, crop), wanted);
    for (missing, named) in [
        (without_map, "no label map,"),
        (ImageLabels { tiles: Vec::new(), ..labels.clone() }, "no labels of the tiles,"),
        (
            ImageLabels { tiles: vec![TileLabels { map: None, ..labels.tiles[0].clone() }], ..labels.clone() },
            "no label maps of the tiles,",
        ),
    ] {
        let mut pooler = MixedPooler::new(CLASSES, all, sources.clone());
        let message = pooler.pool_sparse(&missing, crop).unwrap_err().to_string();
        assert!(message.starts_with(named), "{message}");
    }
}

#[test]
fn a_class_that_the_teacher_does_not_have_is_an_error_and_leaves_no_trace() {
    let (labels, sources) = labels(true);
    let parameters = PoolingParameters { map_share_bias: 0.0, ..PREDICTIONS };
    let mut pooler = MixedPooler::new(CLASSES, parameters, sources.clone());
    let bad_map = ImageLabels { map: Some(map(&[&[(0, 3.0), (6, 5.0)]])), ..labels.clone() };
    let bad_prediction = ImageLabels { prediction: prediction(&[(7, 0.5)]), ..labels.clone() };
    for (bad, class) in [(bad_map, 6), (bad_prediction, 7)] {
        let error = pooler.pool_sparse(&bad, UnitBox::WHOLE).unwrap_err();
        assert_eq!(error, PoolError::ClassId { class, class_count: CLASSES });
    }
    let mut target = vec![0.0_f64; CLASSES];
    pooler.pool(&labels, UnitBox::WHOLE, &mut target).unwrap();
    assert_eq!(target, pooled(&labels, &sources, parameters, UnitBox::WHOLE));
}

#[test]
fn maps_are_pooled_over_the_visible_part() {
    let (labels, sources) = labels(true);
    let visible = |hidden: [f64; 4], is_flipped: bool, parameters: PoolingParameters| {
        let mut target = vec![0.0_f64; CLASSES];
        let crop = Crop { unit_box: UnitBox::WHOLE, is_flipped };
        let mut pooler = MixedPooler::new(CLASSES, parameters, sources.clone());
        pooler.pool_visible(&labels, crop, unit_box(hidden), &mut target).unwrap();
        target
    };
    let tile_map = PoolingParameters { tile_map_bias: 40.0, ..MAPS };
    for parameters in [MAPS, PREDICTIONS, tile_map] {
        let all = pooled(&labels, &sources, parameters, UnitBox::WHOLE);
        assert_close(&visible([2.0, 2.0, 3.0, 3.0], false, parameters), &all, 1e-12);
    }
    // The right half of the crop is pasted over: all of the tile remains visible.
    let all_of_tile = softmax([0.0, 0.0, 0.0, 0.0, 2.0, 0.0], 1.0);
    assert_close(&visible([0.5, 0.0, 1.0, 1.0], false, tile_map), &all_of_tile, 1e-12);
    assert_close(&visible([0.0, 0.0, 0.5, 1.0], true, tile_map), &all_of_tile, 1e-12);
    // Three quarters are pasted over: of the tile, its lower row remains visible.
    assert_close(&visible([0.0, 0.0, 1.0, 0.5], false, tile_map), &softmax([0.0, 0.0, 0.0, 0.0, 2.5, 0.0], 1.0), 1e-12);
    // The tile is hidden, and its share goes to the map of the image, whose right cell is visible.
    let right_cell = softmax([0.0, 0.0, 5.0, 0.0, 0.0, 0.0], 1.0);
    assert_close(&visible([0.0, 0.0, 0.5, 1.0], false, tile_map), &right_cell, 1e-12);
    let hidden_tile = MixedPooler::new(CLASSES, tile_map, sources.clone())
        .needed_labels(UnitBox::WHOLE.into(), Some(unit_box([0.0, 0.0, 0.5, 1.0])));
    assert_eq!(hidden_tile, NeededLabels { map: true, ..NeededLabels::default() });
}

/// The pooled scores of all classes as `roi_align` computes them from a dense map.
fn dense_scores(map: &LabelMap, crop: UnitBox) -> Vec<f64> {
    let (height, width) = (map.size().height_cells(), map.size().width_cells());
    let samples = |[start, end]: [f32; 2]| {
        let length = (end - start).max(1.0);
        let count = length.ceil() as usize;
        (0..count).map(move |at| start + (at as f32 + 0.5) * length / count as f32).collect::<Vec<_>>()
    };
    let corners = |at: f32, cells: usize| {
        let at = at.max(0.0).min(cells as f32 - 1.0);
        let low = at as usize;
        [(low, 1.0 - f64::from(at - low as f32)), ((low + 1).min(cells - 1), f64::from(at - low as f32))]
    };
    let (rows, columns) = (samples(crop.map_y_from_unit(height)), samples(crop.map_x_from_unit(width)));
    let mut scores = vec![0.0; CLASSES];
    for &y in &rows {
        for &x in &columns {
            if !(-1.0..=height as f32).contains(&y) || !(-1.0..=width as f32).contains(&x) {
                continue;
            }
            for (cell_y, weight_y) in corners(y, height) {
                for (cell_x, weight_x) in corners(x, width) {
                    let (cell_scores, classes) = map.cell(cell_y * width + cell_x);
                    for (score, &class) in cell_scores.iter().zip(classes) {
                        let share = weight_y * weight_x / (rows.len() * columns.len()) as f64;
                        scores[class as usize] += share * score.to_f64();
                    }
                }
            }
        }
    }
    scores
}

/// The target as `docs/calibrated-pooling.md` defines it, from dense maps and dense predictions.
fn dense_target(labels: &ImageLabels, tiles: &[UnitBox], p: PoolingParameters, crop: UnitBox) -> Vec<f64> {
    let clamped = |box_: UnitBox| box_.sides().map(|side| side.clamp(0.0, 1.0));
    let area = |[x0, y0, x1, y1]: [f64; 4]| (x1 - x0).max(0.0) * (y1 - y0).max(0.0);
    let (a, b) = (area(clamped(crop)), clamped(crop));
    let common = |tile: UnitBox| {
        let t = tile.sides();
        [b[0].max(t[0]), b[1].max(t[1]), b[2].min(t[2]), b[3].min(t[3])]
    };
    let overlap = |tile: UnitBox| area(common(tile)) / (a + area(tile.sides()) - area(common(tile))).max(1e-300);
    let a = a.max(1.0 / 1024.0);
    let map_temperature = p.map_temperature * a.powf(p.map_temperature_exponent);
    let prediction_temperature = p.prediction_temperature * a.powf(p.prediction_temperature_exponent);
    let normalised = |values: Vec<f64>| -> Vec<f64> {
        let total: f64 = values.iter().sum();
        values.into_iter().map(|value| value / total).collect()
    };
    let distribution = |logits: Vec<f64>, temperature: f64| {
        let top = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        normalised(logits.iter().map(|logit| ((logit - top) / temperature).exp()).collect())
    };
    let dense_prediction = |prediction: &ImagePrediction| {
        let kept: Vec<f64> = prediction.probs().iter().map(|prob| prob.to_f64().max(2.0_f64.powi(-24))).collect();
        let rest = (1.0 - kept.iter().sum::<f64>()).max(1.0 / 4096.0) / (CLASSES - kept.len()).max(1) as f64;
        let mut probs = vec![rest; CLASSES];
        prediction.classes().iter().zip(kept).for_each(|(&class, prob)| probs[class as usize] = prob);
        normalised(probs)
    };
    let predicted = |prediction: &ImagePrediction| {
        distribution(dense_prediction(prediction).iter().map(|prob| prob.ln()).collect(), prediction_temperature)
    };
    let mut maps = Vec::new();
    if let Some(map) = &labels.map {
        maps.push((
            p.overlap_sharpness * overlap(UnitBox::WHOLE),
            distribution(dense_scores(map, crop), map_temperature),
        ));
    }
    let mut predictions = vec![(p.overlap_sharpness * overlap(UnitBox::WHOLE), predicted(&labels.prediction))];
    for (tile, &box_) in labels.tiles.iter().zip(tiles) {
        let logit = p.overlap_sharpness * overlap(box_);
        predictions.push((logit + p.tile_bias, predicted(&tile.prediction)));
        let [x0, y0, x1, y1] = common(box_);
        if let Some(map) = tile.map.as_ref().filter(|_| x1 > x0 && y1 > y0) {
            let (width, height) = (box_.x1() - box_.x0(), box_.y1() - box_.y0());
            let inside = unit_box([
                (x0 - box_.x0()) / width,
                (y0 - box_.y0()) / height,
                (x1 - box_.x0()) / width,
                (y1 - box_.y0()) / height,
            ]);
            maps.push((logit + p.tile_map_bias, distribution(dense_scores(map, inside), map_temperature)));
        }
    }
    let mut map_share = 1.0 / (1.0 + (-(p.map_share_bias + p.map_share_slope * a.ln())).exp());
    if maps.is_empty() {
        map_share = 0.0;
    }
    let mut target = vec![0.0; CLASSES];
    for (share, group) in [(map_share, maps), (1.0 - map_share, predictions)] {
        let weights = distribution(group.iter().map(|(logit, _)| *logit).collect(), 1.0);
        for (weight, (_, probs)) in weights.iter().zip(&group) {
            target.iter_mut().zip(probs).for_each(|(sum, prob)| *sum += share * weight * prob);
        }
    }
    target
}

fn maps() -> impl Strategy<Value = LabelMap> {
    (1..=6_usize, 1..=6_usize, 1..=3_usize).prop_flat_map(|(height, width, k)| {
        let cell = (
            prop::sample::subsequence((0..CLASSES as u32).collect::<Vec<_>>(), k),
            prop::collection::vec(-8.0_f32..12.0, k),
        );
        prop::collection::vec(cell, height * width).prop_map(move |cells| {
            let classes = cells.iter().flat_map(|(classes, _)| classes.clone()).collect();
            let scores =
                cells.iter().flat_map(|(_, scores)| scores.iter().map(|&score| f16::from_f32(score))).collect();
            LabelMap::from_stored_cells(scores, classes, k, MapSize::new(height, width).unwrap()).unwrap()
        })
    })
}

fn predictions() -> impl Strategy<Value = ImagePrediction> {
    let ranked = (prop::sample::subsequence((0..CLASSES as u32).collect::<Vec<_>>(), 0..=CLASSES), 0.0_f32..1.1);
    ranked.prop_map(|(classes, total)| {
        let shares: Vec<f32> = (0..classes.len()).map(|rank| 0.4_f32.powi(rank as i32)).collect();
        let sum: f32 = shares.iter().sum();
        let probs = shares.iter().map(|share| f16::from_f32((total * share / sum).min(1.0))).collect();
        ImagePrediction::from_stored(probs, classes).unwrap()
    })
}

fn parameters() -> impl Strategy<Value = PoolingParameters> {
    let value = |low: f64, high: f64| prop_oneof![low..high, (low / 8.0)..(high / 8.0)];
    let temperature = || prop_oneof![0.5_f64..3.0, Just(1.0), 0.05_f64..50.0];
    let temperatures = (temperature(), value(-3.0, 3.0), temperature(), value(-3.0, 3.0));
    let shares = (value(-40.0, 40.0), value(-20.0, 20.0), value(0.0, 100.0), value(-40.0, 40.0), value(-40.0, 40.0));
    (temperatures, shares)
        .prop_map(|((a, b, c, d), (e, f, g, h, i))| PoolingParameters::from_values([a, b, c, d, e, f, g, h, i]))
}

/// Inside, touching and crossing the edge, outside, and larger than the image.
fn boxes() -> impl Strategy<Value = UnitBox> {
    let position = prop_oneof![-1.5_f64..2.0, Just(0.0), 0.0_f64..1.0, Just(0.5)];
    let side = prop_oneof![0.001_f64..0.1, 0.05_f64..1.0, 0.5_f64..3.0, Just(1.0), Just(0.5)];
    (position.clone(), position, side.clone(), side)
        .prop_map(|(x0, y0, width, height)| unit_box([x0, y0, x0 + width, y0 + height]))
}

fn tiles() -> impl Strategy<Value = Vec<UnitBox>> {
    let tile = (0.0_f64..0.7, 0.0_f64..0.7, 0.1_f64..0.3, 0.1_f64..0.3)
        .prop_map(|(x0, y0, width, height)| unit_box([x0, y0, x0 + width, y0 + height]));
    prop::collection::vec(tile, 0..4)
}

prop_compose! {
    fn images()(boxes in tiles(), has_map in any::<bool>(), with_tile_maps in any::<bool>())(
        map in maps(), prediction in predictions(), tiles in prop::collection::vec((predictions(), maps()), boxes.len()),
        boxes in Just(boxes), has_map in Just(has_map), with_tile_maps in Just(with_tile_maps),
    ) -> (ImageLabels, Vec<UnitBox>, bool) {
        let tiles = tiles.into_iter().map(|(prediction, map)| TileLabels { prediction, map: with_tile_maps.then_some(map) });
        (ImageLabels { map: has_map.then_some(map), prediction, tiles: tiles.collect() }, boxes, with_tile_maps)
    }
}

proptest! {
    #[test]
    fn random_labels_are_mixed_like_dense_ones(
        (labels, boxes, with_tile_maps) in images(), parameters in parameters(), crops in prop::collection::vec(boxes(), 1..4),
    ) {
        parameters.check().unwrap();
        let tiles = (!boxes.is_empty()).then(|| Tiles::new("boxes.csv".into(), boxes.clone(), 3, with_tile_maps).unwrap());
        let sources = LabelSources::new(labels.map.is_some(), tiles.as_ref());
        let mut pooler = MixedPooler::new(CLASSES, parameters, sources.clone());
        let mut mixture = Mixture::new(CLASSES);
        for crop in crops {
            let wanted = dense_target(&labels, &boxes, parameters, crop);
            let mut target = vec![0.0_f64; CLASSES];
            pooler.pool(&labels, crop, &mut target).unwrap();
            prop_assert!((target.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{target:?}");
            prop_assert!(target.iter().all(|prob| *prob >= 0.0), "{target:?}");
            // Shares below a millionth are left out, of at most 8 sources.
            let worst = target.iter().zip(&wanted).map(|(found, wanted)| (found - wanted).abs()).fold(0.0, f64::max);
            prop_assert!(worst < 2e-5, "{target:?} instead of {wanted:?}");
            let sparse = pooler.pool_sparse(&labels, crop).unwrap();
            let ingredients = SourcePooler::new(CLASSES, sources.clone()).ingredients(&labels, crop).unwrap();
            prop_assert_eq!(ingredients.mix(&parameters, &mut mixture), sparse);
            for (class, prob) in mixture.class_probs() {
                prop_assert_eq!(prob.to_bits(), target[class as usize].to_bits());
            }
        }
    }
}
