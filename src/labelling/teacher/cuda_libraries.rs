//! Brings CUDA's own libraries where ONNX Runtime looks for them.
//!
//! Its CUDA provider names them (`libcublasLt.so.13`, ...) and leaves it to the system to find them. Where they were
//! installed by pip they lie in `site-packages/nvidia/*/lib`, beside PyTorch's or ONNX Runtime's own, and the system knows
//! nothing of that. A library that is loaded already is not looked for again, so each is loaded beforehand: as the system
//! finds it, else from these folders.

use std::path::{Path, PathBuf};

use ort::util::preload_dylib;

/// What the CUDA provider needs at once or when it first convolves; what others need stands before them.
const LIBRARIES: [&str; 8] =
    ["libcudart", "libnvrtc", "libnvJitLink", "libcublasLt", "libcublas", "libcufft", "libcurand", "libcudnn"];

/// Loads what there is in the `nvidia/*/lib` folders of these `site-packages`; earlier ones win. What is missing is not
/// an error here: the provider says it when it is asked for.
pub(super) fn preload(site_packages: &[PathBuf]) {
    for library in LIBRARIES {
        for file in site_packages.iter().flat_map(|packages| files(packages, library)) {
            let name = file.file_name().unwrap_or_default();
            let loaded = preload_dylib(name).map(|()| PathBuf::from(name));
            match loaded.or_else(|_| preload_dylib(&file).map(|()| file.clone())) {
                Ok(from) => tracing::debug!("{} is loaded for CUDA", from.display()),
                Err(error) => tracing::debug!("{} cannot be loaded for CUDA: {error}", file.display()),
            }
        }
    }
}

/// Files `nvidia/*/lib/<library>.so.<version>`, the highest version first.
fn files(site_packages: &Path, library: &str) -> Vec<PathBuf> {
    let start = format!("{library}.so.");
    let is_it = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&start));
    let entries = |folder: PathBuf| std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let mut found: Vec<PathBuf> = entries(site_packages.join("nvidia"))
        .flat_map(|package| entries(package.path().join("lib")))
        .map(|entry| entry.path())
        .filter(is_it)
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
        let there = ["nvidia/cublas/lib/libcublas.so.12", "nvidia/cu13/lib/libcublas.so.13"];
        let others = ["nvidia/cu13/lib/libcublasLt.so.13", "nvidia/cu13/lib/libcublas_static.a", "nvidia/cu13/x.so"];
        for file in there.iter().chain(&others) {
            let path = site_packages.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, b"").unwrap();
        }
        let mut found = files(site_packages.path(), "libcublas");
        found.sort();
        let mut expected = there.map(|file| site_packages.path().join(file));
        expected.sort();
        assert_eq!(found, expected);
        assert!(files(Path::new("/nowhere"), "libcublas").is_empty());
    }
}
