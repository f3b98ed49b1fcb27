//! Errors of opening and listing a source.

use std::io;
use std::path::PathBuf;

use crate::labelling::source::image_name::IMAGE_EXTENSIONS;
use crate::shared::printable::printable_path;

/// Sources that `--in` accepts, for messages.
const ACCEPTED: &str = "--in takes a folder of images, a .tar, several tars or Parquet files (`{000..123}.tar`, `*.parquet`), \
                        or a folder that contains only such archives";

/// Reason a source cannot be opened or listed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// A folder was expected.
    #[error("not a folder\n  help: {ACCEPTED}")]
    NotAFolder,
    /// An archive was expected.
    #[error("not a file\n  help: {ACCEPTED}")]
    NotAFile,
    /// A file is of no known format.
    #[error("neither a tar nor a Parquet file\n  help: {ACCEPTED}")]
    UnknownFormat,
    /// A file is compressed.
    #[error(
        "compressed ({format}): images cannot be read from the middle of the file\n  help: decompress it once ({command} \
         {}); this needs little extra space",
        printable_path(path)
    )]
    Compressed {
        /// The file.
        path: PathBuf,
        /// Compression format.
        format: &'static str,
        /// The command that decompresses it.
        command: &'static str,
    },
    /// A folder contains archives of both formats.
    #[error(
        "contains tars and Parquet files\n  help: pass one kind: --in '{0}/*.tar' or --in '{0}/*.parquet'",
        printable_path(folder)
    )]
    TarsAndParquetFiles {
        /// The folder.
        folder: PathBuf,
    },
    /// A folder contains images and archives.
    #[error(
        "contains both images (such as {image}) and .{extension} files (such as {archive})\n  help: to label what is in \
         the archives: --in '{folder}/*.{extension}'. To label the images: move the archives out of the folder, and then --in \
         '{folder}'",
        image = printable_path(image),
        archive = printable_path(archive),
        folder = printable_path(folder)
    )]
    ImagesAndArchives {
        /// The folder.
        folder: PathBuf,
        /// An image in the folder.
        image: PathBuf,
        /// An archive in the folder.
        archive: PathBuf,
        /// Extension of the archives.
        extension: &'static str,
    },
    /// Archives of both formats were passed.
    #[error(
        "{} and {} are of different kinds\n  help: pass only tars, or only Parquet files",
        printable_path(first),
        printable_path(second)
    )]
    DifferentFormats {
        /// An archive.
        first: PathBuf,
        /// One of the other format.
        second: PathBuf,
    },
    /// Two archives would be the same folder.
    #[error(
        "its images would be in the folder `{stem}`, as would those of {}, so some would have the same name\n  help: \
         rename one of them, or label them separately",
        printable_path(other)
    )]
    SameStem {
        /// The folder.
        stem: String,
        /// Other archive with that stem.
        other: PathBuf,
    },
    /// A tar of tars was passed together with other archives.
    #[error("a tar of tars, and several archives were passed\n  help: label it separately")]
    TarOfTarsAmongOthers,
    /// The source has no images.
    #[error("contains no images (looked for {})\n  help: check the folder or archive; {ACCEPTED}", IMAGE_EXTENSIONS.join(", "))]
    NoImages,
    /// Parquet files without rows.
    #[error("contains no images: there are no rows\n  help: check that the files are complete")]
    NoRows,
    /// A folder inside the source cannot be read: an incomplete manifest would be permanent.
    #[error(
        "cannot list it completely: {}: {problem}\n  help: make it readable, or move it out of the source",
        printable_path(path)
    )]
    Unlistable {
        /// The folder or file.
        path: PathBuf,
        /// Underlying error.
        #[source]
        problem: io::Error,
    },
    /// A symbolic link points to a folder that contains it.
    #[error(
        "cannot list it completely: symlink loop: {} points to a folder that contains it\n  help: remove the link",
        printable_path(path)
    )]
    LinkLoop {
        /// The link.
        path: PathBuf,
    },
    /// A file name is not UTF-8.
    #[error("the name of {} is not UTF-8\n  help: rename it", printable_path(path))]
    NotUtf8 {
        /// Path below the source.
        path: PathBuf,
    },
}
