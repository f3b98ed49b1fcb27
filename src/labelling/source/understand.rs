//! What `--in` names, told apart by what it is.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::archives::Archives;
use super::folder::{FolderSource, folder_name};
use super::{ParquetSource, Source, TarSource, is_image_name, pattern, walk};
use crate::shared::error::Error;
use crate::shared::regular_file::concerns_file;

/// What `--in` takes, for refusals.
const TAKES: &str = "--in takes a folder of images, a .tar, several tars or Parquet files (`{000..123}.tar`, `*.parquet`), \
                     or a folder that holds nothing else";

/// Understands what `--in` names: a folder of images; a tar, or a tar of tars; several tars or Parquet files by a
/// pattern with braces or `*`, or by the folder that holds nothing else. What is there by that very name is taken
/// before a pattern.
///
/// # Errors
/// When there is nothing, nothing that is understood, or a mixture.
pub fn open(given: &Path) -> Result<Box<dyn Source>, Error> {
    match std::fs::metadata(given) {
        Ok(metadata) if metadata.is_dir() => open_folder(given),
        Ok(_) => {
            let name = given.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            open_archives(given, name, vec![given.to_path_buf()])
        }
        Err(error) if !concerns_file(&error) => Err(Error::file("open", given)(error)),
        Err(error) => match given.to_str().filter(|text| pattern::is_pattern(text)) {
            None => Err(Error::file("open", given)(error)),
            Some(text) => {
                let problem = |problem: String| Error::Source { path: given.to_path_buf(), problem: problem.into() };
                let files = pattern::files(text).map_err(problem)?;
                let name = match pattern::fixed_name(text) {
                    "" => folder_name(
                        files[0].parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")),
                    ),
                    name => name.to_owned(),
                };
                open_archives(given, name, files)
            }
        },
    }
}

/// What lies directly in a folder.
#[derive(Default)]
struct FolderContents {
    tars: Vec<PathBuf>,
    parquets: Vec<PathBuf>,
    compressed: Option<PathBuf>,
    folders: Vec<PathBuf>,
    /// An image, for a refusal to name.
    image: Option<PathBuf>,
}

fn open_folder(given: &Path) -> Result<Box<dyn Source>, Error> {
    let contents = FolderContents::of(given).map_err(Error::file("list", given))?;
    let problem = |problem: String| Error::Source { path: given.to_path_buf(), problem: problem.into() };
    let there = given.display();
    let archives = match (contents.tars.is_empty(), contents.parquets.is_empty()) {
        (true, true) => {
            return match contents.compressed {
                Some(file) if contents.image.is_none() && contents.folders.is_empty() => Err(compressed(&file)),
                _ => Ok(Box::new(FolderSource::open(given)?)),
            };
        }
        (false, false) => {
            return Err(problem(format!(
                "it holds tars and Parquet files. Name one of them: --in '{there}/*.tar' or --in '{there}/*.parquet'"
            )));
        }
        (false, true) => (contents.tars, "tar"),
        (true, false) => (contents.parquets, "parquet"),
    };
    let (files, ending) = archives;
    let image = match contents.image {
        Some(image) => Some(image),
        None => first_image_below(&contents.folders).map_err(problem)?,
    };
    if let Some(image) = image {
        return Err(problem(format!(
            "it holds both images (such as {}) and .{ending} files (such as {}). For what is in the archives: --in \
             '{there}/*.{ending}'. For the images: move the archives out of the folder, and then --in '{there}'",
            image.display(),
            files[0].display(),
        )));
    }
    open_archives(given, folder_name(given), files)
}

impl FolderContents {
    fn of(folder: &Path) -> std::io::Result<Self> {
        let mut contents = Self::default();
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let (name, kind) = (entry.file_name(), entry.file_type()?);
            let name = name.as_encoded_bytes();
            if name.starts_with(b".") {
                continue;
            }
            let is_folder = match kind.is_symlink().then(|| std::fs::metadata(entry.path())) {
                None => kind.is_dir(),
                Some(Ok(metadata)) => metadata.is_dir(),
                Some(Err(error)) if concerns_file(&error) => false,
                Some(Err(error)) => return Err(error),
            };
            if is_folder {
                contents.folders.push(entry.path());
            } else if ends_in(name, ".tar") {
                contents.tars.push(entry.path());
            } else if ends_in(name, ".parquet") {
                contents.parquets.push(entry.path());
            } else if is_image_name(name) {
                contents.image.get_or_insert_with(|| entry.path());
            } else if COMPRESSED_ENDINGS.iter().any(|ending| ends_in(name, ending)) {
                contents.compressed.get_or_insert_with(|| entry.path());
            }
        }
        contents.tars.sort();
        contents.parquets.sort();
        Ok(contents)
    }
}

