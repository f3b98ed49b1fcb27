//! Finds and loads ONNX Runtime, a shared library that comes from outside (a `PyPI` wheel, a system package).

use std::path::{Path, PathBuf};

use ort::environment::Environment;
use ort::session::Session;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};

use super::device::Device;
use super::{cuda_libraries, tensors, trial};
use crate::shared::error::Error;

/// The one command that installs what is missing.
pub const INSTALL_COMMAND: &str = "python3 -m pip install onnxruntime";

/// Where to look for ONNX Runtime, in this order. The caller fills it in: this library reads no environment.
#[derive(Clone, Debug, Default)]
pub struct RuntimeSearch {
    /// A library file that was named; nothing else is tried then.
    pub named: Option<PathBuf>,
    /// Folders that may hold `libonnxruntime.so*` itself: beside the executable, the system's.
    pub library_folders: Vec<PathBuf>,
    /// Python environments (`.venv`, `$VIRTUAL_ENV`, ...) that may hold the `onnxruntime` package.
    pub python_environments: Vec<PathBuf>,
    /// Folders of an installed `onnxruntime` package.
    pub packages: Vec<PathBuf>,
}

impl RuntimeSearch {
    /// The first library that exists.
    ///
    /// # Errors
    /// When there is none; the message says where was looked and names the command that installs it.
    pub fn find(&self) -> Result<PathBuf, Error> {
        if let Some(named) = &self.named {
            let library = if named.is_dir() { library_in(named) } else { Some(named.clone()) };
            return library.filter(|path| path.is_file()).ok_or_else(|| {
                Error::Runtime(format!(
                    "ONNX Runtime is not at {}, where --onnxruntime or ORT_DYLIB_PATH points. Name a libonnxruntime.so, \
                     or leave it out and install one: {INSTALL_COMMAND}",
                    named.display()
                ))
            });
        }
        self.found().next().ok_or_else(|| Error::Runtime(self.nothing_found()))
    }

    /// The first library that exists in a build for CUDA, or else the first one.
    ///
    /// # Errors
    /// Those of [`RuntimeSearch::find`].
    pub fn find_for_cuda(&self) -> Result<PathBuf, Error> {
        let is_for_cuda = |library: &PathBuf| library.with_file_name("libonnxruntime_providers_cuda.so").is_file();
        let for_cuda = if self.named.is_some() { None } else { self.found().find(is_for_cuda) };
        for_cuda.map_or_else(|| self.find(), Ok)
    }

    fn found(&self) -> impl Iterator<Item = PathBuf> {
        let in_environments = self.python_environments.iter().flat_map(|environment| packages_in(environment));
        let (beside, system) = self.library_folders.split_at(self.library_folders.len().min(1));
        beside
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

    fn nothing_found(&self) -> String {
        let places = self.python_environments.iter().chain(&self.packages).chain(&self.library_folders);
        let places: Vec<String> = places.map(|place| place.display().to_string()).collect();
        format!(
            "ONNX Runtime is not installed here. This command installs it:\n\n    {INSTALL_COMMAND}\n\n  (onnxruntime-gpu \
             instead for CUDA.) Or name the library with --onnxruntime or ORT_DYLIB_PATH. Looked in: {}",
            places.join(", ")
        )
    }
}

/// Folders `lib/python3.*/site-packages/onnxruntime` of a Python environment, newest Python first.
fn packages_in(environment: &Path) -> Vec<PathBuf> {
    let packages = RuntimeSearch::site_packages_of(environment).into_iter().map(|folder| folder.join("onnxruntime"));
    packages.filter(|package| package.is_dir()).collect()
}

/// `libonnxruntime.so`, or the highest `libonnxruntime.so.*`, in a folder.
fn library_in(folder: &Path) -> Option<PathBuf> {
    let is_library = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name == "libonnxruntime.so" || name.starts_with("libonnxruntime.so.") || name == "libonnxruntime.dylib"
    };
    let entries = std::fs::read_dir(folder).ok()?;
    entries.filter_map(Result::ok).map(|entry| entry.path()).filter(is_library).max()
}

/// ONNX Runtime, loaded.
pub struct Runtime {
    environment: Environment,
    library: PathBuf,
    site_packages: Vec<PathBuf>,
}

