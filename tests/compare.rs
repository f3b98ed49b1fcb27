use std::ops::Range;
use std::path::{Path, PathBuf};

use relabel::labelling::pixels::{ExifOrientation, decode};
use relabel::shared::digest::{digest_bytes, digest_file};
use relabel::shared::error::{ImageError, ImageErrorKind};
use relabel::shared::geometry::{Crop, MapSize, UnitBox};
use relabel::shared::label_map::{ImageLabels, ImagePrediction, LabelMap};
use relabel::shared::manifest::{Manifest, ManifestEntry, manifest_bytes};
use relabel::shared::random::SplitMix64;
use relabel::shared::store::{
    Agreement, FailedImage, ShardLabels, StoreInfo, StoreWriter, WriterOptions, encode_shard,
};
use relabel::training::pool::{PoolOptions, Pooler};
use serde_json::Value;

use crate::common::{Ran, relabel, small_photographs, store_bytes};
use crate::servers::Server;
use crate::synthetic_store;

const IMAGES: usize = 12;
const SIDE: usize = 6;
const CLASSES: u32 = 60;
const K: usize = 3;

/// A store in memory.
#[derive(Clone)]
struct TestStore {
    info: StoreInfo,
    paths: Vec<String>,
    /// `None` for a failed image.
    images: Vec<Option<ImageLabels>>,
}

impl TestStore {
    /// Three images in each of four folders. Labels depend on the path.
    fn new() -> Self {
        Self::of((0..IMAGES).map(|image| format!("folder{}/{image}.jpg", image / 3)).collect())
    }

    fn of(paths: Vec<String>) -> Self {
        let mut info = synthetic_store::info();
        (info.k, info.map_size) = (K, Some(MapSize::new(SIDE, SIDE).unwrap()));
        info.classes.list = "folders.txt".into();
        info.classes.count = CLASSES as usize;
        info.classes.ids = (0..CLASSES).map(|class| format!("folder{class}")).collect();
        info.classes.names = (0..CLASSES).map(|class| format!("thing {class}, a thing")).collect();
        let images = paths.iter().map(|path| Some(labels(path, SIDE, K))).collect();
        Self { info, paths, images }
    }

    fn map_mut(&mut self, image: usize) -> &mut LabelMap {
        self.images[image].as_mut().unwrap().map.as_mut().unwrap()
    }

    /// Rearranges the cells of an image: `from` returns the cell, as (y, x), that moves to (y, x).
    fn rearrange(&mut self, image: usize, from: impl Fn(usize, usize) -> (usize, usize)) {
        let map = self.map_mut(image);
        let (mut scores, mut classes) = (Vec::new(), Vec::new());
        for cell in 0..SIDE * SIDE {
            let (y, x) = from(cell / SIDE, cell % SIDE);
            scores.extend_from_slice(map.cell(y * SIDE + x).0);
            classes.extend_from_slice(map.cell(y * SIDE + x).1);
        }
        *map = LabelMap::from_stored_cells(scores, classes, K, map.size()).unwrap();
    }

    fn write(&self, folder: &Path, name: &str) -> PathBuf {
        self.write_shards(folder, name, 0..self.images.len().div_ceil(self.info.shard_images))
    }

    fn write_shards(&self, folder: &Path, name: &str, shards: Range<usize>) -> PathBuf {
        let entry = |path: &String| ManifestEntry {
            path: path.clone(),
            folder_class: path.split_once('/').map(|(folder, _)| folder.to_owned()),
            ..ManifestEntry::default()
        };
        let manifest = Manifest::from_entries(self.paths.iter().map(entry).collect()).unwrap();
        let mut info = self.info.clone();
        info.images = self.paths.len();
        info.shard_images = info.shard_images.min(info.images);
        info.manifest_sha256 = digest_bytes(&manifest_bytes(&manifest).unwrap());
        let path = folder.join(name);
        let store = StoreWriter::create(&path, info, &manifest, WriterOptions::default()).unwrap();
        for shard in shards {
            let image = |row: usize| {
                self.images[row].clone().ok_or_else(|| FailedImage {
                    row,
                    id: manifest.id(row).to_owned(),
                    path: manifest.path(row).to_owned(),
                    error: ImageError { kind: ImageErrorKind::Empty, reason: "nothing".into() },
                })
            };
            let labels = ShardLabels { shard, images: store.info().shard_rows(shard).map(image).collect() };
            let files = encode_shard(store.info(), &labels).unwrap();
            store.commit(&labels, &files, Agreement::default()).unwrap();
        }
        path
    }
}

