//! Finds ONNX Runtime, a shared library that is installed separately (a `PyPI` wheel, a system package).

use std::path::{Path, PathBuf};

use crate::shared::error::Error;

/// The command that installs ONNX Runtime.
pub(super) const INSTALL_COMMAND: &str = "python3 -m pip install onnxruntime";

/// Locations to search for ONNX Runtime, in this order. The caller provides them: this library reads no environment.
#[derive(Clone, Debug, Default)]
pub struct RuntimeSearch {
    /// A library file, or its folder. If it is set, nothing else is searched.
    pub named: Option<PathBuf>,
    /// Folders that may contain `libonnxruntime.so*` itself: that of the executable, then those of the system.
    pub library_folders: Vec<PathBuf>,
    /// Python environments (`.venv`, `$VIRTUAL_ENV`, ...) that may contain the `onnxruntime` package.
    pub python_environments: Vec<PathBuf>,
    /// Folders of an installed `onnxruntime` package.
    pub packages: Vec<PathBuf>,
}

impl RuntimeSearch {
    /// Returns the first library that exists.
    ///
    /// # Errors
    /// Returns [`Error::Runtime`] if none exists, with the searched locations and the command that installs it.
    pub fn find(&self) -> Result<PathBuf, Error> {
        if let Some(named) = &self.named {
            let library = if named.is_dir() { library_in(named) } else { Some(named.clone()) };
            return library.filter(|path| path.is_file()).ok_or_else(|| {
                Error::Runtime(format!(
                    "cannot find ONNX Runtime at {}, the value of --onnxruntime or ORT_DYLIB_PATH\n  help: give the path of a \
                     libonnxruntime.so, or omit it and install ONNX Runtime: {INSTALL_COMMAND}",
                    named.display()
                ))
            });
        }
        self.existing().next().ok_or_else(|| Error::Runtime(self.not_found_message()))
    }

    /// Returns the first library that is a build for CUDA, or else the first one.
    ///
    /// # Errors
    /// Returns [`Error::Runtime`] if none exists, as [`RuntimeSearch::find`] does.
    pub fn find_for_cuda(&self) -> Result<PathBuf, Error> {
        let is_for_cuda = |library: &PathBuf| library.with_file_name("libonnxruntime_providers_cuda.so").is_file();
        let for_cuda = if self.named.is_some() { None } else { self.existing().find(is_for_cuda) };
        for_cuda.map_or_else(|| self.find(), Ok)
    }

    /// Iterates over the libraries that exist, in search order.
    fn existing(&self) -> impl Iterator<Item = PathBuf> {
        let in_environments = self.python_environments.iter().flat_map(|environment| packages_in(environment));
        let (executable, system) = self.library_folders.split_at(self.library_folders.len().min(1));
        executable
            .iter()
            .cloned()
            .chain(in_environments.chain(self.packages.iter().cloned()).map(|package| package.join("capi")))
            .chain(system.iter().cloned())
            .filter_map(|folder| library_in(&folder))
    }

    /// Folders `lib/python3.*/site-packages` of a Python environment, newest Python first.
    #[must_use]
    pub fn site_packages_of(environment: &Path) -> Vec<PathBuf> {
        let mut versions: Vec<PathBuf> = ["lib", "lib64"]
            .iter()
            .filter_map(|lib| std::fs::read_dir(environment.join(lib)).ok())
            .flat_map(|entries| entries.filter_map(Result::ok))
            .map(|entry| entry.path().join("site-packages"))
            .filter(|folder| folder.is_dir())
            .collect();
        versions.sort();
        versions.reverse();
        versions
    }

    fn not_found_message(&self) -> String {
        let searched = self.python_environments.iter().chain(&self.packages).chain(&self.library_folders);
        let searched: Vec<String> = searched.map(|path| path.display().to_string()).collect();
        format!(
            "cannot find ONNX Runtime\n  help: install it (for CUDA, onnxruntime-gpu instead), or give the library with \
             --onnxruntime or ORT_DYLIB_PATH:\n\n    {INSTALL_COMMAND}\n\n  searched: {}",
            searched.join(", ")
        )
    }
}

/// Folders `lib/python3.*/site-packages/onnxruntime` of a Python environment, newest Python first.
fn packages_in(environment: &Path) -> Vec<PathBuf> {
    let packages = RuntimeSearch::site_packages_of(environment).into_iter().map(|folder| folder.join("onnxruntime"));
    packages.filter(|package| package.is_dir()).collect()
}

/// Returns `libonnxruntime.so` in a folder, or the highest `libonnxruntime.so.*`.
fn library_in(folder: &Path) -> Option<PathBuf> {
    let is_library = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name == "libonnxruntime.so" || name.starts_with("libonnxruntime.so.") || name == "libonnxruntime.dylib"
    };
    let entries = std::fs::read_dir(folder).ok()?;
    entries.filter_map(Result::ok).map(|entry| entry.path()).filter(is_library).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_runtime_is_reported_with_the_command_that_installs_it() {
        let nowhere = RuntimeSearch { python_environments: vec!["/nowhere/.venv".into()], ..RuntimeSearch::default() };
        let message = nowhere.find().unwrap_err().to_string();
        assert!(message.contains(INSTALL_COMMAND) && message.contains("/nowhere/.venv"), "{message}");
    }

    #[test]
    fn the_wheel_inside_a_python_environment_is_found() {
        let environment = tempfile::tempdir().unwrap();
        let capi = environment.path().join("lib/python3.12/site-packages/onnxruntime/capi");
        std::fs::create_dir_all(&capi).unwrap();
        let library = capi.join("libonnxruntime.so.1.32.0");
        std::fs::write(&library, b"").unwrap();
        std::fs::write(capi.join("libonnxruntime_providers_shared.so"), b"").unwrap();
        let search = RuntimeSearch { python_environments: vec![environment.path().into()], ..RuntimeSearch::default() };
        assert_eq!(search.find().unwrap(), library);
    }

    #[test]
    fn a_build_for_cuda_is_preferred_if_cuda_is_requested() {
        let environments = tempfile::tempdir().unwrap();
        let make = |name: &str, files: &[&str]| {
            let capi = environments.path().join(name).join("lib/python3.12/site-packages/onnxruntime/capi");
            std::fs::create_dir_all(&capi).unwrap();
            for file in files {
                std::fs::write(capi.join(file), b"").unwrap();
            }
            capi.join(files[0])
        };
        let for_cpu = make("cpu", &["libonnxruntime.so.1.32.0"]);
        let only_cpu = [environments.path().join("cpu")];
        let search = RuntimeSearch { python_environments: only_cpu.to_vec(), ..RuntimeSearch::default() };
        assert_eq!(search.find_for_cuda().unwrap(), for_cpu);

        let for_cuda = make("gpu", &["libonnxruntime.so.1.31.1", "libonnxruntime_providers_cuda.so"]);
        let both = ["cpu", "gpu"].map(|name| environments.path().join(name));
        let search = RuntimeSearch { python_environments: both.to_vec(), ..RuntimeSearch::default() };
        assert_eq!(search.find_for_cuda().unwrap(), for_cuda);
        assert_eq!(search.find().unwrap(), for_cpu);
    }

    #[test]
    fn only_a_named_runtime_is_searched() {
        let search = RuntimeSearch { named: Some("/nowhere/libonnxruntime.so".into()), ..RuntimeSearch::default() };
        assert!(search.find().unwrap_err().to_string().contains("--onnxruntime"));
    }
}
