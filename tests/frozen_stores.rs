use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use ndarray::{Array2, Array3, ArrayD};
use ndarray_npy::NpzReader;
use relabel::shared::digest::digest_bytes;
use relabel::shared::geometry::{Crop, InputSize, UnitBox};
use relabel::shared::store::{FORMAT_VERSION, RowState, StoreReader};
use relabel::training::cutmix::CutRect;
use relabel::training::labels::{Labels, PastedBatch};
use relabel::training::pool::PoolOptions;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::common::{Ran, data, hermetic, relabel, repository, store_bytes};

/// Largest difference between a target and the one that torchvision computed.
const TOLERANCE: f32 = 1e-5;

/// A frozen store, and what `tests/python/freeze_store.py` read from it.
struct FrozenStore {
    name: String,
    path: PathBuf,
    expected: Value,
    arrays: PathBuf,
    /// The unpacked archive.
    _unpacked: Option<TempDir>,
}

impl FrozenStore {
    fn open(version: &Path, name: &str) -> Self {
        let folder = version.join(name);
        let archive = version.join(format!("{name}.tar.gz"));
        let unpacked = (!folder.exists()).then(|| {
            let unpacked = tempfile::tempdir().unwrap();
            Ran::of(hermetic("tar").arg("-xzf").arg(archive).arg("-C").arg(unpacked.path())).expect(0);
            unpacked
        });
        let path = unpacked.as_ref().map_or(folder, |unpacked| unpacked.path().join(name));
        let expected = version.join("expected").join(name);
        let text = std::fs::read(expected.with_extension("json")).unwrap();
        Self {
            name: name.to_owned(),
            path,
            expected: serde_json::from_slice(&text).unwrap(),
            arrays: expected.with_extension("npz"),
            _unpacked: unpacked,
        }
    }

    fn expected_array(&self, name: &str) -> ArrayD<f32> {
        self.npz().by_name(name).unwrap()
    }

    fn expected_ids(&self, name: &str) -> ArrayD<u32> {
        self.npz().by_name(name).unwrap()
    }

    fn npz(&self) -> NpzReader<std::fs::File> {
        NpzReader::new(std::fs::File::open(&self.arrays).unwrap()).unwrap()
    }

    /// Runs a command on the store with `--json`.
    fn command(&self, name: &str, args: &[&str]) -> Ran {
        Ran::of(relabel(&repository("")).arg(name).arg(&self.path).args(args).arg("--json"))
    }
}

fn versions() -> BTreeMap<u32, PathBuf> {
    let folders = std::fs::read_dir(data("stores")).unwrap().map(|entry| entry.unwrap().path());
    let number = |path: &Path| path.file_name()?.to_str()?.strip_prefix('v')?.parse().ok();
    folders.map(|path| (number(&path).unwrap_or_else(|| panic!("{} is not a version", path.display())), path)).collect()
}

fn v1() -> PathBuf {
    data("stores/v1")
}

/// Returns the stores and releases of every version.
fn frozen_stores() -> Vec<FrozenStore> {
    let mut stores = Vec::new();
    for folder in versions().values() {
        let expected = std::fs::read_dir(folder.join("expected")).unwrap().map(|entry| entry.unwrap().path());
        let names: BTreeSet<_> = expected.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
        stores.extend(names.iter().map(|name| FrozenStore::open(folder, name)));
    }
    assert!(stores.len() >= 14, "only {} frozen stores were found", stores.len());
    stores
}

#[test]
fn every_format_version_has_frozen_stores() {
    let page = std::fs::read_to_string(repository("docs/format.md")).unwrap();
    let section = page.split("\n## ").find(|section| section.starts_with("Versions")).unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next()?.parse::<u32>().ok());
    let listed: Vec<u32> = rows.collect();
    assert!(!listed.is_empty(), "docs/format.md has no table of versions");
    let frozen: Vec<u32> = versions().into_keys().collect();
    assert_eq!(listed, frozen, "versions in docs/format.md, and folders vN of tests/data/stores");
    assert_eq!(listed.last(), Some(&FORMAT_VERSION), "the program writes the last version");
    for (version, folder) in versions() {
        let is_of_version = |name: &str| FrozenStore::open(&folder, name).expected["info"]["format_version"] == version;
        assert!(folder.join("README.md").exists() && is_of_version("plain") && is_of_version("release"), "{version}");
    }
}

