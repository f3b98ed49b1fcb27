//! Errors of teacher cards.

use std::path::{Path, PathBuf};

use super::Origin;
use crate::shared::error::Error;
use crate::shared::geometry::InputSize;
use crate::shared::printable::{printable, printable_path};

/// Reason a teacher card, or a card in the metadata of a model, was rejected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CardError {
    /// The card is not TOML.
    #[error("{}", .0.to_string().trim_end().replace('\n', "\n  "))]
    Syntax(#[source] toml::de::Error),
    /// A value has the wrong type or is out of range.
    #[error("{key} is {value}: {problem}")]
    Value {
        /// The key.
        key: String,
        /// Value of the key.
        value: toml::Value,
        /// Underlying error.
        #[source]
        problem: CardValueError,
    },
    /// The values do not fit together.
    #[error("{}", .0.to_string().trim_end())]
    Values(#[source] toml::de::Error),
    /// A key is a misspelling of one that is read.
    #[error(
        "the key `{key}` is not known; did you mean `{meant}`?\n  help: rename it to `{meant}`, or to a name that no key \
         resembles"
    )]
    MisspelledKey {
        /// The key.
        key: String,
        /// The key that was probably meant.
        meant: &'static str,
    },
    /// A key of the card is inside a table.
    #[error(
        "the key `{key}` is inside the table `[{table}]`, as `{table}.{key}`, and would be ignored\n  help: move it \
         above `[{table}]`"
    )]
    KeyInTable {
        /// The key.
        key: &'static str,
        /// The table.
        table: String,
    },
    /// A value in the metadata of a model is not usable.
    #[error("the metadata `{key}` is {value}: {problem}")]
    Metadata {
        /// The key, with its prefix.
        key: String,
        /// Value of the key.
        value: toml::Value,
        /// Underlying error.
        #[source]
        problem: CardValueError,
    },
    /// A key in the metadata of a model is a misspelling of one that is read.
    #[error("the metadata `{key}` is not known; did you mean `{meant}`?\n  help: rename it to `{meant}`")]
    MisspelledMetadata {
        /// The key.
        key: String,
        /// The key that was probably meant, with its prefix.
        meant: String,
    },
    /// Neither the card nor the graph determines the input size.
    #[error(
        "the input size is unknown: the graph accepts any, and no card gives one\n  help: use --input-size 224 (or 475x640, \
         height x width), or add `input_size = [224, 224]` to the card"
    )]
    UnknownInputSize,
    /// The graph has a different input size.
    #[error(
        "input_size is {size} ({origin}), but the graph of {} accepts only {}x{}\n  help: use that size, or export the teacher \
         with dynamic height and width",
        printable_path(teacher), side(*height), side(*width)
    )]
    InputSizeMismatch {
        /// The size of the card.
        size: InputSize,
        /// Where it came from.
        origin: Origin,
        /// The teacher's file.
        teacher: PathBuf,
        /// The graph's height, if it is fixed.
        height: Option<usize>,
        /// The graph's width, if it is fixed.
        width: Option<usize>,
    },
    /// A mean is not a mean of `x / 255`.
    #[error("mean contains {value}, which is not a mean of x/255\n  help: give values from 0 to 1, about 0.5")]
    MeanOutOfRange {
        /// The value.
        value: f64,
    },
    /// A standard deviation is not positive and finite.
    #[error(
        "std contains {value}, which is not positive and finite\n  help: give the standard deviation of x/255, about 0.2"
    )]
    StdOutOfRange {
        /// The value.
        value: f64,
    },
    /// Mean or standard deviation are of pixels from 0 to 255.
    #[error(
        "mean {mean:?} and std {std:?} look like values for pixels of 0 to 255\n  help: give them for x/255, that is, \
         divided by 255"
    )]
    NotDividedBy255 {
        /// The mean.
        mean: [f64; 3],
        /// The standard deviation.
        std: [f64; 3],
    },
    /// The class list is a misspelling of an embedded one.
    #[error(
        "classes is `{}` ({origin}), which is not a file\n  help: the list of ImageNet is named `{meant}`",
        printable(name)
    )]
    MisspelledClassList {
        /// The value of `classes`.
        name: String,
        /// Where it came from.
        origin: Origin,
        /// The list that was probably meant.
        meant: &'static str,
    },
    /// The class list is not a regular file.
    #[error(
        "classes is `{}` ({origin}), which is not a regular file\n  help: pass a text file with one class per line",
        printable(name)
    )]
    ClassListNotAFile {
        /// The value of `classes`.
        name: String,
        /// Where it came from.
        origin: Origin,
    },
    /// The class list is outside the folder of the card.
    #[error(
        "classes is `{}` ({origin}), which is outside the folder of the card\n  help: copy the list itself, and no link to it, \
         next to the card; or pass it with --classes",
        printable(name)
    )]
    ClassListOutside {
        /// The value of `classes`.
        name: String,
        /// Where it came from.
        origin: Origin,
    },
    /// The class list does not match the outputs of the teacher.
    #[error(
        "the class list {list} ({origin}) has {classes} classes, but the teacher has {outputs} outputs\n  help: set the list \
         that it was trained with: `classes = \"my_classes.txt\"`, one class per line in output order"
    )]
    ClassCountMismatch {
        /// The list.
        list: String,
        /// Where its name came from.
        origin: Origin,
        /// Classes of the list.
        classes: usize,
        /// Outputs of the teacher.
        outputs: usize,
    },
}

/// Reason the value of a key was rejected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CardValueError {
    /// The type is wrong, or the value is out of range.
    #[error("{reason}\n  help: {key} is {expected}")]
    Invalid {
        /// The key.
        key: &'static str,
        /// The reason, as the deserialiser reports it.
        reason: String,
        /// Accepted values.
        expected: &'static str,
    },
    /// The key is read from cards only.
    #[error("not read from metadata\n  help: write `{key}` into the card")]
    NotInMetadata {
        /// The key.
        key: &'static str,
    },
    /// Metadata refer to a class list that is a file.
    #[error("metadata can only refer to the class list \"imagenet-1k\"\n  help: set `classes` to the file in the card")]
    ClassListInMetadata,
}

impl CardError {
    /// The [`Error::Card`] of the card at `path`.
    pub(super) fn in_card(self, path: &Path) -> Error {
        Error::Card { path: path.to_path_buf(), problem: self.into() }
    }
}

fn side(fixed: Option<usize>) -> String {
    fixed.map_or("any".to_owned(), |side| side.to_string())
}
