//! A valid small store with one changed and resealed value: every reader returns, and never panics, hangs or allocates
//! gigabytes.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use relabel::release::VerifyScope;
use relabel::shared::digest::digest_bytes;
use relabel::shared::error::Error;
use relabel::shared::geometry::UnitBox;
use relabel::shared::manifest::{Manifest, ManifestEntry, manifest_bytes};
use relabel::shared::store::{
    CopyMode, Depth, FolderFiles, Merge, StoreReader, StoreStatus, StoreWriter, WriterOptions, run_notes, verify,
};
use relabel::training::labels::Labels;
use serde_json::{Value, json};

use crate::common::{hermetic, relabel};
use crate::synthetic_store::{self, IMAGES};

/// A change of the content of a sealed JSON file.
type Change = fn(&mut Value);

const GROUP_CHANGES: &[(&str, Change)] = &[
    ("2^32 images", |info| info["images"] = json!(1_u64 << 32)),
    ("2^64 - 1 images", |info| info["images"] = json!(u64::MAX)),
    ("2^30 images", |info| info["images"] = json!(1_u64 << 30)),
    ("2^30 images in one shard", |info| {
        info["images"] = json!(1_u64 << 30);
        info["shard_images"] = json!(1_u64 << 30);
    }),
    ("2^20 shards", |info| {
        info["images"] = json!(1_u64 << 20);
        info["shard_images"] = json!(1);
    }),
    ("no image", |info| info["images"] = json!(0)),
    ("one image less", |info| info["images"] = json!(9)),
    ("one image more", |info| info["images"] = json!(11)),
    ("no shard", |info| info["shard_images"] = json!(0)),
    ("a shard of 2^63", |info| info["shard_images"] = json!(1_u64 << 63)),
    ("other shards", |info| info["shard_images"] = json!(5)),
    ("no batch", |info| info["batch_images"] = json!(0)),
    ("a batch of 2^62", |info| info["batch_images"] = json!(1_u64 << 62)),
    ("k = 0", |info| info["k"] = json!(0)),
    ("k = 2^60", |info| info["k"] = json!(1_u64 << 60)),
    ("k beyond the classes", |info| info["k"] = json!(21)),
    ("another k", |info| info["k"] = json!(3)),
    ("a negative k", |info| info["k"] = json!(-1)),
    ("a fractional k", |info| info["k"] = json!(1e300)),
    ("65,535^2 cells", |info| info["map_size"] = json!([65_535, 65_535])),
    ("8,192^2 cells", |info| info["map_size"] = json!([8192, 8192])),
    ("no cells", |info| info["map_size"] = json!([0, 3])),
    ("2^63 cells", |info| info["map_size"] = json!([1_u64 << 63, 2])),
    ("other cells", |info| info["map_size"] = json!([3, 2])),
    ("10^9 classes", |info| info["classes"]["count"] = json!(1_000_000_000)),
    ("fewer names than classes", |info| drop(info["classes"]["names"].as_array_mut().unwrap().pop())),
    ("fewer ids than classes", |info| drop(info["classes"]["ids"].as_array_mut().unwrap().pop())),
    ("no classes", |info| info["classes"] = json!({ "list": "", "count": 0, "ids": [], "names": [] })),
    ("fewer classes than in the maps", |info| {
        let none = vec![""; 5];
        info["classes"] = json!({ "list": "", "count": 5, "ids": none, "names": none });
    }),
    ("a zstd level of 0", |info| info["zstd_level"] = json!(0)),
    ("a zstd level of 23", |info| info["zstd_level"] = json!(23)),
    ("steps of 0", |info| info["score_steps"] = json!(0)),
    ("steps that are not a power of two", |info| info["score_steps"] = json!(3)),
    ("steps of 32,768", |info| info["score_steps"] = json!(32_768)),
    ("a missing lse", |info| info["with_lse"] = json!(true)),
    ("an empty digest", |info| info["manifest_sha256"] = json!("")),
    ("a digest that is a path", |info| info["manifest_sha256"] = json!("../../../../etc/passwd")),
    ("another digest", |info| info["manifest_sha256"] = json!("0".repeat(64))),
    ("a teacher's digest", |info| info["teacher"]["sha256"] = json!("é".repeat(32))),
    ("another version", |info| info["format_version"] = json!(u64::MAX)),
    ("no version", |info| drop(info.as_object_mut().unwrap().shift_remove("format_version"))),
    ("other types", |info| info["classes"]["names"] = json!([[[[]]]])),
];

