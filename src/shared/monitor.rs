//! How the library reports progress to its caller. The library itself prints nothing.

use std::time::Duration;

use crate::shared::store::{Agreement, ShardRecord};

/// The stages that the time of a run is spent on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Reading, decoding and resizing images.
    Decoding,
    /// Running the teacher.
    Teacher,
    /// Compressing label maps, on the same threads that decode.
    Encoding,
    /// Writing the store's files and flushing them.
    Store,
}

/// Receives the progress of a run, and may request a stop. Called from several threads.
pub trait Monitor: Sync {
    /// Returns whether the run should stop. Committed shards are kept.
    fn stop_requested(&self) -> bool {
        false
    }

    /// Returns the time since some fixed moment, if the caller has a clock: the library has none.
    fn now(&self) -> Duration {
        Duration::ZERO
    }

    /// One thread worked on a stage for this time.
    fn worked(&self, stage: Stage, time: Duration) {
        let _ = (stage, time);
    }

    /// A batch left the teacher: number of images with labels and without, and how they agree with the folder classes.
    fn images_done(&self, labelled: usize, failed: usize, agreement: Agreement) {
        let _ = (labelled, failed, agreement);
    }

    /// An image has tiles with fewer pixels than the teacher's input, so resizing enlarged them.
    fn tiles_enlarged(&self) {}

    /// A shard is committed.
    fn shard_committed(&self, record: &ShardRecord) {
        let _ = record;
    }

    /// After many images the teacher hardly ever agrees with the folder classes: its input is probably prepared wrongly.
    fn low_agreement(&self, agreement: Agreement) {
        let _ = agreement;
    }
}

impl dyn Monitor + '_ {
    /// Does some work of a stage, and reports the time that it took.
    pub fn timed<T>(&self, stage: Stage, work: impl FnOnce() -> T) -> T {
        let start = self.now();
        let result = work();
        self.worked(stage, self.now().saturating_sub(start));
        result
    }
}

/// Ignores progress and never stops a run.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoopMonitor;

impl Monitor for NoopMonitor {}
