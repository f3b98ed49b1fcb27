use std::cell::Cell;

use half::f16;

use super::fit::{FittedParameters, fit};
use super::fit_crops::{FitCrops, FittedLabels};
use super::parameter_space::{IMAGE_MAP, IMAGE_PREDICTION, ParameterSpace};
use crate::evaluation::crop_fidelity::{CropPrediction, TeacherCrop};
use crate::inspection::random_crops::random_pixel_crops;
use crate::labelling::pixels::PixelCrop;
use crate::shared::error::Error;
use crate::shared::geometry::MapSize;
use crate::shared::label_map::{ImageLabels, ImagePrediction, LabelMap, TileLabels};
use crate::shared::pooling_parameters::PoolingParameters;
use crate::shared::random::SplitMix64;
use crate::shared::threads::thread_pool;
use crate::shared::tiles::{Covering, Tiles};
use crate::training::pool::{LabelSources, MixedPooler};

const CLASSES: usize = 12;

/// Parameters as a store may have them.
const KNOWN: PoolingParameters = PoolingParameters {
    map_temperature: 1.7,
    map_temperature_exponent: -0.25,
    prediction_temperature: 1.2,
    prediction_temperature_exponent: -0.1,
    map_share_bias: -0.8,
    map_share_slope: -0.4,
    overlap_sharpness: 6.0,
    tile_bias: 0.7,
    tile_map_bias: -0.5,
};

fn tiles(with_maps: bool) -> Tiles {
    Tiles::new("4".into(), Covering::Four.boxes(), 3, with_maps).unwrap()
}

/// Different classes, in random order.
fn classes(random: &mut SplitMix64, count: usize) -> Vec<u32> {
    let mut all: Vec<(u64, u32)> = (0..CLASSES as u32).map(|class| (random.next_u64(), class)).collect();
    all.sort_unstable();
    all.into_iter().take(count).map(|(_, class)| class).collect()
}

fn prediction(random: &mut SplitMix64) -> ImagePrediction {
    let first = random.uniform(0.3, 0.9);
    let probs = [first, (1.0 - first) * 0.5, (1.0 - first) * 0.25].map(f16::from_f64);
    ImagePrediction::from_stored(probs.to_vec(), classes(random, 3)).unwrap()
}

fn map(random: &mut SplitMix64) -> LabelMap {
    let size = MapSize::new(3, 3).unwrap();
    let (mut scores, mut ids) = (Vec::new(), Vec::new());
    for _ in 0..size.cells() {
        let best = random.uniform(1.0, 9.0);
        scores.extend([best, best * 0.6].map(f16::from_f64));
        ids.extend(classes(random, 2));
    }
    LabelMap::from_stored_cells(scores, ids, 2, size).unwrap()
}

fn labels(random: &mut SplitMix64, tiles: &Tiles) -> ImageLabels {
    let mut tile = |_: &_| TileLabels { prediction: prediction(random), map: tiles.with_maps().then(|| map(random)) };
    let of_tiles = tiles.boxes().iter().map(&mut tile).collect();
    ImageLabels { map: Some(map(random)), prediction: prediction(random), tiles: of_tiles }
}

/// A crop of random labels, whose teacher predicts the target of these parameters.
struct Example {
    row: usize,
    crop: PixelCrop,
    labels: ImageLabels,
    probs: Vec<f32>,
}

impl Example {
    fn crop(&self) -> TeacherCrop<'_> {
        TeacherCrop { row: self.row, index: 0, crop: self.crop, labels: &self.labels, probs: &self.probs }
    }
}

fn examples(images: usize, tiles: &Tiles, parameters: PoolingParameters) -> Vec<Example> {
    let mut random = SplitMix64::new(5);
    let mut pooler = MixedPooler::new(CLASSES, parameters, LabelSources::new(true, Some(tiles)));
    let mut of_image = |row: usize| {
        let labels = labels(&mut random, tiles);
        let mut example = |crop: PixelCrop| {
            let mut probs = vec![0.0_f32; CLASSES];
            pooler.pool(&labels, crop.unit_box(), &mut probs).unwrap();
            Example { row, crop, labels: labels.clone(), probs }
        };
        random_pixel_crops(6, row as u64, 300, 400).into_iter().map(&mut example).collect::<Vec<_>>()
    };
    (0..images).flat_map(&mut of_image).collect()
}

fn fit_crops(tiles: &Tiles, examples: &[Example]) -> FitCrops {
    let mut crops = FitCrops::new(CLASSES, true, Some(tiles));
    for example in examples {
        crops.add(&example.crop()).unwrap();
    }
    crops
}

fn fitted(tiles: &Tiles, crops: &FitCrops) -> FittedParameters {
    let divergence = |parameters: &PoolingParameters| crops.mean_divergence(FittedLabels::All, parameters);
    fit(&ParameterSpace::new(true, Some(tiles)), &divergence, &|| false).unwrap()
}

