use std::num::NonZeroUsize;
use std::path::PathBuf;

use relabel::shared::geometry::{Crop, InputSize, UnitBox};
use relabel::shared::label_map::{ImageLabels, ImagePrediction, LabelMap, ScoreRounding, TileLabels};
use relabel::shared::pooling_parameters::PoolingParameters;
use relabel::shared::store::{
    Agreement, Calibration, CalibrationSample, MAPLESS_FORMAT_VERSION, RowState, StoreInfo, StoreReader, StoreWriter,
    WriterOptions, encode_shard,
};
use relabel::shared::tiles::{Covering, Tiles};
use relabel::training::cutmix::CutRect;
use relabel::training::labels::{CropPooling, Labels, PastedBatch, PoolingKind};
use relabel::training::pool::{LabelSources, MixedPooler};

use crate::synthetic_store::{IMAGES, info, manifest, shard_labels};

/// All kinds of labels count.
const PARAMETERS: PoolingParameters = PoolingParameters {
    map_temperature: 1.5,
    map_temperature_exponent: -0.25,
    prediction_temperature: 1.25,
    prediction_temperature_exponent: 0.125,
    map_share_bias: 0.5,
    map_share_slope: 0.5,
    overlap_sharpness: 4.0,
    tile_bias: 0.5,
    tile_map_bias: -0.25,
};

