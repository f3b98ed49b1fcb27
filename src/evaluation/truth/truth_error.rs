//! Errors of reading a truth.

use parquet::errors::ParquetError;

use crate::shared::manifest::{PageSizeError, RowBudgetError};
use crate::shared::numbers::thousands;
use crate::shared::printable::printable;
use crate::shared::regular_file::UnusableFile;

/// Reason that a truth cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TruthError {
    /// The path is missing, or is not a regular file, or the file is too long.
    #[error("{0}\n  help: pass a file or folder with true classes or boxes, or `folder` for the folder classes")]
    Unusable(#[source] UnusableFile),
    /// The file has no content.
    #[error("the file is empty\n  help: pass a complete file")]
    Empty,
    /// The file has no entries.
    #[error("no entries\n  help: list at least one image")]
    NoEntries,
    /// The file is not text.
    #[error("byte {offset} is not UTF-8\n  help: write the file as UTF-8")]
    NotUtf8 {
        /// Position of the first such byte.
        offset: usize,
    },
    /// The file is packed, or of a format that is not read.
    #[error(
        "{found} is not a format that can be read\n  help: unpack or convert it; formats are JSON, CSV, TSV, Parquet, PASCAL VOC XML, \
         localization.txt and COCO JSON"
    )]
    UnknownFormat {
        /// What the file seems to be.
        found: &'static str,
    },
    /// A folder contains no annotations.
    #[error(
        "the folder has neither `localization.txt` nor XML files{}\n  help: pass the folder of the annotations, not that of the images",
        example.as_ref().map_or(String::new(), |name| format!("; it has `{}`", printable(name)))
    )]
    NoAnnotations {
        /// Name of one entry.
        example: Option<String>,
    },
    /// A link points to a folder that contains it.
    #[error("`{}` is a link to a folder that contains it\n  help: remove the link", printable(folder))]
    LinkLoop {
        /// Path of the link.
        folder: String,
    },
    /// Folders are nested too deeply, or have too many files.
    #[error("more than {} {what} below the folder\n  help: pass the folder of the annotations", thousands(*limit))]
    TooMany {
        /// What is counted.
        what: &'static str,
        /// Largest number that is read.
        limit: usize,
    },
    /// The file is not valid JSON, or has a value of a different type.
    #[error("cannot be read as {format}: {problem}\n  help: check that the file is complete")]
    Json {
        /// What was recognised.
        format: &'static str,
        /// Message of the parser, with line and column.
        problem: String,
    },
    /// A JSON file has a structure that is not known.
    #[error(
        "a JSON {found} is not a truth\n  help: write {{\"file or id\": [class ids]}}, one object with a file and its classes per line, \
         or pass ReaL's list of lists or COCO's annotations"
    )]
    JsonStructure {
        /// What was found.
        found: &'static str,
    },
    /// The file is not a valid table.
    #[error("cannot be read as a table: {0}\n  help: check that every row has the same number of columns")]
    Csv(#[source] csv::Error),
    /// The file is not a valid Parquet file.
    #[error("cannot be read as Parquet: {0}\n  help: check that the file is complete")]
    Parquet(#[source] ParquetError),
    /// Parquet's reader panicked.
    #[error(
        "cannot be read as Parquet: the reader failed in an unexpected way\n  help: check that the file is complete"
    )]
    ReaderPanicked,
    /// A page of a Parquet file is damaged or too large.
    #[error("cannot be read as Parquet: {0}\n  help: write the file again")]
    PageSize(#[source] PageSizeError),
    /// A Parquet file expands to more rows than its length explains.
    #[error("{0}")]
    RowBudget(#[source] RowBudgetError),
    /// No column names the images, or none has the classes.
    #[error(
        "no column has the {what}; the columns are {}\n  help: add a header, and call the column one of {known}",
        found.iter().map(|name| format!("`{}`", printable(name))).collect::<Vec<_>>().join(", ")
    )]
    MissingColumn {
        /// `images` or `classes`.
        what: &'static str,
        /// Columns of the file.
        found: Vec<String>,
        /// Names that are known.
        known: String,
    },
    /// Several columns could be meant.
    #[error(
        "the columns {} could all have the {what}\n  help: remove or rename all but one",
        columns.iter().map(|name| format!("`{}`", printable(name))).collect::<Vec<_>>().join(", ")
    )]
    AmbiguousColumns {
        /// `images` or `classes`.
        what: &'static str,
        /// These columns.
        columns: Vec<String>,
    },
    /// A Parquet column has a type that is not read.
    #[error(
        "column `{}` has the type {found}, expected {expected}\n  help: write the column as {expected}",
        printable(column)
    )]
    ColumnTypeOf {
        /// Name of the column.
        column: String,
        /// Its type.
        found: String,
        /// Types that are read.
        expected: &'static str,
    },
    /// A Parquet column contains bytes that are not UTF-8.
    #[error("column `{}` contains bytes that are not UTF-8\n  help: write the file as UTF-8", printable(column))]
    ColumnNotUtf8 {
        /// Name of the column.
        column: String,
    },
    /// An entry does not name its image.
    #[error("entry {entry} does not name an image\n  help: write its file name, path or id")]
    NoName {
        /// Position of the entry, from 1.
        entry: usize,
    },
    /// A list in a cell is damaged.
    #[error(
        "`{}`: `{}` is not a list of classes\n  help: write it as `1 2` or `[1, 2]`",
        printable(entry),
        printable(cell)
    )]
    Cell {
        /// Name of the entry.
        entry: String,
        /// Beginning of the cell.
        cell: String,
    },
    /// A class id is outside of the class list.
    #[error(
        "`{}`: class id {id}, but the teacher has {} classes, 0 to {}\n  help: pass a truth with the classes of this store's teacher",
        printable(entry),
        thousands(*classes),
        classes.saturating_sub(1)
    )]
    ClassId {
        /// Name of the entry.
        entry: String,
        /// The id.
        id: i64,
        /// Number of classes.
        classes: usize,
    },
    /// A name is not that of a class.
    #[error(
        "`{}`: `{}` is none of the {} classes of the teacher ({})\n  help: pass a truth with the classes of this store's teacher, as \
         ids, folder names or names of its class list",
        printable(entry),
        printable(name),
        thousands(*classes),
        printable(list)
    )]
    ClassName {
        /// Name of the entry.
        entry: String,
        /// The name.
        name: String,
        /// Number of classes.
        classes: usize,
        /// Origin of the class list.
        list: String,
    },
    /// A name could be that of two classes.
    #[error(
        "`{}`: `{}` could mean two classes{}\n  help: write class ids as JSON or Parquet integers, or folder names",
        printable(entry),
        printable(name),
        if *is_number { ", the one with this name and the one with this id" } else { "" }
    )]
    AmbiguousClass {
        /// Name of the entry.
        entry: String,
        /// The name.
        name: String,
        /// Whether the name is a number.
        is_number: bool,
    },
    /// An entry has more classes than any image.
    #[error("`{}`: more than {} classes\n  help: check that the file lists classes", printable(entry), thousands(*limit))]
    TooManyClasses {
        /// Name of the entry.
        entry: String,
        /// Largest number that is read.
        limit: usize,
    },
    /// A name could be that of two images.
    #[error(
        "`{}` could be the image `{}` or `{}`\n  help: write names as the store has them, with their folders",
        printable(name),
        printable(first),
        printable(second)
    )]
    AmbiguousImage {
        /// The name.
        name: String,
        /// Id of the first image.
        first: String,
        /// Id of the second image.
        second: String,
    },
    /// Two entries are about the same image, and differ.
    #[error(
        "`{}` is the image `{}`, which an entry before it describes differently: {before} there, {now} here\n  help: keep one entry \
         for each image",
        printable(name),
        printable(id)
    )]
    Repeated {
        /// Name of the second entry.
        name: String,
        /// Id of the image.
        id: String,
        /// Values of the first entry.
        before: String,
        /// Values of the second entry.
        now: String,
    },
    /// The truth and the store are about different images.
    #[error(
        "no image in common: the truth has {} entries, such as `{}`; the store has {} images, such as `{}`\n  help: pass a truth for \
         the images of this store, with their ids, paths or file names",
        thousands(*entries),
        printable(entry),
        thousands(*images),
        printable(image)
    )]
    NothingInCommon {
        /// Number of entries.
        entries: usize,
        /// Name of the first one.
        entry: String,
        /// Number of images.
        images: usize,
        /// Id of the first one.
        image: String,
    },
    /// `ReaL`'s list has a different length.
    #[error(
        "a list of {} lists; ReaL's has {}, one for each validation image of ImageNet\n  help: pass the complete `real.json`, or a JSON \
         object with a name for each list",
        thousands(*found),
        thousands(*expected)
    )]
    RealLength {
        /// Number of lists.
        found: usize,
        /// Number of validation images.
        expected: usize,
    },
    /// The store has none of the validation images that `ReaL`'s list is about.
    #[error(
        "ReaL's lists are in the order of ImageNet's validation files, and the store has no name such as `ILSVRC2012_val_00000001`; it \
         has `{}`\n  help: pass ReaL's list for stores of ImageNet's validation images, with their original names",
        printable(example)
    )]
    NoValidationNames {
        /// Id of one image.
        example: String,
    },
    /// A box is not one, or is outside of its image.
    #[error(
        "`{}`: the box x0 = {}, y0 = {}, x1 = {}, y1 = {} {problem} (image: {width_pixels}x{height_pixels} pixels, width x height)\n  \
         help: correct or remove the box",
        printable(entry),
        sides[0],
        sides[1],
        sides[2],
        sides[3]
    )]
    BadBox {
        /// Name of the entry.
        entry: String,
        /// What is wrong.
        problem: &'static str,
        /// The box in pixels, `x0, y0, x1, y1`.
        sides: [f64; 4],
        /// Width of the image.
        width_pixels: u32,
        /// Height of the image.
        height_pixels: u32,
    },
    /// An image has no size.
    #[error(
        "`{}`: the size of the image is missing or 0\n  help: add its width and height in pixels",
        printable(entry)
    )]
    NoSize {
        /// Name of the entry.
        entry: String,
    },
    /// A line of wsolevaluation's files is not one.
    #[error(
        "line {line}: `{}`, expected {expected}\n  help: pass the metadata folder of wsolevaluation",
        printable(text)
    )]
    Line {
        /// Line number, from 1.
        line: usize,
        /// Beginning of the line.
        text: String,
        /// Fields of a line.
        expected: &'static str,
    },
    /// An image is listed twice with different values.
    #[error("`{}` is listed twice, with different values\n  help: list each image once", printable(name))]
    ListedTwice {
        /// Name of the image.
        name: String,
    },
    /// The boxes are masks.
    #[error(
        "the lines name masks, such as `{}`, not boxes\n  help: pass a `localization.txt` of boxes",
        printable(example)
    )]
    Masks {
        /// Path of a mask.
        example: String,
    },
    /// An image is in one of wsolevaluation's files, and not in the other.
    #[error(
        "`{}` has boxes, but is not listed in `{file}`\n  help: pass the complete metadata folder",
        printable(name)
    )]
    NotListed {
        /// Name of the image.
        name: String,
        /// The other file.
        file: &'static str,
    },
    /// Annotations of COCO refer to something that is not listed.
    #[error("{what} {} is not listed in `{list}`\n  help: pass a complete file of instances", printable(id))]
    CocoReference {
        /// `image` or `category`.
        what: &'static str,
        /// Its id.
        id: String,
        /// The list in which it should be.
        list: &'static str,
    },
    /// An id of COCO is listed twice.
    #[error("{what} {} is listed twice\n  help: list each id once", printable(id))]
    CocoRepeated {
        /// `image` or `category`.
        what: &'static str,
        /// Its id.
        id: String,
    },
    /// An annotation of COCO has no box.
    #[error(
        "annotation {annotation} (from 0) has no `bbox`\n  help: pass a file of instances, not of captions or panoptic segments"
    )]
    CocoWithoutBox {
        /// Position of the annotation.
        annotation: usize,
    },
    /// An XML file is not an annotation.
    #[error("not a PASCAL VOC annotation: {0}\n  help: pass a folder that has only annotations of images as XML")]
    Xml(String),
    /// The data set has no folder classes.
    #[error("the images have no folder classes\n  help: pass a file with true classes or boxes")]
    NoFolderClasses,
    /// No folder is named after a class.
    #[error(
        "no folder name is a class of the teacher ({}); a folder is `{}`\n  help: pass a file with true classes or boxes, or label with a \
         card whose `classes` lists the folder names",
        printable(list),
        printable(example)
    )]
    OtherFolderClasses {
        /// Origin of the class list.
        list: String,
        /// Name of one folder.
        example: String,
    },
}

impl From<ParquetError> for TruthError {
    fn from(problem: ParquetError) -> Self {
        Self::Parquet(problem)
    }
}

impl From<csv::Error> for TruthError {
    fn from(problem: csv::Error) -> Self {
        Self::Csv(problem)
    }
}

/// Returns the beginning of untrusted text, for a message.
pub(super) fn beginning(text: &str) -> String {
    const MAX_CHARS: usize = 80;
    text.chars().take(MAX_CHARS).collect()
}
