//! Reads the boxes of crops that a user lists.

use std::path::Path;

use super::crop_choice::CropBoxes;
use crate::shared::digest::digest_bytes;
use crate::shared::error::Error;
use crate::shared::geometry::{GeometryError, UnitBox};
use crate::shared::manifest::{LookupError, Manifest, NameKind, RowIndex};
use crate::shared::printable::printable_path;
use crate::shared::regular_file;

/// Longest file that is read: about ten million boxes.
const MAX_BYTES: u64 = 1 << 30;

/// How far a side may extend past the edge of the image, for sides that were computed in float32. They are moved to the
/// edge.
const EDGE_TOLERANCE: f64 = 1e-6;

const COLUMNS: [&str; 5] = ["id", "x0", "y0", "x1", "y1"];

/// Errors of reading a file of boxes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BoxFileError {
    /// The file is not UTF-8.
    #[error("line {line} is not UTF-8\n  help: save the file as UTF-8")]
    NotUtf8 {
        /// Line number, from 1.
        line: usize,
    },
    /// The CSV is invalid, such as a row with too few fields.
    #[error("{0}\n  help: write one box per line, with the columns id,x0,y0,x1,y1")]
    Csv(#[source] ::csv::Error),
    /// A column is missing.
    #[error("the column `{column}` is missing; found {}\n  help: begin with the line id,x0,y0,x1,y1", .found.join(", "))]
    MissingColumn {
        /// Name of the column.
        column: &'static str,
        /// Columns of the file.
        found: Vec<String>,
    },
    /// A column is present twice.
    #[error("two columns `{column}`\n  help: remove or rename one")]
    DuplicateColumn {
        /// Name of the column.
        column: &'static str,
    },
    /// The file has no boxes.
    #[error("no boxes\n  help: write one box per line, with the columns id,x0,y0,x1,y1")]
    Empty,
    /// A side is not a number.
    #[error("line {line}: {column} is `{value}`, expected a number from 0 to 1")]
    NotANumber {
        /// Line number, from 1.
        line: u64,
        /// Name of the column.
        column: &'static str,
        /// Value of the cell.
        value: String,
    },
    /// A side is not inside the image.
    #[error(
        "line {line}: {column} is {value}, outside of the image, which is 0..1 in both directions\n  help: if these are pixels, \
         divide x by the image's width and y by its height"
    )]
    Outside {
        /// Line number, from 1.
        line: u64,
        /// Name of the column.
        column: &'static str,
        /// Value of the cell.
        value: f64,
    },
    /// A box is empty or reversed.
    #[error("line {line}: {problem}")]
    Geometry {
        /// Line number, from 1.
        line: u64,
        /// What is wrong.
        #[source]
        problem: GeometryError,
    },
    /// No image has this id.
    #[error("line {line}: found no image `{id}`\n  help: {advice}")]
    UnknownId {
        /// Line number, from 1.
        line: u64,
        /// Value of the cell.
        id: String,
        /// What was probably meant.
        advice: String,
    },
    /// An id could refer to two images.
    #[error("line {line}: `{id}` could be the image `{first}` or `{second}`\n  help: write one of these ids")]
    AmbiguousId {
        /// Line number, from 1.
        line: u64,
        /// Value of the cell.
        id: String,
        /// Id of one image.
        first: String,
        /// Id of the other.
        second: String,
    },
    /// Two different files are listed, but only one image matches both.
    #[error(
        "lines {first_line} and {second_line}: `{first}` and `{second}` are different files, but only the image `{id}` matches \
         them\n  help: write ids"
    )]
    OneImage {
        /// Line number of the first, from 1.
        first_line: u64,
        /// Line number of the second, from 1.
        second_line: u64,
        /// First name.
        first: String,
        /// Second name.
        second: String,
        /// Id of the image.
        id: String,
    },
}

/// Reads a CSV file with the columns `id`, `x0`, `y0`, `x1` and `y1`, in any order; others are ignored. Sides are in 0..1 of
/// the image.
///
/// # Errors
/// Returns [`Error::File`] if the file cannot be read, and [`Error::Usage`] with the message of a [`BoxFileError`] if it is
/// not a list of boxes of images of the manifest.
pub fn read_boxes(path: &Path, manifest: &Manifest, index: &RowIndex) -> Result<CropBoxes, Error> {
    let absent = || Error::file("read", path)(std::io::ErrorKind::NotFound.into());
    let bytes = regular_file::read(path, MAX_BYTES)?.or_none("read", path)?.ok_or_else(absent)?;
    let boxes = parse(&bytes, manifest, index)
        .map_err(|problem| Error::Usage(format!("cannot read boxes from {}: {problem}", printable_path(path))))?;
    Ok(CropBoxes::new(boxes, digest_bytes(&bytes)))
}

