//! `relabel import` and `relabel export`. Only PyTorch reads and writes its files, so the Python package does the work and
//! this process becomes that Python.

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
    let mut python = PythonArguments::new("import");
    python.flag("--out", &arguments.out);
    python.optional("--classes", arguments.classes.as_ref());
    python.optional("--teacher-name", arguments.teacher_name.as_ref());
    python.optional("--map-size", arguments.map_size.as_ref());
    python.choice("--orientation", &arguments.orientation);
    python.choice("--rank-axis", &arguments.rank_axis);
    python.optional("--reference", arguments.reference.as_ref());
    python.optional("--shard-size", arguments.shard_size.map(|images| images.to_string()));
    python.optional("--threads", arguments.threads.map(|threads| threads.to_string()));
    match become_python(&arguments.python, python.finish(global, &arguments.folder))? {}
}

pub fn export(arguments: &ExportArguments, global: &Global) -> Result<Outcome, Error> {
    let mut python = PythonArguments::new("export");
    python.flag("--out", &arguments.out);
    python.choice("--format", &arguments.format);
    python.choice("--dtype", &arguments.dtype);
    match become_python(&arguments.python, python.finish(global, &arguments.store))? {}
}

/// Arguments of `python -m relabel`. Values are joined to their flags, so a value may begin with a dash.
struct PythonArguments(Vec<OsString>);

impl PythonArguments {
    fn new(command: &str) -> Self {
        Self(vec![command.into()])
    }

    fn flag(&mut self, flag: &str, value: impl Into<OsString>) {
        let mut argument = OsString::from(format!("{flag}="));
        argument.push(value.into());
        self.0.push(argument);
    }

    fn optional(&mut self, flag: &str, value: Option<impl Into<OsString>>) {
        if let Some(value) = value {
            self.flag(flag, value);
        }
    }

    fn choice(&mut self, flag: &str, choice: &impl ValueEnum) {
        self.optional(flag, choice.to_possible_value().map(|value| value.get_name().to_owned()));
    }

    /// Appends the global flags and the positional argument.
    fn finish(mut self, global: &Global, positional: &Path) -> Vec<OsString> {
        self.0.extend(global.json.then(|| "--json".into()));
        self.0.extend(global.quiet.then(|| "--quiet".into()));
        self.0.extend((0..global.verbose).map(|_| OsString::from("--verbose")));
        if matches!(global.log_format, LogFormat::Json) {
            self.0.push("--log-format=json".into());
        }
        self.0.push("--".into());
        self.0.push(positional.into());
        self.0
    }
}

/// Reason a Python cannot run the command.
#[derive(Debug, thiserror::Error)]
enum PythonError {
    #[error("cannot start: {0}")]
    Start(#[from] std::io::Error),
    #[error(
        "the package relabel is not installed\n  help: pip install ./python, or choose another Python with --python or RELABEL_PYTHON"
    )]
    NoRelabel,
    #[error(
        "PyTorch is not installed\n  help: pip install torch, or choose another Python with --python or RELABEL_PYTHON"
    )]
    NoTorch,
    #[error(
        "the package relabel has version {found}, this program has {}\n  help: pip install ./python, or choose another Python \
         with --python or RELABEL_PYTHON",
        env!("CARGO_PKG_VERSION")
    )]
    OtherVersion { found: String },
    #[error("failed to start: {message}")]
    Failed { message: String },
}

impl PythonError {
    /// Adds which Python was tried, and how to choose another if the message does not mention it.
    fn of(self, python: &Path) -> Error {
        let help = match self {
            Self::Start(_) | Self::Failed { .. } => {
                "\n  help: import and export require a Python with PyTorch and the package relabel (pip install torch \
                 ./python): activate its environment, or pass it as --python or RELABEL_PYTHON"
            }
            _ => "",
        };
        Error::Runtime(format!("cannot use Python {}: {self}{help}", printable_path(python)))
    }
}

/// Replaces this process by Python, which then prints, receives signals and returns the exit code itself.
fn become_python(flags: &PythonFlags, arguments: Vec<OsString>) -> Result<Infallible, Error> {
    let python = interpreter(flags);
    check(&python).map_err(|error| error.of(&python))?;
    if raised(&stop_flag()) {
        return Err(Error::Interrupted);
    }
    let error = Command::new(&python).args(["-m", "relabel"]).args(arguments).exec();
    Err(PythonError::from(error).of(&python))
}

/// Returns the given Python, that of the active environment, or `python3` on the PATH.
fn interpreter(flags: &PythonFlags) -> PathBuf {
    flags.python.clone().unwrap_or_else(|| {
        let active = env::var_os("VIRTUAL_ENV").map(|environment| Path::new(&environment).join("bin/python3"));
        active.filter(|python| python.is_file()).unwrap_or_else(|| "python3".into())
    })
}

/// Checks a Python for the required packages, without importing PyTorch, which takes seconds.
fn check(python: &Path) -> Result<(), PythonError> {
    let output = Command::new(python).args(["-c", CHECK_SCRIPT]).stdin(Stdio::null()).output()?;
    let stdout = String::from_utf8_lossy(&output.stdout);
    match stdout.trim() {
        "ready" => Ok(()),
        "no relabel" => Err(PythonError::NoRelabel),
        "no torch" => Err(PythonError::NoTorch),
        other => {
            if let Some(found) = other.strip_prefix("version ") {
                return Err(PythonError::OtherVersion { found: found.to_owned() });
            }
            let stderr = String::from_utf8_lossy(&output.stderr);
            let message = stderr.trim().lines().last().unwrap_or("no output (Python 3.10 or newer is required)");
            Err(PythonError::Failed { message: message.to_owned() })
        }
    }
}

const CHECK_SCRIPT: &str = concat!(
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
