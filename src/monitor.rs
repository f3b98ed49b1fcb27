//! What the library tells its caller while it works. The library itself prints nothing.

use crate::store::{Agreement, ShardRecord};

/// The caller's side of a run: it hears of progress, and may ask for a stop. Called from several threads.
pub trait Monitor: Sync {
    /// True when the run should stop. What is committed stays.
    fn stop_requested(&self) -> bool {
        false
    }

    /// The teacher takes a batch. `decoded_waiting` batches were ready for it, and `labelled_waiting` of its results
    /// have not been taken yet: where batches pile up, the stage behind them is the slowest.
    fn batch_taken(&self, decoded_waiting: usize, labelled_waiting: usize) {
        let _ = (decoded_waiting, labelled_waiting);
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

/// Hears nothing and never stops a run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Monitor for Silent {}