fn parse(bytes: &[u8], manifest: &Manifest, index: &RowIndex) -> Result<Vec<(usize, UnitBox)>, BoxFileError> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let line = bytes[..error.valid_up_to()].split(|&byte| byte == b'\n').count();
        BoxFileError::NotUtf8 { line }
    })?;
    let text = text.trim_start_matches('\u{feff}');
    let mut reader = ::csv::ReaderBuilder::new().trim(::csv::Trim::Headers).from_reader(text.as_bytes());
    let header = reader.headers().map_err(BoxFileError::Csv)?.clone();
    let columns = COLUMNS.map(|column| column_at(&header, column));
    let [id_at, x0_at, y0_at, x1_at, y1_at] = match columns {
        [Ok(id), Ok(x0), Ok(y0), Ok(x1), Ok(y1)] => [id, x0, y0, x1, y1],
        columns => return Err(columns.into_iter().find_map(Result::err).unwrap_or(BoxFileError::Empty)),
    };
    let (mut ids, mut lines, mut boxes) = (Vec::new(), Vec::new(), Vec::new());
    for record in reader.records() {
        let record = record.map_err(BoxFileError::Csv)?;
        let line = record.position().map_or(0, ::csv::Position::line);
        let side = |column: &'static str, at: usize| side(line, column, record.get(at).unwrap_or_default());
        let [x0, y0, x1, y1] = [side("x0", x0_at)?, side("y0", y0_at)?, side("x1", x1_at)?, side("y1", y1_at)?];
        boxes.push(UnitBox::new(x0, y0, x1, y1).map_err(|problem| BoxFileError::Geometry { line, problem })?);
        ids.push(record.get(id_at).unwrap_or_default().to_owned());
        lines.push(line);
    }
    if boxes.is_empty() {
        return Err(BoxFileError::Empty);
    }
    let rows = rows_of(&ids, &lines, manifest, index)?;
    Ok(rows.into_iter().zip(boxes).collect())
}

fn column_at(header: &::csv::StringRecord, column: &'static str) -> Result<usize, BoxFileError> {
    let mut matching = header.iter().enumerate().filter(|(_, title)| *title == column).map(|(at, _)| at);
    match (matching.next(), matching.next()) {
        (Some(at), None) => Ok(at),
        (Some(_), Some(_)) => Err(BoxFileError::DuplicateColumn { column }),
        (None, _) => Err(BoxFileError::MissingColumn { column, found: header.iter().map(str::to_owned).collect() }),
    }
}

fn side(line: u64, column: &'static str, text: &str) -> Result<f64, BoxFileError> {
    let number = text.trim().parse::<f64>().ok().filter(|number| number.is_finite());
    let value = number.ok_or_else(|| BoxFileError::NotANumber { line, column, value: text.to_owned() })?;
    if !(-EDGE_TOLERANCE..=1.0 + EDGE_TOLERANCE).contains(&value) {
        return Err(BoxFileError::Outside { line, column, value });
    }
    Ok(value.clamp(0.0, 1.0))
}

