//! The two kinds of error: [`Error`] stops a run; [`ImageError`] is recorded, and the run continues.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::shared::printable::{printable, printable_lines, printable_path};

/// The cause of an [`Error`]: the error of one area (a manifest, a card, a key, ...) or of another library.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// An error that stops a run. Each message describes what failed and, if possible, what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An operation on a file or folder failed.
    #[error("cannot {action} {}: {source}", printable_path(path))]
    File {
        /// The operation, as a verb: "read", "create", "rename".
        action: &'static str,
        /// Path of the file or folder.
        path: PathBuf,
        /// Error of the operating system.
        source: io::Error,
    },
    /// A source of images cannot be opened or listed.
    #[error("source {}: {}", printable_path(path), cause(problem))]
    Source {
        /// Path of the folder or archive, or the pattern.
        path: PathBuf,
        /// Underlying error.
        #[source]
        problem: Cause,
    },
    /// A manifest cannot be read, or is invalid.
    #[error("manifest {}: {}", printable_path(path), cause(problem))]
    Manifest {
        /// Path of the manifest.
        path: PathBuf,
        /// Underlying error.
        #[source]
        problem: Cause,
    },
    /// A teacher card cannot be read or contradicts the teacher.
    #[error("teacher card {}: {}", printable_path(path), cause(problem))]
    Card {
        /// Path of the card.
        path: PathBuf,
        /// Underlying error.
        #[source]
        problem: Cause,
    },
    /// A teacher's file is not an ONNX model, or is one that cannot produce label maps.
    #[error("teacher {}: {}\n  help: {}", printable_path(path), cause(problem), printable_lines(advice))]
    Teacher {
        /// Path of the teacher.
        path: PathBuf,
        /// Underlying error.
        #[source]
        problem: Cause,
        /// Advice for the user.
        advice: String,
    },
    /// A teacher is a classifier without a score for each cell, so it can give predictions but no label maps.
    #[error("teacher {}: {}\n  help: {}", printable_path(path), cause(problem), printable_lines(advice))]
    NoCells {
        /// Path of the teacher.
        path: PathBuf,
        /// The reason, with the node.
        #[source]
        problem: Cause,
        /// Advice for the user.
        advice: String,
    },
    /// The rewritten teacher differs from the reference, the unmodified one.
    #[error(
        "teacher {}: cannot verify the rewrite, nothing was labelled: {}\n  help: {}",
        printable_path(path),
        cause(problem),
        printable_lines(advice)
    )]
    RewriteCheck {
        /// Path of the teacher.
        path: PathBuf,
        /// Which comparison failed, with both values.
        #[source]
        problem: Cause,
        /// Advice for the user.
        advice: String,
    },
    /// ONNX Runtime is missing or cannot be loaded.
    #[error("{}", printable_lines(.0))]
    Runtime(String),
    /// ONNX Runtime failed to load or to run the teacher.
    #[error("ONNX Runtime cannot {action}: {}", printable_lines(message))]
    Inference {
        /// The operation, as a verb with its object: "load the teacher".
        action: &'static str,
        /// ONNX Runtime's message.
        message: String,
    },
    /// The device has too little memory.
    #[error(
        "the device's memory is too small to {action}: {}\n  help: use a smaller --batch (in a new store), or close other \
         programs that use the device",
        printable_lines(message)
    )]
    DeviceMemory {
        /// The operation, as a verb with its object: "load the teacher".
        action: &'static str,
        /// ONNX Runtime's message.
        message: String,
    },
    /// Too many images failed for the run to be useful.
    #[error(
        "stopped: {count} images {} failed, the last one {} ({error})\n  help: check that the source is available and intact. \
         The same command resumes; with --retry-failed it labels the failed images again; --max-failures sets how many \
         failures are accepted",
        if *in_a_row { "in a row" } else { "of this run" },
        printable(path)
    )]
    TooManyFailures {
        /// Number of failures.
        count: usize,
        /// Whether they are consecutive.
        in_a_row: bool,
        /// The last one's path below the source.
        path: String,
        /// Reason of the last one.
        error: ImageError,
    },
    /// A device is missing or cannot be used.
    #[error("device {}: {}", printable(device), cause(problem))]
    Device {
        /// Device as given by the caller.
        device: String,
        /// Underlying error.
        #[source]
        problem: Cause,
    },
    /// The store was created with different settings.
    #[error(
        "store {} was created with different settings, and mixing is refused:\n{}\n  help: {advice}",
        printable_path(path),
        list(differences)
    )]
    SettingsDiffer {
        /// Path or URL of the store.
        path: PathBuf,
        /// One line per setting that differs, with both values.
        differences: Vec<String>,
        /// Advice for the user.
        advice: &'static str,
    },
    /// Stores that should be merged do not fit together, or are damaged.
    #[error("cannot merge the stores, and nothing was written:\n{}\n  help: {advice}", list(problems))]
    Merge {
        /// One line per obstacle: the stores, what differs, and both values.
        problems: Vec<String>,
        /// Advice for the user.
        advice: &'static str,
    },
    /// A store is missing or damaged, or of an unknown format version.
    #[error("store {}: {}", printable_path(path), cause(problem))]
    Store {
        /// Path or URL of the store.
        path: PathBuf,
        /// Underlying error.
        #[source]
        problem: Cause,
    },
    /// A remote store or release cannot be reached, refuses access, or returns something unexpected.
    #[error("{}: {}", printable(location), cause(problem))]
    Remote {
        /// URL, without credentials.
        location: String,
        /// Underlying error.
        #[source]
        problem: Cause,
    },
    /// A release cannot be created, delivered or used.
    #[error("release {}: {}", printable(location), cause(problem))]
    Release {
        /// Path or URL of the release.
        location: String,
        /// Underlying error.
        #[source]
        problem: Cause,
    },
    /// A key cannot be used to sign, or to verify signatures.
    #[error("key {}: {}", printable_path(path), cause(problem))]
    Key {
        /// Path of the key.
        path: PathBuf,
        /// Underlying error.
        #[source]
        problem: Cause,
    },
    /// A row has no labels.
    #[error("store {}: row {row} has no labels: {}", printable_path(store), printable_lines(reason))]
    NotLabelled {
        /// Path or URL of the store.
        store: PathBuf,
        /// Row in the manifest.
        row: usize,
        /// Reason, as shown to the user.
        reason: String,
    },
    /// The operation needs label maps, and the store has predictions only.
    #[error(
        "cannot {action}: store {} has predictions only, and no label maps\n  help: use the predictions of images and tiles, or label with a teacher that has cells",
        printable_path(store)
    )]
    NoLabelMaps {
        /// The operation.
        action: &'static str,
        /// Path or URL of the store.
        store: PathBuf,
    },
    /// No image with this name was found.
    #[error("store {}: found no image `{}`{}", printable_path(store), printable(name), unknown_name_details(name, advice.as_deref(), example))]
    UnknownId {
        /// Path or URL of the store.
        store: PathBuf,
        /// The name that was looked up.
        name: String,
        /// Suggestion of what was probably meant.
        advice: Option<String>,
        /// An id that exists.
        example: String,
    },
    /// A name could refer to two images, or two names to only one.
    #[error("store {}: {}", printable_path(store), cause(problem))]
    AmbiguousName {
        /// Path or URL of the store.
        store: PathBuf,
        /// The names, and the images that they could refer to.
        #[source]
        problem: Cause,
    },
    /// Threads cannot be started, because of a temporary shortage or a limit of the session.
    #[error(
        "cannot start {count} threads: {problem}\n  help: close other programs, use a smaller --threads, \
         or raise the limit of processes (ulimit -u)"
    )]
    Threads {
        /// Number of threads.
        count: usize,
        /// Error of the operating system.
        #[source]
        problem: Cause,
    },
    /// Memory, a signal handler or another resource of the host is unavailable; trying again may succeed.
    #[error("cannot {action}: {}\n  help: close other programs, or try again later", cause(problem))]
    Resource {
        /// The operation, as a verb with its object: "watch for signals".
        action: &'static str,
        /// Underlying error.
        #[source]
        problem: Cause,
    },
    /// A bug in relabel.
    #[error(
        "internal error: cannot {action}: {}\n  help: this is a bug in relabel {}: please report it with this message",
        cause(problem),
        env!("CARGO_PKG_VERSION")
    )]
    Internal {
        /// The operation, as a verb with its object: "encode shard 17".
        action: String,
        /// Underlying error.
        #[source]
        problem: Cause,
    },
    /// The caller passed an invalid value: the same call can never succeed.
    #[error("{}", printable_lines(.0))]
    Usage(String),
    /// The caller requested a stop. Everything that was committed is kept.
    #[error("interrupted; everything committed so far is kept")]
    Interrupted,
}