#[test]
fn known_parameters_are_found() {
    for with_maps in [true, false] {
        let tiles = tiles(with_maps);
        let crops = fit_crops(&tiles, &examples(25, &tiles, KNOWN));
        assert_eq!((crops.images(), crops.len()), (25, 150));
        let start = crops.mean_divergence(FittedLabels::All, &PoolingParameters::PREDICTIONS_BY_OVERLAP);
        let found = fitted(&tiles, &crops);
        assert!(start > 0.05 && found.divergence < 1e-4, "{start} {found:?}");
        let parameters = found.parameters;
        assert!((parameters.map_temperature - 1.7).abs() < 0.15, "{parameters:?}");
        assert!((parameters.overlap_sharpness - 6.0).abs() < 0.3, "{parameters:?}");
        assert!((parameters.map_share_bias + 0.8).abs() < 0.2, "{parameters:?}");
        parameters.check().unwrap();
    }
}

#[test]
fn a_teacher_that_equals_a_single_source_is_found_exactly() {
    let tiles = tiles(true);
    let maps_by_overlap = PoolingParameters { map_share_bias: 40.0, ..PoolingParameters::PREDICTIONS_BY_OVERLAP };
    for single in [IMAGE_PREDICTION, IMAGE_MAP, PoolingParameters::PREDICTIONS_BY_OVERLAP, maps_by_overlap] {
        let crops = fit_crops(&tiles, &examples(6, &tiles, single));
        let found = fitted(&tiles, &crops);
        assert!(found.divergence < 1e-6, "{single:?}: {found:?}");
    }
}

#[test]
fn fits_do_not_depend_on_the_number_of_threads() {
    let tiles = tiles(false);
    let crops = fit_crops(&tiles, &examples(8, &tiles, KNOWN));
    let with_threads = |count| thread_pool(count, "test").unwrap().install(|| fitted(&tiles, &crops));
    let one = with_threads(1);
    assert_eq!(one, with_threads(3));
    assert_eq!(one, fitted(&tiles, &fit_crops(&tiles, &examples(8, &tiles, KNOWN))));
    let decimals = one.parameters.values().map(|value| value * 10_000.0);
    assert!(decimals.iter().all(|value| (value - value.round()).abs() < 1e-6), "{decimals:?}");
}

#[test]
fn parameters_without_an_effect_are_fixed() {
    let fixed = PoolingParameters::PREDICTIONS_BY_OVERLAP.values();
    for (has_map, tiles, free) in [
        (false, None, vec![2, 3]),
        (true, None, vec![0, 1, 2, 3, 4, 5]),
        (false, Some(tiles(false)), vec![2, 3, 6, 7]),
        (true, Some(tiles(false)), vec![0, 1, 2, 3, 4, 5, 6, 7]),
        (true, Some(tiles(true)), vec![0, 1, 2, 3, 4, 5, 6, 7, 8]),
    ] {
        let space = ParameterSpace::new(has_map, tiles.as_ref());
        assert_eq!(space.dimensions(), free.len());
        let simplex = space.simplex(&KNOWN);
        assert_eq!(simplex.len(), free.len() + 1);
        let values: Vec<_> = simplex.iter().map(|coordinates| space.parameters(coordinates).values()).collect();
        for (at, fixed) in fixed.into_iter().enumerate() {
            let is_free = free.contains(&at);
            let wanted = if is_free { KNOWN.values()[at] } else { fixed };
            assert!((values[0][at] - wanted).abs() < 1e-9, "parameter {at}: {:?}", values[0]);
            let moved = values.iter().filter(|values| (values[at] - wanted).abs() > 0.1).count();
            assert_eq!(moved, usize::from(is_free), "parameter {at}");
        }
        for start in space.starts() {
            start.check().unwrap();
            assert_eq!(space.rounded(start), start, "starts have no fixed parameter with another value");
            let simplex = space.simplex(&start);
            assert!(simplex.iter().flatten().all(|coordinate| coordinate.is_finite()), "{start:?}");
            for coordinates in &simplex {
                space.parameters(coordinates).check().unwrap();
            }
        }
    }
    let far = ParameterSpace::new(true, Some(&tiles(true))).parameters(&[1e9; 9]);
    far.check().unwrap();
}

#[test]
fn a_request_to_stop_ends_the_fit() {
    let tiles = tiles(false);
    let crops = fit_crops(&tiles, &examples(4, &tiles, KNOWN));
    let calls = Cell::new(0);
    let divergence = |parameters: &PoolingParameters| {
        calls.set(calls.get() + 1);
        crops.mean_divergence(FittedLabels::All, parameters)
    };
    let stopped = fit(&ParameterSpace::new(true, Some(&tiles)), &divergence, &|| calls.get() >= 30);
    assert!(matches!(stopped, Err(Error::Interrupted)));
    assert_eq!(calls.get(), 30);
}

#[test]
fn divergences_are_those_of_crop_fidelity() {
    let tiles = tiles(true);
    let examples = examples(5, &tiles, IMAGE_MAP);
    let crops = fit_crops(&tiles, &examples);
    for (labels, used) in [(FittedLabels::All, Some(&tiles)), (FittedLabels::WithoutTiles, None)] {
        let mut pooler = MixedPooler::new(CLASSES, KNOWN, LabelSources::new(true, used));
        let mut scratch = Vec::new();
        let divergences = examples.iter().map(|example| {
            let target = pooler.pool_sparse(&example.labels, example.crop.unit_box()).unwrap();
            CropPrediction::new(&example.probs).compare(&target, &mut scratch).kl
        });
        let mean = divergences.sum::<f64>() / examples.len() as f64;
        let found = crops.mean_divergence(labels, &KNOWN);
        assert!((found - mean).abs() < 1e-5 * mean, "{labels:?}: {found} {mean}");
    }
}
