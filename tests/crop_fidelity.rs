use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use relabel::evaluation::crop_fidelity::{
    CropChoice, CropJob, CropTable, SkippedImage, crop_fidelity, labelled_rows, read_boxes, sample_rows,
    visit_teacher_crops,
};
use relabel::evaluation::evaluation_file::{CropFidelity, Fidelity, LabelKind};
use relabel::labelling::pipeline::Preprocessing;
use relabel::labelling::pixels::{Decoder, ExifOrientation, Filter};
use relabel::labelling::source::{self, ImageReader, LengthCheck, ListedImages, Located, ReadError, Source};
use relabel::labelling::teacher::{Classifier, PixelBatch};
use relabel::shared::digest::digest_bytes;
use relabel::shared::error::{Error, ImageError, ImageErrorKind};
use relabel::shared::geometry::{InputSize, MapSize, UnitBox};
use relabel::shared::label_map::{ImageLabels, ImagePrediction, LabelMap, ScoreRounding, TileLabels};
use relabel::shared::manifest::{Manifest, RowIndex, manifest_bytes};
use relabel::shared::monitor::{Monitor, NoopMonitor};
use relabel::shared::pooling_parameters::PoolingParameters;
use relabel::shared::store::{
    Agreement, Calibration, CalibrationSample, FailedImage, MAPLESS_FORMAT_VERSION, ShardLabels, StoreReader,
    StoreWriter, WriterOptions, encode_shard,
};
use relabel::shared::tiles::{Covering, Tiles};
use serde_json::json;

use crate::common::{LabelRun, data, lite0, lite0_classifier, python, repository};
use crate::synthetic_store;

/// Classes of the synthetic teacher: red, green, blue, black.
const CLASSES: usize = 4;
/// Cells on each side of its maps.
const CELLS: usize = 15;
/// Score of a pixel for the class of its colour.
const SCORE: f64 = 6.0;
const PALETTE: [[u8; 3]; CLASSES] = [[255, 0, 0], [0, 255, 0], [0, 0, 255], [0, 0, 0]];

/// Class of a pixel of an image: three stripes, and a black one along the lower edge. Each image starts with another
/// colour.
fn class_at(image: usize, x: f64, y: f64) -> usize {
    if y > 0.8 { 3 } else { ((x * 3.0) as usize + image) % 3 }
}

fn softmax(scores: [f64; CLASSES]) -> [f32; CLASSES] {
    let total: f64 = scores.iter().map(|score| score.exp()).sum();
    scores.map(|score| (score.exp() / total) as f32)
}

/// Predicts by the fractions of the colours in its input.
struct ColourClassifier {
    classes: usize,
    nan_above: f64,
}

impl ColourClassifier {
    fn boxed() -> Vec<Box<dyn Classifier>> {
        vec![Box::new(Self { classes: CLASSES, nan_above: 2.0 })]
    }
}

impl Classifier for ColourClassifier {
    fn class_count(&self) -> usize {
        self.classes
    }

    fn classify(&mut self, batch: &PixelBatch) -> Result<Vec<f32>, Error> {
        let pixels = f64::from(batch.size().height_pixels() * batch.size().width_pixels());
        let classify = |image: usize| {
            let sum =
                |channel: usize| batch.image(image).iter().skip(channel).step_by(3).map(|&value| f64::from(value));
            let mut share = [0, 1, 2, 3].map(|channel| sum(channel.min(2)).sum::<f64>() / (255.0 * pixels));
            share[3] = 1.0 - share[0] - share[1] - share[2];
            if share[3] > self.nan_above { [f32::NAN; CLASSES] } else { softmax(share.map(|share| SCORE * share)) }
        };
        Ok((0..batch.images()).flat_map(classify).collect())
    }
}

/// A store with photographs.
struct Labelled {
    folder: tempfile::TempDir,
    store: StoreReader,
    manifest: Manifest,
    source: Box<dyn Source>,
}

impl Labelled {
    fn open(folder: tempfile::TempDir) -> Self {
        let store = StoreReader::open(&folder.path().join("out")).unwrap();
        let manifest = store.manifest().unwrap();
        let source = source::open(&folder.path().join("in")).unwrap();
        Self { folder, store, manifest, source }
    }

    fn images(&self) -> Box<dyn ImageReader + '_> {
        let manifest_sha256 = &self.store.info().manifest_sha256;
        let list = ListedImages { manifest: &self.manifest, manifest_sha256, index: None };
        let Located { images, .. } = self.source.locate(&list).unwrap();
        images
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn job<'a>(&'a self, images: &'a dyn ImageReader, crops: CropChoice) -> CropJob<'a> {
        CropJob {
            store: &self.store,
            manifest: &self.manifest,
            images,
            length_check: LengthCheck::MatchManifest,
            decoder: Decoder::default(),
            preprocessing: Preprocessing {
                input_size: InputSize::new(32, 32).unwrap(),
                filter: Filter::Bilinear,
                exif_orientation: ExifOrientation::Ignore,
            },
            rows: labelled_rows(&self.store).unwrap(),
            crops,
            batch_images: 16,
            threads: 2,
            teacher_sha256: digest_bytes(b"teacher"),
        }
    }
}

