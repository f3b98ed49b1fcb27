//! Lists the XML files below a folder.

use std::fs::DirEntry;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::truth_error::{TruthError, beginning};
use crate::shared::error::Error;
use crate::shared::printable::printable_path;
use crate::shared::regular_file;

/// Depth of folders that are searched.
const MAX_DEPTH: usize = 16;
/// Number of XML files that are read: several times as many as ImageNet has.
const MAX_FILES: usize = 4_000_000;

/// Returns the error of a truth that cannot be used.
pub(super) fn refused(path: &Path, problem: &TruthError) -> Error {
    Error::Usage(format!("truth {}: {problem}", printable_path(path)))
}

/// Returns the XML files below a folder, as sorted paths below it. Symbolic links are followed; names that begin with a dot
/// are ignored.
///
/// # Errors
/// Returns [`Error::File`] if a folder cannot be listed, and [`Error::Usage`] without XML files, or with too many.
pub(super) fn annotation_files(root: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut walk = AnnotationWalk { root, files: Vec::new(), example: None };
    walk.list(Path::new(""), &mut Vec::new())?;
    if walk.files.is_empty() {
        return Err(refused(root, &TruthError::NoAnnotations { example: walk.example }));
    }
    // In the order of their bytes, as `sort` has it, not folder by folder.
    walk.files.sort_unstable_by(|one, other| one.as_os_str().cmp(other.as_os_str()));
    Ok(walk.files)
}

struct AnnotationWalk<'a> {
    root: &'a Path,
    files: Vec<PathBuf>,
    /// A name that is not that of an XML file.
    example: Option<String>,
}

impl AnnotationWalk<'_> {
    /// Lists a folder. `ancestors` identifies the folders that contain it.
    fn list(&mut self, below: &Path, ancestors: &mut Vec<(u64, u64)>) -> Result<(), Error> {
        let folder = self.root.join(below);
        let metadata = std::fs::metadata(&folder).map_err(Error::file("list", &folder))?;
        let identity = (metadata.dev(), metadata.ino());
        if ancestors.contains(&identity) {
            return Err(refused(self.root, &TruthError::LinkLoop { folder: below.to_string_lossy().into_owned() }));
        }
        if ancestors.len() == MAX_DEPTH {
            return Err(refused(self.root, &TruthError::TooMany { what: "levels of folders", limit: MAX_DEPTH }));
        }
        ancestors.push(identity);
        for entry in std::fs::read_dir(&folder).map_err(Error::file("list", &folder))? {
            let entry = entry.map_err(Error::file("list", &folder))?;
            let name = entry.file_name();
            if name.as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let inside = below.join(&name);
            if is_folder(&entry)? {
                self.list(&inside, ancestors)?;
            } else if inside.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("xml")) {
                self.files.push(inside);
            }
            if self.example.is_none() {
                self.example = Some(beginning(&name.to_string_lossy()));
            }
            if self.files.len() > MAX_FILES {
                return Err(refused(self.root, &TruthError::TooMany { what: "XML files", limit: MAX_FILES }));
            }
        }
        ancestors.pop();
        Ok(())
    }
}

fn is_folder(entry: &DirEntry) -> Result<bool, Error> {
    let path = entry.path();
    let kind = entry.file_type().map_err(Error::file("access", &path))?;
    if !kind.is_symlink() {
        return Ok(kind.is_dir());
    }
    Ok(regular_file::metadata(&path)?.is_some_and(|metadata| metadata.is_dir()))
}
