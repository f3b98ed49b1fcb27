//! `summary.parquet`: one row an image, in the order of the arrays, for the Hub's viewer and for filtering.

use serde::Serialize;

use super::overview::{Candidate, Candidates};
use crate::inspection::inspect::{Examiner, Seen, Verdict, walk};
use crate::inspection::table::{Column, Format, Table, TableWriter, Values};
use crate::shared::classes::ClassList;
use crate::shared::error::Error;
use crate::shared::manifest::Manifest;
use crate::shared::monitor::Monitor;
use crate::shared::store::StoreReader;

/// The file.
pub(super) const SUMMARY: &str = "summary.parquet";
/// Rows of a row group, which are held at a time. The Hub's viewer reads one at a time, too.
const GROUP_ROWS: usize = 50_000;
/// Classes that a row names of the teacher's prediction and of the pooled label.
const NAMED: usize = 5;

/// Images by their verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct VerdictCounts {
    /// The folder's class is the best of the pooled label.
    pub agrees: usize,
    /// Another one is, but some cell holds the folder's class.
    pub differs: usize,
    /// No cell holds it.
    pub absent: usize,
    /// There is no folder, or it is no class of the teacher.
    pub not_compared: usize,
}

/// What is made of all images in one walk.
pub(super) struct Summarised {
    /// The table as Parquet.
    pub(super) table: Vec<u8>,
    pub(super) verdicts: VerdictCounts,
    pub(super) candidates: Candidates,
}

/// A column's name, whether it is a list, of text or of numbers, and what it means.
pub(super) const MEANINGS: [(&str, Kind, &str); 10] = [
    ("row", Kind::Integer, "Place of the image in every array and in manifest.parquet, from 0"),
    ("id", Kind::Text, "Name of the image: its path below the source without the ending"),
    ("label", Kind::Text, "What the image is filed under in its source; null where that is nothing"),
    ("label_name", Kind::Text, "Name of the class that this means; null where the teacher has no such class"),
    ("verdict", Kind::Text, VERDICT_MEANING),
    ("label_prob", Kind::Real, "Probability of the label's class in the pooled label of the whole image"),
    ("teacher_classes", Kind::TextList, "Classes of the teacher's own prediction for the whole image, the best first"),
    ("teacher_probs", Kind::RealList, "Their probabilities"),
    ("pooled_classes", Kind::TextList, "Classes of the label map, pooled over the whole image, the best first"),
    ("pooled_probs", Kind::RealList, "Their probabilities"),
];

const VERDICT_MEANING: &str = "How the pooled label and the folder's class go together: agrees (it is the best), differs (another is, \
                               but some cell holds it), absent (no cell holds it), not-compared (no such class), failed (the image \
                               could not be labelled), to-do (not labelled yet)";

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Integer,
    Real,
    Text,
    TextList,
    RealList,
}

/// Walks over all images on the threads of the current rayon pool.
pub(super) fn summarise(
    store: &StoreReader,
    manifest: &Manifest,
    classes: &ClassList,
    monitor: &dyn Monitor,
) -> Result<Summarised, Error> {
    let names = (0..store.info().classes.count as u32).map(|class| classes.short_name(class)).collect();
    let class_of_label = classes.by_label();
    let names = Names { manifest, names };
    let columns = columns();
    let unwritten = |error| Error::file("make", store.path().join(SUMMARY).as_path())(error);
    let mut summarised =
        Summarised { table: Vec::new(), verdicts: VerdictCounts::default(), candidates: Candidates::default() };
    let table = Table { name: "summary", columns: &columns, block: None };
    let mut writer = TableWriter::new(Format::Parquet, &mut summarised.table, &table).map_err(unwritten)?;
    let rows: Vec<usize> = (0..manifest.len()).collect();
    for rows in rows.chunks(GROUP_ROWS) {
        let class_of = |row: usize| manifest.label(row).and_then(|label| class_of_label.get(label)).copied();
        let examine = |examiner: &mut Examiner, row: usize, seen: Seen| {
            examined(examiner, row, class_of(row), &seen).map_err(|problem| Error::Store {
                path: store.path().to_path_buf(),
                problem: format!("row {row}: {problem}").into(),
            })
        };
        let seen = walk(store, rows, monitor, || Examiner::new(names.names.len()), examine)?;
        let mut seen = seen.into_iter().peekable();
        let mut table_rows = Vec::with_capacity(rows.len());
        for &row in rows {
            // Rows that are still to do are passed over by the walk.
            let state = match seen.next_if(|(examined, _)| *examined == row) {
                Some((_, Some(image))) => State::Labelled(image),
                Some((_, None)) => State::Failed,
                None => State::ToDo,
            };
            if let State::Labelled(image) = &state {
                summarised.verdicts.see(image.verdict);
                summarised.candidates.see(image.candidate);
            }
            table_rows.push(SummaryRow { row, label_class: class_of(row), state, names: &names });
        }
        writer.write(&table_rows, None).map_err(unwritten)?;
    }
    writer.end().map_err(unwritten)?;
    Ok(summarised)
}