/// What a store of striped images contains besides predictions.
#[derive(Clone, Default)]
struct Striped {
    images: usize,
    is_mapless: bool,
    tiles: Option<Tiles>,
}

/// Rows and columns of the striped images in pixels.
const STRIPED: [usize; 2] = [64, 96];

/// Tiles of a covering.
fn tiles(covering: Covering, with_maps: bool) -> Tiles {
    Tiles::new(covering.name().to_owned(), covering.boxes(), CLASSES, with_maps).unwrap()
}

/// Images of 96x64 pixels, and maps that are exactly right for them. Row 5 failed.
fn striped_store(images: usize) -> Labelled {
    striped(&Striped { images, ..Striped::default() })
}

fn striped(options: &Striped) -> Labelled {
    let folder = tempfile::tempdir().unwrap();
    let images = options.images;
    let [height, width] = STRIPED;
    for image in 0..images {
        let path = folder.path().join(format!("in/n{}/{image:03}.ppm", image % 3));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut bytes = format!("P6 {width} {height} 255\n").into_bytes();
        for at in 0..height * width {
            bytes.extend(PALETTE[class_of_pixel(image, at / width, at % width)]);
        }
        fs::write(path, bytes).unwrap();
    }
    let number = |path: &str| path[path.len() - 7..path.len() - 4].parse::<usize>().unwrap();
    let manifest = source::open(&folder.path().join("in")).unwrap().list().unwrap();
    let mut info = synthetic_store::info();
    info.manifest_sha256 = digest_bytes(&manifest_bytes(&manifest).unwrap());
    (info.images, info.shard_images, info.k) = (images, images.min(4), CLASSES);
    (info.with_lse, info.map_size) = (true, Some(MapSize::new(CELLS, CELLS).unwrap()));
    if options.is_mapless {
        (info.with_lse, info.map_size, info.format_version) = (false, None, MAPLESS_FORMAT_VERSION);
    }
    info.tiles.clone_from(&options.tiles);
    info.classes.list = "folders.txt".into();
    info.classes.count = CLASSES;
    info.classes.ids = (0..CLASSES).map(|class| format!("n{class}")).collect();
    info.classes.names.clone_from(&info.classes.ids);
    let store = StoreWriter::create(&folder.path().join("out"), info, &manifest, WriterOptions::default()).unwrap();
    let labels = |row: usize| {
        if row == 5 {
            let error = ImageError { kind: ImageErrorKind::Empty, reason: "nothing".into() };
            let (id, path) = (manifest.id(row).to_owned(), manifest.path(row).to_owned());
            return Err(FailedImage { row, id, path, error });
        }
        let image = number(manifest.path(row));
        let tiles = options.tiles.iter().flat_map(|tiles| tiles.boxes().iter().map(move |unit_box| (tiles, *unit_box)));
        let tile = |(tiles, unit_box): (&Tiles, UnitBox)| TileLabels {
            prediction: striped_prediction(image, unit_box),
            map: tiles.with_maps().then(|| striped_map(image, unit_box)),
        };
        let map = striped_map(image, UnitBox::WHOLE);
        let lse = [(SCORE.exp() + 3.0).ln() as f32; CELLS * CELLS];
        Ok(ImageLabels {
            map: (!options.is_mapless).then(|| map.with_lse(&lse).unwrap()),
            prediction: striped_prediction(image, UnitBox::WHOLE),
            tiles: tiles.map(tile).collect(),
        })
    };
    for shard in 0..store.info().shards() {
        let labels = ShardLabels { shard, images: store.info().shard_rows(shard).map(labels).collect() };
        let files = encode_shard(store.info(), &labels).unwrap();
        store.commit(&labels, &files, Agreement::default()).unwrap();
    }
    Labelled::open(folder)
}

/// Class of a pixel of an image.
fn class_of_pixel(image: usize, y: usize, x: usize) -> usize {
    let [height, width] = STRIPED;
    class_at(image, (x as f64 + 0.5) / width as f64, (y as f64 + 0.5) / height as f64)
}

/// The map of a part of an image.
fn striped_map(image: usize, part: UnitBox) -> LabelMap {
    let (mut scores, mut classes) = (Vec::new(), Vec::new());
    for cell in 0..CELLS * CELLS {
        let unit = |at: usize, low: f64, high: f64| low + (high - low) * (at as f64 + 0.5) / CELLS as f64;
        let best = class_at(image, unit(cell % CELLS, part.x0(), part.x1()), unit(cell / CELLS, part.y0(), part.y1()));
        scores.extend([SCORE as f32, 0.0, 0.0, 0.0]);
        classes.extend([best, (best + 1) % 4, (best + 2) % 4, (best + 3) % 4].map(|class| class as i32));
    }
    let size = MapSize::new(CELLS, CELLS).unwrap();
    LabelMap::from_cells(&scores, &classes, CLASSES, size, ScoreRounding::Float16).unwrap()
}

