//! Checks every value of a shard against `docs/format.md`.

use std::collections::HashSet;
use std::path::Path;

use super::verification::without_help;
use crate::shared::error::Error;
use crate::shared::label_map::{ImageLabels, ImagePrediction, LabelMap};
use crate::shared::store::info::StoreInfo;
use crate::shared::store::layout::StoreArray;
use crate::shared::store::reader::{RowState, StoreReader};
use crate::shared::store::record::ShardRecord;
use crate::shared::store::store_error::StoreError;

/// Decodes rows and checks their values.
pub(in crate::shared::store) struct ValueChecker {
    reader: StoreReader,
}

impl ValueChecker {
    pub(super) fn open(store: &Path, info: &StoreInfo) -> Result<Self, Error> {
        Ok(Self { reader: StoreReader::open_with_info(store, info.clone())? })
    }

    /// Checks every row of a shard. Returns the number of rows, or the first damaged file and the problem.
    ///
    /// # Errors
    /// Returns [`Error::File`] if a file cannot be read.
    pub(super) fn check(&self, record: &ShardRecord) -> Result<Result<usize, (String, String)>, Error> {
        let rows = record.first_row..record.first_row + record.rows;
        let of = |array: StoreArray| array.shard_file(record.shard);
        for row in rows.clone() {
            let labels = match self.reader.stored_row(row) {
                Ok(RowState::Labelled(labels)) => labels,
                Ok(RowState::Failed(_) | RowState::ToDo) => continue,
                Err(Error::Store { problem, .. }) => {
                    return Ok(Err((of(first_array(self.reader.info())), without_help(&problem))));
                }
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

/// The array that problems without an array are attributed to.
fn first_array(info: &StoreInfo) -> StoreArray {
    if info.map_size.is_some() { StoreArray::Scores } else { StoreArray::ImageProbs }
}

/// Checks the labels of an image against `docs/format.md`.
///
/// # Errors
/// Returns [`StoreError::Array`] with the array that is wrong.
pub fn check_labels(labels: &ImageLabels, info: &StoreInfo) -> Result<(), StoreError> {
    check_values(labels, info)
        .map_err(|(array, problem)| StoreError::Array { array: array.name(), source: Box::new(problem) })
}

fn check_values(labels: &ImageLabels, info: &StoreInfo) -> Result<(), (StoreArray, StoreError)> {
    let of_image = [StoreArray::Scores, StoreArray::Classes, StoreArray::ImageProbs, StoreArray::ImageClasses];
    check_level(labels.map.as_ref(), &labels.prediction, info, of_image)?;
    let of_tiles =
        [StoreArray::TileMapScores, StoreArray::TileMapClasses, StoreArray::TileProbs, StoreArray::TileClasses];
    for (tile, tile_labels) in labels.tiles.iter().enumerate() {
        check_level(tile_labels.map.as_ref(), &tile_labels.prediction, info, of_tiles)
            .map_err(|(array, problem)| (array, StoreError::Tile { tile, source: Box::new(problem) }))?;
    }
    Ok(())
}

/// Checks the labels of an image or of a tile, which are stored in these arrays.
fn check_level(
    map: Option<&LabelMap>,
    prediction: &ImagePrediction,
    info: &StoreInfo,
    [map_scores, map_classes, probs_array, classes_array]: [StoreArray; 4],
) -> Result<(), (StoreArray, StoreError)> {
    for (map, cell) in map.iter().flat_map(|map| (0..map.size().cells()).map(move |cell| (map, cell))) {
        let (scores, classes) = map.cell(cell);
        if let Some(pair) = scores.windows(2).find(|pair| pair[1] > pair[0]) {
            let (score, previous) = (pair[1].to_f32(), pair[0].to_f32());
            return Err((map_scores, StoreError::NotSorted { cell, score, previous }));
        }
        check_classes(classes, info.classes.count)
            .map_err(|problem| (map_classes, StoreError::Cell { cell, source: Box::new(problem) }))?;
    }
    let probs = prediction.probs();
    if !probs.iter().all(|prob| (0.0..=1.001).contains(&prob.to_f32())) || !probs.is_sorted_by(|a, b| a >= b) {
        let probs = probs.iter().map(|prob| prob.to_f32()).collect();
        return Err((probs_array, StoreError::Probabilities(probs)));
    }
    check_classes(prediction.classes(), info.classes.count).map_err(|problem| (classes_array, problem))
}

fn check_classes(classes: &[u32], count: usize) -> Result<(), StoreError> {
    let mut seen = HashSet::new();
    for &class in classes {
        if class as usize >= count {
            return Err(StoreError::ClassId { class, count });
        }
        if !seen.insert(class) {
            return Err(StoreError::RepeatedClass(class));
        }
    }
    Ok(())
}
