//! `evaluation.json`: the figures of one store, with the digests of what they were computed from.

mod label_kind;
mod fidelity;
mod figure_check;

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use fidelity::{AreaFidelity, CropFidelity, Fidelity, FidelityByKind};
pub use label_kind::LabelKind;

pub use crate::evaluation::metrics::{Accuracy, BoxAccuracy, Estimate, LocalizationFigures, ReliabilityBin};
use crate::shared::digest::{Digest, digest_bytes};
use crate::shared::error::Error;
use crate::shared::printable::{printable, printable_path};
use crate::shared::regular_file::{self, UnusableFile};
use crate::shared::store::StoreReader;

/// All figures of a store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Version of this document: [`Evaluation::VERSION`].
    pub evaluation_version: u32,
    /// Version of the program.
    pub tool_version: String,
    /// The evaluated store.
    pub store: EvaluatedStore,
    /// Figures for each `--truth`.
    pub truths: Vec<TruthFigures>,
    /// How close targets of crops are to the teacher's own prediction for the crop; `None` if the teacher was not run.
    pub crop_fidelity: Option<CropFidelity>,
}

/// Largest length of the file in bytes: a hundred thousand classes for each of several truths.
const MAX_BYTES: u64 = 64 << 20;

/// The only key that all versions have.
#[derive(Deserialize)]
struct DocumentVersion {
    evaluation_version: Option<Value>,
}

/// Reason that a file is not an evaluation that this program can use.
#[derive(Debug, thiserror::Error)]
enum EvaluationFileError {
    #[error("{0}")]
    Unusable(#[from] UnusableFile),
    #[error("not a document of `relabel evaluate`: {0}")]
    NotADocument(#[from] serde_json::Error),
    #[error("not a document of `relabel evaluate`: `evaluation_version` is missing")]
    NoVersion,
    #[error("`evaluation_version` is {found}, but relabel {} reads only {}", env!("CARGO_PKG_VERSION"), Evaluation::VERSION)]
    OtherVersion { found: String },
    #[error("{0}")]
    Figure(#[from] figure_check::FigureError),
}

impl Evaluation {
    /// Version of the document that this program writes, and the only one that it reads.
    pub const VERSION: u32 = 1;

    /// Reads and checks a document.
    ///
    /// # Errors
    /// Returns [`Error::Usage`] if the file is missing, damaged, of another version, or contains impossible figures, and
    /// [`Error::File`] if it cannot be read.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let read = regular_file::read(path, MAX_BYTES)?.usable().map_err(EvaluationFileError::from);
        read.and_then(|bytes| Self::from_json_bytes(&bytes)).map_err(|problem| {
            Error::Usage(format!(
                "cannot use the evaluation {}: {}\n  help: write it again with `relabel evaluate STORE -o evaluation.json`",
                printable_path(path),
                printable(&problem.to_string())
            ))
        })
    }

    fn from_json_bytes(bytes: &[u8]) -> Result<Self, EvaluationFileError> {
        // The version comes first: other versions may have other keys.
        match serde_json::from_slice::<DocumentVersion>(bytes)?.evaluation_version {
            None => Err(EvaluationFileError::NoVersion),
            Some(version) if version != Self::VERSION => {
                Err(EvaluationFileError::OtherVersion { found: version.to_string().chars().take(40).collect() })
            }
            Some(_) => {
                let evaluation: Self = serde_json::from_slice(bytes)?;
                figure_check::check(&evaluation)?;
                Ok(evaluation)
            }
        }
    }

    /// Returns the content of `evaluation.json`.
    #[must_use]
    pub fn to_json_bytes(&self) -> Vec<u8> {
        // Writing plain data to memory cannot fail.
        let mut bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }

    /// Checks that the figures are those of a store, or of its release.
    ///
    /// # Errors
    /// Returns [`Error::Usage`] if they are of other labels, and [`Error::Store`] or [`Error::File`] if the records of the
    /// store cannot be read.
    pub fn verify_store(&self, store: &StoreReader) -> Result<(), Error> {
        let digest = store.labels_digest()?;
        let refuse = |problem: String| {
            Err(Error::Usage(format!(
                "cannot use the evaluation: {problem}\n  help: evaluate this store with `relabel evaluate {} -o evaluation.json`",
                printable_path(store.path())
            )))
        };
        if digest != self.store.labels_sha256 {
            return refuse(format!(
                "its figures are of other labels (labels_sha256 {}) than those of store {} ({digest})",
                self.store.labels_sha256,
                printable_path(store.path())
            ));
        }
        if let Some(pooling) = self.crop_fidelity.as_ref().and_then(|crops| crops.pooling_sha256.as_ref()) {
            let there = store.calibration_file()?.map(|file| digest_bytes(&file));
            if there.as_ref() != Some(pooling) {
                let there = there.map_or("missing".to_owned(), |digest| digest.to_string());
                return refuse(format!(
                    "its figures are of another calibration (pooling.json {pooling}) than that of store {} ({there})",
                    printable_path(store.path())
                ));
            }
        }
        let classes = store.info().classes.count;
        let figures = self.truths.iter().filter_map(|truth| truth.classes.as_ref());
        match figures.flat_map(|figures| &figures.by_class).find(|class| class.class as usize >= classes) {
            Some(class) => {
                refuse(format!("it has figures of class {}, but the store has {classes} classes", class.class))
            }
            None => Ok(()),
        }
    }
}

/// Identity and counts of an evaluated store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvaluatedStore {
    /// Digest of the labels ([`StoreReader::labels_digest`](crate::StoreReader::labels_digest)): equal for a store and its
    /// release.
    pub labels_sha256: Digest,
    /// Name of the teacher.
    pub teacher: String,
    /// SHA-256 of the teacher's ONNX file.
    pub teacher_sha256: Digest,
    /// Number of images in the manifest.
    pub images: usize,
    /// Number of labelled images.
    pub labelled: usize,
    /// Number of images that could not be labelled.
    pub failed: usize,
    /// Number of images whose shards are not done.
    pub to_do: usize,
}

/// Figures against one truth. `classes` and `localization` are `None` if the truth has no classes or no boxes; `localization` also
/// if the store has no label maps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TruthFigures {
    /// The truth.
    pub truth: TruthDescription,
    /// Figures about classes.
    pub classes: Option<ClassFigures>,
    /// Figures about boxes.
    pub localization: Option<LocalizationFigures>,
}