const RECORD_CHANGES: &[(&str, Change)] = &[
    ("an agreement of 2^64 - 1", |record| record["agreement"]["compared"] = json!(u64::MAX)),
    ("more in the first five than compared", |record| record["agreement"]["top5"] = json!(3)),
    ("more at the top than in the first five", |record| record["agreement"]["top1"] = json!(1)),
    ("another shard", |record| record["shard"] = json!(2)),
    ("another first row", |record| record["first_row"] = json!(u64::MAX)),
    ("2^64 - 1 rows", |record| record["rows"] = json!(u64::MAX)),
    ("2^64 - 1 labelled", |record| record["labelled"] = json!(u64::MAX)),
    ("nothing failed", |record| record["failed"] = json!([])),
    ("a row that failed twice", |record| {
        let failed = record["failed"][0].clone();
        record["failed"] = json!([failed, failed]);
        record["labelled"] = json!(2);
    }),
    ("a row that failed elsewhere", |record| record["failed"][0]["row"] = json!(9)),
    ("a row that failed at 2^64 - 1", |record| record["failed"][0]["row"] = json!(u64::MAX)),
    ("another image that failed", |record| record["failed"][0]["path"] = json!("../../x")),
    ("a hostile kind", |record| record["failed"][0]["kind"] = json!("\u{1b}[2J\n")),
    ("a file elsewhere", |record| record["files"][0]["path"] = json!("../../../etc/passwd")),
    ("an absolute file", |record| record["files"][0]["path"] = json!("/etc/passwd")),
    ("a file twice", |record| record["files"][1] = record["files"][0].clone()),
    ("fewer files", |record| drop(record["files"].as_array_mut().unwrap().pop())),
    ("a file of 2^64 - 1 bytes", |record| record["files"][0]["bytes"] = json!(u64::MAX)),
    ("files whose bytes overflow", |record| {
        for file in record["files"].as_array_mut().unwrap() {
            file["bytes"] = json!(u64::MAX / 2);
        }
    }),
    ("a file of no bytes", |record| record["files"][2]["bytes"] = json!(0)),
    ("an empty digest", |record| record["files"][0]["sha256"] = json!("")),
    ("a short digest", |record| record["files"][0]["sha256"] = json!("é")),
    ("another store", |record| record["made_with"] = json!("0".repeat(64))),
];

const NOTE_CHANGES: &[(&str, Change)] = &[
    ("2^64 - 1 images", |note| note["images"] = json!(u64::MAX)),
    ("1e308 seconds", |note| note["seconds"] = json!(1e308)),
    ("other types", |note| note["devices"] = json!({})),
];

#[test]
fn changed_and_resealed_values_are_refused_with_a_message() {
    let folder = tempfile::tempdir().unwrap();
    let (store, good) = (folder.path().join("store"), good_store(&folder.path().join("good")));
    let try_each = |file: &str, changes: &[(&str, Change)], seal: fn(&Path, &str, Change)| {
        for (what, change) in changes {
            copy(&good, &store);
            seal(&store, file, *change);
            run_every_reader(&store, &format!("{file}: {what}"));
        }
    };
    try_each("zarr.json", GROUP_CHANGES, |store, _, change| forge_group(store, change));
    try_each("records/000001.json", RECORD_CHANGES, forge);
    try_each("runs/one.json", NOTE_CHANGES, forge);
    // The unchanged store passes.
    copy(&good, &store);
    assert_eq!(run_every_reader(&store, "nothing"), Vec::<String>::new());
}

#[test]
fn unknown_failure_kinds_are_accepted_by_every_reader() {
    let folder = tempfile::tempdir().unwrap();
    let store = good_store(folder.path());
    forge(&store, "records/000001.json", |record| record["failed"][0]["kind"] = json!("too-dark"));
    assert_eq!(run_every_reader(&store, "an unknown kind"), Vec::<String>::new());
    let (_, status) = StoreStatus::read(&store).unwrap();
    assert_eq!(status.failures_by_kind["too-dark"], 1);
    let out = folder.path().join("merged");
    let plan = Merge::plan(std::slice::from_ref(&store), &out, &|_| Ok(())).unwrap();
    plan.run(CopyMode::Copy, WriterOptions::default(), &|_| Ok(())).unwrap();
    let record = |store: &Path| std::fs::read(store.join("records/000001.json")).unwrap();
    assert_eq!(record(&store), record(&out));
    let shown = crate::common::Ran::of(relabel(folder.path()).args(["status", "store", "--failed"])).expect(0).stdout;
    assert!(shown.contains("too-dark"), "{shown}");
}

