//! Where the program is installed, and what is installed with it.

use std::env;
use std::path::{Path, PathBuf};

/// Returns the folder of the program. Links, such as those of pipx and uv, are resolved.
pub fn program_folder() -> Option<PathBuf> {
    let program = env::current_exe().ok()?;
    program.canonicalize().unwrap_or(program).parent().map(Path::to_path_buf)
}

/// Returns `P` if the program is installed as `P/bin/relabel`: a Python environment, `/usr/local`, `~/.local`, an unpacked
/// release archive, or the folder of `pip install --target`.
pub fn program_prefix() -> Option<PathBuf> {
    prefix_of(&program_folder()?)
}

fn prefix_of(folder: &Path) -> Option<PathBuf> {
    folder.parent().filter(|_| folder.file_name().is_some_and(|name| name == "bin")).map(Path::to_path_buf)
}

/// Returns the folder of the demo's teacher and photographs, which wheels and release archives install next to the program.
/// It may be missing.
pub fn demo_folder() -> Option<PathBuf> {
    program_folder()?.parent().map(|prefix| prefix.join("share/relabel/demo"))
}

/// Returns the active environments of venv, virtualenv and conda, in the order in which they are searched.
pub fn active_environments() -> Vec<PathBuf> {
    ["VIRTUAL_ENV", "CONDA_PREFIX"].iter().filter_map(env::var_os).map(PathBuf::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_contains_the_program_in_bin() {
        assert_eq!(prefix_of(Path::new("/home/me/env/bin")), Some("/home/me/env".into()));
        assert_eq!(prefix_of(Path::new("/bin")), Some("/".into()));
        // Files next to a copied program, such as those in /tmp, are not its installation.
        assert_eq!(prefix_of(Path::new("/tmp/download")), None);
        assert_eq!(prefix_of(Path::new("/")), None);
    }
}
