use std::collections::{BTreeMap, HashMap};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use half::f16;
use relabel::shared::classes::ClassList;
use relabel::shared::digest::digest_bytes;
use relabel::shared::error::{Error, ImageError, ImageErrorKind};
use relabel::shared::store::{CellOrder, Depth, ImportedDtype, RankAxis, RowState, StoreReader, verify};
use relabel::training::exchange::{FileLayout, Import, PublishedFiles, class_list, list_files};
use tempfile::TempDir;

use crate::common::{Ran, hermetic, lite0, relabel, repository, run, small_photographs, store_bytes};

const FILES: usize = 10;
const LENGTHS: [usize; 3] = [2, 3, 4];

fn published() -> PublishedFiles {
    PublishedFiles {
        teacher_name: "imported".into(),
        files_sha256: digest_bytes(b"files"),
        layout: FileLayout::new(LENGTHS, RankAxis::First, CellOrder::Yx).unwrap(),
        dtype: ImportedDtype::Float32,
        classes: (&ClassList::imagenet_1k()).into(),
        origins: BTreeMap::from([("orientation".into(), "assumed".into())]),
        source: "files".into(),
        shard_images: 4,
    }
}

fn open(out: &Path, published: &PublishedFiles) -> Result<Import, Error> {
    let paths: Vec<String> = (0..FILES).map(|number| format!("n01440764/{number}.pt")).collect();
    let files = list_files(paths.iter().map(|path| (path.as_str(), 9000)))?;
    Import::open(out, published, files, "a test".into())
}

/// Values of a file `[2, 2, 3, 4]`: scores descending by rank, then class ids.
fn file_values(row: usize) -> Vec<f32> {
    let scores = (0..24).map(|at| 20.0 + row as f32 - (at / 12) as f32 * 5.0 + (at % 12) as f32 * 0.25);
    let ids = (0..24).map(|at| ((row * 31 + at * 7) % 1000) as f32);
    scores.chain(ids).collect()
}

/// Commits unlabelled shards. Row 5 cannot be read.
fn fill(import: &Import, shards: usize) {
    for &shard in import.to_do().iter().take(shards) {
        let rows = import.store().info().shard_rows(shard);
        let values: Vec<f32> = rows.clone().flat_map(file_values).collect();
        let failure = (5, ImageError { kind: ImageErrorKind::Empty, reason: "it has no bytes".into() });
        import.commit(shard, &values, &HashMap::from([failure])).unwrap();
    }
}

#[test]
fn an_imported_store_contains_the_values_of_its_files() {
    let folder = TempDir::new().unwrap();
    let store = folder.path().join("store");
    let import = open(&store, &published()).unwrap();
    assert!(import.is_new());
    fill(&import, usize::MAX);
    drop(import);

    let found = verify(&store, Depth::Values, &|_| ()).unwrap();
    assert!(found.problems.is_empty(), "{:?}", found.problems);
    assert_eq!((found.labelled, found.failed), (FILES - 1, 1));
    let reader = StoreReader::open(&store).unwrap();
    for row in 0..FILES {
        match reader.row(row).unwrap() {
            RowState::Labelled(labels) => {
                let values = file_values(row);
                let scores: Vec<f16> = values[..24].iter().map(|&score| f16::from_f32(score)).collect();
                let ids: Vec<u32> = values[24..].iter().map(|&id| id as u32).collect();
                assert_eq!(labels.label_map().unwrap().rank_planes(), (scores, ids));
            }
            RowState::Failed(failed) => assert_eq!((row, failed.path.as_str()), (5, "n01440764/5.pt")),
            RowState::ToDo => panic!("row {row} is not labelled"),
        }
    }
    let path = store.display().to_string();
    let status = run(&["status", &path, "--json"]).expect(0).json();
    assert_eq!((&status["labelled"], &status["agreement"]["compared"]), (&9.into(), &9.into()));
    let inspected = run(&["inspect", &path, "n01440764/3"]).expect(0).stdout;
    assert!(inspected.contains("3x4 cells"), "{inspected}");
}