impl Runtime {
    /// Loads the library. One process loads one: a second call with another path keeps the first.
    ///
    /// # Errors
    /// When the file is no ONNX Runtime, or an older one than this program needs.
    pub fn load(library: &Path) -> Result<Self, Error> {
        let broken = |reason: String| {
            Error::Runtime(format!(
                "{} cannot be used as ONNX Runtime: {reason}. This command installs one that can: {INSTALL_COMMAND}",
                library.display()
            ))
        };
        let environment = ort::init_from(library)
            .map_err(|error| broken(error.to_string()))?
            .with_name("relabel")
            .with_telemetry(false)
            .build()
            .map_err(|error| broken(error.to_string()))?;
        Ok(Self { environment, library: library.to_path_buf(), site_packages: Vec::new() })
    }

    /// The library's file.
    #[must_use]
    pub fn library(&self) -> &Path {
        &self.library
    }

    /// The version and build that the library reports.
    #[must_use]
    pub fn build_info() -> String {
        ort::info().to_owned()
    }

    /// Where CUDA's libraries may lie beside the system's places: `site-packages` folders, in order.
    #[must_use]
    pub fn with_cuda_libraries_of(mut self, site_packages: Vec<PathBuf>) -> Self {
        self.site_packages = site_packages;
        self
    }

    /// Whether a device can be used: it is given a small convolution to do.
    ///
    /// # Errors
    /// Why it cannot, and what to do ([`Error::Device`]).
    pub fn try_device(&self, device: Device) -> Result<(), Error> {
        let Device::Cuda { .. } = device else { return Ok(()) };
        cuda_libraries::preload(&self.site_packages);
        trial::run(self, device).map_err(|reason| trial::explained(device, &reason, &self.library))
    }

    /// Loads a model. Weights in external files are taken from a folder by ONNX Runtime itself.
    pub(super) fn session(&self, model: &[u8], options: &SessionOptions<'_>) -> Result<Session, Error> {
        let failed = |action| move |message| Error::Inference { action, message };
        let mut builder = self.builder(options).map_err(failed("prepare a session"))?;
        // Not enough memory for its weights is told apart.
        builder.commit_from_memory(model).map_err(tensors::failed("load the teacher"))
    }

    pub(super) fn builder(&self, options: &SessionOptions<'_>) -> Result<SessionBuilder, String> {
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let weights_folder =
            if options.weights_folder.as_os_str().is_empty() { Path::new(".") } else { options.weights_folder };
        let mut builder = Session::builder(&self.environment)
            .map_err(|e| text(&e))?
            .with_optimization_level(match options.optimisation {
                Optimisation::All => GraphOptimizationLevel::All,
                Optimisation::None => GraphOptimizationLevel::Disable,
            })
            .map_err(|e| text(&e))?
            .with_intra_threads(options.threads)
            .map_err(|e| text(&e))?
            // Waiting threads would otherwise burn the cores that decode the next images.
            .with_intra_op_spinning(false)
            .map_err(|e| text(&e))?
            .with_config_entry("session.model_external_initializers_file_folder_path", weights_folder.to_string_lossy())
            .map_err(|e| text(&e))?;
        if let Some(folder) = options.profile {
            builder = builder.with_profiling(folder.join("nodes")).map_err(|e| text(&e))?;
        }
        if let Device::Cuda { index, tuning } = options.device {
            builder = builder.with_execution_providers([tuning.provider(index)]).map_err(|e| text(&e))?;
        }
        Ok(builder)
    }
}

/// How a session is made.
#[derive(Clone, Copy, Debug)]
pub(super) struct SessionOptions<'a> {
    pub(super) weights_folder: &'a Path,
    pub(super) device: Device,
    pub(super) threads: usize,
    /// A folder for a profile of which node runs where.
    pub(super) profile: Option<&'a Path>,
    pub(super) optimisation: Optimisation,
}

/// What ONNX Runtime may make of a graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Optimisation {
    /// Nodes are fused and folded.
    All,
    /// Nodes run as they are written, so that each of them can be seen.
    None,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_runtime_names_the_command_that_installs_it() {
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
    fn a_build_for_cuda_is_preferred_where_cuda_is_asked_for() {
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
    fn a_named_runtime_is_the_only_one_tried() {
        let search = RuntimeSearch { named: Some("/nowhere/libonnxruntime.so".into()), ..RuntimeSearch::default() };
        assert!(search.find().unwrap_err().to_string().contains("--onnxruntime"));
    }
}
