//! Reads the boxes of tiles that a user lists.

use std::path::Path;

use serde::Deserialize;
use thiserror::Error as ThisError;

use crate::shared::error::Error;
use crate::shared::geometry::{GeometryError, UnitBox};
use crate::shared::printable::printable_path;
use crate::shared::regular_file;

/// Longest file that is read: many times the largest number of tiles.
const MAX_BYTES: u64 = 1 << 20;

/// One line of the file. Other columns are ignored.
#[derive(Deserialize)]
struct BoxLine {
    x0: f64,
    y0: f64,
    x1: f64,
    y1: f64,
}

/// Reason that a file is not a list of boxes.
#[derive(Debug, ThisError)]
enum BoxListError {
    #[error("{0}\n  help: begin with the line x0,y0,x1,y1, and write one tile per line, in 0..1 of the image")]
    Csv(#[from] csv::Error),
    #[error("line {line}: {problem}")]
    NotABox {
        line: u64,
        #[source]
        problem: GeometryError,
    },
}

/// Reads a CSV file with the columns `x0`, `y0`, `x1` and `y1`, in any order: the boxes of tiles in `unit` coordinates.
///
/// # Errors
/// Returns [`Error::File`] if the file cannot be read, and [`Error::Usage`] if it is not a list of boxes.
pub fn read_tile_boxes(path: &Path) -> Result<Vec<UnitBox>, Error> {
    let absent = || Error::file("read", path)(std::io::ErrorKind::NotFound.into());
    let bytes = regular_file::read(path, MAX_BYTES)?.or_none("read", path)?.ok_or_else(absent)?;
    parse(&bytes).map_err(|problem| Error::Usage(format!("cannot read tiles from {}: {problem}", printable_path(path))))
}

fn parse(bytes: &[u8]) -> Result<Vec<UnitBox>, BoxListError> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(bytes);
    let headers = reader.headers()?.clone();
    let mut boxes = Vec::new();
    for record in reader.records() {
        let record = record?;
        let BoxLine { x0, y0, x1, y1 } = record.deserialize(Some(&headers))?;
        let line = record.position().map_or(0, csv::Position::line);
        boxes.push(UnitBox::new(x0, y0, x1, y1).map_err(|problem| BoxListError::NotABox { line, problem })?);
    }
    Ok(boxes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_found_by_name() {
        let boxes = parse(b"\xef\xbb\xbfname, y0,x0 ,x1,y1\r\na,0.25,0, 0.5,1\n").unwrap();
        assert_eq!(boxes, [UnitBox::new(0.0, 0.25, 0.5, 1.0).unwrap()]);
        assert_eq!(parse(b"x0,y0,x1,y1\n").unwrap(), []);
    }

    #[test]
    fn other_files_are_refused_with_the_line() {
        for (text, expected) in [
            (&b"0,0,1,1\n0,0,0.5,0.5\n"[..], "missing field `x0`"),
            (b"x0,y0,x1,y1\n0,0,1\n", "line: 2"),
            (b"x0,y0,x1,y1\n0,0,0.5,0.5\n0,a,1,1\n", "line: 3"),
            (b"x0,y0,x1,y1\n0.5,0,0.5,1\n", "line 2: "),
            (b"\x89PNG\xff\xfe\n\xff\xff,1\n", "help: begin with the line"),
        ] {
            let message = parse(text).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }
}
