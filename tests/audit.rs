use std::path::Path;
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

use relabel::shared::digest::digest_bytes;
use relabel::shared::manifest::{Manifest, ManifestEntry, manifest_bytes};
use relabel::shared::store::{StoreWriter, WriterOptions};
use serde_json::Value;

use crate::common::{LabelRun, Ran, data, lite0, python, relabel, repository, small_photographs};
use crate::synthetic_store::{self, fill};

/// Labels seven photographs: two in the folder of their class, three in a wrong one, one in a folder that is not a class,
/// and a broken one.
fn labelled_store(folder: &Path) {
    for (photograph, label) in [
        ("photos/coffee", "n07920052/coffee"),
        ("photos/chelsea", "n02124075/chelsea"),
        ("photos/coffee", "n01440764/no_tench"),
        ("odd/wide", "n01440764/no, \"tench\"\u{e9}"),
        ("photos/rocket", "n04266014/rocket"),
        ("photos/astronaut", "people/astronaut"),
        ("bad/empty", "n07920052/empty"),
    ] {
        let to = folder.join("in").join(format!("{label}.JPEG"));
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(data(&format!("golden/images/{photograph}.JPEG")), to).unwrap();
    }
    LabelRun::new(folder).out("labels").args(&["--input-size", "224"]).run().expect(3);
}

fn audit(folder: &Path, args: &[&str]) -> Ran {
    Ran::of(relabel(folder).args([&["audit", "labels", "-o"], args].concat()))
}

/// Names in a folder, except for the images and the store.
fn written(folder: &Path) -> Vec<String> {
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| !["in", "labels"].contains(&name.as_str())).collect();
    names.sort();
    names
}

#[test]
fn all_formats_match_an_independent_computation() {
    let folder = tempfile::tempdir().unwrap();
    labelled_store(folder.path());
    assert_eq!(check(folder.path()), [6, 4]);
    let names = ["audit.classes.csv", "audit.classes.parquet", "audit.csv", "audit.json", "audit.parquet"];
    assert_eq!(
        written(folder.path()),
        [&names[..], &["probs.classes.parquet", "probs.json", "probs.parquet"]].concat()
    );
}

#[test]
fn non_square_maps_are_audited() {
    let folder = tempfile::tempdir().unwrap();
    let entry = |row: usize| ManifestEntry {
        path: format!("c/{row}.jpg"),
        folder_class: (row != 3).then(|| format!("folder{}", row + row % 4 * 5)),
        ..ManifestEntry::default()
    };
    let manifest = Manifest::from_entries((0..synthetic_store::IMAGES).map(entry).collect()).unwrap();
    let mut info = synthetic_store::info();
    info.manifest_sha256 = digest_bytes(&manifest_bytes(&manifest).unwrap());
    info.classes.list = "folders.txt".into();
    info.classes.ids = (0..info.classes.count).map(|class| format!("folder{class}")).collect();
    info.classes.names = (0..info.classes.count).map(|class| format!("name {class}, or another")).collect();
    let store = folder.path().join("labels");
    fill(&StoreWriter::create(&store, info, &manifest, WriterOptions::default()).unwrap()).unwrap();
    // Rows 3 and 7 have no folder class, row 5 failed.
    assert_eq!(check(folder.path()), [9, 7]);
}

/// Audits a store in all formats and compares with a computation in Python. Returns the numbers of images and classes.
fn check(folder: &Path) -> [u64; 2] {
    let store = folder.join("labels");
    for file in ["audit.parquet", "audit.csv", "audit.json"] {
        audit(folder, &[file, "--crops", "40", "--seed", "3"]).expect(0);
    }
    for file in ["probs.parquet", "probs.json"] {
        audit(folder, &[file, "--pred-probs", "--crops", "0"]).expect(0);
    }
    let args = [store.to_str().unwrap(), folder.to_str().unwrap(), "40", "3"];
    let checked = python(&repository("tests/python/check_audit.py"), &args).expect(0).json();
    ["images", "classes"].map(|key| checked[key].as_u64().unwrap())
}

