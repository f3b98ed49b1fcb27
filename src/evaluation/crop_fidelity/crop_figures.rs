//! Computes the figures of crop fidelity.

use std::collections::{BTreeMap, HashMap};

use super::crop_choice::CropChoice;
use super::crop_job::{CropJob, SkippedImage, TeacherCrop};
use super::crop_labels::{ComparedLabel, CropLabeller};
use super::crop_table::{CropRow, CropTable, CropWriter, TopClasses};
use super::fidelity_sums::FidelitySums;
use super::label_agreement::CropPrediction;
use super::teacher_crops::visit_teacher_crops;
use crate::evaluation::evaluation_file::{CropFidelity, FidelityByKind};
use crate::labelling::teacher::Classifier;
use crate::shared::classes::ClassList;
use crate::shared::digest::digest_bytes;
use crate::shared::error::Error;
use crate::shared::manifest::Manifest;
use crate::shared::monitor::Monitor;
use crate::shared::tiles::Tiles;

/// Runs the teacher on all crops of a job, and compares its predictions with the labels of the crops. Returns the figures, and
/// the images that were skipped. If there is a table, every crop is written to it, by row.
///
/// # Errors
/// Returns [`Error::Usage`] if the classifiers have a different number of classes than the store, or the job has no crops;
/// [`Error::Store`] if all images were skipped; [`Error::Interrupted`] if the monitor requested a stop; [`Error::File`] if
/// the table cannot be written; or the first error of the store or of a classifier.
pub fn crop_fidelity(
    job: &CropJob<'_>,
    classifiers: Vec<Box<dyn Classifier>>,
    monitor: &dyn Monitor,
    table: Option<CropTable>,
) -> Result<(CropFidelity, Vec<SkippedImage>), Error> {
    if job.rows.iter().all(|&row| job.crops.count(row) == 0) {
        return Err(Error::Usage(
            "cannot compare crops: none of the images has one\n  help: choose more crops or more images".to_owned(),
        ));
    }
    let labeller = CropLabeller::new(job.store)?;
    match table {
        Some(table) => {
            let labels = labeller.labels().to_vec();
            table.write(&labels, |table| compare_crops(job, labeller, classifiers, monitor, Some(table)))
        }
        None => compare_crops(job, labeller, classifiers, monitor, None),
    }
}

fn compare_crops(
    job: &CropJob<'_>,
    labeller: CropLabeller<'_>,
    mut classifiers: Vec<Box<dyn Classifier>>,
    monitor: &dyn Monitor,
    table: Option<CropWriter<'_>>,
) -> Result<(CropFidelity, Vec<SkippedImage>), Error> {
    let classes: ClassList = (&job.store.info().classes).into();
    let mut comparison = Comparison {
        manifest: job.manifest,
        class_of_label: classes.by_folder_class(),
        sums: FidelitySums::new(labeller.labels(), matches!(job.crops, CropChoice::Random { .. })),
        labeller,
        table,
        row: None,
    };
    let skipped = visit_teacher_crops(job, &mut classifiers, monitor, |crop| comparison.add(crop))?;
    comparison.sums.end_image();
    if let Some(table) = comparison.table {
        table.finish()?;
    }
    let figures = figures(job, &comparison.sums)?.ok_or_else(|| job.unreadable("compare crops", 0, &skipped))?;
    Ok((figures, skipped))
}

/// Compares one crop after the other.
struct Comparison<'job, 'table> {
    manifest: &'job Manifest,
    class_of_label: HashMap<String, u32>,
    labeller: CropLabeller<'job>,
    sums: FidelitySums,
    table: Option<CropWriter<'table>>,
    /// Row of the current image.
    row: Option<usize>,
}

impl Comparison<'_, '_> {
    fn add(&mut self, crop: &TeacherCrop<'_>) -> Result<(), Error> {
        if self.row.replace(crop.row).is_some_and(|row| row != crop.row) {
            self.sums.end_image();
        }
        let folder_class =
            self.manifest.folder_class(crop.row).and_then(|label| self.class_of_label.get(label)).copied();
        let prediction = CropPrediction::new(crop.probs);
        let compared = self.labeller.compare(crop, &prediction, folder_class)?;
        self.sums.add(crop.crop.area(), &compared.agreements);
        let Some(table) = &mut self.table else { return Ok(()) };
        table.add(CropRow {
            row: crop.row,
            id: self.manifest.id(crop.row).to_owned(),
            index: crop.index,
            crop: crop.crop,
            folder_class,
            teacher: TopClasses::of_probs(crop.probs),
            pooled: compared.pooled.as_ref().map(TopClasses::of_target),
            agreements: compared.agreements,
        })
    }
}

/// Returns the figures of all crops; `None` if there are none.
fn figures(job: &CropJob<'_>, sums: &FidelitySums) -> Result<Option<CropFidelity>, Error> {
    let (images, crops) = sums.counts();
    if crops == 0 {
        return Ok(None);
    }
    let (seed, boxes_sha256) = match &job.crops {
        CropChoice::Random { seed, .. } => (Some(*seed), None),
        CropChoice::Boxes(boxes) => (None, Some(boxes.sha256().clone())),
    };
    let (mut labels, mut coverings) = (FidelityByKind::default(), BTreeMap::new());
    for (label, fidelity) in sums.figures() {
        match label {
            ComparedLabel::Kind(kind) => *labels.get_mut(kind) = Some(fidelity),
            ComparedLabel::Covering(covering) => {
                coverings.insert(covering.name().to_owned(), fidelity);
            }
        }
    }
    Ok(Some(CropFidelity {
        images,
        crops,
        seed,
        boxes_sha256,
        teacher_sha256: job.teacher_sha256.clone(),
        pooling_sha256: job.store.calibration_file()?.map(|file| digest_bytes(&file)),
        tile_count: job.store.info().tiles.as_ref().map_or(0, Tiles::count),
        labels,
        coverings,
    }))
}
