//! The first stage: decodes images, cuts out their crops, and collects these into batches.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, bounded};
use rayon::{ScopeFifo, ThreadPool};

use super::crop_job::{CropJob, SkippedImage};
use crate::labelling::pipeline::{Preprocessing, RunOutcome, read_catching_panics};
use crate::labelling::pixels::PixelCrop;
use crate::labelling::source::ReadError;
use crate::labelling::teacher::PixelBatch;
use crate::shared::error::{Error, ImageError, ImageErrorKind};
use crate::shared::label_map::ImageLabels;
use crate::shared::monitor::{Monitor, Stage};
use crate::shared::store::RowState;

/// Bytes of the crops that are cut from an image at a time. An image with more crops is decoded again for the others, so
/// memory does not grow with the number of crops.
const CUT_BYTES: usize = 8 << 20;

/// Crops on their way to the teacher.
pub(super) struct CropBatch {
    /// Position among all batches.
    pub(super) sequence: usize,
    pub(super) pixels: PixelBatch,
    pub(super) crops: Vec<CutCrop>,
    pub(super) skipped: Vec<SkippedImage>,
}

/// A crop of a batch.
pub(super) struct CutCrop {
    pub(super) row: usize,
    pub(super) index: usize,
    pub(super) crop: PixelCrop,
    pub(super) labels: Arc<ImageLabels>,
    /// Whether this is the last crop of its image.
    pub(super) ends_image: bool,
}

/// Some of the crops of an image, which are cut together.
#[derive(Clone)]
struct Portion {
    row: usize,
    crops: Range<usize>,
    ends_image: bool,
}

/// A portion after it was cut.
struct CutPortion {
    labels: Arc<ImageLabels>,
    crops: Vec<PixelCrop>,
    /// Input pixels of the crops.
    pixels: Vec<u8>,
}

/// Cuts the job's crops on `pool` and sends them on in batches, by row. The contents of a batch depend on the job only.
pub(super) fn cut_batches(
    job: &CropJob<'_>,
    pool: &ThreadPool,
    outcome: &RunOutcome,
    out: &Sender<CropBatch>,
    monitor: &dyn Monitor,
) {
    pool.in_place_scope_fifo(|scope| {
        let mut planned = portions(job);
        let mut started = VecDeque::new();
        let mut batch = BatchBuilder::new(job);
        loop {
            while started.len() < 2 * job.threads
                && let Some(portion) = planned.next()
            {
                started.push_back((portion.clone(), start(job, scope, portion, monitor)));
            }
            let Some((portion, cut)) = started.pop_front() else { break };
            let cut = cut.recv().unwrap_or_else(|_| Err(ReadError::Image(not_cut())));
            match cut {
                Ok(cut) => {
                    if !batch.add(&portion, &cut, out) {
                        return;
                    }
                }
                Err(ReadError::Image(error)) => batch.skipped.push(SkippedImage { row: portion.row, error }),
                Err(ReadError::Machine(error)) => outcome.record(Err(error)),
            }
            if outcome.is_stopping() {
                return;
            }
        }
        // A closed queue means that the next stage has ended.
        let _ = out.send(batch.take());
    });
}

/// Returns the portions of all images, by row.
fn portions<'a>(job: &'a CropJob<'_>) -> impl Iterator<Item = Portion> + 'a {
    let mut rows = job.rows.clone();
    rows.sort_unstable();
    rows.dedup();
    let crops_at_once = (CUT_BYTES / job.preprocessing.input_size.rgb_bytes()).max(1);
    rows.into_iter().flat_map(move |row| {
        let count = job.crops.count(row);
        (0..count).step_by(crops_at_once).map(move |first| {
            let end = count.min(first + crops_at_once);
            Portion { row, crops: first..end, ends_image: end == count }
        })
    })
}