/// What the synthetic teacher predicts for a part of an image.
fn striped_prediction(image: usize, part: UnitBox) -> ImagePrediction {
    let [height, width] = STRIPED;
    let [x0, y0, x1, y1] = part.sides();
    let pixels =
        |low: f64, high: f64, side: usize| (low * side as f64).round() as usize..(high * side as f64).round() as usize;
    let (mut share, mut count) = ([0.0; CLASSES], 0.0);
    for y in pixels(y0, y1, height) {
        for x in pixels(x0, x1, width) {
            share[class_of_pixel(image, y, x)] += 1.0;
            count += 1.0;
        }
    }
    let probs = softmax(share.map(|share| SCORE * share / count));
    let mut order = [0, 1, 2, 3];
    order.sort_by(|&a, &b| probs[b].total_cmp(&probs[a]));
    ImagePrediction::from_ranks(&order.map(|at| probs[at]), &order.map(|at| at as i32)).unwrap()
}

/// Writes a calibration with these parameters into a store, and opens it again.
fn calibrated(labelled: Labelled, parameters: PoolingParameters, without_tiles: Option<PoolingParameters>) -> Labelled {
    let sample = CalibrationSample { images: 1, crops: 1, seed: 0 };
    let calibration = Calibration {
        pooling_version: Calibration::VERSION,
        tool_version: "0".into(),
        made_with: labelled.store.info().identity_with_tiles(),
        teacher_sha256: digest_bytes(b"teacher"),
        parameters,
        parameters_without_tiles: without_tiles,
        fit: sample,
        held_out: sample,
        figures: Vec::new(),
    };
    calibration.write(labelled.store.path()).unwrap();
    Labelled::open(labelled.folder)
}

fn of(fidelity: &CropFidelity, kind: LabelKind) -> &Fidelity {
    fidelity.labels.get(kind).unwrap()
}

/// Kinds of labels that there are figures of.
fn kinds(fidelity: &CropFidelity) -> Vec<LabelKind> {
    fidelity.labels.iter().map(|(kind, _)| kind).collect()
}

fn random(per_image: usize, seed: u64) -> CropChoice {
    CropChoice::Random { per_image, seed }
}

fn figures(job: &CropJob<'_>) -> CropFidelity {
    crop_fidelity(job, ColourClassifier::boxed(), &NoopMonitor, None).unwrap().0
}

#[test]
fn maps_that_are_right_win_and_swapped_ones_lose() {
    let labelled = striped_store(20);
    let images = labelled.images();
    let found = figures(&labelled.job(&*images, random(12, 3)));
    assert_eq!((found.images, found.crops, found.seed), (19, 19 * 12, Some(3)));
    let [pooled, swapped, image] =
        [LabelKind::Pooled, LabelKind::Swapped, LabelKind::Image].map(|kind| of(&found, kind));
    assert!(pooled.top1 > 0.9 && pooled.tv < 0.04 && pooled.kl.unwrap() < 0.01, "{pooled:?}");
    assert!(swapped.top1 < 0.7 && swapped.tv > 0.2 && swapped.kl.unwrap() > 0.2, "{swapped:?}");
    assert!(image.tv > 2.0 * pooled.tv && image.kl > pooled.kl, "{image:?}");
    let folder = of(&found, LabelKind::Folder);
    assert!(folder.kl.is_none() && folder.tv > 0.3, "{folder:?}");
    // All classes are stored, so the fill has no effect.
    assert!((of(&found, LabelKind::Rest).tv - pooled.tv).abs() < 1e-6);
    for fidelity in [pooled, swapped, image] {
        assert_eq!(fidelity.by_area.len(), 5);
        assert_eq!(fidelity.by_area.iter().map(|range| range.crops).sum::<usize>(), found.crops);
        assert!(fidelity.tv_standard_error.is_some_and(|error| error > 0.0 && error < 0.1), "{fidelity:?}");
    }
    let without_tiles = [LabelKind::Pooled, LabelKind::Rest, LabelKind::Image, LabelKind::Folder, LabelKind::Swapped];
    assert_eq!((kinds(&found), found.tile_count, found.coverings.len()), (without_tiles.to_vec(), 0, 0));
    // The prediction for the entire image is close for large crops, and not for small ones.
    let by_area = |index: usize| image.by_area[index].tv.unwrap();
    assert!(by_area(0) > by_area(2) && by_area(2) > by_area(4));
}

#[test]
fn tiles_that_are_right_win_on_small_crops() {
    let labelled =
        striped(&Striped { images: 20, tiles: Some(tiles(Covering::FourAndNine, true)), ..Striped::default() });
    let images = labelled.images();
    let found = figures(&labelled.job(&*images, random(12, 3)));
    let expected = LabelKind::ALL.into_iter().filter(|kind| !kind.name().starts_with("calibrated"));
    assert_eq!((kinds(&found), found.tile_count), (expected.collect(), 13));
    assert_eq!(found.coverings.keys().collect::<Vec<_>>(), ["4", "5", "9"]);
    let [tiles, tile, image] = [LabelKind::Tiles, LabelKind::Tile, LabelKind::Image].map(|kind| of(&found, kind));
    assert!(tiles.tv < 0.8 * image.tv && tile.tv < 0.8 * image.tv, "{tiles:?} {tile:?} {image:?}");
    let smallest = |of: &Fidelity| of.by_area[0].kl.unwrap();
    assert!(smallest(tiles) < 0.6 * smallest(image), "{} and {}", smallest(tiles), smallest(image));
    // Small crops are inside a tile, whose map is right.
    let tile_map = of(&found, LabelKind::TileMap);
    assert!(smallest(tile_map) < 0.01 && smallest(tile_map) < smallest(tile), "{tile_map:?}");
    // Tiles of two thirds are further from small crops than those of half.
    assert!(smallest(&found.coverings["9"]) < smallest(&found.coverings["4"]));
    for covering in found.coverings.values() {
        assert!(smallest(covering) < smallest(image) && covering.by_area.len() == 5, "{covering:?}");
    }
}

