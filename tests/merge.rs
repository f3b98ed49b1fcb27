use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use relabel::shared::error::Error;
use relabel::shared::store::testing::FaultInjection;
use relabel::shared::store::{
    CopyMode, Depth, Merge, Part, RowState, StoreInfo, StoreReader, StoreWriter, WriterOptions, verify,
};
use relabel::shared::tiles::Covering;

use crate::common::{LabelRun, Ran, relabel, small_photographs, store_bytes};
use crate::synthetic_store::{self, IMAGES, calibration, fill, info, manifest, mapless_info, shard_labels, tiled_info};

const PARTS: usize = 3;

#[test]
fn merged_parts_equal_the_bytes_of_one_run() {
    let folder = tempfile::tempdir().unwrap();
    small_photographs(&folder.path().join("in"), 44);
    std::fs::write(folder.path().join("in/n02123045/0003.JPEG"), "no image").unwrap();
    LabelRun::new(folder.path()).small_shards().out("one").run().expect(3);
    for index in 0..PARTS {
        let store = format!("part{index}");
        let ran = Ran::of(LabelRun::new(folder.path()).small_shards().out(&store).command().args(task(index)));
        assert!([0, 3].contains(&ran.code), "{}", ran.stderr);
    }
    let one = store_bytes(&folder.path().join("one"));

    let planned = merge(folder.path(), &["part0", "part1", "--out", "two", "--dry-run", "--json"]).expect(3).json();
    assert!(!folder.path().join("two").exists());
    let two = merge(folder.path(), &["part0", "part1", "--out", "two", "--json"]).expect(3).json();
    assert_eq!((&planned["dry_run"], &two["dry_run"]), (&true.into(), &false.into()));
    for key in ["labelled", "failed", "to_do", "shards_to_do", "parts", "bytes_to_copy"] {
        assert_eq!(planned[key], two[key], "{key}");
    }
    assert_eq!((&two["shards_to_do"], &two["complete"]), (&serde_json::json!([7, 8, 9, 10]), &false.into()));
    let status = Ran::of(relabel(folder.path()).args(["status", "two", "--json"])).expect(0).json();
    assert_eq!((&status["labelled"], &status["failed"]), (&two["labelled"], &two["failed"]));

    // A third part is added to the store.
    let added = merge(folder.path(), &["part2", "--out", "two"]).expect(0);
    assert!(added.stdout.contains("4 of 4 from part2"), "{}", added.stdout);
    assert!(added.stdout.contains("labelled 43 of 44 images, 1 failed, 0 to do"), "{}", added.stdout);
    assert!(one == store_bytes(&folder.path().join("two")), "merged in two steps");
    merge(folder.path(), &["part2", "part1", "part0", "--out", "all"]).expect(0);
    assert!(one == store_bytes(&folder.path().join("all")), "merged at once, in another order");
    let notes = std::fs::read_dir(folder.path().join("all/runs")).unwrap().count();
    assert_eq!(notes, PARTS, "the notes of all runs are merged");
    let again = merge(folder.path(), &["part2", "part1", "part0", "--out", "all"]).expect(0);
    assert!(again.stdout.contains("existing 11 shards"), "{}", again.stdout);
    assert_eq!(std::fs::read_dir(folder.path().join("all/runs")).unwrap().count(), PARTS, "notes are merged once");
    Ran::of(relabel(folder.path()).args(["verify", "all", "--full"])).expect(0);

    // A run labels the missing shards.
    merge(folder.path(), &["part0", "part2", "--out", "rest"]).expect(3);
    LabelRun::new(folder.path()).small_shards().out("rest").run().expect(3);
    assert!(one == store_bytes(&folder.path().join("rest")), "merged and resumed");
}

