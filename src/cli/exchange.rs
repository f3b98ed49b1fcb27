//! `relabel import` and `relabel export`: they read and write PyTorch's files, which only PyTorch does, so that the Python
//! package does the work and this program becomes that Python.

use std::convert::Infallible;
use std::env;
use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::ValueEnum;
use relabel::shared::error::Error;
use relabel::shared::printable::printable_path;

use super::args::{ExportArguments, Global, ImportArguments, LogFormat, PythonFlags};
use super::{Outcome, raised, stop_flag};

pub fn import(arguments: &ImportArguments, global: &Global) -> Result<Outcome, Error> {
    let mut words = Words::of("import");
    words.flag("--out", &arguments.out);
    words.optional("--classes", arguments.classes.as_ref());
    words.optional("--teacher-name", arguments.teacher_name.as_ref());
    words.optional("--map-size", arguments.map_size.as_ref());
    words.choice("--orientation", &arguments.orientation);
    words.choice("--rank-axis", &arguments.rank_axis);
    words.optional("--reference", arguments.reference.as_ref());
    words.optional("--shard-size", arguments.shard_size.map(|images| images.to_string()));
    words.optional("--threads", arguments.threads.map(|threads| threads.to_string()));
    match become_python(&arguments.python, words.ending(global, &arguments.folder))? {}
}

pub fn export(arguments: &ExportArguments, global: &Global) -> Result<Outcome, Error> {
    let mut words = Words::of("export");
    words.flag("--out", &arguments.out);
    words.choice("--format", &arguments.format);
    words.choice("--dtype", &arguments.dtype);
    match become_python(&arguments.python, words.ending(global, &arguments.store))? {}
}

/// The words after `python -m relabel`. Values are joined to their flags, so that one that begins with a dash stays one.
struct Words(Vec<OsString>);

impl Words {
    fn of(command: &str) -> Self {
        Self(vec![command.into()])
    }

    fn flag(&mut self, flag: &str, value: impl Into<OsString>) {
        let mut word = OsString::from(format!("{flag}="));
        word.push(value.into());
        self.0.push(word);
    }

    fn optional(&mut self, flag: &str, value: Option<impl Into<OsString>>) {
        if let Some(value) = value {
            self.flag(flag, value);
        }
    }

    fn choice(&mut self, flag: &str, choice: &impl ValueEnum) {
        self.optional(flag, choice.to_possible_value().map(|value| value.get_name().to_owned()));
    }

    fn ending(mut self, global: &Global, last: &Path) -> Vec<OsString> {
        self.0.extend(global.json.then(|| "--json".into()));
        self.0.extend(global.quiet.then(|| "--quiet".into()));
        self.0.extend((0..global.verbose).map(|_| OsString::from("--verbose")));
        if matches!(global.log_format, LogFormat::Json) {
            self.0.push("--log-format=json".into());
        }
        self.0.push("--".into());
        self.0.push(last.into());
        self.0
    }
}

/// Replaces this program by Python: what is said, signals and the exit code need nobody in between.
fn become_python(flags: &PythonFlags, words: Vec<OsString>) -> Result<Infallible, Error> {
    let python = interpreter(flags);
    check(&python)?;
    if raised(&stop_flag()) {
        return Err(Error::Interrupted);
    }
    let error = Command::new(&python).args(MODULE).args(words).exec();
    Err(cannot_start(&python, &error))
}

const MODULE: [&str; 2] = ["-m", "relabel"];

/// What was named, the active environment's, or the path's.
fn interpreter(flags: &PythonFlags) -> PathBuf {
    flags.python.clone().unwrap_or_else(|| {
        let active = env::var_os("VIRTUAL_ENV").map(|environment| Path::new(&environment).join("bin/python3"));
        active.filter(|python| python.is_file()).unwrap_or_else(|| "python3".into())
    })
}

/// Asks a Python for what will be needed, without importing PyTorch, which takes seconds.
fn check(python: &Path) -> Result<(), Error> {
    let answer = Command::new(python).args(["-c", QUESTION]).stdin(Stdio::null()).output();
    let answer = answer.map_err(|error| cannot_start(python, &error))?;
    let (said, complaint) = (String::from_utf8_lossy(&answer.stdout), String::from_utf8_lossy(&answer.stderr));
    let version = env!("CARGO_PKG_VERSION");
    let problem = match said.trim() {
        "ready" => return Ok(()),
        "no relabel" => "does not have the package relabel. Install it: pip install ./python".to_owned(),
        "no torch" => "does not have PyTorch. Install it: pip install torch".to_owned(),
        said if said.starts_with("version ") => {
            format!(
                "has the package relabel {}, this program is {version}. Install its: pip install ./python",
                &said[8..]
            )
        }
        _ => format!(
            "cannot be used: {}",
            complaint.trim().lines().last().unwrap_or("it gave no answer (is it a Python 3.10 or newer?)")
        ),
    };
    Err(Error::Runtime(format!(
        "reading and writing PyTorch's files takes a Python with PyTorch and the package relabel, and {} {problem}. Another \
         Python can be named with --python or RELABEL_PYTHON",
        printable_path(python)
    )))
}

const QUESTION: &str = concat!(
    "
import importlib.util
if importlib.util.find_spec('relabel') is None or importlib.util.find_spec('relabel._relabel') is None:
    print('no relabel')
else:
    import relabel
    if relabel.__version__ != '",
    env!("CARGO_PKG_VERSION"),
    "':
        print('version', relabel.__version__)
    elif importlib.util.find_spec('torch') is None:
        print('no torch')
    else:
        print('ready')
"
);

fn cannot_start(python: &Path, error: &std::io::Error) -> Error {
    Error::Runtime(format!(
        "{} cannot be started: {error}. Reading and writing PyTorch's files takes a Python with PyTorch and the package \
         relabel (pip install torch ./python); name it with --python or RELABEL_PYTHON, or activate its environment",
        printable_path(python)
    ))
}
