//! The one place where the stages meet: read, decode and resize | teacher | encode and commit.
//!
//! The stages run beside each other and hand batches on through queues of fixed length, so that memory does not grow
//! with the number of images (`docs/performance.md`). What is in a batch depends only on manifest and shard: an image
//! that fails leaves its slot black, and no other image moves.

mod decode;
mod shards;
mod failures;
mod recompute;

pub use recompute::{Accepted, Recomputed, WrongImage, recompute};

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::{Scope, ScopedJoinHandle};

use crossbeam_channel::{Receiver, Sender, bounded};
use rayon::ThreadPool;

use crate::labelling::pixels::{Decoder, ExifOrientation, Filter};
use crate::labelling::source::{ImageReader, LengthCheck};
use crate::labelling::teacher::{BatchLabels, PixelBatch, Teacher};
use crate::shared::error::{Error, ImageError};
use crate::shared::geometry::InputSize;
use crate::shared::label_map::{ImageLabels, ScoreRounding};
use crate::shared::manifest::Manifest;
use crate::shared::monitor::{Monitor, Stage};
use crate::shared::store::{HEARTBEAT_INTERVAL, InFlight, StoreInfo, StoreWriter};
use crate::shared::threads::{spawn_in, thread_pool};

/// Batches that wait between two stages.
const QUEUED_BATCHES: usize = 2;

/// Which images are to be labelled, and how.
pub struct Job<'a> {
    /// Reads the images.
    pub images: &'a dyn ImageReader,
    /// Whether images must have the lengths that the list says.
    pub length_check: LengthCheck,
    /// Which images there are.
    pub manifest: &'a Manifest,
    /// What the store is that the labels are of.
    pub info: &'a StoreInfo,
    /// Shards to do, in order, and what of them.
    pub shards: Vec<ShardWork>,
    /// How images become input pixels.
    pub preprocessing: Preprocessing,
    /// Decodes images, within a budget of memory.
    pub decoder: Decoder,
    /// Rounding of scores.
    pub rounding: ScoreRounding,
    /// Threads that decode and encode.
    pub threads: usize,
}

/// A shard to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardWork {
    /// Its number.
    pub shard: usize,
    /// Which of its images.
    pub images: ImagesToDo,
}

/// Which images of a shard are to be labelled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImagesToDo {
    /// All.
    All,
    /// Those of these rows; the others keep their labels. Batches that hold one of them run whole, so that an image gets
    /// the labels that it gets when all are done
    /// (test `mishaps::what_failed_is_labelled_again_to_the_bytes_of_a_run_without_failures`).
    These(Vec<usize>),
}

impl ImagesToDo {
    fn include(&self, row: usize) -> bool {
        match self {
            Self::All => true,
            Self::These(rows) => rows.contains(&row),
        }
    }
}

/// Where the labels go, and what is said of them.
pub struct Destination<'a> {
    /// The store.
    pub store: &'a StoreWriter,
    /// Classes by what a folder may be called.
    pub classes_by_label: HashMap<String, u32>,
    /// How many failures make a run senseless.
    pub failure_limit: FailureLimit,
}

/// How many failures stop a run. What was committed before stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureLimit {
    /// None do.
    Never,
    /// So many images one after the other: the source is probably gone.
    InARow(usize),
    /// More than so many in all.
    InAll(usize),
}

/// How images become input pixels.
#[derive(Clone, Copy, Debug)]
pub struct Preprocessing {
    /// Size of the teacher's input.
    pub input_size: InputSize,
    /// Filter of the resize.
    pub filter: Filter,
    /// What is done with EXIF orientation.
    pub exif_orientation: ExifOrientation,
}

/// Labels every image of the job's shards and commits the shards in order. There is one teacher for each device; they
/// share the batches.
///
/// # Errors
/// [`Error::Interrupted`] when the monitor asked for a stop; otherwise what made a stage fail. Either way every shard
/// that was committed stays.
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
            in_flight.forgive(rows);
        }
    }
    let result = flow(job, Some(in_flight), teachers, monitor, |pool, labelled, ending| {
        shards::commit_shards(job, to, pool, labelled, ending, monitor)
    });
    in_flight.finish();
    result
}

