//! Where this machine may keep ONNX Runtime. The library is told; it looks at no environment itself.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use relabel::labelling::teacher::{DeviceChoice, Runtime, RuntimeSearch};
use relabel::shared::error::Error;

/// Finds and loads ONNX Runtime: what was named, beside the program, the project's `.venv`, the active Python
/// environment, the system, and last whatever `python3` on the path imports.
///
/// Where a GPU may be used, a build for CUDA is preferred: the environment at hand often has the one for the processor.
pub fn load(named: Option<&Path>, device: &DeviceChoice) -> Result<Runtime, Error> {
    let mut search = RuntimeSearch { named: named.map(Path::to_path_buf), ..RuntimeSearch::default() };
    let program = env::current_exe().ok().and_then(|program| program.parent().map(Path::to_path_buf));
    let environments = python_environments(program.as_deref());
    let library = if search.named.is_some() {
        search.find()?
    } else {
        search.library_folders.extend(program);
        search.library_folders.extend(SYSTEM_FOLDERS.iter().map(PathBuf::from));
        search.python_environments.clone_from(&environments);
        // Asking Python takes a while, so it comes last where the first library will do.
        let found = if device.may_use_cuda() { None } else { search.find().ok() };
        if let Some(library) = found {
            library
        } else {
            search.packages = folders_of_python("onnxruntime");
            if device.may_use_cuda() { search.find_for_cuda()? } else { search.find()? }
        }
    };
    tracing::info!(library = %library.display(), "ONNX Runtime found");
    let runtime = Runtime::load(&library)?;
    Ok(if device.may_use_cuda() {
        runtime.with_cuda_libraries_of(site_packages(&library, &environments))
    } else {
        runtime
    })
}

/// Where pip may have put CUDA's libraries: beside ONNX Runtime's package, in the known environments, and where `python3`
/// keeps them.
fn site_packages(library: &Path, environments: &[PathBuf]) -> Vec<PathBuf> {
    let beside = library.ancestors().nth(3).map(Path::to_path_buf);
    let mut folders: Vec<PathBuf> = beside.into_iter().collect();
    folders.extend(environments.iter().flat_map(|environment| RuntimeSearch::site_packages_of(environment)));
    folders.extend(folders_of_python("nvidia").iter().filter_map(|nvidia| nvidia.parent().map(Path::to_path_buf)));
    folders
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

/// Where `python3` has a package, without importing it. One like `nvidia`, into which several packages put something, can
/// have several folders.
fn folders_of_python(package: &str) -> Vec<PathBuf> {
    let question =
        format!("import importlib.util as u; print(*u.find_spec('{package}').submodule_search_locations, sep='\\n')");
    let answer = Command::new("python3").args(["-c", &question]).output().ok();
    let answer = answer.filter(|answer| answer.status.success()).map(|answer| String::from_utf8(answer.stdout));
    answer.and_then(Result::ok).unwrap_or_default().lines().map(PathBuf::from).collect()
}
