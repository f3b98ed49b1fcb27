//! Loads CUDA's libraries before ONNX Runtime needs them.
//!
//! ONNX Runtime's CUDA provider refers to them by name (`libcublasLt.so.13`, ...), and the system's loader does not find
//! those that pip installs in `site-packages/nvidia/*/lib`. A library that is already loaded is not searched for again, so
//! each is loaded in advance: from where the loader finds it, or else from these folders.

use std::path::{Path, PathBuf};

use ort::util::preload_dylib;

/// The libraries that the CUDA provider needs when it is created or when it first convolves, in dependency order.
const LIBRARIES: [&str; 8] =
    ["libcudart", "libnvrtc", "libnvJitLink", "libcublasLt", "libcublas", "libcufft", "libcurand", "libcudnn"];

/// Loads the libraries in the `nvidia/*/lib` folders of these `site-packages`; earlier folders take precedence. Missing ones
/// are not an error here: the provider reports them.
pub(super) fn preload(site_packages: &[PathBuf]) {
    for library in LIBRARIES {
        for file in site_packages.iter().flat_map(|packages| library_files(packages, library)) {
            let name = file.file_name().unwrap_or_default();
            let loaded = preload_dylib(name).map(|()| PathBuf::from(name));
            match loaded.or_else(|_| preload_dylib(&file).map(|()| file.clone())) {
                Ok(from) => tracing::debug!("loaded {} for CUDA", from.display()),
                Err(error) => tracing::debug!("cannot load {} for CUDA: {error}", file.display()),
            }
        }
    }
}

/// Files `nvidia/*/lib/<library>.so.<version>`, highest version first.
fn library_files(site_packages: &Path, library: &str) -> Vec<PathBuf> {
    let start = format!("{library}.so.");
    let is_match = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&start));
    let entries = |folder: PathBuf| std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let mut found: Vec<PathBuf> = entries(site_packages.join("nvidia"))
        .flat_map(|package| entries(package.path().join("lib")))
        .map(|entry| entry.path())
        .filter(is_match)
        .collect();
    found.sort();
    found.reverse();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_found_in_both_layouts_of_nvidias_packages() {
        let site_packages = tempfile::tempdir().unwrap();
        let expected = ["nvidia/cublas/lib/libcublas.so.12", "nvidia/cu13/lib/libcublas.so.13"];
        let others = ["nvidia/cu13/lib/libcublasLt.so.13", "nvidia/cu13/lib/libcublas_static.a", "nvidia/cu13/x.so"];
        for file in expected.iter().chain(&others) {
            let path = site_packages.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, b"").unwrap();
        }
        let mut found = library_files(site_packages.path(), "libcublas");
        found.sort();
        let mut expected = expected.map(|file| site_packages.path().join(file));
        expected.sort();
        assert_eq!(found, expected);
        assert!(library_files(Path::new("/nowhere"), "libcublas").is_empty());
    }
}