/// Random blocks of three rows and two columns.
fn labels(path: &str, side: usize, k: usize) -> ImageLabels {
    let seed = path.bytes().fold(7, |seed: u64, byte| seed.wrapping_mul(31).wrapping_add(byte.into()));
    let (mut scores, mut classes) = (Vec::new(), Vec::new());
    for cell in 0..side * side {
        let (block, own) = ((cell / side / 3 * side + cell % side / 2) as u64, 1000 + cell as u64);
        let best = SplitMix64::nth(seed, block) % u64::from(CLASSES);
        let fraction = (SplitMix64::nth(seed, own) % 64) as f32 / 64.0;
        for rank in 0..k {
            classes.push((best as u32 + 7 * rank as u32) % CLASSES);
            scores.push(half::f16::from_f32(9.0 - 2.0 * rank as f32 - fraction));
        }
    }
    let first = classes[0] as i32;
    let map = LabelMap::from_stored_cells(scores, classes, k, MapSize::new(side, side).unwrap()).unwrap();
    let predicted = [0, 1, 2].map(|rank| (first + rank) % CLASSES as i32);
    let prediction = ImagePrediction::from_ranks(&[0.75, 0.125, 0.0625], &predicted).unwrap();
    ImageLabels::new(map, prediction)
}

fn compare(folder: &Path, args: &[&str]) -> Ran {
    Ran::of(relabel(folder).arg("compare").args(args))
}

/// Writes a store and a copy of it that `change` changed, as `a` and `b`.
fn stores(change: impl FnOnce(&mut TestStore)) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut store = TestStore::new();
    store.write(folder.path(), "a");
    change(&mut store);
    store.write(folder.path(), "b");
    folder
}

/// Plants five differences: images 1, 4 and 7 rearranged, 9 and 10 exchanged.
fn plant(store: &mut TestStore) {
    store.rearrange(1, |y, x| (x, y));
    store.rearrange(4, |y, x| (y, x.saturating_sub(1)));
    store.rearrange(7, |y, x| (y, SIDE - 1 - x));
    let labels = store.images[9].take();
    store.images[9] = store.images[10].take();
    store.images[10] = labels;
}

#[test]
fn equal_stores_are_identical() {
    let folder = stores(|_| ());
    for (args, images) in [(["a", "b"], IMAGES), (["a", "a"], IMAGES)] {
        let ran = compare(folder.path(), &[&args[..], &["--require-agreement", "1"]].concat()).expect(0);
        assert!(
            ran.stdout.contains("identical every score, class and probability has the same bits"),
            "{}",
            ran.stdout
        );
        assert!(ran.stdout.contains(&format!("compared  {images} images of the same manifest\n")), "{}", ran.stdout);
        assert!(ran.stdout.contains("passed: the agreement is 1, at least 1 is required"), "{}", ran.stdout);
    }
    let document = compare(folder.path(), &["a", "b", "--json"]).expect(0).json();
    for (key, value) in [
        ("identical", Value::from(true)),
        ("identical_images", IMAGES.into()),
        ("agreement", 1.0.into()),
        ("agreement_of", "cells".into()),
        ("passed", true.into()),
        ("required_agreement", Value::Null),
        ("worst", Value::Array(vec![])),
    ] {
        assert_eq!(document[key], value, "{key}");
    }
    assert_eq!(
        (&document["cells"]["scores"]["max"], &document["targets"]["distance"]["max"]),
        (&0.0.into(), &0.0.into())
    );
    assert_eq!((&document["a"]["teacher"], &document["a"]["path"]), (&"synthetic".into(), &"a".into()));
}

