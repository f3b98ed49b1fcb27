use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use relabel::release::{
    CHECKSUMS, Completeness, Delivery, DeliveryCallbacks, Existing, FileContent, FolderDestination, HubLimits, Licence,
    LinkMode, MARKER, OverviewPicture, PublishOptions, Release, SIGNATURE, ToolVersion, build_release, deliver,
};
use relabel::shared::classes::ClassList;
use relabel::shared::digest::{digest_bytes, digest_file};
use relabel::shared::error::Error;
use relabel::shared::geometry::MapSize;
use relabel::shared::label_map::{ImageLabels, ImagePrediction, LabelMap, ScoreRounding};
use relabel::shared::manifest::{Manifest, ManifestEntry, manifest_bytes};
use relabel::shared::monitor::NoopMonitor;
use relabel::shared::random::SplitMix64;
use relabel::shared::store::{
    Agreement, Depth, RowState, ShardLabels, StoreInfo, StoreReader, StoreWriter, WriterOptions, encode_shard, verify,
};
use serde_json::{Value, json};

use crate::common::{Ran, hermetic, lite0, relabel, repository, small_photographs, store_bytes};
use crate::synthetic_store::{self, IMAGES};

#[test]
fn a_release_is_a_store_with_additional_files() {
    let folder = tempfile::tempdir().unwrap();
    small_photographs(&folder.path().join("in"), 12);
    let args = ["run", "--in", "in", "--out", "labels", "--input-size", "224", "--shard-size", "5", "--teacher"];
    Ran::of(relabel(folder.path()).args(args).arg(lite0())).expect(0);
    let output = publish(folder.path(), &["--hub-repo", "me/cats", "--source-terms", "Ask the cats."]).expect(0);
    for text in ["CC-BY-4.0", "Ask the cats.", "hf upload-large-folder me/cats release --repo-type=dataset", "ImageNet"]
    {
        assert!(output.stdout.contains(text), "{text} in {}", output.stdout);
    }
    let release = folder.path().join("release");
    for file in [
        "README.md",
        "LICENSE",
        "SOURCE_TERMS.md",
        "croissant.json",
        "manifest.parquet",
        "overview.png",
        "provenance.json",
        "records/000002.json",
        "scores/c.2.0.0.0",
        "summary.parquet",
        "zarr.json",
    ] {
        assert!(release.join(file).is_file(), "{file}");
    }
    for file in ["runs", ".seen", ".locks", ".staging", MARKER] {
        assert!(!release.join(file).exists(), "{file}");
    }
    verify_checksums(&release);
    Ran::of(relabel(folder.path()).args(["verify", "release", "--full"])).expect(0);
    let rows = |path: &str| {
        let store = StoreReader::open(&folder.path().join(path)).unwrap();
        (0..12).map(|row| store.row(row).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(rows("release"), rows("labels"));
    let provenance = read_json(&release.join("provenance.json"));
    assert_eq!((&provenance["partial"], &provenance["labels"]["labelled"]), (&false.into(), &12.into()));
    assert_eq!(provenance["runs"]["images"], 12);
    assert_eq!(provenance["runs"]["each"][0]["devices"][0], "cpu");
    assert_eq!(provenance["teacher"]["sha256"], digest_file(&lite0()).unwrap().0.to_string());
    let day = &provenance["runs"]["last_finished"].as_str().unwrap()[..10];
    assert_eq!(read_json(&release.join("croissant.json"))["datePublished"], day);
    let card = std::fs::read_to_string(release.join("README.md")).unwrap();
    for text in ["x0, y0, x1, y1", "arXiv:2101.05022", "arXiv:1905.04899", "relabel.open", "sha256sum -c", "bilinear"] {
        assert!(card.contains(text), "{text} in {card}");
    }
}

#[test]
fn the_same_store_gives_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    create_store(&folder.path().join("labels"), &|_| (), 3);
    publish(folder.path(), &[]).expect(0);
    let first = store_bytes(&folder.path().join("release"));
    std::fs::rename(folder.path().join("release"), folder.path().join("first")).unwrap();
    publish(folder.path(), &[]).expect(0);
    assert!(first == store_bytes(&folder.path().join("release")), "published again");
    // Without unpublished files, in another folder.
    std::fs::create_dir(folder.path().join("deeper")).unwrap();
    std::fs::rename(folder.path().join("labels"), folder.path().join("deeper/labels")).unwrap();
    std::fs::remove_dir_all(folder.path().join("deeper/labels/.seen")).unwrap();
    let deeper = folder.path().join("deeper");
    publish(&deeper, &["--link"]).expect(0);
    assert!(first == store_bytes(&deeper.join("release")), "published from a store that was moved");
    // Publishing again into the same folder writes nothing.
    let again = publish(&deeper, &["--json"]).expect(0).json();
    assert_eq!(again["delivered"]["sent"], 0);
}

#[test]
fn a_dry_run_lists_every_file_and_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    create_store(&folder.path().join("labels"), &|_| (), 3);
    let listed = publish(folder.path(), &["--dry-run", "--json"]).expect(0).json();
    let output = publish(folder.path(), &["--dry-run"]).expect(0).stdout;
    assert!(!folder.path().join("release").exists());
    publish(folder.path(), &[]).expect(0);
    let files = listed["files"].as_array().unwrap();
    let there = store_bytes(&folder.path().join("release"));
    assert_eq!(files.len(), there.len());
    for (path, bytes) in &there {
        let path = path.to_str().unwrap();
        let file = files.iter().find(|file| file["path"] == path).unwrap_or_else(|| panic!("{path} is not listed"));
        assert_eq!((&file["bytes"], &file["sha256"]), (&bytes.len().into(), &json!(digest_bytes(bytes))), "{path}");
        assert!(output.contains(path), "{path} in {output}");
    }
    assert_eq!(files.last().unwrap()["path"], CHECKSUMS);
    assert_eq!(listed["bytes"], there.iter().map(|(_, bytes)| bytes.len()).sum::<usize>());
}

