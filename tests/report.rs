use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use relabel::inspection::report::{Report, ReportFolder, RowQuery, RowSelection, SampleMode};
use relabel::shared::error::Error;
use relabel::shared::manifest::{Manifest, ManifestEntry, manifest_bytes};
use relabel::shared::monitor::{Monitor, NoopMonitor};
use relabel::shared::store::{Agreement, StoreInfo, StoreReader, StoreWriter, WriterOptions, encode_shard};
use serde_json::Value;

use crate::common::{LabelRun, data, lite0, run, small_photographs};
use crate::synthetic_store;

/// Labels six photographs. Returns their folder and the store.
fn labelled(folder: &Path) -> (PathBuf, PathBuf) {
    let (photos, store) = (folder.join("photos"), folder.join("labels"));
    small_photographs(&photos, 6);
    LabelRun::new(folder).source("photos").out("labels").args(&["--input-size", "224"]).run().expect(0);
    (photos, store)
}

/// Creates a store of synthetic labels with its first `shards` shards.
fn partial_store(store: &Path, info: StoreInfo, manifest: &Manifest, shards: usize) {
    let writer = StoreWriter::create(store, info, manifest, WriterOptions::default()).unwrap();
    for shard in 0..shards {
        let labels = synthetic_store::shard_labels(writer.info(), shard);
        writer.commit(&labels, &encode_shard(writer.info(), &labels).unwrap(), Agreement::default()).unwrap();
    }
}

fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = walkdir::WalkDir::new(folder).sort_by_file_name().into_iter().map(Result::unwrap);
    let files = entries.filter(|entry| entry.file_type().is_file());
    files
        .map(|file| {
            let inside = file.path().strip_prefix(folder).unwrap().display().to_string();
            (inside, std::fs::read(file.path()).unwrap())
        })
        .collect()
}

/// The JSON data in a script of the page.
fn page_data(script: &Path) -> Value {
    let text = std::fs::read_to_string(script).unwrap();
    let from = text.find('(').unwrap() + 1;
    serde_json::from_str(text[from..].strip_suffix(");\n").unwrap()).unwrap()
}

fn path_str(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_page_is_self_contained_and_contains_no_local_path() {
    let folder = tempfile::tempdir().unwrap();
    let (photos, store) = labelled(folder.path());
    let page = folder.path().join("pages/first");
    let arguments = ["report", path_str(&store), "--image-root", path_str(&photos), "-o", path_str(&page), "--json"];
    let summary = run(&arguments).expect(0).json();
    for (key, value) in [("rows", 6), ("failed", 0), ("photographs", 6), ("photographs_missing", 0), ("to_do", 0)] {
        assert_eq!(summary[key], value, "{key}");
    }
    let files = files(&page);
    let names: Vec<_> = files.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["data/block-00000.js", "data/rows.js", "index.html"]);
    let bytes: usize = files.iter().map(|(_, bytes)| bytes.len()).sum();
    assert_eq!(
        (summary["bytes"].as_u64(), summary["page"].as_str()),
        (Some(bytes as u64), page.join("index.html").to_str())
    );
    let local_path = path_str(folder.path()).to_owned();
    for (name, bytes) in &files {
        assert!(!String::from_utf8_lossy(bytes).contains(&local_path), "{name} contains {local_path}");
    }
    let (block, rows) = (page_data(&page.join("data/block-00000.js")), page_data(&page.join("data/rows.js")));
    assert_eq!(
        (block["images"].as_array().unwrap().len(), &block["images"][0]["pixels"]),
        (6, &serde_json::json!([300, 451]))
    );
    assert_eq!(rows["about"]["source"], "photos");
    assert_eq!(rows["rows"]["labels"], serde_json::json!(["n02123045", "n07920052"]));
    assert_eq!(rows["rows"]["folderClasses"], serde_json::json!([281, 967]));
}

