//! Images in Parquet files, as in Hugging Face's `imagenet-1k`: columns of image bytes, names and classes.

mod image_columns;
mod block_cache;

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;

use bytes::Bytes;
use parquet::file::reader::{ChunkReader, SerializedFileReader};
use rayon::iter::{IntoParallelIterator as _, ParallelIterator as _};

use super::archive_source::{ArchiveFormat, LocatedImages};
use super::archives::Archives;
use super::image_location::{ArchivedImage, FolderClass, ImageLocation, fingerprint, manifest_of};
use super::image_reader::{LengthCheck, ReadError, unreadable};
use super::source_error::SourceError;
use super::splits::{self, SplitsFound};
use crate::shared::error::{Error, ImageError, ImageErrorKind};
use crate::shared::manifest::{SplitCounts, is_path_below_source};

use block_cache::{BlockCache, PositionedFile, StoredImage};
use image_columns::{NamedRow, read_named_rows};

pub use image_columns::ParquetImagesError;

/// The format of Parquet files.
#[derive(Default)]
pub(super) struct ParquetFormat {
    /// Rows of each split, if a column records it, once the files have been listed.
    split_counts: OnceLock<SplitCounts>,
}

impl ArchiveFormat for ParquetFormat {
    type Reader<'a> = ParquetReader<'a>;

    fn description(&self, archives: &Archives) -> String {
        match archives.count() {
            1 => "a Parquet file of images".to_owned(),
            count => format!(
                "{count} Parquet files of images ({} to {})",
                archives.file_name(0),
                archives.file_name(count - 1)
            ),
        }
    }

    fn list(&self, archives: &Archives) -> Result<Vec<ArchivedImage>, Error> {
        let list_one = |number: usize| {
            let file = PositionedFile::open(archives, number).map_err(|problem| archives.error(number, problem))?;
            named_rows(&file).map_err(|problem| archives.error(number, problem))
        };
        let listed: Vec<(Vec<NamedRow>, SplitCounts)> =
            (0..archives.count()).into_par_iter().map(list_one).collect::<Result<_, _>>()?;
        let (files, counts): (Vec<_>, Vec<_>) = listed.into_iter().unzip();
        let mut split_counts = SplitCounts::new();
        for (split, rows) in counts.into_iter().flatten() {
            *split_counts.entry(split).or_default() += rows;
        }
        let _ = self.split_counts.set(split_counts);
        let images = arrange(files, &archives.names());
        if images.is_empty() {
            return Err(archives.source_error(SourceError::NoRows));
        }
        Ok(images)
    }

    fn recorded_splits(&self) -> Option<SplitsFound> {
        splits::splits_of_column(self.split_counts.get()?)
    }

    fn reader<'a>(&self, archives: &'a Archives) -> ParquetReader<'a> {
        ParquetReader { archives, blocks: BlockCache::new(archives) }
    }
}

/// Returns the names and classes of all rows of a file, and the number of rows of each split.
fn named_rows<R: ChunkReader + Clone + 'static>(file: &R) -> Result<(Vec<NamedRow>, SplitCounts), ParquetImagesError> {
    let list = || {
        let reader = SerializedFileReader::new(file.clone()).map_err(ParquetImagesError::Parquet)?;
        read_named_rows(&reader, file)
    };
    catch_unwind(AssertUnwindSafe(list)).unwrap_or(Err(ParquetImagesError::ReaderPanicked))
}

/// Arranges the rows of all files in order. A row's path is its recorded name; a row without a name, or with one that
/// is not unique, is named after its file and its row number there.
fn arrange(files: Vec<Vec<NamedRow>>, stems: &[String]) -> Vec<ArchivedImage> {
    let mut uses: HashMap<&str, u32> = HashMap::new();
    for path in files.iter().flatten().filter_map(|row| row.path.as_deref()) {
        *uses.entry(path).or_default() += 1;
    }
    let is_usable = |path: &str| uses[path] == 1 && is_path_below_source(path);
    let usable: Vec<Vec<bool>> =
        files.iter().map(|file| file.iter().map(|row| row.path.as_deref().is_some_and(is_usable)).collect()).collect();
    let mut images = Vec::with_capacity(files.iter().map(Vec::len).sum());
    for (archive, (file, usable)) in files.into_iter().zip(usable).enumerate() {
        for (number, (row, usable)) in file.into_iter().zip(usable).enumerate() {
            let check = row.path.as_ref().map_or(0, |path| fingerprint(&[path.as_bytes()]));
            images.push(ArchivedImage {
                path: row.path.filter(|_| usable).unwrap_or_else(|| format!("{}/{number}", stems[archive])),
                folder_class: row.class.map_or(FolderClass::Unknown, FolderClass::Recorded),
                location: ImageLocation { archive: archive as u32, offset: number as u64, bytes: 0, check },
            });
        }
    }
    images
}

/// Reads images of Parquet files.
pub(super) struct ParquetReader<'a> {
    archives: &'a Archives,
    blocks: BlockCache<'a>,
}

impl LocatedImages for ParquetReader<'_> {
    fn read(&self, location: ImageLocation, listed_bytes: u64, check: LengthCheck) -> Result<Vec<u8>, ReadError> {
        let (archive, row) = (location.archive as usize, location.offset);
        let name = || self.archives.file_name(archive);
        match self.blocks.image(archive, row, location.check)? {
            StoredImage::Image(bytes) => {
                check.check(listed_bytes, bytes.len() as u64)?;
                Ok(bytes)
            }
            StoredImage::Null => Err(unreadable(format!("row {row} of {} has no image", name())).into()),
            StoredImage::Changed => Err(ReadError::Image(ImageError {
                kind: ImageErrorKind::Changed,
                reason: format!("{} changed since it was listed: row {row} contains a different image", name()),
            })),
        }
    }

    fn known_bytes(&self, _: ImageLocation) -> Option<u64> {
        None
    }
}

/// Lists a Parquet file in memory: path and folder class of every image, in order. Accesses no file.
///
/// # Errors
/// Returns [`ParquetImagesError`] if it is not a Parquet file of images.
pub fn list_parquet_bytes(file: Vec<u8>) -> Result<Vec<(String, Option<String>)>, ParquetImagesError> {
    let images = arrange(vec![named_rows(&Bytes::from(file))?.0], &["file".to_owned()]);
    let manifest = manifest_of(&images)?;
    let image = |row| (manifest.path(row).to_owned(), manifest.folder_class(row).map(str::to_owned));
    Ok((0..manifest.len()).map(image).collect())
}
