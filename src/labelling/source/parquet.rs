//! Images in Parquet files, as Hugging Face's `imagenet-1k` has them: a column of bytes, a name and a class beside it.

mod columns;
mod pieces;

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use parquet::file::reader::{ChunkReader, SerializedFileReader};
use rayon::iter::{IntoParallelIterator as _, ParallelIterator as _};

use super::archives::Archives;
use super::index::short_digest;
use super::places::{self, Label, Place, PlacedImage, Places, manifest_of};
use super::{
    ImageReader, LengthCheck, ListedImages, Located, ReadError, Source, SplitsFound, on_listing_threads, splits,
    unreadable,
};
use crate::shared::error::{Error, ImageError, ImageErrorKind};
use crate::shared::manifest::{Manifest, SplitCounts, is_path_below_source};

use columns::NamedRow;
use pieces::{Found, Pieces, PositionedFile};

/// Images in one Parquet file or several.
pub struct ParquetSource {
    archives: Archives,
    /// The images that were listed, until they are located.
    listed: Mutex<Option<Vec<PlacedImage>>>,
    /// Rows of each split, where a column says it, once the files have been listed.
    splits: OnceLock<SplitCounts>,
}

impl ParquetSource {
    pub(super) fn new(archives: Archives) -> Self {
        Self { archives, listed: Mutex::default(), splits: OnceLock::new() }
    }

    fn list_files(&self) -> Result<Vec<PlacedImage>, Error> {
        let list_one = |number: usize| {
            PositionedFile::open(&self.archives, number)
                .map_err(|error| error.to_string())
                .and_then(|file| named_rows(&file))
                .map_err(|problem| self.archives.problem(number, problem))
        };
        let listed: Vec<(Vec<NamedRow>, SplitCounts)> =
            (0..self.archives.count()).into_par_iter().map(list_one).collect::<Result<_, _>>()?;
        let (files, counts): (Vec<_>, Vec<_>) = listed.into_iter().unzip();
        let mut splits = SplitCounts::new();
        for (split, rows) in counts.into_iter().flatten() {
            *splits.entry(split).or_default() += rows;
        }
        let _ = self.splits.set(splits);
        let images = arrange(files, &self.archives.names());
        if images.is_empty() {
            let problem = "it holds no image: there are no rows".to_owned();
            return Err(Error::Source { path: self.archives.given.clone(), problem: problem.into() });
        }
        Ok(images)
    }
}

/// Names and classes of all rows of a file, and how many there are of each split.
fn named_rows<R: ChunkReader + Clone + 'static>(file: &R) -> Result<(Vec<NamedRow>, SplitCounts), String> {
    let list = || {
        let reader = SerializedFileReader::new(file.clone())
            .map_err(|error| format!("it is no readable Parquet file: {error}"))?;
        columns::named_rows(&reader, file)
    };
    catch_unwind(AssertUnwindSafe(list)).unwrap_or_else(|_| Err("its reader gave up in an unexpected way".to_owned()))
}

/// The rows of all files in order. A row's path is the name that stands in it; a row without one, or with one that
/// another row has too, is called after its file and its number there.
fn arrange(files: Vec<Vec<NamedRow>>, stems: &[String]) -> Vec<PlacedImage> {
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
            let check = row.path.as_ref().map_or(0, |path| short_digest(&[path.as_bytes()]));
            images.push(PlacedImage {
                path: row.path.filter(|_| usable).unwrap_or_else(|| format!("{}/{number}", stems[archive])),
                label: row.label.map_or(Label::Unknown, Label::Said),
                place: Place { archive: archive as u32, offset: number as u64, bytes: 0, check },
            });
        }
    }
    images
}

impl Source for ParquetSource {
    fn what(&self) -> String {
        match self.archives.count() {
            1 => "a Parquet file of images".to_owned(),
            count => format!(
                "{count} Parquet files of images ({} to {})",
                self.archives.file_name(0),
                self.archives.file_name(count - 1)
            ),
        }
    }

    fn name(&self) -> String {
        self.archives.name.clone()
    }

    fn list(&self) -> Result<Manifest, Error> {
        let images = on_listing_threads(|| self.list_files())??;
        let list = manifest_of(&images)
            .map_err(|problem| Error::Source { path: self.archives.given.clone(), problem: problem.into() })?;
        *self.listed.lock().unwrap_or_else(PoisonError::into_inner) = Some(images);
        Ok(list)
    }

    fn splits(&self, list: &Manifest) -> Option<SplitsFound> {
        splits::of_archives(&self.archives.given, self.archives.paths())
            .or_else(|| splits::splits_of_column(self.splits.get()?))
            .or_else(|| splits::of_paths(list, &self.archives.given, false))
    }

    fn locate<'a>(&'a self, list: &ListedImages<'a>) -> Result<Located<'a>, Error> {
        let listed = self.listed.lock().unwrap_or_else(PoisonError::into_inner).take();
        let images = || listed.map_or_else(|| on_listing_threads(|| self.list_files())?, Ok);
        let Places { by_row, new_index } = places::locate(list, &self.archives, images)?;
        let pieces = Pieces::new(&self.archives);
        let images = ParquetImages { archives: &self.archives, manifest: list.manifest, places: by_row, pieces };
        Ok(Located { images: Box::new(images), new_index })
    }
}

/// Images in Parquet files whose rows are known.
struct ParquetImages<'a> {
    archives: &'a Archives,
    manifest: &'a Manifest,
    places: Vec<Option<Place>>,
    pieces: Pieces<'a>,
}

impl ImageReader for ParquetImages<'_> {
    fn read(&self, row: usize, check: LengthCheck) -> Result<Vec<u8>, ReadError> {
        let place = self.places[row].ok_or_else(|| unreadable(format!("it is not in {}", self.archives.name)))?;
        let archive = place.archive as usize;
        let name = || self.archives.file_name(archive);
        match self.pieces.image(archive, place.offset, place.check)? {
            Found::Image(bytes) => {
                check.check(self.manifest.bytes(row), bytes.len() as u64)?;
                Ok(bytes)
            }
            Found::Null => Err(unreadable(format!("row {} of {} has no image", place.offset, name())).into()),
            Found::Other => Err(ReadError::Image(ImageError {
                kind: ImageErrorKind::Changed,
                reason: format!("{} was changed since it was listed: another image is in row {}", name(), place.offset),
            })),
        }
    }

    fn looks_as_listed(&self, row: usize) -> Result<bool, Error> {
        Ok(self.places[row].is_some())
    }
}

/// Lists a Parquet file that lies in memory: path and class of every image, in order. It touches no file.
///
/// # Errors
/// When it is no Parquet file of images, in words.
pub fn list_parquet_bytes(file: Vec<u8>) -> Result<Vec<(String, Option<String>)>, String> {
    let images = arrange(vec![named_rows(&Bytes::from(file))?.0], &["file".to_owned()]);
    let manifest = manifest_of(&images)?;
    Ok((0..manifest.len()).map(|row| (manifest.path(row).to_owned(), manifest.label(row).map(str::to_owned))).collect())
}
