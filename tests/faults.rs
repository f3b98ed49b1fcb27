use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use relabel::shared::store::testing::FaultInjection;
use relabel::shared::store::{Depth, RowState, StoreReader, StoreWriter, WriterOptions, verify};

use crate::common::{LabelRun, Ran, data, hermetic, lite0, relabel, small_photographs, store_bytes};
use crate::synthetic_store::{IMAGES, fill, info, manifest};

#[test]
fn a_failure_at_any_step_of_a_commit_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let complete = folder.path().join("complete");
    fill(&StoreWriter::create(&complete, info(), &manifest(), WriterOptions::default()).unwrap()).unwrap();
    let reader = StoreReader::open(&complete).unwrap();
    let rows: Vec<RowState> = (0..IMAGES).map(|row| reader.row(row).unwrap()).collect();
    let complete = store_bytes(&complete);
    let mut steps = 0;
    loop {
        let path = folder.path().join(format!("after-{steps}"));
        let options = WriterOptions { faults: FaultInjection::after_steps(steps), ..WriterOptions::default() };
        let result = StoreWriter::create(&path, info(), &manifest(), options).and_then(|store| fill(&store));
        if StoreWriter::exists(&path).unwrap() {
            // Rows are correct or unlabelled.
            let reader = StoreReader::open(&path).unwrap();
            for (row, was) in rows.iter().enumerate() {
                let state = reader.row(row).unwrap();
                assert!(state == *was || state == RowState::ToDo, "after {steps} steps, row {row}");
            }
        }
        let is_finished = result.is_ok();
        if let Err(error) = result {
            assert!(error.to_string().contains("failed on purpose"), "{error}");
        }
        let again = if StoreWriter::exists(&path).unwrap() {
            StoreWriter::resume(&path, WriterOptions::default(), &mut || Ok(manifest())).unwrap().0
        } else {
            StoreWriter::create(&path, info(), &manifest(), WriterOptions::default()).unwrap()
        };
        fill(&again).unwrap();
        assert!(complete == store_bytes(&path), "after {steps} steps");
        assert!(verify(&path, Depth::Values, &|_| ()).unwrap().problems.is_empty(), "after {steps} steps");
        if is_finished {
            break;
        }
        steps += 1;
    }
    // Six files of the store and fifteen of three shards with five steps each, and the removal of old records.
    assert!(steps > 100, "only {steps} steps were tried");
}

#[test]
fn a_failure_while_relabelling_a_shard_leaves_no_wrong_label() {
    let folder = tempfile::tempdir().unwrap();
    let mut steps = 0;
    loop {
        let path = folder.path().join(format!("after-{steps}"));
        fill(&StoreWriter::create(&path, info(), &manifest(), WriterOptions::default()).unwrap()).unwrap();
        let before = store_bytes(&path);
        // Shard 1, which has a failed image, gets the labels of another shard, as if its images were replaced.
        let options = WriterOptions { faults: FaultInjection::after_steps(steps), ..WriterOptions::default() };
        let result = StoreWriter::resume(&path, options, &mut || Ok(manifest())).and_then(|(store, _)| {
            let mut labels = crate::synthetic_store::shard_labels(store.info(), 0);
            labels.shard = 1;
            let files = relabel::shared::store::encode_shard(store.info(), &labels).unwrap();
            store.commit(&labels, &files, relabel::shared::store::Agreement::default()).map(|_| labels)
        });
        let reader = StoreReader::open(&path).unwrap();
        let found = verify(&path, Depth::Values, &|_| ()).unwrap();
        match result {
            Ok(_) => {
                assert!(matches!(reader.row(5).unwrap(), RowState::Labelled(_)));
                assert!(found.problems.is_empty());
                break;
            }
            Err(_) if steps == 0 => assert!(before == store_bytes(&path), "nothing happened"),
            // The last step syncs the record, which has been renamed already.
            Err(_) if found.problems.is_empty() => assert!(matches!(reader.row(5).unwrap(), RowState::Labelled(_))),
            Err(_) => {
                assert!(reader.row(4).is_ok_and(|state| state == RowState::ToDo), "after {steps} steps");
            }
        }
        steps += 1;
    }
    assert!(steps > 20, "only {steps} steps were tried");
}

