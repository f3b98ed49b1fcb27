use std::path::Path;
use std::process::{Command, Stdio};

use relabel::shared::store::{RowState, StoreReader};

use crate::common::{LabelRun, Ran, data, hermetic, lite0, relabel, repository, run, small_photographs};

const COMMANDS: [&str; 18] = [
    "",
    "run",
    "status",
    "verify",
    "inspect",
    "report",
    "audit",
    "evaluate",
    "calibrate",
    "compare",
    "teacher",
    "merge",
    "publish",
    "import",
    "export",
    "export-teacher",
    "demo",
    "completions",
];

/// Help of a command, or of the program, on a terminal of 100 columns.
fn help(command: &str, flag: &str) -> String {
    let mut relabel = relabel(&repository(""));
    Ran::of(relabel.env("COLUMNS", "100").args(Some(command).filter(|name| !name.is_empty())).arg(flag))
        .expect(0)
        .stdout
}

#[test]
fn short_help_fits_one_screen() {
    for command in COMMANDS {
        let short = help(command, "-h");
        assert!(short.lines().count() <= 40, "{command}: {} lines\n{short}", short.lines().count());
        assert!(short.lines().all(|line| line.chars().count() <= 100), "{short}");
        assert!(!short.contains("Examples:"), "{short}");
    }
}

#[test]
fn long_help_has_examples_and_a_heading_for_each_option() {
    for command in COMMANDS {
        let long = help(command, "--help");
        assert!(long.contains("\nExamples:\n  relabel "), "{command}: {long}");
        assert!(!long.contains("\nOptions:"), "{command} has options without a heading: {long}");
        for short in help(command, "-h").lines().filter_map(|line| line.trim_start().strip_prefix("--")) {
            let flag = short.split([' ', '.']).next().unwrap();
            assert!(long.contains(&format!("--{flag}")), "{command}: --{flag} is only in the short help");
        }
    }
    assert!(run(&["--version"]).expect(0).stdout.starts_with("relabel 0."));
}

#[test]
fn global_options_come_last() {
    let global = ["--json", "--log-format", "-v,", "-q,", "-h,", "-V,"];
    for command in COMMANDS {
        let long = help(command, "--help");
        let (_, last) = long.split_once("\nGlobal options:\n").unwrap();
        let (last, _) = last.split_once("\nExamples:\n").unwrap();
        let flags: Vec<_> = last.lines().map(str::trim_start).filter(|line| line.starts_with('-')).collect();
        let flags: Vec<_> =
            flags.iter().filter_map(|line| line.split(' ').next()).filter(|flag| *flag != "-").collect();
        let expected = if command.is_empty() { &global[..] } else { &global[..5] };
        assert_eq!(flags, expected, "{command}");
    }
}

#[test]
fn json_is_one_document_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("labels").display().to_string();
    let (images, teacher) = (data("golden/images").display().to_string(), lite0().display().to_string());
    let run_args = ["run", "--teacher", &teacher, "--in", &images, "--out", &store, "--json"];
    let summary = run(&run_args).expect(3).json();
    assert_eq!((&summary["images"], &summary["labelled"], &summary["failed"]), (&27.into(), &22.into(), &5.into()));
    let status = run(&["status", &store, "--json"]).expect(0).json();
    for (key, value) in [("images", 27), ("labelled", 22), ("failed", 5), ("shards_total", 1), ("shards_done", 1)] {
        assert_eq!(status[key], value, "{key}");
    }
    assert!(status["bytes_per_image"].as_f64().unwrap() > 100.0);
    let espresso = run(&["inspect", &store, "coffee", "--json"]).expect(0).json();
    assert_eq!(espresso["regions"][0]["name"], "espresso");
    assert_eq!(espresso["prediction"][0]["class"], 967);
    assert_eq!(run(&["teacher", &teacher, "--json"]).expect(0).json()["verification"]["verified"], true);
    let error = run(&["status", "/nowhere", "--json"]).expect(1);
    assert!(error.json()["error"].as_str().unwrap().contains("/nowhere"));
    assert!(error.stderr.contains("/nowhere"));
}

