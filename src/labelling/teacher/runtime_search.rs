//! Finds ONNX Runtime, a shared library that is installed separately (a `PyPI` wheel, a system package).

use std::cmp::Reverse;
use std::path::{Path, PathBuf};

use crate::shared::error::Error;

/// The command that installs ONNX Runtime.
pub(super) const INSTALL_COMMAND: &str = "python3 -m pip install onnxruntime";

/// Locations to search for ONNX Runtime, in this order. The caller provides them: this library reads no environment.
#[derive(Clone, Debug, Default)]
pub struct RuntimeSearch {
    /// A library file, or its folder. If it is set, nothing else is searched.
    pub named: Option<PathBuf>,
    /// Folder of the program, which may contain `libonnxruntime.so*` itself.
    pub program_folder: Option<PathBuf>,
    /// Folder `P` of a program that is installed as `P/bin/relabel`: a Python environment, or the target folder of
    /// `pip install --target`, which contains packages itself.
    pub program_prefix: Option<PathBuf>,
    /// Python environments (`.venv`, `$VIRTUAL_ENV`, ...) that may contain the `onnxruntime` package.
    pub python_environments: Vec<PathBuf>,
    /// Folders of the system that may contain `libonnxruntime.so*` itself.
    pub system_folders: Vec<PathBuf>,
    /// Folders of an installed `onnxruntime` package.
    pub packages: Vec<PathBuf>,
}

impl RuntimeSearch {
    /// Returns the first library that exists.
    ///
    /// # Errors
    /// Returns [`Error::Runtime`] if none exists, with the searched locations and the command that installs it.
    pub fn find(&self) -> Result<PathBuf, Error> {
        self.find_named_or_first("onnxruntime")
    }

    /// Returns the first library that is a build for CUDA, or else the first one.
    ///
    /// # Errors
    /// Returns [`Error::Runtime`] if none exists, as [`RuntimeSearch::find`] does, with the command that installs a build for
    /// CUDA.
    pub fn find_for_cuda(&self) -> Result<PathBuf, Error> {
        let is_for_cuda = |library: &PathBuf| library.with_file_name("libonnxruntime_providers_cuda.so").is_file();
        let for_cuda = if self.named.is_some() { None } else { self.existing().find(is_for_cuda) };
        for_cuda.map_or_else(|| self.find_named_or_first("'onnxruntime-gpu[cuda,cudnn]'"), Ok)
    }

    /// Returns the named library or the first that exists. `package` is the one to install if there is none.
    fn find_named_or_first(&self, package: &str) -> Result<PathBuf, Error> {
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
        self.existing().next().ok_or_else(|| Error::Runtime(self.not_found_message(package)))
    }

    /// Iterates over the libraries that exist, in search order.
    fn existing(&self) -> impl Iterator<Item = PathBuf> {
        let in_environments = self.site_packages().into_iter().map(|folder| folder.join("onnxruntime/capi"));
        let in_packages = self.packages.iter().map(|package| package.join("capi"));
        let program_folder = self.program_folder.iter().cloned();
        program_folder
            .chain(in_environments)
            .chain(self.system_folders.iter().cloned())
            .chain(in_packages)
            .filter_map(|folder| library_in(&folder))
    }

    /// Folders of the Python packages in all environments, in search order: that of the program comes first.
    #[must_use]
    pub fn site_packages(&self) -> Vec<PathBuf> {
        let of_program = self.program_prefix.iter().flat_map(|prefix| {
            let mut folders = Self::site_packages_of(prefix);
            folders.push(prefix.clone());
            folders
        });
        of_program.chain(self.python_environments.iter().flat_map(|other| Self::site_packages_of(other))).collect()
    }

    /// Folders `lib*/python3*/site-packages` and `dist-packages` (Debian's) of a Python environment, newest Python first.
    #[must_use]
    pub fn site_packages_of(environment: &Path) -> Vec<PathBuf> {
        let libs = ["lib", "lib64"].iter().filter_map(|lib| std::fs::read_dir(environment.join(lib)).ok());
        let entries = libs.flat_map(|entries| entries.filter_map(Result::ok)).map(|entry| entry.path());
        let mut versions: Vec<(u32, PathBuf)> =
            entries.filter_map(|folder| Some((python_version(&folder)?, folder))).collect();
        versions.sort_by_key(|(version, _)| Reverse(*version));
        let folders = versions
            .into_iter()
            .flat_map(|(_, folder)| ["site-packages", "dist-packages"].map(|packages| folder.join(packages)));
        folders.filter(|folder| folder.is_dir()).collect()
    }

