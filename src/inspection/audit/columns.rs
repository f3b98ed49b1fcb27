//! The columns of an audit's tables: what they are called, in which order they stand, and where their values come from.
//! `docs/guide/audit.md` explains each.

use super::Audit;
use super::classes::ClassFigures;
use super::figures::{AuditedImage, CropFigures, LabelFigures};
use crate::inspection::table::{Column, Values};

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
        Column::always("rank", Integers(|row| Some(row.rank))),
        Column::always("row", Integers(|row| Some(row.image.row))),
        Column::always("id", Texts(|row| Some(row.audit.manifest.id(row.image.row)))),
        Column::nullable("label", Texts(|row| row.audit.manifest.label(row.image.row))),
        Column::nullable("label_class", Integers(|row| row.label(|label| label.class as usize))),
        Column::nullable("label_name", Texts(|row| row.label(|label| row.name_of(label.class)))),
        Column::nullable("label_prob", Reals(|row| row.label(|label| label.prob))),
        Column::always("best_class", Integers(|row| Some(row.image.best.class as usize))),
        Column::always("best_name", Texts(|row| Some(row.name_of(row.image.best.class)))),
        Column::always("best_prob", Reals(|row| Some(row.image.best.prob))),
        Column::nullable("contradiction", Reals(|row| row.label(|label| label.contradiction))),
        Column::always("verdict", Texts(|row| Some(row.image.verdict.word()))),
        Column::always("teacher_class", Integers(|row| Some(row.image.teacher.class as usize))),
        Column::always("teacher_name", Texts(|row| Some(row.name_of(row.image.teacher.class)))),
        Column::always("teacher_prob", Reals(|row| Some(row.image.teacher.prob))),
        Column::nullable("label_cells", Reals(|row| row.label(|label| label.cells))),
        Column::always("classes", Integers(|row| Some(row.image.classes as usize))),
        Column::always("objects", Integers(|row| Some(row.image.objects as usize))),
        Column::always("entropy", Reals(|row| Some(row.image.entropy))),
    ];
    if with_crops {
        let crops: [Column<ImageRow<'a>>; 5] = [
            Column::nullable("crop_label_prob", Reals(|row| row.crops(|crops| crops.label_prob))),
            Column::nullable("crop_wrong", Reals(|row| row.crops(|crops| crops.wrong))),
            Column::nullable("crop_miss", Reals(|row| row.crops(|crops| crops.miss))),
            Column::nullable("crop_iou", Reals(|row| row.crops(|crops| crops.iou))),
            Column::nullable("crop_iou_label_prob", Reals(|row| row.crops(|crops| crops.iou_label_prob).flatten())),
        ];
        columns.extend(crops);
    }
    columns
}

/// The columns of the classes' table.
pub(super) fn class_columns(with_crops: bool) -> Vec<Column<ClassFigures>> {
    use Values::{Integers, Reals, Texts};

    let mut columns: Vec<Column<ClassFigures>> = vec![
        Column::always("class", Integers(|row| Some(row.class as usize))),
        Column::always("folder", Texts(|row| Some(&row.folder))),
        Column::always("name", Texts(|row| Some(&row.name))),
        Column::always("images", Integers(|row| Some(row.images))),
        Column::always("agreement", Reals(|row| Some(row.agreement))),
        Column::always("absent", Reals(|row| Some(row.absent))),
        Column::always("label_prob", Reals(|row| Some(row.label_prob))),
    ];
    if with_crops {
        columns.push(Column::always("crop_wrong", Reals(|row| row.crop_wrong)));
    }
    let confused: [Column<ClassFigures>; 3] = [
        Column::nullable(
            "confused_class",
            Integers(|row| row.confused_with.as_ref().map(|with| with.best_class as usize)),
        ),
        Column::nullable("confused_name", Texts(|row| row.confused_with.as_ref().map(|with| with.best_name.as_str()))),
        Column::nullable("confused_images", Integers(|row| row.confused_with.as_ref().map(|with| with.images))),
    ];
    columns.extend(confused);
    columns
}
