use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::ffi::OsStrExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use relabel::labelling::pipeline::{self, Destination, FailureLimit, ImagesToDo, Job, Preprocessing, ShardWork};
use relabel::labelling::pixels::{Decoder, ExifOrientation, Filter};
use relabel::labelling::source::{ImageReader, LengthCheck, ReadError};
use relabel::labelling::teacher::{BatchLabels, PixelBatch, Teacher};
use relabel::shared::error::{Error, ImageError, ImageErrorKind};
use relabel::shared::geometry::InputSize;
use relabel::shared::label_map::ScoreRounding;
use relabel::shared::monitor::NoopMonitor;
use relabel::shared::store::{StoreWriter, WriterOptions};

use crate::common::{LabelRun, Ran, data, hermetic, lite0, relabel, repository, small_photographs};
use crate::synthetic_store;
use crate::tiny_graphs::{Dim, TinyGraph, ints};

/// Creates a folder `in` with small photographs and labels them into the store `out`.
fn labelled(folder: &Path, count: usize) {
    small_photographs(&folder.join("in"), count);
    LabelRun::new(folder).small_shards().run().expect(0);
}

fn fifo(path: &Path) {
    rustix::fs::mkfifoat(rustix::fs::CWD, path, 0o600.into()).unwrap();
}

fn start(command: &mut Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Sends a signal to a running program and checks that it ends within 5 s, with exit code 130 and one JSON document.
fn interrupt(mut child: Child, signal: &str) -> String {
    assert!(child.try_wait().unwrap().is_none(), "it has already ended: {:?}", child.wait_with_output());
    Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
    let asked = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if asked.elapsed() > Duration::from_secs(5) {
            child.kill().unwrap();
            panic!("{signal} did not end the program within 5 s");
        }
        sleep(Duration::from_millis(5));
    }
    let output = child.wait_with_output().unwrap();
    let (stdout, stderr) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(130), "{signal}: {stdout}{stderr}");
    let document: serde_json::Value = serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout}"));
    assert!(document["error"].as_str().unwrap().contains("interrupted"), "{document}");
    stderr
}

#[test]
fn a_blocked_command_ends_soon_after_a_signal() {
    let folder = tempfile::tempdir().unwrap();
    labelled(folder.path(), 4);
    // A card may be read from a pipe, so the program waits for it.
    fifo(&folder.path().join("card.toml"));
    for signal in ["-TERM", "-INT", "-HUP"] {
        // Under `nohup` the tests inherit an ignored SIGHUP, which the program respects.
        let args = ["--default-signal=HUP", env!("CARGO_BIN_EXE_relabel"), "teacher", "--card", "card.toml", "--json"];
        let child = start(hermetic("env").current_dir(folder.path()).stdin(Stdio::null()).args(args).arg(lite0()));
        sleep(Duration::from_millis(200));
        interrupt(child, signal);
    }
    // A second signal ends the program at once.
    let child = start(
        relabel(folder.path()).args(["run", "--in", "in", "--card", "card.toml", "--json", "--teacher"]).arg(lite0()),
    );
    sleep(Duration::from_millis(200));
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    sleep(Duration::from_millis(100));
    let asked = Instant::now();
    interrupt(child, "-INT");
    assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
}

#[test]
fn a_silent_server_does_not_block_a_signal() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/release", silent.local_addr().unwrap());
    let child = start(relabel(&repository("")).args(["verify", &address, "--json"]));
    let connection = silent.accept().unwrap();
    interrupt(child, "-TERM");
    drop(connection);
}

#[test]
fn a_long_verification_does_not_block_a_signal() {
    let folder = tempfile::tempdir().unwrap();
    // A convolution of 31x31 over 512x512 pixels: minutes of work for all images of the verification.
    let same = [ints("kernel_shape", &[31, 31]), ints("pads", &[15; 4])];
    let graph = TinyGraph::new(13)
        .input("x", &[Dim::Free, Dim::Fixed(3), Dim::Fixed(512), Dim::Fixed(512)])
        .weight("w0", &[32, 3, 31, 31])
        .weight("w1", &[32, 32, 31, 31])
        .weight("head", &[32, 10])
        .node("Conv", &["x", "w0"], &["a"], &same)
        .node("Conv", &["a", "w1"], &["b"], &same)
        .node("GlobalAveragePool", &["b"], &["pooled"], &[])
        .node("Flatten", &["pooled"], &["flat"], &[])
        .node("MatMul", &["flat", "head"], &["scores"], &[])
        .output("scores", &[Dim::Free, Dim::Fixed(10)]);
    std::fs::write(folder.path().join("slow.onnx"), graph.finish()).unwrap();
    let child = start(relabel(folder.path()).args(["teacher", "slow.onnx", "--json", "--threads", "1"]));
    sleep(Duration::from_millis(1500));
    interrupt(child, "-TERM");
}