#[test]
fn manifests_that_do_not_match_the_store_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (store, good) = (folder.path().join("store"), good_store(&folder.path().join("good")));
    let entry = |row: usize| ManifestEntry { path: format!("c/{row}.jpg"), ..ManifestEntry::default() };
    for rows in [1, 9, 11, 1000] {
        copy(&good, &store);
        let bytes = manifest_bytes(&Manifest::from_entries((0..rows).map(entry).collect()).unwrap()).unwrap();
        replace_manifest(&store, &bytes);
        let refusals = run_every_reader(&store, &format!("{rows} rows"));
        assert!(refusals.iter().any(|text| text.contains(&format!("{rows} rows"))), "{refusals:?}");
    }
    for bytes in [Vec::new(), b"PAR1".to_vec(), vec![0; 1000]] {
        copy(&good, &store);
        replace_manifest(&store, &bytes);
        assert!(!run_every_reader(&store, "no Parquet").is_empty());
    }
}

#[test]
fn impossible_values_are_errors_when_read() {
    let folder = tempfile::tempdir().unwrap();
    let store = good_store(folder.path());
    forge_group(&store, |info| {
        let none = vec![""; 5];
        info["classes"] = json!({ "list": "", "count": 5, "ids": none, "names": none });
    });
    let reader = StoreReader::open(&store).unwrap();
    assert!(reader.row(0).is_err(), "it has class 6 of 5");
    let found = verify(&store, Depth::Values, &|_| ()).unwrap();
    assert!(found.problems.iter().any(|found| found.file.starts_with("classes/c.0")), "{:?}", found.problems);
}

#[test]
fn the_program_refuses_a_forged_store_with_little_memory() {
    let folder = tempfile::tempdir().unwrap();
    let (store, good) = (folder.path().join("store"), good_store(&folder.path().join("good")));
    let commands: &[&[&str]] = &[
        &["status", "store"],
        &["verify", "store", "--full"],
        &["inspect", "store", "c/4"],
        &["audit", "store", "-o", "audit.csv"],
        &["report", "store", "-o", "report"],
        &["publish", "store", "--to", "release", "--license", "CC0-1.0"],
        &["merge", "store", "--out", "merged"],
    ];
    let forgeries: [fn(&Path); 3] = [
        |store| forge(store, "records/000001.json", |record| record["agreement"]["compared"] = json!(u64::MAX)),
        |store| {
            forge_group(store, |info| {
                info["images"] = json!(1_u64 << 30);
                info["shard_images"] = json!(1_u64 << 20);
            });
        },
        |store| replace_manifest(store, &run_length_bomb()),
    ];
    for (number, forgery) in forgeries.into_iter().enumerate() {
        copy(&good, &store);
        forgery(&store);
        for args in commands {
            let mut command = hermetic("prlimit");
            command.arg("--as=3000000000").arg(env!("CARGO_BIN_EXE_relabel")).args(*args).current_dir(folder.path());
            let started = Instant::now();
            let ran = crate::common::Ran::of(&mut command);
            assert!([1, 3].contains(&ran.code), "{number}, {args:?}: {} {} {}", ran.code, ran.stdout, ran.stderr);
            assert!(!ran.stderr.contains("panicked"), "{number}, {args:?}: {}", ran.stderr);
            assert!(started.elapsed() < TIME_LIMIT, "{number}, {args:?}: {:?}", started.elapsed());
        }
    }
}

/// Runs every reader of stores. Returns their errors.
fn run_every_reader(store: &Path, what: &str) -> Vec<String> {
    let refusals = std::cell::RefCell::new(Vec::new());
    let answer = |reader: &str, read: &dyn Fn() -> Result<(), Error>| {
        let started = Instant::now();
        let refused = read().err().map(|error| error.to_string());
        assert!(started.elapsed() < TIME_LIMIT, "{what}: {reader} took {:?}", started.elapsed());
        refusals.borrow_mut().extend(refused.map(|message| format!("{reader}: {message}")));
    };
    answer("status", &|| StoreStatus::read(store).map(drop));
    for depth in [Depth::Files, Depth::Values] {
        answer("verify", &|| {
            let found = verify(store, depth, &|_| ())?;
            problems(found.problems.into_iter().map(|problem| (problem.file, problem.problem)))
        });
    }
    answer("rows", &|| {
        let reader = StoreReader::open(store)?;
        reader.manifest()?;
        reader.records()?;
        for row in (0..reader.info().images).take(IMAGES + 2) {
            reader.row(row)?;
            reader.map_bytes(row)?;
        }
        Ok(())
    });
    answer("labels", &|| {
        let labels = Labels::open(store)?;
        labels.row_statuses()?;
        let rows = labels.rows(&["c/0", "c/9"])?;
        labels.pool(&rows, &[UnitBox::WHOLE; 2])?;
        let mut targets = vec![0_f32; 2 * labels.class_count()];
        labels.image_targets_into(&rows, NonZeroUsize::MIN, &mut targets)
    });
    answer("release", &|| {
        let files = FolderFiles::new(store);
        let lines = crate::common::store_bytes(store).into_iter().filter(|(path, _)| !path.ends_with("SHA256SUMS"));
        let lines = lines.map(|(path, bytes)| format!("{}  {}\n", digest_bytes(&bytes), path.display()));
        std::fs::write(store.join("SHA256SUMS"), lines.collect::<String>()).unwrap();
        let found = relabel::release::verify(&files, None, VerifyScope::Everything, &|_| Ok(()))?;
        let is_note = |file: &String| file.starts_with("runs/");
        let found = found.problems.into_iter().map(|problem| (problem.file, problem.problem));
        problems(found.filter(|(file, _)| !is_note(file)))
    });
    let out = store.with_file_name("planned");
    answer("merge", &|| Merge::plan(&[store.to_path_buf()], &out, &|_| Ok(())).map(drop));
    answer("notes", &|| run_notes(store).map(drop));
    answer("resume", &|| {
        let (writer, _) =
            StoreWriter::resume(store, WriterOptions::default(), &mut || Ok(synthetic_store::manifest()))?;
        writer.part_state(&|_| ()).map(drop)
    });
    refusals.into_inner()
}

