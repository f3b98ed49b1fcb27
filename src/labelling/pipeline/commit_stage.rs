//! The last stage: collects batches of labels into shards and commits them.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use crossbeam_channel::Receiver;
use rayon::ThreadPool;

use super::batch::LabelledBatch;
use super::job::{Destination, ImagesToDo, Job};
use super::run_checks::{AgreementCheck, FailureCounter};
use super::run_outcome::RunOutcome;
use crate::labelling::teacher::BatchLabels;
use crate::shared::error::{Error, ImageError, ImageErrorKind};
use crate::shared::geometry::MapSize;
use crate::shared::label_map::{ImageLabels, ImagePrediction, LabelMap, TileLabels};
use crate::shared::monitor::{Monitor, Stage};
use crate::shared::store::{Agreement, FailedImage, RowState, ShardLabels, StoreReader, StoreWriter, encode_shard};

/// Collects batches into shards and commits them in order. With several teachers, batches may arrive out of order.
pub(super) fn commit_shards(
    job: &Job<'_>,
    to: &Destination<'_>,
    pool: &ThreadPool,
    labelled: &Receiver<LabelledBatch>,
    outcome: &RunOutcome,
    monitor: &dyn Monitor,
) -> Result<(), Error> {
    let mut early: HashMap<usize, LabelledBatch> = HashMap::new();
    let mut next = 0;
    let mut shard: Option<ShardLabels> = None;
    let mut agreement_check = AgreementCheck::default();
    let mut failures = FailureCounter::new(to.failure_limit);
    while let Ok(batch) = labelled.recv() {
        early.insert(batch.position.sequence, batch);
        while let Some(batch) = early.remove(&next) {
            next += 1;
            let (work, ends_shard) = (batch.position.work, batch.position.ends_shard);
            let mut labels = match shard.take() {
                Some(labels) => labels,
                None => start_shard(job, to.store, work)?,
            };
            let counts = add_batch(job, to, &batch, &mut labels, &mut failures)?;
            monitor.images_done(counts.labelled, counts.failed, counts.agreement);
            agreement_check.add(counts.agreement, job.info.classes.count, monitor);
            if !ends_shard {
                shard = Some(labels);
            } else if outcome.is_stopping() {
                return Ok(());
            } else {
                commit(job, to, pool, &labels, monitor)?;
            }
        }
    }
    Ok(())
}

/// Returns a shard before its first batch: empty, or with its existing labels.
fn start_shard(job: &Job<'_>, store: &StoreWriter, work: usize) -> Result<ShardLabels, Error> {
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
                    problem: format!("the record of shard {} was deleted while it was read", to_do.shard).into(),
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
    // Measured on the pool, so waiting for busy decoders does not count.
    let encoded = pool.install(|| monitor.timed(Stage::Encoding, || encode_shard(info, labels)));
    let files = encoded.map_err(|problem| Error::Internal {
        action: format!("encode shard {}", labels.shard),
        problem: problem.into(),
    })?;
    let mut agreement = Agreement::default();
    for (row, image) in info.shard_rows(labels.shard).zip(&labels.images) {
        count_agreement(job, to, row, image, &mut agreement);
    }
    let record = monitor.timed(Stage::Store, || to.store.commit(labels, &files, agreement))?;
    monitor.shard_committed(&record);
    Ok(())
}

/// Collects the labels of the job's images by row.
pub(super) fn collect_rows(
    job: &Job<'_>,
    labelled: &Receiver<LabelledBatch>,
    monitor: &dyn Monitor,
    rows: &Mutex<BTreeMap<usize, Result<ImageLabels, ImageError>>>,
) {
    while let Ok(batch) = labelled.recv() {
        let mut counts = BatchCounts::default();
        for (slot, (row, failure)) in batch.position.rows.clone().zip(&batch.failures).enumerate() {
            let image = failure.clone().map_or_else(|| labels_of(job, &batch, slot), Err);
            counts.labelled += usize::from(image.is_ok());
            counts.failed += usize::from(image.is_err());
            if job.shards[batch.position.work].images.include(row) {
                rows.lock().unwrap_or_else(PoisonError::into_inner).insert(row, image);
            }
        }
        monitor.images_done(counts.labelled, counts.failed, counts.agreement);
    }
}

