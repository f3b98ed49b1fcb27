//! Where this machine may keep ONNX Runtime. The library is told; it looks at no environment itself.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use relabel::error::Error;
use relabel::teacher::{Runtime, RuntimeSearch};

/// Finds and loads ONNX Runtime: what was named, beside the program, the project's `.venv`, the active Python
/// environment, the system, and last whatever `python3` on the path imports.
pub fn load(named: Option<&Path>) -> Result<Runtime, Error> {
    let mut search = RuntimeSearch { named: named.map(Path::to_path_buf), ..RuntimeSearch::default() };
    if search.named.is_none() {
        let program = env::current_exe().ok().and_then(|program| program.parent().map(Path::to_path_buf));
        search.library_folders.extend(program.clone());
        search.library_folders.extend(SYSTEM_FOLDERS.iter().map(PathBuf::from));
        search.python_environments = python_environments(program.as_deref());
    }
    let library = match search.find() {
        Ok(library) => library,
        Err(error) if search.named.is_some() => return Err(error),
        Err(_) => {
            search.packages.extend(package_of_python());
            search.find()?
        }
    };
    tracing::info!(library = %library.display(), "ONNX Runtime found");
    Runtime::load(&library)
}

const SYSTEM_FOLDERS: [&str; 5] =
    ["/usr/local/lib", "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib"];

/// `.venv` of the current folder and of every folder above the program, then the active environment.
fn python_environments(program: Option<&Path>) -> Vec<PathBuf> {
    let current = env::current_dir().ok();
    let mut environments: Vec<PathBuf> = current
        .iter()
        .map(PathBuf::as_path)
        .chain(program.iter().flat_map(|folder| folder.ancestors()))
        .map(|folder| folder.join(".venv"))
        .filter(|environment| environment.is_dir())
        .collect();
    environments.extend(["VIRTUAL_ENV", "CONDA_PREFIX"].iter().filter_map(env::var_os).map(PathBuf::from));
    environments.dedup();
    environments
}

/// Asks `python3` where its `onnxruntime` is, without importing it.
fn package_of_python() -> Option<PathBuf> {
    const QUESTION: &str =
        "import importlib.util as u; print(u.find_spec('onnxruntime').submodule_search_locations[0])";
    let answer = Command::new("python3").args(["-c", QUESTION]).output().ok()?;
    let folder = String::from_utf8(answer.stdout).ok()?;
    answer.status.success().then(|| PathBuf::from(folder.trim()))
}