#[test]
fn frozen_files_never_change() {
    for folder in versions().values() {
        let files = walkdir::WalkDir::new(folder).sort_by_file_name().into_iter().map(Result::unwrap);
        let files = files.filter(|entry| entry.file_type().is_file()).map(walkdir::DirEntry::into_path);
        let is_frozen = |path: &PathBuf| ![folder.join("README.md"), folder.join("SHA256SUMS")].contains(path);
        let found: BTreeMap<String, String> = files
            .filter(is_frozen)
            .map(|path| {
                let inside = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
                (inside, digest_bytes(&std::fs::read(path).unwrap()).to_string())
            })
            .collect();
        let sums = std::fs::read_to_string(folder.join("SHA256SUMS")).unwrap();
        let line =
            |line: &str| line.split_once("  ").map(|(digest, path)| (path.to_owned(), digest.to_owned())).unwrap();
        let listed: BTreeMap<String, String> = sums.lines().map(line).collect();
        let different: Vec<_> = found.iter().filter(|(path, digest)| listed.get(*path) != Some(digest)).collect();
        assert!(different.is_empty(), "{}: changed or new files: {different:?}", folder.display());
        let missing: Vec<_> = listed.keys().filter(|path| !found.contains_key(*path)).collect();
        assert!(missing.is_empty(), "{}: missing files: {missing:?}", folder.display());
    }
}

#[test]
fn descriptions_and_rows_are_read_as_recorded() {
    for store in frozen_stores() {
        let (name, expected) = (&store.name, &store.expected);
        let reader = StoreReader::open(&store.path).unwrap();
        let mut info = serde_json::to_value(reader.info()).unwrap();
        info["classes"] = described_classes(&reader);
        info["sha256"] = expected["info"]["sha256"].clone();
        assert_eq!(info, expected["info"], "{name}");
        let manifest = reader.manifest().unwrap();
        let rows: Vec<Value> = (0..manifest.len())
            .map(|row| {
                let mut read = json!({
                    "id": manifest.id(row), "path": manifest.path(row), "label": manifest.folder_class(row),
                    "bytes": manifest.bytes(row),
                });
                match reader.row(row).unwrap() {
                    RowState::Labelled(_) => read["state"] = "labelled".into(),
                    RowState::ToDo => read["state"] = "to-do".into(),
                    RowState::Failed(failed) => {
                        assert_eq!((failed.row, failed.id.as_str()), (row, manifest.id(row)), "{name}");
                        read["state"] = "failed".into();
                        read["kind"] = failed.error.kind.as_str().into();
                        read["reason"] = failed.error.reason.into();
                    }
                }
                read
            })
            .collect();
        assert_eq!(Value::from(rows), expected["rows"], "{name}");
    }
}

/// Returns the class list as `freeze_store.py` describes it.
fn described_classes(reader: &StoreReader) -> Value {
    let classes = &reader.info().classes;
    let lines: Vec<String> =
        classes.ids.iter().zip(&classes.names).map(|(id, name)| format!("{id}\t{name}\n")).collect();
    json!({
        "list": classes.list, "count": classes.count, "first_names": classes.names[..3],
        "sha256": digest_bytes(lines.concat().as_bytes()).to_string(),
    })
}

#[test]
fn arrays_are_read_as_recorded() {
    for store in frozen_stores() {
        let reader = StoreReader::open(&store.path).unwrap();
        compare_arrays(&store, &reader, 0..reader.info().images);
    }
}

