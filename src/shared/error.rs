//! The two kinds of error, told apart by type: [`Error`] stops a run, [`ImageError`] is recorded and the run goes on.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::shared::printable::{printable, printable_lines, printable_path};

/// The cause of an [`Error`]: the error of one area (a manifest, a card, a key, ...) or of another library.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// What stops a run. Each message says what happened, to which thing, and what to do next.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused an operation on a file or folder.
    #[error("cannot {action} {}: {source}", printable_path(path))]
    File {
        /// What was tried, as a verb: "read", "create", "rename".
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// The source of images cannot be used.
    #[error("source {}: {}", printable_path(path), cause(problem))]
    Source {
        /// The folder, archive or pattern.
        path: PathBuf,
        /// What is wrong, and what to do.
        #[source]
        problem: Cause,
    },
    /// A manifest cannot be read, or says something impossible.
    #[error("manifest {}: {}", printable_path(path), cause(problem))]
    Manifest {
        /// The manifest's file.
        path: PathBuf,
        /// What is wrong and where, and what to do.
        #[source]
        problem: Cause,
    },
    /// A teacher card cannot be read or contradicts the teacher.
    #[error("teacher card {}: {}", printable_path(path), cause(problem))]
    Card {
        /// The card's file.
        path: PathBuf,
        /// What is wrong, and what to do.
        #[source]
        problem: Cause,
    },
    /// The teacher's file is no ONNX model, or one that cannot give label maps.
    #[error("teacher {}: {}\n  help: {}", printable_path(path), cause(problem), printable_lines(advice))]
    Teacher {
        /// The teacher's file.
        path: PathBuf,
        /// Why it is refused.
        #[source]
        problem: Cause,
        /// What the user can do about it.
        advice: String,
    },
    /// The labels of the rewritten teacher differ from those of the reference, the unmodified teacher.
    #[error(
        "teacher {}: cannot verify the rewrite: {}\n  help: {}",
        printable_path(path),
        cause(problem),
        printable_lines(advice)
    )]
    Proof {
        /// The teacher's file.
        path: PathBuf,
        /// Which comparison failed, with both values.
        #[source]
        problem: Cause,
        /// What the user can do about it.
        advice: String,
    },
    /// ONNX Runtime is missing or cannot be loaded.
    #[error("{}", printable_lines(.0))]
    Runtime(String),
    /// ONNX Runtime failed while it loaded or ran the teacher.
    #[error("ONNX Runtime could not {action}: {}", printable_lines(message))]
    Inference {
        /// What was tried.
        action: &'static str,
        /// ONNX Runtime's own words.
        message: String,
    },
    /// The device has too little memory for what was asked of it.
    #[error(
        "the device's memory is too small to {action}: {}\n  help: give a smaller --batch (in a new \
         store), or free the device of other programs",
        printable_lines(message)
    )]
    DeviceMemory {
        /// What was tried.
        action: &'static str,
        /// ONNX Runtime's own words.
        message: String,
    },
    /// So many images failed that the run makes no sense.
    #[error(
        "stopped: {count} images {} failed, the last one {} ({error})\n  help: see that the source is there and \
         whole. The same command goes on; with --retry-failed it labels again what failed; --max-failures says how many \
         failures are accepted",
        if *in_a_row { "in a row" } else { "of this run" },
        printable(path)
    )]
    TooManyFailures {
        /// How many failed.
        count: usize,
        /// Whether all of them stand one after the other.
        in_a_row: bool,
        /// The last one's path below the source.
        path: String,
        /// Why the last one failed.
        error: ImageError,
    },
    /// The device that was asked for is not there.
    #[error("device {}: {}", printable(device), cause(problem))]
    Device {
        /// The device as it was asked for.
        device: String,
        /// Why it cannot be used, and what to do.
        #[source]
        problem: Cause,
    },
    /// The store belongs to another run: it was made with something else.
    #[error(
        "store {} was made with something else, and mixing is refused:\n{}\n  help: {advice}",
        printable_path(path),
        list(differences)
    )]
    OtherRun {
        /// The store.
        path: PathBuf,
        /// One line for each thing that differs, with both values.
        differences: Vec<String>,
        /// What the user can do about it.
        advice: &'static str,
    },
    /// Stores that were to become one do not fit together, or are damaged.
    #[error("the stores cannot become one, and nothing was written:\n{}\n  help: {advice}", list(problems))]
    Merge {
        /// One line for each thing that stands in the way: which stores, what of them, both values.
        problems: Vec<String>,
        /// What the user can do about it.
        advice: &'static str,
    },
    /// The store is damaged, of another format version, or not a store at all.
    #[error("store {}: {}", printable_path(path), cause(problem))]
    Store {
        /// The store.
        path: PathBuf,
        /// What is wrong, and what to do.
        #[source]
        problem: Cause,
    },
    /// A place in the network cannot be reached, refuses, or gives something else than was asked for.
    #[error("{}: {}", printable(place), cause(problem))]
    Remote {
        /// Its address, without credentials.
        place: String,
        /// What happened, and what to do.
        #[source]
        problem: Cause,
    },
    /// A release cannot be made, delivered or used.
    #[error("release {}: {}", printable(place), cause(problem))]
    Release {
        /// The folder or address.
        place: String,
        /// What is wrong, and what to do.
        #[source]
        problem: Cause,
    },
    /// A key cannot be used to sign or to check signatures.
    #[error("key {}: {}", printable_path(path), cause(problem))]
    Key {
        /// The key's file.
        path: PathBuf,
        /// Why not, and what to do.
        #[source]
        problem: Cause,
    },
    /// A row has no labels.
    #[error("store {}: row {row} has no labels: {}", printable_path(store), printable_lines(reason))]
    NotLabelled {
        /// The store.
        store: PathBuf,
        /// The row.
        row: usize,
        /// Why not, and what to do.
        reason: String,
    },
    /// No image has this name.
    #[error("store {}: it has no image `{}`{}", printable_path(store), printable(name), near(name, advice.as_deref(), example))]
    UnknownId {
        /// The store.
        store: PathBuf,
        /// The name that was looked up.
        name: String,
        /// What was probably meant.
        advice: Option<String>,
        /// An id that exists.
        example: String,
    },
    /// A name could mean two images, or two names only one.
    #[error("store {}: {}", printable_path(store), cause(problem))]
    AmbiguousName {
        /// The store.
        store: PathBuf,
        /// The names and the images.
        #[source]
        problem: Cause,
    },
    /// Threads cannot be started: a shortage that passes, or a limit of this session.
    #[error(
        "cannot start {count} threads: {problem}\n  help: try again when the machine is less busy, give a smaller --threads, \
         or raise the limit of processes (ulimit -u)"
    )]
    Threads {
        /// How many were to be started.
        count: usize,
        /// Why not.
        #[source]
        problem: Cause,
    },
    /// Memory, a signal handler or another resource of the machine is short; trying again may succeed.
    #[error("cannot {action}: {}\n  help: try again when the machine is less busy", cause(problem))]
    Resource {
        /// What was tried, as a verb with its object: "watch for signals".
        action: &'static str,
        /// Why it failed.
        #[source]
        problem: Cause,
    },
    /// A fault of relabel itself.
    #[error(
        "internal error: cannot {action}: {}\n  help: this is a bug in relabel {}: please report it with this message",
        cause(problem),
        env!("CARGO_PKG_VERSION")
    )]
    Internal {
        /// What was tried, as a verb with its object: "encode shard 17".
        action: String,
        /// Why it failed.
        #[source]
        problem: Cause,
    },
    /// The caller passed a value that cannot be used: wrong usage, the same call can never succeed.
    #[error("{}", printable_lines(.0))]
    Usage(String),
    /// The caller asked for a stop. Everything committed so far is kept.
    #[error("interrupted; what was finished so far is kept")]
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
    /// Retry: the machine, a disk or the network was at fault, and may recover.
    Retry,
    /// Report a bug.
    Internal,
    /// Repeat the call to resume.
    Interrupted,
}

