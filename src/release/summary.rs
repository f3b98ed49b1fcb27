//! `summary.parquet`: one row per image, in the order of the arrays, for the Hub's viewer and for filtering.

use serde::Serialize;

use super::overview_picture::{Candidate, Candidates};
use crate::inspection::inspect::{Examiner, FinishedRow, Verdict, walk};
use crate::inspection::table::{ColumnValues, Table, TableColumn, TableFormat, TableWriter};
use crate::shared::classes::ClassList;
use crate::shared::error::Error;
use crate::shared::manifest::Manifest;
use crate::shared::monitor::Monitor;
use crate::shared::store::StoreReader;

/// Name of the file.
pub(super) const SUMMARY: &str = "summary.parquet";
/// Rows of a row group, the number held in memory. The Hub's viewer also reads one row group at a time.
const GROUP_ROWS: usize = 50_000;
/// Number of classes listed for the prediction and for the target.
const CLASSES_LISTED: usize = 5;

/// Number of images by verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct VerdictCounts {
    /// The folder class is the best class of the target of the full image.
    pub agrees: usize,
    /// A different class is the best, but some cell contains the folder class; in a store without label maps, some prediction
    /// of the image or a tile.
    pub differs: usize,
    /// No cell, or no prediction, contains the folder class.
    pub absent: usize,
    /// The image has no folder class, or the teacher does not know it.
    pub not_compared: usize,
}

/// Results of one pass over all images.
pub(super) struct Summary {
    /// The table, in Parquet.
    pub(super) table: Vec<u8>,
    pub(super) verdicts: VerdictCounts,
    pub(super) candidates: Candidates,
}

/// Name, type and meaning of every column.
pub(super) const SUMMARY_COLUMNS: [(&str, ColumnType, &str); 10] = [
    ("row", ColumnType::Integer, "Row of the image in every array and in manifest.parquet, from 0"),
    ("id", ColumnType::Text, "Id of the image: its path below the source, without the extension"),
    ("label", ColumnType::Text, "Folder class of the image as the manifest names it; null if there is none"),
    (
        "folder_class_name",
        ColumnType::Text,
        "Name of the folder class in the class list; null if the teacher does not know it",
    ),
    ("verdict", ColumnType::Text, VERDICT_MEANING),
    ("folder_class_prob", ColumnType::Real, "Probability of the folder class in the target of the full image"),
    ("teacher_classes", ColumnType::TextList, "Top classes of the teacher's prediction for the full image, best first"),
    ("teacher_probs", ColumnType::RealList, "Their probabilities"),
    (
        POOLED_CLASSES,
        ColumnType::TextList,
        "Top classes of the target of the full image (its pooled label map), best first",
    ),
    ("pooled_probs", ColumnType::RealList, "Their probabilities"),
];

const POOLED_CLASSES: &str = "pooled_classes";

const VERDICT_MEANING: &str = "Agreement of the target of the full image with the folder class: agrees (it is the best class), \
                               differs (a different class is the best, but some cell contains it), absent (no cell contains it), \
                               not-compared (no folder class, or unknown to the teacher), failed (the image could not be \
                               labelled), to-do (not labelled yet)";

/// Meaning of a column in a store without label maps.
const MAPLESS_MEANINGS: [(&str, &str); 2] = [
    (
        "verdict",
        "Agreement of the target of the full image with the folder class: agrees (it is the best class), differs (a different \
         class is the best, but some prediction of the image or a tile contains it), absent (no prediction contains it), \
         not-compared (no folder class, or unknown to the teacher), failed (the image could not be labelled), to-do (not labelled \
         yet)",
    ),
    (
        POOLED_CLASSES,
        "Top classes of the target of the full image (predictions of the image and its tiles, weighted by overlap), best first",
    ),
];

/// Returns the meaning of a column of [`SUMMARY_COLUMNS`], with or without label maps.
pub(super) fn meaning(column: &str, described: &'static str, has_maps: bool) -> &'static str {
    let without_maps = MAPLESS_MEANINGS.iter().find(|(name, _)| *name == column && !has_maps);
    without_maps.map_or(described, |(_, meaning)| *meaning)
}

/// Type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ColumnType {
    Integer,
    Real,
    Text,
    TextList,
    RealList,
}

/// Computes the summary of all images, on the threads of the current rayon pool.
pub(super) fn summarise(
    store: &StoreReader,
    manifest: &Manifest,
    classes: &ClassList,
    monitor: &dyn Monitor,
) -> Result<Summary, Error> {
    let class_names = (0..store.info().classes.count as u32).map(|class| classes.short_name(class)).collect();
    let class_of_label = classes.by_folder_class();
    let names = Names { manifest, classes: class_names };
    let columns = columns();
    let write_error = |error| Error::file("create", store.path().join(SUMMARY).as_path())(error);
    let mut summarised =
        Summary { table: Vec::new(), verdicts: VerdictCounts::default(), candidates: Candidates::default() };
    let table = Table { name: "summary", columns: &columns, list_column: None };
    let mut writer = TableWriter::new(TableFormat::Parquet, &mut summarised.table, &table).map_err(write_error)?;
    let rows: Vec<usize> = (0..manifest.len()).collect();
    for rows in rows.chunks(GROUP_ROWS) {
        let folder_class = |row: usize| manifest.folder_class(row).and_then(|label| class_of_label.get(label)).copied();
        let examine = |examiner: &mut Examiner, row: usize, finished: FinishedRow| {
            let image = examine_image(examiner, row, folder_class(row), &finished, store)?;
            Ok((row, image))
        };
        let seen = walk(store, rows, monitor, || Examiner::of_store(store.info()), examine)?;
        let mut seen = seen.into_iter().peekable();
        let mut table_rows = Vec::with_capacity(rows.len());
        for &row in rows {
            // The walk skips rows that are still to do.
            let outcome = match seen.next_if(|(seen_row, _)| *seen_row == row) {
                Some((_, Some(image))) => RowOutcome::Labelled(image),
                Some((_, None)) => RowOutcome::Failed,
                None => RowOutcome::ToDo,
            };
            if let RowOutcome::Labelled(image) = &outcome {
                summarised.verdicts.count(image.verdict);
                summarised.candidates.add(image.candidate);
            }
            table_rows.push(SummaryRow { row, folder_class: folder_class(row), outcome, names: &names });
        }
        writer.write(&table_rows, None).map_err(write_error)?;
    }
    writer.finish().map_err(write_error)?;
    Ok(summarised)
}

