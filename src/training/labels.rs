//! Targets of crops, by image: the interface for training code.
//!
//! ```no_run
//! use std::path::Path;
//!
//! use relabel::shared::geometry::UnitBox;
//! use relabel::training::labels::Labels;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let labels = Labels::open(Path::new("labels"))?;
//! let rows = labels.rows(&["n01440764/n01440764_10026"])?;
//! let targets = labels.pool(&rows, &[UnitBox::new(0.25, 0.0, 0.75, 0.5)?])?;       // float32, [image, class]
//! println!("{:?} of {} classes", targets.dim(), labels.class_count());
//! # Ok(())
//! # }
//! ```

mod parallel_chunks;
mod crop_pooling;
mod row_pooler;
mod mask_pooling;
mod row_statuses;
mod padded_targets;
mod map_batch;

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use ndarray::Array2;

use crate::shared::error::Error;
use crate::shared::geometry::{Crop, UnitBox};
use crate::shared::label_map::{ImageLabels, ImagePrediction, LabelMap};
use crate::shared::manifest::{LookupError, Manifest, NameKind, RowIndex};
use crate::shared::pooling_parameters::PoolingParameters;
use crate::shared::store::{DecodeScratch, Files, LabelParts, RowState, StoreInfo, StoreReader};
use crate::training::cutmix::{CutRect, mix};
use crate::training::pool::{PoolError, SparseTarget, TargetValue};

use crop_pooling::no_tiles;
use row_pooler::RowPooler;

pub use crop_pooling::{CropPooling, PoolingKind, PoolingKindError};
pub use mask_pooling::MaskPooling;
pub use padded_targets::PaddedTargets;
pub use row_statuses::{RowStatus, RowStatuses};

/// A store, open for training. Threads can share it, and it survives `fork`.
pub struct Labels {
    reader: StoreReader,
    threads: NonZeroUsize,
    manifest: OnceLock<(Manifest, RowIndex)>,
    calibrated: OnceLock<PoolingParameters>,
}

