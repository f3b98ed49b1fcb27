//! Every value of a shard, against what `docs/format.md` promises.

use std::collections::HashSet;
use std::path::Path;

use crate::shared::error::Error;
use crate::shared::label_map::ImageLabels;
use crate::shared::store::arrays::StoreArray;
use crate::shared::store::info::StoreInfo;
use crate::shared::store::reader::{RowState, StoreReader};
use crate::shared::store::record::ShardRecord;

/// Decodes rows and looks at their values.
pub(in crate::shared::store) struct Values {
    reader: StoreReader,
}

impl Values {
    pub(super) fn open(store: &Path, info: &StoreInfo) -> Result<Self, Error> {
        Ok(Self { reader: StoreReader::open_described(store, info.clone())? })
    }

    /// Checks every row of a shard. Gives the number of rows, or the file that is wrong and why.
    ///
    /// # Errors
    /// Returns [`Error::File`] if the system fails to read a file.
    pub(super) fn check(&self, record: &ShardRecord) -> Result<Result<usize, (String, String)>, Error> {
        let rows = record.first_row..record.first_row + record.rows;
        let of = |array: StoreArray| array.file_of(record.shard);
        for row in rows.clone() {
            let labels = match self.reader.stored_row(row) {
                Ok(RowState::Labelled(labels)) => labels,
                Ok(RowState::Failed(_) | RowState::ToDo) => continue,
                Err(Error::Store { problem, .. }) => return Ok(Err((of(StoreArray::Scores), problem.to_string()))),
                Err(error) => return Err(error),
            };
            if let Err((array, problem)) = check_values(&labels, self.reader.info()) {
                return Ok(Err((of(array), format!("row {row}: {problem}"))));
            }
        }
        for failed in &record.failed {
            if let Err((array, problem)) = self.reader.check_unlabelled(failed.row)? {
                return Ok(Err((of(array), format!("row {}, which failed: {problem}", failed.row))));
            }
        }
        Ok(Ok(rows.len()))
    }
}

/// Holds the labels of an image against what `docs/format.md` promises of values.
///
/// # Errors
/// Which array is wrong, and why, in words.
pub fn check_labels(labels: &ImageLabels, info: &StoreInfo) -> Result<(), String> {
    check_values(labels, info).map_err(|(array, problem)| format!("{}: {problem}", array.name()))
}

fn check_values(labels: &ImageLabels, info: &StoreInfo) -> Result<(), (StoreArray, String)> {
    let map = &labels.map;
    let (k, cells) = (map.k(), map.size().cells());
    for cell in 0..cells {
        let score = |rank: usize| map.scores()[rank * cells + cell];
        if let Some(rank) = (1..k).find(|&rank| score(rank) > score(rank - 1)) {
            let what = format!("cell {cell} is not sorted: {} after {}", score(rank), score(rank - 1));
            return Err((StoreArray::Scores, what));
        }
        let classes = (0..k).map(|rank| map.classes()[rank * cells + cell]);
        check_classes(classes, info.classes.count)
            .map_err(|problem| (StoreArray::Classes, format!("cell {cell}: {problem}")))?;
    }
    let probs = labels.prediction.probs();
    if !probs.iter().all(|prob| (0.0..=1.001).contains(&prob.to_f32())) || !probs.is_sorted_by(|a, b| a >= b) {
        return Err((StoreArray::ImageProbs, format!("{probs:?} are no sorted probabilities")));
    }
    check_classes(labels.prediction.classes().iter().copied(), info.classes.count)
        .map_err(|problem| (StoreArray::ImageClasses, problem))
}

fn check_classes(classes: impl Iterator<Item = u32>, count: usize) -> Result<(), String> {
    let mut seen = HashSet::new();
    for class in classes {
        if class as usize >= count {
            return Err(format!("class {class} of {count}"));
        }
        if !seen.insert(class) {
            return Err(format!("class {class} stands twice"));
        }
    }
    Ok(())
}