/// Crops that are exactly the tiles of a covering.
fn boxes_of_tiles(labelled: &Labelled, boxes: &[UnitBox]) -> CropChoice {
    let mut text = "id,x0,y0,x1,y1\n".to_owned();
    for row in labelled_rows(&labelled.store).unwrap() {
        for sides in boxes.iter().map(|unit_box| unit_box.sides()) {
            let [x0, y0, x1, y1] = sides;
            text += &format!("{},{x0},{y0},{x1},{y1}\n", labelled.manifest.id(row));
        }
    }
    let path = labelled.path("boxes.csv");
    fs::write(&path, text).unwrap();
    CropChoice::Boxes(read_boxes(&path, &labelled.manifest, &RowIndex::new(&labelled.manifest)).unwrap())
}

#[test]
fn planted_predictions_of_tiles_are_equal_to_those_of_the_teacher() {
    let labelled = striped(&Striped { images: 8, tiles: Some(tiles(Covering::Nine, false)), ..Striped::default() });
    let images = labelled.images();
    let found = figures(&labelled.job(&*images, boxes_of_tiles(&labelled, &Covering::Nine.boxes())));
    assert_eq!((found.crops, found.labels.get(LabelKind::TileMap)), (7 * 9, None));
    let tile = of(&found, LabelKind::Tile);
    assert!(tile.top1 > 0.999 && tile.kl.unwrap() < 2e-4 && tile.tv < 6e-3, "{tile:?}");
    for (kind, other) in found.labels.iter().filter(|(kind, _)| *kind != LabelKind::Tile) {
        assert!(other.tv > tile.tv && other.kl.is_none_or(|kl| kl > tile.kl.unwrap()), "{kind:?}: {other:?}");
    }
    assert_eq!(found.coverings.keys().collect::<Vec<_>>(), ["5"]);
    // The entire image has the largest overlap with itself.
    let found = figures(&labelled.job(&*images, boxes_of_tiles(&labelled, &[UnitBox::WHOLE])));
    assert_eq!(of(&found, LabelKind::Tile), of(&found, LabelKind::Image));
}

#[test]
fn calibrated_targets_have_the_parameters_of_the_store() {
    let by_overlap = PoolingParameters::PREDICTIONS_BY_OVERLAP;
    let options = Striped { images: 8, tiles: Some(tiles(Covering::Five, true)), ..Striped::default() };
    let labelled = calibrated(striped(&options), by_overlap, Some(by_overlap));
    let images = labelled.images();
    let found = figures(&labelled.job(&*images, random(8, 1)));
    assert_eq!(kinds(&found), LabelKind::ALL);
    assert_eq!(of(&found, LabelKind::Calibrated), of(&found, LabelKind::Tiles));
    let (without_tiles, image) = (of(&found, LabelKind::CalibratedWithoutTiles), of(&found, LabelKind::Image));
    assert!(
        (without_tiles.tv - image.tv).abs() < 1e-6 && (without_tiles.top1 - image.top1).abs() < 1e-9,
        "{without_tiles:?}"
    );
    let file = labelled.store.calibration_file().unwrap().unwrap();
    assert_eq!(found.pooling_sha256, Some(digest_bytes(&file)));
    // Only maps, and only that of the image if no tile is there.
    let maps = PoolingParameters { map_share_bias: 40.0, ..by_overlap };
    let labelled = calibrated(striped_store(8), maps, Some(by_overlap));
    let images = labelled.images();
    let found = figures(&labelled.job(&*images, random(8, 1)));
    assert_eq!(found.labels.get(LabelKind::CalibratedWithoutTiles), None, "the store has no tiles");
    let (target, pooled) = (of(&found, LabelKind::Calibrated), of(&found, LabelKind::Pooled));
    assert!((target.tv - pooled.tv).abs() < 1e-6 && (target.kl.unwrap() - pooled.kl.unwrap()).abs() < 1e-6);
}

#[test]
fn damaged_calibrations_are_refused_before_the_teacher_runs() {
    let labelled = calibrated(striped_store(4), PoolingParameters::PREDICTIONS_BY_OVERLAP, None);
    let path = labelled.store.path().join("pooling.json");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("\"overlap_sharpness\": 8", "\"overlap_sharpness\": 9")).unwrap();
    let images = labelled.images();
    let job = labelled.job(&*images, random(2, 1));
    let refused = crop_fidelity(&job, vec![Box::new(BrokenClassifier)], &NoopMonitor, None).unwrap_err().to_string();
    assert!(refused.contains("cannot use its pooling.json") && refused.contains("relabel calibrate"), "{refused}");
}

