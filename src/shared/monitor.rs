//! What the library tells its caller while it works. The library itself prints nothing.

use std::time::Duration;

use crate::shared::store::{Agreement, ShardRecord};

/// What the time of a run is spent on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Reading, decoding and resizing images.
    Decoding,
    /// The teacher.
    Teacher,
    /// Compressing label maps, on the same threads as decoding.
    Encoding,
    /// Writing and flushing files of the store.
    Store,
}

/// The caller's side of a run: it hears of progress, and may ask for a stop. Called from several threads.
pub trait Monitor: Sync {
    /// True when the run should stop. What is committed stays.
    fn stop_requested(&self) -> bool {
        false
    }

    /// The time since some moment, where the caller has a clock: the library has none.
    fn now(&self) -> Duration {
        Duration::ZERO
    }

    /// One thread worked so long on a stage.
    fn worked(&self, stage: Stage, time: Duration) {
        let _ = (stage, time);
    }

    /// Images left the teacher: so many with labels, so many without.
    fn images_done(&self, labelled: usize, failed: usize, agreement: Agreement) {
        let _ = (labelled, failed, agreement);
    }

    /// A shard is committed.
    fn shard_committed(&self, record: &ShardRecord) {
        let _ = record;
    }

    /// After many images the teacher hardly ever agrees with the folders: it is probably fed wrongly.
    fn low_agreement(&self, agreement: Agreement) {
        let _ = agreement;
    }
}

impl dyn Monitor + '_ {
    /// Does some work of a stage, and reports how long it took.
    pub fn timed<T>(&self, stage: Stage, work: impl FnOnce() -> T) -> T {
        let begun = self.now();
        let done = work();
        self.worked(stage, self.now().saturating_sub(begun));
        done
    }
}

/// Hears nothing and never stops a run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Monitor for Silent {}
