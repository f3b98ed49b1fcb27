//! Kinds of pooling, by name and with their parameters.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use thiserror::Error;

use crate::shared::error::Error;
use crate::shared::pooling_parameters::PoolingParameters;
use crate::shared::store::StoreReader;
use crate::training::pool::{Fill, PoolOptions};

/// How the target of a crop is computed from the labels of its image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum CropPooling {
    /// LabelPooling: from the label map.
    Paper(PoolOptions),
    /// From label maps and predictions of the image and its tiles.
    Mixed(PoolingParameters),
}

impl CropPooling {
    /// Returns a kind of pooling with its parameters for a store.
    ///
    /// # Errors
    /// Returns [`Error::NoLabelMaps`] if it needs label maps that the store does not have; [`Error::Usage`] if it needs tiles, or a
    /// calibration, that the store does not have; and the errors of [`StoreReader::calibration`].
    pub fn of_store(kind: PoolingKind, store: &StoreReader) -> Result<Self, Error> {
        let pooling = match kind {
            PoolingKind::Paper => Self::Paper(PoolOptions::default()),
            PoolingKind::Tiles if store.info().tiles.is_none() => {
                return Err(no_tiles(store.path(), "pool by tiles"));
            }
            PoolingKind::Tiles => Self::Mixed(PoolingParameters::PREDICTIONS_BY_OVERLAP),
            PoolingKind::Calibrated => {
                Self::calibrated(store.calibration()?.map(|calibration| calibration.parameters), store.path())?
            }
        };
        pooling.check(store)?;
        Ok(pooling)
    }

    /// Returns calibrated pooling, if the store at `path` has its parameters.
    pub(super) fn calibrated(parameters: Option<PoolingParameters>, path: &Path) -> Result<Self, Error> {
        parameters.map(Self::Mixed).ok_or_else(|| {
            let cause = format!("store {} has no pooling.json\n  help: run `relabel calibrate`", path.display());
            Error::Usage(format!("cannot pool with calibrated parameters: {cause}"))
        })
    }

    /// Number of parts into which a crop is divided, each with a target of its own.
    #[must_use]
    pub fn parts(self) -> usize {
        match self {
            Self::Paper(options) => options.output.parts(),
            Self::Mixed(_) => 1,
        }
    }

    /// Checks that a store has the labels that the pooling needs, and that parameters are within their ranges.
    pub(super) fn check(self, store: &StoreReader) -> Result<(), Error> {
        match self {
            Self::Paper(options) => {
                store.map_size("pool label maps")?;
                if options.fill == Fill::Rest && !store.info().with_lse {
                    return Err(Error::Usage(format!(
                        "store {} has no array `lse`, which the fill `rest` needs\n  help: label with `relabel run --with-lse`",
                        store.path().display()
                    )));
                }
                Ok(())
            }
            Self::Mixed(parameters) => {
                parameters.check().map_err(|problem| Error::Usage(format!("cannot pool crops: {problem}")))
            }
        }
    }
}

impl Default for CropPooling {
    fn default() -> Self {
        Self::Paper(PoolOptions::default())
    }
}

impl From<PoolOptions> for CropPooling {
    fn from(options: PoolOptions) -> Self {
        Self::Paper(options)
    }
}

impl From<PoolingParameters> for CropPooling {
    fn from(parameters: PoolingParameters) -> Self {
        Self::Mixed(parameters)
    }
}

/// Name of a kind of pooling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolingKind {
    /// LabelPooling with the options of the paper.
    Paper,
    /// Predictions of the image and its tiles, weighted by overlap.
    Tiles,
    /// Labels of all kinds, mixed with the parameters of the store's calibration.
    Calibrated,
}

impl PoolingKind {
    /// All kinds, by name.
    pub const ALL: [(&'static str, Self); 3] =
        [("paper", Self::Paper), ("tiles", Self::Tiles), ("calibrated", Self::Calibrated)];

    /// Name of the kind.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }
}

impl fmt::Display for PoolingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for PoolingKind {
    type Err = PoolingKindError;

    fn from_str(text: &str) -> Result<Self, PoolingKindError> {
        let found = Self::ALL.iter().find(|(name, _)| *name == text);
        found.map(|(_, kind)| *kind).ok_or_else(|| PoolingKindError { name: text.to_owned() })
    }
}

/// A string that is not the name of a kind of pooling.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("pooling is `{}`\n  help: use {}", name.escape_debug(), PoolingKind::ALL.map(|(name, _)| name).join(", "))]
pub struct PoolingKindError {
    name: String,
}

/// Returns the error that a store has no tiles, which an operation needs.
pub(super) fn no_tiles(store: &Path, action: &str) -> Error {
    Error::Usage(format!(
        "cannot {action}: store {} has no tiles\n  help: label with `relabel run --tiles`",
        store.display()
    ))
}
