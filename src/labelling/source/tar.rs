//! Images in tars, read in place: one tar, a tar of tars such as ImageNet's, or a set of tars such as a `WebDataset`'s.

mod members;
mod listing;
mod webdataset;

use std::sync::{Mutex, OnceLock, PoisonError};

use rayon::iter::{IntoParallelIterator as _, ParallelIterator as _};
use rayon::slice::ParallelSliceMut as _;

use super::archives::Archives;
use super::places::{self, Place, PlacedImage, Places, manifest_of};
use super::{
    IMAGE_EXTENSIONS, ImageReader, LengthCheck, ListedImages, Located, ReadError, Source, SplitsFound,
    on_listing_threads, splits, unreadable,
};
use crate::shared::error::{Error, ImageError, ImageErrorKind};
use crate::shared::manifest::Manifest;

use listing::{Contents, PassedOver, list_with_inner};

pub use members::Damage;

/// Images in one tar or several.
pub struct TarSource {
    archives: Archives,
    /// What the tars are, once they have been listed.
    kind: OnceLock<TarKind>,
    /// The images that were listed, until they are located.
    listed: Mutex<Option<Vec<PlacedImage>>>,
}

/// What the tars of a source are.
#[derive(Clone, Copy, Debug)]
enum TarKind {
    /// One tar: its members' names are the paths.
    Plain,
    /// One tar of tars, each of which is a folder.
    OfTars { inner: usize },
    /// There are classes beside images.
    WebDataset,
    /// Several tars, each of which is a folder.
    FolderEach,
}

impl TarSource {
    pub(super) fn new(archives: Archives) -> Self {
        Self { archives, kind: OnceLock::new(), listed: Mutex::default() }
    }

    fn list_tars(&self) -> Result<Vec<PlacedImage>, Error> {
        let list_one = |number: usize| {
            let file = self.archives.open(number).map_err(Error::file("open", self.archives.path(number)))?;
            list_with_inner(&*file, 0..self.archives.bytes(number), number as u32)
                .map_err(|damage| self.archives.problem(number, damage.words()))
        };
        let tars: Vec<(Contents, usize)> =
            (0..self.archives.count()).into_par_iter().map(list_one).collect::<Result<_, _>>()?;
        if let Some(number) = tars.iter().position(|(_, inner)| *inner > 0).filter(|_| tars.len() > 1) {
            let problem = "it is a tar of tars, and one of several that were named. Name it alone".to_owned();
            return Err(self.archives.problem(number, problem));
        }
        let inner = tars.first().map_or(0, |(_, inner)| *inner);
        let tars = tars.into_iter().map(|(tar, _)| tar).collect();
        let (images, kind, passed_over) = arrange(tars, &self.archives.names(), inner);
        passed_over.warn(&self.archives.given);
        if images.is_empty() {
            let problem = format!("it holds no image (looked for {})", IMAGE_EXTENSIONS.join(", "));
            return Err(Error::Source { path: self.archives.given.clone(), problem: problem.into() });
        }
        if matches!(kind, TarKind::FolderEach) {
            self.archives.check_stems()?;
        }
        let _ = self.kind.set(kind);
        Ok(images)
    }
}

/// Puts the contents of all tars into the order of the list.
fn arrange(mut tars: Vec<Contents>, stems: &[String], inner: usize) -> (Vec<PlacedImage>, TarKind, PassedOver) {
    let mut passed_over = PassedOver::default();
    for tar in &mut tars {
        passed_over.add(std::mem::take(&mut tar.passed_over));
    }
    if webdataset::is_webdataset(&tars) {
        let images = webdataset::images(tars, stems, &mut passed_over);
        return (images, TarKind::WebDataset, passed_over);
    }
    let kind = match inner {
        _ if tars.len() > 1 => TarKind::FolderEach,
        0 => TarKind::Plain,
        inner => TarKind::OfTars { inner },
    };
    if matches!(kind, TarKind::FolderEach) {
        for (tar, stem) in tars.iter_mut().zip(stems) {
            tar.put_into_folder(stem);
        }
    }
    (as_unpacked(tars), kind, passed_over)
}

