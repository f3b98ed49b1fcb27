use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use relabel::shared::pooling_parameters::PoolingParameters;
use relabel::shared::store::{Calibration, StoreReader};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::common::{LabelRun, Ran, data, lite0, relabel, store_bytes};

/// Photographs with labels of five tiles. The second shard has three of them.
const IMAGES: [&str; 11] = [
    "photos/coffee.JPEG",
    "photos/chelsea.JPEG",
    "photos/astronaut.JPEG",
    "photos/rocket.JPEG",
    "photos/camera.JPEG",
    "photos/hubble_deep_field.JPEG",
    "odd/wide.JPEG",
    "odd/tall.JPEG",
    "odd/rgba.png",
    "odd/exif_rotated.JPEG",
    "odd/large_2400x1800.JPEG",
];

/// The store and its images, which are copied for each test.
static LABELLED: LazyLock<TempDir> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    for image in IMAGES {
        let to = folder.path().join("in").join(image);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(data("golden/images").join(image), to).unwrap();
    }
    label(folder.path(), "labels", "5").run().expect(0);
    folder
});

fn label<'a>(folder: &'a Path, out: &'a str, tiles: &'a str) -> LabelRun<'a> {
    LabelRun::new(folder).out(out).args(&["--input-size", "224", "--shard-size", "8", "--tiles", tiles])
}

fn labelled() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in walkdir::WalkDir::new(LABELLED.path()) {
        let entry = entry.unwrap();
        let to = folder.path().join(entry.path().strip_prefix(LABELLED.path()).unwrap());
        if entry.file_type().is_dir() {
            fs::create_dir_all(to).unwrap();
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
    folder
}

fn calibrate(folder: &Path, args: &[&str]) -> Ran {
    let teacher = lite0().display().to_string();
    let always = ["calibrate", "labels", "--teacher", &teacher, "--in", "in", "--input-size", "224"];
    Ran::of(relabel(folder).args([&always, args].concat()))
}

fn verify(folder: &Path) -> Ran {
    Ran::of(relabel(folder).args(["verify", "labels", "--json"]))
}

fn calibration(folder: &Path) -> Result<Option<Calibration>, String> {
    StoreReader::open(&folder.join("labels")).unwrap().calibration().map_err(|error| error.to_string())
}

fn figure<'a>(document: &'a Value, label: &str) -> &'a Value {
    let figures = document["calibration"]["figures"].as_array().unwrap();
    figures.iter().find(|figures| figures["label"] == label).unwrap_or_else(|| panic!("{label}: {document}"))
}

#[test]
fn calibrated_targets_are_not_further_from_the_teacher_than_any_label_before() {
    let folder = labelled();
    let labels_before = store_bytes(&folder.path().join("labels"));
    let document = calibrate(folder.path(), &["--crops", "12", "--json"]).expect(0).json();
    assert_eq!(
        (&document["written"], &document["replaced"], &document["skipped"]),
        (&json!(true), &json!(false), &json!(0))
    );
    assert!(["better", "within-standard-error"].contains(&document["verdict"].as_str().unwrap()), "{document}");
    let calibration_document = &document["calibration"];
    assert_eq!(calibration_document["fit"], json!({ "images": 6, "crops": 72, "seed": 0 }));
    assert_eq!(calibration_document["held_out"], json!({ "images": 5, "crops": 60, "seed": 0 }));
    let kl = |label: &str| figure(&document, label)["kl"].as_f64().unwrap();
    let calibrated = kl("calibrated");
    for label in ["pooled", "image", "tile", "tiles"] {
        assert!(kl(label) >= calibrated, "{label}: {document}");
        let improvement = figure(&document, label)["kl_improvement"].as_f64().unwrap();
        assert!((kl(label) - calibrated - improvement).abs() < 1e-9, "{label}: {document}");
        assert!(figure(&document, label)["kl_improvement_standard_error"].as_f64().unwrap() > 0.0);
    }
    assert!(calibrated < 0.9 * kl("pooled"), "LabelPooling is over-confident: {document}");
    assert!(kl("calibrated_without_tiles") < kl("pooled"), "{document}");

    let written = calibration(folder.path()).unwrap().unwrap();
    assert_eq!(serde_json::to_value(&written).unwrap(), *calibration_document);
    assert_ne!(written.parameters, PoolingParameters::PREDICTIONS_BY_OVERLAP);
    verify(folder.path()).expect(0);
    let mut files = store_bytes(&folder.path().join("labels"));
    files.retain(|(path, _)| path != Path::new("pooling.json"));
    assert_eq!(files, labels_before, "labels did not change");

    // The same again, but with one thread.
    let again = calibrate(folder.path(), &["--crops", "12", "--threads", "1"]).expect(0).stdout;
    for part in [
        "calibrated on 72 crops of 6 images (--seed 0), and compared on 60 crops of 5 others",
        "\n  target  ",
        "prediction, image",
        "predictions, tiles",
        "calibrated, no tiles",
        "target, calibrated",
        "share of label maps in the target",
        "the prediction of a tile counts",
        "which replaces the previous one",
    ] {
        assert!(again.contains(part), "{part}: {again}");
    }
    assert_eq!(calibration(folder.path()).unwrap().unwrap(), written);
    let other_seed = calibrate(folder.path(), &["--crops", "3", "--seed", "7", "--json"]).json();
    assert_ne!(other_seed["calibration"]["parameters"], calibration_document["parameters"]);
}

