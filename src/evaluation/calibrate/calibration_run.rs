//! Runs a calibration: the teacher on crops of some images, the fit, then the teacher on crops of the other images.

use super::calibration_verdict::{CalibrationVerdict, best_before};
use super::fit::fit;
use super::fit_crops::{FitCrops, FittedLabels};
use super::label_means::LabelMeans;
use super::parameter_space::ParameterSpace;
use super::sample_halves::SampleHalves;
use crate::evaluation::crop_fidelity::{
    CalibratedParameters, CropChoice, CropJob, CropLabeller, CropPrediction, SkippedImage, visit_teacher_crops,
};
use crate::evaluation::evaluation_file::LabelKind;
use crate::labelling::teacher::Classifier;
use crate::shared::error::Error;
use crate::shared::monitor::Monitor;
use crate::shared::numbers::thousands;
use crate::shared::pooling_parameters::PoolingParameters;
use crate::shared::store::{Calibration, CalibrationFigures, CalibrationSample};
use crate::shared::threads::thread_pool;
use crate::training::pool::PoolError;

/// A calibration that was not written yet.
#[derive(Clone, Debug)]
pub struct CalibrationResult {
    /// Parameters and figures. They must not be used if the verdict is [`CalibrationVerdict::Worse`].
    pub calibration: Calibration,
    /// Whether the labels of held-out crops improved.
    pub verdict: CalibrationVerdict,
    /// Figures of the label with the smallest KL before the calibration.
    pub best_before: CalibrationFigures,
    /// Images that were skipped, by row, entirely or in part.
    pub skipped: Vec<SkippedImage>,
}

/// The labels that are compared, if the store has them. The last one is calibrated.
const COMPARED: [LabelKind; 7] = [
    LabelKind::Pooled,
    LabelKind::Image,
    LabelKind::Tile,
    LabelKind::Tiles,
    LabelKind::TileMap,
    LabelKind::CalibratedWithoutTiles,
    LabelKind::Calibrated,
];

/// Smallest number of images: two in each half, for standard errors.
const MIN_IMAGES: usize = 4;

/// Largest number of crops. Half of them are kept in memory for the fit, up to 10 kB each.
const MAX_CROPS: usize = 400_000;

/// Fits parameters of pooling on one half of the job's images, and compares labels of crops of the other half with the teacher's
/// predictions. The result depends on the job's rows and seed, not on the number of threads.
///
/// # Errors
/// Returns [`Error::Usage`] if the crops are not random, there are too few images or too many crops, or a classifier has a
/// different number of classes than the store; [`Error::Store`] if too many images were skipped; [`Error::Interrupted`] if the
/// monitor requested a stop; or the first error of the store or of a classifier.
pub fn calibrate(
    mut job: CropJob<'_>,
    mut classifiers: Vec<Box<dyn Classifier>>,
    monitor: &dyn Monitor,
) -> Result<CalibrationResult, Error> {
    let CropChoice::Random { per_image, seed } = job.crops else {
        return Err(Error::Usage("cannot calibrate on given boxes\n  help: use random crops".to_owned()));
    };
    check_sample(job.rows.len(), per_image)?;
    let halves = SampleHalves::new(&job.rows, seed);
    let info = job.store.info();
    let (class_count, has_map, tiles) = (info.classes.count, info.map_size.is_some(), info.tiles.as_ref());

    job.rows = halves.fit;
    let mut crops = FitCrops::new(class_count, has_map, tiles);
    let mut skipped = visit_teacher_crops(&job, &mut classifiers, monitor, |crop| {
        crops.add(crop).map_err(|error| unusable_labels(&job, crop.row, &error))
    })?;
    check_images(&job, crops.images(), &skipped)?;
    let sample = CalibrationSample { images: crops.images(), crops: crops.len(), seed };
    let parameters = fitted_parameters(&job, &crops, monitor)?;
    drop(crops);

    job.rows = halves.held_out;
    let mut labeller = CropLabeller::with_calibration(job.store, &COMPARED, parameters);
    let mut means = LabelMeans::new(&COMPARED);
    skipped.extend(visit_teacher_crops(&job, &mut classifiers, monitor, |crop| {
        let compared = labeller.compare(crop, &CropPrediction::new(crop.probs), None)?;
        means.add(crop.row, &compared.agreements);
        Ok(())
    })?);
    skipped.sort_by_key(|image| image.row);
    let Some((images, held_out_crops, figures)) = means.finish() else {
        return Err(job.unreadable("calibrate", 0, &skipped));
    };
    check_images(&job, images, &skipped)?;
    let calibration = Calibration {
        pooling_version: Calibration::VERSION,
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        made_with: info.identity_with_tiles(),
        teacher_sha256: job.teacher_sha256.clone(),
        parameters: parameters.all,
        parameters_without_tiles: parameters.without_tiles,
        fit: sample,
        held_out: CalibrationSample { images, crops: held_out_crops, seed },
        figures,
    };
    let (Some(verdict), Some(best_before)) =
        (CalibrationVerdict::new(&calibration), best_before(&calibration).cloned())
    else {
        let problem = "no label was compared".into();
        return Err(Error::Internal { action: "judge a calibration".to_owned(), problem });
    };
    Ok(CalibrationResult { calibration, verdict, best_before, skipped })
}

/// Fits parameters, and parameters without tiles if the store has tiles.
fn fitted_parameters(
    job: &CropJob<'_>,
    crops: &FitCrops,
    monitor: &dyn Monitor,
) -> Result<CalibratedParameters, Error> {
    let info = job.store.info();
    let fit = |labels: FittedLabels| -> Result<PoolingParameters, Error> {
        let tiles = info.tiles.as_ref().filter(|_| labels == FittedLabels::All);
        let space = ParameterSpace::new(info.map_size.is_some(), tiles);
        let divergence = |parameters: &PoolingParameters| crops.mean_divergence(labels, parameters);
        Ok(fit(&space, &divergence, &|| monitor.stop_requested())?.parameters)
    };
    thread_pool(job.threads, "fit")?.install(|| {
        let without_tiles = info.tiles.is_some().then(|| fit(FittedLabels::WithoutTiles)).transpose()?;
        Ok(CalibratedParameters { all: fit(FittedLabels::All)?, without_tiles })
    })
}

fn check_sample(images: usize, crops_per_image: usize) -> Result<(), Error> {
    if images < MIN_IMAGES || crops_per_image == 0 {
        return Err(Error::Usage(format!(
            "cannot calibrate on {images} images with {crops_per_image} crops each: at least {MIN_IMAGES} images with a crop are \
             needed\n  help: label more images, or choose more"
        )));
    }
    if images.saturating_mul(crops_per_image) > MAX_CROPS {
        return Err(Error::Usage(format!(
            "cannot calibrate on {} images with {} crops each: more than {} crops\n  help: choose fewer; a few thousand suffice \
             for nine parameters",
            thousands(images),
            thousands(crops_per_image),
            thousands(MAX_CROPS)
        )));
    }
    Ok(())
}

/// Checks that enough images of a half had crops.
fn check_images(job: &CropJob<'_>, images: usize, skipped: &[SkippedImage]) -> Result<(), Error> {
    if images < MIN_IMAGES / 2 { Err(job.unreadable("calibrate", images, skipped)) } else { Ok(()) }
}

fn unusable_labels(job: &CropJob<'_>, row: usize, problem: &PoolError) -> Error {
    Error::Store { path: job.store.path().to_path_buf(), problem: format!("row {row}: {problem}").into() }
}