/// Compares the values of rows with those that zarr-python read from a frozen store.
fn compare_arrays(store: &FrozenStore, reader: &StoreReader, rows: impl Iterator<Item = usize>) {
    let (scores, probs) = (store.expected_array("scores"), store.expected_array("image_probs"));
    let (classes, image_classes) = (store.expected_ids("classes"), store.expected_ids("image_classes"));
    let lse = reader.info().with_lse.then(|| store.expected_array("lse"));
    let largest_id = if reader.info().classes.count > 65_535 { u32::MAX } else { 65_535 };
    for row in rows {
        let context = format!("{}, row {row}", store.name);
        let of_row =
            |array: &ArrayD<f32>| -> Vec<f32> { array.index_axis(ndarray::Axis(0), row).iter().copied().collect() };
        let ids_of_row =
            |array: &ArrayD<u32>| -> Vec<u32> { array.index_axis(ndarray::Axis(0), row).iter().copied().collect() };
        if let RowState::Labelled(labels) = reader.row(row).unwrap() {
            let (read_scores, read_classes) = labels.label_map().unwrap().rank_planes();
            let read_scores: Vec<f32> = read_scores.iter().map(|score| score.to_f32()).collect();
            assert_eq!((read_scores, read_classes.clone()), (of_row(&scores), ids_of_row(&classes)), "{context}");
            let read_probs: Vec<f32> = labels.prediction.probs().iter().map(|prob| prob.to_f32()).collect();
            assert_eq!(read_probs, of_row(&probs), "{context}");
            assert_eq!(labels.prediction.classes(), ids_of_row(&image_classes), "{context}");
            let read_lse =
                labels.label_map().unwrap().lse().map(|lse| lse.iter().map(|lse| lse.to_f32()).collect::<Vec<f32>>());
            assert_eq!(read_lse, lse.as_ref().map(of_row), "{context}");
        } else {
            assert!(of_row(&scores).iter().all(|&score| score == f32::NEG_INFINITY), "{context}");
            assert!(ids_of_row(&classes).iter().all(|&class| class == largest_id), "{context}");
        }
    }
}

#[test]
fn targets_equal_those_of_torchvision() {
    for store in frozen_stores() {
        let expected = &store.expected;
        let labels = Labels::open(&store.path).unwrap();
        let rows: Vec<usize> = serde_json::from_value(expected["target_rows"].clone()).unwrap();
        let boxes = unit_boxes(&expected["boxes"]);
        let targets: Array3<f32> = store.npz().by_name("targets").unwrap();
        for (&row, wanted) in rows.iter().zip(targets.outer_iter()) {
            let pooled = labels.pool(&vec![row; boxes.len()], &boxes).unwrap();
            let difference = largest_difference(pooled.iter(), wanted.iter());
            assert!(difference <= TOLERANCE, "{}, row {row}: {difference}", store.name);
        }
        let cutmix: Array2<f32> = store.npz().by_name("cutmix_targets").unwrap();
        let difference = largest_difference(cutmix_targets(&labels, &rows, &expected["cutmix"]).iter(), cutmix.iter());
        assert!(difference <= TOLERANCE, "{}, CutMix: {difference}", store.name);
    }
}

/// Pools two crops, each with a part of the other pasted in.
fn cutmix_targets(labels: &Labels, rows: &[usize], cutmix: &Value) -> Array2<f32> {
    let [height, width]: [u32; 2] = serde_json::from_value(cutmix["input_size"].clone()).unwrap();
    let input = InputSize::new(height, width).unwrap();
    let sides: Vec<[u32; 4]> = serde_json::from_value(cutmix["rectangles"].clone()).unwrap();
    let rects: Vec<CutRect> =
        sides.iter().map(|&[x0, y0, x1, y1]| CutRect::new(input, x0, y0, x1, y1).unwrap()).collect();
    let flips: Vec<bool> = serde_json::from_value(cutmix["mirrored"].clone()).unwrap();
    let boxes = unit_boxes(&cutmix["boxes"]);
    let crops: Vec<Crop> =
        boxes.into_iter().zip(flips).map(|(unit_box, is_flipped)| Crop { unit_box, is_flipped }).collect();
    let batch = PastedBatch { rows, crops: &crops, partners: &[1, 0], rects: &rects };
    let mut targets = Array2::zeros((rows.len(), labels.class_count()));
    labels.cutmix_into(&batch, PoolOptions::default(), NonZeroUsize::MIN, targets.as_slice_mut().unwrap()).unwrap();
    targets
}