#[test]
fn planted_differences_are_found_and_named() {
    let folder = stores(plant);
    let ran = compare(folder.path(), &["a", "b", "-o", "images.csv", "--picture", "worst.png", "--json"]).expect(0);
    let document = ran.json();
    assert_eq!((&document["identical_images"], &document["identical"]), (&7.into(), &false.into()));
    let worst = document["worst"].as_array().unwrap();
    let mut named: Vec<_> = worst
        .iter()
        .map(|image| (image["id"].as_str().unwrap(), image["looks_like"].as_str().unwrap_or("nothing")))
        .collect();
    named.sort_unstable();
    assert_eq!(
        named,
        [
            ("folder0/1", "x and y swapped"),
            ("folder1/4", "shifted by one cell to the right"),
            ("folder2/7", "mirrored left to right"),
            ("folder3/10", "the map of folder3/9"),
            ("folder3/9", "the map of folder3/10"),
        ]
    );
    let table = std::fs::read_to_string(folder.path().join("images.csv")).unwrap();
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), IMAGES + 1);
    assert!(lines[0].starts_with("rank,row_a,row_b,id,label,identical,agreement,same_best_cells,"), "{table}");
    for (line, (image, rank)) in lines[1..].iter().zip(worst.iter().zip(0..)) {
        let row = &image["row_a"];
        assert!(line.starts_with(&format!("{rank},{row},{row},{},", image["id"].as_str().unwrap())), "{line}");
        assert!(line.ends_with(image["looks_like"].as_str().unwrap()), "{line}");
    }
    assert!(lines[IMAGES].contains(",folder3/11,folder3,1,1,1,1,0,0,0,1,0,1,0,0,"), "{table}");
    let classes = std::fs::read_to_string(folder.path().join("images.classes.csv")).unwrap();
    assert_eq!(classes.lines().count(), 5, "{classes}");
    assert!(classes.contains("\nfolder0,0,thing 0,3,2,0."), "{classes}");
    let text = compare(folder.path(), &["a", "b"]).expect(0).stdout;
    for part in
        ["looks like: x and y swapped", "identical 7 images", "next      relabel compare a b --picture worst.png"]
    {
        assert!(text.contains(part), "{part} in {text}");
    }
    let picture = std::fs::read(folder.path().join("worst.png")).unwrap();
    let picture = decode(&picture, ExifOrientation::Ignore).unwrap();
    assert!(picture.width_pixels() > 1000 && picture.height_pixels() > 500);
}

#[test]
fn a_map_that_was_written_twice_is_named() {
    // The other image is not among those that differ.
    let folder = stores(|store| store.images[2] = store.images[8].clone());
    let document = compare(folder.path(), &["a", "b", "--json"]).expect(0).json();
    assert_eq!(document["worst"][0]["looks_like"], "the map of folder2/8");
    assert_eq!(document["worst"].as_array().unwrap().len(), 1);
}

