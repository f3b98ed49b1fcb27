//! Why a source is refused.

use std::io;
use std::path::PathBuf;

use crate::labelling::source::image_name::IMAGE_EXTENSIONS;
use crate::shared::printable::printable_path;

/// What `--in` accepts, for messages.
const ACCEPTED: &str = "--in takes a folder of images, a .tar, several tars or Parquet files (`{000..123}.tar`, `*.parquet`), \
                        or a folder that contains only such archives";

/// Why a source cannot be opened or listed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// A folder was expected.
    #[error("it is not a folder")]
    NotAFolder,
    /// An archive was expected.
    #[error("it is not a file\n  help: {ACCEPTED}")]
    NotAFile,
    /// A file is of no known format.
    #[error("it is neither a tar nor a Parquet file\n  help: {ACCEPTED}")]
    UnknownFormat,
    /// A file is compressed.
    #[error(
        "it is compressed ({format}), and images cannot be read from the middle of it\n  help: decompress it once ({command} \
         {}); images hardly grow by that",
        printable_path(path)
    )]
    Compressed {
        /// The file.
        path: PathBuf,
        /// Its format.
        format: &'static str,
        /// The command that decompresses it.
        command: &'static str,
    },
    /// A folder contains archives of both formats.
    #[error(
        "it contains tars and Parquet files\n  help: name one kind: --in '{0}/*.tar' or --in '{0}/*.parquet'",
        printable_path(folder)
    )]
    TarsAndParquetFiles {
        /// The folder.
        folder: PathBuf,
    },
    /// A folder contains images and archives.
    #[error(
        "it contains both images (such as {image}) and .{extension} files (such as {archive})\n  help: to label what is in \
         the archives: --in '{folder}/*.{extension}'. To label the images: move the archives out of the folder, and then --in \
         '{folder}'",
        image = printable_path(image),
        archive = printable_path(archive),
        folder = printable_path(folder)
    )]
    ImagesAndArchives {
        /// The folder.
        folder: PathBuf,
        /// An image in it.
        image: PathBuf,
        /// An archive in it.
        archive: PathBuf,
        /// Extension of the archives.
        extension: &'static str,
    },
    /// Archives of both formats were named.
    #[error(
        "{} and {} are of different kinds\n  help: name only tars, or only Parquet files",
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
        "its images would be in the folder `{stem}`, as would those of {}, so that some would have the same name\n  help: \
         rename one of them, or label them one by one",
        printable_path(other)
    )]
    SameStem {
        /// The folder.
        stem: String,
        /// The other archive.
        other: PathBuf,
    },
    /// A tar of tars was named together with other archives.
    #[error("it is a tar of tars, and several archives were named\n  help: label it separately")]
    TarOfTarsAmongOthers,
    /// There are no images.
    #[error("it contains no images (looked for {})", IMAGE_EXTENSIONS.join(", "))]
    NoImages,
    /// Parquet files without rows.
    #[error("it contains no images: there are no rows")]
    NoRows,
    /// A folder inside the source cannot be read: a list with holes would be kept forever.
    #[error("cannot list it completely: {}: {problem}", printable_path(path))]
    Unlistable {
        /// The folder or file.
        path: PathBuf,
        /// Why not.
        #[source]
        problem: io::Error,
    },
    /// A symbolic link leads to a folder that contains it.
    #[error("cannot list it completely: {} leads back to a folder that contains it", printable_path(path))]
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