/// What the caller can do about an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorClass {
    /// Call it differently: the same call can never succeed.
    Usage,
    /// Fix or replace the input: images, manifest, store, release.
    Input,
    /// Fix the configuration: teacher, card, device, ONNX Runtime, keys, settings.
    Configuration,
    /// Retry: an I/O error of the host, a disk or the network, which may be temporary.
    Retry,
    /// Report a bug.
    Internal,
    /// Repeat the call to resume.
    Interrupted,
}

impl Error {
    /// Returns what the caller can do about the error.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Usage(_) => ErrorClass::Usage,
            Self::Source { .. }
            | Self::Manifest { .. }
            | Self::Store { .. }
            | Self::Merge { .. }
            | Self::Release { .. }
            | Self::NotLabelled { .. }
            | Self::NoLabelMaps { .. }
            | Self::UnknownId { .. }
            | Self::AmbiguousName { .. } => ErrorClass::Input,
            Self::Card { .. }
            | Self::Teacher { .. }
            | Self::NoCells { .. }
            | Self::RewriteCheck { .. }
            | Self::Runtime(_)
            | Self::Device { .. }
            | Self::SettingsDiffer { .. }
            | Self::Key { .. } => ErrorClass::Configuration,
            Self::File { .. }
            | Self::Remote { .. }
            | Self::Inference { .. }
            | Self::DeviceMemory { .. }
            | Self::TooManyFailures { .. }
            | Self::Threads { .. }
            | Self::Resource { .. } => ErrorClass::Retry,
            Self::Internal { .. } => ErrorClass::Internal,
            Self::Interrupted => ErrorClass::Interrupted,
        }
    }

    /// Returns a function that makes an [`Error::File`], for `map_err(Error::file("read", path))`.
    pub fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::File { action, path: path.to_path_buf(), source }
    }
}