    fn not_found_message(&self, package: &str) -> String {
        let folders = [&self.program_prefix, &self.program_folder].into_iter().flatten();
        let searched = folders.chain(&self.python_environments).chain(&self.packages).chain(&self.system_folders);
        let searched: Vec<String> = searched.map(|path| path.display().to_string()).collect();
        let python = |prefix: &PathBuf| Some(prefix.join("bin/python3")).filter(|python| python.exists());
        let advice = match self.program_prefix.as_ref().and_then(|prefix| Some((prefix, python(prefix)?))) {
            Some((prefix, python)) => {
                let has_pip = Self::site_packages_of(prefix).iter().any(|folder| folder.join("pip").is_dir());
                // Environments of uv contain no pip.
                let install = if has_pip {
                    format!("{} -m pip install {package}", python.display())
                } else {
                    format!("uv pip install --python {} {package}", python.display())
                };
                format!(
                    "install it in the program's environment, or give the library with --onnxruntime or ORT_DYLIB_PATH:\n\n    \
                     {install}\n\n  The extras of relabel's wheel do the same: [cpu] and, for CUDA, [cuda]\n"
                )
            }
            None => format!(
                "install it (for CUDA, onnxruntime-gpu instead), or give the library with --onnxruntime or \
                 ORT_DYLIB_PATH:\n\n    {INSTALL_COMMAND}\n\n"
            ),
        };
        format!("cannot find ONNX Runtime\n  help: {advice}  searched: {}", searched.join(", "))
    }
}

/// Returns 12 for a folder `python3.12`, and 0 for `python3`, which Debian shares between versions. `None` for others.
fn python_version(folder: &Path) -> Option<u32> {
    match folder.file_name()?.to_str()?.strip_prefix("python3")? {
        "" => Some(0),
        // A build without the GIL is python3.14t.
        minor => minor.strip_prefix('.')?.trim_end_matches('t').parse().ok(),
    }
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

    /// Creates the files of a CPU build in the folder of Python packages. Returns the library.
    fn install(packages: &Path) -> PathBuf {
        let capi = packages.join("onnxruntime/capi");
        std::fs::create_dir_all(&capi).unwrap();
        let library = capi.join("libonnxruntime.so.1.32.0");
        std::fs::write(&library, b"").unwrap();
        library
    }

    #[test]
    fn the_environment_of_the_program_comes_before_others() {
        let [program, other] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let in_other = install(&other.path().join("lib/python3.14/site-packages"));
        let search = RuntimeSearch {
            program_prefix: Some(program.path().into()),
            python_environments: vec![other.path().into()],
            ..RuntimeSearch::default()
        };
        assert_eq!(search.find().unwrap(), in_other);
        // Each of these is preferred to those above it.
        for packages in [
            "",
            "lib/python3/dist-packages",
            "lib64/python3.9/site-packages",
            "lib/python3.10/dist-packages",
            "lib/python3.10/site-packages",
            "lib/python3.14t/site-packages",
        ] {
            let library = install(&program.path().join(packages));
            assert_eq!(search.find().unwrap(), library, "{packages}");
        }
        let expected = program.path().join("lib/python3.14t/site-packages");
        assert_eq!(
            search.site_packages().first(),
            Some(&expected),
            "CUDA's libraries are searched for in the same order"
        );
        assert_eq!(search.site_packages().last(), Some(&other.path().join("lib/python3.14/site-packages")));
    }

    #[test]
    fn the_command_installs_into_the_environment_of_the_program() {
        let prefix = tempfile::tempdir().unwrap();
        let search = RuntimeSearch { program_prefix: Some(prefix.path().into()), ..RuntimeSearch::default() };
        let message = |result: Result<PathBuf, Error>| result.unwrap_err().to_string();
        assert!(message(search.find()).contains(INSTALL_COMMAND), "the prefix has no Python");

        let python = prefix.path().join("bin/python3");
        std::fs::create_dir_all(prefix.path().join("lib/python3.12/site-packages/pip")).unwrap();
        std::fs::create_dir(prefix.path().join("bin")).unwrap();
        std::fs::write(&python, b"").unwrap();
        let install = format!("    {} -m pip install ", python.display());
        let for_cpu = message(search.find());
        assert!(for_cpu.contains(&format!("{install}onnxruntime\n")) && for_cpu.contains("[cpu]"), "{for_cpu}");
        let for_cuda = message(search.find_for_cuda());
        assert!(for_cuda.contains(&format!("{install}'onnxruntime-gpu[cuda,cudnn]'\n")), "{for_cuda}");

        std::fs::remove_dir(prefix.path().join("lib/python3.12/site-packages/pip")).unwrap();
        let with_uv = format!("    uv pip install --python {} onnxruntime\n", python.display());
        assert!(message(search.find()).contains(&with_uv), "environments of uv contain no pip");
    }
}
