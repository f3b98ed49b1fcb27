use std::path::{Path, PathBuf};

use relabel::labelling::pixels::{ExifOrientation, decode};
use relabel::labelling::teacher::{Classifier as _, PixelBatch};
use relabel::shared::error::Error;
use relabel::shared::geometry::InputSize;
use relabel::shared::label_map::{ImageLabels, ImagePrediction, LabelMap, ScoreRounding, TileLabels};
use relabel::shared::random::SplitMix64;
use relabel::shared::store::{
    Depth, RowState, ShardLabels, StoreInfo, StoreReader, StoreWriter, WriterOptions, encode_shard, verify,
};
use relabel::shared::tiles::{Covering, Tiles};

use crate::common::{LabelRun, Ran, data, lite0_classifier, relabel, small_photographs, store_bytes};
use crate::synthetic_store;

fn labels(store: &Path, row: usize) -> ImageLabels {
    match StoreReader::open(store).unwrap().row(row).unwrap() {
        RowState::Labelled(labels) => labels,
        other => panic!("row {row}: {other:?}"),
    }
}

#[test]
fn tiles_have_the_labels_of_their_pixels() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("in/c")).unwrap();
    for name in ["coffee", "chelsea"] {
        let from = data(&format!("golden/images/photos/{name}.JPEG"));
        std::fs::copy(from, folder.path().join(format!("in/c/{name}.JPEG"))).unwrap();
    }
    let args = ["--tiles", "5", "--tile-maps", "--input-size", "224", "--tile-top-k", "3"];
    LabelRun::new(folder.path()).args(&args).run().expect(0);
    let store = folder.path().join("out");
    let (mut classifier, description) = lite0_classifier();
    let (size, filter) = (InputSize::new(224, 224).unwrap(), description.card.filter);
    for (row, name) in ["chelsea", "coffee"].iter().enumerate() {
        let bytes = std::fs::read(folder.path().join(format!("in/c/{name}.JPEG"))).unwrap();
        let image = decode(&bytes, ExifOrientation::Ignore).unwrap();
        let stored = labels(&store, row);
        assert_eq!(stored.tiles.len(), 5);
        for (tile, unit_box) in stored.tiles.iter().zip(Covering::Five.boxes()) {
            let mut pixels = vec![0; size.rgb_bytes()];
            image.resize_part(unit_box, size, filter, &mut pixels).unwrap();
            let probs = classifier.classify(&PixelBatch::new(1, size, pixels)).unwrap();
            let mut order: Vec<usize> = (0..probs.len()).collect();
            order.sort_by(|&a, &b| probs[b].total_cmp(&probs[a]));
            assert_eq!(tile.prediction.probs().len(), 3);
            for (rank, prob) in tile.prediction.probs().iter().enumerate() {
                let class = tile.prediction.classes()[rank] as usize;
                assert!((prob.to_f32() - probs[class]).abs() < 2e-3, "{name}, rank {rank}: {prob} {}", probs[class]);
                assert!((prob.to_f32() - probs[order[rank]]).abs() < 2e-3, "{name}, rank {rank}");
            }
            // The mean of the scores of a linear head are those of the tile, so its best class is in its map.
            let map = tile.map.as_ref().unwrap();
            assert_eq!((map.size().cells(), map.k()), (49, 5));
            assert!(map.cell_classes().contains(&(order[0] as u32)), "{name}");
        }
    }
}

#[test]
fn labels_of_images_do_not_depend_on_tiles() {
    let folder = tempfile::tempdir().unwrap();
    small_photographs(&folder.path().join("in"), 9);
    std::fs::write(folder.path().join("in/n07920052/0006.JPEG"), b"not an image").unwrap();
    LabelRun::new(folder.path()).out("without").small_shards().run().expect(3);
    LabelRun::new(folder.path()).out("with").small_shards().args(&["--tiles", "4"]).run().expect(3);
    let with = store_bytes(&folder.path().join("with"));
    for (path, bytes) in store_bytes(&folder.path().join("without")) {
        if path.starts_with("records") || path == Path::new("zarr.json") {
            continue;
        }
        let same = with.iter().find(|(other, _)| *other == path).unwrap();
        assert!(same.1 == bytes, "{}", path.display());
    }
    let verified = verify(&folder.path().join("with"), Depth::Values, &|_| ()).unwrap();
    assert!(verified.problems.is_empty(), "{:?}", verified.problems);
}