#[test]
fn a_stopped_import_resumes_to_the_same_bytes() {
    let folder = TempDir::new().unwrap();
    let [complete, parts] = ["complete", "parts"].map(|name| folder.path().join(name));
    fill(&open(&complete, &published()).unwrap(), usize::MAX);
    for _ in 0..3 {
        fill(&open(&parts, &published()).unwrap(), 1);
    }
    let import = open(&parts, &published()).unwrap();
    assert!(import.to_do().is_empty() && !import.is_new());
    assert_eq!(store_bytes(&parts), store_bytes(&complete));
}

#[test]
fn an_import_with_different_settings_does_not_resume() {
    let folder = TempDir::new().unwrap();
    let store = folder.path().join("store");
    drop(open(&store, &published()).unwrap());
    let renamed = PublishedFiles { teacher_name: "effnet-l2".into(), origins: BTreeMap::new(), ..published() };
    drop(open(&store, &renamed).unwrap());
    let turned = FileLayout::new([2, 4, 3], RankAxis::First, CellOrder::Xy).unwrap();
    let others = [
        (PublishedFiles { layout: turned, ..published() }, "\"orientation\":\"xy\""),
        (PublishedFiles { files_sha256: digest_bytes(b"others"), ..published() }, "teacher: imported"),
        (PublishedFiles { dtype: ImportedDtype::Float16, ..published() }, "\"dtype\":\"float16\""),
        (PublishedFiles { classes: (&class_list("1000").unwrap()).into(), ..published() }, "class list: imagenet-1k"),
        (PublishedFiles { shard_images: 5, ..published() }, "shard size: 4 in the store, 5"),
    ];
    for (other, text) in others {
        let refusal = open(&store, &other).unwrap_err();
        assert!(matches!(refusal, Error::SettingsDiffer { .. }) && refusal.to_string().contains(text), "{refusal}");
    }
}

#[test]
fn class_ids_beyond_the_precision_of_the_dtype_are_refused() {
    let folder = TempDir::new().unwrap();
    let with = |classes: &str| PublishedFiles {
        classes: (&class_list(classes).unwrap()).into(),
        dtype: ImportedDtype::Float16,
        ..published()
    };
    open(&folder.path().join("a"), &with("2049")).unwrap();
    let refusal = open(&folder.path().join("b"), &with("2050")).unwrap_err().to_string();
    assert!(refusal.contains("only up to 2048"), "{refusal}");
    assert!(open(&folder.path().join("c"), &with("1")).unwrap_err().to_string().contains("2 classes in each cell"));
}

#[test]
fn a_run_does_not_resume_an_imported_store() {
    let folder = TempDir::new().unwrap();
    let (store, photographs) = (folder.path().join("store"), folder.path().join("photographs"));
    small_photographs(&photographs, 4);
    fill(&open(&store, &published()).unwrap(), usize::MAX);
    let before = store_bytes(&store);
    let [teacher, photographs, out] = [&lite0(), &photographs, &store].map(|path| path.display().to_string());
    let refusal = run(&["run", "--teacher", &teacher, "--in", &photographs, "--out", &out]).expect(1).stderr;
    assert!(refusal.contains("was created with different settings"), "{refusal}");
    assert_eq!(store_bytes(&store), before);
}

/// Creates a folder for `PYTHONPATH` with a package `relabel` that prints its arguments.
fn package(version: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    let package = folder.path().join("relabel");
    std::fs::create_dir(&package).unwrap();
    std::fs::write(package.join("__init__.py"), format!("__version__ = '{version}'\n")).unwrap();
    std::fs::write(package.join("_relabel.py"), "").unwrap();
    let main = "import json, sys\nprint(json.dumps(sys.argv[1:]))\nprint('output', file=sys.stderr)\nsys.exit(3)\n";
    std::fs::write(package.join("__main__.py"), main).unwrap();
    folder
}

fn import_with(python: &Path, packages: Option<&Path>, args: &[&str]) -> Ran {
    let mut command = relabel(&repository(""));
    command.args(args).arg("--python").arg(python).env_remove("PYTHONPATH");
    if let Some(packages) = packages {
        command.env("PYTHONPATH", packages);
    }
    Ran::of(&mut command)
}

const IMPORT: [&str; 4] = ["import", "maps", "--out", "store"];

/// A script that runs the project's Python without its installed packages.
fn python_without_packages(folder: &Path) -> PathBuf {
    let script = folder.join("python3");
    std::fs::write(&script, format!("#!/bin/sh\nexec {} -S \"$@\"\n", project_python().display())).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    script
}