#[test]
fn retried_failures_give_the_bytes_of_a_run_without_failures() {
    let folder = tempfile::tempdir().unwrap();
    small_photographs(&folder.path().join("in"), 24);
    LabelRun::new(folder.path()).small_shards().out("unbroken").run().expect(0);
    let broken = ["n02123045/0001.JPEG", "n02123045/0006.JPEG", "n07920052/0023.JPEG"];
    for path in broken {
        let path = folder.path().join("in").join(path);
        let original = std::fs::read(&path).unwrap();
        std::fs::write(path.with_extension("original"), &original).unwrap();
        std::fs::write(&path, vec![0; original.len()]).unwrap();
    }
    LabelRun::new(folder.path()).small_shards().run().expect(3);
    let still = LabelRun::new(folder.path()).small_shards().args(&["--retry-failed"]).run().expect(3);
    assert!(still.stdout.contains("labelled 21 of 24 images; 3 processed in"), "{}", still.stdout);
    for path in &broken[..2] {
        let path = folder.path().join("in").join(path);
        std::fs::rename(path.with_extension("original"), path).unwrap();
    }
    let two = LabelRun::new(folder.path()).small_shards().args(&["--retry-failed", "--json"]).run().expect(3).json();
    assert_eq!((&two["labelled"], &two["failed"], &two["images_this_run"]), (&23.into(), &1.into(), &3.into()));
    let last = folder.path().join("in").join(broken[2]);
    std::fs::rename(last.with_extension("original"), last).unwrap();
    LabelRun::new(folder.path()).small_shards().args(&["--retry-failed"]).run().expect(0);
    assert!(store_bytes(&folder.path().join("unbroken")) == store_bytes(&folder.path().join("out")));
    let nothing = LabelRun::new(folder.path()).small_shards().args(&["--retry-failed"]).run().expect(0);
    assert!(nothing.stdout.contains("nothing left to do"), "{}", nothing.stdout);
}

#[test]
fn a_run_with_too_many_failures_is_stopped() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("in")).unwrap();
    for number in 0..1100 {
        std::fs::write(folder.path().join(format!("in/{number:04}.jpg")), "no image").unwrap();
    }
    let stopped = LabelRun::new(folder.path()).small_shards().run().expect(1);
    for text in ["1000 images in a row failed", "not-an-image", "--max-failures", "--retry-failed"] {
        assert!(stopped.stderr.contains(text), "{text} in {}", stopped.stderr);
    }
    let few = LabelRun::new(folder.path()).small_shards().out("few").args(&["--max-failures", "5"]).run().expect(1);
    assert!(few.stderr.contains("6 images of this run failed"), "{}", few.stderr);
    let status = Ran::of(relabel(folder.path()).args(["status", "few", "--json"])).expect(0).json();
    assert!(status["failed"].as_u64().unwrap() <= 8, "only committed images count");
    LabelRun::new(folder.path()).small_shards().out("all").args(&["--max-failures", "1100"]).run().expect(3);
}

#[test]
fn images_deleted_or_changed_during_a_run_fail_alone() {
    let folder = tempfile::tempdir().unwrap();
    small_photographs(&folder.path().join("in"), 400);
    let mut run = LabelRun::new(folder.path()).small_shards().command();
    let run = run.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while !folder.path().join("out/records/000000.json").exists() {
        std::thread::sleep(Duration::from_millis(2));
    }
    let gone = folder.path().join("in/n07920052/0399.JPEG");
    std::fs::remove_file(gone).unwrap();
    let changed = folder.path().join("in/n07920052/0398.JPEG");
    std::fs::write(&changed, std::fs::read(data("golden/images/photos/coffee.JPEG")).unwrap()).unwrap();
    assert_eq!(run.wait_with_output().unwrap().status.code(), Some(3));
    let failed = Ran::of(relabel(folder.path()).args(["status", "out", "--failed"])).expect(0).stdout;
    assert!(failed.contains("n07920052/0399.JPEG\tunreadable"), "{failed}");
    assert!(failed.contains("n07920052/0398.JPEG\tchanged: 79,975 bytes now"), "{failed}");
    // --retry-failed accepts the changed file.
    let kept = LabelRun::new(folder.path()).small_shards().args(&["--retry-failed"]).run().expect(3).stdout;
    assert!(kept.contains("labelled 399 of 400 images"), "{kept}");
    assert!(verify(&folder.path().join("out"), Depth::Values, &|_| ()).unwrap().problems.is_empty());
}

