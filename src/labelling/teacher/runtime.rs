//! Loads ONNX Runtime and creates sessions.

use std::path::{Path, PathBuf};

use ort::environment::Environment;
use ort::session::Session;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};

use super::device::Device;
use super::runtime_search::INSTALL_COMMAND;
use super::tensors::failed;
use crate::shared::error::Error;

/// The loaded library.
pub struct Runtime {
    environment: Environment,
    library: PathBuf,
    cuda_site_packages: Vec<PathBuf>,
}

impl Runtime {
    /// Loads the library. A process loads only one: a second call with a different path keeps the first.
    ///
    /// # Errors
    /// Returns [`Error::Runtime`] if the file is not ONNX Runtime, or an older version than is required.
    pub fn load(library: &Path) -> Result<Self, Error> {
        let unusable = |error: &dyn std::fmt::Display| {
            Error::Runtime(format!(
                "{} cannot be used as ONNX Runtime: {error}\n  help: install a current version: {INSTALL_COMMAND}",
                library.display()
            ))
        };
        let environment = ort::init_from(library)
            .map_err(|error| unusable(&error))?
            .with_name("relabel")
            .with_telemetry(false)
            .build()
            .map_err(|error| unusable(&error))?;
        Ok(Self { environment, library: library.to_path_buf(), cuda_site_packages: Vec::new() })
    }

    /// Path of the library.
    #[must_use]
    pub fn library(&self) -> &Path {
        &self.library
    }

    /// Version and build, as the library reports them.
    #[must_use]
    pub fn build_info() -> String {
        ort::info().to_owned()
    }

    /// Sets the `site-packages` folders to search for CUDA's libraries in addition to the system's, in order.
    #[must_use]
    pub fn with_cuda_site_packages(mut self, site_packages: Vec<PathBuf>) -> Self {
        self.cuda_site_packages = site_packages;
        self
    }

    /// The folders of [`Runtime::with_cuda_site_packages`].
    pub(super) fn cuda_site_packages(&self) -> &[PathBuf] {
        &self.cuda_site_packages
    }

    /// Loads a model. ONNX Runtime itself reads weights in separate files.
    ///
    /// # Errors
    /// Returns [`Error::DeviceMemory`] if there is not enough memory for the weights, [`Error::Inference`] if the model
    /// cannot be loaded for a different reason.
    pub(super) fn session(&self, model: &[u8], options: &SessionOptions<'_>) -> Result<Session, Error> {
        let mut builder = self
            .session_builder(options)
            .map_err(|error| Error::Inference { action: "prepare a session", message: error.to_string() })?;
        builder.commit_from_memory(model).map_err(failed("load the teacher"))
    }

    pub(super) fn session_builder(&self, options: &SessionOptions<'_>) -> Result<SessionBuilder, ort::Error> {
        let weights_folder =
            if options.weights_folder.as_os_str().is_empty() { Path::new(".") } else { options.weights_folder };
        let mut builder = Session::builder(&self.environment)?
            .with_optimization_level(match options.optimisation {
                Optimisation::All => GraphOptimizationLevel::All,
                Optimisation::None => GraphOptimizationLevel::Disable,
            })?
            .with_intra_threads(options.threads)?
            // Spinning threads would occupy the cores that decode the next images.
            .with_intra_op_spinning(false)?
            .with_config_entry(
                "session.model_external_initializers_file_folder_path",
                weights_folder.to_string_lossy(),
            )?;
        if let Some(folder) = options.profile {
            builder = builder.with_profiling(folder.join("nodes"))?;
        }
        if let Device::Cuda { index, tuning } = options.device {
            builder = builder.with_execution_providers([tuning.provider(index)])?;
        }
        Ok(builder)
    }
}

/// Options of a session.
#[derive(Clone, Copy, Debug)]
pub(super) struct SessionOptions<'a> {
    pub(super) weights_folder: &'a Path,
    pub(super) device: Device,
    pub(super) threads: usize,
    /// A folder for a profile of the nodes; `None` for no profile.
    pub(super) profile: Option<&'a Path>,
    pub(super) optimisation: Optimisation,
}

/// Graph optimisation by ONNX Runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Optimisation {
    /// Nodes are fused and folded.
    All,
    /// Nodes run unchanged, so each tensor can be read.
    None,
}
