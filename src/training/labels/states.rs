//! Which rows have labels.

use crate::shared::error::Error;
use crate::shared::store::{FailedImage, StoreReader};

/// What is known of each row of a store.
#[derive(Clone, Debug)]
pub struct RowStates {
    /// By row.
    pub states: Vec<State>,
    /// The failed images, by row.
    pub failed: Vec<FailedImage>,
}

/// What is known of one row, without its labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Its shard is not done yet.
    ToDo,
    /// It is labelled.
    Labelled,
    /// It could not be labelled.
    Failed,
}

impl RowStates {
    pub(super) fn read(reader: &StoreReader) -> Result<Self, Error> {
        let info = reader.info();
        let mut states = vec![State::ToDo; info.images];
        let mut failed = Vec::new();
        for record in reader.records()? {
            states[info.rows_of(record.shard)].fill(State::Labelled);
            for image in record.failed {
                if let Some(state) = states.get_mut(image.row) {
                    *state = State::Failed;
                }
                failed.push(image);
            }
        }
        Ok(Self { states, failed })
    }
}
