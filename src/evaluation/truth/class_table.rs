//! Truths as CSV or TSV.

use csv::{ReaderBuilder, StringRecord};

use super::table_columns::TruthColumns;
use super::truth_builder::TruthBuilder;
use super::truth_error::TruthError;

/// Reads a table of images and classes. A tab in the first line makes it TSV.
pub(super) fn read_table(text: &str, truth: &mut TruthBuilder<'_>) -> Result<(), TruthError> {
    let first_line = text.lines().next().unwrap_or_default();
    let delimiter = if first_line.contains('\t') { b'\t' } else { b',' };
    let mut reader = ReaderBuilder::new().has_headers(false).delimiter(delimiter).from_reader(text.as_bytes());
    let mut record = StringRecord::new();
    if !reader.read_record(&mut record)? {
        return Err(TruthError::Empty);
    }
    let is_multilabel = delimiter == b'\t' && is_multilabel_imagenet(&record);
    let columns = if is_multilabel {
        TruthColumns { image: 0, classes: 2 }
    } else {
        TruthColumns::find(&record.iter().collect::<Vec<_>>())?
    };
    let mut has_entry = is_multilabel;
    loop {
        if has_entry {
            truth.add_cell(&record[columns.image], &record[columns.classes])?;
        }
        has_entry = true;
        if !reader.read_record(&mut record)? {
            return Ok(());
        }
    }
}

/// Returns whether this is a line of MultiLabel-ImageNet's annotations, which have no header: file, folder class, classes
/// and as many probabilities.
fn is_multilabel_imagenet(record: &StringRecord) -> bool {
    let fields: Vec<&str> = record.iter().collect();
    let &[file, folder_class, classes, probabilities] = fields.as_slice() else { return false };
    let is_id = |text: &str| text.parse::<u32>().is_ok();
    let is_probability = |text: &str| text.parse::<f64>().is_ok_and(|value| (0.0..=1.0).contains(&value));
    let classes: Vec<&str> = classes.split(',').filter(|item| !item.is_empty()).collect();
    let probabilities: Vec<&str> = probabilities.split(',').filter(|item| !item.is_empty()).collect();
    // `relabel export` writes -1 for an image that is not filed under a class.
    file.contains('.')
        && (is_id(folder_class) || folder_class == "-1")
        && classes.len() == probabilities.len()
        && classes.iter().all(|item| is_id(item))
        && probabilities.iter().all(|item| is_probability(item))
}
