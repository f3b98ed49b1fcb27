use std::path::Path;

use relabel::shared::store::{Depth, RowState, StoreReader, verify};

use crate::common::{LabelRun, Ran, data, hermetic, lite0, relabel, small_photographs, store_bytes};

/// Damage to a file.
#[derive(Clone, Copy, Debug)]
enum Damage {
    Deleted,
    Truncated,
    /// One bit, at this percentage of the file.
    Flipped(usize),
    /// By the corresponding file of another shard or array.
    Replaced,
}

const DAMAGES: [Damage; 6] = [
    Damage::Deleted,
    Damage::Truncated,
    Damage::Flipped(4),
    Damage::Flipped(50),
    Damage::Flipped(96),
    Damage::Replaced,
];

/// Each kind of file in a store, and a file it can be mistaken for.
const FILES: [(&str, &str); 10] = [
    ("zarr.json", "scores/zarr.json"),
    ("scores/zarr.json", "classes/zarr.json"),
    ("image_classes/zarr.json", "image_probs/zarr.json"),
    ("manifest.parquet", "zarr.json"),
    ("scores/c.1.0.0.0", "scores/c.2.0.0.0"),
    ("classes/c.1.0.0.0", "classes/c.0.0.0.0"),
    ("image_probs/c.1.0", "image_probs/c.2.0"),
    ("image_classes/c.1.0", "image_classes/c.0.0"),
    ("records/000001.json", "records/000002.json"),
    ("records/000000.json", "records/000001.json"),
];

#[test]
fn every_damage_is_reported_and_repaired() {
    let folder = tempfile::tempdir().unwrap();
    small_photographs(&folder.path().join("in"), 12);
    std::fs::write(folder.path().join("in/n02123045/0001.JPEG"), "no image").unwrap();
    LabelRun::new(folder.path()).small_shards().run().expect(3);
    let store = folder.path().join("out");
    let original = store_bytes(&store);
    let rows = all_rows(&store);
    assert!(verify(&store, Depth::Values, &|_| ()).unwrap().problems.is_empty());
    for (file, mistaken_for) in FILES {
        for damage in DAMAGES {
            let case = format!("{file}, {damage:?}");
            damage_file(&store, file, mistaken_for, damage);
            for depth in [Depth::Files, Depth::Values] {
                let found = verify(&store, depth, &|_| ()).unwrap();
                assert!(found.problems.iter().any(|problem| problem.file == file), "{case}: {:?}", found.problems);
            }
            check_nothing_wrong_is_read(&store, &rows, &case);
            let again = LabelRun::new(folder.path()).small_shards().run().expect(3);
            // A shard without a record counts as unlabelled, as after an interruption.
            let is_silent = file == "zarr.json" || (file.starts_with("records") && matches!(damage, Damage::Deleted));
            let is_told = again.stderr.contains("repaired ") || again.stderr.contains("labelling the shard again");
            assert!(is_silent || is_told, "{case}: {}", again.stderr);
            let repaired = store_bytes(&store);
            let differs = original.iter().zip(&repaired).find(|(a, b)| a != b).map(|(a, _)| a.0.clone());
            assert!(original == repaired, "{case}: {differs:?} differs");
        }
    }
}

#[test]
fn damaged_run_notes_are_reported_and_can_be_deleted() {
    let folder = tempfile::tempdir().unwrap();
    small_photographs(&folder.path().join("in"), 4);
    LabelRun::new(folder.path()).small_shards().run().expect(0);
    let store = folder.path().join("out");
    let note = std::fs::read_dir(store.join("runs")).unwrap().next().unwrap().unwrap().path();
    let inside = format!("runs/{}", note.file_name().unwrap().to_str().unwrap());
    for damage in [Damage::Truncated, Damage::Flipped(50)] {
        damage_file(&store, &inside, "", damage);
        let output = Ran::of(relabel(folder.path()).args(["verify", "out"])).expect(3).stdout;
        assert!(output.contains(&inside) && output.contains("may be deleted"), "{output}");
    }
    std::fs::remove_file(note).unwrap();
    Ran::of(relabel(folder.path()).args(["verify", "out"])).expect(0);
}