impl Labels {
    /// Opens a store. The manifest is read when an id is first looked up.
    ///
    /// # Errors
    /// Returns [`Error::Store`] if it is not a store of this format version, or its metadata is damaged.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Ok(Self::new(StoreReader::open(path)?))
    }

    /// Opens a store that is not in a folder. Only the requested data is read.
    ///
    /// # Errors
    /// See [`Labels::open`]. Returns [`Error::Remote`] if the server cannot be reached.
    pub fn open_files(files: Arc<dyn Files>) -> Result<Self, Error> {
        Ok(Self::new(StoreReader::open_files(files)?))
    }

    fn new(reader: StoreReader) -> Self {
        Self { reader, threads: NonZeroUsize::MIN, manifest: OnceLock::new(), calibrated: OnceLock::new() }
    }

    /// Sets the number of threads of [`Labels::pool`]; one by default.
    #[must_use]
    pub fn with_threads(mut self, threads: NonZeroUsize) -> Self {
        self.threads = threads;
        self
    }

    /// Description of the store.
    #[must_use]
    pub fn info(&self) -> &StoreInfo {
        self.reader.info()
    }

    /// Folder or address of the store.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.reader.path()
    }

    /// Number of classes, the last length of every target.
    #[must_use]
    pub fn class_count(&self) -> usize {
        self.info().classes.count
    }

    /// Returns the manifest.
    ///
    /// # Errors
    /// Returns [`Error::Manifest`] if it is not the one that the store was created with; [`Error::File`] or
    /// [`Error::Remote`] if it cannot be read.
    pub fn manifest(&self) -> Result<&Manifest, Error> {
        Ok(&self.indexed_manifest()?.0)
    }

    /// Returns the rows of images by id, or by path below the source, in which the extension of an image file may differ: see
    /// [`RowIndex`]. [`RowIndex::find_all`] decides which of the two the names are.
    ///
    /// # Errors
    /// Returns [`Error::UnknownId`] for the first name that the store does not have; [`Error::AmbiguousName`] if one could
    /// mean two images, or two different files have only one image; and the errors of [`Labels::manifest`].
    pub fn rows(&self, names: &[impl AsRef<str>]) -> Result<Vec<usize>, Error> {
        self.rows_of_names(names, NameKind::IdOrPath)
    }

    /// Returns the rows of images by names of any kind, such as the paths of a data set's files.
    ///
    /// # Errors
    /// See [`Labels::rows`].
    pub fn rows_of_names(&self, names: &[impl AsRef<str>], kind: NameKind) -> Result<Vec<usize>, Error> {
        let found = self.find_names(names, kind)?;
        let Some(first) = found.iter().position(Option::is_none) else {
            return Ok(found.into_iter().flatten().collect());
        };
        let (manifest, index) = self.indexed_manifest()?;
        let name = names[first].as_ref();
        Err(Error::UnknownId {
            store: self.path().to_path_buf(),
            name: name.to_owned(),
            advice: index.advice(manifest, name),
            example: if manifest.is_empty() { String::new() } else { manifest.id(0).to_owned() },
        })
    }

    /// Returns the rows of images as [`Labels::rows`] does, `None` for those that the store does not have.
    ///
    /// # Errors
    /// See [`Labels::rows`]. Unknown names are not errors.
    pub fn find_rows(&self, names: &[impl AsRef<str>]) -> Result<Vec<Option<usize>>, Error> {
        self.find_names(names, NameKind::IdOrPath)
    }

    /// Returns the rows of images by names of any kind, `None` for those that the store does not have.
    ///
    /// # Errors
    /// See [`Labels::rows_of_names`]. Unknown names are not errors.
    pub fn find_names(&self, names: &[impl AsRef<str>], kind: NameKind) -> Result<Vec<Option<usize>>, Error> {
        let (manifest, index) = self.indexed_manifest()?;
        index.find_all(manifest, names, kind).map_err(|problem| {
            let image = |row: usize| format!("`{}` (row {row}, {})", manifest.id(row), manifest.path(row));
            let problem = match problem {
                LookupError::Ambiguous(at, two) => format!(
                    "`{}` could mean two images: {} and {}\n  help: pass rows, or only \
                     names of one kind (ids, or paths of files) at a time",
                    names[at].as_ref(),
                    image(two.first),
                    image(two.second)
                ),
                LookupError::OneImage { first, second, row } => format!(
                    "`{}` and `{}` are two files, but the store has one image for both: {}\n  help: label the folder that \
                     has both, or pass ids",
                    names[first].as_ref(),
                    names[second].as_ref(),
                    image(row)
                ),
            };
            Error::AmbiguousName { store: self.path().to_path_buf(), problem: problem.into()}
        })
    }

    /// Pools a box of each row's image with [`Labels::default_pooling`]. Returns float32 `[image, class]`, each row a softmax
    /// over all classes. LabelPooling is within 1e-5 of torchvision (test
    /// `pooling::golden_boxes_pool_to_the_golden_targets`).
    ///
    /// # Errors
    /// Returns [`Error::NotLabelled`] for the first row without labels; [`Error::Usage`] if the lengths differ, a row does
    /// not exist, or no part of a box is inside the image; [`Error::Store`] if a shard is damaged; [`Error::File`] or [`Error::Remote`] if it cannot be read.
    pub fn pool(&self, rows: &[usize], boxes: &[UnitBox]) -> Result<Array2<f32>, Error> {
        let crops: Vec<Crop> = boxes.iter().copied().map(Crop::from).collect();
        let mut targets = Array2::zeros((rows.len(), self.class_count()));
        let pooling = self.pooling(self.default_pooling())?;
        self.pool_into(rows, &crops, pooling, self.threads, targets.as_slice_mut().unwrap_or_default())?;
        Ok(targets)
    }

    /// The kind of pooling of this store if none is chosen: LabelPooling if it has label maps.
    #[must_use]
    pub fn default_pooling(&self) -> PoolingKind {
        if self.info().map_size.is_some() { PoolingKind::Paper } else { PoolingKind::Tiles }
    }

    /// Returns a kind of pooling with its parameters for this store.
    ///
    /// # Errors
    /// Returns [`Error::NoLabelMaps`] if it needs label maps that the store does not have; [`Error::Usage`] if it needs tiles, or a
    /// calibration, that the store does not have; and the errors of [`StoreReader::calibration`].
    pub fn pooling(&self, kind: PoolingKind) -> Result<CropPooling, Error> {
        match kind {
            PoolingKind::Calibrated => CropPooling::calibrated(self.calibrated_parameters()?, self.path()),
            kind => CropPooling::of_store(kind, &self.reader),
        }
    }

    /// Returns the parameters of calibrated pooling, which are read once; `None` if the store was not calibrated.
    ///
    /// # Errors
    /// See [`StoreReader::calibration`].
    pub fn calibrated_parameters(&self) -> Result<Option<PoolingParameters>, Error> {
        if let Some(parameters) = self.calibrated.get() {
            return Ok(Some(*parameters));
        }
        let calibration = self.reader.calibration()?;
        Ok(calibration.map(|calibration| *self.calibrated.get_or_init(|| calibration.parameters)))
    }

    /// Pools crops into `targets`, `[image, class, y, x]` with the rows and columns of the output.
    ///
    /// # Errors
    /// See [`Labels::pool`]. Also returns [`Error::Usage`] if the fill needs a log-sum-exp that the store does not have, or a
    /// parameter is out of its range; [`Error::NoLabelMaps`] if LabelPooling has no label maps; and [`Error::Threads`] if
    /// threads cannot be started.
    pub fn pool_into<T: TargetValue>(
        &self,
        rows: &[usize],
        crops: &[Crop],
        pooling: impl Into<CropPooling>,
        threads: NonZeroUsize,
        targets: &mut [T],
    ) -> Result<(), Error> {
        let pooling = pooling.into();
        pooling.check(&self.reader)?;
        check_crops(rows, crops)?;
        let values = self.class_count() * pooling.parts();
        same_length("values of targets and rows times classes", targets.len(), rows.len() * values)?;
        parallel_chunks::for_each_chunk(
            threads,
            targets,
            values,
            || RowPooler::new(self, pooling),
            |pooler, at, target| pooler.pool(rows[at], crops[at], target),
        )
    }

    /// Pools crops into sparse targets, for each row one for each part of the output.
    ///
    /// # Errors
    /// See [`Labels::pool_into`].
    pub fn pool_sparse(
        &self,
        rows: &[usize],
        crops: &[Crop],
        pooling: impl Into<CropPooling>,
        threads: NonZeroUsize,
    ) -> Result<Vec<Vec<SparseTarget>>, Error> {
        let pooling = pooling.into();
        pooling.check(&self.reader)?;
        check_crops(rows, crops)?;
        let mut targets = vec![Vec::new(); rows.len()];
        parallel_chunks::for_each_chunk(
            threads,
            &mut targets,
            1,
            || RowPooler::new(self, pooling),
            |pooler, at, target| {
                target[0] = pooler.pool_sparse(rows[at], crops[at])?;
                Ok(())
            },
        )?;
        Ok(targets)
    }

    /// Computes targets of CutMix by region into `targets`, `[image, class]`: for `crops[i]`, into which the part `rects[i]`
    /// of crop `partners[i]` was pasted. Definition: [`cutmix`](crate::training::cutmix).
    ///
    /// # Errors
    /// See [`Labels::pool_into`]. Also returns [`Error::Usage`] if a partner does not exist or the output is not 1×1.
    pub fn cutmix_into(
        &self,
        batch: &PastedBatch<'_>,
        pooling: impl Into<CropPooling>,
        threads: NonZeroUsize,
        targets: &mut [f32],
    ) -> Result<(), Error> {
        let (pooling, PastedBatch { rows, crops, partners, rects }) = (pooling.into(), *batch);
        pooling.check(&self.reader)?;
        check_crops(rows, crops)?;
        same_length("rows and partners", rows.len(), partners.len())?;
        same_length("rows and pasted boxes", rows.len(), rects.len())?;
        same_length("values of targets and rows times classes", targets.len(), rows.len() * self.class_count())?;
        if pooling.parts() != 1 {
            return Err(Error::Usage("CutMix by region has one target for each crop: use an output of 1x1".to_owned()));
        }
        if let Some(partner) = partners.iter().find(|partner| **partner >= rows.len()) {
            return Err(Error::Usage(format!(
                "partner {partner} does not exist: the batch has {} crops, counted from 0",
                rows.len()
            )));
        }
        let new_buffers = || (RowPooler::new(self, pooling), vec![0.0; self.class_count()]);
        parallel_chunks::for_each_chunk(
            threads,
            targets,
            self.class_count(),
            new_buffers,
            |(pooler, pasted), at, target| {
                let (rect, partner) = (rects[at], partners[at]);
                match (rect.unit_from_input(), rect.pasted_crop(crops[partner])) {
                    (Some(hidden), Some(part)) => {
                        pooler.pool_visible(rows[at], crops[at], hidden, target)?;
                        pooler.pool(rows[partner], part, pasted)?;
                    }
                    _ => pooler.pool(rows[at], crops[at], target)?,
                }
                // Nothing is pasted: λ is 1.
                mix(target, pasted, rect.lambda());
                Ok(())
            },
        )
    }

    /// Writes the teacher's predictions to `targets`, `[image, class]`, as global soft targets. The store has the best `k`
    /// classes; the rest of the probability is distributed evenly over the others.
    ///
    /// # Errors
    /// See [`Labels::pool`].
    pub fn image_targets_into<T: TargetValue>(
        &self,
        rows: &[usize],
        threads: NonZeroUsize,
        targets: &mut [T],
    ) -> Result<(), Error> {
        same_length("values of targets and rows times classes", targets.len(), rows.len() * self.class_count())?;
        parallel_chunks::for_each_chunk(
            threads,
            targets,
            self.class_count(),
            || (),
            |(), at, target| {
                let prediction = self.prediction(rows[at])?;
                let probs = prediction.probs().iter().map(|prob| prob.to_f32());
                let rest = (1.0 - probs.clone().sum::<f32>()).max(0.0);
                let others = target.len().saturating_sub(prediction.classes().len()).max(1);
                target.fill(T::from_probability(f64::from(rest) / others as f64));
                for (&class, prob) in prediction.classes().iter().zip(probs) {
                    let value = target.get_mut(class as usize);
                    let class_count = self.class_count();
                    *value.ok_or_else(|| self.unusable(rows[at], &PoolError::ClassId { class, class_count }))? =
                        T::from_probability(f64::from(prob));
                }
                Ok(())
            },
        )
    }

    /// Reads the label map of a row.
    ///
    /// # Errors
    /// See [`Labels::pool`].
    pub fn map(&self, row: usize) -> Result<LabelMap, Error> {
        self.map_with(row, &mut DecodeScratch::default())
    }

    fn map_with(&self, row: usize, scratch: &mut DecodeScratch) -> Result<LabelMap, Error> {
        self.labelled(row, self.reader.map(row, scratch)?)
    }

    /// Reads the teacher's prediction of a row.
    ///
    /// # Errors
    /// See [`Labels::pool`].
    pub fn prediction(&self, row: usize) -> Result<ImagePrediction, Error> {
        self.labelled(row, self.reader.prediction(row)?)
    }

    /// Reads the teacher's predictions for the tiles of a row, in the order of [`StoreInfo::tiles`].
    ///
    /// # Errors
    /// See [`Labels::pool`]. Also returns [`Error::Usage`] if the store has no tiles.
    pub fn tile_predictions(&self, row: usize) -> Result<Vec<ImagePrediction>, Error> {
        if self.info().tiles.is_none() {
            return Err(no_tiles(self.path(), "read predictions of tiles"));
        }
        let parts = LabelParts { map: false, tiles: true, tile_maps: false };
        let labels = self.labels_with(row, parts, &mut DecodeScratch::default())?;
        Ok(labels.tiles.into_iter().map(|tile| tile.prediction).collect())
    }

    fn labels_with(&self, row: usize, parts: LabelParts, scratch: &mut DecodeScratch) -> Result<ImageLabels, Error> {
        self.labelled(row, self.reader.row_parts(row, parts, scratch)?)
    }

    /// Returns the status of each row, from the records alone. Reads the manifest first, which verifies the number of images.
    ///
    /// # Errors
    /// Returns [`Error::Store`] if a record is damaged; and the errors of [`Labels::manifest`].
    pub fn row_statuses(&self) -> Result<RowStatuses, Error> {
        self.indexed_manifest()?;
        RowStatuses::read(&self.reader)
    }

    fn labelled<T>(&self, row: usize, state: RowState<T>) -> Result<T, Error> {
        let reason = match state {
            RowState::Labelled(labels) => return Ok(labels),
            RowState::Failed(failed) => format!("{} could not be labelled ({})", failed.path, failed.error),
            RowState::ToDo => {
                "its shard is not done yet\n  help: repeat the run command that created the store, which resumes it"
                    .to_owned()
            }
        };
        Err(Error::NotLabelled { store: self.path().to_path_buf(), row, reason })
    }

    fn indexed_manifest(&self) -> Result<&(Manifest, RowIndex), Error> {
        if let Some(manifest) = self.manifest.get() {
            return Ok(manifest);
        }
        let manifest = self.reader.manifest()?;
        let index = RowIndex::new(&manifest);
        Ok(self.manifest.get_or_init(|| (manifest, index)))
    }

    fn unusable(&self, row: usize, problem: &PoolError) -> Error {
        Error::Store { path: self.path().to_path_buf(), problem: format!("row {row}: {problem}").into() }
    }
}

/// A batch of crops, each with a part of another one pasted in.
#[derive(Clone, Copy, Debug)]
pub struct PastedBatch<'a> {
    /// Rows of the hosts.
    pub rows: &'a [usize],
    /// Crops of the hosts.
    pub crops: &'a [Crop],
    /// Index in the batch of the crop that is pasted into each host.
    pub partners: &'a [usize],
    /// The pasted boxes.
    pub rects: &'a [CutRect],
}

/// Checks that there is a crop for each row, and that a part of each is inside the image.
fn check_crops(rows: &[usize], crops: &[Crop]) -> Result<(), Error> {
    same_length("rows and boxes", rows.len(), crops.len())?;
    for (at, crop) in crops.iter().enumerate() {
        let overlapping = crop.unit_box.overlapping_image();
        overlapping.map_err(|problem| Error::Usage(format!("row {at} of boxes: {problem}")))?;
    }
    Ok(())
}

fn same_length(what: &str, first: usize, second: usize) -> Result<(), Error> {
    if first == second {
        Ok(())
    } else {
        Err(Error::Usage(format!("the numbers of {what} differ: {first} and {second}")))
    }
}