#[test]
fn invalid_options_and_damaged_stores_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let labels = folder.path().join("labels");
    create_store(&labels, &|_| (), 3);
    let without = Ran::of(relabel(folder.path()).args(["publish", "labels", "--to", "release"])).expect(2);
    assert!(without.stderr.contains("--license"), "{}", without.stderr);
    std::fs::write(folder.path().join("empty.txt"), " \n").unwrap();
    std::fs::create_dir(folder.path().join("mine")).unwrap();
    std::fs::write(folder.path().join("mine/thesis.txt"), "mine").unwrap();
    let cases: &[(&[&str], i32, &str)] = &[
        (&["--license", "other"], 2, "is not a licence"),
        (&["--license", "no/such/file"], 2, "file not found"),
        (&["--license", "empty.txt"], 2, "is empty"),
        (&["--license", "MIT", "--source-terms", "no/terms.md"], 2, "file not found"),
        (&["--license", "MIT", "--hub-repo", "me"], 2, "a user and a name"),
        (&["--license", "MIT", "--picture", "zebra"], 1, "zebra"),
        (&["--license", "MIT", "--picture", "c/5"], 2, "has no labels"),
        (&["--license", "MIT", "--image-root", "."], 2, "--picture"),
        (&["--license", "MIT", "--to", "labels/release"], 2, "cannot publish into the store"),
        (&["--license", "MIT", "--to", "."], 2, "cannot publish into the store"),
        (&["--license", "MIT", "--to", "mine"], 1, "thesis.txt"),
    ];
    for (args, code, expected) in cases {
        let to: &[&str] = if args.contains(&"--to") { &[] } else { &["--to", "release"] };
        let refused = Ran::of(relabel(folder.path()).args(["publish", "labels"]).args(*args).args(to)).expect(*code);
        assert!(refused.stderr.contains(expected), "{args:?}: {}", refused.stderr);
    }
    // An unknown id may be intended, or a typing error.
    let args = ["publish", "labels", "--to", "release", "--license", "CC-BY4", "--dry-run"];
    let named = Ran::of(relabel(folder.path()).args(args)).expect(0);
    assert!(named.stderr.contains("the Hub does not know the licence `CC-BY4`"), "{}", named.stderr);
    let kept = std::fs::read(labels.join("classes/c.1.0.0.0")).unwrap();
    std::fs::write(labels.join("classes/c.1.0.0.0"), [kept.as_slice(), b"x"].concat()).unwrap();
    let damaged = publish(folder.path(), &[]).expect(1);
    assert!(damaged.stderr.contains("damaged, nothing was published") && damaged.stderr.contains("classes/c.1.0.0.0"));
    assert!(publish(folder.path(), &["--allow-partial"]).expect(1).stderr.contains("classes/c.1.0.0.0"));
    std::fs::write(labels.join("classes/c.1.0.0.0"), kept).unwrap();
    assert!(!folder.path().join("release").exists(), "nothing was written");
    assert_eq!(std::fs::read_dir(folder.path().join("mine")).unwrap().count(), 1);
    // A file that belongs to no shard is neither a reason to refuse nor copied.
    std::fs::write(labels.join("scores/c.9.0.0.0"), "stray").unwrap();
    publish(folder.path(), &[]).expect(0);
    assert!(!folder.path().join("release/scores/c.9.0.0.0").exists());
    let other = publish(folder.path(), &["--name", "another"]).expect(1);
    assert!(other.stderr.contains("--replace"), "{}", other.stderr);
    // The old release's signature is removed. Files that belong to no release are a reason to refuse, except those of git
    // and the Hub, whose names start with a dot.
    for file in ["SHA256SUMS.sig", "notes.txt", ".gitattributes"] {
        std::fs::write(folder.path().join("release").join(file), "old").unwrap();
    }
    let mixed = publish(folder.path(), &["--name", "another", "--replace"]).expect(1);
    assert!(mixed.stderr.contains("notes.txt"), "{}", mixed.stderr);
    std::fs::remove_file(folder.path().join("release/notes.txt")).unwrap();
    publish(folder.path(), &["--name", "another", "--replace"]).expect(0);
    let is_there = |file: &str| folder.path().join("release").join(file).exists();
    assert!(!is_there("SHA256SUMS.sig") && is_there(".gitattributes"));
    std::fs::remove_file(folder.path().join("release/.gitattributes")).unwrap();
    verify_checksums(&folder.path().join("release"));
}