#[test]
fn links_share_files_and_survive_relabelling_a_shard() {
    let folder = tempfile::tempdir().unwrap();
    let parts = parts(folder.path());
    let out = folder.path().join("linked");
    let output = merge(folder.path(), &["part0", "part1", "--out", "linked", "--link"]).expect(0);
    assert!(output.stdout.contains("by linking"), "{}", output.stdout);
    assert!(output.stdout.contains("2 of 2 from part1"), "{}", output.stdout);
    let inode = |store: &Path, file: &str| std::fs::metadata(store.join(file)).unwrap().ino();
    for (part, file) in [(0, "scores/c.0.0.0.0"), (1, "classes/c.1.0.0.0"), (1, "image_probs/c.2.0")] {
        assert_eq!(inode(&parts[part], file), inode(&out, file), "{file}");
    }
    assert!(store_bytes(&complete_store(folder.path())) == store_bytes(&out));
    // Records are never linked: resuming a part must not change the merged store.
    assert_ne!(inode(&parts[0], "records/000000.json"), inode(&out, "records/000000.json"));
    // Linking over links to the same files leaves no staged files.
    std::fs::remove_file(out.join("records/000001.json")).unwrap();
    merge(folder.path(), &["part0", "part1", "--out", "linked", "--link"]).expect(0);
    assert!(store_bytes(&complete_store(folder.path())) == store_bytes(&out));
    let staged = walkdir::WalkDir::new(out.join(".staging"))
        .into_iter()
        .filter(|entry| entry.as_ref().unwrap().file_type().is_file());
    assert_eq!(staged.count(), 0, "no staged files are left");
}

#[test]
fn duplicate_shards_are_taken_once_and_conflicting_ones_refused() {
    let folder = tempfile::tempdir().unwrap();
    parts(folder.path());
    let same = complete_store(folder.path());
    let merged = merge(folder.path(), &["part1", "complete", "--out", "out", "--json"]).expect(0).json();
    let taken = |at: usize| merged["parts"][at]["shards_taken"].clone();
    assert_eq!((taken(0), taken(1)), (2.into(), 1.into()));
    assert!(store_bytes(&same) == store_bytes(&folder.path().join("out")));

    // A store in which shard 1 has the labels of shard 0 and no failed row.
    let other = store(folder.path(), "other", info(), &[]);
    let writer = StoreWriter::resume(&other, WriterOptions::default(), &mut || Ok(manifest())).unwrap().0;
    let mut labels = shard_labels(&info(), 0);
    labels.shard = 1;
    let files = relabel::shared::store::encode_shard(&info(), &labels).unwrap();
    writer.commit(&labels, &files, relabel::shared::store::Agreement::default()).unwrap();
    drop(writer);
    let refused = merge(folder.path(), &["part0", "part1", "other", "--out", "new"]).expect(1);
    for text in
        ["shard 1 (rows 4 to 7) differs between part1 and other", "failed rows ([5] and [])", "scores/c.1.0.0.0"]
    {
        assert!(refused.stderr.contains(text), "{text} in {}", refused.stderr);
    }
    assert!(!folder.path().join("new").exists());
    let before = store_bytes(&folder.path().join("out"));
    let refused = merge(folder.path(), &["other", "--out", "out"]).expect(1);
    assert!(refused.stderr.contains("differs between out and other"), "{}", refused.stderr);
    assert!(before == store_bytes(&folder.path().join("out")));
}