#[test]
fn stores_without_label_maps_are_evaluated_by_their_predictions() {
    let options = Striped { images: 9, is_mapless: true, tiles: Some(tiles(Covering::Nine, false)) };
    let labelled = calibrated(striped(&options), PoolingParameters::PREDICTIONS_BY_OVERLAP, None);
    let images = labelled.images();
    let table = CropTable::create(&labelled.path("crops.json"), labelled.store.path()).unwrap();
    let job = labelled.job(&*images, random(6, 3));
    let found = crop_fidelity(&job, ColourClassifier::boxed(), &NoopMonitor, Some(table)).unwrap().0;
    let expected = [LabelKind::Calibrated, LabelKind::Tiles, LabelKind::Tile, LabelKind::Image, LabelKind::Folder];
    assert_eq!((kinds(&found), found.crops), (expected.to_vec(), 8 * 6));
    // Label maps do not change the other labels.
    let with_maps = striped(&Striped { is_mapless: false, ..options });
    let images = with_maps.images();
    let same = figures(&with_maps.job(&*images, random(6, 3)));
    for kind in [LabelKind::Tiles, LabelKind::Tile, LabelKind::Image, LabelKind::Folder] {
        assert_eq!(of(&found, kind), of(&same, kind), "{kind:?}");
    }
    assert_eq!(found.coverings, same.coverings);
    let rows: serde_json::Value = serde_json::from_slice(&fs::read(labelled.path("crops.json")).unwrap()).unwrap();
    for column in ["pooled_classes", "pooled_rest", "pooled_kl", "swapped_top1", "rest_tv", "tile_map_tv"] {
        assert_eq!(rows[0].get(column), Some(&serde_json::Value::Null), "{column}");
    }
    for column in ["calibrated_kl", "tiles_top1", "tile_tv", "image_kl", "covering_5_kl"] {
        assert!(rows[0][column].is_number(), "{column}: {}", rows[0]);
    }
}

#[test]
fn figures_depend_on_the_seed_only() {
    let labelled = striped_store(14);
    let images = labelled.images();
    let first = figures(&labelled.job(&*images, random(7, 3)));
    assert_eq!(first, figures(&labelled.job(&*images, random(7, 3))));
    assert_ne!(first.labels, figures(&labelled.job(&*images, random(7, 4))).labels);
    let mut job = labelled.job(&*images, random(7, 3));
    job.rows.reverse();
    job.rows.push(job.rows[2]);
    (job.batch_images, job.threads) = (5, 1);
    assert_eq!(first, figures(&job));
    (job.batch_images, job.threads) = (1000, 4);
    let several: Vec<Box<dyn Classifier>> = (0..3).flat_map(|_| ColourClassifier::boxed()).collect();
    assert_eq!(first, crop_fidelity(&job, several, &NoopMonitor, None).unwrap().0);
    // The crops of an image are the same in every sample.
    let rows = sample_rows(4, 9, &job.rows);
    let mut few = labelled.job(&*images, random(7, 3));
    few.rows.clone_from(&rows);
    let crops_of = |job: &CropJob<'_>| {
        let mut seen = Vec::new();
        visit_teacher_crops(job, &mut ColourClassifier::boxed(), &NoopMonitor, |crop| {
            seen.push((crop.row, crop.index, crop.crop));
            Ok(())
        })
        .unwrap();
        seen.retain(|(row, ..)| rows.contains(row));
        seen
    };
    let seen = crops_of(&few);
    assert_eq!((seen.len(), &seen), (28, &crops_of(&job)));
    assert!(seen.windows(2).all(|pair| (pair[0].0, pair[0].1) < (pair[1].0, pair[1].1)), "by row");
}

#[test]
fn images_with_very_many_crops_are_cut_in_portions() {
    let labelled = striped_store(2);
    let images = labelled.images();
    let mut job = labelled.job(&*images, random(60, 3));
    job.preprocessing.input_size = InputSize::new(600, 600).unwrap();
    let mut seen = Vec::new();
    let skipped = visit_teacher_crops(&job, &mut ColourClassifier::boxed(), &NoopMonitor, |crop| {
        seen.push((crop.row, crop.index, crop.crop));
        Ok(())
    });
    assert_eq!(skipped.unwrap(), []);
    assert_eq!(seen.iter().map(|(row, index, _)| row * 60 + index).collect::<Vec<_>>(), (0..120).collect::<Vec<_>>());
    let mut distinct = seen.iter().map(|(_, _, crop)| crop.sides()).collect::<Vec<_>>();
    distinct.sort_unstable();
    distinct.dedup();
    assert!(distinct.len() > 100, "{}", distinct.len());
}