fn rows_of(ids: &[String], lines: &[u64], manifest: &Manifest, index: &RowIndex) -> Result<Vec<usize>, BoxFileError> {
    let id = |row: usize| manifest.id(row).to_owned();
    let found = index.find_all(manifest, ids, NameKind::IdOrPath).map_err(|error| match error {
        LookupError::Ambiguous(at, two) => BoxFileError::AmbiguousId {
            line: lines[at],
            id: ids[at].clone(),
            first: id(two.first),
            second: id(two.second),
        },
        LookupError::OneImage { first, second, row } => BoxFileError::OneImage {
            first_line: lines[first],
            second_line: lines[second],
            first: ids[first].clone(),
            second: ids[second].clone(),
            id: id(row),
        },
    })?;
    let unknown = |at: usize| {
        let example =
            || format!("an id is the path below the source without its extension, such as `{}`", manifest.id(0));
        let advice = index.advice(manifest, &ids[at]).unwrap_or_else(example);
        BoxFileError::UnknownId { line: lines[at], id: ids[at].clone(), advice }
    };
    found.into_iter().enumerate().map(|(at, row)| row.ok_or_else(|| unknown(at))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::manifest::ManifestEntry;

    fn read(text: &str) -> Result<Vec<(usize, UnitBox)>, String> {
        read_bytes(text.as_bytes())
    }

    fn read_bytes(bytes: &[u8]) -> Result<Vec<(usize, UnitBox)>, String> {
        let entry = |path: &str| ManifestEntry { path: path.to_owned(), ..ManifestEntry::default() };
        let paths = ["n01/a.JPEG", "n01/b.JPEG", "x.png", "x.webp"];
        let manifest = Manifest::from_entries(paths.iter().map(|path| entry(path)).collect()).unwrap();
        let index = RowIndex::new(&manifest);
        parse(bytes, &manifest, &index).map_err(|error| error.to_string())
    }

    #[test]
    fn boxes_are_read_by_column() {
        let expected = vec![(1, UnitBox::new(0.1, 0.2, 0.5, 1.0).unwrap()), (0, UnitBox::WHOLE)];
        assert_eq!(read("id,x0,y0,x1,y1\nn01/b,0.1,0.2,0.5,1\nn01/a,0,0,1,1\n"), Ok(expected.clone()));
        let other =
            "\u{feff}y1, x1,score,y0,x0,id\r\n1.0,.5,7,0.2, 0.1,n01/b.JPEG\r\n1,1.0000001,,-1e-7,0,n01/a.JPEG\r\n";
        assert_eq!(read(other), Ok(expected));
    }

    #[test]
    fn bad_files_are_refused_with_line_and_value() {
        let with = |line: &str| format!("id,x0,y0,x1,y1\nn01/a,0,0,1,1\n{line}\n");
        for (text, message) in [
            (String::new(), "column `id` is missing"),
            ("id,x0,y0,x1,y1\n".into(), "no boxes"),
            ("id,x0,y0,w,h\nn01/a,0,0,1,1\n".into(), "the column `x1` is missing; found id, x0, y0, w, h"),
            ("id,x0,y0,x1,y1,x0\nn01/a,0,0,1,1,0\n".into(), "two columns `x0`"),
            (with("n01/b,0,0,1"), "line: 3"),
            (with("n01/b,nan,0,1,1"), "line 3: x0 is `nan`"),
            (with("n01/b,0,inf,1,1"), "line 3: y0 is `inf`"),
            (with("n01/b,0,0,,1"), "line 3: x1 is ``"),
            (with("n01/b,0,0,1,\u{664}"), "line 3: y1 is `\u{664}`"),
            (with("n01/b,0,0,224,100"), "line 3: x1 is 224, outside of the image"),
            (with("n01/b,-0.1,0,1,1"), "line 3: x0 is -0.1, outside"),
            (with("n01/b,0.5,0,0.5,1"), "line 3: the box is empty"),
            (with("n01/b,0,0.8,1,0.2"), "line 3: the box is reversed, y0"),
            (with("n01/B,0,0,1,1"), "line 3: found no image `n01/B`\n  help: `n01/b` exists"),
            (with(",0,0,1,1"), "line 3: found no image ``"),
            (with("zebra,0,0,1,1"), "such as `n01/a`"),
            (with("x.jpg,0,0,1,1"), "line 3: `x.jpg` could be the image `x.png` or `x.webp`"),
            (
                with("n01/a.JPEG,0,0,1,1\nn01/a.png,0,0,1,1"),
                "lines 3 and 4: `n01/a.JPEG` and `n01/a.png` are different files",
            ),
        ] {
            let refused = read(&text).unwrap_err();
            assert!(refused.contains(message), "{text}: {refused}");
        }
        assert_eq!(read_bytes(b"id,x0\n\xff").unwrap_err(), "line 2 is not UTF-8\n  help: save the file as UTF-8");
    }

    #[test]
    fn the_file_and_its_digest_are_read() {
        let manifest =
            Manifest::from_entries(vec![ManifestEntry { path: "a.jpg".into(), ..ManifestEntry::default() }]).unwrap();
        let index = RowIndex::new(&manifest);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("boxes.csv");
        let text = b"id,x0,y0,x1,y1\na,0,0,1,1\n";
        std::fs::write(&path, text).unwrap();
        let boxes = read_boxes(&path, &manifest, &index).unwrap();
        assert_eq!((boxes.sha256(), boxes.rows()), (&digest_bytes(text), vec![0]));
        std::fs::write(&path, b"id\n").unwrap();
        let refused = read_boxes(&path, &manifest, &index).unwrap_err().to_string();
        assert!(
            refused.starts_with("cannot read boxes from") && refused.contains("boxes.csv: the column"),
            "{refused}"
        );
        assert!(matches!(read_boxes(folder.path(), &manifest, &index), Err(Error::File { .. })));
        assert!(matches!(read_boxes(&folder.path().join("none"), &manifest, &index), Err(Error::File { .. })));
    }
}
