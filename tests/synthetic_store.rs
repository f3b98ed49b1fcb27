use std::collections::BTreeMap;

use relabel::shared::digest::digest_bytes;
use relabel::shared::error::{ImageError, ImageErrorKind};
use relabel::shared::geometry::MapSize;
use relabel::shared::label_map::{ImageLabels, ImagePrediction, LabelMap, ScoreRounding};
use relabel::shared::manifest::{Manifest, ManifestEntry, manifest_bytes};
use relabel::shared::store::{
    Agreement, ClassesInfo, FORMAT_VERSION, FailedImage, ScoreKind, ShardLabels, StoreInfo, StoreWriter, TeacherInfo,
    encode_shard,
};

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
        map_size: MapSize::new(2, 3).unwrap(),
        score_kind: ScoreKind::Logits,
        score_steps: None,
        zstd_level: Some(13),
        flip_average: false,
        with_lse: false,
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

/// Labels of a shard, which depend on the row. Row 5 failed.
pub fn shard_labels(info: &StoreInfo, shard: usize) -> ShardLabels {
    let image = |row: usize| {
        if row == 5 {
            let error = ImageError { kind: ImageErrorKind::Empty, reason: "nothing".into() };
            return Err(FailedImage { row, id: "c/5".into(), path: "c/5.jpg".into(), error });
        }
        let scores: Vec<f32> = (0..6).flat_map(|cell| [(row * 7 + cell) as f32 + 1.0, cell as f32]).collect();
        let classes: Vec<i32> =
            (0..6).flat_map(|cell| [(row + cell) as i32 % 20, (row + cell + 1) as i32 % 20]).collect();
        Ok(ImageLabels {
            map: LabelMap::from_cells(&scores, &classes, 2, info.map_size, ScoreRounding::Float16).unwrap(),
            prediction: ImagePrediction::from_ranks(&[0.75, 0.25], &[row as i32, row as i32 + 1]).unwrap(),
        })
    };
    ShardLabels { shard, images: info.shard_rows(shard).map(image).collect() }
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