#[test]
fn failed_images_are_recorded_and_do_not_affect_their_neighbours() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("labels");
    let ran = run(&[
        "run",
        "--teacher",
        "models/efficientnet-lite0.onnx",
        "--in",
        "tests/data/golden/images",
        "--out",
        store.to_str().unwrap(),
    ]);
    assert!(ran.expect(3).stdout.contains("failed   5, most often: truncated (2)"));
    let failed = run(&["status", store.to_str().unwrap(), "--failed"]).expect(0).stdout;
    for line in [
        "bad/empty.JPEG\tempty:",
        "bad/text.JPEG\tnot-an-image:",
        "bad/truncated_half.JPEG\ttruncated:",
        "bad/corrupt_header.JPEG\tbroken:",
    ] {
        assert!(failed.contains(line), "{line} in {failed}");
    }
    let reader = StoreReader::open(&store).unwrap();
    assert!(matches!(reader.row(1).unwrap(), RowState::Failed(failed) if failed.path == "bad/empty.JPEG"));
    // Labelled alone, the neighbour of the broken files gets the same labels.
    let alone = folder.path().join("alone");
    std::fs::create_dir(&alone).unwrap();
    std::fs::copy(data("golden/images/bad/noise_in_scan.JPEG"), alone.join("x.JPEG")).unwrap();
    LabelRun::new(folder.path()).source("alone").out("alone.labels").args(&["--input-size", "224"]).run().expect(0);
    let RowState::Labelled(alone) = StoreReader::open(&folder.path().join("alone.labels")).unwrap().row(0).unwrap()
    else {
        panic!("the one image is labelled")
    };
    let RowState::Labelled(among) = reader.row(2).unwrap() else { panic!("row 2 is labelled") };
    assert_eq!(alone.label_map().unwrap().cell_classes(), among.label_map().unwrap().cell_classes());
}

#[test]
fn the_same_command_again_finds_nothing_to_do() {
    let folder = tempfile::tempdir().unwrap();
    small_photographs(&folder.path().join("in"), 12);
    LabelRun::new(folder.path()).run().expect(0);
    let again = LabelRun::new(folder.path()).run().expect(0);
    assert!(again.stdout.contains("nothing left to do"), "{}", again.stdout);
}

#[test]
fn another_teacher_card_k_or_manifest_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    small_photographs(&folder.path().join("in"), 12);
    small_photographs(&folder.path().join("elsewhere/deeper"), 3);
    std::fs::write(folder.path().join("list.csv"), "path\nn02123045/0000.JPEG\n").unwrap();
    LabelRun::new(folder.path()).run().expect(0);
    let before = crate::common::store_bytes(&folder.path().join("out"));
    let cases: &[(&str, &[&str], &[&str])] = &[
        ("in", &["--mean", "0.4,0.5,0.5"], &["card, mean", "[0.5,0.5,0.5]", "[0.4,0.5,0.5]"]),
        ("in", &["--filter", "bicubic"], &["card, filter", "bilinear", "bicubic"]),
        ("in", &["--top-k", "3"], &["top-k: 5 in the store, 3 requested"]),
        ("in", &["--limit", "4"], &["limit: none in the store, 4 requested"]),
        ("in", &["--manifest", "list.csv"], &["manifest: 12 images there, 1 here"]),
        ("in", &["--score-steps", "8"], &["score steps: none in the store, 8 requested"]),
        ("in", &["--batch", "3"], &["batch: 16 in the store, 3 requested"]),
        ("in", &["--shard-size", "5"], &["shard size"]),
        ("elsewhere", &[], &["manifest: of a sample of 12 images", "0 are in"]),
    ];
    for (source, args, expected) in cases {
        let refused = LabelRun::new(folder.path()).source(source).args(args).run().expect(1);
        for text in *expected {
            assert!(refused.stderr.contains(text), "{args:?}: {text} in {}", refused.stderr);
        }
    }
    let larger = LabelRun::new(folder.path()).args(&["--input-size", "96"]).run().expect(1);
    assert!(larger.stderr.contains("card, input_size: [64,64] in the store, [96,96] requested"), "{}", larger.stderr);
    let mut other = std::fs::read(lite0()).unwrap();
    other.extend([0x12, 0x01, b'x']); // producer_name: the same weights in a different file
    std::fs::write(folder.path().join("other.onnx"), other).unwrap();
    std::fs::copy(lite0().with_extension("toml"), folder.path().join("other.toml")).unwrap();
    let teacher = Ran::of(relabel(folder.path()).args([
        "run",
        "--teacher",
        "other.onnx",
        "--in",
        "in",
        "--out",
        "out",
        "--input-size",
        "64",
    ]));
    assert!(teacher.expect(1).stderr.contains("teacher: efficientnet-lite0 (sha256"));
    assert!(before == crate::common::store_bytes(&folder.path().join("out")), "a refused run changes nothing");
}

