//! The one place where the stages meet: read, decode and resize | teacher | encode and commit.
//!
//! The stages run beside each other and hand batches on through queues of fixed length, so that memory does not grow
//! with the number of images (`docs/performance.md`). What is in a batch depends only on manifest and shard: an image
//! that fails leaves its slot black, and no other image moves.

mod decode;
mod shards;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::error::{Error, ImageError};
use crate::geometry::InputSize;
use crate::label_map::ScoreRounding;
use crate::manifest::Manifest;
use crate::monitor::Monitor;
use crate::pixels::{ExifOrientation, Filter};
use crate::source::{ImageReader, LengthCheck};
use crate::store::StoreWriter;
use crate::teacher::{BatchLabels, PixelBatch, Teacher};

/// Batches that wait between two stages.
const QUEUED_BATCHES: usize = 2;

/// How often a run looks whether it should stop.
const STOP_POLL: Duration = Duration::from_millis(50);

/// Everything a run needs. The store says which shards are left.
pub struct Job<'a> {
    /// Reads the images.
    pub images: &'a dyn ImageReader,
    /// Whether images must have the lengths that the list says.
    pub length_check: LengthCheck,
    /// Which images there are.
    pub manifest: &'a Manifest,
    /// Where the labels go.
    pub store: &'a StoreWriter,
    /// Shards to do, in order.
    pub shards: Vec<usize>,
    /// How images become input pixels.
    pub preprocessing: Preprocessing,
    /// Rounding of scores.
    pub rounding: ScoreRounding,
    /// Classes by what a folder may be called.
    pub classes_by_label: HashMap<String, u32>,
    /// Threads that decode and encode.
    pub threads: usize,
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
pub fn run(job: &Job<'_>, teachers: Vec<Box<dyn Teacher>>, monitor: &dyn Monitor) -> Result<(), Error> {
    let stoppers: Vec<_> = teachers.iter().map(|teacher| teacher.stopper()).collect();
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(job.threads)
        .thread_name(|index| format!("decode-{index}"))
        .build()
        .map_err(|error| Error::Usage(format!("{} threads cannot be started: {error}", job.threads)))?;
    let ending = Ending::default();
    let (decoded_in, decoded_out) = bounded::<DecodedBatch>(QUEUED_BATCHES);
    let (labelled_in, labelled_out) = bounded::<LabelledBatch>(QUEUED_BATCHES);
    let (pool, ending_ref, caller) = (&pool, &ending, std::thread::current());

    std::thread::scope(|scope| {
        scope.spawn(move || decode::decode_batches(job, pool, ending_ref, &decoded_in));
        for mut teacher in teachers {
            let (decoded, labelled) = (decoded_out.clone(), labelled_in.clone());
            scope.spawn(move || ending_ref.note(teach(teacher.as_mut(), &decoded, &labelled, ending_ref, monitor)));
        }
        // Only the stages hold the ends of their queues, so that each sees when its neighbour is gone.
        drop((decoded_out, labelled_in));
        let shards = scope.spawn(move || {
            let result = shards::commit_shards(job, pool, &labelled_out, ending_ref, monitor);
            drop(labelled_out);
            ending_ref.note(result);
            caller.unpark();
        });
        while !shards.is_finished() {
            if monitor.stop_requested() {
                ending.note(Err(Error::Interrupted));
            }
            if ending.stopping() {
                for stop in &stoppers {
                    stop();
                }
            }
            std::thread::park_timeout(STOP_POLL);
        }
    });
    ending.into_result()
}

/// A batch on its way to the teacher.
struct DecodedBatch {
    /// Position among all batches of the run.
    sequence: usize,
    shard: usize,
    pixels: PixelBatch,
    /// One for each slot: why it is black.
    failures: Vec<Option<ImageError>>,
}

/// A batch on its way to the store.
struct LabelledBatch {
    sequence: usize,
    shard: usize,
    labels: BatchLabels,
    failures: Vec<Option<ImageError>>,
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
        monitor.batch_taken(decoded.len(), labelled.len());
        let labels = teacher.label(&batch.pixels)?;
        let labelled_batch =
            LabelledBatch { sequence: batch.sequence, shard: batch.shard, labels, failures: batch.failures };
        if labelled.send(labelled_batch).is_err() {
            break;
        }
    }
    Ok(())
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
