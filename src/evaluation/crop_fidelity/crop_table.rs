//! The table of all crops, from which anybody can compute the figures again. `docs/crop-fidelity.md` explains each column.

use std::io::{BufWriter, Write};
use std::path::Path;

use super::crop_labels::{Agreements, ComparedLabel};
use super::label_agreement::LabelAgreement;
use crate::inspection::table::{ColumnValues, Table, TableColumn, TableFile, TableFormat, TableWriter};
use crate::labelling::pixels::PixelCrop;
use crate::shared::atomic_file::AtomicFile;
use crate::shared::error::Error;
use crate::training::pool::SparseTarget;

/// Number of classes that the table has for each label.
const TOP: usize = 20;

/// Rows that are written at a time.
const ROWS_AT_ONCE: usize = 8192;

/// The file of a table of crops, under a temporary name. Dropping it deletes it.
#[derive(Debug)]
pub struct CropTable {
    file: AtomicFile,
    format: TableFormat,
}

impl CropTable {
    /// Creates the file under a temporary name, so that errors appear before work begins. Its path must end in `.parquet`,
    /// `.csv` or `.json`.
    ///
    /// # Errors
    /// Returns [`Error::Usage`] if the path has a different extension or is inside `store`, and [`Error::File`] if its folder
    /// does not exist or cannot be written.
    pub fn create(path: &Path, store: &Path) -> Result<Self, Error> {
        let format = TableFile::new(path)?.format();
        Ok(Self { file: AtomicFile::create_outside(store, path)?, format })
    }

    /// Writes the table of crops with these labels with `work`, and gives the complete file its name if that succeeds.
    pub(super) fn write<T>(
        mut self,
        labels: &[ComparedLabel],
        work: impl FnOnce(CropWriter<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let (path, columns) = (self.file.path().to_path_buf(), crop_columns(labels));
        let mut out = BufWriter::new(self.file.file());
        let table = Table { name: "crops", columns: &columns, list_column: None };
        let writer: &mut (dyn Write + Send) = &mut out;
        let table = TableWriter::new(self.format, writer, &table).map_err(Error::file("write", &path))?;
        let result = work(CropWriter { path: &path, table, rows: Vec::new() })?;
        out.flush().map_err(Error::file("write", &path))?;
        drop(out);
        self.file.commit()?;
        Ok(result)
    }
}

/// Writes the rows of a table of crops.
pub(super) struct CropWriter<'a> {
    path: &'a Path,
    table: TableWriter<'a, &'a mut (dyn Write + Send), CropRow>,
    rows: Vec<CropRow>,
}

impl CropWriter<'_> {
    pub(super) fn add(&mut self, row: CropRow) -> Result<(), Error> {
        self.rows.push(row);
        if self.rows.len() >= ROWS_AT_ONCE { self.flush() } else { Ok(()) }
    }

    pub(super) fn finish(mut self) -> Result<(), Error> {
        self.flush()?;
        self.table.finish().map_err(Error::file("write", self.path))
    }

    fn flush(&mut self) -> Result<(), Error> {
        if self.rows.is_empty() {
            return Ok(());
        }
        self.table.write(&self.rows, None).map_err(Error::file("write", self.path))?;
        self.rows.clear();
        Ok(())
    }
}

/// A row of the table.
pub(super) struct CropRow {
    pub(super) row: usize,
    pub(super) id: String,
    pub(super) index: usize,
    pub(super) crop: PixelCrop,
    pub(super) folder_class: Option<u32>,
    pub(super) teacher: TopClasses,
    /// The target, if the store has label maps.
    pub(super) pooled: Option<TopClasses>,
    /// Agreement of each label of the table.
    pub(super) agreements: Agreements,
}

/// The best classes of a label, by decreasing probability; the lower id first if two are equal.
pub(super) struct TopClasses {
    classes: Vec<u32>,
    probs: Vec<f32>,
    /// Probability of all other classes together.
    rest: f32,
}

impl TopClasses {
    /// Returns the best classes of dense probabilities.
    pub(super) fn of_probs(probs: &[f32]) -> Self {
        let mut order: Vec<u32> = (0..probs.len() as u32).collect();
        let by_prob = |a: &u32, b: &u32| probs[*b as usize].total_cmp(&probs[*a as usize]).then(a.cmp(b));
        if order.len() > TOP {
            order.select_nth_unstable_by(TOP, by_prob);
        }
        let rest: f64 = order.iter().skip(TOP).map(|&class| f64::from(probs[class as usize])).sum();
        order.truncate(TOP);
        order.sort_unstable_by(by_prob);
        Self { probs: order.iter().map(|&class| probs[class as usize]).collect(), classes: order, rest: rest as f32 }
    }

    /// Returns the best of the classes that a target lists.
    pub(super) fn of_target(target: &SparseTarget) -> Self {
        let kept = target.classes.len().min(TOP);
        let others: f64 = target.probs[kept..].iter().map(|&prob| f64::from(prob)).sum();
        Self {
            classes: target.classes[..kept].to_vec(),
            probs: target.probs[..kept].to_vec(),
            rest: (f64::from(target.rest) + others) as f32,
        }
    }
}

impl CropRow {
    fn unit(&self, side: usize) -> f64 {
        let unit_box = self.crop.unit_box();
        [unit_box.x0(), unit_box.y0(), unit_box.x1(), unit_box.y1()][side]
    }

