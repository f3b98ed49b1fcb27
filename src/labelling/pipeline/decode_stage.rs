//! The first stage: decodes files into batches of pixels.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crossbeam_channel::{Receiver, Sender, bounded};
use rayon::{ScopeFifo, ThreadPool};

use super::batch::{BatchPosition, DecodedBatch};
use super::job::{Job, Preprocessing, ShardWork};
use super::run_outcome::RunOutcome;
use crate::labelling::pixels::InputLevels;
use crate::labelling::source::{ImageReader, LengthCheck, ReadError};
use crate::labelling::teacher::PixelBatch;
use crate::shared::error::{ImageError, ImageErrorKind};
use crate::shared::geometry::{InputSize, UnitBox};
use crate::shared::monitor::{Monitor, Stage};
use crate::shared::store::InFlight;
use crate::shared::tiles::Tiles;

/// Batches that are decoded at the same time: while the last images of one keep a thread busy, the other threads start
/// the next one.
const BATCHES_IN_DECODING: usize = 2;

type Slot = (usize, Result<Vec<u8>, ReadError>);

/// Decodes the job's batches on `pool` and sends them on, in order.
pub(super) fn decode_batches(
    job: &Job<'_>,
    in_flight: Option<&InFlight>,
    pool: &ThreadPool,
    outcome: &RunOutcome,
    out: &Sender<DecodedBatch>,
    monitor: &dyn Monitor,
) {
    pool.in_place_scope_fifo(|scope| {
        let mut planned = batches(job);
        let mut started = VecDeque::new();
        loop {
            while started.len() < BATCHES_IN_DECODING
                && !outcome.is_stopping()
                && let Some(position) = planned.next()
            {
                let slots = start_batch(job, in_flight, scope, position.rows.clone(), monitor);
                started.push_back((position, slots));
            }
            let Some((position, slots)) = started.pop_front() else { break };
            let batch = collect(job, position, &slots, outcome);
            if outcome.is_stopping() || out.send(batch).is_err() {
                break;
            }
        }
    });
}

/// Returns the batches of the job: a shard's rows, cut every `batch_images`. A shard's last batch may be smaller.
/// If only some images are to be labelled, batches without one are skipped, and the others stay as they are.
fn batches<'a>(job: &'a Job<'_>) -> impl Iterator<Item = BatchPosition> + 'a {
    let info = job.info;
    let of_shard = move |(work, to_do): (usize, &'a ShardWork)| {
        let rows = info.shard_rows(to_do.shard);
        let end = rows.end;
        let mut cut: Vec<_> =
            rows.step_by(info.batch_images).map(|first| first..end.min(first + info.batch_images)).collect();
        cut.retain(|rows| rows.clone().any(|row| to_do.images.include(row)));
        let last = cut.len().saturating_sub(1);
        cut.into_iter().enumerate().map(move |(at, rows)| (work, rows, at == last))
    };
    let batches = job.shards.iter().enumerate().flat_map(of_shard);
    batches.enumerate().map(|(sequence, (work, rows, ends_shard))| BatchPosition { sequence, work, rows, ends_shard })
}

/// Starts decoding the images of a batch. Each is sent with its slot.
fn start_batch<'scope>(
    job: &'scope Job<'_>,
    in_flight: Option<&'scope InFlight>,
    scope: &ScopeFifo<'scope>,
    rows: std::ops::Range<usize>,
    monitor: &'scope dyn Monitor,
) -> Receiver<Slot> {
    let (done, slots) = bounded(rows.len());
    for (slot, row) in rows.enumerate() {
        let done = done.clone();
        scope.spawn_fifo(move |_| {
            let _ = done.send((slot, monitor.timed(Stage::Decoding, || input_pixels(job, in_flight, row, monitor))));
        });
    }
    slots
}

/// Prepares one image for the teacher.
fn input_pixels(
    job: &Job<'_>,
    in_flight: Option<&InFlight>,
    row: usize,
    monitor: &dyn Monitor,
) -> Result<Vec<u8>, ReadError> {
    let Preprocessing { input_size, filter, exif_orientation } = job.preprocessing;
    let _reservation = job.decoder.reserve_for_file(job.manifest.bytes(row));
    let bytes = read_catching_panics(job.images, row, job.length_check)?;
    let entry = in_flight.map(|in_flight| in_flight.enter(row)).transpose()?;
    let granted = |bytes| {
        if let Some(entry) = &entry {
            entry.set_memory(bytes);
        }
    };
    let tiles = job.info.tiles.as_ref().map_or(&[][..], Tiles::boxes);
    let levels = InputLevels { size: input_size, filter, tiles };
    let mut pixels = vec![0; levels.rgb_bytes()];
    let image_pixels = job.decoder.decode_levels_into(&bytes, exif_orientation, &levels, &mut pixels, &granted)?;
    if tiles.iter().any(|tile| is_enlarged(*tile, image_pixels, input_size)) {
        monitor.tiles_enlarged();
    }
    Ok(pixels)
}

/// Reads the bytes of an image. A reader that panics fails only its image, as a decoder does.
///
/// # Errors
/// See [`ImageReader::read`].
pub(crate) fn read_catching_panics(
    images: &dyn ImageReader,
    row: usize,
    check: LengthCheck,
) -> Result<Vec<u8>, ReadError> {
    let read = || images.read(row, check);
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| Err(ReadError::Image(panicked())))
}

fn panicked() -> ImageError {
    let reason = "its decoder failed in an unexpected way".to_owned();
    ImageError { kind: ImageErrorKind::Broken, reason }
}

/// Returns whether a tile has fewer pixels than the input that it is resized to.
fn is_enlarged(tile: UnitBox, (height, width): (u32, u32), input: InputSize) -> bool {
    let tile_pixels = tile.area() * f64::from(height) * f64::from(width);
    tile_pixels < f64::from(input.height_pixels()) * f64::from(input.width_pixels())
}

/// Collects a batch. An I/O error of the host stops the run, since the image may be intact.
fn collect(job: &Job<'_>, position: BatchPosition, slots: &Receiver<Slot>, outcome: &RunOutcome) -> DecodedBatch {
    let (size, images) = (job.preprocessing.input_size, position.rows.len());
    let levels = 1 + job.info.tiles.as_ref().map_or(0, Tiles::count);
    let mut data = vec![vec![0; images * size.rgb_bytes()]; levels];
    // A slot that is never received has failed: it must not count as a black image.
    let mut failures = vec![Some(panicked()); images];
    for (slot, result) in slots {
        match result {
            Ok(pixels) => {
                for (level, pixels) in data.iter_mut().zip(pixels.chunks_exact(size.rgb_bytes())) {
                    level[slot * size.rgb_bytes()..][..size.rgb_bytes()].copy_from_slice(pixels);
                }
                failures[slot] = None;
            }
            Err(ReadError::Image(error)) => failures[slot] = Some(error),
            Err(ReadError::Machine(error)) => outcome.record(Err(error)),
        }
    }
    let mut batches = data.into_iter().map(|data| PixelBatch::new(images, size, data));
    // The first level always exists.
    let pixels = batches.next().unwrap_or_else(|| PixelBatch::new(0, size, Vec::new()));
    DecodedBatch { position, pixels, tiles: batches.collect(), failures }
}
