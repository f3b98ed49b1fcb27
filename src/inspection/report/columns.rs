//! `rows.js`: what the page knows of every row, column by column, and of the store.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::block::{self, ScoreCounts, are_wide};
use super::choice::Which;
use super::row::{PageRow, RowFigures, RowState};
use super::script::{call, class_ids, numbers};
use super::{Report, photographs::Photographs};
use crate::inspection::inspect::{PALETTE, Verdict, class_color};
use crate::shared::classes::ClassList;

/// All rows of a page, in its order.
pub(super) struct Columns<'a> {
    pub(super) report: &'a Report<'a>,
    pub(super) classes: &'a ClassList,
    pub(super) rows: &'a [PageRow],
    pub(super) scores: &'a ScoreCounts,
}

impl Columns<'_> {
    /// The script. It names neither the store's place nor that of the photographs.
    pub(super) fn script(&self, photographs: usize, without_photograph: usize) -> Vec<u8> {
        let data = json!({
            "about": self.about(photographs, without_photograph),
            "classes": self.class_columns(),
            "rows": self.row_columns(),
            "failed": self.reasons(|row| match &row.state {
                RowState::Failed(error) => Some(error.to_string()),
                RowState::Labelled(_) => None,
            }),
            "noPhotograph": self.reasons(|row| row.no_photograph.as_ref().map(ToString::to_string)),
            "scores": {
                "stepsPerUnit": ScoreCounts::STEPS_PER_UNIT,
                "counts": self.scores.by_step.iter().map(|(step, count)| json!([step, count])).collect::<Vec<_>>(),
            },
        });
        call("relabel.table.take", &data)
    }

    fn about(&self, photographs: usize, without_photograph: usize) -> Value {
        let (info, choice) = (self.report.store.info(), self.report.choice);
        let chosen = match choice.query().which {
            Which::Sample { count, seed } => json!({ "how": "sample", "count": count, "seed": seed.to_string() }),
            Which::All => json!({ "how": "all" }),
            Which::One { row, crop } => {
                let sides = crop.map(|crop| [crop.x0(), crop.y0(), crop.x1(), crop.y1()]);
                json!({ "how": "one", "row": row, "crop": sides })
            }
        };
        json!({
            "program": format!("relabel {}", env!("CARGO_PKG_VERSION")),
            "source": info.source,
            "teacher": info.teacher.name,
            "k": info.k,
            "mapSize": info.map_size,
            "images": info.images,
            "chosen": chosen,
            "inClasses": choice.query().classes,
            "matching": choice.query().matching,
            "finished": choice.finished(),
            "toDo": choice.to_do(),
            "rowsOfBlock": block::ROWS,
            "looksForPhotographs": self.report.photographs.is_some(),
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
        let (labels, label_of_row) = self.labels();
        let by_label = self.classes.by_label();
        let label_classes: Vec<_> = labels.iter().map(|label| by_label.get(*label)).collect();
        let wide = are_wide(self.report.store);
        let floats = |of: fn(&RowFigures) -> Option<f32>| {
            numbers(self.rows.iter().map(move |row| row.figures().and_then(of).unwrap_or(f32::NAN)))
        };
        let counts =
            |of: fn(&RowFigures) -> usize| numbers(self.rows.iter().map(move |row| row.figures().map_or(0, of) as u32));
        let mut columns = Map::new();
        let mut add = |name: &str, column: Value| columns.insert(name.to_owned(), column);
        add("row", numbers(self.rows.iter().map(|row| row.row as u32)));
        add("id", self.rows.iter().map(|row| manifest.id(row.row)).collect());
        add("labels", json!(labels));
        add("labelClasses", json!(label_classes));
        add("label", numbers(label_of_row));
        add("verdict", numbers(self.rows.iter().map(|row| verdict_code(row.figures().map(|figures| figures.verdict)))));
        add("best", class_ids(self.rows.iter().map(|row| row.figures().map_or(0, |figures| figures.best_class)), wide));
        add("bestProb", floats(|figures| Some(figures.best_prob)));
        add("labelProb", floats(|figures| figures.label_prob));
        add("otherProb", floats(|figures| figures.other_prob));
        add("entropy", floats(|figures| Some(figures.entropy)));
        add("labelCells", counts(|figures| figures.label_cells.unwrap_or(0)));
        add("objects", counts(|figures| figures.objects));
        add("bytes", counts(|figures| figures.map_bytes));
        add("winnerCounts", counts(|figures| figures.winners.len()));
        let winners = self.rows.iter().filter_map(PageRow::figures).flat_map(|figures| figures.winners.iter().copied());
        add("winners", class_ids(winners, wide));
        columns.into()
    }

    /// The labels that occur, and which of them each row has; one more than there are where it has none.
    fn labels(&self) -> (Vec<&str>, Vec<u32>) {
        let (mut labels, mut numbers) = (Vec::new(), HashMap::new());
        let of_rows: Vec<Option<u32>> = self
            .rows
            .iter()
            .map(|row| {
                let label = self.report.manifest.label(row.row)?;
                Some(*numbers.entry(label).or_insert_with(|| {
                    labels.push(label);
                    labels.len() as u32 - 1
                }))
            })
            .collect();
        let none = labels.len() as u32;
        (labels, of_rows.into_iter().map(|label| label.unwrap_or(none)).collect())
    }

    /// Reasons by position on the page.
    fn reasons(&self, of: impl Fn(&PageRow) -> Option<String>) -> Value {
        let reasons = self.rows.iter().enumerate().filter_map(|(at, row)| Some((at.to_string(), of(row)?.into())));
        reasons.collect::<Map<String, Value>>().into()
    }
}

/// What stands for a verdict in its column; `None` for an image without labels. `table.js` says the same.
fn verdict_code(verdict: Option<Verdict>) -> u8 {
    match verdict {
        Some(Verdict::Agrees) => 0,
        Some(Verdict::Differs) => 1,
        Some(Verdict::Absent) => 2,
        Some(Verdict::NotCompared) => 3,
        None => 4,
    }
}