/// A truth, and how its entries match the images of the store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TruthDescription {
    /// `folder`, or the file name of the truth.
    pub name: String,
    /// Recognised format: `folder`, `real`, `class-lists`, `pascal-voc`, `wsol-localization` or `coco`.
    pub format: String,
    /// SHA-256 of the file, or of the sorted list of files of a folder; `None` for folder classes.
    pub sha256: Option<Digest>,
    /// Number of labelled images with truth.
    pub images: usize,
    /// Number of labelled images without truth.
    pub images_without_truth: usize,
    /// Number of entries whose image is not in the store.
    pub truth_without_image: usize,
    /// Name of one of them.
    pub truth_without_image_example: Option<String>,
    /// Number of images with truth that are not labelled: failed, or still to do.
    pub truth_not_labelled: usize,
    /// Number of images whose truth is an empty list: they are skipped.
    pub empty: usize,
    /// Number of boxes that were clipped because they extend past the edge of their image.
    pub boxes_clipped: usize,
    /// Number of boxes that were skipped because neither the truth nor the folder gives their class.
    pub boxes_without_class: usize,
}

/// Figures about classes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassFigures {
    /// Number of compared images.
    pub images: usize,
    /// The teacher's prediction for the entire image.
    pub prediction: Accuracy,
    /// The target of the full image: the map pooled over it; `None` if the store has no label maps.
    pub pooled: Option<Accuracy>,
    /// What the top k hides; `None` if the store has no label maps.
    pub censored: Option<Censored>,
    /// Top-1 accuracy for each true class, by class id.
    pub by_class: Vec<ClassAccuracy>,
}

/// True classes that are not among the top k.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Censored {
    /// Fraction of compared images for which no cell has any true class.
    pub images: f64,
    /// Fraction of cells that have no true class, over all compared images.
    pub cells: f64,
    /// Score that pooling uses for a class that a cell does not have.
    pub floor: f64,
}

/// Top-1 accuracy of one true class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassAccuracy {
    /// Class id.
    pub class: u32,
    /// Short name of the class.
    pub name: String,
    /// Number of images with this true class.
    pub images: usize,
    /// Fraction of these whose prediction has a true class as the best.
    pub prediction_top1: f64,
    /// Fraction of these whose target of the full image has a true class as the best; `None` if the store has no label maps.
    pub pooled_top1: Option<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evaluation() -> Evaluation {
        let digest = digest_bytes(b"labels");
        Evaluation {
            evaluation_version: Evaluation::VERSION,
            tool_version: "0".into(),
            store: EvaluatedStore {
                labels_sha256: digest.clone(),
                teacher: "net".into(),
                teacher_sha256: digest,
                images: 3,
                labelled: 3,
                failed: 0,
                to_do: 0,
            },
            truths: Vec::new(),
            crop_fidelity: None,
        }
    }

    fn read(bytes: &[u8]) -> Result<Evaluation, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("evaluation.json");
        std::fs::write(&path, bytes).unwrap();
        Evaluation::read(&path).map_err(|error| {
            assert!(matches!(error, Error::Usage(_)), "{error:?}");
            error.to_string()
        })
    }

    #[test]
    fn a_written_document_is_read_again() {
        assert_eq!(read(&evaluation().to_json_bytes()).unwrap(), evaluation());
    }

    #[test]
    fn other_files_are_refused() {
        let other_version =
            String::from_utf8(evaluation().to_json_bytes()).unwrap().replace("_version\": 1", "_version\": 2");
        for (bytes, expected) in [
            (&b""[..], "not a document of `relabel evaluate`"),
            (b"PK\x03\x04", "not a document of `relabel evaluate`"),
            (b"[1]", "not a document of `relabel evaluate`"),
            (b"{}", "`evaluation_version` is missing"),
            (b"{\"evaluation_version\": 1}", "missing field"),
            (b"{\"evaluation_version\": \"1\"}", "`evaluation_version` is \"1\", but"),
            (other_version.as_bytes(), "`evaluation_version` is 2, but relabel"),
            (&evaluation().to_json_bytes()[..200], "not a document of `relabel evaluate`"),
        ] {
            let message = read(bytes).unwrap_err();
            assert!(message.contains(expected) && message.contains("\n  help: "), "{message}");
        }
        let missing = Evaluation::read(Path::new("no/such/evaluation.json")).unwrap_err().to_string();
        assert!(missing.contains("no/such/evaluation.json: missing"), "{missing}");
    }
}