fn project_python() -> PathBuf {
    repository(".venv/bin/python")
}

#[test]
fn a_missing_or_incomplete_python_is_reported_with_help() {
    let nowhere = Path::new("/nowhere/python3");
    let folder = tempfile::tempdir().unwrap();
    let bare = python_without_packages(folder.path());
    let output = import_with(nowhere, None, &IMPORT).expect(1).stderr;
    assert!(
        output.contains("cannot use Python /nowhere/python3: cannot start") && output.contains("RELABEL_PYTHON"),
        "{output}"
    );
    let output = import_with(&bare, None, &["export", "store", "--out", "maps"]).expect(1).stderr;
    assert!(output.contains("the package relabel is not installed\n  help: install the wheel of relabel"), "{output}");
    let ours = package(env!("CARGO_PKG_VERSION"));
    // A table of classes needs no PyTorch: this Python has the package, which starts and prints its arguments.
    let tsv = ["export", "store", "--out", "m", "--format", "multilabel-tsv", "--masks", "masks.json"];
    let output = import_with(&bare, Some(ours.path()), &tsv).expect(3).stderr;
    assert_eq!(output, "output\n");
    let output = import_with(&bare, Some(ours.path()), &IMPORT).expect(1).stderr;
    let install = format!("PyTorch is not installed\n  help: {} -m pip install torch", bare.display());
    assert!(output.contains(&install), "{output}");
    let other = package("0.0.1");
    let output = import_with(&bare, Some(other.path()), &IMPORT).expect(1).stderr;
    assert!(output.contains("the package relabel has version 0.0.1, this program has"), "{output}");
    let output = import_with(Path::new("/bin/false"), None, &[&IMPORT[..], &["--json"]].concat()).expect(1);
    assert!(output.json()["error"].as_str().unwrap().contains("cannot use Python /bin/false"));
}

#[test]
fn python_gets_the_arguments_and_its_output_and_exit_code_pass_through() {
    let folder = package(env!("CARGO_PKG_VERSION"));
    std::fs::write(folder.path().join("torch.py"), "").unwrap();
    let args = ["import", "./x maps", "--out=-y", "--map-size=9x12", "--json", "-vv", "--log-format=json"];
    let ran = import_with(&project_python(), Some(folder.path()), &args).expect(3);
    assert_eq!(ran.stderr, "output\n");
    let expected = [
        "import",
        "--out=-y",
        "--map-size=9x12",
        "--orientation=auto",
        "--rank-axis=auto",
        "--json",
        "--verbose",
        "--verbose",
        "--log-format=json",
        "--",
        "./x maps",
    ];
    assert_eq!(ran.json(), serde_json::json!(expected));
    let ran = import_with(&project_python(), Some(folder.path()), &["export", "s", "--out", "m", "--dtype", "float16"]);
    let expected = ["export", "--out=m", "--format=pt", "--dtype=float16", "--", "s"];
    assert_eq!(ran.expect(3).json(), serde_json::json!(expected));
    let args = ["export", "s", "--out", "m.tsv", "--format=multilabel-tsv", "--masks", "a b.json", "--min-prob=0.5"];
    let ran = import_with(&project_python(), Some(folder.path()), &[&args[..], &["--folder-class"]].concat());
    let expected = [
        "export",
        "--out=m.tsv",
        "--format=multilabel-tsv",
        "--dtype=float32",
        "--masks=a b.json",
        "--min-prob=0.5",
        "--folder-class",
        "--",
        "s",
    ];
    assert_eq!(ran.expect(3).json(), serde_json::json!(expected));
    let args = ["export-teacher", "resnet50", "--out=-net.onnx", "--checkpoint=a b.pth", "--num-classes=12", "--fixed"];
    let args =
        [&args[..], &["--input-size", "224", "--fp16", "--exporter", "dynamo", "--opset=18", "--force"]].concat();
    let ran = import_with(&project_python(), Some(folder.path()), &args);
    let expected = [
        "export-teacher",
        "--out=-net.onnx",
        "--checkpoint=a b.pth",
        "--num-classes=12",
        "--input-size=224x224",
        "--fixed",
        "--fp16",
        "--exporter=dynamo",
        "--opset=18",
        "--force",
        "--",
        "resnet50",
    ];
    assert_eq!(ran.expect(3).json(), serde_json::json!(expected));
    let args = ["export-teacher", "vit", "-o", "t.onnx", "--random-weights", "--global-pool=avg", "--dynamic", "-q"];
    let ran = import_with(&project_python(), Some(folder.path()), &[&args[..], &["--external-data"]].concat());
    let expected = [
        "export-teacher",
        "--out=t.onnx",
        "--random-weights",
        "--global-pool=avg",
        "--dynamic",
        "--external-data",
        "--exporter=auto",
        "--quiet",
        "--",
        "vit",
    ];
    assert_eq!(ran.expect(3).json(), serde_json::json!(expected));
}