#[test]
fn a_pipe_in_place_of_an_image_is_a_failed_image() {
    let folder = tempfile::tempdir().unwrap();
    small_photographs(&folder.path().join("in"), 3);
    fifo(&folder.path().join("in/pipe.jpg"));
    std::fs::write(folder.path().join("list.csv"), "path\npipe.jpg\nn02123045/0000.JPEG\n").unwrap();
    let ran = Ran::of(LabelRun::new(folder.path()).small_shards().command().args(["--manifest", "list.csv", "--json"]))
        .expect(3)
        .json();
    assert_eq!(ran["failed_images"][0]["kind"], "unreadable", "{ran}");
    assert!(ran["failed_images"].to_string().contains("not a regular file"), "{ran}");
}

#[test]
fn unwritable_output_is_a_failure() {
    let folder = tempfile::tempdir().unwrap();
    labelled(folder.path(), 4);
    let program: &[&[&str]] = &[
        &["--help"],
        &["run", "--help"],
        &["--version"],
        &["status", "out"],
        &["status", "out", "--json"],
        &["status", "nowhere", "--json"],
        &["verify", "out"],
        &["inspect", "out", "0"],
        &["audit", "out", "-o", "audit.csv"],
        &["compare", "out", "out"],
        &["merge", "out", "--out", "merged"],
        &["inspect", "out", "0", "-o", "/dev/full/x.png"],
        &["audit", "out", "-o", "/dev/full.csv/x.csv"],
        &["compare", "out", "out", "--picture", "/dev/full/x.png"],
    ];
    for args in program {
        let mut command = relabel(folder.path());
        command.args(*args).stdout(File::options().write(true).open("/dev/full").unwrap()).stderr(Stdio::piped());
        let output = command.spawn().unwrap().wait_with_output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{args:?}: {stderr}");
        assert!(stderr.contains("cannot write") || stderr.contains("nowhere"), "{args:?}: {stderr}");
    }
}

#[test]
fn usage_errors_are_one_json_document() {
    let at_home = |args: &[&str]| Ran::of(relabel(&repository("")).args(args)).expect(2);
    for args in [
        &["--json"][..],
        &["--json", "nonsense"],
        &["status", "--json"],
        &["status", "x", "--bogus", "--json"],
        &["run", "--in", "x", "--teacher", "y", "--json", "--threads", "0"],
        &["import", "x", "--json"],
        &["export", "--json", "--dtype", "int8"],
    ] {
        assert!(!at_home(args).json()["error"].as_str().unwrap().is_empty(), "{args:?}");
    }
    let lines = at_home(&["--log-format", "json", "status", "x", "--bogus"]);
    assert!(lines.stdout.is_empty());
    let line: serde_json::Value = serde_json::from_str(&lines.stderr).unwrap();
    assert!(line["message"].as_str().unwrap().contains("--bogus"), "{line}");
}

#[test]
fn out_of_range_numbers_are_refused_before_work_begins() {
    let folder = tempfile::tempdir().unwrap();
    small_photographs(&folder.path().join("in"), 2);
    let absurd =
        ["0", "-1", "2147483648", "4294967296", "9223372036854775808", "18446744073709551616", "NaN", "inf", ""];
    for flag in ["--threads", "--batch", "--shard-size"] {
        for number in absurd {
            let mut command = relabel(folder.path());
            command.args(["run", "--in", "in", "--out", "out", &format!("{flag}={number}"), "--teacher"]).arg(lite0());
            Ran::of(&mut command).expect(2);
        }
    }
    for args in [
        ["audit", "out", "-o", "a.csv", "--threads=1025"],
        ["report", "out", "-o", "r", "--photo-side=2147483648"],
        ["publish", "out", "--to=r", "--license=CC0-1.0", "--at-a-time=4294967296"],
        ["import", "in", "--out=x", "--shard-size=4294967296", "-q"],
        ["teacher", "x.onnx", "--mean=NaN,0,0", "--std=1,1,1", "-q"],
        ["run", "--in=in", "--teacher=x", "--dry-run", "--price-per-hour=1e300"],
    ] {
        Ran::of(relabel(folder.path()).args(args)).expect(2);
    }
    assert!(!folder.path().join("out").exists());
}