#[test]
fn figures_match_an_independent_computation() {
    let folder = stores(|store| {
        let map = store.map_mut(5);
        let (mut scores, mut classes) = (map.cell_scores().to_vec(), map.cell_classes().to_vec());
        scores[K] = half::f16::from_f32(scores[K].to_f32() + 2.0);
        classes.swap(6 * K, 6 * K + 1);
        classes[20 * K + 2] = (classes[20 * K + 2] + 1) % CLASSES;
        *map = LabelMap::from_stored_cells(scores, classes, K, map.size()).unwrap();
        let prediction = &mut store.images[5].as_mut().unwrap().prediction;
        let classes = prediction.classes().to_vec();
        *prediction =
            ImagePrediction::from_stored([0.5, 0.125, 0.0625].map(half::f16::from_f32).to_vec(), classes).unwrap();
    });
    let args = ["a", "b", "--crops", "3", "--seed", "5", "--json", "-o", "all.json"];
    let document = compare(folder.path(), &args).expect(0).json();
    let (cells, kept) = ((IMAGES * SIDE * SIDE) as f64, (IMAGES * SIDE * SIDE * K) as f64);
    let close = |value: &Value, wanted: f64| {
        assert!((value.as_f64().unwrap() - wanted).abs() < 1e-6, "{value} instead of {wanted}");
    };
    close(&document["agreement"], (cells - 1.0) / cells);
    close(&document["cells"]["rank_overlap"], (kept - 1.0) / kept);
    close(&document["cells"]["only_in_one"], 2.0 / (kept + 1.0));
    // One score is 2 higher; two classes that are 2 apart changed places.
    close(&document["cells"]["scores"]["mean"], 6.0 / (kept - 1.0));
    close(&document["cells"]["scores"]["max"], 2.0);
    close(&document["cells"]["scores"]["quantiles"]["p50"], 0.0);
    close(&document["cells"]["scores"]["quantiles"]["p99.9"], 2.0);
    close(&document["predictions"]["same_best"], 1.0);
    // 0.25 of the probability moves from the best class to the rest.
    close(&document["predictions"]["max_distance"], 0.25);
    close(&document["predictions"]["mean_distance"], 0.25 / IMAGES as f64);
    let dense = |name: &str, unit_box: UnitBox| {
        let store = relabel::StoreReader::open(&folder.path().join(name)).unwrap();
        let relabel::shared::store::RowState::Labelled(labels) = store.row(5).unwrap() else { panic!() };
        let mut target = vec![0.0_f64; CLASSES as usize];
        Pooler::new(CLASSES as usize, PoolOptions::default())
            .pool(labels.label_map().unwrap(), Crop::from(unit_box), &mut target)
            .unwrap();
        target
    };
    let distance = |unit_box: UnitBox| {
        dense("a", unit_box).iter().zip(dense("b", unit_box)).map(|(a, b)| (a - b).abs()).sum::<f64>() / 2.0
    };
    let distances: Vec<f64> = relabel::inspection::audit::random_crops(3, 5).into_iter().map(distance).collect();
    let largest = distances.iter().copied().fold(0.0, f64::max);
    assert!(largest > 0.0);
    close(&document["targets"]["distance"]["max"], largest);
    close(&document["targets"]["distance"]["mean"], distances.iter().sum::<f64>() / (3 * IMAGES) as f64);
    let file: Value = serde_json::from_slice(&std::fs::read(folder.path().join("all.json")).unwrap()).unwrap();
    assert_eq!(file["summary"]["agreement"], document["agreement"]);
    assert_eq!((&file["images"][0]["id"], &file["images"][0]["identical"]), (&"folder1/5".into(), &0.into()));
    close(&file["images"][0]["max_target_distance"], largest);
    assert_eq!((file["images"].as_array().unwrap().len(), file["classes"].as_array().unwrap().len()), (IMAGES, 4));
}

#[test]
fn too_little_agreement_is_exit_code_3() {
    let folder = stores(plant);
    let ran = compare(folder.path(), &["a", "b", "--require-agreement", "0.99", "-o", "all.parquet"]).expect(3);
    assert!(ran.stdout.contains("required  failed: the agreement is 0.") && ran.stdout.contains("at least 0.99"));
    assert!(folder.path().join("all.parquet").exists() && folder.path().join("all.classes.parquet").exists());
    let document = compare(folder.path(), &["a", "b", "--require-agreement", "0.99", "--json"]).expect(3).json();
    assert_eq!((&document["passed"], &document["required_agreement"]), (&false.into(), &0.99.into()));
    let agreement = document["agreement"].as_f64().unwrap().to_string();
    compare(folder.path(), &["a", "b", "--require-agreement", &agreement]).expect(0);
    for share in ["1.01", "-0.1", "99%", "nan", ""] {
        let refused = compare(folder.path(), &["a", "b", &format!("--require-agreement={share}")]).expect(2);
        assert!(refused.stderr.contains("a share from 0 to 1") || share.is_empty(), "{}", refused.stderr);
    }
}