/// Continues the message about an unknown name: the name was also looked up without its extension, and there may be a
/// suggestion.
fn unknown_name_details(name: &str, advice: Option<&str>, example: &str) -> String {
    let file_at = name.rfind('/').map_or(0, |slash| slash + 1);
    let stem = name[file_at..].rfind('.').filter(|&dot| dot > 0).map(|dot| &name[..file_at + dot]);
    let nor = stem.map_or(String::new(), |stem| format!(", nor `{}`", printable(stem)));
    let advice = advice.map_or_else(
        || format!("an id is the path below the source without its extension, such as `{example}`"),
        str::to_owned,
    );
    format!("{nor}\n  help: {}", printable(&advice))
}

/// Returns the message of a cause, safe to print.
fn cause(problem: &Cause) -> String {
    printable_lines(&problem.to_string()).into_owned()
}

fn list(lines: &[String]) -> String {
    lines.iter().map(|line| format!("  - {}", printable_lines(line))).collect::<Vec<_>>().join("\n")
}

/// Reason that one image could not be labelled. It is written into the shard's record, and the run continues.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageError {
    /// The kind of failure, for counting.
    pub kind: ImageErrorKind,
    /// Description of the failure.
    pub reason: String,
}

impl fmt::Display for ImageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, printable(&self.reason))
    }
}