    fn pixels(&self, side: usize) -> usize {
        self.crop.sides()[side] as usize
    }

    fn agreement(&self, label: usize) -> Option<LabelAgreement> {
        self.agreements.get(label).copied().flatten()
    }
}

/// Returns the columns of the table.
fn crop_columns(labels: &[ComparedLabel]) -> Vec<TableColumn<CropRow>> {
    use ColumnValues::{Doubles, IntegerLists, Integers, RealLists, Reals, Texts};

    let mut columns = vec![
        TableColumn::required("row", Integers(|row: &CropRow| Some(row.row))),
        TableColumn::required("id", Texts(|row| Some(&row.id))),
        TableColumn::required("crop", Integers(|row| Some(row.index))),
        TableColumn::required("x0", Doubles(|row| Some(row.unit(0)))),
        TableColumn::required("y0", Doubles(|row| Some(row.unit(1)))),
        TableColumn::required("x1", Doubles(|row| Some(row.unit(2)))),
        TableColumn::required("y1", Doubles(|row| Some(row.unit(3)))),
        TableColumn::required("x0_pixels", Integers(|row| Some(row.pixels(0)))),
        TableColumn::required("y0_pixels", Integers(|row| Some(row.pixels(1)))),
        TableColumn::required("x1_pixels", Integers(|row| Some(row.pixels(2)))),
        TableColumn::required("y1_pixels", Integers(|row| Some(row.pixels(3)))),
        TableColumn::required("height_pixels", Integers(|row| Some(row.crop.image_pixels()[0] as usize))),
        TableColumn::required("width_pixels", Integers(|row| Some(row.crop.image_pixels()[1] as usize))),
        TableColumn::required("area", Doubles(|row| Some(row.crop.area()))),
        TableColumn::nullable("folder_class", Integers(|row| row.folder_class.map(|class| class as usize))),
        TableColumn::required("teacher_classes", IntegerLists(|row| Some(&row.teacher.classes))),
        TableColumn::required("teacher_probs", RealLists(|row| Some(&row.teacher.probs))),
        TableColumn::required("teacher_rest", Reals(|row| Some(row.teacher.rest))),
        TableColumn::nullable("pooled_classes", IntegerLists(|row| row.pooled.as_ref().map(|top| &*top.classes))),
        TableColumn::nullable("pooled_probs", RealLists(|row| row.pooled.as_ref().map(|top| &*top.probs))),
        TableColumn::nullable("pooled_rest", Reals(|row| row.pooled.as_ref().map(|top| top.rest))),
    ];
    for (at, label) in labels.iter().enumerate() {
        columns.extend(agreement_columns(at, *label));
    }
    columns
}

/// Returns the columns of the label at a position.
fn agreement_columns(at: usize, label: ComparedLabel) -> Vec<TableColumn<CropRow>> {
    use ColumnValues::{DoublesAt, IntegersAt};

    let name = match label {
        ComparedLabel::Kind(kind) => kind.name().to_owned(),
        ComparedLabel::Covering(covering) => format!("covering_{}", covering.name().replace('+', "_and_")),
    };
    let top1 = |row: &CropRow, at| row.agreement(at).map(|agreement| usize::from(agreement.top1));
    let kl = |row: &CropRow, at| row.agreement(at).map(|agreement| agreement.kl);
    let tv = |row: &CropRow, at| row.agreement(at).map(|agreement| agreement.tv);
    let mut columns = vec![TableColumn::nullable(format!("{name}_top1"), IntegersAt(top1, at))];
    if label.has_divergence() {
        columns.push(TableColumn::nullable(format!("{name}_kl"), DoublesAt(kl, at)));
    }
    columns.push(TableColumn::nullable(format!("{name}_tv"), DoublesAt(tv, at)));
    columns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_classes_are_kept() {
        let mut probs = vec![0.01_f32; 30];
        (probs[7], probs[29], probs[3]) = (0.3, 0.3, 0.4 - 0.27);
        let top = TopClasses::of_probs(&probs);
        assert_eq!((&top.classes[..5], top.classes.len()), (&[7, 29, 3, 0, 1][..], TOP));
        assert!((top.probs.iter().sum::<f32>() + top.rest - 1.0).abs() < 1e-6 && (top.rest - 0.1).abs() < 1e-6);
        let few = TopClasses::of_probs(&[0.25, 0.75]);
        assert_eq!((few.classes, few.probs, few.rest), (vec![1, 0], vec![0.75, 0.25], 0.0));
        let target = SparseTarget { classes: (0..25).collect(), probs: vec![0.03125; 25], rest: 0.21875 };
        let top = TopClasses::of_target(&target);
        assert_eq!((top.classes.len(), top.rest), (TOP, 0.21875 + 5.0 * 0.03125));
    }

    #[test]
    fn tables_are_refused_before_work_begins() {
        let folder = tempfile::tempdir().unwrap();
        let create = |name: &str, store: &Path| CropTable::create(&folder.path().join(name), store);
        let nowhere = Path::new("/nowhere");
        assert!(create("a.txt", nowhere).unwrap_err().to_string().contains(".parquet, .csv or .json"));
        assert!(create("a.csv", folder.path()).unwrap_err().to_string().contains("outside the store"));
        assert!(matches!(create("none/a.csv", nowhere), Err(Error::File { .. })));
        drop(create("a.CSV", nowhere).unwrap());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "deleted");
    }
}
