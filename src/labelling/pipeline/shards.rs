//! The last stage: batches of labels to committed shards.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use crossbeam_channel::Receiver;
use rayon::ThreadPool;

use super::failures::{AgreementWatch, FailureWatch};
use super::{Destination, Ending, ImagesToDo, Job, LabelledBatch};
use crate::labelling::teacher::BatchLabels;
use crate::shared::error::{Error, ImageError};
use crate::shared::label_map::{ImageLabels, ImagePrediction, LabelMap};
use crate::shared::monitor::{Monitor, Stage};
use crate::shared::store::{Agreement, FailedImage, RowState, ShardLabels, StoreReader, StoreWriter, encode_shard};

/// Gathers batches into shards and commits them in order. With several teachers batches may come out of order.
pub(super) fn commit_shards(
    job: &Job<'_>,
    to: &Destination<'_>,
    pool: &ThreadPool,
    labelled: &Receiver<LabelledBatch>,
    ending: &Ending,
    monitor: &dyn Monitor,
) -> Result<(), Error> {
    let mut early: HashMap<usize, LabelledBatch> = HashMap::new();
    let mut next = 0;
    let mut shard: Option<ShardLabels> = None;
    let mut agreement_watch = AgreementWatch::default();
    let mut failure_watch = FailureWatch::new(to.failure_limit);
    while let Ok(batch) = labelled.recv() {
        early.insert(batch.place.sequence, batch);
        while let Some(batch) = early.remove(&next) {
            next += 1;
            let (work, ends_shard) = (batch.place.work, batch.place.ends_shard);
            let mut gathered = match shard.take() {
                Some(gathered) => gathered,
                None => begin(job, to.store, work)?,
            };
            let seen = gather(job, to, batch, &mut gathered, &mut failure_watch)?;
            monitor.images_done(seen.labelled, seen.failed, seen.agreement);
            agreement_watch.see(seen.agreement, job.info.classes.count, monitor);
            if !ends_shard {
                shard = Some(gathered);
            } else if ending.stopping() {
                return Ok(());
            } else {
                commit(job, to, pool, &gathered, monitor)?;
            }
        }
    }
    Ok(())
}

/// A shard before its first batch: empty, or with the labels that it has already.
fn begin(job: &Job<'_>, store: &StoreWriter, work: usize) -> Result<ShardLabels, Error> {
    let (info, to_do) = (job.info, &job.shards[work]);
    let images = match to_do.images {
        ImagesToDo::All => Vec::with_capacity(info.shard_rows(to_do.shard).len()),
        ImagesToDo::These(_) => {
            let reader = StoreReader::open(store.path())?;
            let kept = |row| match reader.row(row)? {
                RowState::Labelled(labels) => Ok(Ok(labels)),
                RowState::Failed(failed) => Ok(Err(failed)),
                RowState::ToDo => Err(Error::Store {
                    path: store.path().to_path_buf(),
                    problem: format!("the record of shard {} has gone while it was read", to_do.shard).into(),
                }),
            };
            info.shard_rows(to_do.shard).map(kept).collect::<Result<_, Error>>()?
        }
    };
    Ok(ShardLabels { shard: to_do.shard, images })
}

fn commit(
    job: &Job<'_>,
    to: &Destination<'_>,
    pool: &ThreadPool,
    labels: &ShardLabels,
    monitor: &dyn Monitor,
) -> Result<(), Error> {
    let info = job.info;
    // Timed on the pool, so that waiting for decoders that are at work does not count.
    let encoded = pool.install(|| monitor.timed(Stage::Encoding, || encode_shard(info, labels)));
    let files = encoded.map_err(|problem| Error::Internal {
        action: format!("encode shard {}", labels.shard),
        problem: problem.into(),
    })?;
    let mut agreement = Agreement::default();
    for (row, image) in info.shard_rows(labels.shard).zip(&labels.images) {
        see_agreement(job, to, row, image, &mut agreement);
    }
    let record = monitor.timed(Stage::Store, || to.store.commit(labels, &files, agreement))?;
    monitor.shard_committed(&record);
    Ok(())
}

/// Keeps the labels of the images that were asked for.
pub(super) fn keep_rows(
    job: &Job<'_>,
    labelled: &Receiver<LabelledBatch>,
    monitor: &dyn Monitor,
    rows: &Mutex<BTreeMap<usize, Result<ImageLabels, ImageError>>>,
) {
    while let Ok(batch) = labelled.recv() {
        let mut seen = Seen::default();
        for (slot, (row, failure)) in batch.place.rows.clone().zip(batch.failures).enumerate() {
            let image = failure.map_or_else(|| labels_of(job, &batch.labels, slot), Err);
            seen.labelled += usize::from(image.is_ok());
            seen.failed += usize::from(image.is_err());
            if job.shards[batch.place.work].images.include(row) {
                rows.lock().unwrap_or_else(PoisonError::into_inner).insert(row, image);
            }
        }
        monitor.images_done(seen.labelled, seen.failed, seen.agreement);
    }
}

/// Counts over one batch.
#[derive(Default)]
struct Seen {
    labelled: usize,
    failed: usize,
    agreement: Agreement,
}

/// Puts a batch into its shard. Images that have labels keep them.
fn gather(
    job: &Job<'_>,
    to: &Destination<'_>,
    batch: LabelledBatch,
    shard: &mut ShardLabels,
    failure_watch: &mut FailureWatch,
) -> Result<Seen, Error> {
    let first_row = job.info.shard_rows(shard.shard).start;
    let mut seen = Seen::default();
    for (slot, (row, failure)) in batch.place.rows.clone().zip(batch.failures).enumerate() {
        if matches!(shard.images.get(row - first_row), Some(Ok(_))) {
            continue;
        }
        let image = failure.map_or_else(|| labels_of(job, &batch.labels, slot), Err).map_err(|error| FailedImage {
            row,
            id: job.manifest.id(row).to_owned(),
            path: job.manifest.path(row).to_owned(),
            error,
        });
        see_agreement(job, to, row, &image, &mut seen.agreement);
        failure_watch.see(image.as_ref().err())?;
        seen.labelled += usize::from(image.is_ok());
        seen.failed += usize::from(image.is_err());
        match shard.images.get_mut(row - first_row) {
            Some(place) => *place = image,
            None => shard.images.push(image),
        }
    }
    Ok(seen)
}

fn see_agreement(
    job: &Job<'_>,
    to: &Destination<'_>,
    row: usize,
    image: &Result<ImageLabels, FailedImage>,
    agreement: &mut Agreement,
) {
    let class = job.manifest.label(row).and_then(|label| to.classes_by_label.get(label));
    if let (Ok(labels), Some(&class)) = (image, class) {
        agreement.count(labels.prediction.rank_of(class));
    }
}

fn labels_of(job: &Job<'_>, labels: &BatchLabels, slot: usize) -> Result<ImageLabels, ImageError> {
    let size = job.info.map_size;
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
