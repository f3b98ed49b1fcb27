use std::path::Path;

use relabel::labelling::teacher::RuntimeSearch;

use crate::common::{LabelRun, Ran, lite0, python, relabel, repository, small_photographs, store_bytes};

const IMAGES: usize = 22;

#[test]
fn two_sessions_on_one_device_write_the_same_bytes_as_one() {
    let folder = tempfile::tempdir().unwrap();
    small_photographs(&folder.path().join("in"), IMAGES);
    let run = |out: &str, args: &[&str]| {
        Ran::of(LabelRun::new(folder.path()).small_shards().out(out).command().args(args)).expect(0)
    };
    run("one", &["--threads", "1"]);
    run("two", &["--threads", "2", "--device", "cpu,cpu"]);
    assert!(store_bytes(&folder.path().join("one")) == store_bytes(&folder.path().join("two")));
    let args = ["--dry-run", "--json", "--device", "cpu,cpu", "--price-per-hour", "3"];
    let estimate = run("three", &args).json();
    // Both sessions are warmed up before measuring, so more batches are measured than for one; the price is that of one
    // device.
    assert_eq!(estimate["sample_images"], IMAGES);
    let number = |key: &str| estimate[key].as_f64().unwrap();
    assert!(number("hours") > 0.0);
    assert!((number("device_hours") / number("hours") - 1.0).abs() < 1e-9, "{estimate}");
    assert!((number("cost") / (3.0 * number("hours")) - 1.0).abs() < 1e-9, "{estimate}");
}

/// `make watchdog` repeats this 200 times with a load of eight processes.
#[test]
fn two_sessions_on_one_device_do_not_hang_under_load() {
    let program = env!("CARGO_BIN_EXE_relabel");
    let args = ["--program", program, "--runs", "3", "--load", "2"];
    let ran = python(&repository("tests/python/watchdog.py"), &args).expect(0);
    assert!(ran.stdout.contains("3 runs beside 2 processes") && ran.stdout.contains(" 0 bad"), "{}", ran.stdout);
}

#[test]
fn an_unusable_gpu_is_refused_before_work_begins() {
    let folder = tempfile::tempdir().unwrap();
    small_photographs(&folder.path().join("in"), 2);
    // The CPU build, even if this machine also has a GPU build.
    let run = |device: &str| {
        let mut command = LabelRun::new(folder.path()).small_shards().command();
        command.args(["--device", device, "--onnxruntime"]).arg(cpu_runtime());
        Ran::of(&mut command)
    };
    for (device, named) in [("cuda", "cuda:0"), ("cuda:1", "cuda:1"), ("cuda:0,cuda:1", "cuda:0")] {
        let refused = run(device).expect(1);
        for text in [&format!("device {named}: cannot be used"), "for the CPU", "onnxruntime-gpu"] {
            assert!(refused.stderr.contains(text), "{device}: {}", refused.stderr);
        }
        assert!(refused.stdout.is_empty() && !folder.path().join("out").exists());
    }
    let taken = run("auto").expect(0);
    assert!(taken.stderr.contains("CUDA is not available") && taken.stderr.contains("cpu"), "{}", taken.stderr);
}

#[test]
fn gpu_options_are_checked_first_and_require_a_gpu() {
    let folder = tempfile::tempdir().unwrap();
    small_photographs(&folder.path().join("in"), 2);
    for (args, expected) in [
        (&["--cuda", "nhwc"][..], "add --device cuda"),
        (&["--device", "cuda", "--cuda", "fast"], "`fast` is not a CUDA setting"),
        (&["--device", "cuda", "--cuda", "pinned,bound"], "pinned, bound and graph exclude each other"),
        (&["--device", "cpu,cuda"], "the CPU and a GPU cannot be used together"),
        (&["--price-per-hour", "2"], "--dry-run"),
        (&["--dry-run", "--price-per-hour", "cheap"], "expected an amount"),
    ] {
        let refused = Ran::of(LabelRun::new(folder.path()).small_shards().command().args(args)).expect(2);
        assert!(refused.stderr.contains(expected), "{args:?}: {}", refused.stderr);
    }
    assert!(!folder.path().join("out").exists());
}

#[test]
fn the_device_of_every_node_is_reported() {
    let teacher = lite0();
    let args = ["teacher", teacher.to_str().unwrap(), "--input-size", "64", "--json"];
    let described = Ran::of(relabel(&repository("")).args(args)).expect(0).json();
    let placement = &described["placement"];
    // Lite0 has 49 convolutions.
    assert!(placement["nodes"].as_u64().unwrap() > 49, "{placement}");
    assert_eq!((&placement["elsewhere"], &placement["copies"]), (&serde_json::json!([]), &0.into()));
    let output = Ran::of(relabel(&repository("")).args(&args[..4])).expect(0).stdout;
    assert!(output.contains("nodes after optimisation, all on cpu"), "{output}");
}

fn cpu_runtime() -> impl AsRef<Path> + AsRef<std::ffi::OsStr> {
    RuntimeSearch { python_environments: vec![repository(".venv")], ..RuntimeSearch::default() }.find().unwrap()
}