#[test]
fn another_format_version_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    small_photographs(&folder.path().join("in"), 2);
    LabelRun::new(folder.path()).run().expect(0);
    let group = folder.path().join("out/zarr.json");
    let text = std::fs::read_to_string(&group).unwrap().replace("\"format_version\": 1", "\"format_version\": 99");
    std::fs::write(&group, text).unwrap();
    for refused in [Ran::of(relabel(folder.path()).args(["status", "out"])), LabelRun::new(folder.path()).run()] {
        let refused = refused.expect(1);
        assert!(
            refused.stderr.contains("format version 99") && refused.stderr.contains("versions 1 and 2"),
            "{}",
            refused.stderr
        );
    }
}

#[test]
fn a_store_contains_no_local_path() {
    let folder = tempfile::tempdir().unwrap();
    small_photographs(&folder.path().join("in"), 4);
    LabelRun::new(folder.path()).run().expect(0);
    let local_paths = [folder.path().display().to_string(), repository("").display().to_string()];
    for entry in walkdir::WalkDir::new(folder.path().join("out"))
        .into_iter()
        .map(Result::unwrap)
        .filter(|entry| entry.file_type().is_file())
    {
        let text = String::from_utf8_lossy(&std::fs::read(entry.path()).unwrap()).into_owned();
        assert!(
            !local_paths.iter().any(|path| text.contains(path.trim_end_matches('/'))),
            "{}",
            entry.path().display()
        );
    }
}

#[test]
fn a_shard_with_missing_files_is_labelled_again() {
    let folder = tempfile::tempdir().unwrap();
    small_photographs(&folder.path().join("in"), 12);
    LabelRun::new(folder.path()).args(&["--shard-size", "4"]).run().expect(0);
    let original = crate::common::store_bytes(&folder.path().join("out"));
    std::fs::remove_file(folder.path().join("out/scores/c.1.0.0.0")).unwrap();
    std::fs::write(folder.path().join("out/classes/c.2.0.0.0"), b"short").unwrap();
    LabelRun::new(folder.path()).args(&["--shard-size", "4"]).run().expect(0);
    assert!(original == crate::common::store_bytes(&folder.path().join("out")));
}

#[test]
fn a_manifest_sets_images_and_order() {
    let folder = tempfile::tempdir().unwrap();
    small_photographs(&folder.path().join("in"), 6);
    std::fs::write(
        folder.path().join("in/ü b.JPEG"),
        std::fs::read(data("golden/images/odd/tiny_33x47.JPEG")).unwrap(),
    )
    .unwrap();
    let list = "path,label,id\nn07920052/0005.JPEG,n07920052,last\nn02123045/gone.JPEG,,\nü b.JPEG,,\n";
    std::fs::write(folder.path().join("list.csv"), list).unwrap();
    LabelRun::new(folder.path()).args(&["--manifest", "list.csv"]).run().expect(3);
    let reader = StoreReader::open(&folder.path().join("out")).unwrap();
    let manifest = reader.manifest().unwrap();
    let ids: Vec<_> = (0..manifest.len()).map(|row| manifest.id(row)).collect();
    assert_eq!(ids, ["last", "n02123045/gone", "ü b"]);
    assert!(
        matches!(reader.row(1).unwrap(), RowState::Failed(failed) if failed.error.to_string().starts_with("unreadable"))
    );
    // The manifest of a store is accepted as well.
    LabelRun::new(folder.path()).out("copy").args(&["--manifest", "out/manifest.parquet"]).run().expect(3);
    let outside = "path\n../../etc/passwd\n";
    std::fs::write(folder.path().join("list.csv"), outside).unwrap();
    assert!(
        LabelRun::new(folder.path())
            .out("x")
            .args(&["--manifest", "list.csv"])
            .run()
            .expect(1)
            .stderr
            .contains("row 0")
    );
}