fn unit_boxes(boxes: &Value) -> Vec<UnitBox> {
    let boxes: Vec<[f64; 4]> = serde_json::from_value(boxes.clone()).unwrap();
    boxes.iter().map(|&[x0, y0, x1, y1]| UnitBox::new(x0, y0, x1, y1).unwrap()).collect()
}

fn largest_difference<'a>(first: impl Iterator<Item = &'a f32>, second: impl Iterator<Item = &'a f32>) -> f32 {
    let (first, second): (Vec<_>, Vec<_>) = (first.collect(), second.collect());
    assert_eq!(first.len(), second.len());
    first.iter().zip(second).map(|(first, second)| (*first - second).abs()).fold(0.0, f32::max)
}

#[test]
fn commands_report_the_recorded_results() {
    for store in frozen_stores() {
        let (name, expected) = (&store.name, &store.expected);
        let counts = expected["counts"].as_object().unwrap();
        let status = store.command("status", &["--failed"]).expect(0).json();
        for (key, count) in counts {
            assert_eq!(&status[key], count, "{name}: {key}");
        }
        assert_eq!(status["damaged_shards"], json!([]), "{name}");
        let reported =
            |row: &Value| status["failed_images"].as_array().unwrap().iter().any(|image| image["id"] == row["id"]);
        let rows = expected["rows"].as_array().unwrap();
        assert!(rows.iter().filter(|row| row["state"] == "failed").all(reported), "{name}");

        let is_complete = counts["to_do"] == 0 || expected["release"]["partial"] == true;
        let found = store.command("verify", &["--full"]).expect(if is_complete { 0 } else { 3 }).json();
        assert_eq!(found["passed"], is_complete, "{name}: {found}");
        let problems = found["problems"].as_array().unwrap();
        let are_to_do = problems.iter().all(|problem| problem["problem"].as_str().unwrap().contains("to do"));
        assert!(problems.is_empty() == is_complete && are_to_do, "{name}: {found}");
        assert_eq!((&found["labelled"], &found["failed"]), (&counts["labelled"], &counts["failed"]), "{name}");

        inspect(&store, rows);
    }
}

/// Compares what `relabel inspect` prints with the recorded targets.
fn inspect(store: &FrozenStore, rows: &[Value]) {
    let row = store.expected["target_rows"][1].as_u64().unwrap() as usize;
    let crop: Vec<String> = (0..4).map(|side| store.expected["boxes"][1][side].to_string()).collect();
    let id = rows[row]["id"].as_str().unwrap();
    let found = store.command("inspect", &[id, "--crop", &crop.join(",")]).expect(0).json();
    assert_eq!((&found["row"], &found["state"]), (&row.into(), &"labelled".into()), "{}", store.name);
    let targets: Array3<f32> = store.npz().by_name("targets").unwrap();
    for (pooled, at) in [(&found["pooled"], 0), (&found["crop"]["pooled"], 1)] {
        let pooled = pooled.as_array().unwrap();
        assert!(!pooled.is_empty());
        for class in pooled {
            let wanted = targets[[1, at, class["class"].as_u64().unwrap() as usize]];
            let difference = (class["probability"].as_f64().unwrap() as f32 - wanted).abs();
            assert!(difference <= TOLERANCE, "{}, {id}: {class}, recorded {wanted}", store.name);
        }
    }
    if let Some(failed) = rows.iter().find(|row| row["state"] != "labelled") {
        let found = store.command("inspect", &[failed["id"].as_str().unwrap()]).expect(3).json();
        assert_eq!(found["state"], failed["state"], "{}: {failed}", store.name);
    }
}