#[test]
fn the_table_has_every_crop_in_every_format() {
    let labelled = striped_store(6);
    let images = labelled.images();
    let mut tables = Vec::new();
    for name in ["crops.parquet", "crops.csv", "crops.json"] {
        let table = CropTable::create(&labelled.path(name), labelled.store.path()).unwrap();
        let job = labelled.job(&*images, random(3, 3));
        crop_fidelity(&job, ColourClassifier::boxed(), &NoopMonitor, Some(table)).unwrap();
        tables.push(fs::read(labelled.path(name)).unwrap());
    }
    let rows: serde_json::Value = serde_json::from_slice(&tables[2]).unwrap();
    assert_eq!(rows.as_array().unwrap().len(), 15);
    assert_eq!(
        (&rows[4]["id"], &rows[4]["crop"], &rows[4]["height_pixels"]),
        (&json!("n0/003"), &json!(1), &json!(64))
    );
    assert_eq!(rows[4]["teacher_classes"].as_array().unwrap().len(), CLASSES);
    let csv = String::from_utf8(tables[1].clone()).unwrap();
    assert_eq!(csv.lines().count(), 16);
    assert!(csv.starts_with("row,id,crop,x0,y0,x1,y1,x0_pixels,"), "{csv}");
    // Every kind of label has columns, and only the folder class no divergence.
    for kind in LabelKind::ALL {
        for figure in ["top1", "kl", "tv"] {
            let is_there = rows[0].get(format!("{}_{figure}", kind.name())).is_some();
            assert_eq!(is_there, (kind, figure) != (LabelKind::Folder, "kl"), "{kind:?} {figure}");
        }
    }
}

#[test]
fn images_that_cannot_be_used_are_skipped_with_their_reason() {
    let labelled = striped_store(9);
    fs::write(labelled.path("in").join(labelled.manifest.path(2)), b"changed").unwrap();
    fs::remove_file(labelled.path("in").join(labelled.manifest.path(7))).unwrap();
    let images = labelled.images();
    let mut job = labelled.job(&*images, random(4, 3));
    job.rows = (0..9).collect();
    let (found, skipped) = crop_fidelity(&job, ColourClassifier::boxed(), &NoopMonitor, None).unwrap();
    let kinds: Vec<_> = skipped.iter().map(|image| (image.row, image.error.kind.clone())).collect();
    let expected = [(2, ImageErrorKind::Changed), (5, ImageErrorKind::Empty), (7, ImageErrorKind::Unreadable)];
    assert_eq!(kinds, expected);
    assert_eq!((found.images, found.crops), (6, 24));
    job.length_check = LengthCheck::Ignore;
    let skipped = crop_fidelity(&job, ColourClassifier::boxed(), &NoopMonitor, None).unwrap().1;
    assert_eq!((skipped[0].row, &skipped[0].error.kind), (2, &ImageErrorKind::NotAnImage));
    // Figures need at least one image.
    job.rows = vec![5, 7];
    let refused = crop_fidelity(&job, ColourClassifier::boxed(), &NoopMonitor, None).unwrap_err().to_string();
    assert!(refused.contains("0 of 2 images could be read, the first one") && refused.contains("nothing"), "{refused}");
    job.rows = Vec::new();
    let refused = crop_fidelity(&job, ColourClassifier::boxed(), &NoopMonitor, None).unwrap_err().to_string();
    assert!(refused.contains("none of the images has one"), "{refused}");
}

#[test]
fn probabilities_that_are_not_finite_leave_a_crop_out() {
    let labelled = striped_store(4);
    let images = labelled.images();
    let job = labelled.job(&*images, random(12, 3));
    let classifier = ColourClassifier { classes: CLASSES, nan_above: 0.3 };
    let (found, skipped) = crop_fidelity(&job, vec![Box::new(classifier)], &NoopMonitor, None).unwrap();
    assert!(found.crops < 48 && found.images == 4, "{} of {}", found.crops, found.images);
    assert!(!skipped.is_empty() && skipped.len() <= 4, "{skipped:?}");
    let is_scores = |image: &SkippedImage| image.error.kind == ImageErrorKind::Scores;
    assert!(skipped.iter().all(is_scores) && skipped.windows(2).all(|pair| pair[0].row < pair[1].row));
}

/// Fails for one row, as a disk does.
struct FailingDisk<'a>(&'a dyn ImageReader, usize);

impl ImageReader for FailingDisk<'_> {
    fn read(&self, row: usize, check: LengthCheck) -> Result<Vec<u8>, ReadError> {
        if row == self.1 {
            let error = std::io::Error::from_raw_os_error(5);
            return Err(ReadError::Machine(Error::file("read", Path::new("disk"))(error)));
        }
        self.0.read(row, check)
    }

    fn looks_as_listed(&self, row: usize) -> Result<bool, Error> {
        self.0.looks_as_listed(row)
    }
}

struct BrokenClassifier;

impl Classifier for BrokenClassifier {
    fn class_count(&self) -> usize {
        CLASSES
    }

    fn classify(&mut self, _: &PixelBatch) -> Result<Vec<f32>, Error> {
        Err(Error::Inference { action: "run the teacher", message: "no memory".into() })
    }
}

struct StoppingMonitor(AtomicBool);