struct Store {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

/// A synthetic store with five tiles, or with none.
fn store(has_map: bool, tile_maps: Option<bool>) -> Store {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("labels");
    let map_size = info().map_size;
    let tiles = tile_maps.map(|with_maps| Tiles::new("5".into(), Covering::Five.boxes(), 2, with_maps).unwrap());
    let mut info = StoreInfo { tiles, map_size: map_size.filter(|_| has_map), ..info() };
    if !has_map {
        info.format_version = MAPLESS_FORMAT_VERSION;
    }
    let store = StoreWriter::create(&path, info, &manifest(), WriterOptions::default()).unwrap();
    for shard in store.part_state(&|_| ()).unwrap().to_do {
        let with_map = StoreInfo { map_size, ..store.info().clone() };
        let mut labels = shard_labels(&with_map, shard);
        for (row, image) in store.info().shard_rows(shard).zip(&mut labels.images) {
            let Ok(image) = image else { continue };
            image.tiles = match &store.info().tiles {
                Some(tiles) => (0..tiles.count()).map(|tile| tile_labels(row * 5 + tile, tiles, map_size)).collect(),
                None => Vec::new(),
            };
            image.map = image.map.take().filter(|_| has_map);
        }
        let files = encode_shard(store.info(), &labels).unwrap();
        store.commit(&labels, &files, Agreement::default()).unwrap();
    }
    Store { _folder: folder, path }
}

fn tile_labels(seed: usize, tiles: &Tiles, map_size: Option<relabel::shared::geometry::MapSize>) -> TileLabels {
    let class = |at: usize| ((seed * 3 + at) % 20) as i32;
    let map = || {
        let scores: Vec<f32> = (0..6).flat_map(|cell| [4.0 + (seed + cell) as f32 % 5.0, cell as f32 / 2.0]).collect();
        let classes: Vec<i32> = (0..6).flat_map(|cell| [class(cell), class(cell + 7)]).collect();
        LabelMap::from_cells(&scores, &classes, 2, map_size.unwrap(), ScoreRounding::Float16).unwrap()
    };
    let best = 0.5 + (seed % 4) as f32 / 10.0;
    TileLabels {
        prediction: ImagePrediction::from_ranks(&[best, 0.9 - best], &[class(0), class(1)]).unwrap(),
        map: tiles.with_maps().then(map),
    }
}

/// Boxes inside and across the edge of the image.
fn crops(count: usize) -> Vec<Crop> {
    let mut at = 0.0;
    let mut draw = |low: f64, high: f64| {
        at += 0.618_034;
        low + (high - low) * (at % 1.0)
    };
    let mut crop = |number: usize| {
        let (x0, y0, width, height) = (draw(-0.2, 0.8), draw(-0.2, 1.0), draw(0.02, 0.9), draw(0.02, 0.9));
        let unit_box = UnitBox::new(x0, y0, x0 + width, y0 + height).unwrap();
        Crop { unit_box, is_flipped: number.is_multiple_of(3) }
    };
    (0..count).map(&mut crop).collect()
}

fn labelled(reader: &StoreReader, row: usize) -> ImageLabels {
    match reader.row(row).unwrap() {
        RowState::Labelled(labels) => labels,
        state => panic!("row {row}: {state:?}"),
    }
}

fn pooled(labels: &Labels, rows: &[usize], crops: &[Crop], pooling: CropPooling) -> Vec<f64> {
    let mut targets = vec![0.0; rows.len() * labels.class_count()];
    labels.pool_into(rows, crops, pooling, NonZeroUsize::new(2).unwrap(), &mut targets).unwrap();
    targets
}

#[test]
fn targets_of_a_store_are_those_of_all_labels_of_its_rows() {
    let without_maps = PoolingParameters::PREDICTIONS_BY_OVERLAP;
    let only_maps = PoolingParameters { map_share_bias: 40.0, ..PARAMETERS };
    for (has_map, tile_maps) in [(true, None), (true, Some(false)), (true, Some(true)), (false, Some(false))] {
        let store = store(has_map, tile_maps);
        let (labels, reader) = (Labels::open(&store.path).unwrap(), StoreReader::open(&store.path).unwrap());
        let crops = crops(40);
        let rows: Vec<usize> =
            (0..crops.len()).map(|at| at % IMAGES).map(|row| if row == 5 { 6 } else { row }).collect();
        let sources = LabelSources::new(has_map, reader.info().tiles.as_ref());
        for parameters in [PARAMETERS, without_maps, only_maps] {
            let found = pooled(&labels, &rows, &crops, parameters.into());
            let sparse = labels.pool_sparse(&rows, &crops, parameters, NonZeroUsize::MIN).unwrap();
            let mut pooler = MixedPooler::new(20, parameters, sources.clone());
            for (at, (&row, crop)) in rows.iter().zip(&crops).enumerate() {
                let image = labelled(&reader, row);
                let mut wanted = vec![0.0; 20];
                pooler.pool(&image, crop.unit_box, &mut wanted).unwrap();
                assert_eq!(found[at * 20..(at + 1) * 20], wanted, "row {row}, {crop:?}");
                assert_eq!(sparse[at], [pooler.pool_sparse(&image, crop.unit_box).unwrap()]);
                assert!((wanted.iter().sum::<f64>() - 1.0).abs() < 1e-9);
            }
        }
    }
}

#[test]
fn cutmix_by_region_mixes_the_visible_part_and_the_pasted_part() {
    let store = store(true, Some(true));
    let (labels, reader) = (Labels::open(&store.path).unwrap(), StoreReader::open(&store.path).unwrap());
    let input = InputSize::new(24, 36).unwrap();
    let (rows, crops, partners) = ([0, 1, 2, 3], crops(4), [1, 0, 3, 2]);
    let rects = [[0, 0, 18, 24], [9, 6, 30, 20], [0, 0, 36, 24], [5, 5, 5, 9]]
        .map(|[x0, y0, x1, y1]| CutRect::new(input, x0, y0, x1, y1).unwrap());
    let batch = PastedBatch { rows: &rows, crops: &crops, partners: &partners, rects: &rects };
    let mut found = vec![0.0_f32; rows.len() * 20];
    labels.cutmix_into(&batch, PARAMETERS, NonZeroUsize::MIN, &mut found).unwrap();
    let mut pooler = MixedPooler::new(20, PARAMETERS, LabelSources::new(true, reader.info().tiles.as_ref()));
    for (at, rect) in rects.iter().enumerate() {
        let (mut host, mut other) = (vec![0.0_f64; 20], vec![0.0_f64; 20]);
        let image = labelled(&reader, rows[at]);
        match (rect.unit_from_input(), rect.pasted_crop(crops[partners[at]])) {
            (Some(hidden), Some(part)) => {
                pooler.pool_visible(&image, crops[at], hidden, &mut host).unwrap();
                pooler.pool(&labelled(&reader, rows[partners[at]]), part.unit_box, &mut other).unwrap();
            }
            _ => pooler.pool(&image, crops[at].unit_box, &mut host).unwrap(),
        }
        for class in 0..20 {
            let wanted = rect.lambda() * host[class] + (1.0 - rect.lambda()) * other[class];
            assert!((f64::from(found[at * 20 + class]) - wanted).abs() < 1e-6, "pair {at}, class {class}");
        }
    }
}

#[test]
fn a_store_without_label_maps_pools_by_tiles() {
    let store = store(false, Some(false));
    let labels = Labels::open(&store.path).unwrap();
    assert_eq!(labels.default_pooling(), PoolingKind::Tiles);
    let crop = UnitBox::new(0.0, 0.0, 0.5, 0.5).unwrap();
    let by_default = labels.pool(&[2], &[crop]).unwrap();
    let by_name = pooled(&labels, &[2], &[crop.into()], labels.pooling(PoolingKind::Tiles).unwrap());
    assert!(by_default.iter().zip(&by_name).all(|(first, second)| (f64::from(*first) - second).abs() < 1e-7));
    // The crop is the first tile, so its target is mostly the prediction for this tile.
    let tile = &labels.tile_predictions(2).unwrap()[0];
    assert!((by_name[tile.classes()[0] as usize] - tile.probs()[0].to_f64()).abs() < 0.1);
    let refused = labels.pooling(PoolingKind::Paper).unwrap_err().to_string();
    assert!(
        refused.contains("cannot pool label maps") && refused.contains("has predictions only, and no label maps"),
        "{refused}"
    );
}

#[test]
fn pooling_that_a_store_cannot_serve_is_refused_with_help() {
    let store = store(true, None);
    let labels = Labels::open(&store.path).unwrap();
    assert_eq!(labels.default_pooling(), PoolingKind::Paper);
    for (refused, cause, help) in [
        (labels.pooling(PoolingKind::Tiles).unwrap_err(), "cannot pool by tiles: store", "help: label with"),
        (labels.pooling(PoolingKind::Calibrated).unwrap_err(), "has no pooling.json", "help: run `relabel calibrate`"),
        (labels.tile_predictions(0).unwrap_err(), "has no tiles", "help: label with `relabel run --tiles`"),
    ] {
        let message = refused.to_string();
        assert!(message.contains(cause) && message.contains(help), "{message}");
    }
    let hot = PoolingParameters { prediction_temperature: 1e6, ..PARAMETERS };
    let message = labels.pool_sparse(&[0], &[UnitBox::WHOLE.into()], hot, NonZeroUsize::MIN).unwrap_err().to_string();
    assert!(message.contains("prediction_temperature is 1000000, expected 0.05 to 50"), "{message}");
    for (name, kind) in PoolingKind::ALL {
        assert_eq!((name.parse(), kind.to_string()), (Ok(kind), name.to_owned()));
    }
    let message = "tile".parse::<PoolingKind>().unwrap_err().to_string();
    assert!(message.contains("use paper, tiles, calibrated"), "{message}");
}

#[test]
fn a_box_without_a_part_inside_the_image_is_refused_by_all_kinds_of_pooling() {
    let store = store(true, Some(true));
    let labels = Labels::open(&store.path).unwrap();
    let inside = Crop::from(UnitBox::new(-0.5, -0.5, 0.1, 0.1).unwrap());
    let outside = Crop::from(UnitBox::new(0.2, 1.0, 0.8, 1.5).unwrap());
    let rect = CutRect::new(InputSize::new(24, 36).unwrap(), 0, 0, 18, 24).unwrap();
    for pooling in [CropPooling::default(), CropPooling::Mixed(PARAMETERS)] {
        let (mut targets, one) = (vec![0.0_f32; 2 * 20], NonZeroUsize::MIN);
        for (crops, is_right) in [([inside, inside], true), ([inside, outside], false)] {
            let pasted = PastedBatch { rows: &[0, 1], crops: &crops, partners: &[1, 0], rects: &[rect, rect] };
            for result in [
                labels.pool_into(&[0, 1], &crops, pooling, one, &mut targets),
                labels.pool_sparse(&[0, 1], &crops, pooling, one).map(|_| ()),
                labels.cutmix_into(&pasted, pooling, one, &mut targets),
            ] {
                let refusal = result.err().map(|error| error.to_string());
                let expected = "row 1 of boxes: the box does not overlap the image";
                let found = refusal.map(|refusal| refusal.starts_with(expected));
                assert_eq!(found, (!is_right).then_some(true));
            }
        }
    }
}

#[test]
fn calibrated_parameters_are_those_of_the_store() {
    let store = store(true, Some(false));
    let sample = CalibrationSample { images: 1, crops: 1, seed: 0 };
    let reader = StoreReader::open(&store.path).unwrap();
    let info = reader.info();
    let calibration = Calibration {
        pooling_version: Calibration::VERSION,
        tool_version: "0".into(),
        made_with: info.identity_with_tiles(),
        teacher_sha256: info.teacher.sha256.clone(),
        parameters: PARAMETERS,
        parameters_without_tiles: None,
        fit: sample,
        held_out: sample,
        figures: Vec::new(),
    };
    let labels = Labels::open(&store.path).unwrap();
    assert_eq!(labels.calibrated_parameters().unwrap(), None);
    calibration.write(&store.path).unwrap();
    assert_eq!(labels.pooling(PoolingKind::Calibrated).unwrap(), CropPooling::Mixed(PARAMETERS));
    assert_eq!(labels.calibrated_parameters().unwrap(), Some(PARAMETERS));
    assert_eq!(CropPooling::of_store(PoolingKind::Calibrated, &reader).unwrap(), CropPooling::Mixed(PARAMETERS));
}
