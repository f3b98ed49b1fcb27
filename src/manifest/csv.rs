//! Manifests that users write as CSV.

use std::path::Path;

use super::{ManifestBuilder, label_from_path};
use crate::error::Error;

/// Reads the columns `path`, `id`, `label` and `bytes` by name; others are passed over.
pub(super) fn read_rows(path: &Path, delimiter: u8) -> Result<ManifestBuilder, Error> {
    let problem = |problem: String| Error::Manifest { path: path.to_path_buf(), problem };
    let file = std::fs::File::open(path).map_err(Error::file("open", path))?;
    let mut reader = ::csv::ReaderBuilder::new().delimiter(delimiter).from_reader(std::io::BufReader::new(file));
    let header = reader.headers().map_err(|error| problem(error.to_string()))?.clone();
    let column = |name: &str| header.iter().position(|title| title.trim_start_matches('\u{feff}') == name);
    let Some(path_column) = column("path") else {
        let titles: Vec<_> = header.iter().collect();
        return Err(problem(format!("it has no column `path`; its first line is `{}`", titles.join(","))));
    };
    let (id_column, label_column, bytes_column) = (column("id"), column("label"), column("bytes"));
    let mut rows = ManifestBuilder::default();
    for record in reader.records() {
        let record = record.map_err(|error| problem(error.to_string()))?;
        let cell = |column: Option<usize>| column.and_then(|column| record.get(column)).unwrap_or("");
        let file = cell(Some(path_column));
        let label = if label_column.is_some() { Some(cell(label_column)) } else { label_from_path(file) };
        let length = cell(bytes_column).parse().unwrap_or(0);
        rows.push(file, Some(cell(id_column)), label, length).map_err(problem)?;
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Manifest;

    fn read(text: &str) -> Result<Manifest, Error> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        Ok(read_rows(file.path(), b',')?.finish().unwrap())
    }

    #[test]
    fn columns_are_found_by_name() {
        let list = read("label,extra,path\ntench,1,\"a, b.jpg\"\n,2,c/d.jpg\n").unwrap();
        assert_eq!((list.path(0), list.label(0)), ("a, b.jpg", Some("tench")));
        assert_eq!((list.path(1), list.label(1)), ("c/d.jpg", None));
        assert_eq!(read("path\nc/d.jpg\n").unwrap().label(0), Some("c"));
    }

    #[test]
    fn what_is_wrong_is_said() {
        assert!(read("file\nx.jpg\n").unwrap_err().to_string().contains("no column `path`"));
        assert!(read("path,label\nx.jpg\n").unwrap_err().to_string().contains("line: 2"));
    }
}