/// The images as a folder would hold them after unpacking: sorted by path, and of several with one path the last.
fn as_unpacked(tars: Vec<Contents>) -> Vec<PlacedImage> {
    let mut images: Vec<PlacedImage> = tars.into_iter().flat_map(|tar| tar.images).collect();
    // Backwards and then turned round, so that of those with one path the last comes first.
    images.par_sort_by(|a, b| b.path.as_bytes().cmp(a.path.as_bytes()));
    images.reverse();
    images.dedup_by(|later, kept| later.path == kept.path);
    images
}

impl Source for TarSource {
    fn what(&self) -> String {
        let count = self.archives.count();
        match self.kind.get() {
            None if count == 1 => "a tar".to_owned(),
            None => format!("{count} tars"),
            Some(TarKind::Plain) => "a tar of images".to_owned(),
            Some(TarKind::OfTars { inner }) => format!("a tar of {inner} tars, each a folder"),
            Some(TarKind::WebDataset) if count == 1 => "a WebDataset of one tar".to_owned(),
            Some(TarKind::WebDataset) => format!("a WebDataset of {count} tars"),
            Some(TarKind::FolderEach) => format!("{count} tars, each a folder"),
        }
    }

    fn name(&self) -> String {
        self.archives.name.clone()
    }

    fn list(&self) -> Result<Manifest, Error> {
        let images = on_listing_threads(|| self.list_tars())??;
        let list = manifest_of(&images)
            .map_err(|problem| Error::Source { path: self.archives.given.clone(), problem: problem.into() })?;
        *self.listed.lock().unwrap_or_else(PoisonError::into_inner) = Some(images);
        Ok(list)
    }

    fn splits(&self, list: &Manifest) -> Option<SplitsFound> {
        let by_archives = splits::of_archives(&self.archives.given, self.archives.paths());
        by_archives.or_else(|| splits::of_paths(list, &self.archives.given, false))
    }

    fn locate<'a>(&'a self, list: &ListedImages<'a>) -> Result<Located<'a>, Error> {
        let listed = self.listed.lock().unwrap_or_else(PoisonError::into_inner).take();
        let images = || listed.map_or_else(|| on_listing_threads(|| self.list_tars())?, Ok);
        let Places { by_row, new_index } = places::locate(list, &self.archives, images)?;
        let images = TarImages { archives: &self.archives, manifest: list.manifest, places: by_row };
        Ok(Located { images: Box::new(images), new_index })
    }
}

/// Images in tars whose places are known.
struct TarImages<'a> {
    archives: &'a Archives,
    manifest: &'a Manifest,
    places: Vec<Option<Place>>,
}

impl ImageReader for TarImages<'_> {
    fn read(&self, row: usize, check: LengthCheck) -> Result<Vec<u8>, ReadError> {
        let place = self.places[row].ok_or_else(|| unreadable(format!("it is not in {}", self.archives.name)))?;
        check.check(self.manifest.bytes(row), place.bytes)?;
        let archive = place.archive as usize;
        let failed = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => self.changed(archive).into(),
            _ => ReadError::of_archive(self.archives.path(archive), error),
        };
        let file = self.archives.open(archive).map_err(failed)?;
        if !members::is_still_there(&*file, place.offset, place.check).map_err(failed)? {
            return Err(self.changed(archive).into());
        }
        let mut bytes = vec![0; place.bytes as usize];
        members::read_data(&*file, place.offset, &mut bytes).map_err(failed)?;
        Ok(bytes)
    }

    fn looks_as_listed(&self, row: usize) -> Result<bool, Error> {
        let listed_bytes = self.manifest.bytes(row);
        Ok(self.places[row].is_some_and(|place| listed_bytes == 0 || place.bytes == listed_bytes))
    }
}

impl TarImages<'_> {
    fn changed(&self, archive: usize) -> ImageError {
        let name = self.archives.file_name(archive);
        ImageError {
            kind: ImageErrorKind::Changed,
            reason: format!("{name} was changed since it was listed: the image is not where it was"),
        }
    }
}

/// Lists a tar that lies in memory: path and length of every image, in the order of a list. It touches no file.
///
/// # Errors
/// When the tar is damaged.
pub fn list_tar_bytes(tar: &[u8]) -> Result<Vec<(String, u64)>, Damage> {
    let (contents, inner) = list_with_inner(&tar, 0..tar.len() as u64, 0)?;
    let (images, _, _) = arrange(vec![contents], &["tar".to_owned()], inner);
    Ok(images.into_iter().map(|image| (image.path, image.place.bytes)).collect())
}
