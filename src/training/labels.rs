//! What training code asks of a store: the labels of crops, by image.
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

mod parallel;
mod states;

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use ndarray::Array2;

use crate::shared::error::Error;
use crate::shared::geometry::{Crop, UnitBox};
use crate::shared::label_map::{ImagePrediction, LabelMap};
use crate::shared::manifest::{Manifest, NameKind, NamesProblem, RowIndex};
use crate::shared::store::{DecodeScratch, Files, RowState, StoreInfo, StoreReader};
use crate::training::cutmix::{CutRect, mix};
use crate::training::pool::{Fill, Pooler, Pooling, SparseTarget, TargetValue};

pub use states::{RowStates, State};

/// A store, open for training. Threads may share it, and it survives `fork`.
pub struct Labels {
    reader: StoreReader,
    threads: NonZeroUsize,
    list: OnceLock<(Manifest, RowIndex)>,
}

impl Labels {
    /// Opens a store. The list of images is read when an id is first looked up.
    ///
    /// # Errors
    /// When it is no store of this format version, or its metadata is damaged.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Ok(Self { reader: StoreReader::open(path)?, threads: NonZeroUsize::MIN, list: OnceLock::new() })
    }

    /// Opens a store that does not lie in a folder, and reads of it what is asked for.
    ///
    /// # Errors
    /// As for [`Labels::open`], and when the place cannot be reached.
    pub fn open_files(files: Arc<dyn Files>) -> Result<Self, Error> {
        Ok(Self { reader: StoreReader::open_files(files)?, threads: NonZeroUsize::MIN, list: OnceLock::new() })
    }

    /// The same labels, pooled by so many threads; one without this.
    #[must_use]
    pub fn with_threads(mut self, threads: NonZeroUsize) -> Self {
        self.threads = threads;
        self
    }

    /// What the store is.
    #[must_use]
    pub fn info(&self) -> &StoreInfo {
        self.reader.info()
    }

    /// Where the store lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.reader.path()
    }

    /// Number of classes, the last length of every target.
    #[must_use]
    pub fn class_count(&self) -> usize {
        self.info().classes.count
    }

    /// The list of images.
    ///
    /// # Errors
    /// When it cannot be read, or is not the one with which the store was made.
    pub fn manifest(&self) -> Result<&Manifest, Error> {
        Ok(&self.list()?.0)
    }

    /// The rows of ids. [`RowIndex`] has the rule: an id is compared as a whole first, then as a path, then without its
    /// extension.
    ///
    /// # Errors
    /// [`Error::UnknownId`] for the first that the store does not have; [`Error::AmbiguousName`] if one could mean two
    /// images; if the list cannot be read.
    pub fn rows(&self, ids: &[impl AsRef<str>]) -> Result<Vec<usize>, Error> {
        self.rows_of_names(ids, NameKind::Id)
    }

    /// The rows of images by names of any kind, such as the paths of a data set's files.
    ///
    /// # Errors
    /// As for [`Labels::rows`]; also [`Error::AmbiguousName`] if two files are named of which the store has only one.
    pub fn rows_of_names(&self, names: &[impl AsRef<str>], kind: NameKind) -> Result<Vec<usize>, Error> {
        let found = self.find_names(names, kind)?;
        let Some(first) = found.iter().position(Option::is_none) else {
            return Ok(found.into_iter().flatten().collect());
        };
        let (manifest, index) = self.list()?;
        let name = names[first].as_ref();
        Err(Error::UnknownId {
            store: self.path().to_path_buf(),
            name: name.to_owned(),
            advice: index.advice(manifest, name),
            example: if manifest.is_empty() { String::new() } else { manifest.id(0).to_owned() },
        })
    }

    /// The rows of ids, `None` for those that the store does not have.
    ///
    /// # Errors
    /// [`Error::AmbiguousName`] if one could mean two images; if the list cannot be read.
    pub fn find_rows(&self, ids: &[impl AsRef<str>]) -> Result<Vec<Option<usize>>, Error> {
        self.find_names(ids, NameKind::Id)
    }

    /// The rows of images by names of any kind, `None` for those that the store does not have.
    ///
    /// # Errors
    /// As for [`Labels::rows_of_names`], except for names that mean no image.
    pub fn find_names(&self, names: &[impl AsRef<str>], kind: NameKind) -> Result<Vec<Option<usize>>, Error> {
        let (manifest, index) = self.list()?;
        index.find_all(manifest, names, kind).map_err(|problem| {
            let image = |row: usize| format!("`{}` (row {row}, {})", manifest.id(row), manifest.path(row));
            let problem = match problem {
                NamesProblem::TwoImages(at, two) => format!(
                    "`{}` could mean two images: {} and {}\n  help: name images by their ids or rows",
                    names[at].as_ref(),
                    image(two.first),
                    image(two.second)
                ),
                NamesProblem::OneImage { first, second, row } => format!(
                    "`{}` and `{}` are two files, but the store has one image for both: {}\n  help: label the folder that \
                     has both, or name images by their ids",
                    names[first].as_ref(),
                    names[second].as_ref(),
                    image(row)
                ),
            };
            Error::AmbiguousName { store: self.path().to_path_buf(), problem: problem.into()}
        })
    }

    /// LabelPooling as the paper does it: for each row the label of a box of its image, float32 `[image, class]`, each
    /// a softmax over all classes. Within 1e-5 of torchvision (test `pooling::golden_boxes_pool_to_the_golden_targets`).
    ///
    /// # Errors
    /// [`Error::NotLabelled`] for the first row without labels; when the lengths differ, there is no such row, or its
    /// shard is damaged.
    pub fn pool(&self, rows: &[usize], boxes: &[UnitBox]) -> Result<Array2<f32>, Error> {
        let crops: Vec<Crop> = boxes.iter().copied().map(Crop::from).collect();
        let mut targets = Array2::zeros((rows.len(), self.class_count()));
        self.pool_into(rows, &crops, Pooling::default(), self.threads, targets.as_slice_mut().unwrap_or_default())?;
        Ok(targets)
    }

    /// The same with every choice there is, into `targets`: `[image, class, y, x]` with the output's rows and columns.
    ///
    /// # Errors
    /// As for [`Labels::pool`], and when the fill needs a log-sum-exp that the store does not have.
    pub fn pool_into<T: TargetValue>(
        &self,
        rows: &[usize],
        crops: &[Crop],
        pooling: Pooling,
        threads: NonZeroUsize,
        targets: &mut [T],
    ) -> Result<(), Error> {
        self.check_fill(pooling)?;
        same_length("rows and boxes", rows.len(), crops.len())?;
        let values = self.class_count() * pooling.output.parts();
        same_length("values of targets and rows times classes", targets.len(), rows.len() * values)?;
        parallel::for_each(
            threads,
            targets,
            values,
            || self.workplace(pooling),
            |(pooler, scratch), at, target| {
                pooler
                    .pool(&self.map_with(rows[at], scratch)?, crops[at], target)
                    .map_err(|problem| self.unusable(rows[at], &problem))
            },
        )
    }

    /// The same without the classes that no cell of the crop holds, which have the rest in equal shares: for each row a
    /// target for each part of the output.
    ///
    /// # Errors
    /// As for [`Labels::pool_into`].
    pub fn pool_sparse(
        &self,
        rows: &[usize],
        crops: &[Crop],
        pooling: Pooling,
        threads: NonZeroUsize,
    ) -> Result<Vec<Vec<SparseTarget>>, Error> {
        self.check_fill(pooling)?;
        same_length("rows and boxes", rows.len(), crops.len())?;
        let mut targets = vec![Vec::new(); rows.len()];
        parallel::for_each(
            threads,
            &mut targets,
            1,
            || self.workplace(pooling),
            |(pooler, scratch), at, target| {
                let pooled = pooler.pool_sparse(&self.map_with(rows[at], scratch)?, crops[at]);
                target[0] = pooled.map_err(|problem| self.unusable(rows[at], &problem))?;
                Ok(())
            },
        )?;
        Ok(targets)
    }

    /// Targets of CutMix by region: into `targets`, `[image, class]`, the labels of `crops[i]` under `rects[i]`, in
    /// which the same part of crop number `partners[i]` was pasted. [`crate::training::cutmix`] defines them.
    ///
    /// # Errors
    /// As for [`Labels::pool_into`]; when a partner does not exist or the output is not 1×1.
    pub fn cutmix_into(
        &self,
        batch: &PastedBatch<'_>,
        pooling: Pooling,
        threads: NonZeroUsize,
        targets: &mut [f32],
    ) -> Result<(), Error> {
        let PastedBatch { rows, crops, partners, rects } = *batch;
        self.check_fill(pooling)?;
        same_length("rows and boxes", rows.len(), crops.len())?;
        same_length("rows and partners", rows.len(), partners.len())?;
        same_length("rows and pasted boxes", rows.len(), rects.len())?;
        same_length("values of targets and rows times classes", targets.len(), rows.len() * self.class_count())?;
        if pooling.output.parts() != 1 {
            return Err(Error::Usage(
                "CutMix by region makes one label of a crop; ask for an output of 1x1".to_owned(),
            ));
        }
        if let Some(partner) = partners.iter().find(|partner| **partner >= rows.len()) {
            return Err(Error::Usage(format!("partner {partner} does not exist; the batch has {} crops", rows.len())));
        }
        let make = || (self.workplace(pooling), vec![0.0; self.class_count()]);
        parallel::for_each(threads, targets, self.class_count(), make, |((pooler, scratch), pasted), at, target| {
            let (rect, partner) = (rects[at], partners[at]);
            let host = self.map_with(rows[at], scratch)?;
            let pooled = match (rect.unit_from_input(), rect.pasted_crop(crops[partner])) {
                (Some(hidden), Some(part)) => {
                    let other = self.map_with(rows[partner], scratch)?;
                    pooler
                        .pool_visible(&host, crops[at], hidden, target)
                        .and_then(|()| pooler.pool(&other, part, pasted))
                }
                _ => pooler.pool(&host, crops[at], target),
            };
            pooled.map_err(|problem| self.unusable(rows[at], &problem))?;
            // Nothing is pasted: λ is 1.
            mix(target, pasted, rect.lambda());
            Ok(())
        })
    }

    /// The teacher's prediction for whole images, as global soft labels: into `targets`, `[image, class]`. The store
    /// keeps the best `k` classes; what they leave is spread evenly over the others.
    ///
    /// # Errors
    /// As for [`Labels::pool`].
    pub fn image_targets_into<T: TargetValue>(
        &self,
        rows: &[usize],
        threads: NonZeroUsize,
        targets: &mut [T],
    ) -> Result<(), Error> {
        same_length("values of targets and rows times classes", targets.len(), rows.len() * self.class_count())?;
        parallel::for_each(
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
                    *value.ok_or_else(|| self.unusable(rows[at], "it has a class that the teacher does not have"))? =
                        T::from_probability(f64::from(prob));
                }
                Ok(())
            },
        )
    }

    /// The label map of a row.
    ///
    /// # Errors
    /// As for [`Labels::pool`].
    pub fn map(&self, row: usize) -> Result<LabelMap, Error> {
        self.map_with(row, &mut DecodeScratch::default())
    }

    fn map_with(&self, row: usize, scratch: &mut DecodeScratch) -> Result<LabelMap, Error> {
        self.labelled(row, self.reader.map(row, scratch)?)
    }

    /// The teacher's prediction for the whole image of a row.
    ///
    /// # Errors
    /// As for [`Labels::pool`].
    pub fn prediction(&self, row: usize) -> Result<ImagePrediction, Error> {
        self.labelled(row, self.reader.prediction(row)?)
    }

    /// What is known of each row, from the records alone. The list of images is read first: it shows that there are as many
    /// as the store says.
    ///
    /// # Errors
    /// When a record is damaged, or the list cannot be read.
    pub fn states(&self) -> Result<RowStates, Error> {
        self.list()?;
        RowStates::read(&self.reader)
    }

    fn labelled<T>(&self, row: usize, state: RowState<T>) -> Result<T, Error> {
        let reason = match state {
            RowState::Labelled(labels) => return Ok(labels),
            RowState::Failed(failed) => format!("{} could not be labelled ({})", failed.path, failed.error),
            RowState::ToDo => "its shard is not done yet; the run command that made the store goes on".to_owned(),
        };
        Err(Error::NotLabelled { store: self.path().to_path_buf(), row, reason })
    }

    fn list(&self) -> Result<&(Manifest, RowIndex), Error> {
        if let Some(list) = self.list.get() {
            return Ok(list);
        }
        let manifest = self.reader.manifest()?;
        let index = RowIndex::new(&manifest);
        Ok(self.list.get_or_init(|| (manifest, index)))
    }

    /// What a thread uses again for each image.
    fn workplace(&self, pooling: Pooling) -> (Pooler, DecodeScratch) {
        (Pooler::new(self.class_count(), pooling), DecodeScratch::default())
    }

    fn check_fill(&self, pooling: Pooling) -> Result<(), Error> {
        if pooling.fill == Fill::Rest && !self.info().with_lse {
            return Err(Error::Usage(format!(
                "store {} has no array lse, which the fill `rest` needs; `relabel run --with-lse` writes one",
                self.path().display()
            )));
        }
        Ok(())
    }

    fn unusable(&self, row: usize, problem: &str) -> Error {
        Error::Store { path: self.path().to_path_buf(), problem: format!("row {row}: {problem}").into() }
    }
}

/// A batch of crops, each with a part of another pasted in.
#[derive(Clone, Copy, Debug)]
pub struct PastedBatch<'a> {
    /// Rows of the hosts.
    pub rows: &'a [usize],
    /// Their crops.
    pub crops: &'a [Crop],
    /// Position in the batch of the crop that is pasted into each.
    pub partners: &'a [usize],
    /// What is pasted.
    pub rects: &'a [CutRect],
}

fn same_length(what: &str, first: usize, second: usize) -> Result<(), Error> {
    if first == second {
        Ok(())
    } else {
        Err(Error::Usage(format!("the numbers of {what} differ: {first} and {second}")))
    }
}
