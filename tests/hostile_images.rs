use std::collections::BTreeSet;
use std::path::Path;
use std::process::Child;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::common::{LabelRun, Ran, python, repository, run, small_photographs};

const MEMORY_BYTES: u64 = 1 << 30;
const TIME: Duration = Duration::from_mins(1);

#[test]
fn a_run_over_hostile_images_stays_within_memory_and_time() {
    let folder = tempfile::tempdir().unwrap();
    hostile_images(&folder.path().join("in"));
    let started = Instant::now();
    let mut command = LabelRun::new(folder.path()).small_shards().command();
    let mut child = command.args(["--threads", "2", "--json"]).spawn().unwrap();
    let mut max_bytes = 0;
    let status = loop {
        max_bytes = max_bytes.max(peak_memory_bytes(&child));
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        sleep(Duration::from_millis(5));
    };
    assert_eq!(status.code(), Some(3));
    assert!(max_bytes > 0 && max_bytes < MEMORY_BYTES, "{max_bytes} bytes");
    assert!(started.elapsed() < TIME, "{:?}", started.elapsed());

    let store = folder.path().join("out").display().to_string();
    let status = run(&["status", &store, "--json"]).expect(0).json();
    let failed = status["failed_images"].as_array().unwrap();
    let name = |failed: &serde_json::Value| failed["path"].as_str().unwrap().to_owned();
    let too_large: BTreeSet<_> = failed.iter().filter(|failed| failed["kind"] == "too-large").map(name).collect();
    for path in ["line-rgba16.png", "square-rgba16.png", "scans-large.jpg", "many-profiles.png", "square.webp"] {
        assert!(too_large.contains(path), "{path}: {too_large:?}");
    }
    let failed: BTreeSet<_> = failed.iter().map(name).collect();
    for path in ["scans-small.jpg", "scans-within-limits.jpg", "large.jpg", "large-bits.png", "pixels-go-on.png"] {
        assert!(!failed.contains(path), "{path} is expensive, but within the limits: {failed:?}");
    }
}

#[test]
fn an_image_that_kills_the_process_twice_is_recorded_as_failed() {
    let folder = tempfile::tempdir().unwrap();
    small_photographs(&folder.path().join("in"), 8);
    hostile_images(&folder.path().join("hostile"));
    let (large, in_its_place) = ("hostile/large-bits.png", "in/n02123045/0002.JPEG");
    std::fs::copy(folder.path().join(large), folder.path().join(in_its_place)).unwrap();
    let start = || LabelRun::new(folder.path()).small_shards().command().args(["--threads", "1"]).spawn().unwrap();
    for _ in 0..2 {
        let mut child = start();
        wait_until_it_decodes(&folder.path().join("out"), 2, &mut child);
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let third = LabelRun::new(folder.path()).small_shards().run().expect(3);
    assert!(third.stderr.contains("crashed while decoding n02123045/0002.JPEG"), "{}", third.stderr);
    let store = folder.path().join("out").display().to_string();
    let status = run(&["status", &store, "--json"]).expect(0).json();
    assert_eq!((&status["labelled"], &status["failed"]), (&7.into(), &1.into()));
    assert_eq!(status["failed_images"][0]["path"], "n02123045/0002.JPEG");
    assert_eq!(status["failed_images"][0]["kind"], "crashed");
    run(&["verify", &store, "--full"]).expect(0);

    // The image is only large. A retry labels it, and no traces of the crashes are left.
    Ran::of(LabelRun::new(folder.path()).small_shards().command().arg("--retry-failed")).expect(0);
    assert!(!folder.path().join("out/.in-flight").exists());
    let unbroken = LabelRun::new(folder.path()).small_shards().out("unbroken").run().expect(0);
    assert!(!unbroken.stderr.contains("crashed while decoding"));
    let bytes = |store: &str| crate::common::store_bytes(&folder.path().join(store));
    assert!(bytes("out") == bytes("unbroken"));
}

/// Waits until a run decodes a row that takes enough memory for a crash to count.
fn wait_until_it_decodes(store: &Path, row: u64, child: &mut Child) {
    const COUNTED_BYTES: u64 = 64 << 20;
    let started = Instant::now();
    let read = || std::fs::read_to_string(store.join(".in-flight/0-of-1")).unwrap_or_default();
    let previous_notes = read();
    let decodes = |notes: String| {
        notes != previous_notes
            && notes.lines().skip(1).any(|line| {
                let numbers: Vec<u64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
                matches!(*numbers, [noted, _, bytes] if noted == row + 1 && bytes >= COUNTED_BYTES)
            })
    };
    while !decodes(read()) {
        assert!(started.elapsed() < Duration::from_mins(1) && child.try_wait().unwrap().is_none());
        sleep(Duration::from_millis(1));
    }
}

fn hostile_images(folder: &Path) {
    python(&repository("tests/python/hostile_images.py"), &[&folder.display().to_string()]).expect(0);
}

/// Peak memory of a process so far; 0 if it has ended.
fn peak_memory_bytes(child: &Child) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok()).unwrap_or(0) << 10
}
