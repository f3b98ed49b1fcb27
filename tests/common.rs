use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;

use relabel::labelling::teacher::{
    self, CardFile, CardValues, ClassifierDescription, Device, OnnxClassifier, Runtime, RuntimeSearch, TeacherRequest,
    Views,
};
use serde_json::Value;

/// ONNX Runtime, for tests that load teachers in this process; it can be loaded only once.
pub fn runtime() -> &'static Runtime {
    static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
        let search = RuntimeSearch { python_environments: vec![repository(".venv")], ..RuntimeSearch::default() };
        Runtime::load(&search.find().unwrap()).unwrap()
    });
    &RUNTIME
}

/// Checks a model without ONNX Runtime. Returns the text of the error if it is refused.
pub fn check_onnx(model: Vec<u8>) -> Result<(), String> {
    teacher::check_onnx(model).map_err(|error| error.to_string())
}

/// Returns a path inside the repository.
pub fn repository(inside: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(inside)
}

/// Returns a path inside `tests/data`.
pub fn data(inside: &str) -> PathBuf {
    repository("tests/data").join(inside)
}

/// Path of the teacher that ships with the project.
pub fn lite0() -> PathBuf {
    repository("models/efficientnet-lite0.onnx")
}

/// Loads the bundled teacher without a rewrite, for two threads.
pub fn lite0_classifier() -> (OnnxClassifier, ClassifierDescription) {
    let path = lite0();
    let request = TeacherRequest {
        card: CardFile::find(&path, None).unwrap(),
        path,
        flags: CardValues::default(),
        k: 5,
        views: Views::Image,
        with_lse: false,
        threads: 2,
        photographs: Vec::new(),
        scratch_folder: None,
    };
    OnnxClassifier::load(runtime(), &request, Device::Cpu).unwrap()
}

/// Returns a command that runs the program in `folder`.
pub fn relabel(folder: &Path) -> Command {
    let mut command = hermetic(env!("CARGO_BIN_EXE_relabel"));
    command.current_dir(folder).stdin(Stdio::null());
    command
}

/// Returns a command with a clean environment: no scheduler, proxy, cloud credentials or other Python environment affects
/// a test.
pub fn hermetic(program: impl AsRef<OsStr>) -> Command {
    const KEPT_VARIABLES: [&str; 6] = ["PATH", "HOME", "TMPDIR", "USER", "LD_LIBRARY_PATH", "RUST_BACKTRACE"];
    let mut command = Command::new(program);
    command.env_clear().env("LC_ALL", "C.UTF-8").env("VIRTUAL_ENV", repository(".venv"));
    command.envs(KEPT_VARIABLES.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
    command
}

/// `relabel run` with the bundled teacher and a small input size, from `in` to `out` in a folder.
pub struct LabelRun<'a> {
    folder: &'a Path,
    source: &'a str,
    out: &'a str,
    args: Vec<&'a str>,
}

impl<'a> LabelRun<'a> {
    pub fn new(folder: &'a Path) -> Self {
        Self { folder, source: "in", out: "out", args: Vec::new() }
    }

    pub fn source(mut self, source: &'a str) -> Self {
        self.source = source;
        self
    }

    pub fn out(mut self, out: &'a str) -> Self {
        self.out = out;
        self
    }

    /// Uses shards and batches of four images.
    pub fn small_shards(self) -> Self {
        self.args(&["--shard-size", "4", "--batch", "4"])
    }

    /// Adds arguments. `--input-size` replaces the small input size.
    pub fn args(mut self, args: &[&'a str]) -> Self {
        self.args.extend(args);
        self
    }

    pub fn command(&self) -> Command {
        let mut command = relabel(self.folder);
        command.args(["run", "--in", self.source, "--out", self.out, "--teacher"]).arg(lite0());
        if !self.args.contains(&"--input-size") {
            command.args(["--input-size", "64"]);
        }
        command.args(&self.args);
        command
    }

    pub fn run(&self) -> Ran {
        Ran::of(&mut self.command())
    }
}

/// Exit code and output of a finished program.
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    pub fn of(command: &mut Command) -> Self {
        let Output { status, stdout, stderr } = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: status.code().unwrap_or(-1), stdout: text(stdout), stderr: text(stderr) }
    }

    /// Panics with the output unless the exit code is `code`.
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}", self.stdout))
    }
}

/// Runs the program in the repository.
pub fn run(args: &[&str]) -> Ran {
    Ran::of(relabel(&repository("")).args(args))
}

/// Runs a Python script with the project's Python.
pub fn python(script: &Path, args: &[&str]) -> Ran {
    Ran::of(hermetic(repository(".venv/bin/python")).arg(script).args(args))
}

/// Reads every file of a store, except for run notes and files that readers do not open.
pub fn store_bytes(store: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let skipped = [".locks", ".seen", ".source-index", ".staging", "runs"];
    let mut files: Vec<_> = walkdir::WalkDir::new(store)
        .sort_by_file_name()
        .into_iter()
        .filter_entry(|entry| !skipped.contains(&entry.file_name().to_str().unwrap()))
        .map(Result::unwrap)
        .filter(|entry| entry.file_type().is_file())
        .map(|entry| (entry.path().strip_prefix(store).unwrap().to_owned(), std::fs::read(entry.path()).unwrap()))
        .collect();
    files.sort();
    files
}

/// Creates a folder with `count` small photographs in two classes: `n02123045/` (tabby) and `n07920052/` (espresso).
pub fn small_photographs(folder: &Path, count: usize) {
    let tiny = std::fs::read(data("golden/images/odd/tiny_33x47.JPEG")).unwrap();
    let photograph = std::fs::read(data("golden/images/photos/chelsea.JPEG")).unwrap();
    for class in ["n02123045", "n07920052"] {
        std::fs::create_dir_all(folder.join(class)).unwrap();
    }
    for number in 0..count {
        let class = if number * 2 < count { "n02123045" } else { "n07920052" };
        let bytes = if number.is_multiple_of(3) { &photograph } else { &tiny };
        std::fs::write(folder.join(class).join(format!("{number:04}.JPEG")), bytes).unwrap();
    }
}
