//! Runs the teacher on crops of images.

use relabel::evaluation::crop_fidelity::{
    CropChoice, CropTable, SkippedImage, crop_fidelity, labelled_rows, read_boxes, sample_rows,
};
use relabel::evaluation::evaluation_file::CropFidelity;
use relabel::shared::error::Error;
use relabel::shared::manifest::{Manifest, RowIndex};
use relabel::shared::store::StoreReader;

use crate::cli::args::{EvaluateArguments, Global};
use crate::cli::crop_teacher::CropTeacher;
use crate::cli::progress_bar::RowProgress;
use crate::cli::stop_flag;

/// The teacher, the images and the crops, checked before work begins.
pub struct CropRun {
    teacher: CropTeacher,
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
        let teacher = CropTeacher::open(store, source, teacher, &arguments.teacher, arguments.other_teacher)?;
        Ok(Some(Self { teacher, rows, crops }))
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
        let progress = RowProgress::new(self.rows.len(), global, stop_flag());
        let result = self.teacher.with_job(store, manifest, self.rows, self.crops, |job, classifiers| {
            crop_fidelity(&job, classifiers, &progress, table)
        });
        progress.finish();
        let (fidelity, skipped) = result?;
        Ok(EvaluatedCrops { fidelity, skipped })
    }
}
