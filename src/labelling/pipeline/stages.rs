//! Starts the stages, and waits for them.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::thread::{Scope, ScopedJoinHandle};

use crossbeam_channel::{Receiver, Sender, bounded};
use rayon::ThreadPool;

use super::batch::{DecodedBatch, LabelledBatch};
use super::commit_stage::{collect_rows, commit_shards};
use super::decode_stage::decode_batches;
use super::job::{Destination, ImagesToDo, Job};
use super::run_outcome::RunOutcome;
use crate::labelling::teacher::{PixelBatch, Teacher};
use crate::shared::error::{Error, ImageError};
use crate::shared::label_map::ImageLabels;
use crate::shared::monitor::{Monitor, Stage};
use crate::shared::store::{HEARTBEAT_INTERVAL, InFlight};
use crate::shared::threads::{catch_panic, spawn_in, thread_pool};

/// Batches that wait between two stages.
const QUEUED_BATCHES: usize = 2;

/// Labels every image of the job's shards and commits the shards in order. There is one teacher for each device; they
/// share the batches.
///
/// # Errors
/// Returns [`Error::Interrupted`] if the monitor requested a stop, or else the first error of a stage. Every shard that was
/// committed is kept.
pub fn run(
    job: &Job<'_>,
    to: &Destination<'_>,
    teachers: Vec<Box<dyn Teacher>>,
    monitor: &dyn Monitor,
) -> Result<(), Error> {
    let in_flight = to.store.in_flight();
    in_flight.begin()?;
    for work in &job.shards {
        if let ImagesToDo::These(rows) = &work.images {
            in_flight.reset_strikes(rows);
        }
    }
    let result = run_stages(job, Some(in_flight), teachers, monitor, |pool, labelled, outcome| {
        commit_shards(job, to, pool, labelled, outcome, monitor)
    });
    in_flight.finish();
    result
}

/// Labels the job's images and returns the labels by row: for a sample, or a comparison.
///
/// # Errors
/// See [`run`].
pub fn label(
    job: &Job<'_>,
    teachers: Vec<Box<dyn Teacher>>,
    monitor: &dyn Monitor,
) -> Result<BTreeMap<usize, Result<ImageLabels, ImageError>>, Error> {
    let rows = Mutex::new(BTreeMap::new());
    run_stages(job, None, teachers, monitor, |_, labelled, _| {
        collect_rows(job, labelled, monitor, &rows);
        Ok(())
    })?;
    Ok(rows.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// Runs the stages concurrently. `last_stage` receives the batches of the teachers.
fn run_stages(
    job: &Job<'_>,
    in_flight: Option<&InFlight>,
    teachers: Vec<Box<dyn Teacher>>,
    monitor: &dyn Monitor,
    last_stage: impl FnOnce(&ThreadPool, &Receiver<LabelledBatch>, &RunOutcome) -> Result<(), Error> + Send,
) -> Result<(), Error> {
    let stoppers: Vec<_> = teachers.iter().map(|teacher| teacher.stopper()).collect();
    let pool = thread_pool(job.threads, "decode")?;
    let run_outcome = RunOutcome::default();
    let (decoded_in, decoded_out) = bounded::<DecodedBatch>(QUEUED_BATCHES);
    let (labelled_in, labelled_out) = bounded::<LabelledBatch>(QUEUED_BATCHES);
    let (pool, outcome) = (&pool, &run_outcome);

    std::thread::scope(|scope| {
        start_stage(scope, outcome, "decode images", move || {
            decode_batches(job, in_flight, pool, outcome, &decoded_in, monitor);
            Ok(())
        });
        for mut teacher in teachers {
            let (decoded, labelled) = (decoded_out.clone(), labelled_in.clone());
            start_stage(scope, outcome, "run the teacher", move || {
                label_batches(teacher.as_mut(), &decoded, &labelled, outcome, monitor)
            });
        }
        // Only the stages own the ends of their queues, so each notices when its neighbour has ended.
        drop((decoded_out, labelled_in));
        let last = start_stage(scope, outcome, "commit labels", move || last_stage(pool, &labelled_out, outcome));
        let Some(last) = last else { return };
        while !last.is_finished() {
            if monitor.stop_requested() {
                outcome.record(Err(Error::Interrupted));
            }
            if outcome.is_stopping() {
                for stop in &stoppers {
                    stop();
                }
            }
            if let Some(in_flight) = in_flight {
                in_flight.heartbeat();
            }
            std::thread::park_timeout(HEARTBEAT_INTERVAL);
        }
    });
    run_outcome.into_result()
}

/// Starts a stage on a thread of its own. A stage that ends, or cannot be started, drops its ends of the queues, which
/// ends its neighbours. One that fails or panics stops all of them: its batch is lost, and no shard may be committed
/// without it.
pub(crate) fn start_stage<'scope>(
    scope: &'scope Scope<'scope, '_>,
    outcome: &'scope RunOutcome,
    action: &'static str,
    stage: impl FnOnce() -> Result<(), Error> + Send + 'scope,
) -> Option<ScopedJoinHandle<'scope, ()>> {
    let caller = std::thread::current();
    let started = spawn_in(scope, move || {
        outcome.record(catch_panic(action, stage));
        caller.unpark();
    });
    started.map_err(|error| outcome.record(Err(error))).ok()
}

/// Runs one teacher on batches until the queue is closed.
fn label_batches(
    teacher: &mut dyn Teacher,
    decoded: &Receiver<DecodedBatch>,
    labelled: &Sender<LabelledBatch>,
    outcome: &RunOutcome,
    monitor: &dyn Monitor,
) -> Result<(), Error> {
    while let Ok(batch) = decoded.recv() {
        if outcome.is_stopping() {
            break;
        }
        let mut label = |pixels: &PixelBatch| monitor.timed(Stage::Teacher, || teacher.label(pixels));
        let labels = label(&batch.pixels)?;
        let tiles = batch.tiles.iter().map(label).collect::<Result<_, Error>>()?;
        let labelled_batch = LabelledBatch { position: batch.position, labels, tiles, failures: batch.failures };
        if labelled.send(labelled_batch).is_err() {
            break;
        }
    }
    Ok(())
}