#[test]
fn a_full_disk_stops_the_run_which_resumes_when_there_is_space() {
    let Some(mounts) = Mounts::if_possible() else { return };
    let folder = tempfile::tempdir().unwrap();
    small_photographs(&folder.path().join("in"), 120);
    LabelRun::new(folder.path()).small_shards().out("complete").args(&["--input-size", "224"]).run().expect(0);
    std::fs::create_dir(folder.path().join("disk")).unwrap();
    let run = "'$RELABEL' run --in in --out disk/out --shard-size 4 --batch 4 --input-size 224 --teacher '$TEACHER'";
    let script = format!(
        "mount -t tmpfs -o size=300k tmpfs disk
         {run} > /dev/null 2> full.txt; echo $? > full.code
         '$RELABEL' status disk/out --json > full.json
         '$RELABEL' verify disk/out > /dev/null; echo $? > full.verify
         mount -o remount,size=50m disk
         {run} > /dev/null 2>&1; echo $? > room.code
         cp -r disk/out copied"
    );
    mounts.run(folder.path(), &script).expect(0);
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    let output = read("full.txt");
    assert_eq!(
        (read("full.code").trim(), read("full.verify").trim(), read("room.code").trim()),
        ("1", "3", "0"),
        "{output}"
    );
    assert!(output.contains("No space left on device"), "{output}");
    let status: serde_json::Value = serde_json::from_str(&read("full.json")).unwrap();
    assert!(status["labelled"].as_u64().unwrap() < 120);
    assert!(store_bytes(&folder.path().join("complete")) == store_bytes(&folder.path().join("copied")));
}

#[test]
fn a_read_only_store_can_be_read_and_verified_but_not_written() {
    let Some(mounts) = Mounts::if_possible() else { return };
    let folder = tempfile::tempdir().unwrap();
    small_photographs(&folder.path().join("in"), 8);
    LabelRun::new(folder.path()).small_shards().run().expect(0);
    let script = "mount --bind out out && mount -o remount,bind,ro out
        '$RELABEL' status out > /dev/null && '$RELABEL' verify out --full > /dev/null &&
        '$RELABEL' inspect out 3 > /dev/null || exit 9
        '$RELABEL' run --in in --out out --shard-size 4 --batch 4 --input-size 64 --teacher '$TEACHER'";
    let refused = mounts.run(folder.path(), script).expect(1);
    assert!(refused.stderr.contains("Read-only file system"), "{}", refused.stderr);
}

#[test]
fn an_unreadable_folder_is_reported_before_work_begins() {
    let folder = tempfile::tempdir().unwrap();
    small_photographs(&folder.path().join("in"), 4);
    let locked = folder.path().join("in/n07920052");
    let program = folder.path().join("relabel");
    std::fs::copy(env!("CARGO_BIN_EXE_relabel"), &program).unwrap();
    let chmod = |path: &Path, mode: &str| Command::new("chmod").arg(mode).arg(path).status().unwrap();
    chmod(folder.path(), "755");
    chmod(&locked, "000");
    let mut command = hermetic("setpriv");
    // Root can read everything, so another user runs the program.
    if Command::new("id").arg("-u").output().unwrap().stdout == b"0\n" {
        command.args(["--reuid", "65534", "--clear-groups"]);
    }
    let teacher = folder.path().join("t.onnx");
    std::fs::copy(lite0(), &teacher).unwrap();
    command.arg(&program).args(["run", "--in", "in", "--out", "out", "--teacher"]).arg(teacher);
    let refused = Ran::of(command.current_dir(folder.path())).expect(1);
    chmod(&locked, "755");
    assert!(refused.stderr.contains("n07920052") && refused.stderr.contains("denied"), "{}", refused.stderr);
    assert!(!folder.path().join("out").exists());
}