#[test]
fn results_do_not_depend_on_threads() {
    let folder = stores(plant);
    let read = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
    for (file, threads) in [("one.parquet", "1"), ("three.parquet", "3")] {
        compare(folder.path(), &["a", "b", "-o", file, "--threads", threads]).expect(0);
    }
    assert!(read("one.parquet") == read("three.parquet"));
    assert!(read("one.classes.parquet") == read("three.classes.parquet"));
}

#[test]
fn images_are_matched_by_id_if_the_manifests_differ() {
    let folder = tempfile::tempdir().unwrap();
    TestStore::new().write(folder.path(), "a");
    let mut paths: Vec<String> =
        TestStore::new().paths.into_iter().rev().filter(|path| !path.contains("/5.")).collect();
    paths.push("folder9/new.jpg".into());
    let mut other = TestStore::of(paths);
    other.images[0] = other.images[1].clone();
    other.write(folder.path(), "b");
    let ran = compare(folder.path(), &["a", "b"]).expect(0);
    for part in [
        "compared  11 images in common, matched by id\n",
        "only in A 1 image, such as folder1/5\n",
        "only in B 1 image, such as folder9/new\n",
        "identical 10 images\n",
    ] {
        assert!(ran.stdout.contains(part), "{part} in {}", ran.stdout);
    }
    let document = compare(folder.path(), &["a", "b", "--json"]).expect(0).json();
    assert_eq!((&document["same_manifest"], &document["common"]), (&false.into(), &11.into()));
    let worst = &document["worst"][0];
    assert_eq!((&worst["id"], &worst["row_a"], &worst["row_b"]), (&"folder3/11".into(), &11.into(), &0.into()));
    assert_eq!(worst["looks_like"], "the map of folder3/10");
    TestStore::of(vec!["x/1.jpg".into(), "x/2.jpg".into()]).write(folder.path(), "c");
    let refused = compare(folder.path(), &["a", "c"]).expect(1).stderr;
    assert!(refused.contains("no image is in both") && refused.contains("`folder0/0`") && refused.contains("`x/1`"));
}

#[test]
fn classes_in_another_order_are_matched_and_other_classes_refused() {
    let folder = stores(|store| {
        store.info.classes.ids.reverse();
        store.info.classes.names.reverse();
        for labels in store.images.iter_mut().flatten() {
            let reversed = |class: u32| CLASSES - 1 - class;
            *labels = labels.clone().with_classes(reversed);
        }
    });
    assert_eq!(compare(folder.path(), &["a", "b", "--json"]).expect(0).json()["identical"], true);
    let mut other = TestStore::new();
    other.info.classes.ids[3] = "elsewhere".into();
    other.info.classes.names[3] = "elsewhere".into();
    other.write(folder.path(), "c");
    let refused = compare(folder.path(), &["a", "c"]).expect(1).stderr;
    for part in ["store c: cannot compare it (B) with a (A)", "only in A: `folder3`", "only in B: `elsewhere`", "help:"]
    {
        assert!(refused.contains(part), "{part} in {refused}");
    }
}

#[test]
fn maps_of_different_sizes_are_compared_by_targets() {
    let folder = stores(|store| {
        (store.info.map_size, store.info.k) = (Some(MapSize::new(4, 4).unwrap()), 2);
        store.info.teacher.name = "another teacher".into();
        store.images = store.paths.iter().map(|path| Some(labels(path, 4, 2))).collect();
    });
    let ran = compare(folder.path(), &["a", "b", "--picture", "pair.png"]).expect(0);
    for part in
        ["another teacher", "not compared: the maps have 6x6 and 4x4 cells", "have the same best class (agreement)"]
    {
        assert!(ran.stdout.contains(part), "{part} in {}", ran.stdout);
    }
    assert!(folder.path().join("pair.png").exists());
    let document = compare(folder.path(), &["a", "b", "--json", "-o", "all.json"]).expect(0).json();
    assert_eq!((&document["cells"], &document["agreement_of"]), (&Value::Null, &"crops".into()));
    assert_eq!(document["agreement"], document["targets"]["same_best"]);
    let file: Value = serde_json::from_slice(&std::fs::read(folder.path().join("all.json")).unwrap()).unwrap();
    assert_eq!(file["images"][0]["rank_overlap"], Value::Null);
}

