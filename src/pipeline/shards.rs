//! The last stage: batches of labels to committed shards.

use std::collections::HashMap;

use crossbeam_channel::Receiver;
use rayon::ThreadPool;

use super::{Ending, Job, LabelledBatch};
use crate::error::{Error, ImageError};
use crate::label_map::{ImageLabels, ImagePrediction, LabelMap};
use crate::monitor::Monitor;
use crate::store::{Agreement, FailedImage, ShardLabels, encode_shard};
use crate::teacher::BatchLabels;

/// Compared images after which a share of agreement says something.
const AGREEMENT_IMAGES: usize = 500;
/// Percent of agreement below which a teacher is probably fed wrongly.
const LOW_AGREEMENT_PERCENT: f64 = 1.0;

/// Gathers batches into shards and commits them in order. With several teachers batches may come out of order.
pub(super) fn commit_shards(
    job: &Job<'_>,
    pool: &ThreadPool,
    labelled: &Receiver<LabelledBatch>,
    ending: &Ending,
    monitor: &dyn Monitor,
) -> Result<(), Error> {
    let info = job.store.info();
    let mut early: HashMap<usize, LabelledBatch> = HashMap::new();
    let mut next = 0;
    let mut gathered = ShardLabels { shard: 0, images: Vec::new() };
    let mut shard_agreement = Agreement::default();
    let mut watch = AgreementWatch::default();
    while let Ok(batch) = labelled.recv() {
        early.insert(batch.sequence, batch);
        while let Some(batch) = early.remove(&next) {
            next += 1;
            gathered.shard = batch.shard;
            let seen = gather(job, batch, &mut gathered);
            shard_agreement.add(seen.agreement);
            monitor.images_done(seen.labelled, seen.failed, seen.agreement);
            watch.see(seen.agreement, info.classes.count, monitor);
            if gathered.images.len() == info.rows_of(gathered.shard).len() {
                if ending.stopping() {
                    return Ok(());
                }
                commit(job, pool, &gathered, shard_agreement, monitor)?;
                gathered.images.clear();
                shard_agreement = Agreement::default();
            }
        }
    }
    Ok(())
}

fn commit(
    job: &Job<'_>,
    pool: &ThreadPool,
    labels: &ShardLabels,
    agreement: Agreement,
    monitor: &dyn Monitor,
) -> Result<(), Error> {
    let info = job.store.info();
    let files = pool.install(|| encode_shard(info, labels)).map_err(|problem| Error::Store {
        path: job.store.path().to_path_buf(),
        problem: format!("shard {} could not be encoded: {problem}", labels.shard),
    })?;
    let record = job.store.commit(labels, &files, agreement)?;
    monitor.shard_committed(&record);
    Ok(())
}

/// Counts over one batch.
#[derive(Default)]
struct Seen {
    labelled: usize,
    failed: usize,
    agreement: Agreement,
}

/// Adds a batch to the shard.
fn gather(job: &Job<'_>, batch: LabelledBatch, shard: &mut ShardLabels) -> Seen {
    let first_row = job.store.info().rows_of(batch.shard).start + shard.images.len();
    let mut seen = Seen::default();
    for (slot, failure) in batch.failures.into_iter().enumerate() {
        let row = first_row + slot;
        let image = failure.map_or_else(|| labels_of(job, &batch.labels, slot), Err);
        match &image {
            Ok(labels) => {
                seen.labelled += 1;
                let class = job.manifest.label(row).and_then(|label| job.classes_by_label.get(label));
                if let Some(&class) = class {
                    seen.agreement.see(labels.prediction.rank_of(class));
                }
            }
            Err(_) => seen.failed += 1,
        }
        shard.images.push(image.map_err(|error| FailedImage {
            row,
            id: job.manifest.id(row).to_owned(),
            path: job.manifest.path(row).to_owned(),
            error,
        }));
    }
    seen
}

fn labels_of(job: &Job<'_>, labels: &BatchLabels, slot: usize) -> Result<ImageLabels, ImageError> {
    let size = job.store.info().map_size;
    let (values, ranks) = (size.cells() * labels.k, labels.image_ranks);
    let cells = slot * values..(slot + 1) * values;
    let image = slot * ranks..(slot + 1) * ranks;
    let mut map =
        LabelMap::from_cells(&labels.scores[cells.clone()], &labels.classes[cells], labels.k, size, job.rounding)?;
    if let Some(lse) = &labels.lse {
        map = map.with_lse(&lse[slot * size.cells()..][..size.cells()])?;
    }
    Ok(ImageLabels {
        map,
        prediction: ImagePrediction::from_ranks(&labels.image_probs[image.clone()], &labels.image_classes[image])?,
    })
}

/// Says once when the teacher hardly ever agrees with the folders.
#[derive(Default)]
struct AgreementWatch {
    agreement: Agreement,
    said: bool,
}

impl AgreementWatch {
    fn see(&mut self, more: Agreement, classes: usize, monitor: &dyn Monitor) {
        self.agreement.add(more);
        let chance_percent = 100.0 / classes.max(1) as f64;
        let low = self.agreement.percent(self.agreement.top1) < LOW_AGREEMENT_PERCENT;
        if !self.said && self.agreement.compared >= AGREEMENT_IMAGES && low && chance_percent < LOW_AGREEMENT_PERCENT {
            self.said = true;
            monitor.low_agreement(self.agreement);
        }
    }
}
