use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use relabel::shared::digest::digest_bytes;
use relabel::shared::store::{RowState, StoreReader};
use relabel::shared::tiles::Tiles;
use serde_json::Value;

use crate::common::{data, python, repository, run};

/// Failed rows of the golden images, which PIL refuses too.
const FAILED_ROWS: [usize; 5] = [0, 1, 3, 4, 5];

#[test]
fn zarr_python_and_tensorstore_read_what_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let (store, report) = golden_store(folder.path());
    let reader = StoreReader::open(Path::new(&store)).unwrap();
    let ours = dump(&reader);
    for (name, dtype) in
        [("scores", "float16"), ("classes", "uint16"), ("image_probs", "float16"), ("image_classes", "uint16")]
    {
        let (zarr_python, tensorstore) = (&report["zarr_python"][name], &report["tensorstore"][name]);
        assert_eq!(zarr_python, tensorstore, "{name}");
        assert_eq!(zarr_python["dtype"], dtype);
        assert_eq!(
            zarr_python["sha256"],
            digest_bytes(&ours[name]).to_string(),
            "{name}: first values {}",
            zarr_python["first"]
        );
    }
    assert_eq!(report["zarr_python"]["scores"]["shape"], serde_json::json!([27, 5, 7, 7]));
    assert_eq!(report["zarr_python"]["image_probs"]["shape"], serde_json::json!([27, 5]));
    assert_eq!(report["sorted"], true);
    assert!(report["zarr_python"]["lse"].is_null() && report["attributes"]["with_lse"].is_null());
    let attributes = &report["attributes"];
    assert_eq!((&attributes["format_version"], &attributes["k"]), (&Value::from(1), &Value::from(5)));
    assert_eq!(attributes["teacher"]["name"], "efficientnet-lite0");
    assert_eq!(attributes["classes"]["count"], 1000);
}

#[test]
fn zarr_python_and_tensorstore_read_lse() {
    let folder = tempfile::tempdir().unwrap();
    let (store, report) = golden_store_with(folder.path(), &["--with-lse", "--flip-average"]);
    let (zarr_python, tensorstore) = (&report["zarr_python"]["lse"], &report["tensorstore"]["lse"]);
    assert_eq!(zarr_python, tensorstore);
    assert_eq!((&zarr_python["dtype"], &zarr_python["fill"]), (&"float16".into(), &"-Infinity".into()));
    assert_eq!(zarr_python["shape"], serde_json::json!([27, 1, 7, 7]));
    let reader = StoreReader::open(Path::new(&store)).unwrap();
    let mut ours: Vec<u8> = Vec::new();
    for row in 0..27 {
        match reader.row(row).unwrap() {
            RowState::Labelled(labels) => {
                ours.extend(labels.label_map().unwrap().lse().unwrap().iter().flat_map(|lse| lse.to_le_bytes()));
            }
            RowState::Failed(_) | RowState::ToDo => ours.extend(half::f16::NEG_INFINITY.to_le_bytes().repeat(49)),
        }
    }
    assert_eq!(zarr_python["sha256"], digest_bytes(&ours).to_string());
    let attributes = &report["attributes"];
    assert_eq!((&attributes["with_lse"], &attributes["flip_average"]), (&true.into(), &true.into()));
}

#[test]
fn zarr_python_and_tensorstore_read_tiles() {
    let folder = tempfile::tempdir().unwrap();
    let boxes = folder.path().join("boxes.csv");
    std::fs::write(&boxes, "x0,y0,x1,y1\n0,0,0.5,0.5\n0.25,0.5,1,1\n").unwrap();
    let (store, report) = golden_store_with(folder.path(), &["--tiles", boxes.to_str().unwrap(), "--tile-maps"]);
    let reader = StoreReader::open(Path::new(&store)).unwrap();
    let ours = dump(&reader);
    for (name, shape) in [
        ("tile_probs", &[27, 2, 5][..]),
        ("tile_classes", &[27, 2, 5]),
        ("tile_map_scores", &[27, 2, 5, 7, 7]),
        ("tile_map_classes", &[27, 2, 5, 7, 7]),
    ] {
        let (zarr_python, tensorstore) = (&report["zarr_python"][name], &report["tensorstore"][name]);
        assert_eq!(zarr_python, tensorstore, "{name}");
        assert_eq!(zarr_python["shape"], serde_json::json!(shape), "{name}");
        assert_eq!(zarr_python["sha256"], digest_bytes(&ours[name]).to_string(), "{name}");
    }
    let tiles = serde_json::json!({ "covering": "boxes.csv", "boxes": [[0.0, 0.0, 0.5, 0.5], [0.25, 0.5, 1.0, 1.0]], "k": 5, "maps": true });
    assert_eq!(report["attributes"]["tiles"], tiles);
    assert_eq!(report["attributes"]["format_version"], 1);
}

#[test]
fn rows_without_labels_are_fill_values() {
    let folder = tempfile::tempdir().unwrap();
    let (_, report) = golden_store(folder.path());
    let unlabelled: Vec<usize> = report["labelled"]
        .as_array()
        .unwrap()
        .iter()
        .enumerate()
        .filter(|(_, labelled)| *labelled == false)
        .map(|(row, _)| row)
        .collect();
    assert_eq!(unlabelled, FAILED_ROWS);
    assert_eq!(report["unlabelled_scores"], serde_json::json!(["-inf"]));
    assert_eq!(report["unlabelled_classes"], serde_json::json!([65535]));
}

