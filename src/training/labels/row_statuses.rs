//! Status of the rows of a store.

use crate::shared::error::Error;
use crate::shared::store::{FailedImage, StoreReader};

/// Status of each row of a store.
#[derive(Clone, Debug)]
pub struct RowStatuses {
    /// Status by row.
    pub statuses: Vec<RowStatus>,
    /// The failed images, by row.
    pub failed: Vec<FailedImage>,
}

/// Status of one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowStatus {
    /// The shard of the row is not done yet.
    ToDo,
    /// The row has labels.
    Labelled,
    /// The image could not be labelled.
    Failed,
}

impl RowStatuses {
    pub(super) fn read(reader: &StoreReader) -> Result<Self, Error> {
        let info = reader.info();
        let mut statuses = vec![RowStatus::ToDo; info.images];
        let mut failed = Vec::new();
        for record in reader.records()? {
            statuses[info.shard_rows(record.shard)].fill(RowStatus::Labelled);
            for image in record.failed {
                if let Some(status) = statuses.get_mut(image.row) {
                    *status = RowStatus::Failed;
                }
                failed.push(image);
            }
        }
        Ok(Self { statuses, failed })
    }
}
