//! Runs the teacher on crops of images.

use std::path::Path;

use relabel::evaluation::crop_fidelity::{
    CropChoice, CropJob, CropTable, SkippedImage, crop_fidelity, labelled_rows, read_boxes, sample_rows,
};
use relabel::evaluation::evaluation_file::CropFidelity;
use relabel::labelling::pipeline::Preprocessing;
use relabel::labelling::source::{self, LengthCheck, ListedImages, Located, Source};
use relabel::labelling::teacher::Classifier;
use relabel::shared::error::Error;
use relabel::shared::manifest::{Manifest, RowIndex};
use relabel::shared::printable::{printable, printable_path};
use relabel::shared::store::StoreReader;

use crate::cli::args::{EvaluateArguments, Global, TeacherFlags};
use crate::cli::load_teacher::{LoadedClassifier, load_classifier};
use crate::cli::new_store::store_info_with_classifier;
use crate::cli::output::{count, warning};
use crate::cli::progress_bar::RowProgress;
use crate::cli::stop_flag;

/// Number of skipped images that are listed.
const LISTED: usize = 10;

/// The teacher, the images and the crops, checked before work begins.
pub struct CropRun {
    source: Box<dyn Source>,
    loaded: LoadedClassifier,
    rows: Vec<usize>,
    crops: CropChoice,
}

/// Figures of the crops, and the images that could not be read.
pub struct EvaluatedCrops {
    pub fidelity: CropFidelity,
    pub skipped: Vec<SkippedImage>,
}

impl CropRun {
    /// Opens the images and loads the teacher; `None` if no crops are requested.
    ///
    /// # Errors
    /// Returns [`Error::Usage`] if the teacher is not the store's, and the errors of opening images, boxes and teacher.
    pub fn prepare(
        arguments: &EvaluateArguments,
        store: &StoreReader,
        manifest: &Manifest,
        index: &RowIndex,
    ) -> Result<Option<Self>, Error> {
        let (crops, rows) = match (&arguments.boxes, arguments.crops) {
            (Some(path), _) => {
                let boxes = read_boxes(path, manifest, index)?;
                let rows = boxes.rows();
                (CropChoice::Boxes(boxes), rows)
            }
            (None, Some(per_image)) => {
                let images = arguments.images.unwrap_or(usize::MAX);
                let rows = sample_rows(images, arguments.seed, &labelled_rows(store)?);
                (CropChoice::Random { per_image, seed: arguments.seed }, rows)
            }
            (None, None) => return Ok(None),
        };
        let (Some(source), Some(teacher)) = (&arguments.source, &arguments.teacher.teacher) else { return Ok(None) };
        let source = source::open(source)?;
        let info = store.info();
        let flags = TeacherFlags { flip_average: info.flip_average, ..arguments.teacher.clone() };
        let loaded = load_classifier(&flags, teacher)?;
        refuse_other_teacher(arguments, teacher, store, &loaded)?;
        Ok(Some(Self { source, loaded, rows, crops }))
    }

    /// Runs the teacher on the crops.
    ///
    /// # Errors
    /// Returns the errors of [`crop_fidelity`].
    pub fn run(
        self,
        global: &Global,
        store: &StoreReader,
        manifest: &Manifest,
        table: Option<CropTable>,
    ) -> Result<EvaluatedCrops, Error> {
        let manifest_sha256 = store.info().manifest_sha256.clone();
        let list = ListedImages { manifest, manifest_sha256: &manifest_sha256, index: store.source_index() };
        let Located { images, .. } = self.source.locate(&list)?;
        let LoadedClassifier { classifier, description, threads, decoder } = self.loaded;
        let card = &description.card;
        let progress = RowProgress::new(self.rows.len(), global, stop_flag());
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
            rows: self.rows,
            crops: self.crops,
            batch_images: store.info().batch_images,
            threads,
            teacher_sha256: description.sha256,
        };
        let classifiers: Vec<Box<dyn Classifier>> = vec![Box::new(classifier)];
        let result = crop_fidelity(&job, classifiers, &progress, table);
        progress.finish();
        let (fidelity, skipped) = result?;
        Ok(EvaluatedCrops { fidelity, skipped })
    }
}

impl EvaluatedCrops {
    /// Returns the list of images that could not be read.
    pub fn skipped_text(&self, manifest: &Manifest) -> String {
        if self.skipped.is_empty() {
            return String::new();
        }
        let mut text = format!("skipped    {}\n", count(self.skipped.len(), "image"));
        for image in self.skipped.iter().take(LISTED) {
            text += &format!("  {}: {}\n", printable(manifest.path(image.row)), image.error);
        }
        text
    }
}

/// Refuses a teacher that differs from the store's in what its prediction depends on, unless that is accepted.
fn refuse_other_teacher(
    arguments: &EvaluateArguments,
    teacher: &Path,
    store: &StoreReader,
    loaded: &LoadedClassifier,
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
        printable_path(&arguments.store)
    );
    if arguments.other_teacher {
        warning(&format!("{found}\n  --other-teacher is given, so crops are compared with this teacher"));
        return Ok(());
    }
    Err(Error::Usage(format!(
        "{found}\n  help: pass the teacher and the card of the store, or --other-teacher to compare with a different one"
    )))
}