/// Labels the job's images and keeps the labels in memory, by row: for a sample, or a comparison.
///
/// # Errors
/// As [`run`].
pub fn label(
    job: &Job<'_>,
    teachers: Vec<Box<dyn Teacher>>,
    monitor: &dyn Monitor,
) -> Result<BTreeMap<usize, Result<ImageLabels, ImageError>>, Error> {
    let rows = Mutex::new(BTreeMap::new());
    flow(job, None, teachers, monitor, |_, labelled, _| {
        shards::keep_rows(job, labelled, monitor, &rows);
        Ok(())
    })?;
    Ok(rows.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// Lets the stages run beside each other. `last` takes what the teachers give.
fn flow(
    job: &Job<'_>,
    in_flight: Option<&InFlight>,
    teachers: Vec<Box<dyn Teacher>>,
    monitor: &dyn Monitor,
    last: impl FnOnce(&ThreadPool, &Receiver<LabelledBatch>, &Ending) -> Result<(), Error> + Send,
) -> Result<(), Error> {
    let stoppers: Vec<_> = teachers.iter().map(|teacher| teacher.stopper()).collect();
    let pool = thread_pool(job.threads, "decode")?;
    let ending = Ending::default();
    let (decoded_in, decoded_out) = bounded::<DecodedBatch>(QUEUED_BATCHES);
    let (labelled_in, labelled_out) = bounded::<LabelledBatch>(QUEUED_BATCHES);
    let (pool, ending_ref, caller) = (&pool, &ending, std::thread::current());

    std::thread::scope(|scope| {
        start(scope, ending_ref, move || {
            decode::decode_batches(job, in_flight, pool, ending_ref, &decoded_in, monitor);
        });
        for mut teacher in teachers {
            let (decoded, labelled) = (decoded_out.clone(), labelled_in.clone());
            start(scope, ending_ref, move || {
                ending_ref.note(teach(teacher.as_mut(), &decoded, &labelled, ending_ref, monitor));
            });
        }
        // Only the stages hold the ends of their queues, so that each sees when its neighbour is gone.
        drop((decoded_out, labelled_in));
        let taker = start(scope, ending_ref, move || {
            let result = last(pool, &labelled_out, ending_ref);
            drop(labelled_out);
            ending_ref.note(result);
            caller.unpark();
        });
        let Some(taker) = taker else { return };
        while !taker.is_finished() {
            if monitor.stop_requested() {
                ending.note(Err(Error::Interrupted));
            }
            if ending.stopping() {
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
    ending.into_result()
}

/// Starts a stage. One that cannot be started drops its ends of the queues, which ends its neighbours; one that panics
/// stops all: what it had in hand is lost, and no shard may be committed without it.
fn start<'scope>(
    scope: &'scope Scope<'scope, '_>,
    ending: &'scope Ending,
    stage: impl FnOnce() + Send + 'scope,
) -> Option<ScopedJoinHandle<'scope, ()>> {
    let started = spawn_in(scope, move || {
        let _stop = StopAtPanic(ending);
        stage();
    });
    started.map_err(|error| ending.note(Err(error))).ok()
}

/// A batch on its way to the teacher.
struct DecodedBatch {
    place: Place,
    pixels: PixelBatch,
    /// One for each slot: why it is black.
    failures: Vec<Option<ImageError>>,
}

/// A batch on its way to the store.
struct LabelledBatch {
    place: Place,
    labels: BatchLabels,
    failures: Vec<Option<ImageError>>,
}

/// Where a batch belongs.
#[derive(Clone, Debug)]
struct Place {
    /// Position among all batches of the run.
    sequence: usize,
    /// Position of its shard among those to do.
    work: usize,
    rows: Range<usize>,
    /// The last one of its shard's batches.
    ends_shard: bool,
}

fn teach(
    teacher: &mut dyn Teacher,
    decoded: &Receiver<DecodedBatch>,
    labelled: &Sender<LabelledBatch>,
    ending: &Ending,
    monitor: &dyn Monitor,
) -> Result<(), Error> {
    while let Ok(batch) = decoded.recv() {
        if ending.stopping() {
            break;
        }
        let labels = monitor.timed(Stage::Teacher, || teacher.label(&batch.pixels))?;
        let labelled_batch = LabelledBatch { place: batch.place, labels, failures: batch.failures };
        if labelled.send(labelled_batch).is_err() {
            break;
        }
    }
    Ok(())
}

/// Stops all stages when dropped by a panic.
struct StopAtPanic<'a>(&'a Ending);

impl Drop for StopAtPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.stopping.store(true, Ordering::Release);
        }
    }
}

/// How a run ends: the first error of any stage is the run's.
#[derive(Default)]
struct Ending {
    stopping: AtomicBool,
    error: Mutex<Option<Error>>,
}

impl Ending {
    fn note(&self, result: Result<(), Error>) {
        if let Err(error) = result {
            self.error.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            self.stopping.store(true, Ordering::Release);
        }
    }

    fn stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    fn into_result(self) -> Result<(), Error> {
        self.error.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
    }
}
