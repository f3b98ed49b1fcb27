//! Opens a source from a path or pattern.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::labelling::source::archive_source::ArchiveSource;
use crate::labelling::source::archives::Archives;
use crate::labelling::source::folder_source::{FolderSource, folder_name};
use crate::labelling::source::folder_walk::image_files;
use crate::labelling::source::image_name::is_image_name;
use crate::labelling::source::image_source::Source;
use crate::labelling::source::parquet::ParquetFormat;
use crate::labelling::source::pattern;
use crate::labelling::source::source_error::SourceError;
use crate::labelling::source::tar::TarFormat;
use crate::shared::error::{Cause, Error};
use crate::shared::regular_file::concerns_file;

/// Opens what `--in` names: a folder of images; a tar, or a tar of tars; several tars or Parquet files by a pattern with
/// braces or `*`, or by the folder that contains only them. A file or folder with exactly this name takes precedence
/// over a pattern.
///
/// # Errors
/// Returns [`Error::File`] if nothing is found, and [`Error::Source`] if it is not a source, or mixes formats.
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
                let files = pattern::files(text).map_err(|problem| source_error(given, problem))?;
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

/// Direct contents of a folder.
#[derive(Default)]
struct FolderContents {
    tars: Vec<PathBuf>,
    parquets: Vec<PathBuf>,
    compressed: Option<PathBuf>,
    folders: Vec<PathBuf>,
    /// An image, for error messages.
    image: Option<PathBuf>,
}

fn open_folder(given: &Path) -> Result<Box<dyn Source>, Error> {
    let contents = FolderContents::read(given).map_err(Error::file("list", given))?;
    let archives = match (contents.tars.is_empty(), contents.parquets.is_empty()) {
        (true, true) => {
            return match contents.compressed {
                Some(file) if contents.image.is_none() && contents.folders.is_empty() => Err(compressed(&file)),
                _ => Ok(Box::new(FolderSource::open(given)?)),
            };
        }
        (false, false) => {
            return Err(source_error(given, SourceError::TarsAndParquetFiles { folder: given.to_path_buf() }));
        }
        (false, true) => (contents.tars, "tar"),
        (true, false) => (contents.parquets, "parquet"),
    };
    let (files, extension) = archives;
    let image = match contents.image {
        Some(image) => Some(image),
        None => first_image_below(&contents.folders).map_err(|problem| source_error(given, problem))?,
    };
    if let Some(image) = image {
        let (folder, archive) = (given.to_path_buf(), files[0].clone());
        return Err(source_error(given, SourceError::ImagesAndArchives { folder, image, archive, extension }));
    }
    open_archives(given, folder_name(given), files)
}

impl FolderContents {
    fn read(folder: &Path) -> std::io::Result<Self> {
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
            } else if has_suffix(name, ".tar") {
                contents.tars.push(entry.path());
            } else if has_suffix(name, ".parquet") {
                contents.parquets.push(entry.path());
            } else if is_image_name(name) {
                contents.image.get_or_insert_with(|| entry.path());
            } else if COMPRESSED_SUFFIXES.iter().any(|suffix| has_suffix(name, suffix)) {
                contents.compressed.get_or_insert_with(|| entry.path());
            }
        }
        contents.tars.sort();
        contents.parquets.sort();
        Ok(contents)
    }
}

fn has_suffix(name: &[u8], suffix: &str) -> bool {
    name.len() > suffix.len() && name[name.len() - suffix.len()..].eq_ignore_ascii_case(suffix.as_bytes())
}

fn first_image_below(folders: &[PathBuf]) -> Result<Option<PathBuf>, SourceError> {
    for folder in folders {
        if let Some(image) = image_files(folder)?.into_iter().next() {
            return Ok(Some(folder.join(image.path)));
        }
    }
    Ok(None)
}

/// The formats of archives.
#[derive(Clone, Copy, PartialEq, Eq)]
enum FormatKind {
    Tar,
    Parquet,
}

fn open_archives(given: &Path, name: String, files: Vec<PathBuf>) -> Result<Box<dyn Source>, Error> {
    let mut first: Option<(FormatKind, &Path)> = None;
    for file in &files {
        let kind = recognise(file)?;
        match first {
            None => first = Some((kind, file)),
            Some((other, _)) if other == kind => {}
            Some((_, other)) => {
                let (first, second) = (other.to_path_buf(), file.clone());
                return Err(source_error(given, SourceError::DifferentFormats { first, second }));
            }
        }
    }
    let kind = first.map(|(kind, _)| kind);
    let archives = Archives::new(given, name, files)?;
    Ok(match kind {
        Some(FormatKind::Parquet) => Box::new(ArchiveSource::<ParquetFormat>::new(archives)),
        _ => Box::new(ArchiveSource::<TarFormat>::new(archives)),
    })
}

/// First bytes of compressed files, their formats, and the commands that decompress them.
const COMPRESSED: [(&[u8], &str, &str); 5] = [
    (b"\x1f\x8b", "gzip", "gunzip -k"),
    (b"\x28\xb5\x2f\xfd", "zstd", "zstd -dk"),
    (b"\xfd7zXZ\0", "xz", "xz -dk"),
    (b"BZh", "bzip2", "bunzip2 -k"),
    (b"PK\x03\x04", "zip", "unzip"),
];

const COMPRESSED_SUFFIXES: [&str; 10] =
    [".tar.gz", ".tgz", ".tar.zst", ".tzst", ".tar.xz", ".txz", ".tar.bz2", ".tbz2", ".tar.lz4", ".zip"];

/// Recognises an archive by its first bytes, and an old or empty tar by its name.
fn recognise(path: &Path) -> Result<FormatKind, Error> {
    let metadata = std::fs::metadata(path).map_err(Error::file("open", path))?;
    if !metadata.is_file() {
        return Err(source_error(path, SourceError::NotAFile));
    }
    let mut start = Vec::new();
    let file = File::open(path).map_err(Error::file("open", path))?;
    file.take(512).read_to_end(&mut start).map_err(Error::file("read", path))?;
    let is_named_tar = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("tar"));
    if start.starts_with(b"PAR1") {
        Ok(FormatKind::Parquet)
    } else if start.get(257..262) == Some(b"ustar") {
        Ok(FormatKind::Tar)
    } else if COMPRESSED.iter().any(|(magic, _, _)| start.starts_with(magic)) {
        Err(compressed(path))
    } else if is_named_tar {
        // Old tars have no magic number; other files are refused when they are listed.
        Ok(FormatKind::Tar)
    } else {
        Err(source_error(path, SourceError::UnknownFormat))
    }
}

fn compressed(path: &Path) -> Error {
    let mut start = [0; 8];
    let read = File::open(path).and_then(|mut file| file.read(&mut start)).unwrap_or(0);
    let known = COMPRESSED.iter().find(|(magic, _, _)| start[..read].starts_with(magic));
    let unknown = ("by an unknown program", "with that program:");
    let (format, command) = known.map_or(unknown, |(_, format, command)| (*format, *command));
    source_error(path, SourceError::Compressed { path: path.to_path_buf(), format, command })
}

fn source_error(path: &Path, problem: impl Into<Cause>) -> Error {
    Error::Source { path: path.to_path_buf(), problem: problem.into() }
}