impl Error {
    /// Returns what the caller can do about it.
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
            | Self::UnknownId { .. }
            | Self::AmbiguousName { .. } => ErrorClass::Input,
            Self::Card { .. }
            | Self::Teacher { .. }
            | Self::Proof { .. }
            | Self::Runtime(_)
            | Self::Device { .. }
            | Self::OtherRun { .. }
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

    /// An [`Error::File`]; made for `map_err(Error::file("read", path))`.
    pub fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::File { action, path: path.to_path_buf(), source }
    }
}

/// What is added to a name that no image has. Both forms of the name were looked up, so that both are shown.
fn near(name: &str, advice: Option<&str>, example: &str) -> String {
    let file_at = name.rfind('/').map_or(0, |slash| slash + 1);
    let stem = name[file_at..].rfind('.').filter(|&dot| dot > 0).map(|dot| &name[..file_at + dot]);
    let nor = stem.map_or(String::new(), |stem| format!(", and no `{}`", printable(stem)));
    let advice = advice.map_or_else(
        || format!("an id is the path below the source without its extension, such as `{example}`"),
        str::to_owned,
    );
    format!("{nor}\n  help: {}", printable(&advice))
}

/// The text of a cause, safe to print.
fn cause(problem: &Cause) -> String {
    printable_lines(&problem.to_string()).into_owned()
}

fn list(lines: &[String]) -> String {
    lines.iter().map(|line| format!("  - {}", printable_lines(line))).collect::<Vec<_>>().join("\n")
}

/// Why one image could not be labelled. It is written into the shard's record, and the run goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageError {
    /// What sort of failure it is, for counting.
    pub kind: ImageErrorKind,
    /// What happened, in words.
    pub reason: String,
}

impl fmt::Display for ImageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, printable(&self.reason))
    }
}

/// The sorts of [`ImageError`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
#[non_exhaustive]
pub enum ImageErrorKind {
    /// The bytes could not be had: the file is gone, or reading it failed.
    Unreadable,
    /// It is not what was listed: it has another length, or its archive was changed.
    Changed,
    /// The file has no bytes.
    Empty,
    /// The bytes are no image of a known format.
    NotAnImage,
    /// The file ends before its image does.
    Truncated,
    /// The image is damaged in a way that PIL refuses too.
    Broken,
    /// More pixels than PIL accepts.
    TooLarge,
    /// An image that PIL may read, of a format or kind whose pixels are not known to be the same here.
    Inexact,
    /// The process ended again and again while it was decoded.
    Crashed,
    /// The file is no label map of the kind that is imported: another type, other sizes, or impossible class ids.
    NotAMap,
    /// The teacher's scores are not finite or saturate float16.
    Scores,
    /// A kind that another version of the program recorded.
    Other(OtherKind),
}

/// The name of a kind of failure that this version does not know: lower-case words with hyphens between them.
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

    /// Its name in records.
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

impl TryFrom<String> for ImageErrorKind {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        const LONGEST: usize = 64;
        if let Some(known) = Self::KNOWN.into_iter().find(|known| known.as_str() == name) {
            return Ok(known);
        }
        let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if name.is_empty() || name.len() > LONGEST || !name.bytes().all(is_letter) {
            let shown: String = name.chars().take(LONGEST).collect();
            return Err(format!("`{}` is no kind of failure: lower-case words with hyphens", shown.escape_debug()));
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
    fn kinds_of_other_versions_are_read_and_written_as_they_were() {
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
