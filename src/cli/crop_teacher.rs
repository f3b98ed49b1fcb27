//! The teacher and the images of commands that run the teacher on crops.

use std::path::Path;

use relabel::evaluation::crop_fidelity::{CropChoice, CropJob, SkippedImage};
use relabel::labelling::pipeline::Preprocessing;
use relabel::labelling::source::{self, LengthCheck, ListedImages, Located, Source};
use relabel::labelling::teacher::Classifier;
use relabel::shared::error::Error;
use relabel::shared::manifest::Manifest;
use relabel::shared::printable::{printable, printable_path};
use relabel::shared::store::StoreReader;

use super::args::TeacherFlags;
use super::load_teacher::{LoadedClassifier, load_classifier};
use super::new_store::store_info_with_classifier;
use super::output::{count, warning};

/// Number of skipped images that are listed.
const LISTED: usize = 10;

/// A teacher and the images of a store, checked before work begins.
pub struct CropTeacher {
    source: Box<dyn Source>,
    loaded: LoadedClassifier,
}

impl CropTeacher {
    /// Opens the images and loads the teacher.
    ///
    /// # Errors
    /// Returns [`Error::Usage`] if the teacher is not the store's, unless `accepts_other`, and the errors of opening images and
    /// teacher.
    pub fn open(
        store: &StoreReader,
        source: &Path,
        teacher: &Path,
        flags: &TeacherFlags,
        accepts_other: bool,
    ) -> Result<Self, Error> {
        let source = source::open(source)?;
        let flags = TeacherFlags { flip_average: store.info().flip_average, ..flags.clone() };
        let loaded = load_classifier(&flags, teacher)?;
        check_teacher(store, teacher, &loaded, accepts_other)?;
        Ok(Self { source, loaded })
    }

    /// Calls `work` with a job of crops of some rows.
    ///
    /// # Errors
    /// Returns the errors of finding the images, and those of `work`.
    pub fn with_job<T>(
        self,
        store: &StoreReader,
        manifest: &Manifest,
        rows: Vec<usize>,
        crops: CropChoice,
        work: impl FnOnce(CropJob<'_>, Vec<Box<dyn Classifier>>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let manifest_sha256 = store.info().manifest_sha256.clone();
        let list = ListedImages { manifest, manifest_sha256: &manifest_sha256, index: store.source_index() };
        let Located { images, .. } = self.source.locate(&list)?;
        let LoadedClassifier { classifier, description, threads, decoder } = self.loaded;
        let card = &description.card;
        let job = CropJob {
            store,
            manifest,
            images: &*images,
            length_check: LengthCheck::MatchManifest,
            decoder,
            preprocessing: Preprocessing {
                input_size: card.input_size,
                filter: card.filter,
                exif_orientation: card.exif_orientation,
            },
            rows,
            crops,
            batch_images: store.info().batch_images,
            threads,
            teacher_sha256: description.sha256,
        };
        work(job, vec![Box::new(classifier)])
    }
}

/// Returns the list of images that could not be read.
pub fn skipped_text(skipped: &[SkippedImage], manifest: &Manifest) -> String {
    if skipped.is_empty() {
        return String::new();
    }
    let mut text = format!("skipped    {}\n", count(skipped.len(), "image"));
    for image in skipped.iter().take(LISTED) {
        text += &format!("  {}: {}\n", printable(manifest.path(image.row)), image.error);
    }
    text
}

/// Refuses a teacher that differs from the store's in what its prediction depends on, unless that is accepted.
fn check_teacher(
    store: &StoreReader,
    teacher: &Path,
    loaded: &LoadedClassifier,
    accepts_other: bool,
) -> Result<(), Error> {
    let info = store.info();
    let differences = info.differences(&store_info_with_classifier(info, &loaded.description));
    if differences.is_empty() {
        return Ok(());
    }
    let listed = differences.join("\n  - ");
    let found = format!(
        "teacher {} differs from the one that labelled {}:\n  - {listed}",
        printable_path(teacher),
        printable_path(store.path())
    );
    if accepts_other {
        warning(&format!("{found}\n  --other-teacher is given, so crops are compared with this teacher"));
        return Ok(());
    }
    Err(Error::Usage(format!(
        "{found}\n  help: pass the teacher and the card of the store, or --other-teacher to compare with a different one"
    )))
}