impl VerdictCounts {
    fn count(&mut self, verdict: Verdict) {
        *match verdict {
            Verdict::Agrees => &mut self.agrees,
            Verdict::Differs => &mut self.differs,
            Verdict::Absent => &mut self.absent,
            Verdict::NotCompared => &mut self.not_compared,
        } += 1;
    }
}

struct Names<'a> {
    manifest: &'a Manifest,
    classes: Vec<String>,
}

struct SummaryRow<'a> {
    row: usize,
    folder_class: Option<u32>,
    outcome: RowOutcome,
    names: &'a Names<'a>,
}

enum RowOutcome {
    Labelled(LabelledImage),
    Failed,
    ToDo,
}

/// Values of a labelled image.
struct LabelledImage {
    verdict: Verdict,
    folder_class_prob: Option<f32>,
    teacher_classes: Vec<u32>,
    teacher_probs: Vec<f32>,
    pooled_classes: Vec<u32>,
    pooled_probs: Vec<f32>,
    candidate: Candidate,
}

/// Returns the values of an image, or `None` if it failed.
fn examine_image(
    examiner: &mut Examiner,
    row: usize,
    folder_class: Option<u32>,
    finished: &FinishedRow,
    store: &StoreReader,
) -> Result<Option<LabelledImage>, Error> {
    let FinishedRow::Labelled(labels) = finished else { return Ok(None) };
    let statistics = examiner.statistics(labels, folder_class).map_err(|problem| Error::Store {
        path: store.path().to_path_buf(),
        problem: format!("row {row}: {problem}").into(),
    })?;
    let prediction = &labels.prediction;
    let first = |classes: &[u32]| classes.iter().copied().take(CLASSES_LISTED).collect();
    Ok(Some(LabelledImage {
        verdict: statistics.verdict,
        folder_class_prob: statistics.folder_class_prob,
        teacher_classes: first(prediction.classes()),
        teacher_probs: prediction.probs().iter().take(CLASSES_LISTED).map(|prob| prob.to_f32()).collect(),
        candidate: Candidate::of(row, &statistics, examiner.class_count()),
        pooled_classes: first(&statistics.target.classes),
        pooled_probs: statistics.target.probs.iter().copied().take(CLASSES_LISTED).collect(),
    }))
}

impl SummaryRow<'_> {
    fn labelled(&self) -> Option<&LabelledImage> {
        match &self.outcome {
            RowOutcome::Labelled(image) => Some(image),
            RowOutcome::Failed | RowOutcome::ToDo => None,
        }
    }

    fn verdict(&self) -> &'static str {
        match &self.outcome {
            RowOutcome::Labelled(image) => image.verdict.as_str(),
            RowOutcome::Failed => "failed",
            RowOutcome::ToDo => "to-do",
        }
    }

    fn name(&self, class: u32) -> &str {
        self.names.classes.get(class as usize).map_or("", String::as_str)
    }

    fn names_of(&self, classes: &[u32]) -> Vec<&str> {
        classes.iter().map(|&class| self.name(class)).collect()
    }
}

/// In the order of [`SUMMARY_COLUMNS`].
fn columns<'a>() -> Vec<TableColumn<SummaryRow<'a>>> {
    use ColumnValues::{Integers, RealLists, Reals, TextLists, Texts};

    vec![
        TableColumn::required("row", Integers(|row| Some(row.row))),
        TableColumn::required("id", Texts(|row| Some(row.names.manifest.id(row.row)))),
        TableColumn::nullable("label", Texts(|row| row.names.manifest.folder_class(row.row))),
        TableColumn::nullable("folder_class_name", Texts(|row| row.folder_class.map(|class| row.name(class)))),
        TableColumn::required("verdict", Texts(|row| Some(row.verdict()))),
        TableColumn::nullable("folder_class_prob", Reals(|row| row.labelled()?.folder_class_prob)),
        TableColumn::nullable("teacher_classes", TextLists(|row| Some(row.names_of(&row.labelled()?.teacher_classes)))),
        TableColumn::nullable("teacher_probs", RealLists(|row| Some(&row.labelled()?.teacher_probs))),
        TableColumn::nullable("pooled_classes", TextLists(|row| Some(row.names_of(&row.labelled()?.pooled_classes)))),
        TableColumn::nullable("pooled_probs", RealLists(|row| Some(&row.labelled()?.pooled_probs))),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_column_is_described() {
        let columns = columns();
        let names: Vec<_> = columns.iter().map(TableColumn::name).collect();
        assert_eq!(names, SUMMARY_COLUMNS.map(|(name, _, _)| name));
    }
}