#[test]
fn a_lost_or_damaged_tile_file_is_labelled_again() {
    let folder = tempfile::tempdir().unwrap();
    small_photographs(&folder.path().join("in"), 9);
    let run = || LabelRun::new(folder.path()).small_shards().args(&["--tiles", "4", "--tile-maps"]).run();
    run().expect(0);
    let store = folder.path().join("out");
    let original = store_bytes(&store);
    for damaged in ["tile_probs/c.0.0.0", "tile_map_scores/c.1.0.0.0.0", "tile_classes/zarr.json"] {
        let path = store.join(damaged);
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        let found = verify(&store, Depth::Files, &|_| ()).unwrap();
        assert_eq!(found.problems.len(), 1, "{:?}", found.problems);
        assert_eq!(found.problems[0].file, damaged);
        run().expect(0);
        assert!(store_bytes(&store) == original, "{damaged}");
    }
    std::fs::remove_file(store.join("tile_probs/c.0.0.0")).unwrap();
    run().expect(0);
    assert!(store_bytes(&store) == original);
    let again = ["verify", "out", "--full", "--recompute", "5", "--in", "in", "--teacher"];
    let again = Ran::of(relabel(folder.path()).args(again).arg(crate::common::lite0()).args(["--input-size", "64"]));
    assert!(again.expect(0).stdout.contains("labelled 5 images again"), "recomputed");
}

#[test]
fn retried_images_leave_the_tiles_of_others_alone() {
    let folder = tempfile::tempdir().unwrap();
    small_photographs(&folder.path().join("in"), 7);
    let image = folder.path().join("in/n02123045/0002.JPEG");
    let bytes = std::fs::read(&image).unwrap();
    let args = ["--tiles", "4", "--tile-maps"];
    LabelRun::new(folder.path()).out("whole").small_shards().args(&args).run().expect(0);
    std::fs::write(&image, b"").unwrap();
    LabelRun::new(folder.path()).small_shards().args(&args).run().expect(3);
    std::fs::write(&image, bytes).unwrap();
    LabelRun::new(folder.path()).small_shards().args(&args).args(&["--retry-failed"]).run().expect(0);
    let (whole, retried) = (store_bytes(&folder.path().join("whole")), store_bytes(&folder.path().join("out")));
    // The manifests list different lengths of the file, so the records differ.
    let of_tiles = |files: &[(PathBuf, Vec<u8>)]| -> Vec<(PathBuf, Vec<u8>)> {
        files.iter().filter(|(path, _)| path.to_string_lossy().starts_with("tile_")).cloned().collect()
    };
    let (whole, retried) = (of_tiles(&whole), of_tiles(&retried));
    assert_eq!((whole.len(), retried.len()), (4 * 2 + 4, 4 * 2 + 4));
    for (a, b) in whole.iter().zip(&retried) {
        assert!(a == b, "{}", a.0.display());
    }
}

#[test]
fn other_tiles_are_refused_with_both_values() {
    let folder = tempfile::tempdir().unwrap();
    small_photographs(&folder.path().join("in"), 3);
    LabelRun::new(folder.path()).args(&["--tiles", "5"]).run().expect(0);
    let before = store_bytes(&folder.path().join("out"));
    for (args, expected) in [
        (&[][..], "tiles: 5 (5 tiles, top 5) in the store, none requested"),
        (&["--tiles", "9"], "tiles: 5 (5 tiles, top 5) in the store, 9 (9 tiles, top 5) requested"),
        (&["--tiles", "5", "--tile-maps"], "5 (5 tiles with maps, top 5) requested"),
        (&["--tiles", "5", "--tile-top-k", "2"], "5 (5 tiles, top 2) requested"),
    ] {
        let refused = LabelRun::new(folder.path()).args(args).run().expect(1);
        assert!(refused.stderr.contains(expected), "{}", refused.stderr);
    }
    // The same boxes under the name of a file are the same tiles.
    let line = |[x0, y0, x1, y1]: [f64; 4]| format!("{x0},{y0},{x1},{y1}\n");
    let lines: String = Covering::Five.boxes().iter().map(|unit_box| line(unit_box.sides())).collect();
    std::fs::write(folder.path().join("five.csv"), format!("x0,y0,x1,y1\n{lines}")).unwrap();
    LabelRun::new(folder.path()).args(&["--tiles", "five.csv"]).run().expect(0);
    assert!(store_bytes(&folder.path().join("out")) == before);
}