#[test]
fn the_same_store_gives_the_same_page() {
    let folder = tempfile::tempdir().unwrap();
    let (photos, store) = labelled(folder.path());
    let page = |name: &str, threads: &str, more: &[&str]| {
        let page = folder.path().join(name);
        let arguments = [
            "report",
            path_str(&store),
            "--image-root",
            path_str(&photos),
            "-o",
            path_str(&page),
            "--threads",
            threads,
        ];
        run(&[&arguments, more].concat()).expect(0);
        files(&page)
    };
    let first = page("first", "1", &["--sample", "4", "--seed", "3"]);
    assert_eq!(first, page("second", "2", &["--sample", "4", "--seed", "3"]));
    assert_ne!(first, page("third", "2", &["--all"]));
    assert_eq!(first, page("third", "2", &["--sample", "4", "--seed", "3"]), "an earlier page is replaced");
}

#[test]
fn invalid_reports_are_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let (photos, store) = labelled(folder.path());
    let mine = folder.path().join("mine");
    std::fs::create_dir(&mine).unwrap();
    std::fs::write(mine.join("thesis.txt"), "all of it").unwrap();
    let nowhere = folder.path().join("nowhere");
    let other = folder.path().join("other");
    small_photographs(&other.join("deeper"), 6);
    let new = folder.path().join("new");
    let below_a_file = mine.join("thesis.txt/report");
    let refused: &[(&[&str], i32, &str)] = &[
        (&["-o", path_str(&mine)], 2, "other files than an earlier report"),
        (&["-o", path_str(&below_a_file)], 1, "cannot create"),
        (&["-o", path_str(&new), "--image-root", path_str(&nowhere)], 1, "nowhere"),
        (&["-o", path_str(&new), "--image-root", path_str(&other)], 1, "cannot show any of 6 photographs"),
        (&["-o", path_str(&new), "--class", "unicorn"], 2, "class `unicorn` not found"),
        (&["-o", path_str(&new), "--matching", "zebra"], 1, "no image matches the filters"),
        (&["-o", path_str(&new), "--any-size"], 2, "--image-root"),
        (&["-o", path_str(&new), "--all", "--sample", "5"], 2, "--all"),
    ];
    for (arguments, code, reason) in refused {
        let ran = run(&[&["report", path_str(&store)], *arguments].concat()).expect(*code);
        assert!(ran.stderr.contains(reason), "{arguments:?}: {}", ran.stderr);
        assert!(!new.exists(), "{arguments:?}");
    }
    let page = ["report", path_str(&store), "-o", path_str(&new)];
    run(&page).expect(0);
    let before = files(&new);
    run(&[&page[..], &["--image-root", path_str(&other)]].concat()).expect(1);
    assert_eq!(files(&new), before, "an earlier page is kept");
    assert_eq!(files(&mine), [("thesis.txt".to_owned(), b"all of it".to_vec())]);
    let no_store = run(&["report", path_str(&photos), "-o", path_str(&new)]).expect(1).stderr;
    assert!(no_store.contains("photos"), "{no_store}");
}

#[test]
fn changed_photographs_are_reported_with_exit_code_3() {
    let folder = tempfile::tempdir().unwrap();
    let (photos, store) = labelled(folder.path());
    std::fs::remove_file(photos.join("n02123045/0001.JPEG")).unwrap();
    let mut longer = std::fs::read(photos.join("n02123045/0002.JPEG")).unwrap();
    longer.extend_from_slice(b"a remark");
    std::fs::write(photos.join("n02123045/0002.JPEG"), longer).unwrap();
    let page = folder.path().join("page");
    let arguments = ["report", path_str(&store), "--image-root", path_str(&photos), "-o", path_str(&page)];
    let output = run(&arguments).expect(3).stdout;
    assert!(output.contains("photos   4; 2 cannot be shown"), "{output}");
    let reasons = &page_data(&page.join("data/rows.js"))["noPhotograph"];
    assert!(reasons["1"].as_str().unwrap().starts_with("unreadable: "), "{reasons}");
    assert!(reasons["2"].as_str().unwrap().starts_with("changed: 1,704 bytes now"), "{reasons}");
    let summary = run(&[&arguments[..], &["--any-size", "--json"]].concat()).expect(3).json();
    assert_eq!((&summary["photographs"], &summary["photographs_missing"]), (&5.into(), &1.into()));
}