#[test]
fn a_damaged_calibration_is_refused_and_replaced() {
    let folder = labelled();
    calibrate(folder.path(), &["--crops", "12"]).expect(0);
    let path = folder.path().join("labels/pooling.json");
    let bytes = fs::read(&path).unwrap();
    let digits: Vec<usize> = (0..bytes.len()).filter(|&at| bytes[at].is_ascii_digit()).collect();
    for at in digits.iter().step_by(digits.len() / 12) {
        let mut damaged = bytes.clone();
        damaged[*at] ^= 1;
        fs::write(&path, &damaged).unwrap();
        let refused = calibration(folder.path()).unwrap_err();
        assert!(refused.contains("cannot use its pooling.json") && refused.contains("relabel calibrate"), "{refused}");
    }
    let found = verify(folder.path()).expect(3).json();
    assert_eq!(found["problems"][0]["file"], "pooling.json", "{found}");
    let replaced = calibrate(folder.path(), &["--crops", "12"]).expect(0).stdout;
    assert!(replaced.contains("which replaces the previous one"), "{replaced}");
    assert_eq!(fs::read(&path).unwrap(), bytes);

    // Labelling again keeps the calibration.
    fs::remove_file(folder.path().join("labels/records/000001.json")).unwrap();
    label(folder.path(), "labels", "5").run().expect(0);
    assert_eq!(fs::read(&path).unwrap(), bytes);
    verify(folder.path()).expect(0);
}

#[test]
fn the_calibration_of_another_store_is_refused() {
    let folder = labelled();
    calibrate(folder.path(), &["--crops", "12"]).expect(0);
    label(folder.path(), "other", "4").run().expect(0);
    fs::rename(folder.path().join("labels/pooling.json"), folder.path().join("other/pooling.json")).unwrap();
    let other = StoreReader::open(&folder.path().join("other")).unwrap();
    let refused = other.calibration().unwrap_err().to_string();
    assert!(refused.contains("cannot use its pooling.json"), "{refused}");
    let found = Ran::of(relabel(folder.path()).args(["verify", "other"])).expect(3).stdout;
    assert!(found.contains("pooling.json"), "{found}");
}

#[test]
fn unusable_requests_are_refused_before_the_teacher_runs() {
    let folder = labelled();
    for (args, part) in [
        (&["--mean", "0.4,0.5,0.6"][..], "card, mean: [0.5,0.5,0.5] in the store, [0.4,0.5,0.6]"),
        (&["--images", "3"], "cannot calibrate on 3 images with 8 crops each: at least 4 images"),
        (&["--images", "0"], "--images"),
        (&["--crops", "0"], "--crops"),
        (&["--crops", "1001"], "--crops"),
    ] {
        let refused = calibrate(folder.path(), args).expect(2).stderr;
        assert!(refused.contains(part), "{args:?}: {refused}");
    }
    for (args, code, part) in [
        (&["labels", "--in", "in"][..], 2, "--teacher"),
        (&["labels", "--teacher", "t.onnx"], 2, "--in"),
        (&["https://example.org/labels", "--in", "in", "--teacher", "t.onnx"], 2, "only a store in a folder"),
        (&["in", "--in", "in", "--teacher", "t.onnx"], 1, "store in"),
        (&["labels", "--in", "in", "--teacher", "absent.onnx"], 2, "absent.onnx"),
    ] {
        let refused = Ran::of(relabel(folder.path()).args([&["calibrate"], args].concat())).expect(code).stderr;
        assert!(refused.contains(part), "{args:?}: {refused}");
    }
    fs::write(folder.path().join("labels/SHA256SUMS"), "").unwrap();
    let release = calibrate(folder.path(), &[]).expect(2).stderr;
    assert!(release.contains("it is a release"), "{release}");
    assert_eq!(calibration(folder.path()).unwrap(), None);
}

#[test]
fn another_teacher_can_be_accepted() {
    let folder = labelled();
    let args = ["--mean", "0.4,0.5,0.6", "--other-teacher", "--crops", "2"];
    let accepted = calibrate(folder.path(), &args);
    assert!(
        [0, 3].contains(&accepted.code) && accepted.stderr.contains("--other-teacher is given"),
        "{}",
        accepted.stderr
    );
}