#[test]
fn failing_to_start_threads_is_an_error_without_a_panic() {
    let folder = tempfile::tempdir().unwrap();
    labelled(folder.path(), 4);
    // The limit is enough for the program, but not for the stacks of a thousand threads.
    let script = "ulimit -v 1500000; exec \"$0\" \"$@\"";
    for args in [
        ["audit", "out", "-o", "a.csv", "--threads", "1024"],
        ["compare", "out", "out", "-q", "--threads", "1024"],
        ["report", "out", "-o", "r", "--threads", "1024"],
    ] {
        let mut command = hermetic("bash");
        command.args(["-c", script, env!("CARGO_BIN_EXE_relabel")]).args(args).current_dir(folder.path());
        let ran = Ran::of(&mut command).expect(1);
        assert!(ran.stderr.contains("cannot start 1024 threads"), "{}", ran.stderr);
    }
    assert!(!folder.path().join("a.csv").exists());
}

#[test]
fn paths_that_are_not_utf8_work() {
    let folder = tempfile::tempdir().unwrap();
    let strange = |name: &[u8]| PathBuf::from(OsStr::from_bytes(name));
    let home = folder.path().join(strange(b"h\xff"));
    small_photographs(&home.join("in"), 4);
    for ending in ["onnx", "toml"] {
        std::fs::copy(lite0().with_extension(ending), home.join(strange(b"t\xfe")).with_extension(ending)).unwrap();
    }
    let ran = |args: &[&OsStr]| Ran::of(relabel(&home).args(args).arg("--json")).expect(0).json();
    let text = |arg: &'static str| OsStr::new(arg);
    let (teacher, store) = (strange(b"t\xfe.onnx"), strange(b"o\xff"));
    ran(&[text("teacher"), teacher.as_os_str(), text("--input-size=64")]);
    let run = [text("run"), text("--in"), text("in"), text("--teacher"), teacher.as_os_str(), text("--input-size=64")];
    ran(&[&run[..], &[text("--out"), store.as_os_str()]].concat());
    ran(&[&run[..], &[text("--out"), store.as_os_str(), text("--dry-run")]].concat());
    ran(&[&run[..], &[text("--limit=2")]].concat());
    ran(&[text("status"), store.as_os_str()]);
    ran(&[text("verify"), store.as_os_str()]);
    let out = |ending: &str| strange(b"a\xff").with_extension(ending);
    ran(&[text("audit"), store.as_os_str(), text("-o"), out("csv").as_os_str()]);
    let (table, picture) = (out("parquet"), out("png"));
    let compared = [text("compare"), store.as_os_str(), store.as_os_str(), text("-o"), table.as_os_str()];
    ran(&[&compared[..], &[text("--picture"), picture.as_os_str()]].concat());
    ran(&[text("report"), store.as_os_str(), text("-o"), strange(b"r\xff").as_os_str()]);
    ran(&[text("inspect"), store.as_os_str(), text("0"), text("-o"), out("png").as_os_str()]);
    ran(&[text("merge"), store.as_os_str(), text("--out"), strange(b"m\xff").as_os_str()]);
    std::fs::write(home.join("in").join(strange(b"x\xff.jpg")), "").unwrap();
    let refused = Ran::of(relabel(&home).args(run).args(["--out", "new"])).expect(1);
    assert!(refused.stderr.contains("is not UTF-8\n  help: rename it"), "{}", refused.stderr);
}

#[test]
fn recomputing_no_image_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("in")).unwrap();
    std::fs::write(folder.path().join("in/broken.jpg"), "no image").unwrap();
    LabelRun::new(folder.path()).small_shards().run().expect(3);
    let mut command = relabel(folder.path());
    command.args(["verify", "out", "--recompute", "1", "--in", "in", "--input-size", "64", "--teacher"]).arg(lite0());
    assert!(Ran::of(&mut command).expect(1).stderr.contains("nothing was compared"));
}

#[test]
fn the_next_audit_removes_the_drafts_of_a_killed_one() {
    let folder = tempfile::tempdir().unwrap();
    labelled(folder.path(), 60);
    let drafts = || {
        let names =
            std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with(".relabel-draft-")).count()
    };
    let audit = |crops: &str| {
        let mut command = relabel(folder.path());
        command.args(["audit", "out", "-o", "audit.csv", "--threads", "1", "--crops", crops]);
        command
    };
    // A foreign file with a similar name.
    let mut foreign = File::create(folder.path().join(".relabel-audit-mine")).unwrap();
    foreign.write_all(b"mine").unwrap();
    let mut killed = start(&mut audit("10000"));
    let started = Instant::now();
    while drafts() < 2 {
        assert!(started.elapsed() < Duration::from_secs(20) && killed.try_wait().unwrap().is_none());
        sleep(Duration::from_millis(2));
    }
    // Drafts of a running process are kept.
    assert!(Ran::of(&mut audit("0")).expect(1).stderr.contains("another process is writing it"));
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert_eq!(drafts(), 2);
    Ran::of(&mut audit("0")).expect(0);
    assert_eq!(drafts(), 0);
    assert_eq!(std::fs::read(folder.path().join(".relabel-audit-mine")).unwrap(), b"mine");
    assert!(folder.path().join("audit.classes.csv").exists());
}