#[test]
fn parts_with_different_settings_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    parts(folder.path());
    let mut teacher = info();
    teacher.teacher.sha256 = relabel::shared::digest::digest_bytes(b"another");
    store(folder.path(), "teacher", teacher, &[1]);
    let mut batch = info();
    batch.batch_images = 3;
    store(folder.path(), "batch", batch, &[1]);
    let mut entries: Vec<_> = (0..IMAGES).map(|row| format!("d/{row}.jpg")).collect();
    entries.sort();
    let entry = |path: String| relabel::shared::manifest::ManifestEntry {
        path,
        ..relabel::shared::manifest::ManifestEntry::default()
    };
    let list = relabel::shared::manifest::Manifest::from_entries(entries.into_iter().map(entry).collect()).unwrap();
    let bytes = relabel::shared::manifest::manifest_bytes(&list).unwrap();
    let other_list = StoreInfo { manifest_sha256: relabel::shared::digest::digest_bytes(&bytes), ..info() };
    StoreWriter::create(&folder.path().join("list"), other_list, &list, WriterOptions::default()).unwrap();
    for (other, text) in [
        ("teacher", "teacher: synthetic (sha256 "),
        ("batch", "batch: 2 in part0, 3 in batch"),
        ("list", "manifest: "),
        ("nothing", "does not exist"),
    ] {
        let refused = merge(folder.path(), &["part0", other, "--out", "out"]).expect(1);
        assert!(refused.stderr.contains(text), "{text} in {}", refused.stderr);
        assert!(!folder.path().join("out").exists(), "{other}");
    }
    // Also if the output store differs, or is not a store.
    let refused = merge(folder.path(), &["part0", "--out", "batch"]).expect(1);
    assert!(refused.stderr.contains("batch: 2 in part0, 3 in batch"), "{}", refused.stderr);
    std::fs::create_dir(folder.path().join("full")).unwrap();
    std::fs::write(folder.path().join("full/thesis.txt"), "years of work").unwrap();
    let refused = merge(folder.path(), &["part0", "--out", "full"]).expect(1);
    assert!(refused.stderr.contains("thesis.txt"), "{}", refused.stderr);
    for (args, text) in [
        (&["part0", "part1", "--out", "part1"][..], "part1 is both an input and the output"),
        (&["part0", "./part0", "--out", "out"], "is passed twice"),
    ] {
        let refused = merge(folder.path(), args).expect(2);
        assert!(refused.stderr.contains(text), "{}", refused.stderr);
    }
}

#[test]
fn a_damaged_part_is_named_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let parts = parts(folder.path());
    for file in ["classes/c.1.0.0.0", "records/000002.json", "manifest.parquet", "scores/zarr.json", "zarr.json"] {
        let path = parts[1].join(file);
        let original = std::fs::read(&path).unwrap();
        let mut flipped = original.clone();
        flipped[original.len() / 2] ^= 1;
        std::fs::write(&path, flipped).unwrap();
        let refused = merge(folder.path(), &["part0", "part1", "--out", "out"]).expect(1);
        assert!(refused.stderr.contains("part1") && refused.stderr.contains(file), "{file}: {}", refused.stderr);
        assert!(!folder.path().join("out").exists(), "{file}");
        std::fs::write(&path, original).unwrap();
    }
    // Damaged run notes are skipped, and so are files without a record.
    std::fs::write(parts[1].join("runs/broken.json"), "{").unwrap();
    std::fs::remove_file(parts[1].join("records/000002.json")).unwrap();
    merge(folder.path(), &["part0", "part1", "--out", "out"]).expect(3);
    assert!(!folder.path().join("out/runs/broken.json").exists());
    // Damaged files of the output store are replaced from a part.
    let scores = folder.path().join("out/scores/c.0.0.0.0");
    std::fs::write(&scores, "other").unwrap();
    merge(folder.path(), &["part0", "part1", "--out", "out"]).expect(3);
    assert_eq!(std::fs::read(scores).unwrap(), std::fs::read(parts[0].join("scores/c.0.0.0.0")).unwrap());
}

#[test]
fn a_failure_at_any_step_of_a_merge_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let parts = parts(folder.path());
    let one = complete_store(folder.path());
    let (bytes, reader) = (store_bytes(&one), StoreReader::open(&one).unwrap());
    for by in [CopyMode::Copy, CopyMode::Link] {
        let mut steps = 0;
        loop {
            let out = folder.path().join(format!("{by:?}-{steps}"));
            let options = WriterOptions { faults: FaultInjection::after_steps(steps), ..WriterOptions::default() };
            let result = merge_here(&parts, &out, by, options);
            if StoreWriter::exists(&out).unwrap() {
                let partial = StoreReader::open(&out).unwrap();
                for row in 0..IMAGES {
                    let (state, was) = (partial.row(row).unwrap(), reader.row(row).unwrap());
                    assert!(state == was || state == RowState::ToDo, "after {steps} steps, row {row}");
                }
            }
            let is_finished = result.is_ok();
            merge_here(&parts, &out, by, WriterOptions::default()).unwrap();
            assert!(bytes == store_bytes(&out), "{by:?}, after {steps} steps");
            assert!(verify(&out, Depth::Values, &|_| ()).unwrap().problems.is_empty(), "after {steps} steps");
            if is_finished {
                break;
            }
            steps += 1;
        }
        assert!(steps > 60, "{by:?}: only {steps} steps were tried");
    }
    assert!(bytes == store_bytes(&merge_parts(folder.path(), &parts)), "the parts are unchanged");
}