#[test]
fn an_unfinished_store_is_published_only_if_allowed_and_is_marked_partial() {
    let folder = tempfile::tempdir().unwrap();
    create_store(&folder.path().join("labels"), &|_| (), 2);
    let refused = publish(folder.path(), &[]).expect(1);
    assert!(refused.stderr.contains("1 of 3 shards are still to do (2 images)"), "{}", refused.stderr);
    let partial = publish(folder.path(), &["--allow-partial", "--json"]).expect(0).json();
    assert_eq!((&partial["partial"], &partial["to_do"]), (&true.into(), &2.into()));
    let release = folder.path().join("release");
    let card = std::fs::read_to_string(release.join("README.md")).unwrap();
    assert!(card.contains("- \"partial\"") && card.contains("**This release is partial.** 2 of 10"), "{card}");
    assert_eq!(read_json(&release.join("provenance.json"))["partial"], true);
    assert!(read_json(&release.join("croissant.json"))["description"].as_str().unwrap().contains("partial"));
    verify_checksums(&release);
    assert_eq!(StoreReader::open(&release).unwrap().row(9).unwrap(), RowState::ToDo);
    // A shard whose record is missing is not published, though its files are there.
    std::fs::remove_file(folder.path().join("labels/records/000001.json")).unwrap();
    let still = publish(folder.path(), &["--allow-partial", "--replace"]).expect(0);
    assert!(still.stdout.contains("6 to do"), "{}", still.stdout);
    assert!(!release.join("scores/c.1.0.0.0").exists());
    verify_checksums(&release);
}

