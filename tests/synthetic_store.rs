use std::collections::BTreeMap;
use std::path::Path;

use relabel::shared::digest::digest_bytes;
use relabel::shared::error::{ImageError, ImageErrorKind};
use relabel::shared::geometry::MapSize;
use relabel::shared::label_map::{ImageLabels, ImagePrediction, LabelMap, ScoreRounding, TileLabels};
use relabel::shared::manifest::{Manifest, ManifestEntry, manifest_bytes};
use relabel::shared::pooling_parameters::PoolingParameters;
use relabel::shared::store::{
    Agreement, Calibration, CalibrationFigures, CalibrationSample, ClassesInfo, FORMAT_VERSION, FailedImage,
    MAPLESS_FORMAT_VERSION, ScoreKind, ShardLabels, StoreInfo, StoreWriter, TeacherInfo, WriterOptions, encode_shard,
};
use relabel::shared::tiles::{Covering, Tiles};

/// Images of the store, and of each shard except the last.
pub const IMAGES: usize = 10;
pub const SHARD_IMAGES: usize = 4;
const CLASSES: usize = 20;

pub fn manifest() -> Manifest {
    let entry = |row: usize| ManifestEntry { path: format!("c/{row}.jpg"), ..ManifestEntry::default() };
    Manifest::from_entries((0..IMAGES).map(entry).collect()).unwrap()
}

/// Description of a store without a teacher.
pub fn info() -> StoreInfo {
    StoreInfo {
        format_version: FORMAT_VERSION,
        tool_version: "0".into(),
        teacher: TeacherInfo {
            name: "synthetic".into(),
            sha256: digest_bytes(b"synthetic"),
            weights_sha256: BTreeMap::new(),
            locality: None,
            card: serde_json::Map::new(),
            card_origins: BTreeMap::new(),
        },
        k: 2,
        map_size: Some(MapSize::new(2, 3).unwrap()),
        score_kind: ScoreKind::Logits,
        score_steps: None,
        zstd_level: Some(13),
        flip_average: false,
        with_lse: false,
        tiles: None,
        imported: None,
        images: IMAGES,
        shard_images: SHARD_IMAGES,
        batch_images: 2,
        manifest_sha256: digest_bytes(&manifest_bytes(&manifest()).unwrap()),
        limit: None,
        source: "synthetic".into(),
        classes: ClassesInfo {
            list: "unnamed".into(),
            count: CLASSES,
            ids: vec![String::new(); CLASSES],
            names: vec![String::new(); CLASSES],
        },
    }
}

/// Description of a store with the tiles of a covering.
pub fn tiled_info(covering: Covering, with_maps: bool) -> StoreInfo {
    let tiles = Tiles::new(covering.name().into(), covering.boxes(), 2, with_maps).unwrap();
    StoreInfo { tiles: Some(tiles), ..info() }
}

/// Description of a store with tiles, without label maps.
pub fn mapless_info() -> StoreInfo {
    StoreInfo { format_version: MAPLESS_FORMAT_VERSION, map_size: None, ..tiled_info(Covering::Five, false) }
}

/// Labels of a shard, which depend on the row. Row 5 failed.
pub fn shard_labels(info: &StoreInfo, shard: usize) -> ShardLabels {
    let image = |row: usize| {
        if row == 5 {
            let error = ImageError { kind: ImageErrorKind::Empty, reason: "nothing".into() };
            return Err(FailedImage { row, id: "c/5".into(), path: "c/5.jpg".into(), error });
        }
        let with_tile_maps = info.tiles.as_ref().is_some_and(Tiles::with_maps);
        let tile = |tile: usize| TileLabels {
            prediction: prediction(0.5, row + tile),
            map: info.map_size.filter(|_| with_tile_maps).map(|size| map(size, row + tile)),
        };
        Ok(ImageLabels {
            map: info.map_size.map(|size| map(size, row)),
            prediction: prediction(0.75, row),
            tiles: (0..info.tiles.as_ref().map_or(0, Tiles::count)).map(tile).collect(),
        })
    };
    ShardLabels { shard, images: info.shard_rows(shard).map(image).collect() }
}

fn map(size: MapSize, first: usize) -> LabelMap {
    let scores: Vec<f32> = (0..6).flat_map(|cell| [(first * 7 + cell) as f32 + 1.0, cell as f32]).collect();
    let classes: Vec<i32> =
        (0..6).flat_map(|cell| [(first + cell) as i32 % 20, (first + cell + 1) as i32 % 20]).collect();
    LabelMap::from_cells(&scores, &classes, 2, size, ScoreRounding::Float16).unwrap()
}

fn prediction(prob: f32, class: usize) -> ImagePrediction {
    ImagePrediction::from_ranks(&[prob, 0.25], &[class as i32 % 20, (class as i32 + 1) % 20]).unwrap()
}

/// Creates a complete store.
pub fn create(path: &Path, info: StoreInfo) {
    fill(&StoreWriter::create(path, info, &manifest(), WriterOptions::default()).unwrap()).unwrap();
}

/// A calibration of a store, whose held-out figures depend on the seed.
pub fn calibration(info: &StoreInfo, seed: u64) -> Calibration {
    let sample = CalibrationSample { images: 4, crops: 32, seed };
    let figures = |label: &str, kl: f64| CalibrationFigures {
        label: label.into(),
        top1: 0.75,
        top1_standard_error: Some(0.05),
        kl,
        kl_standard_error: Some(0.02),
        tv: 0.25,
        tv_standard_error: None,
        kl_improvement: kl - 0.5,
        kl_improvement_standard_error: Some(0.03),
    };
    Calibration {
        pooling_version: Calibration::VERSION,
        tool_version: "0".into(),
        made_with: info.identity_with_tiles(),
        teacher_sha256: info.teacher.sha256.clone(),
        parameters: PoolingParameters {
            map_share_bias: -0.5,
            tile_bias: 0.25,
            ..PoolingParameters::PREDICTIONS_BY_OVERLAP
        },
        parameters_without_tiles: None,
        fit: sample,
        held_out: sample,
        figures: vec![figures("pooled", 1.86), figures("image", 0.8125), figures("calibrated", 0.5)],
    }
}

/// Commits every missing shard.
pub fn fill(store: &StoreWriter) -> Result<(), relabel::shared::error::Error> {
    for shard in store.part_state(&|_| ())?.to_do {
        let labels = shard_labels(store.info(), shard);
        let files = encode_shard(store.info(), &labels).unwrap();
        store.commit(&labels, &files, Agreement::default())?;
    }
    Ok(())
}
