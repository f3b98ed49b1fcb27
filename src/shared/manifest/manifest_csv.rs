//! Manifests that users write as CSV.

use std::path::Path;

use super::image_list::folder_class_from_path;
use super::list_columns::{SPLIT, SplitCounts, check_column_names, check_label, parse_length};
use super::manifest_builder::ManifestBuilder;
use super::manifest_error::ManifestError;
use crate::shared::error::Error;

/// Reads the columns `path`, `id`, `label` and `bytes` by name, and counts the values of `split`; others are ignored.
pub(super) fn read_csv(path: &Path, delimiter: u8) -> Result<(ManifestBuilder, SplitCounts), Error> {
    let file = std::fs::File::open(path).map_err(Error::file("open", path))?;
    read_rows(std::io::BufReader::new(file), delimiter)
        .map_err(|problem| Error::Manifest { path: path.to_path_buf(), problem: problem.into() })
}

fn read_rows(file: impl std::io::Read, delimiter: u8) -> Result<(ManifestBuilder, SplitCounts), ManifestError> {
    let mut reader = ::csv::ReaderBuilder::new().delimiter(delimiter).from_reader(file);
    let header = reader.headers().map_err(ManifestError::Csv)?.clone();
    let titles: Vec<&str> = header.iter().map(|title| title.trim_start_matches('\u{feff}')).collect();
    check_column_names(&titles)?;
    let column = |name: &str| titles.iter().position(|title| *title == name);
    let Some(path_column) = column("path") else {
        let columns = titles.into_iter().map(str::to_owned).collect();
        return Err(ManifestError::MissingPathColumn { columns });
    };
    let (id_column, label_column, bytes_column) = (column("id"), column("label"), column("bytes"));
    let split_column = titles.iter().position(|title| title.trim().eq_ignore_ascii_case(SPLIT));
    let (mut rows, mut splits) = (ManifestBuilder::default(), SplitCounts::new());
    for (row, record) in reader.records().enumerate() {
        let record = record.map_err(ManifestError::Csv)?;
        let cell = |column: Option<usize>| column.and_then(|column| record.get(column)).unwrap_or("");
        let path = cell(Some(path_column));
        let folder = folder_class_from_path(path);
        let label = if label_column.is_some() { Some(cell(label_column)) } else { folder };
        check_label(row, label.unwrap_or_default(), folder)?;
        let length = parse_length(row, cell(bytes_column))?;
        if split_column.is_some() {
            *splits.entry(cell(split_column).trim().to_owned()).or_default() += 1;
        }
        rows.push(path, Some(cell(id_column)), label, length)?;
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
        Ok(read_csv(file.path(), b',')?.0.finish().unwrap())
    }

    #[test]
    fn columns_are_found_by_name() {
        let list = read("label,extra,path\ntench,1,\"a, b.jpg\"\n,2,c/d.jpg\n").unwrap();
        assert_eq!((list.path(0), list.folder_class(0)), ("a, b.jpg", Some("tench")));
        assert_eq!((list.path(1), list.folder_class(1)), ("c/d.jpg", None));
        assert_eq!(read("path\nc/d.jpg\n").unwrap().folder_class(0), Some("c"));
    }

    #[test]
    fn folders_with_spaces_are_classes() {
        let list = read("path,label\n n01 /x.jpg, n01 \n").unwrap();
        assert_eq!(list.folder_class(0), Some(" n01 "));
    }

    #[test]
    fn splits_are_counted() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "path,Split\na.jpg,train\nb.jpg,train\nc.jpg,test\n").unwrap();
        let (_, splits) = read_csv(file.path(), b',').unwrap();
        assert_eq!(splits, [("test".to_owned(), 1), ("train".to_owned(), 2)].into());
    }

    #[test]
    fn problems_name_column_and_row() {
        assert!(read("file\nx.jpg\n").unwrap_err().to_string().contains("column `path` is missing"));
        assert!(read("path,label\nx.jpg\n").unwrap_err().to_string().contains("line: 2"));
        assert!(read("path, label\nx.jpg,n01\n").unwrap_err().to_string().contains("` label`"));
        assert!(read("path,label\na/x.jpg, n01\n").unwrap_err().to_string().contains("row 0: the label ` n01`"));
        assert!(read("path,bytes\na/x.jpg,1.5\n").unwrap_err().to_string().contains("row 0: bytes is `1.5`"));
    }
}
