//! `rows.js`: columns of all rows, and information on the store.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::Report;
use super::block::{self, ScoreCounts, are_wide};
use super::page_row::{PageRow, PageRowState, PageRowStatistics};
use super::photographs::Photographs;
use super::row_selection::SampleMode;
use super::script::{call, class_ids, numbers};
use crate::inspection::inspect::{PALETTE, Verdict, class_color};
use crate::shared::classes::ClassList;
use crate::shared::pooling_parameters::PoolingParameters;

/// Data of a report; `rows` are in the order of the page.
pub(super) struct PageData<'a> {
    pub(super) report: &'a Report<'a>,
    pub(super) classes: &'a ClassList,
    pub(super) rows: &'a [PageRow],
    pub(super) scores: &'a ScoreCounts,
    /// Parameters of calibrated pooling, if the store has them.
    pub(super) calibrated: Option<PoolingParameters>,
    /// Data of the figures that are not computed from the rows.
    pub(super) figures: Option<Value>,
}

impl PageData<'_> {
    /// Returns the script. It contains neither the path of the store nor that of the photographs.
    pub(super) fn script(&self, photographs: usize, without_photograph: usize) -> Vec<u8> {
        let data = json!({
            "about": self.about(photographs, without_photograph),
            "classes": self.class_columns(),
            "rows": self.row_columns(),
            "failed": self.reasons(|row| match &row.state {
                PageRowState::Failed(error) => Some(error.to_string()),
                PageRowState::Labelled(_) => None,
            }),
            "noPhotograph": self.reasons(|row| row.no_photograph.as_ref().map(ToString::to_string)),
            "scores": {
                "stepsPerUnit": ScoreCounts::STEPS_PER_UNIT,
                "counts": self.scores.by_step.iter().map(|(step, count)| json!([step, count])).collect::<Vec<_>>(),
            },
            "figures": self.figures,
        });
        call("relabel.table.take", &data)
    }

    fn about(&self, photographs: usize, without_photograph: usize) -> Value {
        let (info, selection) = (self.report.store.info(), self.report.selection);
        let selected = match selection.query().mode {
            SampleMode::Sample { count, seed } => json!({ "mode": "sample", "count": count, "seed": seed.to_string() }),
            SampleMode::All => json!({ "mode": "all" }),
            SampleMode::One { row, crop } => {
                let sides = crop.map(|crop| [crop.x0(), crop.y0(), crop.x1(), crop.y1()]);
                json!({ "mode": "one", "row": row, "crop": sides })
            }
        };
        json!({
            "program": format!("relabel {}", env!("CARGO_PKG_VERSION")),
            "source": info.source,
            "teacher": info.teacher.name,
            "k": info.k,
            "mapSize": info.map_size,
            "tiles": info.tiles.as_ref().map(|tiles| json!({
                "covering": tiles.covering(),
                "boxes": tiles.boxes().iter().map(|unit_box| unit_box.sides()).collect::<Vec<_>>(),
                "k": tiles.k(),
                "haveMaps": tiles.with_maps(),
            })),
            "pooling": { "tiles": PoolingParameters::PREDICTIONS_BY_OVERLAP, "calibrated": self.calibrated },
            "images": info.images,
            "selected": selected,
            "folderClasses": selection.query().folder_classes,
            "matching": selection.query().matching,
            "finished": selection.finished(),
            "toDo": selection.to_do(),
            "rowsPerBlock": block::ROWS,
            "hasImageRoot": self.report.photographs.is_some(),
            "photographSide": self.report.photographs.as_ref().map(|Photographs { side_pixels, .. }| side_pixels),
            "photographs": photographs,
            "withoutPhotograph": without_photograph,
        })
    }

    fn class_columns(&self) -> Value {
        let hex = |[r, g, b]: [u8; 3]| format!("#{r:02x}{g:02x}{b:02x}");
        let color_of = |class: usize| {
            let color = class_color(class as u32);
            PALETTE.iter().position(|known| *known == color).unwrap_or(0) as u8
        };
        let entries = self.classes.entries();
        json!({
            "count": entries.len(),
            "areWide": are_wide(self.report.store),
            "ids": entries.iter().map(|entry| &entry.id).collect::<Vec<_>>(),
            "names": entries.iter().map(|entry| &entry.name).collect::<Vec<_>>(),
            "shortNames": (0..entries.len()).map(|class| self.classes.short_name(class as u32)).collect::<Vec<_>>(),
            "palette": PALETTE.map(|color| hex(color.0)),
            "inks": PALETTE.map(|color| hex(color.ink().0)),
            "colors": numbers((0..entries.len()).map(color_of)),
        })
    }

    fn row_columns(&self) -> Value {
        let manifest = self.report.manifest;
        let (labels, row_labels) = self.labels();
        let by_label = self.classes.by_folder_class();
        let folder_classes: Vec<_> = labels.iter().map(|label| by_label.get(*label)).collect();
        let wide = are_wide(self.report.store);
        let floats = |value: fn(&PageRowStatistics) -> Option<f32>| {
            numbers(self.rows.iter().map(move |row| row.statistics().and_then(value).unwrap_or(f32::NAN)))
        };
        let counts = |value: fn(&PageRowStatistics) -> usize| {
            numbers(self.rows.iter().map(move |row| row.statistics().map_or(0, value) as u32))
        };
        let mut columns = Map::new();
        let mut add = |name: &str, column: Value| columns.insert(name.to_owned(), column);
        add("row", numbers(self.rows.iter().map(|row| row.row as u32)));
        add("id", self.rows.iter().map(|row| manifest.id(row.row)).collect());
        add("labels", json!(labels));
        add("folderClasses", json!(folder_classes));
        add("label", numbers(row_labels));
        add(
            "verdict",
            numbers(self.rows.iter().map(|row| verdict_code(row.statistics().map(|statistics| statistics.verdict)))),
        );
        add(
            "best",
            class_ids(self.rows.iter().map(|row| row.statistics().map_or(0, |statistics| statistics.best_class)), wide),
        );
        add("bestProb", floats(|statistics| Some(statistics.best_prob)));
        add("folderClassProb", floats(|statistics| statistics.folder_class_prob));
        add("otherProb", floats(|statistics| statistics.other_prob));
        add("entropy", floats(|statistics| Some(statistics.entropy)));
        add("folderClassCells", counts(|statistics| statistics.folder_class_cells.unwrap_or(0)));
        add("objects", counts(|statistics| statistics.objects));
        add("bytes", counts(|statistics| statistics.map_bytes));
        add("winnerCounts", counts(|statistics| statistics.winners.len()));
        let winners =
            self.rows.iter().filter_map(PageRow::statistics).flat_map(|statistics| statistics.winners.iter().copied());
        add("winners", class_ids(winners, wide));
        columns.into()
    }

    /// Returns the labels (folders) that occur, and for each row the index of its label; the number of labels if it has
    /// none.
    fn labels(&self) -> (Vec<&str>, Vec<u32>) {
        let (mut labels, mut indices) = (Vec::new(), HashMap::new());
        let row_labels: Vec<Option<u32>> = self
            .rows
            .iter()
            .map(|row| {
                let label = self.report.manifest.folder_class(row.row)?;
                Some(*indices.entry(label).or_insert_with(|| {
                    labels.push(label);
                    labels.len() as u32 - 1
                }))
            })
            .collect();
        let none = labels.len() as u32;
        (labels, row_labels.into_iter().map(|label| label.unwrap_or(none)).collect())
    }

    /// Returns reasons by position on the page.
    fn reasons(&self, reason: impl Fn(&PageRow) -> Option<String>) -> Value {
        let reasons = self.rows.iter().enumerate().filter_map(|(at, row)| Some((at.to_string(), reason(row)?.into())));
        reasons.collect::<Map<String, Value>>().into()
    }
}

/// Returns the code of a verdict; `None` is an image without labels. `table.js` lists the same codes.
fn verdict_code(verdict: Option<Verdict>) -> u8 {
    match verdict {
        Some(Verdict::Agrees) => 0,
        Some(Verdict::Differs) => 1,
        Some(Verdict::Absent) => 2,
        Some(Verdict::NotCompared) => 3,
        None => 4,
    }
}