/// Counts of one batch.
#[derive(Default)]
struct BatchCounts {
    labelled: usize,
    failed: usize,
    agreement: Agreement,
}

/// Adds a batch to its shard. Images that already have labels keep them.
fn add_batch(
    job: &Job<'_>,
    to: &Destination<'_>,
    batch: &LabelledBatch,
    shard: &mut ShardLabels,
    failures: &mut FailureCounter,
) -> Result<BatchCounts, Error> {
    let first_row = job.info.shard_rows(shard.shard).start;
    let mut counts = BatchCounts::default();
    for (slot, (row, failure)) in batch.position.rows.clone().zip(&batch.failures).enumerate() {
        if matches!(shard.images.get(row - first_row), Some(Ok(_))) {
            continue;
        }
        let image = failure.clone().map_or_else(|| labels_of(job, batch, slot), Err).map_err(|error| FailedImage {
            row,
            id: job.manifest.id(row).to_owned(),
            path: job.manifest.path(row).to_owned(),
            error,
        });
        count_agreement(job, to, row, &image, &mut counts.agreement);
        failures.count(image.as_ref().err())?;
        counts.labelled += usize::from(image.is_ok());
        counts.failed += usize::from(image.is_err());
        match shard.images.get_mut(row - first_row) {
            Some(slot) => *slot = image,
            None => shard.images.push(image),
        }
    }
    Ok(counts)
}

fn count_agreement(
    job: &Job<'_>,
    to: &Destination<'_>,
    row: usize,
    image: &Result<ImageLabels, FailedImage>,
    agreement: &mut Agreement,
) {
    let class = job.manifest.folder_class(row).and_then(|class| to.classes.get(class));
    if let (Ok(labels), Some(&class)) = (image, class) {
        agreement.count(labels.prediction.rank_of(class));
    }
}

/// Returns the labels of one image of a batch.
fn labels_of(job: &Job<'_>, batch: &LabelledBatch, slot: usize) -> Result<ImageLabels, ImageError> {
    let tiles = batch.tiles.iter().enumerate().map(|(tile, labels)| tile_labels(job, labels, tile, slot));
    Ok(ImageLabels {
        map: job.info.map_size.map(|size| map_of(job, &batch.labels, size, slot)).transpose()?,
        prediction: prediction_of(&batch.labels, slot, batch.labels.image_ranks)?,
        tiles: tiles.collect::<Result<_, _>>()?,
    })
}

fn tile_labels(job: &Job<'_>, labels: &BatchLabels, tile: usize, slot: usize) -> Result<TileLabels, ImageError> {
    let Some(tiles) = &job.info.tiles else { return Err(not_labelled(tile)) };
    let map_size = job.info.map_size.filter(|_| tiles.with_maps());
    let in_tile = |error: ImageError| ImageError { reason: format!("tile {tile}: {}", error.reason), ..error };
    Ok(TileLabels {
        map: map_size
            .map(|size| map_of(job, labels, size, slot))
            .transpose()
            .map_err(in_tile)?
            .map(LabelMap::without_lse),
        prediction: prediction_of(labels, slot, tiles.k()).map_err(in_tile)?,
    })
}

fn not_labelled(tile: usize) -> ImageError {
    ImageError { kind: ImageErrorKind::Broken, reason: format!("tile {tile} was labelled in an unexpected way") }
}

fn map_of(job: &Job<'_>, labels: &BatchLabels, size: MapSize, slot: usize) -> Result<LabelMap, ImageError> {
    let values = size.cells() * labels.k;
    let cells = slot * values..(slot + 1) * values;
    let map =
        LabelMap::from_cells(&labels.scores[cells.clone()], &labels.classes[cells], labels.k, size, job.rounding)?;
    match &labels.lse {
        Some(lse) => map.with_lse(&lse[slot * size.cells()..][..size.cells()]),
        None => Ok(map),
    }
}

/// Returns the prediction of one image of a batch, with at most `kept` classes.
fn prediction_of(labels: &BatchLabels, slot: usize, kept: usize) -> Result<ImagePrediction, ImageError> {
    let image = slot * labels.image_ranks..slot * labels.image_ranks + kept.min(labels.image_ranks);
    ImagePrediction::from_ranks(&labels.image_probs[image.clone()], &labels.image_classes[image])
}