impl Monitor for StoppingMonitor {
    fn stop_requested(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn images_done(&self, _: usize, _: usize, _: Agreement) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn errors_of_the_machine_stop_and_leave_no_table() {
    let labelled = striped_store(40);
    let images = labelled.images();
    let disk = FailingDisk(&*images, 9);
    let table = || Some(CropTable::create(&labelled.path("crops.csv"), labelled.store.path()).unwrap());
    let job = labelled.job(&disk, random(20, 3));
    let failed = crop_fidelity(&job, ColourClassifier::boxed(), &NoopMonitor, table()).unwrap_err();
    assert!(matches!(&failed, Error::File { path, .. } if path == Path::new("disk")), "{failed}");
    let job = labelled.job(&*images, random(20, 3));
    let failed = crop_fidelity(&job, vec![Box::new(BrokenClassifier)], &NoopMonitor, table()).unwrap_err();
    assert!(failed.to_string().contains("no memory"), "{failed}");
    let stopped = crop_fidelity(&job, ColourClassifier::boxed(), &StoppingMonitor(AtomicBool::new(false)), table());
    assert!(matches!(stopped, Err(Error::Interrupted)));
    let other = ColourClassifier { classes: 3, nan_above: 2.0 };
    let refused = crop_fidelity(&job, vec![Box::new(other)], &NoopMonitor, table()).unwrap_err().to_string();
    assert!(refused.contains("labels of 4 classes with a teacher of 3 classes"), "{refused}");
    let visited = visit_teacher_crops(&job, &mut ColourClassifier::boxed(), &NoopMonitor, |_| Err(Error::Interrupted));
    assert!(matches!(visited, Err(Error::Interrupted)));
    let mut files: Vec<_> =
        fs::read_dir(labelled.folder.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
    files.sort();
    assert_eq!(files, ["in", "out"]);
}

#[test]
fn rows_that_are_not_done_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (path, manifest) = (folder.path().join("out"), synthetic_store::manifest());
    StoreWriter::create(&path, synthetic_store::info(), &manifest, WriterOptions::default()).unwrap();
    fs::create_dir(folder.path().join("in")).unwrap();
    fs::write(folder.path().join("in/x.jpg"), b"x").unwrap();
    let labelled = Labelled::open(folder);
    let images = labelled.images();
    let mut job = labelled.job(&*images, random(1, 1));
    assert!(job.rows.is_empty());
    job.rows = vec![3];
    let classifier = ColourClassifier { classes: 20, nan_above: 2.0 };
    let refused = crop_fidelity(&job, vec![Box::new(classifier)], &NoopMonitor, None).unwrap_err();
    assert!(matches!(refused, Error::NotLabelled { row: 3, .. }), "{refused}");
}

/// Counts the images that are read.
struct CountingReader<'a>(&'a dyn ImageReader, Arc<AtomicUsize>);

impl ImageReader for CountingReader<'_> {
    fn read(&self, row: usize, check: LengthCheck) -> Result<Vec<u8>, ReadError> {
        self.1.fetch_add(1, Ordering::SeqCst);
        self.0.read(row, check)
    }

    fn looks_as_listed(&self, row: usize) -> Result<bool, Error> {
        self.0.looks_as_listed(row)
    }
}

/// Waits in its first batch until no more images are read, and records their number.
struct WaitingClassifier {
    read: Arc<AtomicUsize>,
    ahead: Arc<AtomicUsize>,
}

impl Classifier for WaitingClassifier {
    fn class_count(&self) -> usize {
        CLASSES
    }

    fn classify(&mut self, batch: &PixelBatch) -> Result<Vec<f32>, Error> {
        if self.ahead.load(Ordering::SeqCst) == 0 {
            std::thread::sleep(Duration::from_millis(500));
            self.ahead.store(self.read.load(Ordering::SeqCst), Ordering::SeqCst);
        }
        Ok(vec![0.25; batch.images() * CLASSES])
    }
}

#[test]
fn few_images_are_read_ahead_of_the_teacher() {
    let labelled = striped_store(120);
    let images = labelled.images();
    let (read, ahead) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let reader = CountingReader(&*images, Arc::clone(&read));
    let job = labelled.job(&reader, random(8, 3));
    let classifier = WaitingClassifier { read: Arc::clone(&read), ahead: Arc::clone(&ahead) };
    let found = crop_fidelity(&job, vec![Box::new(classifier)], &NoopMonitor, None).unwrap().0;
    // A batch holds two images: one batch is with the teacher, two wait, one is complete, and four images are being cut.
    let ahead = ahead.load(Ordering::SeqCst);
    assert!((8..=14).contains(&ahead), "{ahead} images were read while the teacher was busy");
    assert_eq!((found.images, read.load(Ordering::SeqCst)), (119, 119), "each image once");
}

/// Photographs, labelled by the sample teacher with further options.
fn photographs(options: &[&str]) -> Labelled {
    let folder = tempfile::tempdir().unwrap();
    for (photograph, label) in [
        ("photos/coffee.JPEG", "n07920052/coffee.JPEG"),
        ("photos/chelsea.JPEG", "n02123045/chelsea.JPEG"),
        ("photos/astronaut.JPEG", "people/astronaut.JPEG"),
        ("photos/rocket.JPEG", "n04266014/rocket.JPEG"),
        ("photos/camera.JPEG", "people/camera.JPEG"),
        ("photos/hubble_deep_field.JPEG", "n04266014/hubble.JPEG"),
        ("odd/wide.JPEG", "n02123045/wide.JPEG"),
        ("odd/tall.JPEG", "n02123045/tall.JPEG"),
        ("odd/rgba.png", "n07920052/rgba.png"),
        ("odd/exif_rotated.JPEG", "n02123045/rotated.JPEG"),
        ("odd/large_2400x1800.JPEG", "n07920052/large.JPEG"),
    ] {
        let to = folder.path().join("in").join(label);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(data("golden/images").join(photograph), to).unwrap();
    }
    LabelRun::new(folder.path()).args(&[&["--input-size", "224", "--with-lse"], options].concat()).run().expect(0);
    Labelled::open(folder)
}

