//! Columns of the tables of an audit: their names, order and values. `docs/guide/audit.md` explains each.

use super::audited_image::{AuditedImage, CropStatistics, FolderClassStatistics};
use super::class_statistics::ClassStatistics;
use super::ranking::Audit;
use crate::inspection::table::{ColumnValues, TableColumn};

/// A row of the table of images.
pub(super) struct ImageRow<'a> {
    audit: &'a Audit<'a>,
    rank: usize,
    image: &'a AuditedImage,
}

impl<'a> ImageRow<'a> {
    /// Creates the row of the image at position `rank` of the audit, from 0.
    pub(super) fn new(audit: &'a Audit<'a>, rank: usize) -> Self {
        Self { audit, rank, image: &audit.images[rank] }
    }

    fn folder<T>(&self, value: impl Fn(&FolderClassStatistics) -> T) -> Option<T> {
        self.image.folder.as_ref().map(value)
    }

    fn crops<T>(&self, value: impl Fn(&CropStatistics) -> T) -> Option<T> {
        self.image.folder.as_ref().and_then(|folder| folder.crops.as_ref()).map(value)
    }

    fn class_name(&self, class: u32) -> &str {
        self.audit.name(class)
    }
}

/// Returns the columns of the table of images.
pub(super) fn image_columns<'a>(with_crops: bool) -> Vec<TableColumn<ImageRow<'a>>> {
    use ColumnValues::{Integers, Reals, Texts};

    let mut columns: Vec<TableColumn<ImageRow<'a>>> = vec![
        TableColumn::required("rank", Integers(|row| Some(row.rank))),
        TableColumn::required("row", Integers(|row| Some(row.image.row))),
        TableColumn::required("id", Texts(|row| Some(row.audit.manifest.id(row.image.row)))),
        TableColumn::nullable("label", Texts(|row| row.audit.manifest.folder_class(row.image.row))),
        TableColumn::nullable("folder_class", Integers(|row| row.folder(|folder| folder.class as usize))),
        TableColumn::nullable("folder_class_name", Texts(|row| row.folder(|folder| row.class_name(folder.class)))),
        TableColumn::nullable("folder_class_prob", Reals(|row| row.folder(|folder| folder.prob))),
        TableColumn::required("best_class", Integers(|row| Some(row.image.best.class as usize))),
        TableColumn::required("best_name", Texts(|row| Some(row.class_name(row.image.best.class)))),
        TableColumn::required("best_prob", Reals(|row| Some(row.image.best.prob))),
        TableColumn::nullable("contradiction", Reals(|row| row.folder(|folder| folder.contradiction))),
        TableColumn::required("verdict", Texts(|row| Some(row.image.verdict.as_str()))),
        TableColumn::required("teacher_class", Integers(|row| Some(row.image.teacher.class as usize))),
        TableColumn::required("teacher_name", Texts(|row| Some(row.class_name(row.image.teacher.class)))),
        TableColumn::required("teacher_prob", Reals(|row| Some(row.image.teacher.prob))),
        TableColumn::nullable("folder_class_cells", Reals(|row| row.folder(|folder| folder.cells))),
        TableColumn::required("classes", Integers(|row| Some(row.image.classes as usize))),
        TableColumn::required("objects", Integers(|row| Some(row.image.objects as usize))),
        TableColumn::required("entropy", Reals(|row| Some(row.image.entropy))),
    ];
    if with_crops {
        let crops: [TableColumn<ImageRow<'a>>; 5] = [
            TableColumn::nullable("crop_folder_class_prob", Reals(|row| row.crops(|crops| crops.folder_class_prob))),
            TableColumn::nullable("crop_wrong", Reals(|row| row.crops(|crops| crops.wrong))),
            TableColumn::nullable("crop_miss", Reals(|row| row.crops(|crops| crops.miss))),
            TableColumn::nullable("crop_iou", Reals(|row| row.crops(|crops| crops.iou))),
            TableColumn::nullable(
                "crop_iou_folder_class_prob",
                Reals(|row| row.crops(|crops| crops.iou_folder_class_prob).flatten()),
            ),
        ];
        columns.extend(crops);
    }
    columns
}

/// Returns the columns of the table of classes.
pub(super) fn class_columns(with_crops: bool) -> Vec<TableColumn<ClassStatistics>> {
    use ColumnValues::{Integers, Reals, Texts};

    let mut columns: Vec<TableColumn<ClassStatistics>> = vec![
        TableColumn::required("class", Integers(|row| Some(row.class as usize))),
        TableColumn::required("folder", Texts(|row| Some(&row.folder))),
        TableColumn::required("name", Texts(|row| Some(&row.name))),
        TableColumn::required("images", Integers(|row| Some(row.images))),
        TableColumn::required("agreement", Reals(|row| Some(row.agreement))),
        TableColumn::required("absent", Reals(|row| Some(row.absent))),
        TableColumn::required("folder_class_prob", Reals(|row| Some(row.folder_class_prob))),
    ];
    if with_crops {
        columns.push(TableColumn::required("crop_wrong", Reals(|row| row.crop_wrong)));
    }
    let confused: [TableColumn<ClassStatistics>; 3] = [
        TableColumn::nullable(
            "confused_class",
            Integers(|row| row.confused_with.as_ref().map(|with| with.best_class as usize)),
        ),
        TableColumn::nullable(
            "confused_name",
            Texts(|row| row.confused_with.as_ref().map(|with| with.best_name.as_str())),
        ),
        TableColumn::nullable("confused_images", Integers(|row| row.confused_with.as_ref().map(|with| with.images))),
    ];
    columns.extend(confused);
    columns
}