/// Creates `bin/python3` in an environment: a script that passes the check of packages and prints the environment's name.
fn environment(folder: &Path, name: &str) -> PathBuf {
    let environment = folder.join(name);
    std::fs::create_dir_all(environment.join("bin")).unwrap();
    let script = environment.join("bin/python3");
    std::fs::write(&script, format!("#!/bin/sh\n[ \"$1\" = -c ] && echo ready || echo {name}\n")).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    environment
}

#[test]
fn the_python_of_the_programs_environment_comes_before_active_ones() {
    let folder = TempDir::new().unwrap();
    let [own, active, conda, path] = ["own", "active", "conda", "path"].map(|name| environment(folder.path(), name));
    let program = own.join("bin/relabel");
    std::fs::copy(env!("CARGO_BIN_EXE_relabel"), &program).unwrap();
    let chosen = || {
        let mut command = hermetic(&program);
        command.args(["export", "store", "--out", "maps"]).env("PATH", path.join("bin"));
        Ran::of(command.env("VIRTUAL_ENV", &active).env("CONDA_PREFIX", &conda)).expect(0).stdout
    };
    // The program's environment is used only if the package is installed there.
    assert_eq!(chosen(), "active\n");
    std::fs::create_dir_all(own.join("lib/python3.12/site-packages/relabel")).unwrap();
    assert_eq!(chosen(), "own\n");
    std::fs::remove_file(own.join("bin/python3")).unwrap();
    assert_eq!(chosen(), "active\n");
    std::fs::remove_file(active.join("bin/python3")).unwrap();
    assert_eq!(chosen(), "conda\n");
    std::fs::remove_file(conda.join("bin/python3")).unwrap();
    assert_eq!(chosen(), "path\n");
}

#[test]
fn invalid_arguments_are_refused_before_python_is_searched_for() {
    for args in [&["--map-size", "15"][..], &["--orientation", "up"], &["--shard-size", "0"]] {
        import_with(Path::new("/nowhere/python3"), None, &[&IMPORT[..], args].concat()).expect(2);
    }
    let tsv = ["--format", "multilabel-tsv"];
    for args in [&["--format", "csv"][..], &tsv, &["--min-prob", "0.5"], &["--folder-class"]] {
        import_with(Path::new("/nowhere/python3"), None, &[&["export", "store", "--out", "m"], args].concat())
            .expect(2);
    }
    let args = [&["export", "store", "--out", "m", "--masks", "m.json", "--min-prob", "2"], &tsv[..]].concat();
    let refused = import_with(Path::new("/nowhere/python3"), None, &args).expect(2).stderr;
    assert!(refused.contains("expected a probability from 0 to 1"), "{refused}");
    for (args, reason) in [
        (&["resnet18"][..], "--out <T.onnx>"),
        (&["resnet18", "-o", "net.pth"], "choose a file that ends in .onnx"),
        (&["resnet18", "-o", "net.onnx", "--num-classes", "12"], "--checkpoint <FILE>|--random-weights"),
        (&["resnet18", "-o", "net.onnx", "--checkpoint", "a.pth", "--random-weights"], "cannot be used with"),
        (&["resnet18", "-o", "net.onnx", "--dynamic", "--fixed"], "cannot be used with"),
        (&["resnet18", "-o", "net.onnx", "--input-size", "224x0"], "224x0"),
        (&["resnet18", "-o", "net.onnx", "--exporter", "fx"], "legacy"),
    ] {
        let args = [&["export-teacher"][..], args].concat();
        let refused = import_with(Path::new("/nowhere/python3"), None, &args).expect(2).stderr;
        assert!(refused.contains(reason), "{args:?}: {refused}");
    }
}