#[test]
fn images_are_ranked_and_summarised() {
    let folder = tempfile::tempdir().unwrap();
    labelled_store(folder.path());
    let summary = audit(folder.path(), &["audit.csv", "--json"]).expect(0).json();
    for (key, images) in [("images", 6), ("failed", 1), ("to_do", 0), ("not_compared", 1)] {
        assert_eq!(summary[key], images, "{key}");
    }
    assert_eq!((&summary["agree"]["images"], &summary["agree"]["share"]), (&2.into(), &0.4.into()));
    assert_eq!(summary["contradictions"][0]["folder_class_name"], "tench");
    assert_eq!(summary["lowest_agreement"][0]["agreement"], 0.0);
    assert_eq!(summary["lowest_agreement"][0]["name"], "tench", "the largest of the classes that never agree");
    assert_eq!(summary["confusions"][0]["folder_class_name"], "tench");
    let table = std::fs::read_to_string(folder.path().join("audit.csv")).unwrap();
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[1].contains(",tench,") && lines[6].starts_with("5,6,people/astronaut,people,,,,"), "{table}");
    let output = audit(folder.path(), &["audit.json"]).expect(0).stdout;
    for part in [
        "audited  6 images (1 failed, 0 to do)",
        "agree     40.0 %          2  the",
        "wrong label in",
        "next     relabel inspect labels n01440764/",
    ] {
        assert!(output.contains(part), "{part} in {output}");
    }
}

#[test]
fn the_seed_fixes_crops_and_zero_crops_omit_their_columns() {
    let folder = tempfile::tempdir().unwrap();
    labelled_store(folder.path());
    let read = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
    for (file, seed, threads) in [("a.csv", "1", "1"), ("b.csv", "1", "3"), ("c.csv", "2", "1")] {
        audit(folder.path(), &[file, "--seed", seed, "--threads", threads]).expect(0);
    }
    assert!(read("a.csv") == read("b.csv") && read("a.csv") != read("c.csv"));
    let summary = audit(folder.path(), &["d.csv", "--crops", "0", "--json"]).expect(0).json();
    assert_eq!(summary["crops"], Value::Null);
    assert!(!String::from_utf8(read("d.csv")).unwrap().contains("crop"));
    assert!(!String::from_utf8(read("d.classes.csv")).unwrap().contains("crop"));
}

#[test]
fn classes_are_chosen_by_any_name() {
    let folder = tempfile::tempdir().unwrap();
    labelled_store(folder.path());
    let chosen =
        audit(folder.path(), &["a.csv", "--class", "tench", "--class", "n04266014", "--json"]).expect(0).json();
    assert_eq!((&chosen["images"], &chosen["not_compared"], &chosen["failed"]), (&3.into(), &0.into(), &0.into()));
    let chosen = audit(folder.path(), &["a.csv", "--class", "967", "--json"]).expect(0).json();
    assert_eq!((&chosen["images"], &chosen["failed"]), (&1.into(), &1.into()));
}