#[test]
fn no_local_path_is_published() {
    let folder = tempfile::tempdir().unwrap();
    let machine = folder.path().display().to_string();
    let change = |info: &mut StoreInfo| {
        info.source = format!("{machine}/images");
        let card = json!({
            "name": "net",
            "mean": [0.5, 0.5, 0.5],
            "export": format!("python {machine}/export.py --out 'C:\\Users\\me\\net.onnx'"),
            "weights": "https://example.org/a/b.pth",
            "deep": { "log": [format!("file://{machine}/log.txt")] },
        });
        info.teacher.card = card.as_object().unwrap().clone();
        info.teacher.name = format!("{machine}/net.onnx");
    };
    create_store(&folder.path().join("labels"), &change, 3);
    let output = publish(folder.path(), &["--json"]).expect(0).json();
    let redactions = output["redactions"].as_array().unwrap();
    for (location, to) in [
        ("zarr.json: teacher.card.export", "export.py"),
        ("zarr.json: teacher.card.export", "net.onnx"),
        ("zarr.json: teacher.card.deep.log", "log.txt"),
        ("zarr.json: teacher.name", "net.onnx"),
        ("zarr.json: source", "images"),
        ("records/000001.json: the reason of row 5", "5.jpg"),
    ] {
        assert!(
            redactions.iter().any(|cut| cut["location"] == location && cut["to"] == to),
            "{location}: {redactions:?}"
        );
    }
    let release = folder.path().join("release");
    for (path, bytes) in store_bytes(&release) {
        let text = String::from_utf8_lossy(&bytes);
        for path_part in [machine.as_str(), "/home/me", "Users"] {
            assert!(!text.contains(path_part), "{path_part} in {}", path.display());
        }
    }
    assert!(std::fs::read_to_string(release.join("zarr.json")).unwrap().contains("https://example.org/a/b.pth"));
    // It is still the same store.
    let (reader, was) =
        (StoreReader::open(&release).unwrap(), StoreReader::open(&folder.path().join("labels")).unwrap());
    assert_eq!(reader.info().identity(), was.info().identity());
    for row in (0..IMAGES).filter(|row| *row != 5) {
        assert_eq!(reader.row(row).unwrap(), was.row(row).unwrap());
    }
    assert!(matches!(reader.row(5).unwrap(), RowState::Failed(failed) if failed.error.reason == "cannot read 5.jpg"));
    assert!(verify(&release, Depth::Values, &|_| ()).unwrap().problems.is_empty());
    verify_checksums(&release);
}

