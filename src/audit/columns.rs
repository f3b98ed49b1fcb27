//! The columns of an audit's tables: what they are called, in which order they stand, and where their values come from.
//! `docs/looking.md` explains each.

use super::Audit;
use super::classes::ClassFigures;
use super::figures::{AuditedImage, CropFigures, LabelFigures};
use crate::inspect::Verdict;

/// A column of rows of type `R`.
pub(super) struct Column<R> {
    pub(super) name: &'static str,
    pub(super) values: Values<R>,
    /// Whether a row may have no value.
    pub(super) is_nullable: bool,
}

/// The values of a column: how each row gives its own.
pub(super) enum Values<R> {
    Integers(fn(&R) -> Option<usize>),
    Reals(fn(&R) -> Option<f32>),
    Texts(fn(&R) -> Option<&str>),
}

/// A row of the images' table.
pub(super) struct ImageRow<'a> {
    audit: &'a Audit<'a>,
    rank: usize,
    image: &'a AuditedImage,
}

impl<'a> ImageRow<'a> {
    /// The image that stands at `rank` of the audit, from 0.
    pub(super) fn new(audit: &'a Audit<'a>, rank: usize) -> Self {
        Self { audit, rank, image: &audit.images[rank] }
    }

    fn label<T>(&self, value: impl Fn(&LabelFigures) -> T) -> Option<T> {
        self.image.label.as_ref().map(value)
    }

    fn crops<T>(&self, value: impl Fn(&CropFigures) -> T) -> Option<T> {
        self.image.label.as_ref().and_then(|label| label.crops.as_ref()).map(value)
    }

    fn name_of(&self, class: u32) -> &str {
        self.audit.name(class)
    }
}

/// The columns of the images' table.
pub(super) fn image_columns<'a>(with_crops: bool) -> Vec<Column<ImageRow<'a>>> {
    use Values::{Integers, Reals, Texts};

    let mut columns: Vec<Column<ImageRow<'a>>> = vec![
        always("rank", Integers(|row| Some(row.rank))),
        always("row", Integers(|row| Some(row.image.row))),
        always("id", Texts(|row| Some(row.audit.manifest.id(row.image.row)))),
        nullable("label", Texts(|row| row.audit.manifest.label(row.image.row))),
        nullable("label_class", Integers(|row| row.label(|label| label.class as usize))),
        nullable("label_name", Texts(|row| row.label(|label| row.name_of(label.class)))),
        nullable("label_prob", Reals(|row| row.label(|label| label.prob))),
        always("best_class", Integers(|row| Some(row.image.best.class as usize))),
        always("best_name", Texts(|row| Some(row.name_of(row.image.best.class)))),
        always("best_prob", Reals(|row| Some(row.image.best.prob))),
        nullable("contradiction", Reals(|row| row.label(|label| label.contradiction))),
        always("verdict", Texts(|row| Some(verdict_word(row.image.verdict)))),
        always("teacher_class", Integers(|row| Some(row.image.teacher.class as usize))),
        always("teacher_name", Texts(|row| Some(row.name_of(row.image.teacher.class)))),
        always("teacher_prob", Reals(|row| Some(row.image.teacher.prob))),
        nullable("label_cells", Reals(|row| row.label(|label| label.cells))),
        always("classes", Integers(|row| Some(row.image.classes as usize))),
        always("objects", Integers(|row| Some(row.image.objects as usize))),
        always("entropy", Reals(|row| Some(row.image.entropy))),
    ];
    if with_crops {
        let crops: [Column<ImageRow<'a>>; 5] = [
            nullable("crop_label_prob", Reals(|row| row.crops(|crops| crops.label_prob))),
            nullable("crop_wrong", Reals(|row| row.crops(|crops| crops.wrong))),
            nullable("crop_miss", Reals(|row| row.crops(|crops| crops.miss))),
            nullable("crop_iou", Reals(|row| row.crops(|crops| crops.iou))),
            nullable("crop_iou_label_prob", Reals(|row| row.crops(|crops| crops.iou_label_prob).flatten())),
        ];
        columns.extend(crops);
    }
    columns
}

/// The columns of the classes' table.
pub(super) fn class_columns(with_crops: bool) -> Vec<Column<ClassFigures>> {
    use Values::{Integers, Reals, Texts};

    let mut columns: Vec<Column<ClassFigures>> = vec![
        always("class", Integers(|row| Some(row.class as usize))),
        always("folder", Texts(|row| Some(&row.folder))),
        always("name", Texts(|row| Some(&row.name))),
        always("images", Integers(|row| Some(row.images))),
        always("agreement", Reals(|row| Some(row.agreement))),
        always("absent", Reals(|row| Some(row.absent))),
        always("label_prob", Reals(|row| Some(row.label_prob))),
    ];
    if with_crops {
        columns.push(always("crop_wrong", Reals(|row| row.crop_wrong)));
    }
    let confused: [Column<ClassFigures>; 3] = [
        nullable("confused_class", Integers(|row| row.confused_with.as_ref().map(|with| with.best_class as usize))),
        nullable("confused_name", Texts(|row| row.confused_with.as_ref().map(|with| with.best_name.as_str()))),
        nullable("confused_images", Integers(|row| row.confused_with.as_ref().map(|with| with.images))),
    ];
    columns.extend(confused);
    columns
}

fn always<R>(name: &'static str, values: Values<R>) -> Column<R> {
    Column { name, values, is_nullable: false }
}

fn nullable<R>(name: &'static str, values: Values<R>) -> Column<R> {
    Column { name, values, is_nullable: true }
}

/// As [`Verdict`] is serialised.
fn verdict_word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Agrees => "agrees",
        Verdict::Differs => "differs",
        Verdict::Absent => "absent",
        Verdict::NotCompared => "not-compared",
    }
}