#[test]
fn unusable_tiles_are_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    small_photographs(&folder.path().join("in"), 2);
    std::fs::write(folder.path().join("outside.csv"), "x0,y0,x1,y1\n0,0,224,224\n").unwrap();
    std::fs::write(folder.path().join("past.csv"), "x0,y0,x1,y1\n0.5,0,1.5,1\n").unwrap();
    std::fs::write(folder.path().join("empty.csv"), "x0,y0,x1,y1\n").unwrap();
    for (args, expected) in [
        (&["--tiles", "6"][..], "expected 4, 5, 9, 4+9, and a file of this name does not exist"),
        (&["--tiles", "outside.csv"], "line 2"),
        (&["--tiles", "past.csv"], "extends past the image"),
        (&["--tiles", "empty.csv"], "0 tiles, expected 1 to 64"),
        (&["--tiles", "5", "--tile-top-k", "9"], "--tile-top-k 9 is out of range: the teacher returns 5 classes"),
        (&["--tile-maps"], "--tiles"),
    ] {
        let refused = LabelRun::new(folder.path()).args(args).run().expect(2);
        assert!(refused.stderr.contains(expected), "{}", refused.stderr);
        assert!(!folder.path().join("out").exists(), "{args:?}");
    }
}

#[test]
fn small_images_and_the_cost_of_coverings_are_reported() {
    let folder = tempfile::tempdir().unwrap();
    small_photographs(&folder.path().join("in"), 6);
    let args = ["--tiles", "5", "--dry-run", "--batch", "2"];
    let planned = LabelRun::new(folder.path()).args(&args).run().expect(0).stdout;
    assert!(
        planned.contains("4+9    14") && planned.contains("5       6") && planned.contains("(measured)"),
        "{planned}"
    );
    assert!(planned.contains("of 4 of 6 images have fewer pixels than the teacher's input (64x64)"), "{planned}");
    let json = LabelRun::new(folder.path()).args(&args).args(&["--json"]).run().expect(0).json();
    assert_eq!(
        (json["coverings"][2]["covering"].as_str(), json["coverings"][2]["runs"].as_u64()),
        (Some("5"), Some(6))
    );
    let ran = LabelRun::new(folder.path()).args(&["--tiles", "5"]).run().expect(0).stdout;
    assert!(ran.contains("of 4 of 6 images have fewer pixels"), "{ran}");
}

#[test]
fn five_tiles_take_at_most_120_bytes_per_image() {
    let images = 1024;
    let mut info = StoreInfo { k: 5, images, shard_images: images, ..synthetic_store::info() };
    info.tiles = Some(Tiles::new("5".into(), Covering::Five.boxes(), 5, false).unwrap());
    info.classes.count = 1000;
    let mut random = SplitMix64::new(3);
    // Incompressible: probabilities and classes without any pattern.
    let mut prediction = || {
        let mut probs: Vec<f32> = (0..5).map(|_| random.uniform(0.0, 0.2) as f32).collect();
        probs.sort_by(|a, b| b.total_cmp(a));
        let classes: Vec<i32> = (0..5).map(|_| random.uniform(0.0, 999.0) as i32).collect();
        ImagePrediction::from_ranks(&probs, &classes).unwrap()
    };
    let map =
        LabelMap::from_cells(&[1.0; 30], &[0, 1, 2, 3, 4].repeat(6), 5, info.map_size.unwrap(), ScoreRounding::Float16);
    let mut labels = || {
        let tiles = (0..5).map(|_| TileLabels { prediction: prediction(), map: None }).collect();
        Ok(ImageLabels { tiles, ..ImageLabels::new(map.clone().unwrap(), prediction()) })
    };
    let shard = ShardLabels { shard: 0, images: (0..images).map(|_| labels()).collect() };
    let files = encode_shard(&info, &shard).unwrap();
    let of_tiles = files.iter().filter(|(path, _)| path.starts_with("tile_"));
    let bytes: usize = of_tiles.map(|(_, bytes)| bytes.len()).sum();
    assert!(bytes <= 120 * images, "{} bytes per image", bytes / images);
}

#[test]
fn stores_with_impossible_tiles_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let base = synthetic_store::info();
    let tiles = |k, maps| Some(Tiles::new("5".into(), Covering::Five.boxes(), k, maps).unwrap());
    let mapless = StoreInfo { map_size: None, format_version: 2, ..base.clone() };
    for (info, expected) in [
        (StoreInfo { tiles: tiles(21, false), ..base.clone() }, "tiles.k is 21"),
        (StoreInfo { tiles: tiles(0, false), ..base.clone() }, "tiles.k is 0"),
        (StoreInfo { tiles: tiles(2, true), ..mapless.clone() }, "label maps of tiles, but none of images"),
        (StoreInfo { format_version: 1, ..mapless.clone() }, "`format_version` is 1"),
        (StoreInfo { format_version: 2, ..base.clone() }, "`format_version` is 2"),
    ] {
        let created =
            StoreWriter::create(&folder.path().join("s"), info, &synthetic_store::manifest(), WriterOptions::default());
        let message = match created {
            Err(error @ Error::Usage(_)) => error.to_string(),
            other => panic!("{other:?}"),
        };
        assert!(message.contains(expected), "{message}");
    }
}