#[test]
fn all_problems_are_listed_including_strays() {
    let folder = tempfile::tempdir().unwrap();
    small_photographs(&folder.path().join("in"), 12);
    LabelRun::new(folder.path()).small_shards().run().expect(0);
    let store = folder.path().join("out");
    std::fs::remove_file(store.join("records/000002.json")).unwrap();
    damage_file(&store, "scores/c.0.0.0.0", "", Damage::Flipped(50));
    damage_file(&store, "classes/c.1.0.0.0", "", Damage::Truncated);
    std::fs::write(store.join("scores/c.9.0.0.0"), "stray").unwrap();
    let ran = Ran::of(relabel(folder.path()).args(["verify", "out", "--json"])).expect(3);
    let found = ran.json();
    assert_eq!(found["passed"], false);
    let named: Vec<(&str, &str)> = found["problems"]
        .as_array()
        .unwrap()
        .iter()
        .map(|problem| (problem["file"].as_str().unwrap(), problem["repair"].as_str().unwrap()))
        .collect();
    for expected in [
        ("scores/c.0.0.0.0", "run"),
        ("classes/c.1.0.0.0", "run"),
        ("records/000002.json", "go-on"),
        ("scores/c.9.0.0.0", "delete"),
    ] {
        assert!(named.contains(&expected), "{expected:?} in {named:?}");
    }
    LabelRun::new(folder.path()).small_shards().run().expect(0);
    std::fs::remove_file(store.join("scores/c.9.0.0.0")).unwrap();
    let output = Ran::of(relabel(folder.path()).args(["verify", "out", "--full"])).expect(0).stdout;
    assert!(output.contains("12 images labelled") && output.contains("is complete and undamaged"), "{output}");
}

#[test]
fn impossible_values_are_found_by_full() {
    let folder = tempfile::tempdir().unwrap();
    small_photographs(&folder.path().join("in"), 4);
    LabelRun::new(folder.path()).small_shards().run().expect(0);
    let store = folder.path().join("out");
    // A store with correct digests whose class list is shorter than its class ids require.
    let forged = Ran::of(
        hermetic(crate::common::repository(".venv/bin/python"))
            .arg(crate::common::repository("tests/python/forge_class_count.py"))
            .arg(&store),
    );
    forged.expect(0);
    Ran::of(relabel(folder.path()).args(["verify", "out"])).expect(0);
    let found = Ran::of(relabel(folder.path()).args(["verify", "out", "--full"])).expect(3).stdout;
    assert!(found.contains("classes/c.0.0.0.0: row 0: cell 0: class"), "{found}");
}

#[test]
fn recomputed_labels_equal_the_stored_ones_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    small_photographs(&folder.path().join("in"), 12);
    LabelRun::new(folder.path()).small_shards().run().expect(0);
    let teacher = lite0().display().to_string();
    let args = ["verify", "out", "--recompute", "50", "--in", "in", "--input-size", "64", "--teacher", &teacher];
    let recompute = || Ran::of(relabel(folder.path()).args(args).arg("--json"));
    let same = recompute().expect(0).json();
    assert_eq!((&same["recomputed"]["images"], &same["recomputed"]["equal"]), (&12.into(), &12.into()));
    // With other thread counts only the bound is guaranteed.
    let bounded = Ran::of(relabel(folder.path()).args(args).args(["--threads", "1"])).expect(0);
    assert!(bounded.stderr.contains("small differences are accepted"), "{}", bounded.stderr);
    // Labels of a different photograph are detected.
    std::fs::copy(data("golden/images/photos/coffee.JPEG"), folder.path().join("in/n07920052/0011.JPEG")).unwrap();
    let other = recompute().expect(3).json();
    assert_eq!(other["passed"], false);
    assert_eq!(other["recomputed"]["wrong"][0]["path"], "n07920052/0011.JPEG");
    assert_eq!(other["recomputed"]["equal"], 11);
    // Maps of 2x2 cells.
    assert_eq!(other["recomputed"]["cells"], 48);
    assert!(other["recomputed"]["other_best_cells"].as_u64().unwrap() > 0, "{other}");
    assert!(other["recomputed"]["widest_gap"].as_f64().unwrap() > 0.0, "{other}");
    assert_eq!(same["recomputed"]["other_best_cells"], 0);
    let another_teacher = Ran::of(relabel(folder.path()).args(args).args(["--filter", "bicubic"])).expect(1);
    assert!(another_teacher.stderr.contains("card, filter"), "{}", another_teacher.stderr);
}

fn damage_file(store: &Path, file: &str, mistaken_for: &str, damage: Damage) {
    let path = store.join(file);
    let mut bytes = std::fs::read(&path).unwrap();
    match damage {
        Damage::Deleted => return std::fs::remove_file(path).unwrap(),
        Damage::Truncated => bytes.truncate(bytes.len() * 2 / 3),
        Damage::Flipped(percent) => {
            let at = bytes.len() * percent / 100;
            bytes[at] ^= 0x10;
        }
        Damage::Replaced => bytes = std::fs::read(store.join(mistaken_for)).unwrap(),
    }
    std::fs::write(path, bytes).unwrap();
}

fn all_rows(store: &Path) -> Vec<RowState> {
    let reader = StoreReader::open(store).unwrap();
    (0..reader.info().images).map(|row| reader.row(row).unwrap()).collect()
}

/// Checks that every row is an error, unlabelled, or unchanged.
fn check_nothing_wrong_is_read(store: &Path, rows: &[RowState], case: &str) {
    let Ok(reader) = StoreReader::open(store) else { return };
    for (row, was) in rows.iter().enumerate() {
        if let Ok(state) = reader.row(row) {
            assert!(state == *was || state == RowState::ToDo, "{case}: row {row} reads as a different value");
        }
    }
}