#[test]
fn a_part_that_changes_during_the_merge_stops_it() {
    let folder = tempfile::tempdir().unwrap();
    let parts = parts(folder.path());
    for (by, file) in [
        (CopyMode::Copy, "scores/c.1.0.0.0"),
        (CopyMode::Link, "scores/c.1.0.0.0"),
        (CopyMode::Copy, "records/000001.json"),
    ] {
        let out = folder.path().join(format!("{by:?}-{}", &file[..6]));
        let plan = Merge::plan(&parts, &out, &|_| Ok(())).unwrap();
        let original = std::fs::read(parts[1].join(file)).unwrap();
        std::fs::write(parts[1].join(file), original.repeat(2)).unwrap();
        let stopped = plan.run(by, WriterOptions::default(), &|_| Ok(())).unwrap_err().to_string();
        assert!(stopped.contains("part1") && stopped.contains(file), "{stopped}");
        assert!(StoreReader::open(&out).unwrap().record(1).unwrap().is_none());
        std::fs::write(parts[1].join(file), original).unwrap();
        merge_here(&parts, &out, by, WriterOptions::default()).unwrap();
    }
}

#[test]
fn a_stopped_merge_resumes() {
    let folder = tempfile::tempdir().unwrap();
    let parts = parts(folder.path());
    let out = folder.path().join("out");
    let plan = Merge::plan(&parts, &out, &|_| Ok(())).unwrap();
    let done = std::sync::atomic::AtomicUsize::new(0);
    let stopped = plan.run(CopyMode::Copy, WriterOptions::default(), &|_| {
        let before = done.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        if before < 1 { Ok(()) } else { Err(Error::Interrupted) }
    });
    assert!(matches!(stopped, Err(Error::Interrupted)), "{stopped:?}");
    let partial = StoreReader::open(&out).unwrap();
    assert!((0..3).any(|shard| partial.record(shard).unwrap().is_some()), "merged shards are kept");
    merge_here(&parts, &out, CopyMode::Copy, WriterOptions::default()).unwrap();
    assert!(store_bytes(&complete_store(folder.path())) == store_bytes(&out));
    let stopped = Merge::plan(&parts, &out, &|_| Err(Error::Interrupted));
    assert!(matches!(stopped, Err(Error::Interrupted)));
}

#[test]
fn parts_with_tiles_and_without_label_maps_are_merged() {
    for made in [tiled_info(Covering::Four, false), tiled_info(Covering::Nine, true), mapless_info()] {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        let parts = [store(at, "part0", made.clone(), &[0]), store(at, "part1", made.clone(), &[1, 2])];
        synthetic_store::create(&at.join("complete"), made);
        assert!(store_bytes(&merge_parts(at, &parts)) == store_bytes(&at.join("complete")));
        Ran::of(relabel(at).args(["verify", "final", "--full"])).expect(0);
    }
    let folder = tempfile::tempdir().unwrap();
    store(folder.path(), "four", tiled_info(Covering::Four, false), &[0]);
    store(folder.path(), "none", info(), &[1]);
    let refused = merge(folder.path(), &["four", "none", "--out", "all"]).expect(1);
    assert!(refused.stderr.contains("tiles: 4 (4 tiles, top 2) in four, none in none"), "{}", refused.stderr);
}