#[test]
fn invalid_arguments_are_refused_before_work_begins() {
    let folder = tempfile::tempdir().unwrap();
    small_photographs(&folder.path().join("in"), 2);
    std::fs::create_dir(folder.path().join("full")).unwrap();
    std::fs::write(folder.path().join("full/thesis.txt"), "mine").unwrap();
    std::fs::create_dir(folder.path().join("empty")).unwrap();
    let cases: &[(&str, &str, &[&str], i32, &str)] = &[
        ("in", "full", &[], 1, "not empty (it contains `thesis.txt`)"),
        ("nowhere", "out", &[], 1, "nowhere"),
        ("empty", "out", &[], 1, "contains no images"),
        ("in", "out", &["--device", "gpu"], 2, "is not a device"),
        ("in", "out", &["--top-k", "1001"], 2, "1000 classes"),
        ("in", "out", &["--score-steps", "9"], 2, "power of two"),
        ("in", "out", &["--std", "0,1,1"], 1, "positive"),
        ("in", "out", &["--classes", "nowhere.txt"], 1, "nowhere.txt"),
        ("in", "out", &["--onnxruntime", "/nowhere.so"], 1, "pip install onnxruntime"),
    ];
    for (source, out, args, code, expected) in cases {
        let refused = LabelRun::new(folder.path()).source(source).out(out).args(args).run().expect(*code);
        assert!(refused.stderr.contains(expected), "{args:?}: {}", refused.stderr);
        assert!(refused.stdout.is_empty(), "{args:?}");
    }
    assert!(!folder.path().join("out").exists(), "nothing was created");
    assert_eq!(std::fs::read_to_string(folder.path().join("full/thesis.txt")).unwrap(), "mine");
}

#[test]
fn without_onnx_runtime_the_install_command_is_printed() {
    let folder = tempfile::tempdir().unwrap();
    let environment = folder.path().join("environment");
    std::fs::create_dir_all(environment.join("bin")).unwrap();
    std::fs::create_dir_all(environment.join("lib/python3.12/site-packages/pip")).unwrap();
    std::fs::write(environment.join("bin/python3"), "").unwrap();
    let [alone, installed] = [folder.path().join("relabel"), environment.join("bin/relabel")];
    std::fs::copy(env!("CARGO_BIN_EXE_relabel"), &alone).unwrap();
    std::fs::hard_link(&alone, &installed).unwrap();
    // Links, such as those of pipx, lead to the program.
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&installed, &link).unwrap();
    let message = |program: &Path, device: &str| {
        let mut command = hermetic(program);
        command
            .current_dir(folder.path())
            .env_remove("VIRTUAL_ENV")
            .env("PATH", "/nowhere")
            .arg("teacher")
            .arg(lite0());
        Ran::of(command.args(["--device", device])).expect(1).stderr
    };
    let of_the_path = message(&alone, "cpu");
    assert!(of_the_path.contains("    python3 -m pip install onnxruntime\n"), "{of_the_path}");
    let python = environment.join("bin/python3").canonicalize().unwrap();
    for program in [&installed, &link] {
        let for_cpu = message(program, "cpu");
        assert!(for_cpu.contains(&format!("    {} -m pip install onnxruntime\n", python.display())), "{for_cpu}");
    }
    let for_cuda = message(&installed, "cuda");
    let install = format!("    {} -m pip install 'onnxruntime-gpu[cuda,cudnn]'\n", python.display());
    assert!(for_cuda.contains(&install), "{for_cuda}");
}

#[test]
fn a_teacher_without_a_card_uses_the_defaults_with_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    small_photographs(&folder.path().join("in"), 2);
    std::fs::copy(lite0(), folder.path().join("net.onnx")).unwrap();
    let args = ["run", "--teacher", "net.onnx", "--in", "in", "--input-size", "64"];
    let warned = Ran::of(relabel(folder.path()).args(args)).expect(0);
    assert!(warned.stderr.contains("has no card") && warned.stderr.contains("0.485"), "{}", warned.stderr);
    assert!(folder.path().join("in.net.labels/zarr.json").is_file(), "the default store is in the working directory");
    let quiet = Ran::of(relabel(folder.path()).args(args).arg("--quiet")).expect(0);
    assert!(quiet.stderr.is_empty(), "{}", quiet.stderr);
}

