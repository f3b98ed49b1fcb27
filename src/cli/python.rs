//! Starts the Python package for commands that need PyTorch: this process becomes `python -m relabel COMMAND`.

use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::ValueEnum;
use relabel::labelling::teacher::RuntimeSearch;
use relabel::shared::error::Error;
use relabel::shared::printable::{printable, printable_path};

use super::args::{Global, LogFormat, PythonFlags};
use super::installation::{active_environments, program_prefix};
use super::shell::shell_quote;
use super::{raised, stop_flag};

/// Arguments of `python -m relabel`. Values are joined to their flags, so a value may begin with a dash.
pub struct PythonArguments(Vec<OsString>);

impl PythonArguments {
    pub fn new(command: &str) -> Self {
        Self(vec![command.into()])
    }

    pub fn flag(&mut self, flag: &str, value: impl Into<OsString>) {
        let mut argument = OsString::from(format!("{flag}="));
        argument.push(value.into());
        self.0.push(argument);
    }

    pub fn optional(&mut self, flag: &str, value: Option<impl Into<OsString>>) {
        if let Some(value) = value {
            self.flag(flag, value);
        }
    }

    pub fn switch(&mut self, flag: &str, is_given: bool) {
        self.0.extend(is_given.then(|| flag.into()));
    }

    pub fn choice(&mut self, flag: &str, choice: &impl ValueEnum) {
        self.optional(flag, choice.to_possible_value().map(|value| value.get_name().to_owned()));
    }

    /// Appends the global flags and the positional argument.
    pub fn finish(mut self, global: &Global, positional: &OsStr) -> Vec<OsString> {
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

/// Packages that a command needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NeededPackages {
    Relabel,
    RelabelAndTorch,
}

/// Replaces this process by Python, which then prints, receives signals and returns the exit code itself.
pub fn become_python(
    flags: &PythonFlags,
    packages: NeededPackages,
    arguments: Vec<OsString>,
) -> Result<Infallible, Error> {
    let python = interpreter(flags);
    check(&python, packages).map_err(|error| error.of(&python))?;
    if raised(&stop_flag()) {
        return Err(Error::Interrupted);
    }
    let error = Command::new(&python).args(["-m", "relabel"]).args(arguments).exec();
    Err(PythonError::from(error).of(&python))
}

/// Returns the given Python, or the first that exists: that of the environment the program is installed in, if the package is
/// installed there too; that of `$VIRTUAL_ENV`, of `$CONDA_PREFIX`, and `python3` on the PATH.
fn interpreter(flags: &PythonFlags) -> PathBuf {
    let of_program = program_prefix().filter(|prefix| has_package(prefix));
    let environments = of_program.into_iter().chain(active_environments());
    let mut pythons = environments.map(|environment| environment.join("bin/python3"));
    flags.python.clone().or_else(|| pythons.find(|python| python.is_file())).unwrap_or_else(|| "python3".into())
}

/// Returns whether the Python package is installed in an environment.
fn has_package(environment: &Path) -> bool {
    RuntimeSearch::site_packages_of(environment).iter().any(|packages| packages.join("relabel").is_dir())
}

/// Reason a Python cannot run the command.
#[derive(Debug, thiserror::Error)]
enum PythonError {
    #[error("cannot start: {0}")]
    Start(#[from] std::io::Error),
    #[error("the package relabel is not installed")]
    NoRelabel,
    #[error("PyTorch is not installed")]
    NoTorch,
    #[error("the package relabel has version {found}, this program has {VERSION}")]
    OtherVersion { found: String },
    #[error("failed to start: {message}")]
    Failed { message: String },
}

impl PythonError {
    /// Adds which Python was tried, what to install and how to choose another.
    fn of(self, python: &Path) -> Error {
        let quoted = printable(&shell_quote(&python.to_string_lossy())).into_owned();
        let help = match self {
            Self::Start(_) | Self::Failed { .. } => {
                "activate the environment of a Python with PyTorch and the package \
                 relabel, or pass that Python as --python or RELABEL_PYTHON"
                    .to_owned()
            }
            Self::NoRelabel | Self::OtherVersion { .. } => format!(
                "install the wheel of relabel {VERSION} in it ({quoted} -m pip install WHEEL), or choose another Python with \
                 --python or RELABEL_PYTHON"
            ),
            Self::NoTorch => {
                format!("{quoted} -m pip install torch, or choose another Python with --python or RELABEL_PYTHON")
            }
        };
        Error::Runtime(format!("cannot use Python {}: {self}\n  help: {help}", printable_path(python)))
    }
}

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Checks a Python for the required packages, without importing PyTorch, which takes seconds.
fn check(python: &Path, packages: NeededPackages) -> Result<(), PythonError> {
    let output = Command::new(python).args(["-c", CHECK_SCRIPT]).stdin(Stdio::null()).output()?;
    let stdout = String::from_utf8_lossy(&output.stdout);
    match stdout.trim() {
        "ready" => Ok(()),
        "no relabel" => Err(PythonError::NoRelabel),
        "no torch" if packages == NeededPackages::Relabel => Ok(()),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_package_is_found_in_an_environment() {
        let environment = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(environment.path().join("lib/python3.10/site-packages")).unwrap();
        assert!(!has_package(environment.path()));
        std::fs::create_dir_all(environment.path().join("lib/python3.12/dist-packages/relabel")).unwrap();
        assert!(has_package(environment.path()));
    }
}
