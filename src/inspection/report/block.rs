//! Blocks: scripts with the labels and photographs of a few rows, which the page loads when it shows one of them.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value, json};

use super::Report;
use super::page_row::{PageRow, PageRowState, PageRowStatistics};
use super::script::{base64, call, class_ids, numbers};
use crate::inspection::inspect::{Examiner, StatisticsError};
use crate::shared::classes::ClassList;
use crate::shared::error::Error;
use crate::shared::label_map::{ImageLabels, ImagePrediction, LabelMap, TileLabels};
use crate::shared::store::{DecodeScratch, FailedImage, RowState, StoreReader};

/// Rows per block. `rows.js` contains this number, too.
pub(super) const ROWS: usize = 16;

/// Builds blocks; use one per thread.
pub(super) struct BlockMaker<'a> {
    report: &'a Report<'a>,
    class_of_label: HashMap<String, u32>,
    examiner: Examiner,
    scratch: DecodeScratch,
}

/// Part of a block that stays in memory.
pub(super) struct Block {
    pub(super) rows: Vec<PageRow>,
    pub(super) scores: ScoreCounts,
}

/// Histogram of the best scores of cells, in steps of 1 / [`ScoreCounts::STEPS_PER_UNIT`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ScoreCounts {
    pub(super) by_step: BTreeMap<i32, u64>,
}

impl<'a> BlockMaker<'a> {
    pub(super) fn new(report: &'a Report<'a>, classes: &ClassList) -> Self {
        Self {
            report,
            class_of_label: classes.by_folder_class(),
            examiner: Examiner::of_store(report.store.info()),
            scratch: DecodeScratch::default(),
        }
    }

    /// Builds the block of these rows. Returns it and its script.
    ///
    /// # Errors
    /// Returns [`Error::Store`] if a shard is damaged or no longer done, and the I/O errors of the host when a
    /// photograph is read.
    pub(super) fn make(&mut self, number: usize, rows: &[usize]) -> Result<(Block, Vec<u8>), Error> {
        let mut block = Block { rows: Vec::with_capacity(rows.len()), scores: ScoreCounts::default() };
        let mut images = Vec::with_capacity(rows.len());
        for &row in rows {
            match self.report.store.row_with(row, &mut self.scratch)? {
                RowState::Labelled(labels) => {
                    let (page_row, image) = self.labelled(row, &labels)?;
                    if let Some(map) = &labels.map {
                        block.scores.add_map(map);
                    }
                    block.rows.push(page_row);
                    images.push(image);
                }
                RowState::Failed(FailedImage { error, .. }) => {
                    block.rows.push(PageRow { row, state: PageRowState::Failed(error), no_photograph: None });
                    images.push(Value::Null);
                }
                RowState::ToDo => return Err(self.not_done_any_more(row)),
            }
        }
        Ok((block, call("relabel.blocks.take", &json!({ "block": number, "images": images }))))
    }

    fn labelled(&mut self, row: usize, labels: &ImageLabels) -> Result<(PageRow, Value), Error> {
        let Report { store, manifest, photographs, .. } = self.report;
        let folder_class = manifest.folder_class(row).and_then(|label| self.class_of_label.get(label)).copied();
        let RowState::Labelled(map_bytes) = store.map_bytes(row)? else { return Err(self.not_done_any_more(row)) };
        let statistics = PageRowStatistics::new(&mut self.examiner, labels, folder_class, map_bytes)
            .map_err(|error| damaged(store, row, &error))?;
        let wide = are_wide(store);
        let mut image = labels.map.as_ref().map_or_else(Map::new, |map| map_arrays(map, wide));
        image.insert("prediction".to_owned(), ranked(&labels.prediction));
        if store.info().tiles.is_some() {
            let tile = |tile: &TileLabels| {
                let mut object = tile.map.as_ref().map_or_else(Map::new, |map| map_arrays(map, wide));
                object.insert("prediction".to_owned(), ranked(&tile.prediction));
                Value::from(object)
            };
            image.insert("tiles".to_owned(), labels.tiles.iter().map(tile).collect());
        }
        let mut no_photograph = None;
        if let Some(photographs) = photographs {
            match photographs.photograph(row)? {
                Ok(photograph) => {
                    image.insert("pixels".to_owned(), json!([photograph.height_pixels, photograph.width_pixels]));
                    image.insert("jpeg".to_owned(), base64(&photograph.jpeg));
                }
                Err(error) => no_photograph = Some(error),
            }
        }
        Ok((PageRow { row, state: PageRowState::Labelled(statistics), no_photograph }, image.into()))
    }

    fn not_done_any_more(&self, row: usize) -> Error {
        let problem = format!("row {row} is no longer done\n  help: write the report when no run writes to the store");
        Error::Store { path: self.report.store.path().to_path_buf(), problem: problem.into() }
    }
}

/// Returns the classes and scores of a map, both `[k, y, x]`.
fn map_arrays(map: &LabelMap, wide: bool) -> Map<String, Value> {
    let (scores, classes) = map.rank_planes();
    let arrays = [("classes", class_ids(classes, wide)), ("scores", numbers(scores))];
    arrays.into_iter().map(|(name, array)| (name.to_owned(), array)).collect()
}

/// Returns classes and probabilities, best first.
fn ranked(prediction: &ImagePrediction) -> Value {
    let ranked = prediction.classes().iter().zip(prediction.probs());
    ranked.map(|(class, prob)| json!([class, prob.to_f32()])).collect()
}

impl ScoreCounts {
    /// Steps per unit of score.
    pub(super) const STEPS_PER_UNIT: i32 = 16;

    fn add_map(&mut self, map: &LabelMap) {
        for score in map.cell_scores().iter().step_by(map.k()) {
            let step = (score.to_f32() * Self::STEPS_PER_UNIT as f32).floor() as i32;
            *self.by_step.entry(step).or_default() += 1;
        }
    }

    pub(super) fn add(&mut self, other: &Self) {
        for (step, count) in &other.by_step {
            *self.by_step.entry(*step).or_default() += count;
        }
    }
}

/// Returns whether class ids need four bytes.
pub(super) fn are_wide(store: &StoreReader) -> bool {
    store.info().classes.count > usize::from(u16::MAX)
}

fn damaged(store: &StoreReader, row: usize, error: &StatisticsError) -> Error {
    Error::Store { path: store.path().to_path_buf(), problem: format!("row {row} is damaged: {error}").into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::geometry::MapSize;
    use crate::shared::label_map::ScoreRounding;

    #[test]
    fn best_scores_are_counted_in_steps_of_a_sixteenth() {
        let size = MapSize::new(1, 3).unwrap();
        let scores = [1.0, 0.5, 1.05, 0.25, -0.01, -2.0];
        let map = LabelMap::from_cells(&scores, &[0, 1, 0, 1, 0, 1], 2, size, ScoreRounding::Float16).unwrap();
        let mut counts = ScoreCounts::default();
        counts.add_map(&map);
        counts.add(&counts.clone());
        assert_eq!(counts.by_step, BTreeMap::from([(-1, 2), (16, 4)]));
    }
}