impl VerdictCounts {
    fn see(&mut self, verdict: Verdict) {
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
    names: Vec<String>,
}

struct SummaryRow<'a> {
    row: usize,
    label_class: Option<u32>,
    state: State,
    names: &'a Names<'a>,
}

enum State {
    Labelled(LabelledImage),
    Failed,
    ToDo,
}

/// What a row says of a labelled image.
struct LabelledImage {
    verdict: Verdict,
    label_prob: Option<f32>,
    teacher_classes: Vec<u32>,
    teacher_probs: Vec<f32>,
    pooled_classes: Vec<u32>,
    pooled_probs: Vec<f32>,
    candidate: Candidate,
}

fn examined(
    examiner: &mut Examiner,
    row: usize,
    label_class: Option<u32>,
    seen: &Seen,
) -> Result<(usize, Option<LabelledImage>), String> {
    let Seen::Labelled(labels) = seen else { return Ok((row, None)) };
    let figures = examiner.figures(&labels.map, label_class)?;
    let prediction = &labels.prediction;
    let first = |classes: &[u32]| classes.iter().copied().take(NAMED).collect();
    let image = LabelledImage {
        verdict: figures.verdict,
        label_prob: figures.label_prob,
        teacher_classes: first(prediction.classes()),
        teacher_probs: prediction.probs().iter().take(NAMED).map(|prob| prob.to_f32()).collect(),
        candidate: Candidate::of(row, &figures, examiner.class_count()),
        pooled_classes: first(&figures.whole.classes),
        pooled_probs: figures.whole.probs.iter().copied().take(NAMED).collect(),
    };
    Ok((row, Some(image)))
}

impl SummaryRow<'_> {
    fn labelled(&self) -> Option<&LabelledImage> {
        match &self.state {
            State::Labelled(image) => Some(image),
            State::Failed | State::ToDo => None,
        }
    }

    fn verdict(&self) -> &'static str {
        match &self.state {
            State::Labelled(image) => image.verdict.word(),
            State::Failed => "failed",
            State::ToDo => "to-do",
        }
    }

    fn name(&self, class: u32) -> &str {
        self.names.names.get(class as usize).map_or("", String::as_str)
    }

    fn names_of(&self, classes: &[u32]) -> Vec<&str> {
        classes.iter().map(|&class| self.name(class)).collect()
    }
}

/// In the order of [`MEANINGS`].
fn columns<'a>() -> Vec<Column<SummaryRow<'a>>> {
    use Values::{Integers, RealLists, Reals, TextLists, Texts};

    vec![
        Column::always("row", Integers(|row| Some(row.row))),
        Column::always("id", Texts(|row| Some(row.names.manifest.id(row.row)))),
        Column::nullable("label", Texts(|row| row.names.manifest.label(row.row))),
        Column::nullable("label_name", Texts(|row| row.label_class.map(|class| row.name(class)))),
        Column::always("verdict", Texts(|row| Some(row.verdict()))),
        Column::nullable("label_prob", Reals(|row| row.labelled()?.label_prob)),
        Column::nullable("teacher_classes", TextLists(|row| Some(row.names_of(&row.labelled()?.teacher_classes)))),
        Column::nullable("teacher_probs", RealLists(|row| Some(&row.labelled()?.teacher_probs))),
        Column::nullable("pooled_classes", TextLists(|row| Some(row.names_of(&row.labelled()?.pooled_classes)))),
        Column::nullable("pooled_probs", RealLists(|row| Some(&row.labelled()?.pooled_probs))),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_column_has_a_meaning() {
        let names: Vec<_> = columns().iter().map(Column::name).collect();
        assert_eq!(names, MEANINGS.map(|(name, _, _)| name));
    }
}