/// Identical images, except for row 6.
struct Photographs {
    jpeg: Vec<u8>,
    row_six: fn() -> ReadError,
}

impl ImageReader for Photographs {
    fn read(&self, row: usize, _: LengthCheck) -> Result<Vec<u8>, ReadError> {
        if row == 6 { Err((self.row_six)()) } else { Ok(self.jpeg.clone()) }
    }

    fn looks_as_listed(&self, _: usize) -> Result<bool, Error> {
        Ok(true)
    }
}

/// Returns the same labels for every image. Panics at one batch.
struct Fixed {
    batch: usize,
    panics_at: usize,
}

impl Teacher for Fixed {
    fn label(&mut self, batch: &PixelBatch) -> Result<BatchLabels, Error> {
        assert_ne!(self.batch, self.panics_at, "a panic on purpose");
        self.batch += 1;
        let images = batch.images();
        Ok(BatchLabels {
            k: 2,
            scores: [[2.0; 6], [1.0; 6]].concat().repeat(images),
            classes: [[3; 6], [4; 6]].concat().repeat(images),
            image_ranks: 2,
            image_probs: [0.75, 0.25].repeat(images),
            image_classes: [3, 4].repeat(images),
            ..BatchLabels::default()
        })
    }

    fn stopper(&self) -> Box<dyn Fn() + Send + Sync> {
        Box::new(|| ())
    }
}

/// Labels the synthetic manifest into a store. Returns the outcome of the run, and the records.
fn run_synthetic(
    row_six: fn() -> ReadError,
    panics_at: usize,
) -> (std::thread::Result<Result<(), Error>>, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let (path, manifest) = (folder.path().join("out"), synthetic_store::manifest());
    let store = StoreWriter::create(&path, synthetic_store::info(), &manifest, WriterOptions::default()).unwrap();
    let jpeg = std::fs::read(data("golden/images/odd/tiny_33x47.JPEG")).unwrap();
    let images = Photographs { jpeg, row_six };
    let shards = (0..3).map(|shard| ShardWork { shard, images: ImagesToDo::All }).collect();
    let job = Job {
        images: &images,
        length_check: LengthCheck::Ignore,
        manifest: &manifest,
        info: store.info(),
        shards,
        preprocessing: Preprocessing {
            input_size: InputSize::new(8, 8).unwrap(),
            filter: Filter::Bilinear,
            exif_orientation: ExifOrientation::Ignore,
        },
        decoder: Decoder::default(),
        rounding: ScoreRounding::Float16,
        threads: 2,
    };
    let to = Destination { store: &store, classes: HashMap::new(), failure_limit: FailureLimit::Never };
    let run = || pipeline::run(&job, &to, vec![Box::new(Fixed { batch: 0, panics_at })], &NoopMonitor);
    let outcome = catch_unwind(AssertUnwindSafe(run));
    let records = std::fs::read_dir(path.join("records")).unwrap().map(|entry| entry.unwrap().path());
    (outcome, records.map(|record| std::fs::read_to_string(record).unwrap()).collect())
}

#[test]
fn a_machine_failure_stops_a_run_and_is_not_recorded() {
    let eio = || ReadError::Machine(Error::file("read", Path::new("6.jpg"))(std::io::Error::from_raw_os_error(5)));
    let (outcome, records) = run_synthetic(eio, usize::MAX);
    assert!(matches!(outcome, Ok(Err(Error::File { .. }))), "{outcome:?}");
    assert!(records.len() < 2 && records.iter().all(|record| !record.contains("6.jpg")), "{records:?}");
    let gone = || ReadError::Image(ImageError { kind: ImageErrorKind::Unreadable, reason: "gone".into() });
    let (outcome, records) = run_synthetic(gone, usize::MAX);
    assert!(matches!(outcome, Ok(Ok(()))) && records.len() == 3, "{outcome:?}");
    assert_eq!(records.iter().filter(|record| record.contains("6.jpg")).count(), 1);
}

#[test]
fn a_panic_in_a_stage_fails_its_image_or_ends_the_run() {
    let (outcome, records) = run_synthetic(|| panic!("a panic on purpose"), usize::MAX);
    assert!(matches!(outcome, Ok(Ok(()))) && records.len() == 3, "{outcome:?}");
    assert!(records.iter().any(|record| record.contains("6.jpg")), "it must not be labelled as a black image");
    let gone = || ReadError::Image(ImageError { kind: ImageErrorKind::Unreadable, reason: "gone".into() });
    let (outcome, records) = run_synthetic(gone, 3);
    assert!(matches!(outcome, Ok(Err(Error::Internal { .. }))) && records.len() < 2, "{outcome:?}");
}