/// Starts cutting a portion, whose result is sent.
fn start<'scope>(
    job: &'scope CropJob<'_>,
    scope: &ScopeFifo<'scope>,
    portion: Portion,
    monitor: &'scope dyn Monitor,
) -> Receiver<Result<CutPortion, ReadError>> {
    let (done, cut) = bounded(1);
    scope.spawn_fifo(move |_| {
        let _ = done.send(monitor.timed(Stage::Decoding, || cut_portion(job, &portion)));
    });
    cut
}

fn cut_portion(job: &CropJob<'_>, portion: &Portion) -> Result<CutPortion, ReadError> {
    let Preprocessing { input_size, filter, exif_orientation } = job.preprocessing;
    let labels = match job.store.row(portion.row).map_err(ReadError::Machine)? {
        RowState::Labelled(labels) => Arc::new(labels),
        RowState::Failed(failed) => return Err(ReadError::Image(failed.error)),
        RowState::ToDo => {
            return Err(ReadError::Machine(Error::NotLabelled {
                store: job.store.path().to_path_buf(),
                row: portion.row,
                reason: "its shard is not done\n  help: resume with `relabel run`, then evaluate".to_owned(),
            }));
        }
    };
    let _reservation = job.decoder.reserve_for_file(job.manifest.bytes(portion.row));
    let bytes = read_catching_panics(job.images, portion.row, job.length_check)?;
    let cut = job.decoder.decode_for_crops(&bytes, exif_orientation, input_size, filter, |image| {
        let image_pixels = [image.height_pixels(), image.width_pixels()];
        let crops = job.crops.crops(portion.row, portion.crops.clone(), image_pixels);
        let mut pixels = vec![0; crops.len() * input_size.rgb_bytes()];
        for (crop, out) in crops.iter().zip(pixels.chunks_exact_mut(input_size.rgb_bytes())) {
            image.resize_crop(crop, input_size, filter, out)?;
        }
        Ok((crops, pixels))
    });
    let (crops, pixels) = cut?;
    Ok(CutPortion { labels, crops, pixels })
}

fn not_cut() -> ImageError {
    let reason = "cutting out its crops failed in an unexpected way".to_owned();
    ImageError { kind: ImageErrorKind::Broken, reason }
}

/// Collects crops into batches.
struct BatchBuilder<'a> {
    job: &'a CropJob<'a>,
    sequence: usize,
    data: Vec<u8>,
    crops: Vec<CutCrop>,
    skipped: Vec<SkippedImage>,
}

impl<'a> BatchBuilder<'a> {
    fn new(job: &'a CropJob<'a>) -> Self {
        Self { job, sequence: 0, data: Vec::new(), crops: Vec::new(), skipped: Vec::new() }
    }

    /// Adds crops, and sends each complete batch. Returns whether the next stage still receives batches.
    fn add(&mut self, portion: &Portion, cut: &CutPortion, out: &Sender<CropBatch>) -> bool {
        let last = cut.crops.len().saturating_sub(1);
        let pixels = cut.pixels.chunks_exact(self.job.preprocessing.input_size.rgb_bytes());
        for (at, (&crop, pixels)) in cut.crops.iter().zip(pixels).enumerate() {
            self.data.extend_from_slice(pixels);
            self.crops.push(CutCrop {
                row: portion.row,
                index: portion.crops.start + at,
                crop,
                labels: Arc::clone(&cut.labels),
                ends_image: portion.ends_image && at == last,
            });
            if self.crops.len() >= self.job.batch_images && out.send(self.take()).is_err() {
                return false;
            }
        }
        true
    }

    fn take(&mut self) -> CropBatch {
        let crops = std::mem::take(&mut self.crops);
        let size = self.job.preprocessing.input_size;
        let data = std::mem::replace(&mut self.data, Vec::with_capacity(self.job.batch_images * size.rgb_bytes()));
        let pixels = PixelBatch::new(crops.len(), size, data);
        self.sequence += 1;
        CropBatch { sequence: self.sequence - 1, pixels, crops, skipped: std::mem::take(&mut self.skipped) }
    }
}
