use std::path::Path;
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::common::{LabelRun, small_photographs, store_bytes};

const IMAGES: usize = 160;
const KILLS: usize = 20;

#[test]
fn a_killed_run_resumes_to_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    prepare(folder.path(), IMAGES);
    std::fs::write(folder.path().join("in/n02123045/0007.JPEG"), b"").unwrap();
    let started = Instant::now();
    LabelRun::new(folder.path())
        .out("unbroken")
        .args(&["--batch=4", "--shard-size=8", "--tiles=tiles.csv", "--tile-maps"])
        .run()
        .expect(3);
    let duration = started.elapsed();

    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let (mut landed, mut kills) = (0, 0);
    while kills < KILLS {
        kills += 1;
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let share = (random >> 40) as f64 / f64::from(1 << 24);
        let mut child = start(folder.path(), "killed");
        sleep(duration.mul_f64(0.1 + 0.8 * share));
        landed += usize::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
        check_recorded_files_exist(&folder.path().join("killed"));
        if shards_done(&folder.path().join("killed")) == IMAGES / 8 {
            // The store is complete; the next kills need an unfinished one.
            std::fs::remove_dir_all(folder.path().join("killed")).unwrap();
        }
    }
    assert!(landed * 2 > KILLS, "only {landed} of {KILLS} kills hit a running program");
    LabelRun::new(folder.path())
        .out("killed")
        .args(&["--batch=4", "--shard-size=8", "--tiles=tiles.csv", "--tile-maps"])
        .run()
        .expect(3);
    assert_eq!(std::fs::read_dir(folder.path().join("killed/.staging/0-of-1")).unwrap().count(), 0);
    let (unbroken, killed) = (store_bytes(&folder.path().join("unbroken")), store_bytes(&folder.path().join("killed")));
    assert!(unbroken.len() > 4 * IMAGES / 8);
    for (a, b) in unbroken.iter().zip(&killed) {
        assert_eq!(a.0, b.0);
        assert!(a.1 == b.1, "{} differs", a.0.display());
    }
    assert_eq!(unbroken.len(), killed.len());
}

#[test]
fn an_interrupted_run_ends_soon_with_130_and_keeps_what_is_committed() {
    let folder = tempfile::tempdir().unwrap();
    prepare(folder.path(), 4 * IMAGES);
    for signal in ["-TERM", "-INT"] {
        let mut child = start(folder.path(), "out");
        let records = folder.path().join("out/records");
        let before = std::fs::read_dir(&records).map_or(0, Iterator::count);
        let started = Instant::now();
        while std::fs::read_dir(&records).map_or(0, Iterator::count) == before {
            assert!(started.elapsed() < Duration::from_mins(1) && child.try_wait().unwrap().is_none());
            sleep(Duration::from_millis(5));
        }
        std::process::Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
        let asked = Instant::now();
        let status = child.wait().unwrap();
        assert_eq!(status.code(), Some(130), "{signal}");
        assert!(asked.elapsed() < Duration::from_secs(5), "{signal} took {:?}", asked.elapsed());
        check_recorded_files_exist(&folder.path().join("out"));
        assert!(shards_done(&folder.path().join("out")) > before);
    }
}

/// Creates photographs, and the list of one tile.
fn prepare(folder: &Path, images: usize) {
    small_photographs(&folder.join("in"), images);
    std::fs::write(folder.join("tiles.csv"), "x0,y0,x1,y1\n0.25,0,1,0.5\n").unwrap();
}

fn start(folder: &Path, out: &str) -> Child {
    LabelRun::new(folder)
        .out(out)
        .args(&["--batch=4", "--shard-size=8", "--tiles=tiles.csv", "--tile-maps"])
        .command()
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn shards_done(store: &Path) -> usize {
    std::fs::read_dir(store.join("records")).map_or(0, Iterator::count)
}

/// Checks that the files of every record exist with the recorded digests.
fn check_recorded_files_exist(store: &Path) {
    let Ok(records) = std::fs::read_dir(store.join("records")) else { return };
    for record in records.map(|entry| entry.unwrap().path()) {
        let record: serde_json::Value = serde_json::from_slice(&std::fs::read(record).unwrap()).unwrap();
        for file in record["files"].as_array().unwrap() {
            let bytes = std::fs::read(store.join(file["path"].as_str().unwrap())).unwrap();
            assert_eq!(bytes.len() as u64, file["bytes"].as_u64().unwrap());
            assert_eq!(relabel::shared::digest::digest_bytes(&bytes).to_string(), file["sha256"].as_str().unwrap());
        }
    }
}