/// The kinds of [`ImageError`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
#[non_exhaustive]
pub enum ImageErrorKind {
    /// The file is missing, or reading it failed.
    Unreadable,
    /// The image is not the one that was listed: its length differs, or its archive was changed.
    Changed,
    /// The file is empty.
    Empty,
    /// The bytes are not an image of a known format.
    NotAnImage,
    /// The file ends before the end of the image.
    Truncated,
    /// The image is damaged in a way that PIL refuses as well.
    Broken,
    /// The image has more pixels than PIL accepts.
    TooLarge,
    /// PIL may read the image, but relabel cannot guarantee the same pixels for its format.
    Inexact,
    /// The process crashed repeatedly while it was decoding the image.
    Crashed,
    /// The file is not a label map of the imported kind: its type or sizes differ, or class ids are invalid.
    NotAMap,
    /// The teacher's scores are not finite or saturate float16.
    Scores,
    /// A kind that a different version of relabel recorded.
    Other(OtherKind),
}

/// The name of a kind of failure that this version does not know: lower-case words joined by hyphens.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OtherKind(String);

impl ImageErrorKind {
    /// The kinds that this version knows.
    const KNOWN: [Self; 11] = [
        Self::Unreadable,
        Self::Changed,
        Self::Empty,
        Self::NotAnImage,
        Self::Truncated,
        Self::Broken,
        Self::TooLarge,
        Self::Inexact,
        Self::Crashed,
        Self::NotAMap,
        Self::Scores,
    ];

    /// Returns the name in records.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Unreadable => "unreadable",
            Self::Changed => "changed",
            Self::Empty => "empty",
            Self::NotAnImage => "not-an-image",
            Self::Truncated => "truncated",
            Self::Broken => "broken",
            Self::TooLarge => "too-large",
            Self::Inexact => "inexact",
            Self::Crashed => "crashed",
            Self::NotAMap => "not-a-map",
            Self::Scores => "scores",
            Self::Other(OtherKind(name)) => name,
        }
    }
}

/// A string that is not the name of a kind of failure.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not a kind of failure: expected lower-case words joined by hyphens", name.escape_debug())]
pub struct ImageErrorKindError {
    name: String,
}

impl TryFrom<String> for ImageErrorKind {
    type Error = ImageErrorKindError;

    fn try_from(name: String) -> Result<Self, ImageErrorKindError> {
        const MAX_BYTES: usize = 64;
        if let Some(known) = Self::KNOWN.into_iter().find(|known| known.as_str() == name) {
            return Ok(known);
        }
        let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if name.is_empty() || name.len() > MAX_BYTES || !name.bytes().all(is_letter) {
            return Err(ImageErrorKindError { name: name.chars().take(MAX_BYTES).collect() });
        }
        Ok(Self::Other(OtherKind(name)))
    }
}

impl From<ImageErrorKind> for String {
    fn from(kind: ImageErrorKind) -> Self {
        kind.as_str().to_owned()
    }
}

impl fmt::Display for ImageErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_other_versions_are_kept() {
        for name in ["scores", "not-a-map", "too-dark", "kind-2"] {
            let kind: ImageErrorKind = serde_json::from_value(name.into()).unwrap();
            assert_eq!((kind.to_string().as_str(), serde_json::to_value(&kind).unwrap()), (name, name.into()));
            assert_eq!(matches!(kind, ImageErrorKind::Other(_)), !["scores", "not-a-map"].contains(&name));
        }
        for bad in ["", "Too Dark", "a\nb", "\u{1b}[2J", &"a".repeat(65)] {
            assert!(serde_json::from_value::<ImageErrorKind>(bad.into()).is_err(), "{bad:?}");
        }
    }
}