fn problems(mut found: impl Iterator<Item = (String, String)>) -> Result<(), Error> {
    found.next().map_or(Ok(()), |(file, problem)| Err(Error::Usage(format!("{file}: {problem}"))))
}

/// Far longer than any reader takes, even on a busy machine.
const TIME_LIMIT: Duration = Duration::from_secs(30);

/// Creates a complete store of ten images, of which row 5 failed, with a run note.
fn good_store(folder: &Path) -> PathBuf {
    std::fs::create_dir_all(folder).unwrap();
    let store = folder.join("store");
    let writer =
        StoreWriter::create(&store, synthetic_store::info(), &synthetic_store::manifest(), WriterOptions::default())
            .unwrap();
    synthetic_store::fill(&writer).unwrap();
    let Value::Object(note) = json!({ "started": "2026-11-23T19:05:38Z", "images": IMAGES, "seconds": 1.5 }) else {
        panic!("an object");
    };
    writer.write_run_note("one", note).unwrap();
    store
}

fn copy(from: &Path, to: &Path) {
    let _ = std::fs::remove_dir_all(to);
    for entry in walkdir::WalkDir::new(from).into_iter().map(Result::unwrap) {
        let target = to.join(entry.path().strip_prefix(from).unwrap());
        if entry.file_type().is_dir() {
            std::fs::create_dir_all(target).unwrap();
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Changes and reseals a file.
fn forge(store: &Path, file: &str, change: Change) {
    let path = store.join(file);
    let mut object: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    change(&mut object);
    seal(&mut object);
    std::fs::write(path, object.to_string()).unwrap();
}

/// Changes the group and updates the records to match it.
fn forge_group(store: &Path, change: Change) {
    let path = store.join("zarr.json");
    let mut group: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let info = &mut group["attributes"]["relabel"];
    change(info);
    seal(info);
    let identity = identity(info.clone());
    std::fs::write(path, group.to_string()).unwrap();
    for entry in std::fs::read_dir(store.join("records")).unwrap() {
        let path = entry.unwrap().path();
        let mut record: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        record["made_with"] = json!(identity);
        seal(&mut record);
        std::fs::write(path, record.to_string()).unwrap();
    }
}

/// Replaces the manifest and updates its digest in the group.
fn replace_manifest(store: &Path, manifest: &[u8]) {
    std::fs::write(store.join("manifest.parquet"), manifest).unwrap();
    let digest = digest_bytes(manifest);
    let path = store.join("zarr.json");
    let mut group: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    group["attributes"]["relabel"]["manifest_sha256"] = json!(digest);
    std::fs::write(&path, group.to_string()).unwrap();
    forge_group(store, |_| ());
}

fn seal(object: &mut Value) {
    let object = object.as_object_mut().unwrap();
    object.shift_remove("sha256");
    let digest = digest_bytes(&serde_json::to_vec(&object).unwrap());
    object.insert("sha256".to_owned(), json!(digest));
}

/// The `made_with` of docs/format.md.
fn identity(mut info: Value) -> String {
    let object = info.as_object_mut().unwrap();
    object.shift_remove("sha256");
    object.shift_remove("limit");
    for emptied in ["tool_version", "source"] {
        object[emptied] = json!("");
    }
    let teacher = object["teacher"].as_object_mut().unwrap();
    teacher.shift_remove("locality");
    teacher["name"] = json!("");
    teacher["card_origins"] = json!({});
    teacher["card"] = json!({});
    digest_bytes(&serde_json::to_vec(&info).unwrap()).to_string()
}

/// A manifest of a few hundred bytes that declares 10^9 rows of the same path.
fn run_length_bomb() -> Vec<u8> {
    std::fs::read(crate::common::data("manifests/run_length_bomb.parquet")).unwrap()
}