#[test]
fn impossible_audits_are_refused_before_work_begins() {
    let folder = tempfile::tempdir().unwrap();
    labelled_store(folder.path());
    std::fs::create_dir(folder.path().join("folder.csv")).unwrap();
    let cases: &[(&[&str], i32, &str)] = &[
        (&["audit.txt"], 2, ".parquet, .csv or .json"),
        (&["audit"], 2, ".parquet, .csv or .json"),
        (&["audit.csv", "--pred-probs"], 2, "cannot write pred_probs to CSV"),
        (&["a.csv", "--class", "terrier"], 2, "similar names"),
        (&["a.csv", "--class", "goldfish"], 2, "no image has the folder class 1, goldfish"),
        (&["a.csv", "--crops", "many"], 2, "a whole number from 0"),
        (&["labels/audit.csv"], 2, "cannot write into the store"),
        (&["nowhere/audit.csv"], 1, "cannot write into the folder nowhere: No such file"),
        (&["/proc/audit.csv"], 1, "cannot write /proc/audit.csv"),
        (&["folder.csv"], 1, "cannot write folder.csv: is a directory"),
    ];
    for (args, code, text) in cases {
        let refused = audit(folder.path(), args).expect(*code);
        assert!(refused.stderr.contains(text), "{args:?}: {text} in {}", refused.stderr);
    }
    let group = folder.path().join("labels/zarr.json");
    let text = std::fs::read_to_string(&group).unwrap().replace("\"format_version\": 1", "\"format_version\": 99");
    std::fs::write(&group, text).unwrap();
    assert!(
        audit(folder.path(), &["a.csv", "--json"]).expect(1).json()["error"].as_str().unwrap().contains("version 99")
    );
    assert_eq!(written(folder.path()), ["folder.csv"]);
}

#[test]
fn an_unlabelled_store_is_refused_and_an_unfinished_one_audited() {
    let folder = tempfile::tempdir().unwrap();
    small_photographs(&folder.path().join("in"), 8);
    LabelRun::new(folder.path()).out("labels").args(&["--input-size", "64", "--shard-size", "2"]).run().expect(0);
    let records = folder.path().join("labels/records");
    std::fs::remove_file(records.join("000001.json")).unwrap();
    let summary = audit(folder.path(), &["a.json", "--json"]).expect(0).json();
    assert_eq!((&summary["images"], &summary["to_do"]), (&6.into(), &2.into()));
    for record in std::fs::read_dir(&records).unwrap() {
        std::fs::remove_file(record.unwrap().path()).unwrap();
    }
    let refused = audit(folder.path(), &["b.parquet"]).expect(1);
    assert!(refused.stderr.contains("no image is labelled yet"), "{}", refused.stderr);
    assert_eq!(written(folder.path()), ["a.json"], "existing files stay, and nothing is added");
}

#[test]
fn a_store_without_folder_classes_is_audited_without_comparisons() {
    let folder = tempfile::tempdir().unwrap();
    let teacher = lite0().display().to_string();
    let images = data("golden/images").display().to_string();
    Ran::of(relabel(folder.path()).args(["run", "--teacher", &teacher, "--in", &images, "--out", "labels"])).expect(3);
    let ran = audit(folder.path(), &["a.json"]).expect(0);
    assert!(ran.stdout.contains("compared 0 images"), "{}", ran.stdout);
    let document: Value = serde_json::from_slice(&std::fs::read(folder.path().join("a.json")).unwrap()).unwrap();
    let images = document["images"].as_array().unwrap();
    assert_eq!((images.len(), document["classes"].as_array().unwrap().len()), (22, 0));
    assert!(images.is_sorted_by_key(|image| image["row"].as_u64()));
    assert!(images.iter().all(|image| image["contradiction"].is_null() && image["crop_wrong"].is_null()));
    assert_eq!(document["summary"]["agree"]["share"], Value::Null);
}

#[test]
fn an_interrupted_audit_leaves_no_files() {
    let folder = tempfile::tempdir().unwrap();
    small_photographs(&folder.path().join("in"), 240);
    LabelRun::new(folder.path()).out("labels").args(&["--input-size", "64"]).run().expect(0);
    for args in [&["a.parquet", "--crops", "10000"][..], &["a.json", "--pred-probs", "--crops", "10000"]] {
        let mut command = relabel(folder.path());
        command.args([&["audit", "labels", "--threads", "1", "-o"], args].concat());
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let started = Instant::now();
        while written(folder.path()).is_empty() {
            assert!(started.elapsed() < Duration::from_mins(1) && child.try_wait().unwrap().is_none());
            sleep(Duration::from_millis(1));
        }
        std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(130));
        assert_eq!(written(folder.path()), Vec::<String>::new());
    }
}
