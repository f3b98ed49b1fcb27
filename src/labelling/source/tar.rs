//! Images in tars, read in place: one tar, a tar of tars such as ImageNet's, or several tars such as a `WebDataset`.

mod members;
mod listing;
mod webdataset;

use std::sync::OnceLock;

use rayon::iter::{IntoParallelIterator as _, ParallelIterator as _};
use rayon::slice::ParallelSliceMut as _;

use super::archive_source::{ArchiveFormat, LocatedImages};
use super::archives::Archives;
use super::image_location::{ArchivedImage, ImageLocation};
use super::image_reader::{LengthCheck, ReadError};
use super::source_error::SourceError;
use crate::shared::error::{Error, ImageError, ImageErrorKind};

use listing::{IgnoredMembers, TarContents, list_with_inner};

pub use members::{TarDamage, TarProblem};

/// The format of tars.
#[derive(Default)]
pub(super) struct TarFormat {
    /// Kind of the tars, once they have been listed.
    kind: OnceLock<TarKind>,
}

/// How the tars of a source are organised.
#[derive(Clone, Copy, Debug)]
enum TarKind {
    /// One tar: its members' names are the paths.
    Plain,
    /// One tar of tars, each of which is a folder.
    OfTars { inner: usize },
    /// Classes are stored next to images.
    WebDataset,
    /// Several tars, each of which is a folder.
    FolderEach,
}

impl ArchiveFormat for TarFormat {
    type Reader<'a> = TarReader<'a>;

    fn description(&self, archives: &Archives) -> String {
        let count = archives.count();
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

    fn list(&self, archives: &Archives) -> Result<Vec<ArchivedImage>, Error> {
        let list_one = |number: usize| {
            let file = archives.open(number).map_err(Error::file("open", archives.path(number)))?;
            list_with_inner(&*file, 0..archives.bytes(number), number as u32)
                .map_err(|damage| archives.error(number, damage))
        };
        let tars: Vec<(TarContents, usize)> =
            (0..archives.count()).into_par_iter().map(list_one).collect::<Result<_, _>>()?;
        if let Some(number) = tars.iter().position(|(_, inner)| *inner > 0).filter(|_| tars.len() > 1) {
            return Err(archives.error(number, SourceError::TarOfTarsAmongOthers));
        }
        let inner = tars.first().map_or(0, |(_, inner)| *inner);
        let tars = tars.into_iter().map(|(tar, _)| tar).collect();
        let (images, kind, ignored) = arrange(tars, &archives.names(), inner);
        ignored.warn(&archives.given);
        if images.is_empty() {
            return Err(archives.source_error(SourceError::NoImages));
        }
        if matches!(kind, TarKind::FolderEach) {
            archives.check_stems()?;
        }
        let _ = self.kind.set(kind);
        Ok(images)
    }

    fn reader<'a>(&self, archives: &'a Archives) -> TarReader<'a> {
        TarReader { archives }
    }
}

/// Arranges the contents of all tars in the order of the manifest.
fn arrange(
    mut tars: Vec<TarContents>,
    stems: &[String],
    inner: usize,
) -> (Vec<ArchivedImage>, TarKind, IgnoredMembers) {
    let mut ignored = IgnoredMembers::default();
    for tar in &mut tars {
        ignored.merge(std::mem::take(&mut tar.ignored));
    }
    if webdataset::is_webdataset(&tars) {
        let images = webdataset::images(tars, stems, &mut ignored);
        return (images, TarKind::WebDataset, ignored);
    }
    let kind = match inner {
        _ if tars.len() > 1 => TarKind::FolderEach,
        0 => TarKind::Plain,
        inner => TarKind::OfTars { inner },
    };
    if matches!(kind, TarKind::FolderEach) {
        for (tar, stem) in tars.iter_mut().zip(stems) {
            tar.move_into_folder(stem);
        }
    }
    (as_unpacked(tars), kind, ignored)
}

/// Returns the images that a folder would contain after unpacking: sorted by path, and the last of several with the same
/// path.
fn as_unpacked(tars: Vec<TarContents>) -> Vec<ArchivedImage> {
    let mut images: Vec<ArchivedImage> = tars.into_iter().flat_map(|tar| tar.images).collect();
    // A stable sort in descending order, then reversed: of those with the same path the last comes first.
    images.par_sort_by(|a, b| b.path.as_bytes().cmp(a.path.as_bytes()));
    images.reverse();
    images.dedup_by(|later, kept| later.path == kept.path);
    images
}

/// Reads images of tars.
pub(super) struct TarReader<'a> {
    archives: &'a Archives,
}

impl LocatedImages for TarReader<'_> {
    fn read(&self, location: ImageLocation, listed_bytes: u64, check: LengthCheck) -> Result<Vec<u8>, ReadError> {
        check.check(listed_bytes, location.bytes)?;
        let archive = location.archive as usize;
        let failed = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => self.changed(archive).into(),
            _ => ReadError::from_archive_error(self.archives.path(archive), error),
        };
        let file = self.archives.open(archive).map_err(failed)?;
        if !members::has_header(&*file, location.offset, location.check).map_err(failed)? {
            return Err(self.changed(archive).into());
        }
        let mut bytes = vec![0; location.bytes as usize];
        members::read_data(&*file, location.offset, &mut bytes).map_err(failed)?;
        Ok(bytes)
    }

    fn known_bytes(&self, location: ImageLocation) -> Option<u64> {
        Some(location.bytes)
    }
}

impl TarReader<'_> {
    fn changed(&self, archive: usize) -> ImageError {
        let name = self.archives.file_name(archive);
        ImageError {
            kind: ImageErrorKind::Changed,
            reason: format!("{name} changed since it was listed: no image at the recorded offset"),
        }
    }
}

/// Lists a tar in memory: path and length of every image, in the order of a manifest. Accesses no file.
///
/// # Errors
/// Returns [`TarDamage`] if the tar is damaged.
pub fn list_tar_bytes(tar: &[u8]) -> Result<Vec<(String, u64)>, TarDamage> {
    let (contents, inner) = list_with_inner(&tar, 0..tar.len() as u64, 0)?;
    let (images, _, _) = arrange(vec![contents], &["tar".to_owned()], inner);
    Ok(images.into_iter().map(|image| (image.path, image.location.bytes)).collect())
}