fn sample_teacher() -> Vec<Box<dyn Classifier>> {
    let (classifier, description) = lite0_classifier();
    assert_eq!(description.class_count, 1000);
    vec![Box::new(classifier)]
}

fn at_224<'a>(labelled: &'a Labelled, images: &'a dyn ImageReader, crops: CropChoice) -> CropJob<'a> {
    let mut job = labelled.job(images, crops);
    job.preprocessing.input_size = InputSize::new(224, 224).unwrap();
    job
}

/// Computes the figures with a table, and compares both with a computation in Python.
fn check(labelled: &Labelled, job: &CropJob<'_>, boxes: &[&str]) -> CropFidelity {
    let table = CropTable::create(&labelled.path("crops.parquet"), labelled.store.path()).unwrap();
    let (found, skipped) = crop_fidelity(job, sample_teacher(), &NoopMonitor, Some(table)).unwrap();
    assert_eq!(skipped, []);
    fs::write(labelled.path("figures.json"), serde_json::to_string(&found).unwrap()).unwrap();
    let folder = labelled.folder.path().to_str().unwrap();
    let teacher = lite0();
    let args = [&[folder, teacher.to_str().unwrap()], boxes].concat();
    let checked = python(&repository("tests/python/check_crop_fidelity.py"), &args).expect(0).json();
    assert_eq!(checked["crops"], found.crops, "{checked}");
    found
}

#[test]
fn figures_of_the_sample_teacher_equal_an_independent_computation() {
    let parameters = PoolingParameters {
        map_temperature: 2.25,
        map_temperature_exponent: -0.25,
        prediction_temperature: 0.875,
        prediction_temperature_exponent: 0.125,
        map_share_bias: -0.5,
        map_share_slope: 0.375,
        overlap_sharpness: 5.5,
        tile_bias: 0.75,
        tile_map_bias: -0.5,
    };
    let without_tiles = PoolingParameters { map_share_bias: 0.25, map_temperature: 3.0, ..parameters };
    let labelled = photographs(&["--tiles", "4+9", "--tile-maps"]);
    let labelled = calibrated(labelled, parameters, Some(without_tiles));
    let images = labelled.images();
    let found = check(&labelled, &at_224(&labelled, &*images, random(6, 1)), &[]);
    assert_eq!((found.images, found.crops, kinds(&found)), (11, 66, LabelKind::ALL.to_vec()));
    assert_eq!(found.coverings.keys().collect::<Vec<_>>(), ["4", "5", "9"]);
    let (pooled, swapped) = (of(&found, LabelKind::Pooled), of(&found, LabelKind::Swapped));
    assert!(swapped.tv > pooled.tv && swapped.kl > pooled.kl && swapped.top1 < pooled.top1, "{pooled:?} {swapped:?}");
}

#[test]
fn figures_of_given_boxes_equal_an_independent_computation() {
    let labelled = photographs(&[]);
    let images = labelled.images();
    let boxes = labelled.path("boxes.csv");
    // Crops of the teacher's input size need no resizing, so their pixels are equal to PIL's, and all figures are.
    let mut text = "x0,y0,x1,y1,id\r\n".to_owned();
    for (id, [width, height], [x0, y0]) in [
        ("n02123045/chelsea", [451.0, 300.0], [120.0, 30.0]),
        ("n07920052/coffee.JPEG", [600.0, 400.0], [0.0, 176.0]),
        ("n07920052/coffee", [600.0, 400.0], [200.0, 100.0]),
        ("n02123045/chelsea", [451.0, 300.0], [227.0, 76.0]),
        ("people/astronaut", [512.0, 512.0], [111.0, 7.0]),
        ("n07920052/large", [2400.0, 1800.0], [1001.0, 803.0]),
    ] {
        let [x1, y1] = [x0 + 224.0, y0 + 224.0];
        text += &format!("{},{},{},{},{id}\r\n", x0 / width, y0 / height, x1 / width, y1 / height);
    }
    fs::write(&boxes, format!("\u{feff}{text}")).unwrap();
    let index = RowIndex::new(&labelled.manifest);
    let crops = CropChoice::Boxes(read_boxes(&boxes, &labelled.manifest, &index).unwrap());
    let found = check(&labelled, &at_224(&labelled, &*images, crops), &[boxes.to_str().unwrap()]);
    assert_eq!((found.images, found.crops, found.seed), (4, 6, None));
    assert_eq!(found.boxes_sha256, Some(digest_bytes(&fs::read(&boxes).unwrap())));
    let by_area = &of(&found, LabelKind::Pooled).by_area;
    assert_eq!((by_area.len(), by_area[0].crops), (6, 1), "one is smaller than 0.08");
}