#[test]
fn a_frozen_unfinished_store_is_resumed() {
    let frozen = FrozenStore::open(&v1(), "unfinished");
    let folder = tempfile::tempdir().unwrap();
    let labels = folder.path().join("labels");
    copy_folder(&frozen.path, &labels);
    let mut run = relabel(folder.path());
    run.args(["run", "--out", "labels", "--teacher"]).arg(data("teachers/prob_softmax_log.onnx"));
    run.arg("--in").arg(data("golden/images"));
    run.args(["--limit", "22", "--top-k", "3", "--shard-size", "4", "--batch", "4", "--json"]);
    let resumed = Ran::of(&mut run).expect(3).json();
    assert_eq!(
        (&resumed["labelled"], &resumed["failed"], &resumed["images_this_run"]),
        (&17.into(), &5.into(), &14.into())
    );
    let found = Ran::of(relabel(folder.path()).args(["verify", "labels", "--full", "--json"])).expect(0).json();
    assert_eq!((&found["passed"], &found["decoded"]), (&true.into(), &22.into()));
    // What was there is unchanged.
    let resumed: BTreeMap<_, _> = store_bytes(&labels).into_iter().collect();
    for (path, bytes) in store_bytes(&frozen.path) {
        assert!(resumed[&path] == bytes, "{}", path.display());
    }
    let reader = StoreReader::open(&labels).unwrap();
    compare_arrays(&frozen, &reader, 8..16);
    assert!((0..22).all(|row| reader.row(row).unwrap() != RowState::ToDo));
}

#[test]
fn frozen_parts_are_merged() {
    let parts = ["part-0-of-2", "part-1-of-2"].map(|name| FrozenStore::open(&v1(), name));
    let folder = tempfile::tempdir().unwrap();
    let mut merge = relabel(folder.path());
    merge.arg("merge").args(parts.iter().map(|part| &part.path)).args(["--out", "merged"]);
    Ran::of(&mut merge).expect(0);
    Ran::of(relabel(folder.path()).args(["verify", "merged", "--full"])).expect(0);
    let reader = StoreReader::open(&folder.path().join("merged")).unwrap();
    compare_arrays(&parts[0], &reader, 0..12);
    compare_arrays(&parts[1], &reader, 12..27);
}

#[test]
fn frozen_releases_are_verified() {
    for store in frozen_stores().iter().filter(|store| !store.expected["release"].is_null()) {
        let (name, release) = (&store.name, &store.expected["release"]);
        let key = store.path.with_file_name("signer.pub");
        let signed = [&["--full", "--signer"][..], &[key.to_str().unwrap()]].concat();
        let is_signed = !release["signer"].is_null();
        let found = store.command("verify", if is_signed { &signed } else { &["--full"] }).expect(0).json();
        let counts = &store.expected["counts"];
        for key in ["images", "labelled", "failed", "to_do"] {
            assert_eq!(found[key], counts[key], "{name}: {key}");
        }
        for (key, value) in
            [("kind", &json!("release")), ("partial", &release["partial"]), ("files", &release["files"])]
        {
            assert_eq!(&found[key], value, "{name}: {key}");
        }
        assert_eq!((&found["compared"], &found["decoded"]), (&release["files"], &counts["labelled"]), "{name}");
        assert_eq!(found["signed"]["fingerprint"], release["signer"], "{name}");
        assert_eq!(found["signed"]["trust"].get("trusted").is_some(), is_signed, "{name}: {found}");
    }
}

fn copy_folder(from: &Path, to: &Path) {
    for entry in walkdir::WalkDir::new(from).into_iter().map(Result::unwrap) {
        let target = to.join(entry.path().strip_prefix(from).unwrap());
        if entry.file_type().is_dir() {
            std::fs::create_dir(target).unwrap();
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