#[test]
fn hostile_names_are_escaped() {
    let folder = tempfile::tempdir().unwrap();
    let class = "x](javascript:alert(1)) | <script>\n---\nlicense: mit";
    let change = |info: &mut StoreInfo| {
        info.classes.names = vec![class.to_owned(); info.classes.count];
        info.source = "# source\n| a".into();
        info.teacher.name = "net\"\n---\n<img src=x>".into();
    };
    create_store(&folder.path().join("labels"), &change, 3);
    let name = "a: \"b\"\n---\n# c\u{85}";
    publish(folder.path(), &["--name", name, "--source-dataset", "x\n- y"]).expect(0);
    let card = std::fs::read_to_string(folder.path().join("release/README.md")).unwrap();
    let head: Vec<&str> = card.lines().take_while(|line| !line.starts_with('#')).collect();
    assert_eq!(head.iter().filter(|line| **line == "---").count(), 2, "{head:?}");
    assert!(head.contains(&r#"pretty_name: "a: \"b\"\u000a---\u000a# c\u0085""#), "{head:?}");
    assert!(head.contains(&r#"- "x\u000a- y""#), "{head:?}");
    // Escaped characters have no effect.
    let active = card.replace("\\<", "").replace("\\]", "");
    assert!(!active.contains("<script") && !active.contains("<img") && !active.contains("](javascript"), "{card}");
}

#[test]
fn the_signature_covers_the_checksums_and_is_not_listed_in_them() {
    let folder = tempfile::tempdir().unwrap();
    create_store(&folder.path().join("labels"), &|_| (), 3);
    let sign = |list: &[u8]| Ok([b"signed: ", list].concat());
    let options = PublishOptions { sign: Some(&sign), ..options() };
    let release = built(&folder.path().join("labels"), &options);
    let target = folder.path().join("release");
    deliver_to(&release, &target).unwrap();
    let list = std::fs::read(target.join(CHECKSUMS)).unwrap();
    assert_eq!(std::fs::read(target.join(SIGNATURE)).unwrap(), [b"signed: ".as_slice(), &list].concat());
    assert!(!String::from_utf8(list).unwrap().contains(SIGNATURE));
    assert_eq!(release.files.last().unwrap().path, CHECKSUMS);
    verify_checksums(&target);
}

fn deliver_to(release: &Release, folder: &Path) -> Result<Delivery, Error> {
    let destination = FolderDestination::new(folder.to_path_buf(), LinkMode::Copy);
    let callbacks = DeliveryCallbacks { on_progress: &|_| (), should_stop: &|| false };
    deliver(&release.files, &destination, Existing::Keep, NonZeroUsize::MIN, &callbacks)
}

#[test]
fn an_interrupted_delivery_is_recognised_and_resumed() {
    let folder = tempfile::tempdir().unwrap();
    create_store(&folder.path().join("labels"), &|_| (), 3);
    let mut release = built(&folder.path().join("labels"), &options());
    let target = folder.path().join("release");
    // A file of the store that changes meanwhile interrupts the delivery.
    let scores = folder.path().join("labels/scores/c.1.0.0.0");
    let kept = std::fs::read(&scores).unwrap();
    std::fs::write(&scores, "other").unwrap();
    let failed = deliver_to(&release, &target).unwrap_err();
    assert!(failed.to_string().contains("scores/c.1.0.0.0 was read back"), "{failed}");
    assert!(target.join(MARKER).exists() && !target.join(CHECKSUMS).exists());
    std::fs::write(&scores, kept).unwrap();
    let delivered = deliver_to(&release, &target).unwrap();
    assert!(delivered.kept > 5 && delivered.sent > 1, "{delivered:?}");
    assert!(!target.join(MARKER).exists());
    verify_checksums(&target);
    // Another release is not written over this one.
    release.files.pop();
    assert!(deliver_to(&release, &target).is_err());
}

#[test]
fn the_picture_has_pixels_of_the_data_set_only_if_requested() {
    let folder = tempfile::tempdir().unwrap();
    small_photographs(&folder.path().join("in"), 4);
    let args = ["run", "--in", "in", "--out", "labels", "--input-size", "64", "--teacher"];
    Ran::of(relabel(folder.path()).args(args).arg(lite0())).expect(0);
    let card = || std::fs::read_to_string(folder.path().join("release/README.md")).unwrap();
    assert!(publish(folder.path(), &[]).expect(0).stdout.contains("no pixels of the data set"));
    assert!(card().contains("The picture contains no pixels from the source."));
    let with = ["--replace", "--picture", "n02123045/0000", "--image-root", "in"];
    assert!(publish(folder.path(), &with).expect(0).stdout.contains("pixels of the data set are in the release"));
    assert!(card().contains("The picture contains a photograph from the source."));
}

#[test]
fn a_large_summary_is_in_row_order_and_in_several_row_groups() {
    use parquet::file::metadata::RowGroupMetaData;
    use parquet::file::reader::{FileReader as _, SerializedFileReader};
    use parquet::record::RowAccessor as _;

    const MANY: usize = 60_000;
    let folder = tempfile::tempdir().unwrap();
    let labels = folder.path().join("labels");
    let entry =
        |row: usize| ManifestEntry { path: format!("n{row:08}/n{row:08}_{row}.jpg"), ..ManifestEntry::default() };
    let manifest = Manifest::from_entries((0..MANY).map(entry).collect()).unwrap();
    let info = StoreInfo {
        k: 5,
        map_size: Some(MapSize::new(1, 1).unwrap()),
        images: MANY,
        shard_images: 8_000,
        manifest_sha256: digest_bytes(&manifest_bytes(&manifest).unwrap()),
        classes: (&ClassList::unnamed(1000)).into(),
        ..synthetic_store::info()
    };
    let mut random = SplitMix64::new(1);
    let mut image = |map_size: MapSize| {
        let first = (random.next_u64() % 990) as i32;
        let mut values: Vec<f32> = (0..5).map(|_| (random.next_u64() % 4096) as f32 / 4096.0).collect();
        values.sort_by(|a, b| b.total_cmp(a));
        let classes: Vec<i32> = (first..first + 5).collect();
        let scores: Vec<f32> = values.iter().map(|value| value * 20.0).collect();
        ImageLabels::new(
            LabelMap::from_cells(&scores, &classes, 5, map_size, ScoreRounding::Float16).unwrap(),
            ImagePrediction::from_ranks(&values, &classes).unwrap(),
        )
    };
    let store = StoreWriter::create(&labels, info, &manifest, WriterOptions::default()).unwrap();
    // The first shard of the second group is not labelled.
    for shard in (0..store.info().shards()).filter(|shard| *shard != 6) {
        let images = store.info().shard_rows(shard).map(|_| Ok(image(store.info().map_size.unwrap()))).collect();
        let shard = ShardLabels { shard, images };
        let files = encode_shard(store.info(), &shard).unwrap();
        store.commit(&shard, &files, Agreement::default()).unwrap();
    }
    let release = built(&labels, &PublishOptions { completeness: Completeness::PartialAllowed, ..options() });
    let summary = release.files.iter().find(|file| file.path == "summary.parquet").unwrap();
    eprintln!("{} bytes of summary per image", summary.bytes as f64 / MANY as f64);
    let FileContent::Memory(bytes) = summary.content.clone() else { panic!("the summary is in memory") };
    let table = SerializedFileReader::new(bytes::Bytes::from(bytes)).unwrap();
    let groups: Vec<i64> = table.metadata().row_groups().iter().map(RowGroupMetaData::num_rows).collect();
    assert_eq!(groups, [50_000, 10_000]);
    for (at, row) in table.get_row_iter(None).unwrap().enumerate() {
        let row = row.unwrap();
        assert_eq!((row.get_long(0).unwrap(), row.get_string(1).unwrap().as_str()), (at as i64, manifest.id(at)));
        let is_to_do = (48_000..56_000).contains(&at);
        assert_eq!(row.get_string(4).unwrap(), if is_to_do { "to-do" } else { "not-compared" }, "row {at}");
        assert_eq!(row.get_list(6).is_ok(), !is_to_do, "row {at}");
    }
}

/// Makes a synthetic store of ten images with the first `shards` of its three shards. The failure reason of row 5 contains
/// a path.
fn create_store(path: &Path, change: &dyn Fn(&mut StoreInfo), shards: usize) {
    let entry = |row: usize| ManifestEntry {
        path: format!("c/{row}.jpg"),
        folder_class: (row != 0).then(|| format!("{}", row % 3)),
        ..ManifestEntry::default()
    };
    let manifest = Manifest::from_entries((0..IMAGES).map(entry).collect()).unwrap();
    let mut info = synthetic_store::info();
    info.manifest_sha256 = digest_bytes(&manifest_bytes(&manifest).unwrap());
    change(&mut info);
    let store = StoreWriter::create(path, info, &manifest, WriterOptions::default()).unwrap();
    for shard in 0..shards {
        let mut labels = synthetic_store::shard_labels(store.info(), shard);
        for failed in labels.images.iter_mut().filter_map(|image| image.as_mut().err()) {
            failed.error.reason = "cannot read /home/me/photos/5.jpg".into();
        }
        let files = encode_shard(store.info(), &labels).unwrap();
        store.commit(&labels, &files, Agreement::default()).unwrap();
    }
    let note = json!({
        "started": "2026-11-23T10:00:00Z",
        "finished": "2026-11-23T11:00:00Z",
        "devices": ["cpu"],
        "threads": 2,
        "onnxruntime": "built in /home/me/onnxruntime",
        "images": IMAGES,
        "seconds": 3600.0,
    });
    store.write_run_note("2026-11-23T100000Z-1", note.as_object().unwrap().clone()).unwrap();
}

/// Runs `relabel publish labels --to release` in `folder`, with a licence.
fn publish(folder: &Path, args: &[&str]) -> Ran {
    Ran::of(relabel(folder).args(["publish", "labels", "--to", "release", "--license", "CC-BY-4.0"]).args(args))
}

fn options<'a>() -> PublishOptions<'a> {
    PublishOptions {
        name: None,
        licence: Licence::from_id("CC-BY-4.0").unwrap(),
        source_terms: None,
        source_dataset: None,
        hub_repo: None,
        evaluation: None,
        completeness: Completeness::Required,
        depth: Depth::Files,
        picture: OverviewPicture::Automatic,
        hub_limits: HubLimits::Enforced,
        tool: ToolVersion { version: "0".into(), commit: None },
        sign: None,
    }
}

fn built(store: &Path, options: &PublishOptions<'_>) -> Release {
    build_release(&StoreReader::open(store).unwrap(), options, &|_| (), &NoopMonitor).unwrap()
}

/// Checks that `sha256sum -c` passes and lists every file except the list and its signature.
fn verify_checksums(release: &Path) {
    let ran = Ran::of(hermetic("sha256sum").args(["-c", "--strict", CHECKSUMS]).current_dir(release)).expect(0);
    let own: Vec<PathBuf> = [CHECKSUMS, SIGNATURE].iter().map(PathBuf::from).collect();
    for (path, _) in store_bytes(release).iter().filter(|(path, _)| !own.contains(path)) {
        assert!(ran.stdout.contains(&format!("{}: OK", path.display())), "{} is listed", path.display());
    }
}

fn read_json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn the_publish_page_lists_every_file() {
    let page = std::fs::read_to_string(repository("docs/guide/publish.md")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    create_store(&folder.path().join("labels"), &|_| (), 3);
    for file in built(&folder.path().join("labels"), &options()).files {
        let name = file.path.split('/').next().unwrap();
        assert!(page.contains(&format!("`{name}")), "{name} is listed");
    }
}