#[test]
fn images_are_selected_by_class_and_id_and_unlabelled_ones_skipped() {
    let folder = tempfile::tempdir().unwrap();
    let (_, store) = labelled(folder.path());
    let chosen = |more: &[&str]| {
        let page = folder.path().join("page");
        let summary =
            run(&[&["report", path_str(&store), "-o", path_str(&page), "--json"], more].concat()).expect(0).json();
        assert_eq!(summary["photographs"], 0);
        page_data(&page.join("data/rows.js"))["rows"]["id"].clone()
    };
    let ids = |ids: &[&str]| serde_json::json!(ids);
    for tabby in ["n02123045", "tabby", "281"] {
        assert_eq!(chosen(&["--class", tabby]), ids(&["n02123045/0000", "n02123045/0001", "n02123045/0002"]));
    }
    assert_eq!(chosen(&["--class", "tabby", "--class", "espresso", "--matching", "000"]).as_array().unwrap().len(), 6);
    assert_eq!(chosen(&["--class", "espresso", "--matching", "0004"]), ids(&["n07920052/0004"]));

    let unfinished = folder.path().join("unfinished");
    partial_store(&unfinished, synthetic_store::info(), &synthetic_store::manifest(), 2);
    let page = folder.path().join("page");
    let summary = run(&["report", path_str(&unfinished), "-o", path_str(&page), "--json"]).expect(0).json();
    assert_eq!((&summary["rows"], &summary["failed"], &summary["to_do"]), (&8.into(), &1.into(), &2.into()));
    let rows = page_data(&page.join("data/rows.js"));
    assert_eq!(rows["failed"], serde_json::json!({ "5": "empty: nothing" }));
    let nothing = folder.path().join("nothing");
    partial_store(&nothing, synthetic_store::info(), &synthetic_store::manifest(), 0);
    let refusal = run(&["report", path_str(&nothing), "-o", path_str(&page)]).expect(1).stderr;
    assert!(refusal.contains("10 are not labelled yet"), "{refusal}");
    assert!(page.join("index.html").exists(), "the earlier page is kept");
}

#[test]
fn a_page_can_show_a_single_row() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    partial_store(&store, synthetic_store::info(), &synthetic_store::manifest(), 3);
    let (store, manifest) = (StoreReader::open(&store).unwrap(), synthetic_store::manifest());
    let query = RowQuery { mode: SampleMode::One { row: 9, crop: None }, folder_classes: Vec::new(), matching: None };
    let selection = RowSelection::new(&store, &manifest, query).unwrap();
    let page = folder.path().join("page");
    let report = Report { store: &store, manifest: &manifest, selection: &selection, photographs: None, figures: None };
    let written = report.write(ReportFolder::claim(&page).unwrap(), &NoopMonitor).unwrap();
    assert_eq!((written.rows, written.failed, written.photographs), (1, 0, 0));
    assert_eq!(page_data(&page.join("data/rows.js"))["rows"]["id"], serde_json::json!(["c/9"]));
}

/// Requests a stop after some blocks.
struct StopAfter {
    blocks: usize,
    written: AtomicUsize,
}

impl Monitor for StopAfter {
    fn stop_requested(&self) -> bool {
        self.written.load(Ordering::Acquire) >= self.blocks
    }

    fn images_done(&self, _labelled: usize, _failed: usize, _agreement: Agreement) {
        self.written.fetch_add(1, Ordering::AcqRel);
    }
}