#[test]
fn a_clock_jump_affects_only_the_rate() {
    let folder = tempfile::tempdir().unwrap();
    small_photographs(&folder.path().join("in"), 12);
    LabelRun::new(folder.path()).small_shards().run().expect(0);
    let status = || Ran::of(relabel(folder.path()).args(["status", "out", "--json"])).expect(0).json();
    let decades = Duration::from_hours(24 * 365 * 20);
    for (shard, time) in [(0, SystemTime::now() + decades), (1, SystemTime::now()), (2, SystemTime::UNIX_EPOCH)] {
        let record = folder.path().join(format!("out/records/{shard:06}.json"));
        std::fs::File::options().write(true).open(record).unwrap().set_modified(time).unwrap();
    }
    let jumped = status();
    assert_eq!((&jumped["labelled"], &jumped["shards_done"]), (&12.into(), &3.into()));
    assert!(jumped["images_per_s"].as_f64().unwrap() >= 0.0);
    LabelRun::new(folder.path()).small_shards().run().expect(0);
    Ran::of(relabel(folder.path()).args(["verify", "out"])).expect(0);
}

#[test]
fn a_dry_run_measures_and_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    small_photographs(&folder.path().join("in"), 40);
    let estimate = LabelRun::new(folder.path()).small_shards().args(&["--dry-run", "--json"]).run().expect(0).json();
    assert!(!folder.path().join("out").exists());
    assert_eq!(
        (&estimate["images"], &estimate["to_do"], &estimate["sample_images"]),
        (&40.into(), &40.into(), &24.into())
    );
    assert!(estimate["images_per_s"].as_f64().unwrap() > 1.0 && estimate["hours"].as_f64().unwrap() < 0.1);
    LabelRun::new(folder.path()).small_shards().run().expect(0);
    let status = Ran::of(relabel(folder.path()).args(["status", "out", "--json"])).expect(0).json();
    let (measured, real) = (estimate["bytes_per_image"].as_f64().unwrap(), status["bytes_per_image"].as_f64().unwrap());
    assert!((measured / real - 1.0).abs() < 0.3, "estimated {measured} bytes per image, got {real}");
    let before = store_bytes(&folder.path().join("out"));
    let nothing = LabelRun::new(folder.path()).small_shards().args(&["--dry-run"]).run().expect(0);
    assert!(nothing.stdout.contains("would label 0 of 40 images"), "{}", nothing.stdout);
    assert!(before == store_bytes(&folder.path().join("out")));
    LabelRun::new(folder.path()).small_shards().args(&["--dry-run", "--top-k", "3"]).run().expect(1);
}

/// A shell in a mount namespace of its own.
struct Mounts {
    unshare: &'static [&'static str],
}

impl Mounts {
    /// Returns `None` and prints a note if mounts are forbidden, as in some containers; the test is skipped then.
    fn if_possible() -> Option<Self> {
        for unshare in [&["--mount"][..], &["--mount", "--map-root-user"]] {
            let tried = hermetic("unshare").args(unshare).args(["mount", "-t", "tmpfs", "tmpfs", "/mnt"]).output();
            if tried.is_ok_and(|output| output.status.success()) {
                return Some(Self { unshare });
            }
        }
        eprintln!("SKIPPED: mounts are not permitted on this machine");
        None
    }

    fn run(&self, folder: &Path, script: &str) -> Ran {
        let script = script
            .replace("'$RELABEL'", env!("CARGO_BIN_EXE_relabel"))
            .replace("'$TEACHER'", &lite0().display().to_string());
        let mut command = hermetic("unshare");
        command.args(self.unshare).args(["bash", "-c", &script]).current_dir(folder);
        Ran::of(&mut command)
    }
}
