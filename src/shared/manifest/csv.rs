//! Manifests that users write as CSV.

use std::path::Path;

use super::columns::{self, SPLIT, SplitCounts};
use super::{ManifestBuilder, label_from_path};
use crate::shared::error::Error;

/// Reads the columns `path`, `id`, `label` and `bytes` by name, and counts the values of `split`; others are passed over.
pub(super) fn read_rows(path: &Path, delimiter: u8) -> Result<(ManifestBuilder, SplitCounts), Error> {
    let problem = |problem: String| Error::Manifest { path: path.to_path_buf(), problem: problem.into() };
    let file = std::fs::File::open(path).map_err(Error::file("open", path))?;
    let mut reader = ::csv::ReaderBuilder::new().delimiter(delimiter).from_reader(std::io::BufReader::new(file));
    let header = reader.headers().map_err(|error| problem(error.to_string()))?.clone();
    let titles: Vec<&str> = header.iter().map(|title| title.trim_start_matches('\u{feff}')).collect();
    columns::check(&titles).map_err(problem)?;
    let column = |name: &str| titles.iter().position(|title| *title == name);
    let Some(path_column) = column("path") else {
        return Err(problem(format!("it has no column `path`; its first line is `{}`", titles.join(","))));
    };
    let (id_column, label_column, bytes_column) = (column("id"), column("label"), column("bytes"));
    let split_column = titles.iter().position(|title| title.trim().eq_ignore_ascii_case(SPLIT));
    let (mut rows, mut splits) = (ManifestBuilder::default(), SplitCounts::new());
    for (row, record) in reader.records().enumerate() {
        let in_row = |text: String| problem(format!("row {row}: {text}"));
        let record = record.map_err(|error| problem(error.to_string()))?;
        let cell = |column: Option<usize>| column.and_then(|column| record.get(column)).unwrap_or("");
        let file = cell(Some(path_column));
        let label = if label_column.is_some() { Some(cell(label_column)) } else { label_from_path(file) };
        columns::check_label(label.unwrap_or_default(), label_from_path(file)).map_err(in_row)?;
        let length = columns::length(cell(bytes_column)).map_err(in_row)?;
        if split_column.is_some() {
            *splits.entry(cell(split_column).trim().to_owned()).or_default() += 1;
        }
        rows.push(file, Some(cell(id_column)), label, length).map_err(problem)?;
    }
    Ok((rows, splits))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::manifest::Manifest;

    fn read(text: &str) -> Result<Manifest, Error> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        Ok(read_rows(file.path(), b',')?.0.finish().unwrap())
    }

    #[test]
    fn columns_are_found_by_name() {
        let list = read("label,extra,path\ntench,1,\"a, b.jpg\"\n,2,c/d.jpg\n").unwrap();
        assert_eq!((list.path(0), list.label(0)), ("a, b.jpg", Some("tench")));
        assert_eq!((list.path(1), list.label(1)), ("c/d.jpg", None));
        assert_eq!(read("path\nc/d.jpg\n").unwrap().label(0), Some("c"));
    }

    #[test]
    fn folders_with_spaces_are_classes() {
        let list = read("path,label\n n01 /x.jpg, n01 \n").unwrap();
        assert_eq!(list.label(0), Some(" n01 "));
    }

    #[test]
    fn splits_are_counted() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "path,Split\na.jpg,train\nb.jpg,train\nc.jpg,test\n").unwrap();
        let (_, splits) = read_rows(file.path(), b',').unwrap();
        assert_eq!(splits, [("test".to_owned(), 1), ("train".to_owned(), 2)].into());
    }

    #[test]
    fn what_is_wrong_is_said() {
        assert!(read("file\nx.jpg\n").unwrap_err().to_string().contains("no column `path`"));
        assert!(read("path,label\nx.jpg\n").unwrap_err().to_string().contains("line: 2"));
        assert!(read("path, label\nx.jpg,n01\n").unwrap_err().to_string().contains("` label`"));
        assert!(read("path,label\na/x.jpg, n01\n").unwrap_err().to_string().contains("row 0: the label ` n01`"));
        assert!(read("path,bytes\na/x.jpg,1.5\n").unwrap_err().to_string().contains("row 0: bytes is `1.5`"));
    }
}