#[test]
fn the_smaller_k_is_compared_if_they_differ() {
    let folder = stores(|store| {
        store.info.k = 1;
        store.images = store.paths.iter().map(|path| Some(labels(path, SIDE, 1))).collect();
    });
    let document = compare(folder.path(), &["a", "b", "--json"]).expect(0).json();
    assert_eq!((&document["cells"]["k"], &document["cells"]["rank_overlap"]), (&1.into(), &1.0.into()));
    assert!((document["cells"]["only_in_one"].as_f64().unwrap() - 2.0 / 3.0).abs() < 1e-9);
    assert_eq!((&document["agreement"], &document["identical_images"]), (&1.0.into(), &0.into()));
}

#[test]
fn images_without_labels_are_counted_and_not_compared() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = TestStore::new();
    store.images[1] = None;
    store.write(folder.path(), "a");
    store.images[2] = None;
    store.write_shards(folder.path(), "b", 0..2);
    store.write_shards(folder.path(), "empty", 0..0);
    let document = compare(folder.path(), &["a", "b", "--json"]).expect(0).json();
    for (key, value) in [("images", 6), ("common", 12), ("identical_images", 6), ("labelled_in_one", 5)] {
        assert_eq!(document[key], value, "{key}");
    }
    assert_eq!(document["identical"], false, "some images have labels in only one store");
    assert_eq!((&document["a"]["failed"], &document["a"]["to_do"]), (&1.into(), &0.into()));
    assert_eq!((&document["b"]["failed"], &document["b"]["to_do"]), (&2.into(), &4.into()));
    let ran = compare(folder.path(), &["a", "b"]).expect(0);
    assert!(ran.stderr.contains("warning: the agreement does not include 5 images with labels in only one store"));
    let text = ran.stdout;
    assert!(
        text.contains("compared  6 images of the same manifest; in A 1 failed, 0 to do; in B 2 failed, 4 to do\n"),
        "{text}"
    );
    let refused = compare(folder.path(), &["a", "empty"]).expect(1).stderr;
    assert!(
        refused.contains("no image has labels in both stores: 1 failed and 0 to do in A, 0 failed and 12 to do in B")
    );
    let undrawn =
        compare(folder.path(), &["a", "b", "--picture", "p.png", "--picture-of", "folder0/1"]).expect(1).stderr;
    assert!(undrawn.contains("cannot draw `folder0/1`: it does not have labels in both stores"), "{undrawn}");
    assert!(!folder.path().join("p.png").exists());
}