#[test]
fn an_interrupted_page_has_no_index_and_is_rewritten() {
    let folder = tempfile::tempdir().unwrap();
    let (store, page) = (folder.path().join("store"), folder.path().join("page"));
    partial_store(&store, synthetic_store::info(), &synthetic_store::manifest(), 3);
    let (store, manifest) = (StoreReader::open(&store).unwrap(), synthetic_store::manifest());
    let query = RowQuery { mode: SampleMode::All, folder_classes: Vec::new(), matching: None };
    let selection = RowSelection::new(&store, &manifest, query).unwrap();
    let report =
        || Report { store: &store, manifest: &manifest, selection: &selection, photographs: None, figures: None };
    let write = |monitor: &dyn Monitor| report().write(ReportFolder::claim(&page).unwrap(), monitor);
    write(&NoopMonitor).unwrap();
    let complete = files(&page);
    // The ten rows are one block: stop before it and after it.
    for blocks in [0, 1] {
        let stopped = write(&StopAfter { blocks, written: AtomicUsize::new(0) });
        assert!(matches!(stopped, Err(Error::Interrupted)), "{stopped:?}");
        assert!(!page.join("index.html").exists());
        assert_eq!(page.join("data/block-00000.js").exists(), blocks == 1);
    }
    write(&NoopMonitor).unwrap();
    assert_eq!(files(&page), complete);
}

#[test]
fn hostile_names_do_not_end_the_script() {
    let folder = tempfile::tempdir().unwrap();
    let hostile = "</script><script>alert(1)</script>\u{2028}\u{2029}\"'\\ ünï";
    let entry = |row: usize| ManifestEntry {
        path: format!("{hostile}/{row}.jpg"),
        folder_class: Some(hostile.to_owned()),
        ..ManifestEntry::default()
    };
    let manifest = Manifest::from_entries((0..synthetic_store::IMAGES).map(entry).collect()).unwrap();
    let mut info = synthetic_store::info();
    info.manifest_sha256 = relabel::shared::digest::digest_bytes(&manifest_bytes(&manifest).unwrap());
    info.teacher.name = hostile.to_owned();
    info.source = hostile.to_owned();
    info.classes.names[3] = hostile.to_owned();
    let store = folder.path().join("store");
    partial_store(&store, info, &manifest, 3);
    let page = folder.path().join("page");
    run(&["report", path_str(&store), "-o", path_str(&page), "--matching", "</script>"]).expect(0);
    let script = std::fs::read_to_string(page.join("data/rows.js")).unwrap();
    assert!(!script.contains(['<', '\u{2028}', '\u{2029}']));
    let rows = page_data(&page.join("data/rows.js"));
    assert_eq!((&rows["about"]["teacher"], &rows["about"]["source"]), (&hostile.into(), &hostile.into()));
    assert_eq!((&rows["classes"]["names"][3], &rows["rows"]["labels"][0]), (&hostile.into(), &hostile.into()));
    assert!(!std::fs::read_to_string(page.join("index.html")).unwrap().contains("alert(1)"));
}

#[test]
fn failed_images_are_rows_with_their_reason() {
    let folder = tempfile::tempdir().unwrap();
    let (store, page) = (folder.path().join("labels"), folder.path().join("page"));
    let images = data("golden/images");
    run(&["run", "--teacher", path_str(&lite0()), "--in", path_str(&images), "--out", path_str(&store)]).expect(3);
    let summary =
        run(&["report", path_str(&store), "--image-root", path_str(&images), "-o", path_str(&page), "--json"])
            .expect(0)
            .json();
    assert_eq!((&summary["rows"], &summary["failed"], &summary["photographs"]), (&27.into(), &5.into(), &22.into()));
    let rows = page_data(&page.join("data/rows.js"));
    let reasons: Vec<_> = rows["failed"].as_object().unwrap().values().map(|reason| reason.as_str().unwrap()).collect();
    assert!(reasons.iter().any(|reason| reason.starts_with("empty: ")), "{reasons:?}");
    let block = page_data(&page.join("data/block-00000.js"));
    let images = block["images"].as_array().unwrap();
    assert_eq!(images.iter().filter(|image| image.is_null()).count(), 5, "failed images have no map");
}
