//! Runs the teacher on the crops: decode and cut | teacher | visit.

use std::collections::HashMap;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::crop_job::{CropJob, SkippedImage, TeacherCrop};
use super::cut_stage::{CropBatch, CutCrop, cut_batches};
use crate::labelling::pipeline::{RunOutcome, start_stage};
use crate::labelling::teacher::Classifier;
use crate::shared::error::{Error, ImageError, ImageErrorKind};
use crate::shared::monitor::{Monitor, Stage};
use crate::shared::store::Agreement;
use crate::shared::threads::thread_pool;

/// Batches that wait between two stages.
const QUEUED_BATCHES: usize = 2;

/// Interval at which a request to stop is noticed.
const STOP_INTERVAL: Duration = Duration::from_millis(100);

/// A batch after the teacher.
struct ClassifiedBatch {
    batch: CropBatch,
    /// `[crop, class]`.
    probs: Vec<f32>,
}

/// Runs the teacher on all crops of a job, and calls `visit` with each, by row. There is one classifier for each device;
/// they share the batches. Returns the images that were skipped. The monitor is notified after each image.
///
/// Results do not depend on the number of threads. The last bits of probabilities may depend on the size of batches.
///
/// # Errors
/// Returns [`Error::Usage`] if a classifier has a different number of classes than the store; [`Error::Interrupted`] if the
/// monitor requested a stop; or the first error of a stage or of `visit`.
pub fn visit_teacher_crops(
    job: &CropJob<'_>,
    classifiers: &mut [Box<dyn Classifier>],
    monitor: &dyn Monitor,
    mut visit: impl FnMut(&TeacherCrop<'_>) -> Result<(), Error>,
) -> Result<Vec<SkippedImage>, Error> {
    let class_count = job.store.info().classes.count;
    if let Some(other) = classifiers.iter().map(|classifier| classifier.class_count()).find(|&n| n != class_count) {
        return Err(Error::Usage(format!(
            "cannot compare labels of {class_count} classes with a teacher of {other} classes\n  help: pass the teacher of the \
             store, or one with the same classes"
        )));
    }
    let pool = thread_pool(job.threads, "crops")?;
    let run_outcome = RunOutcome::default();
    let (cut_in, cut_out) = bounded::<CropBatch>(QUEUED_BATCHES);
    let (classified_in, classified_out) = bounded::<ClassifiedBatch>(QUEUED_BATCHES);
    let (pool, outcome) = (&pool, &run_outcome);
    let mut visitor = CropVisitor { class_count, monitor, visit: &mut visit, skipped: Vec::new() };

    std::thread::scope(|scope| {
        start_stage(scope, outcome, "cut crops", move || {
            cut_batches(job, pool, outcome, &cut_in, monitor);
            Ok(())
        });
        for classifier in classifiers {
            let (cut, classified) = (cut_out.clone(), classified_in.clone());
            start_stage(scope, outcome, "run the teacher", move || {
                classify_batches(classifier.as_mut(), &cut, &classified, outcome, monitor)
            });
        }
        // Only the stages own the ends of their queues, so each notices when its neighbour has ended.
        drop((cut_out, classified_in));
        outcome.record(visitor.visit_batches(&classified_out));
        drop(classified_out);
    });
    let skipped = visitor.skipped;
    run_outcome.into_result()?;
    Ok(skipped)
}

/// Runs one classifier on batches until the queue is closed.
fn classify_batches(
    classifier: &mut dyn Classifier,
    cut: &Receiver<CropBatch>,
    classified: &Sender<ClassifiedBatch>,
    outcome: &RunOutcome,
    monitor: &dyn Monitor,
) -> Result<(), Error> {
    while let Ok(batch) = cut.recv() {
        if outcome.is_stopping() {
            break;
        }
        let probs = match batch.crops.len() {
            0 => Vec::new(),
            _ => monitor.timed(Stage::Teacher, || classifier.classify(&batch.pixels))?,
        };
        let expected = batch.crops.len() * classifier.class_count();
        if probs.len() != expected {
            let message = format!("got {} probabilities for a batch, expected {expected}", probs.len());
            return Err(Error::Inference { action: "run the teacher", message });
        }
        if classified.send(ClassifiedBatch { batch, probs }).is_err() {
            break;
        }
    }
    Ok(())
}

/// The last stage: visits the crops in order.
struct CropVisitor<'a> {
    class_count: usize,
    monitor: &'a dyn Monitor,
    visit: &'a mut dyn FnMut(&TeacherCrop<'_>) -> Result<(), Error>,
    skipped: Vec<SkippedImage>,
}

impl CropVisitor<'_> {
    /// Visits batches until the queue is closed. With several classifiers, they may arrive out of order.
    fn visit_batches(&mut self, classified: &Receiver<ClassifiedBatch>) -> Result<(), Error> {
        let mut early: HashMap<usize, ClassifiedBatch> = HashMap::new();
        let mut next = 0;
        loop {
            if self.monitor.stop_requested() {
                return Err(Error::Interrupted);
            }
            match classified.recv_timeout(STOP_INTERVAL) {
                Ok(batch) => early.insert(batch.batch.sequence, batch),
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            };
            while let Some(batch) = early.remove(&next) {
                next += 1;
                self.visit_batch(batch)?;
            }
        }
    }

    fn visit_batch(&mut self, ClassifiedBatch { batch, probs }: ClassifiedBatch) -> Result<(), Error> {
        for skipped in batch.skipped {
            self.skip(skipped);
        }
        for (crop, probs) in batch.crops.iter().zip(probs.chunks_exact(self.class_count)) {
            if probs.iter().all(|prob| prob.is_finite()) {
                let CutCrop { row, index, crop, ref labels, .. } = *crop;
                (self.visit)(&TeacherCrop { row, index, crop, labels, probs })?;
            } else {
                let reason = format!("the teacher's probabilities of crop {} are not finite", crop.index);
                let error = ImageError { kind: ImageErrorKind::Scores, reason };
                self.skip(SkippedImage { row: crop.row, error });
            }
            if crop.ends_image {
                self.monitor.images_done(1, 0, Agreement::default());
            }
        }
        Ok(())
    }

    /// Records an image once, although several of its crops may be missing.
    fn skip(&mut self, image: SkippedImage) {
        if self.skipped.iter().rev().take(2).all(|other| other.row != image.row) {
            self.monitor.images_done(0, 1, Agreement::default());
            self.skipped.push(image);
        }
    }
}
