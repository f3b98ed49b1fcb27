//! Search paths of ONNX Runtime. The library itself does not read the environment.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use relabel::labelling::teacher::{DeviceChoice, Runtime, RuntimeSearch};
use relabel::shared::error::Error;

use super::installation::{active_environments, program_folder, program_prefix};

/// Finds and loads ONNX Runtime: the library that `--onnxruntime` or `ORT_DYLIB_PATH` names, or the first that is found
///
/// 1. in the folder of the program,
/// 2. in the environment that the program is installed in: with the program at `P/bin/relabel`, in
///    `P/lib*/python3*/{site,dist}-packages/onnxruntime`, newest Python first, and in `P/onnxruntime`,
/// 3. in `.venv` of the current folder and of the folders above the program,
/// 4. in `$VIRTUAL_ENV`, then `$CONDA_PREFIX`,
/// 5. in the system's library folders,
/// 6. in the package that `python3` on the PATH imports.
///
/// If a GPU may be used, the first CUDA build in this order is preferred: the active environment often has the CPU build.
/// CUDA's libraries are searched for next to the package that was found, then in the same environments.
///
/// A process has one: later calls return the first.
pub fn load(named: Option<&Path>, device: &DeviceChoice) -> Result<&'static Runtime, Error> {
    static LOADED: OnceLock<Runtime> = OnceLock::new();
    if let Some(runtime) = LOADED.get() {
        return Ok(runtime);
    }
    let runtime = find_and_load(named, device)?;
    Ok(LOADED.get_or_init(|| runtime))
}

fn find_and_load(named: Option<&Path>, device: &DeviceChoice) -> Result<Runtime, Error> {
    let program_folder = program_folder();
    let python_environments = python_environments(program_folder.as_deref());
    let mut search = RuntimeSearch {
        named: named.map(Path::to_path_buf),
        program_folder,
        program_prefix: program_prefix(),
        python_environments,
        system_folders: SYSTEM_FOLDERS.map(PathBuf::from).to_vec(),
        packages: Vec::new(),
    };
    let library = if search.named.is_some() {
        search.find()?
    } else {
        // Starting Python takes a while, so it comes last if any library will do.
        let found = if device.may_use_cuda() { None } else { search.find().ok() };
        if let Some(library) = found {
            library
        } else {
            search.packages = python_package_folders("onnxruntime");
            if device.may_use_cuda() { search.find_for_cuda()? } else { search.find()? }
        }
    };
    tracing::info!(library = %library.display(), "ONNX Runtime found");
    let runtime = Runtime::load(&library)?;
    Ok(if device.may_use_cuda() { runtime.with_cuda_site_packages(site_packages(&library, &search)) } else { runtime })
}

/// Returns where pip may have installed the CUDA libraries: next to the package of ONNX Runtime, in the searched
/// environments, and where `python3` imports them from.
fn site_packages(library: &Path, search: &RuntimeSearch) -> Vec<PathBuf> {
    let siblings = library.ancestors().nth(3).map(Path::to_path_buf);
    let mut folders: Vec<PathBuf> = siblings.into_iter().collect();
    folders.extend(search.site_packages());
    folders.extend(python_package_folders("nvidia").iter().filter_map(|nvidia| nvidia.parent().map(Path::to_path_buf)));
    folders
}

const SYSTEM_FOLDERS: [&str; 5] =
    ["/usr/local/lib", "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib"];

/// Returns `.venv` of the current folder and of every folder above the program, then the active environments.
fn python_environments(program_folder: Option<&Path>) -> Vec<PathBuf> {
    let current = env::current_dir().ok();
    let mut environments: Vec<PathBuf> = current
        .iter()
        .map(PathBuf::as_path)
        .chain(program_folder.iter().flat_map(|folder| folder.ancestors()))
        .map(|folder| folder.join(".venv"))
        .filter(|environment| environment.is_dir())
        .collect();
    environments.extend(active_environments());
    environments.dedup();
    environments
}

/// Returns the folders of a package of `python3`, without importing it. A namespace package such as `nvidia` can have several.
fn python_package_folders(package: &str) -> Vec<PathBuf> {
    let script =
        format!("import importlib.util as u; print(*u.find_spec('{package}').submodule_search_locations, sep='\\n')");
    let output = Command::new("python3").args(["-c", &script]).output().ok();
    let stdout = output.filter(|output| output.status.success()).map(|output| String::from_utf8(output.stdout));
    stdout.and_then(Result::ok).unwrap_or_default().lines().map(PathBuf::from).collect()
}