#[test]
fn agreement_below_one_percent_warns_what_to_check() {
    let folder = tempfile::tempdir().unwrap();
    let tiny = std::fs::read(data("golden/images/odd/tiny_33x47.JPEG")).unwrap();
    std::fs::create_dir_all(folder.path().join("in/n01440764")).unwrap();
    for number in 0..520 {
        std::fs::write(folder.path().join(format!("in/n01440764/{number}.JPEG")), &tiny).unwrap();
    }
    let warned = LabelRun::new(folder.path()).run().expect(0);
    assert!(warned.stderr.contains("check mean, std, channel_order"), "{}", warned.stderr);
    assert!(warned.stdout.contains("agrees   with the folder class in 0.0 %"), "{}", warned.stdout);
}

#[test]
fn a_second_writer_is_refused_with_the_first_ones_process_id() {
    let folder = tempfile::tempdir().unwrap();
    small_photographs(&folder.path().join("in"), 400);
    let add_args = |command: &mut Command| {
        command
            .args(["run", "--in", "in", "--out", "out", "--input-size", "128", "--shard-size", "8", "--teacher"])
            .arg(lite0());
    };
    let mut first = relabel(folder.path());
    add_args(&mut first);
    let mut first = first.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while !folder.path().join("out/records/000000.json").exists() {
        assert!(first.try_wait().unwrap().is_none(), "the first run has ended");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let second = LabelRun::new(folder.path()).args(&["--input-size", "128", "--shard-size", "8"]).run();
    first.kill().unwrap();
    first.wait().unwrap();
    assert!(second.expect(1).stderr.contains(&format!("being written by process {}", first.id())));
}

#[test]
fn a_closed_pipe_does_not_panic() {
    let folder = tempfile::tempdir().unwrap();
    let script = format!("'{}' run --help | head -1", env!("CARGO_BIN_EXE_relabel"));
    let ran = Ran::of(hermetic("bash").args(["-o", "pipefail", "-c", &script]).current_dir(folder.path()));
    assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
}

#[test]
fn unknown_images_get_similar_names() {
    let folder = tempfile::tempdir().unwrap();
    small_photographs(&folder.path().join("in"), 4);
    LabelRun::new(folder.path()).run().expect(0);
    let inspect = |image: &str| Ran::of(relabel(folder.path()).args(["inspect", "out", image]));
    assert!(inspect("N0212").expect(1).stderr.contains("similar names: n02123045/0000"));
    assert!(inspect("zebra").expect(1).stderr.contains("for example n02123045/0000"));
    assert!(inspect("3").expect(0).stdout.contains("n07920052/0003"));
}

#[test]
fn score_steps_round_scores_to_multiples() {
    let folder = tempfile::tempdir().unwrap();
    small_photographs(&folder.path().join("in"), 6);
    LabelRun::new(folder.path()).out("exact").args(&["--input-size", "224"]).run().expect(0);
    LabelRun::new(folder.path()).out("steps").args(&["--input-size", "224", "--score-steps", "8"]).run().expect(0);
    let open = |store: &str| StoreReader::open(&folder.path().join(store)).unwrap();
    let (exact, steps) = (open("exact"), open("steps"));
    assert_eq!(steps.info().score_steps, Some(8));
    for row in 0..6 {
        let (RowState::Labelled(a), RowState::Labelled(b)) = (exact.row(row).unwrap(), steps.row(row).unwrap()) else {
            panic!("row {row} is labelled")
        };
        assert_eq!(a.label_map().unwrap().cell_classes(), b.label_map().unwrap().cell_classes());
        for (a, b) in a.label_map().unwrap().cell_scores().iter().zip(b.label_map().unwrap().cell_scores()) {
            assert!((b.to_f32() * 8.0).fract().abs() < f32::EPSILON);
            assert!((a.to_f32() - b.to_f32()).abs() < 0.25);
        }
    }
}