#[test]
fn a_calibration_is_taken_over_and_different_ones_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let made = tiled_info(Covering::Five, false);
    let parts = [store(at, "part0", made.clone(), &[0]), store(at, "part1", made.clone(), &[1, 2])];
    calibration(&made, 1).write(&parts[1]).unwrap();
    let planned = merge(at, &["part0", "part1", "--out", "all", "--dry-run"]).expect(0);
    assert!(planned.stdout.contains("pooling  pooling.json of part1\n"), "{}", planned.stdout);
    let merged = merge(at, &["part0", "part1", "--out", "all", "--json"]).expect(0).json();
    assert_eq!(merged["pooling_from"], "part1");
    let text = |store: &str| std::fs::read(at.join(store).join("pooling.json")).unwrap();
    assert_eq!(text("all"), text("part1"));
    // Merged again, and with an equal one in each part.
    merge(at, &["part0", "part1", "--out", "all"]).expect(0);
    calibration(&made, 1).write(&parts[0]).unwrap();
    merge(at, &["part0", "part1", "--out", "equal"]).expect(0);
    assert_eq!(text("equal"), text("part1"));

    calibration(&made, 2).write(&parts[0]).unwrap();
    let differ = merge(at, &["part0", "part1", "--out", "other"]).expect(1);
    for part in [
        "pooling.json differs between part0 (32 crops, seed 2) and part1 (32 crops, seed 1)",
        "help: delete pooling.json in all stores but one",
    ] {
        assert!(differ.stderr.contains(part), "{}", differ.stderr);
    }
    assert!(!at.join("other").exists());
    // That of the merged store differs, too.
    let differ = merge(at, &["part0", "--out", "all"]).expect(1);
    assert!(differ.stderr.contains("pooling.json differs between all"), "{}", differ.stderr);
    std::fs::write(parts[0].join("pooling.json"), "{}").unwrap();
    let damaged = merge(at, &["part0", "part1", "--out", "other"]).expect(1);
    assert!(damaged.stderr.contains("(`relabel calibrate` writes it again; it may be deleted)"), "{}", damaged.stderr);
}

fn merge_here(parts: &[PathBuf], out: &Path, by: CopyMode, options: WriterOptions) -> Result<(), Error> {
    Merge::plan(parts, out, &|_| Ok(()))?.run(by, options, &|_| Ok(())).map(|_| ())
}

fn merge_parts(folder: &Path, parts: &[PathBuf]) -> PathBuf {
    let out = folder.join("final");
    merge_here(parts, &out, CopyMode::Copy, WriterOptions::default()).unwrap();
    out
}

/// Creates two stores of one data set: the first has shard 0, the second shards 1 and 2.
fn parts(folder: &Path) -> Vec<PathBuf> {
    vec![store(folder, "part0", info(), &[0]), store(folder, "part1", info(), &[1, 2])]
}

/// Creates the store that a single process writes.
fn complete_store(folder: &Path) -> PathBuf {
    let path = folder.join("complete");
    if !path.exists() {
        fill(&StoreWriter::create(&path, info(), &manifest(), WriterOptions::default()).unwrap()).unwrap();
    }
    path
}

fn store(folder: &Path, name: &str, info: StoreInfo, shards: &[usize]) -> PathBuf {
    let path = folder.join(name);
    let options = WriterOptions { part: Part::WHOLE, ..WriterOptions::default() };
    let writer = StoreWriter::create(&path, info, &manifest(), options).unwrap();
    for &shard in shards {
        let labels = shard_labels(writer.info(), shard);
        let files = relabel::shared::store::encode_shard(writer.info(), &labels).unwrap();
        writer.commit(&labels, &files, relabel::shared::store::Agreement::default()).unwrap();
    }
    path
}

fn task(index: usize) -> [String; 4] {
    ["--task-index".into(), index.to_string(), "--task-count".into(), PARTS.to_string()]
}

fn merge(folder: &Path, args: &[&str]) -> Ran {
    Ran::of(relabel(folder).arg("merge").args(args))
}