fn ends_in(name: &[u8], ending: &str) -> bool {
    name.len() > ending.len() && name[name.len() - ending.len()..].eq_ignore_ascii_case(ending.as_bytes())
}

fn first_image_below(folders: &[PathBuf]) -> Result<Option<PathBuf>, String> {
    for folder in folders {
        if let Some(image) = walk::image_files(folder)?.into_iter().next() {
            return Ok(Some(folder.join(image.path)));
        }
    }
    Ok(None)
}

/// What a file is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum FileKind {
    Tar,
    Parquet,
}

fn open_archives(given: &Path, name: String, files: Vec<PathBuf>) -> Result<Box<dyn Source>, Error> {
    let mut first: Option<(FileKind, &Path)> = None;
    for file in &files {
        let kind = kind_of(file)?;
        match first {
            None => first = Some((kind, file)),
            Some((other, _)) if other == kind => {}
            Some((_, other)) => {
                let problem = format!(
                    "{} and {} are of different kinds. Name only tars, or only Parquet files",
                    other.display(),
                    file.display()
                );
                return Err(Error::Source { path: given.to_path_buf(), problem: problem.into() });
            }
        }
    }
    let kind = first.map(|(kind, _)| kind);
    let archives = Archives::new(given, name, files)?;
    Ok(match kind {
        Some(FileKind::Parquet) => Box::new(ParquetSource::new(archives)),
        _ => Box::new(TarSource::new(archives)),
    })
}

/// First bytes of compressed files, and what they are.
const COMPRESSED: [(&[u8], &str, &str); 5] = [
    (b"\x1f\x8b", "gzip", "gunzip -k"),
    (b"\x28\xb5\x2f\xfd", "zstd", "zstd -dk"),
    (b"\xfd7zXZ\0", "xz", "xz -dk"),
    (b"BZh", "bzip2", "bunzip2 -k"),
    (b"PK\x03\x04", "zip", "unzip"),
];

const COMPRESSED_ENDINGS: [&str; 10] =
    [".tar.gz", ".tgz", ".tar.zst", ".tzst", ".tar.xz", ".txz", ".tar.bz2", ".tbz2", ".tar.lz4", ".zip"];

/// Tells a file by its first bytes, and an empty one by its name.
fn kind_of(path: &Path) -> Result<FileKind, Error> {
    let metadata = std::fs::metadata(path).map_err(Error::file("open", path))?;
    if !metadata.is_file() {
        return Err(Error::Source { path: path.to_path_buf(), problem: format!("it is no file; {TAKES}").into() });
    }
    let mut start = Vec::new();
    let file = File::open(path).map_err(Error::file("open", path))?;
    file.take(512).read_to_end(&mut start).map_err(Error::file("read", path))?;
    let is_called_tar = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("tar"));
    if start.starts_with(b"PAR1") {
        Ok(FileKind::Parquet)
    } else if start.get(257..262) == Some(b"ustar") {
        Ok(FileKind::Tar)
    } else if COMPRESSED.iter().any(|(magic, _, _)| start.starts_with(magic)) {
        Err(compressed(path))
    } else if is_called_tar {
        // Old tars have no mark; what is none is refused when it is listed.
        Ok(FileKind::Tar)
    } else {
        Err(Error::Source {
            path: path.to_path_buf(),
            problem: format!("it is neither a tar nor a Parquet file; {TAKES}").into(),
        })
    }
}

fn compressed(path: &Path) -> Error {
    let mut start = [0; 8];
    let read = File::open(path).and_then(|mut file| file.read(&mut start)).unwrap_or(0);
    let known = COMPRESSED.iter().find(|(magic, _, _)| start[..read].starts_with(magic));
    let (what, how) = known.map_or(("some program", "its program"), |(_, what, how)| (*what, *how));
    Error::Source {
        path: path.to_path_buf(),
        problem: format!(
            "it is compressed ({what}), and images cannot be read out of its middle. Uncompress it once ({how} {}); \
             images hardly grow by it",
            path.display()
        )
        .into(),
    }
}