#[test]
fn impossible_comparisons_are_refused_before_work_begins() {
    let folder = stores(|_| ());
    std::fs::create_dir(folder.path().join("no-store")).unwrap();
    let cases: &[(&[&str], i32, &str)] = &[
        (&["a"], 2, "<B>"),
        (&["a", "nowhere"], 1, "nowhere"),
        (&["no-store", "a"], 1, "no-store"),
        (&["a", "b", "-o", "all.txt"], 2, ".parquet, .csv or .json"),
        (&["a", "b", "-o", "a/all.csv"], 2, "cannot write into the store"),
        (&["a", "b", "-o", "b/all.csv"], 2, "cannot write into the store"),
        (&["a", "b", "-o", "nowhere/all.csv"], 1, "cannot write into the folder nowhere"),
        (&["a", "b", "--picture", "p.jpg"], 2, "ends in .png"),
        (&["a", "b", "--picture", "nowhere/p.png"], 1, "cannot write nowhere/p.png"),
        (&["a", "b", "--picture-of", "folder0/1"], 2, "--picture"),
        (&["a", "b", "--picture", "p.png", "--picture-of", "zebra"], 1, "`zebra` not found"),
        (&["a", "b", "--image-root", "no-store"], 2, "only used with --picture"),
        (&["a", "b", "--picture", "p.png", "--image-root", "nowhere"], 1, "nowhere"),
        (&["a", "b", "--crops", "0"], 2, "from 1 to 10000"),
        (&["a", "b", "--threads", "0"], 2, "from 1 to 1024"),
    ];
    for (args, code, text) in cases {
        let refused = compare(folder.path(), args).expect(*code);
        assert!(refused.stderr.contains(text), "{args:?}: {text} in {}", refused.stderr);
    }
    let mut names: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["a", "b", "no-store"]);
}

#[test]
fn a_damaged_shard_is_an_error_that_names_the_store() {
    let folder = stores(|_| ());
    let shard = folder.path().join("b/scores/c.1.0.0.0");
    let mut bytes = std::fs::read(&shard).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&shard, bytes).unwrap();
    let refused = compare(folder.path(), &["a", "b", "-o", "all.csv"]).expect(1).stderr;
    assert!(refused.contains("store b: shard 1 is damaged"), "{refused}");
    assert!(!folder.path().join("all.csv").exists());
    let document = compare(folder.path(), &["b", "a", "--json"]).expect(1).json();
    assert!(document["error"].as_str().unwrap().contains("store b: shard 1 is damaged"));
}

#[test]
fn a_chosen_image_is_drawn_with_its_photograph() {
    let folder = tempfile::tempdir().unwrap();
    small_photographs(&folder.path().join("in"), 4);
    let paths = ["n02123045/0000.JPEG", "n02123045/0001.JPEG", "n07920052/0002.JPEG"].map(str::to_owned).to_vec();
    let mut store = TestStore::of(paths);
    store.write(folder.path(), "a");
    store.rearrange(0, |y, x| (x, y));
    store.write(folder.path(), "b");
    let draw = |args: &[&str]| {
        let drawn = compare(folder.path(), &[&["a", "b", "--picture", "p.png"], args].concat()).expect(0).stdout;
        let picture = decode(&std::fs::read(folder.path().join("p.png")).unwrap(), ExifOrientation::Ignore).unwrap();
        (drawn, picture.width_pixels())
    };
    let (drawn, narrow) = draw(&[]);
    assert!(drawn.contains("picture   p.png of n02123045/0000\n"), "{drawn}");
    let (drawn, wide) = draw(&["--picture-of", "0001.JPEG", "--image-root", "in", "--any-size"]);
    assert!(drawn.contains("picture   p.png of n02123045/0001\n"), "{drawn}");
    assert!(wide > narrow);
}

#[test]
fn releases_and_addresses_are_compared() {
    let folder = stores(|_| ());
    let store = folder.path().join("b");
    let lines: Vec<String> = store_bytes(&store)
        .into_iter()
        .map(|(inside, _)| format!("{}  {}\n", digest_file(&store.join(&inside)).unwrap().0, inside.display()))
        .collect();
    std::fs::write(store.join("SHA256SUMS"), lines.concat()).unwrap();
    let server = Server::folder(&store, &[]);
    let url = server.url();
    let ran = |args: &[&str]| Ran::of(relabel(folder.path()).env("RELABEL_CACHE", "cache").arg("compare").args(args));
    let document = ran(&["a", &url, "--json"]).expect(0).json();
    assert_eq!((&document["identical"], &document["images"]), (&true.into(), &IMAGES.into()));
    assert!(document["b"]["path"].as_str().unwrap().starts_with("http://"));
    assert!(ran(&[&url, "b"]).expect(0).stdout.contains("identical every score"));
}