#[test]
fn a_flipped_bit_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = golden_store(folder.path());
    for (array, at) in [("scores", 4000), ("classes", 2000)] {
        let inside = format!("{array}/c.0.0.0.0");
        let file = Path::new(&store).join(&inside);
        let original = std::fs::read(&file).unwrap();
        let mut flipped = original.clone();
        flipped[at] ^= 4;
        std::fs::write(&file, flipped).unwrap();
        let damaged = |reader: &StoreReader| (0..27).filter(|&row| reader.row(row).is_err()).count();
        let reader = StoreReader::open(Path::new(&store)).unwrap();
        assert_eq!(damaged(&reader), 27, "{array}: a file that differs from its record is not read");
        // A bit that flips on the disk does not change the file's metadata: only the checksum of its chunk detects it.
        let metadata = std::fs::metadata(&file).unwrap();
        let (modified, changed) =
            ((metadata.mtime(), metadata.mtime_nsec()), (metadata.ctime(), metadata.ctime_nsec()));
        let line = format!(
            "{} {}.{:09} {}.{:09} {}\t{inside}\n",
            metadata.len(),
            modified.0,
            modified.1,
            changed.0,
            changed.1,
            metadata.ino()
        );
        let mut seen = std::fs::File::options().append(true).open(Path::new(&store).join(".seen/0-of-1")).unwrap();
        seen.write_all(line.as_bytes()).unwrap();
        let trusting = StoreReader::open(Path::new(&store)).unwrap();
        assert_eq!(damaged(&trusting), 1, "{array}: only the image with the bit is lost");
        std::fs::write(&file, original).unwrap();
    }
}

#[test]
fn documented_label_pooling_equals_torchvision() {
    let (page, arrays) = (repository("docs/label-pooling.md"), data("golden/lite0.npz"));
    python(&repository("tests/python/check_label_pooling.py"), &[page.to_str().unwrap(), arrays.to_str().unwrap()])
        .expect(0);
}

#[test]
fn the_manifest_is_read_back_in_row_order() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = golden_store(folder.path());
    let manifest = StoreReader::open(Path::new(&store)).unwrap().manifest().unwrap();
    let paths: Vec<_> = (0..manifest.len()).map(|row| manifest.path(row)).collect();
    assert!(paths.is_sorted_by(|a, b| a.as_bytes() < b.as_bytes()));
    assert_eq!(
        (manifest.id(24), manifest.folder_class(24), manifest.bytes(24)),
        ("photos/coffee", Some("photos"), 79_975)
    );
}

/// Labels the golden images and reads the store with other readers.
fn golden_store(folder: &Path) -> (String, Value) {
    golden_store_with(folder, &[])
}

fn golden_store_with(folder: &Path, args: &[&str]) -> (String, Value) {
    let store = folder.join("labels").display().to_string();
    let run_args =
        ["run", "--teacher", "models/efficientnet-lite0.onnx", "--in", "tests/data/golden/images", "--out", &store];
    run(&[&run_args, args].concat()).expect(3);
    let report = python(&repository("tests/python/read_store.py"), &[&store]).expect(0).json();
    (store, report)
}

/// All values of our own reader by array, little-endian.
fn dump(reader: &StoreReader) -> std::collections::HashMap<&'static str, Vec<u8>> {
    let mut arrays: std::collections::HashMap<&'static str, Vec<u8>> = std::collections::HashMap::new();
    let mut add = |name, bytes: Vec<u8>| arrays.entry(name).or_default().extend(bytes);
    for row in 0..reader.info().images {
        match reader.row(row).unwrap() {
            RowState::Labelled(labels) => {
                let narrow = |classes: &[u32]| classes.iter().flat_map(|&class| (class as u16).to_le_bytes()).collect();
                let (scores, classes) = labels.label_map().unwrap().rank_planes();
                add("scores", scores.iter().flat_map(|score| score.to_le_bytes()).collect());
                add("classes", narrow(&classes));
                add("image_probs", labels.prediction.probs().iter().flat_map(|prob| prob.to_le_bytes()).collect());
                add("image_classes", narrow(labels.prediction.classes()));
                for tile in &labels.tiles {
                    let probs = tile.prediction.probs().iter().flat_map(|prob| prob.to_le_bytes()).collect();
                    add("tile_probs", probs);
                    add("tile_classes", narrow(tile.prediction.classes()));
                    if let Some(map) = &tile.map {
                        let (scores, classes) = map.rank_planes();
                        add("tile_map_scores", scores.iter().flat_map(|score| score.to_le_bytes()).collect());
                        add("tile_map_classes", narrow(&classes));
                    }
                }
            }
            RowState::Failed(_) | RowState::ToDo => {
                add("scores", half::f16::NEG_INFINITY.to_le_bytes().repeat(245));
                add("classes", u16::MAX.to_le_bytes().repeat(245));
                add("image_probs", half::f16::ZERO.to_le_bytes().repeat(5));
                add("image_classes", u16::MAX.to_le_bytes().repeat(5));
                let tiles = reader.info().tiles.as_ref().map_or(0, Tiles::count);
                add("tile_probs", half::f16::ZERO.to_le_bytes().repeat(5 * tiles));
                add("tile_classes", u16::MAX.to_le_bytes().repeat(5 * tiles));
                add("tile_map_scores", half::f16::NEG_INFINITY.to_le_bytes().repeat(245 * tiles));
                add("tile_map_classes", u16::MAX.to_le_bytes().repeat(245 * tiles));
            }
        }
    }
    arrays
}
